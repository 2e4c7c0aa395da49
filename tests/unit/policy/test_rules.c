/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call what: the decision for every kind of rule and every place of granted names. Policies
 * are written as people write them; a row is a route, a token, a call, and what must come out. */
#include "policy/rules.h"

#include "policy/fixture.h"
#include "proto/mcp_call.h"

struct row {
    const char *why;
    const char *route;  /* more keys of the route */
    const char *claims; /* of the token */
    const char *call;   /* METHOD:NAME */
    enum verdict verdict;
    const char *reason;
    const char *needed; /* NULL: not looked at */
};

#define ALLOW VERDICT_ALLOW
#define STEP_UP VERDICT_STEP_UP
#define FORBIDDEN VERDICT_FORBIDDEN
#define RULES(rules) "\"rules\": [" rules "]"
#define SCOPE(scope) "{\"scope\": \"" scope "\"}"
#define PERMISSIONS(list) "{\"permissions\": [" list "]}"

/* One judgement of CLAIMS and CALL under a policy with ROUTE in it. */
struct judged {
    struct config *config;
    json_t *claims;
    const struct route *route;
    struct caller caller;
    struct mcp_call call;
    struct decision decision;
    struct buf needed;
};

static void judge(const char *route, const char *claims, const char *call, struct judged *judged)
{
    char policy[4096];
    struct str method;
    struct str name;
    (void)snprintf(policy, sizeof(policy), POLICY_IN_ROUTE("%s"), route);
    *judged = (struct judged){.config = good_policy(policy), .needed = buf_make(4096)};
    judged->claims = json_loads(claims, 0, NULL);
    if (judged->claims == NULL)
        fail_msg("no JSON: %s", claims);
    judged->route = &config_get(judged->config)->routes[0];
    judged->caller = (struct caller){json_get_str(judged->claims, "scope"), judged->claims};
    mcp_call_split(str_from_cstr(call), &method, &name);
    if (mcp_call_make(method, name, &judged->call) != MCP_CALL_OK)
        fail_msg("no call: %s", call);
    judged->decision = rules_judge(judged->route, &judged->caller, &judged->call);
    assert_int_equal(
        rules_append_needed(judged->route, &judged->decision, &judged->call, &judged->needed), 0);
}

static void judged_free(struct judged *judged)
{
    buf_free(&judged->needed);
    json_decref(judged->claims);
    config_unref(judged->config);
}

static void check_row(const struct row *row)
{
    struct judged judged;
    judge(row->route, row->claims, row->call, &judged);
    const struct decision *decision = &judged.decision;
    if (decision->verdict != row->verdict || strcmp(decision->reason, row->reason) != 0)
        fail_msg("%s: %s, %s", row->why, verdict_name(decision->verdict), decision->reason);
    if (row->needed != NULL && !str_eq(buf_str(&judged.needed), str_from_cstr(row->needed)))
        fail_msg("%s: needs \"%.*s\"", row->why, STR_ARG(buf_str(&judged.needed)));
    assert_non_null(decision->description);
    judged_free(&judged);
}

#define RULES_TEST(name, rows)                       \
    static void name(void **state)                   \
    {                                                \
        (void)state;                                 \
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) \
            check_row(&(rows)[i]);                   \
    }

/* ---- which rule decides ---- */

#define KINDS                                                     \
    RULES("{\"tools\": [\"t_*\"], \"allow\": true}, "             \
          "{\"prompts\": [\"p_*\"], \"allow\": true}, "           \
          "{\"resources\": [\"file:///r/*\"], \"allow\": true}, " \
          "{\"methods\": [\"m/*\"], \"allow\": true}")

static const struct row kind_rows[] = {
    {"a tool", KINDS, "{}", "tools/call:t_1", ALLOW, "rule_allows", ""},
    {"another tool", KINDS, "{}", "tools/call:x", FORBIDDEN, "default_denies", ""},
    {"a tool named like a prompt", KINDS, "{}", "tools/call:p_1", FORBIDDEN, "default_denies", ""},
    {"a prompt", KINDS, "{}", "prompts/get:p_1", ALLOW, "rule_allows", ""},
    {"a prompt named like a tool", KINDS, "{}", "prompts/get:t_1", FORBIDDEN, "default_denies", ""},
    {"completion for a prompt", KINDS, "{}", "completion/complete:ref/prompt:p_1", ALLOW,
     "rule_allows", ""},
    {"completion for another prompt", KINDS, "{}", "completion/complete:ref/prompt:x", FORBIDDEN,
     "default_denies", ""},
    {"a resource", KINDS, "{}", "resources/read:file:///r/a", ALLOW, "rule_allows", ""},
    {"subscribing", KINDS, "{}", "resources/subscribe:file:///r/a", ALLOW, "rule_allows", ""},
    {"unsubscribing", KINDS, "{}", "resources/unsubscribe:file:///r/a", ALLOW, "rule_allows", ""},
    {"listening to a resource", KINDS, "{}", "subscriptions/listen:file:///r/a", ALLOW,
     "rule_allows", ""},
    {"completion for a resource", KINDS, "{}", "completion/complete:ref/resource:file:///r/{x}",
     ALLOW, "rule_allows", ""},
    {"another resource", KINDS, "{}", "resources/read:file:///s/a", FORBIDDEN, "default_denies",
     ""},
    {"a method", KINDS, "{}", "m/x", ALLOW, "rule_allows", ""},
    {"another method", KINDS, "{}", "logging/setLevel", FORBIDDEN, "default_denies", ""},
    {"a tool's name is no method", KINDS, "{}", "tools/call:m/x", FORBIDDEN, "default_denies", ""},
};

