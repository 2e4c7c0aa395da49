/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of `portcullis explain`: what it reads, what it finds out, how it says so. */
#ifndef CLI_EXPLAIN_INT_H
#define CLI_EXPLAIN_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/answer.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/json.h"
#include "cli/cli.h"
#include "policy/config.h"
#include "policy/rules.h"
#include "proto/bearer.h"
#include "proto/mcp.h"

/* ---- explain_input.c ---- */

/* Appends all of PATH ("-": standard input; may be a pipe), at most MAX_BYTES, to OUT. 0 or -errno;
 * -EFBIG: it is larger. */
int explain_read_file(const char *path, size_t max_bytes, struct buf *out);

/* The Authorization value that a token file stands for. */
struct explain_credential {
    struct buf value; /* owned */
    enum bearer_rc rc;
    struct str token; /* with BEARER_OK; borrows from value */
};
/* Reads a token; blanks and line ends around it do not count, and "Bearer" may stand in front. 0 or
 * -errno as explain_read_file(); -ENODATA: there is nothing in it, -EILSEQ: bytes that no header
 * field can hold. To be wiped in any case. */
int explain_read_token(const char *path, size_t max_bytes, struct explain_credential *ret);
void explain_credential_wipe(struct explain_credential *credential);

/* Seconds since 1970, or an RFC 3339 time ("2026-07-28T12:00:00Z"). 0 or -EINVAL. */
int explain_read_time(struct str text, int64_t *ret_s);
/* Appends the RFC 3339 form in UTC, or the number when its year would not have four digits. */
void explain_append_time(int64_t seconds, struct buf *out);

/* ---- explain_check.c ---- */

struct explain_question {
    const struct config_data *config;
    const struct route *route;
    enum bearer_rc bearer;
    struct str token;              /* with BEARER_OK */
    struct keyset *const *keysets; /* one per issuer; NULL: signatures are not checked */
    struct mcp_call call;
    int64_t now_s;
};

enum explain_signature {
    SIGNATURE_NO_KEYS,     /* nothing to check it with */
    SIGNATURE_NOT_REACHED, /* the token was refused before it came to that */
    SIGNATURE_WRONG,
    SIGNATURE_VERIFIED,
};

struct explain_finding {
    enum token_rc token; /* TOKEN_OK: the decision counts */
    enum explain_signature signature;
    json_t *header; /* what the token says, as far as it can be read, believed or not; or NULL */
    json_t *payload;
    struct decision decision;
    bool denied;
    struct answer answer; /* when denied */
    bool tool_error;      /* instead of ANSWER: a result with isError (routes[].on_deny) */
    struct buf needed;    /* scopes that the call needs, separated by SP */
    struct buf challenge; /* WWW-Authenticate; empty for none */
};
/* Zero-initialised is empty. */
void explain_finding_clear(struct explain_finding *finding);

/* Asks what the gate asks. 0 or -ENOMEM. */
int explain_check(const struct explain_question *question, struct explain_finding *ret_finding);

/* ---- explain_report.c, explain_text.c ---- */

/* All of it, for programs. A new reference; NULL when memory is short. */
json_t *explain_report(const struct explain_question *question,
                       const struct explain_finding *finding);
/* A report as lines for people. What a token says is shown so that it cannot play tricks with the
 * terminal. */
void explain_append_text(const json_t *report, bool colour, struct buf *out);

#endif
