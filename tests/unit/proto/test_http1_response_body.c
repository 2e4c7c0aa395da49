/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/err.h"
#include "proto/http1_response.h"
#include "support/cmocka_all.h"

static const struct {
    const char *why;
    struct str bytes;
    enum http1_response_rc rc;
    struct str data;
    size_t left_over; /* bytes behind the end of the message */
} chunked[] = {
    {"two chunks", STR_INIT("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), HTTP1_RESPONSE_OK,
     STR_INIT("hello world"), 0},
    {"empty", STR_INIT("0\r\n\r\n"), HTTP1_RESPONSE_OK, STR_INIT(""), 0},
    {"both cases and zeros", STR_INIT("000A\r\n0123456789\r\nb\r\n0123456789a\r\n00\r\n\r\n"),
     HTTP1_RESPONSE_OK, STR_INIT("01234567890123456789a"), 0},
    {"16 digits", STR_INIT("0000000000000001\r\nx\r\n0\r\n\r\n"), HTTP1_RESPONSE_OK, STR_INIT("x"),
     0},
    {"framing as data", STR_INIT("7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n"), HTTP1_RESPONSE_OK,
     STR_INIT("0\r\n\r\n\r\n"), 0},
    {"extensions are ignored", STR_INIT("5;a=b;c=\"d\"\r\nhello\r\n0;\r\n\r\n"), HTTP1_RESPONSE_OK,
     STR_INIT("hello"), 0},
    {"trailers are dropped", STR_INIT("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n"), HTTP1_RESPONSE_OK,
     STR_INIT("x"), 0},
    {"what follows is not part of it", STR_INIT("1\r\nx\r\n0\r\n\r\nHTTP/1.1"), HTTP1_RESPONSE_OK,
     STR_INIT("x"), 8},
    {"ends within the size", STR_INIT("1\r\nx\r\n1"), HTTP1_RESPONSE_TRUNCATED, STR_INIT("x"), 0},
    {"ends within the data", STR_INIT("5\r\nhel"), HTTP1_RESPONSE_TRUNCATED, STR_INIT("hel"), 0},
    {"ends before the last CRLF", STR_INIT("1\r\nx\r\n0\r\n"), HTTP1_RESPONSE_TRUNCATED,
     STR_INIT("x"), 0},
    {"nothing came", STR_INIT(""), HTTP1_RESPONSE_TRUNCATED, STR_INIT(""), 0},
    {"no digits", STR_INIT("\r\nx"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"extension without digits", STR_INIT(";a\r\nx"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"0x", STR_INIT("0x5\r\nhello"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"sign", STR_INIT("+5\r\nhello"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"blank before", STR_INIT(" 5\r\nhello"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"blank behind", STR_INIT("5 \r\nhello"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"17 digits", STR_INIT("00000000000000001\r\nx"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"size of 2^63", STR_INIT("8000000000000000\r\nx"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"size of 2^64-1", STR_INIT("ffffffffffffffff\r\nx"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"LF behind the size", STR_INIT("5\nhello"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"CR behind the size", STR_INIT("5\rhello"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"LF in the extension", STR_INIT("5;a\nhello"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"NUL in the extension", STR_INIT("5;a\0\r\nhello"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"more than announced", STR_INIT("1\r\nxy\r\n0\r\n\r\n"), HTTP1_RESPONSE_CHUNK, STR_INIT("x"),
     0},
    {"LF behind the data", STR_INIT("1\r\nx\n0\r\n\r\n"), HTTP1_RESPONSE_CHUNK, STR_INIT("x"), 0},
    {"CR behind the data", STR_INIT("1\r\nx\r0\r\n\r\n"), HTTP1_RESPONSE_CHUNK, STR_INIT("x"), 0},
    {"last line ended by LF", STR_INIT("0\r\n\n"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"last line ended by CR", STR_INIT("0\r\n\rx"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"trailer without a colon", STR_INIT("0\r\nA\r\n\r\n"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"folded trailer", STR_INIT("0\r\nA: b\r\n c\r\n\r\n"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"NUL in a trailer", STR_INIT("0\r\nA: \0\r\n\r\n"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
    {"trailer ended by LF", STR_INIT("0\r\nA: b\n\r\n"), HTTP1_RESPONSE_CHUNK, STR_INIT(""), 0},
};

struct decoded {
    struct buf data;
    enum http1_response_rc rc;
    size_t used;
};

/* Decodes BYTES in pieces of STEP bytes, and the end of the connection behind them. */
static struct decoded decode(struct http1_body *body, struct str bytes, size_t step)
{
    struct decoded decoded = {.data = buf_make(65536)};
    while (decoded.used < bytes.len && !body->done && decoded.rc == HTTP1_RESPONSE_OK) {
        struct str data = {0};
        size_t used = 0;
        decoded.rc =
            http1_body_feed(body, str_head(str_from(bytes, decoded.used), step), &data, &used);
        assert_true(decoded.rc != HTTP1_RESPONSE_OK || used > 0);
        buf_append(&decoded.data, data);
        decoded.used += used;
    }
    if (decoded.rc == HTTP1_RESPONSE_OK)
        decoded.rc = http1_body_eof(body);
    return decoded;
}

static struct http1_body body_of(enum http1_body_kind kind, uint64_t length)
{
    struct http1_response_head head = {.body = kind, .content_length = length};
    struct http1_body body;
    http1_body_init(&body, &head);
    return body;
}

static void response_body_decodes_chunks_strictly_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(chunked); i++) {
        for (size_t step = 1; step <= chunked[i].bytes.len + 1; step++) {
            struct http1_body body = body_of(HTTP1_BODY_CHUNKED, 0);
            struct decoded decoded = decode(&body, chunked[i].bytes, step);
            bool same =
                decoded.rc == chunked[i].rc && str_eq(buf_str(&decoded.data), chunked[i].data);
            if (!same)
                fail_msg("%s, step %zu: %s \"%.*s\"", chunked[i].why, step,
                         http1_response_rc_name(decoded.rc), STR_ARG(buf_str(&decoded.data)));
            assert_int_equal(body.done, decoded.rc == HTTP1_RESPONSE_OK);
            if (decoded.rc == HTTP1_RESPONSE_OK)
                assert_int_equal(decoded.used, chunked[i].bytes.len - chunked[i].left_over);
            buf_free(&decoded.data);
        }
    }
}

static void response_body_limits_extensions_and_trailers(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        size_t own; /* bytes of START that count */
    } rows[] = {{"0;", 0}, {"0\r\nA:", 1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t excess = 0; excess <= 1; excess++) {
            struct buf bytes = buf_make(65536);
            size_t count = HTTP1_RESPONSE_MAX_EXTRA - rows[i].own + excess;
            buf_append_cstr(&bytes, rows[i].start);
            for (size_t n = 0; n < count; n++)
                buf_append_char(&bytes, 'x');
            buf_append_cstr(&bytes, "\r\n\r\n");
            struct http1_body body = body_of(HTTP1_BODY_CHUNKED, 0);
            struct decoded decoded = decode(&body, buf_str(&bytes), SIZE_MAX);
            assert_int_equal(decoded.rc, excess == 0 ? HTTP1_RESPONSE_OK : HTTP1_RESPONSE_CHUNK);
            buf_free(&decoded.data);
            buf_free(&bytes);
        }
    }
}

static void response_body_limits_each_extension_by_itself(void **state)
{
    (void)state;
    struct buf bytes = buf_make(65536);
    for (unsigned chunk = 0; chunk < 2; chunk++) {
        buf_append_cstr(&bytes, "1;");
        for (size_t n = 0; n < HTTP1_RESPONSE_MAX_EXTRA; n++)
            buf_append_char(&bytes, 'x');
        buf_append_cstr(&bytes, "\r\n.\r\n");
    }
    buf_append_cstr(&bytes, "0\r\n\r\n");
    assert_false(buf_failed(&bytes));
    struct http1_body body = body_of(HTTP1_BODY_CHUNKED, 0);
    struct decoded decoded = decode(&body, buf_str(&bytes), SIZE_MAX);
    assert_int_equal(decoded.rc, HTTP1_RESPONSE_OK);
    assert_true(str_eq(buf_str(&decoded.data), STR("..")));
    buf_free(&decoded.data);
    buf_free(&bytes);
}

static void response_body_counts_and_never_takes_a_part_for_the_whole(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        enum http1_body_kind kind;
        uint64_t length;
        struct str bytes;
        enum http1_response_rc rc;
        struct str data;
    } rows[] = {
        {"counted", HTTP1_BODY_LENGTH, 5, STR_INIT("hello"), HTTP1_RESPONSE_OK, STR_INIT("hello")},
        {"excess stays", HTTP1_BODY_LENGTH, 2, STR_INIT("hello"), HTTP1_RESPONSE_OK,
         STR_INIT("he")},
        {"too few", HTTP1_BODY_LENGTH, 6, STR_INIT("hello"), HTTP1_RESPONSE_TRUNCATED,
         STR_INIT("hello")},
        {"none of it", HTTP1_BODY_LENGTH, 6, STR_INIT(""), HTTP1_RESPONSE_TRUNCATED, STR_INIT("")},
        {"no body", HTTP1_BODY_NONE, 0, STR_INIT("hello"), HTTP1_RESPONSE_OK, STR_INIT("")},
        {"until close", HTTP1_BODY_CLOSE, 0, STR_INIT("hello"), HTTP1_RESPONSE_OK,
         STR_INIT("hello")},
        {"until close, nothing", HTTP1_BODY_CLOSE, 0, STR_INIT(""), HTTP1_RESPONSE_OK,
         STR_INIT("")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step <= 6; step++) {
            struct http1_body body = body_of(rows[i].kind, rows[i].length);
            struct decoded decoded = decode(&body, rows[i].bytes, step);
            if (decoded.rc != rows[i].rc || !str_eq(buf_str(&decoded.data), rows[i].data) ||
                decoded.used != decoded.data.len)
                fail_msg("%s, step %zu", rows[i].why, step);
            assert_int_equal(body.done, rows[i].rc == HTTP1_RESPONSE_OK);
            buf_free(&decoded.data);
        }
    }
}

static void response_body_that_is_done_takes_nothing_more(void **state)
{
    (void)state;
    static const enum http1_body_kind kinds[] = {HTTP1_BODY_NONE, HTTP1_BODY_LENGTH,
                                                 HTTP1_BODY_CHUNKED, HTTP1_BODY_CLOSE};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct http1_body body = body_of(kinds[i], 5);
        struct decoded decoded = decode(&body, STR("0\r\n\r\n"), SIZE_MAX);
        buf_free(&decoded.data);
        assert_true(body.done);
        struct str data = STR("x");
        size_t used = 1;
        assert_int_equal(http1_body_feed(&body, STR("x"), &data, &used), HTTP1_RESPONSE_OK);
        assert_int_equal(data.len, 0);
        assert_int_equal(used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(response_body_decodes_chunks_strictly_at_every_cut),
        cmocka_unit_test(response_body_limits_extensions_and_trailers),
        cmocka_unit_test(response_body_limits_each_extension_by_itself),
        cmocka_unit_test(response_body_counts_and_never_takes_a_part_for_the_whole),
        cmocka_unit_test(response_body_that_is_done_takes_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
