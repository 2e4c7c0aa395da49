/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a policy that says who may call what: what it becomes, what is wrong with it, and
 * what looks wrong. */
#include <stdlib.h>

#include "policy/fixture.h"
#include "policy/rules.h"

#define RULES(rules) POLICY_IN_ROUTE("\"rules\": [" rules "]")
#define RULE(rule) RULES("{" rule "}")
#define TOOL(rest) RULE("\"tools\": [\"a\"], " rest)
#define TESTS(tests) POLICY_TOP("\"tests\": [" tests "]")
#define TEST_OF(rules, test)                                                                    \
    "{" AUTH0 ", \"tests\": [" test "], \"routes\": [{\"resource\": "                           \
    "\"https://mcp.example.com/mcp\", \"upstream\": \"http://127.0.0.1:3000/mcp\", \"rules\": " \
    "[" rules "]}]}"

static void assert_str(struct str actual, const char *expected)
{
    if (!str_eq(actual, str_from_cstr(expected)))
        fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(actual), expected);
}

static void config_of_calls_has_safe_defaults(void **state)
{
    (void)state;
    struct config *config = good_policy(POLICY_ROUTE(ROUTE));
    const struct config_data *data = config_get(config);
    const struct route *route = &data->routes[0];
    assert_int_equal(route->authorize_on, AUTHORIZE_ON_SCOPE);
    assert_int_equal(route->n_rules, 0);
    assert_true(route->default_allows);
    assert_true(route->filters_lists);
    assert_int_equal(route->on_deny, ON_DENY_CHALLENGE);
    assert_true(route->binds_sessions);
    assert_int_equal(route->max_inspect_bytes, 4 * 1024 * 1024);
    assert_int_equal(route->upstream.assertion.n_keys, 0);
    assert_false(str_is_set(route->upstream.assertion.header));
    assert_false(str_is_set(data->session_secret));
    assert_false(str_is_set(data->audit.file));
    assert_false(data->audit.fail_open);
    assert_false(str_is_set(data->assertion_jwks));
    assert_int_equal(data->n_tests, 0);
    config_unref(config);
}

static void config_takes_what_the_policy_says_about_calls(void **state)
{
    (void)state;
    struct config *config = good_policy(
        "{" AUTH0 ", \"session_secret\": \"0123456789abcdef0123456789abcdef\", \"audit\": "
        "{\"file\": \"audit.log\", \"on_error\": \"continue\"}, \"routes\": [{\"resource\": "
        "\"https://mcp.example.com/mcp\", \"upstream\": \"http://127.0.0.1:3000/mcp\", "
        "\"authorize_on\": \"both\", \"default\": \"allow\", \"list\": \"pass\", \"on_deny\": "
        "\"tool_error\", \"sessions\": \"bind\", \"limits\": {\"response_inspect\": \"1KiB\"}, "
        "\"rules\": [{\"tools\": [\"a\", \"b*\"], \"prompts\": [\"p\"], \"resources\": [\"r\"], "
        "\"methods\": [\"m\"], \"scopes\": [\"s\", \"t\"], \"permission\": \"x:{name}\", "
        "\"claims\": {\"org\": [\"$env(SET)\", 1, true]}}, {\"tools\": [\"c\"], \"allow\": true}, "
        "{\"tools\": [\"d\"], \"allow\": false}]}]}");
    const struct config_data *data = config_get(config);
    const struct route *route = &data->routes[0];
    const struct rule *rule = &route->rules[0];
    assert_str(data->session_secret, "0123456789abcdef0123456789abcdef");
    assert_str(data->audit.file, "/etc/policy/audit.log");
    assert_true(data->audit.fail_open);
    assert_int_equal(route->authorize_on, AUTHORIZE_ON_BOTH);
    assert_true(route->default_allows);
    assert_false(route->filters_lists);
    assert_int_equal(route->on_deny, ON_DENY_TOOL_ERROR);
    assert_true(route->binds_sessions);
    assert_int_equal(route->max_inspect_bytes, 1024);
    assert_int_equal(route->n_rules, 3);
    assert_str(rule->pointer, "/routes/0/rules/0");
    assert_int_equal(rule->targets[MCP_TOOL].n, 2);
    assert_str(rule->targets[MCP_TOOL].items[1], "b*");
    assert_str(rule->targets[MCP_PROMPT].items[0], "p");
    assert_str(rule->targets[MCP_RESOURCE].items[0], "r");
    assert_str(rule->targets[MCP_NO_TARGET].items[0], "m");
    assert_int_equal(rule->effect, RULE_REQUIRE);
    assert_int_equal(rule->n_scopes, 2);
    assert_str(rule->permission, "x:{name}");
    assert_int_equal(rule->n_claims, 1);
    assert_str(rule->claims[0].name, "org");
    assert_int_equal(json_array_size(rule->claims[0].values), 3);
    assert_str(json_str(json_array_get(rule->claims[0].values, 0)), "value");
    assert_int_equal(route->rules[1].effect, RULE_ALLOW);
    assert_int_equal(route->rules[2].effect, RULE_DENY);
    config_unref(config);
}

