/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call what: the stages that look at the message. What they decide on are the very bytes
 * that go upstream. */
#include "auth/answer.h"
#include "auth/assertion.h"
#include "auth/session.h"
#include "gate/reply.h"
#include "gate/stages_int.h"
#include "gate/worker.h"
#include "ops/audit.h"
#include "proto/jsonrpc.h"

static enum step refused(struct txn *txn, unsigned status, int code, const char *reason,
                         const char *description)
{
    reply_mcp(txn, &(struct mcp_refusal){
                       .status = status, .code = code, .reason = reason, .text = description});
    return STEP_REPLY;
}

static enum step out_of_resources(struct txn *txn)
{
    return refused(txn, 503, JSONRPC_SERVER_ERROR, "no_resources", "The gate is out of resources");
}

/* ---- 8: what the body asks, and whether the head says the same ---- */

static bool filters_lists(const struct route *route)
{
    return route->filters_lists && rules_can_deny(route);
}

static void note_messages(struct txn *txn)
{
    const struct mcp_message *first = &txn->body.messages[0];
    if (!txn->body.batch && first->kind == MCP_REQUEST)
        txn->rpc_id = first->id;
    for (size_t i = 0; i < txn->body.n_messages; i++)
        txn->filters = txn->filters || txn->body.messages[i].list != MCP_NO_LIST;
    txn->filters = txn->filters && filters_lists(txn->route);
}

static enum step inspect_body(struct txn *txn)
{
    struct arena *arena = exchange_arena(txn->exchange);
    enum mcp_rc rc = mcp_inspect(exchange_body(txn->exchange), txn->route->max_body_bytes, arena,
                                 &txn->body, &txn->rpc_id);
    /* The names of a batch, unescaped, do not fit the arena of a request. */
    if (rc == MCP_NO_MEMORY)
        return refused(txn, 413, JSONRPC_INVALID_REQUEST, "names_too_large",
                       "The names in this request are too long together");
    if (rc != MCP_OK)
        return refused(txn, 400, mcp_rc_code(rc), mcp_rc_name(rc), mcp_rc_description(rc));
    note_messages(txn);
    const char *fault = mcp_check_shape(&txn->request.mcp, &txn->body);
    if (fault != NULL)
        return refused(txn, 400, JSONRPC_INVALID_REQUEST, "not_of_revision", fault);
    fault = mcp_check_head(&txn->request.mcp, &txn->body, arena);
    if (fault != NULL)
        return refused(txn, 400, JSONRPC_HEADER_MISMATCH, "header_mismatch", fault);
    return STEP_NEXT;
}

enum step stage_inspect(struct txn *txn)
{
    if (txn->request.method == METHOD_POST)
        return inspect_body(txn);
    if (txn->request.mcp.n_revision > 1)
        return refused(txn, 400, JSONRPC_HEADER_MISMATCH, "header_mismatch",
                       "The MCP-Protocol-Version header came more than once");
    /* A stream that is taken up again carries the answers of its requests, lists among them. */
    txn->filters = txn->request.method == METHOD_GET && filters_lists(txn->route);
    return STEP_NEXT;
}

/* ---- 10: the rules, for every call in it ---- */

static size_t count_decisions(const struct mcp_body *body)
{
    size_t count = 0;
    for (size_t i = 0; i < body->n_messages; i++)
        count += body->messages[i].n_calls > 0 ? body->messages[i].n_calls : 1;
    return count;
}

static void decide_message(struct txn *txn, const struct mcp_message *message)
{
    const struct caller caller = txn_caller(txn);
    struct txn_decision *at = &txn->decisions[txn->n_decisions];
    if (message->n_calls == 0) {
        *at = (struct txn_decision){.message = message,
                                    .decision = rules_judge(txn->route, &caller, NULL)};
        txn->n_decisions++;
    }
    for (size_t i = 0; i < message->n_calls; i++, at++, txn->n_decisions++)
        *at =
            (struct txn_decision){.message = message,
                                  .call = &message->calls[i],
                                  .decision = rules_judge(txn->route, &caller, &message->calls[i])};
}

/* The decision that the answer follows: one that no consent could change, else the first denial,
 * else the first of all. */
