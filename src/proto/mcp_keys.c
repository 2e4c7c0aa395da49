/* SPDX-License-Identifier: Apache-2.0 */
/* Members by name. Go reads keys without regard to case: "METHOD" is "method" to it, and so is what
 * has the letters U+017F (long s) or U+212A (Kelvin sign) for s or k; Java's equalsIgnoreCase()
 * also takes U+0130 and U+0131 (i with and without a dot) for i. What is allowed must be what is
 * done whoever reads it, so such a key is refused where it stands for one that matters. */
#include "base/err.h"
#include "proto/mcp_int.h"

/* ---- the members that matter ---- */

struct key {
    struct str name;
    enum mcp_member member;
    const struct keys *inner; /* of its value; NULL: nothing in there matters */
};

struct keys {
    enum mcp_object object;
    const struct key *keys;
    size_t n;
    uint32_t initials; /* bit (letter & 31) of the first letter of each name */
};
#define INITIAL(letter) (1U << ((letter)&31))

static const struct key key_of_meta = {.name = STR_INIT("io.modelcontextprotocol/protocolVersion"),
                                       .member = MCP_META_REVISION};
static const struct keys keys_of_meta = {MCP_IN_META, &key_of_meta, 1, INITIAL('i')};

static const struct key key_of_notifications = {.name = STR_INIT("resourceSubscriptions"),
                                                .member = MCP_NOTIFICATIONS_URIS};
static const struct keys keys_of_notifications = {MCP_IN_NOTIFICATIONS, &key_of_notifications, 1,
                                                  INITIAL('r')};

static const struct key ref_table[] = {
    {STR_INIT("type"), MCP_REF_TYPE, NULL},
    {STR_INIT("name"), MCP_REF_NAME, NULL},
    {STR_INIT("uri"), MCP_REF_URI, NULL},
};
static const struct keys keys_of_ref = {MCP_IN_REF, ref_table, ARRAY_LEN(ref_table),
                                        INITIAL('t') | INITIAL('n') | INITIAL('u')};

static const struct key params_table[] = {
    {STR_INIT("name"), MCP_PARAM_NAME, NULL},
    {STR_INIT("arguments"), MCP_PARAM_OTHER, NULL},
    {STR_INIT("_meta"), MCP_PARAM_META, &keys_of_meta},
    {STR_INIT("uri"), MCP_PARAM_URI, NULL},
    {STR_INIT("cursor"), MCP_PARAM_OTHER, NULL},
    {STR_INIT("ref"), MCP_PARAM_REF, &keys_of_ref},
    {STR_INIT("taskId"), MCP_PARAM_TASK, NULL},
    {STR_INIT("notifications"), MCP_PARAM_NOTIFICATIONS, &keys_of_notifications},
    {STR_INIT("resourceSubscriptions"), MCP_PARAM_OTHER, NULL},
};
static const struct keys keys_of_params = {MCP_IN_PARAMS, params_table, ARRAY_LEN(params_table),
                                           INITIAL('n') | INITIAL('a') | INITIAL('_') |
                                               INITIAL('u') | INITIAL('c') | INITIAL('r') |
                                               INITIAL('t')};

static const struct key message_table[] = {
    {STR_INIT("jsonrpc"), MCP_JSONRPC, NULL}, {STR_INIT("id"), MCP_ID, NULL},
    {STR_INIT("method"), MCP_METHOD, NULL},   {STR_INIT("params"), MCP_PARAMS, &keys_of_params},
    {STR_INIT("result"), MCP_RESULT, NULL},   {STR_INIT("error"), MCP_ERROR, NULL},
};
static const struct keys keys_of_message = {MCP_IN_MESSAGE, message_table, ARRAY_LEN(message_table),
                                            INITIAL('j') | INITIAL('i') | INITIAL('m') |
                                                INITIAL('p') | INITIAL('r') | INITIAL('e')};

/* ---- is a key one of them, or taken for one? ---- */

static int hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    return ascii_lower(c) - 'a' + 10; /* the text was checked */
}

/* The letter of a name that a character folds to, or NUL. */
static char fold_code(unsigned code)
{
    switch (code) {
    case 0x130:
    case 0x131:
        return 'i';
    case 0x17f:
        return 's';
    case 0x212a:
        return 'k';
    default:
        return code < 0x80 ? (char)code : '\0';
    }
}

/* The same for the escape at the beginning of RAW; *RET_LEN is its length there, *RET_SAME that
 * it stands for itself. */
