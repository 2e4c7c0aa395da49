/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/stages_int.h"

#include "base/err.h"
#include "gate/relay.h"
#include "gate/reply.h"
#include "gate/worker.h"
#include "policy/route.h"
#include "policy/rules.h"
#include "proto/bearer.h"
#include "proto/field.h"
#include "proto/uri.h"

static enum step answered(struct txn *txn, unsigned status, const char *reason, const char *error,
                          const char *description)
{
    reply_refuse(
        txn, &(struct refusal){
                 .status = status, .reason = reason, .error = error, .description = description});
    return STEP_REPLY;
}

/* ---- 1: what the target names ---- */

static enum step answer_document(struct txn *txn, void (*reply)(struct txn *txn))
{
    txn->is_document = true;
    if (txn->request.method == METHOD_GET || txn->request.method == METHOD_HEAD)
        reply(txn);
    else if (txn->request.method == METHOD_OPTIONS)
        reply_metadata_preflight(txn);
    else
        reply_method_not_allowed(txn, "GET, HEAD, OPTIONS");
    return STEP_REPLY;
}

static enum step stage_route(struct txn *txn)
{
    struct route_match match = route_find(txn->snapshot->table, txn->request.path);
    txn->route = match.route;
    switch (match.kind) {
    case ROUTE_ASSERTION_KEYS:
        return answer_document(txn, reply_assertion_keys);
    case ROUTE_NONE:
        return answered(txn, 404, "not_found", "not_found", "There is nothing at this path");
    case ROUTE_METADATA:
        return answer_document(txn, reply_metadata);
    case ROUTE_MCP:
        break;
    }
    if (txn->request.method == METHOD_OTHER || txn->request.method == METHOD_HEAD) {
        reply_method_not_allowed(txn, "POST, GET, DELETE, OPTIONS");
        return STEP_REPLY;
    }
    return STEP_NEXT;
}

/* ---- 2: browsers (MCP, Streamable HTTP "Security Warning"; DNS rebinding) ---- */

static enum step stage_origin(struct txn *txn)
{
    if (str_is_set(txn->request.origin)) {
        if (!route_origin_allowed(txn->route, txn->request.origin))
            return answered(txn, 403, "origin", "forbidden_origin",
                            "This Origin may not call this server");
        txn->origin_ok = true;
    }
    if (txn->request.method == METHOD_OPTIONS) {
        txn->is_document = true;
        reply_preflight(txn);
        return STEP_REPLY;
    }
    return STEP_NEXT;
}

/* ---- 3: stages_limits.c ---- */

/* ---- 4: exactly one credential, and in the right place ---- */

static enum step stage_bearer(struct txn *txn)
{
    struct request *request = &txn->request;
    if (str_is_set(request->query) && uri_query_has(request->query, STR("access_token"))) {
        reply_invalid_request(txn, "token_in_query",
                              "An access token may not be sent in the query");
        return STEP_REPLY;
    }
    if (request->n_authorization == 0) {
        reply_unauthenticated(txn, "no_token");
        return STEP_REPLY;
    }
    if (request->n_authorization > 1) {
        reply_invalid_request(txn, "two_credentials", "More than one Authorization field was sent");
        return STEP_REPLY;
    }
    switch (bearer_parse(request->authorization, &request->token)) {
    case BEARER_OK:
        return STEP_NEXT;
    case BEARER_OTHER_SCHEME:
        reply_unauthenticated(txn, "other_scheme");
        return STEP_REPLY;
    case BEARER_MALFORMED:
        reply_token(txn, TOKEN_BEARER);
        return STEP_REPLY;
    }
    return STEP_REPLY;
}

/* ---- 5: the token ---- */

static struct token_context token_context(const struct txn *txn)
{
    const struct clock *clock = loop_clock(txn->worker->loop);
    return (struct token_context){
        .config = txn->snapshot->data,
        .route = txn->route,
        .keysets = txn->snapshot->keysets,
        .verifier = txn->worker->verifier,
        .now_s = clock_wall_s(clock),
        .now_mono_ms = clock_mono_ms(clock),
    };
}

