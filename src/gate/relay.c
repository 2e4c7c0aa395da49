/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/relay_int.h"

#include <errno.h>

#include "base/err.h"
#include "gate/list_filter.h"
#include "gate/reply.h"
#include "gate/stages.h"
#include "gate/txn_trace.h"
#include "gate/worker.h"
#include "proto/field.h"

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

static void begin_stream(struct txn *txn, const struct reply *reply, int64_t content_length)
{
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
    if (txn->relay.events)
        limits_note_stream(txn);
    if (txn->worker->draining)
        relay_finish_stream(txn);
}

void relay_begin_stream(struct txn *txn, int64_t content_length)
{
    begin_stream(txn, txn->relay.reply, content_length);
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

/* There may be a list in it: a filter takes the body as it comes. */
static void begin_filter(struct txn *txn, const struct http1_response_head *head)
{
    struct relay *relay = &txn->relay;
    if (relay_keep_reply(txn, head) && relay_list_begin(txn, head) && relay->filter != NULL)
        relay->state = RELAY_FILTERING;
}

static void on_head(void *ctx, const struct http1_response_head *head)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    if (txn->trace != NULL)
        txn->trace->head_us = loop_clock(txn->worker->loop)->mono_us;
    relay->status = head->status;
    relay->events = relay_has_media_type(head, STR("text/event-stream"));
    relay->state = RELAY_HOLDING;
    relay->head = head;
    relay->held = STR("");
    if (txn->filters)
        begin_filter(txn, head);
}

static void collect(struct txn *txn, struct str bytes)
{
    struct relay *relay = &txn->relay;
    if (buf_append(&relay->body, bytes) == 0)
        return;
    /* Larger than it seemed. */
    relay_begin_stream(txn, -1);
    if (relay->state == RELAY_STREAMING)
        relay_write_stream(txn, buf_str(&relay->body));
    buf_free(&relay->body);
    if (relay->state == RELAY_STREAMING)
        relay_write_stream(txn, bytes);
}

static void on_body(void *ctx, struct str bytes)
{
    struct txn *txn = ctx;
    struct relay *relay = &txn->relay;
    relay->bytes += bytes.len;
    if (relay->filter != NULL)
        relay_list_feed(txn, bytes);
    else if (relay->state == RELAY_HOLDING)
        relay->held = bytes;
    else if (relay->state == RELAY_COLLECTING)
        collect(txn, bytes);
    else if (relay->state == RELAY_STREAMING)
        relay_write_stream(txn, bytes);
}

static void send_reply(struct txn *txn, struct reply *reply)
{
    txn->status = reply->status;
    txn->reason = "ok";
    txn->replied = true;
    exchange_reply(txn->exchange, reply);
}

void relay_reply_collected(struct txn *txn)
{
    struct reply *reply = txn->relay.reply;
    reply->body = txn->relay.body;
    txn->relay.body = buf_make(0);
    send_reply(txn, reply);
}

static void stream_held(struct txn *txn, const struct http1_response_head *head,
                        const struct reply *reply)
{
    begin_stream(txn, reply, announced_length(head));
    if (txn->relay.state == RELAY_STREAMING && txn->relay.held.len > 0)
        relay_write_stream(txn, txn->relay.held);
}

/* An answer that came with one read, whatever its form, leaves in one piece: a connection that need
 * not leave libmicrohttpd costs half as much. */
static void reply_held(struct txn *txn)
{
    NOT_ZEROED struct reply local;
    struct relay *relay = &txn->relay;
    const struct http1_response_head *head = TAKE(relay->head);
    struct reply *reply = relay_reply_now(txn, head, &local);
    if (reply == NULL)
        return;
    relay->state = RELAY_DONE;
    if (!relay->plain || (relay->events && head->body == HTTP1_BODY_NONE)) {
        stream_held(txn, head, reply);
        if (relay->state == RELAY_STREAMING)
            exchange_stream_end(txn->exchange, true);
        relay->state = RELAY_DONE;
        return;
    }
    reply->body = buf_make(relay->held.len);
    if (buf_append(&reply->body, relay->held) < 0)
        relay_refuse_resources(txn);
    else
        send_reply(txn, reply);
}

