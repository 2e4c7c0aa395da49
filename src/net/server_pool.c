/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a connection's memory libmicrohttpd will need for a request.
 *
 * It parses a head where it was read, and the bytes of it stay taken until the answer is out.
 * Records are taken from the other end of the memory; for them it gives back what its buffer has of
 * free room. Bytes of the body that came in the same read are no free room: they are in the sum, or
 * kept back until the head is parsed (server_recv.c). When the answer begins nothing is left to
 * read (one message at a time), so all the rest is room for the answer's head (REPLY_HEAD_BYTES).
 * The body of a request is collected by us and an answer's body is sent from where it is: neither
 * takes any. What the filter refuses (folded fields, trailers, extensions of chunks) would take
 * memory too. */
#include <strings.h>

#include "net/server_int.h"

/* One record for each field, argument of the query, and cookie. */
#define RECORD_BYTES 64
/* A longer body is read in larger pieces by the large host. One without a length in advance, which
 * few send, is read by the small one, whatever it grows to, if its head leaves room for a read. */
#define SMALL_BODY_BYTES 4096
#define SMALL_CHUNKED_HEAD_BYTES 2048
#define TOO_MUCH_BYTES ((size_t)1 << 30)

static size_t count(struct str text, char c)
{
    size_t n = 0;
    for (const char *at = memchr(text.ptr, c, text.len); at != NULL; n++) {
        size_t passed = (size_t)(at - text.ptr) + 1;
        text = str_from(text, passed);
        at = memchr(text.ptr, c, text.len);
    }
    return n;
}

static bool starts_with_name(struct str line, struct str name)
{
    return line.len > name.len && line.ptr[name.len] == ':' &&
           strncasecmp(line.ptr, name.ptr, name.len) == 0;
}

static size_t need_of_request_line(struct str line)
{
    return memchr(line.ptr, '?', line.len) == NULL ? 0 : (1 + count(line, '&')) * RECORD_BYTES;
}

static bool body_is_long(struct str value)
{
    uint64_t length = UINT64_MAX; /* the filter has checked it */
    (void)str_to_u64(str_trim(value), UINT64_MAX, &length);
    return length > SMALL_BODY_BYTES;
}

static size_t need_of_field(struct str line, bool for_small)
{
    size_t need = RECORD_BYTES;
    if ((line.ptr[0] | 0x20) != 'c')
        return need;
    if (starts_with_name(line, STR("Cookie"))) /* copied and taken apart */
        need += line.len + (1 + count(line, ';') + count(line, ',')) * RECORD_BYTES;
    if (for_small && starts_with_name(line, STR("Content-Length")) &&
        body_is_long(str_from(line, sizeof("Content-Length:") - 1)))
        need += TOO_MUCH_BYTES;
    return need;
}

struct server_pool_need server_pool_need(struct str message, bool for_small)
{
    struct server_pool_need need = {0};
    struct str rest = message;
    struct str line = STR("");
    bool is_chunked = false;
    while (str_split(&rest, '\n', &line) && line.len > 1) {
        need.bytes += line.len + 1;
        line.len--; /* CR */
        need.bytes +=
            line.ptr == message.ptr ? need_of_request_line(line) : need_of_field(line, for_small);
        is_chunked = is_chunked || starts_with_name(line, STR("Transfer-Encoding"));
    }
    need.head_len = message.len - rest.len;
    if (for_small && is_chunked && need.head_len > SMALL_CHUNKED_HEAD_BYTES)
        need.bytes += TOO_MUCH_BYTES;
    return need;
}
