/* SPDX-License-Identifier: Apache-2.0 */
/* Owned bytes that grow, with a ceiling given at birth.
 *
 * A buffer never grows past its ceiling: an append that would is refused whole and the buffer is
 * marked as overflowed. Appends may be chained without looking at each result; buf_failed() tells
 * at the end whether one of them was refused or memory was short. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct buf {
    char *ptr;
    size_t len;
    size_t cap; /* at most MAX, whatever was allocated */
    size_t max;
    int fault; /* 0, -EMSGSIZE or -ENOMEM: the first append that was refused */
};

/* An empty buffer with a ceiling of MAX bytes; allocates nothing yet. */
static inline struct buf buf_make(size_t max)
{
    return (struct buf){.max = max};
}

/* Frees the bytes; the ceiling stays, the buffer may be used again. */
void buf_free(struct buf *buf);
/* The same for bytes that must not stay behind: the memory is overwritten first. What growing has
 * moved elsewhere before is not: reserve the room at once. */
void buf_free_wiped(struct buf *buf);
/* Forgets the content and keeps the memory. */
void buf_clear(struct buf *buf);

/* Makes room for MORE bytes behind the content; 0, -EMSGSIZE, -ENOMEM. */
int buf_reserve(struct buf *buf, size_t more);
/* buf_append() with growing. */
int buf_append_slow(struct buf *buf, struct str bytes);
/* Appends; 0, -EMSGSIZE (past the ceiling, nothing appended) or -ENOMEM. Inline, since most appends
 * are a few constant bytes into memory that is there. */
static inline int buf_append(struct buf *buf, struct str bytes)
{
    /* One less, so that nothing, which may be the absent string, goes the slow way. */
    if (bytes.len - 1 >= buf->cap - buf->len)
        return buf_append_slow(buf, bytes);
    memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
    buf->len += bytes.len;
    return 0;
}
static inline int buf_append_char(struct buf *buf, char c)
{
    return buf_append(buf, str_make(&c, 1));
}
static inline int buf_append_cstr(struct buf *buf, const char *s)
{
    return buf_append(buf, str_from_cstr(s));
}
int buf_append_u64(struct buf *buf, uint64_t value);
__attribute__((format(printf, 2, 3))) int buf_printf(struct buf *buf, const char *format, ...);

/* Appends BYTES as the inside of a JSON string: quotes, backslashes and controls escaped, bytes
 * that are not UTF-8 replaced by U+FFFD. Without the surrounding quotes. */
int buf_append_json(struct buf *buf, struct str bytes);

/* Removes COUNT bytes at the beginning. */
void buf_consume(struct buf *buf, size_t count);

static inline bool buf_failed(const struct buf *buf)
{
    return buf->fault != 0;
}
/* The content; borrows from the buffer until its next change. */
static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){.ptr = buf->ptr != NULL ? buf->ptr : "", .len = buf->len};
}

#endif
