/* SPDX-License-Identifier: Apache-2.0 */
/* The strict codec for what an upstream answers (RFC 9112): bytes in, status, fields and body out.
 *
 * Stricter than libcurl: differing Content-Lengths, CL with TE, bare CR or LF, NUL, obs-fold, a
 * status outside 100..599, 101, trailing garbage in chunk sizes are faults. Interim (1xx) answers
 * are skipped, a bounded number of them. An answer that ends early is never taken for complete. */
#ifndef PROTO_HTTP1_RESPONSE_H
#define PROTO_HTTP1_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "proto/field.h"

#define HTTP1_RESPONSE_MAX_HEAD \
    (64U * 1024) /* all head bytes of one answer, interim ones included */
#define HTTP1_RESPONSE_MAX_FIELDS 128
#define HTTP1_RESPONSE_MAX_INTERIM 8

enum http1_response_rc {
    HTTP1_RESPONSE_OK,
    HTTP1_RESPONSE_STATUS_LINE,
    HTTP1_RESPONSE_VERSION,   /* not HTTP/1.0 or HTTP/1.1 */
    HTTP1_RESPONSE_STATUS,    /* outside 100..599, or 101 */
    HTTP1_RESPONSE_INTERIM,   /* more than 8 interim answers */
    HTTP1_RESPONSE_FIELD,     /* bad name, obs-fold, space before the colon, a line that ends in LF
                                 alone */
    HTTP1_RESPONSE_VALUE,     /* NUL, bare CR, other controls but HTAB */
    HTTP1_RESPONSE_HEAD_SIZE, /* too many bytes or fields */
    HTTP1_RESPONSE_LENGTH,    /* Content-Length not a number, or differing ones */
    HTTP1_RESPONSE_ENCODING, /* Transfer-Encoding other than exactly one chunked, or together with a
                                Content-Length, or in HTTP/1.0 */
    HTTP1_RESPONSE_CHUNK,    /* malformed chunk framing or trailer */
    HTTP1_RESPONSE_TRUNCATED, /* the connection ended before the message did */
};
const char *http1_response_rc_name(enum http1_response_rc rc);

struct http1_field {
    struct str name;  /* as received */
    struct str value; /* without surrounding blanks */
};

enum http1_body_kind {
    HTTP1_BODY_NONE,   /* 204, 304, or Content-Length: 0. A request with HEAD is never sent */
    HTTP1_BODY_LENGTH, /* Content-Length */
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_CLOSE, /* until the connection ends */
};

/* A complete final head. FIELDS and their strings borrow from the bytes given to
 * http1_response_head(). */
struct http1_response_head {
    unsigned status;
    unsigned minor_version; /* 0 or 1 */
    struct http1_field fields[HTTP1_RESPONSE_MAX_FIELDS];
    uint8_t ids[HTTP1_RESPONSE_MAX_FIELDS]; /* enum field_id of each */
    size_t n_fields;
    enum http1_body_kind body;
    uint64_t content_length;       /* with HTTP1_BODY_LENGTH */
    bool keep_alive;               /* the connection may be used again after the body */
    uint32_t keep_alive_timeout_s; /* from Keep-Alive: timeout=N; 0 when absent */
};

/* Looks for a complete final head at the start of BYTES (all bytes received of this answer so far;
 * the caller collects them in one buffer of at most HTTP1_RESPONSE_MAX_HEAD). Returns
 * HTTP1_RESPONSE_OK with *ret_used > 0: the head (and skipped interim ones) took so many bytes; OK
 * with *ret_used == 0: more bytes are needed; else the fault. *scanned is the caller's, 0 at first:
 * where the search goes on, so that a head that trickles in costs linear time. */
enum http1_response_rc http1_response_head(struct str bytes, size_t *scanned,
                                           struct http1_response_head *ret_head, size_t *ret_used);

/* The index of the first field ID, or n_fields. */
size_t http1_response_find(const struct http1_response_head *head, enum field_id id);

/* Bytes of one chunk extension, or of all trailer fields; both are checked and dropped. */
#define HTTP1_RESPONSE_MAX_EXTRA 8192

/* The body decoder: fixed size, no pointers. KIND and DONE are for the caller to read. */
struct http1_body {
    enum http1_body_kind kind;
    bool done;
    uint8_t state;  /* private: enum chunk_state in http1_response_body.c */
    uint8_t digits; /* private: of the chunk size so far */
    uint32_t extra; /* private: bytes of the extension or the trailers so far */
    uint64_t left;  /* private: of the body or the chunk */
};
void http1_body_init(struct http1_body *body, const struct http1_response_head *head);

/* Decodes without a copy: looks at BYTES, gives the next run of body bytes as a view in
 * *ret_data (possibly empty) and how many input bytes were used in *ret_used (at least one unless
 * BYTES is empty or the body is done). Call again with the rest until it is empty or body->done.
 * Bytes behind the end of the message stay unused: with body->done and bytes left over the caller
 * must not use the connection again. */
enum http1_response_rc http1_body_feed(struct http1_body *body, struct str bytes,
                                       struct str *ret_data, size_t *ret_used);
/* The connection ended: OK when the body is complete (or ends with the connection), else
 * HTTP1_RESPONSE_TRUNCATED. */
enum http1_response_rc http1_body_eof(struct http1_body *body);

#endif
