/* SPDX-License-Identifier: Apache-2.0 */
/* proto/http1_response: head and body are the same however the bytes come in, the decoded body is
 * never longer than the input, and what is decoded lies in it.
 *
 * Input: two bytes for the cut, one that chooses what is fed (the whole answer, or a body of one
 * kind), then what the upstream sends. */
#include "proto/http1_response.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct head_result {
    enum http1_response_rc rc;
    size_t used;
    struct http1_response_head head;
};

/* Shows the first CUT bytes, then STEP more each time, as a connection's buffer grows. Each view is
 * a copy of its own size, so that a sanitizer sees any byte read behind it. */
static struct head_result read_head(struct str bytes, size_t cut, size_t step)
{
    struct head_result result = {0};
    size_t scanned = 0;
    for (size_t len = cut;; len = step < bytes.len - len ? len + step : bytes.len) {
        char *copy = malloc(len > 0 ? len : 1);
        assert(copy != NULL);
        memcpy(copy, bytes.ptr, len);
        result.rc = http1_response_head(str_make(copy, len), &scanned, &result.head, &result.used);
        free(copy);
        assert(scanned <= len && result.used <= len);
        if (result.rc != HTTP1_RESPONSE_OK || result.used > 0 || len == bytes.len)
            return result;
    }
}

/* Each field is known by the name that it has. */
static void assert_ids(struct str bytes)
{
    struct http1_response_head head;
    size_t scanned = 0;
    size_t used = 0;
    assert(http1_response_head(bytes, &scanned, &head, &used) == HTTP1_RESPONSE_OK && used > 0);
    for (size_t i = 0; i < head.n_fields; i++) {
        assert(head.ids[i] == field_lookup(head.fields[i].name));
        assert(field_is_name(head.fields[i].name) && field_is_value(head.fields[i].value));
    }
}

static void assert_same_head(const struct head_result *a, struct str bytes, size_t cut, size_t step)
{
    struct head_result other = read_head(bytes, cut, step);
    const struct head_result *b = &other;
    assert(a->rc == b->rc);
    if (a->rc != HTTP1_RESPONSE_OK)
        return;
    assert(a->used == b->used);
    if (a->used == 0)
        return;
    assert(a->head.status == b->head.status);
    assert(a->head.body == b->head.body);
    assert(a->head.content_length == b->head.content_length);
    assert(a->head.keep_alive == b->head.keep_alive);
    assert(a->head.n_fields == b->head.n_fields);
}

struct body_result {
    enum http1_response_rc rc;
    size_t used;
    bool done;
    struct buf data;
};

static void feed_piece(struct http1_body *body, struct str piece, struct body_result *result)
{
    char *copy = malloc(piece.len > 0 ? piece.len : 1);
    assert(copy != NULL);
    memcpy(copy, piece.ptr, piece.len);
    size_t at = 0;
    while (at < piece.len && !body->done && result->rc == HTTP1_RESPONSE_OK) {
        struct str data = {0};
        size_t used = 0;
        result->rc = http1_body_feed(body, str_make(copy + at, piece.len - at), &data, &used);
        if (result->rc != HTTP1_RESPONSE_OK)
            break;
        assert(used > 0 && used <= piece.len - at);
        assert(data.len <= used);
        assert(data.len == 0 || (data.ptr >= copy + at && data.ptr + data.len <= copy + at + used));
        assert(buf_append(&result->data, data) == 0);
        at += used;
    }
    result->used += at;
    free(copy);
}

static struct body_result read_body(const struct http1_response_head *head, struct str bytes,
                                    size_t cut, size_t step)
{
    struct body_result result = {.data = buf_make(bytes.len)};
    struct http1_body body;
    http1_body_init(&body, head);
    feed_piece(&body, str_head(bytes, cut), &result);
    while (result.used < bytes.len && !body.done && result.rc == HTTP1_RESPONSE_OK)
        feed_piece(&body, str_head(str_from(bytes, result.used), step), &result);
    if (result.rc == HTTP1_RESPONSE_OK)
        result.rc = http1_body_eof(&body);
    result.done = body.done;
    return result;
}

/* Where a fault stands within a piece is not told, so that only good bodies compare USED. */
static void assert_same_body(const struct body_result *a, const struct body_result *b)
{
    assert(a->rc == b->rc);
    assert(a->done == b->done);
    assert(str_eq(buf_str(&a->data), buf_str(&b->data)));
    assert(a->rc == HTTP1_RESPONSE_CHUNK || a->used == b->used);
}

static void check_body(const struct http1_response_head *head, struct str bytes, size_t cut)
{
    struct body_result bytewise = read_body(head, bytes, 0, 1);
    struct body_result whole = read_body(head, bytes, bytes.len, SIZE_MAX);
    struct body_result split = read_body(head, bytes, size_min(cut, bytes.len), SIZE_MAX);
    assert_same_body(&bytewise, &whole);
    assert_same_body(&bytewise, &split);
    assert(whole.data.len <= bytes.len);
    if (head->body == HTTP1_BODY_LENGTH && whole.rc == HTTP1_RESPONSE_OK)
        assert(whole.data.len == head->content_length);
    buf_free(&bytewise.data);
    buf_free(&whole.data);
    buf_free(&split.data);
}

static void check_answer(struct str bytes, size_t cut)
{
    struct head_result whole = read_head(bytes, bytes.len, SIZE_MAX);
    assert_same_head(&whole, bytes, 0, 1);
    assert_same_head(&whole, bytes, cut, SIZE_MAX);
    if (whole.rc != HTTP1_RESPONSE_OK || whole.used == 0)
        return;
    assert(whole.head.status >= 200 && whole.head.status <= 599);
    assert_ids(bytes);
    check_body(&whole.head, str_from(bytes, whole.used), cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct str bytes = str_make((const char *)data + 3, size - 3);
    size_t cut = bytes.len > 0 ? (data[0] | (size_t)data[1] << 8) % bytes.len : 0;
    struct http1_response_head head = {.content_length = 5};
    switch (data[2] % 4) {
    case 0:
        head.body = HTTP1_BODY_CHUNKED;
        check_body(&head, bytes, cut);
        break;
    case 1:
        head.body = HTTP1_BODY_LENGTH;
        check_body(&head, bytes, cut);
        break;
    default:
        check_answer(bytes, cut);
        break;
    }
    return 0;
}
