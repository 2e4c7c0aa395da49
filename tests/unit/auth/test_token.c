/* SPDX-License-Identifier: Apache-2.0 */
/* Rules 6 to 22, 24, 25 and 27 of docs/TOKENS.md on whole tokens: what passes, and what is one step
 * past each limit. The attacks are in test_token_attacks_*.c. */
#include "auth/token.h"

#include "proto/challenge.h"
#include "support/cmocka_all.h"
#include "support/token_fixture.h"

#define OTHER_PAYLOAD                                                                 \
    "{\"iss\":\"" OTHER_ISSUER "\",\"sub\":\"s\",\"aud\":\"api\",\"exp\":1800003600," \
    "\"client_id\":\"c\"}"

static enum token_rc check(const struct token_context *context, const char *header,
                           const char *payload, const struct mint_signer *signer)
{
    struct buf token = buf_make(MINT_MAX_BYTES);
    mint_token(&token, header, payload, signer);
    enum token_rc rc = fixture_check(context, buf_str(&token));
    buf_free(&token);
    return rc;
}

/* The identity of a token that must be good. */
static struct identity *identify(const struct token_context *context, const char *header,
                                 const char *payload, const struct mint_signer *signer)
{
    struct buf token = buf_make(MINT_MAX_BYTES);
    struct identity *identity = NULL;
    size_t issuer_index;
    mint_token(&token, header, payload, signer);
    assert_int_equal(token_check(context, buf_str(&token), &identity, &issuer_index), TOKEN_OK);
    assert_true(issuer_index == SIZE_MAX);
    buf_free(&token);
    return identity;
}

static void token_check_accepts_both_profiles(void **state)
{
    struct token_fixture *f = *state;
    static const struct {
        const char *why;
        const char *header;
        const char *payload;
    } rows[] = {
        {"legacy profile", HEADER, LEGACY_PAYLOAD},
        {"RFC 9068 profile", RFC9068_HEADER, RFC9068_PAYLOAD},
        {"11: no typ", "{\"alg\":\"RS256\",\"kid\":\"key-1\"}", LEGACY_PAYLOAD},
        {"11: typ in lower case", "{\"alg\":\"RS256\",\"kid\":\"key-1\",\"typ\":\"jwt\"}",
         LEGACY_PAYLOAD},
        {"11: typ AT+JWT", "{\"alg\":\"RS256\",\"kid\":\"key-1\",\"typ\":\"AT+JWT\"}",
         RFC9068_PAYLOAD},
        {"11: the media type in full",
         "{\"alg\":\"RS256\",\"kid\":\"key-1\",\"typ\":\"application/at+jwt\"}", RFC9068_PAYLOAD},
        {"12: members that are ignored, never fetched",
         "{\"alg\":\"RS256\",\"kid\":\"key-1\",\"jku\":\"https://evil/k\",\"x5u\":\"file:///\","
         "\"jwk\":{},\"x5c\":[],\"x5t\":\"x\",\"cty\":\"JWT\",\"foo\":1}",
         LEGACY_PAYLOAD},
        {"9: blanks and escapes in the header",
         " {\n\"alg\" : \"\\u0052S256\", \"k\\u0069d\":\"key-1\"}\r\n", LEGACY_PAYLOAD},
        {"client credentials (M2M)", HEADER,
         "{\"iss\":\"" ISSUER "\",\"sub\":\"c@clients\",\"aud\":\"" RESOURCE "\",\"azp\":\"c\","
         "\"exp\":1800003600,\"iat\":1799999000,\"gty\":\"client-credentials\"}"},
        {"custom claims, organisation, delegation", HEADER,
         "{\"iss\":\"" ISSUER "\",\"sub\":\"agt_1\",\"aud\":\"" RESOURCE "\",\"azp\":\"c\","
         "\"exp\":1800003600,\"org_id\":\"org_1\",\"act\":{\"sub\":\"a\",\"act\":{\"sub\":\"b\"}},"
         "\"https://example.com/roles\":[\"admin\"],\"name\":\"\xc3\xa9\\u0000\"}"},
    };
    const struct mint_signer signer = {.key = f->signer};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum token_rc rc = check(&f->context, rows[i].header, rows[i].payload, &signer);
        if (rc != TOKEN_OK)
            fail_msg("%s: %s", rows[i].why, token_rc_name(rc));
    }
}

