/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers that are the same everywhere. */
#ifndef SUPPORT_DICE_H
#define SUPPORT_DICE_H

#include <stdint.h>

/* xorshift64; the state is the seed at first, and not 0. */
struct dice {
    uint64_t state;
};

/* 0 to SIDES - 1. */
static inline unsigned throw(struct dice * dice, unsigned sides)
{
    dice->state ^= dice->state << 13;
    dice->state ^= dice->state >> 7;
    dice->state ^= dice->state << 17;
    return (unsigned)(dice->state >> 33) % sides;
}

#endif
