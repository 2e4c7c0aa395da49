/* SPDX-License-Identifier: Apache-2.0 */
/* What a decision is made of, each part a file. Private to policy/. */
#ifndef POLICY_RULES_INT_H
#define POLICY_RULES_INT_H

#include "policy/rules.h"

/* ---- grants.c: names that a caller may have ---- */

/* A name to look for: TEXT with NAME in place of every {name}; without NAME, TEXT itself. Never
 * put together, so that a look-up needs no memory however long a client's name is. */
struct wanted {
    struct str text;
    struct str name; /* absent: no placeholder in TEXT */
};

/* Whether the caller has it, and if not, whether a token with more scopes could. */
enum verdict grants_look_up(const struct route *route, const struct caller *caller,
                            const struct wanted *wanted);
/* Appends it as it is meant, whatever it is. 0 or -errno. */
int grants_spell(struct buf *out, const struct wanted *wanted);
/* It is a scope-token (RFC 6749 3.3), which a client can ask for. */
bool grants_is_askable(const struct wanted *wanted);
/* Appends it to the space-separated list OUT, unless it is in there or cannot be asked for. 0 or
 * -errno. */
int grants_append(struct buf *out, const struct wanted *wanted);

/* ---- rules_index.c ---- */

/* No rule, where the number of one is asked for. Larger than all of them. */
#define RULES_NONE UINT32_MAX

/* INDEX was made of the rules that ROUTE has now. */
bool rules_index_is_of(const struct rules_index *index, const struct route *route);
/* The number of the first rule with a pattern for TARGET that matches TEXT, if that is smaller than
 * BELOW; else BELOW. */
size_t rules_index_find(const struct rules_index *index, enum mcp_target target, struct str text,
                        size_t below);
/* A rule has patterns for TARGET. */
bool rules_index_has(const struct rules_index *index, enum mcp_target target);
/* A rule has a pattern for TARGET without wildcards that is TEXT. */
bool rules_index_spells_out(const struct rules_index *index, enum mcp_target target,
                            struct str text);

/* ---- rules_resource.c ---- */

/* URI has another spelling, or parts that a server may read as a way up: dot segments,
 * backslashes, escapes of separators, NUL or of characters that need none (RFC 3986 2.3). What a
 * wildcard matches in it may not be what the server opens. */
bool rules_uri_is_odd(struct str uri);

#endif
