/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <stddef.h>

#define SUB_BUCKETS (UINT64_C(1) << HISTOGRAM_SUB_BITS)
#define MAX_VALUE ((UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1)

/* Values below SUB_BUCKETS have a bucket each; above, the leading 1 + SUB_BITS bits choose it. */
static size_t bucket_of(uint64_t value)
{
    if (value < SUB_BUCKETS)
        return (size_t)value;
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_SUB_BITS) + (size_t)((value >> shift) - SUB_BUCKETS);
}

static uint64_t bucket_floor(size_t bucket)
{
    uint64_t sub = bucket & (SUB_BUCKETS - 1);
    size_t group = bucket >> HISTOGRAM_SUB_BITS;
    return group == 0 ? sub : (SUB_BUCKETS + sub) << (group - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value_ns)
{
    uint64_t value = value_ns > MAX_VALUE ? MAX_VALUE : value_ns;
    histogram->buckets[bucket_of(value)]++;
    histogram->count++;
    if (value_ns > histogram->max_ns)
        histogram->max_ns = value_ns;
}

uint64_t histogram_percentile_ns(const struct histogram *histogram, double fraction)
{
    double wanted = fraction * (double)histogram->count;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= wanted)
            return bucket_floor(i);
    }
    return histogram->max_ns;
}
