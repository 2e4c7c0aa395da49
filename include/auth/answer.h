/* SPDX-License-Identifier: Apache-2.0 */
/* What a client is told when its credential or its call is refused: status, OAuth error, and the
 * WWW-Authenticate challenge (RFC 6750 3, RFC 9728 5.1). The gate sends it, `portcullis explain`
 * prints it: the text is made here and nowhere else. Pure.
 *
 * Which parameters a challenge has decides what clients do next: docs/decisions/0005. */
#ifndef AUTH_ANSWER_H
#define AUTH_ANSWER_H

#include <stdbool.h>

#include "auth/token.h"
#include "base/buf.h"
#include "base/str.h"
#include "policy/config.h"
#include "policy/rules.h"

/* A longer challenge is not sent at all: clients and proxies cut such fields or refuse them. */
#define ANSWER_MAX_CHALLENGE_BYTES (16U * 1024)

/* More scopes than these are not asked for: the call is answered as one that no consent can help.
 */
#define ANSWER_MAX_SCOPES_BYTES (8U * 1024)

/* The texts are static. */
struct answer {
    unsigned status;
    const char *reason;      /* for logs, metrics and audit: "token_expired" */
    const char *error;       /* of the body: "invalid_token" */
    const char *description; /* of the body, one sentence */
    bool challenges;         /* WWW-Authenticate is sent; the two below are about it */
    bool names_scope;        /* it has scope */
    bool names_error;        /* it has error and error_description, as the body has */
    bool retry_after;        /* Retry-After is sent */
};

/* Rules 1 and 2: nothing was presented, so nothing is wrong with it: 401, a challenge without error
 * (RFC 6750 3.1). REASON: "no_token", "other_scheme". */
struct answer answer_no_credential(const char *reason);
/* Rules 4 and 5: 400 invalid_request. */
struct answer answer_invalid_request(const char *reason, const char *description);
/* Rules 3 and 6 to 21: 401 invalid_token. TOKEN_NO_KEYS and TOKEN_NO_MEMORY are 503 without a
 * challenge (rule 24). RC is not TOKEN_OK. */
struct answer answer_token(enum token_rc rc);
/* Rules 22 and 23: 403. STEP_UP: insufficient_scope, with the scopes that would help. FORBIDDEN:
 * access_denied, and a challenge that says where the metadata is and nothing else. DECISION allows
 * nothing. */
struct answer answer_decision(const struct decision *decision);

/* Appends the value of WWW-Authenticate. SCOPE is what rules_append_needed() listed, for
 * VERDICT_STEP_UP; absent: the scopes of ROUTE. Nothing is appended for an answer that does not
 * challenge. 0, or as challenge_append(); then the answer is to go out without the field. */
int answer_append_challenge(const struct answer *answer, const struct route *route,
                            struct str scope, struct buf *out);

/* routes[].on_deny "tool_error": appends the result of a tools/call (a JSON object) that says
 * instead of the challenge that the tool NAME may not be used; MODERN results say their type. 0 or
 * -errno of the buffer. */
int answer_append_tool_error(struct str name, bool modern, struct buf *out);

#endif
