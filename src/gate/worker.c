/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/worker.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "gate/relay.h"
#include "gate/reply.h"
#include "gate/stages.h"
#include "policy/forwarded.h"

/* A parked request waits for the fetch that is under way, and this much longer. */
#define KEY_WAIT_EXTRA_MS 1000
/* How often, and after what crowd, freed memory is given back. */
#define TRIM_INTERVAL_MS 1000
#define TRIM_MIN_PEAK 16
#define TRIM_AGAIN_TICKS 6

/* ---- upstream pools of one config ---- */

static struct route_set *route_set_free(struct route_set *routes)
{
    for (size_t i = 0; routes->upstreams != NULL && i < routes->n; i++)
        (void)upstream_free(routes->upstreams[i]);
    free(routes->upstreams);
    (void)config_unref(routes->config);
    free(routes);
    return NULL;
}

static void route_set_unref(struct route_set *routes)
{
    if (routes != NULL && --routes->refs == 0)
        (void)route_set_free(routes);
}

static struct upstream *make_upstream(struct upstream_engine *engine,
                                      const struct upstream_config *config)
{
    return upstream_new(engine, &(struct upstream_options){
                                    .origin = config->origin.ptr,
                                    .tls = config->tls,
                                    .ca_file = config->ca_file.ptr,
                                    .client_certificate = config->client_certificate.ptr,
                                    .client_key = config->client_key.ptr,
                                    .connect_timeout_ms = config->connect_timeout_ms,
                                    .response_timeout_ms = config->response_timeout_ms,
                                    .idle_timeout_ms = config->idle_timeout_ms,
                                    .max_connections = config->max_connections,
                                });
}

static struct route_set *route_set_new(struct upstream_engine *engine, struct config *config)
{
    const struct config_data *data = config_get(config);
    struct route_set *routes = calloc(1, sizeof(*routes));
    if (routes == NULL)
        return NULL;
    routes->refs = 1;
    routes->config = config_ref(config);
    routes->n = data->n_routes;
    routes->upstreams = calloc(routes->n, sizeof(struct upstream *));
    if (routes->upstreams == NULL)
        return route_set_free(routes);
    for (size_t i = 0; i < routes->n; i++) {
        routes->upstreams[i] = make_upstream(engine, &data->routes[i].upstream);
        if (routes->upstreams[i] == NULL)
            return route_set_free(routes);
    }
    return routes;
}

/* ---- transactions ---- */

