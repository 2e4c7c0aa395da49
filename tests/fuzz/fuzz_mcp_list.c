/* SPDX-License-Identifier: Apache-2.0 */
/* proto/mcp_list: what comes out is what jansson gives when the same entries are taken out of its
 * tree; no entry is left that the caller may not use; nothing is touched when nothing had to go;
 * and what comes out are bytes of the input, in their order. It is also, byte for byte, what two
 * passes give, one that checks the text and one that walks it.
 *
 * Input: one byte that chooses the lists and who may use what, then the text. */
#include "proto/mcp_list.h"

#include "base/err.h"
#include "base/json.h"
#include "base/json_text.h"
#include "oracle.h"

#define MAX_BYTES 65536

static const struct {
    const char *member;
    const char *name;
} plain_lists[MCP_N_LISTS] = {
    [MCP_LIST_TOOLS] = {"tools", "name"},
    [MCP_LIST_PROMPTS] = {"prompts", "name"},
    [MCP_LIST_RESOURCES] = {"resources", "uri"},
    [MCP_LIST_TEMPLATES] = {"resourceTemplates", "uriTemplate"},
};

/* About half of all names, others for each list. */
static bool may(void *ctx, enum mcp_list list, struct str name)
{
    unsigned sum = *(const uint8_t *)ctx + (unsigned)list;
    for (size_t i = 0; i < name.len; i++)
        sum = sum * 31 + (unsigned char)name.ptr[i];
    return (sum & 4) == 0;
}

/* ---- the same on a tree ---- */

struct plain {
    const struct mcp_list_filter *filter;
    size_t removed;
    bool refused;
};

/* What Go makes of a key, in lower case. */
static void plain_fold(const char *key, char *out, size_t room)
{
    size_t n = 0;
    for (; *key != '\0' && n + 1 < room; n++) {
        if (strncmp(key, "\xc5\xbf", 2) == 0) {
            out[n] = 's';
            key += 2;
        } else if (strncmp(key, "\xc4\xb0", 2) == 0 || strncmp(key, "\xc4\xb1", 2) == 0) {
            out[n] = 'i';
            key += 2;
        } else if (strncmp(key, "\xe2\x84\xaa", 3) == 0) {
            out[n] = 'k';
            key += 3;
        } else {
            out[n] = ascii_lower(*key++);
        }
    }
    out[n] = '\0';
}

static bool has_folded(json_t *object, const char *name)
{
    const char *key;
    json_t *value;
    char want[32];
    char got[32];
    plain_fold(name, want, sizeof(want));
    json_object_foreach (object, key, value) {
        plain_fold(key, got, sizeof(got));
        if (strcmp(key, name) != 0 && strcmp(got, want) == 0)
            return true;
    }
    return false;
}

static void plain_entries(struct plain *plain, enum mcp_list list, json_t *array)
{
    for (size_t i = json_array_size(array); i-- > 0;) {
        json_t *entry = json_array_get(array, i);
        struct str name = json_get_str(entry, plain_lists[list].name);
        if (str_is_set(name) && !has_folded(entry, plain_lists[list].name) &&
            plain->filter->may(plain->filter->ctx, list, name))
            continue;
        ORACLE(json_array_remove(array, i) == 0);
        plain->removed++;
    }
}

static void plain_message(struct plain *plain, json_t *message)
{
    json_t *result = json_object_get(message, "result");
    plain->refused = plain->refused || has_folded(message, "result");
    for (unsigned list = MCP_LIST_TOOLS; list < MCP_N_LISTS; list++) {
        if ((plain->filter->lists & 1U << list) == 0)
            continue;
        json_t *value = json_object_get(result, plain_lists[list].member);
        plain->refused = plain->refused || has_folded(result, plain_lists[list].member);
        if (json_is_array(value))
            plain_entries(plain, (enum mcp_list)list, value);
        else if (value != NULL && !json_is_null(value))
            plain->refused = true;
    }
}

static void plain_filter(struct plain *plain, json_t *root)
{
    if (!json_is_array(root))
        plain_message(plain, root);
    for (size_t i = 0; json_is_array(root) && i < json_array_size(root); i++)
        plain_message(plain, json_array_get(root, i));
}

/* ---- the same in two passes ---- */

struct two_passes {
    const struct mcp_list_filter *filter;
    struct str text;
    struct buf out;
    size_t copied;
    size_t removed;
    bool refused;
};

