/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

static const struct json_limits limits = {.max_bytes = 1024, .max_depth = 3};

static void json_parse_takes_one_strict_value(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str text;
        enum json_rc rc;
        unsigned line;
    } rows[] = {
        {"object", STR_INIT("{\"a\": 1}"), JSON_RC_OK, 0},
        {"bare value", STR_INIT(" true "), JSON_RC_OK, 0},
        {"bare string with a NUL", STR_INIT("\"a\\u0000b\""), JSON_RC_OK, 0},
        {"at the depth", STR_INIT("[[[1]]]"), JSON_RC_OK, 0},
        {"one deeper", STR_INIT("[[[[1]]]]"), JSON_RC_TOO_DEEP, 0},
        {"deep by objects", STR_INIT("{\"a\":{\"a\":{\"a\":{}}}}"), JSON_RC_TOO_DEEP, 0},
        {"brackets in a string do not count", STR_INIT("[\"[[[[\\\"[[\"]"), JSON_RC_OK, 0},
        {"closed ones do not count", STR_INIT("[[],[],[],[[]]]"), JSON_RC_OK, 0},
        {"nothing", STR_INIT(""), JSON_RC_MALFORMED, 1},
        {"absent", {NULL, 0}, JSON_RC_MALFORMED, 1},
        {"bytes behind", STR_INIT("{}\n\n x"), JSON_RC_MALFORMED, 3},
        {"a second value", STR_INIT("{} {}"), JSON_RC_MALFORMED, 1},
        {"a NUL behind", STR_INIT("{}\0"), JSON_RC_MALFORMED, 1},
        {"a NUL, which jansson skips", STR_INIT("[1,\n2\0]"), JSON_RC_MALFORMED, 2},
        {"cut", STR_INIT("{\"a\":"), JSON_RC_MALFORMED, 1},
        {"no UTF-8", STR_INIT("\"\xff\""), JSON_RC_MALFORMED, 1},
        {"overlong UTF-8", STR_INIT("\"\xc0\xaf\""), JSON_RC_MALFORMED, 1},
        {"half a surrogate pair", STR_INIT("\"\\ud800\""), JSON_RC_MALFORMED, 1},
        {"byte order mark", STR_INIT("\xef\xbb\xbf{}"), JSON_RC_MALFORMED, 1},
        {"comment", STR_INIT("{} // x"), JSON_RC_MALFORMED, 1},
        {"comma behind the last", STR_INIT("[1,]"), JSON_RC_MALFORMED, 1},
        {"leading zero", STR_INIT("[01]"), JSON_RC_MALFORMED, 1},
        {"not a number", STR_INIT("[NaN]"), JSON_RC_MALFORMED, 1},
        {"integer past 64 bits", STR_INIT("[92233720368547758080]"), JSON_RC_MALFORMED, 1},
        {"real past a double", STR_INIT("[1e999]"), JSON_RC_MALFORMED, 1},
        {"duplicate key", STR_INIT("{\"a\":1,\n\"a\":2}"), JSON_RC_DUPLICATE_KEY, 2},
        {"duplicate deep down", STR_INIT("[{\"a\":{\"b\":1,\"b\":1}}]"), JSON_RC_DUPLICATE_KEY, 1},
        {"duplicate by escape", STR_INIT("{\"a\":1,\"\\u0061\":2}"), JSON_RC_DUPLICATE_KEY, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(json_unref) json_t *root = NULL;
        unsigned line = 99;
        enum json_rc rc = json_parse(rows[i].text, limits, &root, &line);
        if (rc != rows[i].rc || line != rows[i].line || (root != NULL) != (rc == JSON_RC_OK))
            fail_msg("%s: %s, line %u", rows[i].why, json_rc_text(rc), line);
    }
}

