/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/snapshot.h"

#include <pthread.h>
#include <stdlib.h>

#include "policy/fixture.h"
#include "support/mint.h"

#define TWO_ISSUERS                                                              \
    "{\"issuers\": {\"a\": {\"issuer\": \"https://a.example/\"},"                \
    " \"b\": {\"issuer\": \"https://b.example/\"}},"                             \
    " \"routes\": [" ROUTE ", {\"resource\": \"https://mcp.example.com/other\"," \
    " \"upstream\": \"http://127.0.0.1:3000/mcp\"}]}"

static struct keyset *make_keyset(void)
{
    static const struct str rs256[] = {STR_INIT("RS256")};
    EVP_PKEY *key = mint_load_key("signer");
    struct buf text = buf_make(65536);
    struct keyset_report report;
    struct keyset *keyset = NULL;
    (void)buf_append_cstr(&text, "{\"keys\":[");
    mint_append_jwk(&text, key, "k", "");
    (void)buf_append_cstr(&text, "]}");
    assert_int_equal(keyset_parse(buf_str(&text), rs256, 1, 0, &report, &keyset), 0);
    buf_free(&text);
    EVP_PKEY_free(key);
    return keyset;
}

static void snapshot_new_has_room_for_every_issuer_and_route(void **state)
{
    (void)state;
    struct config *config = good_policy(TWO_ISSUERS);
    struct snapshot *snapshot = snapshot_new(config);
    assert_ptr_equal(snapshot->config, config);
    assert_ptr_equal(snapshot->data, config_get(config));
    assert_int_equal(snapshot->data->n_issuers, 2);
    assert_int_equal(snapshot->data->n_routes, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_null(snapshot->keysets[i]);
        assert_null(snapshot->statuses[i]);
        assert_int_equal(snapshot->labels[i], 0);
    }
    assert_null(snapshot_unref(snapshot)); /* half filled, as after a fault */
    assert_null(snapshot_unref(NULL));
    config_unref(config);
}

/* A reload never touches a running transaction: what it holds stays as it was. */
static void snapshot_outlives_the_references_of_others(void **state)
{
    (void)state;
    struct config *config = good_policy(TWO_ISSUERS);
    struct snapshot *snapshot = snapshot_new(config);
    struct jwks_status *status = calloc(1, sizeof(*status));
    assert_non_null(status);
    atomic_store(&status->refs, 1);
    snapshot->keysets[1] = make_keyset();
    snapshot->statuses[1] = jwks_status_ref(status);
    config_unref(config);
    assert_int_equal(atomic_load(&status->refs), 2);
    assert_null(jwks_status_unref(status));

    assert_ptr_equal(snapshot_ref(snapshot), snapshot);
    assert_null(snapshot_unref(snapshot));
    assert_true(str_eq(snapshot->data->issuers[1].issuer, STR("https://b.example/")));
    assert_non_null(keyset_find(snapshot->keysets[1], STR("k")));
    assert_int_equal(atomic_load(&snapshot->statuses[1]->refs), 1);
    assert_null(snapshot_unref(snapshot)); /* all of it goes: the leak checker counts */
}

static void snapshot_unref_drops_one_reference_of_each_part(void **state)
{
    (void)state;
    struct config *config = good_policy(TWO_ISSUERS);
    struct keyset *keyset = make_keyset();
    struct jwks_status *status = calloc(1, sizeof(*status));
    assert_non_null(status);
    atomic_store(&status->refs, 1);
    for (int i = 0; i < 3; i++) {
        struct snapshot *snapshot = snapshot_new(config);
        snapshot->keysets[0] = keyset_ref(keyset);
        snapshot->statuses[0] = jwks_status_ref(status);
        snapshot_unref(snapshot);
        assert_int_equal(atomic_load(&status->refs), 1);
    }
    assert_int_equal(keyset_count(keyset), 1);
    assert_int_equal(config_get(config)->n_issuers, 2);
    keyset_unref(keyset);
    jwks_status_unref(status);
    config_unref(config);
}

#define TURNS 20000

static void *count_up_and_down(void *ctx)
{
    struct snapshot *snapshot = ctx;
    for (int i = 0; i < TURNS; i++)
        (void)snapshot_unref(snapshot_ref(snapshot));
    return NULL;
}

static void snapshot_counts_for_many_threads(void **state)
{
    (void)state;
    struct config *config = good_policy(TWO_ISSUERS);
    struct snapshot *snapshot = snapshot_new(config);
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up_and_down, snapshot), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&snapshot->refs), 1);
    snapshot_unref(snapshot);
    config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot_new_has_room_for_every_issuer_and_route),
        cmocka_unit_test(snapshot_outlives_the_references_of_others),
        cmocka_unit_test(snapshot_unref_drops_one_reference_of_each_part),
        cmocka_unit_test(snapshot_counts_for_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
