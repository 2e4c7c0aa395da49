/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a transaction: from the server's callbacks through the stages to its one log line. */
#include "base/sample.h"
#include "gate/relay.h"
#include "gate/reply.h"
#include "gate/stages.h"
#include "gate/txn_trace.h"
#include "gate/worker_int.h"
#include "policy/forwarded.h"

/* A parked request waits for the fetch that is under way, and this much longer. */
#define KEY_WAIT_EXTRA_MS 1000
#define REFUSED_MAX_BYTES 1024
#define HANDSHAKE_LOG_MS 1000
#define FLOOD_LOG_MS 1000
#define FLOOD_MAX_LINES 20

/* ---- transactions ---- */

/* Eight hexadecimal digits, one in each byte. */
static uint64_t hex_digits(uint32_t bits)
{
    uint64_t x = bits;
    x = (x | x << 16) & 0x0000ffff0000ffffULL;
    x = (x | x << 8) & 0x00ff00ff00ff00ffULL;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fULL;
    uint64_t letters = ((x + ASCII_ONES * 6) >> 4) & ASCII_ONES;
    return x + ASCII_ONES * '0' + letters * ('a' - '0' - 10);
}

void worker_make_id(struct worker *worker, char ret_id[TXN_ID_LEN + 1])
{
    for (size_t i = 0; i < TXN_ID_LEN; i += 16) {
        uint64_t bits = rng_next(&worker->rng);
        const uint64_t digits[] = {hex_digits((uint32_t)bits), hex_digits((uint32_t)(bits >> 32))};
        memcpy(ret_id + i, digits, sizeof(digits));
    }
    ret_id[TXN_ID_LEN] = '\0';
}

static void leave_key_waiters(struct txn *txn)
{
    if (!list_is_linked(&txn->key_node))
        return;
    list_unlink(&txn->key_node);
    loop_timer_stop(txn->worker->loop, &txn->key_timer);
    txn->worker->n_key_waiters--;
}

/* TXN has waited for keys and goes on with those of now. When the policy has changed it begins
 * anew: what it passed so far was judged by the old one. */
static void go_on_after_keys(struct txn *txn)
{
    struct worker *worker = txn->worker;
    leave_key_waiters(txn);
    if (txn->snapshot->config != worker->snapshot->config) {
        txn->stage = 0;
        txn->route = NULL;
        txn->origin_ok = false;
        txn->key_waited = false;
        worker_route_set_unref(txn->routes);
        txn->routes = worker->routes;
        txn->routes->refs++;
    }
    (void)snapshot_unref(txn->snapshot);
    txn->snapshot = snapshot_ref(worker->snapshot);
    txn_mark(txn);
}

static void on_key_timer(struct timer *timer)
{
    go_on_after_keys(CONTAINER_OF(timer, struct txn, key_timer));
}

static struct txn *txn_new(struct worker *worker, struct exchange *exchange)
{
    const struct exchange_head *head = exchange_head(exchange);
    struct arena *arena = exchange_arena(exchange);
    struct txn *txn = ARENA_NEW(arena, struct txn);
    if (txn == NULL)
        return NULL;
    txn->worker = worker;
    txn->exchange = exchange;
    txn->snapshot = snapshot_ref(worker->snapshot);
    txn->routes = worker->routes;
    txn->routes->refs++;
    txn->start_us = loop_clock(worker->loop)->mono_us;
    txn->key_timer.fn = on_key_timer;
    txn->reason = "client_gone";
    worker_make_id(worker, txn->id);
    txn->request = request_read(head, arena);
    struct forwarded forwarded = forwarded_read(txn->snapshot->data, head->peer, head->peer_addr,
                                                txn->request.forwarded_for, arena);
    txn->client_ip = forwarded.client_ip;
    txn->forwarded_for = forwarded.chain;
    txn_trace_begin(txn);
    list_append(&worker->txns, &txn->node);
    exchange_set_user(exchange, txn);
    return txn;
}

unsigned txn_status(const struct txn *txn)
{
    return txn->status != 0 ? txn->status : 499;
}