#define FIRST                                             \
    RULES("{\"tools\": [\"a_1\"], \"allow\": false}, "    \
          "{\"tools\": [\"a_*\"], \"scopes\": [\"a\"]}, " \
          "{\"tools\": [\"*\"], \"allow\": true}")

static const struct row order_rows[] = {
    {"the first one denies", FIRST, SCOPE("a"), "tools/call:a_1", FORBIDDEN, "rule_denies", ""},
    {"the second one, met", FIRST, SCOPE("a"), "tools/call:a_2", ALLOW, "rule_met", "a"},
    {"one that is not met denies and does not pass on", FIRST, SCOPE("b"), "tools/call:a_2",
     STEP_UP, "scope_missing", "a"},
    {"the last one", FIRST, "{}", "tools/call:b", ALLOW, "rule_allows", ""},
    {"a rule may be about several kinds",
     RULES("{\"tools\": [\"t\"], \"prompts\": [\"p\"], \"allow\": true}"), "{}", "prompts/get:p",
     ALLOW, "rule_allows", ""},
    {"methods match calls that name something",
     RULES("{\"methods\": [\"tools/call\"], \"scopes\": [\"t\"]}, {\"tools\": [\"*\"], \"allow\": "
           "true}"),
     "{}", "tools/call:x", STEP_UP, "scope_missing", "t"},
    {"methods have globs", RULES("{\"methods\": [\"resources/*\"], \"allow\": true}"), "{}",
     "resources/read:file:///a", ALLOW, "rule_allows", ""},
    {"a glob is about the whole name", RULES("{\"tools\": [\"echo\"], \"allow\": true}"), "{}",
     "tools/call:echo2", FORBIDDEN, "default_denies", ""},
    {"and about its case", RULES("{\"tools\": [\"echo\"], \"allow\": true}"), "{}",
     "tools/call:Echo", FORBIDDEN, "default_denies", ""},
};

static const struct row default_rows[] = {
    {"without rules all is allowed", "\"list\": \"pass\"", "{}", "tools/call:x", ALLOW,
     "default_allows", ""},
    {"unless the default denies", "\"default\": \"deny\"", "{}", "tools/call:x", FORBIDDEN,
     "default_denies", ""},
    {"with a rule the default denies", RULES("{\"tools\": [\"x\"], \"allow\": true}"), "{}",
     "tools/call:y", FORBIDDEN, "default_denies", ""},
    {"unless it allows", "\"default\": \"allow\", " RULES("{\"tools\": [\"x\"], \"allow\": false}"),
     "{}", "tools/call:y", ALLOW, "default_allows", ""},
    {"and the rule denies",
     "\"default\": \"allow\", " RULES("{\"tools\": [\"x\"], \"allow\": false}"), "{}",
     "tools/call:x", FORBIDDEN, "rule_denies", ""},
};

#define DENY_ALL "\"default\": \"deny\""
#define NAME_LIST RULES("{\"methods\": [\"tools/list\"], \"scopes\": [\"see\"]}")

static const struct row free_rows[] = {
    {"initialize", DENY_ALL, "{}", "initialize", ALLOW, "free_method", ""},
    {"ping", DENY_ALL, "{}", "ping", ALLOW, "free_method", ""},
    {"server/discover", DENY_ALL, "{}", "server/discover", ALLOW, "free_method", ""},
    {"tools/list", DENY_ALL, "{}", "tools/list", ALLOW, "free_method", ""},
    {"prompts/list", DENY_ALL, "{}", "prompts/list", ALLOW, "free_method", ""},
    {"resources/list", DENY_ALL, "{}", "resources/list", ALLOW, "free_method", ""},
    {"templates", DENY_ALL, "{}", "resources/templates/list", ALLOW, "free_method", ""},
    {"a notification", DENY_ALL, "{}", "notifications/initialized", ALLOW, "free_method", ""},
    {"listening to no resource", DENY_ALL, "{}", "subscriptions/listen", ALLOW, "free_method", ""},
    {"listening to one is not free", DENY_ALL, "{}", "subscriptions/listen:file:///a", FORBIDDEN,
     "default_denies", ""},
    {"logging/setLevel is not free", DENY_ALL, "{}", "logging/setLevel", FORBIDDEN,
     "default_denies", ""},
    {"a rule that names the method governs it", NAME_LIST, "{}", "tools/list", STEP_UP,
     "scope_missing", "see"},
    {"and not its neighbours", NAME_LIST, "{}", "prompts/list", ALLOW, "free_method", ""},
    {"a rule about tools does not", RULES("{\"tools\": [\"*\"], \"allow\": false}"), "{}",
     "tools/list", ALLOW, "free_method", ""},
    {"the scopes of the route are asked for all the same", DENY_ALL ", \"scopes\": [\"use\"]", "{}",
     "initialize", STEP_UP, "route_scope_missing", "use"},
};

