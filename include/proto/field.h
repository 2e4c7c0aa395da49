/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields as RFC 9110 section 5 defines them: which name is which, what may pass a proxy, and
 * the few value forms that the gate needs. Pure functions over borrowed bytes. */
#ifndef PROTO_FIELD_H
#define PROTO_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

/* What a known field means to a proxy; several may hold. */
#define FIELD_HOP_BY_HOP 0x1U     /* RFC 9110 7.6.1: for this connection only, never forwarded */
#define FIELD_REQUEST_STRIP 0x2U  /* never goes upstream as the client sent it */
#define FIELD_RESPONSE_STRIP 0x4U /* never goes to the client as the upstream sent it */
#define FIELD_SINGLE 0x8U         /* a request that carries it twice is refused */

#define FIELD_MIRROR 0x10U /* repeats what the body says (MCP): the gate answers for two */

#define FIELD_F_HOP (FIELD_HOP_BY_HOP | FIELD_REQUEST_STRIP | FIELD_RESPONSE_STRIP)
#define FIELD_F_FRAME (FIELD_REQUEST_STRIP | FIELD_RESPONSE_STRIP | FIELD_SINGLE)

/* Every field that is known by name, ordered by the length of the name (field_lookup() depends on
 * it): X(identifier, "name in lower case", flags). */
#define FIELD_TABLE(X)                                                       \
    X(TE, "te", FIELD_F_HOP)                                                 \
    X(DATE, "date", FIELD_RESPONSE_STRIP)                                    \
    X(HOST, "host", FIELD_REQUEST_STRIP | FIELD_SINGLE)                      \
    X(VARY, "vary", 0)                                                       \
    /* CGI turns it into HTTP_PROXY (CVE-2016-5385) */                       \
    X(PROXY, "proxy", FIELD_REQUEST_STRIP)                                   \
    X(ACCEPT, "accept", 0)                                                   \
    X(COOKIE, "cookie", FIELD_REQUEST_STRIP)                                 \
    X(EXPECT, "expect", FIELD_REQUEST_STRIP | FIELD_SINGLE)                  \
    X(ORIGIN, "origin", FIELD_SINGLE)                                        \
    X(COOKIE2, "cookie2", FIELD_REQUEST_STRIP)                               \
    X(TRAILER, "trailer", FIELD_F_HOP)                                       \
    X(UPGRADE, "upgrade", FIELD_F_HOP)                                       \
    X(MCP_NAME, "mcp-name", FIELD_MIRROR)                                    \
    X(FORWARDED, "forwarded", FIELD_REQUEST_STRIP)                           \
    X(X_REAL_IP, "x-real-ip", FIELD_REQUEST_STRIP)                           \
    X(CONNECTION, "connection", FIELD_F_HOP)                                 \
    X(KEEP_ALIVE, "keep-alive", FIELD_F_HOP)                                 \
    X(MCP_METHOD, "mcp-method", FIELD_MIRROR)                                \
    X(SET_COOKIE, "set-cookie", 0)                                           \
    X(TRACESTATE, "tracestate", 0)                                           \
    X(USER_AGENT, "user-agent", 0)                                           \
    X(TRACEPARENT, "traceparent", 0)                                         \
    X(CONTENT_TYPE, "content-type", FIELD_SINGLE)                            \
    X(X_REQUEST_ID, "x-request-id", FIELD_REQUEST_STRIP)                     \
    X(AUTHORIZATION, "authorization", FIELD_REQUEST_STRIP)                   \
    X(CACHE_CONTROL, "cache-control", 0)                                     \
    X(LAST_EVENT_ID, "last-event-id", FIELD_SINGLE)                          \
    X(X_HTTP_METHOD, "x-http-method", FIELD_REQUEST_STRIP)                   \
    X(X_REWRITE_URL, "x-rewrite-url", FIELD_REQUEST_STRIP)                   \
    X(CONTENT_LENGTH, "content-length", FIELD_F_FRAME)                       \
    X(HTTP2_SETTINGS, "http2-settings", FIELD_F_HOP)                         \
    X(MCP_SESSION_ID, "mcp-session-id", FIELD_SINGLE)                        \
    X(X_ORIGINAL_URI, "x-original-uri", FIELD_REQUEST_STRIP)                 \
    X(X_ORIGINAL_URL, "x-original-url", FIELD_REQUEST_STRIP)                 \
    X(ACCEPT_ENCODING, "accept-encoding", 0)                                 \
    X(X_FORWARDED_FOR, "x-forwarded-for", FIELD_REQUEST_STRIP)               \
    X(X_ORIGINAL_HOST, "x-original-host", FIELD_REQUEST_STRIP)               \
    X(PROXY_CONNECTION, "proxy-connection", FIELD_F_HOP)                     \
    X(WWW_AUTHENTICATE, "www-authenticate", 0)                               \
    X(CONTENT_ENCODING, "content-encoding", 0)                               \
    X(X_FORWARDED_HOST, "x-forwarded-host", FIELD_REQUEST_STRIP)             \
    X(X_FORWARDED_PORT, "x-forwarded-port", FIELD_REQUEST_STRIP)             \
    X(TRANSFER_ENCODING, "transfer-encoding", FIELD_F_HOP | FIELD_SINGLE)    \
    X(X_ACCEL_BUFFERING, "x-accel-buffering", FIELD_RESPONSE_STRIP)          \
    X(X_FORWARDED_PROTO, "x-forwarded-proto", FIELD_REQUEST_STRIP)           \
    X(X_METHOD_OVERRIDE, "x-method-override", FIELD_REQUEST_STRIP)           \
    X(X_ORIGINAL_METHOD, "x-original-method", FIELD_REQUEST_STRIP)           \
    X(PROXY_AUTHENTICATE, "proxy-authenticate", FIELD_F_HOP)                 \
    X(X_FORWARDED_PREFIX, "x-forwarded-prefix", FIELD_REQUEST_STRIP)         \
    X(X_FORWARDED_SERVER, "x-forwarded-server", FIELD_REQUEST_STRIP)         \
    X(PROXY_AUTHORIZATION, "proxy-authorization", FIELD_F_HOP)               \
    X(MCP_PROTOCOL_VERSION, "mcp-protocol-version", FIELD_MIRROR)            \
    X(X_HTTP_METHOD_OVERRIDE, "x-http-method-override", FIELD_REQUEST_STRIP) \
    X(PROXY_AUTHENTICATION_INFO, "proxy-authentication-info", FIELD_F_HOP)   \
    X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method",        \
      FIELD_RESPONSE_STRIP | FIELD_SINGLE)                                   \
    X(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers", FIELD_RESPONSE_STRIP)

