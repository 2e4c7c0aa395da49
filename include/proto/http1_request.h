/* SPDX-License-Identifier: Apache-2.0 */
/* The strict filter over the bytes that a client sends (RFC 9112): a pure state machine in front of
 * libmicrohttpd's parser, which accepts much that is dangerous next to another proxy.
 *
 * It copies nothing and keeps a fixed-size state, so that any cut of the same bytes gives the same
 * verdict. What it passes, and libmicrohttpd then parses, has one reading only.
 * docs/ARCHITECTURE.md tells how the bytes reach it. */
#ifndef PROTO_HTTP1_REQUEST_H
#define PROTO_HTTP1_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why a request is refused. http1_request_reason() gives the sentence and the status. */
enum http1_request_rc {
    HTTP1_REQUEST_OK,
    HTTP1_REQUEST_METHOD,         /* not a token, or longer than 32 bytes */
    HTTP1_REQUEST_TARGET,         /* not origin-form ('*' passes for OPTIONS only), a byte outside
                                     pchar or query, a fragment, a bad or NUL percent escape */
    HTTP1_REQUEST_TARGET_DOTS,    /* a "." or ".." segment, also percent-encoded or before ';'; an
                                     encoded slash or backslash in the path; an empty segment */
    HTTP1_REQUEST_TARGET_LENGTH,  /* 414 */
    HTTP1_REQUEST_VERSION,        /* 505: a well-formed version other than HTTP/1.1 and HTTP/1.0 */
    HTTP1_REQUEST_VERSION_SYNTAX, /* no version (HTTP/0.9), or not HTTP/DIGIT.DIGIT */
    HTTP1_REQUEST_LINE_END,       /* bare CR, bare LF, empty line before the request line */
    HTTP1_REQUEST_FIELD_NAME,  /* not a token, empty, space before the colon; a field that must be
                                  single spelled with '_' for '-' (Content_Length) */
    HTTP1_REQUEST_FIELD_FOLD,  /* obs-fold: a line that starts with SP or HTAB */
    HTTP1_REQUEST_FIELD_VALUE, /* NUL, another control byte, DEL, a bare CR or LF */
    HTTP1_REQUEST_HEAD_SIZE,   /* 431 */
    HTTP1_REQUEST_FIELD_COUNT, /* 431: more than HTTP1_REQUEST_MAX_FIELDS fields */
    HTTP1_REQUEST_HOST,        /* missing with 1.1, twice, empty, not host[:port] */
    HTTP1_REQUEST_CONTENT_LENGTH,    /* twice (equal or not), a list, not 1*DIGIT, above 2^63-1, or
                                        with a blank behind it */
    HTTP1_REQUEST_TRANSFER_ENCODING, /* anything but exactly one "chunked" (case ignored) without a
                                        blank behind it, or with HTTP/1.0 */
    HTTP1_REQUEST_FRAMING,           /* Content-Length and Transfer-Encoding together */
    HTTP1_REQUEST_CHUNK,             /* size not 1*HEXDIG of at most 16 digits, above 2^63-1, any
                                        extension, bad CRLF */
    HTTP1_REQUEST_TRAILER,           /* any trailer field */
    HTTP1_REQUEST_HTTP2,     /* 505: the HTTP/2 preface (PRI * HTTP/2.0); an Upgrade field is no
                                fault */
    HTTP1_REQUEST_EXPECT,    /* 417: Expect other than one 100-continue */
    HTTP1_REQUEST_DUPLICATE, /* a field twice that must be single, see FIELD_SINGLE in field.h.
                                Authorization is not among them: rule 4 answers it */
};

#define HTTP1_REQUEST_MAX_METHOD 32
#define HTTP1_REQUEST_MAX_TARGET 8192
#define HTTP1_REQUEST_MAX_FIELDS 100

struct http1_request_limits {
    size_t head_bytes;   /* request line, fields and the empty line: limits.header of the policy */
    size_t target_bytes; /* lowered to HTTP1_REQUEST_MAX_TARGET */
};

/* Holds the longest text that is judged whole: a Host value of 253 + 6 bytes. */
#define HTTP1_REQUEST_TEXT 264

/* Private state, fixed size, no pointers: may be copied. Made by http1_request_init(). */
struct http1_request {
    struct http1_request_limits limits;
    uint64_t seen;           /* one bit per enum field_id that this head has */
    uint64_t content_length; /* of the field, when seen */
    uint64_t body_left;      /* of the body or of the current chunk */
    uint32_t head_bytes;
    uint32_t target_bytes;
    uint32_t fields;
    uint16_t text_len; /* bytes kept in TEXT; HTTP1_REQUEST_TEXT + 1: there were too many */
    uint8_t state;     /* enum state in http1_request_int.h */
    uint8_t reason;    /* enum http1_request_rc once refused */
    uint8_t rule;      /* how the value being read is judged, 0 when any will do */
    uint8_t segment;   /* what the current path segment is so far */
    uint8_t position;  /* within a percent escape, the version, or a chunk size */
    uint8_t high;      /* first digit of a percent escape */
    bool minor_zero;   /* HTTP/1.0 */
    char text[HTTP1_REQUEST_TEXT]; /* method, name or value that a cut has split */
};

void http1_request_init(struct http1_request *request, struct http1_request_limits limits);

/* Looks at LEN more bytes. Returns how many of them are good and belong to the current message: it
 * stops behind the last byte of a message (http1_request_at_end() is then true and the next call
 * begins a new one), or before the byte that is wrong (http1_request_refused() then tells why, for
 * ever). */
size_t http1_request_feed(struct http1_request *request, const char *bytes, size_t len);

bool http1_request_at_end(const struct http1_request *request);
/* HTTP1_REQUEST_OK as long as nothing was wrong. */
enum http1_request_rc http1_request_refused(const struct http1_request *request);
/* True between messages: before the first byte of one, and again at its end. */
bool http1_request_idle(const struct http1_request *request);
/* True from the first byte of a message until the end of its head. */
bool http1_request_in_head(const struct http1_request *request);

struct http1_request_reason {
    unsigned status;         /* 400, 414, 417, 431 or 505 */
    const char *name;        /* snake_case for logs and metrics */
    const char *description; /* one sentence for the client, without the full stop */
};
struct http1_request_reason http1_request_reason(enum http1_request_rc rc);

#endif
