/* SPDX-License-Identifier: Apache-2.0 */
/* policy/rules. The first byte says what the rest is.
 *
 * Globs: a pattern, another one and a text, one a line.
 * - glob_match() says what a matcher that fills a table says;
 * - when A covers B, A matches whatever B matches;
 * - a pattern without wildcards matches one text.
 *
 * Decisions: the bytes choose a route, a token and a call from lists of names.
 * - rules_grants() says what a closure of all granted names says;
 * - the rule that decides is the first one that matches, and {name} is what is called;
 * - a token with less never may more;
 * - who gets what a step-up asks for is let in;
 * - a route with an index decides as one whose rules are tried one by one, and who asks about many
 *   calls hears what who asks about one does.
 *
 * Index: what is called in the first line, a pattern of a rule in each other one. The first rule
 * that matches is the same with the index, one by one, and by the matcher that fills a table. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "oracle.h"
#include "policy/rules.h"
#include "proto/claims.h"

#define MAX_LEN 48 /* of a pattern or a text */

/* ---- globs ---- */

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The length of the character at AT: one byte that begins it, and all that go on; 0: none. */
static size_t character_len(struct str text, size_t at)
{
    size_t len = 1;
    if (at >= text.len || is_continuation(text.ptr[at]))
        return 0;
    while (at + len < text.len && is_continuation(text.ptr[at + len]))
        len++;
    return len;
}

/* fits[p][t]: the pattern from P on matches the text from T on. Filled from the ends. */
static bool slow_match(struct str pattern, struct str text)
{
    static bool fits[MAX_LEN + 2][MAX_LEN + 2];
    for (size_t p = pattern.len + 1; p-- > 0;)
        for (size_t t = text.len + 1; t-- > 0;) {
            bool *fit = &fits[p][t];
            if (p == pattern.len) {
                *fit = t == text.len;
            } else if (pattern.ptr[p] == '*') {
                *fit = fits[p + 1][t] || (t < text.len && fits[p][t + 1]);
            } else if (pattern.ptr[p] == '?') {
                size_t len = character_len(text, t);
                *fit = len > 0 && fits[p + 1][t + len];
            } else {
                size_t escape = pattern.ptr[p] == '\\' && p + 1 < pattern.len ? 1 : 0;
                *fit = t < text.len && text.ptr[t] == pattern.ptr[p + escape] &&
                       fits[p + 1 + escape][t + 1];
            }
        }
    return fits[0][0];
}

static struct str unescape(struct str pattern, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < pattern.len; i++) {
        if (pattern.ptr[i] == '\\' && i + 1 < pattern.len)
            i++;
        out[len++] = pattern.ptr[i];
    }
    return str_make(out, len);
}

static void fuzz_globs(struct str rest)
{
    struct str a = {0};
    struct str b = {0};
    char plain[MAX_LEN];
    (void)str_split(&rest, '\n', &a);
    (void)str_split(&rest, '\n', &b);
    a = str_head(a, MAX_LEN);
    b = str_head(b, MAX_LEN);
    struct str text = str_head(rest, MAX_LEN);
    if (!str_is_set(text) || glob_fault(a) != NULL)
        return;
    bool matches = glob_match(a, text);
    ORACLE(matches == slow_match(a, text));
    ORACLE(glob_covers(a, a));
    ORACLE(glob_covers(STR("*"), a));
    if (glob_is_plain(a)) {
        struct str only = unescape(a, plain);
        ORACLE(glob_match(a, only));
        ORACLE(matches == str_eq(only, text));
    }
    if (glob_fault(b) == NULL && glob_covers(a, b))
        ORACLE(matches || !glob_match(b, text));
}

/* ---- decisions ---- */

/* Bytes of the input, then zeros. */
struct bytes {
    struct str rest;
};

static unsigned take(struct bytes *bytes, unsigned below)
{
    if (bytes->rest.len == 0)
        return 0;
    unsigned value = (unsigned char)bytes->rest.ptr[0];
    bytes->rest = str_from(bytes->rest, 1);
    return value % below;
}

