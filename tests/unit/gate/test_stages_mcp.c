/* SPDX-License-Identifier: Apache-2.0 */
/* The stages that look at the message, over plain structs: what is refused with which answer, and
 * that nothing of it goes up. What the rules say is tested in policy/test_rules. */
#include "gate/stages.h"

#include "auth/answer.h"
#include "auth/session.h"
#include "gate/relay.h"
#include "support/gate_fixture.h"

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"
#define TOOL(id, name)                                                                          \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" name \
    "\"}}"

/* echo for everybody, admin for nobody, secret with a scope that the token lacks. */
static const struct str echo[] = {STR_INIT("echo")};
static const struct str secret[] = {STR_INIT("secret")};
static const struct str secret_scopes[] = {STR_INIT("tools:secret")};
static const struct rule rules[] = {
    {.pointer = STR_INIT("/routes/0/rules/0"),
     .targets = {[MCP_TOOL] = {echo, 1}},
     .effect = RULE_ALLOW},
    {.pointer = STR_INIT("/routes/0/rules/1"),
     .targets = {[MCP_TOOL] = {secret, 1}},
     .effect = RULE_REQUIRE,
     .scopes = secret_scopes,
     .n_scopes = 1},
};

static void use_rules(struct gate_fixture *f, enum on_deny on_deny)
{
    struct route *route = &f->tokens->routes[0];
    route->rules = rules;
    route->n_rules = ARRAY_LEN(rules);
    route->default_allows = false;
    route->on_deny = on_deny;
}

struct head {
    const char *name;
    const char *value;
};

/* A POST with a good token, FIELDS (at most three) and BODY, up to where it stops. */
static enum step post(struct gate_fixture *f, struct gate_request *request,
                      const struct head *fields, const char *body)
{
    gate_begin(f, request, "POST", "/mcp");
    gate_add_field(request, STR("Content-Type"), STR("application/json"));
    gate_add_token(request, gate_token(f, "key-1", RFC9068_PAYLOAD));
    for (size_t i = 0; fields != NULL && i < 3 && fields[i].name != NULL; i++)
        gate_add_field(request, str_from_cstr(fields[i].name), str_from_cstr(fields[i].value));
    (void)stages_run(gate_make_txn(f, request));
    gate_set_body(request, body);
    return stages_run(request->txn);
}

#define MODERN "2026-07-28"
#define MODERN_CALL                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"," \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" MODERN "\"}}}"

static void stages_refuse_a_message(void **state)
{
    struct gate_fixture *f = *state;
    static const struct {
        const char *why;
        struct head fields[3];
        const char *body;
        const char *stage;
        unsigned status;
        const char *reason; /* NULL: mcp_rc_name() of RC */
        enum mcp_rc rc;
        const char *id; /* JSON text; NULL: none could be read */
    } rows[] = {
        {"no JSON", {{0}}, "{", "inspect", 400, NULL, MCP_NOT_JSON, NULL},
        {"a second key",
         {{0}},
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"method\":\"x\"}",
         "inspect",
         400,
         NULL,
         MCP_DUPLICATE_KEY,
         NULL},
        {"no JSON-RPC", {{0}}, "{}", "inspect", 400, NULL, MCP_NOT_JSONRPC, NULL},
        {"no name",
         {{0}},
         "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{}}",
         "inspect",
         400,
         NULL,
         MCP_BAD_PARAMS,
         "7"},
        {"another method in the head",
         {{"Mcp-Method", "tools/list"}},
         TOOL("8", "echo"),
         "inspect",
         400,
         "header_mismatch",
         0,
         "8"},
        {"another name in the head",
         {{"Mcp-Name", "admin"}},
         TOOL("8", "echo"),
         "inspect",
         400,
         "header_mismatch",
         0,
         "8"},
        {"modern, no Mcp-Method",
         {{"MCP-Protocol-Version", MODERN}},
         MODERN_CALL,
         "inspect",
         400,
         "header_mismatch",
         0,
         "\"x\""},
        {"modern, a batch",
         {{"MCP-Protocol-Version", MODERN}},
         "[" PING "]",
         "inspect",
         400,
         "not_of_revision",
         0,
         NULL},
        {"a rule denies", {{0}}, TOOL("9", "admin"), "decide", 403, "default_denies", 0, "9"},
        {"a scope is missing", {{0}}, TOOL("9", "secret"), "decide", 403, "scope_missing", 0, "9"},
        {"one of a batch",
         {{0}},
         "[" TOOL("1", "echo") "," TOOL("2", "secret") "]",
         "decide",
         403,
         "scope_missing",
         0,
         NULL},
        {"nobody's session",
         {{"Mcp-Session-Id", "abc"}},
         TOOL("9", "echo"),
         "session",
         404,
         "session",
         0,
         "9"},
        {"two sessions",
         {{"Mcp-Session-Id", "abc"}, {"Mcp-Session-Id", "abc"}},
         PING,
         "session",
         404,
         "session",
         0,
         "1"},
    };
    use_rules(f, ON_DENY_CHALLENGE);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        enum step step = post(f, &request, rows[i].fields, rows[i].body);
        const struct txn *txn = request.txn;
        const char *reason = rows[i].reason != NULL ? rows[i].reason : mcp_rc_name(rows[i].rc);
        if (step != STEP_REPLY || strcmp(stages_name(txn), rows[i].stage) != 0 ||
            txn->status != rows[i].status || strcmp(txn->reason, reason) != 0 ||
            !str_eq(txn->rpc_id, str_from_cstr(rows[i].id)))
            fail_msg("%s: %s, %u, %s", rows[i].why, stages_name(txn), txn->status, txn->reason);
        assert_null(txn->relay.call);
        assert_false(txn->passed);
        gate_end(&request);
    }
}

