/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/sse.h"

#include <errno.h>

#include "base/err.h"

/* More memory than this is not kept for the next event: thousands of streams wait most of the time.
 */
#define KEEP_BYTES 512

#define BYTE_ORDER_MARK STR("\xef\xbb\xbf")

struct sse_reader sse_reader_make(size_t max_event_bytes)
{
    return (struct sse_reader){
        .pending = buf_make(max_event_bytes),
        .data = buf_make(max_event_bytes),
        .at_start = true,
        .first = true,
    };
}

void sse_reader_free(struct sse_reader *reader)
{
    buf_free(&reader->pending);
    buf_free(&reader->data);
}

/* ---- lines ---- */

/* How far a search for LF looks at first. */
#define FIRST_LOOK 64

/* Where the first line of BYTES ends, without its end. What is behind a CR is not searched for LF
 * again and again: each look is twice as long as the one before it. */
static size_t line_length(struct str bytes)
{
    size_t done = 0;
    for (size_t look = FIRST_LOOK; done < bytes.len; look *= 2) {
        const char *at = bytes.ptr + done;
        const size_t len = size_min(look, bytes.len - done);
        const char *lf = memchr(at, '\n', len);
        const char *cr = memchr(at, '\r', lf != NULL ? (size_t)(lf - at) : len);
        if (cr != NULL)
            return (size_t)(cr - bytes.ptr);
        if (lf != NULL)
            return (size_t)(lf - bytes.ptr);
        done += len;
    }
    return bytes.len;
}

struct line {
    struct str text;
    struct str end; /* LF, CR, CR LF; empty at the end of the bytes */
};

/* LEN: as line_length() has it. */
static struct line split_line(struct str *bytes, size_t len)
{
    struct line line = {.text = str_head(*bytes, len)};
    *bytes = str_from(*bytes, line.text.len);
    line.end = str_head(*bytes, str_has_prefix(*bytes, STR("\r\n")) ? 2 : 1);
    *bytes = str_from(*bytes, line.end.len);
    return line;
}

static struct line take_line(struct str *bytes)
{
    return split_line(bytes, line_length(*bytes));
}

/* True for a data line. The value is behind the colon, and behind one space if there is one. */
static bool line_is_data(struct str line, struct str *ret_value)
{
    if (!str_has_prefix(line, STR("data")))
        return false;
    struct str rest = str_from(line, 4);
    if (rest.len > 0 && rest.ptr[0] != ':')
        return false;
    rest = str_from(rest, 1);
    *ret_value = str_has_prefix(rest, STR(" ")) ? str_from(rest, 1) : rest;
    return true;
}

static struct str without_mark(struct str line)
{
    return str_has_prefix(line, BYTE_ORDER_MARK) ? str_from(line, BYTE_ORDER_MARK.len) : line;
}

/* ---- reading ---- */

static void forget(struct buf *buf)
{
    if (buf->cap > KEEP_BYTES)
        buf_free(buf);
    buf_clear(buf);
}

static void begin_event(struct sse_reader *reader)
{
    forget(&reader->pending);
    forget(&reader->data);
    reader->line_start = 0;
    reader->n_data = 0;
    reader->has_fields = false;
    reader->given = false;
}

/* The value of the only data line is a view of the pending bytes; more of them are joined. */
static int add_data(struct sse_reader *reader, struct str value)
{
    const char *pending = reader->pending.ptr;
    if (reader->n_data == 0) {
        reader->data_start = (size_t)(value.ptr - pending);
        reader->data_len = value.len;
    } else {
        if (reader->n_data == 1)
            (void)buf_append(&reader->data,
                             str_make(pending + reader->data_start, reader->data_len));
        (void)buf_append_char(&reader->data, '\n');
        (void)buf_append(&reader->data, value);
    }
    reader->n_data++;
    return reader->data.fault;
}

/* The pending line has ended: *RET_COMPLETE says whether that is the end of an event, too. */
static int end_line(struct sse_reader *reader, bool *ret_complete)
{
    struct str line = str_from(buf_str(&reader->pending), reader->line_start);
    struct str value = {0};
    line.len--; /* one byte ends it; the LF of a CR LF is not yet there */
    if (reader->at_start)
        line = without_mark(line);
    reader->at_start = false;
    reader->line_start = reader->pending.len;
    if (line.len == 0 || (line.ptr[0] == ':' && !reader->has_fields)) {
        *ret_complete = true;
        return 0;
    }
    *ret_complete = false;
    reader->has_fields = reader->has_fields || line.ptr[0] != ':';
    return line_is_data(line, &value) ? add_data(reader, value) : 0;
}

static int take_bytes(struct sse_reader *reader, struct str *bytes, size_t count)
{
    int r = buf_append(&reader->pending, str_head(*bytes, count));
    if (r == 0)
        *bytes = str_from(*bytes, count);
    return r;
}

