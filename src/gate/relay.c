/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/relay.h"

#include <errno.h>

#include "gate/list_filter.h"
#include "gate/reply.h"
#include "gate/worker.h"
#include "proto/field.h"

/* More than most heads that go up need. */
#define USUAL_HEAD_BYTES 2048

/* ---- the answer's head ---- */

static bool has_media_type(const struct http1_response_head *head, struct str type)
{
    size_t at = relay_find_field(head->fields, head->n_fields, FIELD_CONTENT_TYPE);
    return at < head->n_fields && field_media_type_is(head->fields[at].value, type);
}

/* The session id that the client gets for that of the upstream: bound to the caller. */
static int bind_session(const struct txn *txn, struct str upstream_id, struct str *ret_id)
{
    CLEANUP(buf_free) struct buf bound = buf_make(SESSION_MAX_ID_LEN + 1 + SESSION_MAC_TEXT_LEN);
    const struct session_owner owner = txn_session_owner(txn);
    int r = session_bind(txn->snapshot->session_key, &owner, upstream_id, &bound);
    if (r < 0)
        return r;
    *ret_id = arena_str(exchange_arena(txn->exchange), buf_str(&bound));
    return str_is_set(*ret_id) ? 0 : -ENOMEM;
}

/* Copies into the arena, since an answer that is collected outlives the upstream's buffer; notes
 * whether libmicrohttpd can send them, which has little room for a head and refuses empty values.
 * 0; -EINVAL: the session id is none; or another fault: more fields than we pass on, or no memory.
 * The answer is then not passed at all. */
static int copy_fields(struct txn *txn, const struct http1_response_head *head)
{
    struct arena *arena = exchange_arena(txn->exchange);
    size_t bytes = 0;
    bool has_empty = false;
    size_t connection = relay_find_field(head->fields, head->n_fields, FIELD_CONNECTION);
    for (size_t i = 0; i < head->n_fields; i++) {
        const struct http1_field *field = &head->fields[i];
        enum field_id id = field_lookup(field->name);
        if ((field_flags(id) & (FIELD_HOP_BY_HOP | FIELD_RESPONSE_STRIP)) != 0 ||
            id == FIELD_X_REQUEST_ID ||
            relay_is_connection_option(head->fields, head->n_fields, connection, field->name))
            continue;
        struct str name = arena_str(arena, field->name);
        struct str value = arena_str(arena, field->value);
        int r = 0;
        if (id == FIELD_MCP_SESSION_ID && txn->route->binds_sessions)
            r = bind_session(txn, field->value, &value);
        if (r < 0)
            return r;
        if (name.ptr == NULL || value.ptr == NULL || !reply_add(txn->relay.reply, name, value))
            return -EMSGSIZE;
        bytes += name.len + value.len;
        has_empty = has_empty || value.len == 0;
    }
    txn->relay.plain = bytes <= RELAY_SMALL_HEAD_BYTES && !has_empty;
    return 0;
}

static void fail_before_answer(struct txn *txn, const char *reason, const char *description)
{
    txn->relay.state = RELAY_DONE;
    reply_gateway(txn, &(struct refusal){.status = 502,
                                         .reason = reason,
                                         .error = "bad_gateway",
                                         .description = description});
}

static void refuse_busy(struct txn *txn, const char *reason, const char *description)
{
    reply_gateway(txn, &(struct refusal){.status = 503,
                                         .reason = reason,
                                         .error = "temporarily_unavailable",
                                         .description = description});
}

static void refuse_resources(struct txn *txn)
{
    refuse_busy(txn, "no_resources", "The gate is out of resources");
}

/* ---- streaming ---- */

static void begin_stream(struct txn *txn, int64_t content_length)
{
    struct reply *reply = txn->relay.reply;
    txn->relay.state = RELAY_STREAMING;
    txn->replied = true;
    txn->status = reply->status;
    txn->reason = "ok";
    int r = exchange_stream(txn->exchange, reply->status, reply->fields, reply->n_fields,
                            content_length);
    if (r < 0) {
        txn->relay.call = upstream_cancel(txn->relay.call);
        txn->detail = "no descriptor or memory for a stream";
        txn->relay.state = RELAY_DONE;
        refuse_resources(txn);
        return;
    }
    if (txn->worker->draining)
        relay_finish_stream(txn);
}

static void write_stream(struct txn *txn, struct str bytes)
{
    bool go_on = exchange_stream_write(txn->exchange, bytes);
    if (!go_on && txn->relay.call != NULL)
        upstream_pause(txn->relay.call);
}

void relay_drained(struct txn *txn)
{
    if (txn->relay.call != NULL)
        upstream_resume(txn->relay.call);
}