static void stages_let_pass_what_is_allowed(void **state)
{
    struct gate_fixture *f = *state;
    static const struct {
        const char *why;
        struct head fields[3];
        const char *body;
        size_t decisions;
        bool filters;
    } rows[] = {
        {"a free method", {{0}}, PING, 1, false},
        {"an allowed tool", {{0}}, TOOL("1", "echo"), 1, false},
        {"a modern call",
         {{"MCP-Protocol-Version", MODERN}, {"Mcp-Method", "tools/call"}, {"Mcp-Name", "echo"}},
         MODERN_CALL,
         1,
         false},
        {"a list", {{0}}, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}", 1, true},
        {"a batch with a list",
         {{0}},
         "[" PING ",{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}]",
         2,
         true},
        {"the client's answer", {{0}}, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 1, false},
    };
    use_rules(f, ON_DENY_CHALLENGE);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        if (post(f, &request, rows[i].fields, rows[i].body) != STEP_WAIT ||
            strcmp(stages_name(request.txn), "forward") != 0 || !request.txn->passed ||
            request.txn->n_decisions != rows[i].decisions ||
            request.txn->filters != rows[i].filters)
            fail_msg("%s: %s, %u", rows[i].why, stages_name(request.txn), request.txn->status);
        gate_end(&request);
    }
}

static void a_step_up_names_every_scope_once(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    use_rules(f, ON_DENY_CHALLENGE);
    (void)post(f, &request, NULL, "[" TOOL("1", "secret") "," TOOL("2", "secret") "]");
    const char *challenge = gate_answer_field(&request, "WWW-Authenticate");
    assert_non_null(strstr(challenge, "error=\"insufficient_scope\""));
    assert_non_null(strstr(challenge, " scope=\"tools:secret\""));
    gate_end(&request);
    (void)post(f, &request, NULL, TOOL("1", "admin"));
    challenge = gate_answer_field(&request, "WWW-Authenticate");
    assert_null(strstr(challenge, "scope="));
    assert_null(strstr(challenge, "error="));
    gate_end(&request);
}

/* Step-up in one go: a caller who lacks both is not sent twice. */
static void one_challenge_names_the_scopes_of_route_and_rule(void **state)
{
    struct gate_fixture *f = *state;
    struct route *route = &f->tokens->routes[2];
    struct gate_request request;
    route->rules = rules;
    route->n_rules = ARRAY_LEN(rules);
    gate_begin(f, &request, "POST", "/scoped");
    gate_add_field(&request, STR("Content-Type"), STR("application/json"));
    gate_add_token(&request, gate_token(f, "key-1", RFC9068_PAYLOAD));
    assert_int_equal(stages_run(gate_make_txn(f, &request)), STEP_WAIT);
    gate_set_body(&request, TOOL("1", "secret"));
    assert_int_equal(stages_run(request.txn), STEP_REPLY);
    assert_string_equal(stages_name(request.txn), "decide");
    assert_string_equal(request.txn->reason, "route_scope_missing");
    assert_non_null(strstr(gate_answer_field(&request, "WWW-Authenticate"),
                           " scope=\"mcp:use files:read tools:secret\""));
    gate_end(&request);
    /* without rules there is nothing more to know, and nothing of the body is read */
    route->n_rules = 0;
    gate_begin(f, &request, "POST", "/scoped");
    gate_add_token(&request, gate_token(f, "key-1", RFC9068_PAYLOAD));
    assert_int_equal(stages_run(gate_make_txn(f, &request)), STEP_REPLY);
    assert_string_equal(stages_name(request.txn), "admit");
    gate_end(&request);
}

