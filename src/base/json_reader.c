/* SPDX-License-Identifier: Apache-2.0 */
/* The pass of base/json_reader: a stack of its own, and the place in the text handed from step to
 * step, so that it stays in a register. The steps that take a place give the one behind what they
 * took; after a fault, which is noted in the reader, they give NULL. */
#include "base/json_reader.h"

#include "base/err.h"
#include "base/json_text_int.h"

/* Of an open container: beside these bits, where its keys begin. */
#define IS_OBJECT 1U
#define IS_SUSPECT 2U /* two of its keys may be the same */
#define KEYS_SHIFT 2

/* For the steps that a text has many of: a call costs more than most of them. */
#define ALWAYS_INLINE __attribute__((always_inline)) static inline

static const char *fail(struct json_reader *r, enum json_rc rc)
{
    r->rc = rc;
    return NULL;
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static const char *skip_more_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* Most texts have none. */
ALWAYS_INLINE const char *skip_blanks(const char *at, const char *end)
{
    return at < end && (unsigned char)*at <= ' ' ? skip_more_blanks(at, end) : at;
}

/* ---- scalars ---- */

/* Behind the opening quote. Nearly all strings are plain ASCII. */
ALWAYS_INLINE const char *take_string(struct json_reader *r, const char *at)
{
    const char *const end = r->end;
    while (end - at >= 16) {
        const size_t plain = json_plain_bytes(at);
        at += plain;
        if (plain < 16)
            return *at == '"' ? at + 1 : json_string_end(r, at);
    }
    return json_string_end(r, at);
}

static const char *take_word(struct json_reader *r, const char *at, struct str word)
{
    if ((size_t)(r->end - at) < word.len || memcmp(at, word.ptr, word.len) != 0)
        return NULL;
    return at + word.len;
}

/* True for a byte that may stand behind an integer; all others are for json_number_end(). */
static bool ends_integer(char c)
{
    return c == ',' || c == '}' || c == ']';
}

static const char *take_number(struct json_reader *r, const char *begin)
{
    /* Most numbers are small integers. */
    const char *at = begin;
    const char *most = r->end - at > 16 ? at + 16 : r->end;
    while (at < most && ascii_is_digit(*at))
        at++;
    if (at > begin && at < most && ends_integer(*at) && (*begin != '0' || at == begin + 1))
        return at;
    return json_number_end(begin, r->end, r->lenient);
}

/* NULL without a fault that is noted. */
static const char *take_scalar(struct json_reader *r, const char *at)
{
    if (at >= r->end)
        return NULL;
    switch (*at) {
    case '"':
        return take_string(r, at + 1);
    case 't':
        return take_word(r, at, STR("true"));
    case 'f':
        return take_word(r, at, STR("false"));
    case 'n':
        return take_word(r, at, STR("null"));
    default:
        return take_number(r, at);
    }
}

/* ---- containers ---- */

ALWAYS_INLINE bool in_object(const struct json_reader *r)
{
    return (r->open[r->depth - 1] & IS_OBJECT) != 0;
}

/* Most keys of small objects are told from those before them by their first byte (of an empty one,
 * its quote) and their length. */
ALWAYS_INLINE void mark_key(struct json_reader *r, unsigned first, uint32_t len)
{
    const uint64_t mark = (uint64_t)1 << ((len * 5 + first * 11) & 63);
    uint64_t *marks = &r->marks[r->depth - 1];
    if ((*marks & mark) != 0 || r->escaped)
        r->open[r->depth - 1] |= IS_SUSPECT;
    *marks |= mark;
}

/* A key with its colon, up to its value. */
ALWAYS_INLINE const char *take_key(struct json_reader *r, const char *at)
{
    const char *const inside = at + 1;
    if (at >= r->end || *at != '"')
        return fail(r, JSON_RC_MALFORMED);
    r->escaped = false;
    r->nul = false;
    at = take_string(r, inside);
    if (at == NULL || r->nul)
        return fail(r, JSON_RC_MALFORMED);
    if (r->keys.n == r->keys.cap && json_keys_grow(&r->keys) < 0)
        return fail(r, JSON_RC_NO_MEMORY);
    const uint32_t len = (uint32_t)(at - 1 - inside);
    r->keys.keys[r->keys.n++] = (struct json_key){
        .at = (uint32_t)(inside - r->keys.text),
        .len = len & JSON_KEYS_MAX_BYTES,
        .escaped = r->escaped,
    };
    mark_key(r, (unsigned char)*inside, len);
    at = skip_blanks(at, r->end);
    if (at >= r->end || *at != ':')
        return fail(r, JSON_RC_MALFORMED);
    return skip_blanks(at + 1, r->end);
}

ALWAYS_INLINE const char *open_container(struct json_reader *r, const char *at)
{
    if (r->depth >= r->max_depth)
        return fail(r, JSON_RC_TOO_DEEP);
    r->marks[r->depth] = 0;
    r->open[r->depth++] = (uint32_t)r->keys.n << KEYS_SHIFT | (*at == '{' ? IS_OBJECT : 0);
    return skip_blanks(at + 1, r->end);
}

/* AT is at something else than a comma. */
ALWAYS_INLINE const char *close_container(struct json_reader *r, const char *at)
{
    const uint32_t open = r->open[r->depth - 1];
    const bool is_object = (open & IS_OBJECT) != 0;
    if (at >= r->end || *at != (is_object ? '}' : ']'))
        return fail(r, JSON_RC_MALFORMED);
    r->depth--;
    const size_t first_key = open >> KEYS_SHIFT;
    if ((open & IS_SUSPECT) != 0 || r->keys.n - first_key > JSON_KEYS_SMALL) {
        enum json_rc rc = json_keys_compare(&r->keys, first_key);
        if (rc != JSON_RC_OK)
            return fail(r, rc);
    }
    r->keys.n = first_key;
    return at + 1;
}

/* What stands behind a step. */
enum next { NEXT_VALUE, NEXT_KEY, NEXT_END };

/* Takes a value that is whole, a scalar or a container with nothing in it, or opens one. */
ALWAYS_INLINE enum next begin_value(struct json_reader *r, const char **place)
{
    const char *at = *place;
    if (at >= r->end || (*at != '{' && *at != '[')) {
        at = take_scalar(r, at);
        *place = at != NULL ? at : fail(r, JSON_RC_MALFORMED);
        return NEXT_END;
    }
    const char closing = *at == '{' ? '}' : ']';
    at = open_container(r, at);
    *place = at;
    if (at != NULL && at < r->end && *at == closing) {
        *place = at + 1;
        r->depth--;
        return NEXT_END;
    }
    return closing == '}' ? NEXT_KEY : NEXT_VALUE;
}

/* Behind a whole value: closes what ends here, down to DEPTH, or goes on in what is still open. */
ALWAYS_INLINE enum next end_value(struct json_reader *r, const char **place, unsigned depth)
{
    const char *at = *place;
    while (at != NULL && r->depth > depth) {
        at = skip_blanks(at, r->end);
        if (at < r->end && *at == ',') {
            *place = skip_blanks(at + 1, r->end);
            return in_object(r) ? NEXT_KEY : NEXT_VALUE;
        }
        at = close_container(r, at);
    }
    *place = at;
    return NEXT_END;
}

/* Over the value at hand, whatever is in it. */
static bool take_value(struct json_reader *r)
{
    const unsigned depth = r->depth;
    const char *at = r->at;
    enum next next;
    r->has_value = false;
    do {
        next = begin_value(r, &at);
        if (next == NEXT_END)
            next = end_value(r, &at, depth);
        if (next == NEXT_KEY && at != NULL)
            at = take_key(r, at);
    } while (at != NULL && next != NEXT_END);
    if (at != NULL)
        r->at = at;
    return at != NULL;
}

/* ---- for callers ---- */

void json_reader_start(struct json_reader *reader, struct str text,
                       const struct json_text_rules *rules)
{
    const unsigned max_depth = rules->limits.max_depth;
    reader->rc = JSON_RC_OK;
    if (!str_is_set(text))
        reader->rc = JSON_RC_MALFORMED;
    else if (text.len > rules->limits.max_bytes || text.len > JSON_KEYS_MAX_BYTES)
        reader->rc = JSON_RC_TOO_LARGE;
    if (reader->rc != JSON_RC_OK)
        text = STR("");
    reader->end = text.ptr + text.len;
    reader->at = skip_blanks(text.ptr, reader->end);
    reader->lenient = rules->lenient;
    reader->has_value = true;
    reader->is_fresh = false;
    reader->depth = 0;
    reader->max_depth = max_depth < JSON_TEXT_MAX_DEPTH ? max_depth : JSON_TEXT_MAX_DEPTH;
    json_keys_init(&reader->keys, text);
}

enum json_text_type json_reader_at(const struct json_reader *reader)
{
    const bool is_there = json_reader_first(reader) != '\0';
    return json_text_type(is_there ? str_make(reader->at, 1) : (struct str){0});
}

struct str json_reader_over(struct json_reader *reader)
{
    const char *begin = reader->at;
    if (reader->rc != JSON_RC_OK || !reader->has_value || !take_value(reader))
        return (struct str){0};
    return str_make(begin, (size_t)(reader->at - begin));
}

bool json_reader_into(struct json_reader *reader)
{
    const char first = json_reader_first(reader);
    if (first != '{' && first != '[')
        return false;
    const char *at = open_container(reader, reader->at);
    if (at == NULL)
        return false;
    reader->at = at;
    reader->has_value = false;
    reader->is_fresh = true;
    return true;
}

/* To the next key or element, not yet over the key; false behind the last one. */
ALWAYS_INLINE bool next_part(struct json_reader *r)
{
    if (r->rc != JSON_RC_OK || (r->has_value && !take_value(r)) || r->depth == 0)
        return false;
    const bool is_fresh = r->is_fresh;
    const char *at = is_fresh ? r->at : skip_blanks(r->at, r->end);
    r->is_fresh = false;
    if (!is_fresh && at < r->end && *at == ',') {
        r->at = skip_blanks(at + 1, r->end);
        return true;
    }
    if (is_fresh && (at >= r->end || *at != (in_object(r) ? '}' : ']'))) {
        r->at = at;
        return true;
    }
    at = close_container(r, at);
    if (at != NULL)
        r->at = at;
    return false;
}

bool json_reader_next_key(struct json_reader *reader, struct str *ret_raw_key)
{
    if (!next_part(reader))
        return false;
    if (!in_object(reader)) { /* an array has no keys */
        (void)fail(reader, JSON_RC_MALFORMED);
        return false;
    }
    const char *at = take_key(reader, reader->at);
    if (at == NULL)
        return false;
    const struct json_key *key = &reader->keys.keys[reader->keys.n - 1];
    *ret_raw_key = str_make(reader->keys.text + key->at, key->len);
    reader->at = at;
    reader->has_value = true;
    return true;
}

bool json_reader_next_element(struct json_reader *reader)
{
    reader->has_value = next_part(reader);
    return reader->has_value;
}

/* All parts of the innermost container that is open. */
static void finish_container(struct json_reader *r)
{
    struct str raw_key;
    if (in_object(r))
        while (json_reader_next_key(r, &raw_key)) {}
    else
        while (json_reader_next_element(r)) {}
}

enum json_rc json_reader_finish(struct json_reader *reader)
{
    if (reader->rc == JSON_RC_OK && reader->has_value)
        (void)take_value(reader);
    while (reader->rc == JSON_RC_OK && reader->depth > 0)
        finish_container(reader);
    if (reader->rc == JSON_RC_OK && skip_blanks(reader->at, reader->end) != reader->end)
        reader->rc = JSON_RC_MALFORMED;
    json_keys_free(&reader->keys);
    return reader->rc;
}
