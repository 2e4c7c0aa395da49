/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp.h"

#include "base/buf.h"
#include "base/err.h"
#include "support/cmocka_all.h"
#include "support/inspect.h"

static void mcp_inspect_tells_what_a_message_is(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str body;
        enum mcp_kind kind;
        const char *id;
        const char *method; /* NULL: absent */
        enum mcp_list list;
    } rows[] = {
        {"request", STR_INIT("{" RPC "\"id\":1,\"method\":\"ping\"}"), MCP_REQUEST, "1", "ping",
         MCP_NO_LIST},
        {"any order, blanks",
         STR_INIT(" { \"method\" : \"ping\" ,\n\"id\" : \"a-1\" , \"jsonrpc\" : \"2.0\" } "),
         MCP_REQUEST, "\"a-1\"", "ping", MCP_NO_LIST},
        {"escaped keys and values",
         STR_INIT(
             "{\"json\\u0072pc\":\"2\\u002e0\",\"\\u0069d\":7,\"metho\\u0064\":\"pi\\u006eg\"}"),
         MCP_REQUEST, "7", "ping", MCP_NO_LIST},
        {"id zero", STR_INIT("{" RPC "\"id\":0,\"method\":\"m\"}"), MCP_REQUEST, "0", "m",
         MCP_NO_LIST},
        {"id negative", STR_INIT("{" RPC "\"id\":-7,\"method\":\"m\"}"), MCP_REQUEST, "-7", "m",
         MCP_NO_LIST},
        {"largest id", STR_INIT("{" RPC "\"id\":9007199254740991,\"method\":\"m\"}"), MCP_REQUEST,
         "9007199254740991", "m", MCP_NO_LIST},
        {"smallest id", STR_INIT("{" RPC "\"id\":-9007199254740991,\"method\":\"m\"}"), MCP_REQUEST,
         "-9007199254740991", "m", MCP_NO_LIST},
        {"empty id", STR_INIT("{" RPC "\"id\":\"\",\"method\":\"m\"}"), MCP_REQUEST, "\"\"", "m",
         MCP_NO_LIST},
        {"notification", STR_INIT("{" RPC "\"method\":\"notifications/initialized\"}"),
         MCP_NOTIFICATION, NULL, "notifications/initialized", MCP_NO_LIST},
        {"result", STR_INIT("{" RPC "\"id\":1,\"result\":{\"method\":\"x\"}}"), MCP_RESPONSE, "1",
         NULL, MCP_NO_LIST},
        {"error", STR_INIT("{" RPC "\"id\":\"x\",\"error\":{\"code\":1}}"), MCP_RESPONSE, "\"x\"",
         NULL, MCP_NO_LIST},
        {"error for an unknown request", STR_INIT("{" RPC "\"id\":null,\"error\":{}}"),
         MCP_RESPONSE, "null", NULL, MCP_NO_LIST},
        {"tools/list", STR_INIT("{" RPC "\"id\":1,\"method\":\"tools/list\"}"), MCP_REQUEST, "1",
         "tools/list", MCP_LIST_TOOLS},
        {"prompts/list", STR_INIT("{" RPC "\"id\":1,\"method\":\"prompts/list\",\"params\":{}}"),
         MCP_REQUEST, "1", "prompts/list", MCP_LIST_PROMPTS},
        {"resources/list", STR_INIT("{" RPC "\"id\":1,\"method\":\"resources\\/list\"}"),
         MCP_REQUEST, "1", "resources/list", MCP_LIST_RESOURCES},
        {"resources/templates/list",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"resources/templates/list\"}"), MCP_REQUEST, "1",
         "resources/templates/list", MCP_LIST_TEMPLATES},
        {"a list in another case is none", STR_INIT("{" RPC "\"id\":1,\"method\":\"Tools/list\"}"),
         MCP_REQUEST, "1", "Tools/list", MCP_NO_LIST},
        {"some may answer it without an id", STR_INIT("{" RPC "\"method\":\"tools/list\"}"),
         MCP_NOTIFICATION, NULL, "tools/list", MCP_LIST_TOOLS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inspected in = inspect(rows[i].body);
        if (in.rc != MCP_OK)
            fail_msg("%s: %s", rows[i].why, mcp_rc_name(in.rc));
        const struct mcp_message *message = in.body.messages;
        assert_false(str_is_set(in.id));
        assert_false(in.body.batch);
        assert_int_equal(in.body.n_messages, 1);
        if (message->kind != rows[i].kind || message->list != rows[i].list ||
            str_is_set(message->method) != (rows[i].method != NULL) ||
            !str_eq(message->method, str_from_cstr(rows[i].method)) ||
            str_is_set(message->id) != (rows[i].id != NULL) ||
            !str_eq(message->id, str_from_cstr(rows[i].id)))
            fail_msg("%s", rows[i].why);
        assert_int_equal(message->n_calls, message->kind == MCP_RESPONSE ? 0 : 1);
        inspect_done(&in);
    }
}

