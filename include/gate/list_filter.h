/* SPDX-License-Identifier: Apache-2.0 */
/* What the caller may not use is taken out of one answer of the upstream while it comes: a JSON
 * body as a whole, an event stream event by event. Pure: bytes in, bytes to send out.
 *
 * The caller keeps these rules:
 * - An answer with a Content-Encoding is not given to a filter: it is refused with
 *   LIST_FILTER_ENCODED. Nothing of the answer is sent beside what comes out here.
 * - The length of what comes out is not that of the answer: its Content-Length is not passed on.
 * - Each piece of the body goes through list_filter_feed(), the end of a complete body through
 *   list_filter_end(); whatever either says, what it appended to OUT is to be sent. A body that
 *   broke off has no list_filter_end(): the client's answer breaks off, too.
 * - After anything but LIST_FILTER_OK there are no more calls but list_filter_reason(),
 *   list_filter_removed() and list_filter_free().
 *
 * JSON: nothing is sent before the end. LIST_FILTER_REFUSED is a 502 with the name and the text of
 * the reason.
 * Events: an event leaves as soon as its last byte came; one without a list leaves with the bytes
 * it came with. LIST_FILTER_ENDED: OUT ends with an event that answers the request with a JSON-RPC
 * error (-32000), and the stream ends in order. LIST_FILTER_REFUSED: the request is not known, and
 * the stream ends as broken. Bytes behind the last whole event are dropped, as clients do (WHATWG
 * HTML 9.2.6). */
#ifndef GATE_LIST_FILTER_H
#define GATE_LIST_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/mcp_list.h"

struct list_filter;

enum list_filter_rc {
    LIST_FILTER_OK,
    LIST_FILTER_ENDED,     /* events only: send OUT, and end the stream as complete */
    LIST_FILTER_REFUSED,   /* JSON: 502; events: send OUT, and break the stream off */
    LIST_FILTER_NO_MEMORY, /* or past the ceiling of OUT: as LIST_FILTER_REFUSED, with 503 */
};

/* Why an answer is refused. */
enum list_filter_reason {
    LIST_FILTER_TOO_LARGE, /* the body, or one event */
    LIST_FILTER_NOT_JSON,  /* no strict JSON, or a list of unknown form */
    LIST_FILTER_ENCODED,   /* said by the caller, never by a filter */
};
/* For logs and metrics: "response_too_large", "response_not_json", "response_encoded". */
const char *list_filter_reason_name(enum list_filter_reason reason);
/* One sentence for the client; static. */
const char *list_filter_reason_text(enum list_filter_reason reason);

struct list_filter_options {
    bool events; /* text/event-stream; else the whole body is one JSON text */
    /* What is looked for, and who may use it; its max_bytes is the ceiling of a body, and of one
     * event with all its lines. Copied; what its ctx points to is borrowed. */
    const struct mcp_list_filter *lists;
    /* The JSON text of the id of the only request that is being answered, absent when there is none
     * (GET) or there are several. Borrowed. */
    struct str request_id;
};

/* NULL when memory is short. Allocates for the body only when it comes; a stream without an
 * unfinished event holds a few hundred bytes. */
struct list_filter *list_filter_new(const struct list_filter_options *options);
/* Takes NULL, returns NULL. */
struct list_filter *list_filter_free(struct list_filter *filter);

/* Takes all of BYTES, of any length. OUT needs room for at most LIST_FILTER_MAX_OUT() bytes. */
enum list_filter_rc list_filter_feed(struct list_filter *filter, struct str bytes, struct buf *out);
/* The body is complete. An empty OUT is handed the collected body without a copy. */
enum list_filter_rc list_filter_end(struct list_filter *filter, struct buf *out);

/* How much one call may append with a ceiling of MAX_BYTES, for a piece of PIECE bytes (0:
 * list_filter_end()) and a request id of ID bytes. */
#define LIST_FILTER_MAX_OUT(max_bytes, piece, id) (2 * ((max_bytes) + (piece)) + (id) + 256)

/* After LIST_FILTER_ENDED and LIST_FILTER_REFUSED. */
enum list_filter_reason list_filter_reason(const struct list_filter *filter);
/* Entries that were taken out so far. */
uint64_t list_filter_removed(const struct list_filter *filter);

#endif
