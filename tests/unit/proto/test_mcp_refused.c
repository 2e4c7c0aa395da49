/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "proto/mcp.h"
#include "support/cmocka_all.h"
#include "support/inspect.h"

/* A body that is refused, and the id under which to say so. */
struct refusal {
    const char *why;
    struct str body;
    enum mcp_rc rc;
    const char *id; /* NULL: none */
};

static void check_refusals(const struct refusal *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct inspected in = inspect(rows[i].body);
        if (in.rc != rows[i].rc)
            fail_msg("%s: %s", rows[i].why, mcp_rc_name(in.rc));
        if (str_is_set(in.id) != (rows[i].id != NULL) || !str_eq(in.id, str_from_cstr(rows[i].id)))
            fail_msg("%s: id %.*s", rows[i].why, STR_ARG(in.id));
        inspect_done(&in);
    }
}

static void mcp_inspect_refuses_what_is_no_message(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {"nothing", STR_INIT(""), MCP_NOT_JSON, NULL},
        {"not JSON", STR_INIT("{" RPC "\"id\":1,\"method\":\"m\"}x"), MCP_NOT_JSON, NULL},
        {"duplicate key", STR_INIT("{" RPC "\"id\":1,\"method\":\"a\",\"method\":\"b\"}"),
         MCP_DUPLICATE_KEY, NULL},
        {"duplicate key in arguments",
         STR_INIT("{" RPC "\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\","
                  "\"arguments\":{\"x\":1,\"\\u0078\":2}}}"),
         MCP_DUPLICATE_KEY, NULL},
        {"a number", STR_INIT("1"), MCP_NOT_JSONRPC, NULL},
        {"a string", STR_INIT("\"ping\""), MCP_NOT_JSONRPC, NULL},
        {"null", STR_INIT("null"), MCP_NOT_JSONRPC, NULL},
        {"empty object", STR_INIT("{}"), MCP_NOT_JSONRPC, NULL},
        {"no version", STR_INIT("{\"id\":1,\"method\":\"m\"}"), MCP_NOT_JSONRPC, "1"},
        {"version 1.0", STR_INIT("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}"),
         MCP_NOT_JSONRPC, "1"},
        {"version as a number", STR_INIT("{\"jsonrpc\":2.0,\"id\":1,\"method\":\"m\"}"),
         MCP_NOT_JSONRPC, "1"},
        {"neither method nor result", STR_INIT("{" RPC "\"id\":1}"), MCP_NOT_JSONRPC, "1"},
        {"method and result", STR_INIT("{" RPC "\"id\":1,\"method\":\"m\",\"result\":1}"),
         MCP_NOT_JSONRPC, NULL},
        {"method and error", STR_INIT("{" RPC "\"id\":1,\"method\":\"m\",\"error\":{}}"),
         MCP_NOT_JSONRPC, NULL},
        {"method and result null", STR_INIT("{" RPC "\"id\":1,\"method\":\"m\",\"result\":null}"),
         MCP_NOT_JSONRPC, NULL},
        {"result and error", STR_INIT("{" RPC "\"id\":1,\"result\":1,\"error\":{}}"),
         MCP_NOT_JSONRPC, NULL},
        {"result and params", STR_INIT("{" RPC "\"id\":1,\"result\":1,\"params\":{}}"),
         MCP_NOT_JSONRPC, NULL},
        {"result without id", STR_INIT("{" RPC "\"result\":1}"), MCP_NOT_JSONRPC, NULL},
        {"error without id", STR_INIT("{" RPC "\"error\":{}}"), MCP_NOT_JSONRPC, NULL},
        {"result under null", STR_INIT("{" RPC "\"id\":null,\"result\":1}"), MCP_BAD_ID, NULL},
        {"id null", STR_INIT("{" RPC "\"id\":null,\"method\":\"m\"}"), MCP_BAD_ID, NULL},
        {"id true", STR_INIT("{" RPC "\"id\":true,\"method\":\"m\"}"), MCP_BAD_ID, NULL},
        {"id object", STR_INIT("{" RPC "\"id\":{},\"method\":\"m\"}"), MCP_BAD_ID, NULL},
        {"id array", STR_INIT("{" RPC "\"id\":[1],\"method\":\"m\"}"), MCP_BAD_ID, NULL},
        {"id with a fraction", STR_INIT("{" RPC "\"id\":1.5,\"method\":\"m\"}"), MCP_BAD_ID, NULL},
        {"id 1.0", STR_INIT("{" RPC "\"id\":1.0,\"method\":\"m\"}"), MCP_BAD_ID, NULL},
        {"id 1e2", STR_INIT("{" RPC "\"id\":1e2,\"method\":\"m\"}"), MCP_BAD_ID, NULL},
        {"id -0", STR_INIT("{" RPC "\"id\":-0,\"method\":\"m\"}"), MCP_BAD_ID, NULL},
        {"id 2^53", STR_INIT("{" RPC "\"id\":9007199254740992,\"method\":\"m\"}"), MCP_BAD_ID,
         NULL},
        {"id -2^53", STR_INIT("{" RPC "\"id\":-9007199254740992,\"method\":\"m\"}"), MCP_BAD_ID,
         NULL},
        {"id past 64 bits", STR_INIT("{" RPC "\"id\":18446744073709551617,\"method\":\"m\"}"),
         MCP_BAD_ID, NULL},
        {"method number", STR_INIT("{" RPC "\"id\":1,\"method\":5}"), MCP_BAD_METHOD, "1"},
        {"method null", STR_INIT("{" RPC "\"id\":1,\"method\":null}"), MCP_BAD_METHOD, "1"},
        {"method empty", STR_INIT("{" RPC "\"id\":1,\"method\":\"\"}"), MCP_BAD_METHOD, "1"},
        {"method with a line end", STR_INIT("{" RPC "\"id\":1,\"method\":\"a\\nb\"}"),
         MCP_BAD_METHOD, "1"},
        {"method with NUL", STR_INIT("{" RPC "\"id\":1,\"method\":\"ping\\u0000\"}"),
         MCP_BAD_METHOD, "1"},
        {"method with DEL", STR_INIT("{" RPC "\"id\":1,\"method\":\"ping\x7f\"}"), MCP_BAD_METHOD,
         "1"},
        {"id of a string kept as sent", STR_INIT("{" RPC "\"id\":\"\\u0041\\n\",\"method\":\"\"}"),
         MCP_BAD_METHOD, "\"\\u0041\\n\""},
    };
    check_refusals(rows, ARRAY_LEN(rows));
}

