/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp_list.h"

#include <errno.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json_text.h"

/* Beside a copy of SIZE bytes, for the arena's own needs. */
#define SCRATCH_SLACK 32

static const struct {
    struct str member; /* of a result */
    struct str name;   /* of an entry: what rules speak of */
} lists[MCP_N_LISTS] = {
    [MCP_LIST_TOOLS] = {STR_INIT("tools"), STR_INIT("name")},
    [MCP_LIST_PROMPTS] = {STR_INIT("prompts"), STR_INIT("name")},
    [MCP_LIST_RESOURCES] = {STR_INIT("resources"), STR_INIT("uri")},
    [MCP_LIST_TEMPLATES] = {STR_INIT("resourceTemplates"), STR_INIT("uriTemplate")},
};

/* One run over one text. */
struct run {
    const struct mcp_list_filter *filter;
    struct str text;
    struct buf *out;
    size_t copied; /* how far TEXT is in OUT, but for what was cut */
    size_t removed;
    enum mcp_list_rc fault; /* MCP_LIST_UNCHANGED: none */
};

static bool fail(struct run *run, enum mcp_list_rc fault)
{
    run->fault = fault;
    return false;
}

static void free_scratch(struct arena **scratch)
{
    *scratch = arena_free(*scratch);
}

/* What the inside of a string means; made in *SCRATCH when it has escapes. Absent: no memory. */
static struct str unescape(struct str raw, struct arena **scratch)
{
    int fault = 0;
    if (str_find_char(raw, '\\') < 0)
        return raw;
    *scratch = arena_new(raw.len + SCRATCH_SLACK, raw.len + SCRATCH_SLACK);
    if (*scratch == NULL)
        return (struct str){0};
    return json_text_key(raw, *scratch, &fault);
}

/* ---- keys ---- */

enum match { MATCH_NONE, MATCH_EQUAL, MATCH_FOLDED };

/* Length of the character at the beginning of KEY when it folds to the ASCII letter C, else 0.
 * U+017F and U+212A are the only others that fold to a letter (Unicode, CaseFolding.txt). */
static size_t folds_to(struct str key, char c)
{
    char lower = ascii_lower(c);
    if (key.len > 0 && ascii_lower(key.ptr[0]) == lower)
        return 1;
    if (lower == 's' && str_has_prefix(key, STR("\xc5\xbf")))
        return 2;
    if (lower == 'k' && str_has_prefix(key, STR("\xe2\x84\xaa")))
        return 3;
    return 0;
}

static enum match match_key(struct str key, struct str name)
{
    if (str_eq(key, name))
        return MATCH_EQUAL;
    for (size_t i = 0; i < name.len; i++) {
        size_t len = folds_to(key, name.ptr[i]);
        if (len == 0)
            return MATCH_NONE;
        key = str_from(key, len);
    }
    return key.len == 0 ? MATCH_FOLDED : MATCH_NONE;
}

/* ---- entries ---- */

/* Decides on one entry. False: a fault. */
static bool decide_entry(struct run *run, enum mcp_list list, struct str entry, bool *ret_keep)
{
    struct json_text_iter iter = json_text_iter(entry);
    struct str raw_key;
    struct str value;
    struct str name = {0};
    *ret_keep = false;
    if (json_text_type(entry) != JSON_TEXT_OBJECT)
        return true;
    while (json_text_next_member(&iter, &raw_key, &value)) {
        CLEANUP(free_scratch) struct arena *scratch = NULL;
        struct str key = unescape(raw_key, &scratch);
        if (!str_is_set(key))
            return fail(run, MCP_LIST_NO_MEMORY);
        switch (match_key(key, lists[list].name)) {
        case MATCH_EQUAL:
            name = value;
            break;
        case MATCH_FOLDED:
            return true;
        case MATCH_NONE:
            break;
        }
    }
    if (json_text_type(name) != JSON_TEXT_STRING)
        return true;
    CLEANUP(free_scratch) struct arena *scratch = NULL;
    struct str meaning = unescape(str_make(name.ptr + 1, name.len - 2), &scratch);
    if (!str_is_set(meaning))
        return fail(run, MCP_LIST_NO_MEMORY);
    *ret_keep = run->filter->may(run->filter->ctx, list, meaning);
    return true;
}

/* Copies up to FROM and goes on behind what is cut, at TO. */
static bool cut(struct run *run, const char *from, const char *to)
{
    const char *start = run->text.ptr + run->copied;
    if (run->copied == 0)
        (void)buf_reserve(run->out, run->text.len - (size_t)(to - from));
    (void)buf_append(run->out, str_make(start, (size_t)(from - start)));
    run->copied = (size_t)(to - run->text.ptr);
    return !buf_failed(run->out) || fail(run, MCP_LIST_NO_MEMORY);
}

