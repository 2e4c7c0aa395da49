/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sample.h"

#include <assert.h>

#define HEX_DIGITS (SAMPLE_BITS / 4)

uint64_t sample_threshold(double ratio)
{
    const double all = (double)(UINT64_C(1) << SAMPLE_BITS);
    if (!(ratio > 0)) /* nor a number that is none */
        return UINT64_C(1) << SAMPLE_BITS;
    return ratio >= 1 ? 0 : (uint64_t)((1 - ratio) * all + 0.5);
}

uint64_t sample_bits_of_hex(struct str id)
{
    uint64_t bits = 0;
    assert(id.len >= HEX_DIGITS);
    for (size_t i = id.len - HEX_DIGITS; i < id.len; i++) {
        char c = id.ptr[i];
        bits = bits << 4 | (unsigned)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    return bits;
}