static const struct str names[] = {STR_INIT("a"),   STR_INIT("b"),    STR_INIT("c"),
                                   STR_INIT("t:x"), STR_INIT("t:y"),  STR_INIT("t:m/n"),
                                   STR_INIT("x/x"), STR_INIT("t:x y")};
#define N_NAMES ARRAY_LEN(names)
#define N_SCOPES (N_NAMES - 1) /* the last one is none */
static const struct str permissions[] = {STR_INIT("t:{name}"), STR_INIT("{name}/{name}"),
                                         STR_INIT("a"), STR_INIT("{name}")};
static const struct str globs[] = {
    STR_INIT("x"),   STR_INIT("*"),         STR_INIT("x*"),        STR_INIT("?"),
    STR_INIT("m/*"), STR_INIT("file:///*"), STR_INIT("file:///a"), STR_INIT("file:///../a")};
static const struct mcp_call calls[] = {
    {STR_INIT("tools/call"), MCP_TOOL, STR_INIT("x")},
    {STR_INIT("tools/call"), MCP_TOOL, STR_INIT("x y")},
    {STR_INIT("prompts/get"), MCP_PROMPT, STR_INIT("y")},
    {STR_INIT("resources/read"), MCP_RESOURCE, STR_INIT("file:///a")},
    {STR_INIT("resources/read"), MCP_RESOURCE, STR_INIT("file:///../a")},
    {STR_INIT("m/n"), MCP_NO_TARGET, {0}},
    {STR_INIT("ping"), MCP_NO_TARGET, {0}},
};

#define MAX_RULES 4

/* A route in one piece. */
struct world {
    struct route route;
    struct arena *arena;
    struct rule rules[MAX_RULES];
    struct rule_claim claim;
    /* direct[i][k]: who has name i has name k. */
    bool implied[N_SCOPES][N_SCOPES];
    struct scope_implication implications[N_SCOPES];
    struct str lists[N_SCOPES][N_SCOPES];
};

/* What scope_implies is when the policy has been read: closed. */
static void make_implications(struct world *world, struct bytes *bytes)
{
    for (unsigned pairs = take(bytes, 5); pairs > 0; pairs--) {
        unsigned from = take(bytes, N_SCOPES);
        world->implied[from][take(bytes, N_SCOPES)] = true;
    }
    for (size_t k = 0; k < N_SCOPES; k++)
        for (size_t i = 0; i < N_SCOPES; i++)
            for (size_t j = 0; j < N_SCOPES; j++)
                world->implied[i][j] |= world->implied[i][k] && world->implied[k][j];
    for (size_t i = 0; i < N_SCOPES; i++) {
        struct scope_implication *implication = &world->implications[i];
        *implication = (struct scope_implication){.name = names[i], .implied = world->lists[i]};
        for (size_t j = 0; j < N_SCOPES; j++)
            if (world->implied[i][j])
                world->lists[i][implication->n_implied++] = names[j];
    }
    world->route.implies = world->implications;
    world->route.n_implies = N_SCOPES;
}

static void make_rule(struct world *world, struct bytes *bytes, struct rule *rule)
{
    for (size_t kind = 0; kind < MCP_N_TARGETS; kind++) {
        unsigned at = take(bytes, ARRAY_LEN(globs));
        unsigned count = take(bytes, 3);
        rule->targets[kind].items = &globs[at];
        rule->targets[kind].n = size_min(count, ARRAY_LEN(globs) - at);
    }
    unsigned at = take(bytes, N_SCOPES);
    rule->effect = (enum rule_effect)take(bytes, 3);
    rule->scopes = &names[at];
    rule->n_scopes = size_min(take(bytes, 3), N_SCOPES - at);
    if (take(bytes, 2) == 1)
        rule->permission = permissions[take(bytes, ARRAY_LEN(permissions))];
    rule->claims = &world->claim;
    rule->n_claims = take(bytes, 4) == 1 ? 1 : 0;
}

