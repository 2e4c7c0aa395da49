/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/origin_int.h"

#include <stdio.h>

#include "proto/uri.h"

static size_t lower(char *text, int len)
{
    if (len <= 0 || len >= ORIGIN_MAX_BYTES)
        return 0;
    for (int i = 0; i < len; i++)
        text[i] = ascii_lower(text[i]);
    return (size_t)len;
}

static bool is_scheme(struct str scheme)
{
    if (scheme.len == 0 || !ascii_is_alpha(scheme.ptr[0]))
        return false;
    for (size_t i = 0; i < scheme.len; i++) {
        char c = scheme.ptr[i];
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '+' && c != '-' && c != '.')
            return false;
    }
    return true;
}

static bool is_opaque_host(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '.' && c != '_' &&
            c != ':')
            return false;
    }
    return host.len > 0;
}

/* An origin of a scheme that has no authority of its own form: compared as text. */
static size_t normalise_opaque(struct str origin, char ret_normal[ORIGIN_MAX_BYTES])
{
    ptrdiff_t colon = str_find_char(origin, ':');
    if (colon < 0 || !is_scheme(str_head(origin, (size_t)colon)) ||
        !str_has_prefix(str_from(origin, (size_t)colon), STR("://")) ||
        !is_opaque_host(str_from(origin, (size_t)colon + 3)))
        return 0;
    return lower(ret_normal, snprintf(ret_normal, ORIGIN_MAX_BYTES, "%.*s", STR_ARG(origin)));
}

size_t origin_normalise(struct str origin, char ret_normal[ORIGIN_MAX_BYTES])
{
    struct uri uri;
    enum uri_rc rc = uri_parse(origin, &uri);
    if (rc == URI_SCHEME)
        return normalise_opaque(origin, ret_normal);
    if (rc != URI_OK || uri.path.len > 0 || uri.has_query)
        return 0;
    const char *open = uri.ipv6 ? "[" : "";
    const char *close = uri.ipv6 ? "]" : "";
    char port[8] = "";
    if (!uri_has_default_port(&uri))
        (void)snprintf(port, sizeof(port), ":%u", (unsigned)uri.port);
    return lower(ret_normal, snprintf(ret_normal, ORIGIN_MAX_BYTES, "%.*s://%s%.*s%s%s",
                                      STR_ARG(uri.scheme), open, STR_ARG(uri.host), close, port));
}
