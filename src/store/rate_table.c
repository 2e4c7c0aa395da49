/* SPDX-License-Identifier: Apache-2.0 */
#include "store/rate_table.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/rand.h"
#include "base/siphash.h"

#define SHARDS 64 /* locks; a power of two */
#define WAYS 8    /* places that a bucket can take: two cache lines */

struct entry {
    uint64_t hash;
    int64_t tat_ns; /* 0: never used */
};

struct set {
    struct entry ways[WAYS];
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct set *sets;
    uint64_t evictions;
};

struct rate_table {
    struct shard shards[SHARDS];
    uint8_t key[SIPHASH_KEY_LEN];
    size_t sets_per_shard; /* a power of two */
    unsigned n_locks;      /* that were made */
    struct set *sets;
};

struct rate_table *rate_table_new(size_t min_entries)
{
    struct rate_table *table = aligned_alloc(_Alignof(struct rate_table), sizeof(*table));
    if (table == NULL)
        return NULL;
    *table = (struct rate_table){.sets_per_shard = 1};
    while (table->sets_per_shard * SHARDS * WAYS < min_entries)
        table->sets_per_shard *= 2;
    table->sets = calloc(table->sets_per_shard * SHARDS, sizeof(struct set));
    if (table->sets == NULL || rand_bytes(table->key, sizeof(table->key)) < 0)
        return rate_table_free(table);
    for (; table->n_locks < SHARDS; table->n_locks++) {
        struct shard *shard = &table->shards[table->n_locks];
        shard->sets = table->sets + table->n_locks * table->sets_per_shard;
        if (pthread_mutex_init(&shard->lock, NULL) != 0)
            return rate_table_free(table);
    }
    return table;
}

struct rate_table *rate_table_free(struct rate_table *table)
{
    if (table == NULL)
        return NULL;
    for (unsigned i = 0; i < table->n_locks; i++)
        (void)pthread_mutex_destroy(&table->shards[i].lock);
    free(table->sets);
    free(table);
    return NULL;
}

uint64_t rate_table_hash(const struct rate_table *table, const struct str *parts, size_t n_parts)
{
    return siphash_parts(table->key, parts, n_parts);
}

/* The entry of HASH in SET, or the place for it. */
static struct entry *find_entry(struct shard *shard, struct set *set, uint64_t hash, int64_t now_ns)
{
    struct entry *fullest = &set->ways[0];
    for (size_t i = 0; i < WAYS; i++) {
        struct entry *entry = &set->ways[i];
        if (entry->hash == hash)
            return entry;
        if (entry->tat_ns < fullest->tat_ns)
            fullest = entry;
    }
    shard->evictions += fullest->tat_ns > now_ns ? 1 : 0;
    *fullest = (struct entry){.hash = hash};
    return fullest;
}

bool rate_table_take(struct rate_table *table, uint64_t hash, const struct gcra *gcra,
                     int64_t now_ns, int64_t cost, int64_t *ret_wait_ns)
{
    struct shard *shard = &table->shards[hash % SHARDS];
    struct set *set = &shard->sets[(hash / SHARDS) & (table->sets_per_shard - 1)];
    (void)pthread_mutex_lock(&shard->lock);
    struct entry *entry = find_entry(shard, set, hash, now_ns);
    bool taken = gcra_take(gcra, now_ns, cost, &entry->tat_ns, ret_wait_ns);
    (void)pthread_mutex_unlock(&shard->lock);
    return taken;
}

struct rate_table_stats rate_table_stats(struct rate_table *table, int64_t now_ns)
{
    struct rate_table_stats stats = {.capacity = table->sets_per_shard * SHARDS * WAYS};
    for (size_t s = 0; s < SHARDS; s++) {
        struct shard *shard = &table->shards[s];
        (void)pthread_mutex_lock(&shard->lock);
        for (size_t i = 0; i < table->sets_per_shard * WAYS; i++)
            stats.used += shard->sets[i / WAYS].ways[i % WAYS].tat_ns > now_ns ? 1 : 0;
        stats.evictions += shard->evictions;
        (void)pthread_mutex_unlock(&shard->lock);
    }
    return stats;
}
