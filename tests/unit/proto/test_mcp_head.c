/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "proto/mcp.h"
#include "support/cmocka_all.h"

#define MODERN "2026-07-28"
#define META(revision) "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" revision "\"}"
#define REQUEST(method, params) \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":{" params "}}"
#define NOTIFICATION(method, params) \
    "{\"jsonrpc\":\"2.0\",\"method\":\"" method "\",\"params\":{" params "}}"

/* A field is absent when NULL. */
struct row {
    const char *why;
    const char *body;
    const char *revision;
    const char *method;
    const char *name;
    const char *answer; /* a part of it; NULL: they agree */
};

static void check(const struct row *row, struct mcp_head head)
{
    struct arena *arena = arena_new(1024, 65536);
    struct mcp_body body;
    struct str id;
    if (mcp_inspect(str_from_cstr(row->body), 65536, arena, &body, &id) != MCP_OK)
        fail_msg("%s: bad body", row->why);
    const char *answer = mcp_check_head(&head, &body, arena);
    if (row->answer == NULL ? answer != NULL
                            : answer == NULL || strstr(answer, row->answer) == NULL)
        fail_msg("%s: %s", row->why, answer != NULL ? answer : "agrees");
    arena_free(arena);
}

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(&rows[i], (struct mcp_head){.revision = str_from_cstr(rows[i].revision),
                                          .method = str_from_cstr(rows[i].method),
                                          .name = str_from_cstr(rows[i].name),
                                          .n_revision = rows[i].revision != NULL,
                                          .n_method = rows[i].method != NULL,
                                          .n_name = rows[i].name != NULL});
}

#define REVISION_DIFFERS "The MCP-Protocol-Version header does not match"
#define REVISION_MISSING "The MCP-Protocol-Version header is missing"
#define METHOD_DIFFERS "The Mcp-Method header does not match"
#define METHOD_MISSING "The Mcp-Method header is missing"
#define NAME_DIFFERS "The Mcp-Name header does not match"
#define NAME_MISSING "The Mcp-Name header is missing"

