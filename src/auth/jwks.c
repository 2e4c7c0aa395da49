/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/jwks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/oauth_meta.h"

#define FIRST_RETRY_MS 1000
#define MAX_RETRY_MS 60000
#define MAX_URL_BYTES 8192

struct jwks_keeper {
    struct jwks_keeper_options options;
    struct jwks_status *status;
    struct keyset *keyset;
    struct keyset *reserve;    /* from the disk, as long as the first attempt has not failed */
    struct jwks_cached cached; /* what was found there */
    struct timer timer;        /* the next attempt */
    struct fetch *fetch;
    struct buf url;      /* of the fetch under way */
    struct buf jwks_uri; /* discovered; empty when unknown */
    size_t discovery_step;
    int64_t retry_ms; /* the next pause after a failure */
};

/* ---- status ---- */

struct jwks_status *jwks_status_ref(struct jwks_status *status)
{
    (void)atomic_fetch_add_explicit(&status->refs, 1, memory_order_relaxed);
    return status;
}

struct jwks_status *jwks_status_unref(struct jwks_status *status)
{
    if (status != NULL && atomic_fetch_sub_explicit(&status->refs, 1, memory_order_acq_rel) == 1)
        free(status);
    return NULL;
}

bool jwks_status_is_pending(const struct jwks_status *status)
{
    return atomic_load(&status->in_flight) || atomic_load(&status->requested);
}

bool jwks_status_may_help(const struct jwks_status *status, const struct keyset *keyset,
                          int64_t cooldown_ms, int64_t now_ms)
{
    int64_t loaded_ms = keyset != NULL ? keyset_loaded_mono_ms(keyset) : JWKS_NEVER_LOADED;
    return jwks_status_is_pending(status) || atomic_load(&status->loaded_ms) > loaded_ms ||
           now_ms - atomic_load(&status->last_start_ms) >= cooldown_ms;
}

/* ---- settings ---- */

static const struct jwks_config *jwks_settings(const struct jwks_keeper *keeper)
{
    return &config_get(keeper->options.config)->jwks;
}

static int64_t now_ms(const struct jwks_keeper *keeper)
{
    return loop_now_ms(keeper->options.loop);
}

/* 10 % either way, so that many daemons do not come at the same moment. */
static int64_t with_jitter(struct jwks_keeper *keeper, int64_t ms)
{
    int64_t tenth = ms / 10;
    if (tenth == 0)
        return ms;
    return ms - tenth + (int64_t)(rng_next(keeper->options.rng) % (uint64_t)(2 * tenth));
}

/* ---- keys of the disk ---- */

static void take_keyset(struct jwks_keeper *keeper, struct keyset *fresh)
{
    (void)keyset_unref(keeper->keyset);
    keeper->keyset = fresh;
    atomic_store(&keeper->status->keys, (unsigned)keyset_count(fresh));
    atomic_store(&keeper->status->loaded_ms, keyset_loaded_mono_ms(fresh));
}

/* True when there was something to take. */
static bool take_reserve(struct jwks_keeper *keeper)
{
    if (keeper->keyset != NULL || keeper->reserve == NULL)
        return false;
    take_keyset(keeper, TAKE(keeper->reserve));
    keeper->cached.in_use = true;
    return true;
}

/* How old keys from the disk may be: never older than those of a process that had gone on. */
static int64_t max_cached_age_ms(const struct jwks_config *jwks)
{
    int64_t usable_ms = jwks->refresh_ms + jwks->max_stale_ms;
    return jwks->cache_max_age_ms > 0 ? jwks->cache_max_age_ms : usable_ms;
}

/* The keys count as loaded when they were fetched, whoever fetched them: their age goes on. */
static void load_reserve(struct jwks_keeper *keeper)
{
    const struct issuer_config *issuer = keeper->options.issuer;
    const struct jwks_config *jwks = jwks_settings(keeper);
    const struct clock *clock = loop_clock(keeper->options.loop);
    CLEANUP(buf_free) struct buf document = buf_make(JWKS_CACHE_MAX_BYTES);
    struct jwks_cached *cached = &keeper->cached;
    struct keyset_report report;
    cached->rc = jwks_cache_load(keeper->options.cache, issuer, clock_wall_s(clock),
                                 max_cached_age_ms(jwks), &cached->fetched_at_s, &document);
    if (cached->rc != JWKS_CACHE_OK)
        return;
    int64_t age_ms = clock->wall_us / 1000 - cached->fetched_at_s * 1000;
    int r = keyset_parse(buf_str(&document), issuer->algorithms, issuer->n_algorithms,
                         now_ms(keeper) - age_ms, &report, &keeper->reserve);
    if (r < 0)
        cached->rc = r == -ENOMEM ? JWKS_CACHE_NO_MEMORY : JWKS_CACHE_KEYS;
    else if (age_ms <= jwks->refresh_ms)
        (void)take_reserve(keeper);
}

/* What was fetched is kept for the next start. A failure is told by the cache itself, but for want
 * of memory, which is no reason to do without the keys. */
