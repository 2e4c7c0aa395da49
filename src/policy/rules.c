/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/rules.h"

#include "base/err.h"
#include "policy/rules_int.h"

const char *verdict_name(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_ALLOW:
        return "allow";
    case VERDICT_STEP_UP:
        return "step_up";
    case VERDICT_FORBIDDEN:
        return "forbidden";
    }
    return "forbidden";
}

/* ---- granted names ---- */

bool rules_grants(const struct route *route, const struct caller *caller, struct str name)
{
    const struct wanted wanted = {.text = name};
    return name.len > 0 && grants_look_up(route, caller, &wanted) == VERDICT_ALLOW;
}

/* The worst of both: one thing that no consent can help decides. */
static enum verdict worst(enum verdict a, enum verdict b)
{
    return a > b ? a : b;
}

static enum verdict look_up_all(const struct route *route, const struct caller *caller,
                                const struct str *list, size_t count)
{
    enum verdict verdict = VERDICT_ALLOW;
    for (size_t i = 0; i < count && verdict != VERDICT_FORBIDDEN; i++)
        verdict = worst(verdict, grants_look_up(route, caller, &(struct wanted){.text = list[i]}));
    return verdict;
}

bool rules_has_route_scopes(const struct route *route, const struct caller *caller,
                            enum verdict *ret_verdict)
{
    *ret_verdict = look_up_all(route, caller, route->scopes, route->n_scopes);
    return *ret_verdict == VERDICT_ALLOW;
}

/* ---- which rule ---- */

/* A call, and what the form of its URI means for globs. */
struct target {
    const struct mcp_call *call;
    bool odd; /* no wildcard may match it: see rules_uri_is_odd() */
};

enum match {
    MATCH_NONE,
    MATCH_YES,
    MATCH_WALKED_OUT, /* by a wildcard, and the URI is odd */
};

static bool matches_any(const struct globs *globs, struct str text)
{
    for (size_t i = 0; i < globs->n; i++)
        if (glob_match(globs->items[i], text))
            return true;
    return false;
}

static bool is_spelled_out(const struct globs *globs, struct str text)
{
    for (size_t i = 0; i < globs->n; i++)
        if (glob_is_plain(globs->items[i]) && glob_match(globs->items[i], text))
            return true;
    return false;
}

static enum match match_rule(const struct rule *rule, const struct target *target)
{
    const struct mcp_call *call = target->call;
    if (matches_any(&rule->targets[MCP_NO_TARGET], call->method))
        return MATCH_YES;
    if (call->target == MCP_NO_TARGET)
        return MATCH_NONE;
    const struct globs *globs = &rule->targets[call->target];
    if (!matches_any(globs, call->name))
        return MATCH_NONE;
    return target->odd && !is_spelled_out(globs, call->name) ? MATCH_WALKED_OUT : MATCH_YES;
}

static bool has_resource_globs(const struct route *route)
{
    if (rules_index_is_of(route->rules_index, route))
        return rules_index_has(route->rules_index, MCP_RESOURCE);
    for (size_t i = 0; i < route->n_rules; i++)
        if (route->rules[i].targets[MCP_RESOURCE].n > 0)
            return true;
    return false;
}

static bool is_spelled_out_somewhere(const struct route *route, struct str uri)
{
    if (rules_index_is_of(route->rules_index, route))
        return rules_index_spells_out(route->rules_index, MCP_RESOURCE, uri);
    for (size_t i = 0; i < route->n_rules; i++)
        if (is_spelled_out(&route->rules[i].targets[MCP_RESOURCE], uri))
            return true;
    return false;
}

/* The first rule that matches, how it does in *RET_MATCH; NULL and MATCH_NONE without one. */
static const struct rule *find_one_by_one(const struct route *route, const struct target *target,
                                          enum match *ret_match)
{
    for (size_t i = 0; i < route->n_rules; i++) {
        *ret_match = match_rule(&route->rules[i], target);
        if (*ret_match != MATCH_NONE)
            return &route->rules[i];
    }
    return NULL;
}

/* The same. */
static const struct rule *find_rule(const struct route *route, const struct target *target,
                                    enum match *ret_match)
{
    const struct mcp_call *call = target->call;
    *ret_match = MATCH_NONE;
    if (!rules_index_is_of(route->rules_index, route))
        return find_one_by_one(route, target, ret_match);
    size_t found = rules_index_find(route->rules_index, MCP_NO_TARGET, call->method, RULES_NONE);
    if (call->target != MCP_NO_TARGET)
        found = rules_index_find(route->rules_index, call->target, call->name, found);
    if (found == RULES_NONE)
        return NULL;
    *ret_match = target->odd ? match_rule(&route->rules[found], target) : MATCH_YES;
    return &route->rules[found];
}