static void count_tools(const struct txn *txn, size_t label)
{
    for (size_t i = 0; i < txn->n_decisions; i++) {
        const struct txn_decision *at = &txn->decisions[i];
        if (at->call != NULL && at->call->target == MCP_TOOL)
            metrics_tool_call(txn->worker->metrics, label, at->call->name,
                              at->decision.verdict == VERDICT_ALLOW && txn->passed);
    }
}

/* What the only call of a request asks for; a batch is told by its audit records. */
static const struct txn_decision *only_decision(const struct txn *txn)
{
    return txn->n_decisions == 1 ? &txn->decisions[0] : NULL;
}

/* Went well, for the client and for us. */
static bool is_success(const struct txn *txn, unsigned status)
{
    return status < 400 && (txn->is_document || strcmp(txn->reason, "ok") == 0);
}

/* A stream that the client opened by GET lasts as long as it lasts. */
static bool is_slow(const struct txn *txn, int64_t duration_us)
{
    return duration_us > txn->snapshot->data->access_slow_us && txn->request.method != METHOD_GET;
}

/* Those of a trace that began here, so that lines and spans are kept together; else of our own id,
 * which no client can choose, not even through a proxy that passes its trace on. */
static uint64_t random_bits(const struct txn *txn)
{
    return txn_trace_is_active(txn) && !txn->trace->has_parent
             ? trace_id_random(txn->trace->context.trace_id)
             : sample_bits_of_hex(str_make(txn->id, TXN_ID_LEN));
}

/* Its line is written: always, or by chance, which an id decides. */
static bool is_logged(const struct txn *txn, unsigned status, int64_t duration_us)
{
    const uint64_t threshold = txn->snapshot->data->access_threshold;
    return threshold == 0 || !is_success(txn, status) || is_slow(txn, duration_us) ||
           sample_keeps(threshold, random_bits(txn));
}

/* A flood of requests that are refused before it is known who sends them: the first lines of each
 * second are written, and then how many there were more. */
static bool flood_is_logged(struct worker *worker)
{
    const struct clock *clock = loop_clock(worker->loop);
    const int64_t now_ms = loop_now_ms(worker->loop);
    if (now_ms - worker->flood_began_ms >= FLOOD_LOG_MS) {
        if (worker->flood_lines > FLOOD_MAX_LINES)
            LOG(&worker->log, clock, LOG_LEVEL_WARN, "requests_not_logged",
                LOG_INT("refused", worker->flood_lines - FLOOD_MAX_LINES));
        worker->flood_began_ms = now_ms;
        worker->flood_lines = 0;
    }
    return ++worker->flood_lines <= FLOOD_MAX_LINES;
}

/* One line per request, one count: from the reap step, when everything is over. */
static void txn_report(struct txn *txn)
{
    struct worker *worker = txn->worker;
    const struct identity *identity = txn->identity;
    const struct clock *clock = loop_clock(worker->loop);
    int64_t duration_us = clock->mono_us - txn->start_us;
    unsigned status = txn_status(txn);
    const struct txn_decision *decided = only_decision(txn);
    const struct mcp_call *call = decided != NULL ? decided->call : NULL;
    size_t label = txn->route != NULL ? txn->snapshot->labels[txn->route->index] : METRICS_NO_ROUTE;
    if (exchange_was_refused(txn->exchange))
        return; /* on_refused() has reported it */
    metrics_request(worker->metrics, label, status, txn->reason, duration_us);
    count_tools(txn, label);
    txn_audit(txn, duration_us);
    txn_trace_end(txn, status, duration_us);
    if (stages_refused_anybody(txn) ? !flood_is_logged(worker)
                                    : !is_logged(txn, status, duration_us)) {
        worker->log_skipped++;
        return;
    }
    LOG(&worker->log, clock, LOG_LEVEL_INFO, "request", LOG_CSTR("request_id", txn->id),
        LOG_CSTR("trace_id", txn_trace_id(txn)), LOG_STR("client_ip", txn->client_ip),
        LOG_STR("method", method_name(txn->request.method)), LOG_STR("path", txn->request.path),
        LOG_STR("route", txn->route != NULL ? txn->route->resource : (struct str){0}),
        LOG_STR("mcp_method", call != NULL ? report_text(call->method) : (struct str){0}),
        LOG_STR("name", call != NULL ? report_text(call->name) : (struct str){0}),
        LOG_INT("status", status), LOG_CSTR("reason", txn->reason),
        LOG_CSTR("stage", stages_name(txn)), LOG_CSTR("detail", txn->detail),
        LOG_STR("issuer", identity != NULL ? identity->issuer : (struct str){0}),
        LOG_STR("subject", identity != NULL ? identity->subject : (struct str){0}),
        LOG_STR("client_id", identity != NULL ? identity->client : (struct str){0}),
        LOG_CSTR("token", txn->fingerprint[0] != '\0' ? txn->fingerprint : NULL),
        LOG_INT("upstream_status", txn->relay.status), LOG_INT("bytes", txn->relay.bytes),
        LOG_INT("duration_us", duration_us));
}