static void mcp_inspect_refuses_calls_that_name_nothing(void **state)
{
    (void)state;
#define CALL(method, params) \
    STR_INIT("{" RPC "\"id\":\"q\",\"method\":\"" method "\",\"params\":" params "}")
    static const struct refusal rows[] = {
        {"params array", CALL("ping", "[]"), MCP_BAD_PARAMS, "\"q\""},
        {"params array with a name", CALL("tools/call", "[{\"name\":\"a\"}]"), MCP_BAD_PARAMS,
         "\"q\""},
        {"params null", CALL("ping", "null"), MCP_BAD_PARAMS, "\"q\""},
        {"params string", CALL("ping", "\"x\""), MCP_BAD_PARAMS, "\"q\""},
        {"no params", STR_INIT("{" RPC "\"id\":\"q\",\"method\":\"tools/call\"}"), MCP_BAD_PARAMS,
         "\"q\""},
        {"no name", CALL("tools/call", "{\"uri\":\"a\"}"), MCP_BAD_PARAMS, "\"q\""},
        {"empty name", CALL("tools/call", "{\"name\":\"\"}"), MCP_BAD_PARAMS, "\"q\""},
        {"name null", CALL("tools/call", "{\"name\":null}"), MCP_BAD_PARAMS, "\"q\""},
        {"name number", CALL("tools/call", "{\"name\":1}"), MCP_BAD_PARAMS, "\"q\""},
        {"name array", CALL("tools/call", "{\"name\":[\"a\"]}"), MCP_BAD_PARAMS, "\"q\""},
        {"name with NUL", CALL("tools/call", "{\"name\":\"echo\\u0000\"}"), MCP_BAD_PARAMS,
         "\"q\""},
        {"name with a line end", CALL("tools/call", "{\"name\":\"a\\r\\nb\"}"), MCP_BAD_PARAMS,
         "\"q\""},
        {"name with DEL", CALL("tools/call", "{\"name\":\"a\\u007f\"}"), MCP_BAD_PARAMS, "\"q\""},
        {"notification without a name",
         STR_INIT("{" RPC "\"method\":\"tools/call\",\"params\":{}}"), MCP_BAD_PARAMS, NULL},
        {"prompt without a name", CALL("prompts/get", "{\"uri\":\"a\"}"), MCP_BAD_PARAMS, "\"q\""},
        {"resource without a uri", CALL("resources/read", "{\"name\":\"a\"}"), MCP_BAD_PARAMS,
         "\"q\""},
        {"subscribe without a uri", CALL("resources/subscribe", "{}"), MCP_BAD_PARAMS, "\"q\""},
        {"unsubscribe without a uri", CALL("resources/unsubscribe", "{}"), MCP_BAD_PARAMS, "\"q\""},
        {"completion without a ref", CALL("completion/complete", "{}"), MCP_BAD_PARAMS, "\"q\""},
        {"completion with a string", CALL("completion/complete", "{\"ref\":\"ref/prompt\"}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"completion without a type", CALL("completion/complete", "{\"ref\":{\"name\":\"a\"}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"completion of another type",
         CALL("completion/complete", "{\"ref\":{\"type\":\"ref/tool\",\"name\":\"a\"}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"completion of a prompt without a name",
         CALL("completion/complete", "{\"ref\":{\"type\":\"ref/prompt\",\"uri\":\"a\"}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"completion of a resource without a uri",
         CALL("completion/complete", "{\"ref\":{\"type\":\"ref/resource\",\"name\":\"a\"}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"notifications as an array", CALL("subscriptions/listen", "{\"notifications\":[]}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"subscriptions as an object",
         CALL("subscriptions/listen", "{\"notifications\":{\"resourceSubscriptions\":{}}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"subscriptions null",
         CALL("subscriptions/listen", "{\"notifications\":{\"resourceSubscriptions\":null}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"a subscription that is no string",
         CALL("subscriptions/listen", "{\"notifications\":{\"resourceSubscriptions\":[\"a\",1]}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"an empty subscription",
         CALL("subscriptions/listen", "{\"notifications\":{\"resourceSubscriptions\":[\"\"]}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"_meta array", CALL("ping", "{\"_meta\":[]}"), MCP_BAD_PARAMS, "\"q\""},
        {"_meta string", CALL("ping", "{\"_meta\":\"2026-07-28\"}"), MCP_BAD_PARAMS, "\"q\""},
        {"revision number",
         CALL("ping", "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":2026}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"revision null",
         CALL("ping", "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":null}}"),
         MCP_BAD_PARAMS, "\"q\""},
        {"revision empty",
         CALL("ping", "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"\"}}"),
         MCP_BAD_PARAMS, "\"q\""},
    };
    check_refusals(rows, ARRAY_LEN(rows));
}

/* Go, and options of others, read keys without regard to case. */
static void mcp_inspect_refuses_keys_that_some_take_for_others(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {"METHOD", IN_CALL("\"METHOD\":\"m\""), MCP_AMBIGUOUS_KEY, "1"},
        {"Method", IN_CALL("\"Method\":\"m\""), MCP_AMBIGUOUS_KEY, "1"},
        {"escaped M", IN_CALL("\"\\u004dethod\":\"m\""), MCP_AMBIGUOUS_KEY, "1"},
        {"JSONRPC", IN_CALL("\"JSONRPC\":\"2.0\""), MCP_AMBIGUOUS_KEY, "1"},
        {"jsonrpc only in capitals", STR_INIT("{\"JSONRPC\":\"2.0\",\"id\":1,\"method\":\"m\"}"),
         MCP_AMBIGUOUS_KEY, "1"},
        {"ID", IN_CALL("\"ID\":2"), MCP_AMBIGUOUS_KEY, "1"},
        {"iD", IN_CALL("\"iD\":2"), MCP_AMBIGUOUS_KEY, "1"},
        {"dotless i",
         IN_CALL("\"\xc4\xb1"
                 "d\":2"),
         MCP_AMBIGUOUS_KEY, "1"},
        {"I with a dot", IN_CALL("\"\\u0130D\":2"), MCP_AMBIGUOUS_KEY, "1"},
        {"Params", IN_CALL("\"Params\":{}"), MCP_AMBIGUOUS_KEY, "1"},
        {"long s", IN_CALL("\"param\xc5\xbf\":{\"name\":\"b\"}"), MCP_AMBIGUOUS_KEY, "1"},
        {"long s, escaped", IN_CALL("\"param\\u017f\":{}"), MCP_AMBIGUOUS_KEY, "1"},
        {"long s, escaped in capitals", IN_CALL("\"PARAM\\u017F\":{}"), MCP_AMBIGUOUS_KEY, "1"},
        {"Result", IN_CALL("\"Result\":1"), MCP_AMBIGUOUS_KEY, "1"},
        {"Error", IN_CALL("\"eRRor\":1"), MCP_AMBIGUOUS_KEY, "1"},
        {"of a response", STR_INIT("{" RPC "\"id\":1,\"result\":{},\"Method\":\"tools/call\"}"),
         MCP_AMBIGUOUS_KEY, NULL},
        {"Name", IN_PARAMS("\"Name\":\"b\""), MCP_AMBIGUOUS_KEY, "1"},
        {"URI", IN_PARAMS("\"URI\":\"b\""), MCP_AMBIGUOUS_KEY, "1"},
        {"Arguments", IN_PARAMS("\"Arguments\":{}"), MCP_AMBIGUOUS_KEY, "1"},
        {"argument with long s", IN_PARAMS("\"argument\xc5\xbf\":{}"), MCP_AMBIGUOUS_KEY, "1"},
        {"Ref", IN_PARAMS("\"Ref\":{}"), MCP_AMBIGUOUS_KEY, "1"},
        {"Cursor", IN_PARAMS("\"Cursor\":\"\""), MCP_AMBIGUOUS_KEY, "1"},
        {"_META", IN_PARAMS("\"_META\":{}"), MCP_AMBIGUOUS_KEY, "1"},
        {"Notifications", IN_PARAMS("\"Notifications\":{}"), MCP_AMBIGUOUS_KEY, "1"},
        {"resourcesubscriptions", IN_PARAMS("\"resourcesubscriptions\":[]"), MCP_AMBIGUOUS_KEY,
         "1"},
        {"taskid", IN_PARAMS("\"taskid\":\"1\""), MCP_AMBIGUOUS_KEY, "1"},
        {"tas, Kelvin, Id", IN_PARAMS("\"tas\xe2\x84\xaaId\":\"1\""), MCP_AMBIGUOUS_KEY, "1"},
        {"tas, Kelvin escaped, Id", IN_PARAMS("\"tas\\u212aId\":\"1\""), MCP_AMBIGUOUS_KEY, "1"},
        {"only in another case", CALL("tools/call", "{\"Name\":\"a\"}"), MCP_AMBIGUOUS_KEY,
         "\"q\""},
        {"version",
         IN_PARAMS("\"_meta\":{\"io.modelcontextprotocol/protocolversion\":\"2025-11-25\"}"),
         MCP_AMBIGUOUS_KEY, "1"},
        {"version, escaped slash",
         IN_PARAMS("\"_meta\":{\"IO.modelcontextprotocol\\/protocolVersion\":\"2025-11-25\"}"),
         MCP_AMBIGUOUS_KEY, "1"},
        {"version with a long s",
         IN_PARAMS("\"_meta\":{\"io.modelcontextprotocol/protocolVer\xc5\xbfion\":\"x\"}"),
         MCP_AMBIGUOUS_KEY, "1"},
        {"ref type",
         CALL("completion/complete",
              "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"a\",\"Type\":\"ref/resource\"}}"),
         MCP_AMBIGUOUS_KEY, "\"q\""},
        {"ref name",
         CALL("completion/complete",
              "{\"ref\":{\"NAME\":\"b\",\"type\":\"ref/prompt\",\"name\":\"a\"}}"),
         MCP_AMBIGUOUS_KEY, "\"q\""},
        {"ref uri",
         CALL("completion/complete",
              "{\"ref\":{\"type\":\"ref/resource\",\"uri\":\"a\",\"Uri\":\"b\"}}"),
         MCP_AMBIGUOUS_KEY, "\"q\""},
        {"subscriptions",
         CALL("subscriptions/listen", "{\"notifications\":{\"ResourceSubscriptions\":[\"a\"]}}"),
         MCP_AMBIGUOUS_KEY, "\"q\""},
    };
    check_refusals(rows, ARRAY_LEN(rows));
}

static void mcp_inspect_refuses_a_batch_for_one_member(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {"empty", STR_INIT("[]"), MCP_EMPTY_BATCH, NULL},
        {"empty, blanks", STR_INIT(" [ \n ] "), MCP_EMPTY_BATCH, NULL},
        {"in a batch", STR_INIT("[[{" RPC "\"id\":1,\"method\":\"ping\"}]]"), MCP_NOT_JSONRPC,
         NULL},
        {"behind a good one", STR_INIT("[{" RPC "\"id\":1,\"method\":\"ping\"},[]]"),
         MCP_NOT_JSONRPC, NULL},
        {"a number", STR_INIT("[1]"), MCP_NOT_JSONRPC, NULL},
        {"a bad last one",
         STR_INIT("[{" RPC "\"id\":1,\"method\":\"ping\"},{" RPC "\"id\":2,\"method\":\"\"}]"),
         MCP_BAD_METHOD, NULL},
        {"a bad first one",
         STR_INIT("[{" RPC "\"id\":null,\"method\":\"ping\"},{" RPC "\"id\":2,\"method\":\"m\"}]"),
         MCP_BAD_ID, NULL},
        {"an ambiguous one",
         STR_INIT("[{" RPC "\"id\":1,\"method\":\"ping\"},{" RPC
                  "\"id\":2,\"method\":\"m\",\"Method\":\"n\"}]"),
         MCP_AMBIGUOUS_KEY, NULL},
    };
    check_refusals(rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mcp_inspect_refuses_what_is_no_message),
        cmocka_unit_test(mcp_inspect_refuses_calls_that_name_nothing),
        cmocka_unit_test(mcp_inspect_refuses_keys_that_some_take_for_others),
        cmocka_unit_test(mcp_inspect_refuses_a_batch_for_one_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
