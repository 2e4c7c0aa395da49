/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "base/footprint.h"
#include "gate/fleet_int.h"

/* ---- snapshots ---- */

/* Replicas with the same session_secret agree; with none at all, too. */
#define RATE_KEY_LABEL STR("portcullis rate key 1")

static struct snapshot *make_snapshot(struct fleet *fleet, struct config *config,
                                      struct jwks_keeper *const *keepers)
{
    struct snapshot *snapshot = snapshot_new(config);
    if (snapshot == NULL)
        return NULL;
    for (size_t i = 0; i < snapshot->data->n_issuers; i++) {
        struct keyset *keyset = jwks_keeper_keyset(keepers[i]);
        snapshot->keysets[i] = keyset != NULL ? keyset_ref(keyset) : NULL;
        snapshot->statuses[i] = jwks_status_ref(jwks_keeper_status(keepers[i]));
    }
    memcpy(snapshot->session_key, fleet->session_key, SESSION_KEY_LEN);
    if (str_is_set(snapshot->data->session_secret) &&
        session_key_from_secret(snapshot->data->session_secret, snapshot->session_key) < 0)
        return snapshot_unref(snapshot);
    if (snapshot->data->limits.store.on &&
        secret_hmac(RATE_KEY_LABEL,
                    str_is_set(snapshot->data->session_secret) ? snapshot->data->session_secret
                                                               : STR(""),
                    snapshot->rate_key) < 0)
        return snapshot_unref(snapshot);
    for (size_t i = 0; i < snapshot->data->n_routes; i++)
        snapshot->labels[i] = metrics_label(&fleet->labels, snapshot->data->routes[i].resource);
    return snapshot;
}

/* What could not be told for want of memory is told a second later: nothing else would make a
 * worker look before the keys are refreshed. Should there be none for the timer either, the next
 * event about keys does it. */
#define TELL_AGAIN_MS 1000

static void tell_again(struct fleet *fleet)
{
    (void)loop_timer_in(fleet->loop, &fleet->tell_timer, TELL_AGAIN_MS);
}

static void broadcast(struct fleet *fleet)
{
    int r = 0;
    for (unsigned i = 0; i < fleet->n_workers; i++)
        if (worker_post_snapshot(&fleet->workers[i], snapshot_ref(fleet->snapshot)) < 0)
            r = -ENOMEM;
    if (r < 0)
        tell_again(fleet);
}

/* The keys of now, for all. */
static void publish_keys(struct fleet *fleet)
{
    struct snapshot *fresh = make_snapshot(fleet, fleet->snapshot->config, fleet->keepers);
    if (fresh == NULL) {
        tell_again(fleet);
        return;
    }
    (void)snapshot_unref(fleet->snapshot);
    fleet->snapshot = fresh;
    fleet_say_ready(fleet);
}

static void on_tell_timer(struct timer *timer)
{
    struct fleet *fleet = CONTAINER_OF(timer, struct fleet, tell_timer);
    publish_keys(fleet);
    fleet_service_status(fleet);
    broadcast(fleet);
}

/* ---- keys ---- */

bool fleet_has_all_keys(const struct fleet *fleet)
{
    const struct jwks_config *jwks = &fleet->snapshot->data->jwks;
    int64_t now = loop_now_ms(fleet->loop);
    for (size_t i = 0; i < fleet->n_keepers; i++) {
        const struct keyset *keyset = jwks_keeper_keyset(fleet->keepers[i]);
        if (keyset == NULL ||
            now - keyset_loaded_mono_ms(keyset) > jwks->refresh_ms + jwks->max_stale_ms)
            return false;
    }
    return true;
}

void fleet_say_ready(struct fleet *fleet)
{
    if (fleet->ready || !fleet_has_all_keys(fleet))
        return;
    fleet->ready = true;
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_INFO, "ready",
        LOG_INT("issuers", fleet->n_keepers));
    if (!fleet->settled) /* the loader, the policy's reader and the first fetch are done */
        (void)footprint_settle(fleet->pagemap_fd);
    fleet->settled = true;
}

static void log_attempt(struct fleet *fleet, const struct jwks_keeper *keeper,
                        const struct jwks_event *event)
{
    const struct clock *clock = loop_clock(fleet->loop);
    struct str issuer = jwks_keeper_issuer(keeper)->issuer;
    if (!event->ok) {
        LOG(&fleet->log, clock, LOG_LEVEL_WARN, "jwks_failed", LOG_STR("issuer", issuer),
            LOG_CSTR("step", event->step), LOG_CSTR("reason", event->reason),
            LOG_INT("http_status", event->http_status), LOG_INT("retry_in_ms", event->retry_in_ms));
        return;
    }
    LOG(&fleet->log, clock, LOG_LEVEL_INFO, "jwks_loaded", LOG_STR("issuer", issuer),
        LOG_INT("keys", event->report.usable), LOG_INT("skipped", event->report.skipped),
        LOG_CSTR("skip_reason", event->report.first_skip_reason));
}

