/* SPDX-License-Identifier: Apache-2.0 */
/* Rule 26 of docs/TOKENS.md. */
#include "auth/token_cache.h"

#include "support/cmocka_all.h"
#include "support/token_fixture.h"

#define PLENTY (1024U * 1024)

/* A token with its digest and identity, without a signature: the cache never looks at it. */
struct sample {
    char text[32];
    struct str token;
    uint8_t digest[SHA256_LEN];
    struct identity *identity;
};

static struct identity *make_identity(int64_t exp_s, size_t issuer_index, const struct jwk *key)
{
    struct identity *identity = identity_new(0);
    assert_non_null(identity);
    identity->issuer_index = issuer_index;
    identity->times = (struct claims_times){exp_s, INT64_MIN, INT64_MIN};
    identity->dies_s = exp_s + FIXTURE_SKEW;
    identity->payload = STR("{\"sub\":\"s\",\"org\":[\"o\"]}");
    if (key != NULL) {
        identity->kid = key->kid;
        memcpy(identity->thumbprint, key->thumbprint, sizeof(identity->thumbprint));
    }
    return identity;
}

static void sample_fill(struct sample *sample, unsigned number, int64_t exp_s)
{
    (void)snprintf(sample->text, sizeof(sample->text), "token-%u", number);
    sample->token = str_from_cstr(sample->text);
    assert_int_equal(secret_sha256(sample->token, sample->digest), 0);
    sample->identity = make_identity(exp_s, 0, NULL);
}

static void insert(struct token_cache *cache, const struct sample *sample)
{
    token_cache_insert(cache, sample->digest, sample->token, sample->identity);
}

/* True when the cache knows SAMPLE at NOW_S, and then with the right identity. */
static bool knows_at(struct token_cache *cache, const struct sample *sample, int64_t now_s)
{
    struct identity *identity = token_cache_lookup(cache, sample->digest, sample->token, now_s);
    if (identity == NULL)
        return false;
    assert_ptr_equal(identity, sample->identity);
    identity_unref(identity);
    return true;
}

static bool knows(struct token_cache *cache, const struct sample *sample)
{
    return knows_at(cache, sample, FIXTURE_NOW);
}

static void token_cache_gives_back_what_was_put_in(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(8, PLENTY);
    struct sample sample;
    struct sample other;
    sample_fill(&sample, 1, FIXTURE_NOW + 100);
    sample_fill(&other, 2, FIXTURE_NOW + 100);
    assert_false(knows(cache, &sample));
    insert(cache, &sample);
    assert_int_equal(sample.identity->refs, 2);
    assert_true(knows(cache, &sample));
    assert_int_equal(sample.identity->refs, 2);
    assert_false(knows(cache, &other));
    struct token_cache_stats stats = token_cache_stats(cache);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 2);
    assert_int_equal(stats.entries, 1);
    token_cache_free(cache);
    assert_int_equal(sample.identity->refs, 1);
    identity_unref(sample.identity);
    identity_unref(other.identity);
}

/* A lookup hands out a reference: it survives the end of the entry. */
static void token_cache_lookup_gives_a_reference(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(8, PLENTY);
    struct sample sample;
    sample_fill(&sample, 1, FIXTURE_NOW + 100);
    insert(cache, &sample);
    identity_unref(sample.identity);
    struct identity *held = token_cache_lookup(cache, sample.digest, sample.token, FIXTURE_NOW);
    token_cache_free(cache);
    assert_int_equal(held->refs, 1);
    assert_int_equal(held->times.exp_s, FIXTURE_NOW + 100);
    identity_unref(held);
}

/* Even a collision of SHA-256 would not do: the credential itself is compared. */
static void token_cache_compares_the_whole_credential(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(8, PLENTY);
    struct sample sample;
    sample_fill(&sample, 1, FIXTURE_NOW + 100);
    insert(cache, &sample);
    static const struct str others[] = {STR_INIT("token-2"), STR_INIT("token-"),
                                        STR_INIT("token-11"), STR_INIT("Token-1"), STR_INIT("")};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_null(token_cache_lookup(cache, sample.digest, others[i], FIXTURE_NOW));
    sample.digest[SHA256_LEN - 1] ^= 1;
    assert_false(knows(cache, &sample));
    token_cache_free(cache);
    identity_unref(sample.identity);
}

