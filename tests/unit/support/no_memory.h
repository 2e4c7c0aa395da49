/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations that fail when a test wants them to: malloc(), calloc() and realloc() of the whole
 * process, libraries included. To be included once, by a test of one thread. The sanitizers have an
 * allocator of their own: under them nothing fails, and NO_MEMORY_WORKS is 0. */
#ifndef SUPPORT_NO_MEMORY_H
#define SUPPORT_NO_MEMORY_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NO_MEMORY_WORKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NO_MEMORY_WORKS 0
#endif
#endif
#ifndef NO_MEMORY_WORKS
#define NO_MEMORY_WORKS 1
#endif

static struct {
    bool is_armed;
    bool all;    /* every later one fails, too */
    long before; /* so many succeed first */
    long failed;
} no_memory;

/* From here on the allocation number N (0 is the next one) fails; with ALL every one behind it. */
static inline void no_memory_begin(long n, bool all)
{
    no_memory.all = all;
    no_memory.before = n;
    no_memory.failed = 0;
    no_memory.is_armed = true;
}

/* True when one has failed since then. */
static inline bool no_memory_end(void)
{
    no_memory.is_armed = false;
    return no_memory.failed > 0;
}

#if NO_MEMORY_WORKS
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *old, size_t size);

static bool no_memory_now(void)
{
    if (!no_memory.is_armed || no_memory.before-- > 0)
        return false;
    if (no_memory.failed > 0 && !no_memory.all)
        return false;
    no_memory.failed++;
    errno = ENOMEM;
    return true;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return no_memory_now() ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    return no_memory_now() ? NULL : __libc_calloc(n, size);
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t size)
{
    return no_memory_now() ? NULL : __libc_realloc(old, size);
}
#endif

#endif
