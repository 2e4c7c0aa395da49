/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's world: its loop, its connections on both sides, its verified tokens, its counters.
 * Everything in it belongs to the thread; others talk to it through its mailbox. */
#ifndef GATE_WORKER_H
#define GATE_WORKER_H

#include <pthread.h>

#include "auth/token_cache.h"
#include "base/log.h"
#include "base/rand.h"
#include "gate/limits.h"
#include "gate/snapshot.h"
#include "gate/trace_export.h"
#include "gate/txn.h"
#include "net/mailbox.h"
#include "net/server.h"
#include "net/upstream.h"
#include "ops/audit.h"
#include "ops/metrics.h"
#include "proto/jws.h"

/* Bounds of what strangers can fill. */
#define WORKER_CACHE_TOKENS 10000
#define WORKER_CACHE_BYTES (64U * 1024 * 1024)
#define WORKER_MAX_KEY_WAITERS 256
/* Tokens never seen before that are checked in one turn of the loop; 25 us each, with RSA-2048.
 * When the turn was long there are more: they may take this part of its time. */
#define WORKER_FIRST_CHECKS 8
#define WORKER_FIRST_CHECK_PART 4
#define WORKER_FIRST_CHECK_WAIT_MS 5000 /* for its turn; then 503 */

/* The upstream pools of one config, used by the transactions born under it. */
struct route_set {
    unsigned refs; /* the worker's own and one per transaction */
    struct config *config;
    struct upstream **upstreams; /* one per route */
    size_t n;
};

struct worker;

/* What a worker tells the fleet, from its own thread. */
struct worker_letters {
    void (*want_keys)(void *fleet, struct jwks_status *status);
    void (*spans)(void *fleet, struct trace_batch *batch); /* whose memory passes to the fleet */
    void (*drain_begun)(void *fleet);                      /* it accepts no more */
    void (*alive)(void *fleet, struct worker *worker);     /* the answer to worker_post_ping() */
    void (*ended)(void *fleet, struct worker *worker);     /* its thread is about to end */
    void *fleet;
};

struct worker {
    struct loop *loop;
    struct mailbox *mailbox;
    struct server *server;
    struct upstream_engine *engine;
    struct token_cache *cache;
    struct jws_verifier *verifier;
    struct hasher *hasher; /* of credentials */
    struct snapshot *snapshot;
    struct route_set *routes;
    struct metrics *metrics; /* the fleet's, written by us */
    struct limits *limits;   /* the fleet's */
    struct limits_peers peers;
    struct shared_rate *store; /* NULL: none, or no memory for it */
    struct audit *audit;       /* the fleet's; NULL: off */
    struct buf audit_record;   /* the one that is being written */
    struct log_stamp audit_stamp;
    struct log log;
    struct timer log_timer;               /* for lines that wait */
    const struct listen_address *listens; /* the fleet's; their TLS is its own matter */
    int *listen_fds;                      /* one for each; not ours, but the list */
    size_t n_listens;
    int64_t handshake_log_due_ms; /* failed handshakes are told once a second */
    uint64_t handshakes_untold;
    int64_t flood_began_ms; /* of requests that anybody can send; some are told each second */
    uint64_t flood_lines;
    struct rng rng;
    struct list txns;
    struct list marked;
    struct list deferred;    /* those whose token waits for its first check, by run_node */
    unsigned n_first_checks; /* that this turn has made */
    struct list key_waiters;
    unsigned n_key_waiters;
    struct trace_batch spans; /* finished, not posted yet */
    size_t spans_mark;        /* where those that are being written begin */
    struct timer spans_timer;
    struct trace_room *trace_room; /* the fleet's */
    uint64_t stale_accepts;
    uint64_t log_skipped;            /* access lines */
    char refused_id[TXN_ID_LEN + 1]; /* of the refusal that is being written */
    struct timer drain_timer;
    struct timer trim_timer;
    uint32_t peak_connections; /* since memory was last given back */
    unsigned trim_again_in;    /* ticks of trim_timer; 0: not */
    bool warned_unmeasured;    /* that limits.min_rate does not hold */
    bool draining;
    bool stop;
    pthread_t thread;
    bool thread_runs;
    bool owes_answer; /* the fleet's: to its last ping */
    bool has_ended;   /* the fleet's */
    struct worker_letters letters;
};

struct worker_options {
    struct snapshot *snapshot; /* a reference is taken */
    struct metrics *metrics;
    struct limits *limits; /* outlives the worker */
    struct audit *audit;   /* NULL: off; outlives the worker */
    struct trace_room *trace_room;
    struct log log;                       /* this worker's own */
    const struct listen_address *listens; /* outlive the worker, and keep their texts */
    const int *listen_fds;                /* one for each; stay the caller's */
    size_t n_listens;
    uint32_t max_connections;
    struct worker_letters letters;
};

/* Builds the world; the thread does not run yet. 0 or -errno. WORKER must be zeroed; free it with
 * worker_free() in either case. */
int worker_init(struct worker *worker, const struct worker_options *options);
int worker_start(struct worker *worker);
/* Waits for the thread, then frees. */
void worker_free(struct worker *worker);

/* Thread-safe. The snapshot's reference passes to the worker. Wakes those that wait for keys. */
int worker_post_snapshot(struct worker *worker, struct snapshot *snapshot);
/* Thread-safe: answer by letters.alive() from the loop. 0 or -ENOMEM. */
int worker_post_ping(struct worker *worker);
/* Thread-safe: finish what is under way, at most until the policy's drain_timeout, then end. */
void worker_post_drain(struct worker *worker);
/* Thread-safe: end now. */
void worker_post_stop(struct worker *worker);

/* For the stages. */
bool worker_park_for_keys(struct worker *worker, struct txn *txn, size_t issuer_index);
void worker_make_id(struct worker *worker, char ret_id[TXN_ID_LEN + 1]);

#endif
