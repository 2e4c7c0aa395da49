/* SPDX-License-Identifier: Apache-2.0 */
/* JSON-RPC 2.0, the answers that we make ourselves. What a request says is read by proto/mcp. */
#ifndef PROTO_JSONRPC_H
#define PROTO_JSONRPC_H

#include "base/buf.h"
#include "base/str.h"

/* Codes of JSON-RPC 2.0, 5.1, of MCP 2026-07-28 ("Error Codes"), and of MCP SDKs. */
#define JSONRPC_PARSE_ERROR (-32700)
#define JSONRPC_INVALID_REQUEST (-32600)
#define JSONRPC_INVALID_PARAMS (-32602)
#define JSONRPC_HEADER_MISMATCH (-32020)
#define JSONRPC_SERVER_ERROR (-32000)      /* also what SDKs call "connection closed" */
#define JSONRPC_TIMEOUT (-32001)           /* what SDKs call "request timed out" */
#define JSONRPC_SESSION_NOT_FOUND (-32001) /* what SDK servers answer with 404 */

struct jsonrpc_error {
    int code;
    struct str message; /* one sentence */
    struct str data;    /* JSON text of more members for programs; absent: left out */
};

/* Appends {"jsonrpc":"2.0","id":ID,"error":{"code":...,"message":"...","data":...}}. ID is JSON
 * text as the request had it; absent: null (JSON-RPC 2.0, 5). 0; -EMSGSIZE or -ENOMEM of the
 * buffer, which then has nothing appended. */
int jsonrpc_append_error(struct str id, const struct jsonrpc_error *error, struct buf *out);

#endif