RULES_TEST(rules_match_by_kind_and_glob, kind_rows)
RULES_TEST(rules_first_match_decides, order_rows)
RULES_TEST(rules_default_decides_the_rest, default_rows)
RULES_TEST(rules_free_methods_need_the_route_only, free_rows)

/* ---- where names are read from ---- */

#define ON(place, rules) "\"authorize_on\": \"" place "\", " RULES(rules)
#define TOOL_A "{\"tools\": [\"*\"], \"scopes\": [\"a\"]}"
#define TOOL_AB "{\"tools\": [\"*\"], \"scopes\": [\"a\", \"b\"]}"
#define BOTH(scope, permissions) "{\"scope\": \"" scope "\", \"permissions\": [" permissions "]}"
#define CALL "tools/call:x"

static const struct row source_rows[] = {
    {"scope: held", ON("scope", TOOL_A), SCOPE("a"), CALL, ALLOW, "rule_met", "a"},
    {"scope: not held", ON("scope", TOOL_A), SCOPE("ab"), CALL, STEP_UP, "scope_missing", "a"},
    {"scope: no scope claim", ON("scope", TOOL_A), "{}", CALL, STEP_UP, "scope_missing", "a"},
    {"scope: permissions do not count", ON("scope", TOOL_A), PERMISSIONS("\"a\""), CALL, STEP_UP,
     "scope_missing", "a"},
    {"scope: one of two", ON("scope", TOOL_AB), SCOPE("b"), CALL, STEP_UP, "scope_missing", "a b"},

    {"permissions: held", ON("permissions", TOOL_A), PERMISSIONS("\"x\", \"a\""), CALL, ALLOW,
     "rule_met", "a"},
    {"permissions: not held, and no consent could help", ON("permissions", TOOL_A),
     PERMISSIONS("\"b\""), CALL, FORBIDDEN, "scope_missing", NULL},
    {"permissions: scopes do not count", ON("permissions", TOOL_A), SCOPE("a"), CALL, FORBIDDEN,
     "scope_missing", NULL},
    {"permissions: none in the token", ON("permissions", TOOL_A), "{}", CALL, FORBIDDEN,
     "scope_missing", NULL},
    {"permissions: a string is no list", ON("permissions", TOOL_A), "{\"permissions\": \"a\"}",
     CALL, FORBIDDEN, "scope_missing", NULL},
    {"permissions: what is no string is ignored", ON("permissions", TOOL_A),
     PERMISSIONS("1, null, [\"a\"], {\"a\": \"a\"}"), CALL, FORBIDDEN, "scope_missing", NULL},
    {"permissions: beside it, a string counts", ON("permissions", TOOL_A), PERMISSIONS("1, \"a\""),
     CALL, ALLOW, "rule_met", NULL},
    {"permissions: each is one name, not a list of them", ON("permissions", TOOL_A),
     PERMISSIONS("\"a b\""), CALL, FORBIDDEN, "scope_missing", NULL},

    {"either: by scope", ON("either", TOOL_A), SCOPE("a"), CALL, ALLOW, "rule_met", "a"},
    {"either: by permissions", ON("either", TOOL_A), PERMISSIONS("\"a\""), CALL, ALLOW, "rule_met",
     "a"},
    {"either: one by each", ON("either", TOOL_AB), BOTH("a", "\"b\""), CALL, ALLOW, "rule_met",
     NULL},
    {"either: by none", ON("either", TOOL_A), BOTH("b", "\"c\""), CALL, STEP_UP, "scope_missing",
     "a"},

    {"both: in both", ON("both", TOOL_A), BOTH("a", "\"a\""), CALL, ALLOW, "rule_met", "a"},
    {"both: in permissions only: to be consented to", ON("both", TOOL_A), BOTH("b", "\"a\""), CALL,
     STEP_UP, "scope_missing", "a"},
    {"both: in scope only: the user may not", ON("both", TOOL_A), BOTH("a", "\"b\""), CALL,
     FORBIDDEN, "scope_missing", NULL},
    {"both: in none", ON("both", TOOL_A), "{}", CALL, FORBIDDEN, "scope_missing", NULL},
    {"both: one lacks consent, another cannot be had", ON("both", TOOL_AB), BOTH("", "\"a\""), CALL,
     FORBIDDEN, "scope_missing", NULL},
};

#define ROUTE_ON(place) "\"authorize_on\": \"" place "\", \"scopes\": [\"use\"]"

static const struct row route_rows[] = {
    {"scope: held", ROUTE_ON("scope"), SCOPE("use"), CALL, ALLOW, "default_allows", "use"},
    {"scope: not held", ROUTE_ON("scope"), "{}", CALL, STEP_UP, "route_scope_missing", "use"},
    {"permissions: held", ROUTE_ON("permissions"), PERMISSIONS("\"use\""), CALL, ALLOW,
     "default_allows", NULL},
    {"permissions: not held", ROUTE_ON("permissions"), SCOPE("use"), CALL, FORBIDDEN,
     "route_scope_missing", NULL},
    {"either: held", ROUTE_ON("either"), PERMISSIONS("\"use\""), CALL, ALLOW, "default_allows",
     NULL},
    {"both: to be consented to", ROUTE_ON("both"), PERMISSIONS("\"use\""), CALL, STEP_UP,
     "route_scope_missing", "use"},
    {"both: the user may not", ROUTE_ON("both"), SCOPE("use"), CALL, FORBIDDEN,
     "route_scope_missing", NULL},
    {"the route's scopes come first in what is needed", "\"scopes\": [\"use\"], " RULES(TOOL_AB),
     SCOPE("use"), CALL, STEP_UP, "scope_missing", "use a b"},
    {"also when it is a scope of the route that is missing",
     "\"scopes\": [\"use\"], " RULES(TOOL_AB), SCOPE("a"), CALL, STEP_UP, "route_scope_missing",
     "use a b"},
    {"but nothing is asked for where the rule lets nobody in",
     "\"scopes\": [\"use\"], " RULES("{\"tools\": [\"*\"], \"allow\": false}"), "{}", CALL,
     FORBIDDEN, "rule_denies", NULL},
    {"and each once", "\"scopes\": [\"b\"], " RULES(TOOL_AB), SCOPE("b"), CALL, STEP_UP,
     "scope_missing", "b a"},
};

