/* SPDX-License-Identifier: Apache-2.0 */
/* Latency histogram: each power of two is cut into 128 equal buckets, so that a percentile is read
 * with less than 1 % error from a nanosecond up to half an hour, in constant memory. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_MAX_BITS 41
#define HISTOGRAM_BUCKETS ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* Zero-initialised it is empty. */
struct histogram {
    uint64_t count;
    uint64_t max_ns;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value_ns);

/* The value that `fraction` (0..1) of all values do not exceed, in nanoseconds; 0 when empty. */
uint64_t histogram_percentile_ns(const struct histogram *histogram, double fraction);

#endif
