/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/route.h"

#include "policy/origin_int.h"

#define WELL_KNOWN STR("/.well-known/oauth-protected-resource")
#define ASSERTION_KEYS STR("/.well-known/portcullis/jwks.json")

/* PATH is BASE, or BASE and one slash. */
static bool path_is(struct str path, struct str base)
{
    if (path.len == base.len + 1 && path.ptr[base.len] == '/')
        path.len--;
    return str_eq(path, base);
}

/* The document at the bare well-known path: of the route at the root, else of the first one. */
static const struct route *bare_metadata(const struct config_data *config)
{
    for (size_t i = 0; i < config->n_routes; i++)
        if (config->routes[i].mount.len == 0)
            return &config->routes[i];
    return config->n_routes > 0 ? &config->routes[0] : NULL;
}

struct route_match route_find(const struct config_data *config, struct str path)
{
    if (str_is_set(config->assertion_jwks) && str_eq(path, ASSERTION_KEYS))
        return (struct route_match){.kind = ROUTE_ASSERTION_KEYS};
    bool metadata = str_has_prefix(path, WELL_KNOWN);
    struct str rest = metadata ? str_from(path, WELL_KNOWN.len) : path;
    enum route_kind kind = metadata ? ROUTE_METADATA : ROUTE_MCP;
    for (size_t i = 0; i < config->n_routes; i++) {
        const struct route *route = &config->routes[i];
        /* A request target is never empty: the root's mount is found as "/" only. */
        if (path_is(rest, route->mount))
            return (struct route_match){.kind = kind, .route = route};
    }
    if (metadata && path_is(rest, STR("")))
        return (struct route_match){.kind = kind, .route = bare_metadata(config)};
    return (struct route_match){.kind = ROUTE_NONE};
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
