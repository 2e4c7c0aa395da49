/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jsonrpc.h"

#include <errno.h>

#include "support/cmocka_all.h"

static void jsonrpc_append_error_writes_one_response(void **state)
{
    (void)state;
    struct buf out = buf_make(1024);
    const struct jsonrpc_error plain = {.code = -32600, .message = STR("No \"way\"")};
    const struct jsonrpc_error full = {
        .code = -32001, .message = STR("Gone"), .data = STR("{\"request_id\":\"r1\"}")};
    assert_int_equal(jsonrpc_append_error((struct str){0}, &plain, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":"
                                          "{\"code\":-32600,\"message\":\"No \\\"way\\\"\"}}")));
    buf_clear(&out);
    assert_int_equal(jsonrpc_append_error(STR("\"a\\\"b\""), &full, &out), 0);
    assert_true(str_eq(buf_str(&out),
                       STR("{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"b\",\"error\":{\"code\":-32001,"
                           "\"message\":\"Gone\",\"data\":{\"request_id\":\"r1\"}}}")));
    buf_free(&out);
}

static void jsonrpc_append_error_leaves_nothing_behind_without_room(void **state)
{
    (void)state;
    const struct jsonrpc_error error = {.code = -32600, .message = STR("A long enough sentence")};
    struct buf out = buf_make(40);
    assert_int_equal(buf_append(&out, STR("kept")), 0);
    assert_int_equal(jsonrpc_append_error((struct str){0}, &error, &out), -EMSGSIZE);
    assert_true(str_eq(buf_str(&out), STR("kept")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonrpc_append_error_writes_one_response),
        cmocka_unit_test(jsonrpc_append_error_leaves_nothing_behind_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
