/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/schema.h"

const struct schema_row *schema_find(struct str path)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    for (size_t i = 0; i < count; i++)
        if (str_eq(str_from_cstr(rows[i].path), path))
            return &rows[i];
    return NULL;
}

const struct schema_row *schema_element(const struct schema_row *row)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    struct str path = str_from_cstr(row->path);
    for (size_t i = 0; i < count; i++) {
        struct str other = str_from_cstr(rows[i].path);
        if (other.len == path.len + 2 && str_has_prefix(other, path) &&
            str_has_suffix(other, STR("[]")))
            return &rows[i];
    }
    return NULL;
}

bool schema_is_member(const struct schema_row *row, struct str parent, struct str *ret_key)
{
    struct str path = str_from_cstr(row->path);
    if (parent.len > 0) {
        if (!str_has_prefix(path, parent) || path.len == parent.len || path.ptr[parent.len] != '.')
            return false;
        path = str_from(path, parent.len + 1);
    }
    if (str_find_char(path, '.') >= 0 || str_find_char(path, '[') >= 0)
        return false;
    *ret_key = path;
    return true;
}
