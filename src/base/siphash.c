/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t read_le64(const void *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof(word));
    return le64toh(word);
}

static void sip_rounds(uint64_t v[4], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

/* 2.2: each word goes in before and after two rounds. */
static void compress(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY_LEN], struct str bytes)
{
    uint64_t k0 = read_le64(key);
    uint64_t k1 = read_le64(key + 8);
    uint64_t v[4] = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                     k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    uint8_t tail[8] = {0};
    size_t whole = bytes.len / 8 * 8;
    for (size_t i = 0; i < whole; i += 8)
        compress(v, read_le64(bytes.ptr + i));
    if (bytes.len > whole)
        memcpy(tail, bytes.ptr + whole, bytes.len - whole);
    tail[7] = (uint8_t)bytes.len; /* 2.2: the length modulo 256 is the last byte */
    compress(v, read_le64(tail));
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash_parts(const uint8_t key[SIPHASH_KEY_LEN], const struct str *parts, size_t n_parts)
{
    uint64_t hashes[SIPHASH_MAX_PARTS];
    assert(n_parts <= SIPHASH_MAX_PARTS);
    for (size_t i = 0; i < n_parts; i++)
        hashes[i] = siphash(key, parts[i]);
    return siphash(key, str_make((const char *)hashes, n_parts * sizeof(hashes[0])));
}
