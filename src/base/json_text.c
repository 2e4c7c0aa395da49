/* SPDX-License-Identifier: Apache-2.0 */
/* The walk of base/json_text. The text was checked, so nothing here looks for mistakes. */
#include "base/json_text.h"

#include <errno.h>

#include "base/json_text_int.h"

/* ---- what strings mean ---- */

/* The value of a hexadecimal digit plus one; 0 for every other byte. */
static const uint8_t nibbles[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

int json_text_hex4(const char *digits)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int nibble = nibbles[(unsigned char)digits[i]];
        if (nibble == 0)
            return -1;
        value = value * 16 + nibble - 1;
    }
    return value;
}

static struct str str_behind(struct str s, size_t n)
{
    return str_make(s.ptr + n, s.len - n);
}

static bool is_low_half(int code)
{
    return code >= 0xdc00 && code <= 0xdfff;
}

/* Behind the "\u" of *RAW; a pair is taken whole (RFC 8259 7). */
static unsigned take_code(struct str *raw)
{
    int code = json_text_hex4(raw->ptr);
    *raw = str_behind(*raw, 4);
    if (code < 0xd800 || code > 0xdfff)
        return (unsigned)code;
    int low = -1;
    if (code <= 0xdbff && raw->len >= 6 && raw->ptr[0] == '\\' && raw->ptr[1] == 'u')
        low = json_text_hex4(raw->ptr + 2);
    if (!is_low_half(low))
        return 0xfffd;
    *raw = str_behind(*raw, 6);
    return 0x10000U + ((unsigned)(code - 0xd800) << 10) + (unsigned)(low - 0xdc00);
}

static unsigned put_utf8(unsigned code, unsigned char *out)
{
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (unsigned char)(0xc0U | code >> 6);
        out[1] = (unsigned char)(0x80U | (code & 0x3fU));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (unsigned char)(0xe0U | code >> 12);
        out[1] = (unsigned char)(0x80U | (code >> 6 & 0x3fU));
        out[2] = (unsigned char)(0x80U | (code & 0x3fU));
        return 3;
    }
    out[0] = (unsigned char)(0xf0U | code >> 18);
    out[1] = (unsigned char)(0x80U | (code >> 12 & 0x3fU));
    out[2] = (unsigned char)(0x80U | (code >> 6 & 0x3fU));
    out[3] = (unsigned char)(0x80U | (code & 0x3fU));
    return 4;
}

/* Takes the escape at the beginning of *RAW; 1 to 4 bytes. */
static unsigned take_escape(struct str *raw, unsigned char *out)
{
    const char kind = raw->ptr[1];
    *raw = str_behind(*raw, 2);
    switch (kind) {
    case 'b':
        out[0] = '\b';
        return 1;
    case 'f':
        out[0] = '\f';
        return 1;
    case 'n':
        out[0] = '\n';
        return 1;
    case 'r':
        out[0] = '\r';
        return 1;
    case 't':
        out[0] = '\t';
        return 1;
    case 'u':
        return put_utf8(take_code(raw), out);
    default:
        out[0] = (unsigned char)kind;
        return 1;
    }
}

int json_bytes_next(struct json_bytes *bytes)
{
    if (bytes->at < bytes->n_pending)
        return bytes->pending[bytes->at++];
    if (bytes->raw.len == 0)
        return -1;
    if (bytes->raw.ptr[0] == '\\') {
        bytes->n_pending = take_escape(&bytes->raw, bytes->pending);
        bytes->at = 1;
        return bytes->pending[0];
    }
    int byte = (unsigned char)bytes->raw.ptr[0];
    bytes->raw = str_behind(bytes->raw, 1);
    return byte;
}

/* The first backslash, or the end. */
static size_t plain_len(struct str raw)
{
    const char *escape = raw.len > 0 ? memchr(raw.ptr, '\\', raw.len) : NULL;
    return escape != NULL ? (size_t)(escape - raw.ptr) : raw.len;
}

static bool has_escapes(struct str raw)
{
    return plain_len(raw) < raw.len;
}

struct str json_text_key(struct str raw_key, struct arena *arena, int *ret_fault)
{
    *ret_fault = 0;
    if (!has_escapes(raw_key))
        return raw_key;
    /* No escape is shorter than what it means. */
    char *copy = arena_alloc(arena, raw_key.len);
    char *out = copy;
    if (copy == NULL) {
        *ret_fault = -ENOMEM;
        return (struct str){0};
    }
    while (raw_key.len > 0) {
        if (raw_key.ptr[0] == '\\') {
            unsigned char means[4];
            unsigned len = take_escape(&raw_key, means);
            memcpy(out, means, len);
            out += len;
            continue;
        }
        size_t plain = plain_len(raw_key);
        memcpy(out, raw_key.ptr, plain);
        out += plain;
        raw_key = str_behind(raw_key, plain);
    }
    return str_make(copy, (size_t)(out - copy));
}

struct str json_text_string(struct str value, struct arena *arena, int *ret_fault)
{
    *ret_fault = 0;
    if (json_text_type(value) != JSON_TEXT_STRING)
        return (struct str){0};
    return json_text_key(str_make(value.ptr + 1, value.len - 2), arena, ret_fault);
}

