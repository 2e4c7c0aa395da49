/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/trace_context.h"

#include <string.h>

/* version "-" trace-id "-" parent-id "-" trace-flags */
#define TRACE_ID_AT 3
#define SPAN_ID_AT (TRACE_ID_AT + TRACE_ID_HEX + 1)
#define FLAGS_AT (SPAN_ID_AT + SPAN_ID_HEX + 1)

#define MAX_KEY 256
#define MAX_TENANT 241
#define MAX_SYSTEM 14
#define MAX_VALUE 256

static const char digits[] = "0123456789abcdef";

/* ---- traceparent ---- */

/* -1: no digit; capitals are none (3.2.2). */
static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *text, uint8_t *ret_bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool trace_id_is_valid(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return true;
    return false;
}

/* Nothing behind version 00; behind a later one another part, or nothing. */
static bool has_good_length(struct str value, uint8_t version)
{
    if (value.len == TRACEPARENT_LEN)
        return true;
    return version != 0 && value.len > TRACEPARENT_LEN && value.ptr[TRACEPARENT_LEN] == '-';
}

bool trace_context_parse(struct str value, struct trace_context *ret_context)
{
    struct trace_context context;
    uint8_t version;
    uint8_t flags;
    if (value.len < TRACEPARENT_LEN || !read_hex(value.ptr, &version, 1) || version == 0xff ||
        !has_good_length(value, version) || value.ptr[TRACE_ID_AT - 1] != '-' ||
        value.ptr[SPAN_ID_AT - 1] != '-' || value.ptr[FLAGS_AT - 1] != '-')
        return false;
    if (!read_hex(value.ptr + TRACE_ID_AT, context.trace_id, TRACE_ID_BYTES) ||
        !read_hex(value.ptr + SPAN_ID_AT, context.span_id, SPAN_ID_BYTES) ||
        !read_hex(value.ptr + FLAGS_AT, &flags, 1))
        return false;
    if (!trace_id_is_valid(context.trace_id, TRACE_ID_BYTES) ||
        !trace_id_is_valid(context.span_id, SPAN_ID_BYTES))
        return false;
    context.flags = (uint8_t)(flags & (TRACE_FLAG_SAMPLED | TRACE_FLAG_RANDOM));
    *ret_context = context;
    return true;
}

void trace_id_write(const uint8_t *bytes, size_t len, char *ret_hex)
{
    for (size_t i = 0; i < len; i++) {
        ret_hex[2 * i] = digits[bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void trace_context_write(const struct trace_context *context, char ret_text[TRACEPARENT_LEN])
{
    memset(ret_text, '-', TRACEPARENT_LEN);
    memset(ret_text, '0', 2);
    trace_id_write(context->trace_id, TRACE_ID_BYTES, ret_text + TRACE_ID_AT);
    trace_id_write(context->span_id, SPAN_ID_BYTES, ret_text + SPAN_ID_AT);
    trace_id_write(&context->flags, 1, ret_text + FLAGS_AT);
}

uint64_t trace_id_random(const uint8_t trace_id[TRACE_ID_BYTES])
{
    uint64_t random = 0;
    for (size_t i = TRACE_ID_BYTES - sizeof(random); i < TRACE_ID_BYTES; i++)
        random = random << 8 | trace_id[i];
    return random;
}

/* ---- tracestate ---- */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_key_rest(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!is_lower(c) && !ascii_is_digit(c) && c != '_' && c != '-' && c != '*' && c != '/')
            return false;
    }
    return true;
}

/* 3.3.1.3.1: a simple key, or tenant@system. Level 2 lets a simple key begin with a digit, too. */
static bool is_key(struct str key)
{
    ptrdiff_t at = str_find_char(key, '@');
    if (key.len == 0 || key.len > MAX_KEY || (!is_lower(key.ptr[0]) && !ascii_is_digit(key.ptr[0])))
        return false;
    if (at < 0)
        return is_key_rest(key);
    struct str tenant = str_head(key, (size_t)at);
    struct str system = str_from(key, (size_t)at + 1);
    return tenant.len <= MAX_TENANT && is_key_rest(tenant) && system.len > 0 &&
           system.len <= MAX_SYSTEM && is_lower(system.ptr[0]) && is_key_rest(system);
}

/* 3.3.1.3.2: printable ASCII but for ',' and '=', no blank at its end; not empty. */
static bool is_value(struct str value)
{
    if (value.len == 0 || value.len > MAX_VALUE || value.ptr[value.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < 0x20 || value.ptr[i] > 0x7e || value.ptr[i] == '=')
            return false;
    return true;
}

static bool is_taken(const struct str *keys, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(keys[i], key))
            return true;
    return false;
}

bool tracestate_is_valid(struct str list)
{
    struct str keys[TRACESTATE_MAX_MEMBERS];
    struct str part;
    size_t n = 0;
    if (list.len > TRACESTATE_MAX_BYTES)
        return false;
    while (str_split(&list, ',', &part)) {
        struct str member = str_trim(part);
        ptrdiff_t at = str_find_char(member, '=');
        if (member.len == 0)
            continue;
        if (at < 0 || n == TRACESTATE_MAX_MEMBERS)
            return false;
        struct str key = str_head(member, (size_t)at);
        if (!is_key(key) || !is_value(str_from(member, (size_t)at + 1)) || is_taken(keys, n, key))
            return false;
        keys[n++] = key;
    }
    return n > 0;
}
