/* SPDX-License-Identifier: Apache-2.0 */
/* proto/sse: the events are those of a simple parser that has the whole stream at once, however it
 * is cut; no byte is lost or added; and an event with other data has that data and no other change.
 *
 * Input: one byte for the ceiling, one for the cut of a long stream, then the stream. */
#include "proto/sse.h"

#include "base/err.h"
#include "oracle.h"

#define MAX_BYTES 1024
/* Up to here at every byte. */
#define MAX_CUTS 32

/* ---- the parser to compare with: WHATWG HTML 9.2.6, read literally ---- */

struct plain_line {
    struct str text;
    size_t next; /* where the next line begins */
    bool ended;
};

static struct plain_line plain_line(struct str bytes, size_t at)
{
    struct plain_line line = {.next = at};
    while (line.next < bytes.len && bytes.ptr[line.next] != '\n' && bytes.ptr[line.next] != '\r')
        line.next++;
    line.text = str_make(bytes.ptr + at, line.next - at);
    line.ended = line.next < bytes.len;
    if (line.ended && bytes.ptr[line.next] == '\r' && line.next + 1 < bytes.len &&
        bytes.ptr[line.next + 1] == '\n')
        line.next++;
    if (line.ended)
        line.next++;
    return line;
}

/* True when LINE has the field "data"; VALUE is then its value. */
static bool plain_data(struct str line, struct str *value)
{
    ptrdiff_t colon = str_find_char(line, ':');
    struct str name = colon < 0 ? line : str_head(line, (size_t)colon);
    if (!str_eq(name, STR("data")))
        return false;
    *value = colon < 0 ? STR("") : str_from(line, (size_t)colon + 1);
    if (value->len > 0 && value->ptr[0] == ' ')
        *value = str_from(*value, 1);
    return true;
}