static void token_cache_entry_dies_at_exp_plus_skew(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(8, PLENTY);
    struct sample sample;
    sample_fill(&sample, 1, FIXTURE_NOW + 100);
    insert(cache, &sample);
    assert_true(knows_at(cache, &sample, FIXTURE_NOW + 100 + FIXTURE_SKEW - 1));
    assert_false(knows_at(cache, &sample, FIXTURE_NOW + 100 + FIXTURE_SKEW));
    assert_int_equal(token_cache_stats(cache).entries, 0);
    assert_int_equal(token_cache_stats(cache).bytes, 0);
    assert_int_equal(token_cache_stats(cache).evictions, 0);
    assert_false(knows(cache, &sample));
    assert_int_equal(sample.identity->refs, 1);
    token_cache_free(cache);
    identity_unref(sample.identity);
}

static void token_cache_evicts_what_was_not_used_for_longest(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(3, PLENTY);
    struct sample samples[4];
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        sample_fill(&samples[i], i, FIXTURE_NOW + 100);
    for (unsigned i = 0; i < 3; i++)
        insert(cache, &samples[i]);
    assert_true(knows(cache, &samples[0])); /* now 1 is the oldest */
    insert(cache, &samples[3]);
    assert_false(knows(cache, &samples[1]));
    assert_true(knows(cache, &samples[0]));
    assert_true(knows(cache, &samples[2]));
    assert_true(knows(cache, &samples[3]));
    assert_int_equal(token_cache_stats(cache).evictions, 1);
    assert_int_equal(token_cache_stats(cache).entries, 3);
    token_cache_free(cache);
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        identity_unref(samples[i].identity);
}

static void token_cache_of_no_entries_holds_one(void **state)
{
    (void)state;
    struct sample samples[2];
    sample_fill(&samples[0], 0, FIXTURE_NOW + 100);
    sample_fill(&samples[1], 1, FIXTURE_NOW + 100);
    for (size_t max_entries = 0; max_entries < 2; max_entries++) {
        struct token_cache *cache = token_cache_make(max_entries, PLENTY);
        insert(cache, &samples[0]);
        assert_true(knows(cache, &samples[0]));
        insert(cache, &samples[1]);
        assert_false(knows(cache, &samples[0]));
        assert_true(knows(cache, &samples[1]));
        token_cache_free(cache);
    }
    identity_unref(samples[0].identity);
    identity_unref(samples[1].identity);
}

static void token_cache_is_bounded_in_bytes(void **state)
{
    (void)state;
    struct sample samples[3];
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        sample_fill(&samples[i], i, FIXTURE_NOW + 100);
    struct token_cache *probe = token_cache_make(8, PLENTY);
    insert(probe, &samples[0]);
    const size_t one = token_cache_stats(probe).bytes;
    assert_true(one > samples[0].token.len);
    token_cache_free(probe);

    struct token_cache *cache = token_cache_make(8, 2 * one);
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        insert(cache, &samples[i]);
    assert_int_equal(token_cache_stats(cache).entries, 2);
    assert_int_equal(token_cache_stats(cache).bytes, 2 * one);
    assert_int_equal(token_cache_stats(cache).evictions, 1);
    assert_false(knows(cache, &samples[0]));
    token_cache_free(cache);

    struct token_cache *small = token_cache_make(8, one - 1);
    insert(small, &samples[0]);
    assert_int_equal(token_cache_stats(small).entries, 0);
    assert_int_equal(token_cache_stats(small).evictions, 0);
    token_cache_free(small);
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        identity_unref(samples[i].identity);
}

/* What an entry counts for: at least every byte of the credential and of its identity. */
static void token_cache_counts_what_an_entry_holds(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(8, PLENTY);
    struct sample sample;
    sample_fill(&sample, 1, FIXTURE_NOW + 100);
    insert(cache, &sample);
    const size_t before = token_cache_stats(cache).bytes;
    assert_true(before > sizeof(struct identity) + sample.token.len + SHA256_LEN);
    insert(cache, &sample);
    assert_int_equal(token_cache_stats(cache).bytes, before);

    char filler[64] = {0};
    token_cache_insert(cache, sample.digest, str_make(filler, sample.token.len + 4),
                       sample.identity);
    assert_int_equal(token_cache_stats(cache).bytes, 2 * before + 4);

    struct sample larger;
    sample_fill(&larger, 2, FIXTURE_NOW + 100);
    identity_unref(larger.identity);
    larger.identity = identity_new(4000);
    larger.identity->dies_s = FIXTURE_NOW + 100;
    insert(cache, &larger);
    assert_int_equal(token_cache_stats(cache).bytes, 3 * before + 4 + 4000);
    token_cache_free(cache);
    identity_unref(sample.identity);
    identity_unref(larger.identity);
}

