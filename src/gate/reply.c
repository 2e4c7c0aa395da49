/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/reply.h"

#include <errno.h>

#include "gate/txn.h"
#include "gate/worker.h"
#include "proto/challenge.h"
#include "proto/field.h"
#include "proto/jsonrpc.h"

#define MAX_BODY_BYTES (16U * 1024)
#define MAX_CHALLENGE_BYTES (16U * 1024)
#define JSONRPC_SERVER_ERROR (-32000) /* also what MCP SDKs call "connection closed" */
#define JSONRPC_TIMEOUT (-32001)      /* what MCP SDKs call "request timed out" */

#define TYPE_JSON STR("application/json")
#define EXPOSED STR("WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, X-Request-Id")
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

/* ---- challenges ---- */

/* An answer with WWW-Authenticate. Without ERROR the challenge says only where to go. */
static void reply_challenge(struct txn *txn, const struct refusal *refusal, bool with_error)
{
    struct buf value = buf_make(MAX_CHALLENGE_BYTES);
    struct challenge challenge = {
        .resource_metadata = txn->route->metadata_url,
        .scope = txn->route->scope_text,
        .error = with_error ? str_from_cstr(refusal->error) : STR(""),
        .error_description = with_error ? str_from_cstr(refusal->description) : STR(""),
    };
    struct reply reply = begin_error(txn, refusal);
    if (challenge_append(&challenge, &value) == 0)
        (void)reply_add(&reply, STR("WWW-Authenticate"), buf_str(&value));
    finish(txn, &reply);
    buf_free(&value);
}

void reply_unauthenticated(struct txn *txn, const char *reason)
{
    reply_challenge(txn,
                    &(struct refusal){.status = 401,
                                      .reason = reason,
                                      .error = "unauthorized",
                                      .description = "A bearer access token is required"},
                    false);
}

void reply_invalid_request(struct txn *txn, const char *reason, const char *description)
{
    reply_challenge(txn,
                    &(struct refusal){.status = 400,
                                      .reason = reason,
                                      .error = "invalid_request",
                                      .description = description},
                    true);
}

/* No challenge: a 401 would make clients throw away tokens that are good (rule 24). */
static void reply_no_keys(struct txn *txn)
{
    struct reply reply =
        begin_error(txn, &(struct refusal){.status = 503,
                                           .reason = token_rc_name(TOKEN_NO_KEYS),
                                           .error = "temporarily_unavailable",
                                           .description = token_rc_description(TOKEN_NO_KEYS)});
    (void)reply_add(&reply, STR("Retry-After"), RETRY_AFTER_S);
    finish(txn, &reply);
}

void reply_token(struct txn *txn, enum token_rc rc)
{
    if (rc == TOKEN_NO_KEYS || rc == TOKEN_NO_MEMORY) {
        reply_no_keys(txn);
        return;
    }
    reply_challenge(txn,
                    &(struct refusal){.status = 401,
                                      .reason = token_rc_name(rc),
                                      .error = "invalid_token",
                                      .description = token_rc_description(rc)},
                    true);
}

void reply_insufficient_scope(struct txn *txn)
{
    reply_challenge(
        txn,
        &(struct refusal){.status = 403,
                          .reason = "insufficient_scope",
                          .error = "insufficient_scope",
                          .description = "The token lacks a scope that this server needs"},
        true);
}

/* ---- the MCP level ---- */

static int jsonrpc_code(unsigned status)
{
    return status == 504 ? JSONRPC_TIMEOUT : JSONRPC_SERVER_ERROR;
}

/* Appends the error under the id of the request; false when the body is no request with an id. */
static bool append_jsonrpc(const struct txn *txn, const struct refusal *refusal, struct buf *body)
{
    CLEANUP(json_unref) json_t *id = NULL;
    CLEANUP(json_unref) json_t *data = NULL;
    if (txn->request.method != METHOD_POST || !txn->body_ready ||
        jsonrpc_scan(exchange_body(txn->exchange), txn->route->max_body_bytes, &id) !=
            JSONRPC_REQUEST)
        return false;
    data = json_pack("{s:s, s:s}", "reason", refusal->reason, "request_id", txn->id);
    const struct jsonrpc_error error = {.code = jsonrpc_code(refusal->status),
                                        .message = str_from_cstr(refusal->description),
                                        .data = data};
    return jsonrpc_append_error(id, &error, body) == 0;
}

void reply_gateway(struct txn *txn, const struct refusal *refusal)
{
    struct reply reply = begin(txn, refusal->status, refusal->reason);
    add_error_fields(&reply);
    if (!append_jsonrpc(txn, refusal, &reply.body))
        append_oauth_error(&reply.body, refusal->error, refusal->description, txn->id);
    if (refusal->status == 503)
        (void)reply_add(&reply, STR("Retry-After"), RETRY_AFTER_S);
    finish(txn, &reply);
}

/* ---- documents and preflights ---- */

void reply_metadata(struct txn *txn)
{
    struct reply reply = begin(txn, 200, "metadata");
    (void)reply_add(&reply, STR("Content-Type"), TYPE_JSON);
    (void)reply_add(&reply, STR("Cache-Control"), METADATA_CACHING);
    (void)reply_add(&reply, STR("Access-Control-Allow-Origin"), STR("*"));
    reply.body.max = txn->route->metadata_json.len;
    (void)buf_append(&reply.body, txn->route->metadata_json);
    finish(txn, &reply);
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
