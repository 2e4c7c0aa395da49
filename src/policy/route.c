/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/route.h"

#include <stdint.h>
#include <stdlib.h>

#include "policy/origin_int.h"

#define WELL_KNOWN STR("/.well-known/oauth-protected-resource")
#define ASSERTION_KEYS STR("/.well-known/portcullis/jwks.json")

/* Places for twice as many routes as there are, a power of two. */
struct route_table {
    const struct config_data *config;
    const struct route *bare; /* whose document the bare well-known path names */
    size_t mask;
    const struct route *places[]; /* NULL: free */
};

/* FNV-1a. The table is full of what the policy says, so there is nothing for a client to choose. */
static size_t hash_path(struct str path)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < path.len; i++)
        hash = (hash ^ (unsigned char)path.ptr[i]) * 16777619U;
    return hash;
}

/* The place of the route mounted at PATH, or the free one where it would be. */
static size_t find_place(const struct route_table *table, struct str path)
{
    size_t at = hash_path(path) & table->mask;
    while (table->places[at] != NULL && !str_eq(table->places[at]->mount, path))
        at = (at + 1) & table->mask;
    return at;
}

/* The document at the bare well-known path: of the route at the root, else of the first one. */
static const struct route *bare_metadata(const struct config_data *config)
{
    for (size_t i = 0; i < config->n_routes; i++)
        if (config->routes[i].mount.len == 0)
            return &config->routes[i];
    return config->n_routes > 0 ? &config->routes[0] : NULL;
}

struct route_table *route_table_new(const struct config_data *config)
{
    size_t n = 2;
    while (n < 2 * config->n_routes)
        n *= 2;
    struct route_table *table = calloc(1, sizeof(*table) + n * sizeof(table->places[0]));
    if (table == NULL)
        return NULL;
    table->config = config;
    table->bare = bare_metadata(config);
    table->mask = n - 1;
    for (size_t i = 0; i < config->n_routes; i++) {
        size_t at = find_place(table, config->routes[i].mount);
        if (table->places[at] == NULL)
            table->places[at] = &config->routes[i];
    }
    return table;
}

struct route_table *route_table_free(struct route_table *table)
{
    free(table);
    return NULL;
}

/* The route mounted at PATH, or at PATH without its final slash; of two the first in the policy. A
 * request target is never empty: the root's mount is found as "/" only. */
static const struct route *find_mount(const struct route_table *table, struct str path)
{
    const struct route *exact = table->places[find_place(table, path)];
    if (path.len == 0 || path.ptr[path.len - 1] != '/')
        return exact;
    const struct route *shorter = table->places[find_place(table, str_head(path, path.len - 1))];
    if (exact == NULL || (shorter != NULL && shorter < exact))
        return shorter;
    return exact;
}

struct route_match route_find(const struct route_table *table, struct str path)
{
    if (str_is_set(table->config->assertion_jwks) && str_eq(path, ASSERTION_KEYS))
        return (struct route_match){.kind = ROUTE_ASSERTION_KEYS};
    bool metadata = str_has_prefix(path, WELL_KNOWN);
    struct str rest = metadata ? str_from(path, WELL_KNOWN.len) : path;
    const struct route *route = find_mount(table, rest);
    if (route == NULL && metadata && (rest.len == 0 || str_eq(rest, STR("/"))))
        route = table->bare;
    if (route == NULL)
        return (struct route_match){.kind = ROUTE_NONE};
    return (struct route_match){.kind = metadata ? ROUTE_METADATA : ROUTE_MCP, .route = route};
}

bool route_origin_allowed(const struct route *route, struct str origin)
{
    char buffer[ORIGIN_MAX_BYTES];
    struct str normal = origin; /* "null" is compared as it is */
    if (!str_eq(origin, STR("null")))
        normal = str_make(buffer, origin_normalise(origin, buffer));
    if (normal.len == 0)
        return false;
    if (route->any_origin || str_eq(normal, route->origin))
        return true;
    for (size_t i = 0; i < route->n_origins; i++)
        if (str_eq(normal, route->origins[i]))
            return true;
    return false;
}
