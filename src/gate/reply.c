/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/reply.h"

#include <errno.h>
#include <stdio.h>

#include "auth/answer.h"
#include "gate/txn.h"
#include "gate/worker.h"
#include "proto/field.h"
#include "proto/jsonrpc.h"

#define MAX_BODY_BYTES (16U * 1024)
#define MAX_ERROR_DATA_BYTES 256
/* Names and ids of a whole batch, escaped. */
#define MAX_TOOL_ERRORS_BYTES (32U * 1024 * 1024)

#define TYPE_JSON STR("application/json")
#define EXPOSED \
    STR("WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, X-Request-Id, Retry-After")
#define ENDPOINT_METHODS STR("POST, GET, DELETE, OPTIONS")
#define METADATA_METHODS STR("GET, HEAD, OPTIONS")
/* What MCP clients send, for a preflight that names nothing. */
#define USUAL_HEADERS                                                                 \
    STR("Authorization, Content-Type, Accept, Mcp-Session-Id, MCP-Protocol-Version, " \
        "Last-Event-ID, Mcp-Method, Mcp-Name")
#define PREFLIGHT_MAX_AGE STR("7200")
#define MAX_PREFLIGHT_BYTES 4096 /* of the names that are given back */
#define METADATA_CACHING STR("public, max-age=300")
#define RETRY_AFTER_S STR("5")

/* ---- the parts of an answer ---- */

void reply_add_common(struct txn *txn, struct reply *reply)
{
    (void)reply_add(reply, STR("X-Request-Id"), str_from_cstr(txn->id));
    if (!txn->origin_ok)
        return;
    (void)reply_add(reply, STR("Access-Control-Allow-Origin"), txn->request.origin);
    (void)reply_add(reply, STR("Access-Control-Expose-Headers"), EXPOSED);
    (void)reply_add(reply, STR("Vary"), STR("Origin"));
}

static void append_oauth_error(struct buf *body, const char *error, const char *description,
                               const char *id)
{
    (void)buf_append(body, STR("{\"error\":\""));
    (void)buf_append_json(body, str_from_cstr(error));
    (void)buf_append(body, STR("\",\"error_description\":\""));
    (void)buf_append_json(body, str_from_cstr(description));
    (void)buf_append(body, STR("\",\"request_id\":\""));
    (void)buf_append_json(body, str_from_cstr(id));
    (void)buf_append(body, STR("\"}"));
}

static void add_error_fields(struct reply *reply)
{
    (void)reply_add(reply, STR("Content-Type"), TYPE_JSON);
    (void)reply_add(reply, STR("Cache-Control"), STR("no-store"));
}

static struct reply begin(struct txn *txn, unsigned status, const char *reason)
{
    struct reply reply = {.status = status, .body = buf_make(MAX_BODY_BYTES)};
    txn->status = status;
    txn->reason = reason;
    reply_add_common(txn, &reply);
    return reply;
}

static void finish(struct txn *txn, struct reply *reply)
{
    txn->replied = true;
    exchange_reply(txn->exchange, reply);
}

static struct reply begin_error(struct txn *txn, const struct refusal *refusal)
{
    struct reply reply = begin(txn, refusal->status, refusal->reason);
    add_error_fields(&reply);
    append_oauth_error(&reply.body, refusal->error, refusal->description, txn->id);
    return reply;
}

/* ---- refusals ---- */

void reply_refuse(struct txn *txn, const struct refusal *refusal)
{
    struct reply reply = begin_error(txn, refusal);
    finish(txn, &reply);
}

void reply_fill(struct txn *txn, const struct refusal *refusal, struct reply *reply)
{
    buf_free(&reply->body);
    *reply = begin_error(txn, refusal);
}

void reply_fill_refused(struct reply *reply, const char *id, unsigned status,
                        const char *description)
{
    (void)reply_add(reply, STR("X-Request-Id"), str_from_cstr(id));
    reply->status = status;
    add_error_fields(reply);
    append_oauth_error(&reply->body, status == 503 ? "temporarily_unavailable" : "invalid_request",
                       description, id);
}

void reply_method_not_allowed(struct txn *txn, const char *allow)
{
    struct reply reply = begin_error(
        txn, &(struct refusal){.status = 405,
                               .reason = "method",
                               .error = "method_not_allowed",
                               .description = "This resource does not answer this method"});
    (void)reply_add(&reply, STR("Allow"), str_from_cstr(allow));
    finish(txn, &reply);
}

/* ---- challenges (their texts: auth/answer) ---- */