static void txn_end(struct txn *txn)
{
    relay_cancel(txn);
    leave_key_waiters(txn);
    limits_end(txn);
    txn_report(txn);
    list_unlink(&txn->run_node);
    list_unlink(&txn->node);
    txn->identity = identity_unref(txn->identity);
    worker_route_set_unref(txn->routes);
    txn->snapshot = snapshot_unref(txn->snapshot);
}

/* ---- what the server tells us ---- */

/* No memory for a transaction: what can be said without one. */
static void refuse_without_txn(struct worker *worker, struct exchange *exchange)
{
    struct reply reply = {.body = buf_make(REFUSED_MAX_BYTES)};
    worker_make_id(worker, worker->refused_id);
    reply_fill_refused(&reply, worker->refused_id, 503, "The gate is out of resources");
    metrics_request(worker->metrics, METRICS_NO_ROUTE, 503, "no_resources", 0);
    exchange_reply(exchange, &reply);
}

static enum server_next on_head(void *ctx, struct exchange *exchange)
{
    struct worker *worker = ctx;
    struct txn *txn = txn_new(worker, exchange);
    if (txn == NULL) {
        refuse_without_txn(worker, exchange);
        return SERVER_DONE;
    }
    if (stages_run(txn) == STEP_REPLY)
        return SERVER_DONE;
    return txn_is_parked(txn) ? SERVER_WAIT : SERVER_BODY;
}

static void on_complete(void *ctx, struct exchange *exchange)
{
    struct txn *txn = exchange_user(exchange);
    (void)ctx;
    if (txn == NULL)
        return;
    txn->body_ready = true;
    txn_mark(txn);
}

static void on_gone(void *ctx, struct exchange *exchange)
{
    struct txn *txn = exchange_user(exchange);
    (void)ctx;
    if (txn == NULL)
        return;
    shared_rate_cancel(&txn->ask);
    leave_key_waiters(txn);
    list_unlink(&txn->run_node);
    relay_cancel(txn);
    /* A refusal keeps its reason, whether or not the client stayed to read it. */
    if (txn->relay.status != 0)
        txn->reason = "client_gone";
}

static void on_too_large(void *ctx, struct exchange *exchange, struct reply *ret_reply)
{
    struct txn *txn = exchange_user(exchange);
    (void)ctx;
    reply_fill(txn,
               &(struct refusal){.status = 413,
                                 .reason = "body_too_large",
                                 .error = "request_too_large",
                                 .description = "The body is larger than this server accepts"},
               ret_reply);
    txn->replied = true;
}

static void on_no_memory(void *ctx, struct exchange *exchange, struct reply *ret_reply)
{
    struct txn *txn = exchange_user(exchange);
    (void)ctx;
    reply_fill(txn,
               &(struct refusal){.status = 503,
                                 .reason = "no_resources",
                                 .error = "temporarily_unavailable",
                                 .description = "The gate is out of resources"},
               ret_reply);
    txn->replied = true;
}