static void keep_on_disk(struct jwks_keeper *keeper, struct str document)
{
    if (keeper->options.cache != NULL)
        (void)jwks_cache_save(keeper->options.cache, keeper->options.issuer,
                              str_from_cstr(keeper->url.ptr),
                              clock_wall_s(loop_clock(keeper->options.loop)), document);
}

/* ---- attempts ---- */

static void settle(struct jwks_keeper *keeper, struct jwks_event *event)
{
    event->from_cache = !event->ok && take_reserve(keeper);
    atomic_store(&keeper->status->in_flight, false);
    if (event->ok) {
        (void)atomic_fetch_add(&keeper->status->fetches_ok, 1);
        keeper->retry_ms = FIRST_RETRY_MS;
        event->retry_in_ms = with_jitter(keeper, jwks_settings(keeper)->refresh_ms);
    } else {
        (void)atomic_fetch_add(&keeper->status->fetches_failed, 1);
        /* The place of the keys may have moved: ask again. */
        buf_clear(&keeper->jwks_uri);
        event->retry_in_ms = keeper->retry_ms;
        keeper->retry_ms =
            keeper->retry_ms * 2 < MAX_RETRY_MS ? keeper->retry_ms * 2 : MAX_RETRY_MS;
    }
    (void)loop_timer_in(keeper->options.loop, &keeper->timer, event->retry_in_ms);
    keeper->options.settled(keeper->options.ctx, keeper, event);
}

static void fail(struct jwks_keeper *keeper, const char *step, const char *reason, unsigned status)
{
    struct jwks_event event = {.step = step, .reason = reason, .http_status = status};
    settle(keeper, &event);
}

static bool fetch_url(struct jwks_keeper *keeper, size_t max_bytes,
                      void (*done)(void *ctx, const struct fetch_result *result))
{
    const struct issuer_config *issuer = keeper->options.issuer;
    (void)buf_append_char(&keeper->url, '\0');
    if (buf_failed(&keeper->url))
        return false;
    keeper->fetch =
        fetch_start(keeper->options.clients, &(struct fetch_request){
                                                 .url = keeper->url.ptr,
                                                 .ca_file = issuer->ca_file.ptr,
                                                 .timeout_ms = jwks_settings(keeper)->timeout_ms,
                                                 .max_bytes = max_bytes,
                                                 .done = done,
                                                 .ctx = keeper,
                                             });
    return keeper->fetch != NULL;
}

/* A set that cannot be used never replaces one that can. */
static void take_document(struct jwks_keeper *keeper, struct str document)
{
    const struct issuer_config *issuer = keeper->options.issuer;
    struct jwks_event event = {.ok = true, .step = "jwks"};
    struct keyset *fresh = NULL;
    int r = keyset_parse(document, issuer->algorithms, issuer->n_algorithms, now_ms(keeper),
                         &event.report, &fresh);
    if (r < 0) {
        fail(keeper, "jwks",
             r == -ENOKEY ? "the set has no usable key" : "the answer is not a JWK set", 200);
        return;
    }
    take_keyset(keeper, fresh);
    keeper->reserve = keyset_unref(keeper->reserve);
    keeper->cached.in_use = false;
    keep_on_disk(keeper, document);
    settle(keeper, &event);
}

static void on_jwks(void *ctx, const struct fetch_result *result)
{
    struct jwks_keeper *keeper = ctx;
    keeper->fetch = NULL;
    if (result->rc == FETCH_OK)
        take_document(keeper, result->body);
    else
        fail(keeper, "jwks", result->rc == FETCH_CONNECT ? result->text : fetch_rc_name(result->rc),
             result->status);
}

static void fetch_jwks(struct jwks_keeper *keeper, struct str uri)
{
    buf_clear(&keeper->url);
    (void)buf_append(&keeper->url, uri);
    if (!fetch_url(keeper, KEYSET_MAX_BYTES, on_jwks))
        fail(keeper, "jwks", "the fetch could not be started", 0);
}

static void discover(struct jwks_keeper *keeper);

/* The next well-known place, or the end. */
static void discovery_failed(struct jwks_keeper *keeper, const char *reason, unsigned status)
{
    keeper->discovery_step++;
    buf_clear(&keeper->url);
    if (oauth_meta_url(keeper->options.issuer->issuer, keeper->discovery_step, &keeper->url) == 0)
        discover(keeper);
    else
        fail(keeper, "discovery", reason, status);
}

static void on_metadata(void *ctx, const struct fetch_result *result)
{
    struct jwks_keeper *keeper = ctx;
    const struct issuer_config *issuer = keeper->options.issuer;
    keeper->fetch = NULL;
    if (result->rc != FETCH_OK) {
        discovery_failed(keeper,
                         result->rc == FETCH_CONNECT ? result->text : fetch_rc_name(result->rc),
                         result->status);
        return;
    }
    struct oauth_meta_expected expected = {.issuer = issuer->issuer,
                                           .allow_http = issuer->allow_http};
    buf_clear(&keeper->jwks_uri);
    enum oauth_meta_rc rc = oauth_meta_read(result->body, &expected, &keeper->jwks_uri);
    if (rc == OAUTH_META_OK)
        fetch_jwks(keeper, buf_str(&keeper->jwks_uri));
    else
        discovery_failed(keeper, oauth_meta_rc_text(rc), result->status);
}

