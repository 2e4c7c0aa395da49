/* SPDX-License-Identifier: Apache-2.0 */
/* A small world for tokens: two issuers, three routes, their keys, and a clock that stands still.
 *
 * issuer 0 "auth0": RS256 only, keys signer.pem (key-1) and next.pem (key-2)
 * issuer 1 "other": every algorithm, key large.pem (key-1, too: a kid means nothing elsewhere)
 * route 0: issuer 0 only, audience the resource; route 1: both issuers, audiences "api" and
 * another; route 2: as route 0, with scopes. */
#ifndef SUPPORT_TOKEN_FIXTURE_H
#define SUPPORT_TOKEN_FIXTURE_H

#include "auth/token.h"
#include "base/err.h"
#include "support/mint.h"

#define FIXTURE_NOW 1800000000
#define FIXTURE_SKEW 30
#define FIXTURE_MONO 10000000
#define FIXTURE_REFRESH_MS 600000
#define FIXTURE_MAX_STALE_MS 3600000
#define FIXTURE_TOKEN_BYTES 16384

#define ISSUER "https://tenant.us.auth0.com/"
#define OTHER_ISSUER "https://login.example/"
#define RESOURCE "https://mcp.example.com/mcp"
#define HEADER "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"key-1\"}"

/* The two profiles of Auth0, see docs of the tenant's "access token profile". */
#define LEGACY_PAYLOAD                                                                  \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"auth0|64f\",\"aud\":[\"" RESOURCE "\",\"" ISSUER \
    "userinfo\"],\"iat\":1799999000,\"exp\":1800003600,\"azp\":\"tpc_client\","         \
    "\"scope\":\"openid mcp:use\",\"gty\":\"password\"}"
#define RFC9068_HEADER "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}"
#define RFC9068_PAYLOAD                                                                     \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"auth0|64f\",\"aud\":\"" RESOURCE                     \
    "\",\"iat\":1799999000,\"exp\":1800003600,\"client_id\":\"tpc_client\",\"jti\":\"j1\"," \
    "\"scope\":\"mcp:use\",\"permissions\":[\"tool:echo\"]}"

struct token_fixture {
    struct issuer_config issuers[2];
    const struct issuer_config *only_first[1];
    const struct issuer_config *both[2];
    struct route routes[3];
    struct config_data config;
    struct keyset *keysets[2];
    EVP_PKEY *signer;
    EVP_PKEY *next;
    EVP_PKEY *large;
    EVP_PKEY *attacker;
    struct jws_verifier *verifier;
    struct token_context context; /* for route 0 */
};

static const struct str fixture_rs256[] = {STR_INIT("RS256")};
static const struct str fixture_all_algorithms[] = {
    STR_INIT("RS256"), STR_INIT("RS384"), STR_INIT("RS512"),
    STR_INIT("PS256"), STR_INIT("PS384"), STR_INIT("PS512"),
};
static const struct str fixture_resource[] = {STR_INIT(RESOURCE)};
static const struct str fixture_audiences[] = {STR_INIT("api"), STR_INIT("urn:x")};
static const struct str fixture_scopes[] = {STR_INIT("mcp:use"), STR_INIT("files:read")};
static const struct str fixture_implied[] = {STR_INIT("mcp:use"), STR_INIT("files:read")};
static const struct scope_implication fixture_implies[] = {
    {STR_INIT("mcp:admin"), fixture_implied, 2},
    {STR_INIT("files:write"), fixture_implied + 1, 1},
};

static inline struct keyset *fixture_keyset(struct str document, const struct issuer_config *issuer)
{
    struct keyset_report report;
    struct keyset *keyset = NULL;
    mint_require(keyset_parse(document, issuer->algorithms, issuer->n_algorithms, FIXTURE_MONO,
                              &report, &keyset) == 0,
                 "keyset");
    return keyset;
}

static inline void fixture_make_keys(struct token_fixture *f)
{
    struct buf text = buf_make(65536);
    f->signer = mint_load_key("signer");
    f->next = mint_load_key("next");
    f->large = mint_load_key("large");
    f->attacker = mint_load_key("attacker");
    (void)buf_append(&text, STR("{\"keys\":["));
    mint_append_jwk(&text, f->next, "key-2", ",\"use\":\"sig\"");
    (void)buf_append_char(&text, ',');
    mint_append_jwk(&text, f->signer, "key-1", ",\"use\":\"sig\",\"alg\":\"RS256\"");
    (void)buf_append(&text, STR("]}"));
    f->keysets[0] = fixture_keyset(buf_str(&text), &f->issuers[0]);
    buf_clear(&text);
    (void)buf_append(&text, STR("{\"keys\":["));
    mint_append_jwk(&text, f->large, "key-1", "");
    (void)buf_append(&text, STR("]}"));
    f->keysets[1] = fixture_keyset(buf_str(&text), &f->issuers[1]);
    buf_free(&text);
}

