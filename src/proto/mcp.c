/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp.h"

#include "base/err.h"
#include "proto/jsonrpc.h"
#include "proto/mcp_int.h"

/* ---- what went wrong ---- */

static const struct {
    const char *name;
    const char *description;
    int code;
} faults[] = {
    [MCP_OK] = {"ok", "The request is well-formed", 0},
    [MCP_NOT_JSON] = {"not_json", "The request body is not valid JSON", JSONRPC_PARSE_ERROR},
    [MCP_TOO_DEEP] = {"too_deep", "The request body is nested too deeply", JSONRPC_PARSE_ERROR},
    [MCP_DUPLICATE_KEY] = {"duplicate_key", "The request body has a duplicate key",
                           JSONRPC_PARSE_ERROR},
    [MCP_AMBIGUOUS_KEY] = {"ambiguous_key",
                           "The request body has a key that differs from a known one only in case",
                           JSONRPC_INVALID_REQUEST},
    [MCP_NOT_JSONRPC] = {"not_jsonrpc",
                         "The request body is not a JSON-RPC 2.0 request, notification or response",
                         JSONRPC_INVALID_REQUEST},
    [MCP_BAD_ID] = {"bad_id",
                    "The id must be a string that is not too long, or an integer below 2^53",
                    JSONRPC_INVALID_REQUEST},
    [MCP_BAD_METHOD] = {"bad_method",
                        "The method must be a string that is not empty and has no control "
                        "characters",
                        JSONRPC_INVALID_REQUEST},
    [MCP_BAD_PARAMS] = {"bad_params", "The params must be an object with what the method requires",
                        JSONRPC_INVALID_PARAMS},
    [MCP_EMPTY_BATCH] = {"empty_batch", "The batch is empty", JSONRPC_INVALID_REQUEST},
    [MCP_BATCH_TOO_LONG] = {"batch_too_long", "The batch has too many messages",
                            JSONRPC_INVALID_REQUEST},
    [MCP_NO_MEMORY] = {"no_memory", "The request needs more memory than there is",
                       JSONRPC_SERVER_ERROR},
};

const char *mcp_rc_name(enum mcp_rc rc)
{
    return faults[rc].name;
}

const char *mcp_rc_description(enum mcp_rc rc)
{
    return faults[rc].description;
}

int mcp_rc_code(enum mcp_rc rc)
{
    return faults[rc].code;
}

static enum mcp_rc rc_of_json(enum json_rc rc)
{
    switch (rc) {
    case JSON_RC_OK:
        return MCP_OK;
    case JSON_RC_TOO_LARGE:
    case JSON_RC_MALFORMED:
        return MCP_NOT_JSON;
    case JSON_RC_TOO_DEEP:
        return MCP_TOO_DEEP;
    case JSON_RC_DUPLICATE_KEY:
        return MCP_DUPLICATE_KEY;
    case JSON_RC_NO_MEMORY:
        return MCP_NO_MEMORY;
    }
    return MCP_NOT_JSON;
}

/* ---- one message ---- */

#define MAX_EXACT_INTEGER 9007199254740991U /* 2^53 - 1: the same in a double (RFC 8259 6) */

/* An integer that is written as one; "-0" is two numbers to some. */
static bool is_integer_id(struct str id)
{
    uint64_t value;
    const bool negative = id.ptr[0] == '-';
    if (str_to_u64(str_from(id, negative ? 1 : 0), MAX_EXACT_INTEGER, &value) < 0)
        return false;
    return !negative || value > 0;
}

static bool is_usable_id(struct str id)
{
    enum json_text_type type = json_text_type(id);
    if (id.len > MCP_MAX_NAME_BYTES)
        return false;
    return type == JSON_TEXT_STRING || (type == JSON_TEXT_NUMBER && is_integer_id(id));
}

