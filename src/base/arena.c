/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/secret.h"

#define ARENA_ALIGN _Alignof(max_align_t)
#define ARENA_MIN_BLOCK 1024
#define ROUND_UP(n) (((n) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN)
#define FIRST_BLOCK_OFFSET ROUND_UP(sizeof(struct arena))

struct block {
    struct block *next;
    size_t size;
    size_t used;
    max_align_t bytes[];
};

struct arena {
    struct block *current; /* the newest block */
    size_t total;
    size_t max;
};

/* The first block sits behind the arena itself, in the same allocation. */
static struct block *first_block(struct arena *arena)
{
    return (struct block *)(void *)((char *)arena + FIRST_BLOCK_OFFSET);
}

struct arena *arena_new(size_t first, size_t max)
{
    struct arena *arena = malloc(FIRST_BLOCK_OFFSET + sizeof(struct block) + first);
    if (arena == NULL)
        return NULL;
    arena->current = first_block(arena);
    arena->current->next = NULL;
    arena->current->size = first;
    arena->current->used = 0;
    arena->total = first;
    arena->max = max;
    return arena;
}

struct arena *arena_free(struct arena *arena)
{
    if (arena == NULL)
        return NULL;
    struct block *block = arena->current;
    while (block != first_block(arena)) {
        struct block *next = block->next; /* NOLINT: the list ends with the first block */
        free(block);
        block = next;
    }
    free(arena);
    return NULL;
}

struct arena *arena_free_wiped(struct arena *arena)
{
    if (arena == NULL)
        return NULL;
    for (struct block *block = arena->current; block != NULL; block = block->next)
        secret_wipe(block->bytes, block->used);
    return arena_free(arena);
}

static struct block *arena_grow(struct arena *arena, size_t size)
{
    size_t want = size_max(size, size_max(ARENA_MIN_BLOCK, arena->current->size));
    if (size > arena->max - arena->total)
        return NULL;
    want = size_min(want, arena->max - arena->total);
    struct block *block = malloc(sizeof(*block) + want);
    if (block == NULL)
        return NULL;
    block->next = arena->current;
    block->size = want;
    block->used = 0;
    arena->current = block;
    arena->total += want;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGN)
        return NULL;
    size_t rounded = ROUND_UP(size);
    struct block *block = arena->current;
    if (rounded > block->size - block->used) {
        block = arena_grow(arena, rounded);
        if (block == NULL)
            return NULL;
    }
    void *ptr = (char *)block->bytes + block->used;
    block->used += rounded;
    return ptr;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *ptr = arena_alloc(arena, size);
    if (ptr != NULL)
        memset(ptr, 0, size);
    return ptr;
}

struct str arena_str(struct arena *arena, struct str s)
{
    if (s.len == SIZE_MAX)
        return (struct str){0};
    char *copy = arena_alloc(arena, s.len + 1);
    if (copy == NULL)
        return (struct str){0};
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return str_make(copy, s.len);
}
