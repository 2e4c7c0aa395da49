/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/worker.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "gate/relay.h"
#include "gate/stages.h"
#include "gate/worker_int.h"

/* How often, and after what crowd, freed memory is given back. */
#define TRIM_INTERVAL_MS 1000
#define TRIM_MIN_PEAK 16
#define TRIM_AGAIN_TICKS 4

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

void worker_route_set_unref(struct route_set *routes)
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

/* ---- listeners ---- */

/* New connections get new certificates at once. An address that is new, gone, or changed between
 * plain and TLS stays as it is until a restart; the fleet has said so. */
static void take_certificates(struct worker *worker, const struct config_data *data)
{
    for (size_t i = 0; i < worker->n_listens; i++) {
        struct tls_context *tls = config_tls_of(data, worker->listens[i].text);
        if (tls != NULL)
            server_set_tls(worker->server, worker->listen_fds[i], tls);
    }
}

static int open_listeners(struct worker *worker, const struct worker_options *options)
{
    worker->listens = options->listens;
    worker->n_listens = options->n_listens;
    worker->listen_fds = calloc(options->n_listens, sizeof(int));
    if (worker->listen_fds == NULL)
        return -ENOMEM;
    int r = 0;
    for (size_t i = 0; r == 0 && i < options->n_listens; i++) {
        worker->listen_fds[i] = options->listen_fds[i];
        r = server_listen(worker->server, options->listen_fds[i], options->listens[i].tls);
    }
    return r;
}

/* ---- the shared store ---- */

/* Every worker has a connection of its own; the log has the first that fails, and the first that
 * works again. */
static void on_store_changed(void *ctx, bool works, const char *reason)
{
    struct worker *worker = ctx;
    const struct clock *clock = loop_clock(worker->loop);
    bool was_down = atomic_exchange(&worker->limits->store_is_down, !works);
    if (works && was_down)
        LOG(&worker->log, clock, LOG_LEVEL_INFO, "limits_store_up",
            LOG_CSTR("key", "limits.store"));
    if (!works && !was_down)
        LOG(&worker->log, clock, LOG_LEVEL_ERROR, "limits_store_down",
            LOG_CSTR("key", "limits.store"), LOG_CSTR("reason", reason));
}

static int open_store(struct worker *worker)
{
    const struct store_config *config = &worker->snapshot->data->limits.store;
    worker->store = shared_rate_free(worker->store);
    METRICS_SET(worker->metrics, store_works, 0);
    if (!config->on)
        return 0;
    worker->store = shared_rate_new(&(struct shared_rate_options){
        .loop = worker->loop,
        .mailbox = worker->mailbox,
        .path = config->path,
        .host = config->host,
        .port = config->port,
        .user = config->user,
        .password = config->password,
        .db = config->db,
        .timeout_ms = config->timeout_ms,
        .changed = on_store_changed,
        .ctx = worker,
    });
    return worker->store != NULL ? 0 : -ENOMEM;
}

/* ---- snapshots ---- */

static void take_config(struct worker *worker, struct snapshot *snapshot)
{
    struct route_set *routes = route_set_new(worker->engine, snapshot->config);
    if (routes == NULL) {
        LOG(&worker->log, loop_clock(worker->loop), LOG_LEVEL_ERROR, "reload_failed",
            LOG_CSTR("reason", "out of memory"));
        (void)snapshot_unref(snapshot);
        return;
    }
    take_certificates(worker, snapshot->data);
    worker_route_set_unref(worker->routes);
    worker->routes = routes;
    upstream_engine_forget(worker->engine);
    token_cache_clear(worker->cache);
    bool same_store =
        store_config_eq(&worker->snapshot->data->limits.store, &snapshot->data->limits.store);
    (void)snapshot_unref(worker->snapshot);
    worker->snapshot = snapshot;
    bool lacks_store = snapshot->data->limits.store.on && worker->store == NULL;
    if ((!same_store || lacks_store) && open_store(worker) < 0)
        on_store_changed(worker, false, "out of memory");
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
    worker_wake_key_waiters(worker);
}

int worker_post_snapshot(struct worker *worker, struct snapshot *snapshot)
{
    int r = mailbox_post(worker->mailbox, deliver_snapshot, worker, snapshot);
    if (r < 0)
        (void)snapshot_unref(snapshot);
    return r;
}

/* ---- signs of life ---- */

