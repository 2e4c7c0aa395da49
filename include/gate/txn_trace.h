/* SPDX-License-Identifier: Apache-2.0 */
/* The trace that a transaction belongs to: which one, what the upstream is told of it, and the
 * spans that are made of it at its end.
 *
 * With tracing on, every transaction has a span of its own and one for its call of the upstream,
 * sampled or not; the upstream's parent is the latter. With tracing off the client's context passes
 * as it came, and only its trace id is noted, for the log. */
#ifndef GATE_TXN_TRACE_H
#define GATE_TXN_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "gate/txn.h"
#include "proto/trace_context.h"

struct txn_trace {
    bool active;                     /* tracing is on: the rest below counts */
    char trace_id[TRACE_ID_HEX + 1]; /* for the log and the audit log */
    struct trace_context context;    /* its span id is that of our own span */
    uint8_t call_id[SPAN_ID_BYTES];  /* of the span of the call */
    bool has_parent;
    uint8_t parent_id[SPAN_ID_BYTES];
    bool has_link;
    struct trace_context link; /* what a client said whom we need not believe */
    int64_t call_us;           /* monotonic; 0: it did not come to that */
    int64_t connected_us;
    bool reused; /* the connection */
    int64_t head_us;
    int64_t done_us;
};

/* At the birth of TXN, when its head was read. Leaves txn->trace NULL when there is nothing to
 * note. */
void txn_trace_begin(struct txn *txn);
/* Appends traceparent, and tracestate where the trace is gone on with, to the head for the
 * upstream. */
void txn_trace_append_head(const struct txn *txn, struct buf *out);
/* TXN is over: its spans are handed to the worker, if it is sampled. */
void txn_trace_end(struct txn *txn, unsigned status, int64_t duration_us);

static inline bool txn_trace_is_active(const struct txn *txn)
{
    return txn->trace != NULL && txn->trace->active;
}
/* NULL: it belongs to none that is known. */
static inline const char *txn_trace_id(const struct txn *txn)
{
    return txn->trace != NULL ? txn->trace->trace_id : NULL;
}

#endif
