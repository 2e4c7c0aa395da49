/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/base64url.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of a character plus one; 0 for every byte outside the alphabet. */
/* clang-format off */
static const uint8_t sextets[256] = {
    ['A'] = 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
    ['N'] = 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
    ['n'] = 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    ['-'] = 63,
    ['_'] = 64,
};
/* clang-format on */

/* Only for characters that base64url_is_valid() has seen. */
static uint32_t sextet(char c)
{
    return sextets[(unsigned char)c] - 1U;
}

/* Bits of the last character that no byte takes: 4 with two characters left over, 2 with three. */
static uint32_t unused_bits(size_t leftover)
{
    return leftover == 2 ? 0xfU : 0x3U;
}

bool base64url_is_valid(struct str text)
{
    size_t leftover = text.len % 4;
    for (size_t i = 0; i < text.len; i++)
        if (sextets[(unsigned char)text.ptr[i]] == 0)
            return false;
    if (leftover == 0)
        return true;
    return leftover != 1 && (sextet(text.ptr[text.len - 1]) & unused_bits(leftover)) == 0;
}

/* TEXT is valid and RET_BYTES holds base64url_decoded_len() bytes. */
static void decode_valid(struct str text, uint8_t *ret_bytes)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        bits = (bits << 6 | sextet(text.ptr[i])) & 0xffffU;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            *ret_bytes++ = (uint8_t)(bits >> n_bits);
        }
    }
}

int base64url_decode(struct str text, uint8_t *ret_bytes, size_t cap, size_t *ret_len)
{
    size_t len = base64url_decoded_len(text.len);
    if (!base64url_is_valid(text))
        return -EINVAL;
    if (len > cap)
        return -ENOSPC;
    decode_valid(text, ret_bytes);
    *ret_len = len;
    return 0;
}

int base64url_decode_append(struct str text, struct buf *out)
{
    size_t len = base64url_decoded_len(text.len);
    if (!base64url_is_valid(text))
        return -EINVAL;
    int r = buf_reserve(out, len);
    if (r < 0 || len == 0)
        return r;
    decode_valid(text, (uint8_t *)out->ptr + out->len);
    out->len += len;
    return 0;
}

int base64url_encode_append(struct str bytes, struct buf *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    int r = buf_reserve(out, bytes.len / 3 * 4 + (bytes.len % 3 * 8 + 5) / 6);
    if (r < 0)
        return r;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = (bits << 8 | (unsigned char)bytes.ptr[i]) & 0xffffU;
        n_bits += 8;
        while (n_bits >= 6) {
            n_bits -= 6;
            out->ptr[out->len++] = alphabet[bits >> n_bits & 0x3fU];
        }
    }
    if (n_bits > 0)
        out->ptr[out->len++] = alphabet[bits << (6 - n_bits) & 0x3fU];
    return 0;
}
