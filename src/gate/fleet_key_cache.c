/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of the last good keys (jwks.cache_dir): opened at the start, and what the log says
 * about it. */
#include <string.h>

#include "gate/fleet_int.h"

/* For what was fetched last, at the stop. */
#define CLOSE_WAIT_MS 2000

/* Once when it begins to fail, and once when it works again: it is tried with every refresh. */
static void on_written(void *ctx, const char *name, int fault)
{
    struct fleet *fleet = ctx;
    const struct clock *clock = loop_clock(fleet->loop);
    if (fault < 0)
        fleet->key_cache_failures++;
    if (fault < 0 && !fleet->key_cache_failing)
        LOG(&fleet->log, clock, LOG_LEVEL_WARN, "jwks_cache_failing", LOG_CSTR("file", name),
            LOG_CSTR("reason", strerrordesc_np(-fault)));
    if (fault == 0 && fleet->key_cache_failing)
        LOG(&fleet->log, clock, LOG_LEVEL_INFO, "jwks_cache_works_again", LOG_CSTR("file", name));
    fleet->key_cache_failing = fault < 0;
}

int fleet_open_key_cache(struct fleet *fleet)
{
    const struct str dir = fleet->start.cache_dir;
    const struct clock *clock = loop_clock(fleet->loop);
    if (!str_is_set(dir))
        return 0;
    int r = jwks_cache_open(
        &(struct jwks_cache_options){
            .dir = dir.ptr, .written = on_written, .ctx = fleet, .mailbox = fleet->mailbox},
        &fleet->key_cache);
    if (r < 0) {
        LOG(&fleet->log, clock, LOG_LEVEL_ERROR, "jwks_cache_open_failed",
            LOG_CSTR("key", "jwks.cache_dir"), LOG_STR("dir", dir),
            LOG_CSTR("reason", strerrordesc_np(-r)));
        return r;
    }
    if (jwks_cache_write_fault(fleet->key_cache) < 0)
        on_written(fleet, dir.ptr, jwks_cache_write_fault(fleet->key_cache));
    if (jwks_cache_is_open_to_others(fleet->key_cache))
        LOG(&fleet->log, clock, LOG_LEVEL_WARN, "jwks_cache_open_to_others", LOG_STR("dir", dir));
    return 0;
}

void fleet_close_key_cache(struct fleet *fleet)
{
    fleet->key_cache = jwks_cache_close(fleet->key_cache, CLOSE_WAIT_MS);
}

void fleet_say_cached(struct fleet *fleet, const struct jwks_keeper *keeper)
{
    const struct clock *clock = loop_clock(fleet->loop);
    const struct str issuer = jwks_keeper_issuer(keeper)->issuer;
    const struct jwks_cached cached = jwks_keeper_cached(keeper);
    if (cached.rc == JWKS_CACHE_NONE)
        return;
    if (cached.rc != JWKS_CACHE_OK)
        LOG(&fleet->log, clock, LOG_LEVEL_WARN, "jwks_cache_refused", LOG_STR("issuer", issuer),
            LOG_CSTR("reason", jwks_cache_rc_text(cached.rc)));
    else if (cached.in_use)
        LOG(&fleet->log, clock, LOG_LEVEL_WARN, "jwks_from_cache", LOG_STR("issuer", issuer),
            LOG_INT("keys", keyset_count(jwks_keeper_keyset(keeper))),
            LOG_INT("age_s", clock_wall_s(clock) - cached.fetched_at_s));
}
