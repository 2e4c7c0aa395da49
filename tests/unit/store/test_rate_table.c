/* SPDX-License-Identifier: Apache-2.0 */
#include "store/rate_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define S GCRA_NS_PER_S
#define ENTRIES 1024

static const struct gcra ten_in_a_minute = {.interval_ns = 6 * S, .burst = 10};

static struct rate_table *make(size_t entries)
{
    struct rate_table *table = rate_table_new(entries);
    assert_non_null(table);
    return table;
}

static uint64_t hash_of(const struct rate_table *table, const char *key)
{
    const struct str part = str_from_cstr(key);
    return rate_table_hash(table, &part, 1);
}

static bool take(struct rate_table *table, const char *key, int64_t now_ns)
{
    int64_t wait;
    uint64_t hash = hash_of(table, key);
    return rate_table_take(table, hash, &ten_in_a_minute, now_ns, 1, &wait);
}

static void rate_table_has_a_bucket_for_each_key(void **state)
{
    (void)state;
    struct rate_table *table = make(ENTRIES);
    for (int i = 0; i < 10; i++) {
        assert_true(take(table, "alice", S));
        assert_true(take(table, "bob", S));
    }
    assert_false(take(table, "alice", S));
    assert_false(take(table, "bob", S));
    assert_true(take(table, "carol", S));
    assert_true(take(table, "alice", 7 * S));
    assert_int_equal(rate_table_stats(table, 7 * S).used, 2); /* carol's is full again */
    assert_int_equal(rate_table_stats(table, 100 * S).used, 0);
    (void)rate_table_free(table);
}

static void rate_table_hashes_with_a_secret_of_its_own(void **state)
{
    (void)state;
    struct rate_table *a = make(ENTRIES);
    struct rate_table *b = make(ENTRIES);
    assert_true(hash_of(a, "alice") != hash_of(b, "alice"));
    assert_true(hash_of(a, "alice") == hash_of(a, "alice"));
    (void)rate_table_free(a);
    (void)rate_table_free(b);
}

/* The memory is fixed; a hundred keys for each place do not give anybody a fresh bucket. */
static void a_flood_of_keys_does_not_refill_an_empty_bucket(void **state)
{
    (void)state;
    struct rate_table *table = make(ENTRIES);
    char key[32];
    for (int i = 0; i < 10; i++)
        assert_true(take(table, "alice", S));
    for (int i = 0; i < 100 * ENTRIES; i++) {
        (void)snprintf(key, sizeof(key), "flood-%d", i);
        assert_true(take(table, key, S));
        if (i % 1000 == 0)
            assert_false(take(table, "alice", S));
    }
    assert_false(take(table, "alice", S));
    struct rate_table_stats stats = rate_table_stats(table, S);
    assert_int_equal(stats.capacity, ENTRIES);
    assert_int_equal(stats.used, ENTRIES);
    assert_true(stats.evictions >= 98 * ENTRIES);
    (void)rate_table_free(table);
}

/* The price of fixed memory, as POLICY.md tells it: a flood of slow buckets pushes out a quick one,
 * which would have been full within moments; a flood of quick ones does not push out a slow one. */
static void rate_table_lets_quick_buckets_go_before_slow_ones(void **state)
{
    (void)state;
    static const struct gcra quick = {.interval_ns = S / 50, .burst = 50};
    static const struct {
        const struct gcra *bucket, *flood;
        bool goes;
    } rows[] = {{&quick, &ten_in_a_minute, true},
                {&ten_in_a_minute, &quick, false},
                {&quick, &quick, false}};
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct rate_table *table = make(ENTRIES);
        int64_t wait;
        char key[32];
        const struct gcra *bucket = rows[r].bucket;
        uint64_t hash = hash_of(table, "alice");
        assert_true(rate_table_take(table, hash, bucket, S, bucket->burst, &wait));
        for (int i = 0; i < 100 * ENTRIES; i++) {
            (void)snprintf(key, sizeof(key), "flood-%d", i);
            assert_true(rate_table_take(table, hash_of(table, key), rows[r].flood, S, 1, &wait));
        }
        assert_int_equal(rate_table_take(table, hash, bucket, S, 1, &wait), rows[r].goes);
        (void)rate_table_free(table);
    }
}

/* Places of buckets that are full again are taken without a loss. */
static void rate_table_forgets_full_buckets_first(void **state)
{
    (void)state;
    struct rate_table *table = make(ENTRIES);
    char key[32];
    for (int i = 0; i < 100 * ENTRIES; i++) {
        (void)snprintf(key, sizeof(key), "key-%d", i);
        assert_true(take(table, key, (1 + i) * 6 * S));
    }
    assert_int_equal(rate_table_stats(table, INT64_MAX).evictions, 0);
    (void)rate_table_free(table);
}

enum { THREADS = 4, TRIES = 20000, BURST = 1000 };

struct crowd {
    struct rate_table *table;
    atomic_int taken;
};

static void *take_many(void *arg)
{
    struct crowd *crowd = arg;
    const struct gcra gcra = {.interval_ns = 3600 * S, .burst = BURST};
    int64_t wait;
    for (int i = 0; i < TRIES; i++)
        if (rate_table_take(crowd->table, 42, &gcra, S, 1, &wait))
            (void)atomic_fetch_add(&crowd->taken, 1);
    return NULL;
}

static void threads_share_one_bucket_exactly(void **state)
{
    (void)state;
    struct crowd crowd = {.table = make(ENTRIES)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.taken), BURST);
    (void)rate_table_free(crowd.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_table_has_a_bucket_for_each_key),
        cmocka_unit_test(rate_table_hashes_with_a_secret_of_its_own),
        cmocka_unit_test(a_flood_of_keys_does_not_refill_an_empty_bucket),
        cmocka_unit_test(rate_table_forgets_full_buckets_first),
        cmocka_unit_test(rate_table_lets_quick_buckets_go_before_slow_ones),
        cmocka_unit_test(threads_share_one_bucket_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
