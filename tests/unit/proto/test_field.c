/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/field.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

static void field_lookup_finds_every_name_of_the_table_in_any_case(void **state)
{
    (void)state;
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_ACCESS_CONTROL_OTHER; id++) {
        struct str name = field_name((enum field_id)id);
        char upper[64];
        char under[64];
        for (size_t i = 0; i < name.len; i++) {
            char c = name.ptr[i];
            upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c;
            under[i] = c == '-' ? '_' : upper[i];
        }
        assert_int_equal(field_lookup(name), id);
        assert_int_equal(field_lookup(str_make(upper, name.len)), id);
        assert_int_equal(field_lookup_folded(str_make(under, name.len)), id);
        if (str_find_char(name, '-') >= 0)
            assert_int_equal(field_lookup(str_make(under, name.len)), FIELD_OTHER);
    }
}

static void field_table_is_ordered_by_length_as_the_lookup_needs_it(void **state)
{
    (void)state;
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_ACCESS_CONTROL_OTHER; id++)
        assert_true(field_name((enum field_id)(id - 1)).len <= field_name((enum field_id)id).len);
}

static const struct {
    const char *why;
    struct str name;
    enum field_id id;
    enum field_id folded;
} lookups[] = {
    {"unknown", STR_INIT("x-custom"), FIELD_OTHER, FIELD_OTHER},
    {"empty", STR_INIT(""), FIELD_OTHER, FIELD_OTHER},
    {"of a known length", STR_INIT("hosu"), FIELD_OTHER, FIELD_OTHER},
    {"longer than all", STR_INIT("access-control-request-headers-and-more-of-it"),
     FIELD_ACCESS_CONTROL_OTHER, FIELD_ACCESS_CONTROL_OTHER},
    {"a known name with more behind it", STR_INIT("hostname"), FIELD_OTHER, FIELD_OTHER},
    {"CORS family", STR_INIT("Access-Control-Allow-Origin"), FIELD_ACCESS_CONTROL_OTHER,
     FIELD_ACCESS_CONTROL_OTHER},
    {"family, folded", STR_INIT("Access_Control_Allow_Origin"), FIELD_OTHER,
     FIELD_ACCESS_CONTROL_OTHER},
    {"forwarded family", STR_INIT("X-Forwarded-Ssl"), FIELD_X_FORWARDED_OTHER,
     FIELD_X_FORWARDED_OTHER},
    {"nginx family", STR_INIT("X-Accel-Redirect"), FIELD_X_ACCEL_OTHER, FIELD_X_ACCEL_OTHER},
    {"prefix of a family only", STR_INIT("x-accel"), FIELD_OTHER, FIELD_OTHER},
    {"mixed spelling", STR_INIT("X_Forwarded-FOR"), FIELD_OTHER, FIELD_X_FORWARDED_FOR},
    {"CGI's Proxy", STR_INIT("Proxy"), FIELD_PROXY, FIELD_PROXY},
};

static void field_lookup_knows_families_and_strangers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lookups); i++)
        if (field_lookup(lookups[i].name) != lookups[i].id ||
            field_lookup_folded(lookups[i].name) != lookups[i].folded)
            fail_msg("%s", lookups[i].why);
    assert_int_equal(field_lookup((struct str){0}), FIELD_OTHER);
}

#define BOTH (FIELD_REQUEST_STRIP | FIELD_RESPONSE_STRIP)

