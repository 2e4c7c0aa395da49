/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/sse.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define MAX_EVENTS 8
#define MAX_BYTES 4096

/* NO_DATA, or what the data is. */
#define NO_DATA \
    {           \
        NULL, 0 \
    }

static const struct {
    const char *why;
    struct str bytes;
    struct str data[MAX_EVENTS]; /* of the events with data, in order */
    struct str pending;          /* what is left over */
} streams[] = {
    {"LF", STR_INIT("data: a\n\ndata: b\n\n"), {STR_INIT("a"), STR_INIT("b")}, STR_INIT("")},
    {"CR LF",
     STR_INIT("data: a\r\n\r\ndata: b\r\n\r\n"),
     {STR_INIT("a"), STR_INIT("b")},
     STR_INIT("")},
    {"CR", STR_INIT("data: a\r\rdata: b\r\r"), {STR_INIT("a"), STR_INIT("b")}, STR_INIT("")},
    {"mixed ends",
     STR_INIT("data: a\r\n\rdata: b\n\r\ndata: c\r\n\n"),
     {STR_INIT("a"), STR_INIT("b"), STR_INIT("c")},
     STR_INIT("")},
    {"LF CR are two lines",
     STR_INIT("data: a\n\rdata: b\n\n"),
     {STR_INIT("a"), STR_INIT("b")},
     STR_INIT("")},
    {"two lines are joined",
     STR_INIT("data: a\ndata: b\r\ndata\rdata:c\n\n"),
     {STR_INIT("a\nb\n\nc")},
     STR_INIT("")},
    {"without a space", STR_INIT("data:a\n\n"), {STR_INIT("a")}, STR_INIT("")},
    {"one space goes, the next stays", STR_INIT("data:  a \n\n"), {STR_INIT(" a ")}, STR_INIT("")},
    {"a tab stays", STR_INIT("data:\ta\n\n"), {STR_INIT("\ta")}, STR_INIT("")},
    {"colons in the value", STR_INIT("data: a: b:c\n\n"), {STR_INIT("a: b:c")}, STR_INIT("")},
    {"no colon", STR_INIT("data\n\n"), {STR_INIT("")}, STR_INIT("")},
    {"no value", STR_INIT("data:\n\n"), {STR_INIT("")}, STR_INIT("")},
    {"two empty lines", STR_INIT("data\ndata\n\n"), {STR_INIT("\n")}, STR_INIT("")},
    {"other fields",
     STR_INIT("event: message\nid: 7\nretry: 10\nfoo\ndata: a\nid: 8\n\n"),
     {STR_INIT("a")},
     STR_INIT("")},
    {"no data", STR_INIT("event: ping\nid: 3\n\n"), {NO_DATA}, STR_INIT("")},
    {"longer and shorter names",
     STR_INIT("datax: a\ndat: b\nData: c\n data: d\ndata : e\n\n"),
     {NO_DATA},
     STR_INIT("")},
    {"comments",
     STR_INIT(": a\n:data: b\n\n: c\ndata: d\n: e\ndata: f\n\n"),
     {STR_INIT("d\nf")},
     STR_INIT("")},
    {"byte order mark",
     STR_INIT("\xef\xbb\xbf"
              "data: a\n\n"),
     {STR_INIT("a")},
     STR_INIT("")},
    {"byte order mark before a comment",
     STR_INIT("\xef\xbb\xbf"
              ": a\ndata: b\n\n"),
     {STR_INIT("b")},
     STR_INIT("")},
    {"byte order mark later",
     STR_INIT("data: a\n\n\xef\xbb\xbf"
              "data: b\n\n"),
     {STR_INIT("a")},
     STR_INIT("")},
    {"two byte order marks",
     STR_INIT("\xef\xbb\xbf\xef\xbb\xbf"
              "data: b\n\n"),
     {NO_DATA},
     STR_INIT("")},
    {"blank lines", STR_INIT("\n\r\n\r\rdata: a\n\n\n\n"), {STR_INIT("a")}, STR_INIT("")},
    {"NUL and bytes that are not UTF-8",
     STR_INIT("data: a\0\xff\n\n"),
     {STR_INIT("a\0\xff")},
     STR_INIT("")},
    {"unfinished event", STR_INIT("data: a\n\ndata: b\n"), {STR_INIT("a")}, STR_INIT("data: b\n")},
    {"unfinished line", STR_INIT("data: a\n\r\nda"), {STR_INIT("a")}, STR_INIT("da")},
    {"unfinished CR LF", STR_INIT("data: a\r"), {NO_DATA}, STR_INIT("data: a\r")},
    {"nothing", STR_INIT(""), {NO_DATA}, STR_INIT("")},
};