static void token_check_gives_the_identity(void **state)
{
    struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    struct identity *identity = identify(&f->context, RFC9068_HEADER, RFC9068_PAYLOAD, &signer);
    assert_int_equal(identity->refs, 1);
    assert_int_equal(identity->issuer_index, 0);
    assert_true(str_eq(identity->issuer, STR(ISSUER)));
    assert_true(str_eq(identity->subject, STR("auth0|64f")));
    assert_true(str_eq(identity->client, STR("tpc_client")));
    assert_true(str_eq(identity->scope, STR("mcp:use")));
    assert_int_equal(identity->times.exp_s, 1800003600);
    assert_int_equal(identity->dies_s, 1800003600 + FIXTURE_SKEW);
    assert_true(keyset_contains(f->keysets[0], identity->kid, identity->thumbprint));
    assert_true(str_eq(identity->payload, STR(RFC9068_PAYLOAD)));
    assert_null(identity->claims); /* a route without rules reads none */
    assert_ptr_equal(identity_ref(identity), identity);
    assert_null(identity_unref(identity));
    assert_true(str_eq(identity->subject, STR("auth0|64f")));
    assert_null(identity_unref(identity));
    assert_null(identity_unref(NULL));
}

/* Escapes are allowed wherever a string is; what they mean is what counts. */
static void token_check_reads_escapes(void **state)
{
    struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    struct buf payload = buf_make(65536);
    const char *const strings[] = {ISSUER,       "auth0|64f", "tpc_client",
                                   "tpc_client", "a b",       RESOURCE};
    const char *const names[] = {"iss", "sub", "client_id", "azp", "scope", "aud"};
    (void)buf_append_cstr(&payload, "{\"exp\":1800003600");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)buf_printf(&payload, ",\"%s\":\"", names[i]);
        for (const char *c = strings[i]; *c != '\0'; c++)
            (void)buf_printf(&payload, "\\u%04x", (unsigned)*c);
        (void)buf_append_char(&payload, '"');
    }
    (void)buf_append_char(&payload, '}');
    (void)buf_append_char(&payload, '\0');
    struct identity *identity = identify(&f->context, HEADER, payload.ptr, &signer);
    buf_free(&payload);
    assert_true(str_eq(identity->issuer, STR(ISSUER)));
    assert_true(str_eq(identity->subject, STR("auth0|64f")));
    assert_true(str_eq(identity->client, STR("tpc_client")));
    assert_true(str_eq(identity->scope, STR("a b")));
    assert_true(keyset_contains(f->keysets[0], identity->kid, identity->thumbprint));
    assert_int_equal(token_recheck(&f->context, identity), TOKEN_OK);
    identity_unref(identity);
}

/* Rule 27. SHA-256 of "abc" is FIPS 180-2's example. */
static void token_fingerprint_is_eight_digits_of_the_digest(void **state)
{
    uint8_t digest[SHA256_LEN];
    char hex[TOKEN_FINGERPRINT_LEN + 1];
    (void)state;
    assert_int_equal(secret_sha256(STR("abc"), digest), 0);
    token_fingerprint(digest, hex);
    assert_string_equal(hex, "ba7816bf");
}

static void token_check_limits_the_size(void **state)
{
    struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    struct buf token = buf_make(MINT_MAX_BYTES);
    mint_token(&token, HEADER, LEGACY_PAYLOAD, &signer);
    f->config.limits.token_bytes = token.len;
    assert_int_equal(fixture_check(&f->context, buf_str(&token)), TOKEN_OK);
    f->config.limits.token_bytes = token.len - 1;
    assert_int_equal(fixture_check(&f->context, buf_str(&token)), TOKEN_TOO_LARGE);
    f->config.limits.token_bytes = FIXTURE_TOKEN_BYTES;
    buf_free(&token);
}

