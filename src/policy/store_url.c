/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/store_url.h"

#include <sys/un.h>

#include "proto/uri.h"

#define SCHEME STR("redis://")
#define FORM "; write redis://[USER:PASSWORD@]HOST[:PORT][/DB], or unix:/path"

static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of an escape at the beginning of TEXT; -1: there is none, or that of a NUL. */
static int escaped_byte(struct str text)
{
    if (text.len < 3 || hex_value(text.ptr[1]) < 0 || hex_value(text.ptr[2]) < 0)
        return -1;
    int byte = hex_value(text.ptr[1]) * 16 + hex_value(text.ptr[2]);
    return byte > 0 ? byte : -1;
}

static bool is_encoded_right(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '%' && escaped_byte(str_from(text, i)) < 0)
            return false;
    return true;
}

int store_url_decode(struct str text, struct buf *out)
{
    while (text.len > 0) {
        bool escape = text.ptr[0] == '%';
        int r = buf_append_char(out, escape ? (char)escaped_byte(text) : text.ptr[0]);
        if (r < 0)
            return r;
        text = str_from(text, escape ? 3 : 1);
    }
    return 0;
}

/* USER:PASSWORD, :PASSWORD; a user alone would have no password. */
static const char *parse_credentials(struct str text, struct store_url *url)
{
    ptrdiff_t colon = str_find_char(text, ':');
    if (colon < 0 || (size_t)colon + 1 == text.len)
        return "names a user without a password";
    if (!is_encoded_right(text))
        return "has a '%' in user or password that is no escape; a '%' itself is %25";
    if (colon > 0)
        url->user = str_head(text, (size_t)colon);
    url->password = str_from(text, (size_t)colon + 1);
    return NULL;
}

static const char *parse_database(struct str text, struct store_url *url)
{
    uint64_t db = 0;
    if (text.len > 0 && str_to_u64(text, STORE_MAX_DB, &db) < 0)
        return "has a database that is no number";
    url->db = (unsigned)db;
    return NULL;
}

static const char *parse_network(struct str rest, struct store_url *url)
{
    struct uri_authority authority;
    const char *fault = NULL;
    /* The last one: a '@' in a password that is not encoded is nothing else. */
    const char *at = rest.len > 0 ? memrchr(rest.ptr, '@', rest.len) : NULL;
    if (at != NULL) {
        size_t len = (size_t)(at - rest.ptr);
        fault = parse_credentials(str_head(rest, len), url);
        rest = str_from(rest, len + 1);
    }
    ptrdiff_t slash = str_find_char(rest, '/');
    if (fault == NULL && slash >= 0) {
        fault = parse_database(str_from(rest, (size_t)slash + 1), url);
        rest = str_head(rest, (size_t)slash);
    }
    if (fault != NULL)
        return fault;
    if (uri_parse_authority(rest, &authority) != URI_OK)
        return "has no host name or address, or a port that is not 1..65535" FORM;
    url->host = authority.host;
    url->port = authority.port != 0 ? authority.port : STORE_DEFAULT_PORT;
    return NULL;
}

static const char *parse_unix(struct str path, struct store_url *url)
{
    const struct sockaddr_un un;
    if (path.len < 2 || path.ptr[0] != '/' || path.len >= sizeof(un.sun_path))
        return "must have an absolute path of at most 107 bytes behind \"unix:\"";
    url->path = path;
    return NULL;
}

const char *store_url_parse(struct str text, struct store_url *ret_url)
{
    struct store_url url = {0};
    const char *fault = NULL;
    if (text.len > STORE_MAX_URL_BYTES || str_has_control(text))
        return "is too long, or has control characters";
    if (str_has_prefix(text, STR("rediss://")))
        return "asks for TLS, which the Redis client of this build cannot do; use redis:// by way "
               "of "
               "a TLS proxy on this machine, or unix:/path";
    if (str_has_prefix(text, STR("unix:")))
        fault = parse_unix(str_from(text, 5), &url);
    else if (str_has_prefix(text, SCHEME))
        fault = parse_network(str_from(text, SCHEME.len), &url);
    else
        return "is no store" FORM;
    if (fault == NULL)
        *ret_url = url;
    return fault;
}