/* ---- the form of the answer ---- */

static bool fits_one_piece(const struct http1_response_head *head)
{
    switch (head->body) {
    case HTTP1_BODY_NONE:
        return true;
    case HTTP1_BODY_LENGTH:
        return head->content_length <= RELAY_COLLECT_BYTES;
    case HTTP1_BODY_CHUNKED:
    case HTTP1_BODY_CLOSE:
        return has_media_type(
            head,
            STR("application/json")); /* most are small; one that grows is streamed after all */
    }
    return false;
}

/* What exchange_stream() is to announce; -1: nothing. */
static int64_t announced_length(const struct http1_response_head *head)
{
    switch (head->body) {
    case HTTP1_BODY_NONE:
        return 0;
    case HTTP1_BODY_LENGTH:
        return (int64_t)head->content_length;
    case HTTP1_BODY_CHUNKED:
    case HTTP1_BODY_CLOSE:
        return -1;
    }
    return -1;
}

/* ---- lists ---- */

static bool may_use(void *ctx, enum mcp_list list, struct str name)
{
    static const struct mcp_call calls[MCP_N_LISTS] = {
        [MCP_LIST_TOOLS] = {.method = STR_INIT("tools/call"), .target = MCP_TOOL},
        [MCP_LIST_PROMPTS] = {.method = STR_INIT("prompts/get"), .target = MCP_PROMPT},
        [MCP_LIST_RESOURCES] = {.method = STR_INIT("resources/read"), .target = MCP_RESOURCE},
        [MCP_LIST_TEMPLATES] = {.method = STR_INIT("resources/read"), .target = MCP_RESOURCE},
    };
    const struct txn *txn = ctx;
    const struct caller caller = txn_caller(txn);
    struct mcp_call call = calls[list];
    call.name = name;
    return rules_decide(txn->route, &caller, &call).verdict == VERDICT_ALLOW;
}

static void refuse_list(struct txn *txn, enum list_filter_reason reason)
{
    fail_before_answer(txn, list_filter_reason_name(reason), list_filter_reason_text(reason));
}

static bool is_success(const struct http1_response_head *head)
{
    return head->status >= 200 && head->status < 300;
}

/* A list can be in it: also under the status of an error, but there no client takes one out of a
 * page of another type. */
static bool may_have_list(const struct txn *txn, const struct http1_response_head *head)
{
    bool empty = head->body == HTTP1_BODY_NONE ||
                 (head->body == HTTP1_BODY_LENGTH && head->content_length == 0);
    return !empty &&
           (is_success(head) || txn->relay.events || has_media_type(head, STR("application/json")));
}

/* Why an answer in which there may be a list cannot be looked into; false: it can. */
static bool is_unreadable(const struct txn *txn, const struct http1_response_head *head,
                          enum list_filter_reason *ret_reason)
{
    size_t coding = relay_find_field(head->fields, head->n_fields, FIELD_CONTENT_ENCODING);
    *ret_reason = LIST_FILTER_ENCODED;
    if (coding < head->n_fields && !str_eq_nocase(head->fields[coding].value, STR("identity")))
        return true;
    *ret_reason = LIST_FILTER_NOT_JSON;
    return !txn->relay.events && !has_media_type(head, STR("application/json"));
}

/* Sets the filter of this answer up. False: the answer is not to be passed, and TXN was answered.
 */
static bool begin_filter(struct txn *txn, const struct http1_response_head *head)
{
    struct relay *relay = &txn->relay;
    const struct mcp_list_filter lists = {.lists = MCP_ALL_LISTS,
                                          .may = may_use,
                                          .ctx = txn,
                                          .max_bytes = txn->route->max_inspect_bytes};
    enum list_filter_reason reason;
    if (!txn->filters || !may_have_list(txn, head))
        return true;
    if (is_unreadable(txn, head, &reason)) {
        relay->call = upstream_cancel(relay->call);
        refuse_list(txn, reason);
        return false;
    }
    relay->filter = list_filter_new(&(struct list_filter_options){
        .events = relay->events, .lists = &lists, .request_id = txn->rpc_id});
    if (relay->filter != NULL)
        return true;
    relay->call = upstream_cancel(relay->call);
    relay->state = RELAY_DONE;
    refuse_resources(txn);
    return false;
}

