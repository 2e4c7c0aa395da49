/* SPDX-License-Identifier: Apache-2.0 */
/* Where things stand in a JSON text: from a JSON pointer (RFC 6901) to a line, every duplicate key,
 * and a helpful sentence for a syntax error. For files that people write; jansson gives the values
 * but no positions, and stops at the first duplicate.
 *
 * It accepts a little more than RFC 8259 (numbers, UTF-8 and literals are only looked at coarsely),
 * so json_parse() has the last word on what is JSON. */
#ifndef BASE_JSON_LINES_H
#define BASE_JSON_LINES_H

#include <stdint.h>

#include "base/str.h"

#define JSON_LINES_MAX_VALUES (256U * 1024)
#define JSON_LINES_MAX_DEPTH 64
#define JSON_LINES_MAX_DUPLICATES 1000

struct json_lines;

/* A key that its object already has. */
struct json_duplicate {
    struct str pointer;
    unsigned line;       /* of the repetition */
    unsigned first_line; /* of the first one */
};

struct json_fault {
    unsigned line;
    const char *text; /* static: "a comma is missing before this" */
};

/* Scans TEXT, which must outlive the result. 0; -EINVAL: no JSON, or past one of the limits above,
 * *ret_fault says where and why; -ENOMEM. The caller owns *ret_lines. */
int json_lines_scan(struct str text, struct json_lines **ret_lines, struct json_fault *ret_fault);
/* Takes NULL, returns NULL. */
struct json_lines *json_lines_free(struct json_lines *lines);
/* For CLEANUP(). */
void json_lines_cleanup(struct json_lines **lines);

/* The line (from 1) of the key or array element that *POINTER names. When there is no such value
 * *POINTER is cut to the nearest one around it that is there, at last to "", the whole document.
 * Of a duplicate key it is the last one, which is also the one that a parser keeps. */
unsigned json_lines_find(const struct json_lines *lines, struct str *pointer);

/* The duplicate keys in the order of the file, at most JSON_LINES_MAX_DUPLICATES. Borrows from
 * LINES. */
const struct json_duplicate *json_lines_duplicates(const struct json_lines *lines,
                                                   size_t *ret_count);

#endif
