/* SPDX-License-Identifier: Apache-2.0 */
/* JSON-RPC 2.0, as much as it takes to answer a POST with an error under the right id.
 *
 * Used only when we must refuse a request ourselves; a body that is forwarded is not read here. */
#ifndef PROTO_JSONRPC_H
#define PROTO_JSONRPC_H

#include <stddef.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"

#define JSONRPC_MAX_DEPTH 64

enum jsonrpc_kind {
    JSONRPC_INVALID,      /* not strict JSON, or none of the others; also out of memory */
    JSONRPC_REQUEST,      /* one object with a method and an id that is a string or a number */
    JSONRPC_NOTIFICATION, /* one object with a method and no id */
    JSONRPC_RESPONSE,     /* one object with an id and either a result or an error */
    JSONRPC_BATCH,        /* an array */
};

/* Looks at one whole body of at most MAX_BYTES. JSONRPC_REQUEST gives *ret_id, the caller's
 * reference; else it is untouched. */
enum jsonrpc_kind jsonrpc_scan(struct str body, size_t max_bytes, json_t **ret_id);

struct jsonrpc_error {
    int code;           /* -32000..-32099 are ours to define, -32600 is "invalid request" */
    struct str message; /* one sentence */
    const json_t *data; /* more members for programs; NULL: left out */
};

/* Appends {"jsonrpc":"2.0","id":ID,"error":{"code":...,"message":"...","data":...}}. ID is what
 * jsonrpc_scan() gave, or NULL for null (JSON-RPC 2.0, 5). 0; -EMSGSIZE or -ENOMEM of the buffer,
 * which then has nothing appended. */
int jsonrpc_append_error(const json_t *id, const struct jsonrpc_error *error, struct buf *out);

#endif
