/* SPDX-License-Identifier: Apache-2.0 */
/* The policy and the keys of one moment: immutable, counted, shared by all threads.
 *
 * The fleet makes a new one for every reload and whenever keys change, and posts it to the workers;
 * a transaction holds the one it was born with. */
#ifndef GATE_SNAPSHOT_H
#define GATE_SNAPSHOT_H

#include <stddef.h>

#include "auth/jwks.h"
#include "auth/keyset.h"
#include "auth/session.h"
#include "base/secret.h"
#include "policy/config.h"
#include "policy/route.h"

struct snapshot {
    atomic_uint refs;
    struct config *config;          /* a reference */
    const struct config_data *data; /* of CONFIG */
    struct route_table *table;      /* of its routes */
    struct keyset **keysets;        /* one per issuer, references, NULL: never loaded */
    struct jwks_status **statuses;  /* one per issuer, references */
    size_t *labels;                 /* the metrics label of every route */
    uint8_t session_key[SESSION_KEY_LEN];
    uint8_t rate_key[SHA256_LEN]; /* of names in the shared store: the same in all replicas */
};

/* Takes a reference of CONFIG and makes its table; all else is zeroed, to be filled before it is
 * shared. NULL when memory is short. */
struct snapshot *snapshot_new(struct config *config);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
struct snapshot *snapshot_unref(struct snapshot *snapshot); /* takes NULL, returns NULL */

#endif
