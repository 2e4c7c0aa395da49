/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that must not stay behind are wiped before free; and the digest by which a secret may be
 * named in a log or looked up. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define SHA256_LEN 32

/* Overwrites LEN bytes in a way the compiler may not remove. Takes NULL. */
void secret_wipe(void *ptr, size_t len);

/* SHA-256 of BYTES (FIPS 180-4) with a digest that was fetched once per process; 0 or -EIO. */
int secret_sha256(struct str bytes, uint8_t ret_digest[SHA256_LEN]);

#endif
