/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"
#include "support/test_clock.h"

/* A pipe that is watched, and what its watch does when called. */
struct source {
    struct watch watch;
    struct loop *loop;
    int fds[2];
    int calls;
    uint32_t seen;
    struct source *removes; /* unwatched by our callback */
};

static void on_event(struct watch *watch, uint32_t events)
{
    struct source *source = CONTAINER_OF(watch, struct source, watch);
    source->calls++;
    source->seen |= events;
    if (source->removes != NULL)
        loop_unwatch(source->loop, &source->removes->watch);
}

static void source_open(struct source *source, struct loop *loop, uint32_t events)
{
    *source = (struct source){.loop = loop, .watch = {.fd = -1, .fn = on_event}};
    assert_int_equal(pipe(source->fds), 0);
    assert_int_equal(loop_watch(loop, &source->watch, source->fds[0], events), 0);
}

static void source_close(struct source *source)
{
    loop_unwatch(source->loop, &source->watch);
    (void)close(source->fds[0]);
    (void)close(source->fds[1]);
}

static void poke(const struct source *source)
{
    assert_int_equal(write(source->fds[1], "x", 1), 1);
}

static int set_up(void **state)
{
    test_clock_stop();
    *state = loop_new();
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    assert_null(loop_free(*state));
    return 0;
}

/* ---- watches ---- */

static void loop_calls_the_watch_of_the_descriptor_that_is_ready(void **state)
{
    struct loop *loop = *state;
    struct source a, b;
    source_open(&a, loop, EPOLLIN);
    source_open(&b, loop, EPOLLIN);
    loop_turn(loop, 0);
    assert_int_equal(a.calls + b.calls, 0);
    poke(&b);
    loop_turn(loop, -1);
    assert_int_equal(a.calls, 0);
    assert_int_equal(b.calls, 1);
    assert_int_equal(b.seen, EPOLLIN);
    source_close(&a);
    source_close(&b);
}

static void loop_rewatch_changes_what_is_seen(void **state)
{
    struct loop *loop = *state;
    struct source a;
    source_open(&a, loop, EPOLLIN);
    poke(&a);
    assert_int_equal(loop_rewatch(loop, &a.watch, 0), 0);
    loop_turn(loop, 0);
    assert_int_equal(a.calls, 0);
    assert_int_equal(loop_rewatch(loop, &a.watch, EPOLLIN), 0);
    assert_int_equal(loop_rewatch(loop, &a.watch, EPOLLIN), 0);
    loop_turn(loop, 0);
    assert_int_equal(a.calls, 1);
    source_close(&a);
}

static void loop_watch_says_why_it_cannot(void **state)
{
    struct loop *loop = *state;
    struct watch watch = {.fd = -1, .fn = on_event};
    assert_int_equal(loop_watch(loop, &watch, 9999, EPOLLIN), -EBADF);
    assert_int_equal(watch.fd, -1);
    loop_unwatch(loop, &watch);
}

static void loop_unwatch_takes_effect_at_once_also_from_a_callback(void **state)
{
    struct loop *loop = *state;
    struct source a, b;
    source_open(&a, loop, EPOLLIN);
    source_open(&b, loop, EPOLLIN);
    /* Both are ready in the same turn; whoever comes first removes the other one. */
    a.removes = &b;
    b.removes = &a;
    poke(&a);
    poke(&b);
    loop_turn(loop, 0);
    assert_int_equal(a.calls + b.calls, 1);
    loop_turn(loop, 0);
    assert_int_equal(a.calls + b.calls, 2);
    source_close(&a);
    source_close(&b);
}

static void loop_unwatch_of_itself_is_allowed(void **state)
{
    struct loop *loop = *state;
    struct source a;
    source_open(&a, loop, EPOLLIN);
    a.removes = &a;
    poke(&a);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.watch.fd, -1);
    source_close(&a);
}

/* ---- timers ---- */

#define MAX_FIRED 256

struct alarm {
    struct timer timer;
    struct loop *loop;
    int name;
    int64_t again_ms;    /* armed anew by the callback when > 0 */
    struct alarm *stops; /* stopped by the callback */
    int *fired;          /* names in the order of the calls */
    size_t *n_fired;
};

static void on_alarm(struct timer *timer)
{
    struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);
    assert_false(timer_is_armed(timer));
    assert_true(*alarm->n_fired < MAX_FIRED);
    alarm->fired[(*alarm->n_fired)++] = alarm->name;
    if (alarm->again_ms > 0)
        assert_int_equal(loop_timer_in(alarm->loop, timer, alarm->again_ms), 0);
    if (alarm->stops != NULL)
        loop_timer_stop(alarm->loop, &alarm->stops->timer);
}

/* Who fired, in this order. */
struct record {
    int fired[MAX_FIRED];
    size_t n_fired;
};

