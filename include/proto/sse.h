/* SPDX-License-Identifier: Apache-2.0 */
/* Framing of server-sent events (WHATWG HTML, 9.2 "Server-sent events"): cuts a stream of bytes, in
 * pieces of any size, into whole events. Lines end with LF, CR or CR LF. Pure.
 *
 * An event is given with its bytes as received, so that it can go on unchanged: the raw bytes of
 * all events and then those that are pending are the input, byte for byte. For that, and because
 * nothing waits here longer than it must, some events have no data and mean nothing to a client:
 * - A blank line ends an event. One that nothing stands before is an event of its own.
 * - Comments before the first field of an event are given line by line, each as it ends: a server's
 *   sign of life must not wait for the next event.
 * - CR at the end of a piece is the end of a line; an LF that the next piece begins with belongs to
 *   it, and is given alone if the event has already been given. */
#ifndef PROTO_SSE_H
#define PROTO_SSE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

struct sse_event {
    struct str raw;  /* all its lines with the blank line that ends it */
    struct str data; /* its data lines joined with LF; empty when it has none */
    bool has_data;
    bool
        first; /* of the stream: a byte order mark at the beginning of raw is no part of its line */
};

struct sse_reader {
    /* Of the event that is not complete: at the end of a stream it is none, and clients drop it. */
    struct buf pending;
    struct buf data; /* joined, from the second data line on */
    /* private: */
    size_t line_start; /* in pending, like data_start */
    size_t data_start; /* of the first data line's value */
    size_t data_len;
    size_t n_data;   /* data lines */
    bool has_fields; /* a line that is no comment is pending */
    bool given;      /* pending is the event that the last call gave */
    bool after_cr;   /* the last byte was a CR: LF belongs to it */
    bool at_start;   /* no line of the stream was read */
    bool first;      /* no event was given */
};

/* The raw bytes of an event may be MAX_EVENT_BYTES, not counting an LF behind a CR at their very
 * end. A reader without pending bytes holds at most 1 KiB. Free it with sse_reader_free(). */
struct sse_reader sse_reader_make(size_t max_event_bytes);
void sse_reader_free(struct sse_reader *reader);

enum sse_rc {
    SSE_EVENT, /* *ret_event is complete; it borrows from the reader until the next call */
    SSE_MORE,  /* all of *bytes was taken, and no event is complete */
    /* No more calls than sse_reader_free() after these: */
    SSE_TOO_LARGE,
    SSE_NO_MEMORY,
};
/* Takes from the beginning of *BYTES, which is moved behind what was taken. To be called until it
 * says SSE_MORE. */
enum sse_rc sse_read(struct sse_reader *reader, struct str *bytes, struct sse_event *ret_event);

/* Appends EVENT with DATA in the place of its data lines, without any: before the blank line; its
 * other lines stay as they are, and in their order. DATA has a line for each LF, CR or CR LF in it.
 * 0; -EMSGSIZE or -ENOMEM of the buffer, which then has nothing appended. */
int sse_append_event(const struct sse_event *event, struct str data, struct buf *out);

#endif