static const struct {
    struct str name;
    unsigned set;
    unsigned clear;
} flags[] = {
    {STR_INIT("authorization"), FIELD_REQUEST_STRIP, FIELD_RESPONSE_STRIP | FIELD_SINGLE},
    {STR_INIT("cookie"), FIELD_REQUEST_STRIP, FIELD_RESPONSE_STRIP},
    {STR_INIT("connection"), FIELD_HOP_BY_HOP | BOTH, FIELD_SINGLE},
    {STR_INIT("keep-alive"), FIELD_HOP_BY_HOP | BOTH, 0},
    {STR_INIT("proxy-connection"), FIELD_HOP_BY_HOP | BOTH, 0},
    {STR_INIT("proxy-authorization"), FIELD_HOP_BY_HOP | BOTH, 0},
    {STR_INIT("proxy-authenticate"), FIELD_HOP_BY_HOP | BOTH, 0},
    {STR_INIT("te"), FIELD_HOP_BY_HOP | BOTH, 0},
    {STR_INIT("trailer"), FIELD_HOP_BY_HOP | BOTH, 0},
    {STR_INIT("upgrade"), FIELD_HOP_BY_HOP | BOTH, 0},
    {STR_INIT("transfer-encoding"), FIELD_HOP_BY_HOP | BOTH | FIELD_SINGLE, 0},
    {STR_INIT("content-length"), BOTH | FIELD_SINGLE, FIELD_HOP_BY_HOP},
    {STR_INIT("host"), FIELD_REQUEST_STRIP | FIELD_SINGLE, 0},
    {STR_INIT("date"), FIELD_RESPONSE_STRIP, FIELD_REQUEST_STRIP},
    {STR_INIT("access-control-allow-origin"), FIELD_RESPONSE_STRIP, FIELD_REQUEST_STRIP},
    {STR_INIT("x-forwarded-for"), FIELD_REQUEST_STRIP, FIELD_RESPONSE_STRIP},
    {STR_INIT("x-forwarded-anything"), FIELD_REQUEST_STRIP, FIELD_RESPONSE_STRIP},
    {STR_INIT("x-real-ip"), FIELD_REQUEST_STRIP, 0},
    {STR_INIT("x-original-url"), FIELD_REQUEST_STRIP, 0},
    {STR_INIT("x-http-method-override"), FIELD_REQUEST_STRIP, 0},
    {STR_INIT("forwarded"), FIELD_REQUEST_STRIP, 0},
    {STR_INIT("x-request-id"), FIELD_REQUEST_STRIP, FIELD_RESPONSE_STRIP},
    {STR_INIT("mcp-session-id"), FIELD_SINGLE, BOTH},
    {STR_INIT("mcp-protocol-version"), FIELD_MIRROR, BOTH | FIELD_SINGLE},
    {STR_INIT("traceparent"), 0, BOTH | FIELD_SINGLE},
    {STR_INIT("content-type"), FIELD_SINGLE, BOTH},
    {STR_INIT("www-authenticate"), 0, BOTH},
    {STR_INIT("x-custom"), 0, ~0U},
};

static void field_flags_say_what_passes_a_proxy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        unsigned have = field_flags(field_lookup(flags[i].name));
        if ((have & flags[i].set) != flags[i].set || (have & flags[i].clear) != 0)
            fail_msg("%.*s has flags 0x%x", STR_ARG(flags[i].name), have);
    }
}

static void field_names_are_tokens(void **state)
{
    (void)state;
    assert_true(field_is_name(STR("X-Custom_1")));
    assert_true(field_is_name(STR("!#$%&'*+-.^_`|~")));
    assert_false(field_is_name(STR("")));
    assert_false(field_is_name((struct str){0}));
    assert_false(field_is_name(STR("X Y")));
    assert_false(field_is_name(STR("X:")));
    assert_false(field_is_name(STR("X\x80")));
    assert_false(field_is_name(STR("X\0")));
}

static void field_values_have_no_controls_and_no_blanks_at_the_ends(void **state)
{
    (void)state;
    assert_true(field_is_value(STR("")));
    assert_true(field_is_value(STR("a b\tc")));
    assert_true(field_is_value(STR("\xc3\xa9")));
    assert_false(field_is_value(STR(" a")));
    assert_false(field_is_value(STR("a\t")));
    assert_false(field_is_value(STR("a\r\nX: y")));
    assert_false(field_is_value(STR("a\0")));
    assert_false(field_is_value(STR("a\x7f")));
}

