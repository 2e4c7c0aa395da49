/* SPDX-License-Identifier: Apache-2.0 */
/* Faults and ownership: how functions say that something failed, and how owning locals end.
 *
 * A function that can fail for reasons outside the program returns 0 or a negative errno value;
 * callers pass it up unchanged. Where the caller must tell cases apart there is an enum instead. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Runs FN on the address of the variable when it goes out of scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* A large local that is filled before it is read: spares the zeroing that the build otherwise asks
 * for (-ftrivial-auto-var-init). For hot paths only. */
#define NOT_ZEROED __attribute__((uninitialized))

/* Hands a pointer over to a new owner and leaves NULL behind. */
#define TAKE(p)                     \
    __extension__({                 \
        __typeof__(p) take_p = (p); \
        (p) = NULL;                 \
        take_p;                     \
    })

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* The smaller and the larger of two sizes. */
static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
