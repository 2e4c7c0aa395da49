/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp_call.h"

#include "base/err.h"

/* The methods that name something. MCP_N_TARGETS: the name's prefix says what. */
static const struct {
    struct str method;
    enum mcp_target target;
    bool optional;
} targets[] = {
    {STR_INIT("tools/call"), MCP_TOOL, false},
    {STR_INIT("prompts/get"), MCP_PROMPT, false},
    {STR_INIT("resources/read"), MCP_RESOURCE, false},
    {STR_INIT("resources/subscribe"), MCP_RESOURCE, false},
    {STR_INIT("resources/unsubscribe"), MCP_RESOURCE, false},
    {STR_INIT("subscriptions/listen"), MCP_RESOURCE, true},
    {STR_INIT("completion/complete"), MCP_N_TARGETS, false},
};

/* What a completion is for (MCP, "Completion", "Reference Types"). */
static const struct {
    struct str prefix;
    enum mcp_target target;
} refs[] = {
    {STR_INIT("ref/prompt:"), MCP_PROMPT},
    {STR_INIT("ref/resource:"), MCP_RESOURCE},
};

const char *mcp_call_rc_text(enum mcp_call_rc rc)
{
    static const char *const texts[] = {
        [MCP_CALL_OK] = "is a call",
        [MCP_CALL_METHOD] = "is no method",
        [MCP_CALL_NAME] = "has a name that is not UTF-8 or has control characters",
        [MCP_CALL_NO_NAME] = "needs the name of what is called",
        [MCP_CALL_NO_REF] = "needs ref/prompt:NAME or ref/resource:URI for its name",
        [MCP_CALL_TOO_MUCH] = "names nothing, so it takes no name",
    };
    return texts[rc];
}

/* Whether mcp_inspect() would take it from a body. */
static bool is_text(struct str s)
{
    return !str_has_control(s) && str_is_utf8(s);
}

static enum mcp_call_rc read_ref(struct mcp_call *call)
{
    for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
        if (!str_has_prefix(call->name, refs[i].prefix))
            continue;
        call->target = refs[i].target;
        call->name = str_from(call->name, refs[i].prefix.len);
        return call->name.len > 0 ? MCP_CALL_OK : MCP_CALL_NO_NAME;
    }
    return MCP_CALL_NO_REF;
}

static enum mcp_call_rc find_target(struct mcp_call *call)
{
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        if (!str_eq(targets[i].method, call->method))
            continue;
        if (call->name.len == 0)
            return targets[i].optional && !str_is_set(call->name) ? MCP_CALL_OK : MCP_CALL_NO_NAME;
        call->target = targets[i].target;
        return call->target == MCP_N_TARGETS ? read_ref(call) : MCP_CALL_OK;
    }
    return str_is_set(call->name) ? MCP_CALL_TOO_MUCH : MCP_CALL_OK;
}

enum mcp_call_rc mcp_call_make(struct str method, struct str name, struct mcp_call *ret_call)
{
    struct mcp_call call = {.method = method, .target = MCP_NO_TARGET, .name = name};
    if (method.len == 0 || !is_text(method))
        return MCP_CALL_METHOD;
    if (!is_text(name))
        return MCP_CALL_NAME;
    enum mcp_call_rc rc = find_target(&call);
    if (rc == MCP_CALL_OK)
        *ret_call = call;
    return rc;
}

void mcp_call_split(struct str text, struct str *ret_method, struct str *ret_name)
{
    struct str rest = text;
    (void)str_split(&rest, ':', ret_method);
    *ret_name = rest;
}