bool json_text_key_is(struct str raw_key, struct str key)
{
    if (raw_key.len < key.len)
        return false;
    if (raw_key.len == key.len) /* an escape would make it shorter */
        return str_eq(raw_key, key) && !has_escapes(raw_key);
    if (!has_escapes(raw_key))
        return false;
    struct json_bytes bytes = {.raw = raw_key};
    for (size_t i = 0; i < key.len; i++)
        if (json_bytes_next(&bytes) != (unsigned char)key.ptr[i])
            return false;
    return json_bytes_next(&bytes) < 0;
}

/* ---- the way through a text ---- */

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* From behind the opening quote to behind the closing one. */
static const char *skip_string(const char *at, const char *end)
{
    for (;;) {
        while (end - at >= 8) {
            uint64_t word = json_load8(at);
            uint64_t marks = json_bytes_equal(word, '"') | json_bytes_equal(word, '\\');
            if (marks != 0) {
                at += json_bytes_before(marks);
                break;
            }
            at += 8;
        }
        if (at < end && *at != '"' && *at != '\\')
            at++;
        while (at < end && *at == '\\')
            at += 2;
        if (at >= end || *at == '"')
            return at + 1;
    }
}

enum { OTHER, QUOTE, OPENS, CLOSES };

static const uint8_t structure[256] = {
    ['"'] = QUOTE, ['{'] = OPENS, ['['] = OPENS, ['}'] = CLOSES, [']'] = CLOSES,
};

/* From the opening bracket to behind the one that closes it. */
static const char *skip_container(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        switch (structure[(unsigned char)*at++]) {
        case QUOTE:
            at = skip_string(at, end);
            break;
        case OPENS:
            depth++;
            break;
        case CLOSES:
            if (--depth == 0)
                return at;
            break;
        default:
            break;
        }
    }
    return at;
}

static const char *skip_word(const char *at, const char *end)
{
    while (at<end && * at> ' ' && *at != ',' && *at != '}' && *at != ']')
        at++;
    return at;
}

/* The value at the beginning of what is between AT and END. */
static struct str value_at(const char *at, const char *end)
{
    const char *behind;
    if (*at == '"')
        behind = skip_string(at + 1, end);
    else if (*at == '{' || *at == '[')
        behind = skip_container(at, end);
    else
        behind = skip_word(at, end);
    return str_make(at, (size_t)(behind - at));
}

struct str json_text_root(struct str text)
{
    const char *end = text.ptr + text.len;
    return value_at(skip_blanks(text.ptr, end), end);
}

enum json_text_type json_text_type(struct str value)
{
    if (!str_is_set(value))
        return JSON_TEXT_ABSENT;
    switch (value.ptr[0]) {
    case '{':
        return JSON_TEXT_OBJECT;
    case '[':
        return JSON_TEXT_ARRAY;
    case '"':
        return JSON_TEXT_STRING;
    case 't':
        return JSON_TEXT_TRUE;
    case 'f':
        return JSON_TEXT_FALSE;
    case 'n':
        return JSON_TEXT_NULL;
    default:
        return JSON_TEXT_NUMBER;
    }
}

struct json_text_iter json_text_iter(struct str value)
{
    enum json_text_type type = json_text_type(value);
    if (type != JSON_TEXT_OBJECT && type != JSON_TEXT_ARRAY)
        return (struct json_text_iter){0};
    return (struct json_text_iter){.at = value.ptr + 1, .end = value.ptr + value.len};
}

/* Behind the comma, if there is one; false at the end. */
static bool to_part(struct json_text_iter *iter)
{
    iter->at = skip_blanks(iter->at, iter->end);
    if (iter->at < iter->end && *iter->at == ',')
        iter->at = skip_blanks(iter->at + 1, iter->end);
    return iter->at < iter->end && *iter->at != '}' && *iter->at != ']';
}

bool json_text_next_element(struct json_text_iter *iter, struct str *ret_value)
{
    if (!to_part(iter))
        return false;
    *ret_value = value_at(iter->at, iter->end);
    iter->at += ret_value->len;
    return true;
}

bool json_text_next_member(struct json_text_iter *iter, struct str *ret_raw_key,
                           struct str *ret_value)
{
    if (!to_part(iter))
        return false;
    const char *key = iter->at + 1;
    const char *at = skip_string(key, iter->end);
    *ret_raw_key = str_make(key, (size_t)(at - 1 - key));
    at = skip_blanks(at, iter->end) + 1; /* behind the colon */
    *ret_value = value_at(skip_blanks(at, iter->end), iter->end);
    iter->at = ret_value->ptr + ret_value->len;
    return true;
}

struct str json_text_get(struct str object, struct str key)
{
    struct str raw_key;
    struct str value;
    if (json_text_type(object) != JSON_TEXT_OBJECT)
        return (struct str){0};
    struct json_text_iter iter = json_text_iter(object);
    while (json_text_next_member(&iter, &raw_key, &value))
        if (json_text_key_is(raw_key, key))
            return value;
    return (struct str){0};
}