static void config_default_follows_the_rules(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        bool allows;
    } rows[] = {
        {RULES(""), true},
        {TOOL("\"allow\": true"), false},
        {POLICY_IN_ROUTE("\"default\": \"deny\""), false},
        {POLICY_IN_ROUTE("\"default\": \"allow\", \"rules\": [{\"tools\": [\"a\"], \"allow\": "
                         "false}]"),
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *config = good_policy(rows[i].policy);
        assert_int_equal(config_get(config)->routes[0].default_allows, rows[i].allows);
        config_unref(config);
    }
}

static void config_prints_rules_and_hides_secrets(void **state)
{
    (void)state;
    struct config *config = good_policy(
        "{" AUTH0 ", \"session_secret\": \"" CANARY "-and-at-least-32-bytes-of-it\", \"tests\": "
        "[{\"claims\": {\"a\": [\"$env(KEY)\", {\"b\": \"c\"}]}, \"call\": [\"ping\"], "
        "\"expect\": \"allow\"}], \"audit\": {\"file\": \"-\"}, \"routes\": [{\"resource\": "
        "\"https://mcp.example.com/mcp\", \"upstream\": \"http://127.0.0.1:3000/mcp\", \"rules\": "
        "[{\"tools\": [\"a\"], \"claims\": {\"org\": [\"$env(KEY)\", 1]}}]}]}");
    json_t *printed = config_print(config);
    char *text = json_dumps(printed, 0);
    static const char *const parts[] = {
        "\"session_secret\": \"[redacted]\"",
        "\"audit\": {\"file\": \"-\", \"on_error\": \"refuse\"}",
        "\"claims\": {\"org\": [\"[redacted]\", 1]}",
        "\"default\": \"deny\"",
        "\"authorize_on\": \"scope\"",
        "\"claims\": {\"a\": [\"[redacted]\", {\"b\": \"c\"}]}",
        "\"tests\": [{\"route\": \"https://mcp.example.com/mcp\"",
    };
    assert_null(strstr(text, CANARY));
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (strstr(text, parts[i]) == NULL)
            fail_msg("no %s in %s", parts[i], text);
    free(text);
    json_decref(printed);
    config_unref(config);
}

struct row {
    const char *policy;
    const char *pointer;
    const char *text; /* a part of it */
};

