/* SPDX-License-Identifier: Apache-2.0 */
/* The token buckets of one process, shared by its threads.
 *
 * A fixed amount of memory, whatever strangers do. A bucket that is full again is as good as
 * forgotten, so its place is free. When all places that a new bucket could take hold buckets that
 * are not full, the one that would be full first goes: among buckets of one rate that of a key that
 * has hardly been used, so that a flood of new keys pushes out its own, and nobody's empty bucket
 * is made full by one. Buckets of quick rates go before those of slow ones. Keys are hashed with a
 * secret of the process: which of them share places cannot be told or chosen.
 *
 * A look-up holds one of many locks for the time of reading eight entries. */
#ifndef STORE_RATE_TABLE_H
#define STORE_RATE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gcra.h"
#include "base/str.h"

struct rate_table;

/* Room for at least MIN_ENTRIES buckets of 16 bytes each; memory that is not used yet is not
 * touched. NULL when memory or randomness is short. */
struct rate_table *rate_table_new(size_t min_entries);
struct rate_table *rate_table_free(struct rate_table *table); /* takes NULL, returns NULL */

/* What a bucket is known by here. PARTS (at most SIPHASH_MAX_PARTS) tell of what it is, and whose.
 */
uint64_t rate_table_hash(const struct rate_table *table, const struct str *parts, size_t n_parts);

/* Thread-safe. As gcra_take() on the bucket of HASH, which is full when it is new. */
bool rate_table_take(struct rate_table *table, uint64_t hash, const struct gcra *gcra,
                     int64_t now_ns, int64_t cost, int64_t *ret_wait_ns);

struct rate_table_stats {
    size_t capacity;
    size_t used;        /* buckets that are not full at NOW_NS */
    uint64_t evictions; /* of buckets that were not full */
};
/* Thread-safe; looks at every entry. */
struct rate_table_stats rate_table_stats(struct rate_table *table, int64_t now_ns);

#endif
