/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define ABSENT  \
    {           \
        NULL, 0 \
    }

static void str_knows_absent_from_empty(void **state)
{
    (void)state;
    assert_false(str_is_set((struct str){0}));
    assert_false(str_is_set(str_from_cstr(NULL)));
    assert_true(str_is_set(STR("")));
    assert_true(str_is_set(str_from_cstr("")));
    assert_int_equal(STR("a\0b").len, 3);
    assert_true(str_eq(STR(""), (struct str){0}));
}

static void str_eq_compares_bytes_and_nocase_only_folds_ascii(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str a;
        struct str b;
        bool eq;
        bool eq_nocase;
    } rows[] = {
        {"equal", STR_INIT("abc"), STR_INIT("abc"), true, true},
        {"case", STR_INIT("aBc"), STR_INIT("AbC"), false, true},
        {"shorter", STR_INIT("ab"), STR_INIT("abc"), false, false},
        {"last byte", STR_INIT("abd"), STR_INIT("abc"), false, false},
        {"both empty", STR_INIT(""), STR_INIT(""), true, true},
        {"a NUL does not end it", STR_INIT("a\0b"), STR_INIT("a\0c"), false, false},
        {"'@' and '`' differ by the case bit", STR_INIT("@"), STR_INIT("`"), false, false},
        {"'[' and '{' differ by the case bit", STR_INIT("["), STR_INIT("{"), false, false},
        {"Latin-1 letters are no letters", STR_INIT("\xc9"), STR_INIT("\xe9"), false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(rows[i].a, rows[i].b) != rows[i].eq ||
            str_eq_nocase(rows[i].a, rows[i].b) != rows[i].eq_nocase)
            fail_msg("%s", rows[i].why);
}

static void str_prefix_and_suffix(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str s;
        struct str part;
        bool prefix;
        bool prefix_nocase;
        bool suffix;
    } rows[] = {
        {"at the beginning", STR_INIT("abcd"), STR_INIT("ab"), true, true, false},
        {"at the end", STR_INIT("abcd"), STR_INIT("cd"), false, false, true},
        {"whole", STR_INIT("ab"), STR_INIT("ab"), true, true, true},
        {"longer than the whole", STR_INIT("ab"), STR_INIT("abc"), false, false, false},
        {"empty part", STR_INIT("ab"), STR_INIT(""), true, true, true},
        {"other case", STR_INIT("ABcd"), STR_INIT("ab"), false, true, false},
        {"in an absent string", ABSENT, STR_INIT("a"), false, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_has_prefix(rows[i].s, rows[i].part) != rows[i].prefix ||
            str_has_prefix_nocase(rows[i].s, rows[i].part) != rows[i].prefix_nocase ||
            str_has_suffix(rows[i].s, rows[i].part) != rows[i].suffix)
            fail_msg("%s", rows[i].why);
}

static void str_from_and_head_never_leave_the_string(void **state)
{
    (void)state;
    struct str s = STR("abc");
    assert_true(str_eq(str_from(s, 1), STR("bc")));
    assert_true(str_eq(str_from(s, 3), STR("")));
    assert_true(str_is_set(str_from(s, 3)));
    assert_ptr_equal(str_from(s, SIZE_MAX).ptr, s.ptr + 3);
    assert_int_equal(str_from(s, SIZE_MAX).len, 0);
    assert_false(str_is_set(str_from((struct str){0}, 1)));
    assert_true(str_eq(str_head(s, 2), STR("ab")));
    assert_true(str_eq(str_head(s, SIZE_MAX), s));
    assert_int_equal(str_head(s, 0).len, 0);
}

static void str_trim_removes_space_and_tab_only(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str s;
        struct str trimmed;
    } rows[] = {
        {"both ends", STR_INIT(" \t a b\t "), STR_INIT("a b")},
        {"nothing to do", STR_INIT("a"), STR_INIT("a")},
        {"blanks only", STR_INIT(" \t "), STR_INIT("")},
        {"a line end is no blank", STR_INIT(" a\r\n"), STR_INIT("a\r\n")},
        {"a NUL is no blank", STR_INIT("\0 "), STR_INIT("\0")},
        {"empty", STR_INIT(""), STR_INIT("")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!str_eq(str_trim(rows[i].s), rows[i].trimmed))
            fail_msg("%s", rows[i].why);
    assert_false(str_is_set(str_trim((struct str){0})));
}

static void str_find_char_gives_the_first_or_minus_one(void **state)
{
    (void)state;
    assert_int_equal(str_find_char(STR("abab"), 'b'), 1);
    assert_int_equal(str_find_char(STR("abab"), 'c'), -1);
    assert_int_equal(str_find_char(STR("a\0b"), 'b'), 2);
    assert_int_equal(str_find_char(STR(""), 'a'), -1);
    assert_int_equal(str_find_char((struct str){0}, 'a'), -1);
    /* The byte behind the view does not belong to it. */
    assert_int_equal(str_find_char(str_head(STR("ab"), 1), 'b'), -1);
}