/* How the key RAW, which is no longer than a few names, is to be read. */
static bool raw_is(struct str raw, const char *name)
{
    return json_text_key_is(raw, str_from_cstr(name));
}
static bool raw_folds_to(struct str raw, const char *name)
{
    char key[256];
    char got[sizeof(key)];
    char want[sizeof(key)];
    struct arena *arena = arena_new(256, MAX_BYTES);
    int fault;
    ORACLE(arena != NULL);
    struct str text = json_text_key(raw, arena, &fault);
    const bool fits = text.len < sizeof(key);
    (void)snprintf(key, sizeof(key), "%.*s", fits ? (int)text.len : 0, text.ptr);
    plain_fold(key, got, sizeof(got));
    plain_fold(name, want, sizeof(want));
    arena_free(arena);
    return fits && !raw_is(raw, name) && strcmp(got, want) == 0;
}

static bool keeps(const struct two_passes *two, enum mcp_list list, struct str entry)
{
    struct json_text_iter iter = json_text_iter(entry);
    struct arena *arena = arena_new(256, 2 * MAX_BYTES);
    struct str key;
    struct str value;
    struct str name = {0};
    bool is_odd = false;
    int fault;
    ORACLE(arena != NULL);
    while (json_text_type(entry) == JSON_TEXT_OBJECT &&
           json_text_next_member(&iter, &key, &value)) {
        if (raw_is(key, plain_lists[list].name))
            name = json_text_string(value, arena, &fault);
        is_odd = is_odd || raw_folds_to(key, plain_lists[list].name);
    }
    const bool keep = str_is_set(name) && !is_odd && two->filter->may(two->filter->ctx, list, name);
    arena_free(arena);
    return keep;
}

static void copy_up_to(struct two_passes *two, const char *from, const char *to)
{
    struct str part = str_from(str_head(two->text, (size_t)(from - two->text.ptr)), two->copied);
    ORACLE(buf_append(&two->out, part) == 0);
    two->copied = (size_t)(to - two->text.ptr);
}

/* Behind each entry that stays, what follows up to the next one that stays is cut. */
static void two_entries(struct two_passes *two, enum mcp_list list, struct str array)
{
    struct json_text_iter iter = json_text_iter(array);
    struct str entry;
    const char *behind = NULL; /* the last entry */
    const char *gone = NULL;   /* where what goes begins */
    bool any_stays = false;
    while (json_text_next_element(&iter, &entry)) {
        const bool keep = keeps(two, list, entry);
        if (keep && gone != NULL)
            copy_up_to(two, gone, any_stays ? behind : entry.ptr);
        if (!keep && gone == NULL)
            gone = any_stays ? behind : entry.ptr;
        if (keep)
            gone = NULL;
        any_stays = any_stays || keep;
        two->removed += keep ? 0 : 1;
        behind = entry.ptr + entry.len;
    }
    if (gone != NULL && any_stays)
        copy_up_to(two, gone, behind);
    else if (gone != NULL)
        copy_up_to(two, array.ptr + 1, array.ptr + array.len - 1);
}

static void two_message(struct two_passes *two, struct str message)
{
    struct json_text_iter members = json_text_iter(message);
    struct str key;
    struct str result;
    struct str value;
    if (json_text_type(message) != JSON_TEXT_OBJECT)
        return;
    while (json_text_next_member(&members, &key, &result)) {
        struct json_text_iter parts = json_text_iter(result);
        two->refused = two->refused || raw_folds_to(key, "result");
        if (!raw_is(key, "result") || json_text_type(result) != JSON_TEXT_OBJECT)
            continue;
        while (json_text_next_member(&parts, &key, &value))
            for (unsigned list = MCP_LIST_TOOLS; list < MCP_N_LISTS; list++) {
                if ((two->filter->lists & 1U << list) == 0)
                    continue;
                two->refused = two->refused || raw_folds_to(key, plain_lists[list].member);
                if (!raw_is(key, plain_lists[list].member))
                    continue;
                if (json_text_type(value) == JSON_TEXT_ARRAY)
                    two_entries(two, (enum mcp_list)list, value);
                else if (json_text_type(value) != JSON_TEXT_NULL)
                    two->refused = true;
            }
    }
}