/* The LF of a CR LF, if that is what *BYTES begins with. */
static int take_lf(struct sse_reader *reader, struct str *bytes)
{
    if (!str_has_prefix(*bytes, STR("\n")))
        return 0;
    int r = take_bytes(reader, bytes, 1);
    reader->line_start = reader->pending.len;
    return r;
}

/* Takes the rest of a line, or all there is of it. */
static int take_text(struct sse_reader *reader, struct str *bytes, bool *ret_complete)
{
    size_t len = line_length(*bytes);
    bool ended = len < bytes->len;
    bool cr = ended && bytes->ptr[len] == '\r';
    *ret_complete = false;
    int r = take_bytes(reader, bytes, len + (ended ? 1 : 0));
    if (r < 0 || !ended)
        return r;
    reader->after_cr = cr;
    return end_line(reader, ret_complete);
}

/* Takes up to the end of an event or of *BYTES. */
static int take_event(struct sse_reader *reader, struct str *bytes, bool *ret_complete)
{
    bool complete = false;
    int r = 0;
    while (r == 0 && !complete && bytes->len > 0) {
        if (reader->after_cr) {
            bool alone = reader->pending.len == 0;
            reader->after_cr = false;
            r = take_lf(reader, bytes);
            complete = alone && reader->pending.len > 0;
        } else {
            r = take_text(reader, bytes, &complete);
        }
    }
    *ret_complete = complete;
    return r;
}

static struct str joined_data(const struct sse_reader *reader)
{
    if (reader->n_data == 0)
        return STR("");
    if (reader->n_data == 1)
        return str_make(reader->pending.ptr + reader->data_start, reader->data_len);
    return buf_str(&reader->data);
}

enum sse_rc sse_read(struct sse_reader *reader, struct str *bytes, struct sse_event *ret_event)
{
    bool complete = false;
    if (reader->given)
        begin_event(reader);
    int r = take_event(reader, bytes, &complete);
    if (r < 0)
        return r == -EMSGSIZE ? SSE_TOO_LARGE : SSE_NO_MEMORY;
    if (!complete)
        return SSE_MORE;
    /* An LF that is here goes along; without room for it, it is given alone. */
    if (reader->after_cr && bytes->len > 0 && reader->pending.len < reader->pending.max) {
        reader->after_cr = false;
        if (take_lf(reader, bytes) < 0)
            return SSE_NO_MEMORY;
    }
    *ret_event = (struct sse_event){
        .raw = buf_str(&reader->pending),
        .data = joined_data(reader),
        .has_data = reader->n_data > 0,
        .first = reader->first,
    };
    reader->given = true;
    reader->first = false;
    return SSE_EVENT;
}

/* ---- writing ---- */

static void append_line(struct line line, struct buf *out)
{
    (void)buf_append(out, line.text);
    (void)buf_append(out, line.end);
}

/* The first line of REST, the end of the raw bytes of EVENT. Of a lone data line, which is nearly
 * all of most events, the reader has found the end already. */
static struct line take_raw_line(const struct sse_event *event, struct str *rest)
{
    struct str value;
    if (!line_is_data(*rest, &value) || value.ptr != event->data.ptr)
        return take_line(rest);
    return split_line(rest, (size_t)(value.ptr - rest->ptr) + event->data.len);
}

static void append_data(struct str data, struct buf *out)
{
    struct line line;
    do {
        line = take_line(&data);
        (void)buf_append(out, STR("data: "));
        (void)buf_append(out, line.text);
        (void)buf_append_char(out, '\n');
    } while (line.end.len > 0);
}

int sse_append_event(const struct sse_event *event, struct str data, struct buf *out)
{
    const size_t start = out->len;
    struct str rest = event->raw;
    bool replaced = false;
    bool after_cr = false;
    if (event->first && str_has_prefix(rest, BYTE_ORDER_MARK)) {
        (void)buf_append(out, BYTE_ORDER_MARK);
        rest = without_mark(rest);
    }
    while (rest.len > 0) {
        struct line line = take_raw_line(event, &rest);
        struct str value;
        bool is_data = line_is_data(line.text, &value);
        if (!replaced && (is_data || line.text.len == 0)) {
            append_data(data, out);
            replaced = true;
            after_cr = false;
        }
        if (is_data)
            continue;
        /* A data line stood between: this LF must not become part of that CR's line end. */
        if (after_cr && line.text.len == 0 && line.end.ptr[0] == '\n')
            (void)buf_append_char(out, '\n');
        append_line(line, out);
        after_cr = str_eq(line.end, STR("\r"));
    }
    if (buf_failed(out))
        out->len = start;
    return out->fault;
}
