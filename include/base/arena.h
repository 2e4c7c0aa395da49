/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one lifetime: many small allocations, one free, a ceiling.
 *
 * The first block is part of the arena's own allocation, so a small request costs one malloc. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct arena;

/* An arena whose first block holds FIRST bytes and that refuses to hold more than MAX in all.
 * NULL when memory is short. */
struct arena *arena_new(size_t first, size_t max);
/* Frees everything in it; takes NULL, returns NULL. */
struct arena *arena_free(struct arena *arena);
/* The same for an arena that holds secrets: every byte is overwritten first. */
struct arena *arena_free_wiped(struct arena *arena);

/* SIZE bytes aligned for any object, not initialised. NULL past the ceiling or when memory is
 * short. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);
/* A copy that lives as long as the arena, NUL-terminated behind its length. The absent string
 * (ptr NULL) when there is no room. */
struct str arena_str(struct arena *arena, struct str s);

/* One object of TYPE, zeroed; NULL like arena_alloc(). */
#define ARENA_NEW(arena, type) ((type *)arena_zalloc((arena), sizeof(type)))

#endif
