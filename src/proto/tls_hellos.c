/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/tls_hellos.h"

#include "base/err.h"

#define CLIENT_HELLO 1 /* RFC 8446 4 */
/* RFC 8446 5.1 */
#define CHANGE_CIPHER_SPEC 20
#define HANDSHAKE 22

/* Takes from BYTES what ROOM, which has *N of its SIZE bytes, lacks. True when it is full. */
static bool fill(uint8_t *room, size_t size, uint8_t *n, struct str *bytes)
{
    size_t take = size_min(size - *n, bytes->len);
    memcpy(room + *n, bytes->ptr, take);
    *n = (uint8_t)(*n + take);
    *bytes = str_from(*bytes, take);
    return *n == size;
}

static void begin_record(struct tls_hellos *hellos, bool is_tls12)
{
    const uint8_t *head = hellos->record;
    hellos->record_left = (uint32_t)head[3] << 8 | head[4];
    hellos->over = is_tls12 && head[0] == CHANGE_CIPHER_SPEC;
}

static void begin_message(struct tls_hellos *hellos)
{
    const uint8_t *head = hellos->message;
    hellos->message_left = (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    hellos->refused = head[0] == CLIENT_HELLO && hellos->message_left > TLS_HELLO_MAX_BYTES;
    hellos->n_message = 0;
}

/* BYTES are of a record with messages. */
static void feed_messages(struct tls_hellos *hellos, struct str bytes)
{
    while (bytes.len > 0 && !hellos->refused) {
        size_t skip = size_min(hellos->message_left, bytes.len);
        hellos->message_left -= (uint32_t)skip;
        bytes = str_from(bytes, skip);
        if (bytes.len > 0 &&
            fill(hellos->message, sizeof(hellos->message), &hellos->n_message, &bytes))
            begin_message(hellos);
    }
}

bool tls_hellos_feed(struct tls_hellos *hellos, struct str bytes, bool is_tls12)
{
    while (bytes.len > 0 && !hellos->refused && !hellos->over) {
        if (hellos->n_record < sizeof(hellos->record)) {
            if (fill(hellos->record, sizeof(hellos->record), &hellos->n_record, &bytes))
                begin_record(hellos, is_tls12);
        } else {
            struct str part = str_head(bytes, size_min(hellos->record_left, bytes.len));
            if (hellos->record[0] == HANDSHAKE)
                feed_messages(hellos, part);
            hellos->record_left -= (uint32_t)part.len;
            bytes = str_from(bytes, part.len);
        }
        if (hellos->n_record == sizeof(hellos->record) && hellos->record_left == 0)
            hellos->n_record = 0;
    }
    return !hellos->refused;
}