static char fold_escape(struct str raw, size_t *ret_len, bool *ret_same)
{
    unsigned code = 0;
    *ret_len = 2;
    if (raw.ptr[1] == '/')
        return '/';
    if (raw.ptr[1] != 'u')
        return '\0';
    *ret_len = 6;
    for (size_t i = 2; i < 6; i++)
        code = code << 4 | (unsigned)hex_digit(raw.ptr[i]);
    *ret_same = code < 0x80;
    return fold_code(code);
}

static char fold_wide(struct str raw, size_t *ret_len, bool *ret_same)
{
    const unsigned char *p = (const unsigned char *)raw.ptr;
    *ret_same = false;
    *ret_len = p[0] < 0xe0 ? 2 : 3;
    if (p[0] < 0xe0)
        return fold_code((p[0] & 0x1fU) << 6 | (p[1] & 0x3fU));
    return str_has_prefix(raw, STR("\xe2\x84\xaa")) ? 'k' : '\0';
}

enum mcp_key_match mcp_match_key(struct str raw, struct str name)
{
    bool equal = true;
    size_t same_len = 0;
    if (!mcp_may_match_key(raw, name))
        return MCP_KEY_OTHER;
    if (str_eq(raw, name))
        return MCP_KEY_EQUAL;
    /* Long names have a long beginning in common with others. */
    while (name.len - same_len >= 8 && memcmp(raw.ptr + same_len, name.ptr + same_len, 8) == 0)
        same_len += 8;
    raw = str_make(raw.ptr + same_len, raw.len - same_len);
    for (size_t i = same_len; i < name.len; i++) {
        bool same = true;
        size_t len = 1;
        if (raw.len == 0)
            return MCP_KEY_OTHER;
        char c = raw.ptr[0];
        if (c == '\\')
            c = fold_escape(raw, &len, &same);
        else if ((unsigned char)c >= 0x80)
            c = fold_wide(raw, &len, &same);
        if (c == '\0' || ascii_lower(c) != ascii_lower(name.ptr[i]))
            return MCP_KEY_OTHER;
        equal = equal && same && c == name.ptr[i];
        raw = str_make(raw.ptr + len, raw.len - len);
    }
    if (raw.len > 0)
        return MCP_KEY_OTHER;
    return equal ? MCP_KEY_EQUAL : MCP_KEY_ALIKE;
}

/* The key that RAW_KEY is, or some take it for; NULL without. Most keys are none that matter, and
 * their first byte says so. */
static const struct key *find_key(const struct keys *keys, struct str raw_key,
                                  enum mcp_key_match *ret_how)
{
    if (raw_key.len == 0)
        return NULL;
    const char first = raw_key.ptr[0];
    const bool is_letter = (unsigned char)first < 0x80 && first != '\\';
    if (is_letter && (keys->initials >> (first & 31) & 1) == 0)
        return NULL;
    for (size_t i = 0; i < keys->n; i++) {
        if (!mcp_may_match_key(raw_key, keys->keys[i].name))
            continue;
        *ret_how = mcp_match_key(raw_key, keys->keys[i].name);
        if (*ret_how != MCP_KEY_OTHER)
            return &keys->keys[i];
    }
    return NULL;
}

/* As deep as the tables above. */
static void read_object(struct json_reader *reader, const struct keys *keys,
                        struct mcp_members *members)
{
    struct str raw_key;
    enum mcp_key_match how = MCP_KEY_OTHER;
    if (!json_reader_into(reader))
        return;
    while (json_reader_next_key(reader, &raw_key)) {
        const struct key *key = find_key(keys, raw_key, &how);
        if (key == NULL)
            continue;
        const char *begin = json_reader_place(reader);
        if (key->inner != NULL && json_reader_is_object(reader))
            read_object(reader, key->inner, members);
        else
            (void)json_reader_over(reader);
        if (how == MCP_KEY_EQUAL)
            members->values[key->member] =
                str_make(begin, (size_t)(json_reader_place(reader) - begin));
        else
            members->ambiguous |= 1U << keys->object;
    }
}

void mcp_read_members(struct json_reader *reader, struct mcp_members *ret_members)
{
    *ret_members = (struct mcp_members){0};
    read_object(reader, &keys_of_message, ret_members);
}

bool mcp_read_text(struct str value, struct arena *arena, struct str *ret_text)
{
    int fault;
    if (value.len > MCP_MAX_NAME_BYTES)
        return false;
    struct str text = json_text_string(value, arena, &fault);
    *ret_text = text;
    if (!str_is_set(text))
        return fault != 0;
    /* Without escapes it is part of a checked text, which has no control character but DEL. */
    return text.ptr == value.ptr + 1 ? str_find_char(text, '\x7f') < 0 : !str_has_control(text);
}
