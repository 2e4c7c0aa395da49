/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call what: the decision on one call (rules 22 and 23 of docs/TOKENS.md, docs/POLICY.md).
 * Pure: the claims and the call are arguments; `portcullis explain`, the policy's own tests, the
 * list filter and the gate all ask here.
 *
 * The first rule that matches the call by kind and glob decides; a rule whose requirements are not
 * met denies, it never passes on to the next one. Without a matching rule, methods that every
 * session needs (mcp_is_free()) are allowed and all others go by the route's default. */
#ifndef POLICY_RULES_H
#define POLICY_RULES_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "policy/config.h"
#include "proto/mcp.h"

/* What a verified token grants. */
struct caller {
    struct str scope;     /* the scope claim; absent when there is none */
    const json_t *claims; /* the payload; permissions are read from it */
};

enum verdict {
    VERDICT_ALLOW,
    VERDICT_STEP_UP,   /* a token with more scopes would be allowed */
    VERDICT_FORBIDDEN, /* no consent could help */
};
/* "allow", "step_up", "forbidden". */
const char *verdict_name(enum verdict verdict);

struct decision {
    enum verdict verdict;
    const char *reason; /* static, for logs, metrics and audit: "rule_allows", "default_denies";
                           docs/POLICY.md lists them */
    const char *description; /* static, one sentence for the client */
    const struct rule *rule; /* the one that decided; NULL: none matched */
};

/* The caller holds NAME: in the places that route->authorize_on says, directly or by
 * scope_implies. */
bool rules_grants(const struct route *route, const struct caller *caller, struct str name);
/* Rule 22: every scope of the route. What is missing can be had by step-up unless authorize_on is
 * "permissions" (or "both" and it is missing there): *ret_verdict says which. */
bool rules_has_route_scopes(const struct route *route, const struct caller *caller,
                            enum verdict *ret_verdict);

/* Decides one call of a caller who has passed the route. */
struct decision rules_decide(const struct route *route, const struct caller *caller,
                             const struct mcp_call *call);

/* Rules 22 and 23 in one: rules_decide(), and where it does not forbid, the scopes of the route
 * ("route_scope_missing"; the decision keeps the rule, so that rules_append_needed() lists the
 * scopes of both). CALL is NULL for a response of the client, which needs the route's only. */
struct decision rules_judge(const struct route *route, const struct caller *caller,
                            const struct mcp_call *call);

/* Appends every scope that a token needs for CALL under DECISION, those of the route first, to the
 * space-separated list OUT, each once (so that several calls make one list). Nothing that is no
 * scope-token gets there. 0 or -errno. */
int rules_append_needed(const struct route *route, const struct decision *decision,
                        const struct mcp_call *call, struct buf *out);

/* Finds the first rule that matches without trying them one by one: the decisions are the same, and
 * cost little more with a thousand rules than with ten. Borrows from the rules of ROUTE; lives as
 * long as ARENA; its size goes with that of the patterns. NULL when memory is short. Becomes
 * route->rules_index; a route without one, or with one of other rules, tries them one by one. */
const struct rules_index *rules_index_make(struct arena *arena, const struct route *route);

/* One caller and many calls, such as the entries of a list: what the caller meets of a rule is
 * found out once for all calls that the rule decides. Borrows all that it has. */
struct rules_asker {
    const struct route *route;
    const struct caller *caller;
    uint8_t *known; /* a byte for each rule of the route, 0 at first; private. NULL: none */
};
/* As rules_decide(). */
struct decision rules_ask(const struct rules_asker *asker, const struct mcp_call *call);

/* True when a call of this route can be denied by a rule or the default, so that lists have to be
 * filtered. */
bool rules_can_deny(const struct route *route);

/* ---- what a rule asks, one by one, for people ---- */

/* What the caller has under that name or pointer; NULL: nothing. */
const json_t *rules_claim_value(const struct rule_claim *claim, const json_t *claims);
/* The claim is there and has, or is an array with, one of the values. */
bool rules_claim_holds(const struct rule_claim *claim, const json_t *claims);
/* Appends the permission that RULE asks for CALL, with every {name} replaced; nothing when it asks
 * for none. 0 or -errno. */
int rules_append_permission(const struct rule *rule, const struct mcp_call *call, struct buf *out);

/* ---- globs ---- */

/* PATTERN: '*' any bytes, also none and also '/', '?' one character (UTF-8), '\' takes the next one
 * as it is; anything else is itself. At worst the length of TEXT times that of PATTERN. */
bool glob_match(struct str pattern, struct str text);
/* Every text that B matches is matched by A; false when that cannot be shown. */
bool glob_covers(struct str a, struct str b);
/* No wildcard in it: it matches one text. */
bool glob_is_plain(struct str pattern);
/* NULL, or what is wrong with it ("ends in a backslash"). */
const char *glob_fault(struct str pattern);

#endif