static void field_fold_eq_ignores_case_and_reads_underscores_as_dashes(void **state)
{
    (void)state;
    assert_true(field_fold_eq(STR("X-Auth-Sub"), STR("x_auth-SUB")));
    assert_true(field_fold_eq(STR(""), STR("")));
    assert_false(field_fold_eq(STR("X-Auth-Sub"), STR("X-AuthSub")));
    assert_false(field_fold_eq(STR("a"), STR("ab")));
    assert_false(field_fold_eq(STR("a-"), STR("a.")));
}

static void field_list_gives_members_and_skips_empty_ones(void **state)
{
    (void)state;
    struct str rest = STR(" , close,\tX-A ,,keep-alive, ");
    struct str member;
    assert_true(field_list_next(&rest, &member) && str_eq(member, STR("close")));
    assert_true(field_list_next(&rest, &member) && str_eq(member, STR("X-A")));
    assert_true(field_list_next(&rest, &member) && str_eq(member, STR("keep-alive")));
    assert_false(field_list_next(&rest, &member));
    assert_false(field_list_next(&rest, &member));
    assert_true(field_list_has(STR("Keep-Alive, CLOSE"), STR("close")));
    assert_false(field_list_has(STR("closed, close=1"), STR("close")));
    assert_false(field_list_has((struct str){0}, STR("close")));
}

static void field_media_type_ignores_parameters_and_case(void **state)
{
    (void)state;
    struct str type = STR("application/json");
    assert_true(field_media_type_is(STR("application/json"), type));
    assert_true(field_media_type_is(STR(" Application/JSON ; charset=utf-8"), type));
    assert_true(field_media_type_is(STR("application/json;"), type));
    assert_false(field_media_type_is(STR("application/jsonp"), type));
    assert_false(field_media_type_is(STR("application/json, text/plain"), type));
    assert_false(field_media_type_is(STR("text/plain; a=application/json"), type));
    assert_false(field_media_type_is(STR(""), type));
    assert_false(field_media_type_is((struct str){0}, type));
}

