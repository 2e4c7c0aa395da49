/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of proto/mcp share: the members that matter, and how they are found. */
#ifndef PROTO_MCP_INT_H
#define PROTO_MCP_INT_H

#include "base/json_reader.h"
#include "proto/mcp.h"

enum mcp_member {
    MCP_JSONRPC,
    MCP_ID,
    MCP_METHOD,
    MCP_PARAMS,
    MCP_RESULT,
    MCP_ERROR,
    /* of params */
    MCP_PARAM_NAME,
    MCP_PARAM_URI,
    MCP_PARAM_TASK,
    MCP_PARAM_META,
    MCP_PARAM_REF,
    MCP_PARAM_NOTIFICATIONS,
    MCP_PARAM_OTHER, /* not read, but not to be there in another spelling either */
    MCP_META_REVISION,
    MCP_REF_TYPE,
    MCP_REF_NAME,
    MCP_REF_URI,
    MCP_NOTIFICATIONS_URIS,
    MCP_N_MEMBERS
};

/* Objects that have such members. */
enum mcp_object { MCP_IN_MESSAGE, MCP_IN_PARAMS, MCP_IN_META, MCP_IN_REF, MCP_IN_NOTIFICATIONS };

struct mcp_members {
    struct str values[MCP_N_MEMBERS]; /* absent without */
    unsigned ambiguous; /* bit (1 << enum mcp_object): it has a key that some take for another */
};

enum mcp_key_match {
    MCP_KEY_OTHER,
    MCP_KEY_EQUAL,
    MCP_KEY_ALIKE, /* some parsers take it for the name: Go and Java ignore case as Unicode has it
                    */
};
/* RAW is the inside of a key in a checked text, still with its escapes; NAME is ASCII. */
enum mcp_key_match mcp_match_key(struct str raw, struct str name);

/* False for most of the keys that are another one, by the first byte and the length. */
static inline bool mcp_may_match_key(struct str raw, struct str name)
{
    if (raw.len < name.len) /* no character is shorter than its letter */
        return false;
    const unsigned char first = (unsigned char)raw.ptr[0];
    return (first | 0x20) == (name.ptr[0] | 0x20) || first == '\\' || first >= 0x80;
}

/* Reads the object at hand and moves behind it. After a fault of READER, nothing here is right. */
void mcp_read_members(struct json_reader *reader, struct mcp_members *ret_members);

/* VALUE is of a text that was checked strictly. True when it is a string of at most
 * MCP_MAX_NAME_BYTES without control characters. *RET_TEXT borrows from VALUE or ARENA; when memory
 * is short it is absent. */
bool mcp_read_text(struct str value, struct arena *arena, struct str *ret_text);

/* What the params of MESSAGE, whose method is known, say: revision, mirrored and calls. */
enum mcp_rc mcp_read_params(const struct mcp_members *members, struct arena *arena,
                            struct mcp_message *message);

#endif