static void on_drained(void *ctx, struct exchange *exchange)
{
    (void)ctx;
    relay_drained(exchange_user(exchange));
}

static void on_end(void *ctx, struct exchange *exchange)
{
    struct txn *txn = exchange_user(exchange);
    (void)ctx;
    if (txn != NULL)
        txn_end(txn);
}

static void on_refused(void *ctx, struct str peer, unsigned status, const char *reason,
                       const char *description, struct reply *ret_reply)
{
    struct worker *worker = ctx;
    worker_make_id(worker, worker->refused_id);
    reply_fill_refused(ret_reply, worker->refused_id, status, description);
    metrics_request(worker->metrics, METRICS_NO_ROUTE, status, reason, 0);
    LOG(&worker->log, loop_clock(worker->loop), LOG_LEVEL_INFO, "request",
        LOG_CSTR("request_id", worker->refused_id), LOG_STR("client_ip", peer),
        LOG_INT("status", status), LOG_CSTR("reason", reason), LOG_CSTR("stage", "parser"));
}

/* Anybody can make handshakes fail, as fast as they like: all are counted, and one a second told.
 */
static void on_handshake(void *ctx, struct str peer, const char *outcome)
{
    struct worker *worker = ctx;
    struct str name = str_from_cstr(outcome);
    int64_t now = loop_now_ms(worker->loop);
    metrics_handshake(worker->metrics, outcome);
    /* Plain HTTP is refused as a request, and told as one. */
    if (str_eq(name, STR("full")) || str_eq(name, STR("resumed")) ||
        str_eq(name, STR("plain_http")))
        return;
    worker->handshakes_untold++;
    if (now < worker->handshake_log_due_ms)
        return;
    LOG(&worker->log, loop_clock(worker->loop), LOG_LEVEL_INFO, "handshake_failed",
        LOG_STR("client_ip", peer), LOG_CSTR("reason", outcome),
        LOG_INT("failed", worker->handshakes_untold));
    worker->handshake_log_due_ms = now + HANDSHAKE_LOG_MS;
    worker->handshakes_untold = 0;
}

const struct server_handler worker_server_handler = {
    .head = on_head,
    .complete = on_complete,
    .gone = on_gone,
    .too_large = on_too_large,
    .no_memory = on_no_memory,
    .drained = on_drained,
    .end = on_end,
    .refused = on_refused,
    .handshake = on_handshake,
};

/* ---- keys ---- */

bool worker_park_for_keys(struct worker *worker, struct txn *txn, size_t issuer_index)
{
    const struct jwks_config *jwks = &txn->snapshot->data->jwks;
    if (issuer_index >= txn->snapshot->data->n_issuers)
        return false;
    struct jwks_status *status = txn->snapshot->statuses[issuer_index];
    if (worker->n_key_waiters >= WORKER_MAX_KEY_WAITERS || worker->draining ||
        !jwks_status_may_help(status, txn->snapshot->keysets[issuer_index],
                              jwks->unknown_kid_cooldown_ms, loop_now_ms(worker->loop)))
        return false;
    if (!atomic_load(&status->in_flight) && !atomic_exchange(&status->requested, true))
        worker->letters.want_keys(worker->letters.fleet, status);
    txn->key_waited = true;
    txn->key_status = status;
    list_append(&worker->key_waiters, &txn->key_node);
    worker->n_key_waiters++;
    (void)loop_timer_in(worker->loop, &txn->key_timer, jwks->timeout_ms + KEY_WAIT_EXTRA_MS);
    return true;
}

/* A fetch has ended, or the policy has changed. Those that wait for another issuer's fetch go on
 * waiting: each has only one wait. */
void worker_wake_key_waiters(struct worker *worker)
{
    LIST_FOREACH (node, &worker->key_waiters) {
        struct txn *txn = LIST_ENTRY(node, struct txn, key_node);
        if (txn->snapshot->config != worker->snapshot->config ||
            !jwks_status_is_pending(txn->key_status))
            go_on_after_keys(txn);
    }
}