static const struct row rule_errors[] = {
    {POLICY_IN_ROUTE("\"rules\": {}"), "/routes/0/rules", "must be an array, not an object"},
    {RULES("\"a\""), "/routes/0/rules/0", "must be an object, not a string"},
    {RULE(""), "/routes/0/rules/0", "does not say what it is about"},
    {RULE("\"allow\": true"), "/routes/0/rules/0", "does not say what it is about"},
    {RULE("\"tools\": [\"a\"]"), "/routes/0/rules/0", "does not say who may"},
    {RULE("\"tool\": [\"a\"], \"allow\": true"), "/routes/0/rules/0/tool",
     "did you mean \"tools\"?"},
    {RULE("\"tools\": [], \"allow\": true"), "/routes/0/rules/0/tools", "must not be empty"},
    {RULE("\"tools\": \"a\", \"allow\": true"), "/routes/0/rules/0/tools",
     "must be an array of strings"},
    {RULE("\"tools\": [\"a\", \"a\"], \"allow\": true"), "/routes/0/rules/0/tools/1",
     "\"a\" is listed twice"},
    {RULE("\"tools\": [\"\"], \"allow\": true"), "/routes/0/rules/0/tools/0", "must not be empty"},
    {RULE("\"prompts\": [\"a\\\\\"], \"allow\": true"), "/routes/0/rules/0/prompts/0",
     "ends in a backslash"},
    {RULE("\"methods\": [\"a\\nb\"], \"allow\": true"), "/routes/0/rules/0/methods/0",
     "line break"},
    {TOOL("\"allow\": \"yes\""), "/routes/0/rules/0/allow", "must be true or false"},
    {TOOL("\"allow\": false, \"scopes\": [\"a\"]"), "/routes/0/rules/0/allow",
     "nobody may, whatever \"scopes\" asks for"},
    {TOOL("\"allow\": false, \"claims\": {\"a\": [1]}"), "/routes/0/rules/0/allow",
     "nobody may, whatever \"claims\" asks for"},
    {TOOL("\"scopes\": []"), "/routes/0/rules/0/scopes", "must not be empty"},
    {TOOL("\"scopes\": [\"a b\"]"), "/routes/0/rules/0/scopes/0",
     "write every scope as a string of its own"},
    {TOOL("\"permission\": \"tool:{nam}\""), "/routes/0/rules/0/permission",
     "a placeholder other than {name}"},
    {TOOL("\"permission\": \"tool:{name}}\""), "/routes/0/rules/0/permission",
     "a placeholder other than {name}"},
    {TOOL("\"permission\": \"a b\""), "/routes/0/rules/0/permission", "is no scope"},
    {TOOL("\"permission\": [\"a\"]"), "/routes/0/rules/0/permission", "must be a string"},
    {TOOL("\"claims\": {}"), "/routes/0/rules/0/claims", "must not be empty"},
    {TOOL("\"claims\": {\"org\": \"a\"}"), "/routes/0/rules/0/claims/org",
     "must be an array of strings, numbers or booleans, not a string"},
    {TOOL("\"claims\": {\"org\": []}"), "/routes/0/rules/0/claims/org", "must not be empty"},
    {TOOL("\"claims\": {\"org\": [null]}"), "/routes/0/rules/0/claims/org/0",
     "must be a string, a number or a boolean, not null"},
    {TOOL("\"claims\": {\"org\": [1, \"a\", 1]}"), "/routes/0/rules/0/claims/org/2",
     "listed twice"},
    {TOOL("\"claims\": {\"org\": [\"$env(NOPE)\"]}"), "/routes/0/rules/0/claims/org/0",
     "NOPE is not set"},
    {TOOL("\"claims\": {\"scope\": [\"a\"]}"), "/routes/0/rules/0/claims/scope",
     "write \"scopes\" in the rule"},
    {TOOL("\"claims\": {\"/a~b\": [1]}"), "/routes/0/rules/0/claims/~1a~0b", "is no JSON pointer"},
    {TOOL("\"claims\": {\"/a~\": [1]}"), "/routes/0/rules/0/claims/~1a~0", "is no JSON pointer"},
    {TOOL("\"claims\": {\"\": [1]}"), "/routes/0/rules/0/claims/", "is no name of a claim"},
    {POLICY_IN_ROUTE("\"authorize_on\": \"role\""), "/routes/0/authorize_on",
     "not one of scope, permissions, either, both"},
    {POLICY_IN_ROUTE("\"default\": true"), "/routes/0/default", "must be a string"},
    {POLICY_IN_ROUTE("\"default\": \"none\""), "/routes/0/default", "not one of allow, deny"},
    {POLICY_IN_ROUTE("\"list\": \"hide\""), "/routes/0/list", "not one of filter, pass"},
    {POLICY_IN_ROUTE("\"on_deny\": \"error\""), "/routes/0/on_deny",
     "not one of challenge, tool_error"},
    {POLICY_IN_ROUTE("\"sessions\": \"strict\""), "/routes/0/sessions", "not one of bind, pass"},
    {POLICY_IN_ROUTE("\"limits\": {\"response_inspect\": \"1B\"}"),
     "/routes/0/limits/response_inspect", "from 1KiB to 1GiB"},
    {POLICY_TOP("\"session_secret\": \"\""), "/session_secret", "must not be empty"},
    {POLICY_TOP("\"session_secret\": 1"), "/session_secret", "must be a string or null"},
    {POLICY_TOP("\"audit\": {}"), "/audit", "\"file\" is missing"},
    {POLICY_TOP("\"audit\": \"a\""), "/audit", "must be an object or null"},
    {POLICY_TOP("\"audit\": {\"file\": \"a\", \"on_error\": \"ignore\"}"), "/audit/on_error",
     "not one of refuse, continue"},
};

