/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_response.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "support/cmocka_all.h"

#define OK_LINE "HTTP/1.1 200 OK\r\n"

struct head_row {
    const char *why;
    struct str head;
    enum http1_response_rc rc;
    unsigned status;
    enum http1_body_kind body;
    uint64_t length;
    bool keep_alive;
};

static const struct head_row heads[] = {
    {"counted", STR_INIT(OK_LINE "Content-Length: 5\r\n\r\n"), HTTP1_RESPONSE_OK, 200,
     HTTP1_BODY_LENGTH, 5, true},
    {"counted, nothing", STR_INIT(OK_LINE "Content-Length: 0\r\n\r\n"), HTTP1_RESPONSE_OK, 200,
     HTTP1_BODY_NONE, 0, true},
    {"counted, the largest", STR_INIT(OK_LINE "Content-Length: 9223372036854775807\r\n\r\n"),
     HTTP1_RESPONSE_OK, 200, HTTP1_BODY_LENGTH, INT64_MAX, true},
    {"the same length twice is one",
     STR_INIT(OK_LINE "Content-Length: 5\r\ncontent-length:5\r\n\r\n"), HTTP1_RESPONSE_OK, 200,
     HTTP1_BODY_LENGTH, 5, true},
    {"chunked", STR_INIT(OK_LINE "Transfer-Encoding: Chunked\r\n\r\n"), HTTP1_RESPONSE_OK, 200,
     HTTP1_BODY_CHUNKED, 0, true},
    {"until close", STR_INIT(OK_LINE "\r\n"), HTTP1_RESPONSE_OK, 200, HTTP1_BODY_CLOSE, 0, false},
    {"until close, whatever Connection says", STR_INIT(OK_LINE "Connection: keep-alive\r\n\r\n"),
     HTTP1_RESPONSE_OK, 200, HTTP1_BODY_CLOSE, 0, false},
    {"no reason", STR_INIT("HTTP/1.1 202 \r\nContent-Length: 0\r\n\r\n"), HTTP1_RESPONSE_OK, 202,
     HTTP1_BODY_NONE, 0, true},
    {"no space for a reason", STR_INIT("HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n"),
     HTTP1_RESPONSE_OK, 202, HTTP1_BODY_NONE, 0, true},
    {"204 has no body", STR_INIT("HTTP/1.1 204 No Content\r\n\r\n"), HTTP1_RESPONSE_OK, 204,
     HTTP1_BODY_NONE, 0, true},
    {"204 with a zero length", STR_INIT("HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n"),
     HTTP1_RESPONSE_OK, 204, HTTP1_BODY_NONE, 0, true},
    {"204 that announces a body is not believed afterwards",
     STR_INIT("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n"), HTTP1_RESPONSE_OK, 204,
     HTTP1_BODY_NONE, 0, false},
    {"204 with chunks likewise", STR_INIT("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"),
     HTTP1_RESPONSE_OK, 204, HTTP1_BODY_NONE, 0, false},
    {"304 tells the length of what it does not send",
     STR_INIT("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n"), HTTP1_RESPONSE_OK, 304,
     HTTP1_BODY_NONE, 0, true},
    {"close", STR_INIT(OK_LINE "Content-Length: 5\r\nConnection: x, Close\r\n\r\n"),
     HTTP1_RESPONSE_OK, 200, HTTP1_BODY_LENGTH, 5, false},
    {"close beats keep-alive",
     STR_INIT(OK_LINE "Content-Length: 5\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n"),
     HTTP1_RESPONSE_OK, 200, HTTP1_BODY_LENGTH, 5, false},
    {"1.0 closes", STR_INIT("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), HTTP1_RESPONSE_OK, 200,
     HTTP1_BODY_LENGTH, 5, false},
    {"1.0 unless it says otherwise",
     STR_INIT("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n"),
     HTTP1_RESPONSE_OK, 200, HTTP1_BODY_LENGTH, 5, true},
    {"1.0 until close", STR_INIT("HTTP/1.0 500 Oops\r\n\r\n"), HTTP1_RESPONSE_OK, 500,
     HTTP1_BODY_CLOSE, 0, false},
    {"interim answers are skipped",
     STR_INIT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" OK_LINE
              "Content-Length: 5\r\n\r\n"),
     HTTP1_RESPONSE_OK, 200, HTTP1_BODY_LENGTH, 5, true},
    {"what an interim answer says does not count",
     STR_INIT("HTTP/1.1 102 x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n" OK_LINE
              "Content-Length: 5\r\n\r\n"),
     HTTP1_RESPONSE_OK, 200, HTTP1_BODY_LENGTH, 5, true},
    {"bytes above 0x7f",
     STR_INIT("HTTP/1.1 200 Zo\xc3\xab\r\nContent-Length: 0\r\nX: \xff\r\n\r\n"), HTTP1_RESPONSE_OK,
     200, HTTP1_BODY_NONE, 0, true},

    {.why = "SSH", .head = STR_INIT("SSH-2.0-x\r\n\r\n"), .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "TLS alert",
     .head = STR_INIT("\x15\x03\x01\x00\x02\x02"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "HTTP/0.9", .head = STR_INIT("<html>"), .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "empty line first",
     .head = STR_INIT("\r\n" OK_LINE "\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "lower case",
     .head = STR_INIT("http/1.1 200 OK\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "no status", .head = STR_INIT("HTTP/1.1\r\n\r\n"), .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "two digits",
     .head = STR_INIT("HTTP/1.1 20 OK\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "four digits",
     .head = STR_INIT("HTTP/1.1 2000 OK\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "two digits at the end",
     .head = STR_INIT("HTTP/1.1 20\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "signed status",
     .head = STR_INIT("HTTP/1.1 +20 OK\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "two spaces",
     .head = STR_INIT("HTTP/1.1  200 OK\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "tab", .head = STR_INIT("HTTP/1.1\t200 OK\r\n\r\n"), .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "NUL in the reason",
     .head = STR_INIT("HTTP/1.1 200 O\0K\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "CR in the reason",
     .head = STR_INIT("HTTP/1.1 200 O\rK\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "no HTTP line behind an interim answer",
     .head = STR_INIT("HTTP/1.1 100 x\r\n\r\nX: y\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "empty line behind an interim answer",
     .head = STR_INIT("HTTP/1.1 100 x\r\n\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "bad interim line",
     .head = STR_INIT("HTTP/1.1 100\r\n\r\nHTTP/1.1 x\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "HTTP/2", .head = STR_INIT("HTTP/2.0 200 OK\r\n\r\n"), .rc = HTTP1_RESPONSE_VERSION},
    {.why = "HTTP/1.2", .head = STR_INIT("HTTP/1.2 200 OK\r\n\r\n"), .rc = HTTP1_RESPONSE_VERSION},
    {.why = "HTTP/1.", .head = STR_INIT("HTTP/1. 200 OK\r\n\r\n"), .rc = HTTP1_RESPONSE_VERSION},
    {.why = "HTTP/1.10",
     .head = STR_INIT("HTTP/1.10 200 OK\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS_LINE},
    {.why = "status 099", .head = STR_INIT("HTTP/1.1 099 x\r\n\r\n"), .rc = HTTP1_RESPONSE_STATUS},
    {.why = "status 600", .head = STR_INIT("HTTP/1.1 600 x\r\n\r\n"), .rc = HTTP1_RESPONSE_STATUS},
    {.why = "status 999", .head = STR_INIT("HTTP/1.1 999 x\r\n\r\n"), .rc = HTTP1_RESPONSE_STATUS},
    {.why = "switching protocols",
     .head = STR_INIT("HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n"),
     .rc = HTTP1_RESPONSE_STATUS},
    {.why = "space before the colon",
     .head = STR_INIT(OK_LINE "X : y\r\n\r\n"),
     .rc = HTTP1_RESPONSE_FIELD},
    {.why = "no colon", .head = STR_INIT(OK_LINE "X\r\n\r\n"), .rc = HTTP1_RESPONSE_FIELD},
    {.why = "empty name", .head = STR_INIT(OK_LINE ": y\r\n\r\n"), .rc = HTTP1_RESPONSE_FIELD},
    {.why = "obs-fold", .head = STR_INIT(OK_LINE "X: y\r\n z\r\n\r\n"), .rc = HTTP1_RESPONSE_FIELD},
    {.why = "name that is not ASCII",
     .head = STR_INIT(OK_LINE "X\x80: y\r\n\r\n"),
     .rc = HTTP1_RESPONSE_FIELD},
    {.why = "bare LF", .head = STR_INIT(OK_LINE "X: y\nZ: a\r\n\r\n"), .rc = HTTP1_RESPONSE_FIELD},
    {.why = "bare LF is found before the end",
     .head = STR_INIT("HTTP/1.1 200 OK\nX: y"),
     .rc = HTTP1_RESPONSE_FIELD},
    {.why = "empty line by LF", .head = STR_INIT(OK_LINE "X: y\r\n\n"), .rc = HTTP1_RESPONSE_FIELD},
    {.why = "bare CR", .head = STR_INIT(OK_LINE "X: y\rZ: a\r\n\r\n"), .rc = HTTP1_RESPONSE_VALUE},
    {.why = "NUL", .head = STR_INIT(OK_LINE "X: y\0z\r\n\r\n"), .rc = HTTP1_RESPONSE_VALUE},
    {.why = "DEL", .head = STR_INIT(OK_LINE "X: y\x7f\r\n\r\n"), .rc = HTTP1_RESPONSE_VALUE},
    {.why = "differing lengths",
     .head = STR_INIT(OK_LINE "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
     .rc = HTTP1_RESPONSE_LENGTH},
    {.why = "list of lengths",
     .head = STR_INIT(OK_LINE "Content-Length: 5, 5\r\n\r\n"),
     .rc = HTTP1_RESPONSE_LENGTH},
    {.why = "signed length",
     .head = STR_INIT(OK_LINE "Content-Length: +5\r\n\r\n"),
     .rc = HTTP1_RESPONSE_LENGTH},
    {.why = "empty length",
     .head = STR_INIT(OK_LINE "Content-Length:\r\n\r\n"),
     .rc = HTTP1_RESPONSE_LENGTH},
    {.why = "length of 2^63",
     .head = STR_INIT(OK_LINE "Content-Length: 9223372036854775808\r\n\r\n"),
     .rc = HTTP1_RESPONSE_LENGTH},
    {.why = "both framings",
     .head = STR_INIT(OK_LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
     .rc = HTTP1_RESPONSE_ENCODING},
    {.why = "chunked twice",
     .head = STR_INIT(OK_LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
     .rc = HTTP1_RESPONSE_ENCODING},
    {.why = "another encoding",
     .head = STR_INIT(OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n"),
     .rc = HTTP1_RESPONSE_ENCODING},
    {.why = "identity",
     .head = STR_INIT(OK_LINE "Transfer-Encoding: identity\r\n\r\n"),
     .rc = HTTP1_RESPONSE_ENCODING},
    {.why = "chunked in 1.0",
     .head = STR_INIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
     .rc = HTTP1_RESPONSE_ENCODING},
};

/* Feeds a growing prefix, STEP bytes more each time, as a connection would. */
static enum http1_response_rc grow(struct str bytes, size_t step, struct http1_response_head *head,
                                   size_t *ret_used)
{
    size_t scanned = 0;
    enum http1_response_rc rc = HTTP1_RESPONSE_OK;
    *ret_used = 0;
    for (size_t len = size_min(step, bytes.len); rc == HTTP1_RESPONSE_OK && *ret_used == 0;
         len = size_min(len + step, bytes.len)) {
        rc = http1_response_head(str_head(bytes, len), &scanned, head, ret_used);
        if (len == bytes.len)
            break;
    }
    return rc;
}

static void check_head(const struct head_row *row, size_t step)
{
    struct http1_response_head head;
    size_t used;
    enum http1_response_rc rc = grow(row->head, step, &head, &used);
    if (rc != row->rc)
        fail_msg("%s, step %zu: %s", row->why, step, http1_response_rc_name(rc));
    if (rc != HTTP1_RESPONSE_OK)
        return;
    if (used != row->head.len || head.status != row->status || head.body != row->body)
        fail_msg("%s, step %zu: used %zu, status %u", row->why, step, used, head.status);
    if (head.content_length != row->length || head.keep_alive != row->keep_alive)
        fail_msg("%s, step %zu: length or keep-alive", row->why, step);
}

static void response_head_is_read_strictly_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        for (size_t step = 1; step <= heads[i].head.len; step++)
            check_head(&heads[i], step);
}

static void response_head_leaves_the_body_unused(void **state)
{
    (void)state;
    struct str head_bytes = STR("HTTP/1.1 100 x\r\n\r\n" OK_LINE "Content-Length: 5\r\n\r\n");
    struct str bytes =
        STR("HTTP/1.1 100 x\r\n\r\n" OK_LINE "Content-Length: 5\r\n\r\nhi\n\r\n\r\n");
    struct http1_response_head head;
    size_t scanned = 0;
    size_t used = 0;
    assert_int_equal(http1_response_head(bytes, &scanned, &head, &used), HTTP1_RESPONSE_OK);
    assert_int_equal(used, head_bytes.len);
}

static void response_head_gives_the_fields_without_blanks(void **state)
{
    (void)state;
    struct str bytes = STR("HTTP/1.0 200 OK\r\nA:b\r\nC-d: \t e f \t\r\nG:\r\n\r\n");
    struct http1_response_head head;
    size_t scanned = 0;
    size_t used = 0;
    assert_int_equal(http1_response_head(bytes, &scanned, &head, &used), HTTP1_RESPONSE_OK);
    assert_int_equal(head.minor_version, 0);
    assert_int_equal(head.n_fields, 3);
    assert_true(str_eq(head.fields[0].name, STR("A")) && str_eq(head.fields[0].value, STR("b")));
    assert_true(str_eq(head.fields[1].name, STR("C-d")) &&
                str_eq(head.fields[1].value, STR("e f")));
    assert_true(str_eq(head.fields[2].name, STR("G")) && str_eq(head.fields[2].value, STR("")));
}

static void response_head_reads_the_keep_alive_timeout(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint32_t timeout_s;
    } rows[] = {
        {"timeout=5", 5}, {"max=100, Timeout=72", 72},         {"timeout=x, timeout=3", 3},
        {"timeout=", 0},  {"timeout=99999999999", 0},          {"max=5", 0},
        {"", 0},          {"timeout=4294967295", 4294967295U},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char bytes[256];
        int len = snprintf(bytes, sizeof(bytes), OK_LINE "Keep-Alive: %s\r\n\r\n", rows[i].value);
        struct http1_response_head head;
        size_t scanned = 0;
        size_t used = 0;
        assert_int_equal(http1_response_head(str_make(bytes, (size_t)len), &scanned, &head, &used),
                         HTTP1_RESPONSE_OK);
        assert_int_equal(head.keep_alive_timeout_s, rows[i].timeout_s);
    }
}

/* OK_LINE, COUNT times LINE, and the empty line. */
static struct buf repeat(const char *start, size_t count, const char *line, const char *end)
{
    struct buf buf = buf_make(256 * 1024);
    buf_append_cstr(&buf, start);
    for (size_t i = 0; i < count; i++)
        buf_append_cstr(&buf, line);
    buf_append_cstr(&buf, end);
    assert_false(buf_failed(&buf));
    return buf;
}

static enum http1_response_rc rc_of(struct buf buf, size_t step)
{
    struct http1_response_head head;
    size_t used;
    enum http1_response_rc rc = grow(buf_str(&buf), step, &head, &used);
    if (rc == HTTP1_RESPONSE_OK)
        assert_int_equal(used, buf.len);
    buf_free(&buf);
    return rc;
}

static void response_head_has_limits(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 1000, SIZE_MAX};
    size_t room = HTTP1_RESPONSE_MAX_HEAD - strlen(OK_LINE "X:\r\n\r\n");
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        size_t step = steps[i];
        assert_int_equal(rc_of(repeat(OK_LINE, 128, "X: y\r\n", "\r\n"), step), HTTP1_RESPONSE_OK);
        assert_int_equal(rc_of(repeat(OK_LINE, 129, "X: y\r\n", "\r\n"), step),
                         HTTP1_RESPONSE_HEAD_SIZE);
        assert_int_equal(rc_of(repeat(OK_LINE "X:", room, "x", "\r\n\r\n"), step),
                         HTTP1_RESPONSE_OK);
        assert_int_equal(rc_of(repeat(OK_LINE "X:", room + 1, "x", "\r\n\r\n"), step),
                         HTTP1_RESPONSE_HEAD_SIZE);
        assert_int_equal(rc_of(repeat("", 8, "HTTP/1.1 100 x\r\n\r\n", OK_LINE "\r\n"), step),
                         HTTP1_RESPONSE_OK);
        assert_int_equal(rc_of(repeat("", 9, "HTTP/1.1 100 x\r\n\r\n", OK_LINE "\r\n"), step),
                         HTTP1_RESPONSE_INTERIM);
    }
}

static void response_head_waits_for_more_below_the_limit_only(void **state)
{
    (void)state;
    struct buf buf = repeat(OK_LINE "X:", HTTP1_RESPONSE_MAX_HEAD - strlen(OK_LINE "X:"), "x", "");
    struct http1_response_head head;
    size_t scanned = 0;
    size_t used = 1;
    assert_int_equal(
        http1_response_head(str_head(buf_str(&buf), buf.len - 1), &scanned, &head, &used),
        HTTP1_RESPONSE_OK);
    assert_int_equal(used, 0);
    assert_int_equal(http1_response_head(buf_str(&buf), &scanned, &head, &used),
                     HTTP1_RESPONSE_HEAD_SIZE);
    buf_free(&buf);
}

static void response_rc_has_a_name_for_each_fault(void **state)
{
    (void)state;
    for (int rc = HTTP1_RESPONSE_OK; rc <= HTTP1_RESPONSE_TRUNCATED; rc++)
        for (int other = HTTP1_RESPONSE_OK; other < rc; other++)
            assert_string_not_equal(http1_response_rc_name((enum http1_response_rc)rc),
                                    http1_response_rc_name((enum http1_response_rc)other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(response_head_is_read_strictly_at_every_cut),
        cmocka_unit_test(response_head_leaves_the_body_unused),
        cmocka_unit_test(response_head_gives_the_fields_without_blanks),
        cmocka_unit_test(response_head_reads_the_keep_alive_timeout),
        cmocka_unit_test(response_head_has_limits),
        cmocka_unit_test(response_head_waits_for_more_below_the_limit_only),
        cmocka_unit_test(response_rc_has_a_name_for_each_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
