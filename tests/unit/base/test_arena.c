/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/err.h"
#include "support/cmocka_all.h"

static void arena_gives_aligned_memory_that_does_not_overlap(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 8, 15, 16, 17, 100, 1000, 5000, 1};
    unsigned char *given[ARRAY_LEN(sizes)];
    struct arena *arena = arena_new(64, 65536);
    assert_non_null(arena);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        given[i] = arena_alloc(arena, sizes[i]);
        assert_non_null(given[i]);
        assert_int_equal((uintptr_t)given[i] % _Alignof(max_align_t), 0);
        memset(given[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(given[i][j], i + 1);
    assert_null(arena_free(arena));
}

static void arena_never_holds_more_than_its_ceiling(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        size_t first;
        size_t max;
        size_t size;
        size_t count; /* allocations of SIZE that fit */
    } rows[] = {
        {"the first block only", 160, 160, 16, 10},
        {"one more block, cut at the ceiling", 160, 320, 16, 20},
        {"rounded up to the alignment", 160, 160, 1, 10},
        {"one large block beside the first", 16, 4096, 4080, 1},
        {"larger than all", 16, 4096, 4096, 0},
        {"sizes that would wrap", 16, 4096, SIZE_MAX, 0},
        {"sizes that would wrap when rounded", 16, 4096, SIZE_MAX - 8, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(rows[i].first, rows[i].max);
        size_t n = 0;
        while (n <= rows[i].count && arena_alloc(arena, rows[i].size) != NULL)
            n++;
        if (n != rows[i].count)
            fail_msg("%s: %zu", rows[i].why, n);
        arena_free(arena);
    }
}

static void arena_zalloc_clears_what_was_used_before(void **state)
{
    (void)state;
    struct arena *arena = arena_new(4096, 4096);
    unsigned char *bytes = arena_zalloc(arena, 4000);
    for (size_t i = 0; i < 4000; i++)
        assert_int_equal(bytes[i], 0);
    assert_null(arena_zalloc(arena, 4000));
    arena_free(arena);
}

static void arena_str_copies_and_terminates(void **state)
{
    (void)state;
    char text[] = "value";
    struct arena *arena = arena_new(32, 64);
    struct str copy = arena_str(arena, str_from_cstr(text));
    text[0] = 'X';
    assert_true(str_eq(copy, STR("value")));
    assert_int_equal(copy.ptr[copy.len], '\0');
    struct str empty = arena_str(arena, STR(""));
    assert_true(str_is_set(empty));
    assert_int_equal(empty.ptr[0], '\0');
    static const char large[65] = {0};
    assert_false(str_is_set(arena_str(arena, str_make(large, sizeof(large)))));
    assert_false(str_is_set(arena_str(arena, str_make(large, SIZE_MAX))));
    arena_free(arena);
}

static void arena_free_takes_null_and_wiping_frees_every_block(void **state)
{
    (void)state;
    assert_null(arena_free(NULL));
    assert_null(arena_free_wiped(NULL));
    struct arena *arena = arena_new(16, 65536);
    for (int i = 0; i < 20; i++)
        assert_non_null(arena_alloc(arena, 2000));
    assert_null(arena_free_wiped(arena)); /* the leak checker counts the blocks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_aligned_memory_that_does_not_overlap),
        cmocka_unit_test(arena_never_holds_more_than_its_ceiling),
        cmocka_unit_test(arena_zalloc_clears_what_was_used_before),
        cmocka_unit_test(arena_str_copies_and_terminates),
        cmocka_unit_test(arena_free_takes_null_and_wiping_frees_every_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
