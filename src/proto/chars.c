/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/chars_int.h"

#define V CHARS_VALUE
#define TV (CHARS_TOKEN | CHARS_VALUE)
#define UV (CHARS_PATH | CHARS_QUERY | CHARS_VALUE)
#define UTV (UV | CHARS_TOKEN)
#define ALNUM (UTV | CHARS_HOST | CHARS_B64TOKEN)

/* Ranges in designators are a GNU extension that both compilers have. */
__extension__ const uint8_t chars_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = UTV,
    ['"'] = V,
    ['#'] = TV,
    ['$'] = UTV,
    ['%'] = TV,
    ['&'] = UTV,
    ['\''] = UTV,
    ['('] = UV,
    [')'] = UV,
    ['*'] = UTV,
    ['+'] = UTV | CHARS_B64TOKEN,
    [','] = UV,
    ['-'] = ALNUM,
    ['.'] = ALNUM,
    ['/'] = UV | CHARS_B64TOKEN,
    ['0' ... '9'] = ALNUM | CHARS_HEX,
    [':'] = UV,
    [';'] = UV,
    ['<'] = V,
    ['='] = UV,
    ['>'] = V,
    ['?'] = CHARS_QUERY | V,
    ['@'] = UV,
    ['A' ... 'F'] = ALNUM | CHARS_HEX,
    ['G' ... 'Z'] = ALNUM,
    ['['] = V,
    ['\\'] = V,
    [']'] = V,
    ['^'] = TV,
    ['_'] = ALNUM,
    ['`'] = TV,
    ['a' ... 'f'] = ALNUM | CHARS_HEX,
    ['g' ... 'z'] = ALNUM,
    ['{'] = V,
    ['|'] = TV,
    ['}'] = V,
    ['~'] = UTV | CHARS_B64TOKEN,
    [0x80 ... 0xff] = V,
};

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

/* Non-zero when one of the eight bytes is below 0x20 or is DEL. HTAB counts: the caller looks at it
 * again. (x - 0x20.. borrows exactly below 0x20; ~x keeps bytes above 0x7f out.) */
static uint64_t find_controls(uint64_t x)
{
    uint64_t del = x ^ (ONES * 0x7f);
    return (((x - ONES * 0x20) & ~x) | ((del - ONES) & ~del)) & HIGHS;
}

size_t chars_value_run(const char *bytes, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint64_t eight;
        while (len - i >= sizeof(eight)) {
            memcpy(&eight, bytes + i, sizeof(eight));
            if (find_controls(eight) != 0)
                break;
            i += sizeof(eight);
        }
        size_t end = len - i < sizeof(eight) ? len : i + sizeof(eight);
        size_t run = chars_run(bytes + i, end - i, CHARS_VALUE);
        i += run;
        if (i < end)
            break;
    }
    return i;
}

/* A vector of bytes: what the processor has for it is the compiler's business. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* 0xff for each byte of CHARS_B64TOKEN, 0 for each other one. '-' to '9' is one range of the ASCII
 * table, "-./" and the digits; below it there is only '+', above the letters only '~'. */
static inline bytes16 match_b64token(bytes16 x)
{
    bytes16 letter = (x | 0x20) - 'a';
    bytes16 low = x - '-';
    return (bytes16)((letter < 26) | (low < '9' - '-' + 1) | (x == '+') | (x == '_') | (x == '~'));
}

static inline bytes16 load16(const char *bytes)
{
    bytes16 x;
    memcpy(&x, bytes, sizeof(x));
    return x;
}

bool chars_all_b64token(struct str s)
{
    const size_t step = sizeof(bytes16);
    if (s.len < step)
        return chars_run(s.ptr, s.len, CHARS_B64TOKEN) == s.len;
    /* The last step reads some bytes once more. */
    bytes16 good = match_b64token(load16(s.ptr + s.len - step));
    for (size_t i = 0; i + step <= s.len; i += step)
        good &= match_b64token(load16(s.ptr + i));
    uint64_t halves[2];
    memcpy(halves, &good, sizeof(halves));
    return (halves[0] & halves[1]) == UINT64_MAX;
}