/* A check costs as much as a whole request with a known token. Only so many are made in one turn,
 * so that a flood of tokens never seen before does not stand in the way of those that were. */
static bool must_wait_its_turn(struct txn *txn)
{
    struct worker *worker = txn->worker;
    if (txn->was_deferred ||
        (worker->n_first_checks < WORKER_FIRST_CHECKS && list_is_empty(&worker->deferred)))
        return false;
    txn->was_deferred = true;
    txn->deferred_ms = loop_now_ms(worker->loop);
    list_append(&worker->deferred, &txn->run_node);
    return true;
}

static bool is_too_large(const struct txn *txn)
{
    return txn->request.token.len > txn->snapshot->data->limits.token_bytes;
}

static enum token_rc check_anew(struct txn *txn, const struct token_context *context,
                                struct str token, const uint8_t *digest, size_t *ret_issuer)
{
    /* What is too large costs nothing, and must not take the turn of those that do. */
    if (!is_too_large(txn))
        txn->worker->n_first_checks++;
    enum token_rc rc = token_check(context, token, &txn->identity, ret_issuer);
    /* With the keys of an older snapshot it may be one whose key has left the set since. */
    if (rc == TOKEN_OK && digest != NULL && txn->snapshot == txn->worker->snapshot)
        token_cache_insert(txn->worker->cache, digest, token, txn->identity);
    return rc;
}

/* Transactions of an older policy (a reload is under way) do not use the cache: it belongs to the
 * current one. */
static bool may_use_cache(const struct txn *txn)
{
    return txn->snapshot->config == txn->worker->snapshot->config;
}

/* Its check was put off for so long that its client is better served by coming again. */
static bool is_too_late(struct txn *txn)
{
    const int64_t since_ms = txn->deferred_ms;
    txn->deferred_ms = 0; /* what it waits for later, such as keys, is another matter */
    txn->is_too_late =
        since_ms != 0 && loop_now_ms(txn->worker->loop) - since_ms > WORKER_FIRST_CHECK_WAIT_MS;
    return txn->is_too_late;
}

static enum token_rc check_token(struct txn *txn, const struct token_context *context,
                                 size_t *ret_issuer)
{
    struct str token = txn->request.token;
    uint8_t digest[SHA256_LEN];
    *ret_issuer = SIZE_MAX;
    if (is_too_large(txn) || hasher_sha256(txn->worker->hasher, token, digest) < 0)
        return check_anew(txn, context, token, NULL, ret_issuer);
    token_fingerprint(digest, txn->fingerprint);
    if (!may_use_cache(txn))
        return check_anew(txn, context, token, NULL, ret_issuer);
    txn->identity = token_cache_lookup(txn->worker->cache, digest, token, context->now_s);
    if (txn->identity == NULL && (must_wait_its_turn(txn) || is_too_late(txn)))
        return TOKEN_NO_KEYS; /* not looked at: stage_token() sees why */
    if (txn->identity == NULL)
        return check_anew(txn, context, token, digest, ret_issuer);
    enum token_rc rc = token_recheck(context, txn->identity);
    if (rc == TOKEN_NO_KEYS) /* they have become too old */
        *ret_issuer = txn->identity->issuer_index;
    if (rc != TOKEN_OK)
        txn->identity = identity_unref(txn->identity);
    return rc;
}

static enum step refuse_busy(struct txn *txn)
{
    reply_gateway(txn, &(struct refusal){.status = 503,
                                         .reason = "busy",
                                         .error = "temporarily_unavailable",
                                         .description = "The gate has too many tokens to check"});
    return STEP_REPLY;
}

