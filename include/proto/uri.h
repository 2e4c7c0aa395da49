/* SPDX-License-Identifier: Apache-2.0 */
/* Absolute http and https URIs (RFC 3986, RFC 9110 4.2), split without a copy and read strictly:
 * what is written in the policy, in metadata and in Origin has one reading only.
 *
 * Stricter than the RFC on purpose: no userinfo, no fragment, no percent-encoding or sub-delims in
 * the host, no number that some resolvers take for an IPv4 address (127.1, 0x7f000001). */
#ifndef PROTO_URI_H
#define PROTO_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define URI_MAX_BYTES 8192
#define URI_MAX_HOST_BYTES 253

enum uri_rc {
    URI_OK,
    URI_TOO_LONG, /* more than URI_MAX_BYTES */
    URI_BYTE,     /* a space, control, non-ASCII or other byte that RFC 3986 does not allow there */
    URI_ESCAPE,   /* '%' without two hexadecimal digits, or %00 */
    URI_SCHEME,   /* neither http:// nor https:// */
    URI_USERINFO, /* user@ or user:password@ before the host */
    URI_HOST,     /* missing, or no host name, dotted IPv4 address or [IPv6] address */
    URI_PORT,     /* not 1..65535 */
    URI_FRAGMENT, /* '#' */
};
/* A sentence fragment for people: "has a port that is not 1..65535". */
const char *uri_rc_text(enum uri_rc rc);

/* host[:port], as in a URI or a Host field. */
struct uri_authority {
    struct str host; /* as written, without brackets */
    uint16_t port;   /* 0 when not given */
    bool ipv6;       /* host is an IPv6 address */
};

/* All views borrow from the text given to uri_parse(). */
struct uri {
    struct str scheme;    /* as written */
    struct str authority; /* as written: host[:port], with brackets */
    struct str host;      /* as written, without brackets */
    struct str path;      /* as written; empty or begins with '/' */
    struct str query;     /* behind the '?'; absent without one */
    uint16_t port;        /* given or the scheme's default */
    bool https;
    bool has_query; /* also for an empty query ("?") */
    bool ipv6;      /* host is an IPv6 address */
};

enum uri_rc uri_parse(struct str text, struct uri *ret_uri);
/* Splits and checks host[:port]; an empty port ("host:") is refused. */
enum uri_rc uri_parse_authority(struct str text, struct uri_authority *ret_authority);

/* 127.0.0.0/8, ::1, localhost and names that end in .localhost (RFC 6761), case ignored. HOST is
 * without brackets. */
bool uri_host_is_loopback(struct str host);
/* The port is the scheme's own: 80 or 443. */
bool uri_has_default_port(const struct uri *uri);
/* Equal scheme, host (case ignored) and port: the same origin (RFC 6454 5). */
bool uri_same_origin(const struct uri *a, const struct uri *b);

/* A segment of PATH is "." or "..", also percent-encoded ("%2e"), followed by ';' (path
 * parameters), or between encoded slashes or backslashes. */
bool uri_path_has_dots(struct str path);
/* QUERY has a parameter of this NAME, with or without a value, separated by '&' or ';', its name
 * also in percent-encoded spelling ("access%5Ftoken"). NAME is compared exactly. */
bool uri_query_has(struct str query, struct str name);

#endif
