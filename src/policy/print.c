/* SPDX-License-Identifier: Apache-2.0 */
/* The effective policy: known keys in the order of the table, secrets replaced. */
#include "base/err.h"
#include "policy/reader_int.h"
#include "policy/schema.h"

static json_t *print_members(const struct reader *reader, json_t *object, const char *path);

static json_t *print_string(const struct reader *reader, const struct schema_row *row,
                            json_t *string)
{
    if ((row->flags & SCHEMA_SECRET) != 0 || reader_is_secret(reader, string))
        return json_string(REDACTED);
    return json_incref(string);
}

static json_t *print_value(const struct reader *reader, const struct schema_row *row,
                           json_t *value);

static json_t *print_elements(const struct reader *reader, const struct schema_row *row,
                              json_t *array)
{
    const struct schema_row *objects = schema_element(row);
    CLEANUP(json_unref) json_t *list = json_array();
    json_t *element;
    size_t i;
    json_array_foreach (array, i, element)
        if (json_array_append_new(
                list, print_value(reader, objects != NULL ? objects : row, element)) < 0)
            return NULL;
    return TAKE(list);
}

/* An object of any members: as it is, but for what references gave. */
static json_t *print_any(const struct reader *reader, const struct schema_row *row, json_t *value)
{
    CLEANUP(json_unref) json_t *out = json_is_array(value) ? json_array() : json_object();
    const char *name;
    size_t name_len;
    json_t *child;
    size_t i;
    int r = 0;
    if (!json_is_array(value) && !json_is_object(value))
        return print_value(reader, row, value);
    json_array_foreach (value, i, child)
        r |= json_array_append_new(out, print_any(reader, row, child));
    json_object_keylen_foreach (value, name, name_len, child)
        r |= json_object_setn_new(out, name, name_len, print_any(reader, row, child));
    return r == 0 ? TAKE(out) : NULL;
}

static json_t *print_value(const struct reader *reader, const struct schema_row *row, json_t *value)
{
    if (json_is_string(value))
        return print_string(reader, row, value);
    if (row->unit == UNIT_ANY && (json_is_array(value) || json_is_object(value)))
        return print_any(reader, row, value);
    if (json_is_object(value))
        return print_members(reader, value, row->path);
    if (json_is_array(value))
        return print_elements(reader, row, value);
    return json_incref(value);
}

static int print_free_members(const struct reader *reader, json_t *object,
                              const struct schema_row *row, json_t *out)
{
    const char *name;
    json_t *value;
    json_object_foreach (object, name, value)
        if (json_object_set_new(out, name, print_value(reader, row, value)) < 0)
            return -1;
    return 0;
}

static json_t *print_members(const struct reader *reader, json_t *object, const char *path)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    CLEANUP(json_unref) json_t *out = json_object();
    struct str key;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if ((rows[i].flags & SCHEMA_SUGAR) != 0 ||
            !schema_is_member(&rows[i], str_from_cstr(path), &key))
            continue;
        json_t *value = json_object_get(object, key.ptr);
        if (str_eq(key, STR("*")))
            r = print_free_members(reader, object, &rows[i], out);
        else if (value != NULL)
            r = json_object_set_new(out, key.ptr, print_value(reader, &rows[i], value));
    }
    return r == 0 ? TAKE(out) : NULL;
}

json_t *print_document(const struct reader *reader, json_t *root)
{
    return print_members(reader, root, "");
}
