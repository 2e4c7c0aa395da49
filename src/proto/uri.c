/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "proto/chars_int.h"

#define MAX_LABEL_BYTES 63
#define MAX_PORT_DIGITS 5

const char *uri_rc_text(enum uri_rc rc)
{
    switch (rc) {
    case URI_OK:
        return "is a valid URI";
    case URI_TOO_LONG:
        return "is longer than 8192 bytes";
    case URI_BYTE:
        return "has a byte that a URI may not contain there";
    case URI_ESCAPE:
        return "has a '%' that is not followed by two hexadecimal digits, or a %00";
    case URI_SCHEME:
        return "does not begin with http:// or https://";
    case URI_USERINFO:
        return "has a user name or password before the host";
    case URI_HOST:
        return "has no valid host name, IPv4 address or [IPv6 address]";
    case URI_PORT:
        return "has a port that is not 1..65535";
    case URI_FRAGMENT:
        return "has a fragment ('#')";
    }
    return "is not a valid URI";
}

/* inet_pton() for a view; false also for what is too long to be an address. */
static bool parse_address(int family, struct str text, void *ret_address)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(copy) || str_has_nul(text))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, ret_address) == 1;
}

/* "ends in a number" of the WHATWG URL standard: resolvers take such a name for an IPv4 address. */
static bool label_is_number(struct str label)
{
    struct str hex = str_from(label, 2);
    if (str_has_prefix_nocase(label, STR("0x")) && (hex.len == 0 || chars_all(hex, CHARS_HEX)))
        return true;
    for (size_t i = 0; i < label.len; i++)
        if (!ascii_is_digit(label.ptr[i]))
            return false;
    return true;
}

/* A dotted IPv4 address, or labels of 1..63 bytes, perhaps with the root's dot behind them. */
static bool is_host_name(struct str host)
{
    if (host.len > URI_MAX_HOST_BYTES || !chars_all(host, CHARS_HOST))
        return false;
    struct str rest = str_has_suffix(host, STR(".")) ? str_head(host, host.len - 1) : host;
    struct str label = STR("");
    if (rest.len == 0 || str_has_suffix(rest, STR(".")))
        return false;
    while (str_split(&rest, '.', &label))
        if (label.len == 0 || label.len > MAX_LABEL_BYTES)
            return false;
    struct in_addr address;
    return !label_is_number(label) || parse_address(AF_INET, host, &address);
}

/* REST is what stands behind the host: nothing, or ":port". */
static enum uri_rc parse_port(struct str rest, uint16_t *ret_port)
{
    if (rest.len == 0)
        return URI_OK;
    struct str digits = str_from(rest, 1);
    uint64_t port = 0;
    if (rest.ptr[0] != ':' || digits.len > MAX_PORT_DIGITS ||
        str_to_u64(digits, UINT16_MAX, &port) != 0 || port == 0)
        return URI_PORT;
    *ret_port = (uint16_t)port;
    return URI_OK;
}

enum uri_rc uri_parse_authority(struct str text, struct uri_authority *ret_authority)
{
    struct uri_authority authority = {.ipv6 = text.len > 0 && text.ptr[0] == '['};
    ptrdiff_t end = str_find_char(text, authority.ipv6 ? ']' : ':');
    if (authority.ipv6) {
        struct in6_addr address;
        if (end < 0)
            return URI_HOST;
        authority.host = str_make(text.ptr + 1, (size_t)end - 1);
        if (!parse_address(AF_INET6, authority.host, &address))
            return URI_HOST;
        end++;
    } else {
        authority.host = end < 0 ? text : str_head(text, (size_t)end);
        if (!is_host_name(authority.host))
            return URI_HOST;
    }
    struct str rest = end < 0 ? STR("") : str_from(text, (size_t)end);
    enum uri_rc rc = parse_port(rest, &authority.port);
    if (rc == URI_OK)
        *ret_authority = authority;
    return rc;
}

/* Every byte of PART is of CLASS, or begins a percent escape other than %00. */
static enum uri_rc check_bytes(struct str part, unsigned class)
{
    for (size_t i = 0; i < part.len; i++) {
        i += chars_run(part.ptr + i, part.len - i, class);
        if (i == part.len)
            break;
        struct str at = str_from(part, i);
        if (at.ptr[0] != '%')
            return URI_BYTE;
        if (!chars_is_escape(at) || (at.ptr[1] == '0' && at.ptr[2] == '0'))
            return URI_ESCAPE;
        i += 2;
    }
    return URI_OK;
}

