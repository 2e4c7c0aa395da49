/* SPDX-License-Identifier: Apache-2.0 */
/* Takes out of a list answer what the caller may not use: tools/list, prompts/list, resources/list,
 * resources/templates/list, as one JSON-RPC message or a batch of them. Every other byte stays as
 * it was; a text of which nothing is removed is not touched at all. Pure.
 *
 * With an entry go the blanks and the comma between it and the entry before it; with those at the
 * beginning of a list, what is between them and the first that stays. A list of which nothing stays
 * becomes "[]". */
#ifndef PROTO_MCP_LIST_H
#define PROTO_MCP_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/mcp.h"

/* Which lists are looked for: a bit (1 << MCP_LIST_TOOLS) for each. */
#define MCP_ALL_LISTS                                                                 \
    ((1U << MCP_LIST_TOOLS) | (1U << MCP_LIST_PROMPTS) | (1U << MCP_LIST_RESOURCES) | \
     (1U << MCP_LIST_TEMPLATES))

struct mcp_list_filter {
    unsigned lists;
    /* May the caller use NAME (of a tool or prompt, uri, uriTemplate)? */
    bool (*may)(void *ctx, enum mcp_list list, struct str name);
    void *ctx;
    size_t max_bytes; /* of a text */
};

/* How deep an answer may nest: the schema of a tool goes deeper than what a call asks for. */
#define MCP_LIST_MAX_DEPTH 512

enum mcp_list_rc {
    MCP_LIST_UNCHANGED, /* send the text as it is */
    MCP_LIST_CHANGED,   /* *out has the new text */
    MCP_LIST_REFUSED,   /* not strict JSON (base/json_text.h, lenient), or a list without the form
                           that the revisions give it: what others would read in it is not known */
    MCP_LIST_TOO_LARGE,
    MCP_LIST_NO_MEMORY, /* or OUT has less room than the text */
};

/* TEXT is a body, or the data of one event. A list is the array "tools", "prompts", "resources" or
 * "resourceTemplates" of a message's "result" (whatever its id: ids are the client's business);
 * null instead of the array is an empty list. Anything else there is refused, and so are keys that
 * some parsers take for these names ("Tools": Go folds case).
 *
 * An entry that is no object or has no string "name" (resources: "uri", templates: "uriTemplate")
 * is removed, and so is one with a second key that folds to it. Appends to OUT, and sets
 * *RET_REMOVED (how many entries), only with MCP_LIST_CHANGED. Linear; holds no memory besides OUT
 * but for keys and single names with escapes. */
enum mcp_list_rc mcp_list_filter(const struct mcp_list_filter *filter, struct str text,
                                 struct buf *out, size_t *ret_removed);

#endif
