/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that no call reaches, because earlier ones match all that they match. Only what can be
 * shown is reported, so a silence proves nothing. */
#include "base/err.h"
#include "policy/build_int.h"

/* Comparisons of two patterns in one route: more are not worth the time of a reload. */
#define MAX_COMPARISONS 1000000

#define NOWHERE SIZE_MAX

/* The methods that name a thing of a kind; all other methods have no target. */
static const struct {
    struct str method;
    enum mcp_target target;
    bool alone; /* it names nothing of another kind, and always something */
} methods[] = {
    {STR_INIT("tools/call"), MCP_TOOL, true},
    {STR_INIT("prompts/get"), MCP_PROMPT, true},
    {STR_INIT("completion/complete"), MCP_PROMPT, false},
    {STR_INIT("resources/read"), MCP_RESOURCE, true},
    {STR_INIT("resources/subscribe"), MCP_RESOURCE, true},
    {STR_INIT("resources/unsubscribe"), MCP_RESOURCE, true},
    {STR_INIT("subscriptions/listen"), MCP_RESOURCE, false},
    {STR_INIT("completion/complete"), MCP_RESOURCE, false},
};

struct search {
    struct reader *reader;
    const struct route *route;
    size_t comparisons;
};

static bool covers(struct search *search, struct str a, struct str b)
{
    return ++search->comparisons <= MAX_COMPARISONS && glob_covers(a, b);
}

static bool some_covers(struct search *search, const struct globs *globs, struct str glob)
{
    for (size_t i = 0; i < globs->n; i++)
        if (covers(search, globs->items[i], glob))
            return true;
    return false;
}

/* The rule governs every call that names something of this kind, by method. */
static bool governs_kind(struct search *search, const struct rule *rule, enum mcp_target kind)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].target == kind &&
            !some_covers(search, &rule->targets[MCP_NO_TARGET], methods[i].method))
            return false;
    return true;
}

/* The rule governs every call of one method by what it names. */
static bool governs_method(struct search *search, const struct rule *rule, struct str method)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].alone && glob_match(method, methods[i].method))
            return some_covers(search, &rule->targets[methods[i].target], STR("*"));
    return false;
}

static bool rule_covers(struct search *search, const struct rule *rule, enum mcp_target kind,
                        struct str glob)
{
    if (some_covers(search, &rule->targets[kind], glob))
        return true;
    if (kind == MCP_NO_TARGET)
        return glob_is_plain(glob) && governs_method(search, rule, glob);
    return rule->targets[MCP_NO_TARGET].n > 0 && governs_kind(search, rule, kind);
}

/* The index of the first rule before RULE that takes all calls of this pattern away. */
static size_t find_cover(struct search *search, size_t rule, enum mcp_target kind, struct str glob)
{
    for (size_t i = 0; i < rule && search->comparisons <= MAX_COMPARISONS; i++)
        if (rule_covers(search, &search->route->rules[i], kind, glob))
            return i;
    return NOWHERE;
}

static struct place place_of(const struct place *at_rule, enum mcp_target kind)
{
    static const struct str keys[MCP_N_TARGETS] = {
        [MCP_NO_TARGET] = STR_INIT("methods"),
        [MCP_TOOL] = STR_INIT("tools"),
        [MCP_PROMPT] = STR_INIT("prompts"),
        [MCP_RESOURCE] = STR_INIT("resources"),
    };
    return PLACE_KEY(at_rule, keys[kind]);
}

/* A pattern that another one of its own list makes superfluous; of two that mean the same, the
 * later one. */
static void warn_beside(struct search *search, const struct place *at_rule, const struct rule *rule,
                        enum mcp_target kind)
{
    struct place at_list = place_of(at_rule, kind);
    const struct globs *globs = &rule->targets[kind];
    for (size_t i = 0; i < globs->n; i++) {
        struct place at = PLACE_AT(&at_list, i);
        for (size_t k = 0; k < globs->n; k++) {
            if (i == k || !covers(search, globs->items[k], globs->items[i]) ||
                (k > i && covers(search, globs->items[i], globs->items[k])))
                continue;
            struct place at_other = PLACE_AT(&at_list, k);
            reader_warn(search->reader, &at, "%.*s beside it matches all that it matches",
                        STR_ARG(reader_pointer(search->reader, &at_other)));
            break;
        }
    }
}