/* Rule 10 is the issuer's list in the policy, not what we could verify. */
static void token_check_pins_the_algorithm_to_the_issuer(void **state)
{
    struct token_fixture *f = *state;
    static const struct {
        const char *name;
        const char *digest;
        int pss_salt;
    } algorithms[] = {
        {"RS256", "SHA256", 0},
        {"RS384", "SHA384", 0},
        {"RS512", "SHA512", 0},
        {"PS256", "SHA256", RSA_PSS_SALTLEN_DIGEST},
        {"PS384", "SHA384", RSA_PSS_SALTLEN_DIGEST},
        {"PS512", "SHA512", RSA_PSS_SALTLEN_DIGEST},
    };
    struct token_context both = f->context;
    both.route = &f->routes[1];
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        char header[128];
        const struct mint_signer other = {f->large, algorithms[i].digest, algorithms[i].pss_salt};
        const struct mint_signer first = {f->signer, algorithms[i].digest, algorithms[i].pss_salt};
        (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"key-1\"}",
                       algorithms[i].name);
        assert_int_equal(check(&both, header, OTHER_PAYLOAD, &other), TOKEN_OK);
        assert_int_equal(check(&f->context, header, LEGACY_PAYLOAD, &first),
                         i == 0 ? TOKEN_OK : TOKEN_ALG);
    }
}

/* Rule 13: a kid means something only among the keys of the token's own issuer. */
static void token_check_uses_the_keys_of_the_tokens_issuer_only(void **state)
{
    struct token_fixture *f = *state;
    struct token_context both = f->context;
    const struct mint_signer first = {.key = f->signer};
    const struct mint_signer second = {.key = f->next};
    const struct mint_signer other = {.key = f->large};
    const char *const header = "{\"alg\":\"RS256\",\"kid\":\"key-1\"}";
    const char *const header_2 = "{\"alg\":\"RS256\",\"kid\":\"key-2\"}";
    both.route = &f->routes[1];
    assert_int_equal(check(&both, header, OTHER_PAYLOAD, &other), TOKEN_OK);
    assert_int_equal(check(&both, header, OTHER_PAYLOAD, &first), TOKEN_SIGNATURE);
    assert_int_equal(check(&f->context, header, LEGACY_PAYLOAD, &other), TOKEN_SIGNATURE);
    assert_int_equal(check(&f->context, header_2, LEGACY_PAYLOAD, &second), TOKEN_OK);
    assert_int_equal(check(&f->context, header, LEGACY_PAYLOAD, &second), TOKEN_SIGNATURE);
    assert_int_equal(check(&both, header_2, OTHER_PAYLOAD, &second), TOKEN_UNKNOWN_KEY);
}

/* Rules 16 and 17: each route has its own issuers and audiences. */
static void token_check_keeps_routes_apart(void **state)
{
    struct token_fixture *f = *state;
    struct token_context both = f->context;
    const struct mint_signer first = {.key = f->signer};
    const struct mint_signer other = {.key = f->large};
    const char *const other_with_resource =
        "{\"iss\":\"" OTHER_ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE
        "\",\"exp\":1800003600,\"client_id\":\"c\"}";
    both.route = &f->routes[1];
    assert_int_equal(check(&f->context, HEADER, LEGACY_PAYLOAD, &first), TOKEN_OK);
    assert_int_equal(check(&both, HEADER, LEGACY_PAYLOAD, &first), TOKEN_AUDIENCE);
    assert_int_equal(check(&both, HEADER, OTHER_PAYLOAD, &other), TOKEN_OK);
    assert_int_equal(check(&f->context, HEADER, other_with_resource, &other), TOKEN_ISSUER);
}

static void token_check_says_whose_keys_to_fetch(void **state)
{
    struct token_fixture *f = *state;
    const struct mint_signer other = {.key = f->large};
    struct token_context both = f->context;
    struct buf token = buf_make(MINT_MAX_BYTES);
    struct identity *identity = NULL;
    size_t issuer_index = 99;
    both.route = &f->routes[1];
    mint_token(&token, "{\"alg\":\"RS256\",\"kid\":\"new\"}", OTHER_PAYLOAD, &other);
    assert_int_equal(token_check(&both, buf_str(&token), &identity, &issuer_index),
                     TOKEN_UNKNOWN_KEY);
    assert_int_equal(issuer_index, 1);
    struct keyset *kept = TAKE(f->keysets[1]);
    assert_int_equal(token_check(&both, buf_str(&token), &identity, &issuer_index), TOKEN_NO_KEYS);
    assert_int_equal(issuer_index, 1);
    f->keysets[1] = kept;
    mint_token(&token, HEADER, "{}", &other);
    assert_int_equal(token_check(&both, buf_str(&token), &identity, &issuer_index), TOKEN_ISSUER);
    assert_true(issuer_index == SIZE_MAX);
    assert_null(identity);
    buf_free(&token);
}

