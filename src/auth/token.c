/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/token.h"

#include <errno.h>
#include <stdlib.h>

#include "auth/assertion.h"
#include "base/err.h"

/* What the client is told about rule 7: the usual cause, and where it is cured. */
#define NO_AUDIENCE_HINT                                                                          \
    ": the client asked for no audience; enable the Resource Parameter Compatibility Profile or " \
    "set a default audience at the authorization server"

static const struct {
    const char *name;
    const char *description;
} texts[TOKEN_RC_COUNT] = {
    [TOKEN_OK] = {"ok", "The access token is valid"},
    [TOKEN_BEARER] = {"malformed_credential",
                      "The Authorization field is not Bearer followed by one token"},
    [TOKEN_TOO_LARGE] = {"token_too_large", "The access token is larger than this server accepts"},
    [TOKEN_OPAQUE] = {"token_opaque", "The access token is opaque, not a JWT" NO_AUDIENCE_HINT},
    [TOKEN_ENCRYPTED] = {"token_encrypted", "The access token is encrypted" NO_AUDIENCE_HINT},
    [TOKEN_SEGMENTS] = {"token_malformed", "The access token is not a compact JWS"},
    [TOKEN_BASE64] = {"token_encoding", "The access token is not strict base64url"},
    [TOKEN_HEADER] = {"bad_header", "The header of the access token is malformed"},
    [TOKEN_ALG] = {"wrong_algorithm", "The access token is not signed with an accepted algorithm"},
    [TOKEN_TYP] = {"wrong_type", "The token is not an access token"},
    [TOKEN_CRIT] = {"critical_header", "The access token needs an extension that is not supported"},
    [TOKEN_KID] = {"bad_key_id", "The access token does not name its signing key"},
    [TOKEN_PAYLOAD] = {"bad_payload", "The payload of the access token is malformed"},
    [TOKEN_ISSUER] = {"wrong_issuer",
                      "The access token was not issued by an accepted authorization server"},
    [TOKEN_UNKNOWN_KEY] =
        {"unknown_key", "The access token is signed with a key that its issuer does not publish"},
    [TOKEN_NO_KEYS] = {"no_keys",
                       "The keys of the authorization server are not available at the moment"},
    [TOKEN_SIGNATURE] = {"bad_signature", "The signature of the access token is wrong"},
    [TOKEN_AUDIENCE] = {"wrong_audience", "The access token was issued for another audience"},
    [TOKEN_EXPIRED] = {"token_expired", "The access token expired"},
    [TOKEN_EXP] = {"bad_expiry", "The access token has no valid expiry time"},
    [TOKEN_NOT_YET_VALID] = {"not_yet_valid", "The access token is not yet valid"},
    [TOKEN_ISSUED_AHEAD] = {"issued_ahead", "The access token was issued in the future"},
    [TOKEN_TIME_CLAIM] = {"bad_time", "A time in the access token is malformed"},
    [TOKEN_SUBJECT] = {"bad_subject", "The access token names no subject"},
    [TOKEN_CLIENT] = {"bad_client", "The access token does not name one client"},
    [TOKEN_SENDER_CONSTRAINED] = {"sender_constrained",
                                  "The access token is bound to a key and is no bearer token"},
    [TOKEN_SCOPE_CLAIM] = {"bad_scope", "The scope of the access token is malformed"},
    [TOKEN_NO_MEMORY] = {"no_memory", "The server is short of memory"},
};

const char *token_rc_name(enum token_rc rc)
{
    return texts[rc].name;
}

const char *token_rc_description(enum token_rc rc)
{
    return texts[rc].description;
}

void token_fingerprint(const uint8_t digest[SHA256_LEN], char ret_hex[TOKEN_FINGERPRINT_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < TOKEN_FINGERPRINT_LEN; i++)
        ret_hex[i] = digits[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 0xf];
    ret_hex[TOKEN_FINGERPRINT_LEN] = '\0';
}

struct identity *identity_ref(struct identity *identity)
{
    identity->refs++;
    return identity;
}

struct identity *identity_unref(struct identity *identity)
{
    if (identity == NULL || --identity->refs > 0)
        return NULL;
    (void)assertion_free_all(identity->assertions);
    json_decref(identity->claims);
    free(identity);
    return NULL;
}

/* One check under way: what the steps below find out, each for those behind it. */
struct check {
    const struct token_context *context;
    struct str token;
    struct jws_parts parts;
    struct jws_header header; /* owned */
    json_t *payload;          /* owned */
    size_t issuer_index;
    const struct jwk *key;
    struct claims claims;
};