static void make_world(struct world *world, struct bytes *bytes)
{
    unsigned at = take(bytes, N_SCOPES);
    *world = (struct world){.claim = {.name = STR("org"), .values = json_pack("[s, i]", "o", 1)}};
    struct route *route = &world->route;
    route->authorize_on = (enum authorize_on)take(bytes, 4);
    route->default_allows = take(bytes, 2) == 1;
    route->scopes = &names[at];
    route->n_scopes = size_min(take(bytes, 3), N_SCOPES - at);
    route->rules = world->rules;
    route->n_rules = take(bytes, MAX_RULES + 1);
    make_implications(world, bytes);
    for (size_t i = 0; i < route->n_rules; i++)
        make_rule(world, bytes, &world->rules[i]);
    world->arena = arena_new(4096, 65536);
    route->rules_index = rules_index_make(world->arena, route);
    ORACLE(route->rules_index != NULL);
}

static void world_free(struct world *world)
{
    arena_free(world->arena);
    json_decref(world->claim.values);
}

/* A token: names as bits. */
struct token {
    unsigned scopes;
    unsigned permissions;
    unsigned org;
};

struct made {
    struct buf scope;
    json_t *claims;
};

static struct caller make_caller(const struct token *token, struct made *made)
{
    json_t *list = json_array();
    *made =
        (struct made){.scope = buf_make(4096), .claims = json_pack("{s:o}", "permissions", list)};
    for (size_t i = 0; i < N_NAMES; i++) {
        if (i < N_SCOPES && (token->scopes >> i & 1) != 0) {
            (void)buf_append_cstr(&made->scope, made->scope.len > 0 ? " " : "");
            (void)buf_append(&made->scope, names[i]);
        }
        if ((token->permissions >> i & 1) != 0)
            (void)json_array_append_new(list, json_stringn(names[i].ptr, names[i].len));
    }
    if (token->org > 0)
        (void)json_object_set_new(made->claims, "org",
                                  token->org == 1 ? json_string("o") : json_real(2.0));
    return (struct caller){buf_str(&made->scope), made->claims};
}

static void made_free(struct made *made)
{
    buf_free(&made->scope);
    json_decref(made->claims);
}

static struct decision judge(const struct world *world, const struct token *token,
                             const struct mcp_call *call)
{
    struct made made;
    struct caller caller = make_caller(token, &made);
    struct decision decision = rules_judge(&world->route, &caller, call);
    made_free(&made);
    return decision;
}

static bool has_bit(const struct world *world, unsigned bits, size_t name)
{
    bool has = (bits >> name & 1) != 0;
    for (size_t i = 0; i < N_SCOPES && name < N_SCOPES; i++)
        has |= (bits >> i & 1) != 0 && world->implied[i][name];
    return has;
}

static void check_grants(const struct world *world, const struct token *token)
{
    struct made made;
    struct caller caller = make_caller(token, &made);
    for (size_t i = 0; i < N_NAMES; i++) {
        bool scope = i < N_SCOPES && has_bit(world, token->scopes & ((1U << N_SCOPES) - 1), i);
        bool permission = has_bit(world, token->permissions, i);
        bool granted = scope;
        if (world->route.authorize_on == AUTHORIZE_ON_PERMISSIONS)
            granted = permission;
        else if (world->route.authorize_on == AUTHORIZE_ON_EITHER)
            granted = scope || permission;
        else if (world->route.authorize_on == AUTHORIZE_ON_BOTH)
            granted = scope && permission;
        ORACLE(rules_grants(&world->route, &caller, names[i]) == granted);
    }
    made_free(&made);
}

static bool matches(const struct globs *list, struct str text)
{
    for (size_t i = 0; i < list->n; i++)
        if (slow_match(list->items[i], text))
            return true;
    return false;
}