/* Rules 24 and 25. */
static void token_check_trusts_keys_for_max_stale_after_their_refresh(void **state)
{
    struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    static const struct {
        const char *why;
        int64_t age_ms;
        enum token_rc rc;
        bool stale;
    } rows[] = {
        {"just loaded", 0, TOKEN_OK, false},
        {"refresh under way", FIXTURE_REFRESH_MS + 1, TOKEN_OK, false},
        {"one refresh missed", 2 * FIXTURE_REFRESH_MS, TOKEN_OK, false},
        {"stale", 2 * FIXTURE_REFRESH_MS + 1, TOKEN_OK, true},
        {"stale to the last", FIXTURE_REFRESH_MS + FIXTURE_MAX_STALE_MS, TOKEN_OK, true},
        {"too stale", FIXTURE_REFRESH_MS + FIXTURE_MAX_STALE_MS + 1, TOKEN_NO_KEYS, true},
    };
    struct identity *cached = identify(&f->context, HEADER, LEGACY_PAYLOAD, &signer);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct token_context context = f->context;
        context.now_mono_ms = FIXTURE_MONO + rows[i].age_ms;
        if (check(&context, HEADER, LEGACY_PAYLOAD, &signer) != rows[i].rc ||
            token_recheck(&context, cached) != rows[i].rc ||
            token_keys_are_stale(&context, 0) != rows[i].stale)
            fail_msg("%s", rows[i].why);
    }
    identity_unref(cached);
}

static void token_keys_that_were_never_loaded_are_not_stale(void **state)
{
    struct token_fixture *f = *state;
    struct keyset *none[2] = {NULL, NULL};
    struct token_context context = f->context;
    context.keysets = none;
    assert_false(token_keys_are_stale(&context, 0));
}

