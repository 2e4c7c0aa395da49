/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 (Aumasson, Bernstein 2012): a short keyed hash for tables that strangers fill. Who
 * does not know the key cannot choose what collides. No substitute for an HMAC. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define SIPHASH_KEY_LEN 16
#define SIPHASH_MAX_PARTS 8

/* The hash of BYTES. */
uint64_t siphash(const uint8_t key[SIPHASH_KEY_LEN], struct str bytes);
/* The hash of a list of at most SIPHASH_MAX_PARTS: that of the hashes of its parts, so that "ab",
 * "c" and "a", "bc" differ. */
uint64_t siphash_parts(const uint8_t key[SIPHASH_KEY_LEN], const struct str *parts, size_t n_parts);

#endif
