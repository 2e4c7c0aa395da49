/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jsonrpc.h"

static void append_error_object(const struct jsonrpc_error *error, struct buf *out)
{
    (void)buf_printf(out, "{\"code\":%d,\"message\":\"", error->code);
    (void)buf_append_json(out, error->message);
    (void)buf_append_char(out, '"');
    if (str_is_set(error->data)) {
        (void)buf_append(out, STR(",\"data\":"));
        (void)buf_append(out, error->data);
    }
    (void)buf_append_char(out, '}');
}

int jsonrpc_append_error(struct str id, const struct jsonrpc_error *error, struct buf *out)
{
    const size_t start = out->len;
    (void)buf_append(out, STR("{\"jsonrpc\":\"2.0\",\"id\":"));
    (void)buf_append(out, str_is_set(id) ? id : STR("null"));
    (void)buf_append(out, STR(",\"error\":"));
    append_error_object(error, out);
    (void)buf_append_char(out, '}');
    if (buf_failed(out))
        out->len = start;
    return out->fault;
}
