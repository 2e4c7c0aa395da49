/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/field.h"

#include <errno.h>

#include "base/err.h"
#include "proto/chars_int.h"

/* A look-up is made for either spelling, and each of its parts with it. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

struct field_row {
    struct str name;
    unsigned flags;
};

#define FIELD_ROW(id, text, bits) [FIELD_##id] = {.name = STR_INIT(text), .flags = (bits)},

static const struct field_row table[FIELD_ID_COUNT] = {
    [FIELD_OTHER] = {.name = STR_INIT(""), .flags = 0},
    [FIELD_ACCESS_CONTROL_OTHER] = {STR_INIT("access-control-"), FIELD_RESPONSE_STRIP},
    [FIELD_X_FORWARDED_OTHER] = {STR_INIT("x-forwarded-"), FIELD_REQUEST_STRIP},
    [FIELD_X_ACCEL_OTHER] = {STR_INIT("x-accel-"), FIELD_RESPONSE_STRIP},
    FIELD_TABLE(FIELD_ROW) /* the last, for it brings its own commas */
};

/* The first row of each length; the rows of one length lie together. FIELD_OTHER where none is. */
static const uint8_t first_of_length[] = {
    [2] = FIELD_TE,
    [4] = FIELD_DATE,
    [5] = FIELD_PROXY,
    [6] = FIELD_ACCEPT,
    [7] = FIELD_COOKIE2,
    [8] = FIELD_MCP_NAME,
    [9] = FIELD_FORWARDED,
    [10] = FIELD_CONNECTION,
    [11] = FIELD_TRACEPARENT,
    [12] = FIELD_CONTENT_TYPE,
    [13] = FIELD_AUTHORIZATION,
    [14] = FIELD_CONTENT_LENGTH,
    [15] = FIELD_ACCEPT_ENCODING,
    [16] = FIELD_PROXY_CONNECTION,
    [17] = FIELD_TRANSFER_ENCODING,
    [18] = FIELD_PROXY_AUTHENTICATE,
    [19] = FIELD_PROXY_AUTHORIZATION,
    [20] = FIELD_MCP_PROTOCOL_VERSION,
    [22] = FIELD_X_HTTP_METHOD_OVERRIDE,
    [25] = FIELD_PROXY_AUTHENTICATION_INFO,
    [29] = FIELD_ACCESS_CONTROL_REQUEST_METHOD,
    [30] = FIELD_ACCESS_CONTROL_REQUEST_HEADERS,
};

/* The eight bytes with letters in lower case and '_' as '-'. */
ALWAYS_INLINE uint64_t spell8(uint64_t eight)
{
    uint64_t lower = ascii_lower8(eight);
    /* Zero where there is a '_'; then the high bit is set there and nowhere else. */
    uint64_t other = lower ^ (ASCII_ONES * '_');
    uint64_t low = other & ~ASCII_HIGHS;
    uint64_t found = ~((low + ~ASCII_HIGHS) | other) & ASCII_HIGHS;
    return lower ^ ((found >> 7) * ('_' ^ '-'));
}

/* EIGHT is KNOWN, which is spelled as spell8() leaves it: of its bytes, those with the bit 0x40 are
 * letters, and only those may differ, in the bit of their case. */
ALWAYS_INLINE bool is_known8(uint64_t eight, uint64_t known, bool folded)
{
    uint64_t letters = known & (ASCII_ONES * 0x40);
    if (folded)
        return spell8(eight) == known;
    return ((eight ^ known) & ~(letters >> 1)) == 0;
}

/* LEN bytes at NAME are those at KNOWN. */
ALWAYS_INLINE bool name_is(const char *name, const char *known, size_t len, bool folded)
{
    const size_t step = sizeof(uint64_t);
    for (; len > step; len -= step, name += step, known += step)
        if (!is_known8(ascii_load8(name, step), ascii_load8(known, step), folded))
            return false;
    return is_known8(ascii_load8(name, len), ascii_load8(known, len), folded);
}

