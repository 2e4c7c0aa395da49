/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sample.h"

#include <math.h>

#include "base/err.h"
#include "base/rand.h"
#include "support/cmocka_all.h"

#define ALL (UINT64_C(1) << SAMPLE_BITS)

static void sample_threshold_is_what_a_ratio_leaves_out(void **state)
{
    (void)state;
    static const struct {
        double ratio;
        uint64_t threshold;
    } rows[] = {
        {1, 0},   {0, ALL},  {0.5, ALL / 2},     {0.25, ALL / 4 * 3}, {0.75, ALL / 4},
        {1.5, 0}, {-1, ALL}, {(double)NAN, ALL}, {1e-17, ALL},        {0x1p-50, ALL - 64},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (sample_threshold(rows[i].ratio) != rows[i].threshold)
            fail_msg("row %zu: %llx", i, (unsigned long long)sample_threshold(rows[i].ratio));
}

static void sample_keeps_by_the_last_56_bits(void **state)
{
    (void)state;
    assert_true(sample_keeps(0, 0));
    assert_true(sample_keeps(0, UINT64_MAX));
    assert_false(sample_keeps(ALL, UINT64_MAX));
    assert_true(sample_keeps(ALL / 2, ALL / 2));
    assert_false(sample_keeps(ALL / 2, ALL / 2 - 1));
    assert_false(sample_keeps(1, ALL)); /* the 57th bit does not count */
    assert_int_equal(sample_bits_of_hex(STR("4bf92f3577b34da6a3ce929d0e0e4736")), 0xce929d0e0e4736);
    assert_int_equal(sample_bits_of_hex(STR("ffffffffffffff")), ALL - 1);
}

static void sample_keeps_about_the_ratio(void **state)
{
    (void)state;
    struct rng rng = {.state = {1, 2}};
    static const double ratios[] = {0.01, 0.1, 0.5, 0.9};
    for (size_t i = 0; i < ARRAY_LEN(ratios); i++) {
        const uint64_t threshold = sample_threshold(ratios[i]);
        int kept = 0;
        for (int n = 0; n < 100000; n++)
            kept += sample_keeps(threshold, rng_next(&rng)) ? 1 : 0;
        const double share = kept / 100000.0;
        assert_true(share > ratios[i] * 0.9 && share < ratios[i] * 1.1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_threshold_is_what_a_ratio_leaves_out),
        cmocka_unit_test(sample_keeps_by_the_last_56_bits),
        cmocka_unit_test(sample_keeps_about_the_ratio),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
