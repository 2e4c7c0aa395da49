/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every policy, token and call, shown on thousands of random ones with a fixed seed:
 * a token with less never may more, one with more never may less, and who gets what a step-up asks
 * for is let in. */
#include <stdlib.h>

#include "policy/fixture.h"
#include "policy/rules.h"
#include "support/dice.h"

#define POLICIES 2000
#define TOKENS 8

static const char *const names[] = {"a", "b", "c", "t:x", "t:y", "t:tools/list", "t:x y"};
/* The last name is no scope: it can be a permission only. */
#define N_SCOPES (ARRAY_LEN(names) - 1)
static const char *const places[] = {"scope", "permissions", "either", "both"};
static const char *const globs[] = {"x", "y", "*", "x*", "?", "x y"};
static const char *const uris[] = {"file:///a", "file:///*", "file:///a/../b", "*"};
static const char *const methods[] = {"*", "tools/*", "tools/list", "resources/read"};
static const char *const permissions[] = {"t:{name}", "a", "{name}"};
static const struct mcp_call calls[] = {
    {STR_INIT("tools/call"), MCP_TOOL, STR_INIT("x")},
    {STR_INIT("tools/call"), MCP_TOOL, STR_INIT("y")},
    {STR_INIT("tools/call"), MCP_TOOL, STR_INIT("x y")},
    {STR_INIT("prompts/get"), MCP_PROMPT, STR_INIT("x")},
    {STR_INIT("resources/read"), MCP_RESOURCE, STR_INIT("file:///a")},
    {STR_INIT("resources/read"), MCP_RESOURCE, STR_INIT("file:///a/../b")},
    {STR_INIT("tools/list"), MCP_NO_TARGET, {0}},
    {STR_INIT("logging/setLevel"), MCP_NO_TARGET, {0}},
};

#define PICK(dice, list) ((list)[throw(dice, ARRAY_LEN(list))])

/* "KEY": ["one", "two"] of up to two different entries. */
static void put_list(struct buf *out, struct dice *dice, const char *key, const char *const *list,
                     unsigned count)
{
    unsigned first = throw(dice, count);
    unsigned second = throw(dice, count);
    (void)buf_printf(out, "\"%s\": [\"%s\"", key, list[first]);
    if (second != first)
        (void)buf_printf(out, ", \"%s\"", list[second]);
    (void)buf_append_cstr(out, "]");
}

static void put_effect(struct buf *out, struct dice *dice)
{
    unsigned kinds = throw(dice, 8);
    if (kinds == 0) {
        (void)buf_printf(out, ", \"allow\": %s", throw(dice, 2) == 0 ? "true" : "false");
        return;
    }
    if ((kinds & 1) != 0) {
        (void)buf_append_cstr(out, ", ");
        put_list(out, dice, "scopes", names, N_SCOPES);
    }
    if ((kinds & 2) != 0)
        (void)buf_printf(out, ", \"permission\": \"%s\"", PICK(dice, permissions));
    if ((kinds & 4) != 0)
        (void)buf_append_cstr(out, ", \"claims\": {\"org\": [\"o\", 1]}");
}

static void put_rule(struct buf *out, struct dice *dice)
{
    (void)buf_append_cstr(out, "{");
    switch (throw(dice, 4)) {
    case 0:
        put_list(out, dice, "prompts", globs, ARRAY_LEN(globs));
        break;
    case 1:
        put_list(out, dice, "resources", uris, ARRAY_LEN(uris));
        break;
    case 2:
        put_list(out, dice, "methods", methods, ARRAY_LEN(methods));
        break;
    default:
        put_list(out, dice, "tools", globs, ARRAY_LEN(globs));
        break;
    }
    put_effect(out, dice);
    (void)buf_append_cstr(out, "}");
}

static void put_policy(struct buf *out, struct dice *dice)
{
    (void)buf_printf(out,
                     "{" AUTH0 ", \"routes\": [{\"resource\": \"https://mcp.example.com/mcp\", "
                     "\"upstream\": \"http://127.0.0.1:3000/mcp\", \"authorize_on\": \"%s\", "
                     "\"default\": \"%s\"",
                     PICK(dice, places), throw(dice, 3) == 0 ? "allow" : "deny");
    if (throw(dice, 3) == 0) {
        (void)buf_append_cstr(out, ", ");
        put_list(out, dice, "scopes", names, N_SCOPES);
    }
    if (throw(dice, 2) == 0) {
        (void)buf_append_cstr(out, ", \"scope_implies\": {\"a\": [\"b\"], ");
        put_list(out, dice, throw(dice, 2) == 0 ? "b" : "c", names, N_SCOPES);
        (void)buf_append_cstr(out, "}");
    }
    (void)buf_append_cstr(out, ", \"rules\": [");
    for (unsigned i = throw(dice, 4); i < 4; i++) {
        put_rule(out, dice);
        (void)buf_append_cstr(out, i < 3 ? ", " : "");
    }
    (void)buf_append_cstr(out, "]}]}");
    (void)buf_append_char(out, '\0');
    assert_false(buf_failed(out));
}

