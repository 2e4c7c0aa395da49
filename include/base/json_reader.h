/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON (RFC 8259), read while it is checked: one pass that stops where the caller wants to
 * look. What is accepted and what is refused is said at json_text_check() (base/json_text.h), which
 * is this pass without a stop.
 *
 * The caller goes to keys and elements, and over values or into them. What it was given is known to
 * be strict JSON up to there only: what follows may still be refused, and so may the object that it
 * came from, for a duplicate key. So what was read is nothing before json_reader_finish() has said
 * JSON_RC_OK. Nothing has to be asked before: from the first fault on there are no more keys and
 * elements, and all values are absent. */
#ifndef BASE_JSON_READER_H
#define BASE_JSON_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json_text.h"

/* A key of an object that is not closed yet, as its place in the text. */
struct json_key {
    uint32_t at;
    uint32_t len : 31; /* of the inside, with its escapes */
    uint32_t escaped : 1;
};

#define JSON_KEYS_INLINE 64
#define JSON_KEYS_SECRETS 4

/* The keys of all objects that are open, the innermost last. Those of small texts fit into FIRST.
 */
struct json_keys {
    const char *text;
    struct json_key *keys;
    size_t n;
    size_t cap;
    struct json_slot *slots; /* a hash table, for large objects only */
    size_t n_slots;
    bool has_secrets;
    uint64_t secrets[JSON_KEYS_SECRETS];
    struct json_key first[JSON_KEYS_INLINE];
};

/* Lives on the stack; all of it is private. From json_reader_start() to json_reader_finish(). */
struct json_reader {
    const char *at;
    const char *end;
    enum json_rc rc;
    bool lenient;
    bool has_value; /* AT is at a value that was not taken yet */
    bool is_fresh;  /* AT is behind an opening bracket and the blanks there */
    bool escaped;   /* of the string that was read last */
    bool nul;       /* the same: it has U+0000 */
    unsigned depth;
    unsigned max_depth;
    /* The containers that are open: what they are, where their keys begin, which keys they have. */
    uint32_t open[JSON_TEXT_MAX_DEPTH];
    uint64_t marks[JSON_TEXT_MAX_DEPTH];
    struct json_keys keys;
};

/* At the root of TEXT, which is borrowed. */
void json_reader_start(struct json_reader *reader, struct str text,
                       const struct json_text_rules *rules);
/* Checks all that was not read yet, and frees what the reader has. Called once, in any case. */
enum json_rc json_reader_finish(struct json_reader *reader);

/* Where the reader is: at a value, or right behind the last one, or behind the bracket that closed
 * the last container. */
static inline const char *json_reader_place(const struct json_reader *reader)
{
    return reader->at;
}

/* The first byte of the value at hand, which says what it is if it is anything; NUL after a fault,
 * at the end, and when the value was taken. */
static inline char json_reader_first(const struct json_reader *reader)
{
    const bool is_there = reader->rc == JSON_RC_OK && reader->has_value && reader->at < reader->end;
    return is_there ? *reader->at : '\0';
}
static inline bool json_reader_is_object(const struct json_reader *reader)
{
    return json_reader_first(reader) == '{';
}
/* What it is; JSON_TEXT_ABSENT for none. */
enum json_text_type json_reader_at(const struct json_reader *reader);
/* Over the value at hand; absent when there is none. */
struct str json_reader_over(struct json_reader *reader);
/* Into the object or array at hand; false for anything else. */
bool json_reader_into(struct json_reader *reader);

/* Inside of an object: to its next value, whose key is *RET_RAW_KEY, still with its escapes. Inside
 * of an array: to its next element. Values that were not taken are gone over. False behind the last
 * one: the reader is behind the container, in the one around it. */
bool json_reader_next_key(struct json_reader *reader, struct str *ret_raw_key);
bool json_reader_next_element(struct json_reader *reader);

#endif