static void mcp_inspect_finds_what_is_called(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str body;
        enum mcp_target target;
        struct str name;
        const char *mirrored; /* NULL: the name */
    } rows[] = {
        {"tool",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"}}"),
         MCP_TOOL, STR_INIT("echo"), NULL},
        {"tool, escaped in every place",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"tools\\/c\\u0061ll\",\"par\\u0061ms\":"
                  "{\"n\\u0061me\":\"\\u0065cho\"}}"),
         MCP_TOOL, STR_INIT("echo"), NULL},
        {"tool behind its arguments",
         STR_INIT(
             "{" RPC "\"params\":{\"arguments\":{\"name\":\"no\",\"params\":{\"name\":\"no\"}},"
             "\"_meta\":{\"name\":\"no\"},\"name\":\"yes\"},\"id\":1,\"method\":\"tools/call\"}"),
         MCP_TOOL, STR_INIT("yes"), NULL},
        {"tool beside a uri",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"tools/call\",\"params\":{\"uri\":\"a:b\","
                  "\"name\":\"t\"}}"),
         MCP_TOOL, STR_INIT("t"), NULL},
        {"tool in a notification",
         STR_INIT("{" RPC "\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"}}"), MCP_TOOL,
         STR_INIT("echo"), NULL},
        {"blanks and other scripts",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
                  "\" gr\xc3\xb6\\u00dfe \"}}"),
         MCP_TOOL,
         STR_INIT(" gr\xc3\xb6\xc3\x9f"
                  "e "),
         NULL},
        {"prompt",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"prompts/get\",\"params\":{\"name\":\"p\"}}"),
         MCP_PROMPT, STR_INIT("p"), NULL},
        {"resource",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"resources/read\",\"params\":{\"name\":\"no\","
                  "\"uri\":\"file:\\/\\/\\/a\"}}"),
         MCP_RESOURCE, STR_INIT("file:///a"), NULL},
        {"subscribe",
         STR_INIT("{" RPC
                  "\"id\":1,\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"u:1\"}}"),
         MCP_RESOURCE, STR_INIT("u:1"), NULL},
        {"unsubscribe",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"resources/unsubscribe\",\"params\":"
                  "{\"uri\":\"u:1\"}}"),
         MCP_RESOURCE, STR_INIT("u:1"), NULL},
        {"completion of a prompt",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"completion/complete\",\"params\":{\"ref\":"
                  "{\"type\":\"ref/prompt\",\"name\":\"p\",\"uri\":\"u\"},\"argument\":{}}}"),
         MCP_PROMPT, STR_INIT("p"), ""},
        {"completion of a resource",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"completion/complete\",\"params\":{\"ref\":"
                  "{\"uri\":\"u:{x}\",\"type\":\"ref\\/resource\",\"name\":\"p\"}}}"),
         MCP_RESOURCE, STR_INIT("u:{x}"), ""},
        {"subscriptions without resources",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"subscriptions/listen\",\"params\":"
                  "{\"notifications\":{\"toolsListChanged\":true}}}"),
         MCP_NO_TARGET, STR_INIT(""), ""},
        {"subscriptions without params",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"subscriptions/listen\"}"), MCP_NO_TARGET,
         STR_INIT(""), ""},
        {"subscriptions to no resource",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"subscriptions/listen\",\"params\":"
                  "{\"notifications\":{\"resourceSubscriptions\":[ ]}}}"),
         MCP_NO_TARGET, STR_INIT(""), ""},
        {"a task is mirrored by its id",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"tasks/get\",\"params\":{\"name\":\"no\","
                  "\"taskId\":\"t-1\"}}"),
         MCP_NO_TARGET, STR_INIT(""), "t-1"},
        {"an unknown method with a name",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"x/y\",\"params\":{\"name\":\"n\",\"uri\":\"u\"}}"),
         MCP_NO_TARGET, STR_INIT(""), "n"},
        {"an unknown method with a uri",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"x/y\",\"params\":{\"name\":1,\"uri\":\"u\"}}"),
         MCP_NO_TARGET, STR_INIT(""), "u"},
        {"a method in another case is another method",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"Tools/call\",\"params\":{\"name\":\"echo\"}}"),
         MCP_NO_TARGET, STR_INIT(""), "echo"},
        {"no params", STR_INIT("{" RPC "\"id\":1,\"method\":\"ping\"}"), MCP_NO_TARGET,
         STR_INIT(""), ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inspected in = inspect(rows[i].body);
        if (in.rc != MCP_OK)
            fail_msg("%s: %s", rows[i].why, mcp_rc_name(in.rc));
        const struct mcp_message *message = in.body.messages;
        const struct str mirrored =
            rows[i].mirrored != NULL ? str_from_cstr(rows[i].mirrored) : rows[i].name;
        assert_int_equal(message->n_calls, 1);
        if (message->calls[0].target != rows[i].target ||
            !str_eq(message->calls[0].name, rows[i].name) ||
            str_is_set(message->calls[0].name) != (rows[i].target != MCP_NO_TARGET) ||
            !str_eq(message->calls[0].method, message->method) ||
            !str_eq(message->mirrored, mirrored))
            fail_msg("%s: %.*s", rows[i].why, STR_ARG(message->calls[0].name));
        inspect_done(&in);
    }
}