static void mcp_check_head_wants_all_of_a_modern_request(void **state)
{
    (void)state;
    static const char echo[] = REQUEST("tools/call", "\"name\":\"echo\"," META(MODERN));
    static const char read[] = REQUEST("resources/read", "\"uri\":\"file:///a\"," META(MODERN));
    static const char prompt[] = REQUEST("prompts/get", "\"name\":\"p\"," META(MODERN));
    static const char list[] = REQUEST("tools/list", META(MODERN));
    static const struct row rows[] = {
        {"tool", echo, MODERN, "tools/call", "echo", NULL},
        {"resource", read, MODERN, "resources/read", "file:///a", NULL},
        {"prompt", prompt, MODERN, "prompts/get", "p", NULL},
        {"list", list, MODERN, "tools/list", NULL, NULL},
        {"a later revision", REQUEST("tools/list", META("2027-01-01")), "2027-01-01", "tools/list",
         NULL, NULL},
        {"no revision", echo, NULL, "tools/call", "echo", REVISION_MISSING},
        {"no method", echo, MODERN, NULL, "echo", METHOD_MISSING},
        {"no name of a tool", echo, MODERN, "tools/call", NULL, NAME_MISSING},
        {"no name of a resource", read, MODERN, "resources/read", NULL, NAME_MISSING},
        {"no name of a prompt", prompt, MODERN, "prompts/get", NULL, NAME_MISSING},
        {"no field at all", echo, NULL, NULL, NULL, REVISION_MISSING},
        {"no method of a list", list, MODERN, NULL, NULL, METHOD_MISSING},
        {"an older revision in the head", echo, "2025-11-25", "tools/call", "echo",
         REVISION_DIFFERS},
        {"a later revision in the head", echo, "2027-01-01", "tools/call", "echo",
         REVISION_DIFFERS},
        {"no date in the head", echo, "draft", "tools/call", "echo", REVISION_DIFFERS},
        {"an empty revision", echo, "", "tools/call", "echo", REVISION_DIFFERS},
        {"an older revision in the body", REQUEST("tools/list", META("2025-11-25")), MODERN,
         "tools/list", NULL, REVISION_DIFFERS},
        {"no revision in the body", REQUEST("tools/list", ""), MODERN, "tools/list", NULL,
         REVISION_DIFFERS},
        {"no params in the body", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", MODERN,
         "ping", NULL, REVISION_DIFFERS},
        {"another method", echo, MODERN, "tools/list", "echo", METHOD_DIFFERS},
        {"a method in another case", echo, MODERN, "Tools/Call", "echo", METHOD_DIFFERS},
        {"an empty method", echo, MODERN, "", "echo", METHOD_DIFFERS},
        {"a method in base64", echo, MODERN, "=?base64?dG9vbHMvY2FsbA==?=", "echo", METHOD_DIFFERS},
        {"another name", echo, MODERN, "tools/call", "add", NAME_DIFFERS},
        {"a name in another case", echo, MODERN, "tools/call", "Echo", NAME_DIFFERS},
        {"a longer name", echo, MODERN, "tools/call", "echo2", NAME_DIFFERS},
        {"an empty name", echo, MODERN, "tools/call", "", NAME_DIFFERS},
        {"another uri", read, MODERN, "resources/read", "file:///b", NAME_DIFFERS},
        {"the same uri in another form", read, MODERN, "resources/read", "file:///%61",
         NAME_DIFFERS},
        {"a name for a list", list, MODERN, "tools/list", "echo", NAME_DIFFERS},
        {"an empty name for a list", list, MODERN, "tools/list", "", NAME_DIFFERS},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void mcp_check_head_decodes_names_in_base64(void **state)
{
    (void)state;
    static const char umlaut[] =
        REQUEST("tools/call", "\"name\":\"gr\\u00f6\\u00dfe\"," META(MODERN));
    static const char echo[] = REQUEST("tools/call", "\"name\":\"echo\"," META(MODERN));
    static const char form[] =
        REQUEST("tools/call", "\"name\":\"=?base64?ZWNobw==?=\"," META(MODERN));
    static const char high[] =
        REQUEST("tools/call", "\"name\":\"\\u00fb\\u00ff\\u00be?\"," META(MODERN));
    static const struct row rows[] = {
        {"not ASCII", umlaut, MODERN, "tools/call", "=?base64?Z3LDtsOfZQ==?=", NULL},
        {"not ASCII, as it is", umlaut, MODERN, "tools/call",
         "gr\xc3\xb6\xc3\x9f"
         "e",
         "need base64"},
        {"not needed", echo, MODERN, "tools/call", "=?base64?ZWNobw==?=", NULL},
        {"all of the alphabet", high, MODERN, "tools/call", "=?base64?w7vDv8K+Pw==?=", NULL},
        {"the other alphabet", high, MODERN, "tools/call",
         "=?base64?w7vDv8K-Pw==?=", "not valid base64"},
        {"another name", echo, MODERN, "tools/call", "=?base64?YWRk?=", NAME_DIFFERS},
        {"nothing", echo, MODERN, "tools/call",
         "=?base64?"
         "?=",
         NAME_DIFFERS},
        {"no padding", echo, MODERN, "tools/call", "=?base64?ZWNobw?=", "not valid base64"},
        {"half of the padding", echo, MODERN, "tools/call",
         "=?base64?ZWNobw=?=", "not valid base64"},
        {"too much padding", echo, MODERN, "tools/call", "=?base64?ZWNo====?=", "not valid base64"},
        {"padding inside", echo, MODERN, "tools/call", "=?base64?ZW==bw==?=", "not valid base64"},
        {"unused bits", echo, MODERN, "tools/call", "=?base64?ZWNobx==?=", "not valid base64"},
        {"a blank inside", echo, MODERN, "tools/call", "=?base64?ZWNo bw=?=", "not valid base64"},
        {"another character", echo, MODERN, "tools/call",
         "=?base64?ZWN$bw==?=", "not valid base64"},
        {"the mark in capitals is a name", echo, MODERN, "tools/call",
         "=?BASE64?ZWNobw==?=", NAME_DIFFERS},
        {"another mark is a name", echo, MODERN, "tools/call",
         "=?utf-8?B?ZWNobw==?=", NAME_DIFFERS},
        {"no end is a name", echo, MODERN, "tools/call", "=?base64?ZWNobw==", NAME_DIFFERS},
        {"overlapping marks are a name", echo, MODERN, "tools/call", "=?base64?=", NAME_DIFFERS},
        {"a name of this form, as it is", form, MODERN, "tools/call",
         "=?base64?ZWNobw==?=", NAME_DIFFERS},
        {"a name of this form, encoded", form, MODERN, "tools/call",
         "=?base64?PT9iYXNlNjQ/WldOb2J3PT0/PQ==?=", NULL},
        {"NUL inside", echo, MODERN, "tools/call", "=?base64?ZWNobwA=?=", NAME_DIFFERS},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void mcp_check_head_trusts_no_field_of_an_older_revision(void **state)
{
    (void)state;
    static const char echo[] = REQUEST("tools/call", "\"name\":\"echo\"");
    static const struct row rows[] = {
        {"no fields", echo, NULL, NULL, NULL, NULL},
        {"the revision", echo, "2025-11-25", NULL, NULL, NULL},
        {"no date", echo, "draft", NULL, NULL, NULL},
        {"all that agree", echo, "2025-06-18", "tools/call", "echo", NULL},
        {"the name in base64", echo, NULL, NULL, "=?base64?ZWNobw==?=", NULL},
        {"another method", echo, "2025-11-25", "tools/list", NULL, METHOD_DIFFERS},
        {"another method, no revision", echo, NULL, "tools/list", NULL, METHOD_DIFFERS},
        {"another name", echo, "2025-11-25", NULL, "add", NAME_DIFFERS},
        {"another name, no revision", echo, NULL, NULL, "add", NAME_DIFFERS},
        {"bad base64", echo, NULL, NULL, "=?base64?Z?=", "not valid base64"},
        {"a revision in both", REQUEST("ping", META("2025-11-25")), "2025-11-25", NULL, NULL, NULL},
        {"two revisions", REQUEST("ping", META("2025-11-25")), "2025-06-18", NULL, NULL,
         REVISION_DIFFERS},
        {"a revision in the body only", REQUEST("ping", META("2025-11-25")), NULL, NULL, NULL,
         REVISION_MISSING},
        {"initialize", REQUEST("initialize", "\"protocolVersion\":\"2025-11-25\""), NULL, NULL,
         NULL, NULL},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void mcp_check_head_compares_what_other_methods_name(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"subscribe", REQUEST("resources/subscribe", "\"uri\":\"u:\"," META(MODERN)), MODERN,
         "resources/subscribe", "u:", NULL},
        {"subscribe without", REQUEST("resources/subscribe", "\"uri\":\"u:\"," META(MODERN)),
         MODERN, "resources/subscribe", NULL, NULL},
        {"subscribe to another", REQUEST("resources/subscribe", "\"uri\":\"u:\"," META(MODERN)),
         MODERN, "resources/subscribe", "v:", NAME_DIFFERS},
        {"task", REQUEST("tasks/get", "\"taskId\":\"t\"," META(MODERN)), MODERN, "tasks/get", "t",
         NULL},
        {"another task", REQUEST("tasks/cancel", "\"taskId\":\"t\"," META(MODERN)), MODERN,
         "tasks/cancel", "u", NAME_DIFFERS},
        {"a method of somebody", REQUEST("x/y", "\"name\":\"n\"," META(MODERN)), MODERN, "x/y", "n",
         NULL},
        {"another name of it", REQUEST("x/y", "\"name\":\"n\"," META(MODERN)), MODERN, "x/y", "m",
         NAME_DIFFERS},
        {"completion names nothing",
         REQUEST("completion/complete",
                 "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"p\"}," META(MODERN)),
         MODERN, "completion/complete", "p", NAME_DIFFERS},
        {"completion",
         REQUEST("completion/complete",
                 "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"p\"}," META(MODERN)),
         MODERN, "completion/complete", NULL, NULL},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void mcp_check_head_lets_notifications_and_responses_be_bare(void **state)
{
    (void)state;
    static const char cancelled[] = NOTIFICATION("notifications/cancelled", "\"requestId\":1");
    static const char modern[] = NOTIFICATION("notifications/cancelled", META(MODERN));
    static const char result[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
    static const struct row rows[] = {
        {"modern", cancelled, MODERN, NULL, NULL, NULL},
        {"modern, in both", modern, MODERN, NULL, NULL, NULL},
        {"modern, with its method", cancelled, MODERN, "notifications/cancelled", NULL, NULL},
        {"in the body only", modern, NULL, NULL, NULL, REVISION_MISSING},
        {"two revisions", modern, "2025-11-25", NULL, NULL, REVISION_DIFFERS},
        {"another method", cancelled, MODERN, "tools/call", NULL, METHOD_DIFFERS},
        {"another name", cancelled, MODERN, NULL, "x", NAME_DIFFERS},
        {"older", cancelled, "2025-11-25", NULL, NULL, NULL},
        {"no fields", cancelled, NULL, NULL, NULL, NULL},
        {"tool in a notification", NOTIFICATION("tools/call", "\"name\":\"a\""), NULL, "tools/call",
         "b", NAME_DIFFERS},
        {"response", result, "2025-11-25", NULL, NULL, NULL},
        {"response without", result, NULL, NULL, NULL, NULL},
        {"response with a method", result, "2025-11-25", "tools/call", NULL, METHOD_DIFFERS},
        {"response with an empty method", result, "2025-11-25", "", NULL, METHOD_DIFFERS},
        {"response with a name", result, "2025-11-25", NULL, "a", NAME_DIFFERS},
        {"response with an empty name", result, "2025-11-25", NULL, "", NAME_DIFFERS},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void mcp_check_head_lets_no_field_describe_a_batch(void **state)
{
    (void)state;
    static const char batch[] = "[" REQUEST("tools/call", "\"name\":\"echo\"") "]";
    static const char modern[] = "[" REQUEST("ping", "") "," REQUEST("ping", META(MODERN)) "]";
    static const struct row rows[] = {
        {"bare", batch, NULL, NULL, NULL, NULL},
        {"revision", batch, "2025-03-26", NULL, NULL, NULL},
        {"method", batch, "2025-03-26", "tools/call", NULL, "The Mcp-Method header cannot"},
        {"name", batch, "2025-03-26", NULL, "echo", "The Mcp-Name header cannot"},
        {"a modern member", modern, NULL, NULL, NULL, REVISION_MISSING},
        {"a modern member under an older revision", modern, "2025-03-26", NULL, NULL,
         REVISION_DIFFERS},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void mcp_check_head_refuses_fields_that_come_twice(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"revision", REQUEST("ping", META(MODERN)), MODERN, "ping", NULL,
         "The MCP-Protocol-Version header occurs more than once"},
        {"method", REQUEST("ping", META(MODERN)), MODERN, "ping", NULL,
         "The Mcp-Method header occurs more than once"},
        {"name", REQUEST("tools/call", "\"name\":\"a\"," META(MODERN)), MODERN, "tools/call", "a",
         "The Mcp-Name header occurs more than once"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        check(&rows[i], (struct mcp_head){.revision = str_from_cstr(rows[i].revision),
                                          .method = str_from_cstr(rows[i].method),
                                          .name = str_from_cstr(rows[i].name),
                                          .n_revision = i == 0 ? 2 : 1,
                                          .n_method = i == 1 ? 2 : 1,
                                          .n_name = i == 2 ? 2 : 1});
}

static void mcp_check_shape_knows_what_modern_revisions_lack(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *body;
        const char *revision;
        bool fits;
    } rows[] = {
        {"request", REQUEST("ping", META(MODERN)), MODERN, true},
        {"notification", NOTIFICATION("notifications/x", ""), MODERN, true},
        {"batch", "[" REQUEST("ping", META(MODERN)) "]", MODERN, false},
        {"batch of an older one", "[" REQUEST("ping", "") "]", "2025-03-26", true},
        {"batch without a revision", "[" REQUEST("ping", "") "]", NULL, true},
        {"response", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", MODERN, false},
        {"error", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}", MODERN, false},
        {"response of an older one", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", "2025-11-25",
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(1024, 65536);
        struct mcp_body body;
        struct str id;
        const struct mcp_head head = {.revision = str_from_cstr(rows[i].revision),
                                      .n_revision = rows[i].revision != NULL};
        assert_int_equal(mcp_inspect(str_from_cstr(rows[i].body), 65536, arena, &body, &id),
                         MCP_OK);
        if ((mcp_check_shape(&head, &body) == NULL) != rows[i].fits)
            fail_msg("%s", rows[i].why);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mcp_check_head_wants_all_of_a_modern_request),
        cmocka_unit_test(mcp_check_head_decodes_names_in_base64),
        cmocka_unit_test(mcp_check_head_trusts_no_field_of_an_older_revision),
        cmocka_unit_test(mcp_check_head_compares_what_other_methods_name),
        cmocka_unit_test(mcp_check_head_lets_notifications_and_responses_be_bare),
        cmocka_unit_test(mcp_check_head_lets_no_field_describe_a_batch),
        cmocka_unit_test(mcp_check_head_refuses_fields_that_come_twice),
        cmocka_unit_test(mcp_check_shape_knows_what_modern_revisions_lack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
