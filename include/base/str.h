/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed bytes: a pointer and a length, not NUL-terminated, never owned.
 *
 * A struct str is a view; whoever made the bytes says how long they live. The absent string has
 * ptr == NULL; the empty string has ptr != NULL and len == 0 (str_is_set() tells them apart). */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr;
    size_t len;
};

/* A view of a string literal. */
#define STR(lit) ((struct str){.ptr = ("" lit ""), .len = sizeof(lit) - 1})
/* The same, for initialisers of static tables. */
#define STR_INIT(lit)                              \
    {                                              \
        .ptr = ("" lit ""), .len = sizeof(lit) - 1 \
    }
/* For printf-like functions: printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).len, (s).ptr

static inline struct str str_make(const char *ptr, size_t len)
{
    return (struct str){.ptr = ptr, .len = len};
}

/* A view of a NUL-terminated string; NULL gives the absent string. */
static inline struct str str_from_cstr(const char *s)
{
    return (struct str){.ptr = s, .len = s != NULL ? strlen(s) : 0};
}

static inline bool str_is_set(struct str s)
{
    return s.ptr != NULL;
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}
static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool ascii_is_alpha(char c)
{
    char l = ascii_lower(c);
    return l >= 'a' && l <= 'z';
}

/* Eight bytes at a time, for the comparisons that every head goes through. ascii_load8() reads
 * LEN (at most 8) bytes at PTR so that two reads of one length are equal exactly when their bytes
 * are; ascii_lower8() turns A to Z into lower case and leaves every other byte. */
#define ASCII_ONES 0x0101010101010101ULL
#define ASCII_HIGHS 0x8080808080808080ULL
static inline uint64_t ascii_load8(const char *ptr, size_t len)
{
    uint64_t eight = 0;
    uint32_t first4;
    uint32_t last4;
    if (len == sizeof(eight)) {
        memcpy(&eight, ptr, sizeof(eight));
        return eight;
    }
    if (len >= sizeof(first4)) {
        memcpy(&first4, ptr, sizeof(first4));
        memcpy(&last4, ptr + len - sizeof(last4), sizeof(last4));
        return (uint64_t)last4 << 32 | first4;
    }
    for (size_t i = 0; i < len; i++)
        eight = eight << 8 | (unsigned char)ptr[i];
    return eight;
}
static inline uint64_t ascii_lower8(uint64_t eight)
{
    /* Without their highest bits no byte carries into the next. */
    uint64_t low = eight & ~ASCII_HIGHS;
    uint64_t from_a = low + ASCII_ONES * (0x80 - 'A');
    uint64_t past_z = low + ASCII_ONES * (0x7f - 'Z');
    return eight | ((from_a & ~past_z & ~eight & ASCII_HIGHS) >> 2);
}

/* ASCII case-insensitive comparison; bytes above 0x7f must be equal. */
bool str_eq_nocase(struct str a, struct str b);
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_prefix_nocase(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);

/* The part from byte START on; empty at the end when START is past it. */
static inline struct str str_from(struct str s, size_t start)
{
    size_t skip = start < s.len ? start : s.len;
    return s.ptr == NULL ? s : str_make(s.ptr + skip, s.len - skip);
}
/* At most LEN bytes of the beginning. */
static inline struct str str_head(struct str s, size_t len)
{
    return str_make(s.ptr, len < s.len ? len : s.len);
}
/* Without SP and HTAB at both ends (OWS of RFC 9110 5.6.3). */
struct str str_trim(struct str s);

/* Index of the first C, or -1. */
static inline ptrdiff_t str_find_char(struct str s, char c)
{
    const char *hit = s.len > 0 ? (const char *)memchr(s.ptr, c, s.len) : NULL;
    return hit == NULL ? -1 : hit - s.ptr;
}

/* Splits at SEP: takes the part before the first SEP from *REST into *RET_PART and moves *REST
 * behind it. False when REST is absent, which it is after the last part: "a," gives "a" and "", the
 * empty string gives one empty part. */
bool str_split(struct str *rest, char sep, struct str *ret_part);

/* A decimal number without sign, leading zeros allowed, nothing else around it.
 * 0, -EINVAL (not a number) or -ERANGE (above MAX). */
int str_to_u64(struct str s, uint64_t max, uint64_t *ret_value);

/* A NUL-terminated copy; the caller frees it. NULL when memory is short. Refuses nothing: embedded
 * NULs are the caller's to check (str_has_nul). */
char *str_to_cstr(struct str s);
bool str_has_nul(struct str s);
/* A byte below 0x20, or DEL. */
bool str_has_control(struct str s);

/* Number of single-byte edits (insert, delete, replace) that turn A into B, at most MAX + 1. */
size_t str_distance(struct str a, struct str b, size_t max);

/* True for well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). */
bool str_is_utf8(struct str s);

#endif
