/* SPDX-License-Identifier: Apache-2.0 */
/* The promise: the upstream gets a JWT that passes the strictest check we know, our own, with the
 * upstream in the place of the gate; it says what the token said, no more and not for longer; and
 * it is made once for many requests. */
#include "auth/assertion.h"

#include <errno.h>

#include "proto/claims.h"
#include "proto/jws_sign.h"
#include "support/cmocka_all.h"
#include "support/token_fixture.h"

#define UPSTREAM "http://127.0.0.1:3000/mcp"
#define TTL 60
#define FINGERPRINT "0a1b2c3d"

struct world {
    struct token_fixture *f;
    struct jws_signer *signers[2];
    /* The upstream, as one that checks tokens: its issuer is the gate. */
    struct issuer_config issuer;
    const struct issuer_config *issuers[1];
    struct str audience;
    struct route route;
    struct config_data config;
    struct keyset *keyset;
};

static struct jws_signer *load_signer(const char *name)
{
    char path[512];
    char pem[8192];
    (void)snprintf(path, sizeof(path), SOURCE_DIR "/tests/data/keys/%s.pem", name);
    FILE *file = fopen(path, "r");
    mint_require(file != NULL, path);
    const size_t len = fread(pem, 1, sizeof(pem), file);
    (void)fclose(file);
    struct jws_signer *signer = NULL;
    const char *why = NULL;
    mint_require(jws_signer_new(str_make(pem, len), &signer, &why) == 0, path);
    return signer;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    mint_require(w != NULL, "memory");
    w->f = fixture_make();
    w->signers[0] = load_signer("next");
    w->signers[1] = load_signer("large");
    for (size_t i = 0; i < ARRAY_LEN(w->f->routes); i++) {
        w->f->routes[i].upstream.url = STR(UPSTREAM);
        w->f->routes[i].upstream.assertion = (struct assertion_config){
            .header = STR("X-Portcullis-Assertion"),
            .keys = w->signers,
            .n_keys = 2,
            .ttl_s = TTL,
        };
    }
    w->issuer = (struct issuer_config){
        .issuer = STR(RESOURCE), .algorithms = fixture_rs256, .n_algorithms = 1};
    struct buf text = buf_make(65536);
    (void)buf_append(&text, STR("{\"keys\":["));
    (void)buf_append(&text, jws_signer_jwk(w->signers[0]));
    (void)buf_append_char(&text, ',');
    (void)buf_append(&text, jws_signer_jwk(w->signers[1]));
    (void)buf_append(&text, STR("]}"));
    w->keyset = fixture_keyset(buf_str(&text), &w->issuer);
    buf_free(&text);
    w->issuers[0] = &w->issuer;
    w->audience = STR(UPSTREAM);
    w->route = (struct route){
        .issuers = w->issuers, .n_issuers = 1, .audiences = &w->audience, .n_audiences = 1};
    w->config = w->f->config; /* its limits */
    w->config.issuers = &w->issuer;
    w->config.n_issuers = 1;
    w->config.clock_skew_s = 0;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    (void)jws_signer_free(w->signers[0]);
    (void)jws_signer_free(w->signers[1]);
    (void)keyset_unref(w->keyset);
    fixture_free(w->f);
    free(w);
    return 0;
}

/* The identity of a token with these claims, checked and all, as at FIXTURE_NOW. */
static struct identity *identity_of(const struct world *w, const char *payload)
{
    const struct mint_signer signer = {.key = w->f->signer};
    struct buf token = buf_make(MINT_MAX_BYTES);
    struct identity *identity = NULL;
    size_t issuer_index;
    mint_token(&token, HEADER, payload, &signer);
    assert_int_equal(token_check(&w->f->context, buf_str(&token), &identity, &issuer_index),
                     TOKEN_OK);
    buf_free(&token);
    return identity;
}

static struct str get_at(const struct route *route, struct identity *identity, int64_t now_s)
{
    struct str jwt = {0};
    assert_int_equal(assertion_get(route, identity, FINGERPRINT, now_s, &jwt), 0);
    assert_true(str_is_set(jwt));
    return jwt;
}