/* ---- what it says ---- */

static bool holds_claims(const struct rule *rule, const json_t *claims)
{
    for (size_t i = 0; i < rule->n_claims; i++)
        if (!rules_claim_holds(&rule->claims[i], claims))
            return false;
    return true;
}

/* What {name} stands for. */
static struct wanted permission_of(const struct rule *rule, const struct mcp_call *call)
{
    return (struct wanted){
        .text = rule->permission,
        .name = call->target != MCP_NO_TARGET ? call->name : call->method,
    };
}

static enum verdict look_up_permission(const struct route *route, const struct caller *caller,
                                       const struct rule *rule, const struct mcp_call *call)
{
    const struct wanted permission = permission_of(rule, call);
    if (!str_is_set(rule->permission))
        return VERDICT_ALLOW;
    enum verdict verdict = grants_look_up(route, caller, &permission);
    return verdict == VERDICT_STEP_UP && !grants_is_askable(&permission) ? VERDICT_FORBIDDEN
                                                                         : verdict;
}

enum reason {
    REASON_RULE_ALLOWS,
    REASON_RULE_MET,
    REASON_RULE_DENIES,
    REASON_CLAIM_MISMATCH,
    REASON_SCOPE_MISSING,
    REASON_PERMISSION_MISSING,
    REASON_ROUTE_SCOPE_MISSING,
    REASON_RESOURCE_NOT_PLAIN,
    REASON_DEFAULT_ALLOWS,
    REASON_DEFAULT_DENIES,
    REASON_FREE_METHOD,
    REASON_RESPONSE,
};

/* The descriptions go into challenges: RFC 6750 3, no quotes and backslashes. */
static const struct {
    const char *name;
    const char *description;
} reasons[] = {
    [REASON_RULE_ALLOWS] = {"rule_allows", "This call is open to every caller"},
    [REASON_RULE_MET] = {"rule_met", "The access token has what this call needs"},
    [REASON_RULE_DENIES] = {"rule_denies", "This call is not open to anybody"},
    [REASON_CLAIM_MISMATCH] = {"claim_mismatch",
                               "This call is for other callers, and no scope would change that"},
    [REASON_SCOPE_MISSING] = {"scope_missing",
                              "The access token lacks a scope that this call needs"},
    [REASON_PERMISSION_MISSING] = {"permission_missing",
                                   "The access token lacks the permission that this call needs"},
    [REASON_ROUTE_SCOPE_MISSING] = {"route_scope_missing",
                                    "The access token lacks a scope that every call needs"},
    [REASON_RESOURCE_NOT_PLAIN] =
        {"resource_not_plain",
         "The URI of the resource has dot segments, backslashes or needless escapes"},
    [REASON_DEFAULT_ALLOWS] = {"default_allows", "This call is open to every caller"},
    [REASON_DEFAULT_DENIES] = {"default_denies", "This call is not open to anybody"},
    [REASON_FREE_METHOD] = {"free_method", "This method is open to every caller"},
    [REASON_RESPONSE] = {"response", "Answers of the client are open to every caller"},
};

static struct decision decided(enum verdict verdict, enum reason reason, const struct rule *rule)
{
    return (struct decision){
        .verdict = verdict,
        .reason = reasons[reason].name,
        .description = reasons[reason].description,
        .rule = rule,
    };
}

/* What a caller meets of a rule whatever the call is: struct rules_asker.known. */
enum known {
    KNOWN_NOT,
    KNOWN_CLAIM_MISMATCH,
    KNOWN_SCOPES, /* and more: the verdict on the scopes */
};

static uint8_t find_out(const struct rules_asker *asker, const struct rule *rule)
{
    if (!holds_claims(rule, asker->caller->claims))
        return KNOWN_CLAIM_MISMATCH;
    return (uint8_t)(KNOWN_SCOPES +
                     look_up_all(asker->route, asker->caller, rule->scopes, rule->n_scopes));
}

static uint8_t know(const struct rules_asker *asker, const struct rule *rule)
{
    if (asker->known == NULL)
        return find_out(asker, rule);
    uint8_t *known = &asker->known[rule - asker->route->rules];
    if (*known == KNOWN_NOT)
        *known = find_out(asker, rule);
    return *known;
}