/* Rules of one tool each, and what a test of the first one is. */
#define TWO_RULES \
    "{\"tools\": [\"a\"], \"scopes\": [\"s\"]}, {\"tools\": [\"b\"], \"allow\": false}"
#define TWO_ROUTES                                                                              \
    "\"routes\": [{\"resource\": \"https://x/a\", \"upstream\": \"http://a\"}, {\"resource\": " \
    "\"https://x/b\", \"upstream\": \"http://b\"}]"

static const struct row test_errors[] = {
    {TESTS("1"), "/tests/0", "must be an object, not a number"},
    {TESTS("{}"), "/tests/0", "\"call\" is missing"},
    {TESTS("{}"), "/tests/0", "\"expect\" is missing"},
    {TESTS("{\"call\": [\"ping\"], \"expect\": \"yes\"}"), "/tests/0/expect",
     "not one of allow, deny, step_up, forbidden"},
    {TESTS("{\"call\": [], \"expect\": \"allow\"}"), "/tests/0/call", "must not be empty"},
    {TESTS("{\"call\": [\"a\", \"b\", \"c\"], \"expect\": \"allow\"}"), "/tests/0/call",
     "at most 2"},
    {TESTS("{\"call\": [\"tools/call\"], \"expect\": \"allow\"}"), "/tests/0/call",
     "\"tools/call\" needs the name"},
    {TESTS("{\"call\": [\"ping\", \"x\"], \"expect\": \"allow\"}"), "/tests/0/call",
     "\"ping\" names nothing"},
    {TESTS("{\"call\": [\"ping\"], \"claims\": [], \"expect\": \"allow\"}"), "/tests/0/claims",
     "must be an object"},
    {TESTS("{\"call\": [\"ping\"], \"claims\": {\"scope\": [\"a\"]}, \"expect\": \"allow\"}"),
     "/tests/0/claims/scope", "must be a string of scopes"},
    {TESTS("{\"call\": [\"ping\"], \"claims\": {\"scope\": \"a,\\\"b\"}, \"expect\": \"allow\"}"),
     "/tests/0/claims/scope", "must be a string of scopes"},
    {TESTS("{\"call\": [\"ping\"], \"claims\": {\"a\": [\"$env(NOPE)\"]}, \"expect\": \"allow\"}"),
     "/tests/0/claims/a/0", "NOPE is not set"},
    {TESTS("{\"route\": \"https://x\", \"call\": [\"ping\"], \"expect\": \"allow\"}"),
     "/tests/0/route", "no route has the resource \"https://x\""},
    {"{" AUTH0 ", \"tests\": [{\"call\": [\"ping\"], \"expect\": \"allow\"}], " TWO_ROUTES "}",
     "/tests/0", "\"route\" is missing: there are several"},
    {TESTS("{\"call\": [\"ping\"], \"expect\": \"deny\"}"), "/tests/0",
     "expected \"deny\", but this is \"allow\": free_method"},
    {TEST_OF(TWO_RULES, "{\"call\": [\"tools/call\", \"a\"], \"expect\": \"allow\"}"), "/tests/0",
     "expected \"allow\", but this is \"step_up\": scope_missing, by /routes/0/rules/0; a token "
     "needs \"s\""},
    {TEST_OF(TWO_RULES, "{\"call\": [\"tools/call\", \"a\"], \"expect\": \"forbidden\"}"),
     "/tests/0", "but this is \"step_up\""},
    {TEST_OF(TWO_RULES, "{\"call\": [\"tools/call\", \"a\"], \"claims\": {\"scope\": \"s\"}, "
                        "\"expect\": \"deny\"}"),
     "/tests/0", "but this is \"allow\": rule_met, by /routes/0/rules/0"},
    {TEST_OF(TWO_RULES, "{\"call\": [\"tools/call\", \"b\"], \"expect\": \"step_up\"}"), "/tests/0",
     "but this is \"forbidden\": rule_denies, by /routes/0/rules/1"},
    {TEST_OF(TWO_RULES, "{\"call\": [\"tools/call\", \"c\"], \"expect\": \"allow\"}"), "/tests/0",
     "but this is \"forbidden\": default_denies"},
};

