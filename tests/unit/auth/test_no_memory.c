/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that ends in the middle of a check: each allocation fails in turn, alone and with all that
 * follow. No token is accepted that is not good, none that is good is called bad, no key is lost
 * without a word, and afterwards everything works again. Signing is not among it: libjwt 1.10 does
 * not survive an allocation that fails. */
#include "auth/token.h"

#include "auth/jwks_cache.h"
#include "auth/token_cache.h"
#include "support/cmocka_all.h"
#include "support/no_memory.h"
#include "support/token_fixture.h"

#define MAX_ALLOCATIONS 20000 /* far more than any of these calls makes */

struct world {
    struct token_fixture *f;
    struct buf token;
    struct buf set;
    struct issuer_config issuer;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    mint_require(w != NULL, "memory");
    w->f = fixture_make();
    w->token = buf_make(MINT_MAX_BYTES);
    mint_token(&w->token, RFC9068_HEADER, RFC9068_PAYLOAD,
               &(struct mint_signer){.key = w->f->signer});
    w->set = buf_make(65536);
    (void)buf_append_cstr(&w->set, "{\"keys\":[");
    mint_append_jwk(&w->set, w->f->signer, "one", "");
    (void)buf_append_char(&w->set, ',');
    mint_append_jwk(&w->set, w->f->next, "two", "");
    (void)buf_append_cstr(&w->set, "]}");
    w->issuer = w->f->issuers[0];
    w->issuer.jwks_uri = STR("https://tenant.us.auth0.com/keys");
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    fixture_free(w->f);
    buf_free(&w->token);
    buf_free(&w->set);
    free(w);
    return 0;
}

/* Calls TRY until nothing fails in it any more. TRY arms, judges, and returns whether one failed.
 */
static void each_allocation(struct world *w, bool (*try)(struct world *w, long n, bool all))
{
    if (!NO_MEMORY_WORKS)
        skip();
    for (int all = 0; all <= 1; all++) {
        long n = 0;
        while (try(w, n, all == 1))
            assert_true(++n < MAX_ALLOCATIONS);
        assert_true(n > 0);
    }
}

/* ---- tokens ---- */

static bool try_good_token(struct world *w, long n, bool all)
{
    struct identity *identity = NULL;
    size_t issuer_index;
    no_memory_begin(n, all);
    const enum token_rc rc =
        token_check(&w->f->context, buf_str(&w->token), &identity, &issuer_index);
    const bool failed = no_memory_end();
    if (rc != TOKEN_OK && (rc != TOKEN_NO_MEMORY || !failed))
        fail_msg("without allocation %ld: %s", n, token_rc_name(rc));
    assert_int_equal(rc == TOKEN_OK, identity != NULL);
    if (rc == TOKEN_OK)
        assert_true(str_eq(identity->subject, STR("auth0|64f")));
    (void)identity_unref(identity);
    return failed;
}

static void token_check_without_memory_never_calls_a_good_token_bad(void **state)
{
    each_allocation(*state, try_good_token);
}

static bool try_bad_token(struct world *w, long n, bool all)
{
    struct identity *identity = NULL;
    size_t issuer_index;
    no_memory_begin(n, all);
    const enum token_rc rc =
        token_check(&w->f->context, buf_str(&w->token), &identity, &issuer_index);
    const bool failed = no_memory_end();
    if (rc != TOKEN_SIGNATURE && (rc != TOKEN_NO_MEMORY || !failed))
        fail_msg("without allocation %ld: %s", n, token_rc_name(rc));
    assert_null(identity);
    return failed;
}

static void token_check_without_memory_never_accepts_a_bad_token(void **state)
{
    struct world *w = *state;
    mint_token(&w->token, RFC9068_HEADER, RFC9068_PAYLOAD,
               &(struct mint_signer){.key = w->f->attacker});
    each_allocation(w, try_bad_token);
}

