/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/txn_trace.h"

#include <stdio.h>

#include "base/sample.h"
#include "gate/stages.h"
#include "gate/worker_int.h"
#include "ops/otlp.h"
#include "policy/forwarded.h"
#include "proto/field.h"
#include "proto/uri.h"

/* What a client chose goes into a span cut to this much. */
#define MAX_TEXT 256
#define MAX_NAME 128
#define STATUS_TEXT 4

/* ---- birth ---- */

static bool is_trusted(const struct txn *txn)
{
    const struct config_data *data = txn->snapshot->data;
    switch (data->tracing.trust) {
    case TRACE_TRUST_ALWAYS:
        return true;
    case TRACE_TRUST_PROXIES:
        return forwarded_is_trusted(data, exchange_head(txn->exchange)->peer_addr);
    case TRACE_TRUST_NEVER:
        return false;
    }
    return false;
}

/* Ids need not be secret, but no id is all zeros. */
static void make_id(struct worker *worker, uint8_t *ret_id, size_t len)
{
    do {
        for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
            uint64_t bits = rng_next(&worker->rng);
            memcpy(ret_id + i, &bits, sizeof(bits));
        }
    } while (!trace_id_is_valid(ret_id, len));
}

static void start_trace(struct txn *txn, struct txn_trace *trace)
{
    struct trace_context *context = &trace->context;
    make_id(txn->worker, context->trace_id, TRACE_ID_BYTES);
    context->flags = TRACE_FLAG_RANDOM;
    if (sample_keeps(txn->snapshot->data->tracing.threshold, trace_id_random(context->trace_id)))
        context->flags |= TRACE_FLAG_SAMPLED;
}

static void begin_spans(struct txn *txn, struct txn_trace *trace,
                        const struct trace_context *remote)
{
    bool trusted = remote != NULL && is_trusted(txn);
    trace->active = true;
    trace->has_parent = trusted;
    trace->has_link = remote != NULL && !trusted;
    if (trusted) {
        trace->context = *remote;
        memcpy(trace->parent_id, remote->span_id, SPAN_ID_BYTES);
    } else {
        start_trace(txn, trace);
    }
    if (trace->has_link)
        trace->link = *remote;
    make_id(txn->worker, trace->context.span_id, SPAN_ID_BYTES);
    make_id(txn->worker, trace->call_id, SPAN_ID_BYTES);
}

void txn_trace_begin(struct txn *txn)
{
    const struct request *request = &txn->request;
    struct trace_context remote;
    bool has_remote =
        request->n_traceparent == 1 && trace_context_parse(request->traceparent, &remote);
    bool is_on = txn->snapshot->data->tracing.on;
    if (!is_on && !has_remote)
        return;
    struct txn_trace *trace = ARENA_NEW(exchange_arena(txn->exchange), struct txn_trace);
    if (trace == NULL)
        return; /* it goes on without: what is short of memory has other sorrows */
    if (is_on)
        begin_spans(txn, trace, has_remote ? &remote : NULL);
    else
        trace->context = remote;
    trace_id_write(trace->context.trace_id, TRACE_ID_BYTES, trace->trace_id);
    txn->trace = trace;
}

/* ---- what the upstream is told ---- */

/* The client's tracestate, all its lines as one list; false: there is none that counts. */
static bool gather_state(const struct txn *txn, struct buf *out)
{
    const struct exchange_head *head = exchange_head(txn->exchange);
    for (size_t i = 0; i < head->n_fields; i++) {
        if (field_lookup(head->fields[i].name) != FIELD_TRACESTATE)
            continue;
        if (out->len > 0)
            (void)buf_append_char(out, ',');
        (void)buf_append(out, head->fields[i].value);
    }
    return !buf_failed(out) && tracestate_is_valid(buf_str(out));
}