static void check_error(const struct row *row)
{
    struct diag diag = {0};
    struct config *config = NULL;
    int r = parse_policy(row->policy, &diag, &config);
    if (r != -EINVAL || config != NULL ||
        !has_finding(&diag, DIAG_ERROR, row->pointer, row->text)) {
        diag_print(&diag, stderr, "got", false);
        fail_msg("%s: no error at \"%s\" with \"%s\"", row->policy, row->pointer, row->text);
    }
    diag_free(&diag);
}

static void policy_refuses_wrong_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rule_errors); i++)
        check_error(&rule_errors[i]);
}

static void policy_refuses_tests_that_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(test_errors); i++)
        check_error(&test_errors[i]);
}

static const char *const passing_tests[] = {
    "{\"call\": [\"ping\"], \"expect\": \"allow\"}",
    "{\"route\": \"https://mcp.example.com/mcp\", \"call\": [\"ping\"], \"expect\": \"allow\"}",
    "{\"call\": [\"tools/call\", \"a\"], \"claims\": {\"scope\": \"x s\"}, \"expect\": \"allow\"}",
    "{\"call\": [\"tools/call\", \"a\"], \"expect\": \"step_up\"}",
    "{\"call\": [\"tools/call\", \"a\"], \"expect\": \"deny\"}",
    "{\"call\": [\"tools/call\", \"b\"], \"expect\": \"forbidden\"}",
    "{\"call\": [\"tools/call\", \"b\"], \"expect\": \"deny\"}",
    "{\"call\": [\"prompts/get\", \"p\"], \"expect\": \"forbidden\"}",
    "{\"call\": [\"completion/complete\", \"ref/prompt:p\"], \"expect\": \"forbidden\"}",
};

static void policy_with_tests_that_pass_is_served(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(passing_tests); i++) {
        char text[2048];
        (void)snprintf(text, sizeof(text), TEST_OF(TWO_RULES, "%s"), passing_tests[i]);
        struct config *config = good_policy(text);
        assert_int_equal(config_get(config)->n_tests, 1);
        config_unref(config);
    }
}

#define RULE_A "{\"tools\": [\"a\"], \"allow\": true}"
#define RULES_A(more) RULES(RULE_A ", " more)
#define ANY_TOOL "{\"tools\": [\"*\"], \"allow\": true}"

