/* SPDX-License-Identifier: Apache-2.0 */
/* Answers in which there may be a list: they pass through a filter (gate/list_filter), or not at
 * all. */
#include "gate/list_filter.h"
#include "gate/relay_int.h"
#include "gate/reply.h"
#include "gate/worker.h"
#include "proto/field.h"

#define STATUS_PARTIAL 206

/* Whoever the list is for, before each of its entries. Lives as long as the transaction. */
struct reader {
    struct caller caller;
    struct rules_asker asker;
};

static struct reader *make_reader(const struct txn *txn)
{
    struct arena *arena = exchange_arena(txn->exchange);
    struct reader *reader = ARENA_NEW(arena, struct reader);
    if (reader == NULL)
        return NULL;
    reader->caller = txn_caller(txn);
    reader->asker = (struct rules_asker){
        .route = txn->route,
        .caller = &reader->caller,
        .known = arena_zalloc(arena, txn->route->n_rules), /* without it, all takes longer */
    };
    return reader;
}

static bool may_use(void *ctx, enum mcp_list list, struct str name)
{
    static const struct mcp_call calls[MCP_N_LISTS] = {
        [MCP_LIST_TOOLS] = {.method = STR_INIT("tools/call"), .target = MCP_TOOL},
        [MCP_LIST_PROMPTS] = {.method = STR_INIT("prompts/get"), .target = MCP_PROMPT},
        [MCP_LIST_RESOURCES] = {.method = STR_INIT("resources/read"), .target = MCP_RESOURCE},
        [MCP_LIST_TEMPLATES] = {.method = STR_INIT("resources/read"), .target = MCP_RESOURCE},
    };
    const struct reader *reader = ctx;
    struct mcp_call call = calls[list];
    call.name = name;
    return rules_ask(&reader->asker, &call).verdict == VERDICT_ALLOW;
}

static void refuse_list(struct txn *txn, enum list_filter_reason reason)
{
    relay_fail(txn, list_filter_reason_name(reason), list_filter_reason_text(reason));
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
    return !empty && (is_success(head) || txn->relay.events ||
                      relay_has_media_type(head, STR("application/json")));
}

static size_t count_fields(const struct http1_response_head *head, enum field_id id)
{
    size_t count = 0;
    for (size_t i = 0; i < head->n_fields; i++)
        count += field_lookup(head->fields[i].name) == id ? 1 : 0;
    return count;
}

/* Why an answer in which there may be a list cannot be looked into; false: it can. Of fields that
 * came twice the client might believe the other one. A part of a text (RFC 9110 14.2: the client
 * may choose which) can be JSON by itself, and none of the lists that are looked for. */
static bool is_unreadable(const struct txn *txn, const struct http1_response_head *head,
                          enum list_filter_reason *ret_reason)
{
    size_t coding = relay_find_field(head->fields, head->n_fields, FIELD_CONTENT_ENCODING);
    *ret_reason = LIST_FILTER_ENCODED;
    if (count_fields(head, FIELD_CONTENT_ENCODING) > 1 ||
        (coding < head->n_fields && !str_eq_nocase(head->fields[coding].value, STR("identity"))))
        return true;
    *ret_reason = LIST_FILTER_NOT_JSON;
    return head->status == STATUS_PARTIAL || count_fields(head, FIELD_CONTENT_TYPE) > 1 ||
           (!txn->relay.events && !relay_has_media_type(head, STR("application/json")));
}

static struct list_filter *make_filter(struct txn *txn)
{
    const struct mcp_list_filter lists = {.lists = MCP_ALL_LISTS,
                                          .may = may_use,
                                          .ctx = make_reader(txn),
                                          .max_bytes = txn->route->max_inspect_bytes};
    if (lists.ctx == NULL)
        return NULL;
    return list_filter_new(&(struct list_filter_options){
        .events = txn->relay.events, .lists = &lists, .request_id = txn->rpc_id});
}

bool relay_list_begin(struct txn *txn, const struct http1_response_head *head)
{
    struct relay *relay = &txn->relay;
    enum list_filter_reason reason;
    if (!txn->filters || !may_have_list(txn, head))
        return true;
    if (is_unreadable(txn, head, &reason)) {
        relay->call = upstream_cancel(relay->call);
        refuse_list(txn, reason);
        return false;
    }
    relay->filter = make_filter(txn);
    if (relay->filter != NULL)
        return true;
    relay->call = upstream_cancel(relay->call);
    relay->state = RELAY_DONE;
    relay_refuse_resources(txn);
    return false;
}

