/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/relay.h"

#include <errno.h>

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

/* Copies into the arena, since an answer that is collected outlives the upstream's buffer;
 * RET_PLAIN says whether libmicrohttpd can send them, which has little room for a head and refuses
 * empty values. False when there are more fields than we pass on, or no memory: the answer is then
 * not passed at all. */
static bool copy_fields(struct txn *txn, const struct http1_response_head *head, bool *ret_plain)
{
    struct arena *arena = exchange_arena(txn->exchange);
    struct reply *reply = txn->relay.reply;
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
        if (name.ptr == NULL || value.ptr == NULL || !reply_add(reply, name, value))
            return false;
        bytes += name.len + value.len;
        has_empty = has_empty || value.len == 0;
    }
    *ret_plain = bytes <= RELAY_SMALL_HEAD_BYTES && !has_empty;
    return true;
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

/* ---- what the upstream says ---- */

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

static void on_head(void *ctx, const struct http1_response_head *head)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    bool plain = false;
    relay->status = head->status;
    relay->events = has_media_type(head, STR("text/event-stream"));
    relay->reply = arena_alloc(exchange_arena(txn->exchange), sizeof(struct reply));
    if (relay->reply != NULL) {
        relay->reply->status = head->status;
        relay->reply->n_fields = 0;
        relay->reply->body = buf_make(0);
        reply_add_common(txn, relay->reply);
    }
    if (relay->reply == NULL || !copy_fields(txn, head, &plain)) {
        relay->call = upstream_cancel(relay->call);
        fail_before_answer(txn, "upstream_head_too_large",
                           "The MCP server's answer has too many header fields");
        return;
    }
    if (relay->events) /* nginx in front of us must not collect events */
        (void)reply_add(relay->reply, STR("X-Accel-Buffering"), STR("no"));
    if (!relay->events && plain && fits_one_piece(head)) {
        relay->state = RELAY_COLLECTING;
        relay->body = buf_make(RELAY_COLLECT_BYTES);
        return;
    }
    begin_stream(txn, announced_length(head));
}

static void on_body(void *ctx, struct str bytes)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    relay->bytes += bytes.len;
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

static void on_done(void *ctx, enum upstream_rc rc, const char *detail)
{
    struct txn *txn = ctx;
    enum relay_state state = txn->relay.state;
    txn->relay.call = NULL;
    txn->relay.state = RELAY_DONE;
    txn->detail = detail != NULL ? detail : txn->detail;
    if (state == RELAY_STREAMING) {
        if (rc != UPSTREAM_OK)
            txn->reason = upstream_rc_name(rc);
        exchange_stream_end(txn->exchange, rc == UPSTREAM_OK);
    } else if (rc == UPSTREAM_OK) {
        reply_collected(txn);
    } else {
        reply_failed(txn, rc);
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