static void discover(struct jwks_keeper *keeper)
{
    if (!fetch_url(keeper, OAUTH_META_MAX_BYTES, on_metadata))
        fail(keeper, "discovery", "the fetch could not be started", 0);
}

static void attempt(struct jwks_keeper *keeper)
{
    const struct issuer_config *issuer = keeper->options.issuer;
    loop_timer_stop(keeper->options.loop, &keeper->timer);
    atomic_store(&keeper->status->last_start_ms, now_ms(keeper));
    atomic_store(&keeper->status->in_flight, true);
    atomic_store(&keeper->status->requested, false);
    if (str_is_set(issuer->jwks_uri)) {
        fetch_jwks(keeper, issuer->jwks_uri);
    } else if (keeper->jwks_uri.len > 0) {
        fetch_jwks(keeper, buf_str(&keeper->jwks_uri));
    } else {
        keeper->discovery_step = 0;
        buf_clear(&keeper->url);
        (void)oauth_meta_url(issuer->issuer, 0, &keeper->url);
        discover(keeper);
    }
}

static void on_timer(struct timer *timer)
{
    attempt(CONTAINER_OF(timer, struct jwks_keeper, timer));
}

bool jwks_keeper_request(struct jwks_keeper *keeper)
{
    int64_t since = now_ms(keeper) - atomic_load(&keeper->status->last_start_ms);
    if (keeper->fetch == NULL && since >= jwks_settings(keeper)->unknown_kid_cooldown_ms)
        attempt(keeper);
    /* Last, so that the status is pending without a gap from the letter to the end of the fetch. */
    atomic_store(&keeper->status->requested, false);
    return keeper->fetch != NULL;
}

/* ---- life ---- */

struct jwks_keeper *jwks_keeper_new(const struct jwks_keeper_options *options)
{
    struct jwks_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL)
        return NULL;
    keeper->options = *options;
    keeper->timer.fn = on_timer;
    keeper->url = buf_make(MAX_URL_BYTES);
    keeper->jwks_uri = buf_make(MAX_URL_BYTES);
    keeper->retry_ms = FIRST_RETRY_MS;
    (void)config_ref(options->config);
    keeper->status = calloc(1, sizeof(*keeper->status));
    if (keeper->status == NULL)
        return jwks_keeper_free(keeper);
    atomic_store(&keeper->status->refs, 1);
    atomic_store(&keeper->status->in_flight, true);
    atomic_store(&keeper->status->last_start_ms, now_ms(keeper));
    atomic_store(&keeper->status->loaded_ms, JWKS_NEVER_LOADED);
    keeper->cached.rc = JWKS_CACHE_NONE;
    if (options->cache != NULL)
        load_reserve(keeper);
    (void)loop_timer_in(options->loop, &keeper->timer, 0);
    return keeper;
}

struct jwks_keeper *jwks_keeper_free(struct jwks_keeper *keeper)
{
    if (keeper == NULL)
        return NULL;
    loop_timer_stop(keeper->options.loop, &keeper->timer);
    (void)fetch_cancel(keeper->fetch);
    (void)keyset_unref(keeper->keyset);
    (void)keyset_unref(keeper->reserve);
    if (keeper->status != NULL) /* it may outlive us; nothing will come for those who wait */
        atomic_store(&keeper->status->in_flight, false);
    (void)jwks_status_unref(keeper->status);
    buf_free(&keeper->url);
    buf_free(&keeper->jwks_uri);
    (void)config_unref(keeper->options.config);
    free(keeper);
    return NULL;
}

void jwks_keeper_move(struct jwks_keeper *keeper, struct config *config,
                      const struct issuer_config *issuer)
{
    (void)config_ref(config);
    (void)config_unref(keeper->options.config);
    keeper->options.config = config;
    keeper->options.issuer = issuer;
}

bool jwks_keeper_serves(const struct jwks_keeper *keeper, const struct issuer_config *issuer)
{
    const struct issuer_config *own = keeper->options.issuer;
    if (!str_eq(own->issuer, issuer->issuer) || !str_eq(own->jwks_uri, issuer->jwks_uri) ||
        !str_eq(own->trust, issuer->trust) || own->n_algorithms != issuer->n_algorithms)
        return false;
    for (size_t i = 0; i < own->n_algorithms; i++)
        if (!str_eq(own->algorithms[i], issuer->algorithms[i]))
            return false;
    return true;
}

struct keyset *jwks_keeper_keyset(const struct jwks_keeper *keeper)
{
    return keeper->keyset;
}

struct jwks_cached jwks_keeper_cached(const struct jwks_keeper *keeper)
{
    return keeper->cached;
}

struct jwks_status *jwks_keeper_status(const struct jwks_keeper *keeper)
{
    return keeper->status;
}

const struct issuer_config *jwks_keeper_issuer(const struct jwks_keeper *keeper)
{
    return keeper->options.issuer;
}