static void json_parse_has_a_size_limit(void **state)
{
    (void)state;
    char text[] = "      1";
    CLEANUP(json_unref) json_t *root = NULL;
    struct json_limits exact = {.max_bytes = 7, .max_depth = 1};
    struct json_limits less = {.max_bytes = 6, .max_depth = 1};
    assert_int_equal(json_parse(str_from_cstr(text), less, &root, NULL), JSON_RC_TOO_LARGE);
    assert_null(root);
    assert_int_equal(json_parse(str_from_cstr(text), exact, &root, NULL), JSON_RC_OK);
}

/* An escape costs more memory than text, and keys need it as well: never so much that a text that
 * is within the limits is refused for it. */
static void json_parse_has_memory_for_escapes(void **state)
{
    (void)state;
    const struct json_limits wide = {.max_bytes = 64U * 1024, .max_depth = 3};
    CLEANUP(buf_free) struct buf text = buf_make(wide.max_bytes);
    CLEANUP(json_unref) json_t *root = NULL;
    (void)buf_append(&text, STR("[{}"));
    for (unsigned i = 0; i < 500; i++) {
        (void)buf_append(&text, STR(",{"));
        for (const char *p = "nrtbf/\\\""; *p != '\0'; p++)
            (void)buf_printf(&text, "%s\"\\%c\":\"\\%c\"", *p == 'n' ? "" : ",", *p, *p);
        (void)buf_append_char(&text, '}');
    }
    (void)buf_append_char(&text, ']');
    assert_false(buf_failed(&text));
    assert_int_equal(json_parse(buf_str(&text), wide, &root, NULL), JSON_RC_OK);
    const json_t *last = json_array_get(root, 500);
    assert_int_equal(json_object_size(last), 8);
    assert_true(str_eq(json_get_str(last, "\n"), STR("\n")));
}

static void json_str_gives_strings_only(void **state)
{
    (void)state;
    CLEANUP(json_unref) json_t *root = NULL;
    assert_int_equal(
        json_parse(STR("{\"s\":\"a\\u0000b\",\"n\":1,\"e\":\"\",\"z\":null}"), limits, &root, NULL),
        JSON_RC_OK);
    assert_true(str_eq(json_get_str(root, "s"), STR("a\0b")));
    assert_true(str_is_set(json_get_str(root, "e")));
    assert_false(str_is_set(json_get_str(root, "n")));
    assert_false(str_is_set(json_get_str(root, "z")));
    assert_false(str_is_set(json_get_str(root, "missing")));
    assert_false(str_is_set(json_str(NULL)));
    assert_false(str_is_set(json_get_str(NULL, "s")));
}

static void json_to_i64_rounds_down_and_has_a_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int r;
        int64_t value;
    } rows[] = {
        {"0", 0, 0},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"1.0", 0, 1},
        {"1.9", 0, 1},
        {"-1.1", 0, -2},
        {"-0.0", 0, 0},
        {"1.8e9", 0, 1800000000},
        {"9007199254740991.0", 0, 9007199254740991},
        {"9007199254740992.0", -ERANGE, 0},
        {"-9007199254740992.0", -ERANGE, 0},
        {"1e300", -ERANGE, 0},
        {"\"1\"", -EINVAL, 0},
        {"null", -EINVAL, 0},
        {"true", -EINVAL, 0},
        {"[]", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(json_unref) json_t *root = NULL;
        int64_t value = 4711;
        assert_int_equal(json_parse(str_from_cstr(rows[i].text), limits, &root, NULL), JSON_RC_OK);
        int r = json_to_i64(root, &value);
        if (r != rows[i].r || value != (r == 0 ? rows[i].value : 4711))
            fail_msg("%s: %d", rows[i].text, r);
        value = 4711;
        r = json_text_to_i64(str_from_cstr(rows[i].text), &value);
        if (r != rows[i].r || value != (r == 0 ? rows[i].value : 4711))
            fail_msg("%s, as text: %d", rows[i].text, r);
    }
    int64_t value;
    assert_int_equal(json_to_i64(NULL, &value), -EINVAL);
    assert_int_equal(json_text_to_i64((struct str){0}, &value), -EINVAL);
    assert_int_equal(json_text_to_i64(STR("9223372036854775808"), &value), -ERANGE);
    assert_int_equal(json_text_to_i64(STR("-9223372036854775809"), &value), -ERANGE);
    assert_int_equal(json_text_to_i64(STR("99999999999999999999"), &value), -ERANGE);
}