static void mcp_inspect_makes_a_call_of_each_subscription(void **state)
{
    (void)state;
    static const struct str uris[] = {STR_INIT("file:///a"), STR_INIT("file:///b"), STR_INIT("c:")};
    struct inspected in = inspect(
        STR("{" RPC "\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":"
            "{\"resourceSubscriptions\":[\"file:///a\", \"file:\\/\\/\\/b\",\"c:\"]}}}"));
    assert_int_equal(in.rc, MCP_OK);
    const struct mcp_message *message = in.body.messages;
    assert_int_equal(message->n_calls, ARRAY_LEN(uris));
    for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
        assert_int_equal(message->calls[i].target, MCP_RESOURCE);
        assert_true(str_eq(message->calls[i].name, uris[i]));
        assert_true(str_eq(message->calls[i].method, STR("subscriptions/listen")));
    }
    inspect_done(&in);
}

static void mcp_inspect_reads_the_revision(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str body;
        const char *revision; /* NULL: absent */
    } rows[] = {
        {"modern",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":"
                  "{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}"),
         "2026-07-28"},
        {"escaped",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"m\",\"params\":{\"_met\\u0061\":"
                  "{\"io.modelcontextprotocol\\/protocolVersion\":\"2026\\u002d07-28\"}}}"),
         "2026-07-28"},
        {"of a notification",
         STR_INIT("{" RPC "\"method\":\"notifications/x\",\"params\":{\"_meta\":"
                  "{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}"),
         "2026-07-28"},
        {"no params", STR_INIT("{" RPC "\"id\":1,\"method\":\"m\"}"), NULL},
        {"no _meta", STR_INIT("{" RPC "\"id\":1,\"method\":\"m\",\"params\":{}}"), NULL},
        {"_meta null", STR_INIT("{" RPC "\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":null}}"),
         NULL},
        {"_meta without",
         STR_INIT("{" RPC
                  "\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"progressToken\":1}}}"),
         NULL},
        {"elsewhere",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"m\",\"_meta\":"
                  "{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},\"params\":"
                  "{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}"),
         NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inspected in = inspect(rows[i].body);
        if (in.rc != MCP_OK)
            fail_msg("%s: %s", rows[i].why, mcp_rc_name(in.rc));
        if (!str_eq(in.body.messages[0].revision, str_from_cstr(rows[i].revision)) ||
            str_is_set(in.body.messages[0].revision) != (rows[i].revision != NULL))
            fail_msg("%s", rows[i].why);
        inspect_done(&in);
    }
}

