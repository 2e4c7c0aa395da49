/* SPDX-License-Identifier: Apache-2.0 */
/* proto/http1_request: the verdict does not depend on how the bytes are cut, and a head that passes
 * is clean to a reader that knows nothing of the filter's states.
 *
 * Input: two bytes for the cut, one that chooses the limits, then what the client sends. */
#include "proto/http1_request.h"

#include <assert.h>
#include <stdlib.h>

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct verdict {
    size_t used;
    size_t first_head; /* bytes of the first message's head, 0 before its end */
    unsigned messages;
    enum http1_request_rc rc;
    bool idle;
};

/* Feeds one piece, which lies in memory of its own size so that a sanitizer sees any byte read
 * behind it. */
static void feed_piece(struct http1_request *request, struct str piece, struct verdict *verdict)
{
    char *copy = malloc(piece.len > 0 ? piece.len : 1);
    size_t used = 0;
    assert(copy != NULL);
    memcpy(copy, piece.ptr, piece.len);
    while (used < piece.len && http1_request_refused(request) == HTTP1_REQUEST_OK) {
        size_t step = http1_request_feed(request, copy + used, piece.len - used);
        used += step;
        assert(used <= piece.len);
        assert(step > 0 || http1_request_refused(request) != HTTP1_REQUEST_OK);
        verdict->messages += http1_request_at_end(request) ? 1 : 0;
    }
    verdict->used += used;
    free(copy);
}

static struct verdict feed(struct http1_request_limits limits, struct str bytes, size_t cut,
                           size_t step)
{
    struct http1_request request;
    struct verdict verdict = {0};
    http1_request_init(&request, limits);
    feed_piece(&request, str_head(bytes, cut), &verdict);
    while (verdict.used < bytes.len && http1_request_refused(&request) == HTTP1_REQUEST_OK) {
        feed_piece(&request, str_head(str_from(bytes, verdict.used), step), &verdict);
        bool head_done = verdict.messages > 0 || !http1_request_in_head(&request);
        if (step == 1 && verdict.first_head == 0 && head_done)
            verdict.first_head = verdict.used;
    }
    verdict.rc = http1_request_refused(&request);
    verdict.idle = http1_request_idle(&request);
    return verdict;
}

static void assert_same(struct verdict a, struct verdict b)
{
    assert(a.used == b.used);
    assert(a.messages == b.messages);
    assert(a.rc == b.rc);
    assert(a.idle == b.idle);
}

/* Lines end in CRLF only, there is no other control byte, no line begins with a blank, and there is
 * at most one field that frames the body. */
static void assert_clean(struct str head)
{
    unsigned framing = 0;
    for (size_t i = 0; i < head.len; i++) {
        unsigned char c = (unsigned char)head.ptr[i];
        struct str rest = str_from(head, i);
        assert(c >= ' ' || c == '\t' || c == '\r' || c == '\n');
        assert(c != 0x7f);
        assert(c != '\r' || str_has_prefix(rest, STR("\r\n")));
        assert(c != '\n' || (i > 0 && head.ptr[i - 1] == '\r'));
        if (i == 0 || head.ptr[i - 1] != '\n')
            continue;
        assert(c != ' ' && c != '\t');
        framing += str_has_prefix_nocase(rest, STR("content-length:")) ? 1 : 0;
        framing += str_has_prefix_nocase(rest, STR("transfer-encoding:")) ? 1 : 0;
    }
    assert(framing <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct str bytes = str_make((const char *)data + 3, size - 3);
    struct http1_request_limits limits = {.head_bytes = 32768, .target_bytes = 8192};
    if (data[2] % 4 == 0)
        limits = (struct http1_request_limits){.head_bytes = 16U + data[2], .target_bytes = 24};
    size_t cut = bytes.len > 0 ? (data[0] | (size_t)data[1] << 8) % bytes.len : 0;

    struct verdict bytewise = feed(limits, bytes, 0, 1);
    assert_same(bytewise, feed(limits, bytes, bytes.len, SIZE_MAX));
    assert_same(bytewise, feed(limits, bytes, cut, SIZE_MAX));
    assert(bytewise.rc != HTTP1_REQUEST_OK || bytewise.used == bytes.len);
    if (bytewise.messages > 0) {
        assert(bytewise.first_head <= limits.head_bytes);
        assert_clean(str_head(bytes, bytewise.first_head));
    }
    return 0;
}