bool field_fold_eq(struct str a, struct str b)
{
    const size_t step = sizeof(uint64_t);
    size_t i = 0;
    if (a.len != b.len)
        return false;
    for (; i < a.len; i += step) {
        size_t len = size_min(a.len - i, step);
        if (spell8(ascii_load8(a.ptr + i, len)) != spell8(ascii_load8(b.ptr + i, len)))
            return false;
    }
    return true;
}

ALWAYS_INLINE enum field_id lookup_family(struct str name, bool folded)
{
    for (unsigned id = FIELD_ACCESS_CONTROL_OTHER; id < FIELD_ID_COUNT; id++)
        if (name.len >= table[id].name.len &&
            name_is(name.ptr, table[id].name.ptr, table[id].name.len, folded))
            return (enum field_id)id;
    return FIELD_OTHER;
}

ALWAYS_INLINE enum field_id lookup(struct str name, bool folded)
{
    unsigned id = name.len < ARRAY_LEN(first_of_length) ? first_of_length[name.len] : FIELD_OTHER;
    for (; id != FIELD_OTHER && table[id].name.len == name.len; id++)
        /* The last byte tells most of them apart; it is never one that folding changes. */
        if (ascii_lower(name.ptr[name.len - 1]) == table[id].name.ptr[name.len - 1] &&
            name_is(name.ptr, table[id].name.ptr, name.len, folded))
            return (enum field_id)id;
    return lookup_family(name, folded);
}

enum field_id field_lookup(struct str name)
{
    return lookup(name, false);
}

enum field_id field_lookup_folded(struct str name)
{
    return lookup(name, true);
}

unsigned field_flags(enum field_id id)
{
    return table[id].flags;
}

struct str field_name(enum field_id id)
{
    return table[id].name;
}

bool field_is_name(struct str name)
{
    return chars_all(name, CHARS_TOKEN);
}

bool field_is_value(struct str value)
{
    return str_trim(value).len == value.len && chars_value_run(value.ptr, value.len) == value.len;
}

bool field_list_next(struct str *rest, struct str *ret_member)
{
    struct str part;
    while (str_split(rest, ',', &part)) {
        struct str member = str_trim(part);
        if (member.len == 0)
            continue;
        *ret_member = member;
        return true;
    }
    return false;
}

bool field_list_has(struct str list, struct str token)
{
    struct str member;
    while (field_list_next(&list, &member))
        if (str_eq_nocase(member, token))
            return true;
    return false;
}

bool field_media_type_is(struct str value, struct str type)
{
    struct str essence;
    return str_split(&value, ';', &essence) && str_eq_nocase(str_trim(essence), type);
}

bool field_is_json_type(struct str value)
{
    struct str part;
    size_t n_charsets = 0;
    if (!str_split(&value, ';', &part) || !str_eq_nocase(str_trim(part), STR("application/json")))
        return false;
    while (str_split(&value, ';', &part)) {
        part = str_trim(part);
        if (part.len == 0)
            continue;
        if (n_charsets++ > 0 || (!str_eq_nocase(part, STR("charset=utf-8")) &&
                                 !str_eq_nocase(part, STR("charset=\"utf-8\""))))
            return false;
    }
    return true;
}

/* May stand in a field value as itself; a space only when it is not at an end. */
static bool is_plain(char c)
{
    return c > ' ' && c < 0x7f && c != '%';
}

int field_append_value(struct buf *buf, struct str value)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f)
            return -EINVAL;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool inner_space = c == ' ' && i > 0 && i + 1 < value.len;
        char escape[3] = {'%', hex[(unsigned char)c >> 4], hex[(unsigned char)c & 0xf]};
        int r = is_plain(c) || inner_space ? buf_append_char(buf, c)
                                           : buf_append(buf, str_make(escape, sizeof(escape)));
        if (r < 0)
            return r;
    }
    return 0;
}