static enum step stage_token(struct txn *txn)
{
    struct token_context context = token_context(txn);
    size_t issuer;
    enum token_rc rc = check_token(txn, &context, &issuer);
    if (list_is_linked(&txn->run_node)) /* deferred */
        return STEP_WAIT;
    if (txn->is_too_late)
        return refuse_busy(txn);
    if (rc == TOKEN_OK) {
        if (token_keys_are_stale(&context, txn->identity->issuer_index))
            txn->worker->stale_accepts++;
        return STEP_NEXT;
    }
    if ((rc == TOKEN_UNKNOWN_KEY || rc == TOKEN_NO_KEYS) && !txn->key_waited &&
        worker_park_for_keys(txn->worker, txn, issuer))
        return STEP_WAIT;
    reply_token(txn, rc);
    return STEP_REPLY;
}

/* ---- 6: what the route asks of every caller ---- */

static enum step stage_admit(struct txn *txn)
{
    const struct caller caller = txn_caller(txn);
    const struct decision decision = rules_judge(txn->route, &caller, NULL);
    if (decision.verdict == VERDICT_ALLOW)
        return STEP_NEXT;
    /* Once the call is known, one challenge can name all that it needs. */
    txn->lacks_route_scopes = decision.verdict == VERDICT_STEP_UP &&
                              txn->request.method == METHOD_POST && txn->route->n_rules > 0;
    if (txn->lacks_route_scopes)
        return STEP_NEXT;
    reply_denied(txn, &decision, (struct str){0});
    return STEP_REPLY;
}

/* ---- 7: the body ---- */

static enum step stage_body(struct txn *txn)
{
    const struct exchange_head *head = exchange_head(txn->exchange);
    if (txn->body_ready)
        return STEP_NEXT;
    if (txn->request.method == METHOD_POST && !field_is_json_type(txn->request.content_type))
        return answered(txn, 415, "content_type", "unsupported_media_type",
                        "The body of a POST must be application/json in UTF-8");
    /* What a receiver makes of the bytes by decoding them is not what is inspected. */
    if (txn->request.method == METHOD_POST && txn->request.is_coded)
        return answered(txn, 415, "content_encoding", "unsupported_media_type",
                        "The body of a POST must not be encoded");
    if (!head->chunked && head->content_length > txn->route->max_body_bytes)
        return answered(txn, 413, "body_too_large", "request_too_large",
                        "The body is larger than this server accepts");
    exchange_set_body_limit(txn->exchange, txn->route->max_body_bytes);
    return STEP_WAIT;
}

/* ---- 8 to 13: stages_mcp.c, stages_limits.c ---- */

/* ---- the last: to the upstream ---- */

static enum step stage_forward(struct txn *txn)
{
    txn->passed = relay_start(txn);
    return txn->passed ? STEP_WAIT : STEP_REPLY;
}

static const struct stage table[] = {
    {"route", stage_route},
    {"origin", stage_origin},
    {"ip_rate", stage_ip_rate},
    {"bearer", stage_bearer},
    {"token", stage_token},
    {"admit", stage_admit},
    {"body", stage_body},
    {"inspect", stage_inspect},
    {"subject_rate", stage_subject_rate},
    {"decide", stage_decide},
    {"session", stage_session},
    {"streams", stage_streams},
    {"credential", stage_credential},
    {"forward", stage_forward},
};

const struct stage *stages(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(table);
    return table;
}

enum step stages_run(struct txn *txn)
{
    enum step step = STEP_NEXT;
    while (step == STEP_NEXT && txn->stage < ARRAY_LEN(table)) {
        step = table[txn->stage].run(txn);
        if (step == STEP_NEXT)
            txn->stage++;
    }
    return step;
}

bool stages_refused_anybody(const struct txn *txn)
{
    return txn->replied && !txn->is_document && txn->stage < ARRAY_LEN(table) &&
           (table[txn->stage].run == stage_route || table[txn->stage].run == stage_origin ||
            table[txn->stage].run == stage_ip_rate);
}

const char *stages_name(const struct txn *txn)
{
    return txn->stage < ARRAY_LEN(table) ? table[txn->stage].name : "";
}
