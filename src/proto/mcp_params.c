/* SPDX-License-Identifier: Apache-2.0 */
/* What the params of a message name: tools, prompts, resources, and the revision. */
#include "base/err.h"
#include "proto/mcp_int.h"

/* Where a method says what it is about. */
static const struct {
    struct str method;
    enum mcp_target target;
    enum mcp_member param;
} named_by[] = {
    {STR_INIT("tools/call"), MCP_TOOL, MCP_PARAM_NAME},
    {STR_INIT("prompts/get"), MCP_PROMPT, MCP_PARAM_NAME},
    {STR_INIT("resources/read"), MCP_RESOURCE, MCP_PARAM_URI},
    {STR_INIT("resources/subscribe"), MCP_RESOURCE, MCP_PARAM_URI},
    {STR_INIT("resources/unsubscribe"), MCP_RESOURCE, MCP_PARAM_URI},
};

/* A name is any text but the empty one. */
static enum mcp_rc read_name(struct str value, struct arena *arena, struct str *ret_name)
{
    if (!mcp_read_text(value, arena, ret_name))
        return MCP_BAD_PARAMS;
    if (!str_is_set(*ret_name))
        return MCP_NO_MEMORY;
    return ret_name->len > 0 ? MCP_OK : MCP_BAD_PARAMS;
}

static bool is_absent_or_null(struct str value)
{
    enum json_text_type type = json_text_type(value);
    return type == JSON_TEXT_ABSENT || type == JSON_TEXT_NULL;
}

static bool is_object(struct str value)
{
    return json_text_type(value) == JSON_TEXT_OBJECT;
}

static bool is_ambiguous(const struct mcp_members *members, enum mcp_object object)
{
    return (members->ambiguous >> object & 1) != 0;
}

static enum mcp_rc read_revision(const struct mcp_members *members, struct arena *arena,
                                 struct str *ret_revision)
{
    const struct str meta = members->values[MCP_PARAM_META];
    const struct str revision = members->values[MCP_META_REVISION];
    if (is_absent_or_null(meta))
        return MCP_OK;
    if (!is_object(meta))
        return MCP_BAD_PARAMS;
    if (is_ambiguous(members, MCP_IN_META))
        return MCP_AMBIGUOUS_KEY;
    return str_is_set(revision) ? read_name(revision, arena, ret_revision) : MCP_OK;
}

static enum mcp_rc make_calls(struct mcp_message *message, struct arena *arena, size_t n,
                              struct mcp_call **ret_calls)
{
    struct mcp_call *calls = arena_alloc(arena, n * sizeof(*calls));
    if (calls == NULL)
        return MCP_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        calls[i] = (struct mcp_call){.method = message->method};
    message->calls = calls;
    message->n_calls = n;
    *ret_calls = calls;
    return MCP_OK;
}

static enum mcp_rc add_call(struct mcp_message *message, struct arena *arena,
                            enum mcp_target target, struct str name)
{
    struct mcp_call *call;
    enum mcp_rc rc = make_calls(message, arena, 1, &call);
    if (rc == MCP_OK) {
        call->target = target;
        call->name = name;
    }
    return rc;
}

/* completion/complete: {"type": "ref/prompt", "name": ...} or {"type": "ref/resource", "uri": ...}.
 */
static enum mcp_rc read_completion(const struct mcp_members *members, struct arena *arena,
                                   struct mcp_message *message)
{
    struct str type;
    struct str name;
    if (!is_object(members->values[MCP_PARAM_REF]))
        return MCP_BAD_PARAMS;
    if (is_ambiguous(members, MCP_IN_REF))
        return MCP_AMBIGUOUS_KEY;
    enum mcp_rc rc = read_name(members->values[MCP_REF_TYPE], arena, &type);
    if (rc != MCP_OK)
        return rc;
    const bool is_prompt = str_eq(type, STR("ref/prompt"));
    if (!is_prompt && !str_eq(type, STR("ref/resource")))
        return MCP_BAD_PARAMS;
    rc = read_name(members->values[is_prompt ? MCP_REF_NAME : MCP_REF_URI], arena, &name);
    return rc == MCP_OK ? add_call(message, arena, is_prompt ? MCP_PROMPT : MCP_RESOURCE, name)
                        : rc;
}

