/* SPDX-License-Identifier: Apache-2.0 */
#include "base/diag.h"

#include <stdlib.h>

#include "base/err.h"
#include "support/cmocka_all.h"

/* What diag_print() writes; the caller frees it. */
static char *printed(const struct diag *diag, bool colour)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    diag_print(diag, out, "policy.json", colour);
    (void)fclose(out);
    return text;
}

static void diag_starts_empty_and_warnings_are_no_errors(void **state)
{
    (void)state;
    struct diag diag = {0};
    assert_false(diag_has_errors(&diag));
    diag_sort(&diag);
    diag_add(&diag, DIAG_WARNING, STR("/a"), 1, "%s", "odd");
    assert_false(diag_has_errors(&diag));
    diag_add(&diag, DIAG_ERROR, STR("/b"), 2, "%s", "wrong");
    assert_true(diag_has_errors(&diag));
    diag_free(&diag);
    assert_int_equal(diag.count, 0);
    diag_free(&diag);
}

static void diag_copies_the_pointer(void **state)
{
    (void)state;
    struct diag diag = {0};
    char pointer[] = "/routes/0";
    diag_add(&diag, DIAG_ERROR, str_head(str_from_cstr(pointer), 7), 0, "x");
    pointer[1] = 'X';
    assert_string_equal(diag.items[0].pointer, "/routes");
    diag_free(&diag);
}

static void diag_sort_orders_by_line_and_drops_repetitions(void **state)
{
    (void)state;
    struct diag diag = {0};
    diag_add(&diag, DIAG_ERROR, STR("/c"), 9, "third");
    diag_add(&diag, DIAG_ERROR, STR("/b"), 2, "second");
    diag_add(&diag, DIAG_ERROR, STR("/c"), 9, "third");
    diag_add(&diag, DIAG_ERROR, STR("/a"), 2, "first");
    diag_add(&diag, DIAG_ERROR, STR("/c"), 9, "another text");
    diag_add(&diag, DIAG_ERROR, STR("/c"), 9, "third");
    diag_sort(&diag);
    static const char *const texts[] = {"first", "second", "another text", "third"};
    assert_int_equal(diag.count, ARRAY_LEN(texts));
    assert_int_equal(diag.errors, ARRAY_LEN(texts));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_string_equal(diag.items[i].text, texts[i]);
    diag_free(&diag);
}

static void diag_print_names_place_level_and_text(void **state)
{
    (void)state;
    struct diag diag = {0};
    diag_add(&diag, DIAG_ERROR, STR("/routes/0"), 12, "is %s", "wrong");
    diag_add(&diag, DIAG_WARNING, STR(""), 0, "is odd");
    char *plain = printed(&diag, false);
    assert_string_equal(plain, "policy.json:12: error: /routes/0: is wrong\n"
                               "policy.json: warning: is odd\n");
    free(plain);
    char *coloured = printed(&diag, true);
    assert_non_null(strstr(coloured, "\033[31merror\033[0m"));
    assert_non_null(strstr(coloured, "\033[33mwarning\033[0m"));
    free(coloured);
    diag_free(&diag);
}

static void diag_keeps_a_limited_number_and_counts_the_rest(void **state)
{
    (void)state;
    struct diag diag = {0};
    for (unsigned i = 0; i < DIAG_MAX; i++)
        diag_add(&diag, DIAG_ERROR, STR("/a"), i, "%u", i);
    assert_int_equal(diag.dropped, 0);
    diag_add(&diag, DIAG_ERROR, STR("/a"), 1, "one more");
    diag_add(&diag, DIAG_WARNING, STR("/a"), 1, "and one");
    assert_int_equal(diag.count, DIAG_MAX);
    assert_int_equal(diag.dropped, 2);
    assert_int_equal(diag.errors, DIAG_MAX + 1);
    char *text = printed(&diag, false);
    assert_non_null(strstr(text, "\npolicy.json: 2 more not shown\n"));
    free(text);
    diag_free(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diag_starts_empty_and_warnings_are_no_errors),
        cmocka_unit_test(diag_copies_the_pointer),
        cmocka_unit_test(diag_sort_orders_by_line_and_drops_repetitions),
        cmocka_unit_test(diag_print_names_place_level_and_text),
        cmocka_unit_test(diag_keeps_a_limited_number_and_counts_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
