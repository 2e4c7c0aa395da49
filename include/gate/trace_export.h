/* SPDX-License-Identifier: Apache-2.0 */
/* Finished spans on their way to a collector: OTLP over HTTP, as JSON, in batches.
 *
 * Workers encode their spans and hand batches over as letters; the fleet sends one batch at a time.
 * No request ever waits for it: what waits is bounded (tracing.queue), and what does not fit is
 * dropped and counted. What a collector that is busy or away did not take is tried again, after 1,
 * 2, 4 ... 30 s or as long as Retry-After asks, TRACE_EXPORT_ATTEMPTS times.
 * Belongs to the fleet's thread, but for the room, which all threads share. */
#ifndef GATE_TRACE_EXPORT_H
#define GATE_TRACE_EXPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/rand.h"
#include "net/client.h"
#include "net/loop.h"
#include "policy/config.h"

#define TRACE_EXPORT_ATTEMPTS 8
/* One batch: spans, and bytes. */
#define TRACE_BATCH_SPANS 256
#define TRACE_BATCH_BYTES (256U * 1024)
/* A span waits no longer than this for others. */
#define TRACE_BATCH_DELAY_MS 1000

/* Thread-safe: the spans that are under way from workers to the collector. */
struct trace_room {
    atomic_uint waiting;
    atomic_ullong dropped;
};
/* Room for N more; false: they are dropped, and counted. */
bool trace_room_take(struct trace_room *room, unsigned n, unsigned limit);

/* Some encoded spans with commas between them, and how many. */
struct trace_batch {
    struct buf spans; /* owned */
    unsigned n;
};

struct trace_export;

struct trace_export_stats {
    uint64_t exported;
    uint64_t failed; /* the collector refused them, or was tried in vain */
};

struct trace_export_options {
    struct loop *loop;
    struct client_pool *clients;
    struct rng *rng;
    struct trace_room *room; /* outlives the export */
    /* Exporting has begun to fail, with static text and the status, if there was one; or works
     * again: REASON is NULL. */
    void (*changed)(void *ctx, const char *reason, unsigned status);
    void *ctx;
};

/* NULL when memory is short. */
struct trace_export *trace_export_new(const struct trace_export_options *options);
/* Takes NULL, returns NULL. What still waits counts as dropped. */
struct trace_export *trace_export_free(struct trace_export *exporter);

/* From now on as CONFIG says. Without an endpoint what waits still goes to the last one. */
void trace_export_configure(struct trace_export *exporter, struct config *config);
/* Takes over the spans of BATCH, for which there is room. */
void trace_export_add(struct trace_export *exporter, struct trace_batch *batch);
/* The end is near: what waits is sent at once, and nothing is tried twice. */
void trace_export_finish(struct trace_export *exporter);
bool trace_export_is_idle(const struct trace_export *exporter);
struct trace_export_stats trace_export_stats(const struct trace_export *exporter);

#endif
