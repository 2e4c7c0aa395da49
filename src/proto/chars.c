/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/chars_int.h"

#include "base/vec.h"

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

/* 0xff for each byte that is neither a control byte nor DEL. HTAB is one: the caller looks at it
 * again. */
static inline vec16 match_visible(vec16 x)
{
    return (vec16)((x >= 0x20) & (x != 0x7f));
}

size_t chars_value_run(const char *bytes, size_t len)
{
    const size_t step = sizeof(vec16);
    size_t i = 0;
    while (i < len) {
        while (len - i >= step && vec16_all(match_visible(vec16_load(bytes + i))))
            i += step;
        /* The rest, with some bytes once more. */
        if (i > 0 && len - i < step && vec16_all(match_visible(vec16_load(bytes + len - step))))
            return len;
        size_t end = len - i < step ? len : i + step;
        i += chars_run(bytes + i, end - i, CHARS_VALUE);
        if (i < end)
            break;
    }
    return i;
}

/* 0xff for each byte of CHARS_B64TOKEN, 0 for each other one. '-' to '9' is one range of the ASCII
 * table, "-./" and the digits; below it there is only '+', above the letters only '~'. */
static inline vec16 match_b64token(vec16 x)
{
    vec16 letter = (x | 0x20) - 'a';
    vec16 low = x - '-';
    return (vec16)((letter < 26) | (low < '9' - '-' + 1) | (x == '+') | (x == '_') | (x == '~'));
}

bool chars_all_b64token(struct str s)
{
    const size_t step = sizeof(vec16);
    if (s.len < step)
        return chars_run(s.ptr, s.len, CHARS_B64TOKEN) == s.len;
    /* The last step reads some bytes once more. */
    vec16 good = match_b64token(vec16_load(s.ptr + s.len - step));
    for (size_t i = 0; i + step <= s.len; i += step)
        good &= match_b64token(vec16_load(s.ptr + i));
    return vec16_all(good);
}
