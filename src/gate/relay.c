/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/relay_int.h"

#include <errno.h>

#include "gate/list_filter.h"
#include "gate/reply.h"
#include "gate/worker.h"
#include "proto/field.h"

/* More than most heads that go up need. */
#define USUAL_HEAD_BYTES 2048

/* ---- the answer's head ---- */

bool relay_has_media_type(const struct http1_response_head *head, struct str type)
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

void relay_fail(struct txn *txn, const char *reason, const char *description)
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

void relay_refuse_resources(struct txn *txn)
{
    refuse_busy(txn, "no_resources", "The gate is out of resources");
}

/* ---- streaming ---- */

void relay_begin_stream(struct txn *txn, int64_t content_length)
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
        relay_refuse_resources(txn);
        return;
    }
    if (txn->worker->draining)
        relay_finish_stream(txn);
}

void relay_write_stream(struct txn *txn, struct str bytes)
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
        return relay_has_media_type(
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

/* ---- what the upstream says ---- */

static void on_head(void *ctx, const struct http1_response_head *head)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    int r = -ENOMEM;
    relay->status = head->status;
    relay->events = relay_has_media_type(head, STR("text/event-stream"));
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
            relay_fail(txn, "upstream_session_id", "The MCP server gave a session id that is none");
        else
            relay_fail(txn, "upstream_head_too_large",
                       "The MCP server's answer has too many header fields");
        return;
    }
    if (!relay_list_begin(txn, head))
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
    relay_begin_stream(txn, relay->filter != NULL ? -1 : announced_length(head));
}

static void on_body(void *ctx, struct str bytes)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    relay->bytes += bytes.len;
    if (relay->filter != NULL) {
        relay_list_feed(txn, bytes);
        return;
    }
    if (relay->state == RELAY_COLLECTING) {
        if (buf_append(&relay->body, bytes) == 0)
            return;
        /* Larger than it seemed. */
        relay_begin_stream(txn, -1);
        if (relay->state == RELAY_STREAMING)
            relay_write_stream(txn, buf_str(&relay->body));
        buf_free(&relay->body);
    }
    if (relay->state == RELAY_STREAMING)
        relay_write_stream(txn, bytes);
}

void relay_reply_collected(struct txn *txn)
{
    struct reply *reply = txn->relay.reply;
    reply->body = txn->relay.body;
    txn->relay.body = buf_make(0);
    txn->status = reply->status;
    txn->reason = "ok";
    txn->replied = true;
    exchange_reply(txn->exchange, reply);
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
        relay_refuse_resources(txn);
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
        relay_list_end(txn);
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
        relay_list_end(txn);
    } else {
        relay->state = RELAY_DONE;
        relay_reply_collected(txn);
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
        .body = relay_body(txn),
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
            relay_refuse_resources(txn);
        return false;
    }
    txn->relay.state = RELAY_WAITING;
    txn->relay.call = upstream_start(txn->routes->upstreams[txn->route->index], &request);
    if (txn->relay.call != NULL)
        return true;
    txn->relay.state = RELAY_DONE;
    relay_refuse_resources(txn);
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
