/* SPDX-License-Identifier: Apache-2.0 */
/* proto/tls_hellos: the verdict does not depend on how the bytes are cut, and is that of a reader
 * who first takes all records apart and then looks at the messages.
 *
 * Input: one byte that says which version the server has chosen, then what the client sends. */
#include "proto/tls_hellos.h"

#include "base/buf.h"
#include "base/err.h"
#include "oracle.h"

#define MAX_BYTES (64U * 1024)

/* What the records with messages hold, one behind the other; the rest of the last one counts. */
static struct buf messages_of(struct str bytes, bool is_tls12)
{
    struct buf messages = buf_make(MAX_BYTES);
    while (bytes.len >= 5) {
        const uint8_t *head = (const uint8_t *)bytes.ptr;
        size_t len = (size_t)head[3] << 8 | head[4];
        if (is_tls12 && head[0] == 20)
            break;
        bytes = str_from(bytes, 5);
        struct str inside = str_head(bytes, size_min(len, bytes.len));
        if (head[0] == 22)
            ORACLE(buf_append(&messages, inside) == 0);
        bytes = str_from(bytes, inside.len);
    }
    return messages;
}

static bool has_large_hello(struct str messages)
{
    while (messages.len >= 4) {
        const uint8_t *head = (const uint8_t *)messages.ptr;
        size_t len = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (head[0] == 1 && len > TLS_HELLO_MAX_BYTES)
            return true;
        messages = str_from(messages, size_min(4 + len, messages.len));
    }
    return false;
}

static bool feed(struct str bytes, size_t piece, bool is_tls12)
{
    struct tls_hellos hellos = {0};
    bool good = true;
    while (bytes.len > 0) {
        size_t n = size_min(piece, bytes.len);
        good = tls_hellos_feed(&hellos, str_head(bytes, n), is_tls12);
        bytes = str_from(bytes, n);
    }
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_BYTES)
        return 0;
    bool is_tls12 = (data[0] & 1) != 0;
    struct str bytes = str_make((const char *)data + 1, size - 1);
    struct buf messages = messages_of(bytes, is_tls12);
    bool good = !has_large_hello(buf_str(&messages));
    ORACLE(feed(bytes, size_max(bytes.len, 1), is_tls12) == good);
    ORACLE(feed(bytes, 1, is_tls12) == good);
    ORACLE(feed(bytes, 3, is_tls12) == good);
    buf_free(&messages);
    return 0;
}