static struct decision require(const struct rules_asker *asker, const struct rule *rule,
                               const struct mcp_call *call)
{
    const uint8_t known = know(asker, rule);
    if (known == KNOWN_CLAIM_MISMATCH)
        return decided(VERDICT_FORBIDDEN, REASON_CLAIM_MISMATCH, rule);
    enum verdict scopes = (enum verdict)(known - KNOWN_SCOPES);
    enum verdict permission = look_up_permission(asker->route, asker->caller, rule, call);
    enum verdict verdict = worst(scopes, permission);
    if (verdict == VERDICT_ALLOW)
        return decided(verdict, REASON_RULE_MET, rule);
    return decided(verdict, scopes == verdict ? REASON_SCOPE_MISSING : REASON_PERMISSION_MISSING,
                   rule);
}

static struct decision apply(const struct rules_asker *asker, const struct rule *rule,
                             const struct mcp_call *call)
{
    switch (rule->effect) {
    case RULE_ALLOW:
        return decided(VERDICT_ALLOW, REASON_RULE_ALLOWS, rule);
    case RULE_DENY:
        break;
    case RULE_REQUIRE:
        return require(asker, rule, call);
    }
    return decided(VERDICT_FORBIDDEN, REASON_RULE_DENIES, rule);
}

static struct decision apply_default(const struct route *route, const struct mcp_call *call)
{
    if (mcp_is_free(call))
        return decided(VERDICT_ALLOW, REASON_FREE_METHOD, NULL);
    if (route->default_allows)
        return decided(VERDICT_ALLOW, REASON_DEFAULT_ALLOWS, NULL);
    return decided(VERDICT_FORBIDDEN, REASON_DEFAULT_DENIES, NULL);
}

struct decision rules_ask(const struct rules_asker *asker, const struct mcp_call *call)
{
    const struct route *route = asker->route;
    struct target target = {.call = call};
    enum match match;
    if (call->target == MCP_RESOURCE && has_resource_globs(route)) {
        target.odd = rules_uri_is_odd(call->name);
        if (target.odd && !is_spelled_out_somewhere(route, call->name))
            return decided(VERDICT_FORBIDDEN, REASON_RESOURCE_NOT_PLAIN, NULL);
    }
    const struct rule *rule = find_rule(route, &target, &match);
    switch (match) {
    case MATCH_WALKED_OUT:
        return decided(VERDICT_FORBIDDEN, REASON_RESOURCE_NOT_PLAIN, rule);
    case MATCH_YES:
        return apply(asker, rule, call);
    case MATCH_NONE:
        break;
    }
    return apply_default(route, call);
}

struct decision rules_decide(const struct route *route, const struct caller *caller,
                             const struct mcp_call *call)
{
    return rules_ask(&(struct rules_asker){.route = route, .caller = caller}, call);
}

struct decision rules_judge(const struct route *route, const struct caller *caller,
                            const struct mcp_call *call)
{
    enum verdict of_route;
    bool passes = rules_has_route_scopes(route, caller, &of_route);
    if (call == NULL)
        return passes ? decided(VERDICT_ALLOW, REASON_RESPONSE, NULL)
                      : decided(of_route, REASON_ROUTE_SCOPE_MISSING, NULL);
    struct decision decision = rules_decide(route, caller, call);
    if (passes || decision.verdict == VERDICT_FORBIDDEN)
        return decision;
    /* The rule stays with it, so that one challenge names the scopes of both. */
    return decided(of_route, REASON_ROUTE_SCOPE_MISSING, decision.rule);
}

/* ---- what a token would need ---- */

int rules_append_permission(const struct rule *rule, const struct mcp_call *call, struct buf *out)
{
    const struct wanted permission = permission_of(rule, call);
    return str_is_set(rule->permission) ? grants_spell(out, &permission) : 0;
}

static int append_all(struct buf *out, const struct str *list, size_t count)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = grants_append(out, &(struct wanted){.text = list[i]});
    return r;
}

int rules_append_needed(const struct route *route, const struct decision *decision,
                        const struct mcp_call *call, struct buf *out)
{
    const struct rule *rule = decision->rule;
    int r = append_all(out, route->scopes, route->n_scopes);
    if (rule == NULL || rule->effect != RULE_REQUIRE)
        return r;
    if (r == 0)
        r = append_all(out, rule->scopes, rule->n_scopes);
    const struct wanted permission = permission_of(rule, call);
    if (r == 0 && str_is_set(rule->permission))
        r = grants_append(out, &permission);
    return r;
}

bool rules_can_deny(const struct route *route)
{
    /* Where there are globs for resources, odd URIs are refused whatever the rules say. */
    bool denies = !route->default_allows || has_resource_globs(route);
    for (size_t i = 0; i < route->n_rules; i++)
        denies = denies || route->rules[i].effect != RULE_ALLOW;
    return denies;
}
