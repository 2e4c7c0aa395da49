/* SPDX-License-Identifier: Apache-2.0 */
/* What a POST body asks of an MCP server: JSON-RPC 2.0 and the MCP revisions 2025-03-26 to
 * 2026-07-28, read from the very bytes that go upstream; and whether the header fields that mirror
 * it say the same (2026-07-28, Streamable HTTP, "Server Validation").
 *
 * A body that Portcullis and another parser could read differently is refused: duplicate keys, keys
 * that only differ in case from one that matters (Go reads them alike), odd numbers as ids. Pure.
 */
#ifndef PROTO_MCP_H
#define PROTO_MCP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

#define MCP_MAX_DEPTH 64
#define MCP_MAX_BATCH 256 /* messages of one batch */
#define MCP_MAX_NAMES 256 /* resources of one subscription */
/* Of an id, a method, a name or a URI, as written in the body. */
#define MCP_MAX_NAME_BYTES (32U * 1024)
/* The first revision without sessions and with mirrored header fields; revisions compare as text.
 */
#define MCP_FIRST_MODERN "2026-07-28"

enum mcp_kind { MCP_REQUEST, MCP_NOTIFICATION, MCP_RESPONSE };

/* What kind of thing a call names. */
enum mcp_target { MCP_NO_TARGET, MCP_TOOL, MCP_PROMPT, MCP_RESOURCE, MCP_N_TARGETS };

enum mcp_list {
    MCP_NO_LIST,
    MCP_LIST_TOOLS,
    MCP_LIST_PROMPTS,
    MCP_LIST_RESOURCES,
    MCP_LIST_TEMPLATES, /* resources/templates/list */
    MCP_N_LISTS
};

/* One thing to decide on. */
struct mcp_call {
    struct str method;
    enum mcp_target target;
    struct str name; /* of the tool or prompt, URI of the resource; absent without a target */
};

struct mcp_message {
    enum mcp_kind kind;
    struct str id;     /* its JSON text as sent; absent for a notification */
    struct str method; /* absent for a response */
    enum mcp_list list;
    struct str revision; /* _meta io.modelcontextprotocol/protocolVersion; absent when not there */
    /* What Mcp-Name may say of it: params.name, params.uri or params.taskId, whichever the method
     * is about; absent without. */
    struct str mirrored;
    /* One call for most messages: tools/call, prompts/get, resources/read, resources/subscribe,
     * resources/unsubscribe, completion/complete (what its ref names) have a target, all others
     * none. subscriptions/listen with resourceSubscriptions has one call for each of them. A
     * response has no call. */
    const struct mcp_call *calls;
    size_t n_calls;
};

struct mcp_body {
    const struct mcp_message *messages;
    size_t n_messages;
    bool batch;
};

enum mcp_rc {
    MCP_OK,
    MCP_NOT_JSON,       /* -32700: not one strict JSON value */
    MCP_TOO_DEEP,       /* -32700: more than MCP_MAX_DEPTH levels */
    MCP_DUPLICATE_KEY,  /* -32700 */
    MCP_AMBIGUOUS_KEY,  /* -32600: a key that some parsers take for another */
    MCP_NOT_JSONRPC,    /* -32600: not a JSON-RPC 2.0 request, notification or response */
    MCP_BAD_ID,         /* -32600: no string and no integer below 2^53 */
    MCP_BAD_METHOD,     /* -32600: empty, or with control characters */
    MCP_BAD_PARAMS,     /* -32602: params are no object, or what the call names is missing, no
                           string, or has control characters */
    MCP_EMPTY_BATCH,    /* -32600 */
    MCP_BATCH_TOO_LONG, /* -32600 */
    MCP_NO_MEMORY,
};
/* For logs and metrics: "duplicate_key"; static. */
const char *mcp_rc_name(enum mcp_rc rc);
/* One sentence for the client; static. */
const char *mcp_rc_description(enum mcp_rc rc);
int mcp_rc_code(enum mcp_rc rc); /* of the JSON-RPC error */

/* Reads BODY. *RET_BODY borrows from BODY and from ARENA. When a body is refused that is a single
 * request with a usable id all the same, *RET_ID is the id's JSON text, else absent. */
enum mcp_rc mcp_inspect(struct str body, size_t max_bytes, struct arena *arena,
                        struct mcp_body *ret_body, struct str *ret_id);

/* True when REVISION is MCP_FIRST_MODERN or later; false for the absent string and for what is no
 * date. */
bool mcp_is_modern(struct str revision);
/* initialize, ping, server/discover, notifications, the list methods: what every caller who passed
 * the route may use unless a rule names the method. subscriptions/listen and the like: only without
 * a target. */
bool mcp_is_free(const struct mcp_call *call);

/* The mirrored header fields as received; absent without. COUNTS are how often each came. */
struct mcp_head {
    struct str revision; /* MCP-Protocol-Version */
    struct str method;   /* Mcp-Method */
    struct str name;     /* Mcp-Name, may be =?base64?...?= */
    unsigned n_revision;
    unsigned n_method;
    unsigned n_name;
};

/* NULL when head and body agree. Else one static sentence with the field's name, for a -32020: a
 * field that differs, came twice, has a form of base64 that is none, or is missing where the
 * revision requires it. mcp_check_shape() has passed: what it refuses is not looked at here. */
const char *mcp_check_head(const struct mcp_head *head, const struct mcp_body *body,
                           struct arena *arena);
/* NULL, or why this body is none of the revision that HEAD names: a batch or a response in a modern
 * one (-32600). To be asked first. */
const char *mcp_check_shape(const struct mcp_head *head, const struct mcp_body *body);

#endif