static struct alarm make_alarm(struct loop *loop, int name, struct record *record)
{
    return (struct alarm){.timer.fn = on_alarm,
                          .loop = loop,
                          .name = name,
                          .fired = record->fired,
                          .n_fired = &record->n_fired};
}

static void loop_timers_fire_in_the_order_of_their_time(void **state)
{
    struct loop *loop = *state;
    static struct alarm alarms[200];
    int fired[MAX_FIRED];
    size_t n_fired = 0;
    size_t expected = 0;
    int64_t start = loop_now_ms(loop);
    /* A fixed shuffle of 200 times; then every third is moved back, every fifth stopped. */
    for (int i = 0; i < 200; i++) {
        alarms[i] = (struct alarm){.timer.fn = on_alarm,
                                   .loop = loop,
                                   .name = (i * 77) % 200,
                                   .fired = fired,
                                   .n_fired = &n_fired};
        assert_int_equal(loop_timer_at(loop, &alarms[i].timer, start + 1000 + alarms[i].name), 0);
    }
    for (int i = 0; i < 200; i += 3) {
        alarms[i].name += 1000;
        assert_int_equal(loop_timer_at(loop, &alarms[i].timer, start + 1000 + alarms[i].name), 0);
    }
    for (int i = 0; i < 200; i += 5)
        loop_timer_stop(loop, &alarms[i].timer);
    for (int i = 0; i < 200; i++)
        expected += timer_is_armed(&alarms[i].timer) ? 1 : 0;
    assert_int_equal(expected, 160);
    test_clock_skip_ms(10000);
    loop_turn(loop, 0);
    assert_int_equal(n_fired, expected);
    for (size_t i = 1; i < n_fired; i++)
        assert_true(fired[i - 1] < fired[i]);
}

static void loop_timer_fires_at_its_millisecond_and_once(void **state)
{
    struct loop *loop = *state;
    struct record record = {.n_fired = 0};
    struct alarm alarm = make_alarm(loop, 1, &record);
    assert_int_equal(loop_timer_in(loop, &alarm.timer, 60000), 0);
    test_clock_skip_ms(59999);
    loop_turn(loop, 0);
    assert_int_equal(record.n_fired, 0);
    assert_true(timer_is_armed(&alarm.timer));
    test_clock_skip_ms(1);
    loop_turn(loop, 0);
    assert_int_equal(record.n_fired, 1);
    test_clock_skip_ms(600000);
    loop_turn(loop, 0);
    assert_int_equal(record.n_fired, 1);
}

static void loop_timer_moved_to_an_earlier_time_fires_then(void **state)
{
    struct loop *loop = *state;
    struct record record = {.n_fired = 0};
    struct alarm alarm = make_alarm(loop, 1, &record);
    assert_int_equal(loop_timer_in(loop, &alarm.timer, 60000), 0);
    assert_int_equal(loop_timer_in(loop, &alarm.timer, 10), 0);
    test_clock_skip_ms(10);
    loop_turn(loop, 0);
    assert_int_equal(record.n_fired, 1);
}

static void loop_timer_moved_to_a_later_time_fires_then_and_once(void **state)
{
    struct loop *loop = *state;
    struct record record = {.n_fired = 0};
    struct alarm alarm = make_alarm(loop, 1, &record);
    assert_int_equal(loop_timer_in(loop, &alarm.timer, 10), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(loop_timer_in(loop, &alarm.timer, 100), 0);
        test_clock_skip_ms(99);
        loop_turn(loop, 0);
        assert_int_equal(record.n_fired, 0);
        assert_true(timer_is_armed(&alarm.timer));
    }
    test_clock_skip_ms(1);
    loop_turn(loop, 0);
    assert_int_equal(record.n_fired, 1);
    assert_false(timer_is_armed(&alarm.timer));
    test_clock_skip_ms(1000);
    loop_turn(loop, 0);
    assert_int_equal(record.n_fired, 1);
}

static void loop_timer_that_is_paused_fires_only_when_armed_again(void **state)
{
    struct loop *loop = *state;
    struct record record = {.n_fired = 0};
    struct alarm alarm = make_alarm(loop, 1, &record);
    for (int again = 0; again < 2; again++) { /* while the loop has its place, and after that */
        int64_t rest_ms = again == 0 ? 50 : 1000;
        record.n_fired = 0;
        assert_int_equal(loop_timer_in(loop, &alarm.timer, 100), 0);
        loop_timer_pause(&alarm.timer);
        assert_false(timer_is_armed(&alarm.timer));
        test_clock_skip_ms(rest_ms);
        loop_turn(loop, 0);
        assert_int_equal(record.n_fired, 0);
        assert_int_equal(loop_timer_in(loop, &alarm.timer, 20), 0);
        assert_true(timer_is_armed(&alarm.timer));
        test_clock_skip_ms(19);
        loop_turn(loop, 0);
        assert_int_equal(record.n_fired, 0);
        test_clock_skip_ms(1);
        loop_turn(loop, 0);
        assert_int_equal(record.n_fired, 1);
    }
    loop_timer_pause(&alarm.timer); /* one that is not armed */
    assert_false(timer_is_armed(&alarm.timer));
}