/* The documented order: of two faults the earlier rule answers. */
static void token_check_answers_with_the_first_rule_broken(void **state)
{
    struct token_fixture *f = *state;
    static const struct {
        const char *why;
        const char *header;
        const char *payload;
        bool attacker;
        enum token_rc rc;
    } rows[] = {
        {"9 before 10", "{\"alg\":\"none\",\"alg\":\"none\"}", "{}", true, TOKEN_HEADER},
        {"10 before 11", "{\"alg\":\"none\",\"typ\":\"x\"}", "{}", true, TOKEN_ALG},
        {"11 before 12", "{\"alg\":\"RS256\",\"typ\":\"x\",\"crit\":[]}", "{}", true, TOKEN_TYP},
        {"12 before 13", "{\"alg\":\"RS256\",\"crit\":[]}", "{}", true, TOKEN_CRIT},
        {"13 before the payload", "{\"alg\":\"RS256\"}", "[]", true, TOKEN_KID},
        {"payload before iss", HEADER, "[]", true, TOKEN_PAYLOAD},
        {"iss before the key", "{\"alg\":\"RS256\",\"kid\":\"x\"}", "{\"iss\":\"x\"}", true,
         TOKEN_ISSUER},
        {"key before the signature", "{\"alg\":\"RS256\",\"kid\":\"x\"}", LEGACY_PAYLOAD, true,
         TOKEN_UNKNOWN_KEY},
        {"signature before the claims", HEADER, "{\"iss\":\"" ISSUER "\"}", true, TOKEN_SIGNATURE},
        {"17 before 18", HEADER, "{\"iss\":\"" ISSUER "\",\"aud\":\"x\",\"exp\":1}", false,
         TOKEN_AUDIENCE},
        {"18 before 19", HEADER,
         "{\"iss\":\"" ISSUER "\",\"aud\":\"" RESOURCE "\",\"exp\":1,\"nbf\":\"\"}", false,
         TOKEN_EXPIRED},
        {"19 before 20", HEADER,
         "{\"iss\":\"" ISSUER "\",\"aud\":\"" RESOURCE "\",\"exp\":1800003600,\"nbf\":\"\"}", false,
         TOKEN_TIME_CLAIM},
        {"20 before 21", HEADER,
         "{\"iss\":\"" ISSUER "\",\"aud\":\"" RESOURCE "\",\"exp\":1800003600,\"cnf\":{}}", false,
         TOKEN_SUBJECT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct mint_signer signer = {.key = rows[i].attacker ? f->attacker : f->signer};
        enum token_rc rc = check(&f->context, rows[i].header, rows[i].payload, &signer);
        if (rc != rows[i].rc)
            fail_msg("%s: %s", rows[i].why, token_rc_name(rc));
    }
}

/* What a hit in the cache still has to pass. */
static void token_recheck_repeats_what_depends_on_route_and_time(void **state)
{
    struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    struct token_context context = f->context;
    struct identity *identity =
        identify(&context, HEADER,
                 "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE "\",\"azp\":\"c\","
                 "\"nbf\":1800000000,\"exp\":1800003600}",
                 &signer);
    assert_int_equal(token_recheck(&context, identity), TOKEN_OK);
    context.now_s = 1800003600 + FIXTURE_SKEW - 1;
    assert_int_equal(token_recheck(&context, identity), TOKEN_OK);
    context.now_s = 1800003600 + FIXTURE_SKEW;
    assert_int_equal(token_recheck(&context, identity), TOKEN_EXPIRED);
    context.now_s = FIXTURE_NOW - FIXTURE_SKEW;
    assert_int_equal(token_recheck(&context, identity), TOKEN_OK);
    context.now_s = FIXTURE_NOW - FIXTURE_SKEW - 1;
    assert_int_equal(token_recheck(&context, identity), TOKEN_NOT_YET_VALID);
    context.now_s = FIXTURE_NOW;
    context.route = &f->routes[1];
    assert_int_equal(token_recheck(&context, identity), TOKEN_AUDIENCE);
    f->routes[1].issuers = f->both + 1;
    f->routes[1].n_issuers = 1;
    assert_int_equal(token_recheck(&context, identity), TOKEN_ISSUER);
    f->routes[1].issuers = f->both;
    f->routes[1].n_issuers = 2;
    identity_unref(identity);
}

/* A token that practically never expires must not wrap around into the past. */
static void token_check_survives_the_largest_exp(void **state)
{
    struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    struct identity *identity =
        identify(&f->context, HEADER,
                 "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE "\",\"azp\":\"c\","
                 "\"exp\":9223372036854775807}",
                 &signer);
    assert_true(identity->dies_s == INT64_MAX);
    assert_int_equal(token_recheck(&f->context, identity), TOKEN_OK);
    identity_unref(identity);
}

/* Every answer can be sent in a challenge, and no two have one name. */
static void token_rc_has_a_name_and_a_sendable_description(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TOKEN_RC_COUNT; i++) {
        const char *description = token_rc_description((enum token_rc)i);
        assert_non_null(description);
        const struct challenge challenge = {
            .resource_metadata = STR("https://x/"),
            .error = STR("invalid_token"),
            .error_description = str_from_cstr(description),
        };
        struct buf out = buf_make(1024);
        assert_int_equal(challenge_append(&challenge, &out), 0);
        buf_free(&out);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(token_rc_name((enum token_rc)i),
                                    token_rc_name((enum token_rc)j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_check_accepts_both_profiles),
        cmocka_unit_test(token_check_gives_the_identity),
        cmocka_unit_test(token_check_reads_escapes),
        cmocka_unit_test(token_fingerprint_is_eight_digits_of_the_digest),
        cmocka_unit_test(token_check_limits_the_size),
        cmocka_unit_test(token_check_pins_the_algorithm_to_the_issuer),
        cmocka_unit_test(token_check_uses_the_keys_of_the_tokens_issuer_only),
        cmocka_unit_test(token_check_keeps_routes_apart),
        cmocka_unit_test(token_check_says_whose_keys_to_fetch),
        cmocka_unit_test(token_check_trusts_keys_for_max_stale_after_their_refresh),
        cmocka_unit_test(token_keys_that_were_never_loaded_are_not_stale),
        cmocka_unit_test(token_check_answers_with_the_first_rule_broken),
        cmocka_unit_test(token_recheck_repeats_what_depends_on_route_and_time),
        cmocka_unit_test(token_check_survives_the_largest_exp),
        cmocka_unit_test(token_rc_has_a_name_and_a_sendable_description),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