/* The filter has seen enough of an answer that must not pass. */
static void end_early(struct txn *txn, enum list_filter_rc rc)
{
    struct relay *relay = &txn->relay;
    bool streaming = relay->state == RELAY_STREAMING;
    if (relay->filter == NULL) /* the last write met a client that left: on_gone() has ended it */
        return;
    enum list_filter_reason reason = list_filter_reason(relay->filter);
    relay->call = upstream_cancel(relay->call);
    relay->filter = list_filter_free(relay->filter);
    relay->state = RELAY_DONE;
    if (streaming) {
        txn->reason =
            rc == LIST_FILTER_NO_MEMORY ? "no_resources" : list_filter_reason_name(reason);
        exchange_stream_end(txn->exchange, rc == LIST_FILTER_ENDED);
    } else if (rc == LIST_FILTER_NO_MEMORY) {
        relay_refuse_resources(txn);
    } else {
        refuse_list(txn, reason);
    }
}

static size_t filter_room(const struct txn *txn, size_t piece)
{
    return LIST_FILTER_MAX_OUT(txn->route->max_inspect_bytes, piece, txn->rpc_id.len);
}

/* Events leave as they come, from here on: first what the filter gave so far. */
static void begin_events(struct txn *txn)
{
    struct relay *relay = &txn->relay;
    CLEANUP(buf_free) struct buf given = relay->body;
    relay->body = buf_make(0);
    relay_begin_stream(txn, -1);
    if (relay->state == RELAY_STREAMING && given.len > 0)
        relay_write_stream(txn, buf_str(&given));
}

static void feed_stream(struct txn *txn, struct str bytes)
{
    CLEANUP(buf_free) struct buf out = buf_make(filter_room(txn, bytes.len));
    enum list_filter_rc rc = list_filter_feed(txn->relay.filter, bytes, &out);
    if (out.len > 0)
        relay_write_stream(txn, buf_str(&out));
    if (rc != LIST_FILTER_OK)
        end_early(txn, rc);
}

void relay_list_feed(struct txn *txn, struct str bytes)
{
    struct relay *relay = &txn->relay;
    if (relay->state == RELAY_STREAMING) {
        feed_stream(txn, bytes);
        return;
    }
    if (relay->events)
        relay->body = buf_make(filter_room(txn, bytes.len));
    enum list_filter_rc rc = list_filter_feed(relay->filter, bytes, &relay->body);
    if (rc == LIST_FILTER_OK)
        return;
    if (relay->events)
        begin_events(txn);
    if (relay->state != RELAY_DONE)
        end_early(txn, rc);
}

void relay_list_settled(struct txn *txn)
{
    if (txn->relay.events)
        begin_events(txn);
}

/* A list in JSON goes out in one piece, of any size; so do events that came with one read: a
 * connection that need not leave libmicrohttpd costs half as much. */
static void reply_whole(struct txn *txn)
{
    struct relay *relay = &txn->relay;
    if (!relay->events)
        relay->body = buf_make(filter_room(txn, 0));
    enum list_filter_rc rc = list_filter_end(relay->filter, &relay->body);
    if (rc != LIST_FILTER_OK) {
        buf_free(&relay->body);
        end_early(txn, rc);
        return;
    }
    if (relay->plain && relay->body.len <= RELAY_COLLECT_BYTES) {
        relay->state = RELAY_DONE;
        relay_reply_collected(txn);
        return;
    }
    relay_begin_stream(txn, (int64_t)relay->body.len);
    if (relay->state == RELAY_STREAMING) {
        relay_write_stream(txn, buf_str(&relay->body));
        relay->state = RELAY_DONE;
        exchange_stream_end(txn->exchange, true);
    }
    buf_free(&relay->body);
}

/* What the filter still has of the events, and the end. */
static void end_stream(struct txn *txn)
{
    CLEANUP(buf_free) struct buf out = buf_make(filter_room(txn, 0));
    enum list_filter_rc rc = list_filter_end(txn->relay.filter, &out);
    if (out.len > 0)
        relay_write_stream(txn, buf_str(&out));
    if (rc != LIST_FILTER_OK) {
        end_early(txn, rc);
        return;
    }
    txn->relay.state = RELAY_DONE;
    exchange_stream_end(txn->exchange, true);
}

void relay_list_end(struct txn *txn)
{
    if (txn->relay.state == RELAY_STREAMING)
        end_stream(txn);
    else
        reply_whole(txn);
}
