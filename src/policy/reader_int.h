/* SPDX-License-Identifier: Apache-2.0 */
/* The reading of one policy file: what its steps share. Private to policy/.
 *
 * The steps, each a file: json_lines (positions) > refs (what $env and its like give) > check (the
 * table) > normalise (one shape, defaults) > build_* (cross checks, struct config_data). Every step
 * goes on after an error, so that one run reports all of them; a value that was reported once is
 * skipped silently by later steps.
 *
 * The JSON tree always holds the text of the file; what a reference in it gives lives in the
 * arena and is reached through reader_text() only. So nothing secret is ever printed with the
 * tree. */
#ifndef POLICY_READER_INT_H
#define POLICY_READER_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/json.h"
#include "base/json_lines.h"
#include "policy/config.h"

#define REFS_MAX 10000
#define REFS_MAX_VALUE_BYTES (64U * 1024)
#define REDACTED "[redacted]"

/* What a string value with a '$' means. */
struct ref_value {
    const json_t *at;
    struct str text; /* absent: it could not be resolved, which is reported */
    bool secret;     /* false when there was nothing but "$$" in it */
};

struct reader {
    const struct config_sources *sources;
    const char *base_dir;
    struct diag *diag;
    const struct json_lines *lines;
    struct arena *arena;
    struct ref_value *refs; /* sorted by address, owned */
    size_t n_refs;
    const struct config_file *files; /* that were read so far */
    int fault;                       /* the first fault that is not the policy's: -ENOMEM */
};

/* Where a value is, as a chain up to the root, which has no parent. Lives on the stack. */
struct place {
    const struct place *parent;
    struct str key; /* absent: an array element */
    size_t index;
};
#define PLACE_KEY(up, name) ((struct place){.parent = (up), .key = (name)})
#define PLACE_AT(up, i) ((struct place){.parent = (up), .index = (i)})

__attribute__((format(printf, 3, 4))) void
reader_error(struct reader *reader, const struct place *place, const char *format, ...);
__attribute__((format(printf, 3, 4))) void
reader_warn(struct reader *reader, const struct place *place, const char *format, ...);

/* A finding by pointer and line. */
void reader_add_finding(struct diag *diag, enum diag_level level, struct str pointer, unsigned line,
                        const char *text);

/* A string value after its references; absent when VALUE is no string or was not resolved. */
struct str reader_text(const struct reader *reader, const json_t *value);
/* The string holds something from outside the file, which must not be shown. */
bool reader_is_secret(const struct reader *reader, const json_t *value);
/* VALUE in quotes for a message, shortened and escaped, or "[redacted]". Never NULL. */
const char *reader_quote(struct reader *reader, const json_t *value);

/* config_sources.read_file(), and PATH, which has to last, is remembered as read for PLACE. */
int reader_read_file(struct reader *reader, const struct place *place, struct str path,
                     size_t max_bytes, struct buf *out);

/* Arena allocation that remembers when memory was short (then NULL or absent). */
void *reader_alloc(struct reader *reader, size_t count, size_t size);
struct str reader_keep(struct reader *reader, struct str text);
__attribute__((format(printf, 2, 3))) struct str reader_printf(struct reader *reader,
                                                               const char *format, ...);

/* A copy of VALUE (may be NULL) with its references replaced; what was not resolved is null. The
 * caller's; NULL for NULL, and when memory is short. */
json_t *reader_copy(struct reader *reader, const json_t *value);
/* The RFC 6901 pointer to PLACE, kept. */
struct str reader_pointer(struct reader *reader, const struct place *place);
/* PLACE is in the file itself, not filled in. */
bool reader_is_written(const struct reader *reader, const struct place *place);

/* Members of OBJECT (may be NULL) by key; the values were checked before, so what does not fit
 * gives the absent string or 0. */
struct str reader_member(const struct reader *reader, const json_t *object, const char *key);
int64_t reader_duration_ms(const struct reader *reader, const json_t *object, const char *key);
size_t reader_size_bytes(const struct reader *reader, const json_t *object, const char *key);
uint32_t reader_number(const json_t *object, const char *key);

/* An array of strings, all of them resolved; entries that are not are left out. */
struct str_list {
    struct str *items;
    size_t count;
};
struct str_list reader_strings(struct reader *reader, const json_t *array);

/* PATH from where the policy lies. */
struct str reader_path(struct reader *reader, struct str path);

/* Step by step; see the files. */
void refs_resolve(struct reader *reader, json_t *root);
void refs_resolve_value(struct reader *reader, const json_t *string, const struct place *place);
void check_document(struct reader *reader, json_t *root);
void normalise_document(struct reader *reader, json_t *root);
void expand_auth0(struct reader *reader, json_t *root); /* part of normalise_document() */
void build_document(struct reader *reader, json_t *root, struct config_data *ret_data);

/* The effective policy for people: known keys in the order of the table, secrets redacted. */
json_t *print_document(const struct reader *reader, json_t *root);

#endif
