/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation functions whose small allocations succeed also when malloc() fails, out of a reserve
 * of the process: for a library that is not sound when one of them fails. (libcurl 7.88 divides by
 * zero once there was no memory to note a transfer at its socket.)
 *
 * At most RESERVE_SLOTS blocks of RESERVE_SLOT_BYTES are lent at a time; what is larger, and what
 * comes when all are lent, fails as malloc() does. Thread-safe, without locks. The functions keep
 * to the contracts of those of the C library, whose memory they give and take. */
#ifndef BASE_RESERVE_H
#define BASE_RESERVE_H

#include <stddef.h>

#define RESERVE_SLOTS 128
#define RESERVE_SLOT_BYTES 512

void *reserve_malloc(size_t size);
void *reserve_calloc(size_t n, size_t size);
void *reserve_realloc(void *old, size_t size);
char *reserve_strdup(const char *text);
void reserve_free(void *memory);

#endif
