/* SPDX-License-Identifier: Apache-2.0 */
/* The byte classes of RFC 3986 and RFC 9110 in one table, and the inner loops over runs of them. */
#ifndef PROTO_CHARS_INT_H
#define PROTO_CHARS_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum {
    CHARS_TOKEN = 0x01,    /* tchar, RFC 9110 5.6.2 */
    CHARS_PATH = 0x02,     /* pchar and '/', but for '%' (RFC 3986 3.3) */
    CHARS_QUERY = 0x04,    /* the same and '?' (RFC 3986 3.4) */
    CHARS_HOST = 0x08,     /* letters, digits, '-', '.', '_': the host names that are in use */
    CHARS_HEX = 0x10,      /* HEXDIG, both cases */
    CHARS_VALUE = 0x20,    /* field-vchar, SP, HTAB (RFC 9110 5.5) */
    CHARS_B64TOKEN = 0x40, /* b64token without its padding (RFC 6750 2.1) */
};

extern const uint8_t chars_class[256];

static inline bool chars_is(char c, unsigned class)
{
    return (chars_class[(uint8_t)c] & class) != 0;
}

/* The length of the run of bytes of CLASS at the beginning of the LEN bytes. */
static inline size_t chars_run(const char *bytes, size_t len, unsigned class)
{
    size_t i = 0;
    while (i < len && chars_is(bytes[i], class))
        i++;
    return i;
}

/* The same for CHARS_VALUE, sixteen bytes at a time: values are most of a head. */
size_t chars_value_run(const char *bytes, size_t len);

/* Every byte is of CHARS_B64TOKEN, sixteen at a time: a token is most of a request. */
bool chars_all_b64token(struct str s);

/* At least one byte, all of CLASS. */
static inline bool chars_all(struct str s, unsigned class)
{
    return s.len > 0 && chars_run(s.ptr, s.len, class) == s.len;
}

/* The value of a hexadecimal digit (the caller knows that it is one). */
static inline unsigned chars_hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

/* S begins with '%' and two hexadecimal digits. */
static inline bool chars_is_escape(struct str s)
{
    return s.len >= 3 && s.ptr[0] == '%' && chars_is(s.ptr[1], CHARS_HEX) &&
           chars_is(s.ptr[2], CHARS_HEX);
}

#endif