static enum mcp_list list_of(struct str method)
{
    static const struct str methods[MCP_N_LISTS] = {
        [MCP_LIST_TOOLS] = STR_INIT("tools/list"),
        [MCP_LIST_PROMPTS] = STR_INIT("prompts/list"),
        [MCP_LIST_RESOURCES] = STR_INIT("resources/list"),
        [MCP_LIST_TEMPLATES] = STR_INIT("resources/templates/list"),
    };
    for (enum mcp_list list = MCP_NO_LIST + 1; list < MCP_N_LISTS; list++)
        if (str_eq(method, methods[list]))
            return list;
    return MCP_NO_LIST;
}

/* JSON-RPC 2.0, 5: a result under the id of a request, or an error, where the id may be null. */
static enum mcp_rc read_response(const struct str *values, struct mcp_message *message)
{
    const struct str id = values[MCP_ID];
    const bool has_error = str_is_set(values[MCP_ERROR]);
    if (has_error == str_is_set(values[MCP_RESULT]) || str_is_set(values[MCP_PARAMS]) ||
        !str_is_set(id))
        return MCP_NOT_JSONRPC;
    if (!is_usable_id(id) && !(has_error && json_text_type(id) == JSON_TEXT_NULL))
        return MCP_BAD_ID;
    message->kind = MCP_RESPONSE;
    message->id = id;
    return MCP_OK;
}

static enum mcp_rc read_call(const struct mcp_members *members, struct arena *arena,
                             struct mcp_message *message)
{
    const struct str *values = members->values;
    const bool has_id = str_is_set(values[MCP_ID]);
    if (str_is_set(values[MCP_RESULT]) || str_is_set(values[MCP_ERROR]))
        return MCP_NOT_JSONRPC;
    if (has_id && !is_usable_id(values[MCP_ID]))
        return MCP_BAD_ID;
    message->kind = has_id ? MCP_REQUEST : MCP_NOTIFICATION;
    message->id = values[MCP_ID];
    if (!mcp_read_text(values[MCP_METHOD], arena, &message->method))
        return MCP_BAD_METHOD;
    if (!str_is_set(message->method))
        return MCP_NO_MEMORY;
    if (message->method.len == 0)
        return MCP_BAD_METHOD;
    message->list = list_of(message->method); /* also without an id: some may answer it */
    return mcp_read_params(members, arena, message);
}

static enum mcp_rc check_version(struct str value, struct arena *arena)
{
    struct str version;
    if (!mcp_read_text(value, arena, &version))
        return MCP_NOT_JSONRPC;
    if (!str_is_set(version))
        return MCP_NO_MEMORY;
    return str_eq(version, STR("2.0")) ? MCP_OK : MCP_NOT_JSONRPC;
}

/* The message at hand; moves behind it. *RET_ID is set for what may be a request, also when it is
 * refused. */
static enum mcp_rc read_message(struct json_reader *reader, struct arena *arena,
                                struct mcp_message *message, struct str *ret_id)
{
    struct mcp_members members;
    const struct str *values = members.values;
    *message = (struct mcp_message){0};
    if (!json_reader_is_object(reader))
        return MCP_NOT_JSONRPC;
    mcp_read_members(reader, &members);
    if (reader->rc != JSON_RC_OK)
        return MCP_NOT_JSON; /* the caller finds out more */
    if (is_usable_id(values[MCP_ID]) && !str_is_set(values[MCP_RESULT]) &&
        !str_is_set(values[MCP_ERROR]))
        *ret_id = values[MCP_ID];
    if ((members.ambiguous >> MCP_IN_MESSAGE & 1) != 0)
        return MCP_AMBIGUOUS_KEY;
    enum mcp_rc rc = check_version(values[MCP_JSONRPC], arena);
    if (rc != MCP_OK)
        return rc;
    return str_is_set(values[MCP_METHOD]) ? read_call(&members, arena, message)
                                          : read_response(values, message);
}

/* ---- a body ---- */

/* What is read here counts only when the whole body is JSON. */