/* The filter has seen enough of an answer that must not pass. */
static void end_filtered_early(struct txn *txn, enum list_filter_rc rc)
{
    struct relay *relay = &txn->relay;
    bool streaming = relay->state == RELAY_STREAMING;
    enum list_filter_reason reason = list_filter_reason(relay->filter);
    relay->call = upstream_cancel(relay->call);
    relay->filter = list_filter_free(relay->filter);
    relay->state = RELAY_DONE;
    if (streaming) {
        txn->reason =
            rc == LIST_FILTER_NO_MEMORY ? "no_resources" : list_filter_reason_name(reason);
        exchange_stream_end(txn->exchange, rc == LIST_FILTER_ENDED);
    } else if (rc == LIST_FILTER_NO_MEMORY) {
        refuse_resources(txn);
    } else {
        refuse_list(txn, reason);
    }
}

static size_t filter_room(const struct txn *txn, size_t piece)
{
    return LIST_FILTER_MAX_OUT(txn->route->max_inspect_bytes, piece, txn->rpc_id.len);
}

/* Gives BYTES of the answer to the filter, and sends what comes out of it. */
static void feed_filter(struct txn *txn, struct str bytes)
{
    CLEANUP(buf_free) struct buf out = buf_make(filter_room(txn, bytes.len));
    enum list_filter_rc rc = list_filter_feed(txn->relay.filter, bytes, &out);
    if (out.len > 0)
        write_stream(txn, buf_str(&out));
    if (rc != LIST_FILTER_OK)
        end_filtered_early(txn, rc);
}

/* ---- what the upstream says ---- */

static void on_head(void *ctx, const struct http1_response_head *head)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    int r = -ENOMEM;
    relay->status = head->status;
    relay->events = has_media_type(head, STR("text/event-stream"));
    relay->reply = arena_alloc(exchange_arena(txn->exchange), sizeof(struct reply));
    if (relay->reply != NULL) {
        relay->reply->status = head->status;
        relay->reply->n_fields = 0;
        relay->reply->body = buf_make(0);
        reply_add_common(txn, relay->reply);
        r = copy_fields(txn, head);
    }
    if (r < 0) {
        relay->call = upstream_cancel(relay->call);
        if (r == -EINVAL)
            fail_before_answer(txn, "upstream_session_id",
                               "The MCP server gave a session id that is none");
        else
            fail_before_answer(txn, "upstream_head_too_large",
                               "The MCP server's answer has too many header fields");
        return;
    }
    if (!begin_filter(txn, head))
        return;
    if (relay->events) /* nginx in front of us must not collect events */
        (void)reply_add(relay->reply, STR("X-Accel-Buffering"), STR("no"));
    if (relay->filter != NULL && !relay->events) {
        relay->state = RELAY_FILTERING;
        return;
    }
    if (!relay->events && relay->plain && fits_one_piece(head)) {
        relay->state = RELAY_COLLECTING;
        relay->body = buf_make(RELAY_COLLECT_BYTES);
        return;
    }
    begin_stream(txn, relay->filter != NULL ? -1 : announced_length(head));
}

static void on_body(void *ctx, struct str bytes)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    relay->bytes += bytes.len;
    if (relay->filter != NULL) {
        feed_filter(txn, bytes);
        return;
    }
    if (relay->state == RELAY_COLLECTING) {
        if (buf_append(&relay->body, bytes) == 0)
            return;
        /* Larger than it seemed. */
        begin_stream(txn, -1);
        if (relay->state == RELAY_STREAMING)
            write_stream(txn, buf_str(&relay->body));
        buf_free(&relay->body);
    }
    if (relay->state == RELAY_STREAMING)
        write_stream(txn, bytes);
}

static void reply_collected(struct txn *txn)
{
    struct reply *reply = txn->relay.reply;
    reply->body = txn->relay.body;
    txn->relay.body = buf_make(0);
    txn->status = reply->status;
    txn->reason = "ok";
    txn->replied = true;
    exchange_reply(txn->exchange, reply);
}

/* A list in JSON is complete: what is left of it goes out in one piece, of any size. */
static void reply_filtered(struct txn *txn)
{
    struct relay *relay = &txn->relay;
    relay->body = buf_make(filter_room(txn, 0));
    enum list_filter_rc rc = list_filter_end(relay->filter, &relay->body);
    if (rc != LIST_FILTER_OK) {
        buf_free(&relay->body);
        end_filtered_early(txn, rc);
        return;
    }
    if (relay->plain && relay->body.len <= RELAY_COLLECT_BYTES) {
        relay->state = RELAY_DONE;
        reply_collected(txn);
        return;
    }
    begin_stream(txn, (int64_t)relay->body.len);
    if (relay->state == RELAY_STREAMING) {
        write_stream(txn, buf_str(&relay->body));
        relay->state = RELAY_DONE;
        exchange_stream_end(txn->exchange, true);
    }
    buf_free(&relay->body);
}