static void deliver_ping(void *ctx, void *arg)
{
    struct worker *worker = ctx;
    (void)arg;
    worker->letters.alive(worker->letters.fleet, worker);
}

int worker_post_ping(struct worker *worker)
{
    return mailbox_post(worker->mailbox, deliver_ping, worker, NULL);
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

/* ---- the log ---- */

static void on_log_timer(struct timer *timer)
{
    log_flush(&CONTAINER_OF(timer, struct worker, log_timer)->log);
}

/* Now, if it is worth it or urgent; else soon. */
static void write_log(struct worker *worker)
{
    struct log *log = &worker->log;
    if (log_is_due(log))
        log_flush(log);
    if (log->pending.len > 0 && !timer_is_armed(&worker->log_timer) &&
        loop_timer_in(worker->loop, &worker->log_timer, LOG_DELAY_MS) < 0)
        log_flush(log);
}

/* Once: nothing that happens later makes it better or worse. */
static void warn_unmeasured(struct worker *worker)
{
    if (worker->warned_unmeasured)
        return;
    worker->warned_unmeasured = true;
    LOG(&worker->log, loop_clock(worker->loop), LOG_LEVEL_WARN, "readers_unmeasured",
        LOG_CSTR("reason", "the kernel does not say what slow readers take (SIOCOUTQ): "
                           "limits.min_rate does not hold"));
}

/* ---- the loop turn ---- */

static void run_txn(struct txn *txn)
{
    list_unlink(&txn->run_node);
    if (txn->replied || exchange_is_gone(txn->exchange))
        return;
    if (stages_run(txn) == STEP_WAIT && !txn->body_ready && !txn_is_parked(txn))
        exchange_continue(txn->exchange);
}

static void run_marked(struct worker *worker)
{
    LIST_FOREACH (node, &worker->marked) {
        run_txn(LIST_ENTRY(node, struct txn, run_node));
    }
}

/* With what this turn has left for first checks; known tokens have had theirs. One at least, and in
 * a turn that was long a part of its time: else those who are known could keep out all others. */
static void run_deferred(struct worker *worker)
{
    if (list_is_empty(&worker->deferred))
        return;
    const unsigned before = worker->n_first_checks;
    const int64_t now_us = clock_read().mono_us;
    const int64_t until_us =
        now_us + (now_us - loop_clock(worker->loop)->mono_us) / WORKER_FIRST_CHECK_PART;
    while (!list_is_empty(&worker->deferred) &&
           (worker->n_first_checks < WORKER_FIRST_CHECKS || worker->n_first_checks == before ||
            clock_read().mono_us < until_us))
        run_txn(LIST_ENTRY(list_first(&worker->deferred), struct txn, run_node));
}

static void publish_store(struct metrics *metrics, const struct shared_rate *store)
{
    struct shared_rate_stats stats = shared_rate_stats(store);
    METRICS_SET(metrics, store_works, stats.works);
    METRICS_SET(metrics, store_answers, stats.answers);
    METRICS_SET(metrics, store_failures, stats.failures);
    METRICS_SET(metrics, store_latency_us, stats.latency_us);
}

static void publish_counters(struct worker *worker)
{
    struct metrics *metrics = worker->metrics;
    struct server_stats server = server_stats(worker->server);
    struct token_cache_stats cache = token_cache_stats(worker->cache);
    note_connections(worker, server.connections);
    if (server.readers_unmeasured)
        warn_unmeasured(worker);
    METRICS_SET(metrics, connections, server.connections);
    METRICS_SET(metrics, streams, server.streams);
    METRICS_SET(metrics, accepted, server.accepted);
    METRICS_SET(metrics, accept_faults, server.accept_faults);
    METRICS_SET(metrics, refused_peers, server.refused_peers);
    METRICS_SET(metrics, cache_hits, cache.hits);
    METRICS_SET(metrics, cache_misses, cache.misses);
    METRICS_SET(metrics, cache_evictions, cache.evictions);
    if (worker->store != NULL)
        publish_store(metrics, worker->store);
    METRICS_SET(metrics, stale_accepts, worker->stale_accepts);
    METRICS_SET(metrics, key_waiters, worker->n_key_waiters);
    METRICS_SET(metrics, log_skipped, worker->log_skipped);
    METRICS_SET(metrics, log_lost, worker->log.dropped_total);
    METRICS_SET(metrics, upstream_connects, upstream_engine_stats(worker->engine).connects);
    METRICS_SET(metrics, upstream_reuses, upstream_engine_stats(worker->engine).reuses);
}

static void turn(struct worker *worker)
{
    const bool has_work = !list_is_empty(&worker->marked) || !list_is_empty(&worker->deferred);
    worker->n_first_checks = 0;
    loop_turn(worker->loop, has_work ? 0 : server_wait_hint(worker->server));
    run_marked(worker);
    server_run(worker->server);
    /* What became complete inside libmicrohttpd goes up in the same turn. */
    run_marked(worker);
    run_deferred(worker);
    publish_counters(worker);
    write_log(worker);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    (void)pthread_setname_np(pthread_self(), "worker"); /* for top -H and debuggers */
    while (!worker->stop && !(worker->draining && server_is_idle(worker->server)))
        turn(worker);
    worker_post_spans(worker);
    log_flush(&worker->log); /* before those of the fleet about our end */
    worker->letters.ended(worker->letters.fleet, worker);
    return NULL;
}

/* ---- life ---- */

int worker_init(struct worker *worker, const struct worker_options *options)
{
    const struct limits_config *limits = &options->snapshot->data->limits;
    list_init(&worker->txns);
    list_init(&worker->marked);
    list_init(&worker->deferred);
    list_init(&worker->key_waiters);
    worker->metrics = options->metrics;
    worker->limits = options->limits;
    limits_count_peers(options->limits, limits->ip_connections, &worker->peers);
    worker->audit = options->audit;
    worker->audit_record = buf_make(AUDIT_MAX_LINE_BYTES);
    worker->log = options->log;
    worker->letters = options->letters;
    worker->drain_timer.fn = on_drain_timer;
    worker->trim_timer.fn = on_trim_timer;
    worker->log_timer.fn = on_log_timer;
    worker->spans_timer.fn = worker_on_spans_timer;
    worker->spans.spans = buf_make(TRACE_BATCH_BYTES);
    worker->trace_room = options->trace_room;
    worker->snapshot = snapshot_ref(options->snapshot);
    worker->loop = loop_new();
    if (worker->loop == NULL || rng_init(&worker->rng) < 0)
        return -ENOMEM;
    worker->mailbox = mailbox_new(worker->loop);
    worker->verifier = jws_verifier_make();
    worker->hasher = hasher_make();
    worker->cache = token_cache_make(WORKER_CACHE_TOKENS, WORKER_CACHE_BYTES);
    worker->engine = upstream_engine_new(worker->loop);
    worker->server = server_new(
        worker->loop, &(struct server_options){
                          .peers = limits->ip_connections > 0 ? &worker->peers.peers : NULL,
                          .handler = &worker_server_handler,
                          .ctx = worker,
                          .header_bytes = limits->header_bytes,
                          .max_connections = options->max_connections,
                          .client_timeout_ms = limits->client_timeout_ms,
                          .min_rate_bytes = limits->min_rate_bytes,
                      });
    if (worker->mailbox == NULL || worker->verifier == NULL || worker->hasher == NULL ||
        worker->cache == NULL || worker->engine == NULL || worker->server == NULL)
        return -ENOMEM;
    worker->routes = route_set_new(worker->engine, options->snapshot->config);
    if (worker->routes == NULL || open_store(worker) < 0 ||
        loop_timer_in(worker->loop, &worker->trim_timer, TRIM_INTERVAL_MS) < 0)
        return -ENOMEM;
    return open_listeners(worker, options);
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
    worker->store = shared_rate_free(worker->store);
    worker->mailbox = mailbox_free(worker->mailbox);
    /* That of a policy that was still in a letter. */
    worker->store = shared_rate_free(worker->store);
    worker->server = server_free(worker->server);
    worker_route_set_unref(worker->routes);
    worker->engine = upstream_engine_free(worker->engine);
    worker->cache = token_cache_free(worker->cache);
    worker->verifier = jws_verifier_free(worker->verifier);
    worker->hasher = hasher_free(worker->hasher);
    worker->snapshot = snapshot_unref(worker->snapshot);
    free(worker->listen_fds);
    worker->loop = loop_free(worker->loop);
    log_close(&worker->log);
    buf_free(&worker->audit_record);
    buf_free(&worker->spans.spans);
}
