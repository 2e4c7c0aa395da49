/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp_list.h"

#include <errno.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json_reader.h"
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

/* One run over one text, which is checked by the way: what is decided and copied counts only when
 * the reader has no fault at its end. */
struct run {
    const struct mcp_list_filter *filter;
    struct str text;
    struct json_reader *reader;
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
static struct str read_entry(enum mcp_list list, struct json_reader *reader)
{
    bool is_odd = false;
    struct str raw_key;
    struct str name = {0};
    if (!json_reader_is_object(reader)) {
        (void)json_reader_over(reader);
        return name;
    }
    (void)json_reader_into(reader);
    while (json_reader_next_key(reader, &raw_key)) {
        if (!mcp_may_match_key(raw_key, lists[list].name))
            continue;
        struct str value = json_reader_over(reader);
        enum mcp_key_match match = mcp_match_key(raw_key, lists[list].name);
        if (match == MCP_KEY_EQUAL)
            name = value;
        is_odd = is_odd || match == MCP_KEY_ALIKE;
    }
    return is_odd ? (struct str){0} : name;
}

/* Decides on one entry, and goes behind it. False: a fault. */
static bool decide_entry(struct run *run, enum mcp_list list, bool *ret_keep)
{
    struct str name = read_entry(list, run->reader);
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

static bool filter_entries(struct run *run, enum mcp_list list)
{
    struct json_reader *reader = run->reader;
    const char *inside = json_reader_place(reader) + 1;
    const char *behind = inside; /* the entry before this one */
    const char *gone = NULL;     /* where the entries that go begin, if the one before goes */
    bool any_stays = false;
    (void)json_reader_into(reader);
    while (json_reader_next_element(reader)) {
        const char *entry = json_reader_place(reader);
        bool keep;
        if (!decide_entry(run, list, &keep))
            return false;
        if (keep && gone != NULL && !cut(run, gone, any_stays ? behind : entry))
            return false;
        if (!keep && gone == NULL)
            gone = any_stays ? behind : entry;
        if (keep)
            gone = NULL;
        any_stays = any_stays || keep;
        run->removed += keep ? 0 : 1;
        behind = json_reader_place(reader);
    }
    if (gone == NULL || reader->rc != JSON_RC_OK)
        return true;
    return any_stays ? cut(run, gone, behind) : cut(run, inside, json_reader_place(reader) - 1);
}

/* ---- messages ---- */

/* These go over the value at hand. False: a fault. */

static bool filter_list(struct run *run, enum mcp_list list)
{
    switch (json_reader_at(run->reader)) {
    case JSON_TEXT_ARRAY:
        return filter_entries(run, list);
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

static bool filter_member(struct run *run, struct str raw_key)
{
    for (unsigned list = MCP_NO_LIST + 1; list < MCP_N_LISTS; list++) {
        if ((run->filter->lists & 1U << list) == 0 ||
            !mcp_may_match_key(raw_key, lists[list].member))
            continue;
        switch (mcp_match_key(raw_key, lists[list].member)) {
        case MCP_KEY_EQUAL:
            return filter_list(run, (enum mcp_list)list);
        case MCP_KEY_ALIKE:
            return fail(run, MCP_LIST_REFUSED);
        case MCP_KEY_OTHER:
            break;
        }
    }
    return true;
}

static bool filter_result(struct run *run)
{
    struct str raw_key;
    if (!json_reader_is_object(run->reader))
        return true;
    (void)json_reader_into(run->reader);
    while (json_reader_next_key(run->reader, &raw_key))
        if (!filter_member(run, raw_key))
            return false;
    return true;
}

static bool filter_message(struct run *run)
{
    struct str raw_key;
    if (!json_reader_is_object(run->reader))
        return true;
    (void)json_reader_into(run->reader);
    while (json_reader_next_key(run->reader, &raw_key)) {
        enum mcp_key_match match = mcp_match_key(raw_key, STR("result"));
        if (match == MCP_KEY_ALIKE)
            return fail(run, MCP_LIST_REFUSED);
        if (match == MCP_KEY_EQUAL && !filter_result(run))
            return false;
    }
    return true;
}

static bool filter_text(struct run *run)
{
    if (json_reader_at(run->reader) != JSON_TEXT_ARRAY)
        return filter_message(run);
    (void)json_reader_into(run->reader);
    while (json_reader_next_element(run->reader))
        if (!filter_message(run))
            return false;
    return true;
}

/* MCP_LIST_UNCHANGED: it is strict JSON. */
static enum mcp_list_rc rc_of_json(enum json_rc rc)
{
    switch (rc) {
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

/* Goes through the text. MCP_LIST_UNCHANGED: no fault. */
static enum mcp_list_rc read_text(struct run *run)
{
    const struct json_text_rules rules = {
        .limits = {.max_bytes = run->filter->max_bytes, .max_depth = MCP_LIST_MAX_DEPTH},
        .lenient = true,
    };
    NOT_ZEROED struct json_reader reader;
    json_reader_start(&reader, run->text, &rules);
    run->reader = &reader;
    (void)filter_text(run);
    enum mcp_list_rc rc = rc_of_json(json_reader_finish(&reader));
    run->reader = NULL;
    return rc != MCP_LIST_UNCHANGED ? rc : run->fault;
}

enum mcp_list_rc mcp_list_filter(const struct mcp_list_filter *filter, struct str text,
                                 struct buf *out, size_t *ret_removed)
{
    const size_t start = out->len;
    struct run run = {.filter = filter, .text = text, .out = out};
    enum mcp_list_rc rc = read_text(&run);
    if (rc == MCP_LIST_UNCHANGED && run.removed == 0)
        return MCP_LIST_UNCHANGED;
    if (rc == MCP_LIST_UNCHANGED && buf_append(out, str_from(text, run.copied)) < 0)
        rc = MCP_LIST_NO_MEMORY;
    if (rc != MCP_LIST_UNCHANGED) {
        out->len = start;
        return rc;
    }
    *ret_removed = run.removed;
    return MCP_LIST_CHANGED;
}
