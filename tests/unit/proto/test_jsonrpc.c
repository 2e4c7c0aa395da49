/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jsonrpc.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define MAX_BYTES 4096

static void jsonrpc_scan_tells_what_a_body_is(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str body;
        enum jsonrpc_kind kind;
        const char *id; /* as JSON */
    } rows[] = {
        {"number", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"), JSONRPC_REQUEST,
         "1"},
        {"zero", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}"), JSONRPC_REQUEST,
         "0"},
        {"negative", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":-7,\"method\":\"m\"}"), JSONRPC_REQUEST,
         "-7"},
        {"largest exact integer",
         STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"m\"}"),
         JSONRPC_REQUEST, "9007199254740993"},
        {"fraction", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\"}"), JSONRPC_REQUEST,
         "1.5"},
        {"string", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":\"a-1\",\"method\":\"m\"}"),
         JSONRPC_REQUEST, "\"a-1\""},
        {"empty string", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":\"\",\"method\":\"m\"}"),
         JSONRPC_REQUEST, "\"\""},
        {"string with escapes",
         STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":\"\\u0022\\n\\\\\",\"method\":\"m\"}"),
         JSONRPC_REQUEST, "\"\\\"\\n\\\\\""},
        {"escaped key", STR_INIT("{\"jsonrpc\":\"2.0\",\"\\u0069d\":3,\"method\":\"m\"}"),
         JSONRPC_REQUEST, "3"},
        {"params with an id of their own",
         STR_INIT("{\"params\":{\"id\":9},\"id\":4,\"method\":\"m\",\"jsonrpc\":\"2.0\"}"),
         JSONRPC_REQUEST, "4"},
        {"blanks around", STR_INIT(" \n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}\r\n "),
         JSONRPC_REQUEST, "1"},

        {"notification", STR_INIT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}"),
         JSONRPC_NOTIFICATION, NULL},
        {"result", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"), JSONRPC_RESPONSE,
         NULL},
        {"error", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}"), JSONRPC_RESPONSE, NULL},
        {"error without a known id", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{}}"),
         JSONRPC_RESPONSE, NULL},
        {"batch", STR_INIT("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}]"), JSONRPC_BATCH,
         NULL},
        {"empty batch", STR_INIT("[]"), JSONRPC_BATCH, NULL},

        {"id null", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}"), JSONRPC_INVALID,
         NULL},
        {"id bool", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"m\"}"), JSONRPC_INVALID,
         NULL},
        {"id object", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"m\"}"), JSONRPC_INVALID,
         NULL},
        {"id array", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"m\"}"), JSONRPC_INVALID,
         NULL},
        {"two ids", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"m\"}"),
         JSONRPC_INVALID, NULL},
        {"method not a string", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":5}"),
         JSONRPC_INVALID, NULL},
        {"method and result",
         STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"result\":1}"), JSONRPC_INVALID,
         NULL},
        {"result and error", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":1}"),
         JSONRPC_INVALID, NULL},
        {"result without id", STR_INIT("{\"jsonrpc\":\"2.0\",\"result\":1}"), JSONRPC_INVALID,
         NULL},
        {"neither", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1}"), JSONRPC_INVALID, NULL},
        {"no version", STR_INIT("{\"id\":1,\"method\":\"m\"}"), JSONRPC_INVALID, NULL},
        {"version 1.0", STR_INIT("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}"),
         JSONRPC_INVALID, NULL},
        {"version as a number", STR_INIT("{\"jsonrpc\":2.0,\"id\":1,\"method\":\"m\"}"),
         JSONRPC_INVALID, NULL},
        {"not an object", STR_INIT("\"x\""), JSONRPC_INVALID, NULL},
        {"nothing", STR_INIT(""), JSONRPC_INVALID, NULL},
        {"cut off", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,"), JSONRPC_INVALID, NULL},
        {"something behind", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}x"),
         JSONRPC_INVALID, NULL},
        {"not UTF-8", STR_INIT("{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"m\"}"),
         JSONRPC_INVALID, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *id = NULL;
        struct buf text = buf_make(256);
        enum jsonrpc_kind kind = jsonrpc_scan(rows[i].body, MAX_BYTES, &id);
        if (kind != rows[i].kind || (id != NULL) != (rows[i].id != NULL))
            fail_msg("%s: kind %d", rows[i].why, (int)kind);
        if (id != NULL) {
            assert_int_equal(json_write(id, 0, &text), 0);
            if (!str_eq(buf_str(&text), str_from_cstr(rows[i].id)))
                fail_msg("%s: id %.*s", rows[i].why, STR_ARG(buf_str(&text)));
        }
        buf_free(&text);
        json_decref(id);
    }
}

