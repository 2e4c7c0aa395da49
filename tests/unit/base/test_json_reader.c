/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_reader.h"

#include <stdlib.h>

#include "base/err.h"
#include "support/cmocka_all.h"

static const struct json_text_rules rules = {.limits = {1024, 6}};

static void json_reader_gives_the_views_of_what_it_passes(void **state)
{
    (void)state;
    const struct str text =
        STR(" {\"a\":{\"x\":[1,[ ],{}] ,\"y\":\"}\\\"\"},\"b\" : [ {\"c\":true} ,2],\"d\":3} ");
    struct json_reader reader;
    struct str key;
    json_reader_start(&reader, text, &rules);
    assert_int_equal(json_reader_at(&reader), JSON_TEXT_OBJECT);
    assert_true(json_reader_is_object(&reader));
    assert_true(json_reader_into(&reader));
    assert_int_equal(json_reader_at(&reader), JSON_TEXT_ABSENT);
    assert_true(json_reader_next_key(&reader, &key) && str_eq(key, STR("a")));
    assert_true(json_reader_into(&reader));
    assert_true(json_reader_next_key(&reader, &key) && str_eq(key, STR("x")));
    assert_true(str_eq(json_reader_over(&reader), STR("[1,[ ],{}]")));
    assert_false(str_is_set(json_reader_over(&reader))); /* it was taken */
    assert_true(json_reader_next_key(&reader, &key) && str_eq(key, STR("y")));
    assert_int_equal(json_reader_at(&reader), JSON_TEXT_STRING);
    assert_false(json_reader_into(&reader));
    assert_true(str_eq(json_reader_over(&reader), STR("\"}\\\"\"")));
    assert_false(json_reader_next_key(&reader, &key));
    assert_true(json_reader_next_key(&reader, &key) && str_eq(key, STR("b")));
    assert_int_equal(json_reader_at(&reader), JSON_TEXT_ARRAY);
    assert_true(json_reader_into(&reader));
    assert_true(json_reader_next_element(&reader));
    assert_true(json_reader_into(&reader));
    assert_true(json_reader_next_key(&reader, &key) && str_eq(key, STR("c")));
    assert_false(json_reader_next_key(&reader, &key)); /* over what was not taken */
    assert_true(json_reader_next_element(&reader));
    assert_true(str_eq(json_reader_over(&reader), STR("2")));
    assert_false(json_reader_next_element(&reader));
    assert_true(json_reader_next_key(&reader, &key) && str_eq(key, STR("d")));
    assert_true(str_eq(json_reader_over(&reader), STR("3")));
    assert_false(json_reader_next_key(&reader, &key));
    assert_ptr_equal(json_reader_place(&reader), text.ptr + text.len - 1);
    assert_false(json_reader_next_key(&reader, &key)); /* there is nothing around the root */
    assert_int_equal(json_reader_finish(&reader), JSON_RC_OK);
}

/* ---- the same verdict, wherever one looks ---- */

static const struct {
    const char *why;
    struct str text;
    enum json_rc rc;
} verdicts[] = {
    {"a scalar", STR_INIT(" 1 "), JSON_RC_OK},
    {"all kinds", STR_INIT("{\"a\":[1,{\"b\":null,\"c\":[]},\"x\"],\"d\":{},\"e\":true}"),
     JSON_RC_OK},
    {"nothing", STR_INIT(""), JSON_RC_MALFORMED},
    {"blanks", STR_INIT(" \n"), JSON_RC_MALFORMED},
    {"two values", STR_INIT("[] []"), JSON_RC_MALFORMED},
    {"an end too early", STR_INIT("{\"a\":[1,{\"b\":2}"), JSON_RC_MALFORMED},
    {"no value", STR_INIT("{\"a\":}"), JSON_RC_MALFORMED},
    {"no key", STR_INIT("{1:2}"), JSON_RC_MALFORMED},
    {"no colon", STR_INIT("{\"a\" 1}"), JSON_RC_MALFORMED},
    {"a comma at the end of an object", STR_INIT("{\"a\":1,}"), JSON_RC_MALFORMED},
    {"a comma at the end of an array", STR_INIT("[[1,],2]"), JSON_RC_MALFORMED},
    {"a comma at the beginning", STR_INIT("[,1]"), JSON_RC_MALFORMED},
    {"no comma", STR_INIT("[{} {}]"), JSON_RC_MALFORMED},
    {"the wrong bracket", STR_INIT("{\"a\":[1}}"), JSON_RC_MALFORMED},
    {"the wrong bracket of nothing", STR_INIT("[{]]"), JSON_RC_MALFORMED},
    {"no UTF-8 in a string that is gone over", STR_INIT("{\"a\":[\"\xff\"]}"), JSON_RC_MALFORMED},
    {"a key twice, outside", STR_INIT("{\"a\":{\"b\":1},\"c\":[],\"a\":2}"), JSON_RC_DUPLICATE_KEY},
    {"a key twice, inside", STR_INIT("[{\"a\":{\"b\":1,\"b\":2}},3]"), JSON_RC_DUPLICATE_KEY},
    {"a key twice, escaped", STR_INIT("[{\"a\":1,\"\\u0061\":2}]"), JSON_RC_DUPLICATE_KEY},
    {"a key twice, and no end", STR_INIT("{\"a\":1,\"a\":2"), JSON_RC_MALFORMED},
    {"NUL in a key", STR_INIT("{\"a\\u0000\":1}"), JSON_RC_MALFORMED},
    {"as deep as may be", STR_INIT("[[{\"a\":[[[]]]}]]"), JSON_RC_OK},
    {"deeper", STR_INIT("[[{\"a\":[[[{}]]]}]]"), JSON_RC_TOO_DEEP},
};

