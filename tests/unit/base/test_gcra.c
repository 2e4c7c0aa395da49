/* SPDX-License-Identifier: Apache-2.0 */
#include "base/gcra.h"

#include "base/err.h"
#include "support/cmocka_all.h"
#include "support/dice.h"

#define S GCRA_NS_PER_S
#define YEAR_NS (INT64_C(366) * 24 * 3600 * S)

static struct gcra make(int64_t count, int64_t period_ms, int64_t burst)
{
    struct gcra gcra = {0};
    assert_true(gcra_make(count, period_ms, burst, &gcra));
    return gcra;
}

static void gcra_lets_the_burst_through_and_then_the_rate(void **state)
{
    (void)state;
    const struct gcra gcra = make(10, 1000, 3);
    int64_t tat = 0;
    int64_t wait = 0;
    for (int i = 0; i < 3; i++)
        assert_true(gcra_take(&gcra, S, 1, &tat, &wait));
    assert_false(gcra_take(&gcra, S, 1, &tat, &wait));
    assert_int_equal(wait, S / 10);
    assert_false(gcra_take(&gcra, S + S / 10 - 1, 1, &tat, &wait));
    assert_int_equal(wait, 1);
    assert_true(gcra_take(&gcra, S + S / 10, 1, &tat, &wait));
    assert_false(gcra_take(&gcra, S + S / 10, 1, &tat, &wait));
}

static void gcra_takes_nothing_when_it_refuses(void **state)
{
    (void)state;
    const struct gcra gcra = make(1, 1000, 4);
    int64_t tat = 0;
    int64_t wait = 0;
    assert_true(gcra_take(&gcra, S, 3, &tat, &wait));
    for (int i = 0; i < 1000; i++)
        assert_false(gcra_take(&gcra, S, 2, &tat, &wait));
    assert_int_equal(wait, S);
    assert_true(gcra_take(&gcra, S, 1, &tat, &wait));
}

static void gcra_never_lets_more_through_than_a_bucket_holds(void **state)
{
    (void)state;
    const struct gcra gcra = make(1, 1000, 4);
    int64_t tat = 0;
    int64_t wait = 0;
    assert_false(gcra_take(&gcra, YEAR_NS, 5, &tat, &wait));
    assert_int_equal(wait, 4 * S);
    assert_true(gcra_take(&gcra, YEAR_NS, 4, &tat, &wait));
}

/* Whatever is asked for and when: in no stretch of time more than burst + rate * time. */
static void gcra_keeps_its_promise_in_every_window(void **state)
{
    (void)state;
    static const struct {
        int64_t count, period_ms, burst;
        unsigned step_us; /* the clock goes on by less than this */
    } rows[] = {
        {10, 1000, 1, 50000},      {100, 60000, 100, 700000},   {1000000, 1000, 50, 3},
        {3, 1000, 7, 200000},      {7, 60000, 2, 9000000},      {333333, 1000, 1000, 900},
        {1, 86400000, 1, 1000000}, {999983, 1000, 1000000, 40},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct dice dice = {.state = 1000 + r};
        const struct gcra gcra = make(rows[r].count, rows[r].period_ms, rows[r].burst);
        enum { N = 400 };
        int64_t at_us[N];
        int64_t cost[N];
        int64_t now_us = 5 * YEAR_NS / 1000;
        int64_t tat = 0;
        size_t n = 0;
        while (n < N && now_us < 6 * YEAR_NS / 1000) {
            int64_t wait = 0;
            now_us += throw(&dice, rows[r].step_us);
            int64_t want = 1 + throw(&dice, 3);
            if (gcra_take(&gcra, now_us * 1000, want, &tat, &wait)) {
                at_us[n] = now_us;
                cost[n++] = want;
            } else {
                assert_true(wait > 0);
                if (want <= rows[r].burst && throw(&dice, 4) == 0) {
                    /* and what it promises, it keeps */
                    now_us += (wait + 999) / 1000;
                    assert_true(gcra_take(&gcra, now_us * 1000, want, &tat, &wait));
                    at_us[n] = now_us;
                    cost[n++] = want;
                }
            }
        }
        for (size_t i = 0; i < n; i++) {
            int64_t taken = 0;
            for (size_t k = i; k < n; k++) {
                taken += cost[k];
                int64_t may = rows[r].burst +
                              (at_us[k] - at_us[i]) * rows[r].count / (rows[r].period_ms * 1000);
                assert_true(taken <= may);
            }
        }
    }
}

