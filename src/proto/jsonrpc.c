/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jsonrpc.h"

#include "base/err.h"

/* MCP narrows the id of a request to a string or a number: null would match nothing. */
static bool is_id(const json_t *id)
{
    return json_is_string(id) || json_is_number(id);
}

static enum jsonrpc_kind kind_of_object(const json_t *object)
{
    const json_t *id = json_object_get(object, "id");
    const json_t *method = json_object_get(object, "method");
    const bool has_result = json_object_get(object, "result") != NULL;
    const bool has_error = json_object_get(object, "error") != NULL;
    if (!str_eq(json_get_str(object, "jsonrpc"), STR("2.0")))
        return JSONRPC_INVALID;
    if (json_is_string(method) && !has_result && !has_error) {
        if (id == NULL)
            return JSONRPC_NOTIFICATION;
        return is_id(id) ? JSONRPC_REQUEST : JSONRPC_INVALID;
    }
    if (method == NULL && id != NULL && has_result != has_error)
        return JSONRPC_RESPONSE;
    return JSONRPC_INVALID;
}

enum jsonrpc_kind jsonrpc_scan(struct str body, size_t max_bytes, json_t **ret_id)
{
    const struct json_limits limits = {.max_bytes = max_bytes, .max_depth = JSONRPC_MAX_DEPTH};
    CLEANUP(json_unref) json_t *root = NULL;
    if (json_parse(body, limits, &root, NULL) != JSON_RC_OK)
        return JSONRPC_INVALID;
    if (json_is_array(root))
        return JSONRPC_BATCH;
    enum jsonrpc_kind kind = kind_of_object(root);
    if (kind == JSONRPC_REQUEST)
        *ret_id = json_incref(json_object_get(root, "id"));
    return kind;
}

static void append_error_object(const struct jsonrpc_error *error, struct buf *out)
{
    (void)buf_printf(out, "{\"code\":%d,\"message\":\"", error->code);
    (void)buf_append_json(out, error->message);
    (void)buf_append_char(out, '"');
    if (error->data != NULL) {
        (void)buf_append(out, STR(",\"data\":"));
        (void)json_write(error->data, 0, out);
    }
    (void)buf_append_char(out, '}');
}

int jsonrpc_append_error(const json_t *id, const struct jsonrpc_error *error, struct buf *out)
{
    const size_t start = out->len;
    (void)buf_append(out, STR("{\"jsonrpc\":\"2.0\",\"id\":"));
    if (id != NULL)
        (void)json_write(id, 0, out);
    else
        (void)buf_append(out, STR("null"));
    (void)buf_append(out, STR(",\"error\":"));
    append_error_object(error, out);
    (void)buf_append_char(out, '}');
    if (buf_failed(out))
        out->len = start;
    return out->fault;
}
