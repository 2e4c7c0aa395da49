/* SPDX-License-Identifier: Apache-2.0 */
/* One of many, by a ratio: a decision that is the same wherever it is made, since it comes from an
 * id that the thing in question carries.
 *
 * As in OpenTelemetry's consistent probability sampling: 56 random bits of the id, the rightmost
 * ones of a trace id, are compared with a threshold; below it the thing is left out. */
#ifndef BASE_SAMPLE_H
#define BASE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define SAMPLE_BITS 56

/* What RATIO (from 0, none, to 1, all) leaves out: a number of 2^56. */
uint64_t sample_threshold(double ratio);

/* RANDOM: at least 56 random bits, the lowest ones count. THRESHOLD 0 keeps everything. */
static inline bool sample_keeps(uint64_t threshold, uint64_t random)
{
    return (random & ((UINT64_C(1) << SAMPLE_BITS) - 1)) >= threshold;
}

/* The last 56 bits of an id in lower-case hexadecimal, at least 14 digits long. */
uint64_t sample_bits_of_hex(struct str id);

#endif