/* What the check of a token says to JWT at NOW_S; the identity is the caller's. */
static enum token_rc check_at(struct world *w, struct str jwt, int64_t now_s,
                              struct identity **ret_identity)
{
    size_t issuer_index;
    const struct token_context context = {
        .config = &w->config,
        .route = &w->route,
        .verifier = w->f->verifier,
        .keysets = &w->keyset,
        .now_s = now_s,
        .now_mono_ms = FIXTURE_MONO,
    };
    return token_check(&context, jwt, ret_identity, &issuer_index);
}

/* The claims of JWT, which is good at NOW_S. */
static json_t *claims_at(struct world *w, struct str jwt, int64_t now_s)
{
    struct identity *identity = NULL;
    assert_int_equal(check_at(w, jwt, now_s, &identity), TOKEN_OK);
    json_t *claims = NULL;
    assert_int_equal(json_parse(identity->payload, (struct json_limits){65536, 8}, &claims, NULL),
                     JSON_RC_OK);
    (void)identity_unref(identity);
    return claims;
}

/* Every request goes by the route's check first, which sees to the claims that the route reads. */
static void recheck_for(const struct world *w, const struct route *route, struct identity *identity)
{
    struct token_context context = w->f->context;
    context.route = route;
    assert_int_equal(token_recheck(&context, identity), TOKEN_OK);
}

static int64_t exp_of(struct str jwt)
{
    struct jws_parts parts;
    json_t *claims = NULL;
    assert_int_equal(jws_split(jwt, &parts), JWS_OK);
    assert_int_equal(claims_decode(parts.payload, &claims), CLAIMS_OK);
    const int64_t exp_s = json_integer_value(json_object_get(claims, "exp"));
    json_decref(claims);
    return exp_s;
}

static void assertion_says_who_calls_and_what_was_granted(void **state)
{
    struct world *w = *state;
    struct identity *identity = identity_of(w, RFC9068_PAYLOAD);
    json_t *said = claims_at(w, get_at(&w->f->routes[0], identity, FIXTURE_NOW), FIXTURE_NOW);
    json_t *expected = json_pack(
        "{s:s, s:s, s:i, s:i, s:s, s:{s:s, s:s, s:s}, s:s, s:s, s:s, s:s}", "iss", RESOURCE, "aud",
        UPSTREAM, "iat", FIXTURE_NOW, "exp", FIXTURE_NOW + TTL, "sub", "auth0|64f", "sub_id",
        "format", "iss_sub", "iss", ISSUER, "sub", "auth0|64f", "client_id", "tpc_client", "scope",
        "mcp:use", "resource", RESOURCE, "token", FINGERPRINT);
    assert_non_null(expected);
    assert_true(json_equal(said, expected));
    json_decref(said);
    json_decref(expected);
    (void)identity_unref(identity);
}

static void assertion_names_no_scope_when_the_token_has_none(void **state)
{
    struct world *w = *state;
    struct identity *identity =
        identity_of(w, "{\"iss\":\"" ISSUER "\",\"sub\":\"x@clients\",\"aud\":\"" RESOURCE
                       "\",\"exp\":1800003600,\"azp\":\"x\"}");
    json_t *said = claims_at(w, get_at(&w->f->routes[0], identity, FIXTURE_NOW), FIXTURE_NOW);
    assert_null(json_object_get(said, "scope"));
    assert_true(
        str_eq(json_get_str(said, "client_id"), STR("x"))); /* whatever the token calls it */
    json_decref(said);
    (void)identity_unref(identity);
}

