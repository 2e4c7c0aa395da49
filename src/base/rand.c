/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/rand.h>

int rand_bytes(void *ret_bytes, size_t len)
{
    if (len > INT_MAX)
        return -EIO;
    if (RAND_bytes(ret_bytes, (int)len) != 1) {
        ERR_clear_error();
        return -EIO;
    }
    return 0;
}

int rng_init(struct rng *rng)
{
    int r = rand_bytes(rng->state, sizeof(rng->state));
    rng->state[0] |= 1; /* an all-zero state would stay zero */
    return r;
}

/* xoroshiro128+ (Blackman and Vigna). */
uint64_t rng_next(struct rng *rng)
{
    uint64_t a = rng->state[0];
    uint64_t b = rng->state[1];
    uint64_t result = a + b;
    b ^= a;
    rng->state[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
    rng->state[1] = (b << 37) | (b >> 27);
    return result;
}