/* A token: names as bits. */
struct token {
    unsigned scopes;
    unsigned permissions;
    unsigned org; /* none, one that rules ask for, another one */
};

struct made {
    struct buf scope;
    json_t *claims;
};

static struct caller make_caller(const struct token *token, struct made *made)
{
    json_t *list = json_array();
    made->scope = buf_make(4096);
    made->claims = json_pack("{s:o}", "permissions", list);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if ((token->scopes >> i & 1) != 0 && i < N_SCOPES)
            (void)buf_printf(&made->scope, "%s%s", made->scope.len > 0 ? " " : "", names[i]);
        if ((token->permissions >> i & 1) != 0)
            (void)json_array_append_new(list, json_string(names[i]));
    }
    if (token->org > 0)
        (void)json_object_set_new(made->claims, "org", json_string(token->org == 1 ? "o" : "p"));
    return (struct caller){buf_str(&made->scope), made->claims};
}

static void made_free(struct made *made)
{
    buf_free(&made->scope);
    json_decref(made->claims);
}

static enum verdict verdict_of(const struct route *route, const struct token *token,
                               const struct mcp_call *call)
{
    struct made made;
    struct caller caller = make_caller(token, &made);
    enum verdict verdict = rules_judge(route, &caller, call).verdict;
    made_free(&made);
    return verdict;
}

/* Without a name nothing is allowed that was not, and nothing says that a consent could help where
 * it said that none could. */
static void check_one_less(const struct route *route, const struct token *token,
                           const struct token *less, const struct mcp_call *call)
{
    struct made made[2];
    struct caller callers[] = {make_caller(token, &made[0]), make_caller(less, &made[1])};
    assert_true(rules_decide(route, &callers[1], call).verdict >=
                rules_decide(route, &callers[0], call).verdict);
    assert_true(rules_judge(route, &callers[1], call).verdict >=
                rules_judge(route, &callers[0], call).verdict);
    made_free(&made[0]);
    made_free(&made[1]);
}

static void check_less(const struct route *route, const struct token *token,
                       const struct mcp_call *call)
{
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        struct token less = *token;
        less.scopes &= ~(1U << i);
        check_one_less(route, token, &less, call);
        less = *token;
        less.permissions &= ~(1U << i);
        check_one_less(route, token, &less, call);
    }
}

/* The round of a client: it asks for what the challenge names, beside what it has, once. */
static void check_step_up(const struct route *route, const struct token *token,
                          const struct mcp_call *call, const char *policy)
{
    struct made made;
    struct caller caller = make_caller(token, &made);
    struct decision decision = rules_judge(route, &caller, call);
    if (decision.verdict == VERDICT_STEP_UP) {
        (void)buf_append_cstr(&made.scope, " ");
        assert_int_equal(rules_append_needed(route, &decision, call, &made.scope), 0);
        caller.scope = buf_str(&made.scope);
        decision = rules_judge(route, &caller, call);
        if (decision.verdict != VERDICT_ALLOW)
            fail_msg("what was asked for does not do: %s", policy);
    }
    made_free(&made);
}

static void rules_less_in_a_token_never_allows_more(void **state)
{
    (void)state;
    struct dice dice = {UINT64_C(0x9e3779b97f4a7c15)};
    unsigned counts[3] = {0};
    for (unsigned p = 0; p < POLICIES; p++) {
        struct buf policy = buf_make(8192);
        struct diag diag = {0};
        struct config *config = NULL;
        put_policy(&policy, &dice);
        if (parse_policy(policy.ptr, &diag, &config) != 0) {
            diag_print(&diag, stderr, policy.ptr, false);
            fail_msg("refused");
        }
        const struct route *route = &config_get(config)->routes[0];
        for (unsigned i = 0; i < TOKENS; i++) {
            const struct token token = {throw(&dice, 128), throw(&dice, 128), throw(&dice, 3)};
            const struct mcp_call *call = &PICK(&dice, calls);
            counts[verdict_of(route, &token, call)]++;
            check_less(route, &token, call);
            check_step_up(route, &token, call, policy.ptr);
        }
        config_unref(config);
        diag_free(&diag);
        buf_free(&policy);
    }
    /* All of them happen, and often: else this would show nothing. */
    for (unsigned i = 0; i < ARRAY_LEN(counts); i++)
        assert_true(counts[i] > POLICIES * TOKENS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_less_in_a_token_never_allows_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
