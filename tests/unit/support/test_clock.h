/* SPDX-License-Identifier: Apache-2.0 */
/* A clock that the test owns: it stands still until the test moves it on, or runs with real time
 * when the test lets it. The test program's own clock_read() takes the place of the library's, so
 * nobody sleeps for a deadline, and deadlines are exact. */
#ifndef SUPPORT_TEST_CLOCK_H
#define SUPPORT_TEST_CLOCK_H

#include <time.h>

#include "base/clock.h"

/* How far ahead of its source the clock is. */
static int64_t test_clock_ahead_us;
/* Where it stands; all zero: it runs. */
static struct clock test_clock_stands;

static inline int64_t test_clock_real_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct clock clock_read(void)
{
    struct clock clock = test_clock_stands;
    if (clock.wall_us == 0)
        clock = (struct clock){.mono_us = test_clock_real_us(CLOCK_MONOTONIC),
                               .wall_us = test_clock_real_us(CLOCK_REALTIME)};
    clock.mono_us += test_clock_ahead_us;
    clock.wall_us += test_clock_ahead_us;
    return clock;
}

static inline void test_clock_run(void)
{
    test_clock_ahead_us = 0;
    test_clock_stands = (struct clock){0};
}

static inline void test_clock_stop(void)
{
    test_clock_run();
    test_clock_stands = clock_read();
}

static inline void test_clock_skip_ms(int64_t ms)
{
    test_clock_ahead_us += ms * 1000;
}

#endif
