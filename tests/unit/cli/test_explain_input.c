/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/explain_int.h"
#include "support/cmocka_all.h"

#define NOON 1785240000 /* 2026-07-28T12:00:00Z */

static void explain_read_time_takes_rfc3339_and_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } rows[] = {
        {"0", 0},
        {"1785240000", NOON},
        {"253402300799", 253402300799},
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59Z", -1},
        {"2026-07-28T12:00:00Z", NOON},
        {"2026-07-28t12:00:00z", NOON},
        {"2026-07-28T12:00:00.25Z", NOON},
        {"2026-07-28T14:00:00+02:00", NOON},
        {"2026-07-28T06:30:00.999-05:30", NOON},
        {"2024-02-29T00:00:00Z", 1709164800},
        {"9999-12-31T23:59:59Z", 253402300799},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t seconds = -7;
        if (explain_read_time(str_from_cstr(rows[i].text), &seconds) != 0 ||
            seconds != rows[i].seconds)
            fail_msg("%s: %lld", rows[i].text, (long long)seconds);
    }
}

static void explain_read_time_refuses_what_is_no_moment(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "-1",
        "1.5",
        "now",
        "253402300800",
        "99999999999999999999",
        "2026-07-28",
        "2026-07-28T12:00:00",
        "2026-07-28 12:00:00Z",
        "2026-7-28T12:00:00Z",
        "2026-07-28T12:00Z",
        "2026-07-28T12:00:00.Z",
        "2026-07-28T12:00:00Zz",
        "2026-07-28T12:00:00+2:00",
        "2026-07-28T12:00:00+24:00",
        "2026-07-28T12:00:00+02:60",
        "2026-07-28T12:00:00+0200",
        "2026-02-29T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "+026-01-01T00:00:00Z",
        "2026-01-01T00:00:0 Z",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t seconds = -7;
        if (explain_read_time(str_from_cstr(rows[i]), &seconds) != -EINVAL || seconds != -7)
            fail_msg("%s: %lld", rows[i], (long long)seconds);
    }
}

static void explain_append_time_is_read_back(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {NOON, "2026-07-28T12:00:00Z"},         {0, "1970-01-01T00:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"}, {253402300800, "253402300800"},
        {INT64_MAX, "9223372036854775807"},     {-1, "-1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = buf_make(64);
        explain_append_time(rows[i].seconds, &out);
        if (!str_eq(buf_str(&out), str_from_cstr(rows[i].text)))
            fail_msg("%s: %.*s", rows[i].text, STR_ARG(buf_str(&out)));
        buf_free(&out);
    }
}

/* ---- token files ---- */

static char path[] = "/tmp/portcullis-explain-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(struct str content)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.ptr, content.len), content.len);
    (void)close(fd);
}

static void explain_read_token_finds_the_credential(void **state)
{
    (void)state;
    static const struct {
        struct str content;
        int r;
        enum bearer_rc rc;
        struct str token;
    } rows[] = {
        {STR_INIT("abc.def"), 0, BEARER_OK, STR_INIT("abc.def")},
        {STR_INIT("abc.def\n"), 0, BEARER_OK, STR_INIT("abc.def")},
        {STR_INIT("\r\n\t abc.def \r\n\r\n"), 0, BEARER_OK, STR_INIT("abc.def")},
        {STR_INIT("Bearer abc.def"), 0, BEARER_OK, STR_INIT("abc.def")},
        {STR_INIT(" bEARER   abc.def\n"), 0, BEARER_OK, STR_INIT("abc.def")},
        {STR_INIT("x"), 0, BEARER_OK, STR_INIT("x")},
        {STR_INIT("Bearerabc"), 0, BEARER_OK, STR_INIT("Bearerabc")},
        {STR_INIT("Bearer"), 0, BEARER_MALFORMED, {0}},
        {STR_INIT("Bearer a b"), 0, BEARER_MALFORMED, {0}},
        {STR_INIT("a b"), 0, BEARER_MALFORMED, {0}},
        {STR_INIT("a\tb"), 0, BEARER_MALFORMED, {0}},
        {STR_INIT("a,b"), 0, BEARER_MALFORMED, {0}},
        {STR_INIT("\xff"), 0, BEARER_MALFORMED, {0}},
        {STR_INIT(""), -ENODATA, BEARER_OK, {0}},
        {STR_INIT(" \r\n\t"), -ENODATA, BEARER_OK, {0}},
        {STR_INIT("abc\ndef"), -EILSEQ, BEARER_OK, {0}},
        {STR_INIT("Bearer\nabc"), -EILSEQ, BEARER_OK, {0}},
        {STR_INIT("abc\0def"), -EILSEQ, BEARER_OK, {0}},
        {STR_INIT("abc\x7f"), -EILSEQ, BEARER_OK, {0}},
        {STR_INIT("0123456789012345"), 0, BEARER_OK, STR_INIT("0123456789012345")},
        {STR_INIT("01234567890123456"), -EFBIG, BEARER_OK, {0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct explain_credential credential = {0};
        const size_t max = rows[i].r == -EFBIG || rows[i].content.len == 16 ? 16 : 64;
        write_file(rows[i].content);
        int r = explain_read_token(path, max, &credential);
        if (r != rows[i].r)
            fail_msg("%.*s: %d", STR_ARG(rows[i].content), r);
        if (r == 0) {
            assert_int_equal(credential.rc, rows[i].rc);
            assert_true(str_eq(credential.token, rows[i].token));
        }
        explain_credential_wipe(&credential);
        assert_null(credential.value.ptr);
    }
}

static void explain_read_token_says_why_a_file_cannot_be_read(void **state)
{
    (void)state;
    struct explain_credential credential = {0};
    assert_int_equal(explain_read_token("/nonexistent/token", 64, &credential), -ENOENT);
    explain_credential_wipe(&credential);
    assert_int_equal(explain_read_token("/", 64, &credential), -EISDIR);
    explain_credential_wipe(&credential);
}

/* A shell's <(command) is a pipe, and comes in pieces. */
static void explain_read_file_reads_a_pipe_to_its_end(void **state)
{
    (void)state;
    int fds[2];
    char name[32];
    struct buf out = buf_make(64);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "abc", 3), 3);
    (void)close(fds[1]);
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[0]);
    assert_int_equal(explain_read_file(name, 3, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("abc")));
    (void)close(fds[0]);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explain_read_time_takes_rfc3339_and_seconds),
        cmocka_unit_test(explain_read_time_refuses_what_is_no_moment),
        cmocka_unit_test(explain_append_time_is_read_back),
        cmocka_unit_test(explain_read_token_finds_the_credential),
        cmocka_unit_test(explain_read_token_says_why_a_file_cannot_be_read),
        cmocka_unit_test(explain_read_file_reads_a_pipe_to_its_end),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