struct result {
    struct buf raw; /* of all events */
    struct buf data[MAX_EVENTS];
    size_t n_data;
    enum sse_rc rc;
};

static void add_event(struct result *result, const struct sse_event *event)
{
    assert_true(event->raw.len > 0);
    assert_true(event->has_data || event->data.len == 0);
    assert_int_equal(buf_append(&result->raw, event->raw), 0);
    if (!event->has_data)
        return;
    assert_true(result->n_data < MAX_EVENTS);
    struct buf *data = &result->data[result->n_data++];
    *data = buf_make(MAX_BYTES);
    assert_int_equal(buf_append(data, event->data), 0);
}

static void feed(struct sse_reader *reader, struct str bytes, struct result *result)
{
    struct sse_event event;
    result->rc = sse_read(reader, &bytes, &event);
    for (; result->rc == SSE_EVENT; result->rc = sse_read(reader, &bytes, &event))
        add_event(result, &event);
    assert_true(result->rc != SSE_MORE || bytes.len == 0);
}

/* The first piece has CUT bytes, all others STEP. */
static struct result read_stream(struct sse_reader *reader, struct str bytes, size_t cut,
                                 size_t step)
{
    struct result result = {.raw = buf_make(MAX_BYTES), .rc = SSE_MORE};
    feed(reader, str_head(bytes, cut), &result);
    for (size_t at = cut; at < bytes.len && result.rc == SSE_MORE; at += step)
        feed(reader, str_head(str_from(bytes, at), step), &result);
    return result;
}

static void free_result(struct result *result)
{
    buf_free(&result->raw);
    for (size_t i = 0; i < result->n_data; i++)
        buf_free(&result->data[i]);
}

static void assert_str(struct str got, struct str want)
{
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.ptr, want.ptr, want.len);
}

static void check_stream(size_t row, size_t cut, size_t step)
{
    struct sse_reader reader = sse_reader_make(MAX_BYTES);
    struct result result = read_stream(&reader, streams[row].bytes, cut, step);
    size_t n_data = 0;
    assert_int_equal(result.rc, SSE_MORE);
    while (n_data < MAX_EVENTS && streams[row].data[n_data].ptr != NULL)
        n_data++;
    assert_int_equal(result.n_data, n_data);
    for (size_t i = 0; i < n_data; i++)
        assert_str(buf_str(&result.data[i]), streams[row].data[i]);
    assert_str(buf_str(&reader.pending), streams[row].pending);
    assert_int_equal(buf_append(&result.raw, buf_str(&reader.pending)), 0);
    assert_str(buf_str(&result.raw), streams[row].bytes);
    free_result(&result);
    sse_reader_free(&reader);
}

static void sse_read_gives_the_same_events_however_the_stream_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        print_message("%s\n", streams[i].why);
        check_stream(i, 0, 1);
        for (size_t cut = 0; cut <= streams[i].bytes.len; cut++)
            check_stream(i, cut, SIZE_MAX - MAX_BYTES);
    }
}

/* ---- when an event leaves ---- */