static void mcp_inspect_takes_keys_that_nobody_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str body;
    } rows[] = {
        {"other keys", IN_CALL("\"methods\":1,\"metho\":1,\"i\":1,\"idd\":1,\"\":1")},
        {"with a blank", IN_CALL("\"method \":1,\" id\":1")},
        {"near letters", IN_CALL("\"param\xc5\xbe\":1,\"param\\u017d\":1,\"\xc3\xa9\":1")},
        {"escapes that are no letters", IN_CALL("\"\\u005f\":1,\"i\\n\":1,\"\\\\\":1,\"i\\td\":1")},
        {"in arguments", IN_PARAMS("\"arguments\":{\"Name\":1,\"METHOD\":2,\"URI\":3,\"uri\":4}")},
        {"in _meta",
         IN_PARAMS("\"_meta\":{\"Name\":1,\"METHOD\":2,\"io.modelcontextprotocol/x\":1}")},
        {"in params, of the message", IN_PARAMS("\"METHOD\":1,\"ID\":2,\"jsonRPC\":3")},
        {"in a ref that is none", IN_PARAMS("\"ref\":{\"Name\":1}")},
        {"in notifications that are none",
         IN_PARAMS("\"notifications\":{\"ResourceSubscriptions\":1}")},
        {"__proto__", IN_CALL("\"__proto__\":{\"method\":\"x\"}")},
        {"a long one", IN_CALL("\"methodmethodmethodmethodmethodmethod\":1")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inspected in = inspect(rows[i].body);
        if (in.rc != MCP_OK)
            fail_msg("%s: %s", rows[i].why, mcp_rc_name(in.rc));
        assert_true(str_eq(in.body.messages[0].calls[0].name, STR("a")));
        inspect_done(&in);
    }
}

static void mcp_inspect_reads_batches(void **state)
{
    (void)state;
    struct inspected in = inspect(
        STR(" [{" RPC "\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}} ,{" RPC
            "\"method\":\"notifications/x\"},\n{" RPC "\"id\":2,\"result\":[]},{" RPC
            "\"id\":\"z\",\"method\":\"resources/read\",\"params\":{\"uri\":\"u:\"}},{" RPC
            "\"id\":5,\"method\":\"tools/list\"}]"));
    assert_int_equal(in.rc, MCP_OK);
    assert_true(in.body.batch);
    assert_int_equal(in.body.n_messages, 5);
    const struct mcp_message *messages = in.body.messages;
    assert_int_equal(messages[0].kind, MCP_REQUEST);
    assert_true(str_eq(messages[0].calls[0].name, STR("a")));
    assert_int_equal(messages[1].kind, MCP_NOTIFICATION);
    assert_int_equal(messages[2].kind, MCP_RESPONSE);
    assert_int_equal(messages[2].n_calls, 0);
    assert_int_equal(messages[3].calls[0].target, MCP_RESOURCE);
    assert_true(str_eq(messages[3].id, STR("\"z\"")));
    assert_int_equal(messages[4].list, MCP_LIST_TOOLS);
    inspect_done(&in);
    in = inspect(STR("[{" RPC "\"id\":1,\"method\":\"ping\"}]"));
    assert_int_equal(in.rc, MCP_OK);
    assert_true(in.body.batch);
    inspect_done(&in);
}

static void append_batch(struct buf *out, size_t n)
{
    (void)buf_append_char(out, '[');
    for (size_t i = 0; i < n; i++)
        (void)buf_printf(out, "%s{" RPC "\"id\":%zu,\"method\":\"ping\"}", i > 0 ? "," : "", i);
    (void)buf_append_char(out, ']');
}

static void append_subscriptions(struct buf *out, size_t n)
{
    (void)buf_append(out, STR("{" RPC "\"id\":1,\"method\":\"subscriptions/listen\",\"params\":"
                              "{\"notifications\":{\"resourceSubscriptions\":["));
    for (size_t i = 0; i < n; i++)
        (void)buf_printf(out, "%s\"u:%zu\"", i > 0 ? "," : "", i);
    (void)buf_append(out, STR("]}}}"));
}

static void append_deep(struct buf *out, size_t n)
{
    (void)buf_append(out, STR("{" RPC "\"id\":1,\"method\":\"m\",\"params\":{\"x\":"));
    for (size_t i = 2; i < n; i++)
        (void)buf_append_char(out, '[');
    for (size_t i = 2; i < n; i++)
        (void)buf_append_char(out, ']');
    (void)buf_append(out, STR("}}"));
}

