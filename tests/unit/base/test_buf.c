/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "support/cmocka_all.h"

static void buf_takes_up_to_its_ceiling_and_nothing_of_what_is_more(void **state)
{
    (void)state;
    struct buf buf = buf_make(8);
    assert_null(buf.ptr);
    assert_int_equal(buf_append(&buf, STR("12345")), 0);
    assert_int_equal(buf_append(&buf, STR("6789")), -EMSGSIZE);
    assert_true(str_eq(buf_str(&buf), STR("12345")));
    assert_true(buf_failed(&buf));
    /* The ceiling itself is still allowed, and the fault stays to be seen. */
    assert_int_equal(buf_append(&buf, STR("678")), 0);
    assert_true(str_eq(buf_str(&buf), STR("12345678")));
    assert_true(buf_failed(&buf));
    assert_int_equal(buf_append_char(&buf, '9'), -EMSGSIZE);
    assert_int_equal(buf.fault, -EMSGSIZE);
    buf_free(&buf);
}

static void buf_remembers_the_first_refusal_of_a_chain(void **state)
{
    (void)state;
    struct buf buf = buf_make(4);
    (void)buf_append_cstr(&buf, "ab");
    (void)buf_append_cstr(&buf, "too long");
    (void)buf_append_char(&buf, 'c');
    assert_true(buf_failed(&buf));
    buf_clear(&buf);
    assert_false(buf_failed(&buf));
    assert_int_equal(buf.len, 0);
    assert_non_null(buf.ptr);
    buf_free(&buf);
    assert_int_equal(buf.max, 4);
    assert_int_equal(buf_append_cstr(&buf, "abcd"), 0);
    buf_free(&buf);
}

static void buf_append_of_nothing_is_nothing(void **state)
{
    (void)state;
    struct buf buf = buf_make(0);
    assert_int_equal(buf_append(&buf, (struct str){0}), 0);
    assert_int_equal(buf_append(&buf, STR("")), 0);
    assert_false(buf_failed(&buf));
    assert_non_null(buf_str(&buf).ptr);
    assert_int_equal(buf_append_char(&buf, 'x'), -EMSGSIZE);
    buf_free(&buf);
}

static void buf_grows_byte_by_byte_to_any_size(void **state)
{
    (void)state;
    struct buf buf = buf_make(100000);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(buf_append_char(&buf, (char)('a' + i % 26)), 0);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(buf.ptr[i], 'a' + i % 26);
    assert_true(buf.cap <= 100000);
    assert_int_equal(buf_append_char(&buf, 'x'), -EMSGSIZE);
    buf_free(&buf);
}

static void buf_reserve_refuses_sizes_that_would_wrap(void **state)
{
    (void)state;
    struct buf buf = buf_make(16);
    (void)buf_append_char(&buf, 'a');
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), -EMSGSIZE);
    buf_clear(&buf);
    assert_int_equal(buf_reserve(&buf, 16), 0);
    assert_int_equal(buf.len, 0);
    assert_true(buf.cap >= 16);
    buf_free(&buf);
}

static void buf_append_u64_writes_decimal(void **state)
{
    (void)state;
    struct buf buf = buf_make(64);
    (void)buf_append_u64(&buf, 0);
    (void)buf_append_char(&buf, ' ');
    (void)buf_append_u64(&buf, 1090);
    (void)buf_append_char(&buf, ' ');
    (void)buf_append_u64(&buf, UINT64_MAX);
    assert_true(str_eq(buf_str(&buf), STR("0 1090 18446744073709551615")));
    buf_free(&buf);
}

static void buf_printf_fills_the_ceiling_and_refuses_one_more(void **state)
{
    (void)state;
    struct buf buf = buf_make(6);
    assert_int_equal(buf_printf(&buf, "%d-%s", 12, "abc"), 0);
    assert_true(str_eq(buf_str(&buf), STR("12-abc")));
    buf_clear(&buf);
    assert_int_equal(buf_printf(&buf, "%d-%s", 12, "abcd"), -EMSGSIZE);
    assert_int_equal(buf.len, 0);
    buf_free(&buf);
}