static void check_clear(struct check *check)
{
    jws_header_clear(&check->header);
    json_unref(&check->payload);
}

static enum token_rc rc_of_jws(enum jws_rc rc)
{
    static const enum token_rc token_rcs[] = {
        [JWS_OK] = TOKEN_OK,
        [JWS_ONE_SEGMENT] = TOKEN_OPAQUE,
        [JWS_FIVE_SEGMENTS] = TOKEN_ENCRYPTED,
        [JWS_SEGMENTS] = TOKEN_SEGMENTS,
        [JWS_BASE64] = TOKEN_BASE64,
        [JWS_HEADER] = TOKEN_HEADER,
        [JWS_ALG] = TOKEN_ALG,
        [JWS_TYP] = TOKEN_TYP,
        [JWS_CRIT] = TOKEN_CRIT,
        [JWS_KID] = TOKEN_KID,
        [JWS_SIGNATURE] = TOKEN_SIGNATURE,
        [JWS_NO_MEMORY] = TOKEN_NO_MEMORY,
    };
    return token_rcs[rc];
}

static enum token_rc rc_of_claims(enum claims_rc rc)
{
    static const enum token_rc token_rcs[] = {
        [CLAIMS_OK] = TOKEN_OK,
        [CLAIMS_MALFORMED] = TOKEN_PAYLOAD,
        [CLAIMS_AUDIENCE] = TOKEN_AUDIENCE,
        [CLAIMS_EXP] = TOKEN_EXP,
        [CLAIMS_EXPIRED] = TOKEN_EXPIRED,
        [CLAIMS_TIME] = TOKEN_TIME_CLAIM,
        [CLAIMS_NOT_YET_VALID] = TOKEN_NOT_YET_VALID,
        [CLAIMS_ISSUED_AHEAD] = TOKEN_ISSUED_AHEAD,
        [CLAIMS_SUBJECT] = TOKEN_SUBJECT,
        [CLAIMS_CLIENT] = TOKEN_CLIENT,
        [CLAIMS_CONFIRMATION] = TOKEN_SENDER_CONSTRAINED,
        [CLAIMS_SCOPE] = TOKEN_SCOPE_CLAIM,
        [CLAIMS_NO_MEMORY] = TOKEN_NO_MEMORY,
    };
    return token_rcs[rc];
}

/* Rule 6. */
static enum token_rc check_size(struct check *check)
{
    return check->token.len > check->context->config->limits.token_bytes ? TOKEN_TOO_LARGE
                                                                         : TOKEN_OK;
}

/* Rules 7 and 8. */
static enum token_rc check_form(struct check *check)
{
    return rc_of_jws(jws_split(check->token, &check->parts));
}

/* Rules 9 to 13, but for what depends on the issuer. */
static enum token_rc check_header(struct check *check)
{
    return rc_of_jws(jws_header_read(check->parts.header, &check->header));
}

static enum token_rc check_payload(struct check *check)
{
    return rc_of_claims(claims_decode(check->parts.payload, &check->payload));
}

static bool route_accepts_issuer(const struct token_context *context, size_t issuer_index)
{
    const struct issuer_config *issuer = &context->config->issuers[issuer_index];
    for (size_t i = 0; i < context->route->n_issuers; i++)
        if (context->route->issuers[i] == issuer)
            return true;
    return false;
}

/* Rule 16, before the signature: iss only chooses whose keys and algorithms count. The signature
 * then proves it, since the keys are those of this issuer and of no other. */
static enum token_rc check_issuer(struct check *check)
{
    const struct config_data *config = check->context->config;
    const struct str iss = json_get_str(check->payload, "iss");
    for (size_t i = 0; i < config->n_issuers; i++) {
        if (str_is_set(iss) && str_eq(iss, config->issuers[i].issuer) &&
            route_accepts_issuer(check->context, i)) {
            check->issuer_index = i;
            return TOKEN_OK;
        }
    }
    return TOKEN_ISSUER;
}

/* Rule 10. */
static enum token_rc check_algorithm(struct check *check)
{
    const struct issuer_config *issuer = &check->context->config->issuers[check->issuer_index];
    return jws_alg_is_allowed(check->header.alg, issuer->algorithms, issuer->n_algorithms)
             ? TOKEN_OK
             : TOKEN_ALG;
}

static int64_t keys_age_ms(const struct token_context *context, size_t issuer_index)
{
    return context->now_mono_ms - keyset_loaded_mono_ms(context->keysets[issuer_index]);
}