static size_t plain_start(struct str bytes)
{
    return bytes.len >= 3 && memcmp(bytes.ptr, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* Appends the data of every event that has any, each as its length and its bytes. */
static void plain_events(struct str bytes, struct buf *out)
{
    struct buf data = buf_make(MAX_BYTES + 1);
    size_t at = plain_start(bytes);
    while (at < bytes.len) {
        struct plain_line line = plain_line(bytes, at);
        struct str value;
        at = line.next;
        if (!line.ended)
            break;
        if (line.text.len == 0 && data.len > 0) {
            data.len--;
            (void)buf_printf(out, "%zu:", data.len);
            (void)buf_append(out, buf_str(&data));
            data.len = 0;
        } else if (plain_data(line.text, &value)) {
            (void)buf_append(&data, value);
            (void)buf_append_char(&data, '\n');
        }
    }
    ORACLE(!buf_failed(&data));
    buf_free(&data);
}

/* The lines of BYTES that are no data lines. */
static void plain_others(struct str bytes, bool first, struct buf *out)
{
    size_t at = first ? plain_start(bytes) : 0;
    while (at < bytes.len) {
        struct plain_line line = plain_line(bytes, at);
        struct str value;
        at = line.next;
        if (plain_data(line.text, &value))
            continue;
        (void)buf_append(out, line.text);
        (void)buf_append_char(out, '\n');
    }
}

/* ---- an event with other data ---- */

static void check_append(const struct sse_event *event, struct str data)
{
    struct buf out = buf_make(16 * MAX_BYTES);
    struct buf got = buf_make(16 * MAX_BYTES);
    struct buf want = buf_make(16 * MAX_BYTES);
    ORACLE(sse_append_event(event, data, &out) == 0);
    plain_others(event->raw, event->first, &want);
    plain_others(buf_str(&out), event->first, &got);
    ORACLE(str_eq(buf_str(&got), buf_str(&want)));
    buf_clear(&got);
    buf_clear(&want);
    /* A byte order mark in the middle of a stream is none: a comment keeps it from the start. */
    if (!event->first)
        (void)buf_append(&got, STR(":\n"));
    (void)buf_append(&got, buf_str(&out));
    buf_clear(&out);
    plain_events(buf_str(&got), &out);
    (void)buf_printf(&want, "%zu:", data.len);
    (void)buf_append(&want, data);
    ORACLE(str_eq(buf_str(&out), buf_str(&want)));
    buf_free(&out);
    buf_free(&got);
    buf_free(&want);
}

static void check_event(const struct sse_event *event)
{
    static const struct str data[] = {STR_INIT("{}"), STR_INIT(""), STR_INIT("\n a\n\n b\n")};
    ORACLE(event->raw.len > 0);
    ORACLE(event->has_data || event->data.len == 0);
    if (!event->has_data)
        return;
    for (size_t i = 0; i < ARRAY_LEN(data); i++)
        check_append(event, data[i]);
    check_append(event, event->data);
}

/* ---- reading in pieces ---- */

struct result {
    enum sse_rc rc;
    struct buf raw;
    struct buf events; /* as plain_events() has them */
};

/* Each piece is a copy of its own size, so that a sanitizer sees any byte read behind it. */
static void feed(struct sse_reader *reader, struct str piece, bool check, struct result *result)
{
    char *copy = malloc(piece.len > 0 ? piece.len : 1);
    ORACLE(copy != NULL);
    memcpy(copy, piece.ptr, piece.len);
    struct str rest = str_make(copy, piece.len);
    struct sse_event event;
    result->rc = sse_read(reader, &rest, &event);
    for (; result->rc == SSE_EVENT; result->rc = sse_read(reader, &rest, &event)) {
        ORACLE(buf_append(&result->raw, event.raw) == 0);
        ORACLE(event.raw.len <= reader->pending.max);
        if (event.has_data) {
            (void)buf_printf(&result->events, "%zu:", event.data.len);
            (void)buf_append(&result->events, event.data);
        }
        if (check)
            check_event(&event);
    }
    ORACLE(result->rc != SSE_MORE || rest.len == 0);
    free(copy);
}

/* The first piece has CUT bytes, all others STEP. */
static struct result read_stream(struct str bytes, size_t max, size_t cut, size_t step)
{
    const bool check = cut == bytes.len;
    struct sse_reader reader = sse_reader_make(max);
    struct result result = {
        .rc = SSE_MORE,
        .raw = buf_make(MAX_BYTES),
        .events = buf_make(16 * MAX_BYTES),
    };
    feed(&reader, str_head(bytes, cut), check, &result);
    for (size_t at = cut; at < bytes.len && result.rc == SSE_MORE; at += size_min(step, bytes.len))
        feed(&reader, str_head(str_from(bytes, at), step), check, &result);
    if (result.rc == SSE_MORE) {
        (void)buf_append(&result.raw, buf_str(&reader.pending));
        ORACLE(str_eq(buf_str(&result.raw), bytes));
    }
    sse_reader_free(&reader);
    return result;
}

static void free_result(struct result *result)
{
    buf_free(&result->raw);
    buf_free(&result->events);
}

static void assert_same(const struct result *whole, struct str bytes, size_t max, size_t cut,
                        size_t step)
{
    struct result result = read_stream(bytes, max, cut, step);
    ORACLE(result.rc == whole->rc);
    ORACLE(str_eq(buf_str(&result.events), buf_str(&whole->events)));
    free_result(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > MAX_BYTES)
        return 0;
    const struct str bytes = oracle_input(data + 2, size - 2);
    /* Often large enough for everything. */
    const size_t max = data[0] < 128 ? MAX_BYTES : data[0] - 127U;
    struct buf want = buf_make(16 * MAX_BYTES);
    struct result whole = read_stream(bytes, max, bytes.len, SIZE_MAX);
    plain_events(bytes, &want);
    if (max == MAX_BYTES)
        ORACLE(whole.rc == SSE_MORE);
    ORACLE(str_has_prefix(buf_str(&want), buf_str(&whole.events)));
    ORACLE(whole.rc != SSE_MORE || want.len == whole.events.len);
    assert_same(&whole, bytes, max, 0, 1);
    assert_same(&whole, bytes, max, 1, 2);
    if (bytes.len > MAX_CUTS)
        assert_same(&whole, bytes, max, data[1] * bytes.len / 256, SIZE_MAX);
    for (size_t cut = 0; bytes.len <= MAX_CUTS && cut < bytes.len; cut++)
        assert_same(&whole, bytes, max, cut, SIZE_MAX);
    free_result(&whole);
    buf_free(&want);
    return 0;
}