/* How many elements the array VALUE has, at most MOST + 1. */
static size_t count_elements(struct str value, size_t most)
{
    struct json_text_iter iter = json_text_iter(value);
    struct str element;
    size_t n = 0;
    while (n <= most && json_text_next_element(&iter, &element))
        n++;
    return n;
}

static enum mcp_rc read_uris(struct str uris, struct arena *arena, struct mcp_message *message)
{
    struct mcp_call *calls;
    struct str uri;
    const size_t n = count_elements(uris, MCP_MAX_NAMES);
    if (json_text_type(uris) != JSON_TEXT_ARRAY || n > MCP_MAX_NAMES)
        return MCP_BAD_PARAMS;
    if (n == 0)
        return add_call(message, arena, MCP_NO_TARGET, (struct str){0});
    enum mcp_rc rc = make_calls(message, arena, n, &calls);
    struct json_text_iter iter = json_text_iter(uris);
    for (size_t i = 0; rc == MCP_OK && json_text_next_element(&iter, &uri); i++) {
        calls[i].target = MCP_RESOURCE;
        rc = read_name(uri, arena, &calls[i].name);
    }
    return rc;
}

/* subscriptions/listen: {"notifications": {"resourceSubscriptions": [URI, ...], ...}}. */
static enum mcp_rc read_subscriptions(const struct mcp_members *members, struct arena *arena,
                                      struct mcp_message *message)
{
    const struct str notifications = members->values[MCP_PARAM_NOTIFICATIONS];
    const struct str uris = members->values[MCP_NOTIFICATIONS_URIS];
    if (str_is_set(notifications) && !is_object(notifications))
        return MCP_BAD_PARAMS;
    if (is_ambiguous(members, MCP_IN_NOTIFICATIONS))
        return MCP_AMBIGUOUS_KEY;
    return str_is_set(uris) ? read_uris(uris, arena, message)
                            : add_call(message, arena, MCP_NO_TARGET, (struct str){0});
}

/* Of a method that is not in named_by: tasks are mirrored by their ids (SEP-2663); else the first
 * of PARAMS that is a name. */
static struct str find_mirrored(const struct mcp_members *members, struct str method,
                                struct arena *arena)
{
    static const enum mcp_member candidates[] = {MCP_PARAM_TASK, MCP_PARAM_NAME, MCP_PARAM_URI};
    const size_t n = str_has_prefix(method, STR("tasks/")) ? 1 : ARRAY_LEN(candidates);
    struct str name;
    for (size_t i = 0; i < n; i++)
        if (read_name(members->values[candidates[i]], arena, &name) == MCP_OK)
            return name;
    return (struct str){0};
}

static enum mcp_rc read_calls(const struct mcp_members *members, struct arena *arena,
                              struct mcp_message *message)
{
    for (size_t i = 0; i < ARRAY_LEN(named_by); i++) {
        if (!str_eq(message->method, named_by[i].method))
            continue;
        enum mcp_rc rc = read_name(members->values[named_by[i].param], arena, &message->mirrored);
        return rc == MCP_OK ? add_call(message, arena, named_by[i].target, message->mirrored) : rc;
    }
    message->mirrored = find_mirrored(members, message->method, arena);
    if (str_eq(message->method, STR("completion/complete")))
        return read_completion(members, arena, message);
    if (str_eq(message->method, STR("subscriptions/listen")))
        return read_subscriptions(members, arena, message);
    return add_call(message, arena, MCP_NO_TARGET, (struct str){0});
}

enum mcp_rc mcp_read_params(const struct mcp_members *members, struct arena *arena,
                            struct mcp_message *message)
{
    const struct str params = members->values[MCP_PARAMS];
    if (str_is_set(params) && !is_object(params))
        return MCP_BAD_PARAMS;
    if (is_ambiguous(members, MCP_IN_PARAMS))
        return MCP_AMBIGUOUS_KEY;
    enum mcp_rc rc = read_revision(members, arena, &message->revision);
    return rc == MCP_OK ? read_calls(members, arena, message) : rc;
}
