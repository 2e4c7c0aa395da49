/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp_call.h"

#include "base/buf.h"
#include "base/err.h"
#include "support/cmocka_all.h"

struct row {
    const char *text;
    enum mcp_call_rc rc;
    const char *method;
    enum mcp_target target;
    const char *name; /* NULL: absent */
};

static const struct row rows[] = {
    {"initialize", MCP_CALL_OK, "initialize", MCP_NO_TARGET, NULL},
    {"tools/list", MCP_CALL_OK, "tools/list", MCP_NO_TARGET, NULL},
    {"vendor/method", MCP_CALL_OK, "vendor/method", MCP_NO_TARGET, NULL},
    {"notifications/initialized", MCP_CALL_OK, "notifications/initialized", MCP_NO_TARGET, NULL},
    {"tools/call:echo", MCP_CALL_OK, "tools/call", MCP_TOOL, "echo"},
    {"tools/call:ns:echo", MCP_CALL_OK, "tools/call", MCP_TOOL, "ns:echo"},
    {"tools/call: a b ", MCP_CALL_OK, "tools/call", MCP_TOOL, " a b "},
    {"tools/call:f\xc3\xbcr", MCP_CALL_OK, "tools/call", MCP_TOOL, "f\xc3\xbcr"},
    {"prompts/get:greet", MCP_CALL_OK, "prompts/get", MCP_PROMPT, "greet"},
    {"resources/read:file:///x", MCP_CALL_OK, "resources/read", MCP_RESOURCE, "file:///x"},
    {"resources/subscribe:a:b", MCP_CALL_OK, "resources/subscribe", MCP_RESOURCE, "a:b"},
    {"resources/unsubscribe:a:b", MCP_CALL_OK, "resources/unsubscribe", MCP_RESOURCE, "a:b"},
    {"subscriptions/listen", MCP_CALL_OK, "subscriptions/listen", MCP_NO_TARGET, NULL},
    {"subscriptions/listen:a:b", MCP_CALL_OK, "subscriptions/listen", MCP_RESOURCE, "a:b"},
    {"completion/complete:ref/prompt:greet", MCP_CALL_OK, "completion/complete", MCP_PROMPT,
     "greet"},
    {"completion/complete:ref/resource:file:///{x}", MCP_CALL_OK, "completion/complete",
     MCP_RESOURCE, "file:///{x}"},

    {"", MCP_CALL_METHOD, NULL, MCP_NO_TARGET, NULL},
    {":echo", MCP_CALL_METHOD, NULL, MCP_NO_TARGET, NULL},
    {"tools\n/call:echo", MCP_CALL_METHOD, NULL, MCP_NO_TARGET, NULL},
    {"tools/call\xff:echo", MCP_CALL_METHOD, NULL, MCP_NO_TARGET, NULL},
    {"tools/call:e\tcho", MCP_CALL_NAME, NULL, MCP_NO_TARGET, NULL},
    {"tools/call:e\x7f", MCP_CALL_NAME, NULL, MCP_NO_TARGET, NULL},
    {"tools/call:\xc0\x80", MCP_CALL_NAME, NULL, MCP_NO_TARGET, NULL},
    {"tools/call", MCP_CALL_NO_NAME, NULL, MCP_NO_TARGET, NULL},
    {"tools/call:", MCP_CALL_NO_NAME, NULL, MCP_NO_TARGET, NULL},
    {"prompts/get", MCP_CALL_NO_NAME, NULL, MCP_NO_TARGET, NULL},
    {"resources/read:", MCP_CALL_NO_NAME, NULL, MCP_NO_TARGET, NULL},
    {"subscriptions/listen:", MCP_CALL_NO_NAME, NULL, MCP_NO_TARGET, NULL},
    {"completion/complete", MCP_CALL_NO_NAME, NULL, MCP_NO_TARGET, NULL},
    {"completion/complete:ref/prompt:", MCP_CALL_NO_NAME, NULL, MCP_NO_TARGET, NULL},
    {"completion/complete:greet", MCP_CALL_NO_REF, NULL, MCP_NO_TARGET, NULL},
    {"initialize:x", MCP_CALL_TOO_MUCH, NULL, MCP_NO_TARGET, NULL},
    {"tools/list:", MCP_CALL_TOO_MUCH, NULL, MCP_NO_TARGET, NULL},
    {"Tools/call:echo", MCP_CALL_TOO_MUCH, NULL, MCP_NO_TARGET, NULL},
};

