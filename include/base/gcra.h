/* SPDX-License-Identifier: Apache-2.0 */
/* The generic cell rate algorithm (ITU-T I.371): a token bucket that is one point in time. Pure
 * arithmetic on nanoseconds of a monotonic clock; nothing overflows within the ranges below.
 *
 * The theoretical arrival time (TAT) is when the bucket will be full again. Taking N tokens moves
 * it N intervals on, and is refused where it would lie further ahead than a whole bucket. So in any
 * stretch of time t at most burst + t / interval tokens are taken.
 *
 * Callers whose clocks are less than a second apart may share a bucket: together they take no more
 * than one whose clock is ahead of all of them would. */
#ifndef BASE_GCRA_H
#define BASE_GCRA_H

#include <stdbool.h>
#include <stdint.h>

#define GCRA_NS_PER_MS INT64_C(1000000)
#define GCRA_NS_PER_S INT64_C(1000000000)
#define GCRA_MAX_PERIOD_MS (INT64_C(24) * 3600 * 1000)
#define GCRA_MAX_COUNT 1000000 /* of tokens in a period, and in a bucket */
/* From empty to full a bucket takes no longer: what is remembered is forgotten after that. */
#define GCRA_MAX_FILL_NS (INT64_C(31) * 24 * 3600 * GCRA_NS_PER_S)

struct gcra {
    int64_t interval_ns; /* in which one token comes back; 0: no limit */
    int64_t burst;       /* tokens in a full bucket, at least 1 */
};

/* COUNT tokens in PERIOD_MS, rounded so that it is never more. Both are at least 1 and at most the
 * limits above; BURST is at least 1. False when the bucket would fill too slowly. */
bool gcra_make(int64_t count, int64_t period_ms, int64_t burst, struct gcra *ret_gcra);

/* Takes COST (at least 1) tokens from the bucket at *TAT_NS (0: full). True: taken. False: nothing
 * was; *RET_WAIT_NS is in how long so many will be there. A COST past the burst is never there:
 * then it is the time that a full bucket takes. NOW_NS is not negative. */
bool gcra_take(const struct gcra *gcra, int64_t now_ns, int64_t cost, int64_t *tat_ns,
               int64_t *ret_wait_ns);

/* NS in whole seconds, rounded up, at least 1: for Retry-After. */
int64_t gcra_wait_s(int64_t ns);

#endif
