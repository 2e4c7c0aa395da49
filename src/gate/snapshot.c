/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/snapshot.h"

#include <stdlib.h>

#include "base/secret.h"

struct snapshot *snapshot_new(struct config *config)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL)
        return NULL;
    atomic_store(&snapshot->refs, 1);
    snapshot->config = config_ref(config);
    snapshot->data = config_get(config);
    snapshot->table = route_table_new(snapshot->data);
    snapshot->keysets = calloc(snapshot->data->n_issuers, sizeof(struct keyset *));
    snapshot->statuses = calloc(snapshot->data->n_issuers, sizeof(struct jwks_status *));
    snapshot->labels = calloc(snapshot->data->n_routes, sizeof(size_t));
    if (snapshot->table == NULL || snapshot->keysets == NULL || snapshot->statuses == NULL ||
        snapshot->labels == NULL)
        return snapshot_unref(snapshot);
    return snapshot;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    (void)atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

struct snapshot *snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL ||
        atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (size_t i = 0; i < snapshot->data->n_issuers; i++) {
        if (snapshot->keysets != NULL)
            (void)keyset_unref(snapshot->keysets[i]);
        if (snapshot->statuses != NULL)
            (void)jwks_status_unref(snapshot->statuses[i]);
    }
    snapshot->table = route_table_free(snapshot->table);
    free(snapshot->keysets);
    free(snapshot->statuses);
    free(snapshot->labels);
    (void)config_unref(snapshot->config);
    secret_wipe(snapshot->session_key, sizeof(snapshot->session_key));
    secret_wipe(snapshot->rate_key, sizeof(snapshot->rate_key));
    free(snapshot);
    return NULL;
}
