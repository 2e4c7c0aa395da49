/* SPDX-License-Identifier: Apache-2.0 */
/* A clock that the test owns: real time, plus what the test adds to it. The test program's own
 * clock_read() takes the place of the library's, so nobody sleeps for a deadline. */
#ifndef SUPPORT_TEST_CLOCK_H
#define SUPPORT_TEST_CLOCK_H

#include <time.h>

#include "base/clock.h"

/* How far ahead of the real clocks we are. */
static int64_t test_clock_ahead_us;

static inline int64_t test_clock_real_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct clock clock_read(void)
{
    return (struct clock){.mono_us = test_clock_real_us(CLOCK_MONOTONIC) + test_clock_ahead_us,
                          .wall_us = test_clock_real_us(CLOCK_REALTIME) + test_clock_ahead_us};
}

static inline void test_clock_skip_ms(int64_t ms)
{
    test_clock_ahead_us += ms * 1000;
}

#endif