/* The identity of a token with PAYLOAD, checked for a route that reads no claims, and the token. */
static struct identity *identify(const struct token_fixture *f, const char *payload,
                                 struct buf *token)
{
    const struct mint_signer signer = {.key = f->signer};
    struct identity *identity = NULL;
    size_t issuer_index;
    buf_clear(token);
    mint_token(token, HEADER, payload, &signer);
    assert_int_equal(token_check(&f->context, buf_str(token), &identity, &issuer_index), TOKEN_OK);
    return identity;
}

/* About 920 bytes, as Auth0 makes them for an API with permissions. */
#define USUAL_PAYLOAD                                                                          \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"auth0|64f0000000000000000000000\",\"aud\":[\"" RESOURCE \
    "\",\"" ISSUER "userinfo\"],\"iat\":1799999000,\"exp\":1800003600,\"scope\":\"openid "     \
    "profile email mcp:use mcp:read mcp:write offline_access\",\"client_id\":\"tpc_01234567"   \
    "89abcdef\",\"jti\":\"0123456789abcdef012345\",\"permissions\":[\"tool:echo\",\"tool:"     \
    "add\",\"tool:search\"]}"

static void token_cache_holds_a_usual_token_in_2_kib(void **state)
{
    (void)state;
    struct token_fixture *f = fixture_make();
    struct token_cache *cache = token_cache_make(8, PLENTY);
    struct buf token = buf_make(MINT_MAX_BYTES);
    uint8_t digest[SHA256_LEN];
    struct identity *identity = identify(f, USUAL_PAYLOAD, &token);
    assert_in_range(token.len, 880, 1000);
    assert_int_equal(secret_sha256(buf_str(&token), digest), 0);
    token_cache_insert(cache, digest, buf_str(&token), identity);
    assert_in_range(token_cache_stats(cache).bytes, token.len, 2048);
    token_cache_free(cache);
    identity_unref(identity);
    buf_free(&token);
    fixture_free(f);
}

/* What has escapes is there twice, as it was sent and as it is meant. */
static void token_cache_counts_strings_with_escapes_twice(void **state)
{
    (void)state;
#define WITH_SUBJECT(sub)                                             \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"" sub "\",\"aud\":\"" RESOURCE \
    "\",\"exp\":1800003600,\"azp\":\"c\"}"
    struct token_fixture *f = fixture_make();
    struct buf token = buf_make(MINT_MAX_BYTES);
    struct identity *plain = identify(f, WITH_SUBJECT("auth0//64f"), &token);
    struct identity *escaped = identify(f, WITH_SUBJECT("auth0\\/64f"), &token);
    assert_true(str_eq(escaped->subject, STR("auth0/64f")));
    assert_true(identity_bytes(escaped) >= identity_bytes(plain) + escaped->payload.len);
    identity_unref(plain);
    identity_unref(escaped);
    buf_free(&token);
    fixture_free(f);
}

/* Claims become a tree when a route first reads them. */
static void token_cache_counts_claims_that_come_later(void **state)
{
    (void)state;
    static const struct str names[] = {STR_INIT("org")};
    struct token_fixture *f = fixture_make();
    struct token_cache *cache = token_cache_make(8, PLENTY);
    struct sample sample;
    f->routes[0].claims_read = names;
    f->routes[0].n_claims_read = ARRAY_LEN(names);
    sample_fill(&sample, 1, FIXTURE_NOW + 100);
    sample.identity->audience = STR("\"" RESOURCE "\"");
    sample.identity->times.nbf_s = INT64_MIN;
    insert(cache, &sample);
    const size_t before = token_cache_stats(cache).bytes;
    assert_int_equal(token_recheck(&f->context, sample.identity), TOKEN_OK);
    assert_int_equal(json_object_size(sample.identity->claims), 1);
    assert_true(knows(cache, &sample));
    const size_t after = token_cache_stats(cache).bytes;
    assert_int_equal(after, before + sample.identity->claims_bytes);
    assert_true(after > before + 100);
    assert_true(knows(cache, &sample)); /* once */
    assert_int_equal(token_cache_stats(cache).bytes, after);
    token_cache_free(cache);
    identity_unref(sample.identity);
    fixture_free(f);
}

