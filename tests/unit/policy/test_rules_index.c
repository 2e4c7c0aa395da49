/* SPDX-License-Identifier: Apache-2.0 */
/* The index of a route's rules finds what trying them one by one finds, on thousands of random
 * rules and names with a fixed seed; its size goes with that of the patterns. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "policy/rules.h"
#include "support/cmocka_all.h"
#include "support/dice.h"

#define ROUTES 3000
#define CALLS 40
#define MAX_RULES 24
#define MAX_PATTERNS 3
#define MAX_LEN 24
#define ARENA_BYTES (16U * 1024 * 1024)

/* Few different ones, so that much begins alike and ends alike. */
static const char *const pieces[] = {
    "a",   "b", "ab", "_", "read", "\xc3\xa9", "abcdefgh", "/",    ".",   "..", "%", "\\*", "\\\\",
    "\\?", "*", "?",  "*", "a",    "\\a",      "file:///", "\xff", "%2e", "\\b"};
#define N_TEXT_PIECES 8 /* without wildcards and escapes */

/* Up to four pieces, the first of those as they stand there. */
static struct str put_pieces(struct dice *dice, unsigned n_pieces, char *out)
{
    size_t len = 0;
    for (unsigned left = throw(dice, 4) + 1; left > 0; left--) {
        const char *piece = pieces[throw(dice, n_pieces)];
        if (len + strlen(piece) > MAX_LEN)
            break;
        memcpy(out + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return str_make(out, len);
}

struct world {
    struct route route;
    struct rule rules[MAX_RULES];
    struct str patterns[MAX_RULES][MCP_N_TARGETS][MAX_PATTERNS];
    char bytes[MAX_RULES][MCP_N_TARGETS][MAX_PATTERNS][MAX_LEN];
};

static void make_rules(struct world *world, struct dice *dice)
{
    *world = (struct world){.route = {.rules = world->rules}};
    world->route.n_rules = throw(dice, MAX_RULES + 1);
    for (size_t i = 0; i < world->route.n_rules; i++)
        for (size_t kind = 0; kind < MCP_N_TARGETS; kind++) {
            struct globs *globs = &world->rules[i].targets[kind];
            struct str *patterns = world->patterns[i][kind];
            const unsigned wanted = throw(dice, MAX_PATTERNS + 1);
            globs->items = patterns;
            for (unsigned k = 0; k < wanted; k++) {
                struct str pattern =
                    put_pieces(dice, ARRAY_LEN(pieces), world->bytes[i][kind][globs->n]);
                if (glob_fault(pattern) == NULL)
                    patterns[globs->n++] = pattern;
            }
            world->rules[i].effect = RULE_ALLOW;
        }
}

static struct mcp_call make_call(const struct world *world, struct dice *dice, char *bytes)
{
    struct mcp_call call = {.method = STR("x/y")};
    const enum mcp_target target = (enum mcp_target) throw(dice, MCP_N_TARGETS);
    struct str name =
        put_pieces(dice, throw(dice, 2) == 0 ? N_TEXT_PIECES : ARRAY_LEN(pieces), bytes);
    /* Often what a pattern says, byte for byte. */
    if (world->route.n_rules > 0 && throw(dice, 2) == 0) {
        const struct globs *globs =
            &world->rules[throw(dice, (unsigned)world->route.n_rules)].targets[target];
        name = globs->n > 0 ? globs->items[0] : name;
    }
    if (target == MCP_NO_TARGET) {
        call.method = name;
    } else {
        call.target = target;
        call.name = name;
    }
    return call;
}

static void check_call(const struct world *world, const struct mcp_call *call)
{
    const struct caller caller = {0};
    struct route one_by_one = world->route;
    one_by_one.rules_index = NULL;
    struct decision want = rules_decide(&one_by_one, &caller, call);
    struct decision got = rules_decide(&world->route, &caller, call);
    if (got.rule != want.rule || got.verdict != want.verdict || got.reason != want.reason)
        fail_msg("%.*s: rule %td (%s) instead of %td (%s)",
                 STR_ARG(call->target == MCP_NO_TARGET ? call->method : call->name),
                 got.rule != NULL ? got.rule - world->rules : -1, got.reason,
                 want.rule != NULL ? want.rule - world->rules : -1, want.reason);
}

static void rules_index_finds_what_trying_one_by_one_finds(void **state)
{
    (void)state;
    static struct world world;
    struct dice dice = {88172645463325252U};
    size_t found = 0;
    for (unsigned i = 0; i < ROUTES; i++) {
        struct arena *arena = arena_new(4096, ARENA_BYTES);
        assert_non_null(arena);
        make_rules(&world, &dice);
        world.route.rules_index = rules_index_make(arena, &world.route);
        assert_non_null(world.route.rules_index);
        for (unsigned k = 0; k < CALLS; k++) {
            char bytes[MAX_LEN];
            struct mcp_call call = make_call(&world, &dice, bytes);
            check_call(&world, &call);
            found += rules_decide(&world.route, &(struct caller){0}, &call).rule != NULL ? 1 : 0;
        }
        arena_free(arena);
    }
    assert_true(found > ROUTES * CALLS / 4 && found < ROUTES * CALLS);
}

/* ---- rows ---- */

static const struct str patterns_of_rows[] = {
    STR_INIT("admin_*"),
    STR_INIT("*_delete"),
    STR_INIT("get_user"),
    STR_INIT("get_*"),
    STR_INIT("get_user_*"),
    STR_INIT("get_users"),
    STR_INIT("\\*"),
    STR_INIT("a?c"),
    STR_INIT("longer_than_eight_*"),
    STR_INIT("longer_than_e"),
    STR_INIT("*_of_a_long_end"),
};

static void rules_index_keeps_the_order_of_the_rules(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str name;
        int rule;
    } rows[] = {
        {"one that a wildcard before takes", STR_INIT("admin_delete"), 0},
        {"an end, before a beginning", STR_INIT("get_user_delete"), 1},
        {"just the text", STR_INIT("get_user"), 2},
        {"the shorter beginning, which is first", STR_INIT("get_user_name"), 3},
        {"the text behind the wildcard", STR_INIT("get_users"), 3},
        {"an escaped star", STR_INIT("*"), 6},
        {"a character between", STR_INIT("abc"), 7},
        {"a character of two bytes between",
         STR_INIT("a\xc3\xa9"
                  "c"),
         7},
        {"texts that differ behind eight bytes", STR_INIT("longer_than_eight_bytes"), 8},
        {"its beginning", STR_INIT("longer_than_e"), 9},
        {"a little more than its beginning", STR_INIT("longer_than_ei"), -1},
        {"an end of more than eight bytes", STR_INIT("x_of_a_long_end"), 10},
        {"less than that end", STR_INIT("a_long_end"), -1},
        {"the same last eight bytes", STR_INIT("x_of_b_long_end"), -1},
        {"behind all", STR_INIT("zzz"), -1},
        {"before all", STR_INIT("\x20"), -1},
    };
    struct rule rules[ARRAY_LEN(patterns_of_rows)] = {0};
    struct route route = {.rules = rules, .n_rules = ARRAY_LEN(rules)};
    struct arena *arena = arena_new(4096, ARENA_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        rules[i].targets[MCP_TOOL] = (struct globs){&patterns_of_rows[i], 1};
    assert_non_null(arena);
    route.rules_index = rules_index_make(arena, &route);
    assert_non_null(route.rules_index);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct mcp_call call = {STR("tools/call"), MCP_TOOL, rows[i].name};
        struct decision decision = rules_decide(&route, &(struct caller){0}, &call);
        const ptrdiff_t rule = decision.rule != NULL ? decision.rule - rules : -1;
        if (rule != rows[i].rule)
            fail_msg("%s: rule %td", rows[i].why, rule);
    }
    arena_free(arena);
}

static void rules_index_of_other_rules_is_not_used(void **state)
{
    (void)state;
    static const struct str any[] = {STR_INIT("*")};
    const struct rule rules[] = {{.targets = {[MCP_TOOL] = {any, 1}}, .effect = RULE_ALLOW}};
    const struct mcp_call call = {STR("tools/call"), MCP_TOOL, STR("x")};
    struct route route = {0};
    struct arena *arena = arena_new(4096, ARENA_BYTES);
    assert_non_null(arena);
    route.rules_index = rules_index_make(arena, &route);
    assert_non_null(route.rules_index);
    assert_null(rules_decide(&route, &(struct caller){0}, &call).rule);
    route.rules = rules;
    route.n_rules = 1;
    assert_ptr_equal(rules_decide(&route, &(struct caller){0}, &call).rule, &rules[0]);
    arena_free(arena);
}

/* N rules of one pattern each, which all differ; what their index needs, to 4 KiB. */
static size_t size_of_index(size_t n)
{
    struct rule *rules = calloc(n, sizeof(*rules));
    struct str *patterns = calloc(n, sizeof(*patterns));
    char(*bytes)[32] = calloc(n, sizeof(*bytes));
    struct route route = {.rules = rules, .n_rules = n};
    size_t max = 4096;
    assert_true(rules != NULL && patterns != NULL && bytes != NULL);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(bytes[i], sizeof(bytes[i]), "t%zu_*", i);
        patterns[i] = str_from_cstr(bytes[i]);
        rules[i].targets[MCP_TOOL] = (struct globs){&patterns[i], 1};
    }
    for (bool made = false; !made; max += 4096) {
        struct arena *arena = arena_new(1024, max);
        assert_non_null(arena);
        made = rules_index_make(arena, &route) != NULL;
        arena_free(arena);
    }
    free(rules);
    free(patterns);
    free(bytes);
    return max;
}

