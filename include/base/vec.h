/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen bytes at a time, for checks that every byte of a request goes through. A vector of the
 * GNU dialect: which instructions that makes is the compiler's business. A comparison of two gives
 * 0xff where it holds and 0 where it does not. */
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t vec16 __attribute__((vector_size(16)));

static inline vec16 vec16_load(const char *bytes)
{
    vec16 x;
    memcpy(&x, bytes, sizeof(x));
    return x;
}

/* Every bit is set: a comparison holds for all sixteen bytes. */
static inline bool vec16_all(vec16 x)
{
    uint64_t halves[2];
    memcpy(halves, &x, sizeof(halves));
    return (halves[0] & halves[1]) == UINT64_MAX;
}

#endif
