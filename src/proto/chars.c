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
