/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of base/json_text share: escapes, and the keys of the objects that are open. */
#ifndef BASE_JSON_TEXT_INT_H
#define BASE_JSON_TEXT_INT_H

#include <endian.h>

#include "base/json_reader.h"
#include "base/vec.h"

/* Eight bytes at once, the first of them lowest. */
#define JSON_EACH_BYTE(byte) ((uint64_t)0x0101010101010101U * (byte))

static inline uint64_t json_load8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

/* Marks (0x80) the bytes of WORD that are BYTE. Above the lowest mark there may be false ones. */
static inline uint64_t json_bytes_equal(uint64_t word, char byte)
{
    uint64_t differences = word ^ JSON_EACH_BYTE((unsigned char)byte);
    return (differences - JSON_EACH_BYTE(1)) & ~differences & JSON_EACH_BYTE(0x80);
}

/* How many bytes are below the lowest mark of MARKS, which is not 0. */
static inline size_t json_bytes_before(uint64_t marks)
{
    return (size_t)__builtin_ctzll(marks) / 8;
}

/* Marks (0x80) bytes of WORD that are no plain ASCII of a string. Above the lowest mark there may
 * be false ones, since what is borrowed comes from a byte that is marked. */
static inline uint64_t json_special_bytes(uint64_t word)
{
    uint64_t below_blank = word - JSON_EACH_BYTE(0x20);
    uint64_t quote = (word ^ JSON_EACH_BYTE('"')) - JSON_EACH_BYTE(1);
    uint64_t backslash = (word ^ JSON_EACH_BYTE('\\')) - JSON_EACH_BYTE(1);
    return (below_blank | quote | backslash | word) & JSON_EACH_BYTE(0x80);
}

/* How many of the sixteen bytes at AT come before the first that is no plain ASCII of a string. */
static inline size_t json_plain_bytes(const char *at)
{
    typedef int8_t signed16 __attribute__((vector_size(16)));
    const vec16 bytes = vec16_load(at);
    const vec16 special = (vec16)((signed16)bytes < 0x20) | (vec16)(bytes == '"') |
                          (vec16)(bytes == '\\'); /* from 0x80 on, bytes are below 0 */
#ifdef __SSE2__
    typedef char char16 __attribute__((vector_size(16)));
    const unsigned marks = (unsigned)__builtin_ia32_pmovmskb128((char16)special);
    return (size_t)__builtin_ctz(marks | 1U << 16);
#else
    uint64_t halves[2];
    memcpy(halves, &special, sizeof(halves));
    if (halves[0] != 0)
        return json_bytes_before(le64toh(halves[0]));
    return 8 + (halves[1] != 0 ? json_bytes_before(le64toh(halves[1])) : 8);
#endif
}

/* The value of four hexadecimal digits, or -1. */
int json_text_hex4(const char *digits);

/* Behind the string of READER whose inside goes on at AT, with anything; NULL when it is none.
 * Whether it has escapes and U+0000 is noted in READER. */
const char *json_string_end(struct json_reader *reader, const char *at);

/* Behind the number that begins at AT; NULL when it is none, too long, or (unless LENIENT) a double
 * cannot hold it. */
const char *json_number_end(const char *at, const char *end, bool lenient);

/* What the inside of a string means, byte by byte. */
struct json_bytes {
    struct str raw; /* what is left of the inside */
    unsigned char pending[4];
    unsigned n_pending;
    unsigned at; /* in PENDING */
};
/* The next byte, or -1 at the end. A lone surrogate means U+FFFD. */
int json_bytes_next(struct json_bytes *bytes);

#define JSON_KEYS_MAX_BYTES INT32_MAX /* of a text, so that places and lengths fit */

void json_keys_init(struct json_keys *keys, struct str text);
void json_keys_free(struct json_keys *keys);
/* Makes room for one more key; 0 or -ENOMEM. */
int json_keys_grow(struct json_keys *keys);
/* Of so many keys all pairs are compared. */
#define JSON_KEYS_SMALL 16
/* Compares the keys from number START on, those of one object: JSON_RC_OK, JSON_RC_DUPLICATE_KEY or
 * JSON_RC_NO_MEMORY. */
enum json_rc json_keys_compare(struct json_keys *keys, size_t start);

#endif
