/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of the fleet: fleet.c (start, signals, drain), fleet_keys.c (keepers, snapshots,
 * reload), fleet_admin.c (/healthz, /readyz, /metrics). */
#ifndef GATE_FLEET_INT_H
#define GATE_FLEET_INT_H

#include "base/log.h"
#include "gate/fleet.h"
#include "gate/worker.h"
#include "net/client.h"
#include "ops/audit.h"
#include "ops/process.h"

struct fleet {
    struct fleet_options options;
    struct log log;
    struct loop *loop;
    struct mailbox *mailbox;
    struct client_pool *clients;
    struct rng rng;
    struct watch signal_watch;
    int signal_fd;
    struct snapshot *snapshot;    /* the current one */
    struct jwks_keeper **keepers; /* one per issuer of the current config */
    size_t n_keepers;
    struct metrics_labels labels;
    struct config *start_config; /* what listeners and workers were made from */
    int *listen_fds;
    size_t n_listen_fds;
    struct worker *workers;
    struct metrics **metrics;
    unsigned n_workers;
    unsigned n_drain_begun;
    unsigned n_ended;
    struct server *admin;
    int admin_fd;
    bool ready;   /* said so in the log */
    bool settled; /* the pages that only the start needed were let go of */
    bool draining;
    /* Binds sessions while the policy has no session_secret: they end with the process. */
    uint8_t session_key[SESSION_KEY_LEN];
    struct audit *audit; /* NULL: off */
    struct timer audit_timer;
    bool audit_failing; /* said so in the log */
    int64_t started_s;
    uint64_t connections_limit;
    struct process_probe probe;
    uint64_t reloads_ok;
    uint64_t reloads_failed;
};

/* fleet_keys.c */
int fleet_load_keys(struct fleet *fleet);
void fleet_free_keys(struct fleet *fleet);
void fleet_reload(struct fleet *fleet);
void fleet_want_keys(struct fleet *fleet, const struct jwks_status *status);
/* Every issuer has keys that may be used. */
bool fleet_has_all_keys(const struct fleet *fleet);

/* fleet_admin.c */
int fleet_open_admin(struct fleet *fleet);
void fleet_close_admin(struct fleet *fleet);

#endif
