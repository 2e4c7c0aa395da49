/* SPDX-License-Identifier: Apache-2.0 */
/* From the raw request target to what it names: a route's mount point, a metadata document, or
 * nothing. Pure; compares raw bytes: what is not spelled exactly like the policy is not found. */
#ifndef POLICY_ROUTE_H
#define POLICY_ROUTE_H

#include "base/arena.h"
#include "base/str.h"
#include "policy/config.h"

enum route_kind {
    ROUTE_NONE,
    ROUTE_MCP,
    ROUTE_METADATA,
    ROUTE_ASSERTION_KEYS, /* /.well-known/portcullis/jwks.json, when a route has an assertion */
};

struct route_table;

struct route_match {
    enum route_kind kind;
    const struct route *route; /* NULL unless ROUTE_MCP or ROUTE_METADATA */
};

/* The routes of one config by their mount paths: what a look-up costs does not grow with their
 * number. Immutable, so threads may share it. It borrows from CONFIG. NULL when memory is short. */
struct route_table *route_table_new(const struct config_data *config);
struct route_table *route_table_free(struct route_table *table); /* takes NULL, returns NULL */

/* PATH is the raw path of the request target, without query. The mount path matches with and
 * without one final slash; so does the metadata path; the bare well-known path names the route
 * mounted at the root, else the first route. */
struct route_match route_find(const struct route_table *table, struct str path);

/* True when ORIGIN (one Origin header value) may call the route: its own origin, one of the
 * configured ones, or any when "*" is. Compares scheme and host without case, and knows default
 * ports. "null" only with "*" or when configured. */
bool route_origin_allowed(const struct route *route, struct str origin);

/* Fills claims_read of ROUTE, whose rules, identity headers and assertion are there; it borrows
 * from them and from ARENA. 0 or -ENOMEM. */
int route_list_claims(struct arena *arena, struct route *route);

#endif