/* What servers decode by the charset says something else than what was inspected. */
static void field_is_json_type_takes_utf_8_only(void **state)
{
    (void)state;
    static const struct str good[] = {
        STR_INIT("application/json"),
        STR_INIT(" Application/JSON ; Charset=UTF-8"),
        STR_INIT("application/json;charset=\"utf-8\";"),
    };
    static const struct str bad[] = {
        STR_INIT("application/json; charset=utf-7"),
        STR_INIT("application/json; charset=utf-16le"),
        STR_INIT("application/json; charset=utf-8; charset=utf-7"),
        STR_INIT("application/json; charset=utf-7; charset=utf-8"),
        STR_INIT("application/json; a=\";charset=utf-8\"; charset=utf-7"),
        STR_INIT("application/json; charset=\"utf-8"),
        STR_INIT("application/json; charset = utf-7"),
        STR_INIT("application/json; version=1"),
        STR_INIT("application/json, text/plain"),
        STR_INIT("text/plain; charset=utf-8"),
        STR_INIT(""),
        {0},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(field_is_json_type(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (field_is_json_type(bad[i]))
            fail_msg("%.*s", STR_ARG(bad[i]));
}

static const struct {
    const char *why;
    struct str value;
    int result;
    struct str appended;
} appends[] = {
    {"plain", STR_INIT("auth0|abc-1"), 0, STR_INIT("auth0|abc-1")},
    {"empty", STR_INIT(""), 0, STR_INIT("")},
    {"inner spaces stay", STR_INIT("a b  c"), 0, STR_INIT("a b  c")},
    {"outer spaces would be trimmed", STR_INIT(" a "), 0, STR_INIT("%20a%20")},
    {"one space", STR_INIT(" "), 0, STR_INIT("%20")},
    {"not ASCII", STR_INIT("Zo\xc3\xab"), 0, STR_INIT("Zo%C3%AB")},
    {"not even UTF-8", STR_INIT("\xff"), 0, STR_INIT("%FF")},
    {"what only looks encoded", STR_INIT("Zo%C3%AB"), 0, STR_INIT("Zo%25C3%25AB")},
    {"a lone percent", STR_INIT("100%"), 0, STR_INIT("100%25")},
    {"separators stay", STR_INIT("a,b;c=\"d\"~"), 0, STR_INIT("a,b;c=\"d\"~")},
    {"CRLF", STR_INIT("a\r\nX-Admin: 1"), -EINVAL, STR_INIT("")},
    {"LF", STR_INIT("a\n"), -EINVAL, STR_INIT("")},
    {"NUL", STR_INIT("a\0b"), -EINVAL, STR_INIT("")},
    {"HTAB", STR_INIT("a\tb"), -EINVAL, STR_INIT("")},
    {"DEL", STR_INIT("a\x7f"), -EINVAL, STR_INIT("")},
    {"past the ceiling", STR_INIT("0123456789012345678901234567890123456789"), -EMSGSIZE,
     STR_INIT("01234567890123456789012345678901")},
};

static void field_append_value_refuses_controls_and_encodes_the_rest(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(appends); i++) {
        struct buf buf = buf_make(32);
        int result = field_append_value(&buf, appends[i].value);
        if (result != appends[i].result || !str_eq(buf_str(&buf), appends[i].appended))
            fail_msg("%s: %d, \"%.*s\"", appends[i].why, result, STR_ARG(buf_str(&buf)));
        buf_free(&buf);
    }
}

static char fold(char c)
{
    return c == '_' ? '-' : ascii_lower(c);
}

static void field_fold_eq_compares_every_byte_at_every_place(void **state)
{
    (void)state;
    char a[17];
    char b[17];
    for (size_t len = 1; len <= sizeof(a); len++) {
        for (size_t at = 0; at < len; at++) {
            memset(a, at % 2 == 0 ? 0xff : '_', sizeof(a));
            memcpy(b, a, sizeof(a));
            for (int x = 0; x < 256; x++) {
                a[at] = (char)x;
                for (int y = 0; y<256; y += len> 9 ? 1 + (x + y) % 7 : 1) {
                    b[at] = (char)y;
                    if (field_fold_eq(str_make(a, len), str_make(b, len)) !=
                        (fold(a[at]) == fold(b[at])))
                        fail_msg("0x%02x and 0x%02x at %zu of %zu", (unsigned)x, (unsigned)y, at,
                                 len);
                }
            }
        }
    }
}

/* One byte of a known name replaced by any other: the same answer as from a search of the table. */
static void field_lookup_takes_no_other_byte_for_that_of_a_name(void **state)
{
    (void)state;
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_ACCESS_CONTROL_OTHER; id++) {
        char name[64];
        struct str known = field_name((enum field_id)id);
        for (size_t at = 0; at < known.len; at++) {
            memcpy(name, known.ptr, known.len);
            for (int byte = 0; byte < 256; byte++) {
                name[at] = (char)byte;
                bool same = ascii_lower(name[at]) == known.ptr[at];
                bool folded = fold(name[at]) == known.ptr[at];
                assert_int_equal(field_lookup(str_make(name, known.len)) == id, same);
                assert_int_equal(field_lookup_folded(str_make(name, known.len)) == id, folded);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(field_lookup_finds_every_name_of_the_table_in_any_case),
        cmocka_unit_test(field_table_is_ordered_by_length_as_the_lookup_needs_it),
        cmocka_unit_test(field_lookup_knows_families_and_strangers),
        cmocka_unit_test(field_flags_say_what_passes_a_proxy),
        cmocka_unit_test(field_names_are_tokens),
        cmocka_unit_test(field_values_have_no_controls_and_no_blanks_at_the_ends),
        cmocka_unit_test(field_fold_eq_ignores_case_and_reads_underscores_as_dashes),
        cmocka_unit_test(field_list_gives_members_and_skips_empty_ones),
        cmocka_unit_test(field_media_type_ignores_parameters_and_case),
        cmocka_unit_test(field_is_json_type_takes_utf_8_only),
        cmocka_unit_test(field_append_value_refuses_controls_and_encodes_the_rest),
        cmocka_unit_test(field_fold_eq_compares_every_byte_at_every_place),
        cmocka_unit_test(field_lookup_takes_no_other_byte_for_that_of_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
