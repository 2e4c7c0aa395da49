/* SPDX-License-Identifier: Apache-2.0 */
/* Time as a value: read once per loop turn, passed to whoever needs it, set freely by tests. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t mono_us; /* CLOCK_MONOTONIC, microseconds: for every deadline and duration */
    int64_t wall_us; /* CLOCK_REALTIME, microseconds since 1970: exp, nbf, iat and log lines only */
};

struct clock clock_read(void);

static inline int64_t clock_mono_ms(const struct clock *clock)
{
    return clock->mono_us / 1000;
}
static inline int64_t clock_wall_s(const struct clock *clock)
{
    return clock->wall_us / 1000000;
}

#endif