/* What auth/assertion does to an identity, as far as the cache can see. */
static void token_cache_counts_assertions_that_come_later(void **state)
{
    (void)state;
    struct sample samples[3];
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        sample_fill(&samples[i], i, FIXTURE_NOW + 100);
    struct token_cache *cache = token_cache_make(8, PLENTY);
    insert(cache, &samples[0]);
    const size_t one = token_cache_stats(cache).bytes;
    token_cache_free(cache);

    cache = token_cache_make(8, 3 * one + 1000);
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        insert(cache, &samples[i]);
    samples[1].identity->assertion_bytes = 1000;
    assert_true(knows(cache, &samples[1]));
    assert_true(knows(cache, &samples[1])); /* once, not at each look-up */
    assert_int_equal(token_cache_stats(cache).bytes, 3 * one + 1000);
    assert_int_equal(token_cache_stats(cache).evictions, 0);
    samples[1].identity->assertion_bytes = 1001; /* one byte too many: the oldest leaves */
    assert_true(knows(cache, &samples[1]));
    assert_int_equal(token_cache_stats(cache).entries, 2);
    assert_int_equal(token_cache_stats(cache).evictions, 1);
    assert_int_equal(token_cache_stats(cache).bytes, 2 * one + 1001);
    assert_false(knows(cache, &samples[0]));
    samples[1].identity->assertion_bytes = PLENTY; /* alone too large, and in use */
    assert_true(knows(cache, &samples[1]));
    assert_int_equal(token_cache_stats(cache).entries, 1);
    insert(cache, &samples[2]); /* it leaves when another one needs the room */
    assert_int_equal(token_cache_stats(cache).entries, 1);
    assert_false(knows(cache, &samples[1]));
    samples[2].identity->assertion_bytes = 500;
    assert_true(knows(cache, &samples[2]));
    samples[2].identity->assertion_bytes = 200; /* a shorter one in its place */
    assert_true(knows(cache, &samples[2]));
    assert_int_equal(token_cache_stats(cache).bytes, one + 200);
    token_cache_clear(cache);
    assert_int_equal(token_cache_stats(cache).bytes, 0);
    insert(cache, &samples[2]); /* with one already */
    assert_int_equal(token_cache_stats(cache).bytes, one + 200);
    token_cache_free(cache);
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        identity_unref(samples[i].identity);
}

static void token_cache_insert_replaces_the_same_credential(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(1, PLENTY);
    struct sample sample;
    sample_fill(&sample, 1, FIXTURE_NOW + 100);
    struct identity *older = make_identity(FIXTURE_NOW + 50, 0, NULL);
    token_cache_insert(cache, sample.digest, sample.token, older);
    insert(cache, &sample);
    insert(cache, &sample);
    assert_int_equal(older->refs, 1);
    assert_true(knows(cache, &sample));
    assert_int_equal(token_cache_stats(cache).entries, 1);
    assert_int_equal(token_cache_stats(cache).evictions, 0);
    token_cache_free(cache);
    identity_unref(older);
    identity_unref(sample.identity);
}

static void token_cache_clear_ends_every_entry(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(64, PLENTY);
    struct sample samples[40];
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
        sample_fill(&samples[i], i, FIXTURE_NOW + 100);
        insert(cache, &samples[i]);
    }
    assert_int_equal(token_cache_stats(cache).entries, ARRAY_LEN(samples));
    token_cache_clear(cache);
    assert_int_equal(token_cache_stats(cache).entries, 0);
    assert_int_equal(token_cache_stats(cache).bytes, 0);
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
        assert_false(knows(cache, &samples[i]));
        assert_int_equal(samples[i].identity->refs, 1);
        identity_unref(samples[i].identity);
    }
    token_cache_free(cache);
    assert_null(token_cache_free(NULL));
}

