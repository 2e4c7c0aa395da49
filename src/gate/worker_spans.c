/* SPDX-License-Identifier: Apache-2.0 */
/* Spans of this worker, collected until they are worth a letter to the fleet. */
#include "gate/worker_int.h"

/* Room that the spans of any one transaction fit into. */
#define SPANS_RESERVE_BYTES (32U * 1024)

void worker_post_spans(struct worker *worker)
{
    loop_timer_stop(worker->loop, &worker->spans_timer);
    if (worker->spans.n == 0)
        return;
    worker->letters.spans(worker->letters.fleet, &worker->spans);
    worker->spans = (struct trace_batch){.spans = buf_make(TRACE_BATCH_BYTES)};
}

void worker_on_spans_timer(struct timer *timer)
{
    worker_post_spans(CONTAINER_OF(timer, struct worker, spans_timer));
}

struct buf *worker_begin_spans(struct worker *worker, unsigned n, unsigned limit)
{
    struct trace_batch *batch = &worker->spans;
    if (!trace_room_take(worker->trace_room, n, limit))
        return NULL;
    worker->spans_mark = batch->spans.len;
    if (batch->n > 0)
        (void)buf_append_char(&batch->spans, ',');
    return &batch->spans;
}

void worker_end_spans(struct worker *worker, unsigned n)
{
    struct trace_batch *batch = &worker->spans;
    if (buf_failed(&batch->spans)) { /* whole or not at all */
        batch->spans.len = worker->spans_mark;
        batch->spans.fault = 0;
        (void)atomic_fetch_sub(&worker->trace_room->waiting, n);
        (void)atomic_fetch_add(&worker->trace_room->dropped, n);
        return;
    }
    batch->n += n;
    if (batch->n + 2 > TRACE_BATCH_SPANS ||
        batch->spans.len + SPANS_RESERVE_BYTES > TRACE_BATCH_BYTES)
        worker_post_spans(worker);
    else if (!timer_is_armed(&worker->spans_timer) &&
             loop_timer_in(worker->loop, &worker->spans_timer, TRACE_BATCH_DELAY_MS) < 0)
        worker_post_spans(worker);
}
