/* SPDX-License-Identifier: Apache-2.0 */
/* The way of spans from the workers to the exporter, and their last one at the stop. */
#include <errno.h>
#include <stdlib.h>

#include "gate/fleet_int.h"

/* What waits when the workers have ended gets so much time, if the drain has it left. */
#define FLUSH_MS 5000

static void deliver_spans(void *ctx, void *arg)
{
    struct fleet *fleet = ctx;
    struct trace_batch *batch = arg;
    trace_export_add(fleet->traces, batch);
    free(batch);
}

/* From a worker's thread. */
void fleet_on_spans(void *ctx, struct trace_batch *batch)
{
    struct fleet *fleet = ctx;
    struct trace_batch *copy = malloc(sizeof(*copy));
    if (copy != NULL) {
        *copy = *batch;
        if (mailbox_post(fleet->mailbox, deliver_spans, fleet, copy) == 0)
            return;
        free(copy);
    }
    (void)atomic_fetch_sub(&fleet->trace_room.waiting, batch->n);
    (void)atomic_fetch_add(&fleet->trace_room.dropped, batch->n);
    buf_free(&batch->spans);
}

static void on_changed(void *ctx, const char *reason, unsigned status)
{
    struct fleet *fleet = ctx;
    const struct clock *clock = loop_clock(fleet->loop);
    if (reason != NULL)
        LOG(&fleet->log, clock, LOG_LEVEL_WARN, "trace_export_failing", LOG_CSTR("reason", reason),
            LOG_INT("http_status", status));
    else
        LOG(&fleet->log, clock, LOG_LEVEL_INFO, "trace_export_works_again",
            LOG_INT("waiting", atomic_load(&fleet->trace_room.waiting)));
}

int fleet_open_traces(struct fleet *fleet)
{
    fleet->traces = trace_export_new(&(struct trace_export_options){.loop = fleet->loop,
                                                                    .clients = fleet->clients,
                                                                    .rng = &fleet->rng,
                                                                    .room = &fleet->trace_room,
                                                                    .changed = on_changed,
                                                                    .ctx = fleet});
    if (fleet->traces == NULL)
        return -ENOMEM;
    fleet_configure_traces(fleet, fleet->options.config);
    return 0;
}

void fleet_configure_traces(struct fleet *fleet, struct config *config)
{
    fleet->has_traces |= str_is_set(config_get(config)->tracing.endpoint);
    trace_export_configure(fleet->traces, config);
}

/* Only wakes the loop. */
static void on_flush_timer(struct timer *timer)
{
    CONTAINER_OF(timer, struct fleet, flush_timer)->flushed = true;
}

bool fleet_flush_traces(struct fleet *fleet)
{
    if (fleet->flushed || fleet->stop_at_once || trace_export_is_idle(fleet->traces))
        return true;
    if (fleet->flush_timer.fn == NULL) {
        int64_t now_ms = loop_now_ms(fleet->loop);
        int64_t left_ms = fleet->drain_end_ms - now_ms;
        fleet->flush_timer.fn = on_flush_timer;
        trace_export_finish(fleet->traces);
        if (left_ms <= 0 || loop_timer_in(fleet->loop, &fleet->flush_timer,
                                          left_ms < FLUSH_MS ? left_ms : FLUSH_MS) < 0)
            return true;
    }
    return false;
}

/* After the last letter. */
void fleet_close_traces(struct fleet *fleet)
{
    if (fleet->loop != NULL)
        loop_timer_stop(fleet->loop, &fleet->flush_timer);
    fleet->traces = trace_export_free(fleet->traces);
}
