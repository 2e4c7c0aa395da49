/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp_list.h"

#include <errno.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json_text.h"
#include "proto/mcp_int.h"

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

/* ---- entries ---- */

/* Goes over one entry, to what it is called: no string when it is no object, has no name, or has a
 * key that some take for its name. */
static struct str read_entry(enum mcp_list list, struct json_text_iter *iter)
{
    bool is_odd = false;
    struct str raw_key;
    struct str name = {0};
    if (json_text_at(iter) != JSON_TEXT_OBJECT) {
        (void)json_text_over(iter);
        return name;
    }
    struct json_text_iter inner = json_text_into(iter);
    while (json_text_to_key(&inner, &raw_key)) {
        struct str value = json_text_over(&inner);
        enum mcp_key_match match = mcp_match_key(raw_key, lists[list].name);
        if (match == MCP_KEY_EQUAL)
            name = value;
        is_odd = is_odd || match == MCP_KEY_ALIKE;
    }
    json_text_behind(iter, &inner);
    return is_odd ? (struct str){0} : name;
}

/* Decides on one entry, and goes behind it. False: a fault. */
static bool decide_entry(struct run *run, enum mcp_list list, struct json_text_iter *iter,
                         bool *ret_keep)
{
    struct str name = read_entry(list, iter);
    *ret_keep = false;
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

static bool filter_entries(struct run *run, enum mcp_list list, struct json_text_iter *iter)
{
    struct json_text_iter inner = json_text_into(iter);
    const char *inside = inner.at;
    const char *behind = inside; /* the entry before this one */
    const char *gone = NULL;     /* where the entries that go begin, if the one before goes */
    bool any_stays = false;
    while (json_text_to_element(&inner)) {
        const char *entry = inner.at;
        bool keep;
        if (!decide_entry(run, list, &inner, &keep))
            return false;
        if (keep && gone != NULL && !cut(run, gone, any_stays ? behind : entry))
            return false;
        if (!keep && gone == NULL)
            gone = any_stays ? behind : entry;
        if (keep)
            gone = NULL;
        any_stays = any_stays || keep;
        run->removed += keep ? 0 : 1;
        behind = inner.at;
    }
    json_text_behind(iter, &inner);
    if (gone == NULL)
        return true;
    return any_stays ? cut(run, gone, behind) : cut(run, inside, iter->at - 1);
}

/* ---- messages ---- */

/* These go over the value at hand. False: a fault. */

static bool filter_list(struct run *run, enum mcp_list list, struct json_text_iter *iter)
{
    switch (json_text_at(iter)) {
    case JSON_TEXT_ARRAY:
        return filter_entries(run, list, iter);
    case JSON_TEXT_NULL:
        (void)json_text_over(iter);
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

static bool filter_member(struct run *run, struct str raw_key, struct json_text_iter *iter)
{
    for (unsigned list = MCP_NO_LIST + 1; list < MCP_N_LISTS; list++) {
        if ((run->filter->lists & 1U << list) == 0)
            continue;
        switch (mcp_match_key(raw_key, lists[list].member)) {
        case MCP_KEY_EQUAL:
            return filter_list(run, (enum mcp_list)list, iter);
        case MCP_KEY_ALIKE:
            return fail(run, MCP_LIST_REFUSED);
        case MCP_KEY_OTHER:
            break;
        }
    }
    (void)json_text_over(iter);
    return true;
}

static bool filter_result(struct run *run, struct json_text_iter *iter)
{
    struct str raw_key;
    if (json_text_at(iter) != JSON_TEXT_OBJECT) {
        (void)json_text_over(iter);
        return true;
    }
    struct json_text_iter inner = json_text_into(iter);
    while (json_text_to_key(&inner, &raw_key))
        if (!filter_member(run, raw_key, &inner))
            return false;
    json_text_behind(iter, &inner);
    return true;
}

static bool filter_message(struct run *run, struct json_text_iter *iter)
{
    struct str raw_key;
    if (json_text_at(iter) != JSON_TEXT_OBJECT) {
        (void)json_text_over(iter);
        return true;
    }
    struct json_text_iter inner = json_text_into(iter);
    while (json_text_to_key(&inner, &raw_key)) {
        enum mcp_key_match match = mcp_match_key(raw_key, STR("result"));
        if (match == MCP_KEY_ALIKE)
            return fail(run, MCP_LIST_REFUSED);
        if (match == MCP_KEY_EQUAL && !filter_result(run, &inner))
            return false;
        if (match == MCP_KEY_OTHER)
            (void)json_text_over(&inner);
    }
    json_text_behind(iter, &inner);
    return true;
}

static bool filter_text(struct run *run)
{
    struct json_text_iter root = json_text_start(run->text);
    if (json_text_at(&root) != JSON_TEXT_ARRAY)
        return filter_message(run, &root);
    struct json_text_iter inner = json_text_into(&root);
    while (json_text_to_element(&inner))
        if (!filter_message(run, &inner))
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