/* SCOPES: with a step-up, all that this request needs; else absent. */
static void reply_answer(struct txn *txn, const struct answer *answer, struct str scopes)
{
    CLEANUP(buf_free) struct buf challenge = buf_make(ANSWER_MAX_CHALLENGE_BYTES);
    struct reply reply = begin_error(txn, &(struct refusal){.status = answer->status,
                                                            .reason = answer->reason,
                                                            .error = answer->error,
                                                            .description = answer->description});
    if (answer_append_challenge(answer, txn->route, scopes, &challenge) == 0 && challenge.len > 0)
        (void)reply_add(&reply, STR("WWW-Authenticate"), buf_str(&challenge));
    if (answer->retry_after)
        (void)reply_add(&reply, STR("Retry-After"), RETRY_AFTER_S);
    finish(txn, &reply);
}

void reply_unauthenticated(struct txn *txn, const char *reason)
{
    const struct answer answer = answer_no_credential(reason);
    reply_answer(txn, &answer, (struct str){0});
}

void reply_invalid_request(struct txn *txn, const char *reason, const char *description)
{
    const struct answer answer = answer_invalid_request(reason, description);
    reply_answer(txn, &answer, (struct str){0});
}

void reply_token(struct txn *txn, enum token_rc rc)
{
    const struct answer answer = answer_token(rc);
    reply_answer(txn, &answer, (struct str){0});
}

void reply_denied(struct txn *txn, const struct decision *decision, struct str scopes)
{
    const struct answer answer = answer_decision(decision);
    reply_answer(txn, &answer, scopes);
}

/* ---- the MCP level ---- */

/* Members for programs: the reason, and the id under which the log has it. */
static void append_rpc_error(const struct txn *txn, struct str id, int code, const char *reason,
                             const char *text, struct buf *body)
{
    CLEANUP(buf_free) struct buf data = buf_make(MAX_ERROR_DATA_BYTES);
    (void)buf_printf(&data, "{\"reason\":\"%s\",\"request_id\":\"%s\"}", reason, txn->id);
    (void)jsonrpc_append_error(id,
                               &(struct jsonrpc_error){.code = code,
                                                       .message = str_from_cstr(text),
                                                       .data = buf_str(&data)},
                               body);
}

void reply_mcp(struct txn *txn, const struct mcp_refusal *refusal)
{
    struct reply reply = begin(txn, refusal->status, refusal->reason);
    reply.body.max = MAX_BODY_BYTES + txn->rpc_id.len;
    add_error_fields(&reply);
    append_rpc_error(txn, txn->rpc_id, refusal->code, refusal->reason, refusal->text, &reply.body);
    if (refusal->status == 503)
        (void)reply_add(&reply, STR("Retry-After"), RETRY_AFTER_S);
    finish(txn, &reply);
}

void reply_limited(struct txn *txn, const struct limit_refusal *refusal)
{
    char wait[24];
    struct buf data = buf_make(MAX_ERROR_DATA_BYTES);
    struct reply reply = begin(txn, 429, refusal->reason);
    int n = snprintf(wait, sizeof(wait), "%lld", (long long)refusal->wait_s);
    (void)buf_printf(&data, "{\"reason\":\"%s\",\"retry_after\":%s,\"request_id\":\"%s\"}",
                     refusal->reason, wait, txn->id);
    reply.body.max = MAX_BODY_BYTES + txn->rpc_id.len;
    add_error_fields(&reply);
    (void)jsonrpc_append_error(txn->rpc_id,
                               &(struct jsonrpc_error){.code = JSONRPC_SERVER_ERROR,
                                                       .message = str_from_cstr(refusal->text),
                                                       .data = buf_str(&data)},
                               &reply.body);
    (void)reply_add(&reply, STR("Retry-After"), str_make(wait, n > 0 ? (size_t)n : 0));
    finish(txn, &reply);
    buf_free(&data);
}

void reply_gateway(struct txn *txn, const struct refusal *refusal)
{
    struct reply reply;
    if (str_is_set(txn->rpc_id)) {
        reply_mcp(txn, &(struct mcp_refusal){.status = refusal->status,
                                             .code = refusal->status == 504 ? JSONRPC_TIMEOUT
                                                                            : JSONRPC_SERVER_ERROR,
                                             .reason = refusal->reason,
                                             .text = refusal->description});
        return;
    }
    reply = begin_error(txn, refusal);
    if (refusal->status == 503)
        (void)reply_add(&reply, STR("Retry-After"), RETRY_AFTER_S);
    finish(txn, &reply);
}

/* ---- on_deny "tool_error" ---- */