static const struct rule *first_match(const struct world *world, const struct mcp_call *call)
{
    for (size_t i = 0; i < world->route.n_rules; i++) {
        const struct rule *rule = &world->rules[i];
        if (matches(&rule->targets[MCP_NO_TARGET], call->method) ||
            (call->target != MCP_NO_TARGET && matches(&rule->targets[call->target], call->name)))
            return rule;
    }
    return NULL;
}

static void check_rule(const struct world *world, const struct decision *decision,
                       const struct mcp_call *call)
{
    const struct rule *first = first_match(world, call);
    if (strcmp(decision->reason, "route_scope_missing") == 0)
        return;
    if (strcmp(decision->reason, "resource_not_plain") == 0) {
        ORACLE(decision->verdict == VERDICT_FORBIDDEN && call == &calls[4]);
        return;
    }
    ORACLE(decision->rule == first);
    ORACLE(first == NULL || first->effect != RULE_DENY || decision->verdict == VERDICT_FORBIDDEN);
    ORACLE(first == NULL || first->effect != RULE_ALLOW || decision->verdict == VERDICT_ALLOW);
    if (first == NULL && !world->route.default_allows)
        ORACLE((decision->verdict == VERDICT_ALLOW) == (call == &calls[6]));
}

static void check_one_less(const struct world *world, const struct token *token,
                           const struct token *less, const struct mcp_call *call)
{
    struct made made[2];
    struct caller callers[] = {make_caller(token, &made[0]), make_caller(less, &made[1])};
    const struct route *route = &world->route;
    ORACLE(rules_decide(route, &callers[1], call).verdict >=
           rules_decide(route, &callers[0], call).verdict);
    ORACLE(rules_judge(route, &callers[1], call).verdict >=
           rules_judge(route, &callers[0], call).verdict);
    made_free(&made[0]);
    made_free(&made[1]);
}

static void check_less(const struct world *world, const struct token *token,
                       const struct mcp_call *call)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        const struct token less[] = {
            {token->scopes & ~(1U << i), token->permissions, token->org},
            {token->scopes, token->permissions & ~(1U << i), token->org},
        };
        check_one_less(world, token, &less[0], call);
        check_one_less(world, token, &less[1], call);
    }
}

static void check_step_up(const struct world *world, const struct token *token,
                          const struct mcp_call *call)
{
    struct made made;
    struct caller caller = make_caller(token, &made);
    struct buf needed = buf_make(4096);
    struct decision decision = rules_judge(&world->route, &caller, call);
    ORACLE(rules_append_needed(&world->route, &decision, call, &needed) == 0);
    struct str rest = buf_str(&needed);
    struct str name;
    while (needed.len > 0 && str_split(&rest, ' ', &name))
        ORACLE(scope_is_token(name) && !scope_has(rest, name));
    if (decision.verdict == VERDICT_STEP_UP) {
        (void)buf_append_cstr(&made.scope, " ");
        (void)buf_append(&made.scope, buf_str(&needed));
        caller.scope = buf_str(&made.scope);
        ORACLE(rules_judge(&world->route, &caller, call).verdict == VERDICT_ALLOW);
    }
    buf_free(&needed);
    made_free(&made);
}

/* ---- the index, and many calls of one caller ---- */

static bool is_same(const struct decision *a, const struct decision *b)
{
    return a->verdict == b->verdict && a->reason == b->reason && a->rule == b->rule;
}

static void check_ways(const struct world *world, const struct token *token)
{
    struct made made;
    struct caller caller = make_caller(token, &made);
    struct route plain = world->route;
    uint8_t known[MAX_RULES] = {0};
    const struct rules_asker asker = {&world->route, &caller, known};
    plain.rules_index = NULL;
    for (size_t i = 0; i < 2 * ARRAY_LEN(calls); i++) {
        const struct mcp_call *call = &calls[i % ARRAY_LEN(calls)];
        struct decision decision = rules_decide(&world->route, &caller, call);
        struct decision one_by_one = rules_decide(&plain, &caller, call);
        struct decision asked = rules_ask(&asker, call);
        ORACLE(is_same(&decision, &one_by_one) && is_same(&decision, &asked));
    }
    ORACLE(rules_can_deny(&plain) == rules_can_deny(&world->route));
    made_free(&made);
}

