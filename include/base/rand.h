/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness from the operating system's generator, by way of OpenSSL. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Fills LEN (at most INT_MAX) bytes; 0 or -EIO. */
int rand_bytes(void *ret_bytes, size_t len);

/* A fast generator for values that need not be secret: request ids, jitter. Owned by one thread. */
struct rng {
    uint64_t state[2];
};
/* Seeds from rand_bytes(); 0 or -EIO. */
int rng_init(struct rng *rng);
uint64_t rng_next(struct rng *rng);

#endif
