/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of the fleet: fleet.c (start, signals, drain), fleet_start.c (what no
 * reload changes), fleet_listen.c (listening sockets),
 * fleet_keys.c (keepers, snapshots, reload), fleet_tls.c (certificates), fleet_admin.c (/healthz,
 * /readyz, /metrics), fleet_sandbox.c (what it may still do), fleet_service.c (what the
 * service manager hears). */
#ifndef GATE_FLEET_INT_H
#define GATE_FLEET_INT_H

#include "base/arena.h"
#include "base/log.h"
#include "gate/fleet.h"
#include "gate/trace_export.h"
#include "gate/worker.h"
#include "net/client.h"
#include "net/inherit.h"
#include "ops/audit.h"
#include "ops/notify.h"
#include "ops/process.h"
#include "ops/sandbox.h"

struct listen_socket {
    int fd; /* -1: closed */
    bool inherited;
};

/* What the process was started with; a policy that differs is told to need a restart. */
struct fleet_start {
    struct arena *arena; /* its strings and lists */
    int fault;
    /* TLS is a reference to the context that is in use; it changes with reloads, nothing else. */
    struct listen_address *listens;
    size_t n_listens;
    struct listen_address admin;
    bool has_admin;
    unsigned workers;
    struct limits_config limits; /* without the store */
    bool log_format_set;
    enum log_format log_format;
    struct str log_file;
    struct str audit_file;
    struct str cache_dir;
    struct str user;
    bool no_sandbox;
};

struct fleet {
    /* Its config until all is made from it, then NULL: the snapshot has the policy. */
    struct fleet_options options;
    struct fleet_start start;
    struct log log;
    struct loop *loop;
    struct mailbox *mailbox;
    struct client_pool *clients;
    struct rng rng;
    struct watch signal_watch;
    struct snapshot *snapshot;    /* the current one */
    struct jwks_keeper **keepers; /* one per issuer of the current config */
    size_t n_keepers;
    struct metrics_labels labels;
    struct inherited_set inherited; /* what is left of it */
    struct listen_socket *listens;
    size_t n_listens;
    struct worker *workers;
    struct metrics **metrics;
    struct server *admin;
    struct listen_socket admin_socket;
    int log_fd; /* of the workers, and ours once all is started; that of log.file, or stderr */
    int signal_fd;
    int pagemap_fd; /* see base/footprint; -1: not */
    unsigned n_workers;
    unsigned n_drain_begun;
    unsigned n_ended;
    unsigned n_answers_owed; /* by workers, to the letter of the round */
    bool round_is_whole;     /* every worker got that letter */
    bool announced;          /* the manager knows that we are ready */
    bool reload_failed;      /* the last one */
    bool has_traces;         /* there is, or was, an endpoint */
    bool flushed;            /* there is no more time for it */
    bool stop_at_once;       /* a second signal */
    bool ready;              /* said so in the log */
    bool settled;            /* the pages that only the start needed were let go of */
    bool draining;
    bool key_cache_failing; /* said so in the log */
    bool audit_failing;     /* the same */
    bool is_locked_up;      /* SANDBOX is in force */
    /* Binds sessions while the policy has no session_secret: they end with the process. */
    uint8_t session_key[SESSION_KEY_LEN];
    struct trace_export *traces;
    struct trace_room trace_room;
    struct timer flush_timer;
    int64_t drain_end_ms;         /* monotonic */
    struct jwks_cache *key_cache; /* NULL: off */
    uint64_t key_cache_failures;  /* writes to it */
    struct limits *limits;
    struct audit *audit; /* NULL: off */
    struct timer audit_timer;
    struct sandbox_plan sandbox;
    struct sandbox_report sandbox_report;
    struct notify notify;
    struct timer watchdog_timer;
    struct timer tell_timer; /* a snapshot that could not be made or posted */
    struct timer drain_look_timer;
    int64_t started_s;
    uint64_t nofile; /* descriptors that the process may have */
    uint64_t connections_limit;
    struct process_probe probe;
    uint64_t reloads_ok;
    uint64_t reloads_failed;
};