static const struct row warnings[] = {
    {TOOL("\"allow\": true, \"scopes\": [\"a\"]"), "/routes/0/rules/0/allow",
     "is not needed: who meets \"scopes\" may"},
    {RULE("\"resources\": [\"docs://search?q=*\"], \"allow\": true"),
     "/routes/0/rules/0/resources/0", "for a question mark write \"\\\\?\""},
    {RULES(ANY_TOOL ", {\"tools\": [\"b\"], \"allow\": false}"), "/routes/0/rules/1",
     "no call reaches this rule: /routes/0/rules/0 matches all that it matches"},
    {RULES_A("{\"tools\": [\"b\"], \"allow\": true}, {\"tools\": [\"b\", \"a\"], \"allow\": "
             "false}"),
     "/routes/0/rules/2", "/routes/0/rules/0 and others up to /routes/0/rules/1 match all"},
    {RULES(ANY_TOOL ", {\"tools\": [\"b\"], \"prompts\": [\"b\"], \"allow\": false}"),
     "/routes/0/rules/1/tools/0", "no call gets here: /routes/0/rules/0 matches"},
    {RULES("{\"methods\": [\"tools/*\"], \"allow\": true}, {\"tools\": [\"b\"], \"allow\": "
           "false}"),
     "/routes/0/rules/1", "no call reaches this rule"},
    {RULES(ANY_TOOL ", {\"methods\": [\"tools/call\"], \"allow\": false}"), "/routes/0/rules/1",
     "no call reaches this rule"},
    {RULES("{\"methods\": [\"*\"], \"allow\": true}, {\"resources\": [\"b\"], \"allow\": false}"),
     "/routes/0/rules/1", "no call reaches this rule"},
    {RULE("\"tools\": [\"a*\", \"ab\"], \"allow\": true"), "/routes/0/rules/0/tools/1",
     "/routes/0/rules/0/tools/0 beside it matches all"},
    {RULE("\"tools\": [\"ab\", \"a*\"], \"allow\": true"), "/routes/0/rules/0/tools/0",
     "/routes/0/rules/0/tools/1 beside it matches all"},
    {RULE("\"tools\": [\"ab\", \"a\\\\b\"], \"allow\": true"), "/routes/0/rules/0/tools/1",
     "/routes/0/rules/0/tools/0 beside it matches all"},
    {RULE("\"methods\": [\"init*\"], \"allow\": false"), "/routes/0/rules/0/methods",
     "denies \"initialize\" to everybody"},
    {POLICY_IN_ROUTE("\"default\": \"deny\""), "/routes/0/default",
     "nothing can be called but the methods"},
    {RULES(""), "/routes/0/rules", "every call is allowed"},
    {POLICY_IN_ROUTE("\"list\": \"filter\""), "/routes/0/list", "nothing is left out of a list"},
    {POLICY_IN_ROUTE("\"on_deny\": \"tool_error\""), "/routes/0/on_deny", "nothing to deny"},
    {POLICY_TOP("\"session_secret\": \"0123456789abcdef0123456789abcde\""), "/session_secret",
     "shorter than 32 bytes"},
    {"{" AUTH0 ", \"session_secret\": \"0123456789abcdef0123456789abcdef\", \"routes\": "
     "[{\"resource\": \"https://a\", \"upstream\": \"http://a\", \"sessions\": \"pass\"}]}",
     "/session_secret", "is of no use"},
};

static void policy_warns_of_what_looks_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(warnings); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        if (parse_policy(warnings[i].policy, &diag, &config) != 0 || diag.count != 1 ||
            !has_finding(&diag, DIAG_WARNING, warnings[i].pointer, warnings[i].text)) {
            diag_print(&diag, stderr, "got", false);
            fail_msg("%s: no warning with \"%s\"", warnings[i].policy, warnings[i].text);
        }
        config_unref(config);
        diag_free(&diag);
    }
}

