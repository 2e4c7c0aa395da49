/* SPDX-License-Identifier: Apache-2.0 */
#include "base/reserve.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_PER_WORD 64

/* Of the process, as malloc() is: the hooks of libraries are that, too, and take no context. */
static _Alignas(max_align_t) char slots[RESERVE_SLOTS][RESERVE_SLOT_BYTES];
static _Atomic uint64_t lent[RESERVE_SLOTS / SLOTS_PER_WORD];

static bool is_slot(const void *memory)
{
    const uintptr_t at = (uintptr_t)memory;
    return at >= (uintptr_t)slots && at < (uintptr_t)slots + sizeof(slots);
}

static void *lend(size_t size)
{
    for (size_t i = 0; size <= RESERVE_SLOT_BYTES && i < RESERVE_SLOTS / SLOTS_PER_WORD; i++) {
        uint64_t old = atomic_load(&lent[i]);
        while (old != UINT64_MAX) {
            const unsigned bit = (unsigned)__builtin_ctzll(~old);
            if (atomic_compare_exchange_weak(&lent[i], &old, old | (uint64_t)1 << bit))
                return slots[i * SLOTS_PER_WORD + bit];
        }
    }
    return NULL;
}

static void give_back(const void *slot)
{
    const size_t index = (size_t)((const char *)slot - slots[0]) / RESERVE_SLOT_BYTES;
    const uint64_t bit = (uint64_t)1 << index % SLOTS_PER_WORD;
    (void)atomic_fetch_and(&lent[index / SLOTS_PER_WORD], ~bit);
}

static size_t usable_bytes(void *memory)
{
    if (memory == NULL)
        return 0;
    return is_slot(memory) ? RESERVE_SLOT_BYTES : malloc_usable_size(memory);
}

void *reserve_malloc(size_t size)
{
    void *memory = malloc(size);
    return memory != NULL ? memory : lend(size);
}

void *reserve_calloc(size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    void *memory = calloc(n, size);
    if (memory != NULL)
        return memory;
    memory = lend(total);
    return memory != NULL ? memset(memory, 0, total) : NULL;
}

void *reserve_realloc(void *old, size_t size)
{
    if (size == 0) /* realloc() would free OLD and give NULL, as if memory were short */
        size = 1;
    void *memory = is_slot(old) ? malloc(size) : realloc(old, size);
    if (memory != NULL && !is_slot(old))
        return memory;
    if (memory == NULL && is_slot(old) && size <= RESERVE_SLOT_BYTES)
        return old;
    if (memory == NULL)
        memory = lend(size);
    if (memory == NULL)
        return NULL;
    const size_t had = usable_bytes(old);
    if (had > 0)
        memcpy(memory, old, had < size ? had : size);
    reserve_free(old);
    return memory;
}

char *reserve_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = reserve_malloc(size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void reserve_free(void *memory)
{
    if (is_slot(memory))
        give_back(memory);
    else
        free(memory);
}
