/* SPDX-License-Identifier: Apache-2.0 */
/* Duplicate keys of base/json_reader. An object is looked at when it closes, if it is large or two
 * of its keys look alike: a small one by comparing all pairs, a large one with a hash table. Who
 * sends the text may know this code, so the hash of large objects has a secret: nobody can choose
 * keys that fall into one slot. */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json_text_int.h"
#include "base/rand.h"

#define SMALL JSON_KEYS_SMALL
#define BLOCK 16

struct json_slot {
    uint32_t tag;    /* of the hash, so that most keys are not read a second time */
    uint32_t number; /* of the key, from 1; 0: the slot is free */
};

/* Digits of pi: for small objects a secret is not worth its price. */
static const uint64_t public_secrets[JSON_KEYS_SECRETS] = {0x243f6a8885a308d3, 0x13198a2e03707344,
                                                           0xa4093822299f31d0, 0x082efa98ec4e6c89};

void json_keys_init(struct json_keys *keys, struct str text)
{
    keys->text = text.ptr;
    keys->keys = keys->first;
    keys->n = 0;
    keys->cap = JSON_KEYS_INLINE;
    keys->slots = NULL;
    keys->n_slots = 0;
    keys->has_secrets = false;
}

void json_keys_free(struct json_keys *keys)
{
    if (keys->keys != keys->first)
        free(keys->keys);
    free(keys->slots);
}