struct cover {
    size_t patterns;
    size_t covered;
    size_t first; /* of the rules that cover */
    size_t last;
};

static struct cover cover_of(struct search *search, size_t index)
{
    const struct rule *rule = &search->route->rules[index];
    struct cover cover = {.first = NOWHERE};
    for (size_t kind = 0; kind < MCP_N_TARGETS; kind++)
        for (size_t i = 0; i < rule->targets[kind].n; i++) {
            size_t by =
                find_cover(search, index, (enum mcp_target)kind, rule->targets[kind].items[i]);
            cover.patterns++;
            if (by == NOWHERE)
                continue;
            cover.covered++;
            cover.first = size_min(cover.first, by);
            cover.last = size_max(cover.last, by);
        }
    return cover;
}

static void warn_pattern(struct search *search, const struct place *at_rule, size_t index,
                         enum mcp_target kind)
{
    const struct route *route = search->route;
    struct place at_list = place_of(at_rule, kind);
    const struct globs *globs = &route->rules[index].targets[kind];
    for (size_t i = 0; i < globs->n; i++) {
        struct place at = PLACE_AT(&at_list, i);
        size_t by = find_cover(search, index, kind, globs->items[i]);
        if (by != NOWHERE)
            reader_warn(search->reader, &at, "no call gets here: %.*s matches all that it matches",
                        STR_ARG(route->rules[by].pointer));
    }
}

static void warn_rule(struct search *search, const struct place *at_rules, size_t index)
{
    const struct route *route = search->route;
    struct place at = PLACE_AT(at_rules, index);
    struct cover cover = cover_of(search, index);
    if (cover.covered == 0)
        return;
    if (cover.covered < cover.patterns) {
        for (size_t kind = 0; kind < MCP_N_TARGETS; kind++)
            warn_pattern(search, &at, index, (enum mcp_target)kind);
        return;
    }
    reader_warn(search->reader, &at, "no call reaches this rule: %.*s%s%.*s %s all that it matches",
                STR_ARG(route->rules[cover.first].pointer),
                cover.first == cover.last ? "" : " and others up to ",
                cover.first == cover.last ? 0 : (int)route->rules[cover.last].pointer.len,
                route->rules[cover.last].pointer.ptr,
                cover.first == cover.last ? "matches" : "match");
}

/* Clients of the revisions with sessions begin with it. */
static void warn_initialize(struct search *search, const struct place *at_rules)
{
    const struct route *route = search->route;
    for (size_t i = 0; i < route->n_rules; i++) {
        const struct rule *rule = &route->rules[i];
        struct place at_rule = PLACE_AT(at_rules, i);
        struct place at = place_of(&at_rule, MCP_NO_TARGET);
        if (!some_covers(search, &rule->targets[MCP_NO_TARGET], STR("initialize")))
            continue;
        if (rule->effect == RULE_DENY)
            reader_warn(search->reader, &at,
                        "denies \"initialize\" to everybody: no client of a revision before "
                        "2026-07-28 can connect");
        return;
    }
}

void warn_unreached(struct reader *reader, const struct place *at_rules, const struct route *route)
{
    struct search search = {.reader = reader, .route = route};
    warn_initialize(&search, at_rules);
    for (size_t i = 0; i < route->n_rules; i++) {
        struct place at = PLACE_AT(at_rules, i);
        for (size_t kind = 0; kind < MCP_N_TARGETS; kind++)
            warn_beside(&search, &at, &route->rules[i], (enum mcp_target)kind);
        warn_rule(&search, at_rules, i);
    }
}