/* json_parse() says the same. */
static void json_text_integers_fit_into_64_bits(void **state)
{
    (void)state;
    static const struct json_limits deep = {4096, 16};
    static const struct {
        const char *text;
        bool fit;
    } rows[] = {
        {"9223372036854775807", true},
        {"9223372036854775808", false},
        {"-9223372036854775808", true},
        {"-9223372036854775809", false},
        {"10000000000000000000000", false},
        {"9223372036854775808.0", true},
        {"9223372036854775808e0", true},
        {"\"9223372036854775808\"", true},
        {"{\"9223372036854775808\":1}", true},
        {"{\"9223372036854775808\":9223372036854775808}", false},
        {"[1,[2,{\"a\":[\"]\",-9223372036854775809]}],3]", false},
        {"[1,[2,{\"a\":[\"]\",-9223372036854775808]}],3]", true},
        {"[[],{},[9223372036854775807],9223372036854775808]", false},
        {"true", true},
        {"{}", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        /* Each place in a stretch of digits is as good as the others. */
        for (int pad = 0; pad < 24; pad++) {
            CLEANUP(json_unref) json_t *root = NULL;
            char text[128];
            (void)snprintf(text, sizeof(text), "[\"%*s\",%s]", pad, "", rows[i].text);
            if (json_text_integers_fit(str_from_cstr(text)) != rows[i].fit)
                fail_msg("%s", text);
            assert_int_equal(json_parse(str_from_cstr(text), deep, &root, NULL) == JSON_RC_OK,
                             rows[i].fit);
        }
        assert_int_equal(json_text_integers_fit(str_from_cstr(rows[i].text)), rows[i].fit);
    }
}

static void json_write_keeps_the_order_and_the_ceiling(void **state)
{
    (void)state;
    CLEANUP(json_unref) json_t *root = NULL;
    assert_int_equal(
        json_parse(STR("{\"z\": 1, \"a\": [true, \"\xc3\xa9\"]}"), limits, &root, NULL),
        JSON_RC_OK);
    struct buf out = buf_make(128);
    assert_int_equal(json_write(root, 0, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("{\"z\":1,\"a\":[true,\"\xc3\xa9\"]}")));
    buf_clear(&out);
    assert_int_equal(json_write(root, 2, &out), 0);
    assert_true(str_has_prefix(buf_str(&out), STR("{\n  \"z\": 1,\n  \"a\": [\n    true")));
    buf_clear(&out);
    assert_int_equal(json_write(json_object_get(root, "z"), 0, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("1")));
    buf_free(&out);
    struct buf small = buf_make(8);
    assert_int_equal(json_write(root, 0, &small), -EMSGSIZE);
    buf_free(&small);
}

static void json_rc_text_is_there_for_every_result(void **state)
{
    (void)state;
    for (int rc = JSON_RC_OK; rc <= JSON_RC_NO_MEMORY; rc++)
        for (int other = JSON_RC_OK; other < rc; other++)
            assert_string_not_equal(json_rc_text((enum json_rc)rc),
                                    json_rc_text((enum json_rc)other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_parse_takes_one_strict_value),
        cmocka_unit_test(json_parse_has_a_size_limit),
        cmocka_unit_test(json_parse_has_memory_for_escapes),
        cmocka_unit_test(json_str_gives_strings_only),
        cmocka_unit_test(json_to_i64_rounds_down_and_has_a_range),
        cmocka_unit_test(json_text_integers_fit_into_64_bits),
        cmocka_unit_test(json_write_keeps_the_order_and_the_ceiling),
        cmocka_unit_test(json_rc_text_is_there_for_every_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