int json_keys_grow(struct json_keys *keys)
{
    const bool is_inline = keys->keys == keys->first;
    const size_t cap = keys->cap * 2;
    struct json_key *grown = reallocarray(is_inline ? NULL : keys->keys, cap, sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    if (is_inline)
        memcpy(grown, keys->first, sizeof(keys->first));
    keys->keys = grown;
    keys->cap = cap;
    return 0;
}

/* ---- the hash: 16 bytes at a time, each block folded by one wide multiplication ---- */

__extension__ typedef unsigned __int128 wide;

static uint64_t fold(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load8(const char *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t load4(const char *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t hash_block(const uint64_t *secrets, const char *block, uint64_t hash)
{
    return fold(load8(block) ^ secrets[1], load8(block + 8) ^ hash);
}

/* The last LEFT (at most BLOCK) of TOTAL bytes. */
static uint64_t hash_end(const uint64_t *secrets, const char *p, size_t left, uint64_t hash,
                         size_t total)
{
    uint64_t a = 0;
    uint64_t b = 0;
    if (left >= 8) {
        a = load8(p);
        b = load8(p + left - 8);
    } else if (left >= 4) {
        a = load4(p);
        b = load4(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[left / 2] << 8 |
            (unsigned char)p[left - 1];
    }
    hash = fold(a ^ secrets[1], b ^ hash);
    return fold(hash ^ secrets[2], total ^ secrets[3]);
}

static uint64_t hash_plain(const uint64_t *secrets, struct str key)
{
    uint64_t hash = secrets[0];
    struct str rest = key;
    for (; rest.len > BLOCK; rest = str_make(rest.ptr + BLOCK, rest.len - BLOCK))
        hash = hash_block(secrets, rest.ptr, hash);
    return hash_end(secrets, rest.ptr, rest.len, hash, key.len);
}

/* The hash of what RAW means, the same as if it had been written without escapes. */
static uint64_t hash_escaped(const uint64_t *secrets, struct str raw)
{
    struct json_bytes bytes = {.raw = raw};
    uint64_t hash = secrets[0];
    char block[BLOCK];
    size_t left = 0;
    size_t total = 0;
    for (int c = json_bytes_next(&bytes); c >= 0; c = json_bytes_next(&bytes)) {
        if (left == BLOCK) {
            hash = hash_block(secrets, block, hash);
            left = 0;
        }
        block[left++] = (char)c;
        total++;
    }
    return hash_end(secrets, block, left, hash, total);
}

/* ---- keys ---- */

static struct str raw_of(const struct json_keys *keys, const struct json_key *key)
{
    return str_make(keys->text + key->at, key->len);
}

static uint64_t hash_of(const struct json_keys *keys, const uint64_t *secrets,
                        const struct json_key *key)
{
    struct str raw = raw_of(keys, key);
    return key->escaped ? hash_escaped(secrets, raw) : hash_plain(secrets, raw);
}

static bool is_same(const struct json_keys *keys, const struct json_key *a,
                    const struct json_key *b)
{
    if (!a->escaped && !b->escaped)
        return str_eq(raw_of(keys, a), raw_of(keys, b));
    struct json_bytes of_a = {.raw = raw_of(keys, a)};
    struct json_bytes of_b = {.raw = raw_of(keys, b)};
    int c;
    do {
        c = json_bytes_next(&of_a);
        if (c != json_bytes_next(&of_b))
            return false;
    } while (c >= 0);
    return true;
}

/* A cleared table with room for N keys and as much again. */
static int make_table(struct json_keys *keys, size_t n, size_t *ret_mask)
{
    size_t n_slots = keys->n_slots > 0 ? keys->n_slots : 64;
    while (n_slots > 64 && n_slots / 4 >= n)
        n_slots /= 2; /* a table of an earlier object: no more of it than needed */
    while (n_slots - n_slots / 4 < n)
        n_slots *= 2;
    if (n_slots > keys->n_slots) {
        free(keys->slots);
        keys->n_slots = 0;
        keys->slots = calloc(n_slots, sizeof(*keys->slots));
        if (keys->slots == NULL)
            return -ENOMEM;
        keys->n_slots = n_slots;
    } else {
        memset(keys->slots, 0, n_slots * sizeof(*keys->slots));
    }
    *ret_mask = n_slots - 1;
    return 0;
}

/* Puts key NUMBER (from 1) of MEMBERS into the table; false when it is there already. */
static bool insert(struct json_keys *keys, const struct json_key *members, uint32_t number,
                   uint64_t hash, size_t mask)
{
    const uint32_t tag = (uint32_t)(hash >> 32);
    size_t at = hash & mask;
    for (; keys->slots[at].number != 0; at = (at + 1) & mask)
        if (keys->slots[at].tag == tag &&
            is_same(keys, &members[keys->slots[at].number - 1], &members[number - 1]))
            return false;
    keys->slots[at] = (struct json_slot){.tag = tag, .number = number};
    return true;
}

static enum json_rc compare_large(struct json_keys *keys, const struct json_key *members, size_t n)
{
    NOT_ZEROED uint64_t hashes[SMALL];
    size_t mask;
    if (!keys->has_secrets && rand_bytes(keys->secrets, sizeof(keys->secrets)) < 0)
        return JSON_RC_NO_MEMORY;
    keys->has_secrets = true;
    if (make_table(keys, n, &mask) < 0)
        return JSON_RC_NO_MEMORY;
    /* Some at a time, so that the slots of a large table are on their way while the next keys are
     * hashed. */
    for (size_t i = 0; i < n; i += SMALL) {
        const size_t end = size_min(n, i + SMALL);
        for (size_t j = i; j < end; j++) {
            hashes[j - i] = hash_of(keys, keys->secrets, &members[j]);
            __builtin_prefetch(&keys->slots[hashes[j - i] & mask], 1);
        }
        for (size_t j = i; j < end; j++)
            if (!insert(keys, members, (uint32_t)j + 1, hashes[j - i], mask))
                return JSON_RC_DUPLICATE_KEY;
    }
    return JSON_RC_OK;
}

/* With escapes in a key, comparing it costs much: only keys with the same hash are. Hashes that are
 * the same by chance are not to be expected: where two keys have one, somebody has looked for them,
 * and the secret hash takes over. */
static enum json_rc compare_escaped(struct json_keys *keys, const struct json_key *members,
                                    size_t n)
{
    NOT_ZEROED uint64_t hashes[SMALL];
    for (size_t i = 0; i < n; i++) {
        hashes[i] = hash_of(keys, public_secrets, &members[i]);
        for (size_t j = 0; j < i; j++)
            if (hashes[j] == hashes[i])
                return is_same(keys, &members[j], &members[i]) ? JSON_RC_DUPLICATE_KEY
                                                               : compare_large(keys, members, n);
    }
    return JSON_RC_OK;
}

/* That reads each byte of a key SMALL times at most. */
static enum json_rc compare_plain(const struct json_keys *keys, const struct json_key *members,
                                  size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (members[i].len == members[j].len && is_same(keys, &members[i], &members[j]))
                return JSON_RC_DUPLICATE_KEY;
    return JSON_RC_OK;
}

enum json_rc json_keys_compare(struct json_keys *keys, size_t start)
{
    const struct json_key *members = keys->keys + start;
    const size_t n = keys->n - start;
    if (n > SMALL)
        return compare_large(keys, members, n);
    for (size_t i = 0; i < n; i++)
        if (members[i].escaped)
            return compare_escaped(keys, members, n);
    return compare_plain(keys, members, n);
}