static void str_split_gives_every_part_once(void **state)
{
    (void)state;
    static const struct {
        struct str whole;
        struct str parts[4];
        size_t n;
    } rows[] = {
        {STR_INIT("a,b"), {STR_INIT("a"), STR_INIT("b")}, 2},
        {STR_INIT("a,"), {STR_INIT("a"), STR_INIT("")}, 2},
        {STR_INIT(",a"), {STR_INIT(""), STR_INIT("a")}, 2},
        {STR_INIT(",,"), {STR_INIT(""), STR_INIT(""), STR_INIT("")}, 3},
        {STR_INIT("a"), {STR_INIT("a")}, 1},
        {STR_INIT(""), {STR_INIT("")}, 1},
        {ABSENT, {ABSENT}, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str rest = rows[i].whole;
        struct str part;
        size_t n = 0;
        while (str_split(&rest, ',', &part)) {
            assert_true(n < rows[i].n);
            assert_true(str_eq(part, rows[i].parts[n++]));
        }
        assert_int_equal(n, rows[i].n);
        assert_false(str_is_set(rest));
    }
}

static void str_to_u64_takes_digits_up_to_the_maximum(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str s;
        uint64_t max;
        int r;
        uint64_t value;
    } rows[] = {
        {"zero", STR_INIT("0"), 10, 0, 0},
        {"leading zeros", STR_INIT("0000000000000000000000000000007"), 10, 0, 7},
        {"at the maximum", STR_INIT("65535"), 65535, 0, 65535},
        {"one past it", STR_INIT("65536"), 65535, -ERANGE, 0},
        {"2^64 - 1", STR_INIT("18446744073709551615"), UINT64_MAX, 0, UINT64_MAX},
        {"2^64", STR_INIT("18446744073709551616"), UINT64_MAX, -ERANGE, 0},
        {"2^64 + 10 wraps to 10", STR_INIT("18446744073709551626"), UINT64_MAX, -ERANGE, 0},
        {"empty", STR_INIT(""), 10, -EINVAL, 0},
        {"absent", ABSENT, 10, -EINVAL, 0},
        {"sign", STR_INIT("+1"), 10, -EINVAL, 0},
        {"minus", STR_INIT("-1"), 10, -EINVAL, 0},
        {"blank before", STR_INIT(" 1"), 10, -EINVAL, 0},
        {"blank behind", STR_INIT("1 "), 10, -EINVAL, 0},
        {"hexadecimal", STR_INIT("0x1"), 10, -EINVAL, 0},
        {"NUL behind", STR_INIT("1\0"), 10, -EINVAL, 0},
        {"fraction", STR_INIT("1.0"), 10, -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t value = 4711;
        int r = str_to_u64(rows[i].s, rows[i].max, &value);
        if (r != rows[i].r || value != (r == 0 ? rows[i].value : 4711))
            fail_msg("%s: %d", rows[i].why, r);
    }
}

static void str_to_cstr_copies_and_terminates(void **state)
{
    (void)state;
    char *copy = str_to_cstr(str_head(STR("abc"), 2));
    assert_string_equal(copy, "ab");
    free(copy);
    copy = str_to_cstr((struct str){0});
    assert_string_equal(copy, "");
    free(copy);
    assert_true(str_has_nul(STR("a\0")));
    assert_false(str_has_nul(STR("a")));
    assert_true(str_has_control(STR("a\x1f")));
    assert_true(str_has_control(STR("a\x7f")));
    assert_true(str_has_control(STR("\0")));
    assert_false(str_has_control(STR(" ~\x80\xff")));
    assert_false(str_has_control(STR("")));
}

static void str_distance_counts_edits(void **state)
{
    (void)state;
    static const char long_name[65] =
        "a name of 65 bytes, one more than are compared; xxxxxxxxxxxxxxxx";
    static const struct {
        const char *why;
        struct str a;
        struct str b;
        size_t distance;
    } rows[] = {
        {"equal", STR_INIT("upstream"), STR_INIT("upstream"), 0},
        {"insert", STR_INIT("isuers"), STR_INIT("issuers"), 1},
        {"delete", STR_INIT("issuuers"), STR_INIT("issuers"), 1},
        {"replace", STR_INIT("issaers"), STR_INIT("issuers"), 1},
        {"two neighbours swapped", STR_INIT("isseurs"), STR_INIT("issuers"), 2},
        {"from nothing", STR_INIT(""), STR_INIT("abc"), 3},
        {"kitten", STR_INIT("kitten"), STR_INIT("sitting"), 3},
        {"more than the maximum", STR_INIT("abcdef"), STR_INIT("uvwxyz"), 5},
        {"longer than anything we name", {long_name, 65}, {long_name, 65}, 5},
        {"the longest", {long_name, 64}, {long_name, 64}, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_distance(rows[i].a, rows[i].b, 4) != rows[i].distance ||
            str_distance(rows[i].b, rows[i].a, 4) != rows[i].distance)
            fail_msg("%s: %zu", rows[i].why, str_distance(rows[i].a, rows[i].b, 4));
}

/* Unicode table 3-7, its borders and one past each. */
static void str_is_utf8_follows_rfc_3629(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str s;
        bool good;
    } rows[] = {
        {"empty", STR_INIT(""), true},
        {"ASCII with a NUL", STR_INIT("a\0\x7f"), true},
        {"U+0080", STR_INIT("\xc2\x80"), true},
        {"U+07FF", STR_INIT("\xdf\xbf"), true},
        {"U+0800", STR_INIT("\xe0\xa0\x80"), true},
        {"U+D7FF", STR_INIT("\xed\x9f\xbf"), true},
        {"U+E000", STR_INIT("\xee\x80\x80"), true},
        {"U+FFFF", STR_INIT("\xef\xbf\xbf"), true},
        {"U+10000", STR_INIT("\xf0\x90\x80\x80"), true},
        {"U+10FFFF", STR_INIT("\xf4\x8f\xbf\xbf"), true},
        {"continuation alone", STR_INIT("\x80"), false},
        {"overlong slash, two bytes", STR_INIT("\xc0\xaf"), false},
        {"overlong, 0xc1", STR_INIT("\xc1\xbf"), false},
        {"overlong, three bytes", STR_INIT("\xe0\x9f\xbf"), false},
        {"overlong, four bytes", STR_INIT("\xf0\x8f\xbf\xbf"), false},
        {"surrogate U+D800", STR_INIT("\xed\xa0\x80"), false},
        {"surrogate U+DFFF", STR_INIT("\xed\xbf\xbf"), false},
        {"U+110000", STR_INIT("\xf4\x90\x80\x80"), false},
        {"0xf5", STR_INIT("\xf5\x80\x80\x80"), false},
        {"0xff", STR_INIT("\xff"), false},
        {"cut after the first byte", STR_INIT("a\xc3"), false},
        {"cut after the second", STR_INIT("\xe2\x82"), false},
        {"cut after the third", STR_INIT("\xf0\x9f\x98"), false},
        {"no continuation second", STR_INIT("\xc3("), false},
        {"no continuation third", STR_INIT("\xe2\x82("), false},
        {"no continuation fourth", STR_INIT("\xf0\x9f\x98("), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_is_utf8(rows[i].s) != rows[i].good)
            fail_msg("%s", rows[i].why);
}

/* The rule spelled out: byte by byte, only letters fold. */
static bool is_same_letter(char a, char b)
{
    return a == b || (ascii_is_alpha(a) && ascii_is_alpha(b) && (a | 0x20) == (b | 0x20));
}

static void str_eq_nocase_compares_every_byte_at_every_place(void **state)
{
    (void)state;
    char a[19];
    char b[19];
    for (size_t len = 1; len <= sizeof(a); len++) {
        for (size_t at = 0; at < len; at++) {
            /* Neighbours from which a carry could come. */
            memset(a, at % 2 == 0 ? 0xff : '@', sizeof(a));
            memcpy(b, a, sizeof(a));
            for (int x = 0; x < 256; x++) {
                a[at] = (char)x;
                for (int y = len > 9 ? x & 0x5f : 0; y<256; y += len> 9 ? 0x20 : 1) {
                    b[at] = (char)y;
                    if (str_eq_nocase(str_make(a, len), str_make(b, len)) !=
                        is_same_letter(a[at], b[at]))
                        fail_msg("0x%02x and 0x%02x at %zu of %zu", (unsigned)x, (unsigned)y, at,
                                 len);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(str_knows_absent_from_empty),
        cmocka_unit_test(str_eq_compares_bytes_and_nocase_only_folds_ascii),
        cmocka_unit_test(str_prefix_and_suffix),
        cmocka_unit_test(str_from_and_head_never_leave_the_string),
        cmocka_unit_test(str_trim_removes_space_and_tab_only),
        cmocka_unit_test(str_find_char_gives_the_first_or_minus_one),
        cmocka_unit_test(str_split_gives_every_part_once),
        cmocka_unit_test(str_to_u64_takes_digits_up_to_the_maximum),
        cmocka_unit_test(str_to_cstr_copies_and_terminates),
        cmocka_unit_test(str_distance_counts_edits),
        cmocka_unit_test(str_is_utf8_follows_rfc_3629),
        cmocka_unit_test(str_eq_nocase_compares_every_byte_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