static enum mcp_rc read_single(struct json_reader *reader, struct arena *arena,
                               struct mcp_body *ret_body, struct str *ret_id)
{
    struct str id = {0};
    struct mcp_message *message = arena_alloc(arena, sizeof(*message));
    if (message == NULL)
        return MCP_NO_MEMORY;
    enum mcp_rc rc = read_message(reader, arena, message, &id);
    if (rc == MCP_OK)
        *ret_body = (struct mcp_body){.messages = message, .n_messages = 1};
    else
        *ret_id = id;
    return rc;
}

/* MESSAGES has room for N; the next ones have room for twice as many, up to MCP_MAX_BATCH. */
static struct mcp_message *grow_messages(const struct mcp_message *messages, size_t n,
                                         struct arena *arena, size_t *ret_cap)
{
    const size_t cap = size_min(size_max(n * 2, 4), MCP_MAX_BATCH);
    struct mcp_message *grown = arena_alloc(arena, cap * sizeof(*grown));
    if (grown != NULL && n > 0)
        memcpy(grown, messages, n * sizeof(*grown));
    *ret_cap = cap;
    return grown;
}

static enum mcp_rc read_batch(struct json_reader *reader, struct arena *arena,
                              struct mcp_body *ret_body)
{
    struct mcp_message *messages = NULL;
    size_t n = 0;
    size_t cap = 0;
    (void)json_reader_into(reader);
    while (json_reader_next_element(reader)) {
        struct str ignored;
        if (n == MCP_MAX_BATCH)
            return MCP_BATCH_TOO_LONG;
        if (n == cap)
            messages = grow_messages(messages, n, arena, &cap);
        if (messages == NULL)
            return MCP_NO_MEMORY;
        enum mcp_rc rc = read_message(reader, arena, &messages[n++], &ignored);
        if (rc != MCP_OK)
            return rc;
    }
    if (n == 0)
        return MCP_EMPTY_BATCH;
    *ret_body = (struct mcp_body){.messages = messages, .n_messages = n, .batch = true};
    return MCP_OK;
}

enum mcp_rc mcp_inspect(struct str body, size_t max_bytes, struct arena *arena,
                        struct mcp_body *ret_body, struct str *ret_id)
{
    const struct json_text_rules rules = {
        .limits = {.max_bytes = max_bytes, .max_depth = MCP_MAX_DEPTH}};
    NOT_ZEROED struct json_reader reader;
    struct mcp_body read = {0};
    struct str id = {0};
    json_reader_start(&reader, body, &rules);
    enum mcp_rc rc = json_reader_first(&reader) == '[' ? read_batch(&reader, arena, &read)
                                                       : read_single(&reader, arena, &read, &id);
    enum mcp_rc rc_json = rc_of_json(json_reader_finish(&reader));
    *ret_id = rc_json == MCP_OK ? id : (struct str){0};
    if (rc_json != MCP_OK)
        return rc_json;
    if (rc == MCP_OK)
        *ret_body = read;
    return rc;
}

/* ---- revisions and free methods ---- */

bool mcp_is_modern(struct str revision)
{
    static const char form[] = "dddd-dd-dd";
    if (revision.len != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < revision.len; i++)
        if (form[i] == 'd' ? !ascii_is_digit(revision.ptr[i]) : revision.ptr[i] != form[i])
            return false;
    return memcmp(revision.ptr, MCP_FIRST_MODERN, revision.len) >= 0;
}

bool mcp_is_free(const struct mcp_call *call)
{
    static const struct str methods[] = {STR_INIT("initialize"), STR_INIT("ping"),
                                         STR_INIT("server/discover"),
                                         STR_INIT("subscriptions/listen")};
    if (call->target != MCP_NO_TARGET)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(call->method, methods[i]))
            return true;
    return str_has_prefix(call->method, STR("notifications/")) ||
           list_of(call->method) != MCP_NO_LIST;
}
