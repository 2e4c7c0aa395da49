/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys as a JSON Schema (2020-12), for editors and other tools.
 *
 * A string value may hold a reference such as $env(NAME) instead of what its pattern asks for, so
 * every restriction of a string lets a '$' through. */
#include <errno.h>

#include "base/err.h"
#include "base/json.h"
#include "policy/schema.h"

#define SCHEMA_URL "https://json-schema.org/draft/2020-12/schema"
#define REFERENCE_PATTERN "\\$"

static json_t *describe(const struct schema_row *row);

/* Takes VALUE; a NULL one (no memory) makes the whole object fail. */
static int put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value);
}

static json_t *type_names(unsigned types)
{
    static const struct {
        unsigned bits;
        const char *name;
    } names[] = {
        {SCHEMA_STRING, "string"}, {SCHEMA_INTEGER, "integer"},
        {SCHEMA_RATIO, "number"},  {SCHEMA_BOOLEAN, "boolean"},
        {SCHEMA_OBJECT, "object"}, {SCHEMA_ARRAY | SCHEMA_STRINGS | SCHEMA_SCALARS, "array"},
        {SCHEMA_NULL, "null"},
    };
    CLEANUP(json_unref) json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if ((types & names[i].bits) != 0 &&
            json_array_append_new(list, json_string(names[i].name)) < 0)
            return NULL;
    if (json_array_size(list) == 1)
        return json_incref(json_array_get(list, 0));
    return TAKE(list);
}

static const char *unit_pattern(enum schema_unit unit)
{
    switch (unit) {
    case UNIT_DURATION:
        return "^[0-9]+(ms|s|m|h|d)$|" REFERENCE_PATTERN;
    case UNIT_SIZE:
        return "^[0-9]+(B|KiB|MiB|GiB)$|" REFERENCE_PATTERN;
    case UNIT_RATE:
        return "^[0-9]+/([0-9]+(ms|s|m|h|d)|s|m|h|d)$|" REFERENCE_PATTERN;
    case UNIT_URL:
        return "^https?://|" REFERENCE_PATTERN;
    case UNIT_SCOPE: /* scope-token of RFC 6749 3.3 */
    case UNIT_PERMISSION:
        return "^[!#-\\[\\]-~]+$";
    case UNIT_ORIGIN:
        return "^(\\*|null|[a-z][a-z0-9+.-]*://[^/]+)$|" REFERENCE_PATTERN;
    case UNIT_MODE:
        return "^0?[0-7]{3}$|" REFERENCE_PATTERN;
    case UNIT_PEM:
        return "-----BEGIN |" REFERENCE_PATTERN;
    case UNIT_DOMAIN:
        return "^[a-z0-9.-]+$|" REFERENCE_PATTERN;
    case UNIT_TEXT:
    case UNIT_CHOICE:
    case UNIT_ALGORITHM:
    case UNIT_ADDRESS:
    case UNIT_CIDR:
    case UNIT_PATH:
    case UNIT_NAME:
    case UNIT_CLAIM:
    case UNIT_GLOB:
    case UNIT_ANY:
        return NULL;
    }
    return NULL;
}

/* One of the choices, null where the row allows it, or a reference. */
static int put_choices(json_t *object, const struct schema_row *row)
{
    json_t *choices = json_array();
    json_t *any_of = json_array();
    int r = put(object, "anyOf", any_of);
    r |= json_array_append_new(any_of, json_pack("{s:o}", "enum", choices));
    r |= json_array_append_new(
        any_of, json_pack("{s:s, s:s}", "type", "string", "pattern", REFERENCE_PATTERN));
    for (const char *const *choice = row->choices; r == 0 && *choice != NULL; choice++)
        r |= json_array_append_new(choices, json_string(*choice));
    if (r == 0 && (row->types & SCHEMA_NULL) != 0)
        r |= json_array_append_new(choices, json_null());
    return r;
}

/* What the strings of a row look like. */
static int put_string_rules(json_t *object, const struct schema_row *row)
{
    const char *pattern = unit_pattern(row->unit);
    if (row->choices != NULL)
        return put_choices(object, row);
    return pattern != NULL ? put(object, "pattern", json_string(pattern)) : 0;
}

/* The elements of a list of strings. */
static int put_strings(json_t *object, const struct schema_row *row)
{
    json_t *items = json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
    int r = put(object, "items", items);
    if (r == 0)
        r = put_string_rules(items, row);
    return r | put(object, "uniqueItems", json_true());
}