/* A stream of events is complete: what the filter still has of it, and the end. */
static void end_filtered_stream(struct txn *txn)
{
    CLEANUP(buf_free) struct buf out = buf_make(filter_room(txn, 0));
    enum list_filter_rc rc = list_filter_end(txn->relay.filter, &out);
    if (out.len > 0)
        write_stream(txn, buf_str(&out));
    txn->relay.state = RELAY_DONE;
    exchange_stream_end(txn->exchange, rc == LIST_FILTER_OK || rc == LIST_FILTER_ENDED);
}

static void reply_failed(struct txn *txn, enum upstream_rc rc)
{
    static const struct refusal late = {.status = 504,
                                        .error = "gateway_timeout",
                                        .description = "The MCP server did not answer in time"};
    static const struct refusal bad = {
        .status = 502,
        .error = "bad_gateway",
        .description = "The MCP server could not be reached or did not give a valid answer"};
    buf_free(&txn->relay.body);
    if (rc == UPSTREAM_BUSY) {
        refuse_busy(txn, upstream_rc_name(rc), "The MCP server is busy; try again");
        return;
    }
    if (rc == UPSTREAM_NO_MEMORY) {
        refuse_resources(txn);
        return;
    }
    bool timed_out = rc == UPSTREAM_RESPONSE_TIMEOUT || rc == UPSTREAM_CONNECT_TIMEOUT ||
                     rc == UPSTREAM_IDLE_TIMEOUT;
    struct refusal refusal = timed_out ? late : bad;
    refusal.reason = upstream_rc_name(rc);
    reply_gateway(txn, &refusal);
}

static void end_stream(struct txn *txn, enum upstream_rc rc)
{
    if (rc == UPSTREAM_OK && txn->relay.filter != NULL) {
        end_filtered_stream(txn);
        return;
    }
    if (rc != UPSTREAM_OK)
        txn->reason = upstream_rc_name(rc);
    txn->relay.state = RELAY_DONE;
    exchange_stream_end(txn->exchange, rc == UPSTREAM_OK);
}

static void on_done(void *ctx, enum upstream_rc rc, const char *detail)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    relay->call = NULL;
    txn->detail = detail != NULL ? detail : txn->detail;
    if (relay->state == RELAY_STREAMING) {
        end_stream(txn, rc);
        return;
    }
    if (rc != UPSTREAM_OK) {
        relay->state = RELAY_DONE;
        reply_failed(txn, rc);
    } else if (relay->state == RELAY_FILTERING) {
        reply_filtered(txn);
    } else {
        relay->state = RELAY_DONE;
        reply_collected(txn);
    }
}

static const struct upstream_handler handler = {.head = on_head, .body = on_body, .done = on_done};

/* ---- verbs ---- */

static void refuse_claim(struct txn *txn)
{
    reply_refuse(txn,
                 &(struct refusal){.status = 403,
                                   .reason = "claim_not_a_header",
                                   .error = "access_denied",
                                   .description = "A claim of this token cannot be passed on"});
}

bool relay_start(struct txn *txn)
{
    struct upstream_request request = {
        .head = buf_make(RELAY_MAX_HEAD_BYTES),
        .body = exchange_body(txn->exchange),
        .idempotent = txn->request.method != METHOD_POST,
        .handler = &handler,
        .ctx = txn,
    };
    /* one allocation for an ordinary head and a body that leaves with it */
    int r = buf_reserve(&request.head,
                        USUAL_HEAD_BYTES + size_min(request.body.len, UPSTREAM_JOIN_BYTES));
    if (r == 0)
        r = relay_append_head(txn, &request.head);
    if (r < 0) {
        buf_free(&request.head);
        if (r == -EINVAL)
            refuse_claim(txn);
        else
            refuse_resources(txn);
        return false;
    }
    txn->relay.state = RELAY_WAITING;
    txn->relay.call = upstream_start(txn->routes->upstreams[txn->route->index], &request);
    if (txn->relay.call != NULL)
        return true;
    txn->relay.state = RELAY_DONE;
    refuse_resources(txn);
    return false;
}

void relay_cancel(struct txn *txn)
{
    txn->relay.call = upstream_cancel(txn->relay.call);
    txn->relay.filter = list_filter_free(txn->relay.filter);
    txn->relay.state = RELAY_DONE;
    buf_free(&txn->relay.body);
}

void relay_finish_stream(struct txn *txn)
{
    if (txn->relay.state != RELAY_STREAMING || txn->request.method != METHOD_GET ||
        !txn->relay.events)
        return;
    txn->relay.call = upstream_cancel(txn->relay.call);
    txn->relay.state = RELAY_DONE;
    exchange_stream_end(txn->exchange, true);
}
