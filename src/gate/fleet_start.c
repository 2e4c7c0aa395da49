/* SPDX-License-Identifier: Apache-2.0 */
/* What the process was started with and no reload changes, copied out of the first policy: so that
 * policy, and every secret in it, goes with the first reload as any other does. */
#include <errno.h>

#include "gate/fleet_int.h"
#include "proto/tls.h"

/* The strings of a policy are no longer than its file; a block for those of most. */
#define FIRST_BLOCK_BYTES 2048
#define MAX_BYTES (2U * CONFIG_MAX_FILE_BYTES)

static struct str keep(struct fleet_start *start, struct str text)
{
    struct str copy = str_is_set(text) ? arena_str(start->arena, text) : (struct str){0};
    if (str_is_set(text) && !str_is_set(copy))
        start->fault = -ENOMEM;
    return copy;
}

static struct listen_address keep_address(struct fleet_start *start,
                                          const struct listen_address *address)
{
    struct listen_address copy = *address;
    copy.text = keep(start, address->text);
    copy.fd_name = keep(start, address->fd_name);
    if (copy.tls != NULL)
        (void)tls_context_ref(copy.tls);
    return copy;
}

static void keep_listens(struct fleet_start *start, const struct config_data *data)
{
    start->listens = arena_zalloc(start->arena, data->n_listens * sizeof(*start->listens));
    if (start->listens == NULL) {
        start->fault = -ENOMEM;
        return;
    }
    for (size_t i = 0; i < data->n_listens; i++)
        start->listens[start->n_listens++] = keep_address(start, &data->listens[i]);
}

int fleet_start_keep(struct fleet_start *start, const struct config_data *data)
{
    *start = (struct fleet_start){
        .arena = arena_new(FIRST_BLOCK_BYTES, MAX_BYTES),
        .has_admin = data->has_admin,
        .workers = data->workers,
        .limits = data->limits,
        .log_format_set = data->log_format_set,
        .log_format = data->log_format,
        .no_sandbox = data->no_sandbox,
    };
    start->limits.store = (struct store_config){0}; /* a reload may change it; it has a password */
    if (start->arena == NULL)
        return -ENOMEM;
    keep_listens(start, data);
    if (data->has_admin)
        start->admin = keep_address(start, &data->admin);
    start->log_file = keep(start, data->log_file);
    start->audit_file = keep(start, data->audit.file);
    start->cache_dir = keep(start, data->jwks.cache_dir);
    start->user = keep(start, data->user);
    return start->fault;
}

void fleet_start_forget(struct fleet_start *start)
{
    for (size_t i = 0; i < start->n_listens; i++)
        (void)tls_context_unref(start->listens[i].tls);
    *start = (struct fleet_start){.arena = arena_free(start->arena)};
}
