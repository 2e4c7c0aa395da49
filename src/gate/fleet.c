/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/fleet.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/footprint.h"
#include "base/rand.h"
#include "base/secret.h"
#include "gate/fleet_int.h"
#include "net/listen.h"

/* Descriptors that are not for connections: standard streams, listeners, fetches, and what every
 * worker needs for itself. Each connection may need two: for the client, and for the upstream. */
#define RESERVED_FDS 24
#define RESERVED_FDS_PER_WORKER 8
#define MIN_CONNECTIONS 4
#define AUDIT_CLOSE_WAIT_MS 2000 /* for the last records */
#define AUDIT_LOOK_MS 1000

/* ---- letters from the workers ---- */

static void deliver_want_keys(void *ctx, void *arg)
{
    struct jwks_status *status = arg;
    fleet_want_keys(ctx, status);
    (void)jwks_status_unref(status);
}

static void on_want_keys(void *ctx, struct jwks_status *status)
{
    struct fleet *fleet = ctx;
    if (mailbox_post(fleet->mailbox, deliver_want_keys, fleet, jwks_status_ref(status)) < 0) {
        atomic_store(&status->requested, false);
        (void)jwks_status_unref(status);
    }
}

static void deliver_drain_begun(void *ctx, void *arg)
{
    struct fleet *fleet = ctx;
    (void)arg;
    /* Nobody accepts any more: new connections are refused instead of left hanging. */
    if (++fleet->n_drain_begun == fleet->n_workers)
        fleet_close_listeners(fleet);
}

static void on_drain_begun(void *ctx)
{
    struct fleet *fleet = ctx;
    (void)mailbox_post(fleet->mailbox, deliver_drain_begun, fleet, NULL);
}

static void deliver_ended(void *ctx, void *arg)
{
    struct fleet *fleet = ctx;
    struct worker *worker = arg;
    if (fleet->n_workers == 0) /* they are gone */
        return;
    fleet->n_ended++;
    worker->has_ended = true;
    fleet_service_alive(fleet, worker); /* it owes nobody anything any more */
}

static void on_ended(void *ctx, struct worker *worker)
{
    struct fleet *fleet = ctx;
    (void)mailbox_post(fleet->mailbox, deliver_ended, fleet, worker);
}

static void deliver_alive(void *ctx, void *arg)
{
    struct fleet *fleet = ctx;
    if (fleet->n_workers > 0)
        fleet_service_alive(fleet, arg);
}

static void on_alive(void *ctx, struct worker *worker)
{
    struct fleet *fleet = ctx;
    (void)mailbox_post(fleet->mailbox, deliver_alive, fleet, worker);
}

/* ---- signals ---- */

static void on_stop_signal(struct fleet *fleet)
{
    bool again = fleet->draining;
    fleet->draining = true;
    fleet->stop_at_once = again;
    if (!again)
        fleet->drain_end_ms =
            loop_now_ms(fleet->loop) + fleet->snapshot->data->limits.drain_timeout_ms;
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_INFO, "stop_signal",
        LOG_CSTR("action", again ? "stop at once" : "drain"));
    for (unsigned i = 0; i < fleet->n_workers; i++) {
        if (again)
            worker_post_stop(&fleet->workers[i]);
        else
            worker_post_drain(&fleet->workers[i]);
    }
    if (!again)
        fleet_service_stopping(fleet);
}

static void say_audit_head(struct fleet *fleet)
{
    uint64_t seq;
    char hash[AUDIT_HASH_HEX_LEN + 1];
    if (fleet->audit == NULL)
        return;
    audit_head(fleet->audit, &seq, hash);
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_INFO, "audit_head", LOG_INT("seq", seq),
        LOG_CSTR("hash", hash));
}

/* After a rotation; the head of the chain goes into the log, as a witness outside of the file. */
static void reopen_files(struct fleet *fleet)
{
    fleet_reopen_log(fleet);
    if (fleet->audit == NULL)
        return;
    say_audit_head(fleet);
    audit_reopen(fleet->audit);
}

static void on_signal(struct watch *watch, uint32_t events)
{
    struct fleet *fleet = CONTAINER_OF(watch, struct fleet, signal_watch);
    struct signalfd_siginfo info;
    (void)events;
    while (read(fleet->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP && !fleet->draining) {
            reopen_files(fleet);
            fleet_reload(fleet);
        }
        if (info.ssi_signo == SIGUSR1)
            reopen_files(fleet);
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            on_stop_signal(fleet);
    }
}

/* Blocked in every thread, read from a descriptor in this one. */
static int open_signals(struct fleet *fleet)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r != 0)
        return -r;
    fleet->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fleet->signal_fd < 0)
        return -errno;
    fleet->signal_watch.fn = on_signal;
    return loop_watch(fleet->loop, &fleet->signal_watch, fleet->signal_fd, EPOLLIN);
}

/* ---- start ---- */

static const char *audit_fault_text(int fault)
{
    if (fault == -EBUSY)
        return "another process writes this file";
    if (fault == -EBADMSG)
        return "the file is something else than an audit log";
    return strerrordesc_np(-fault);
}

