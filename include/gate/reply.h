/* SPDX-License-Identifier: Apache-2.0 */
/* Every answer that the gate makes itself: one place for statuses, bodies, challenges and CORS.
 *
 * All of them carry X-Request-Id and Cache-Control: no-store (documents: their own caching), and
 * for an allowed browser origin the CORS fields. Each function answers the exchange once and sets
 * txn->status and txn->reason. */
#ifndef GATE_REPLY_H
#define GATE_REPLY_H

#include "auth/token.h"
#include "base/str.h"
#include "net/server.h"
#include "policy/rules.h"

struct txn;

/* {"error": ERROR, "error_description": DESCRIPTION}. REASON and texts are static. */
struct refusal {
    unsigned status;
    const char *reason; /* logs and metrics */
    const char *error;
    const char *description;
};
void reply_refuse(struct txn *txn, const struct refusal *refusal);

/* 405 with Allow. */
void reply_method_not_allowed(struct txn *txn, const char *allow);
/* 401 without error: no credentials came (RFC 6750 3.1). REASON: "no_token", "other_scheme". */
void reply_unauthenticated(struct txn *txn, const char *reason);
/* 400 invalid_request with a challenge (RFC 6750 3.1). */
void reply_invalid_request(struct txn *txn, const char *reason, const char *description);
/* 401 invalid_token, or 503 for TOKEN_NO_KEYS. */
void reply_token(struct txn *txn, enum token_rc rc);
/* 403: DECISION denies. SCOPES is all that this request needs, for VERDICT_STEP_UP; absent: the
 * route's. */
void reply_denied(struct txn *txn, const struct decision *decision, struct str scopes);
/* 200 with a result that says so for every denied tool call of the request, or batch; the other
 * requests of a batch get an error. */
void reply_tool_errors(struct txn *txn, const struct decision *decision);

/* A refusal on the MCP level: a JSON-RPC error under the id of the request; under null when there
 * is none, as for a GET, a DELETE, or a batch. REASON and TEXT are static. 503 has Retry-After. */
struct mcp_refusal {
    unsigned status;
    int code;
    const char *reason;
    const char *text;
};
void reply_mcp(struct txn *txn, const struct mcp_refusal *refusal);

/* 429 in the same form, with Retry-After and, in the error's data, "retry_after". REASON is static,
 * TEXT is for the agent. */
struct limit_refusal {
    const char *reason;
    const char *text;
    int64_t wait_s; /* at least 1 */
};
void reply_limited(struct txn *txn, const struct limit_refusal *refusal);

/* A failure of the upstream or of the gate: on a POST with a JSON-RPC id, a JSON-RPC error with
 * that id (code -32000, for 504 -32001, as MCP SDKs have them), else as reply_refuse(). */
void reply_gateway(struct txn *txn, const struct refusal *refusal);

/* The public keys of assertions. */
void reply_assertion_keys(struct txn *txn);
/* The metadata document, its preflight, and the preflight of the MCP endpoint. */
void reply_metadata(struct txn *txn);
void reply_metadata_preflight(struct txn *txn);
void reply_preflight(struct txn *txn);

/* Fills REPLY for bytes that never became a transaction. BODY texts are static. */
void reply_fill_refused(struct reply *reply, const char *id, unsigned status,
                        const char *description);
/* Fills REPLY like reply_refuse() without sending it; TXN->status and reason are set. */
void reply_fill(struct txn *txn, const struct refusal *refusal, struct reply *reply);

/* X-Request-Id and, for an allowed origin, CORS: what every answer of TXN carries. */
void reply_add_common(struct txn *txn, struct reply *reply);

#endif
