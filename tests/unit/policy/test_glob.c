/* SPDX-License-Identifier: Apache-2.0 */
/* Globs: what matches, what covers, and what is no glob. */
#include "base/err.h"
#include "policy/rules.h"
#include "support/cmocka_all.h"

struct match_row {
    const char *pattern;
    const char *text;
    bool matches;
};

static const struct match_row match_rows[] = {
    {"echo", "echo", true},
    {"echo", "Echo", false},
    {"echo", "echo2", false},
    {"echo", "ech", false},
    {"echo", "", false},
    {"*", "", true},
    {"*", "a/b:c d", true},
    {"**", "", true},
    {"get_*", "get_", true},
    {"get_*", "get_user", true},
    {"get_*", "GET_user", false},
    {"get_*", "forget_user", false},
    {"*_user", "get_user", true},
    {"*_user", "get_user_", false},
    {"*_user", "_user", true},
    {"a*b*c", "abc", true},
    {"a*b*c", "aXbYbZc", true},
    {"a*b*c", "acb", false},
    {"*aab", "aaab", true},
    {"*ab*ab", "abab", true},
    {"*ab*ab", "ab", false},
    {"a*a", "a", false},
    {"file:///public/*", "file:///public/a/b", true},
    {"file:///public/*", "file:///private/a", false},
    {"?", "a", true},
    {"?", "", false},
    {"?", "ab", false},
    {"a?c", "abc", true},
    {"a?c", "ac", false},
    {"?", "\xc3\xa9", true},        /* one character of two bytes */
    {"??", "\xc3\xa9", false},      /* not one for each byte */
    {"*??", "\xe2\x82\xac", false}, /* also when a star could take a part of it */
    {"?*?", "\xc3\xa9", false},
    {"?*?", "\xc3\xa9\xc3\xa9", true},
    {"caf?", "caf\xc3\xa9", true},
    {"caf\xc3\xa9*", "caf\xc3\xa9 au lait", true},
    {"*", "\xff\x80", true},
    {"?", "\x80", false}, /* no character begins so */
    {"\\*", "*", true},
    {"\\*", "a", false},
    {"\\?", "?", true},
    {"\\?", "a", false},
    {"\\\\", "\\", true},
    {"a\\b", "ab", true},
    {"docs://search\\?q=*", "docs://search?q=x", true},
    {"docs://search\\?q=*", "docs://searchXq=x", false},
    {"[ab]", "a", false}, /* no classes, no braces */
    {"[ab]", "[ab]", true},
    {"{a,b}", "a", false},
    {"{name}", "{name}", true},
};

static void glob_match_is_whole_and_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(match_rows); i++) {
        const struct match_row *row = &match_rows[i];
        if (glob_match(str_from_cstr(row->pattern), str_from_cstr(row->text)) != row->matches)
            fail_msg("\"%s\" and \"%s\"", row->pattern, row->text);
    }
}

static void glob_match_sees_every_byte(void **state)
{
    (void)state;
    assert_false(glob_match(STR("a"), STR("a\0b")));
    assert_true(glob_match(STR("a*"), STR("a\0b")));
    assert_false(glob_match(STR("a\0b"), STR("a\0c")));
}

/* A pattern of many stars must not take exponential time: this one would outlive the machine. */
static void glob_match_takes_no_exponential_time(void **state)
{
    (void)state;
    char pattern[201];
    char text[4001];
    for (size_t i = 0; i < 200; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[200] = 'b';
    memset(text, 'a', sizeof(text));
    assert_false(glob_match(str_make(pattern, 201), str_make(text, sizeof(text))));
    text[4000] = 'b';
    assert_true(glob_match(str_make(pattern, 201), str_make(text, sizeof(text))));
}

struct cover_row {
    const char *a;
    const char *b;
    bool covers;
};

static const struct cover_row cover_rows[] = {
    {"*", "*", true},
    {"*", "anything", true},
    {"*", "a*b?", true},
    {"get_*", "get_user", true},
    {"get_*", "get_*_user", true},
    {"get_*", "get_?", true},
    {"get_*", "get*", false},
    {"get_?", "get_*", false},
    {"get_?", "get_a", true},
    {"get_?", "get_\xc3\xa9", true},
    {"get_?", "get_ab", false},
    {"a*c", "a*b*c", true},
    {"a*b*c", "a*c", false},
    {"*a*", "*aa*", true},
    {"echo", "echo", true},
    {"echo", "ech?", false},
    {"ech?", "echo", true},
    {"\\*", "*", false},
    {"*", "\\*", true},
    {"\\*", "\\*", true},
    {"a\\b", "ab", true}, /* two spellings of one */
    {"ab", "a\\b", true},
    {"?", "\\?", true},
    {"\\?", "?", false},
    {"??", "\xc3\xa9", false},
};

static void glob_covers_says_what_can_be_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cover_rows); i++) {
        const struct cover_row *row = &cover_rows[i];
        if (glob_covers(str_from_cstr(row->a), str_from_cstr(row->b)) != row->covers)
            fail_msg("\"%s\" and \"%s\"", row->a, row->b);
    }
}

static void glob_is_plain_without_wildcards(void **state)
{
    (void)state;
    static const char *const plain[] = {"echo", "a\\*b", "\\?", "\\\\", "[a]"};
    static const char *const wild[] = {"*", "a?", "a\\\\*", "\\**"};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        assert_true(glob_is_plain(str_from_cstr(plain[i])));
    for (size_t i = 0; i < ARRAY_LEN(wild); i++)
        assert_false(glob_is_plain(str_from_cstr(wild[i])));
}

static void glob_fault_names_what_is_no_glob(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *fault; /* NULL: none */
    } rows[] = {
        {"", "is empty"}, {"a\\", "ends in a backslash"}, {"a\\\\\\", "ends in a backslash"},
        {"a\\\\", NULL},  {"\xff", "is not UTF-8"},       {"*", NULL},
        {"[", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *fault = glob_fault(str_from_cstr(rows[i].pattern));
        assert_true((fault == NULL) == (rows[i].fault == NULL));
        if (fault != NULL)
            assert_non_null(strstr(fault, rows[i].fault));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(glob_match_is_whole_and_exact),
        cmocka_unit_test(glob_match_sees_every_byte),
        cmocka_unit_test(glob_match_takes_no_exponential_time),
        cmocka_unit_test(glob_covers_says_what_can_be_shown),
        cmocka_unit_test(glob_is_plain_without_wildcards),
        cmocka_unit_test(glob_fault_names_what_is_no_glob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