static const struct {
    const char *why;
    struct str pieces[4];
    struct str raw[4]; /* of the one event that each piece completes; absent: of none */
} timely[] = {
    {"LF LF", {STR_INIT("data: a\n"), STR_INIT("\n")}, {NO_DATA, STR_INIT("data: a\n\n")}},
    {"CR CR, and a late LF",
     {STR_INIT("data: a\r\n\r"), STR_INIT("\n"), STR_INIT("data: b\r\n\r\n")},
     {STR_INIT("data: a\r\n\r"), STR_INIT("\n"), STR_INIT("data: b\r\n\r\n")}},
    {"CR LF in one piece stays together",
     {STR_INIT("data: a\r\n\r\n"), STR_INIT("\n")},
     {STR_INIT("data: a\r\n\r\n"), STR_INIT("\n")}},
    {"a late LF within the event",
     {STR_INIT("data: a\r"), STR_INIT("\n"), STR_INIT("\r\n")},
     {NO_DATA, NO_DATA, STR_INIT("data: a\r\n\r\n")}},
    {"a comment alone",
     {STR_INIT(": ping"), STR_INIT("\r"), STR_INIT("\n"), STR_INIT("\r\n")},
     {NO_DATA, STR_INIT(": ping\r"), STR_INIT("\n"), STR_INIT("\r\n")}},
    {"a comment within an event",
     {STR_INIT("id: 1\n"), STR_INIT(": ping\n"), STR_INIT("\n")},
     {NO_DATA, NO_DATA, STR_INIT("id: 1\n: ping\n\n")}},
};

static void check_timely(size_t row)
{
    struct sse_reader reader = sse_reader_make(MAX_BYTES);
    print_message("%s\n", timely[row].why);
    for (size_t i = 0; i < 4 && timely[row].pieces[i].ptr != NULL; i++) {
        struct str piece = timely[row].pieces[i];
        struct sse_event event;
        if (timely[row].raw[i].ptr != NULL) {
            assert_int_equal(sse_read(&reader, &piece, &event), SSE_EVENT);
            assert_str(event.raw, timely[row].raw[i]);
        }
        assert_int_equal(sse_read(&reader, &piece, &event), SSE_MORE);
        assert_int_equal(piece.len, 0);
    }
    assert_int_equal(reader.pending.len, 0);
    sse_reader_free(&reader);
}

static void sse_read_gives_an_event_with_its_last_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(timely); i++)
        check_timely(i);
}

/* ---- limits ---- */

static const struct {
    const char *why;
    struct str bytes;
    size_t max;
    enum sse_rc rc;
} limits[] = {
    {"at the limit", STR_INIT("data: a\n\n"), 9, SSE_MORE},
    {"one past it", STR_INIT("data: a\n\n"), 8, SSE_TOO_LARGE},
    {"the last LF does not count", STR_INIT("data: a\r\n\r\n"), 10, SSE_MORE},
    {"the last CR does", STR_INIT("data: a\r\n\r\n"), 9, SSE_TOO_LARGE},
    {"an LF within does", STR_INIT("data: a\r\nx\r\r"), 11, SSE_TOO_LARGE},
    {"each event for itself", STR_INIT("data: a\n\ndata: b\n\n"), 9, SSE_MORE},
    {"a later event", STR_INIT("data: a\n\ndata: bc\n\n"), 9, SSE_TOO_LARGE},
    {"an event that does not end", STR_INIT("data: a\ndata: b"), 14, SSE_TOO_LARGE},
    {"a comment that does not end", STR_INIT(":aaaaaaaaa"), 9, SSE_TOO_LARGE},
    {"comments before it do not count", STR_INIT(": a\n: b\n: c\ndata: a\n\n"), 9, SSE_MORE},
    {"data of many lines", STR_INIT("data\ndata\ndata\n\n"), 16, SSE_MORE},
};

static void sse_read_refuses_an_event_over_the_ceiling(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        print_message("%s\n", limits[i].why);
        for (size_t cut = 0; cut <= limits[i].bytes.len; cut++) {
            struct sse_reader reader = sse_reader_make(limits[i].max);
            struct result result = read_stream(&reader, limits[i].bytes, cut, SIZE_MAX - MAX_BYTES);
            assert_int_equal(result.rc, limits[i].rc);
            free_result(&result);
            sse_reader_free(&reader);
        }
    }
}

