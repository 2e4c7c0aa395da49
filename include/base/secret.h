/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that must not stay behind are wiped before free; the digest by which a secret may be named
 * in a log or looked up; and what proves that someone with a key has said something. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define SHA256_LEN 32

/* Overwrites LEN bytes in a way the compiler may not remove. Takes NULL. */
void secret_wipe(void *ptr, size_t len);

/* SHA-256 of BYTES (FIPS 180-4) with a digest that was fetched once per process; 0 or -EIO. */
int secret_sha256(struct str bytes, uint8_t ret_digest[SHA256_LEN]);

/* The same for one thread that makes many: no allocation, and no count of references that threads
 * share. NULL: no memory, or no SHA-256 in this OpenSSL. */
struct hasher;
struct hasher *hasher_make(void);
struct hasher *hasher_free(struct hasher *hasher); /* takes NULL, returns NULL */
int hasher_sha256(struct hasher *hasher, struct str bytes, uint8_t ret_digest[SHA256_LEN]);

/* True when the LEN bytes at A and B are the same; takes as long wherever they differ. */
bool secret_eq(const void *a, const void *b, size_t len);

/* HMAC-SHA256 of MESSAGE (RFC 2104, FIPS 198-1). KEY is not empty. 0 or -EIO. */
int secret_hmac(struct str key, struct str message, uint8_t ret_mac[SHA256_LEN]);

/* HMAC-SHA256 of a list: each part behind its length, 8 bytes, the highest first. So no two lists
 * are the same message: not "ab", "c" and "a", "bc", nor "a" and "a", "". An absent part counts as
 * an empty one. KEY is not empty. 0 or -EIO. */
int secret_hmac_parts(struct str key, const struct str *parts, size_t n_parts,
                      uint8_t ret_mac[SHA256_LEN]);

#endif
