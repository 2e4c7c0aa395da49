/* SPDX-License-Identifier: Apache-2.0 */
/* The life cycle of one issuer's keys (docs/TOKENS.md, "The life of keys"): first fetch, background
 * refresh, retries, discovery, and the single extra fetch that an unknown kid may cause.
 *
 * A keeper lives on the fleet's loop. What other threads may look at without a letter is its
 * status, a few atomics that are counted on their own, so that they outlive the keeper. */
#ifndef AUTH_JWKS_H
#define AUTH_JWKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/jwks_cache.h"
#include "auth/keyset.h"
#include "base/rand.h"
#include "net/client.h"
#include "net/loop.h"
#include "policy/config.h"

/* When keys were loaded that never were. Keys from the disk may be older than the machine's clock:
 * their time can be negative. */
#define JWKS_NEVER_LOADED INT64_MIN

/* Written by the fleet thread (REQUESTED: by all), read by all. Times are monotonic, in ms. */
struct jwks_status {
    atomic_uint refs;
    atomic_bool in_flight;
    atomic_bool requested; /* a worker has asked and the fleet has not looked yet */
    _Atomic int64_t last_start_ms;
    _Atomic int64_t loaded_ms; /* keyset_loaded_mono_ms() of the newest keys, or
                                 JWKS_NEVER_LOADED */
    atomic_uint keys;
    atomic_ullong fetches_ok;
    atomic_ullong fetches_failed;
};
struct jwks_status *jwks_status_ref(struct jwks_status *status);
struct jwks_status *jwks_status_unref(struct jwks_status *status); /* takes NULL, returns NULL */

/* A fetch is under way or asked for. */
bool jwks_status_is_pending(const struct jwks_status *status);
/* Is it worth waiting for a key that KEYSET (NULL: no keys yet) lacks: is a fetch pending, may one
 * begin now, or are newer keys on their way to this thread? Pure but for the atomics. */
bool jwks_status_may_help(const struct jwks_status *status, const struct keyset *keyset,
                          int64_t cooldown_ms, int64_t now_ms);

struct jwks_keeper;

/* One finished attempt, for the log. */
struct jwks_event {
    bool ok;
    const char *step;   /* "discovery" or "jwks" */
    const char *reason; /* static text; NULL when ok */
    unsigned http_status;
    struct keyset_report report; /* when ok */
    bool from_cache;             /* it failed, and the keys of the disk are in use from now on */
    int64_t retry_in_ms;
};

/* What became of the file that an earlier process left. */
struct jwks_cached {
    enum jwks_cache_rc rc;
    int64_t fetched_at_s; /* wall clock, when OK */
    bool in_use;          /* nothing newer was fetched yet */
};

struct jwks_keeper_options {
    struct loop *loop;
    struct client_pool *clients;
    struct rng *rng;                    /* for the jitter */
    struct config *config;              /* a reference is taken */
    const struct issuer_config *issuer; /* in CONFIG */
    struct jwks_cache *cache;           /* NULL: off; outlives the keeper */
    /* After every attempt, successful or not. The keyset may have changed. */
    void (*settled)(void *ctx, struct jwks_keeper *keeper, const struct jwks_event *event);
    void *ctx;
};

/* Starts the first fetch at once. Keys on the disk that are younger than jwks.refresh are in use
 * from the first moment, as they would be in a process that had gone on; older ones only after the
 * first attempt has failed. None of them ever takes the place of a fetched one. NULL when memory is
 * short. */
struct jwks_keeper *jwks_keeper_new(const struct jwks_keeper_options *options);
struct jwks_keeper *jwks_keeper_free(struct jwks_keeper *keeper);

/* Takes over the settings of a new config in which ISSUER is the same issuer
 * (jwks_keeper_serves()). */
void jwks_keeper_move(struct jwks_keeper *keeper, struct config *config,
                      const struct issuer_config *issuer);
bool jwks_keeper_serves(const struct jwks_keeper *keeper, const struct issuer_config *issuer);

/* A kid that the keyset does not have. True when a fetch is under way afterwards; false in the
 * cool-down. */
bool jwks_keeper_request(struct jwks_keeper *keeper);

/* The last good keys, or NULL. Borrows. */
struct keyset *jwks_keeper_keyset(const struct jwks_keeper *keeper);
struct jwks_cached jwks_keeper_cached(const struct jwks_keeper *keeper);
struct jwks_status *jwks_keeper_status(const struct jwks_keeper *keeper);
const struct issuer_config *jwks_keeper_issuer(const struct jwks_keeper *keeper);

#endif