static void let_go(struct txn *txn)
{
    NOT_ZEROED struct reply local;
    struct relay *relay = &txn->relay;
    const struct http1_response_head *head = TAKE(relay->head);
    bool one_piece = !relay->events && fits_one_piece(head);
    if (one_piece && relay->reply == NULL && !relay_keep_reply(txn, head))
        return;
    if (one_piece && relay->plain) {
        relay->state = RELAY_COLLECTING;
        relay->body = buf_make(RELAY_COLLECT_BYTES);
        (void)buf_reserve(&relay->body, (size_t)head->content_length);
        collect(txn, relay->held);
        return;
    }
    const struct reply *reply = relay_reply_now(txn, head, &local);
    if (reply != NULL)
        stream_held(txn, head, reply);
}

/* The answer goes on behind the read that brought its head: it is collected, or streamed. */
static void on_settled(void *ctx)
{
    struct txn *txn = ctx;
    if (txn->relay.state == RELAY_HOLDING)
        let_go(txn);
    else if (txn->relay.state == RELAY_FILTERING)
        relay_list_settled(txn);
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
    if (txn->trace != NULL)
        txn->trace->done_us = loop_clock(txn->worker->loop)->mono_us;
    txn->detail = detail != NULL ? detail : txn->detail;
    if (rc != UPSTREAM_OK)
        on_settled(txn); /* what came before the fault is the client's */
    if (relay->state == RELAY_STREAMING) {
        end_stream(txn, rc);
        return;
    }
    if (relay->state == RELAY_DONE)
        return;
    if (rc != UPSTREAM_OK) {
        relay->state = RELAY_DONE;
        reply_failed(txn, rc);
    } else if (relay->state == RELAY_HOLDING) {
        reply_held(txn);
    } else if (relay->state == RELAY_FILTERING) {
        relay_list_end(txn);
    } else {
        relay->state = RELAY_DONE;
        relay_reply_collected(txn);
    }
}

static const struct upstream_handler handler = {
    .head = on_head, .body = on_body, .settled = on_settled, .done = on_done};

static void on_connected(void *ctx, bool reused)
{
    struct txn *txn = ctx;
    txn->trace->connected_us = loop_clock(txn->worker->loop)->mono_us;
    txn->trace->reused = reused;
}

/* The same for a transaction with spans. */
static const struct upstream_handler traced_handler = {.connected = on_connected,
                                                       .head = on_head,
                                                       .body = on_body,
                                                       .settled = on_settled,
                                                       .done = on_done};

static const struct upstream_handler *begin_call(struct txn *txn)
{
    if (!txn_trace_is_active(txn))
        return &handler;
    txn->trace->call_us = loop_clock(txn->worker->loop)->mono_us;
    return &traced_handler;
}

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
    struct upstream *upstream = txn->routes->upstreams[txn->route->index];
    struct upstream_request request = {
        .head = upstream_head_buf(upstream),
        .body = relay_body(txn),
        .idempotent = txn->request.method != METHOD_POST,
        .handler = begin_call(txn),
        .ctx = txn,
    };
    int r = relay_append_head(txn, request.head);
    if (r < 0) {
        if (r == -EINVAL)
            refuse_claim(txn);
        else
            relay_refuse_resources(txn);
        return false;
    }
    txn->relay.state = RELAY_WAITING;
    txn->relay.call = upstream_start(upstream, &request);
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

/* A stream that lasts until somebody ends it, and that the client opens anew: opened by GET, or by
 * a call that asks for nothing else (MCP 2026). One in a batch waits with the rest of it. */
static bool is_open_ended(const struct txn *txn)
{
    return txn->request.method == METHOD_GET ||
           (txn->body.n_messages == 1 &&
            str_eq(txn->body.messages[0].method, STR("subscriptions/listen")));
}

void relay_finish_stream(struct txn *txn)
{
    if (txn->relay.state != RELAY_STREAMING || !is_open_ended(txn) || !txn->relay.events)
        return;
    txn->relay.call = upstream_cancel(txn->relay.call);
    txn->relay.state = RELAY_DONE;
    exchange_stream_end(txn->exchange, true);
}