/* Two threads with clocks of their own: the one that is behind does not forgive the other's debt.
 */
static void gcra_keeps_its_promise_when_clocks_are_apart(void **state)
{
    (void)state;
    static const int64_t apart_ms[] = {1, 5, 100, 999};
    const struct gcra gcra = make(1000, 1000, 50);
    for (size_t i = 0; i < ARRAY_LEN(apart_ms); i++) {
        int64_t tat = 0;
        int64_t wait = 0;
        int64_t taken = 0;
        for (int64_t ms = 0; ms < 1000; ms++) {
            int64_t ahead_ns = 5 * S + ms * GCRA_NS_PER_MS;
            int64_t behind_ns = ahead_ns - apart_ms[i] * GCRA_NS_PER_MS;
            while (gcra_take(&gcra, ahead_ns, 1, &tat, &wait))
                taken++;
            while (gcra_take(&gcra, behind_ns, 1, &tat, &wait))
                taken++;
            /* Whoever waits as long as he was told, by his own clock, gets what he wanted. */
            int64_t later = tat;
            assert_true(gcra_take(&gcra, behind_ns + wait, 1, &later, &wait));
        }
        assert_int_equal(taken, 50 + 999);
    }
}

static void gcra_forgives_what_an_older_rate_left_behind(void **state)
{
    (void)state;
    const struct gcra old = make(1, 60000, 100);
    const struct gcra fresh = make(10, 1000, 10);
    int64_t tat = 0;
    int64_t wait = 0;
    assert_true(gcra_take(&old, S, 100, &tat, &wait));
    assert_false(gcra_take(&fresh, S, 1, &tat, &wait));
    assert_int_equal(wait, S / 10); /* an empty bucket of the new kind, and not 100 minutes */
    assert_true(gcra_take(&fresh, S + S / 10, 1, &tat, &wait));
}

static void gcra_does_not_overflow_at_its_limits(void **state)
{
    (void)state;
    struct gcra gcra;
    assert_false(gcra_make(1, GCRA_MAX_PERIOD_MS, GCRA_MAX_COUNT, &gcra));
    assert_false(gcra_make(1, GCRA_MAX_PERIOD_MS, 32, &gcra));
    assert_true(gcra_make(1, GCRA_MAX_PERIOD_MS, 31, &gcra));
    int64_t tat = INT64_MAX; /* from a table that was damaged */
    int64_t wait = 0;
    assert_false(gcra_take(&gcra, 250 * YEAR_NS, 1, &tat, &wait));
    assert_int_equal(wait, gcra.interval_ns);
    tat = 0;
    assert_false(gcra_take(&gcra, 250 * YEAR_NS, INT64_MAX, &tat, &wait));
    assert_true(gcra_take(&gcra, 250 * YEAR_NS, 31, &tat, &wait));
    gcra = make(GCRA_MAX_COUNT, 1, GCRA_MAX_COUNT);
    assert_int_equal(gcra.interval_ns, 1);
    tat = 0;
    assert_true(gcra_take(&gcra, 0, GCRA_MAX_COUNT, &tat, &wait));
    assert_false(gcra_take(&gcra, 0, 1, &tat, &wait));
}

static void a_wait_is_told_in_whole_seconds_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(gcra_wait_s(1), 1);
    assert_int_equal(gcra_wait_s(S), 1);
    assert_int_equal(gcra_wait_s(S + 1), 2);
    assert_int_equal(gcra_wait_s(0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gcra_lets_the_burst_through_and_then_the_rate),
        cmocka_unit_test(gcra_takes_nothing_when_it_refuses),
        cmocka_unit_test(gcra_never_lets_more_through_than_a_bucket_holds),
        cmocka_unit_test(gcra_keeps_its_promise_in_every_window),
        cmocka_unit_test(gcra_keeps_its_promise_when_clocks_are_apart),
        cmocka_unit_test(gcra_forgives_what_an_older_rate_left_behind),
        cmocka_unit_test(gcra_does_not_overflow_at_its_limits),
        cmocka_unit_test(a_wait_is_told_in_whole_seconds_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
