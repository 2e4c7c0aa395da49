/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_lines.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "support/cmocka_all.h"

static const char document[] = "{\n"
                               "  \"a\": 1,\n"
                               "  \"b\": [\n"
                               "    true,\n"
                               "    { \"c/d~e\": null,\n"
                               "      \"\": {} }\n"
                               "  ],\n"
                               "  \"\\u0063\\ud83d\\ude00\": \"x\"\n"
                               "}\n";

static const struct {
    const char *pointer;
    unsigned line;
    const char *found;
} places[] = {
    {"", 1, ""},           {"/a", 2, "/a"},
    {"/b", 3, "/b"},       {"/b/0", 4, "/b/0"},
    {"/b/1", 5, "/b/1"},   {"/b/1/c~1d~0e", 5, "/b/1/c~1d~0e"},
    {"/b/1/", 6, "/b/1/"}, {"/c\xf0\x9f\x98\x80", 8, "/c\xf0\x9f\x98\x80"},
    {"/x", 1, ""},         {"/b/2", 3, "/b"},
    {"/b/x", 3, "/b"},     {"/b/1/x/y", 5, "/b/1"},
    {"/a/b", 2, "/a"},
};

static struct json_lines *scan(const char *text)
{
    struct json_lines *lines = NULL;
    struct json_fault fault;
    assert_int_equal(json_lines_scan(str_from_cstr(text), &lines, &fault), 0);
    return lines;
}

static void json_lines_find_the_value_or_what_is_around_it(void **state)
{
    (void)state;
    struct json_lines *lines = scan(document);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct str pointer = str_from_cstr(places[i].pointer);
        assert_int_equal(json_lines_find(lines, &pointer), places[i].line);
        assert_true(str_eq(pointer, str_from_cstr(places[i].found)));
    }
    assert_null(json_lines_free(lines));
    assert_null(json_lines_free(NULL));
}

static void json_lines_report_every_duplicate_key(void **state)
{
    (void)state;
    static const struct {
        const char *pointer;
        unsigned line, first_line;
    } expected[] = {{"/a", 2, 1}, {"/o/x", 4, 3}, {"/o/x", 5, 3}, {"/a", 6, 1}, {"/l/1/k", 7, 7}};
    struct json_lines *lines = scan("{\"a\": 1,\n\"\\u0061\": 2,\n\"o\": {\"x\": 1,\n\"x\": 1,\n"
                                    "\"\\u0078\": 1},\n\"a\": 3,\n"
                                    "\"l\": [{\"k\": 1}, {\"k\": 1, \"k\": 2}]}");
    size_t count;
    const struct json_duplicate *found = json_lines_duplicates(lines, &count);
    assert_int_equal(count, ARRAY_LEN(expected));
    for (size_t i = 0; i < count; i++) {
        assert_true(str_eq(found[i].pointer, str_from_cstr(expected[i].pointer)));
        assert_int_equal(found[i].line, expected[i].line);
        assert_int_equal(found[i].first_line, expected[i].first_line);
    }
    struct str last = STR("/a");
    assert_int_equal(json_lines_find(lines, &last), 6);
    json_lines_free(lines);
}

static const struct {
    const char *text;
    unsigned line;
    const char *fault;
} faults[] = {
    {"", 1, "ends too early"},
    {"{\n\"a\": 1,\n}", 3, "no comma after the last"},
    {"[1,\n]", 2, "no comma after the last"},
    {"{\"a\": 1\n\"b\": 2}", 2, "a comma is missing"},
    {"[1\n[2]]", 2, "a comma is missing"},
    {"[1 2]", 1, "a comma or the closing bracket"},
    {"{\"a\" 1}", 1, "a colon is expected"},
    {"{a: 1}", 1, "a key in double quotes"},
    {"{'a': 1}", 1, "double quotes"},
    {"{\"a\": 'b'}", 1, "double quotes"},
    {"{\"a\": b}", 1, "text is written in double quotes"},
    {"{\"a\": True}", 1, "text is written in double quotes"},
    {"{\"a\": }", 1, "a value is expected"},
    {"// x\n{}", 1, "no comments"},
    {"{}\n# x", 2, "something follows"},
    {"{\"a\": \"b\nc\"}", 1, "not closed before the end of the line"},
    {"{\"a\": \"b\tc\"}", 1, "control character"},
    {"{\"a\": \"b", 1, "ends inside a string"},
    {"{\"a\": \"b\\", 1, "ends inside a string"},
    {"{\"a\":\n[", 2, "ends too early"},
    {"{} {}", 1, "something follows"},
};

static void json_lines_say_what_is_wrong_and_where(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct json_lines *lines = NULL;
        struct json_fault fault = {0};
        int r = json_lines_scan(str_from_cstr(faults[i].text), &lines, &fault);
        if (r != -EINVAL || fault.line != faults[i].line ||
            strstr(fault.text, faults[i].fault) == NULL)
            fail_msg("%s: line %u: %s", faults[i].text, fault.line, fault.text);
        assert_null(lines);
    }
}

/* COUNT times '[' and as many ']'. */
static int scan_nested(size_t count)
{
    char text[2 * (JSON_LINES_MAX_DEPTH + 1)];
    struct json_lines *lines = NULL;
    struct json_fault fault;
    memset(text, '[', count);
    memset(text + count, ']', count);
    int r = json_lines_scan(str_make(text, 2 * count), &lines, &fault);
    json_lines_free(lines);
    return r;
}

/* An array of COUNT numbers. */
static int scan_wide(size_t count)
{
    struct json_lines *lines = NULL;
    struct json_fault fault;
    char *text = malloc(2 * count + 1);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = i == 0 ? '[' : ',';
        text[2 * i + 1] = '1';
    }
    text[2 * count] = ']';
    int r = json_lines_scan(str_make(text, 2 * count + 1), &lines, &fault);
    json_lines_free(lines);
    free(text);
    return r;
}

static void json_lines_have_limits(void **state)
{
    (void)state;
    assert_int_equal(scan_nested(JSON_LINES_MAX_DEPTH), 0);
    assert_int_equal(scan_nested(JSON_LINES_MAX_DEPTH + 1), -EINVAL);
    assert_int_equal(scan_wide(JSON_LINES_MAX_VALUES - 1), 0); /* and the array itself */
    assert_int_equal(scan_wide(JSON_LINES_MAX_VALUES), -EINVAL);
}

static void json_lines_count_duplicates_up_to_a_limit(void **state)
{
    (void)state;
    size_t count = JSON_LINES_MAX_DUPLICATES + 10;
    char *text = malloc(6 * count + 2);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        memcpy(text + 6 * i, i == 0 ? "{\"k\":1" : ",\"k\":1", 6);
    text[6 * count] = '}';
    text[6 * count + 1] = '\0';
    struct json_lines *lines = scan(text);
    (void)json_lines_duplicates(lines, &count);
    assert_int_equal(count, JSON_LINES_MAX_DUPLICATES);
    json_lines_free(lines);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_lines_find_the_value_or_what_is_around_it),
        cmocka_unit_test(json_lines_report_every_duplicate_key),
        cmocka_unit_test(json_lines_say_what_is_wrong_and_where),
        cmocka_unit_test(json_lines_have_limits),
        cmocka_unit_test(json_lines_count_duplicates_up_to_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
