/* SPDX-License-Identifier: Apache-2.0 */
/* JSON with limits (RFC 8259): the one place that includes jansson.
 *
 * Refused: duplicate keys at any depth, invalid UTF-8, bytes after the value, nesting or size past
 * the limits given. Owning locals: CLEANUP(json_unref) json_t *root = NULL. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct json_limits {
    size_t max_bytes;
    unsigned max_depth; /* the root has depth 1 */
};

enum json_rc {
    JSON_RC_OK,
    JSON_RC_TOO_LARGE,
    JSON_RC_TOO_DEEP,
    JSON_RC_MALFORMED, /* not JSON, not UTF-8, or bytes behind the value */
    JSON_RC_DUPLICATE_KEY,
    JSON_RC_NO_MEMORY,
};

/* From now on what jansson frees is overwritten first: policies hold secrets, and tokens say who
 * somebody is. For the start of the process, before any value is made. */
void json_wipe_what_is_freed(void);

/* Parses exactly one value of any type. *ret_root is the caller's (json_decref); untouched on
 * failure. *ret_line (may be NULL) is the line of a fault, from 1, or 0. At most
 * JSON_TEXT_MAX_DEPTH levels, and numbers of JSON_TEXT_MAX_NUMBER bytes (base/json_text.h). */
enum json_rc json_parse(struct str text, struct json_limits limits, json_t **ret_root,
                        unsigned *ret_line);
/* The value of TEXT, which is ours and valid. NULL: no memory. */
json_t *json_make(const char *text);
/* A sentence fragment for people: "is not valid JSON". */
const char *json_rc_text(enum json_rc rc);

/* For CLEANUP(): drops the reference of *ROOT. */
void json_unref(json_t **root);

/* A view of a JSON string, also with embedded NULs; absent when VALUE is NULL or no string. Borrows
 * from VALUE. */
struct str json_str(const json_t *value);
/* The string member KEY of OBJECT; absent when missing or no string. */
struct str json_get_str(const json_t *object, const char *key);

/* A number as seconds: an integer, or a finite real below 2^53, rounded down. 0, -EINVAL (no
 * number) or -ERANGE. */
int json_to_i64(const json_t *value, int64_t *ret_value);

/* The same for a value of a text that json_text_check() accepted. */
int json_text_to_i64(struct str value, int64_t *ret_value);
/* False when VALUE, of such a text, holds an integer past 64 bits at any depth: the one thing that
 * json_text_check() accepts and json_parse() refuses. */
bool json_text_integers_fit(struct str value);

/* Appends VALUE as compact JSON, or indented by INDENT spaces when that is not 0, keys in the order
 * of the file. 0 or -errno. */
int json_write(const json_t *value, unsigned indent, struct buf *out);

/* The version of jansson that the program runs on. */
const char *json_library_version(void);

#endif