static void loop_timer_may_stop_others_and_arm_itself_again(void **state)
{
    struct loop *loop = *state;
    int fired[MAX_FIRED];
    size_t n_fired = 0;
    struct alarm late = {
        .timer.fn = on_alarm, .loop = loop, .name = 2, .fired = fired, .n_fired = &n_fired};
    struct alarm early = {.timer.fn = on_alarm,
                          .loop = loop,
                          .name = 1,
                          .again_ms = 1000,
                          .stops = &late,
                          .fired = fired,
                          .n_fired = &n_fired};
    assert_int_equal(loop_timer_in(loop, &late.timer, 20), 0);
    assert_int_equal(loop_timer_in(loop, &early.timer, 10), 0);
    test_clock_skip_ms(500); /* both are due */
    loop_turn(loop, 0);
    assert_int_equal(n_fired, 1);
    assert_int_equal(fired[0], 1);
    assert_false(timer_is_armed(&late.timer));
    test_clock_skip_ms(1000);
    loop_turn(loop, 0);
    assert_int_equal(n_fired, 2);
    loop_timer_stop(loop, &early.timer);
    loop_timer_stop(loop, &early.timer);
    test_clock_skip_ms(5000);
    loop_turn(loop, 0);
    assert_int_equal(n_fired, 2);
}

/* ---- the turn ---- */

static void loop_turn_waits_for_a_timer_and_not_longer_than_it_may(void **state)
{
    struct loop *loop = *state;
    int fired[MAX_FIRED];
    size_t n_fired = 0;
    struct alarm alarm = {
        .timer.fn = on_alarm, .loop = loop, .name = 1, .fired = fired, .n_fired = &n_fired};
    test_clock_run();
    loop_turn(loop, 0);
    int64_t start_us = test_clock_real_us(CLOCK_MONOTONIC);
    assert_int_equal(loop_timer_in(loop, &alarm.timer, 20), 0);
    loop_turn(loop, 2);
    assert_int_equal(n_fired, 0);
    while (n_fired == 0)
        loop_turn(loop, -1);
    int64_t waited_us = test_clock_real_us(CLOCK_MONOTONIC) - start_us;
    assert_in_range(waited_us, 18000, 2000000);
}

static void loop_clock_is_read_once_per_turn(void **state)
{
    struct loop *loop = *state;
    loop_turn(loop, 0);
    struct clock before = *loop_clock(loop);
    test_clock_skip_ms(7000);
    assert_memory_equal(loop_clock(loop), &before, sizeof(before));
    loop_turn(loop, 0);
    assert_true(loop_clock(loop)->mono_us >= before.mono_us + 7000000);
    assert_true(loop_clock(loop)->wall_us >= before.wall_us + 7000000);
    assert_int_equal(loop_now_ms(loop), loop_clock(loop)->mono_us / 1000);
}

static void loop_serves_more_descriptors_than_one_batch(void **state)
{
    enum { COUNT = 300 };
    struct loop *loop = *state;
    struct source *sources = calloc(COUNT, sizeof(*sources));
    assert_non_null(sources);
    for (size_t i = 0; i < COUNT; i++) {
        source_open(&sources[i], loop, EPOLLIN | EPOLLET);
        poke(&sources[i]);
    }
    for (int turn = 0; turn < 4; turn++)
        loop_turn(loop, 0);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(sources[i].calls, 1);
        source_close(&sources[i]);
    }
    free(sources);
}

static void loop_free_takes_null(void **state)
{
    (void)state;
    assert_null(loop_free(NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(loop_calls_the_watch_of_the_descriptor_that_is_ready),
        TEST(loop_rewatch_changes_what_is_seen),
        TEST(loop_watch_says_why_it_cannot),
        TEST(loop_unwatch_takes_effect_at_once_also_from_a_callback),
        TEST(loop_unwatch_of_itself_is_allowed),
        TEST(loop_timers_fire_in_the_order_of_their_time),
        TEST(loop_timer_fires_at_its_millisecond_and_once),
        TEST(loop_timer_moved_to_an_earlier_time_fires_then),
        TEST(loop_timer_moved_to_a_later_time_fires_then_and_once),
        TEST(loop_timer_that_is_paused_fires_only_when_armed_again),
        TEST(loop_timer_may_stop_others_and_arm_itself_again),
        TEST(loop_turn_waits_for_a_timer_and_not_longer_than_it_may),
        TEST(loop_clock_is_read_once_per_turn),
        TEST(loop_serves_more_descriptors_than_one_batch),
        cmocka_unit_test(loop_free_takes_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