enum field_id {
    FIELD_OTHER, /* not known by name: end-to-end, no flag */
#define FIELD_ENUM_ROW(id, name, flags) FIELD_##id,
    FIELD_TABLE(FIELD_ENUM_ROW)
#undef FIELD_ENUM_ROW
    /* Families known by their prefix; a member listed above keeps its own id. */
    FIELD_ACCESS_CONTROL_OTHER, /* access-control-*: CORS is the gate's own answer */
    FIELD_X_FORWARDED_OTHER,    /* x-forwarded-*: only ours count upstream */
    FIELD_X_ACCEL_OTHER,        /* x-accel-*: orders to an nginx in front of us (redirects!) */
    FIELD_ID_COUNT,
};

/* The id of a field name, ASCII case ignored. */
enum field_id field_lookup(struct str name);
/* The same with '_' read as '-', as CGI-like upstreams do (HTTP_X_REAL_IP): what decides whether a
 * client's field is removed before forwarding. */
enum field_id field_lookup_folded(struct str name);
/* FIELD_HOP_BY_HOP and so on of an id; 0 for FIELD_OTHER. */
unsigned field_flags(enum field_id id);
/* The name in lower case; "" for FIELD_OTHER, the prefix for a family. */
struct str field_name(enum field_id id);

/* A token of RFC 9110 5.6.2, at least one byte. */
bool field_is_name(struct str name);
/* A field value of RFC 9110 5.5: no control byte but HTAB, no blank at either end. May be empty. */
bool field_is_value(struct str value);
/* The same name to an upstream that ignores case and reads '_' as '-'. */
bool field_fold_eq(struct str a, struct str b);

/* Takes the next member of a comma-separated list of tokens (RFC 9110 5.6.1: empty members are
 * skipped, blanks trimmed) from *REST into *RET_MEMBER; false when none is left. Knows no quoted
 * strings, so it fits Connection, Vary, TE and their like only. */
bool field_list_next(struct str *rest, struct str *ret_member);
/* True when LIST has TOKEN among its members, case ignored. */
bool field_list_has(struct str list, struct str token);

/* True when VALUE (a Content-Type) names the media type TYPE ("application/json"), parameters and
 * case ignored (RFC 9110 8.3.1). */
bool field_media_type_is(struct str value, struct str type);
/* True when VALUE names application/json and nothing by which a receiver might read other
 * characters than those of UTF-8: no parameter but charset=utf-8. Common servers decode a body by
 * its charset first, and in UTF-7 "+ACI-" is a quotation mark. */
bool field_is_json_type(struct str value);

/* Appends a string of foreign origin (a claim) as a field value that no two strings share.
 * Refuses control bytes, HTAB included, with -EINVAL. Bytes above 0x7e, every '%', and a space at
 * either end (which receivers would trim) become %XX, so that percent-decoding gives back exactly
 * the string and "%C3%A9" cannot pose as "é". Else 0 or buf_append()'s fault. Nothing is appended
 * on -EINVAL. */
int field_append_value(struct buf *buf, struct str value);

#endif