#define IMPLY                                                                        \
    "\"scope_implies\": {\"admin\": [\"write\"], \"write\": [\"read\"], \"tools\": " \
    "[\"tool:x\"]}, "
#define TOOL_READ "{\"tools\": [\"*\"], \"scopes\": [\"read\"]}"

static const struct row implied_rows[] = {
    {"directly", IMPLY ON("scope", TOOL_READ), SCOPE("write"), CALL, ALLOW, "rule_met", "read"},
    {"in two steps", IMPLY ON("scope", TOOL_READ), SCOPE("x admin"), CALL, ALLOW, "rule_met", NULL},
    {"not backwards", IMPLY RULES("{\"tools\": [\"*\"], \"scopes\": [\"admin\"]}"),
     SCOPE("read write"), CALL, STEP_UP, "scope_missing", "admin"},
    {"not by a part of a name", IMPLY ON("scope", TOOL_READ), SCOPE("admins"), CALL, STEP_UP,
     "scope_missing", "read"},
    {"a permission by its whole name",
     IMPLY RULES("{\"tools\": [\"*\"], \"permission\": "
                 "\"tool:{name}\"}"),
     SCOPE("tools"), "tools/call:x", ALLOW, "rule_met", "tool:x"},
    {"and no other", IMPLY RULES("{\"tools\": [\"*\"], \"permission\": \"tool:{name}\"}"),
     SCOPE("tools"), "tools/call:y", STEP_UP, "permission_missing", "tool:y"},
    {"in permissions", IMPLY ON("permissions", TOOL_READ), PERMISSIONS("\"admin\""), CALL, ALLOW,
     "rule_met", NULL},
    {"both: each source is closed by itself", IMPLY ON("both", TOOL_READ),
     BOTH("write", "\"admin\""), CALL, ALLOW, "rule_met", NULL},
    {"both: one source does not lend to the other", IMPLY ON("both", TOOL_READ),
     BOTH("write", "\"x\""), CALL, FORBIDDEN, "scope_missing", NULL},
    {"the route's scopes", IMPLY "\"scopes\": [\"read\"]", SCOPE("admin"), CALL, ALLOW,
     "default_allows", NULL},
};

#define WANTS                                                                        \
    "\"scopes\": [\"mcp:use\", \"files:read\"], \"scope_implies\": {\"mcp:admin\": " \
    "[\"mcp:use\", \"files:write\"], \"files:write\": [\"files:read\"]}"
#define WANT(why, scope)                                                              \
    {                                                                                 \
        why, WANTS, scope, CALL, STEP_UP, "route_scope_missing", "mcp:use files:read" \
    }
#define HAVE(why, scope)                                       \
    {                                                          \
        why, WANTS, scope, CALL, ALLOW, "default_allows", NULL \
    }

/* Rule 22. */
static const struct row route_scope_rows[] = {
    HAVE("both", SCOPE("mcp:use files:read")),
    HAVE("both, other order, more", SCOPE("x files:read mcp:use y")),
    WANT("one of two", SCOPE("mcp:use")),
    WANT("none", SCOPE("openid")),
    WANT("empty", SCOPE("")),
    WANT("absent", "{}"),
    WANT("another case", SCOPE("MCP:use files:read")),
    WANT("a longer name", SCOPE("mcp:user files:read")),
    WANT("comma", SCOPE("mcp:use,files:read")),
    HAVE("mcp:admin implies both", SCOPE("mcp:admin")),
    WANT("files:write implies one", SCOPE("files:write")),
    HAVE("one held, one implied", SCOPE("mcp:use files:write")),
    WANT("a name that looks like the implying one", SCOPE("mcp:administrator")),
};

RULES_TEST(rules_route_wants_all_of_its_scopes, route_scope_rows)
RULES_TEST(rules_names_are_read_where_authorize_on_says, source_rows)
RULES_TEST(rules_route_scopes_are_read_there_too, route_rows)
RULES_TEST(rules_scope_implies_more, implied_rows)

/* ---- permission ---- */

#define PERMISSION(text)                                                        \
    RULES("{\"tools\": [\"*\"], \"prompts\": [\"*\"], \"resources\": [\"*\"], " \
          "\"methods\": [\"m/*\"], \"permission\": \"" text "\"}")
#define ON_PERMISSIONS "\"authorize_on\": \"permissions\", "

