/* SPDX-License-Identifier: Apache-2.0 */
/* proto/field: lookup agrees with a plain search of the table, an appended value is a field value
 * that decodes to what it was, and the members of a list are what lies between its commas.
 *
 * Input: a name up to the first LF, then a value. */
#include "proto/field.h"

#include <assert.h>
#include <errno.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum field_id search(struct str name)
{
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_ID_COUNT; id++) {
        struct str known = field_name((enum field_id)id);
        bool family = id >= FIELD_ACCESS_CONTROL_OTHER;
        if (family ? name.len < known.len : name.len != known.len)
            continue;
        if (strncasecmp(name.ptr, known.ptr, known.len) == 0)
            return (enum field_id)id;
    }
    return FIELD_OTHER;
}

static void check_name(struct str name)
{
    char dashed[64];
    enum field_id id = field_lookup(name);
    assert(id == search(name));
    /* A member of a family may be the spelling of a name that is known. */
    assert(id == FIELD_OTHER || id >= FIELD_ACCESS_CONTROL_OTHER ||
           field_lookup_folded(name) == id);
    assert(field_fold_eq(name, name));
    if (name.len > sizeof(dashed))
        return;
    for (size_t i = 0; i < name.len; i++)
        dashed[i] = name.ptr[i] == '_' ? '-' : name.ptr[i];
    assert(field_lookup_folded(name) == search(str_make(dashed, name.len)));
    assert(field_fold_eq(name, str_make(dashed, name.len)));
}

static unsigned hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
}

static void check_append(struct str value)
{
    struct buf out = buf_make(3 * value.len + 1);
    struct buf back = buf_make(value.len + 1);
    int r = field_append_value(&out, value);
    assert(r == 0 || (r == -EINVAL && out.len == 0));
    assert(field_is_value(buf_str(&out)));
    for (size_t i = 0; i < out.len; i++) {
        char c = out.ptr[i];
        assert(c >= ' ' && c < 0x7f);
        if (c == '%') {
            c = (char)(hex(out.ptr[i + 1]) << 4 | hex(out.ptr[i + 2]));
            i += 2;
        }
        buf_append_char(&back, c);
    }
    assert(r != 0 || str_eq(buf_str(&back), value));
    buf_free(&out);
    buf_free(&back);
}

static void check_list(struct str list)
{
    struct str rest = list;
    struct str member;
    const char *end = list.ptr;
    while (field_list_next(&rest, &member)) {
        assert(member.len > 0 && str_trim(member).len == member.len);
        assert(str_find_char(member, ',') < 0);
        assert(field_list_has(list, member));
        for (; end < member.ptr; end++)
            assert(*end == ' ' || *end == '\t' || *end == ',');
        end = member.ptr + member.len;
    }
    for (; end < list.ptr + list.len; end++)
        assert(*end == ' ' || *end == '\t' || *end == ',');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str value = str_make((const char *)data, size);
    struct str name;
    if (!str_split(&value, '\n', &name))
        return 0;
    check_name(name);
    if (!str_is_set(value))
        return 0;
    check_append(value);
    check_list(value);
    if (field_media_type_is(value, STR("application/json")))
        assert(str_has_prefix_nocase(str_trim(value), STR("application/json")));
    return 0;
}