static void on_settled(void *ctx, struct jwks_keeper *keeper, const struct jwks_event *event)
{
    struct fleet *fleet = ctx;
    log_attempt(fleet, keeper, event);
    if (event->from_cache)
        fleet_say_cached(fleet, keeper);
    if (event->ok || event->from_cache)
        publish_keys(fleet);
    fleet_service_status(fleet);
    /* Also after a failure: requests wait for the end of the attempt. */
    broadcast(fleet);
}

void fleet_want_keys(struct fleet *fleet, const struct jwks_status *status)
{
    for (size_t i = 0; i < fleet->n_keepers; i++)
        if (jwks_keeper_status(fleet->keepers[i]) == status &&
            jwks_keeper_request(fleet->keepers[i]))
            return;
    broadcast(fleet); /* nothing will come: those who wait need not */
}

static struct jwks_keeper *new_keeper(struct fleet *fleet, struct config *config,
                                      const struct issuer_config *issuer)
{
    struct jwks_keeper *keeper = jwks_keeper_new(&(struct jwks_keeper_options){
        .loop = fleet->loop,
        .clients = fleet->clients,
        .rng = &fleet->rng,
        .config = config,
        .issuer = issuer,
        .cache = fleet->key_cache,
        .settled = on_settled,
        .ctx = fleet,
    });
    if (keeper != NULL)
        fleet_say_cached(fleet, keeper);
    return keeper;
}

static void free_keepers(struct jwks_keeper **keepers, size_t n)
{
    for (size_t i = 0; keepers != NULL && i < n; i++)
        (void)jwks_keeper_free(keepers[i]);
    free(keepers);
}

int fleet_load_keys(struct fleet *fleet)
{
    const struct config_data *data = config_get(fleet->options.config);
    fleet->tell_timer.fn = on_tell_timer;
    fleet->n_keepers = data->n_issuers;
    fleet->keepers = calloc(data->n_issuers, sizeof(struct jwks_keeper *));
    if (fleet->keepers == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < data->n_issuers; i++) {
        fleet->keepers[i] = new_keeper(fleet, fleet->options.config, &data->issuers[i]);
        if (fleet->keepers[i] == NULL)
            return -ENOMEM;
    }
    fleet->snapshot = make_snapshot(fleet, fleet->options.config, fleet->keepers);
    return fleet->snapshot != NULL ? 0 : -ENOMEM;
}

void fleet_free_keys(struct fleet *fleet)
{
    free_keepers(fleet->keepers, fleet->n_keepers);
    fleet->keepers = NULL;
    fleet->snapshot = snapshot_unref(fleet->snapshot);
    metrics_labels_free(&fleet->labels);
}

/* ---- reload ---- */

static size_t find_keeper(const struct fleet *fleet, const struct issuer_config *issuer)
{
    for (size_t i = 0; i < fleet->n_keepers; i++)
        if (fleet->keepers[i] != NULL && jwks_keeper_serves(fleet->keepers[i], issuer))
            return i;
    return SIZE_MAX;
}

/* The keepers for a new config: those of issuers that stay keep their keys. Nothing changes in the
 * fleet unless all of it worked. */
static int adopt_config(struct fleet *fleet, struct config *config)
{
    const struct config_data *data = config_get(config);
    struct jwks_keeper **keepers = calloc(data->n_issuers, sizeof(struct jwks_keeper *));
    size_t *from = calloc(data->n_issuers, sizeof(size_t));
    struct snapshot *snapshot = NULL;
    bool ok = keepers != NULL && from != NULL;
    for (size_t i = 0; ok && i < data->n_issuers; i++) {
        from[i] = find_keeper(fleet, &data->issuers[i]);
        keepers[i] = from[i] != SIZE_MAX ? fleet->keepers[from[i]]
                                         : new_keeper(fleet, config, &data->issuers[i]);
        ok = keepers[i] != NULL;
    }
    if (ok)
        snapshot = make_snapshot(fleet, config, keepers);
    if (snapshot == NULL) {
        for (size_t i = 0; keepers != NULL && from != NULL && i < data->n_issuers; i++)
            if (from[i] == SIZE_MAX)
                (void)jwks_keeper_free(keepers[i]);
        free(keepers);
        free(from);
        return -ENOMEM;
    }
    for (size_t i = 0; i < data->n_issuers; i++) {
        if (from[i] == SIZE_MAX)
            continue;
        jwks_keeper_move(keepers[i], config, &data->issuers[i]);
        fleet->keepers[from[i]] = NULL;
    }
    free_keepers(fleet->keepers, fleet->n_keepers);
    free(from);
    fleet->keepers = keepers;
    fleet->n_keepers = data->n_issuers;
    (void)snapshot_unref(fleet->snapshot);
    fleet->snapshot = snapshot;
    return 0;
}

