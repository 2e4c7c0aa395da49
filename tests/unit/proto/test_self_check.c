/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/self_check.h"

#include <openssl/evp.h>

#include "support/cmocka_all.h"

static void self_check_finds_nothing_missing(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_null(self_check());
}

/* What was fetched stays, but a verifier fetches for itself. */
static void self_check_names_what_the_configuration_forbids(void **state)
{
    (void)state;
    assert_int_equal(EVP_set_default_properties(NULL, "provider=nobody"), 1);
    assert_string_equal(self_check(), "RS256");
    assert_int_equal(EVP_set_default_properties(NULL, ""), 1);
    assert_null(self_check());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(self_check_finds_nothing_missing),
        cmocka_unit_test(self_check_names_what_the_configuration_forbids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
