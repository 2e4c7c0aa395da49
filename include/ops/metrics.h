/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of one worker, and how those of all workers become a Prometheus page.
 *
 * A worker writes its own counters only; any thread may read them at any time (relaxed atomics:
 * each number is right, a set of them may be a moment apart). Counting allocates nothing. */
#ifndef OPS_METRICS_H
#define OPS_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "ops/process.h"

#define METRICS_MAX_ROUTES 64 /* more routes share the label "other" */
#define METRICS_SLOTS 1024    /* different (route, status, reason) of one worker */
#define METRICS_BUCKETS 14
#define METRICS_TOOLS 256          /* different (route, tool) of one worker */
#define METRICS_HANDSHAKES 16      /* different results of TLS handshakes */
#define METRICS_TOOL_NAME_BYTES 64 /* longer names are cut, and end in "..." */

struct audit_stats; /* ops/audit.h */

/* Names for the route label, the same in all workers; a route keeps its index over reloads. */
struct metrics_labels {
    struct str names[METRICS_MAX_ROUTES]; /* owned */
    size_t n;
};
/* The index of NAME, added when new; METRICS_MAX_ROUTES - 1 ("other") when there is no room. */
size_t metrics_label(struct metrics_labels *labels, struct str name);
void metrics_labels_free(struct metrics_labels *labels);
/* For requests that belong to no route. */
#define METRICS_NO_ROUTE SIZE_MAX

/* What a request was refused by. */
enum metrics_limit {
    METRICS_LIMIT_IP_RATE,
    METRICS_LIMIT_SUBJECT_RATE,
    METRICS_LIMIT_SUBJECT_STREAMS,
    METRICS_N_LIMITS
};

struct metrics_slot {
    _Atomic(const char *) reason; /* static text; NULL: free. Written last */
    atomic_uint key;              /* route and status */
    atomic_ullong count;
};

/* A tool that was called; route and name never change once the tool's hash is published. */
struct metrics_tool {
    atomic_ullong allowed;
    atomic_ullong denied;
    uint16_t route;
    uint8_t name_len;
    char name[METRICS_TOOL_NAME_BYTES]; /* UTF-8 without control characters */
};

struct metrics {
    struct metrics_slot slots[METRICS_SLOTS];
    atomic_ullong unslotted;                            /* requests that found no slot */
    struct metrics_slot handshakes[METRICS_HANDSHAKES]; /* of TLS; REASON is the result */
    struct {
        atomic_ullong buckets[METRICS_BUCKETS + 1];
        atomic_ullong sum_us;
    } duration[METRICS_MAX_ROUTES];
    atomic_uint tool_hashes[METRICS_TOOLS]; /* 0: free. Written behind its row of tools */
    struct metrics_tool tools[METRICS_TOOLS];
    struct {
        atomic_ullong allowed;
        atomic_ullong denied;
    } other_tools[METRICS_MAX_ROUTES];
    atomic_ullong limited[METRICS_MAX_ROUTES][METRICS_N_LIMITS];
    atomic_ullong cache_hits;
    atomic_ullong cache_misses;
    atomic_ullong cache_evictions;
    atomic_ullong upstream_connects;
    atomic_ullong upstream_reuses;
    atomic_ullong accepted;
    atomic_ullong accept_faults;
    atomic_ullong refused_peers;
    atomic_ullong stale_accepts; /* tokens accepted with keys past their refresh */
    atomic_ullong log_lost;
    atomic_ullong log_skipped; /* access lines that log.access.sample left out */
    atomic_uint connections;
    atomic_uint streams;
    atomic_uint key_waiters;
    atomic_uint store_works;
    atomic_ullong store_answers;
    atomic_ullong store_failures;
    atomic_ullong store_latency_us; /* of all answers together */
};

/* One finished request. REASON is static text ("ok", "wrong_audience", ...). */
void metrics_request(struct metrics *metrics, size_t route, unsigned status, const char *reason,
                     int64_t duration_us);
/* One TLS handshake that is over. RESULT is static text ("full", "version", ...). */
void metrics_handshake(struct metrics *metrics, const char *result);
/* One decision about a call of TOOL, any bytes. Only an allowed call gives a tool a row of its own,
 * so that strangers cannot fill the table with names they make up: a denied call of a tool without
 * one, and every tool past METRICS_TOOLS, is counted as the tool "other". */
void metrics_tool_call(struct metrics *metrics, size_t route, struct str tool, bool allowed);
/* One request that was refused by LIMIT of ROUTE. */
void metrics_limited(struct metrics *metrics, size_t route, enum metrics_limit limit);
/* Sets a counter or gauge that its owner keeps elsewhere. */
#define METRICS_SET(metrics, field, value) \
    atomic_store_explicit(&(metrics)->field, (value), memory_order_relaxed)

/* What the page says about one issuer. */
struct metrics_issuer {
    struct str name;
    int64_t age_s;     /* of the keys; -1: never loaded */
    int64_t max_age_s; /* at which they are not used any more */
    bool from_cache;   /* they come from jwks.cache_dir, and nothing newer was fetched yet */
    unsigned keys;
    uint64_t fetches_ok;
    uint64_t fetches_failed;
};

/* What the page says about the certificates of one address. */
struct metrics_certificate {
    struct str address;
    int64_t expires_s; /* wall clock */
};

/* What the limits take, for the whole process. */
struct metrics_limits {
    bool has_store;   /* the workers share their rates with other replicas */
    uint64_t buckets; /* that are not full */
    uint64_t bucket_capacity;
    uint64_t bucket_evictions;
    uint64_t streams; /* that count for subject_streams */
};

/* What the page says about spans. */
struct metrics_traces {
    uint64_t exported;
    uint64_t dropped;
    uint64_t failed;
    unsigned waiting;
};

struct metrics_page {
    const struct metrics_traces *traces; /* NULL: none are exported */
    const struct metrics_labels *labels;
    struct metrics *const *workers;
    size_t n_workers;
    const struct metrics_issuer *issuers;
    size_t n_issuers;
    bool has_key_cache;
    uint64_t key_cache_failures;
    const struct metrics_certificate *certificates; /* none: there is no TLS */
    size_t n_certificates;
    const struct metrics_limits *limits; /* NULL: not known */
    const struct audit_stats *audit;     /* NULL: there is no audit log */
    const char *version;
    int64_t started_s; /* wall clock */
    uint64_t reloads_ok;
    uint64_t reloads_failed;
    uint64_t connections_limit; /* of all workers together */
    struct process_stats process;
};
/* Appends the text format 0.0.4. */
void metrics_render(const struct metrics_page *page, struct buf *out);

#endif
