/* SPDX-License-Identifier: Apache-2.0 */
/* The full check of one access token: rules 6 to 21 of docs/TOKENS.md, in order, cheap
 * ones first. RFC 7515, 7519, 8725, 9068; RFC 6750 for the answers. Pure: keys and time are
 * arguments. */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/keyset.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/str.h"
#include "policy/config.h"
#include "proto/claims.h"
#include "proto/jws.h"

/* Every way a credential can fail, one name each: metrics and logs use token_rc_name(), clients see
 * token_rc_description(). Add at the end of a group; the table in token.c must follow. */
enum token_rc {
    TOKEN_OK,
    TOKEN_BEARER,             /* rule 3: Bearer, and then not one b64token; the caller's finding */
    TOKEN_TOO_LARGE,          /* rule 6 */
    TOKEN_OPAQUE,             /* rule 7: one segment: not a JWT at all */
    TOKEN_ENCRYPTED,          /* rule 7: five segments: JWE */
    TOKEN_SEGMENTS,           /* rule 7 */
    TOKEN_BASE64,             /* rule 8 */
    TOKEN_HEADER,             /* rule 9 */
    TOKEN_ALG,                /* rule 10 */
    TOKEN_TYP,                /* rule 11 */
    TOKEN_CRIT,               /* rule 12 */
    TOKEN_KID,                /* rule 13: missing, empty, too long, not a string */
    TOKEN_PAYLOAD,            /* not a JSON object, duplicate member, not UTF-8, too large */
    TOKEN_ISSUER,             /* rule 16: iss missing or not one this route accepts */
    TOKEN_UNKNOWN_KEY,        /* rule 13: kid not among the issuer's keys: refetch may help */
    TOKEN_NO_KEYS,            /* rule 24: the issuer's keys were never loaded, or are too stale */
    TOKEN_SIGNATURE,          /* rule 15 */
    TOKEN_AUDIENCE,           /* rule 17 */
    TOKEN_EXPIRED,            /* rule 18 */
    TOKEN_EXP,                /* rule 18: missing or not a number */
    TOKEN_NOT_YET_VALID,      /* rule 19: nbf ahead */
    TOKEN_ISSUED_AHEAD,       /* rule 19: iat ahead */
    TOKEN_TIME_CLAIM,         /* rule 19: nbf or iat not a number */
    TOKEN_SUBJECT,            /* rule 20 */
    TOKEN_CLIENT,             /* rule 20: client_id and azp differ, or are no strings */
    TOKEN_SENDER_CONSTRAINED, /* rule 21 */
    TOKEN_SCOPE_CLAIM,        /* scope is present and not a string, or holds a foreign byte */
    TOKEN_NO_MEMORY,
    TOKEN_RC_COUNT
};

/* Stable snake_case name for logs and metrics: "wrong_audience". */
const char *token_rc_name(enum token_rc rc);
/* Fixed, honest sentence for error_description; RFC 6750 3 characters only. */
const char *token_rc_description(enum token_rc rc);

/* Rule 27: so many hex digits of a token's SHA-256 may be logged. */
#define TOKEN_FINGERPRINT_LEN 8

/* The digits and a NUL for the SHA-256 of a token, whatever the check says about it. */
void token_fingerprint(const uint8_t digest[SHA256_LEN], char ret_hex[TOKEN_FINGERPRINT_LEN + 1]);

struct assertion;

/* What a verified token says. Counted with plain references: it belongs to one worker thread, and
 * is used with the config that it was checked under. Immutable but for the assertions kept with it
 * (auth/assertion.h) and for CLAIMS. Strings borrow from ARENA. */
struct identity {
    unsigned refs;
    size_t issuer_index; /* in config_data.issuers */
    struct str issuer;
    struct str subject;
    struct str client; /* client_id or azp (rule 20: one of them is always there) */
    struct str scope;  /* the scope claim as sent; absent when not there */
    struct claims_times times;
    int64_t dies_s; /* exp + clock_skew of the config it was checked under */
    /* The claims that a route may look at, a tree: at least those of the route that it was checked
     * for last. NULL: there are none. A tree takes several times the room of its text, and most
     * routes read few claims or none. Read only. */
    json_t *claims;
    const struct route *claims_route;       /* whose claims were looked for last */
    size_t claims_bytes;                    /* what the tree takes, estimated */
    struct str payload;                     /* all claims: the text of the payload object */
    struct str audience;                    /* the value of aud, a part of that text */
    struct str kid;                         /* of the key that verified it */
    uint8_t thumbprint[JWK_THUMBPRINT_LEN]; /* of the same key */
    struct assertion *assertions;           /* one for each route that wants one; a list, owned */
    size_t assertion_bytes;                 /* what they take */
    struct arena *arena;                    /* owned; the identity itself lies in it */
    size_t arena_bytes;                     /* what it takes */
};

/* A blank identity with room for SIZE bytes of strings in its arena; one reference. NULL: no
 * memory. */
struct identity *identity_new(size_t size);
struct identity *identity_ref(struct identity *identity);
struct identity *identity_unref(struct identity *identity); /* takes NULL, returns NULL */
/* All that it holds at present, estimated. */
size_t identity_bytes(const struct identity *identity);

/* Everything the check depends on besides the token. */
struct token_context {
    const struct config_data *config;
    const struct route *route;
    struct jws_verifier *verifier; /* of the calling thread */
    struct keyset *const *keysets; /* one per config issuer, an entry may be NULL: never loaded */
    int64_t now_s;                 /* wall clock */
    int64_t now_mono_ms;           /* for the age of the keys */
};

/* Checks TOKEN (the credential behind "Bearer "). TOKEN_OK gives *ret_identity, one reference, with
 * the claims that the route reads. On
 * TOKEN_UNKNOWN_KEY and TOKEN_NO_KEYS *ret_issuer_index says whose keys to fetch; else it is
 * SIZE_MAX. */
enum token_rc token_check(const struct token_context *context, struct str token,
                          struct identity **ret_identity, size_t *ret_issuer_index);

/* The part of the check that depends on the route and the time, for an identity that was verified
 * before (cache): issuer accepted by the route, its keys not too old, audience, exp, nbf, iat.
 * TOKEN_OK: its claims are now, too, those that the route reads. */
enum token_rc token_recheck(const struct token_context *context, struct identity *identity);

/* Rules 17 to 21 alone, whoever signed TOKEN: one of the steps of token_check(), and all that
 * `portcullis explain` can check without keys. */
enum token_rc token_check_claims(const struct token_context *context, struct str token);

/* Rule 25: the keys of this issuer are so old that at least one refresh failed. */
bool token_keys_are_stale(const struct token_context *context, size_t issuer_index);

#endif
