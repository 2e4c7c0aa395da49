/* SPDX-License-Identifier: Apache-2.0 */
/* Registered claims of a JWT access token: RFC 7519 4.1, RFC 9068 2.2, rules 17 to 21 of
 * docs/TOKENS.md. Pure functions of the payload; the signature is somebody else's business
 * (proto/jws.h). */
#ifndef PROTO_CLAIMS_H
#define PROTO_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"

#define CLAIMS_MAX_DEPTH 32
#define CLAIMS_MAX_IAT_AHEAD_S 300 /* rule 19: a clock may run so far ahead of ours */

enum claims_rc {
    CLAIMS_OK,
    CLAIMS_MALFORMED,     /* the payload is not a JSON object, has a duplicate member, ... */
    CLAIMS_AUDIENCE,      /* 17: missing, empty, malformed, or none of the accepted ones */
    CLAIMS_EXP,           /* 18: missing, or not a number in range */
    CLAIMS_EXPIRED,       /* 18 */
    CLAIMS_TIME,          /* 19: nbf or iat is not a number in range */
    CLAIMS_NOT_YET_VALID, /* 19: nbf ahead */
    CLAIMS_ISSUED_AHEAD,  /* 19: iat ahead */
    CLAIMS_SUBJECT,       /* 20: missing, empty or not a string */
    CLAIMS_CLIENT,        /* 20: neither client_id nor azp, not a string, or they differ */
    CLAIMS_CONFIRMATION,  /* 21: cnf: the token is bound to a key the caller did not prove */
    CLAIMS_SCOPE,         /* scope is not a string of scope tokens and SP (RFC 6749 3.3) */
    CLAIMS_NO_MEMORY,
};

/* The payload of a JWS, base64url text that jws_split() has checked, as a JSON object of any size
 * and at most CLAIMS_MAX_DEPTH levels: a tree, for people. CLAIMS_OK, CLAIMS_MALFORMED or
 * CLAIMS_NO_MEMORY; *ret_payload is the caller's. */
enum claims_rc claims_decode(struct str segment, json_t **ret_payload);

/* What the rules look at, as values of the text of a payload (base/json_text.h): the absent string
 * when there is no such member. */
enum claim {
    CLAIM_ISS,
    CLAIM_SUB,
    CLAIM_AUD,
    CLAIM_EXP,
    CLAIM_NBF,
    CLAIM_IAT,
    CLAIM_CLIENT_ID,
    CLAIM_AZP,
    CLAIM_CNF,
    CLAIM_SCOPE,
    CLAIM_COUNT
};
struct claims_payload {
    struct str text; /* begins with the object; borrowed */
    struct str members[CLAIM_COUNT];
};

/* Checks TEXT, the decoded payload, without a tree: accepts what claims_decode() accepts, but for
 * numbers longer than JSON_TEXT_MAX_NUMBER. CLAIMS_OK, CLAIMS_MALFORMED or CLAIMS_NO_MEMORY. The
 * payload borrows from TEXT. */
enum claims_rc claims_read(struct str text, struct claims_payload *ret_payload);

/* In seconds since 1970. */
struct claims_times {
    int64_t exp_s;
    int64_t nbf_s; /* INT64_MIN when there is none */
    int64_t iat_s; /* the same */
};

/* What claims_check() found. Strings borrow from the text, or, what had escapes, from the arena. */
struct claims {
    struct str subject; /* not empty */
    struct str client;  /* client_id or azp, not empty */
    struct str scope;   /* as sent; absent when there is none */
    struct claims_times times;
};

struct claims_context {
    const struct str *audiences; /* accepted, compared byte for byte */
    size_t n_audiences;
    int64_t now_s;
    int64_t skew_s; /* tolerance on exp and nbf, not negative */
};

/* Rules 17 to 21 and the form of scope, in this order; the first one broken is the answer. ARENA
 * takes strings that have escapes: at most as many bytes as the text, and rounding. */
enum claims_rc claims_check(const struct claims_payload *payload,
                            const struct claims_context *context, struct arena *arena,
                            struct claims *ret_claims);

/* Rule 17 alone, for the value of aud: CLAIMS_OK or CLAIMS_AUDIENCE. A member that is not a string
 * spoils the array. */
enum claims_rc claims_check_audience(struct str aud, const struct claims_context *context);
/* The clock part of rules 18 and 19, for claims that were read before: CLAIMS_OK, CLAIMS_EXPIRED,
 * CLAIMS_ISSUED_AHEAD or CLAIMS_NOT_YET_VALID. */
enum claims_rc claims_check_clock(const struct claims_context *context,
                                  const struct claims_times *times);

/* Rule 22, one name: SCOPE, split on single SP, holds NAME exactly. False for an absent scope or an
 * empty name. */
bool scope_has(struct str scope, struct str name);
/* True when NAME is a scope-token (RFC 6749 3.3): printable ASCII without SP, quote, backslash. */
bool scope_is_token(struct str name);

#endif