/* The first of its decisions that is a denial, or NULL. */
static const struct txn_decision *find_denial(const struct txn *txn,
                                              const struct mcp_message *message)
{
    for (size_t i = 0; i < txn->n_decisions; i++)
        if (txn->decisions[i].message == message &&
            txn->decisions[i].decision.verdict != VERDICT_ALLOW)
            return &txn->decisions[i];
    return NULL;
}

static void append_tool_answer(const struct txn *txn, const struct mcp_message *message,
                               struct buf *body)
{
    const struct txn_decision *denial = find_denial(txn, message);
    if (denial == NULL) {
        append_rpc_error(txn, message->id, JSONRPC_SERVER_ERROR, "batch_denied",
                         "Not done, because another call of this batch is not permitted", body);
        return;
    }
    (void)buf_append(body, STR("{\"jsonrpc\":\"2.0\",\"id\":"));
    (void)buf_append(body, message->id);
    (void)buf_append(body, STR(",\"result\":"));
    (void)answer_append_tool_error(denial->call->name, mcp_is_modern(message->revision), body);
    (void)buf_append_char(body, '}');
}

void reply_tool_errors(struct txn *txn, const struct decision *decision)
{
    struct reply reply = begin(txn, 200, decision->reason);
    const char *before = txn->body.batch ? "[" : "";
    add_error_fields(&reply);
    reply.body.max = MAX_TOOL_ERRORS_BYTES;
    for (size_t i = 0; i < txn->body.n_messages; i++) {
        if (txn->body.messages[i].kind != MCP_REQUEST)
            continue;
        (void)buf_append_cstr(&reply.body, before);
        append_tool_answer(txn, &txn->body.messages[i], &reply.body);
        before = ",";
    }
    if (txn->body.batch)
        (void)buf_append_char(&reply.body, ']');
    if (buf_failed(&reply.body)) {
        buf_free(&reply.body);
        reply_gateway(txn, &(struct refusal){.status = 503,
                                             .reason = "no_resources",
                                             .error = "temporarily_unavailable",
                                             .description = "The gate is out of resources"});
        return;
    }
    finish(txn, &reply);
}

/* ---- documents and preflights ---- */

static void reply_document(struct txn *txn, const char *reason, struct str json)
{
    struct reply reply = begin(txn, 200, reason);
    (void)reply_add(&reply, STR("Content-Type"), TYPE_JSON);
    (void)reply_add(&reply, STR("Cache-Control"), METADATA_CACHING);
    (void)reply_add(&reply, STR("Access-Control-Allow-Origin"), STR("*"));
    reply.body.max = json.len;
    (void)buf_append(&reply.body, json);
    finish(txn, &reply);
}

void reply_metadata(struct txn *txn)
{
    reply_document(txn, "metadata", txn->route->metadata_json);
}

void reply_assertion_keys(struct txn *txn)
{
    reply_document(txn, "assertion_keys", txn->snapshot->data->assertion_jwks);
}

/* What a preflight asks for is what it gets, as long as it is a list of field names: the request
 * itself is checked when it comes. */
static struct str allowed_headers(const struct request *request)
{
    struct str rest = request->cors_headers;
    struct str name;
    if (!str_is_set(rest) || rest.len == 0 || rest.len > MAX_PREFLIGHT_BYTES)
        return USUAL_HEADERS;
    while (field_list_next(&rest, &name))
        if (!field_is_name(name))
            return USUAL_HEADERS;
    return request->cors_headers;
}

static void add_preflight(struct txn *txn, struct reply *reply, struct str methods)
{
    (void)reply_add(reply, STR("Access-Control-Allow-Methods"), methods);
    (void)reply_add(reply, STR("Access-Control-Allow-Headers"), allowed_headers(&txn->request));
    (void)reply_add(reply, STR("Access-Control-Max-Age"), PREFLIGHT_MAX_AGE);
}

void reply_metadata_preflight(struct txn *txn)
{
    struct reply reply = begin(txn, 204, "preflight");
    (void)reply_add(&reply, STR("Access-Control-Allow-Origin"), STR("*"));
    (void)reply_add(&reply, STR("Allow"), METADATA_METHODS);
    add_preflight(txn, &reply, METADATA_METHODS);
    finish(txn, &reply);
}

void reply_preflight(struct txn *txn)
{
    struct reply reply = begin(txn, 204, "preflight");
    (void)reply_add(&reply, STR("Allow"), ENDPOINT_METHODS);
    if (txn->origin_ok)
        add_preflight(txn, &reply, ENDPOINT_METHODS);
    finish(txn, &reply);
}
