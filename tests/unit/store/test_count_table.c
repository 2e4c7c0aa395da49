/* SPDX-License-Identifier: Apache-2.0 */
#include "store/count_table.h"

#include <stdio.h>

#include "base/err.h"
#include "support/cmocka_all.h"
#include "support/dice.h"

static enum count_rc take(struct count_table *table, struct str key, uint32_t limit,
                          struct count_place **ret_place)
{
    return count_table_take(table, &key, 1, limit, ret_place);
}

static void count_table_stops_at_the_limit_and_goes_on_when_a_place_is_free(void **state)
{
    (void)state;
    struct count_table *table = count_table_new();
    struct count_place *places[3] = {0};
    struct count_place *more = NULL;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(take(table, STR("alice"), 3, &places[i]), COUNT_OK);
    assert_int_equal(take(table, STR("alice"), 3, &more), COUNT_FULL);
    assert_null(more);
    assert_int_equal(take(table, STR("bob"), 3, &more), COUNT_OK);
    assert_null(count_table_give_back(table, places[1]));
    assert_int_equal(take(table, STR("alice"), 3, &places[1]), COUNT_OK);
    assert_int_equal(count_table_stats(table).keys, 2);
    assert_int_equal(count_table_stats(table).places, 4);
    for (size_t i = 0; i < 3; i++)
        (void)count_table_give_back(table, places[i]);
    (void)count_table_give_back(table, more);
    assert_null(count_table_give_back(table, NULL));
    assert_int_equal(count_table_stats(table).keys, 0);
    (void)count_table_free(table);
}

/* Against a plain array of counters: thousands of keys, taken and given back in any order. */
static void count_table_counts_exactly(void **state)
{
    (void)state;
    enum { KEYS = 10000, PLACES = 20000, STEPS = 200000, LIMIT = 4 };
    static struct count_place *held[PLACES];
    static unsigned key_of[PLACES];
    static unsigned counts[KEYS];
    struct dice dice = {.state = 7};
    struct count_table *table = count_table_new();
    size_t open = 0;
    for (int i = 0; i < STEPS; i++) {
        size_t at = throw(&dice, PLACES);
        if (held[at] != NULL) {
            held[at] = count_table_give_back(table, held[at]);
            counts[key_of[at]]--;
            open--;
            continue;
        }
        char key[16];
        unsigned k = throw(&dice, KEYS);
        int n = snprintf(key, sizeof(key), "%u", k);
        enum count_rc rc = take(table, str_make(key, (size_t)n), LIMIT, &held[at]);
        assert_int_equal(rc, counts[k] < LIMIT ? COUNT_OK : COUNT_FULL);
        if (rc != COUNT_OK)
            continue;
        key_of[at] = k;
        counts[k]++;
        open++;
    }
    assert_int_equal(count_table_stats(table).places, open);
    for (size_t i = 0; i < PLACES; i++)
        held[i] = count_table_give_back(table, held[i]);
    assert_int_equal(count_table_stats(table).keys, 0);
    (void)count_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(count_table_stops_at_the_limit_and_goes_on_when_a_place_is_free),
        cmocka_unit_test(count_table_counts_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
