/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/base64url.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of a character with bit 7 set; 0 for every byte outside the alphabet. */
#define IN_ALPHABET 0x80U
/* clang-format off */
static const uint8_t sextets[256] = {
    ['A'] = 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140,
    ['N'] = 141, 142, 143, 144, 145, 146, 147, 148, 149, 150, 151, 152, 153,
    ['a'] = 154, 155, 156, 157, 158, 159, 160, 161, 162, 163, 164, 165, 166,
    ['n'] = 167, 168, 169, 170, 171, 172, 173, 174, 175, 176, 177, 178, 179,
    ['0'] = 180, 181, 182, 183, 184, 185, 186, 187, 188, 189,
    ['-'] = 190,
    ['_'] = 191,
};
/* clang-format on */

static uint32_t look_up(char c)
{
    return sextets[(unsigned char)c];
}

/* Bits of the last character that no byte takes: 4 with two characters left over, 2 with three. */
static uint32_t unused_bits(size_t leftover)
{
    return leftover == 2 ? 0xfU : 0x3U;
}

/* What is left behind the whole groups of four; LEFTOVER is not 0. */
static bool ends_well(struct str text, size_t leftover)
{
    return leftover != 1 && (look_up(text.ptr[text.len - 1]) & unused_bits(leftover)) == 0;
}

bool base64url_is_valid(struct str text)
{
    const size_t leftover = text.len % 4;
    const size_t groups_len = text.len - leftover;
    uint32_t all = IN_ALPHABET; /* bit 7 stays as long as every character is one */
    for (size_t i = 0; i < groups_len; i += 4)
        all &= look_up(text.ptr[i]) & look_up(text.ptr[i + 1]) & look_up(text.ptr[i + 2]) &
               look_up(text.ptr[i + 3]);
    for (size_t i = groups_len; i < text.len; i++)
        all &= look_up(text.ptr[i]);
    return all != 0 && (leftover == 0 || ends_well(text, leftover));
}

/* Adds up what four characters mean. Bit 7 of each is in the sum, too, at a place of its own. */
#define GROUP_MARKS (IN_ALPHABET << 18 | IN_ALPHABET << 12 | IN_ALPHABET << 6 | IN_ALPHABET)

static uint32_t decode_group(const char *text, uint32_t *all)
{
    const uint32_t a = look_up(text[0]);
    const uint32_t b = look_up(text[1]);
    const uint32_t c = look_up(text[2]);
    const uint32_t d = look_up(text[3]);
    *all &= a & b & c & d;
    return (a << 18) + (b << 12) + (c << 6) + d - GROUP_MARKS;
}

/* The 1 or 2 bytes of the last 2 or 3 characters. */
static void decode_leftover(const char *text, size_t leftover, uint8_t *out)
{
    const uint32_t a = look_up(text[0]) & 0x3fU;
    const uint32_t b = look_up(text[1]) & 0x3fU;
    out[0] = (uint8_t)(a << 2 | b >> 4);
    if (leftover == 3)
        out[1] = (uint8_t)(b << 4 | (look_up(text[2]) & 0x3fU) >> 2);
}

/* False when TEXT is not valid; then RET_BYTES, which holds base64url_decoded_len() bytes, holds
 * anything. */
static bool decode(struct str text, uint8_t *ret_bytes)
{
    const size_t leftover = text.len % 4;
    const char *at = text.ptr;
    uint8_t *out = ret_bytes;
    uint32_t all = IN_ALPHABET;
    for (size_t n = text.len / 4; n > 0; n--) {
        const uint32_t group = decode_group(at, &all);
        out[0] = (uint8_t)(group >> 16);
        out[1] = (uint8_t)(group >> 8);
        out[2] = (uint8_t)group;
        at += 4;
        out += 3;
    }
    for (size_t i = 0; i < leftover; i++)
        all &= look_up(at[i]);
    if (all == 0 || (leftover > 0 && !ends_well(text, leftover)))
        return false;
    if (leftover > 0)
        decode_leftover(at, leftover, out);
    return true;
}

int base64url_decode(struct str text, uint8_t *ret_bytes, size_t cap, size_t *ret_len)
{
    const size_t len = base64url_decoded_len(text.len);
    if (len > cap)
        return base64url_is_valid(text) ? -ENOSPC : -EINVAL;
    if (!decode(text, ret_bytes))
        return -EINVAL;
    *ret_len = len;
    return 0;
}

int base64url_decode_append(struct str text, struct buf *out)
{
    const size_t len = base64url_decoded_len(text.len);
    if (!base64url_is_valid(text))
        return -EINVAL;
    const int r = buf_reserve(out, len);
    if (r < 0 || len == 0)
        return r;
    (void)decode(text, (uint8_t *)out->ptr + out->len);
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