/* Length of the part of S before the first of STOPS (or all of it). */
static size_t span_until(struct str s, const char *stops)
{
    size_t i = 0;
    while (i < s.len && (s.ptr[i] == '\0' || strchr(stops, s.ptr[i]) == NULL))
        i++;
    return i;
}

/* Takes everything behind the authority. */
static enum uri_rc parse_path_query(struct str rest, struct uri *uri)
{
    if (str_find_char(rest, '#') >= 0)
        return URI_FRAGMENT;
    size_t path_len = span_until(rest, "?");
    uri->path = str_head(rest, path_len);
    uri->has_query = path_len < rest.len;
    if (uri->has_query)
        uri->query = str_from(rest, path_len + 1);
    enum uri_rc rc = check_bytes(uri->path, CHARS_PATH);
    return rc != URI_OK ? rc : check_bytes(uri->query, CHARS_QUERY);
}

enum uri_rc uri_parse(struct str text, struct uri *ret_uri)
{
    struct uri uri = {0};
    if (text.len > URI_MAX_BYTES)
        return URI_TOO_LONG;
    uri.https = str_has_prefix_nocase(text, STR("https://"));
    if (!uri.https && !str_has_prefix_nocase(text, STR("http://")))
        return URI_SCHEME;
    uri.scheme = str_head(text, uri.https ? 5 : 4);
    struct str rest = str_from(text, uri.scheme.len + 3);
    uri.authority = str_head(rest, span_until(rest, "/?#"));
    if (str_find_char(uri.authority, '@') >= 0)
        return URI_USERINFO;

    struct uri_authority authority;
    enum uri_rc rc = uri_parse_authority(uri.authority, &authority);
    if (rc != URI_OK)
        return rc;
    uri.host = authority.host;
    uri.ipv6 = authority.ipv6;
    uri.port = authority.port;
    if (uri.port == 0)
        uri.port = uri.https ? 443 : 80;

    rc = parse_path_query(str_from(rest, uri.authority.len), &uri);
    if (rc == URI_OK)
        *ret_uri = uri;
    return rc;
}

bool uri_host_is_loopback(struct str host)
{
    struct in_addr v4;
    if (parse_address(AF_INET, host, &v4))
        return (ntohl(v4.s_addr) >> 24) == 127;
    struct in6_addr v6;
    if (parse_address(AF_INET6, host, &v6))
        return memcmp(&v6, &in6addr_loopback, sizeof(v6)) == 0;
    struct str suffix = STR(".localhost");
    struct str name = str_has_suffix(host, STR(".")) ? str_head(host, host.len - 1) : host;
    if (name.len < suffix.len)
        return str_eq_nocase(name, STR("localhost"));
    return str_eq_nocase(str_from(name, name.len - suffix.len), suffix);
}

bool uri_has_default_port(const struct uri *uri)
{
    return uri->port == (uri->https ? 443 : 80);
}

bool uri_same_origin(const struct uri *a, const struct uri *b)
{
    return a->https == b->https && a->port == b->port && str_eq_nocase(a->host, b->host);
}

/* Takes one byte from *REST, or one percent escape decoded. False at the end. */
static bool take_decoded(struct str *rest, char *ret_byte)
{
    if (rest->len == 0)
        return false;
    size_t used = 1;
    char byte = rest->ptr[0];
    if (chars_is_escape(*rest)) {
        byte = (char)(chars_hex_value(rest->ptr[1]) << 4 | chars_hex_value(rest->ptr[2]));
        used = 3;
    }
    *rest = str_from(*rest, used);
    *ret_byte = byte;
    return true;
}

bool uri_path_has_dots(struct str path)
{
    unsigned dots = 0;
    bool only_dots = true;
    char c;
    while (take_decoded(&path, &c)) {
        bool slash = c == '/' || c == '\\';
        if ((slash || c == ';') && only_dots && (dots == 1 || dots == 2))
            return true;
        if (slash)
            dots = 0;
        else if (c == '.')
            dots++;
        only_dots = slash || (only_dots && c == '.');
    }
    return only_dots && (dots == 1 || dots == 2);
}

static bool decodes_to(struct str encoded, struct str plain)
{
    char c;
    size_t i = 0;
    while (take_decoded(&encoded, &c)) {
        if (i == plain.len || plain.ptr[i] != c)
            return false;
        i++;
    }
    return i == plain.len;
}

bool uri_query_has(struct str query, struct str name)
{
    while (query.len > 0) {
        struct str pair = str_head(query, span_until(query, "&;"));
        query = str_from(query, pair.len + 1);
        if (decodes_to(str_head(pair, span_until(pair, "=")), name))
            return true;
    }
    return false;
}
