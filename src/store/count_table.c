/* SPDX-License-Identifier: Apache-2.0 */
#include "store/count_table.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/rand.h"
#include "base/siphash.h"

#define BUCKETS 4096 /* a power of two; chains stay short up to tens of thousands of keys */

/* All places of one key are one object. */
struct count_place {
    struct count_place *next; /* in the chain */
    uint64_t hash;
    uint32_t taken;
};

/* One lock: places are taken and given back once for every stream or connection, not for every
 * request. */
struct count_table {
    pthread_mutex_t lock;
    uint8_t key[SIPHASH_KEY_LEN];
    struct count_table_stats stats;
    struct count_place *chains[BUCKETS];
};

struct count_table *count_table_new(void)
{
    struct count_table *table = calloc(1, sizeof(*table));
    if (table == NULL || rand_bytes(table->key, sizeof(table->key)) < 0 ||
        pthread_mutex_init(&table->lock, NULL) != 0) {
        free(table);
        return NULL;
    }
    return table;
}

struct count_table *count_table_free(struct count_table *table)
{
    if (table == NULL)
        return NULL;
    assert(table->stats.places == 0);
    (void)pthread_mutex_destroy(&table->lock);
    free(table);
    return NULL;
}

static struct count_place **chain_of(struct count_table *table, uint64_t hash)
{
    return &table->chains[hash % BUCKETS];
}

static struct count_place *find_place(struct count_place *chain, uint64_t hash)
{
    while (chain != NULL && chain->hash != hash)
        chain = chain->next;
    return chain;
}

static struct count_place *add_place(struct count_table *table, uint64_t hash)
{
    struct count_place **chain = chain_of(table, hash);
    struct count_place *place = malloc(sizeof(*place));
    if (place == NULL)
        return NULL;
    *place = (struct count_place){.next = *chain, .hash = hash};
    *chain = place;
    table->stats.keys++;
    return place;
}

static void remove_place(struct count_table *table, struct count_place *place)
{
    struct count_place **at = chain_of(table, place->hash);
    while (*at != place)
        at = &(*at)->next;
    *at = place->next;
    table->stats.keys--;
    free(place);
}

static enum count_rc take_locked(struct count_table *table, uint64_t hash, uint32_t limit,
                                 struct count_place **ret_place)
{
    struct count_place *place = find_place(*chain_of(table, hash), hash);
    if ((place != NULL ? place->taken : 0) >= limit)
        return COUNT_FULL;
    if (place == NULL)
        place = add_place(table, hash);
    if (place == NULL)
        return COUNT_NO_MEMORY;
    place->taken++;
    table->stats.places++;
    *ret_place = place;
    return COUNT_OK;
}

enum count_rc count_table_take(struct count_table *table, const struct str *parts, size_t n_parts,
                               uint32_t limit, struct count_place **ret_place)
{
    uint64_t hash = siphash_parts(table->key, parts, n_parts);
    (void)pthread_mutex_lock(&table->lock);
    enum count_rc rc = take_locked(table, hash, limit, ret_place);
    (void)pthread_mutex_unlock(&table->lock);
    return rc;
}

struct count_place *count_table_give_back(struct count_table *table, struct count_place *place)
{
    if (place == NULL)
        return NULL;
    (void)pthread_mutex_lock(&table->lock);
    assert(place->taken > 0);
    table->stats.places--;
    if (--place->taken == 0)
        remove_place(table, place);
    (void)pthread_mutex_unlock(&table->lock);
    return NULL;
}

struct count_table_stats count_table_stats(struct count_table *table)
{
    (void)pthread_mutex_lock(&table->lock);
    struct count_table_stats stats = table->stats;
    (void)pthread_mutex_unlock(&table->lock);
    return stats;
}