void txn_trace_append_head(const struct txn *txn, struct buf *out)
{
    const struct txn_trace *trace = txn->trace;
    struct trace_context context = trace->context;
    char text[TRACEPARENT_LEN];
    memcpy(context.span_id, trace->call_id, SPAN_ID_BYTES);
    trace_context_write(&context, text);
    (void)buf_append(out, STR("traceparent: "));
    (void)buf_append(out, str_make(text, sizeof(text)));
    (void)buf_append(out, STR("\r\n"));
    if (!trace->has_parent)
        return; /* a trace begun here has no state (3.3) */
    CLEANUP(buf_free) struct buf state = buf_make(TRACESTATE_MAX_BYTES);
    if (!gather_state(txn, &state))
        return;
    (void)buf_append(out, STR("tracestate: "));
    (void)buf_append(out, buf_str(&state));
    (void)buf_append(out, STR("\r\n"));
}

/* ---- spans ---- */

/* Of the monotonic clock to the wall clock, by what both say now. */
static int64_t wall_us(const struct txn *txn, int64_t mono_us)
{
    const struct clock *clock = loop_clock(txn->worker->loop);
    return clock->wall_us - (clock->mono_us - mono_us);
}

static struct str cut(struct str text)
{
    return str_is_set(text) ? str_head(text, MAX_TEXT) : text;
}

/* As the conventions for HTTP have it: no name that a stranger made up. */
static struct str method_attribute(const struct txn *txn)
{
    return txn->request.method == METHOD_OTHER ? STR("_OTHER") : method_name(txn->request.method);
}

static struct str mount_of(const struct txn *txn)
{
    if (txn->route == NULL || txn->is_document)
        return (struct str){0};
    return txn->route->mount.len > 0 ? txn->route->mount : STR("/");
}

/* "POST /mcp"; "POST" when it reached no route. */
static struct str span_name(const struct txn *txn, char text[MAX_NAME])
{
    struct str method =
        txn->request.method == METHOD_OTHER ? STR("HTTP") : method_name(txn->request.method);
    struct str mount = mount_of(txn);
    if (!str_is_set(mount))
        return method;
    int len = snprintf(text, MAX_NAME, "%.*s %.*s", STR_ARG(method), STR_ARG(mount));
    return str_make(text, size_min((size_t)len, MAX_NAME - 1));
}

/* Without the port. */
static struct str host_of(const struct txn *txn)
{
    struct uri_authority authority;
    if (txn->route == NULL || uri_parse_authority(txn->route->authority, &authority) != URI_OK)
        return (struct str){0};
    return authority.host;
}

static struct str status_text(unsigned status, char text[STATUS_TEXT])
{
    (void)snprintf(text, STATUS_TEXT, "%u", status % 1000);
    return str_from_cstr(text);
}

static struct str named(const struct mcp_call *call, enum mcp_target target)
{
    return call != NULL && call->target == target ? cut(call->name) : (struct str){0};
}

static void append_server_span(const struct txn *txn, unsigned status, int64_t duration_us,
                               struct buf *out)
{
    const struct txn_trace *trace = txn->trace;
    const struct identity *identity = txn->snapshot->data->tracing.identity ? txn->identity : NULL;
    const struct txn_decision *decided = txn->n_decisions == 1 ? &txn->decisions[0] : NULL;
    const struct mcp_call *call = decided != NULL ? decided->call : NULL;
    char name[MAX_NAME];
    char code[STATUS_TEXT];
    const struct log_field attributes[] = {
        LOG_STR("http.request.method", method_attribute(txn)),
        LOG_STR("url.scheme", txn->route != NULL ? txn->route->scheme : (struct str){0}),
        LOG_STR("url.path", cut(txn->request.path)),
        LOG_STR("http.route", mount_of(txn)),
        LOG_INT("http.response.status_code", status),
        LOG_STR("server.address", host_of(txn)),
        LOG_STR("client.address", txn->client_ip),
        LOG_STR("error.type", status >= 500 ? status_text(status, code) : (struct str){0}),
        LOG_STR("mcp.method.name", call != NULL ? cut(call->method) : (struct str){0}),
        LOG_STR("gen_ai.tool.name", named(call, MCP_TOOL)),
        LOG_STR("gen_ai.prompt.name", named(call, MCP_PROMPT)),
        LOG_STR("enduser.id", identity != NULL ? cut(identity->subject) : (struct str){0}),
        LOG_STR("portcullis.client_id", identity != NULL ? cut(identity->client) : (struct str){0}),
        LOG_CSTR("portcullis.reason", txn->reason),
        LOG_CSTR("portcullis.stage", stages_name(txn)),
        LOG_CSTR("portcullis.request_id", txn->id),
    };
    otlp_append_span(
        &(struct otlp_span){
            .trace_id = trace->context.trace_id,
            .span_id = trace->context.span_id,
            .parent_id = trace->has_parent ? trace->parent_id : NULL,
            .name = span_name(txn, name),
            .kind = OTLP_SERVER,
            .start_us = wall_us(txn, txn->start_us),
            .end_us = wall_us(txn, txn->start_us + duration_us),
            .attributes = attributes,
            .n_attributes = ARRAY_LEN(attributes),
            .link_trace_id = trace->has_link ? trace->link.trace_id : NULL,
            .link_span_id = trace->link.span_id,
            .flags = trace->context.flags,
            .failed = status >= 500,
        },
        out);
}

