/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of a worker: worker.c (its world, the loop turn, snapshots, draining) and
 * worker_txn.c (transactions, and what the server calls). */
#ifndef GATE_WORKER_INT_H
#define GATE_WORKER_INT_H

#include "gate/worker.h"

/* worker.c */
void worker_route_set_unref(struct route_set *routes); /* takes NULL */

/* worker_spans.c */
/* The place where N spans of one transaction are to be appended, with commas between them; NULL:
 * more than LIMIT wait already. */
struct buf *worker_begin_spans(struct worker *worker, unsigned n, unsigned limit);
/* They are appended. */
void worker_end_spans(struct worker *worker, unsigned n);
/* What was collected goes to the fleet. */
void worker_post_spans(struct worker *worker);
void worker_on_spans_timer(struct timer *timer);

/* txn_audit.c */
/* The audit records of TXN, which is over. */
void txn_audit(struct txn *txn, int64_t duration_us);

/* What a client chose goes into a report cut to this much: with more, the line would be lost, and a
 * client could see to it that there is none. */
#define REPORT_MAX_BYTES 2048
static inline struct str report_text(struct str text)
{
    return str_head(text, REPORT_MAX_BYTES);
}

/* worker_txn.c */
/* The status that the client got; 499, as nginx has it: it left before there was an answer. */
unsigned txn_status(const struct txn *txn);
/* The callbacks of the worker's server; their context is the worker. */
extern const struct server_handler worker_server_handler;
/* A fetch of keys has ended: everybody who waits tries once more, with the current snapshot. */
void worker_wake_key_waiters(struct worker *worker);

#endif
