/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/vec.h"

#define BUF_FIRST_CAP 256

void buf_free(struct buf *buf)
{
    free(buf->ptr);
    *buf = buf_make(buf->max);
}

void buf_free_wiped(struct buf *buf)
{
    secret_wipe(buf->ptr, buf->cap);
    buf_free(buf);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->fault = 0;
}

static int buf_refuse(struct buf *buf, int fault)
{
    if (buf->fault == 0)
        buf->fault = fault;
    return fault;
}

/* Memory for NEED bytes in all; past the ceiling by a terminating NUL at most. */
static int buf_grow(struct buf *buf, size_t need)
{
    if (need <= buf->cap)
        return 0;
    size_t twice = buf->cap <= buf->max / 2 ? buf->cap * 2 : buf->max;
    size_t cap = size_max(need, size_min(size_max(BUF_FIRST_CAP, twice), buf->max));
    char *grown = realloc(buf->ptr, cap);
    if (grown == NULL)
        return buf_refuse(buf, -ENOMEM);
    buf->ptr = grown;
    /* The byte of a terminating NUL is not for content. */
    buf->cap = size_min(cap, buf->max);
    return 0;
}

int buf_reserve(struct buf *buf, size_t more)
{
    if (more > buf->max - buf->len)
        return buf_refuse(buf, -EMSGSIZE);
    return buf_grow(buf, buf->len + more);
}

int buf_append_slow(struct buf *buf, struct str bytes)
{
    if (bytes.len == 0)
        return 0;
    int r = buf_reserve(buf, bytes.len);
    if (r < 0)
        return r;
    memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
    buf->len += bytes.len;
    return 0;
}

int buf_append_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return buf_append(buf, str_make(digits + at, sizeof(digits) - at));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0)
        return buf_refuse(buf, -EINVAL);
    if ((size_t)need > buf->max - buf->len)
        return buf_refuse(buf, -EMSGSIZE);
    /* The terminating NUL is written behind the content and does not count. */
    int r = buf_grow(buf, buf->len + (size_t)need + 1);
    if (r < 0)
        return r;
    va_start(args, format);
    (void)vsnprintf(buf->ptr + buf->len, (size_t)need + 1, format, args);
    va_end(args);
    buf->len += (size_t)need;
    return 0;
}

static const char *json_short_escape(char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

/* Stands for itself: no control character, no DEL, no quote, no backslash, and ASCII. */
static bool json_is_plain(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x20 && u < 0x7f && c != '"' && c != '\\';
}

static inline vec16 match_plain(vec16 x)
{
    return (vec16)((x >= 0x20) & (x < 0x7f) & (x != '"') & (x != '\\'));
}

/* How many bytes at the beginning of S stand for themselves. */
static size_t json_plain_run(struct str s)
{
    const size_t step = sizeof(vec16);
    size_t i = 0;
    while (s.len - i >= step && vec16_all(match_plain(vec16_load(s.ptr + i))))
        i += step;
    /* The rest, with some bytes once more. */
    if (i > 0 && s.len - i < step && vec16_all(match_plain(vec16_load(s.ptr + s.len - step))))
        return s.len;
    while (i < s.len && json_is_plain(s.ptr[i]))
        i++;
    return i;
}

/* Appends the character at the start of S and returns how many bytes it took. */
static size_t append_json_char(struct buf *buf, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char u = (unsigned char)s.ptr[0];
    const char *escape = json_short_escape(s.ptr[0]);
    if (escape != NULL) {
        (void)buf_append_cstr(buf, escape);
        return 1;
    }
    if (u < 0x20 || u == 0x7f) {
        char code[] = {'\\', 'u', '0', '0', hex[u >> 4], hex[u & 15]};
        (void)buf_append(buf, str_make(code, sizeof(code)));
        return 1;
    }
    for (size_t len = 2; len <= 4 && len <= s.len; len++) {
        if (str_is_utf8(str_head(s, len))) {
            (void)buf_append(buf, str_head(s, len));
            return len;
        }
    }
    (void)buf_append(buf, STR("\\ufffd"));
    return 1;
}

int buf_append_json(struct buf *buf, struct str bytes)
{
    while (bytes.len > 0) {
        size_t plain = json_plain_run(bytes);
        (void)buf_append(buf, str_head(bytes, plain));
        bytes = str_from(bytes, plain);
        if (bytes.len > 0)
            bytes = str_from(bytes, append_json_char(buf, bytes));
    }
    return buf->fault;
}

void buf_consume(struct buf *buf, size_t count)
{
    size_t gone = size_min(count, buf->len);
    if (gone > 0)
        memmove(buf->ptr, buf->ptr + gone, buf->len - gone);
    buf->len -= gone;
}