static const struct row permission_rows[] = {
    {"the tool's name", PERMISSION("tool:{name}"), SCOPE("tool:echo"), "tools/call:echo", ALLOW,
     "rule_met", "tool:echo"},
    {"of another tool", PERMISSION("tool:{name}"), SCOPE("tool:echo"), "tools/call:add", STEP_UP,
     "permission_missing", "tool:add"},
    {"no prefix of it", PERMISSION("tool:{name}"), SCOPE("tool:ech"), "tools/call:echo", STEP_UP,
     "permission_missing", "tool:echo"},
    {"nor the other way round", PERMISSION("tool:{name}"), SCOPE("tool:echo"), "tools/call:ech",
     STEP_UP, "permission_missing", "tool:ech"},
    {"the prompt's name", PERMISSION("p:{name}"), SCOPE("p:greet"), "prompts/get:greet", ALLOW,
     "rule_met", "p:greet"},
    {"the resource's URI", PERMISSION("r:{name}"), SCOPE("r:file:///a"), "resources/read:file:///a",
     ALLOW, "rule_met", "r:file:///a"},
    {"the method when it names nothing", PERMISSION("m:{name}"), SCOPE("m:m/x"), "m/x", ALLOW,
     "rule_met", "m:m/x"},
    {"one without a placeholder", PERMISSION("all"), SCOPE("all"), "tools/call:x", ALLOW,
     "rule_met", "all"},
    {"in the middle", PERMISSION("a:{name}:use"), SCOPE("a:x:use"), "tools/call:x", ALLOW,
     "rule_met", "a:x:use"},
    {"twice", PERMISSION("{name}/{name}"), SCOPE("x/x"), "tools/call:x", ALLOW, "rule_met", "x/x"},
    {"twice, and not the same", PERMISSION("{name}/{name}"), SCOPE("x/y"), "tools/call:x", STEP_UP,
     "permission_missing", "x/x"},
    {"a name with a placeholder in it is not filled in again", PERMISSION("t:{name}"),
     SCOPE("t:{name}"), "tools/call:{name}", ALLOW, "rule_met", "t:{name}"},
    {"a name with a space is no scope: not to be asked for", PERMISSION("tool:{name}"),
     SCOPE("tool:a b"), "tools/call:a b", FORBIDDEN, "permission_missing", ""},
    {"but may be held", ON_PERMISSIONS PERMISSION("tool:{name}"), PERMISSIONS("\"tool:a b\""),
     "tools/call:a b", ALLOW, "rule_met", ""},
    {"nor one with a quote", PERMISSION("tool:{name}"), "{}", "tools/call:a\"b", FORBIDDEN,
     "permission_missing", ""},
    {"nor one beyond ASCII", PERMISSION("tool:{name}"), "{}", "tools/call:caf\xc3\xa9", FORBIDDEN,
     "permission_missing", ""},
    {"a name cannot add a scope", PERMISSION("tool:{name}"), SCOPE("x"), "tools/call:x admin",
     FORBIDDEN, "permission_missing", ""},
    {"with scopes: all at once",
     RULES("{\"tools\": [\"*\"], \"scopes\": [\"s\"], \"permission\": \"t:{name}\"}"), "{}",
     "tools/call:x", STEP_UP, "scope_missing", "s t:x"},
    {"with scopes: the permission is missing",
     RULES("{\"tools\": [\"*\"], \"scopes\": [\"s\"], \"permission\": \"t:{name}\"}"), SCOPE("s"),
     "tools/call:x", STEP_UP, "permission_missing", "s t:x"},
    {"with scopes: what cannot be asked for spoils the rest",
     RULES("{\"tools\": [\"*\"], \"scopes\": [\"s\"], \"permission\": \"t:{name}\"}"), "{}",
     "tools/call:x y", FORBIDDEN, "permission_missing", "s"},
};

RULES_TEST(rules_permission_names_what_is_called, permission_rows)

/* ---- claims ---- */

#define CLAIMS(claims) RULES("{\"tools\": [\"*\"], \"claims\": {" claims "}}")
#define CLAIMS_AND_SCOPE(claims) \
    RULES("{\"tools\": [\"*\"], \"scopes\": [\"s\"], \"claims\": {" claims "}}")

