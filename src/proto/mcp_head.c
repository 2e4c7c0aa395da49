/* SPDX-License-Identifier: Apache-2.0 */
/* Head against body: 2026-07-28, Streamable HTTP, "Server Validation". Proxies and servers may act
 * on the header fields alone, so what they say must be what was decided on, whatever the revision.
 */
#include "base/err.h"
#include "proto/base64url.h"
#include "proto/mcp.h"

const char *mcp_check_shape(const struct mcp_head *head, const struct mcp_body *body)
{
    if (!mcp_is_modern(head->revision))
        return NULL;
    if (body->batch)
        return "The revision of the MCP-Protocol-Version header has no batches";
    if (body->messages[0].kind == MCP_RESPONSE)
        return "The revision of the MCP-Protocol-Version header has no responses from clients";
    return NULL;
}

static const char *check_counts(const struct mcp_head *head, bool batch)
{
    if (head->n_revision > 1)
        return "The MCP-Protocol-Version header occurs more than once";
    if (head->n_method > 1)
        return "The Mcp-Method header occurs more than once";
    if (head->n_name > 1)
        return "The Mcp-Name header occurs more than once";
    if (batch && head->n_method > 0)
        return "The Mcp-Method header cannot describe a batch";
    if (batch && head->n_name > 0)
        return "The Mcp-Name header cannot describe a batch";
    return NULL;
}

static const char *check_revision(const struct mcp_head *head, const struct mcp_message *message)
{
    const bool in_body = str_is_set(message->revision);
    if (head->n_revision == 0)
        return in_body ? "The MCP-Protocol-Version header is missing" : NULL;
    if (in_body ? str_eq(head->revision, message->revision)
                : message->kind != MCP_REQUEST || !mcp_is_modern(head->revision))
        return NULL;
    return "The MCP-Protocol-Version header does not match the request body";
}

static bool is_modern_request(const struct mcp_message *message)
{
    return message->kind == MCP_REQUEST && mcp_is_modern(message->revision);
}

static const char *check_method(const struct mcp_head *head, const struct mcp_message *message)
{
    if (head->n_method == 0)
        return is_modern_request(message) ? "The Mcp-Method header is missing" : NULL;
    if (str_is_set(message->method) && str_eq(head->method, message->method))
        return NULL;
    return "The Mcp-Method header does not match the request body";
}

static bool needs_name(const struct mcp_message *message)
{
    static const struct str methods[] = {STR_INIT("tools/call"), STR_INIT("resources/read"),
                                         STR_INIT("prompts/get")};
    if (!is_modern_request(message))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(message->method, methods[i]))
            return true;
    return false;
}

/* Base64 with padding (RFC 4648 4) has another alphabet for two values, and "=" to a length of 4n.
 * False for what is none. */
static bool decode_base64(struct str text, struct arena *arena, struct str *ret_bytes)
{
    if (text.len % 4 != 0)
        return false;
    for (int i = 0; i < 2 && text.len > 0 && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    char *copy = arena_alloc(arena, text.len + 1);
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        if (c == '-' || c == '_')
            return false;
        copy[i] = c == '+' ? '-' : c;
        if (c == '/')
            copy[i] = '_';
    }
    uint8_t *bytes = arena_alloc(arena, base64url_decoded_len(text.len) + 1);
    size_t len;
    if (bytes == NULL || base64url_decode(str_make(copy, text.len), bytes,
                                          base64url_decoded_len(text.len), &len) < 0)
        return false;
    *ret_bytes = str_make((const char *)bytes, len);
    return true;
}

/* RFC 9110 5.5 as 2026-07-28 has it: visible ASCII, blanks between. */
static bool is_plain(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] > '~')
            return false;
    return true;
}

/* What Mcp-Name means; false when it has the form of base64 and is none, or would have to be. */
static bool decode_name(struct str value, struct arena *arena, struct str *ret_name)
{
    const struct str begin = STR("=?base64?");
    const struct str end = STR("?=");
    *ret_name = value;
    if (value.len < begin.len + end.len || !str_has_prefix(value, begin) ||
        !str_has_suffix(value, end))
        return is_plain(value);
    value = str_make(value.ptr + begin.len, value.len - begin.len - end.len);
    return decode_base64(value, arena, ret_name);
}

static const char *check_name(const struct mcp_head *head, const struct mcp_message *message,
                              struct arena *arena)
{
    struct str name;
    if (head->n_name == 0)
        return needs_name(message) ? "The Mcp-Name header is missing" : NULL;
    if (!decode_name(head->name, arena, &name))
        return "The Mcp-Name header has bytes that need base64, or is not valid base64";
    if (str_is_set(message->mirrored) && str_eq(name, message->mirrored))
        return NULL;
    return "The Mcp-Name header does not match the request body";
}

const char *mcp_check_head(const struct mcp_head *head, const struct mcp_body *body,
                           struct arena *arena)
{
    const char *why = check_counts(head, body->batch);
    for (size_t i = 0; why == NULL && i < body->n_messages; i++)
        why = check_revision(head, &body->messages[i]);
    if (why != NULL || body->batch)
        return why;
    why = check_method(head, &body->messages[0]);
    return why != NULL ? why : check_name(head, &body->messages[0], arena);
}
