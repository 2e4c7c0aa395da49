/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/token.h"

#include <errno.h>
#include <stdlib.h>

#include "auth/assertion.h"
#include "auth/token_int.h"
#include "base/err.h"
#include "base/json_text.h"
#include "proto/base64url.h"

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

/* For rounding up: of the identity itself, the payload and the kid; and of these and the strings of
 * the payload that have escapes. */
#define FIRST_SLACK 48
#define ARENA_SLACK 128
#define ARENA_OVERHEAD 80 /* of the arena's own fields and malloc's */

/* A string of the payload that has escapes is there twice: at most so much in all. */
static size_t escapes_bytes(size_t size)
{
    return size + ARENA_SLACK;
}

struct identity *identity_new(size_t size)
{
    const size_t first = sizeof(struct identity) + FIRST_SLACK + size;
    struct arena *arena = arena_new(first, first + escapes_bytes(size));
    struct identity *identity = arena != NULL ? ARENA_NEW(arena, struct identity) : NULL;
    if (identity == NULL) {
        (void)arena_free(arena);
        return NULL;
    }
    identity->refs = 1;
    identity->arena = arena;
    identity->arena_bytes = ARENA_OVERHEAD + first;
    return identity;
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
    (void)arena_free(identity->arena);
    return NULL;
}

size_t identity_bytes(const struct identity *identity)
{
    return identity->arena_bytes + identity->claims_bytes + identity->assertion_bytes;
}

/* One check under way: what the steps below find out, each for those behind it. */
struct check {
    const struct token_context *context;
    struct str token;
    struct jws_parts parts;
    struct jws_header header;      /* owned */
    struct identity *identity;     /* owned; first the place of the payload, then filled */
    struct claims_payload payload; /* borrows from the identity */
    const struct jwk *key;
};

static void check_clear(struct check *check)
{
    jws_header_clear(&check->header);
    check->identity = identity_unref(check->identity);
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

/* Rule 9 for the payload, which is decoded to where it stays when the token turns out to be good.
 */
static enum token_rc check_payload(struct check *check)
{
    const size_t cap = base64url_decoded_len(check->parts.payload.len);
    check->identity = identity_new(cap + check->header.kid.len);
    uint8_t *text = check->identity != NULL ? arena_alloc(check->identity->arena, cap) : NULL;
    size_t len;
    if (text == NULL)
        return TOKEN_NO_MEMORY;
    if (base64url_decode(check->parts.payload, text, cap, &len) < 0)
        return TOKEN_PAYLOAD;
    if (memchr(text, '\\', len) != NULL)
        check->identity->arena_bytes += escapes_bytes(cap + check->header.kid.len);
    return rc_of_claims(claims_read(str_make((const char *)text, len), &check->payload));
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
    int fault;
    const struct str iss =
        json_text_string(check->payload.members[CLAIM_ISS], check->identity->arena, &fault);
    check->identity->issuer = iss;
    for (size_t i = 0; i < config->n_issuers; i++) {
        if (str_is_set(iss) && str_eq(iss, config->issuers[i].issuer) &&
            route_accepts_issuer(check->context, i)) {
            check->identity->issuer_index = i;
            return TOKEN_OK;
        }
    }
    return fault < 0 ? TOKEN_NO_MEMORY : TOKEN_ISSUER;
}

/* Rule 10. */
static enum token_rc check_algorithm(struct check *check)
{
    const struct issuer_config *issuer =
        &check->context->config->issuers[check->identity->issuer_index];
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
    const size_t issuer_index = check->identity->issuer_index;
    if (!has_usable_keys(check->context, issuer_index))
        return TOKEN_NO_KEYS;
    check->key = keyset_find(check->context->keysets[issuer_index], check->header.kid);
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

/* A token that never expires in practice must not overflow into one that has. */
static int64_t add_saturated(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Rules 17 to 21. */
static enum token_rc check_claims(struct check *check)
{
    const struct claims_context claims_context = claims_context_of(check->context);
    struct identity *identity = check->identity;
    struct claims claims;
    const enum claims_rc rc =
        claims_check(&check->payload, &claims_context, identity->arena, &claims);
    if (rc != CLAIMS_OK)
        return rc_of_claims(rc);
    identity->subject = claims.subject;
    identity->client = claims.client;
    identity->scope = claims.scope;
    identity->times = claims.times;
    identity->dies_s = add_saturated(claims.times.exp_s, check->context->config->clock_skew_s);
    identity->payload = check->payload.text;
    identity->audience = check->payload.members[CLAIM_AUD];
    return TOKEN_OK;
}

/* What does not come from the payload. */
static enum token_rc keep_rest(struct check *check)
{
    struct identity *identity = check->identity;
    identity->kid = arena_str(identity->arena, check->key->kid);
    if (!str_is_set(identity->kid))
        return TOKEN_NO_MEMORY;
    memcpy(identity->thumbprint, check->key->thumbprint, sizeof(identity->thumbprint));
    return token_keep_claims(identity, check->context->route);
}

/* The order of docs/TOKENS.md: cheap first, and nothing believed before the signature. */
static enum token_rc (*const steps[])(struct check *check) = {
    check_size,      check_form, check_header,    check_payload, check_issuer,
    check_algorithm, check_key,  check_signature, check_claims,  keep_rest,
};

enum token_rc token_check(const struct token_context *context, struct str token,
                          struct identity **ret_identity, size_t *ret_issuer_index)
{
    CLEANUP(check_clear) struct check check = {.context = context, .token = token};
    enum token_rc rc = TOKEN_OK;
    for (size_t i = 0; i < ARRAY_LEN(steps) && rc == TOKEN_OK; i++)
        rc = steps[i](&check);
    *ret_issuer_index =
        rc == TOKEN_UNKNOWN_KEY || rc == TOKEN_NO_KEYS ? check.identity->issuer_index : SIZE_MAX;
    if (rc == TOKEN_OK)
        *ret_identity = TAKE(check.identity);
    return rc;
}

enum token_rc token_check_claims(const struct token_context *context, struct str token)
{
    CLEANUP(check_clear) struct check check = {.context = context, .token = token};
    enum token_rc rc = check_form(&check);
    if (rc == TOKEN_OK)
        rc = check_payload(&check);
    return rc == TOKEN_OK ? check_claims(&check) : rc;
}

enum token_rc token_recheck(const struct token_context *context, struct identity *identity)
{
    const struct claims_context claims_context = claims_context_of(context);
    if (!route_accepts_issuer(context, identity->issuer_index))
        return TOKEN_ISSUER;
    if (!has_usable_keys(context, identity->issuer_index))
        return TOKEN_NO_KEYS;
    enum claims_rc rc = claims_check_audience(identity->audience, &claims_context);
    if (rc == CLAIMS_OK)
        rc = claims_check_clock(&claims_context, &identity->times);
    return rc == CLAIMS_OK ? token_keep_claims(identity, context->route) : rc_of_claims(rc);
}
