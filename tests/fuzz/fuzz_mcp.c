/* SPDX-License-Identifier: Apache-2.0 */
/* proto/mcp: what a body is decided on is what jansson finds in it; names are clean text; a byte
 * more, and it is no body any more; a head made from the body agrees with it, another one does not.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "oracle.h"
#include "proto/mcp.h"

#define MAX_BYTES 65536
#define REVISION_KEY "io.modelcontextprotocol/protocolVersion"

static void check_text(struct str text)
{
    ORACLE(str_is_set(text) && text.len > 0 && str_is_utf8(text));
    for (size_t i = 0; i < text.len; i++)
        ORACLE((unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
}

/* ---- beside jansson ---- */

static json_t *load(struct str text)
{
    json_error_t error;
    return json_loadb(text.ptr, text.len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL |
                          JSON_DECODE_INT_AS_REAL,
                      &error);
}

static const json_t *at(const json_t *object, const char *key)
{
    return json_object_get(object, key);
}

/* What the call is about, by jansson's reading. */
static struct str name_of(const json_t *params, struct str method, size_t number)
{
    const json_t *ref = at(params, "ref");
    if (str_eq(method, STR("tools/call")) || str_eq(method, STR("prompts/get")))
        return json_get_str(params, "name");
    if (str_eq(method, STR("completion/complete")))
        return json_get_str(ref,
                            str_eq(json_get_str(ref, "type"), STR("ref/prompt")) ? "name" : "uri");
    if (str_eq(method, STR("subscriptions/listen")))
        return json_str(
            json_array_get(at(at(params, "notifications"), "resourceSubscriptions"), number));
    return json_get_str(params, "uri");
}

static void check_calls(const struct mcp_message *message, const json_t *params)
{
    const json_t *uris = at(at(params, "notifications"), "resourceSubscriptions");
    size_t expected = 1;
    if (str_eq(message->method, STR("subscriptions/listen")) && json_array_size(uris) > 0)
        expected = json_array_size(uris);
    ORACLE(message->n_calls == expected);
    for (size_t i = 0; i < message->n_calls; i++) {
        const struct mcp_call *call = &message->calls[i];
        ORACLE(str_eq(call->method, message->method));
        ORACLE((call->target == MCP_NO_TARGET) == !str_is_set(call->name));
        if (call->target == MCP_NO_TARGET)
            continue;
        check_text(call->name);
        ORACLE(!mcp_is_free(call));
        ORACLE(str_eq(call->name, name_of(params, call->method, i)));
    }
}

static void check_message(const struct mcp_message *message, const json_t *root)
{
    const json_t *params = at(root, "params");
    ORACLE(str_eq(json_get_str(root, "jsonrpc"), STR("2.0")));
    ORACLE(str_is_set(message->id) == (at(root, "id") != NULL));
    if (message->kind == MCP_RESPONSE) {
        ORACLE(at(root, "method") == NULL && message->n_calls == 0);
        ORACLE((at(root, "result") == NULL) != (at(root, "error") == NULL));
        return;
    }
    ORACLE((message->kind == MCP_REQUEST) == str_is_set(message->id));
    ORACLE(at(root, "result") == NULL && at(root, "error") == NULL);
    ORACLE(params == NULL || json_is_object(params));
    check_text(message->method);
    ORACLE(str_eq(message->method, json_get_str(root, "method")));
    const json_t *revision = at(at(params, "_meta"), REVISION_KEY);
    ORACLE(str_is_set(message->revision) == (revision != NULL));
    ORACLE(str_eq(message->revision, json_str(revision)));
    if (str_is_set(message->id)) {
        json_t *id = load(message->id);
        ORACLE(json_equal(id, at(root, "id")));
        ORACLE(json_is_string(id) || json_is_number(id));
        json_decref(id);
    }
    check_calls(message, params);
}

static void check_body(struct str text, const struct mcp_body *body)
{
    json_t *root = load(text);
    ORACLE(root != NULL && body->n_messages > 0);
    ORACLE(body->batch == json_is_array(root));
    ORACLE(body->n_messages == (body->batch ? json_array_size(root) : 1));
    for (size_t i = 0; i < body->n_messages; i++)
        check_message(&body->messages[i], body->batch ? json_array_get(root, i) : root);
    json_decref(root);
}

/* ---- the head ---- */

static struct str encode(struct str name, struct arena *arena)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf out = buf_make(4 * MAX_BYTES);
    (void)buf_append(&out, STR("=?base64?"));
    for (size_t i = 0; i < name.len; i += 3) {
        uint32_t bits = 0;
        const size_t n = name.len - i < 3 ? name.len - i : 3;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (j < n ? (unsigned char)name.ptr[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            (void)buf_append_char(&out, j <= n ? alphabet[bits >> (18 - 6 * j) & 63] : '=');
    }
    (void)buf_append(&out, STR("?="));
    struct str copy = arena_str(arena, buf_str(&out));
    ORACLE(str_is_set(copy));
    buf_free(&out);
    return copy;
}

static void check_head(const struct mcp_body *body, struct arena *arena)
{
    const struct mcp_message *message = &body->messages[0];
    struct mcp_head head = {.revision = message->revision,
                            .method = message->method,
                            .n_revision = str_is_set(message->revision),
                            .n_method = str_is_set(message->method)};
    if (body->batch)
        return;
    if (str_is_set(message->mirrored)) {
        check_text(message->mirrored);
        head.name = encode(message->mirrored, arena);
        head.n_name = 1;
    }
    ORACLE(mcp_check_head(&head, body, arena) == NULL);
    head.name = STR("a\nb");
    head.n_name = 1;
    ORACLE(mcp_check_head(&head, body, arena) != NULL);
    head.n_name = 0;
    head.method = STR("a\nb");
    head.n_method = 1;
    ORACLE(mcp_check_head(&head, body, arena) != NULL);
}

/* Behind a body nothing but blanks may stand. */
static void check_longer(struct str text, struct arena *arena)
{
    static const char more[] = "x{[\"1,\x00\xef";
    char *longer = malloc(text.len + 1);
    struct mcp_body body;
    struct str id;
    ORACLE(longer != NULL);
    memcpy(longer, text.ptr, text.len);
    for (size_t i = 0; i < sizeof(more) - 1; i++) {
        longer[text.len] = more[i];
        ORACLE(mcp_inspect(str_make(longer, text.len + 1), MAX_BYTES + 1, arena, &body, &id) !=
               MCP_OK);
    }
    free(longer);
}

/* The id of what was refused can be answered under. */
static void check_id(struct str id)
{
    if (!str_is_set(id))
        return;
    json_t *value = load(id);
    ORACLE(json_is_string(value) || json_is_number(value));
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mcp_body body;
    struct str id;
    if (size > MAX_BYTES)
        return 0;
    /* Memory of exactly its size: what is read behind the body is found. */
    char *copy = malloc(size > 0 ? size : 1);
    struct arena *arena = arena_new(4096, 256 * MAX_BYTES);
    ORACLE(copy != NULL && arena != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    const struct str text = str_make(copy, size);
    enum mcp_rc rc = mcp_inspect(text, MAX_BYTES, arena, &body, &id);
    ORACLE(rc != MCP_NO_MEMORY);
    ORACLE(strlen(mcp_rc_name(rc)) > 0 && strlen(mcp_rc_description(rc)) > 0);
    if (rc == MCP_OK) {
        ORACLE(!str_is_set(id));
        check_body(text, &body);
        check_head(&body, arena);
        check_longer(text, arena);
    } else {
        check_id(id);
    }
    arena_free(arena);
    free(copy);
    return 0;
}
