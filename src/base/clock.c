/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec ts;
    if (clock_gettime(id, &ts) != 0)
        return 0;
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct clock clock_read(void)
{
    return (struct clock){.mono_us = read_us(CLOCK_MONOTONIC), .wall_us = read_us(CLOCK_REALTIME)};
}