static inline void fixture_make_routes(struct token_fixture *f)
{
    f->only_first[0] = &f->issuers[0];
    f->both[0] = &f->issuers[0];
    f->both[1] = &f->issuers[1];
    for (size_t i = 0; i < ARRAY_LEN(f->routes); i++) {
        f->routes[i].index = i;
        f->routes[i].resource = STR(RESOURCE);
        f->routes[i].issuers = f->only_first;
        f->routes[i].n_issuers = 1;
        f->routes[i].audiences = fixture_resource;
        f->routes[i].n_audiences = 1;
    }
    f->routes[1].issuers = f->both;
    f->routes[1].n_issuers = 2;
    f->routes[1].audiences = fixture_audiences;
    f->routes[1].n_audiences = ARRAY_LEN(fixture_audiences);
    f->routes[2].scopes = fixture_scopes;
    f->routes[2].n_scopes = ARRAY_LEN(fixture_scopes);
    f->routes[2].implies = fixture_implies;
    f->routes[2].n_implies = ARRAY_LEN(fixture_implies);
}

static inline struct token_fixture *fixture_make(void)
{
    struct token_fixture *f = calloc(1, sizeof(*f));
    mint_require(f != NULL, "memory");
    f->issuers[0] = (struct issuer_config){.name = STR("auth0"),
                                           .issuer = STR(ISSUER),
                                           .algorithms = fixture_rs256,
                                           .n_algorithms = ARRAY_LEN(fixture_rs256)};
    f->issuers[1] = (struct issuer_config){.name = STR("other"),
                                           .issuer = STR(OTHER_ISSUER),
                                           .algorithms = fixture_all_algorithms,
                                           .n_algorithms = ARRAY_LEN(fixture_all_algorithms)};
    fixture_make_routes(f);
    fixture_make_keys(f);
    f->verifier = jws_verifier_make();
    mint_require(f->verifier != NULL, "verifier");
    f->config = (struct config_data){
        .issuers = f->issuers,
        .n_issuers = ARRAY_LEN(f->issuers),
        .jwks = {.refresh_ms = FIXTURE_REFRESH_MS, .max_stale_ms = FIXTURE_MAX_STALE_MS},
        .clock_skew_s = FIXTURE_SKEW,
        .routes = f->routes,
        .n_routes = ARRAY_LEN(f->routes),
        .limits = {.token_bytes = FIXTURE_TOKEN_BYTES},
    };
    f->context = (struct token_context){
        .config = &f->config,
        .route = &f->routes[0],
        .verifier = f->verifier,
        .keysets = f->keysets,
        .now_s = FIXTURE_NOW,
        .now_mono_ms = FIXTURE_MONO,
    };
    return f;
}

static inline void fixture_free(struct token_fixture *f)
{
    keyset_unref(f->keysets[0]);
    keyset_unref(f->keysets[1]);
    EVP_PKEY_free(f->signer);
    EVP_PKEY_free(f->next);
    EVP_PKEY_free(f->large);
    EVP_PKEY_free(f->attacker);
    jws_verifier_free(f->verifier);
    free(f);
}

/* For cmocka's group set-up and tear-down. */
static inline int fixture_setup(void **state)
{
    *state = fixture_make();
    return 0;
}
static inline int fixture_teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

/* token_check() for callers that want the answer only. */
static inline enum token_rc fixture_check(const struct token_context *context, struct str token)
{
    struct identity *identity = NULL;
    size_t issuer_index = 0;
    enum token_rc rc = token_check(context, token, &identity, &issuer_index);
    mint_require((identity != NULL) == (rc == TOKEN_OK), "identity and rc disagree");
    mint_require((issuer_index != SIZE_MAX) == (rc == TOKEN_UNKNOWN_KEY || rc == TOKEN_NO_KEYS),
                 "issuer index and rc disagree");
    identity_unref(identity);
    return rc;
}

#endif
