/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "support/cmocka_all.h"

static void rand_bytes_fills_exactly_what_it_is_given(void **state)
{
    (void)state;
    unsigned char bytes[66] = {0};
    unsigned char ored[64] = {0};
    /* A byte that stays 0 in 16 rounds was not written (1 in 2^128 that it was). */
    for (int round = 0; round < 16; round++) {
        assert_int_equal(rand_bytes(bytes + 1, 64), 0);
        for (size_t i = 0; i < 64; i++)
            ored[i] |= bytes[i + 1];
    }
    for (size_t i = 0; i < 64; i++)
        assert_int_not_equal(ored[i], 0);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[65], 0);
    assert_int_equal(rand_bytes(bytes, (size_t)INT_MAX + 1), -EIO);
}

/* The first numbers of xoroshiro128+ (2018 constants) from the state {1, 2}, computed elsewhere. */
static void rng_next_is_xoroshiro(void **state)
{
    (void)state;
    static const uint64_t expected[] = {0x3, 0x6001030003, 0x20c102c302000c03, 0x810180670d23ad61,
                                        0x26d13a4941333a42};
    struct rng rng = {.state = {1, 2}};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_true(rng_next(&rng) == expected[i]);
}

static void rng_init_gives_every_owner_another_sequence(void **state)
{
    (void)state;
    struct rng a = {0};
    struct rng b = {0};
    assert_int_equal(rng_init(&a), 0);
    assert_int_equal(rng_init(&b), 0);
    assert_true(a.state[0] != 0 || a.state[1] != 0);
    assert_memory_not_equal(a.state, b.state, sizeof(a.state));
    assert_true(rng_next(&a) != rng_next(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rand_bytes_fills_exactly_what_it_is_given),
        cmocka_unit_test(rng_next_is_xoroshiro),
        cmocka_unit_test(rng_init_gives_every_owner_another_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