void worker_make_id(struct worker *worker, char ret_id[TXN_ID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < TXN_ID_LEN; i += 16) {
        uint64_t bits = rng_next(&worker->rng);
        for (size_t j = 0; j < 16; j++)
            ret_id[i + j] = hex[(bits >> (4 * j)) & 15];
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
        route_set_unref(txn->routes);
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
    list_append(&worker->txns, &txn->node);
    exchange_set_user(exchange, txn);
    return txn;
}

/* One line per request, one count: from the reap step, when everything is over. */
static void txn_report(struct txn *txn)
{
    struct worker *worker = txn->worker;
    const struct identity *identity = txn->identity;
    const struct clock *clock = loop_clock(worker->loop);
    int64_t duration_us = clock->mono_us - txn->start_us;
    /* 499, as nginx has it: the client left before there was an answer. */
    unsigned status = txn->status != 0 ? txn->status : 499;
    size_t label = txn->route != NULL ? txn->snapshot->labels[txn->route->index] : METRICS_NO_ROUTE;
    if (exchange_was_refused(txn->exchange))
        return; /* on_refused() has reported it */
    metrics_request(worker->metrics, label, status, txn->reason, duration_us);
    LOG(&worker->log, clock, LOG_LEVEL_INFO, "request", LOG_CSTR("request_id", txn->id),
        LOG_STR("client_ip", txn->client_ip), LOG_STR("method", method_name(txn->request.method)),
        LOG_STR("path", txn->request.path),
        LOG_STR("route", txn->route != NULL ? txn->route->resource : (struct str){0}),
        LOG_INT("status", status), LOG_CSTR("reason", txn->reason),
        LOG_CSTR("stage", stages_name(txn)), LOG_CSTR("detail", txn->detail),
        LOG_STR("issuer", identity != NULL ? identity->issuer : (struct str){0}),
        LOG_STR("subject", identity != NULL ? identity->subject : (struct str){0}),
        LOG_STR("client_id", identity != NULL ? identity->client : (struct str){0}),
        LOG_CSTR("token", identity != NULL ? identity->fingerprint : NULL),
        LOG_INT("upstream_status", txn->relay.status), LOG_INT("bytes", txn->relay.bytes),
        LOG_INT("duration_us", duration_us));
}

static void txn_end(struct txn *txn)
{
    relay_cancel(txn);
    leave_key_waiters(txn);
    txn_report(txn);
    list_unlink(&txn->run_node);
    list_unlink(&txn->node);
    txn->identity = identity_unref(txn->identity);
    route_set_unref(txn->routes);
    txn->snapshot = snapshot_unref(txn->snapshot);
}

/* ---- what the server tells us ---- */

static enum server_next on_head(void *ctx, struct exchange *exchange)
{
    struct worker *worker = ctx;
    struct txn *txn = txn_new(worker, exchange);
    if (txn == NULL) {
        struct reply reply = {.status = 503, .body = buf_make(0)};
        exchange_reply(exchange, &reply);
        return SERVER_DONE;
    }
    if (stages_run(txn) == STEP_REPLY)
        return SERVER_DONE;
    return list_is_linked(&txn->key_node) ? SERVER_WAIT : SERVER_BODY;
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

static const struct server_handler server_handler = {
    .head = on_head,
    .complete = on_complete,
    .gone = on_gone,
    .too_large = on_too_large,
    .drained = on_drained,
    .end = on_end,
    .refused = on_refused,
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
static void wake_key_waiters(struct worker *worker)
{
    LIST_FOREACH (node, &worker->key_waiters) {
        struct txn *txn = LIST_ENTRY(node, struct txn, key_node);
        if (txn->snapshot->config != worker->snapshot->config ||
            !jwks_status_is_pending(txn->key_status))
            go_on_after_keys(txn);
    }
}

static void take_config(struct worker *worker, struct snapshot *snapshot)
{
    struct route_set *routes = route_set_new(worker->engine, snapshot->config);
    if (routes == NULL) {
        LOG(&worker->log, loop_clock(worker->loop), LOG_LEVEL_ERROR, "reload_failed",
            LOG_CSTR("reason", "out of memory"));
        (void)snapshot_unref(snapshot);
        return;
    }
    route_set_unref(worker->routes);
    worker->routes = routes;
    token_cache_clear(worker->cache);
    (void)snapshot_unref(worker->snapshot);
    worker->snapshot = snapshot;
    worker->log.level = snapshot->data->log_level;
}

static void take_keys(struct worker *worker, struct snapshot *snapshot)
{
    (void)snapshot_unref(worker->snapshot);
    worker->snapshot = snapshot;
    token_cache_drop_missing_keys(worker->cache, snapshot->keysets);
}

static void deliver_snapshot(void *ctx, void *arg)
{
    struct worker *worker = ctx;
    struct snapshot *snapshot = arg;
    if (snapshot == worker->snapshot)
        (void)snapshot_unref(snapshot);
    else if (snapshot->config == worker->snapshot->config)
        take_keys(worker, snapshot);
    else
        take_config(worker, snapshot);
    wake_key_waiters(worker);
}

void worker_post_snapshot(struct worker *worker, struct snapshot *snapshot)
{
    if (mailbox_post(worker->mailbox, deliver_snapshot, worker, snapshot) < 0)
        (void)snapshot_unref(snapshot);
}

/* ---- draining ---- */

static void deliver_drain(void *ctx, void *arg)
{
    struct worker *worker = ctx;
    (void)arg;
    worker->draining = true;
    server_drain(worker->server);
    LIST_FOREACH (node, &worker->txns) {
        relay_finish_stream(LIST_ENTRY(node, struct txn, node));
    }
    (void)loop_timer_in(worker->loop, &worker->drain_timer,
                        worker->snapshot->data->limits.drain_timeout_ms);
    worker->letters.drain_begun(worker->letters.fleet);
}

static void deliver_stop(void *ctx, void *arg)
{
    struct worker *worker = ctx;
    (void)arg;
    worker->stop = true;
}

static void on_drain_timer(struct timer *timer)
{
    CONTAINER_OF(timer, struct worker, drain_timer)->stop = true;
}

void worker_post_drain(struct worker *worker)
{
    (void)mailbox_post(worker->mailbox, deliver_drain, worker, NULL);
}

void worker_post_stop(struct worker *worker)
{
    (void)mailbox_post(worker->mailbox, deliver_stop, worker, NULL);
}

/* ---- memory ---- */

/* After a burst glibc keeps what was freed; give it back once the crowd has left, and once more
 * when the idle connections to the upstreams have expired, too. */
static void on_trim_timer(struct timer *timer)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, trim_timer);
    uint32_t now = server_stats(worker->server).connections;
    if (worker->peak_connections >= TRIM_MIN_PEAK && now <= worker->peak_connections / 2) {
        (void)malloc_trim(0);
        worker->peak_connections = now;
        worker->trim_again_in = TRIM_AGAIN_TICKS;
    } else if (worker->trim_again_in > 0 && --worker->trim_again_in == 0) {
        (void)malloc_trim(0);
    }
    (void)loop_timer_in(worker->loop, &worker->trim_timer, TRIM_INTERVAL_MS);
}

static void note_connections(struct worker *worker, uint32_t now)
{
    if (now > worker->peak_connections)
        worker->peak_connections = now;
}

/* ---- the loop turn ---- */

static void run_marked(struct worker *worker)
{
    LIST_FOREACH (node, &worker->marked) {
        struct txn *txn = LIST_ENTRY(node, struct txn, run_node);
        list_unlink(node);
        if (txn->replied || exchange_is_gone(txn->exchange))
            continue;
        if (stages_run(txn) == STEP_WAIT && !txn->body_ready && !list_is_linked(&txn->key_node))
            exchange_continue(txn->exchange);
    }
}

static void publish_counters(struct worker *worker)
{
    struct metrics *metrics = worker->metrics;
    struct server_stats server = server_stats(worker->server);
    struct token_cache_stats cache = token_cache_stats(worker->cache);
    note_connections(worker, server.connections);
    METRICS_SET(metrics, connections, server.connections);
    METRICS_SET(metrics, streams, server.streams);
    METRICS_SET(metrics, accepted, server.accepted);
    METRICS_SET(metrics, accept_faults, server.accept_faults);
    METRICS_SET(metrics, cache_hits, cache.hits);
    METRICS_SET(metrics, cache_misses, cache.misses);
    METRICS_SET(metrics, cache_evictions, cache.evictions);
    METRICS_SET(metrics, stale_accepts, worker->stale_accepts);
    METRICS_SET(metrics, key_waiters, worker->n_key_waiters);
    METRICS_SET(metrics, log_lost, worker->log.dropped_total);
    METRICS_SET(metrics, upstream_connects, upstream_engine_stats(worker->engine).connects);
    METRICS_SET(metrics, upstream_reuses, upstream_engine_stats(worker->engine).reuses);
}

static void turn(struct worker *worker)
{
    int wait_ms = list_is_empty(&worker->marked) ? server_wait_hint(worker->server) : 0;
    loop_turn(worker->loop, wait_ms);
    run_marked(worker);
    server_run(worker->server);
    /* What became complete inside libmicrohttpd goes up in the same turn. */
    run_marked(worker);
    publish_counters(worker);
    log_flush(&worker->log);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    while (!worker->stop && !(worker->draining && server_is_idle(worker->server)))
        turn(worker);
    worker->letters.ended(worker->letters.fleet);
    return NULL;
}

/* ---- life ---- */

int worker_init(struct worker *worker, const struct worker_options *options)
{
    const struct limits_config *limits = &options->snapshot->data->limits;
    list_init(&worker->txns);
    list_init(&worker->marked);
    list_init(&worker->key_waiters);
    worker->metrics = options->metrics;
    worker->log = options->log;
    worker->letters = options->letters;
    worker->drain_timer.fn = on_drain_timer;
    worker->trim_timer.fn = on_trim_timer;
    worker->snapshot = snapshot_ref(options->snapshot);
    worker->loop = loop_new();
    if (worker->loop == NULL || rng_init(&worker->rng) < 0)
        return -ENOMEM;
    worker->mailbox = mailbox_new(worker->loop);
    worker->verifier = jws_verifier_make();
    worker->cache = token_cache_make(WORKER_CACHE_TOKENS, WORKER_CACHE_BYTES);
    worker->engine = upstream_engine_new(worker->loop);
    worker->server = server_new(worker->loop, &(struct server_options){
                                                  .handler = &server_handler,
                                                  .ctx = worker,
                                                  .header_bytes = limits->header_bytes,
                                                  .max_connections = options->max_connections,
                                                  .client_timeout_ms = limits->client_timeout_ms,
                                              });
    if (worker->mailbox == NULL || worker->verifier == NULL || worker->cache == NULL ||
        worker->engine == NULL || worker->server == NULL)
        return -ENOMEM;
    worker->routes = route_set_new(worker->engine, options->snapshot->config);
    if (worker->routes == NULL ||
        loop_timer_in(worker->loop, &worker->trim_timer, TRIM_INTERVAL_MS) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < options->n_listen_fds; i++) {
        int r = server_listen(worker->server, options->listen_fds[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

int worker_start(struct worker *worker)
{
    int r = pthread_create(&worker->thread, NULL, worker_main, worker);
    worker->thread_runs = r == 0;
    return -r;
}

void worker_free(struct worker *worker)
{
    if (worker->thread_runs)
        (void)pthread_join(worker->thread, NULL);
    worker->mailbox = mailbox_free(worker->mailbox);
    worker->server = server_free(worker->server);
    route_set_unref(worker->routes);
    worker->engine = upstream_engine_free(worker->engine);
    worker->cache = token_cache_free(worker->cache);
    worker->verifier = jws_verifier_free(worker->verifier);
    worker->snapshot = snapshot_unref(worker->snapshot);
    worker->loop = loop_free(worker->loop);
    log_close(&worker->log);
}
