/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager hears of the fleet: ready, reloading, stopping, a line of status, and
 * beats for its watchdog.
 *
 * A beat is sent once every worker has answered a letter, so it stands for all loops: a worker that
 * is stuck keeps all beats back, and the manager ends the process. The first such round tells that
 * the workers accept: then we are ready. */
#include <errno.h>
#include <unistd.h>

#include "gate/fleet_int.h"

#define DRAIN_LOOK_MS 1000
/* The manager gives us so much more at each look while we drain: less than a stuck drain may last,
 * and more than a busy machine delays a timer. */
#define DRAIN_EXTEND_US (10 * INT64_C(1000000))
#define STATUS_MAX_BYTES NOTIFY_MAX_BYTES

/* ---- the line of status ---- */

static void append_count(struct buf *out, size_t n, const char *thing)
{
    (void)buf_printf(out, "%zu %s%s", n, thing, n == 1 ? "" : "s");
}

static void append_missing_keys(const struct fleet *fleet, struct buf *out)
{
    size_t missing = 0;
    for (size_t i = 0; i < fleet->n_keepers; i++) {
        if (jwks_keeper_keyset(fleet->keepers[i]) != NULL || missing++ > 0)
            continue;
        struct str name = jwks_keeper_issuer(fleet->keepers[i])->name;
        (void)buf_printf(out, "; waiting for the keys of issuer %.*s", STR_ARG(name));
    }
    if (missing > 1)
        (void)buf_printf(out, " and of %zu more", missing - 1);
}

static void append_serving(const struct fleet *fleet, struct buf *out)
{
    (void)buf_append(out, STR("Serving "));
    append_count(out, fleet->snapshot->data->n_routes, "route");
    (void)buf_append(out, STR(" with "));
    append_count(out, fleet->n_workers, "worker");
    append_missing_keys(fleet, out);
    if (fleet->reload_failed)
        (void)buf_append(out, STR("; the last reload failed (see the log), the policy from before "
                                  "is in force"));
}

static void append_draining(const struct fleet *fleet, struct buf *out)
{
    size_t connections = 0;
    for (unsigned i = 0; i < fleet->n_workers; i++)
        connections += atomic_load_explicit(&fleet->metrics[i]->connections, memory_order_relaxed);
    (void)buf_append(out, STR("Draining, "));
    append_count(out, connections, "connection");
    (void)buf_append(out, STR(" left"));
}

/* Names of issuers are as long as their owner likes: a status that does not fit is left out. */
static struct str status_of(const struct fleet *fleet, struct buf *out)
{
    if (fleet->draining)
        append_draining(fleet, out);
    else
        append_serving(fleet, out);
    return buf_failed(out) ? (struct str){0} : buf_str(out);
}

void fleet_service_status(struct fleet *fleet)
{
    CLEANUP(buf_free) struct buf status = buf_make(STATUS_MAX_BYTES);
    if (notify_is_on(&fleet->notify) && fleet->announced && !fleet->draining)
        notify_status(&fleet->notify, status_of(fleet, &status));
}

/* ---- rounds ---- */

static void say_ready(struct fleet *fleet)
{
    CLEANUP(buf_free) struct buf status = buf_make(STATUS_MAX_BYTES);
    notify_ready(&fleet->notify, status_of(fleet, &status));
}

static void finish_round(struct fleet *fleet)
{
    if (!fleet->round_is_whole)
        return;
    if (!fleet->announced && !fleet->draining) {
        fleet->announced = true;
        say_ready(fleet);
    }
    if (fleet->notify.watchdog_ms > 0)
        notify_beat(&fleet->notify);
}

void fleet_service_alive(struct fleet *fleet, struct worker *worker)
{
    if (!worker->owes_answer)
        return;
    worker->owes_answer = false;
    if (--fleet->n_answers_owed == 0)
        finish_round(fleet);
}

/* Nothing while answers of the last round are missing. */
static void begin_round(struct fleet *fleet)
{
    if (fleet->n_answers_owed > 0)
        return;
    fleet->round_is_whole = true;
    for (unsigned i = 0; i < fleet->n_workers; i++) {
        struct worker *worker = &fleet->workers[i];
        if (worker->has_ended)
            continue;
        if (worker_post_ping(worker) < 0) {
            fleet->round_is_whole = false;
            continue;
        }
        worker->owes_answer = true;
        fleet->n_answers_owed++;
    }
}

static void on_watchdog_timer(struct timer *timer)
{
    struct fleet *fleet = CONTAINER_OF(timer, struct fleet, watchdog_timer);
    begin_round(fleet);
    (void)loop_timer_in(fleet->loop, timer, fleet->notify.watchdog_ms / 2);
}

/* ---- what happens to the fleet ---- */

/* A manager that cannot be told is no reason not to serve; it will say so itself, in the end. */
void fleet_service_open(struct fleet *fleet)
{
    int r = notify_open(&fleet->options.service, getpid(), &fleet->notify);
    if (r < 0)
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_WARN, "notify_failed",
            LOG_CSTR("key", "NOTIFY_SOCKET"), LOG_CSTR("reason", strerrordesc_np(-r)));
}

int fleet_service_started(struct fleet *fleet)
{
    if (!notify_is_on(&fleet->notify))
        return 0;
    begin_round(fleet);
    if (!fleet->round_is_whole)
        return -ENOMEM;
    if (fleet->notify.watchdog_ms == 0)
        return 0;
    fleet->watchdog_timer.fn = on_watchdog_timer;
    return loop_timer_in(fleet->loop, &fleet->watchdog_timer, fleet->notify.watchdog_ms / 2);
}

void fleet_service_reloading(struct fleet *fleet)
{
    /* Not the loop's clock: of two signals in one turn the second came after it was read. */
    const struct clock now = clock_read();
    notify_reloading(&fleet->notify, now.mono_us);
}

void fleet_service_reloaded(struct fleet *fleet, bool ok)
{
    fleet->reload_failed = !ok;
    if (!notify_is_on(&fleet->notify))
        return;
    fleet->announced = true;
    say_ready(fleet);
}

static void on_drain_look(struct timer *timer)
{
    struct fleet *fleet = CONTAINER_OF(timer, struct fleet, drain_look_timer);
    CLEANUP(buf_free) struct buf status = buf_make(STATUS_MAX_BYTES);
    notify_extend(&fleet->notify, status_of(fleet, &status), DRAIN_EXTEND_US);
    (void)loop_timer_in(fleet->loop, timer, DRAIN_LOOK_MS);
}

void fleet_service_stopping(struct fleet *fleet)
{
    CLEANUP(buf_free) struct buf status = buf_make(STATUS_MAX_BYTES);
    if (!notify_is_on(&fleet->notify))
        return;
    notify_stopping(&fleet->notify, status_of(fleet, &status), DRAIN_EXTEND_US);
    fleet->drain_look_timer.fn = on_drain_look;
    (void)loop_timer_in(fleet->loop, &fleet->drain_look_timer, DRAIN_LOOK_MS);
}

void fleet_service_close(struct fleet *fleet)
{
    if (fleet->loop != NULL) {
        loop_timer_stop(fleet->loop, &fleet->watchdog_timer);
        loop_timer_stop(fleet->loop, &fleet->drain_look_timer);
    }
    notify_close(&fleet->notify);
}