/* Revocation: key-1 leaves the set of issuer 0; the key-1 of issuer 1 has nothing to do with it. */
static void token_cache_drops_entries_whose_key_left_the_set(void **state)
{
    struct token_fixture *f = *state;
    struct token_cache *cache = token_cache_make(8, PLENTY);
    struct buf document = buf_make(65536);
    struct sample samples[3];
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
        sample_fill(&samples[i], i, FIXTURE_NOW + 100);
        identity_unref(samples[i].identity);
    }
    samples[0].identity =
        make_identity(FIXTURE_NOW + 100, 0, keyset_find(f->keysets[0], STR("key-1")));
    samples[1].identity =
        make_identity(FIXTURE_NOW + 100, 0, keyset_find(f->keysets[0], STR("key-2")));
    samples[2].identity =
        make_identity(FIXTURE_NOW + 100, 1, keyset_find(f->keysets[1], STR("key-1")));
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        insert(cache, &samples[i]);
    token_cache_drop_missing_keys(cache, f->keysets);
    assert_int_equal(token_cache_stats(cache).entries, 3);

    (void)buf_append(&document, STR("{\"keys\":["));
    mint_append_jwk(&document, f->next, "key-2", "");
    (void)buf_append(&document, STR("]}"));
    struct keyset *rotated = fixture_keyset(buf_str(&document), &f->issuers[0]);
    struct keyset *const after[] = {rotated, f->keysets[1]};
    token_cache_drop_missing_keys(cache, after);
    assert_false(knows(cache, &samples[0]));
    assert_true(knows(cache, &samples[1]));
    assert_true(knows(cache, &samples[2]));

    buf_clear(&document);
    (void)buf_append(&document, STR("{\"keys\":["));
    mint_append_jwk(&document, f->attacker, "key-2", "");
    (void)buf_append(&document, STR("]}"));
    struct keyset *replaced = fixture_keyset(buf_str(&document), &f->issuers[0]);
    struct keyset *const last[] = {replaced, NULL};
    token_cache_drop_missing_keys(cache, last);
    assert_int_equal(token_cache_stats(cache).entries, 0);

    keyset_unref(rotated);
    keyset_unref(replaced);
    buf_free(&document);
    token_cache_free(cache);
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        identity_unref(samples[i].identity);
}

/* A cache that is far too small for its traffic stays consistent. */
static void token_cache_stays_consistent_under_churn(void **state)
{
    (void)state;
    struct token_cache *cache = token_cache_make(7, PLENTY);
    struct sample samples[100];
    uint64_t lookups = 0;
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
        sample_fill(&samples[i], i, FIXTURE_NOW + 100);
    for (unsigned round = 0; round < 2000; round++) {
        const struct sample *sample = &samples[round * 7919 % ARRAY_LEN(samples)];
        lookups++;
        if (!knows(cache, sample))
            insert(cache, sample);
        assert_true(knows(cache, sample));
        lookups++;
        assert_true(token_cache_stats(cache).entries <= 7);
    }
    const struct token_cache_stats stats = token_cache_stats(cache);
    assert_int_equal(stats.hits + stats.misses, lookups);
    assert_int_equal(stats.misses - stats.evictions, stats.entries);
    token_cache_free(cache);
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
        assert_int_equal(samples[i].identity->refs, 1);
        identity_unref(samples[i].identity);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_cache_gives_back_what_was_put_in),
        cmocka_unit_test(token_cache_lookup_gives_a_reference),
        cmocka_unit_test(token_cache_compares_the_whole_credential),
        cmocka_unit_test(token_cache_entry_dies_at_exp_plus_skew),
        cmocka_unit_test(token_cache_evicts_what_was_not_used_for_longest),
        cmocka_unit_test(token_cache_of_no_entries_holds_one),
        cmocka_unit_test(token_cache_is_bounded_in_bytes),
        cmocka_unit_test(token_cache_counts_what_an_entry_holds),
        cmocka_unit_test(token_cache_holds_a_usual_token_in_2_kib),
        cmocka_unit_test(token_cache_counts_strings_with_escapes_twice),
        cmocka_unit_test(token_cache_counts_claims_that_come_later),
        cmocka_unit_test(token_cache_counts_assertions_that_come_later),
        cmocka_unit_test(token_cache_insert_replaces_the_same_credential),
        cmocka_unit_test(token_cache_clear_ends_every_entry),
        cmocka_unit_test(token_cache_drops_entries_whose_key_left_the_set),
        cmocka_unit_test(token_cache_stays_consistent_under_churn),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