static void buf_append_json_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str in;
        struct str out;
    } rows[] = {
        {"plain", STR_INIT("abc /'<>"), STR_INIT("abc /'<>")},
        {"quote and backslash", STR_INIT("a\"b\\"), STR_INIT("a\\\"b\\\\")},
        {"line ends and tab", STR_INIT("\r\n\t"), STR_INIT("\\r\\n\\t")},
        {"NUL", STR_INIT("a\0b"), STR_INIT("a\\u0000b")},
        {"escape and DEL", STR_INIT("\x1b\x7f"), STR_INIT("\\u001b\\u007f")},
        {"UTF-8 of two, three, four bytes", STR_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
         STR_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")},
        {"no UTF-8",
         STR_INIT("a\xff"
                  "b"),
         STR_INIT("a\\ufffdb")},
        {"surrogate", STR_INIT("\xed\xa0\x80"), STR_INIT("\\ufffd\\ufffd\\ufffd")},
        {"cut at the end", STR_INIT("\xe2\x82"), STR_INIT("\\ufffd\\ufffd")},
        {"overlong quote", STR_INIT("\xc0\xa2"), STR_INIT("\\ufffd\\ufffd")},
        {"empty", STR_INIT(""), STR_INIT("")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf buf = buf_make(256);
        assert_int_equal(buf_append_json(&buf, rows[i].in), 0);
        if (!str_eq(buf_str(&buf), rows[i].out))
            fail_msg("%s: %.*s", rows[i].why, STR_ARG(buf_str(&buf)));
        buf_free(&buf);
    }
    struct buf small = buf_make(5);
    assert_int_equal(buf_append_json(&small, STR("\x01")), -EMSGSIZE);
    buf_free(&small);
}

static void buf_consume_removes_from_the_beginning(void **state)
{
    (void)state;
    struct buf buf = buf_make(16);
    buf_consume(&buf, 3);
    (void)buf_append_cstr(&buf, "abcdef");
    buf_consume(&buf, 0);
    buf_consume(&buf, 2);
    assert_true(str_eq(buf_str(&buf), STR("cdef")));
    (void)buf_append_cstr(&buf, "gh");
    assert_true(str_eq(buf_str(&buf), STR("cdefgh")));
    buf_consume(&buf, 100);
    assert_int_equal(buf.len, 0);
    buf_free(&buf);
}

/* The rule for one byte that is no part of a longer character. */
static void append_byte_as_json(struct buf *out, unsigned char byte)
{
    if (byte == '"' || byte == '\\')
        (void)buf_printf(out, "\\%c", byte);
    else if (byte == '\n' || byte == '\r' || byte == '\t')
        (void)buf_printf(out, "\\%c", byte == '\n' ? 'n' : byte == '\r' ? 'r' : 't');
    else if (byte < 0x20 || byte == 0x7f)
        (void)buf_printf(out, "\\u%04x", byte);
    else if (byte >= 0x80)
        (void)buf_append(out, STR("\\ufffd"));
    else
        (void)buf_append_char(out, (char)byte);
}

static void buf_append_json_escapes_every_byte_at_every_place(void **state)
{
    (void)state;
    struct buf expected = buf_make(256);
    struct buf buf = buf_make(256);
    char bytes[21];
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < sizeof(bytes); at++) {
            memset(bytes, ' ', sizeof(bytes));
            bytes[at] = (char)byte;
            buf_clear(&buf);
            buf_clear(&expected);
            for (size_t i = 0; i < sizeof(bytes); i++)
                append_byte_as_json(&expected, (unsigned char)bytes[i]);
            assert_int_equal(buf_append_json(&buf, str_make(bytes, sizeof(bytes))), 0);
            if (!str_eq(buf_str(&buf), buf_str(&expected)))
                fail_msg("0x%02x at %zu: %.*s", (unsigned)byte, at, STR_ARG(buf_str(&buf)));
        }
    }
    buf_free(&buf);
    buf_free(&expected);
}

/* What a terminating NUL took is no room for content. */
static void buf_printf_leaves_the_ceiling_where_it_is(void **state)
{
    (void)state;
    struct buf buf = buf_make(6);
    assert_int_equal(buf_printf(&buf, "%s", "abcdef"), 0);
    assert_int_equal(buf_append_char(&buf, 'g'), -EMSGSIZE);
    assert_true(str_eq(buf_str(&buf), STR("abcdef")));
    buf_clear(&buf);
    assert_int_equal(buf_printf(&buf, "%s", "ghijkl"), 0);
    assert_int_equal(buf_append(&buf, STR("m")), -EMSGSIZE);
    assert_true(str_eq(buf_str(&buf), STR("ghijkl")));
    buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_takes_up_to_its_ceiling_and_nothing_of_what_is_more),
        cmocka_unit_test(buf_remembers_the_first_refusal_of_a_chain),
        cmocka_unit_test(buf_append_of_nothing_is_nothing),
        cmocka_unit_test(buf_grows_byte_by_byte_to_any_size),
        cmocka_unit_test(buf_reserve_refuses_sizes_that_would_wrap),
        cmocka_unit_test(buf_append_u64_writes_decimal),
        cmocka_unit_test(buf_printf_fills_the_ceiling_and_refuses_one_more),
        cmocka_unit_test(buf_append_json_escapes),
        cmocka_unit_test(buf_consume_removes_from_the_beginning),
        cmocka_unit_test(buf_append_json_escapes_every_byte_at_every_place),
        cmocka_unit_test(buf_printf_leaves_the_ceiling_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