static bool filter_entries(struct run *run, enum mcp_list list, struct str array)
{
    struct json_text_iter iter = json_text_iter(array);
    const char *inside = array.ptr + 1;
    const char *behind = inside; /* the entry before this one */
    const char *gone = NULL;     /* where the entries that go begin, if the one before goes */
    bool any_stays = false;
    struct str entry;
    while (json_text_next_element(&iter, &entry)) {
        bool keep;
        if (!decide_entry(run, list, entry, &keep))
            return false;
        if (keep && gone != NULL && !cut(run, gone, any_stays ? behind : entry.ptr))
            return false;
        if (!keep && gone == NULL)
            gone = any_stays ? behind : entry.ptr;
        if (keep)
            gone = NULL;
        any_stays = any_stays || keep;
        run->removed += keep ? 0 : 1;
        behind = entry.ptr + entry.len;
    }
    if (gone == NULL)
        return true;
    return any_stays ? cut(run, gone, behind) : cut(run, inside, array.ptr + array.len - 1);
}

/* ---- messages ---- */

static bool filter_list(struct run *run, enum mcp_list list, struct str value)
{
    switch (json_text_type(value)) {
    case JSON_TEXT_ARRAY:
        return filter_entries(run, list, value);
    case JSON_TEXT_NULL:
        return true;
    case JSON_TEXT_OBJECT:
    case JSON_TEXT_STRING:
    case JSON_TEXT_NUMBER:
    case JSON_TEXT_TRUE:
    case JSON_TEXT_FALSE:
    case JSON_TEXT_ABSENT:
        break;
    }
    return fail(run, MCP_LIST_REFUSED);
}

static bool filter_member(struct run *run, struct str raw_key, struct str value)
{
    CLEANUP(free_scratch) struct arena *scratch = NULL;
    struct str key = unescape(raw_key, &scratch);
    if (!str_is_set(key))
        return fail(run, MCP_LIST_NO_MEMORY);
    for (unsigned list = MCP_NO_LIST + 1; list < MCP_N_LISTS; list++) {
        if ((run->filter->lists & 1U << list) == 0)
            continue;
        switch (match_key(key, lists[list].member)) {
        case MATCH_EQUAL:
            return filter_list(run, (enum mcp_list)list, value);
        case MATCH_FOLDED:
            return fail(run, MCP_LIST_REFUSED);
        case MATCH_NONE:
            break;
        }
    }
    return true;
}

static bool filter_result(struct run *run, struct str result)
{
    struct json_text_iter iter = json_text_iter(result);
    struct str raw_key;
    struct str value;
    if (json_text_type(result) != JSON_TEXT_OBJECT)
        return true;
    while (json_text_next_member(&iter, &raw_key, &value))
        if (!filter_member(run, raw_key, value))
            return false;
    return true;
}

static bool filter_message(struct run *run, struct str message)
{
    struct json_text_iter iter = json_text_iter(message);
    struct str raw_key;
    struct str value;
    if (json_text_type(message) != JSON_TEXT_OBJECT)
        return true;
    while (json_text_next_member(&iter, &raw_key, &value)) {
        CLEANUP(free_scratch) struct arena *scratch = NULL;
        struct str key = unescape(raw_key, &scratch);
        if (!str_is_set(key))
            return fail(run, MCP_LIST_NO_MEMORY);
        enum match match = match_key(key, STR("result"));
        if (match == MATCH_FOLDED)
            return fail(run, MCP_LIST_REFUSED);
        if (match == MATCH_EQUAL && !filter_result(run, value))
            return false;
    }
    return true;
}

static bool filter_text(struct run *run)
{
    struct str root = json_text_root(run->text);
    struct str message;
    if (json_text_type(root) != JSON_TEXT_ARRAY)
        return filter_message(run, root);
    struct json_text_iter iter = json_text_iter(root);
    while (json_text_next_element(&iter, &message))
        if (!filter_message(run, message))
            return false;
    return true;
}

/* MCP_LIST_UNCHANGED: it is strict JSON. */
static enum mcp_list_rc check_text(struct str text, size_t max_bytes)
{
    const struct json_text_rules rules = {
        .limits = {.max_bytes = max_bytes, .max_depth = MCP_LIST_MAX_DEPTH},
        .lenient = true,
    };
    switch (json_text_check(text, &rules)) {
    case JSON_RC_OK:
        return MCP_LIST_UNCHANGED;
    case JSON_RC_TOO_LARGE:
        return MCP_LIST_TOO_LARGE;
    case JSON_RC_TOO_DEEP:
    case JSON_RC_MALFORMED:
    case JSON_RC_DUPLICATE_KEY:
        return MCP_LIST_REFUSED;
    case JSON_RC_NO_MEMORY:
        return MCP_LIST_NO_MEMORY;
    }
    return MCP_LIST_REFUSED;
}

enum mcp_list_rc mcp_list_filter(const struct mcp_list_filter *filter, struct str text,
                                 struct buf *out, size_t *ret_removed)
{
    const size_t start = out->len;
    struct run run = {.filter = filter, .text = text, .out = out};
    run.fault = check_text(text, filter->max_bytes);
    if (run.fault != MCP_LIST_UNCHANGED)
        return run.fault;
    if (filter_text(&run) && run.removed == 0)
        return MCP_LIST_UNCHANGED;
    if (run.fault == MCP_LIST_UNCHANGED && buf_append(out, str_from(text, run.copied)) < 0)
        run.fault = MCP_LIST_NO_MEMORY;
    if (run.fault != MCP_LIST_UNCHANGED) {
        out->len = start;
        return run.fault;
    }
    *ret_removed = run.removed;
    return MCP_LIST_CHANGED;
}
