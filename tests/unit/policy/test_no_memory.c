/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that ends while a policy is read: each allocation fails in turn, alone and with all that
 * follow. Either it is the same policy, rule by rule, or there is none: never one with a part left
 * out. (Keys of assertions are not in it: libjwt 1.10 does not survive such a failure.) */
#include "policy/config.h"
#include "policy/fixture.h"

#include "base/json.h"
#include "policy/schema.h"
#include "support/no_memory.h"

#define MAX_ALLOCATIONS 100000 /* far more than a policy needs */
#define MAX_PRINTED (256U * 1024)

static const char policy[] =
    "{\"listen\": [\"[::1]:8080\", \"unix:/run/p.sock\"], \"admin\": \"127.0.0.1:9090\","
    "\"auth0\": \"tenant.us.auth0.com\", \"issuers\": {\"own\": {\"issuer\": "
    "\"https://own.example\","
    "\"algorithms\": [\"PS256\", \"RS256\"], \"ca_file\": \"ca.pem\"}},"
    "\"trusted_proxies\": [\"10.0.0.0/8\", \"::1\"], \"session_secret\": "
    "\"$file(key.txt)-of-32-bytes-"
    "or-more-than-that\","
    "\"routes\": [{\"resource\": \"https://h.example/\", \"name\": \"Name\", \"upstream\": {"
    "\"url\": \"https://u.example/\", \"ca_file\": \"ca.pem\", \"headers\": {\"Authorization\": "
    "\"Bearer $env(KEY)\"}}, \"issuers\": [\"own\"], \"audiences\": [\"a\", \"b\"],"
    "\"scopes\": [\"s\"], \"scope_implies\": {\"t\": [\"s\", \"u\"], \"u\": [\"v\"]},"
    "\"origins\": [\"https://app.example\"], \"identity\": {\"X-User\": \"sub\", \"X-Mail\": "
    "[\"m\", \"email\"]}, \"rules\": [{\"tools\": [\"get_*\"], \"allow\": true}, {\"tools\": "
    "[\"*\"], \"permission\": \"tool:{name}\"}, {\"resources\": [\"doc://*\"], \"scopes\": "
    "[\"t\"], \"claims\": {\"org\": [\"x\", 1, true]}}, {\"methods\": [\"*\"], \"allow\": false}]},"
    "{\"resource\": \"https://h.example/other\", \"upstream\": \"http://127.0.0.1:1/\"}],"
    "\"tests\": [{\"route\": \"https://h.example/\", \"claims\": {\"scope\": \"s\"}, \"call\": "
    "[\"tools/call\", \"get_one\"], \"expect\": \"allow\"}]}";

static void print_to(const struct config *config, struct buf *out)
{
    json_t *printed = config_print(config);
    assert_non_null(printed);
    assert_int_equal(json_write(printed, 0, out), 0);
    json_decref(printed);
}

/* Reads the policy without allocation N; true when one failed. */
static bool try_policy(long n, bool all, struct str expected)
{
    struct diag diag = {0};
    struct config *config = NULL;
    no_memory_begin(n, all);
    const int r = parse_policy(policy, &diag, &config);
    const bool failed = no_memory_end();
    /* OpenSSL's digest only says that it failed */
    if (r != 0 && ((r != -ENOMEM && r != -EIO) || !failed))
        fail_msg("without allocation %ld: %d", n, r);
    assert_int_equal(r == 0, config != NULL);
    if (r == 0) {
        struct buf printed = buf_make(MAX_PRINTED);
        print_to(config, &printed);
        assert_true(str_eq(buf_str(&printed), expected));
        assert_int_equal(config_get(config)->n_routes, 2);
        assert_int_equal(config_get(config)->routes[0].n_rules, 4);
        assert_int_equal(config_get(config)->routes[0].n_implies, 2);
        buf_free(&printed);
    }
    (void)config_unref(config);
    diag_free(&diag);
    return failed;
}

static void config_parse_without_memory_gives_the_same_policy_or_none(void **state)
{
    (void)state;
    if (!NO_MEMORY_WORKS)
        skip();
    struct buf expected = buf_make(MAX_PRINTED);
    struct config *config = good_policy(policy);
    print_to(config, &expected);
    (void)config_unref(config);
    for (int all = 0; all <= 1; all++) {
        long n = 0;
        while (try_policy(n, all == 1, buf_str(&expected)))
            assert_true(++n < MAX_ALLOCATIONS);
        assert_true(n > 100);
    }
    buf_free(&expected);
}

static void schema_without_memory_is_none_or_whole(void **state)
{
    (void)state;
    if (!NO_MEMORY_WORKS)
        skip();
    struct buf expected = buf_make(MAX_PRINTED);
    bool failed = true;
    assert_int_equal(schema_write(&expected), 0);
    for (long n = 0; failed; n++) {
        struct buf out = buf_make(MAX_PRINTED);
        no_memory_begin(n, false);
        const int r = schema_write(&out);
        failed = no_memory_end();
        assert_true(r == 0 || (failed && r == -ENOMEM));
        if (r == 0)
            assert_true(str_eq(buf_str(&out), buf_str(&expected)));
        buf_free(&out);
    }
    buf_free(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_parse_without_memory_gives_the_same_policy_or_none),
        cmocka_unit_test(schema_without_memory_is_none_or_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
