/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/bearer.h"

#include "proto/chars_int.h"
#include "proto/field.h"

/* 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" */
static bool is_b64token(struct str s)
{
    while (s.len > 0 && s.ptr[s.len - 1] == '=')
        s.len--;
    return s.len > 0 && chars_all_b64token(s);
}

enum bearer_rc bearer_parse(struct str value, struct str *ret_token)
{
    const struct str scheme = STR("Bearer");
    struct str credentials = str_trim(value);
    if (!str_has_prefix_nocase(credentials, scheme))
        return BEARER_OTHER_SCHEME;
    credentials = str_from(credentials, scheme.len);
    /* "Bearerx" and "Bearer-x" are other schemes; a byte no scheme has is a malformed Bearer. */
    if (field_is_name(str_head(credentials, 1)))
        return BEARER_OTHER_SCHEME;
    if (credentials.len == 0 || credentials.ptr[0] != ' ')
        return BEARER_MALFORMED;
    while (credentials.len > 0 && credentials.ptr[0] == ' ')
        credentials = str_from(credentials, 1);
    if (!is_b64token(credentials))
        return BEARER_MALFORMED;
    *ret_token = credentials;
    return BEARER_OK;
}