static int put_scalars(json_t *object)
{
    json_t *items = json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean");
    return put(object, "items", items) | put(object, "uniqueItems", json_true());
}

static int put_elements(json_t *object, const struct schema_row *row)
{
    const struct schema_row *element = schema_element(row);
    return element != NULL ? put(object, "items", describe(element)) : -1;
}

/* The members of the object at PARENT ("" for the root). */
static int put_members(json_t *object, const char *parent)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    CLEANUP(json_unref) json_t *properties = json_object();
    CLEANUP(json_unref) json_t *required = json_array();
    CLEANUP(json_unref) json_t *others = json_false();
    struct str key;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (!schema_is_member(&rows[i], str_from_cstr(parent), &key))
            continue;
        if (str_eq(key, STR("*"))) {
            json_unref(&others);
            others = describe(&rows[i]);
            continue;
        }
        r = json_object_setn_new(properties, key.ptr, key.len, describe(&rows[i]));
        if ((rows[i].flags & SCHEMA_REQUIRED) != 0)
            r |= json_array_append_new(required, json_stringn(key.ptr, key.len));
    }
    if (json_object_size(properties) > 0)
        r |= json_object_set(object, "properties", properties);
    if (json_array_size(required) > 0)
        r |= json_object_set(object, "required", required);
    return r | json_object_set(object, "additionalProperties", others);
}

static int put_limit(json_t *object, const char *key, int64_t value)
{
    return value != 0 ? put(object, key, json_integer(value)) : 0;
}

static int put_range(json_t *object, const struct schema_row *row)
{
    int r = 0;
    if ((row->types & SCHEMA_RATIO) != 0)
        r |= put(object, "minimum", json_integer(0)) | put(object, "maximum", json_integer(1));
    if ((row->types & SCHEMA_INTEGER) != 0) {
        r |= put_limit(object, "minimum", row->min);
        r |= put_limit(object, "maximum", row->max);
    }
    if ((row->types & (SCHEMA_ARRAY | SCHEMA_STRINGS | SCHEMA_SCALARS)) != 0) {
        r |= put_limit(object, "minItems", row->min);
        r |= put_limit(object, "maxItems", row->max);
    } else if ((row->types & SCHEMA_OBJECT) != 0) {
        r |= put_limit(object, "minProperties", row->min);
        r |= put_limit(object, "maxProperties", row->max);
    }
    return r;
}

static int put_text(json_t *object, const struct schema_row *row)
{
    if (row->def_text != NULL)
        return put(object, "description",
                   json_sprintf("%s. Default: %s.", row->text, row->def_text));
    return put(object, "description", json_sprintf("%s.", row->text));
}

static int put_rules(json_t *object, const struct schema_row *row)
{
    int r = put(object, "type", type_names(row->types));
    if (row->def != NULL)
        r |= put(object, "default", json_make(row->def));
    if ((row->types & SCHEMA_STRING) != 0)
        r |= put_string_rules(object, row);
    if ((row->types & SCHEMA_STRINGS) != 0)
        r |= put_strings(object, row);
    if ((row->types & SCHEMA_SCALARS) != 0)
        r |= put_scalars(object);
    if ((row->types & SCHEMA_OBJECT) != 0 && row->unit != UNIT_ANY)
        r |= put_members(object, row->path);
    if ((row->types & SCHEMA_ARRAY) != 0)
        r |= put_elements(object, row);
    return r | put_range(object, row);
}

/* The schema of one row; NULL when memory is short. */
static json_t *describe(const struct schema_row *row)
{
    CLEANUP(json_unref) json_t *object = json_object();
    int r = put_text(object, row);
    if (row->types == 0) /* a key of a later release: nothing is right */
        r |= put(object, "not", json_object());
    else
        r |= put_rules(object, row);
    return r == 0 ? TAKE(object) : NULL;
}

static int put_root(json_t *root)
{
    int r = put(root, "$schema", json_string(SCHEMA_URL));
    r |= put(root, "title", json_string("Portcullis policy"));
    r |= put(root, "description",
             json_string("One file says what Portcullis guards and whose tokens it takes."));
    r |= put(root, "type", json_string("object"));
    r |= put_members(root, "");
    return r | put(root, "anyOf",
                   json_pack("[{s:[s]}, {s:[s]}]", "required", "auth0", "required", "issuers"));
}

int schema_write(struct buf *out)
{
    CLEANUP(json_unref) json_t *root = json_object();
    return put_root(root) == 0 ? json_write(root, 2, out) : -ENOMEM;
}