static void rules_index_grows_with_the_patterns_and_says_when_memory_is_short(void **state)
{
    (void)state;
    const size_t one = size_of_index(1);
    const size_t many = size_of_index(1000);
    const size_t more = size_of_index(4000);
    assert_true(one <= 3 * 4096);
    assert_true(many > one); /* it was refused at first */
    assert_true(many <= 160 * 1000);
    assert_true(more <= 4 * many + 4 * 4096);
}

/* ---- many calls of one caller ---- */

static void rules_ask_says_what_rules_decide_says(void **state)
{
    (void)state;
    static const struct str globs[] = {STR_INIT("a*"), STR_INIT("b*"), STR_INIT("c*")};
    static const struct str scopes[] = {STR_INIT("x"), STR_INIT("y")};
    json_t *values = json_pack("[s]", "o");
    const struct rule_claim claim = {STR("org"), values};
    const struct rule rules[] = {
        {.targets = {[MCP_TOOL] = {&globs[0], 1}},
         .effect = RULE_REQUIRE,
         .scopes = &scopes[0],
         .n_scopes = 1,
         .permission = STR("t:{name}")},
        {.targets = {[MCP_TOOL] = {&globs[1], 1}},
         .effect = RULE_REQUIRE,
         .scopes = &scopes[1],
         .n_scopes = 1},
        {.targets = {[MCP_TOOL] = {&globs[2], 1}},
         .effect = RULE_REQUIRE,
         .claims = &claim,
         .n_claims = 1},
    };
    static const struct {
        struct str name;
        enum verdict verdict;
        const char *reason;
    } rows[] = {
        {STR_INIT("a1"), VERDICT_ALLOW, "rule_met"},
        {STR_INIT("a2"), VERDICT_STEP_UP, "permission_missing"},
        {STR_INIT("b1"), VERDICT_STEP_UP, "scope_missing"},
        {STR_INIT("c1"), VERDICT_FORBIDDEN, "claim_mismatch"},
        {STR_INIT("a1"), VERDICT_ALLOW, "rule_met"},
        {STR_INIT("b2"), VERDICT_STEP_UP, "scope_missing"},
        {STR_INIT("c2"), VERDICT_FORBIDDEN, "claim_mismatch"},
        {STR_INIT("d"), VERDICT_FORBIDDEN, "default_denies"},
    };
    json_t *claims = json_pack("{s:s}", "org", "other");
    const struct caller caller = {STR("x t:a1"), claims};
    const struct route route = {.rules = rules, .n_rules = ARRAY_LEN(rules)};
    uint8_t known[ARRAY_LEN(rules)] = {0};
    const struct rules_asker asker = {&route, &caller, known};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct mcp_call call = {STR("tools/call"), MCP_TOOL, rows[i].name};
        struct decision one = rules_decide(&route, &caller, &call);
        struct decision many = rules_ask(&asker, &call);
        assert_int_equal(many.verdict, rows[i].verdict);
        assert_string_equal(many.reason, rows[i].reason);
        assert_true(one.verdict == many.verdict && one.rule == many.rule);
        assert_string_equal(one.reason, many.reason);
    }
    json_decref(claims);
    json_decref(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_index_finds_what_trying_one_by_one_finds),
        cmocka_unit_test(rules_index_keeps_the_order_of_the_rules),
        cmocka_unit_test(rules_index_of_other_rules_is_not_used),
        cmocka_unit_test(rules_index_grows_with_the_patterns_and_says_when_memory_is_short),
        cmocka_unit_test(rules_ask_says_what_rules_decide_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
