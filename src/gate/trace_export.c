/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/trace_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/list.h"
#include "base/secret.h"
#include "ops/otlp.h"

#define FIRST_RETRY_MS 1000
#define MAX_RETRY_MS 30000
/* A collector may ask for patience, and not for ever. */
#define MAX_RETRY_AFTER_S 300
#define MAX_ANSWER_BYTES (64U * 1024)
#define MAX_FIELD_BYTES (64U * 1024)
#define MAX_REQUEST_BYTES (TRACE_BATCH_BYTES + 64U * 1024)
#define MAX_FIELDS 18 /* those of the policy, ours, and the NULL */

/* A batch in the queue. */
struct waiting {
    struct list node;
    struct trace_batch batch;
    unsigned attempts;
};

struct trace_export {
    struct trace_export_options options;
    struct config *config; /* the one whose endpoint is used; NULL: there was none yet */
    char instance[40];     /* service.instance.id */
    struct list queue;
    struct fetch *fetch; /* of the first one in the queue */
    struct timer timer;  /* its next attempt */
    int64_t retry_ms;
    bool finishing;
    bool failing;
    struct trace_export_stats stats;
};

bool trace_room_take(struct trace_room *room, unsigned n, unsigned limit)
{
    if (atomic_fetch_add(&room->waiting, n) + n <= limit)
        return true;
    (void)atomic_fetch_sub(&room->waiting, n);
    (void)atomic_fetch_add(&room->dropped, n);
    return false;
}

static const struct tracing_config *settings(const struct trace_export *exporter)
{
    return &config_get(exporter->config)->tracing;
}

/* ---- the queue ---- */

static void leave_queue(struct trace_export *exporter, struct waiting *waiting)
{
    (void)atomic_fetch_sub(&exporter->options.room->waiting, waiting->batch.n);
    list_unlink(&waiting->node);
    buf_free(&waiting->batch.spans);
    free(waiting);
}

static struct waiting *first_waiting(const struct trace_export *exporter)
{
    struct list *node = list_first(&exporter->queue);
    return node != NULL ? LIST_ENTRY(node, struct waiting, node) : NULL;
}

/* ---- sending ---- */

static void note(struct trace_export *exporter, const char *reason, unsigned status)
{
    bool failing = reason != NULL;
    if (failing == exporter->failing)
        return;
    exporter->failing = failing;
    exporter->options.changed(exporter->options.ctx, reason, status);
}

static int append_request(const struct trace_export *exporter, const struct trace_batch *batch,
                          struct buf *out)
{
    const struct log_field resource[] = {
        LOG_STR("service.name", settings(exporter)->service_name),
        LOG_CSTR("service.version", PORTCULLIS_VERSION),
        LOG_CSTR("service.instance.id", exporter->instance),
        LOG_INT("process.pid", getpid()),
    };
    otlp_append_head(resource, ARRAY_LEN(resource), out);
    (void)buf_append(out, buf_str(&batch->spans));
    otlp_append_tail(out);
    return out->fault;
}

/* "NAME: VALUE" for each header of the policy, in TEXT. */
static void make_fields(const struct tracing_config *tracing, struct buf *text,
                        const char *ret_fields[MAX_FIELDS])
{
    size_t at[MAX_FIELDS];
    size_t n = 0;
    for (size_t i = 0; i < tracing->n_headers && n + 2 < MAX_FIELDS; i++) {
        at[n++] = text->len;
        (void)buf_append(text, tracing->headers[i].name);
        (void)buf_append(text, STR(": "));
        (void)buf_append(text, tracing->headers[i].value);
        (void)buf_append_char(text, '\0');
    }
    for (size_t i = 0; i < n; i++)
        ret_fields[i] = text->ptr + at[i];
    ret_fields[n++] = "Content-Type: application/json";
    ret_fields[n] = NULL;
}

static void on_done(void *ctx, const struct fetch_result *result);

static bool start_fetch(struct trace_export *exporter, const struct trace_batch *batch)
{
    const struct tracing_config *tracing = settings(exporter);
    const char *fields[MAX_FIELDS];
    /* all the room at once: growing would leave copies of secrets behind */
    CLEANUP(buf_free) struct buf text = buf_make(2 * MAX_FIELD_BYTES);
    CLEANUP(buf_free) struct buf request = buf_make(MAX_REQUEST_BYTES);
    if (buf_reserve(&text, text.max) < 0 || append_request(exporter, batch, &request) < 0)
        return false;
    make_fields(tracing, &text, fields);
    if (!buf_failed(&text))
        exporter->fetch = fetch_start(exporter->options.clients,
                                      &(struct fetch_request){.url = tracing->endpoint.ptr,
                                                              .ca_file = tracing->ca_file.ptr,
                                                              .timeout_ms = tracing->timeout_ms,
                                                              .max_bytes = MAX_ANSWER_BYTES,
                                                              .post = buf_str(&request),
                                                              .fields = fields,
                                                              .keep = true,
                                                              .done = on_done,
                                                              .ctx = exporter});
    secret_wipe(text.ptr, text.len);
    return exporter->fetch != NULL;
}

static void send_next(struct trace_export *exporter);

static void give_up(struct trace_export *exporter, struct waiting *waiting)
{
    exporter->stats.failed += waiting->batch.n;
    leave_queue(exporter, waiting);
    exporter->retry_ms = FIRST_RETRY_MS;
}

/* OTLP/HTTP, "Failures": these, and what broke on the way, may work the next time. */
static bool may_work_later(const struct fetch_result *result)
{
    static const unsigned statuses[] = {429, 502, 503, 504};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (result->rc == FETCH_STATUS && result->status == statuses[i])
            return true;
    return result->rc == FETCH_CONNECT || result->rc == FETCH_TIMEOUT || result->rc == FETCH_BROKEN;
}