/* Half of a list would send the client for a token that does not help, either. */
static void scopes_that_do_not_fit_are_not_asked_for(void **state)
{
    struct gate_fixture *f = *state;
    static char name[8 * 1024];
    static const struct str any[] = {STR_INIT("*")};
    static const struct rule permission = {.targets = {[MCP_TOOL] = {any, 1}},
                                           .effect = RULE_REQUIRE,
                                           .permission = STR_INIT("tool:{name}")};
    use_rules(f, ON_DENY_CHALLENGE);
    f->tokens->routes[0].rules = &permission;
    f->tokens->routes[0].n_rules = 1;
    for (size_t extra = 0; extra < 2; extra++) {
        struct buf body = buf_make(sizeof(name) + 256);
        struct gate_request request;
        memset(name, 'x', sizeof(name));
        size_t len = ANSWER_MAX_SCOPES_BYTES - strlen("tool:") + extra;
        (void)buf_printf(&body, TOOL("1", "%.*s"), (int)len, name);
        (void)buf_append_char(&body, '\0');
        assert_int_equal(post(f, &request, NULL, body.ptr), STEP_REPLY);
        const char *challenge = gate_answer_field(&request, "WWW-Authenticate");
        assert_int_equal(request.txn->status, 403);
        assert_true((strstr(challenge, " scope=\"tool:xxx") != NULL) == (extra == 0));
        assert_true((strstr(challenge, "error=") != NULL) == (extra == 0));
        gate_end(&request);
        buf_free(&body);
    }
}

/* Their text is compared in tests/integration. */
static void tool_errors_are_for_calls_of_tools_only(void **state)
{
    struct gate_fixture *f = *state;
    static const struct {
        const char *why;
        const char *body;
        unsigned status;
    } rows[] = {
        {"a tool", TOOL("1", "secret"), 200},
        {"a batch in which only tools are denied", "[" TOOL("1", "echo") "," TOOL("2", "admin") "]",
         200},
        {"a prompt has no such result",
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"prompts/get\",\"params\":{\"name\":"
         "\"p\"}}",
         403},
        {"nor has a notification",
         "{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"name\":\"admin\"}}", 403},
    };
    use_rules(f, ON_DENY_TOOL_ERROR);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        if (post(f, &request, NULL, rows[i].body) != STEP_REPLY ||
            request.txn->status != rows[i].status)
            fail_msg("%s: %u", rows[i].why, request.txn->status);
        assert_null(request.txn->relay.call);
        gate_end(&request);
    }
}

static void a_bound_session_goes_up_as_the_upstreams_own(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    struct buf id = buf_make(256);
    struct buf head = buf_make(8192);
    const struct session_owner owner = {STR(ISSUER), STR("auth0|64f"),
                                        f->tokens->routes[0].resource};
    assert_int_equal(session_bind(f->snapshot.session_key, &owner, STR("s-1"), &id), 0);
    assert_int_equal(buf_append_char(&id, '\0'), 0);
    const struct head fields[3] = {{"Mcp-Session-Id", id.ptr}};
    assert_int_equal(post(f, &request, fields, PING), STEP_WAIT);
    assert_true(str_eq(request.txn->session, STR("s-1")));
    assert_int_equal(relay_append_head(request.txn, &head), 0);
    assert_int_equal(buf_append_char(&head, '\0'), 0);
    assert_non_null(strstr(head.ptr, "Mcp-Session-Id: s-1\r\n"));
    gate_end(&request);
    buf_free(&head);
    buf_free(&id);
}

static void calls_are_refused_while_the_audit_log_fails(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    f->tokens->config.audit = (struct audit_config){.file = STR("/dev/full")};
    assert_int_equal(post(f, &request, NULL, PING), STEP_REPLY);
    assert_int_equal(request.txn->status, 503);
    assert_string_equal(request.txn->reason, "audit_failing");
    assert_non_null(gate_answer_field(&request, "Retry-After"));
    gate_end(&request);
    f->tokens->config.audit.fail_open = true;
    assert_int_equal(post(f, &request, NULL, PING), STEP_WAIT);
    gate_end(&request);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, gate_set_up, gate_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stages_refuse_a_message),
        TEST(stages_let_pass_what_is_allowed),
        TEST(a_step_up_names_every_scope_once),
        TEST(one_challenge_names_the_scopes_of_route_and_rule),
        TEST(scopes_that_do_not_fit_are_not_asked_for),
        TEST(tool_errors_are_for_calls_of_tools_only),
        TEST(a_bound_session_goes_up_as_the_upstreams_own),
        TEST(calls_are_refused_while_the_audit_log_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