static const struct row claim_rows[] = {
    {"equal", CLAIMS("\"org_id\": [\"a\", \"b\"]"), "{\"org_id\": \"b\"}", CALL, ALLOW, "rule_met",
     ""},
    {"not equal", CLAIMS("\"org_id\": [\"a\"]"), "{\"org_id\": \"A\"}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"not there", CLAIMS("\"org_id\": [\"a\"]"), "{}", CALL, FORBIDDEN, "claim_mismatch", ""},
    {"null", CLAIMS("\"org_id\": [\"a\"]"), "{\"org_id\": null}", CALL, FORBIDDEN, "claim_mismatch",
     ""},
    {"one of an array", CLAIMS("\"roles\": [\"x\", \"b\"]"), "{\"roles\": [\"a\", \"b\"]}", CALL,
     ALLOW, "rule_met", ""},
    {"none of an array", CLAIMS("\"roles\": [\"x\"]"), "{\"roles\": [\"a\", [\"x\"]]}", CALL,
     FORBIDDEN, "claim_mismatch", ""},
    {"an empty array", CLAIMS("\"roles\": [\"x\"]"), "{\"roles\": []}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"an object", CLAIMS("\"roles\": [\"x\"]"), "{\"roles\": {\"x\": \"x\"}}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"a number", CLAIMS("\"level\": [3]"), "{\"level\": 3}", CALL, ALLOW, "rule_met", ""},
    {"the same number with a fraction", CLAIMS("\"level\": [3]"), "{\"level\": 3.0}", CALL, ALLOW,
     "rule_met", ""},
    {"another number", CLAIMS("\"level\": [3]"), "{\"level\": 4}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"a large number, exactly", CLAIMS("\"n\": [9007199254740993]"), "{\"n\": 9007199254740992}",
     CALL, FORBIDDEN, "claim_mismatch", ""},
    {"a large number with a fraction may be another one", CLAIMS("\"n\": [9007199254740993]"),
     "{\"n\": 9007199254740992.0}", CALL, FORBIDDEN, "claim_mismatch", ""},
    {"a number is no string", CLAIMS("\"level\": [3]"), "{\"level\": \"3\"}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"a boolean", CLAIMS("\"email_verified\": [true]"), "{\"email_verified\": true}", CALL, ALLOW,
     "rule_met", ""},
    {"the other boolean", CLAIMS("\"email_verified\": [true]"), "{\"email_verified\": false}", CALL,
     FORBIDDEN, "claim_mismatch", ""},
    {"a boolean is no string", CLAIMS("\"v\": [true]"), "{\"v\": \"true\"}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"nor a number", CLAIMS("\"v\": [true]"), "{\"v\": 1}", CALL, FORBIDDEN, "claim_mismatch", ""},
    {"all claims", CLAIMS("\"a\": [1], \"b\": [2]"), "{\"a\": 1, \"b\": 2}", CALL, ALLOW,
     "rule_met", ""},
    {"not only one of them", CLAIMS("\"a\": [1], \"b\": [2]"), "{\"a\": 1}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"a URL for a name", CLAIMS("\"https://a/b\": [1]"), "{\"https://a/b\": 1}", CALL, ALLOW,
     "rule_met", ""},
    {"a pointer", CLAIMS("\"/act/sub\": [\"x\"]"), "{\"act\": {\"sub\": \"x\"}}", CALL, ALLOW,
     "rule_met", ""},
    {"a pointer to nothing", CLAIMS("\"/act/sub\": [\"x\"]"), "{\"act\": \"sub\"}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"a pointer is no name", CLAIMS("\"/act/sub\": [\"x\"]"), "{\"/act/sub\": \"x\"}", CALL,
     FORBIDDEN, "claim_mismatch", ""},
    {"a pointer into an array", CLAIMS("\"/a/1/b\": [\"x\"]"), "{\"a\": [0, {\"b\": \"x\"}]}", CALL,
     ALLOW, "rule_met", ""},
    {"behind its end", CLAIMS("\"/a/2\": [\"x\"]"), "{\"a\": [\"x\", \"x\"]}", CALL, FORBIDDEN,
     "claim_mismatch", ""},
    {"an index has no leading zero", CLAIMS("\"/a/01\": [\"x\"]"), "{\"a\": [\"y\", \"x\"]}", CALL,
     FORBIDDEN, "claim_mismatch", ""},
    {"a pointer with escapes", CLAIMS("\"/a~1b/c~0d\": [1]"), "{\"a/b\": {\"c~d\": 1}}", CALL,
     ALLOW, "rule_met", ""},
    {"escapes are read once", CLAIMS("\"/a~01\": [1]"), "{\"a~1\": 1, \"a/\": 2}", CALL, ALLOW,
     "rule_met", ""},
    {"a pointer to the empty name", CLAIMS("\"/\": [1]"), "{\"\": 1}", CALL, ALLOW, "rule_met", ""},
    {"met, but the scope is missing", CLAIMS_AND_SCOPE("\"o\": [1]"), "{\"o\": 1}", CALL, STEP_UP,
     "scope_missing", "s"},
    {"not met: no scope would help", CLAIMS_AND_SCOPE("\"o\": [1]"), "{\"o\": 2}", CALL, FORBIDDEN,
     "claim_mismatch", NULL},
    {"not met: the scope does not help", CLAIMS_AND_SCOPE("\"o\": [1]"),
     "{\"o\": 2, \"scope\": \"s\"}", CALL, FORBIDDEN, "claim_mismatch", NULL},
    {"both met", CLAIMS_AND_SCOPE("\"o\": [1]"), "{\"o\": 1, \"scope\": \"s\"}", CALL, ALLOW,
     "rule_met", "s"},
};

RULES_TEST(rules_claims_have_one_of_the_values, claim_rows)

/* ---- resources whose URI is not what it seems ---- */

#define PUBLIC RULES("{\"resources\": [\"file:///public/*\"], \"allow\": true}")
#define SPELLED                                                                            \
    RULES("{\"resources\": [\"file:///public/../x\", \"a:\\\\\\\\b\"], \"allow\": true}, " \
          "{\"resources\": [\"*\"], \"allow\": true}")
#define WALKED                                                         \
    RULES("{\"resources\": [\"file:///public/*\"], \"allow\": true}, " \
          "{\"resources\": [\"file:///public/../x\"], \"allow\": true}")
#define READ "resources/read:"