static const struct txn_decision *worst_decision(const struct txn *txn)
{
    const struct txn_decision *worst = &txn->decisions[0];
    for (size_t i = 1; i < txn->n_decisions; i++)
        if (txn->decisions[i].decision.verdict > worst->decision.verdict)
            worst = &txn->decisions[i];
    return worst;
}

/* on_deny "tool_error" is for requests that call a tool; whatever else is denied has no result in
 * which it could be said. */
static bool may_answer_tool_error(const struct txn *txn)
{
    if (txn->route->on_deny != ON_DENY_TOOL_ERROR || txn->lacks_route_scopes)
        return false;
    for (size_t i = 0; i < txn->n_decisions; i++) {
        const struct txn_decision *at = &txn->decisions[i];
        if (at->decision.verdict != VERDICT_ALLOW &&
            (at->call->target != MCP_TOOL || at->message->kind != MCP_REQUEST))
            return false;
    }
    return true;
}

static void deny_with_challenge(struct txn *txn, const struct decision *worst)
{
    CLEANUP(buf_free) struct buf scopes = buf_make(ANSWER_MAX_SCOPES_BYTES);
    struct decision decision = *worst;
    for (size_t i = 0; i < txn->n_decisions; i++)
        if (txn->decisions[i].call != NULL)
            (void)rules_append_needed(txn->route, &txn->decisions[i].decision,
                                      txn->decisions[i].call, &scopes);
    /* A part of what it needs would bring the client back for the rest, again and again. */
    if (buf_failed(&scopes))
        decision.verdict = VERDICT_FORBIDDEN;
    /* Only responses, which need what the route needs. */
    reply_denied(txn, &decision, scopes.len > 0 ? buf_str(&scopes) : (struct str){0});
}

static enum step decide_body(struct txn *txn)
{
    size_t count = count_decisions(&txn->body);
    txn->decisions = arena_alloc(exchange_arena(txn->exchange), count * sizeof(*txn->decisions));
    if (txn->decisions == NULL)
        return out_of_resources(txn);
    for (size_t i = 0; i < txn->body.n_messages; i++)
        decide_message(txn, &txn->body.messages[i]);
    const struct txn_decision *worst = worst_decision(txn);
    if (worst->decision.verdict == VERDICT_ALLOW)
        return STEP_NEXT;
    if (may_answer_tool_error(txn))
        reply_tool_errors(txn, &worst->decision);
    else
        deny_with_challenge(txn, &worst->decision);
    return STEP_REPLY;
}

/* What cannot be recorded is not done, unless the policy says otherwise. */
static bool audit_forbids(const struct txn *txn)
{
    const struct audit_config *audit = &txn->snapshot->data->audit;
    return str_is_set(audit->file) && !audit->fail_open &&
           (txn->worker->audit == NULL || audit_is_failing(txn->worker->audit));
}

enum step stage_decide(struct txn *txn)
{
    if (audit_forbids(txn))
        return refused(txn, 503, JSONRPC_SERVER_ERROR, "audit_failing",
                       "The gate cannot write its audit log");
    return txn->request.method == METHOD_POST ? decide_body(txn) : STEP_NEXT;
}

/* ---- 11: a session belongs to the caller it was given to ---- */

/* Whatever revision the head names: an upstream may look at the session id alone. */
enum step stage_session(struct txn *txn)
{
    const struct session_owner owner = txn_session_owner(txn);
    if (txn->request.n_session == 0 || !txn->route->binds_sessions)
        return STEP_NEXT;
    if (txn->request.n_session == 1 &&
        session_check(txn->snapshot->session_key, &owner, txn->request.session, &txn->session))
        return STEP_NEXT;
    return refused(txn, 404, JSONRPC_SESSION_NOT_FOUND, "session", "Session not found");
}

/* ---- 13: what goes upstream about the caller ---- */

enum step stage_credential(struct txn *txn)
{
    if (txn->route->upstream.assertion.n_keys == 0)
        return STEP_NEXT;
    int64_t now_s = clock_wall_s(loop_clock(txn->worker->loop));
    if (assertion_get(txn->route, txn->identity, txn->fingerprint, now_s, &txn->assertion) == 0)
        return STEP_NEXT;
    return refused(txn, 503, JSONRPC_SERVER_ERROR, "assertion_failed",
                   "The gate could not sign its statement about the caller");
}