static void try_later(struct trace_export *exporter, const struct fetch_result *result)
{
    int64_t asked_s =
        result->retry_after_s < MAX_RETRY_AFTER_S ? result->retry_after_s : MAX_RETRY_AFTER_S;
    int64_t pause_ms = asked_s > 0 ? asked_s * 1000 : exporter->retry_ms;
    /* up to a tenth more, so that many daemons do not come at the same moment */
    pause_ms += (int64_t)(rng_next(exporter->options.rng) % ((uint64_t)pause_ms / 10 + 1));
    exporter->retry_ms =
        exporter->retry_ms * 2 < MAX_RETRY_MS ? exporter->retry_ms * 2 : MAX_RETRY_MS;
    (void)loop_timer_in(exporter->options.loop, &exporter->timer, pause_ms);
}

static void on_failure(struct trace_export *exporter, struct waiting *waiting,
                       const struct fetch_result *result)
{
    bool again =
        may_work_later(result) && !exporter->finishing && waiting->attempts < TRACE_EXPORT_ATTEMPTS;
    note(exporter, result->rc == FETCH_CONNECT ? result->text : fetch_rc_name(result->rc),
         result->status);
    if (again) {
        try_later(exporter, result);
        return;
    }
    give_up(exporter, waiting);
    send_next(exporter);
}

static void on_done(void *ctx, const struct fetch_result *result)
{
    struct trace_export *exporter = ctx;
    struct waiting *waiting = first_waiting(exporter);
    exporter->fetch = NULL;
    /* An answer that is too large is one all the same: the spans were taken. */
    if (result->rc != FETCH_OK && !(result->rc == FETCH_TOO_LARGE && result->status / 100 == 2)) {
        on_failure(exporter, waiting, result);
        return;
    }
    uint64_t rejected = result->rc == FETCH_OK ? otlp_rejected(result->body) : 0;
    if (rejected > waiting->batch.n)
        rejected = waiting->batch.n;
    exporter->stats.failed += rejected;
    exporter->stats.exported += waiting->batch.n - rejected;
    exporter->retry_ms = FIRST_RETRY_MS;
    leave_queue(exporter, waiting);
    note(exporter, NULL, 0);
    send_next(exporter);
}

/* Nothing when one is on its way, or waits for its next attempt. */
static void send_next(struct trace_export *exporter)
{
    struct waiting *waiting = first_waiting(exporter);
    while (waiting != NULL && exporter->fetch == NULL && !timer_is_armed(&exporter->timer)) {
        waiting->attempts++;
        if (start_fetch(exporter, &waiting->batch))
            return;
        give_up(exporter, waiting); /* memory is short: a good moment to let go of something */
        waiting = first_waiting(exporter);
    }
}

static void on_timer(struct timer *timer)
{
    struct trace_export *exporter = CONTAINER_OF(timer, struct trace_export, timer);
    loop_timer_stop(exporter->options.loop, timer);
    send_next(exporter);
}

/* ---- verbs ---- */

void trace_export_add(struct trace_export *exporter, struct trace_batch *batch)
{
    struct waiting *waiting = exporter->config != NULL ? calloc(1, sizeof(*waiting)) : NULL;
    if (waiting == NULL) {
        (void)atomic_fetch_sub(&exporter->options.room->waiting, batch->n);
        (void)atomic_fetch_add(&exporter->options.room->dropped, batch->n);
        buf_free(&batch->spans);
        return;
    }
    waiting->batch = *batch;
    batch->spans = buf_make(0);
    list_append(&exporter->queue, &waiting->node);
    send_next(exporter);
}

void trace_export_configure(struct trace_export *exporter, struct config *config)
{
    if (!str_is_set(config_get(config)->tracing.endpoint))
        return;
    (void)config_ref(config);
    (void)config_unref(exporter->config);
    exporter->config = config;
    if (exporter->fetch != NULL)
        return;
    /* another place may answer at once */
    loop_timer_stop(exporter->options.loop, &exporter->timer);
    exporter->retry_ms = FIRST_RETRY_MS;
    send_next(exporter);
}

void trace_export_finish(struct trace_export *exporter)
{
    exporter->finishing = true;
    loop_timer_stop(exporter->options.loop, &exporter->timer);
    send_next(exporter);
}

bool trace_export_is_idle(const struct trace_export *exporter)
{
    return list_is_empty(&exporter->queue);
}

struct trace_export_stats trace_export_stats(const struct trace_export *exporter)
{
    return exporter->stats;
}

/* ---- make and free ---- */

struct trace_export *trace_export_new(const struct trace_export_options *options)
{
    struct trace_export *exporter = calloc(1, sizeof(*exporter));
    if (exporter == NULL)
        return NULL;
    exporter->options = *options;
    exporter->timer.fn = on_timer;
    exporter->retry_ms = FIRST_RETRY_MS;
    list_init(&exporter->queue);
    (void)snprintf(exporter->instance, sizeof(exporter->instance), "%016llx%016llx",
                   (unsigned long long)rng_next(options->rng),
                   (unsigned long long)rng_next(options->rng));
    return exporter;
}

struct trace_export *trace_export_free(struct trace_export *exporter)
{
    if (exporter == NULL)
        return NULL;
    loop_timer_stop(exporter->options.loop, &exporter->timer);
    (void)fetch_cancel(exporter->fetch);
    LIST_FOREACH (node, &exporter->queue) {
        struct waiting *waiting = LIST_ENTRY(node, struct waiting, node);
        (void)atomic_fetch_add(&exporter->options.room->dropped, waiting->batch.n);
        leave_queue(exporter, waiting);
    }
    (void)config_unref(exporter->config);
    free(exporter);
    return NULL;
}