/* Certificates may change: the workers take new ones. */
static bool same_listen(const struct listen_address *a, const struct listen_address *b)
{
    return str_eq(a->text, b->text) && (a->tls != NULL) == (b->tls != NULL) &&
           a->has_mode == b->has_mode && a->mode == b->mode;
}

static bool same_listens(const struct fleet_start *a, const struct config_data *b)
{
    if (a->n_listens != b->n_listens)
        return false;
    for (size_t i = 0; i < a->n_listens; i++)
        if (!same_listen(&a->listens[i], &b->listens[i]))
            return false;
    return true;
}

static bool same_admin(const struct fleet_start *a, const struct config_data *b)
{
    return a->has_admin == b->has_admin && (!a->has_admin || str_eq(a->admin.text, b->admin.text));
}

static bool same_text(struct str a, struct str b)
{
    return str_is_set(a) == str_is_set(b) && str_eq(a, b);
}

static bool same_log_format(const struct fleet_start *a, const struct config_data *b)
{
    return a->log_format_set == b->log_format_set && a->log_format == b->log_format;
}

/* What a running process cannot change. */
static void warn_about_restart(struct fleet *fleet, const struct config_data *fresh)
{
    const struct fleet_start *used = &fleet->start;
    const struct limits_config *a = &used->limits;
    const struct limits_config *b = &fresh->limits;
    const struct {
        bool same;
        const char *key;
    } keys[] = {
        {same_listens(used, fresh), "/listen"},
        {same_admin(used, fresh), "/admin"},
        {used->workers == fresh->workers, "/workers"},
        {a->header_bytes == b->header_bytes, "/limits/header"},
        {a->connections == b->connections, "/limits/connections"},
        {a->ip_connections == b->ip_connections, "/limits/ip_connections"},
        {a->client_timeout_ms == b->client_timeout_ms, "/limits/client_timeout"},
        {a->min_rate_bytes == b->min_rate_bytes, "/limits/min_rate"},
        {same_log_format(used, fresh), "/log/format"},
        {same_text(used->log_file, fresh->log_file), "/log/file"},
        {same_text(used->cache_dir, fresh->jwks.cache_dir), "/jwks/cache_dir"},
        {same_text(used->user, fresh->user), "/user"},
        {used->no_sandbox == fresh->no_sandbox, "/insecure/no_sandbox"},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (!keys[i].same)
            LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_WARN, "reload_needs_restart",
                LOG_CSTR("pointer", keys[i].key));
}

static void log_findings(struct fleet *fleet, const struct diag *diag)
{
    for (size_t i = 0; i < diag->count; i++) {
        const struct finding *finding = &diag->items[i];
        bool error = finding->level == DIAG_ERROR;
        LOG(&fleet->log, loop_clock(fleet->loop), error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
            error ? "policy_error" : "policy_warning", LOG_CSTR("pointer", finding->pointer),
            LOG_INT("line", finding->line), LOG_CSTR("text", finding->text));
    }
}

/* Going on with another file than the policy names, or with none, would be an audit that nobody
 * asked for. */
static int refuse_audit_change(struct fleet *fleet)
{
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_ERROR, "reload_needs_restart",
        LOG_CSTR("pointer", "/audit/file"));
    return -EBUSY;
}

static int reload(struct fleet *fleet)
{
    struct diag diag = {0};
    struct config *config = NULL;
    struct config_sources sources = fleet->options.sources;
    sources.now_s = clock_wall_s(loop_clock(fleet->loop));
    sources.read_file = fleet_read_file;
    sources.ctx = fleet;
    int r = config_load(fleet->options.policy_path, &sources, &diag, &config);
    log_findings(fleet, &diag);
    diag_free(&diag);
    if (r == 0 && !same_text(fleet->start.audit_file, config_get(config)->audit.file))
        r = refuse_audit_change(fleet);
    if (r == 0)
        r = fleet_check_sandbox(fleet, config_get(config));
    if (r == 0)
        r = adopt_config(fleet, config);
    if (r == 0)
        fleet_configure_traces(fleet, config);
    (void)config_unref(config);
    if (r < 0) {
        fleet->reloads_failed++;
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_ERROR, "reload_failed",
            LOG_CSTR("policy", "the old policy stays in force"));
        return r;
    }
    fleet->reloads_ok++;
    fleet->ready = false;
    fleet->log.level = fleet->snapshot->data->log_level;
    fleet_take_certificates(fleet);
    warn_about_restart(fleet, fleet->snapshot->data);
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_INFO, "reloaded",
        LOG_INT("routes", fleet->snapshot->data->n_routes),
        LOG_STR("digest", fleet->snapshot->data->digest));
    fleet_say_certificates(fleet);
    fleet_say_ready(fleet);
    broadcast(fleet);
    return 0;
}

void fleet_reload(struct fleet *fleet)
{
    fleet_service_reloading(fleet);
    fleet_service_reloaded(fleet, reload(fleet) == 0);
}
