/* SPDX-License-Identifier: Apache-2.0 */
#include "base/reserve.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/err.h"
#include "support/cmocka_all.h"

/* Takes all that malloc() has, so that every call fails; chained, to be freed with free_all(). */
static void *take_all(void)
{
    static const size_t sizes[] = {1 << 20, 1 << 16, 4096, 512, 64, 16, 8};
    void **last = NULL;
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (void **more = malloc(sizes[i]); more != NULL; more = malloc(sizes[i])) {
            *more = last;
            last = more;
        }
    return last;
}

static void free_all(void *chain)
{
    const struct rlimit all = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    (void)setrlimit(RLIMIT_AS, &all);
    for (void **one = chain; one != NULL;) {
        void **next = *one;
        free(one);
        one = next;
    }
}

static bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true; /* their malloc() ends the process, or asks the limit for terabytes */
#else
    return false;
#endif
}

static void reserve_lends_small_blocks_when_malloc_fails(void **state)
{
    (void)state;
    void *blocks[RESERVE_SLOTS];
    size_t n = 0;
    bool zeroed = true;
    if (is_sanitized())
        skip();
    /* No assertion while there is no memory: it would need some. */
    void *chain = take_all();
    void *large = reserve_malloc(RESERVE_SLOT_BYTES + 1);
    for (; n < RESERVE_SLOTS; n++) {
        blocks[n] = reserve_calloc(RESERVE_SLOT_BYTES / 2, 2);
        if (blocks[n] == NULL)
            break;
        for (size_t i = 0; i < RESERVE_SLOT_BYTES; i++)
            zeroed = zeroed && ((char *)blocks[n])[i] == 0;
        memset(blocks[n], (int)n + 1, RESERVE_SLOT_BYTES);
    }
    void *one_more = reserve_malloc(1);
    reserve_free(blocks[0]);
    char *again = reserve_strdup("text");
    free_all(chain);
    assert_null(large);
    assert_int_equal(n, RESERVE_SLOTS);
    assert_true(zeroed);
    assert_null(one_more);
    assert_non_null(again);
    assert_string_equal(again, "text");
    assert_ptr_equal(again, blocks[0]);
    for (size_t i = 1; i < n; i++) {
        assert_int_equal(((unsigned char *)blocks[i])[0], (unsigned char)(i + 1));
        assert_int_equal(((unsigned char *)blocks[i])[RESERVE_SLOT_BYTES - 1],
                         (unsigned char)(i + 1));
        reserve_free(blocks[i]);
    }
    reserve_free(again);
}

static void reserve_realloc_keeps_what_was_there(void **state)
{
    (void)state;
    if (is_sanitized())
        skip();
    char *grown = reserve_malloc(8);
    assert_non_null(grown);
    memcpy(grown, "content", 8);
    void *chain = take_all();
    char *in_reserve = reserve_realloc(grown, 400);
    char *same = in_reserve != NULL ? reserve_realloc(in_reserve, 500) : NULL;
    void *too_large = same != NULL ? reserve_realloc(same, 5000) : same;
    free_all(chain);
    assert_non_null(same);
    assert_ptr_equal(in_reserve, same);
    assert_null(too_large);
    assert_string_equal(same, "content");
    char *back = reserve_realloc(same, 5000);
    assert_non_null(back);
    assert_string_equal(back, "content");
    reserve_free(back);
}

static void reserve_is_malloc_while_there_is_memory(void **state)
{
    (void)state;
    char *text = reserve_strdup("a");
    char *zeros = reserve_calloc(3, 5);
    char *fresh = reserve_realloc(NULL, 10);
    assert_string_equal(text, "a");
    assert_non_null(zeros);
    for (size_t i = 0; i < 15; i++)
        assert_int_equal(zeros[i], 0);
    assert_non_null(fresh);
    assert_null(reserve_calloc(SIZE_MAX / 2, 4));
    free(text); /* the C library's */
    free(zeros);
    reserve_free(fresh);
    reserve_free(NULL);
}

static void reserve_realloc_to_nothing_frees_nothing_twice(void **state)
{
    (void)state;
    char *text = reserve_strdup("a");
    assert_non_null(text);
    char *empty = reserve_realloc(text, 0);
    assert_non_null(empty);
    assert_true(malloc_usable_size(empty) > 0); /* not one of the reserve */
    reserve_free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserve_lends_small_blocks_when_malloc_fails),
        cmocka_unit_test(reserve_realloc_keeps_what_was_there),
        cmocka_unit_test(reserve_is_malloc_while_there_is_memory),
        cmocka_unit_test(reserve_realloc_to_nothing_frees_nothing_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
