/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "policy/rules_int.h"
#include "proto/uri.h"

/* RFC 3986 2.3: an escape of what needs none is another spelling of the same URI. */
static bool is_unreserved(unsigned c)
{
    return (c < 0x80 && (ascii_is_alpha((char)c) || ascii_is_digit((char)c))) || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int hex_value(char c)
{
    char l = ascii_lower(c);
    return ascii_is_digit(c) ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* The escape at the beginning of TEXT hides something that globs look at: a separator, a NUL, or a
 * plain character, also when it is escaped more than once ("%252e"). */
static bool is_hiding(struct str text)
{
    size_t at = 1;
    while (str_has_prefix(str_from(text, at), STR("25")))
        at += 2;
    if (at + 1 >= text.len || hex_value(text.ptr[at]) < 0 || hex_value(text.ptr[at + 1]) < 0)
        return false;
    unsigned c = (unsigned)(hex_value(text.ptr[at]) * 16 + hex_value(text.ptr[at + 1]));
    return c == '/' || c == '\\' || c == '\0' || is_unreserved(c);
}

bool rules_uri_is_odd(struct str uri)
{
    for (size_t i = 0; i < uri.len; i++)
        if (uri.ptr[i] == '\\' || (uri.ptr[i] == '%' && is_hiding(str_from(uri, i))))
            return true;
    ptrdiff_t colon = str_find_char(uri, ':');
    return uri_path_has_dots(uri) || uri_path_has_dots(str_from(uri, (size_t)(colon + 1)));
}