static void assertion_copies_the_claims_that_are_named(void **state)
{
    struct world *w = *state;
    static const struct str names[] = {
        STR_INIT("org_id"), STR_INIT("https://example.com/roles"),
        STR_INIT("act"),    STR_INIT("absent"),
        STR_INIT("n"),      STR_INIT("/act/sub"),
    };
    struct identity *identity =
        identity_of(w, "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE
                       "\",\"exp\":1800003600,\"azp\":\"x\",\"org_id\":\"org_1\",\"email\":\"e\","
                       "\"https://example.com/roles\":[\"a\",1,null],\"act\":{\"sub\":\"agt\"},"
                       "\"n\":1.5}");
    struct route route = w->f->routes[0];
    route.upstream.assertion.claims = names;
    route.upstream.assertion.n_claims = ARRAY_LEN(names);
    route.claims_read = names;
    route.n_claims_read = ARRAY_LEN(names);
    recheck_for(w, &route, identity);
    json_t *said = claims_at(w, get_at(&route, identity, FIXTURE_NOW), FIXTURE_NOW);
    assert_int_equal(json_object_size(said), 9 + 4);
    for (size_t i = 0; i < 5; i++)
        assert_true(json_object_get(said, names[i].ptr) == NULL
                        ? i == 3
                        : json_equal(json_object_get(said, names[i].ptr),
                                     json_object_get(identity->claims, names[i].ptr)));
    assert_null(json_object_get(said, "email"));
    json_decref(said);
    (void)identity_unref(identity);
}

static void copied_claims_never_stand_for_our_own(void **state)
{
    struct world *w = *state;
    static const struct str names[] = {
        STR_INIT("iss"),    STR_INIT("aud"),       STR_INIT("iat"),   STR_INIT("exp"),
        STR_INIT("sub"),    STR_INIT("client_id"), STR_INIT("scope"), STR_INIT("resource"),
        STR_INIT("sub_id"), STR_INIT("token"),
    };
    struct identity *identity =
        identity_of(w, "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE
                       "\",\"iat\":1799999000,\"exp\":1800003600,\"azp\":\"x\",\"scope\":\"a\","
                       "\"resource\":\"evil\",\"sub_id\":\"evil\",\"token\":\"evil\"}");
    struct route route = w->f->routes[0];
    json_t *plain = claims_at(w, get_at(&route, identity, FIXTURE_NOW), FIXTURE_NOW);
    struct route copying = route;
    copying.upstream.assertion.claims = names;
    copying.upstream.assertion.n_claims = ARRAY_LEN(names);
    copying.claims_read = names;
    copying.n_claims_read = ARRAY_LEN(names);
    recheck_for(w, &copying, identity);
    json_t *said = claims_at(w, get_at(&copying, identity, FIXTURE_NOW), FIXTURE_NOW);
    assert_true(json_equal(said, plain));
    json_decref(plain);
    json_decref(said);
    (void)identity_unref(identity);
}

static void assertion_is_made_once_and_renewed_in_its_last_quarter(void **state)
{
    struct world *w = *state;
    const struct route *route = &w->f->routes[0];
    struct identity *identity = identity_of(w, RFC9068_PAYLOAD);
    const char *first = get_at(route, identity, FIXTURE_NOW).ptr;
    const size_t bytes = identity->assertion_bytes;
    for (int64_t s = 0; s <= TTL - TTL / 4; s++)
        assert_ptr_equal(get_at(route, identity, FIXTURE_NOW + s).ptr, first);
    const int64_t later = FIXTURE_NOW + TTL - TTL / 4 + 1;
    struct str second = get_at(route, identity, later);
    assert_int_equal(exp_of(second), later + TTL);
    json_decref(claims_at(w, second, later));
    assert_int_equal(identity->assertion_bytes, bytes); /* in the place of the first one */
    assert_ptr_equal(get_at(route, identity, later + 1).ptr, second.ptr);
    /* a long silence */
    assert_int_equal(exp_of(get_at(route, identity, later + 1000)), later + 1000 + TTL);
    (void)identity_unref(identity);
}

