/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "gate/fleet_int.h"

#define ADMIN_HEADER_BYTES 8192
#define ADMIN_CONNECTIONS 64
#define ADMIN_TIMEOUT_MS 10000
#define METRICS_MAX_BYTES (8U * 1024 * 1024)

static void add_issuer(const struct fleet *fleet, size_t i, struct metrics_issuer *ret)
{
    const struct jwks_keeper *keeper = fleet->keepers[i];
    const struct jwks_status *status = jwks_keeper_status(keeper);
    const struct keyset *keyset = jwks_keeper_keyset(keeper);
    const struct jwks_config *jwks = &fleet->snapshot->data->jwks;
    *ret = (struct metrics_issuer){
        .name = jwks_keeper_issuer(keeper)->name,
        .age_s =
            keyset == NULL ? -1 : (loop_now_ms(fleet->loop) - keyset_loaded_mono_ms(keyset)) / 1000,
        .max_age_s = (jwks->refresh_ms + jwks->max_stale_ms) / 1000,
        .from_cache = jwks_keeper_cached(keeper).in_use,
        .keys = atomic_load(&status->keys),
        .fetches_ok = atomic_load(&status->fetches_ok),
        .fetches_failed = atomic_load(&status->fetches_failed),
    };
}

static void answer_metrics(struct fleet *fleet, struct reply *reply)
{
    struct metrics_issuer *issuers = calloc(fleet->n_keepers + 1, sizeof(*issuers));
    struct metrics_certificate *certificates =
        calloc(fleet->start.n_listens, sizeof(*certificates));
    if (issuers == NULL || certificates == NULL) {
        free(issuers);
        free(certificates);
        reply->status = 503;
        return;
    }
    for (size_t i = 0; i < fleet->n_keepers; i++)
        add_issuer(fleet, i, &issuers[i]);
    struct audit_stats audit = {0};
    if (fleet->audit != NULL)
        audit = audit_stats(fleet->audit);
    const struct metrics_traces traces = {
        .exported = trace_export_stats(fleet->traces).exported,
        .failed = trace_export_stats(fleet->traces).failed,
        .dropped = atomic_load(&fleet->trace_room.dropped),
        .waiting = atomic_load(&fleet->trace_room.waiting),
    };
    struct metrics_limits limits = limits_numbers(fleet->limits, loop_clock(fleet->loop)->mono_us);
    limits.has_store = fleet->snapshot->data->limits.store.on;
    const struct metrics_page page = {
        .limits = &limits,
        .traces = fleet->has_traces ? &traces : NULL,
        .audit = fleet->audit != NULL ? &audit : NULL,
        .labels = &fleet->labels,
        .workers = fleet->metrics,
        .n_workers = fleet->n_workers,
        .issuers = issuers,
        .n_issuers = fleet->n_keepers,
        .has_key_cache = fleet->key_cache != NULL,
        .key_cache_failures = fleet->key_cache_failures,
        .certificates = certificates,
        .n_certificates = fleet_certificates(fleet, certificates),
        .version = PORTCULLIS_VERSION,
        .started_s = fleet->started_s,
        .reloads_ok = fleet->reloads_ok,
        .reloads_failed = fleet->reloads_failed,
        .connections_limit = fleet->connections_limit,
        .process = process_read(&fleet->probe),
    };
    metrics_render(&page, &reply->body);
    (void)reply_add(reply, STR("Content-Type"), STR("text/plain; version=0.0.4"));
    (void)reply_add(reply, STR("Cache-Control"), STR("no-store"));
    free(issuers);
    free(certificates);
}

static void answer_text(struct reply *reply, unsigned status, struct str text)
{
    reply->status = status;
    (void)buf_append(&reply->body, text);
    (void)reply_add(reply, STR("Content-Type"), STR("text/plain"));
    (void)reply_add(reply, STR("Cache-Control"), STR("no-store"));
}

static void answer_ready(struct fleet *fleet, struct reply *reply)
{
    if (fleet->draining)
        answer_text(reply, 503, STR("draining\n"));
    else if (!fleet_has_all_keys(fleet))
        answer_text(reply, 503, STR("an issuer's keys are not loaded\n"));
    else
        answer_text(reply, 200, STR("ready\n"));
}

static enum server_next on_head(void *ctx, struct exchange *exchange)
{
    struct fleet *fleet = ctx;
    const struct exchange_head *head = exchange_head(exchange);
    struct reply reply = {.status = 200, .body = buf_make(METRICS_MAX_BYTES)};
    if (!str_eq(head->method, STR("GET")) && !str_eq(head->method, STR("HEAD"))) {
        answer_text(&reply, 405, STR("only GET and HEAD\n"));
        (void)reply_add(&reply, STR("Allow"), STR("GET, HEAD"));
    } else if (str_eq(head->target, STR("/healthz"))) {
        answer_text(&reply, 200, STR("alive\n"));
    } else if (str_eq(head->target, STR("/readyz"))) {
        answer_ready(fleet, &reply);
    } else if (str_eq(head->target, STR("/metrics"))) {
        answer_metrics(fleet, &reply);
    } else {
        answer_text(&reply, 404, STR("there are /healthz, /readyz and /metrics\n"));
    }
    exchange_reply(exchange, &reply);
    return SERVER_DONE;
}

static void on_refused(void *ctx, struct str peer, unsigned status, const char *reason,
                       const char *description, struct reply *ret_reply)
{
    struct fleet *fleet = ctx;
    answer_text(ret_reply, status, str_from_cstr(description));
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_INFO, "admin_refused",
        LOG_STR("client_ip", peer), LOG_INT("status", status), LOG_CSTR("reason", reason));
}

/* Every admin answer is given at the head: nothing waits, nothing streams. */
static void on_nothing(void *ctx, struct exchange *exchange)
{
    (void)ctx;
    (void)exchange;
}

static void on_too_large(void *ctx, struct exchange *exchange, struct reply *ret_reply)
{
    (void)ctx;
    (void)exchange;
    answer_text(ret_reply, 413, STR("no body is expected here\n"));
}

static const struct server_handler handler = {
    .head = on_head,
    .complete = on_nothing,
    .gone = on_nothing,
    .too_large = on_too_large,
    .drained = on_nothing,
    .end = on_nothing,
    .refused = on_refused,
};

int fleet_open_admin(struct fleet *fleet)
{
    if (!fleet->start.has_admin)
        return 0;
    int r = fleet_open_socket(fleet, &fleet->start.admin, "admin", &fleet->admin_socket);
    if (r < 0)
        return r;
    fleet->admin = server_new(fleet->loop, &(struct server_options){
                                               .handler = &handler,
                                               .ctx = fleet,
                                               .header_bytes = ADMIN_HEADER_BYTES,
                                               .max_connections = ADMIN_CONNECTIONS,
                                               .client_timeout_ms = ADMIN_TIMEOUT_MS,
                                           });
    return fleet->admin != NULL ? server_listen(fleet->admin, fleet->admin_socket.fd, NULL)
                                : -ENOMEM;
}

void fleet_close_admin(struct fleet *fleet)
{
    fleet->admin = server_free(fleet->admin);
    fleet_close_socket(&fleet->admin_socket, &fleet->start.admin);
}
