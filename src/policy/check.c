/* SPDX-License-Identifier: Apache-2.0 */
/* The file against the table of keys: unknown keys, missing keys, wrong types, ranges, choices.
 * What one value alone cannot tell is checked in build_*.c. */
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "policy/check_int.h"

#define MAX_PATH 128

static void check_value(struct reader *reader, const struct schema_row *row, json_t *value,
                        const struct place *place);

static const char *type_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a number";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static unsigned type_bit(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return SCHEMA_OBJECT;
    case JSON_ARRAY:
        return SCHEMA_ARRAY | SCHEMA_STRINGS | SCHEMA_SCALARS;
    case JSON_STRING:
        return SCHEMA_STRING;
    case JSON_INTEGER:
        return SCHEMA_INTEGER | SCHEMA_RATIO;
    case JSON_REAL:
        return SCHEMA_RATIO;
    case JSON_TRUE:
    case JSON_FALSE:
        return SCHEMA_BOOLEAN;
    case JSON_NULL:
        return SCHEMA_NULL;
    }
    return 0;
}

static void report_type(struct reader *reader, const struct schema_row *row, json_t *value,
                        const struct place *place)
{
    const struct {
        unsigned bits;
        const char *text;
    } names[] = {
        {SCHEMA_STRING, check_unit_text(row->unit)},
        {SCHEMA_INTEGER, "a whole number"},
        {SCHEMA_RATIO, "a number from 0 to 1"},
        {SCHEMA_BOOLEAN, "true or false"},
        {SCHEMA_OBJECT, "an object"},
        {SCHEMA_ARRAY, "an array"},
        {SCHEMA_STRINGS, "an array of strings"},
        {SCHEMA_SCALARS, "an array of strings, numbers or booleans"},
        {SCHEMA_NULL, "null"},
    };
    CLEANUP(buf_free) struct buf text = buf_make(1024);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if ((row->types & names[i].bits) != 0)
            (void)buf_printf(&text, "%s%s", text.len > 0 ? " or " : "", names[i].text);
    reader_error(reader, place, "must be %.*s, not %s", STR_ARG(buf_str(&text)), type_text(value));
}

/* Edits from KEY to NAME, at most MAX + 1. A beginning that was not finished is as good as one. */
static size_t key_distance(struct str key, struct str name, size_t max)
{
    bool begun = key.len >= 4 && str_has_prefix(name, key);
    return begun ? 1 : str_distance(key, name, max);
}

/* The known key nearest to KEY among the members of PARENT: at most two edits, and fewer than
 * half of its bytes. */
static struct str nearest_key(struct str parent, struct str key)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    struct str nearest = {0};
    size_t best = size_min(2, key.len / 2) + 1;
    struct str name;
    for (size_t i = 0; i < count; i++) {
        if (!schema_is_member(&rows[i], parent, &name))
            continue;
        size_t distance = key_distance(key, name, best);
        if (distance < best) {
            nearest = name;
            best = distance;
        }
    }
    return nearest;
}

/* The first place where a key of exactly this name is known. */
static const struct schema_row *find_elsewhere(struct str key)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    for (size_t i = 0; i < count; i++) {
        struct str path = str_from_cstr(rows[i].path);
        const char *dot = memrchr(path.ptr, '.', path.len);
        if (str_eq(str_from(path, dot != NULL ? (size_t)(dot - path.ptr) + 1 : 0), key))
            return &rows[i];
    }
    return NULL;
}

static void report_unknown(struct reader *reader, struct str parent, struct str key,
                           const struct place *place)
{
    struct str nearest = nearest_key(parent, key);
    const struct schema_row *elsewhere = find_elsewhere(key);
    if (str_is_set(nearest))
        reader_error(reader, place, "unknown key; did you mean \"%.*s\"?", STR_ARG(nearest));
    else if (elsewhere != NULL)
        reader_error(reader, place, "unknown key here; it belongs to %s", elsewhere->path);
    else
        reader_error(reader, place, "unknown key");
}

static void report_missing(struct reader *reader, struct str parent, json_t *object,
                           const struct place *place)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    struct str key;
    for (size_t i = 0; i < count; i++)
        if ((rows[i].flags & SCHEMA_REQUIRED) != 0 && schema_is_member(&rows[i], parent, &key) &&
            json_object_getn(object, key.ptr, key.len) == NULL)
            reader_error(reader, place, "\"%.*s\" is missing", STR_ARG(key));
}

/* PARENT.KEY, or the row of PARENT's free members. */
static const struct schema_row *find_member(struct str parent, struct str key)
{
    char path[MAX_PATH];
    const char *dot = parent.len > 0 ? "." : "";
    int len = snprintf(path, sizeof(path), "%.*s%s%.*s", STR_ARG(parent), dot, STR_ARG(key));
    const struct schema_row *row = NULL;
    struct str name;
    if (len > 0 && (size_t)len < sizeof(path) && !str_has_nul(key))
        row = schema_find(str_make(path, (size_t)len));
    /* A key with a dot or a bracket in it is no path. */
    if (row != NULL && schema_is_member(row, parent, &name) && !str_eq(name, STR("*")))
        return row;
    len = snprintf(path, sizeof(path), "%.*s%s*", STR_ARG(parent), dot);
    return schema_find(str_make(path, (size_t)len));
}