static void assertion_never_outlives_the_token(void **state)
{
    struct world *w = *state;
    const struct route *route = &w->f->routes[0];
    struct identity *identity = identity_of(w, RFC9068_PAYLOAD);
    const int64_t end = identity->times.exp_s;
    assert_int_equal(exp_of(get_at(route, identity, end - TTL - 1)), end - 1);
    assert_int_equal(exp_of(get_at(route, identity, end - TTL / 5)), end);
    const char *last = get_at(route, identity, end - 1).ptr;
    json_decref(claims_at(w, get_at(route, identity, end - 1), end - 1));
    /* Within the skew: no signature for each request, and nothing that is good for longer. */
    for (int64_t s = 0; s < FIXTURE_SKEW; s++)
        assert_ptr_equal(get_at(route, identity, end + s).ptr, last);
    struct identity *refused = NULL;
    assert_int_equal(check_at(w, str_make(last, get_at(route, identity, end).len), end, &refused),
                     TOKEN_EXPIRED);
    (void)identity_unref(identity);

    struct identity *late = identity_of(w, RFC9068_PAYLOAD); /* first seen within the skew */
    last = get_at(route, late, end + 3).ptr;
    assert_int_equal(exp_of(get_at(route, late, end + 3)), end);
    assert_ptr_equal(get_at(route, late, end + 4).ptr, last);
    (void)identity_unref(late);
}

static void assertion_is_made_anew_when_the_clock_went_back(void **state)
{
    struct world *w = *state;
    const struct route *route = &w->f->routes[0];
    struct identity *identity = identity_of(w, RFC9068_PAYLOAD);
    (void)get_at(route, identity, FIXTURE_NOW + 1000);
    assert_int_equal(exp_of(get_at(route, identity, FIXTURE_NOW)), FIXTURE_NOW + TTL);
    (void)identity_unref(identity);
}

static void each_route_has_an_assertion_of_its_own(void **state)
{
    struct world *w = *state;
    struct identity *identity = identity_of(w, RFC9068_PAYLOAD);
    struct route other = w->f->routes[0];
    struct jws_signer *const keys[] = {w->signers[1]};
    other.resource = STR("https://mcp.example.com/other");
    other.upstream.url = STR("https://elsewhere.example/");
    other.upstream.assertion.keys = keys;
    other.upstream.assertion.n_keys = 1;
    const char *first = get_at(&w->f->routes[0], identity, FIXTURE_NOW).ptr;
    const size_t one = identity->assertion_bytes;
    struct str jwt = get_at(&other, identity, FIXTURE_NOW);
    assert_true(identity->assertion_bytes > one);
    const char *third = get_at(&w->f->routes[2], identity, FIXTURE_NOW).ptr;
    assert_ptr_equal(get_at(&w->f->routes[0], identity, FIXTURE_NOW).ptr, first);
    assert_ptr_equal(get_at(&other, identity, FIXTURE_NOW).ptr, jwt.ptr);
    assert_ptr_not_equal(third, first);

    struct identity *refused = NULL;
    assert_int_equal(check_at(w, jwt, FIXTURE_NOW, &refused), TOKEN_ISSUER);
    w->issuer.issuer = other.resource;
    assert_int_equal(check_at(w, jwt, FIXTURE_NOW, &refused), TOKEN_AUDIENCE);
    w->audience = other.upstream.url;
    json_decref(claims_at(w, jwt, FIXTURE_NOW));
    w->issuer.issuer = STR(RESOURCE);
    w->audience = STR(UPSTREAM);
    /* the one in the middle of the list is renewed in its place */
    (void)get_at(&other, identity, FIXTURE_NOW + TTL);
    assert_ptr_equal(get_at(&w->f->routes[0], identity, FIXTURE_NOW).ptr, first);
    assert_ptr_equal(get_at(&w->f->routes[2], identity, FIXTURE_NOW).ptr, third);
    (void)identity_unref(identity);
}