static const struct row resource_rows[] = {
    {"plain", PUBLIC, "{}", READ "file:///public/a/b.txt", ALLOW, "rule_allows", ""},
    {"escapes that are needed", PUBLIC, "{}", READ "file:///public/a%20b%C3%A9%3F", ALLOW,
     "rule_allows", ""},
    {"an escaped percent sign", PUBLIC, "{}", READ "file:///public/50%25", ALLOW, "rule_allows",
     ""},
    {"dots in a name", PUBLIC, "{}", READ "file:///public/a..b/...", ALLOW, "rule_allows", ""},
    {"up", PUBLIC, "{}", READ "file:///public/../secret", FORBIDDEN, "resource_not_plain", ""},
    {"up at the end", PUBLIC, "{}", READ "file:///public/..", FORBIDDEN, "resource_not_plain", ""},
    {"here", PUBLIC, "{}", READ "file:///public/./a", FORBIDDEN, "resource_not_plain", ""},
    {"up, escaped", PUBLIC, "{}", READ "file:///public/%2e%2E/secret", FORBIDDEN,
     "resource_not_plain", ""},
    {"up, escaped twice", PUBLIC, "{}", READ "file:///public/%252e%252e/secret", FORBIDDEN,
     "resource_not_plain", ""},
    {"up, half escaped", PUBLIC, "{}", READ "file:///public/.%2e/secret", FORBIDDEN,
     "resource_not_plain", ""},
    {"an escaped slash", PUBLIC, "{}", READ "file:///public/..%2fsecret", FORBIDDEN,
     "resource_not_plain", ""},
    {"an escaped slash without dots", PUBLIC, "{}", READ "file:///public/a%2Fb", FORBIDDEN,
     "resource_not_plain", ""},
    {"an escaped backslash", PUBLIC, "{}", READ "file:///public/..%5csecret", FORBIDDEN,
     "resource_not_plain", ""},
    {"a backslash", PUBLIC, "{}", READ "file:///public/..\\secret", FORBIDDEN, "resource_not_plain",
     ""},
    {"a NUL", PUBLIC, "{}", READ "file:///public/a%00.txt", FORBIDDEN, "resource_not_plain", ""},
    {"a letter in another spelling", PUBLIC, "{}", READ "file:///public/%61", FORBIDDEN,
     "resource_not_plain", ""},
    {"up in an opaque URI", RULES("{\"resources\": [\"note:*\"], \"allow\": true}"), "{}",
     READ "note:../a", FORBIDDEN, "resource_not_plain", ""},
    {"what no glob matches is refused for the same reason", PUBLIC, "{}", READ "file:///x/../y",
     FORBIDDEN, "resource_not_plain", ""},
    {"subscriptions too", PUBLIC, "{}", "resources/subscribe:file:///public/../x", FORBIDDEN,
     "resource_not_plain", ""},
    {"no globs for resources: nothing to walk out of",
     RULES("{\"methods\": [\"resources/read\"], \"allow\": true}"), "{}", READ "file:///a/../b",
     ALLOW, "rule_allows", ""},
    {"spelled out", SPELLED, "{}", READ "file:///public/../x", ALLOW, "rule_allows", ""},
    {"spelled out with an escape of the glob", SPELLED, "{}", READ "a:\\b", ALLOW, "rule_allows",
     ""},
    {"another one", SPELLED, "{}", READ "file:///public/../y", FORBIDDEN, "resource_not_plain", ""},
    {"spelled out behind a wildcard that matches first", WALKED, "{}", READ "file:///public/../x",
     FORBIDDEN, "resource_not_plain", ""},
    {"tools' names are no paths",
     RULES("{\"tools\": [\"*\"], \"resources\": [\"*\"], \"allow\": "
           "true}"),
     "{}", "tools/call:../x", ALLOW, "rule_allows", ""},
};

RULES_TEST(rules_wildcards_are_not_walked_out_of, resource_rows)

/* ---- the rest of the contract ---- */

static void rules_decision_names_its_rule(void **state)
{
    (void)state;
    struct judged judged;
    judge(FIRST, SCOPE("a"), "tools/call:a_2", &judged);
    assert_ptr_equal(judged.decision.rule, &judged.route->rules[1]);
    assert_true(str_eq(judged.decision.rule->pointer, STR("/routes/0/rules/1")));
    judged_free(&judged);
    judge(FIRST, "{}", "logging/setLevel", &judged);
    assert_null(judged.decision.rule);
    judged_free(&judged);
}

/* A batch is answered with one list for all of it. */
static void rules_needed_of_several_calls_are_one_list(void **state)
{
    (void)state;
    struct judged judged;
    judge("\"scopes\": [\"use\"], " RULES("{\"tools\": [\"a\"], \"scopes\": [\"x\", \"y\"]}, "
                                          "{\"tools\": [\"b\"], \"scopes\": [\"y\", \"z\"]}"),
          SCOPE("use"), "tools/call:a", &judged);
    const struct mcp_call second = {STR("tools/call"), MCP_TOOL, STR("b")};
    struct decision decision = rules_decide(judged.route, &judged.caller, &second);
    assert_int_equal(rules_append_needed(judged.route, &decision, &second, &judged.needed), 0);
    assert_true(str_eq(buf_str(&judged.needed), STR("use x y z")));
    judged_free(&judged);
}