static void check_members(struct reader *reader, struct str parent, json_t *object,
                          const struct place *place)
{
    const char *key;
    size_t key_len;
    json_t *value;
    json_object_keylen_foreach (object, key, key_len, value) {
        struct str name = str_make(key, key_len);
        struct place at = PLACE_KEY(place, name);
        const struct schema_row *row = find_member(parent, name);
        if (row != NULL)
            check_value(reader, row, value, &at);
        else
            report_unknown(reader, parent, name, &at);
    }
    report_missing(reader, parent, object, place);
}

static void check_count(struct reader *reader, const struct schema_row *row, size_t count,
                        const struct place *place)
{
    if (count == 0 && row->min > 0)
        reader_error(reader, place, "must not be empty");
    else if (row->max > 0 && count > (size_t)row->max)
        reader_error(reader, place, "has %zu entries; at most %" PRId64 " are possible", count,
                     row->max);
}

/* Strings that are all different. A count past the row's limit was reported; no need to compare
 * thousands with each other. */
static void check_strings(struct reader *reader, const struct schema_row *row, json_t *array,
                          const struct place *place)
{
    size_t count = size_min(json_array_size(array), row->max > 0 ? (size_t)row->max : SIZE_MAX);
    CLEANUP(json_unref) json_t *seen = json_object();
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_array_get(array, i);
        struct place at = PLACE_AT(place, i);
        if (!json_is_string(value)) {
            reader_error(reader, &at, "must be %s, not %s", check_unit_text(row->unit),
                         type_text(value));
            continue;
        }
        check_string(reader, row, value, &at);
        struct str text = reader_text(reader, value);
        if (!str_is_set(text) || str_has_nul(text))
            continue;
        if (json_object_getn(seen, text.ptr, text.len) != NULL)
            reader_error(reader, &at, "%s is listed twice", reader_quote(reader, value));
        (void)json_object_setn_new(seen, text.ptr, text.len, json_true());
    }
}

static bool is_scalar(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static bool is_listed_before(const json_t *array, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (json_equal(json_array_get(array, i), json_array_get(array, index)))
            return true;
    return false;
}

/* Strings, numbers and booleans that are all different. */
static void check_scalars(struct reader *reader, const struct schema_row *row, json_t *array,
                          const struct place *place)
{
    size_t count = size_min(json_array_size(array), (size_t)row->max);
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_array_get(array, i);
        struct place at = PLACE_AT(place, i);
        if (json_is_string(value))
            check_string(reader, row, value, &at);
        if (!is_scalar(value))
            reader_error(reader, &at, "must be a string, a number or a boolean, not %s",
                         type_text(value));
        else if (is_listed_before(array, i))
            reader_error(reader, &at, "is listed twice");
    }
}

static void check_elements(struct reader *reader, const struct schema_row *row, json_t *array,
                           const struct place *place)
{
    const struct schema_row *element = schema_element(row);
    for (size_t i = 0; element != NULL && i < json_array_size(array); i++) {
        struct place at = PLACE_AT(place, i);
        check_value(reader, element, json_array_get(array, i), &at);
    }
}

static void check_value(struct reader *reader, const struct schema_row *row, json_t *value,
                        const struct place *place)
{
    unsigned type = row->types & type_bit(value);
    if (type == 0) {
        report_type(reader, row, value, place);
    } else if (type == SCHEMA_STRING) {
        check_string(reader, row, value, place);
    } else if (type == SCHEMA_INTEGER) {
        check_range(reader, row, json_integer_value(value), place);
    } else if (type == SCHEMA_RATIO) {
        if (json_number_value(value) < 0 || json_number_value(value) > 1)
            reader_error(reader, place, "must be from 0 to 1");
    } else if (type == SCHEMA_STRINGS) {
        check_count(reader, row, json_array_size(value), place);
        check_strings(reader, row, value, place);
    } else if (type == SCHEMA_SCALARS) {
        check_count(reader, row, json_array_size(value), place);
        check_scalars(reader, row, value, place);
    } else if (type == SCHEMA_ARRAY) {
        check_count(reader, row, json_array_size(value), place);
        check_elements(reader, row, value, place);
    } else if (type == SCHEMA_OBJECT && row->unit != UNIT_ANY) {
        check_count(reader, row, json_object_size(value), place);
        check_members(reader, str_from_cstr(row->path), value, place);
    }
}

void check_document(struct reader *reader, json_t *root)
{
    struct place top = {0};
    if (json_is_object(root))
        check_members(reader, STR(""), root, &top);
    else
        reader_error(reader, &top, "a policy is an object: { ... }, not %s", type_text(root));
}