static void the_first_key_signs(void **state)
{
    struct world *w = *state;
    struct jws_signer *const turned[] = {w->signers[1], w->signers[0]};
    struct identity *identity = identity_of(w, RFC9068_PAYLOAD);
    struct route route = w->f->routes[0];
    route.upstream.assertion.keys = turned;
    for (size_t i = 0; i < 2; i++) {
        struct jws_parts parts;
        struct jws_header header;
        struct str jwt = get_at(i == 0 ? &w->f->routes[0] : &route, identity, FIXTURE_NOW);
        assert_int_equal(jws_split(jwt, &parts), JWS_OK);
        assert_int_equal(jws_header_read(parts.header, &header), JWS_OK);
        assert_true(str_eq(header.kid, jws_signer_kid(w->signers[i])));
        jws_header_clear(&header);
        json_decref(claims_at(w, jwt, FIXTURE_NOW)); /* both are published */
    }
    (void)identity_unref(identity);
}

/* An identity with a claim "long" of LEN bytes. */
static struct identity *identity_with_long_claim(const struct world *w, size_t len)
{
    struct buf payload = buf_make(MINT_MAX_BYTES);
    (void)buf_append_cstr(&payload, "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE
                                    "\",\"exp\":1800003600,\"azp\":\"x\",\"long\":\"");
    for (size_t i = 0; i < len; i++)
        (void)buf_append_char(&payload, 'x');
    (void)buf_append_cstr(&payload, "\"}");
    (void)buf_append_char(&payload, '\0');
    struct identity *identity = identity_of(w, payload.ptr);
    buf_free(&payload);
    return identity;
}

static void an_assertion_that_is_too_long_is_not_made(void **state)
{
    struct world *w = *state;
    static const struct str name = STR_INIT("long");
    struct route route = w->f->routes[0];
    struct identity *identity = identity_with_long_claim(w, 0);
    route.upstream.assertion.claims = &name;
    route.upstream.assertion.n_claims = 1;
    route.claims_read = &name;
    route.n_claims_read = 1;
    recheck_for(w, &route, identity);
    const size_t shortest = get_at(&route, identity, FIXTURE_NOW).len;
    (void)identity_unref(identity);
    /* three bytes of a claim are four of the text */
    const size_t fits = (ASSERTION_MAX_BYTES - shortest) / 4 * 3;
    for (size_t more = 0; more <= 4; more += 4) {
        struct str jwt = {0};
        identity = identity_with_long_claim(w, fits + more);
        recheck_for(w, &route, identity);
        assert_int_equal(assertion_get(&route, identity, FINGERPRINT, FIXTURE_NOW, &jwt),
                         more == 0 ? 0 : -EMSGSIZE);
        assert_int_equal(str_is_set(jwt), more == 0);
        assert_true(jwt.len <= ASSERTION_MAX_BYTES);
        assert_int_equal(identity->assertion_bytes > 0, more == 0);
        (void)identity_unref(identity);
    }
}

static void an_assertion_that_cannot_be_signed_is_not_made(void **state)
{
    struct world *w = *state;
    struct identity *identity =
        identity_of(w, "{\"iss\":\"" ISSUER "\",\"sub\":\"a\\u0000b\",\"aud\":\"" RESOURCE
                       "\",\"exp\":1800003600,\"azp\":\"x\"}");
    struct str jwt = {0};
    assert_int_equal(assertion_get(&w->f->routes[0], identity, FINGERPRINT, FIXTURE_NOW, &jwt),
                     -EIO);
    assert_false(str_is_set(jwt));
    assert_null(identity->assertions);
    (void)identity_unref(identity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assertion_says_who_calls_and_what_was_granted),
        cmocka_unit_test(assertion_names_no_scope_when_the_token_has_none),
        cmocka_unit_test(assertion_copies_the_claims_that_are_named),
        cmocka_unit_test(copied_claims_never_stand_for_our_own),
        cmocka_unit_test(assertion_is_made_once_and_renewed_in_its_last_quarter),
        cmocka_unit_test(assertion_never_outlives_the_token),
        cmocka_unit_test(assertion_is_made_anew_when_the_clock_went_back),
        cmocka_unit_test(each_route_has_an_assertion_of_its_own),
        cmocka_unit_test(the_first_key_signs),
        cmocka_unit_test(an_assertion_that_is_too_long_is_not_made),
        cmocka_unit_test(an_assertion_that_cannot_be_signed_is_not_made),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