/* Looks once a second whether the audit log has begun to fail, or to work again. */
static void on_audit_timer(struct timer *timer)
{
    struct fleet *fleet = CONTAINER_OF(timer, struct fleet, audit_timer);
    const struct audit_stats stats = audit_stats(fleet->audit);
    if (stats.failing != fleet->audit_failing) {
        fleet->audit_failing = stats.failing;
        LOG(&fleet->log, loop_clock(fleet->loop), stats.failing ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
            stats.failing ? "audit_failing" : "audit_works_again", LOG_INT("lost", stats.lost),
            LOG_CSTR("reason",
                     stats.failing && stats.fault != 0 ? audit_fault_text(stats.fault) : NULL));
    }
    (void)loop_timer_in(fleet->loop, timer, AUDIT_LOOK_MS);
}

static int open_audit(struct fleet *fleet)
{
    const struct str file = fleet->start.audit_file;
    if (!str_is_set(file))
        return 0;
    int r = audit_open(file.ptr, &fleet->audit);
    if (r < 0) {
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_ERROR, "audit_open_failed",
            LOG_CSTR("key", "audit.file"), LOG_STR("file", file),
            LOG_CSTR("reason", audit_fault_text(r)));
        return r;
    }
    fleet->audit_timer.fn = on_audit_timer;
    return loop_timer_in(fleet->loop, &fleet->audit_timer, AUDIT_LOOK_MS);
}

static uint32_t connections_per_worker(const struct config_data *data, uint64_t nofile)
{
    uint64_t reserved = RESERVED_FDS + (uint64_t)data->workers * RESERVED_FDS_PER_WORKER;
    uint64_t possible = nofile > reserved ? (nofile - reserved) / 2 : 0;
    uint64_t wanted = data->limits.connections > 0 ? data->limits.connections : possible;
    uint64_t each = (wanted < possible ? wanted : possible) / data->workers;
    if (each < MIN_CONNECTIONS && data->limits.connections == 0)
        each = MIN_CONNECTIONS;
    return (uint32_t)(each > 0 ? each : 1);
}