static void rules_needed_ends_at_the_ceiling_of_the_list(void **state)
{
    (void)state;
    struct judged judged;
    struct buf small = buf_make(3);
    judge(RULES(TOOL_AB), "{}", CALL, &judged);
    assert_int_equal(buf_append_cstr(&small, "abc"), 0);
    int r = rules_append_needed(judged.route, &judged.decision, &judged.call, &small);
    assert_int_equal(r, -EMSGSIZE);
    assert_true(str_eq(buf_str(&small), STR("abc")));
    buf_free(&small);
    judged_free(&judged);
}

static void rules_responses_need_the_route_only(void **state)
{
    (void)state;
    struct judged judged;
    judge(DENY_ALL ", \"scopes\": [\"use\"]", SCOPE("use"), "ping", &judged);
    struct decision decision = rules_judge(judged.route, &judged.caller, NULL);
    assert_int_equal(decision.verdict, VERDICT_ALLOW);
    assert_string_equal(decision.reason, "response");
    judged.caller.scope = (struct str){0};
    decision = rules_judge(judged.route, &judged.caller, NULL);
    assert_int_equal(decision.verdict, VERDICT_STEP_UP);
    assert_string_equal(decision.reason, "route_scope_missing");
    judged_free(&judged);
}

static void rules_grants_reads_names(void **state)
{
    (void)state;
    struct judged judged;
    judge(IMPLY ON("either", TOOL_A), BOTH("write", "\"p\""), "ping", &judged);
    assert_true(rules_grants(judged.route, &judged.caller, STR("write")));
    assert_true(rules_grants(judged.route, &judged.caller, STR("read")));
    assert_true(rules_grants(judged.route, &judged.caller, STR("p")));
    assert_false(rules_grants(judged.route, &judged.caller, STR("admin")));
    assert_false(rules_grants(judged.route, &judged.caller, STR("")));
    judged_free(&judged);
}

static void rules_can_deny_tells_whether_lists_need_a_look(void **state)
{
    (void)state;
    static const struct {
        const char *route;
        bool can_deny;
    } rows[] = {
        {"\"scopes\": [\"a\"]", false},
        {DENY_ALL, true},
        {RULES("{\"tools\": [\"*\"], \"allow\": true}"), true},
        {"\"default\": \"allow\", " RULES("{\"tools\": [\"*\"], \"allow\": true}"), false},
        {"\"default\": \"allow\", " RULES("{\"tools\": [\"*\"], \"allow\": false}"), true},
        {"\"default\": \"allow\", " RULES(TOOL_A), true},
        {"\"default\": \"allow\", " PUBLIC, true}, /* not what a wildcard is walked out of with */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judged judged;
        judge(rows[i].route, "{}", "ping", &judged);
        assert_int_equal(rules_can_deny(judged.route), rows[i].can_deny);
        judged_free(&judged);
    }
}

/* RFC 6750 3: what an error_description may hold. */
static void rules_descriptions_can_be_sent(void **state)
{
    (void)state;
    static const char *const calls[] = {"tools/call:x", "resources/read:file:///..", "ping", "m"};
    static const char *const routes[] = {RULES(TOOL_A),
                                         PUBLIC,
                                         DENY_ALL,
                                         CLAIMS("\"a\": [1]"),
                                         PERMISSION("{name}"),
                                         "\"scopes\": [\"a\"]",
                                         "\"list\": \"pass\""};
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        for (size_t k = 0; k < ARRAY_LEN(calls); k++) {
            struct judged judged;
            judge(routes[i], "{}", calls[k], &judged);
            for (const char *c = judged.decision.description; *c != '\0'; c++)
                assert_true(*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\');
            judged_free(&judged);
        }
}

static void verdict_names_are_those_of_tests(void **state)
{
    (void)state;
    assert_string_equal(verdict_name(VERDICT_ALLOW), "allow");
    assert_string_equal(verdict_name(VERDICT_STEP_UP), "step_up");
    assert_string_equal(verdict_name(VERDICT_FORBIDDEN), "forbidden");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_match_by_kind_and_glob),
        cmocka_unit_test(rules_first_match_decides),
        cmocka_unit_test(rules_default_decides_the_rest),
        cmocka_unit_test(rules_free_methods_need_the_route_only),
        cmocka_unit_test(rules_route_wants_all_of_its_scopes),
        cmocka_unit_test(rules_names_are_read_where_authorize_on_says),
        cmocka_unit_test(rules_route_scopes_are_read_there_too),
        cmocka_unit_test(rules_scope_implies_more),
        cmocka_unit_test(rules_permission_names_what_is_called),
        cmocka_unit_test(rules_claims_have_one_of_the_values),
        cmocka_unit_test(rules_wildcards_are_not_walked_out_of),
        cmocka_unit_test(rules_decision_names_its_rule),
        cmocka_unit_test(rules_needed_of_several_calls_are_one_list),
        cmocka_unit_test(rules_needed_ends_at_the_ceiling_of_the_list),
        cmocka_unit_test(rules_responses_need_the_route_only),
        cmocka_unit_test(rules_grants_reads_names),
        cmocka_unit_test(rules_can_deny_tells_whether_lists_need_a_look),
        cmocka_unit_test(rules_descriptions_can_be_sent),
        cmocka_unit_test(verdict_names_are_those_of_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
