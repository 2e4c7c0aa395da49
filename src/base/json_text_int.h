/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of base/json_text share: escapes, and the keys of the objects that are open. */
#ifndef BASE_JSON_TEXT_INT_H
#define BASE_JSON_TEXT_INT_H

#include <endian.h>

#include "base/json_text.h"

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

/* The value of four hexadecimal digits, or -1. */
int json_text_hex4(const char *digits);

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

/* A key of an object that is not closed yet, as its place in the text. */
struct json_key {
    uint32_t at;
    uint32_t len : 31; /* of the inside, with its escapes */
    uint32_t escaped : 1;
};

#define JSON_KEYS_INLINE 64
#define JSON_KEYS_SECRETS 4
#define JSON_KEYS_MAX_BYTES INT32_MAX /* of a text, so that places and lengths fit */

/* The keys of all objects that are open, the innermost last. Those of small texts fit into FIRST.
 */
struct json_keys {
    const char *text;
    struct json_key *keys;
    size_t n;
    size_t cap;
    struct json_slot *slots; /* a hash table, for large objects only */
    size_t n_slots;
    bool has_secrets;
    uint64_t secrets[JSON_KEYS_SECRETS];
    struct json_key first[JSON_KEYS_INLINE];
};

void json_keys_init(struct json_keys *keys, const char *text);
void json_keys_free(struct json_keys *keys);
/* Makes room for one more key; 0 or -ENOMEM. */
int json_keys_grow(struct json_keys *keys);
/* An object is closed whose keys begin at START: JSON_RC_OK, and they are forgotten;
 * JSON_RC_DUPLICATE_KEY or JSON_RC_NO_MEMORY. */
enum json_rc json_keys_close(struct json_keys *keys, size_t start);

#endif
