/* SPDX-License-Identifier: Apache-2.0 */
/* proto/jsonrpc: whatever the message, an error is one JSON value that carries the id as it came.
 */
#include "oracle.h"

#include "base/json.h"
#include "proto/jsonrpc.h"

#define MAX_BYTES 65536

static void check_answer(struct str id, struct str message)
{
    const struct jsonrpc_error error = {.code = -32600, .message = message};
    const struct json_limits limits = {64 * MAX_BYTES, 8};
    struct buf out = buf_make(64 * MAX_BYTES);
    json_t *answer = NULL;
    ORACLE(jsonrpc_append_error(id, &error, &out) == 0);
    ORACLE(json_parse(buf_str(&out), limits, &answer, NULL) == JSON_RC_OK);
    const json_t *error_member = json_object_get(answer, "error");
    const json_t *id_member = json_object_get(answer, "id");
    ORACLE(str_eq(json_get_str(answer, "jsonrpc"), STR("2.0")));
    ORACLE(str_is_set(id) ? json_is_string(id_member) : json_is_null(id_member));
    ORACLE(json_integer_value(json_object_get(error_member, "code")) == -32600);
    ORACLE(!str_is_utf8(message) || str_eq(json_get_str(error_member, "message"), message));
    json_decref(answer);
    buf_free(&out);
}

/* The message, and the id: the same bytes as a JSON string. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str text = oracle_input(data, size);
    struct buf id = buf_make(16 * MAX_BYTES);
    if (size > MAX_BYTES)
        return 0;
    (void)buf_append_char(&id, '"');
    (void)buf_append_json(&id, text);
    (void)buf_append_char(&id, '"');
    check_answer(buf_str(&id), text);
    check_answer((struct str){0}, text);
    buf_free(&id);
    return 0;
}
