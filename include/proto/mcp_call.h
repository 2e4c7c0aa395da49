/* SPDX-License-Identifier: Apache-2.0 */
/* A call as people write it, a method and a name, as the struct mcp_call that mcp_inspect() would
 * read from the body of such a request (proto/mcp.h). For the command line and for the tests of a
 * policy. Pure. */
#ifndef PROTO_MCP_CALL_H
#define PROTO_MCP_CALL_H

#include "base/str.h"
#include "proto/mcp.h"

enum mcp_call_rc {
    MCP_CALL_OK,
    MCP_CALL_METHOD,   /* empty, not UTF-8, or with control characters */
    MCP_CALL_NAME,     /* not UTF-8, or with control characters */
    MCP_CALL_NO_NAME,  /* the method has a target, which is not named */
    MCP_CALL_NO_REF,   /* completion/complete, and the name has none of the prefixes below */
    MCP_CALL_TOO_MUCH, /* the method has no target to name */
};
/* A fragment for people, behind the method: "needs a name: METHOD:NAME". Static. */
const char *mcp_call_rc_text(enum mcp_call_rc rc);

/* NAME: the tool, the prompt, or the URI of the resource; absent for a method without a target.
 * What a completion/complete refers to is named "ref/prompt:NAME" or "ref/resource:URI".
 * subscriptions/listen may name one resource, or none. Methods that MCP does not know have no
 * target, so they take no name. *RET_CALL borrows from both. */
enum mcp_call_rc mcp_call_make(struct str method, struct str name, struct mcp_call *ret_call);

/* Splits "METHOD:NAME" at the first colon, which no method has; *RET_NAME is absent without one. */
void mcp_call_split(struct str text, struct str *ret_method, struct str *ret_name);

#endif