/* Rules 24 and 25: max_stale counts from when the keys should have been replaced. */
static bool has_usable_keys(const struct token_context *context, size_t issuer_index)
{
    const struct jwks_config *jwks = &context->config->jwks;
    return context->keysets[issuer_index] != NULL &&
           keys_age_ms(context, issuer_index) <= jwks->refresh_ms + jwks->max_stale_ms;
}

bool token_keys_are_stale(const struct token_context *context, size_t issuer_index)
{
    return context->keysets[issuer_index] != NULL &&
           keys_age_ms(context, issuer_index) > 2 * context->config->jwks.refresh_ms;
}

/* Rules 13 and 24. */
static enum token_rc check_key(struct check *check)
{
    if (!has_usable_keys(check->context, check->issuer_index))
        return TOKEN_NO_KEYS;
    check->key = keyset_find(check->context->keysets[check->issuer_index], check->header.kid);
    return check->key != NULL ? TOKEN_OK : TOKEN_UNKNOWN_KEY;
}

/* Rule 15. */
static enum token_rc check_signature(struct check *check)
{
    return rc_of_jws(
        jws_verify(check->context->verifier, &check->parts, check->header.alg, check->key));
}

static struct claims_context claims_context_of(const struct token_context *context)
{
    return (struct claims_context){
        .audiences = context->route->audiences,
        .n_audiences = context->route->n_audiences,
        .now_s = context->now_s,
        .skew_s = context->config->clock_skew_s,
    };
}

enum token_rc token_check_claims(const struct token_context *context, const json_t *payload,
                                 struct claims *ret_claims)
{
    const struct claims_context claims_context = claims_context_of(context);
    return rc_of_claims(claims_check(payload, &claims_context, ret_claims));
}

/* Rules 17 to 21. */
static enum token_rc check_claims(struct check *check)
{
    return token_check_claims(check->context, check->payload, &check->claims);
}

/* The order of docs/TOKENS.md: cheap first, and nothing believed before the signature. */
static enum token_rc (*const steps[])(struct check *check) = {
    check_size,      check_form, check_header,    check_payload, check_issuer,
    check_algorithm, check_key,  check_signature, check_claims,
};

/* A token that never expires in practice must not overflow into one that has. */
static int64_t add_saturated(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* The identity of a token that passed every step; takes over the payload. NULL: no memory. */
static struct identity *identity_make(struct check *check)
{
    const struct str kid = check->key->kid;
    /* The kid is kept behind the struct, in the same allocation. */
    struct identity *identity = malloc(sizeof(*identity) + kid.len);
    if (identity == NULL)
        return NULL;
    char *kid_copy = (char *)(identity + 1);
    memcpy(kid_copy, kid.ptr, kid.len);
    *identity = (struct identity){
        .refs = 1,
        .issuer_index = check->issuer_index,
        .issuer = json_get_str(check->payload, "iss"),
        .subject = check->claims.subject,
        .client = check->claims.client,
        .scope = check->claims.scope,
        .exp_s = check->claims.exp_s,
        .nbf_s = check->claims.nbf_s,
        .dies_s = add_saturated(check->claims.exp_s, check->context->config->clock_skew_s),
        .claims = TAKE(check->payload),
        .kid = str_make(kid_copy, kid.len),
    };
    memcpy(identity->thumbprint, check->key->thumbprint, sizeof(identity->thumbprint));
    return identity;
}

enum token_rc token_check(const struct token_context *context, struct str token,
                          struct identity **ret_identity, size_t *ret_issuer_index)
{
    CLEANUP(check_clear) struct check check = {.context = context, .token = token};
    enum token_rc rc = TOKEN_OK;
    for (size_t i = 0; i < ARRAY_LEN(steps) && rc == TOKEN_OK; i++)
        rc = steps[i](&check);
    *ret_issuer_index =
        rc == TOKEN_UNKNOWN_KEY || rc == TOKEN_NO_KEYS ? check.issuer_index : SIZE_MAX;
    if (rc != TOKEN_OK)
        return rc;
    struct identity *identity = identity_make(&check);
    if (identity == NULL)
        return TOKEN_NO_MEMORY;
    *ret_identity = identity;
    return TOKEN_OK;
}

enum token_rc token_recheck(const struct token_context *context, const struct identity *identity)
{
    const struct claims_context claims_context = claims_context_of(context);
    if (!route_accepts_issuer(context, identity->issuer_index))
        return TOKEN_ISSUER;
    if (!has_usable_keys(context, identity->issuer_index))
        return TOKEN_NO_KEYS;
    enum claims_rc rc = claims_check_audience(identity->claims, &claims_context);
    if (rc == CLAIMS_OK)
        rc = claims_check_clock(&claims_context, identity->exp_s, identity->nbf_s);
    return rc_of_claims(rc);
}
