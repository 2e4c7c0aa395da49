/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of chains and a list by last use, both intrusive: every verb but the sweeps is O(1).
 * The digest spreads by itself, and only tokens that an issuer signed get in, so nobody can aim at
 * one bucket. */
#include "auth/token_cache.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"

struct entry {
    struct list by_use; /* in token_cache.by_use */
    struct entry *next; /* in its bucket */
    uint8_t digest[SHA256_LEN];
    struct identity *identity; /* one reference */
    size_t bytes;              /* all of it */
    size_t identity_bytes;     /* of these, those of the identity, as far as it was counted */
    size_t token_len;
    char token[];
};

struct token_cache {
    size_t max_entries;
    size_t max_bytes;
    struct token_cache_stats stats;
    struct list by_use; /* the one not used for longest comes first */
    size_t mask;        /* number of buckets - 1 */
    struct entry *buckets[];
};

/* Two entries to a bucket at most, on average: the table is memory that every process pays for. */
static size_t n_buckets_for(size_t max_entries)
{
    size_t n = 1;
    while (n < max_entries / 2 && n <= SIZE_MAX / 4 / sizeof(struct entry *))
        n *= 2;
    return n;
}

struct token_cache *token_cache_make(size_t max_entries, size_t max_bytes)
{
    const size_t n_buckets = n_buckets_for(max_entries);
    struct token_cache *cache = calloc(1, sizeof(*cache) + n_buckets * sizeof(struct entry *));
    if (cache == NULL)
        return NULL;
    cache->max_entries = size_max(max_entries, 1);
    cache->max_bytes = max_bytes;
    cache->mask = n_buckets - 1;
    list_init(&cache->by_use);
    return cache;
}

struct token_cache *token_cache_free(struct token_cache *cache)
{
    if (cache != NULL)
        token_cache_clear(cache);
    free(cache);
    return NULL;
}

static struct entry **bucket_of(struct token_cache *cache, const uint8_t digest[SHA256_LEN])
{
    size_t hash;
    memcpy(&hash, digest, sizeof(hash));
    return &cache->buckets[hash & cache->mask];
}

/* Equal digests first: then a plain comparison of the credential cannot leak it byte by byte. */
static struct entry *find(struct token_cache *cache, const uint8_t digest[SHA256_LEN],
                          struct str token)
{
    struct entry *entry = *bucket_of(cache, digest);
    while (entry != NULL && (memcmp(entry->digest, digest, SHA256_LEN) != 0 ||
                             !str_eq(str_make(entry->token, entry->token_len), token)))
        entry = entry->next;
    return entry;
}

static void end_entry(struct token_cache *cache, struct entry *entry)
{
    struct entry **place = bucket_of(cache, entry->digest);
    while (*place != entry)
        place = &(*place)->next;
    *place = entry->next;
    list_unlink(&entry->by_use);
    cache->stats.entries--;
    cache->stats.bytes -= entry->bytes;
    identity_unref(entry->identity);
    secret_wipe(entry->token, entry->token_len);
    free(entry);
}

/* There is one. */
static void end_oldest(struct token_cache *cache)
{
    struct list *oldest = list_first(&cache->by_use);
    end_entry(cache, LIST_ENTRY(oldest, struct entry, by_use));
    cache->stats.evictions++;
}

/* An identity gains claims and assertions after it was put in. Room for them is made at the expense
 * of other entries only: this one is in use. */
static void count_growth(struct token_cache *cache, struct entry *entry)
{
    const size_t before = entry->identity_bytes;
    const size_t now = identity_bytes(entry->identity);
    cache->stats.bytes = cache->stats.bytes - before + now;
    entry->bytes = entry->bytes - before + now;
    entry->identity_bytes = now;
    while (cache->stats.bytes > cache->max_bytes && list_first(&cache->by_use) != &entry->by_use)
        end_oldest(cache);
}

struct identity *token_cache_lookup(struct token_cache *cache, const uint8_t digest[SHA256_LEN],
                                    struct str token, int64_t now_s)
{
    struct entry *entry = find(cache, digest, token);
    if (entry != NULL && now_s >= entry->identity->dies_s) {
        end_entry(cache, entry);
        entry = NULL;
    }
    if (entry == NULL) {
        cache->stats.misses++;
        return NULL;
    }
    cache->stats.hits++;
    list_unlink(&entry->by_use);
    list_append(&cache->by_use, &entry->by_use);
    count_growth(cache, entry);
    return identity_ref(entry->identity);
}

static struct entry *entry_make(const uint8_t digest[SHA256_LEN], struct str token,
                                struct identity *identity, size_t bytes)
{
    struct entry *entry = malloc(sizeof(*entry) + token.len);
    if (entry == NULL)
        return NULL;
    *entry = (struct entry){
        .identity = identity_ref(identity),
        .bytes = bytes,
        .identity_bytes = identity_bytes(identity),
        .token_len = token.len,
    };
    memcpy(entry->digest, digest, SHA256_LEN);
    memcpy(entry->token, token.ptr, token.len);
    return entry;
}

static void make_room(struct token_cache *cache, size_t bytes)
{
    while (cache->stats.entries >= cache->max_entries ||
           cache->stats.bytes > cache->max_bytes - bytes)
        end_oldest(cache);
}

void token_cache_insert(struct token_cache *cache, const uint8_t digest[SHA256_LEN],
                        struct str token, struct identity *identity)
{
    const size_t bytes = sizeof(struct entry) + token.len + identity_bytes(identity);
    struct entry *older = find(cache, digest, token);
    if (older != NULL) /* verified twice at once: the newer verdict counts */
        end_entry(cache, older);
    if (bytes > cache->max_bytes)
        return;
    struct entry *entry = entry_make(digest, token, identity, bytes);
    if (entry == NULL)
        return;
    make_room(cache, bytes);
    struct entry **bucket = bucket_of(cache, digest);
    entry->next = *bucket;
    *bucket = entry;
    list_append(&cache->by_use, &entry->by_use);
    cache->stats.entries++;
    cache->stats.bytes += bytes;
}

void token_cache_drop_missing_keys(struct token_cache *cache, struct keyset *const *keysets)
{
    LIST_FOREACH (node, &cache->by_use) {
        struct entry *entry = LIST_ENTRY(node, struct entry, by_use);
        const struct identity *identity = entry->identity;
        if (!keyset_contains(keysets[identity->issuer_index], identity->kid, identity->thumbprint))
            end_entry(cache, entry);
    }
}

void token_cache_clear(struct token_cache *cache)
{
    LIST_FOREACH (node, &cache->by_use)
        end_entry(cache, LIST_ENTRY(node, struct entry, by_use));
}

struct token_cache_stats token_cache_stats(const struct token_cache *cache)
{
    return cache->stats;
}
