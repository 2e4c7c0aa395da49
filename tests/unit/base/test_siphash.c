/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include "base/err.h"
#include "support/cmocka_all.h"

/* The key 00 01 .. 0f, and the first LEN of the bytes 00 01 02 ..: appendix A of the paper, and two
 * of the vectors of its reference implementation. */
static void siphash_agrees_with_the_paper(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},
        {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)},
    };
    uint8_t key[SIPHASH_KEY_LEN];
    char bytes[16];
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)i;
        bytes[i] = (char)i;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(siphash(key, str_make(bytes, rows[i].len)) == rows[i].hash);
}

static void siphash_is_another_one_with_another_key(void **state)
{
    (void)state;
    static const uint8_t a[SIPHASH_KEY_LEN] = {1};
    static const uint8_t b[SIPHASH_KEY_LEN] = {[15] = 1};
    assert_true(siphash(a, STR("subject")) != siphash(b, STR("subject")));
    assert_true(siphash(a, STR("subject")) != siphash(a, STR("subjecu")));
}

static void siphash_of_parts_tells_where_they_end(void **state)
{
    (void)state;
    static const uint8_t key[SIPHASH_KEY_LEN] = {1};
    const struct str a[] = {STR("ab"), STR("c")};
    const struct str b[] = {STR("a"), STR("bc")};
    const struct str c[] = {STR("ab"), STR("c"), STR("")};
    assert_true(siphash_parts(key, a, 2) != siphash_parts(key, b, 2));
    assert_true(siphash_parts(key, a, 2) != siphash_parts(key, c, 3));
    assert_true(siphash_parts(key, a, 2) == siphash_parts(key, c, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_of_parts_tells_where_they_end),
        cmocka_unit_test(siphash_agrees_with_the_paper),
        cmocka_unit_test(siphash_is_another_one_with_another_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