static void check_two_passes(const struct mcp_list_filter *filter, enum mcp_list_rc rc,
                             struct str text, struct str out, size_t removed)
{
    const struct json_text_rules rules = {
        .limits = {MAX_BYTES, MCP_LIST_MAX_DEPTH},
        .lenient = true,
    };
    struct two_passes two = {.filter = filter, .text = text, .out = buf_make(MAX_BYTES)};
    if (json_text_check(text, &rules) != JSON_RC_OK) {
        ORACLE(rc == MCP_LIST_REFUSED);
        return;
    }
    struct str root = json_text_root(text);
    struct json_text_iter iter = json_text_iter(root);
    struct str message;
    if (json_text_type(root) != JSON_TEXT_ARRAY)
        two_message(&two, root);
    else
        while (json_text_next_element(&iter, &message))
            two_message(&two, message);
    copy_up_to(&two, text.ptr + text.len, text.ptr);
    ORACLE((rc == MCP_LIST_REFUSED) == two.refused);
    ORACLE(two.refused || (rc == MCP_LIST_CHANGED) == (two.removed > 0));
    if (rc == MCP_LIST_CHANGED)
        ORACLE(removed == two.removed && str_eq(out, buf_str(&two.out)));
    buf_free(&two.out);
}

/* ---- comparing ---- */

static json_t *parse(struct str text)
{
    json_error_t error;
    return json_loadb(text.ptr, text.len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY |
                          JSON_DECODE_INT_AS_REAL,
                      &error);
}

/* Also the order of the members is the same. */
static void check_same(const json_t *a, const json_t *b)
{
    char *a_text = json_dumps(a, JSON_COMPACT | JSON_ENCODE_ANY);
    char *b_text = json_dumps(b, JSON_COMPACT | JSON_ENCODE_ANY);
    ORACLE(a_text != NULL && b_text != NULL);
    ORACLE(strcmp(a_text, b_text) == 0);
    free(a_text);
    free(b_text);
}

static void check_bytes(struct str out, struct str text)
{
    size_t at = 0;
    for (size_t i = 0; i < out.len; i++, at++) {
        while (at < text.len && text.ptr[at] != out.ptr[i])
            at++;
        ORACLE(at < text.len);
    }
}

static void check_changed(const struct mcp_list_filter *filter, struct str text, struct str out,
                          size_t removed)
{
    struct buf again = buf_make(MAX_BYTES);
    size_t more = 0;
    ORACLE(removed > 0);
    ORACLE(out.len < text.len);
    check_bytes(out, text);
    ORACLE(mcp_list_filter(filter, out, &again, &more) == MCP_LIST_UNCHANGED);
    buf_free(&again);
}

static void check_tree(const struct mcp_list_filter *filter, enum mcp_list_rc rc, struct str text,
                       struct str out, size_t removed)
{
    struct plain plain = {.filter = filter};
    json_t *root = parse(text);
    json_t *got = parse(out);
    if (root == NULL) { /* numbers and surrogates that are let pass */
        json_decref(got);
        return;
    }
    plain_filter(&plain, root);
    switch (rc) {
    case MCP_LIST_UNCHANGED:
        ORACLE(!plain.refused && plain.removed == 0);
        break;
    case MCP_LIST_CHANGED:
        ORACLE(!plain.refused && plain.removed == removed);
        ORACLE(got != NULL);
        check_same(root, got);
        break;
    case MCP_LIST_REFUSED: {
        const struct json_limits limits = {MAX_BYTES, MCP_LIST_MAX_DEPTH};
        json_t *strict = NULL;
        /* jansson takes what it was told to above; this is how strict the project's parser is. */
        ORACLE(plain.refused || json_parse(text, limits, &strict, NULL) != JSON_RC_OK ||
               strict == NULL);
        json_decref(strict);
        break;
    }
    case MCP_LIST_TOO_LARGE:
    case MCP_LIST_NO_MEMORY:
        ORACLE(false);
    }
    json_decref(root);
    json_decref(got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_BYTES)
        return 0;
    uint8_t salt = data[0];
    const struct str text = oracle_input(data + 1, size - 1);
    const struct mcp_list_filter filter = {
        .lists = (salt & 0x80) == 0 ? MCP_ALL_LISTS : (salt & 0x0fU) << 1,
        .may = may,
        .ctx = &salt,
        .max_bytes = MAX_BYTES,
    };
    struct buf out = buf_make(MAX_BYTES);
    size_t removed = 0;
    enum mcp_list_rc rc = mcp_list_filter(&filter, text, &out, &removed);
    ORACLE(rc == MCP_LIST_CHANGED || (out.len == 0 && removed == 0));
    if (rc == MCP_LIST_CHANGED)
        check_changed(&filter, text, buf_str(&out), removed);
    check_tree(&filter, rc, text, buf_str(&out), removed);
    check_two_passes(&filter, rc, text, buf_str(&out), removed);
    buf_free(&out);
    return 0;
}