/* fleet_start.c */
/* 0 or -ENOMEM; fleet_start_forget() in either case. */
int fleet_start_keep(struct fleet_start *start, const struct config_data *data);
void fleet_start_forget(struct fleet_start *start);

/* fleet_listen.c */
/* What the service manager gave us could be understood. */
int fleet_check_inherited(struct fleet *fleet);
/* KEY is that of the policy. What went wrong is in the log. */
int fleet_open_socket(struct fleet *fleet, const struct listen_address *address, const char *key,
                      struct listen_socket *ret);
void fleet_close_socket(struct listen_socket *socket, const struct listen_address *address);
int fleet_open_listeners(struct fleet *fleet);
void fleet_close_listeners(struct fleet *fleet);
/* Inherited sockets that nobody took are named in the log and closed. */
void fleet_close_unused(struct fleet *fleet);

/* fleet_sandbox.c */
/* Everything is open, and there are no threads yet. What went wrong is in the log. */
int fleet_lock_up(struct fleet *fleet);
/* config_sources.read_file of a reload; CTX is the fleet. */
int fleet_read_file(void *ctx, const char *path, size_t max_bytes, struct buf *out);
/* -EBUSY: FRESH needs more than the sandbox allows, which is in the log. */
int fleet_check_sandbox(struct fleet *fleet, const struct config_data *fresh);

/* fleet_service.c; nothing happens without a service manager */
void fleet_service_open(struct fleet *fleet);
/* The workers run: READY follows once each has turned its loop. */
int fleet_service_started(struct fleet *fleet);
void fleet_service_alive(struct fleet *fleet, struct worker *worker);
/* Something has changed that the status tells. */
void fleet_service_status(struct fleet *fleet);
void fleet_service_reloading(struct fleet *fleet);
void fleet_service_reloaded(struct fleet *fleet, bool ok);
void fleet_service_stopping(struct fleet *fleet);
void fleet_service_close(struct fleet *fleet);

/* fleet_log.c */
struct log fleet_make_log(const struct config_data *data, const struct service *service);
int fleet_open_log(struct fleet *fleet);
void fleet_use_log(struct fleet *fleet);
void fleet_reopen_log(struct fleet *fleet);
void fleet_close_log(struct fleet *fleet);

/* fleet_trace.c */
int fleet_open_traces(struct fleet *fleet);
void fleet_configure_traces(struct fleet *fleet, struct config *config);
void fleet_on_spans(void *ctx, struct trace_batch *batch);
/* The workers have ended: true when the last spans are sent, or there is no more time for them. */
bool fleet_flush_traces(struct fleet *fleet);
void fleet_close_traces(struct fleet *fleet);

/* fleet_key_cache.c */
int fleet_open_key_cache(struct fleet *fleet);
void fleet_close_key_cache(struct fleet *fleet);
/* What a new keeper has found on the disk. */
void fleet_say_cached(struct fleet *fleet, const struct jwks_keeper *keeper);

/* fleet_keys.c */
int fleet_load_keys(struct fleet *fleet);
void fleet_free_keys(struct fleet *fleet);
void fleet_reload(struct fleet *fleet);
void fleet_want_keys(struct fleet *fleet, const struct jwks_status *status);
/* Once, when every issuer has keys that may be used. */
void fleet_say_ready(struct fleet *fleet);
/* Every issuer has keys that may be used. */
bool fleet_has_all_keys(const struct fleet *fleet);

/* fleet_tls.c */
/* The policy has changed: so have the certificates of those addresses that it still has with TLS.
 */
void fleet_take_certificates(struct fleet *fleet);
/* What new connections get now; RET has room for one of each address. Returns how many. */
size_t fleet_certificates(const struct fleet *fleet, struct metrics_certificate *ret);
/* The same, into the log. */
void fleet_say_certificates(struct fleet *fleet);

/* fleet_admin.c */
int fleet_open_admin(struct fleet *fleet);
void fleet_close_admin(struct fleet *fleet);

#endif