/* Takes STEPS decisions, a bit each: into a value or over it. */
static void read_some(struct json_reader *reader, unsigned steps, unsigned n_steps)
{
    bool is_object[8];
    unsigned depth = 0;
    struct str key;
    for (unsigned i = 0; i < n_steps; i++) {
        const bool object = json_reader_is_object(reader);
        if ((steps >> i & 1) != 0 && json_reader_into(reader))
            is_object[depth++] = object;
        else
            (void)json_reader_over(reader);
        while (depth > 0 && (is_object[depth - 1] ? !json_reader_next_key(reader, &key)
                                                  : !json_reader_next_element(reader)))
            depth--;
    }
}

static void json_reader_finds_the_same_faults_however_it_is_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        const struct str text = verdicts[i].text;
        char *copy = malloc(text.len > 0 ? text.len : 1); /* a sanitizer sees one byte too many */
        assert_non_null(copy);
        memcpy(copy, text.ptr, text.len);
        for (unsigned n_steps = 0; n_steps < 10; n_steps++)
            for (unsigned steps = 0; steps < 1U << n_steps; steps++) {
                struct json_reader reader;
                json_reader_start(&reader, str_make(copy, text.len), &rules);
                read_some(&reader, steps, n_steps);
                enum json_rc rc = json_reader_finish(&reader);
                if (rc != verdicts[i].rc)
                    fail_msg("%s: %d by the steps %#x", verdicts[i].why, (int)rc, steps);
            }
        free(copy);
    }
}

static void json_reader_gives_nothing_behind_a_fault(void **state)
{
    (void)state;
    struct json_reader reader;
    struct str key;
    json_reader_start(&reader, STR("{\"a\":tru,\"b\":{}}"), &rules);
    assert_true(json_reader_into(&reader));
    assert_true(json_reader_next_key(&reader, &key));
    assert_false(str_is_set(json_reader_over(&reader)));
    assert_false(json_reader_next_key(&reader, &key));
    assert_false(json_reader_next_element(&reader));
    assert_false(json_reader_into(&reader));
    assert_int_equal(json_reader_at(&reader), JSON_TEXT_ABSENT);
    assert_int_equal(json_reader_finish(&reader), JSON_RC_MALFORMED);
}

static void json_reader_finds_no_keys_in_an_array(void **state)
{
    (void)state;
    struct json_reader reader;
    struct str key;
    json_reader_start(&reader, STR("[\"a\":1]"), &rules);
    assert_true(json_reader_into(&reader));
    assert_false(json_reader_next_key(&reader, &key));
    assert_int_equal(json_reader_finish(&reader), JSON_RC_MALFORMED);
}

static void json_reader_reads_nothing_of_what_is_too_large_or_absent(void **state)
{
    (void)state;
    const struct json_text_rules small = {.limits = {3, 6}};
    struct json_reader reader;
    json_reader_start(&reader, STR("[1]"), &small);
    assert_int_equal(json_reader_at(&reader), JSON_TEXT_ARRAY);
    assert_int_equal(json_reader_finish(&reader), JSON_RC_OK);
    json_reader_start(&reader, STR("[10]"), &small);
    assert_int_equal(json_reader_at(&reader), JSON_TEXT_ABSENT);
    assert_int_equal(json_reader_finish(&reader), JSON_RC_TOO_LARGE);
    json_reader_start(&reader, (struct str){0}, &small);
    assert_false(json_reader_into(&reader));
    assert_int_equal(json_reader_finish(&reader), JSON_RC_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_reader_gives_the_views_of_what_it_passes),
        cmocka_unit_test(json_reader_finds_the_same_faults_however_it_is_used),
        cmocka_unit_test(json_reader_gives_nothing_behind_a_fault),
        cmocka_unit_test(json_reader_finds_no_keys_in_an_array),
        cmocka_unit_test(json_reader_reads_nothing_of_what_is_too_large_or_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