/* As many bytes as N, with the quotes. */
static void append_long(struct buf *out, size_t n)
{
    (void)buf_append_char(out, '"');
    for (size_t i = 2; i < n; i++)
        (void)buf_append_char(out, 'x');
    (void)buf_append_char(out, '"');
}

static void append_long_id(struct buf *out, size_t n)
{
    (void)buf_append(out, STR("{" RPC "\"method\":\"m\",\"id\":"));
    append_long(out, n);
    (void)buf_append_char(out, '}');
}

static void append_long_method(struct buf *out, size_t n)
{
    (void)buf_append(out, STR("{" RPC "\"id\":1,\"method\":"));
    append_long(out, n);
    (void)buf_append_char(out, '}');
}

static void append_long_name(struct buf *out, size_t n)
{
    (void)buf_append(out, STR("{" RPC "\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"));
    append_long(out, n);
    (void)buf_append(out, STR("}}"));
}

static void mcp_inspect_has_limits(void **state)
{
    (void)state;
    static const struct {
        void (*append)(struct buf *out, size_t n);
        size_t most;
        enum mcp_rc past;
    } rows[] = {
        {append_batch, MCP_MAX_BATCH, MCP_BATCH_TOO_LONG},
        {append_subscriptions, MCP_MAX_NAMES, MCP_BAD_PARAMS},
        {append_deep, MCP_MAX_DEPTH, MCP_TOO_DEEP},
        {append_long_id, MCP_MAX_NAME_BYTES, MCP_BAD_ID},
        {append_long_method, MCP_MAX_NAME_BYTES, MCP_BAD_METHOD},
        {append_long_name, MCP_MAX_NAME_BYTES, MCP_BAD_PARAMS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text = buf_make(INSPECT_MAX_BYTES);
        rows[i].append(&text, rows[i].most);
        struct inspected in = inspect(buf_str(&text));
        assert_int_equal(in.rc, MCP_OK);
        if (in.body.batch) {
            assert_int_equal(in.body.n_messages, MCP_MAX_BATCH);
            assert_true(str_eq(in.body.messages[0].id, STR("0")));
            assert_true(str_eq(in.body.messages[MCP_MAX_BATCH - 1].id, STR("255")));
        }
        inspect_done(&in);
        in = inspect_within(buf_str(&text), text.len);
        assert_int_equal(in.rc, MCP_OK);
        inspect_done(&in);
        in = inspect_within(buf_str(&text), text.len - 1);
        assert_int_equal(in.rc, MCP_NOT_JSON);
        inspect_done(&in);
        buf_clear(&text);
        rows[i].append(&text, rows[i].most + 1);
        in = inspect(buf_str(&text));
        assert_int_equal(in.rc, rows[i].past);
        inspect_done(&in);
        buf_free(&text);
    }
}

static void mcp_inspect_says_when_memory_is_short(void **state)
{
    (void)state;
    const struct str body = STR(
        "[{" RPC "\"id\":1,\"method\":\"tools\\/call\",\"params\":{\"name\":\"a\\u0062\"}},{" RPC
        "\"id\":1,\"method\":\"completion\\/complete\",\"params\":{\"ref\":{\"type\":"
        "\"ref\\/prompt\",\"name\":\"a\\/b\"},\"_meta\":{\"io.modelcontextprotocol"
        "/protocolVersion\":\"2026\\u002d07-28\"}}},{" RPC
        "\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":"
        "{\"resourceSubscriptions\":[\"a:\\/\\/\"]}}}]");
    size_t refused = 0;
    for (size_t max = 16;; max += 16) {
        struct arena *arena = arena_new(16, max);
        struct mcp_body read;
        struct str id;
        enum mcp_rc rc = mcp_inspect(body, INSPECT_MAX_BYTES, arena, &read, &id);
        arena_free(arena);
        if (rc == MCP_OK)
            break;
        assert_int_equal(rc, MCP_NO_MEMORY);
        refused++;
    }
    assert_true(refused > 10);
}

static void mcp_rc_has_a_name_a_sentence_and_a_code(void **state)
{
    (void)state;
    for (enum mcp_rc rc = MCP_OK; rc <= MCP_NO_MEMORY; rc++) {
        assert_true(strlen(mcp_rc_name(rc)) > 1);
        assert_true(strlen(mcp_rc_description(rc)) > 10);
        assert_true((mcp_rc_code(rc) == 0) == (rc == MCP_OK));
        for (enum mcp_rc other = MCP_OK; other < rc; other++)
            assert_string_not_equal(mcp_rc_name(rc), mcp_rc_name(other));
    }
    assert_int_equal(mcp_rc_code(MCP_NOT_JSON), -32700);
    assert_int_equal(mcp_rc_code(MCP_TOO_DEEP), -32700);
    assert_int_equal(mcp_rc_code(MCP_DUPLICATE_KEY), -32700);
    assert_int_equal(mcp_rc_code(MCP_AMBIGUOUS_KEY), -32600);
    assert_int_equal(mcp_rc_code(MCP_NOT_JSONRPC), -32600);
    assert_int_equal(mcp_rc_code(MCP_BAD_ID), -32600);
    assert_int_equal(mcp_rc_code(MCP_BAD_METHOD), -32600);
    assert_int_equal(mcp_rc_code(MCP_BAD_PARAMS), -32602);
    assert_int_equal(mcp_rc_code(MCP_EMPTY_BATCH), -32600);
    assert_int_equal(mcp_rc_code(MCP_BATCH_TOO_LONG), -32600);
    assert_string_equal(mcp_rc_name(MCP_DUPLICATE_KEY), "duplicate_key");
}

static void mcp_is_modern_compares_dates(void **state)
{
    (void)state;
    static const struct str modern[] = {STR_INIT("2026-07-28"), STR_INIT("2026-07-29"),
                                        STR_INIT("2026-10-01"), STR_INIT("2030-01-01")};
    static const struct str older[] = {
        STR_INIT("2026-07-27"), STR_INIT("2025-11-25"),  STR_INIT("2025-03-26"),  STR_INIT(""),
        STR_INIT("2026-07-2"),  STR_INIT("2026-07-288"), STR_INIT("2026/07/28"),  STR_INIT("draft"),
        STR_INIT("9999-99-9x"), STR_INIT("DRAFT-2026"),  STR_INIT(" 2026-07-28"), {.ptr = NULL}};
    for (size_t i = 0; i < ARRAY_LEN(modern); i++)
        assert_true(mcp_is_modern(modern[i]));
    for (size_t i = 0; i < ARRAY_LEN(older); i++)
        assert_false(mcp_is_modern(older[i]));
}

static void mcp_is_free_knows_what_everybody_may(void **state)
{
    (void)state;
    static const struct str free_methods[] = {STR_INIT("initialize"),
                                              STR_INIT("ping"),
                                              STR_INIT("server/discover"),
                                              STR_INIT("notifications/initialized"),
                                              STR_INIT("notifications/x"),
                                              STR_INIT("tools/list"),
                                              STR_INIT("prompts/list"),
                                              STR_INIT("resources/list"),
                                              STR_INIT("resources/templates/list"),
                                              STR_INIT("subscriptions/listen")};
    static const struct str others[] = {STR_INIT("tools/call"),   STR_INIT("Ping"),
                                        STR_INIT("ping "),        STR_INIT("pin"),
                                        STR_INIT("notification"), STR_INIT("Notifications/x"),
                                        STR_INIT("tools/list/x"), STR_INIT("logging/setLevel"),
                                        STR_INIT("tasks/get"),    STR_INIT("x/list")};
    for (size_t i = 0; i < ARRAY_LEN(free_methods); i++) {
        struct mcp_call call = {.method = free_methods[i]};
        assert_true(mcp_is_free(&call));
        call.target = MCP_RESOURCE;
        call.name = STR("a");
        assert_false(mcp_is_free(&call));
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(mcp_is_free(&(struct mcp_call){.method = others[i]}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mcp_inspect_tells_what_a_message_is),
        cmocka_unit_test(mcp_inspect_finds_what_is_called),
        cmocka_unit_test(mcp_inspect_makes_a_call_of_each_subscription),
        cmocka_unit_test(mcp_inspect_reads_the_revision),
        cmocka_unit_test(mcp_inspect_takes_keys_that_nobody_mistakes),
        cmocka_unit_test(mcp_inspect_reads_batches),
        cmocka_unit_test(mcp_inspect_has_limits),
        cmocka_unit_test(mcp_inspect_says_when_memory_is_short),
        cmocka_unit_test(mcp_rc_has_a_name_a_sentence_and_a_code),
        cmocka_unit_test(mcp_is_modern_compares_dates),
        cmocka_unit_test(mcp_is_free_knows_what_everybody_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