#define MAX_PATTERNS 64

/* Each line: a letter for the kind, '+' for a new rule, the pattern. */
static void read_patterns(struct str rest, struct rule *rules, struct str *patterns,
                          size_t *ret_n_rules)
{
    struct str line;
    size_t n = 0;
    for (size_t i = 0; i < MAX_PATTERNS && str_split(&rest, '\n', &line); i++) {
        if (line.len < 3)
            continue;
        if (n == 0 || line.ptr[1] == '+')
            rules[n++].effect = RULE_ALLOW;
        struct globs *list = &rules[n - 1].targets[(unsigned char)line.ptr[0] % MCP_N_TARGETS];
        patterns[i] = str_head(str_from(line, 2), MAX_LEN);
        /* The patterns of a list are neighbours: one that is not makes a rule of its own. */
        if (list->n > 0 && list->items + list->n != &patterns[i])
            list = &rules[n++].targets[(unsigned char)line.ptr[0] % MCP_N_TARGETS];
        if (glob_fault(patterns[i]) != NULL)
            continue;
        list->items = list->n > 0 ? list->items : &patterns[i];
        list->n++;
    }
    *ret_n_rules = n;
}

static void fuzz_index(struct str rest)
{
    static struct rule rules[2 * MAX_PATTERNS];
    static struct str patterns[MAX_PATTERNS];
    struct str first = {0};
    struct route route = {.rules = rules};
    struct caller caller = {0};
    if (!str_split(&rest, '\n', &first) || first.len < 2)
        return;
    memset(rules, 0, sizeof(rules));
    read_patterns(rest, rules, patterns, &route.n_rules);
    struct mcp_call call = {
        .method = STR("x/call"),
        .target = (enum mcp_target)((unsigned char)first.ptr[0] % MCP_N_TARGETS),
        .name = str_head(str_from(first, 1), MAX_LEN),
    };
    if (call.target == MCP_NO_TARGET)
        call = (struct mcp_call){.method = call.name};
    struct decision one_by_one = rules_decide(&route, &caller, &call);
    struct arena *arena = arena_new(4096, 262144);
    route.rules_index = rules_index_make(arena, &route);
    ORACLE(route.rules_index != NULL);
    struct decision decision = rules_decide(&route, &caller, &call);
    ORACLE(is_same(&decision, &one_by_one));
    const struct rule *slow = NULL;
    for (size_t i = 0; i < route.n_rules && slow == NULL; i++)
        if (matches(&rules[i].targets[MCP_NO_TARGET], call.method) ||
            (call.target != MCP_NO_TARGET && matches(&rules[i].targets[call.target], call.name)))
            slow = &rules[i];
    ORACLE(decision.rule == slow || strcmp(decision.reason, "resource_not_plain") == 0);
    arena_free(arena);
}

static void fuzz_decisions(struct str rest)
{
    struct bytes bytes = {rest};
    struct world world;
    make_world(&world, &bytes);
    const struct token token = {take(&bytes, 256), take(&bytes, 256), take(&bytes, 3)};
    const struct mcp_call *call = &calls[take(&bytes, ARRAY_LEN(calls))];
    struct decision decision = judge(&world, &token, call);
    ORACLE(decision.verdict == VERDICT_ALLOW || rules_can_deny(&world.route) ||
           strcmp(decision.reason, "route_scope_missing") == 0);
    check_grants(&world, &token);
    check_rule(&world, &decision, call);
    check_less(&world, &token, call);
    check_step_up(&world, &token, call);
    check_ways(&world, &token);
    world_free(&world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = oracle_input(data, size);
    if (size == 0)
        return 0;
    if (data[0] % 2 == 1)
        fuzz_decisions(str_from(input, 1));
    else if (data[0] % 4 == 2)
        fuzz_index(str_from(input, 1));
    else
        fuzz_globs(str_from(input, 1));
    return 0;
}