static int start_workers(struct fleet *fleet)
{
    const struct config_data *data = config_get(fleet->options.config);
    int listen_fds[CONFIG_MAX_LISTENS];
    for (size_t i = 0; i < fleet->n_listens; i++)
        listen_fds[i] = fleet->listens[i].fd;
    uint32_t connections = connections_per_worker(data, fleet->nofile);
    fleet->connections_limit = (uint64_t)connections * data->workers;
    fleet->workers = calloc(data->workers, sizeof(*fleet->workers));
    fleet->metrics = calloc(data->workers, sizeof(struct metrics *));
    if (fleet->workers == NULL || fleet->metrics == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < data->workers; i++) {
        fleet->metrics[i] = calloc(1, sizeof(struct metrics));
        if (fleet->metrics[i] == NULL)
            return -ENOMEM;
        fleet->n_workers++;
        struct log log = fleet_make_log(data, &fleet->options.service);
        log_move(&log, fleet->log_fd);
        int r = worker_init(&fleet->workers[i], &(struct worker_options){
                                                    .snapshot = fleet->snapshot,
                                                    .metrics = fleet->metrics[i],
                                                    .limits = fleet->limits,
                                                    .audit = fleet->audit,
                                                    .trace_room = &fleet->trace_room,
                                                    .log = log,
                                                    .listens = fleet->start.listens,
                                                    .listen_fds = listen_fds,
                                                    .n_listens = fleet->n_listens,
                                                    .max_connections = connections,
                                                    .letters = {.want_keys = on_want_keys,
                                                                .spans = fleet_on_spans,
                                                                .drain_begun = on_drain_begun,
                                                                .alive = on_alive,
                                                                .ended = on_ended,
                                                                .fleet = fleet},
                                                });
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < fleet->n_workers; i++) {
        int r = worker_start(&fleet->workers[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static void say_started(struct fleet *fleet)
{
    const struct config_data *data = config_get(fleet->options.config);
    const struct clock *clock = loop_clock(fleet->loop);
    LOG(&fleet->log, clock, LOG_LEVEL_INFO, "started", LOG_CSTR("version", PORTCULLIS_VERSION),
        LOG_INT("pid", getpid()), LOG_INT("workers", data->workers),
        LOG_INT("routes", data->n_routes), LOG_STR("digest", data->digest));
    for (size_t i = 0; i < data->n_listens; i++)
        LOG(&fleet->log, clock, LOG_LEVEL_INFO, "listening",
            LOG_STR("address", data->listens[i].text),
            LOG_BOOL("tls", data->listens[i].tls != NULL),
            LOG_CSTR("from", fleet->listens[i].inherited ? "the service manager" : NULL));
    fleet_say_certificates(fleet);
    for (size_t i = 0; i < data->n_insecure; i++)
        LOG(&fleet->log, clock, LOG_LEVEL_WARN, "insecure_switch_is_on",
            LOG_STR("switch", data->insecure[i]));
}

static int start(struct fleet *fleet)
{
    fleet->loop = loop_new();
    if (fleet->loop == NULL || rng_init(&fleet->rng) < 0)
        return -ENOMEM;
    fleet->started_s = clock_wall_s(loop_clock(fleet->loop));
    fleet->mailbox = mailbox_new(fleet->loop);
    fleet->clients = client_pool_new(fleet->loop);
    fleet->limits = limits_new();
    if (fleet->mailbox == NULL || fleet->clients == NULL || fleet->limits == NULL)
        return -ENOMEM;
    fleet->nofile = listen_raise_nofile(); /* later it may not be raised */
    fleet_service_open(fleet);
    int r = fleet_start_keep(&fleet->start, config_get(fleet->options.config));
    if (r == 0)
        r = open_signals(fleet);
    if (r == 0)
        r = fleet_check_inherited(fleet);
    if (r == 0)
        r = fleet_open_listeners(fleet);
    if (r == 0)
        r = fleet_open_admin(fleet);
    fleet_close_unused(fleet);
    if (r == 0)
        r = fleet_lock_up(fleet);
    /* As whom it will be reopened, and where that is allowed. */
    if (r == 0)
        r = fleet_open_log(fleet);
    if (r == 0)
        r = open_audit(fleet);
    if (r == 0)
        r = rand_bytes(fleet->session_key, sizeof(fleet->session_key));
    if (r == 0)
        r = fleet_open_traces(fleet);
    if (r == 0)
        r = fleet_open_key_cache(fleet);
    if (r == 0)
        r = fleet_load_keys(fleet);
    if (r == 0)
        r = start_workers(fleet);
    if (r == 0)
        r = fleet_service_started(fleet);
    if (r == 0)
        fleet_use_log(fleet);
    if (r == 0)
        say_started(fleet);
    if (r == 0) /* keys of the disk may be young enough */
        fleet_say_ready(fleet);
    fleet->options.config = config_unref(fleet->options.config);
    return r;
}

static void run(struct fleet *fleet)
{
    while (fleet->n_ended < fleet->n_workers || !fleet_flush_traces(fleet)) {
        loop_turn(fleet->loop, fleet->admin != NULL ? server_wait_hint(fleet->admin) : -1);
        if (fleet->admin != NULL)
            server_run(fleet->admin);
        log_flush(&fleet->log);
    }
}

static void stop(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->n_workers; i++) {
        if (fleet->workers[i].thread_runs)
            worker_post_stop(&fleet->workers[i]);
        worker_free(&fleet->workers[i]);
        free(fleet->metrics[i]);
    }
    if (fleet->audit != NULL) /* so that the head is that of the last line */
        (void)audit_flush(fleet->audit, AUDIT_CLOSE_WAIT_MS);
    say_audit_head(fleet);
    fleet->audit = audit_close(fleet->audit, AUDIT_CLOSE_WAIT_MS);
    fleet->n_workers = 0; /* letters that are still there reach nobody */
    free(fleet->workers);
    free(fleet->metrics);
    fleet->limits = limits_free(fleet->limits);
    fleet_close_admin(fleet);
    fleet_close_listeners(fleet);
    free(fleet->listens);
    fleet_close_key_cache(fleet); /* before the mailbox that it posts to */
    fleet->mailbox = mailbox_free(fleet->mailbox);
    fleet_free_keys(fleet);
    fleet_close_traces(fleet);
    fleet->clients = client_pool_free(fleet->clients);
    if (fleet->loop != NULL) {
        loop_timer_stop(fleet->loop, &fleet->audit_timer);
        loop_unwatch(fleet->loop, &fleet->signal_watch);
    }
    fleet_service_close(fleet);
    if (fleet->signal_fd >= 0)
        (void)close(fleet->signal_fd);
    fleet->loop = loop_free(fleet->loop);
    process_probe_close(&fleet->probe);
    if (fleet->pagemap_fd >= 0)
        (void)close(fleet->pagemap_fd);
    sandbox_plan_free(&fleet->sandbox);
    secret_wipe(fleet->session_key, sizeof(fleet->session_key));
    (void)config_unref(fleet->options.config);
    fleet_start_forget(&fleet->start);
}

int fleet_run(const struct fleet_options *options)
{
    struct fleet fleet = {
        .options = *options,
        .log = fleet_make_log(config_get(options->config), &options->service),
        .log_fd = STDERR_FILENO,
        .inherited = options->inherited,
        .signal_fd = -1,
        .admin_socket = {.fd = -1},
        .notify = {.fd = -1},
        .probe = process_probe_open(),
        .pagemap_fd = footprint_open(),
        .signal_watch = {.fd = -1},
    };
    int r = client_global_init();
    if (r == 0)
        r = start(&fleet);
    if (r == 0)
        run(&fleet);
    struct clock now = clock_read();
    if (r < 0)
        LOG(&fleet.log, &now, LOG_LEVEL_ERROR, "start_failed",
            LOG_CSTR("reason", strerrordesc_np(-r)));
    stop(&fleet);
    if (r == 0)
        LOG(&fleet.log, &now, LOG_LEVEL_INFO, "stopped", LOG_BOOL("clean", true));
    client_global_free();
    fleet_close_log(&fleet);
    return r;
}
