/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/answer.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define URL "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
#define WHERE "Bearer resource_metadata=\"" URL "\""

static const struct route route = {
    .metadata_url = STR_INIT(URL),
    .scope_text = STR_INIT("mcp:use"),
};
static const struct route open_route = {.metadata_url = STR_INIT(URL), .scope_text = STR_INIT("")};

static const struct decision step_up = {
    .verdict = VERDICT_STEP_UP,
    .reason = "scope_missing",
    .description = "The token lacks a scope that this call needs",
};
static const struct decision forbidden = {
    .verdict = VERDICT_FORBIDDEN,
    .reason = "rule_denies",
    .description = "Nobody may make this call",
};

static void assert_challenge(const char *why, const struct answer *answer,
                             const struct route *of_route, struct str scope, const char *expected)
{
    struct buf out = buf_make(ANSWER_MAX_CHALLENGE_BYTES);
    assert_int_equal(answer_append_challenge(answer, of_route, scope, &out), 0);
    if (!str_eq(buf_str(&out), str_from_cstr(expected)))
        fail_msg("%s: %.*s", why, STR_ARG(buf_str(&out)));
    buf_free(&out);
}

static void answer_challenges_as_each_kind_of_refusal_should(void **state)
{
    (void)state;
    const struct {
        const char *why;
        struct answer answer;
        const struct route *route;
        struct str scope;
        unsigned status;
        const char *error;
        const char *challenge;
    } rows[] = {
        {"no credential: scope, but no error (RFC 6750 3.1)",
         answer_no_credential("no_token"),
         &route,
         {0},
         401,
         "unauthorized",
         WHERE ", scope=\"mcp:use\""},
        {"a route without scopes names none",
         answer_no_credential("no_token"),
         &open_route,
         {0},
         401,
         "unauthorized",
         WHERE},
        {"bad token",
         answer_token(TOKEN_EXPIRED),
         &route,
         {0},
         401,
         "invalid_token",
         WHERE ", scope=\"mcp:use\", error=\"invalid_token\", "
               "error_description=\"The access token expired\""},
        {"malformed request",
         answer_invalid_request("two_credentials", "Two came"),
         &route,
         {0},
         400,
         "invalid_request",
         WHERE ", scope=\"mcp:use\", error=\"invalid_request\", error_description=\"Two came\""},
        {"step-up names what the call needs, not only what the route needs",
         answer_decision(&step_up), &route, STR("mcp:use tool:echo"), 403, "insufficient_scope",
         WHERE ", scope=\"mcp:use tool:echo\", error=\"insufficient_scope\", "
               "error_description=\"The token lacks a scope that this call needs\""},
        {"forbidden: neither error nor scope, or clients log in again and again",
         answer_decision(&forbidden), &route, STR("mcp:use tool:echo"), 403, "access_denied",
         WHERE},
        {"no keys: no challenge, or clients throw away good tokens",
         answer_token(TOKEN_NO_KEYS),
         &route,
         {0},
         503,
         "temporarily_unavailable",
         ""},
        {"short of memory: the same",
         answer_token(TOKEN_NO_MEMORY),
         &route,
         {0},
         503,
         "temporarily_unavailable",
         ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(rows[i].answer.status, rows[i].status);
        assert_string_equal(rows[i].answer.error, rows[i].error);
        assert_int_equal(rows[i].answer.retry_after, rows[i].status == 503);
        assert_challenge(rows[i].why, &rows[i].answer, rows[i].route, rows[i].scope,
                         rows[i].challenge);
    }
}

static void answer_says_what_the_decision_says(void **state)
{
    (void)state;
    assert_string_equal(answer_decision(&step_up).reason, step_up.reason);
    assert_string_equal(answer_decision(&forbidden).reason, forbidden.reason);
    assert_string_equal(answer_decision(&forbidden).description, forbidden.description);
    assert_string_equal(answer_no_credential("other_scheme").reason, "other_scheme");
}

/* Whatever is wrong with a token, the challenge about it can be sent. */
static void answer_token_has_a_challenge_for_every_fault(void **state)
{
    (void)state;
    for (unsigned rc = TOKEN_OK + 1; rc < TOKEN_RC_COUNT; rc++) {
        const struct answer answer = answer_token((enum token_rc)rc);
        struct buf out = buf_make(ANSWER_MAX_CHALLENGE_BYTES);
        assert_string_equal(answer.reason, token_rc_name((enum token_rc)rc));
        assert_string_equal(answer.description, token_rc_description((enum token_rc)rc));
        assert_int_equal(answer_append_challenge(&answer, &route, (struct str){0}, &out), 0);
        assert_int_equal(out.len > 0, answer.status == 401);
        buf_free(&out);
    }
}

static void answer_leaves_nothing_behind_when_there_is_no_room(void **state)
{
    (void)state;
    const struct answer answer = answer_token(TOKEN_EXPIRED);
    struct buf out = buf_make(64);
    assert_int_equal(answer_append_challenge(&answer, &route, (struct str){0}, &out), -EMSGSIZE);
    assert_int_equal(out.len, 0);
    buf_free(&out);
    assert_int_equal(answer_append_tool_error(STR("echo"), false, &out), -EMSGSIZE);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

static void answer_tool_error_is_json_whatever_the_tool_is_called(void **state)
{
    (void)state;
    static const struct str names[] = {
        STR_INIT("echo"),
        STR_INIT("it's \"quoted\" \\ and\nbroken"),
        STR_INIT("f\xc3\xbcr"),
        STR_INIT(""),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct buf out = buf_make(1024);
        struct buf text = buf_make(1024);
        json_t *result = NULL;
        assert_int_equal(answer_append_tool_error(names[i], i % 2 == 0, &out), 0);
        assert_int_equal(json_parse(buf_str(&out), (struct json_limits){1024, 4}, &result, NULL),
                         JSON_RC_OK);
        assert_true(json_is_true(json_object_get(result, "isError")));
        assert_true(str_eq(json_get_str(result, "resultType"),
                           i % 2 == 0 ? STR("complete") : (struct str){0}));
        (void)buf_printf(&text, "You don't have permission to use the '%.*s' tool.",
                         STR_ARG(names[i]));
        const json_t *part = json_array_get(json_object_get(result, "content"), 0);
        assert_true(str_eq(json_get_str(part, "type"), STR("text")));
        assert_true(str_eq(json_get_str(part, "text"), buf_str(&text)));
        json_decref(result);
        buf_free(&text);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer_challenges_as_each_kind_of_refusal_should),
        cmocka_unit_test(answer_says_what_the_decision_says),
        cmocka_unit_test(answer_token_has_a_challenge_for_every_fault),
        cmocka_unit_test(answer_leaves_nothing_behind_when_there_is_no_room),
        cmocka_unit_test(answer_tool_error_is_json_whatever_the_tool_is_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