static void jsonrpc_scan_has_limits_on_size_and_depth(void **state)
{
    (void)state;
    struct buf body = buf_make(MAX_BYTES);
    json_t *id = NULL;
    (void)buf_append(&body, STR("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":"));
    for (unsigned i = 0; i < JSONRPC_MAX_DEPTH - 1; i++)
        (void)buf_append_char(&body, '[');
    for (unsigned i = 0; i < JSONRPC_MAX_DEPTH - 1; i++)
        (void)buf_append_char(&body, ']');
    (void)buf_append_char(&body, '}');
    assert_int_equal(jsonrpc_scan(buf_str(&body), body.len, &id), JSONRPC_REQUEST);
    json_decref(id);
    assert_int_equal(jsonrpc_scan(buf_str(&body), body.len - 1, &id), JSONRPC_INVALID);
    buf_clear(&body);
    (void)buf_append(&body, STR("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":"));
    for (unsigned i = 0; i < JSONRPC_MAX_DEPTH; i++)
        (void)buf_append_char(&body, '[');
    for (unsigned i = 0; i < JSONRPC_MAX_DEPTH; i++)
        (void)buf_append_char(&body, ']');
    (void)buf_append_char(&body, '}');
    assert_int_equal(jsonrpc_scan(buf_str(&body), body.len, &id), JSONRPC_INVALID);
    buf_free(&body);
}

static void jsonrpc_append_error_writes_one_response(void **state)
{
    (void)state;
    json_t *id = json_string("a\"b");
    json_t *data = json_pack("{s:s}", "request_id", "r1");
    struct buf out = buf_make(1024);
    const struct jsonrpc_error plain = {.code = -32600, .message = STR("No \"way\"")};
    const struct jsonrpc_error full = {.code = -32001, .message = STR("Gone"), .data = data};
    assert_int_equal(jsonrpc_append_error(NULL, &plain, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":"
                                          "{\"code\":-32600,\"message\":\"No \\\"way\\\"\"}}")));
    buf_clear(&out);
    assert_int_equal(jsonrpc_append_error(id, &full, &out), 0);
    assert_true(str_eq(buf_str(&out),
                       STR("{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"b\",\"error\":{\"code\":-32001,"
                           "\"message\":\"Gone\",\"data\":{\"request_id\":\"r1\"}}}")));
    buf_free(&out);
    json_decref(id);
    json_decref(data);
}

static void jsonrpc_append_error_leaves_nothing_behind_without_room(void **state)
{
    (void)state;
    const struct jsonrpc_error error = {.code = -32600, .message = STR("A long enough sentence")};
    struct buf out = buf_make(40);
    assert_int_equal(buf_append(&out, STR("kept")), 0);
    assert_int_equal(jsonrpc_append_error(NULL, &error, &out), -EMSGSIZE);
    assert_true(str_eq(buf_str(&out), STR("kept")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonrpc_scan_tells_what_a_body_is),
        cmocka_unit_test(jsonrpc_scan_has_limits_on_size_and_depth),
        cmocka_unit_test(jsonrpc_append_error_writes_one_response),
        cmocka_unit_test(jsonrpc_append_error_leaves_nothing_behind_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