static void sse_reader_between_events_holds_little(void **state)
{
    (void)state;
    struct sse_reader reader = sse_reader_make(1U << 20);
    struct buf bytes = buf_make(1U << 20);
    struct sse_event event;
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf_append(&bytes, STR("data: a\n")), 0);
    assert_int_equal(buf_append_char(&bytes, '\n'), 0);
    struct str rest = buf_str(&bytes);
    assert_int_equal(sse_read(&reader, &rest, &event), SSE_EVENT);
    assert_int_equal(event.data.len, 2 * 100000 - 1);
    assert_int_equal(sse_read(&reader, &rest, &event), SSE_MORE);
    assert_true(reader.pending.cap + reader.data.cap <= 1024);
    sse_reader_free(&reader);
    buf_free(&bytes);
}

/* ---- writing ---- */

static const struct {
    const char *why;
    struct str bytes; /* one event, the first of its stream */
    struct str data;
    struct str want;
} rewritten[] = {
    {"plain", STR_INIT("data: a\n\n"), STR_INIT("b"), STR_INIT("data: b\n\n")},
    {"other lines stay", STR_INIT("id: 1\r\n:c\r\ndata: a\r\nevent:x\r\nfoo\r\n\r\n"),
     STR_INIT("b"), STR_INIT("id: 1\r\n:c\r\ndata: b\nevent:x\r\nfoo\r\n\r\n")},
    {"the first data line is replaced", STR_INIT("data:a\nid:1\ndata\nid:2\n\n"), STR_INIT("b"),
     STR_INIT("data: b\nid:1\nid:2\n\n")},
    {"lines of the data", STR_INIT("data: a\n\n"), STR_INIT("b\n\n c\rd\r\n"),
     STR_INIT("data: b\ndata: \ndata:  c\ndata: d\ndata: \n\n")},
    {"empty data", STR_INIT("data: a\n\n"), STR_INIT(""), STR_INIT("data: \n\n")},
    {"no data lines", STR_INIT("id: 1\n\n"), STR_INIT("b"), STR_INIT("id: 1\ndata: b\n\n")},
    {"byte order mark",
     STR_INIT("\xef\xbb\xbf"
              "data: a\n\n"),
     STR_INIT("b"),
     STR_INIT("\xef\xbb\xbf"
              "data: b\n\n")},
    {"CR and LF do not grow together", STR_INIT("data: a\nid: 1\rdata: c\n\n"), STR_INIT("b"),
     STR_INIT("data: b\nid: 1\r\n\n")},
    {"CR and CR LF neither", STR_INIT("data: a\nid: 1\rdata: c\r\n\r\n"), STR_INIT("b"),
     STR_INIT("data: b\nid: 1\r\r\n")},
};

static void sse_append_event_replaces_the_data_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rewritten); i++) {
        struct sse_reader reader = sse_reader_make(MAX_BYTES);
        struct buf out = buf_make(MAX_BYTES);
        struct str bytes = rewritten[i].bytes;
        struct sse_event event;
        print_message("%s\n", rewritten[i].why);
        assert_int_equal(sse_read(&reader, &bytes, &event), SSE_EVENT);
        assert_int_equal(bytes.len, 0);
        assert_int_equal(sse_append_event(&event, rewritten[i].data, &out), 0);
        assert_str(buf_str(&out), rewritten[i].want);
        buf_free(&out);
        sse_reader_free(&reader);
    }
}

static void sse_append_event_appends_whole_or_nothing(void **state)
{
    (void)state;
    const struct sse_event event = {.raw = STR("id: 1\ndata: a\n\n"), .has_data = true};
    for (size_t max = 3; max <= 3 + 15; max++) {
        struct buf out = buf_make(max);
        assert_int_equal(buf_append(&out, STR("xyz")), 0);
        int want = max < 3 + 15 ? -EMSGSIZE : 0;
        assert_int_equal(sse_append_event(&event, STR("b"), &out), want);
        assert_int_equal(out.len, want < 0 ? 3 : max);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sse_read_gives_the_same_events_however_the_stream_is_cut),
        cmocka_unit_test(sse_read_gives_an_event_with_its_last_byte),
        cmocka_unit_test(sse_read_refuses_an_event_over_the_ceiling),
        cmocka_unit_test(sse_reader_between_events_holds_little),
        cmocka_unit_test(sse_append_event_replaces_the_data_only),
        cmocka_unit_test(sse_append_event_appends_whole_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