static bool try_cache(struct world *w, long n, bool all)
{
    struct identity *identity = NULL;
    size_t issuer_index;
    uint8_t digest[SHA256_LEN];
    assert_int_equal(secret_sha256(buf_str(&w->token), digest), 0);
    assert_int_equal(token_check(&w->f->context, buf_str(&w->token), &identity, &issuer_index),
                     TOKEN_OK);
    no_memory_begin(n, all);
    struct token_cache *cache = token_cache_make(8, 1U << 20);
    if (cache != NULL)
        token_cache_insert(cache, digest, buf_str(&w->token), identity);
    const bool failed = no_memory_end();
    assert_true(failed || cache != NULL);
    if (cache != NULL) {
        struct identity *found = token_cache_lookup(cache, digest, buf_str(&w->token), FIXTURE_NOW);
        assert_true(found == identity || (failed && found == NULL));
        (void)identity_unref(found);
    }
    (void)token_cache_free(cache);
    assert_int_equal(identity->refs, 1);
    (void)identity_unref(identity);
    return failed;
}

static void token_cache_without_memory_remembers_less_and_nothing_wrong(void **state)
{
    each_allocation(*state, try_cache);
}

/* ---- keys ---- */

static bool try_keyset(struct world *w, long n, bool all)
{
    struct keyset_report report;
    struct keyset *keyset = NULL;
    no_memory_begin(n, all);
    const int r = keyset_parse(buf_str(&w->set), w->issuer.algorithms, w->issuer.n_algorithms,
                               FIXTURE_MONO, &report, &keyset);
    const bool failed = no_memory_end();
    assert_true(r == 0 || (failed && r == -ENOMEM));
    assert_int_equal(r == 0, keyset != NULL);
    if (r == 0)
        assert_int_equal(keyset_count(keyset), 2);
    (void)keyset_unref(keyset);
    return failed;
}

static void keyset_parse_without_memory_never_leaves_a_key_out(void **state)
{
    each_allocation(*state, try_keyset);
}

static bool try_cached_set(struct world *w, long n, bool all)
{
    struct buf entry = buf_make(JWKS_CACHE_MAX_BYTES);
    struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
    int64_t fetched_at_s = 0;
    no_memory_begin(n, all);
    const int r = jwks_cache_append_entry(&w->issuer, w->issuer.jwks_uri, FIXTURE_NOW,
                                          buf_str(&w->set), &entry);
    enum jwks_cache_rc rc = JWKS_CACHE_NO_MEMORY;
    if (r == 0)
        rc = jwks_cache_read_entry(buf_str(&entry), &w->issuer, FIXTURE_NOW, 1000, &fetched_at_s,
                                   &jwks);
    const bool failed = no_memory_end();
    assert_true(r == 0 || (failed && r == -ENOMEM));
    assert_true(rc == JWKS_CACHE_OK || (failed && rc == JWKS_CACHE_NO_MEMORY));
    if (rc == JWKS_CACHE_OK) {
        struct keyset_report report;
        struct keyset *keyset = NULL;
        assert_int_equal(keyset_parse(buf_str(&jwks), w->issuer.algorithms, w->issuer.n_algorithms,
                                      FIXTURE_MONO, &report, &keyset),
                         0);
        assert_int_equal(keyset_count(keyset), 2);
        (void)keyset_unref(keyset);
    }
    buf_free(&entry);
    buf_free(&jwks);
    return failed;
}

static void jwks_cache_without_memory_never_keeps_a_part_of_a_set(void **state)
{
    each_allocation(*state, try_cached_set);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(token_check_without_memory_never_calls_a_good_token_bad),
        TEST(token_check_without_memory_never_accepts_a_bad_token),
        TEST(token_cache_without_memory_remembers_less_and_nothing_wrong),
        TEST(keyset_parse_without_memory_never_leaves_a_key_out),
        TEST(jwks_cache_without_memory_never_keeps_a_part_of_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
