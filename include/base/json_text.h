/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON (RFC 8259) without a tree: one pass says whether a text is one value that every
 * parser reads alike; after it, the text itself is walked, value by value, as views of its bytes.
 * base/json_reader.h does both at once, where the whole text is of interest.
 *
 * It costs no allocation for small texts and never more than a few bytes per byte of a large one.
 * base/json.h (jansson) is for what must be kept as a tree; what this check accepts, jansson
 * accepts, too (the fuzz target compares them). */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"

/* Longer numbers are refused: no parser keeps their digits. */
#define JSON_TEXT_MAX_NUMBER 1024
/* A larger limits.max_depth means this. */
#define JSON_TEXT_MAX_DEPTH 512

struct json_text_rules {
    struct json_limits limits;
    /* For texts that we did not ask for in this form (answers of an upstream): lone surrogate
     * escapes and numbers out of range are accepted, since all that reads them alike is the client.
     */
    bool lenient;
};

/* Refused: anything but exactly one value; bytes that are not UTF-8; a byte order mark; duplicate
 * keys at any depth, however they are escaped; NUL in a key; lone surrogates; numbers that overflow
 * a double; nesting or size past the limits. */
enum json_rc json_text_check(struct str text, const struct json_text_rules *rules);

/* ---- walking a text that json_text_check() accepted; nothing here fails but for memory ---- */

enum json_text_type {
    JSON_TEXT_OBJECT,
    JSON_TEXT_ARRAY,
    JSON_TEXT_STRING,
    JSON_TEXT_NUMBER,
    JSON_TEXT_TRUE,
    JSON_TEXT_FALSE,
    JSON_TEXT_NULL,
    JSON_TEXT_ABSENT, /* of the absent string: no such member */
};

/* The value without blanks around it. */
struct str json_text_root(struct str text);
/* Of a value that one of these functions gave. */
enum json_text_type json_text_type(struct str value);

/* Goes through an object or an array; anything else has no parts. */
struct json_text_iter {
    const char *at;
    const char *end;
};
struct json_text_iter json_text_iter(struct str value);
/* The next member: the inside of its key, still with its escapes, and its value. */
bool json_text_next_member(struct json_text_iter *iter, struct str *ret_raw_key,
                           struct str *ret_value);
bool json_text_next_element(struct json_text_iter *iter, struct str *ret_value);

/* True when RAW_KEY, as json_text_next_member() gave it, means KEY. */
bool json_text_key_is(struct str raw_key, struct str key);
/* The member KEY of OBJECT; absent when there is none or OBJECT is no object. */
struct str json_text_get(struct str object, struct str key);

/* What a string means: a view of VALUE itself when it has no escapes, else a copy in ARENA. The
 * absent string when VALUE is no string, or memory is short (then *RET_FAULT is -ENOMEM, else 0).
 * A lone surrogate (lenient) becomes U+FFFD. */
struct str json_text_string(struct str value, struct arena *arena, int *ret_fault);
/* The same for a key of json_text_next_member(). */
struct str json_text_key(struct str raw_key, struct arena *arena, int *ret_fault);

#endif
