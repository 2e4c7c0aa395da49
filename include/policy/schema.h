/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of every key of the policy file: type, default, unit, range, meaning.
 *
 * From it come the validation of a file, the defaults, the order of `portcullis print`, the JSON
 * Schema of `portcullis schema`, the man page portcullis-policy(5), and the test that
 * docs/POLICY.md describes every key. */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* What a value may be; several bits for a choice. */
#define SCHEMA_STRING 0x01U
#define SCHEMA_INTEGER 0x02U
#define SCHEMA_BOOLEAN 0x04U
#define SCHEMA_NULL 0x08U
#define SCHEMA_OBJECT 0x10U
#define SCHEMA_ARRAY 0x20U   /* its elements have a row of their own, PATH[] */
#define SCHEMA_STRINGS 0x40U /* an array of different strings of the row's unit */
#define SCHEMA_SCALARS 0x80U /* an array of different strings, numbers and booleans */
#define SCHEMA_RATIO 0x100U  /* a number from 0 to 1 */

/* What the strings of a row mean. */
enum schema_unit {
    UNIT_TEXT,
    UNIT_DURATION,  /* "30s", range in milliseconds */
    UNIT_SIZE,      /* "64KiB" or a number of bytes, range in bytes */
    UNIT_RATE,      /* "100/m" or a number per second, range of the number */
    UNIT_CHOICE,    /* one of the row's choices */
    UNIT_ALGORITHM, /* the same, for signatures */
    UNIT_ADDRESS,
    UNIT_CIDR,
    UNIT_DOMAIN,
    UNIT_URL,
    UNIT_PATH,
    UNIT_NAME, /* of an issuer */
    UNIT_SCOPE,
    UNIT_ORIGIN,
    UNIT_CLAIM,
    UNIT_GLOB,       /* see policy/rules.h */
    UNIT_PERMISSION, /* a scope, with {name} in it */
    UNIT_MODE,       /* of a file: "0660" */
    UNIT_PEM,        /* text with line breaks, no path */
    UNIT_ANY,        /* not looked at: an object of any members */
};

#define SCHEMA_REQUIRED 0x1U
#define SCHEMA_SECRET 0x2U /* print shows it as [redacted] */
#define SCHEMA_SUGAR 0x4U  /* gone from the effective policy */

struct schema_row {
    const char *path; /* "routes[].upstream.url"; "issuers.*" is a member with a free name */
    unsigned types;
    unsigned flags;
    enum schema_unit unit;
    const char *def;            /* default as JSON; NULL: absent, or as def_text says */
    const char *def_text;       /* default in words where def does not tell it */
    int64_t min, max;           /* of the number, or of the count of elements; both 0: any */
    const char *const *choices; /* NULL-terminated */
    const char *text;           /* the meaning, one sentence without the full stop */
};

const struct schema_row *schema_rows(size_t *ret_count);
/* The row of exactly this path, or NULL. */
const struct schema_row *schema_find(struct str path);
/* The row of the elements of ROW's array (SCHEMA_ARRAY), "PATH[]"; NULL when it has none. */
const struct schema_row *schema_element(const struct schema_row *row);
/* True when ROW describes a member of the object at PARENT ("" for the root); *ret_key is its key,
 * "*" for a free one. */
bool schema_is_member(const struct schema_row *row, struct str parent, struct str *ret_key);

/* Append what a value of ROW may be ("URL or object"), and its default ("required", a JSON value in
 * backticks, words, or "-"), for tables that people read. 0 or -errno. */
int schema_write_type(const struct schema_row *row, struct buf *out);
int schema_write_default(const struct schema_row *row, struct buf *out);

/* Appends the JSON Schema (2020-12), indented, without a final line end. 0 or -errno. */
int schema_write(struct buf *out);

#endif