/* The upstream's status, or what went wrong before there was one, or after; absent: all went well.
 * A client that leaves during the answer is no fault of the call: that is how most streams end. */
static struct str call_error(const struct txn *txn, char text[STATUS_TEXT])
{
    if (txn->relay.status >= 400)
        return status_text(txn->relay.status, text);
    if (txn->relay.status != 0 && strcmp(txn->reason, "client_gone") == 0)
        return (struct str){0};
    if (txn->relay.status == 0 || strcmp(txn->reason, "ok") != 0)
        return str_from_cstr(txn->reason);
    return (struct str){0};
}

static void append_client_span(const struct txn *txn, int64_t end_us, struct buf *out)
{
    const struct txn_trace *trace = txn->trace;
    const struct upstream_config *upstream = &txn->route->upstream;
    char code[STATUS_TEXT];
    struct str error = call_error(txn, code);
    const struct log_field attributes[] = {
        LOG_STR("http.request.method", method_attribute(txn)),
        LOG_STR("server.address", upstream->host),
        LOG_INT("server.port", upstream->port),
        LOG_STR("url.scheme", upstream->tls ? STR("https") : STR("http")),
        txn->relay.status != 0 ? LOG_INT("http.response.status_code", txn->relay.status)
                               : LOG_STR("http.response.status_code", (struct str){0}),
        LOG_STR("error.type", error),
        LOG_BOOL("portcullis.connection.reused", trace->reused),
        LOG_INT("portcullis.response.bytes", txn->relay.bytes),
    };
    const struct otlp_event events[] = {
        {trace->connected_us != 0 ? "connected" : NULL, wall_us(txn, trace->connected_us)},
        {trace->head_us != 0 ? "first byte" : NULL, wall_us(txn, trace->head_us)},
    };
    otlp_append_span(
        &(struct otlp_span){
            .trace_id = trace->context.trace_id,
            .span_id = trace->call_id,
            .parent_id = trace->context.span_id,
            .name = method_attribute(txn),
            .kind = OTLP_CLIENT,
            .start_us = wall_us(txn, trace->call_us),
            .end_us = wall_us(txn, trace->done_us != 0 ? trace->done_us : end_us),
            .attributes = attributes,
            .n_attributes = ARRAY_LEN(attributes),
            .events = events,
            .n_events = ARRAY_LEN(events),
            .flags = trace->context.flags,
            .failed = str_is_set(error),
        },
        out);
}

void txn_trace_end(struct txn *txn, unsigned status, int64_t duration_us)
{
    const struct txn_trace *trace = txn->trace;
    const struct tracing_config *tracing = &txn->snapshot->data->tracing;
    if (trace == NULL || !trace->active || (trace->context.flags & TRACE_FLAG_SAMPLED) == 0 ||
        !str_is_set(tracing->endpoint))
        return;
    const unsigned n = trace->call_us != 0 ? 2 : 1;
    struct buf *out = worker_begin_spans(txn->worker, n, tracing->queue);
    if (out == NULL)
        return;
    append_server_span(txn, status, duration_us, out);
    if (n == 2) {
        (void)buf_append_char(out, ',');
        append_client_span(txn, txn->start_us + duration_us, out);
    }
    worker_end_spans(txn->worker, n);
}