static const char *const quiet[] = {
    /* Each rule is reached by something. */
    RULES_A("{\"tools\": [\"*\"], \"allow\": false}"),
    RULES("{\"tools\": [\"a?\"], \"allow\": true}, {\"tools\": [\"a*\"], \"allow\": false}"),
    RULES(ANY_TOOL ", {\"prompts\": [\"*\"], \"allow\": false}"),
    RULES(ANY_TOOL ", {\"methods\": [\"*\"], \"allow\": true}"),
    /* A completion is not governed by them. */
    RULES("{\"methods\": [\"prompts/get\"], \"allow\": true}, {\"prompts\": [\"a\"], \"allow\": "
          "true}"),
    RULES("{\"prompts\": [\"*\"], \"allow\": true}, {\"methods\": [\"completion/complete\"], "
          "\"allow\": true}"),
    /* Some can connect: the first rule decides. */
    RULES("{\"methods\": [\"initialize\"], \"scopes\": [\"a\"]}, {\"methods\": [\"init*\"], "
          "\"allow\": false}"),
    RULE("\"resources\": [\"docs://search\\\\?q=*\", \"a?b\"], \"allow\": true"),
    POLICY_IN_ROUTE("\"default\": \"allow\", \"rules\": [], \"list\": \"filter\""),
    POLICY_TOP("\"audit\": null, \"session_secret\": null, \"tests\": []"),
    POLICY_TOP("\"audit\": {\"file\": \"-\"}"),
    TOOL("\"claims\": {\"/act/sub\": [\"a\"], \"https://a/b\": [1.5, true, \"1.5\"]}"),
    TOOL("\"permission\": \"{name}\""),
};

static void policy_has_nothing_to_say_about_good_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(quiet); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        int r = parse_policy(quiet[i], &diag, &config);
        diag_print(&diag, stderr, quiet[i], false);
        assert_int_equal(r, 0);
        assert_int_equal(diag.count, 0);
        config_unref(config);
        diag_free(&diag);
    }
}

/* The search for rules that are not reached must end in time, however many there are. */
static void policy_with_thousands_of_patterns_is_read_in_time(void **state)
{
    (void)state;
    struct buf text = buf_make(1U << 20);
    struct diag diag = {0};
    struct config *config = NULL;
    (void)buf_append_cstr(&text, "{" AUTH0 ", \"routes\": [{\"resource\": \"https://a\", "
                                 "\"upstream\": \"http://a\", \"rules\": [");
    for (unsigned i = 0; i < 1000; i++) {
        (void)buf_printf(&text, "%s{\"allow\": true, \"tools\": [", i > 0 ? ", " : "");
        for (unsigned k = 0; k < 50; k++)
            (void)buf_printf(&text, "%s\"*t%u_%u\"", k > 0 ? ", " : "", i, k);
        (void)buf_append_cstr(&text, "]}");
    }
    (void)buf_append_cstr(&text, "]}]}");
    assert_false(buf_failed(&text));
    (void)buf_append_char(&text, '\0');
    assert_int_equal(parse_policy(text.ptr, &diag, &config), 0);
    assert_int_equal(config_get(config)->routes[0].n_rules, 1000);
    config_unref(config);
    diag_free(&diag);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_of_calls_has_safe_defaults),
        cmocka_unit_test(config_takes_what_the_policy_says_about_calls),
        cmocka_unit_test(config_default_follows_the_rules),
        cmocka_unit_test(config_prints_rules_and_hides_secrets),
        cmocka_unit_test(policy_refuses_wrong_rules),
        cmocka_unit_test(policy_refuses_tests_that_fail),
        cmocka_unit_test(policy_with_tests_that_pass_is_served),
        cmocka_unit_test(policy_warns_of_what_looks_wrong),
        cmocka_unit_test(policy_has_nothing_to_say_about_good_rules),
        cmocka_unit_test(policy_with_thousands_of_patterns_is_read_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
