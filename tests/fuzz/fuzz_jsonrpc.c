/* SPDX-License-Identifier: Apache-2.0 */
/* proto/jsonrpc: an answer to whatever body is one JSON value that carries the id of the request,
 * and what is called a request really is one when it is read a second time. */
#include "oracle.h"
#include "proto/jsonrpc.h"

#define MAX_BYTES 65536

static void check_answer(const json_t *id, struct str message)
{
    const struct jsonrpc_error error = {.code = -32600, .message = message, .data = id};
    const struct json_limits limits = {64 * MAX_BYTES, 8};
    struct buf out = buf_make(64 * MAX_BYTES);
    json_t *answer = NULL;
    ORACLE(jsonrpc_append_error(id, &error, &out) == 0);
    ORACLE(json_parse(buf_str(&out), limits, &answer, NULL) == JSON_RC_OK);
    const json_t *error_member = json_object_get(answer, "error");
    const json_t *id_member = json_object_get(answer, "id");
    ORACLE(str_eq(json_get_str(answer, "jsonrpc"), STR("2.0")));
    ORACLE(id != NULL ? json_equal(id_member, id) : json_is_null(id_member));
    ORACLE(json_integer_value(json_object_get(error_member, "code")) == -32600);
    ORACLE(!str_is_utf8(message) || str_eq(json_get_str(error_member, "message"), message));
    json_decref(answer);
    buf_free(&out);
}

static void check_request(struct str body, const json_t *id)
{
    json_error_t error;
    json_t *root = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    ORACLE(json_is_object(root));
    ORACLE(json_is_string(json_object_get(root, "method")));
    ORACLE(json_equal(json_object_get(root, "id"), id));
    ORACLE(json_is_string(id) || json_is_number(id));
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str body = oracle_input(data, size);
    json_t *id = NULL;
    if (size > MAX_BYTES)
        return 0;
    enum jsonrpc_kind kind = jsonrpc_scan(body, MAX_BYTES, &id);
    ORACLE((kind == JSONRPC_REQUEST) == (id != NULL));
    if (id != NULL)
        check_request(body, id);
    check_answer(id, body);
    json_decref(id);
    return 0;
}