static enum mcp_call_rc make(const char *text, struct mcp_call *ret_call)
{
    struct str method;
    struct str name;
    mcp_call_split(str_from_cstr(text), &method, &name);
    return mcp_call_make(method, name, ret_call);
}

static void mcp_call_make_reads_a_method_and_what_it_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct mcp_call call = {.target = MCP_N_TARGETS};
        enum mcp_call_rc rc = make(row->text, &call);
        if (rc != row->rc)
            fail_msg("%s: %s", row->text, mcp_call_rc_text(rc));
        if (rc != MCP_CALL_OK) {
            assert_int_equal(call.target, MCP_N_TARGETS);
            continue;
        }
        assert_true(str_eq(call.method, str_from_cstr(row->method)));
        assert_int_equal(call.target, row->target);
        assert_int_equal(str_is_set(call.name), row->name != NULL);
        assert_true(str_eq(call.name, str_from_cstr(row->name)));
    }
}

/* A NUL inside a name, which no row above can hold. */
static void mcp_call_make_refuses_a_nul(void **state)
{
    (void)state;
    struct mcp_call call;
    assert_int_equal(mcp_call_make(STR("tools/call"), str_make("e\0o", 3), &call), MCP_CALL_NAME);
    assert_int_equal(mcp_call_make(str_make("a\0", 2), (struct str){0}, &call), MCP_CALL_METHOD);
}

/* ---- the same as what is read from a body ---- */

static void append_params(const struct mcp_call *call, struct buf *out)
{
    const bool prompt = call->target == MCP_PROMPT;
    if (str_eq(call->method, STR("completion/complete")))
        (void)buf_printf(out, "\"ref\":{\"type\":\"ref/%s\",\"%s\":\"%.*s\"},\"argument\":{}",
                         prompt ? "prompt" : "resource", prompt ? "name" : "uri",
                         STR_ARG(call->name));
    else if (str_eq(call->method, STR("subscriptions/listen")) && call->target == MCP_RESOURCE)
        (void)buf_printf(out, "\"notifications\":{\"resourceSubscriptions\":[\"%.*s\"]}",
                         STR_ARG(call->name));
    else if (call->target != MCP_NO_TARGET)
        (void)buf_printf(out, "\"%s\":\"%.*s\"", call->target == MCP_RESOURCE ? "uri" : "name",
                         STR_ARG(call->name));
}

static void mcp_call_make_gives_what_mcp_inspect_reads_from_a_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(4096, 65536);
        struct buf body = buf_make(4096);
        struct mcp_call call;
        struct mcp_body read;
        struct str id;
        if (rows[i].rc == MCP_CALL_OK) {
            assert_int_equal(make(rows[i].text, &call), MCP_CALL_OK);
            (void)buf_printf(&body, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{",
                             rows[i].method);
            append_params(&call, &body);
            (void)buf_append(&body, STR("}"));
            if (!str_has_prefix(call.method, STR("notifications/")))
                (void)buf_append(&body, STR(",\"id\":1"));
            (void)buf_append(&body, STR("}"));
            enum mcp_rc rc = mcp_inspect(buf_str(&body), 4096, arena, &read, &id);
            if (rc != MCP_OK)
                fail_msg("%s: %s", rows[i].text, mcp_rc_name(rc));
            assert_int_equal(read.n_messages, 1);
            assert_int_equal(read.messages[0].n_calls, 1);
            const struct mcp_call *other = &read.messages[0].calls[0];
            assert_true(str_eq(other->method, call.method));
            assert_int_equal(other->target, call.target);
            assert_int_equal(str_is_set(other->name), str_is_set(call.name));
            assert_true(str_eq(other->name, call.name));
        }
        buf_free(&body);
        (void)arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mcp_call_make_reads_a_method_and_what_it_names),
        cmocka_unit_test(mcp_call_make_refuses_a_nul),
        cmocka_unit_test(mcp_call_make_gives_what_mcp_inspect_reads_from_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
