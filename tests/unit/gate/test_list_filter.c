/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/list_filter.h"

#include "base/err.h"
#include "base/json.h"
#include "support/cmocka_all.h"

#define MAX_BYTES 160
#define MAX_OUT 4096

/* The caller may use names that begin with "ok". */
static bool may_ok(void *ctx, enum mcp_list list, struct str name)
{
    (void)ctx;
    (void)list;
    return str_has_prefix(name, STR("ok"));
}

static const struct mcp_list_filter lists = {
    .lists = MCP_ALL_LISTS,
    .may = may_ok,
    .max_bytes = MAX_BYTES,
};

/* The error event for the id 7. */
#define ERROR_EVENT(text, reason)                                           \
    "data: {`jsonrpc`:`2.0`,`id`:7,`error`:{`code`:-32000,`message`:`" text \
    "`,`data`:{`reason`:`" reason "`}}}\n\n"
#define LARGE_EVENT \
    ERROR_EVENT("The MCP server's answer is too large to be inspected", "response_too_large")
#define NOT_JSON_EVENT                                                            \
    ERROR_EVENT("The MCP server's answer is not of a form that can be inspected", \
                "response_not_json")

#define X10 "xxxxxxxxxx"
#define X50 X10 X10 X10 X10 X10
#define X150 X50 X50 X50

/* Rows are written with ` for double quotes. */
static const struct {
    const char *why;
    bool events;
    bool no_id;
    struct str bytes;
    enum list_filter_rc rc;
    enum list_filter_reason reason;
    struct str out;
    unsigned removed;
} rows[] = {
    {.why = "JSON, something goes",
     .bytes = STR_INIT("{`result`:{`tools`:[{`name`:`x`},{`name`:`ok`}]}}"),
     .out = STR_INIT("{`result`:{`tools`:[{`name`:`ok`}]}}"),
     .removed = 1},
    {.why = "JSON, nothing goes",
     .bytes = STR_INIT(" {`result`: {`tools`:[{`name`:`ok`}]}}\n"),
     .out = STR_INIT(" {`result`: {`tools`:[{`name`:`ok`}]}}\n")},
    {.why = "JSON, no list",
     .bytes = STR_INIT("{`result`:{`content`:[]}}"),
     .out = STR_INIT("{`result`:{`content`:[]}}")},
    {.why = "JSON, empty", .bytes = STR_INIT(""), .out = STR_INIT("")},
    {.why = "JSON, blank", .bytes = STR_INIT(" \r\n"), .out = STR_INIT(" \r\n")},
    {.why = "JSON, batch",
     .bytes =
         STR_INIT("[{`result`:{`tools`:[{`name`:`x`}]}},{`result`:{`prompts`:[{`name`:`y`}]}}]"),
     .out = STR_INIT("[{`result`:{`tools`:[]}},{`result`:{`prompts`:[]}}]"),
     .removed = 2},
    {.why = "JSON, at the ceiling",
     .bytes = STR_INIT("`" X150 "12345678`"),
     .out = STR_INIT("`" X150 "12345678`")},
    {.why = "JSON, one past it",
     .bytes = STR_INIT("`" X150 "123456789`"),
     .rc = LIST_FILTER_REFUSED,
     .reason = LIST_FILTER_TOO_LARGE,
     .out = STR_INIT("")},
    {.why = "not JSON",
     .bytes = STR_INIT("<html>"),
     .rc = LIST_FILTER_REFUSED,
     .reason = LIST_FILTER_NOT_JSON,
     .out = STR_INIT("")},
    {.why = "JSON, a list of unknown form",
     .bytes = STR_INIT("{`result`:{`tools`:{`x`:{}}}}"),
     .rc = LIST_FILTER_REFUSED,
     .reason = LIST_FILTER_NOT_JSON,
     .out = STR_INIT("")},
    {.why = "JSON, cut off",
     .bytes = STR_INIT("{`result`:{`tools`:[{`name`:`ok`}"),
     .rc = LIST_FILTER_REFUSED,
     .reason = LIST_FILTER_NOT_JSON,
     .out = STR_INIT("")},

    {.why = "events, something goes",
     .events = true,
     .bytes = STR_INIT(
         "event: message\nid: 1\ndata: {`result`:{`tools`:[{`name`:`x`},{`name`:`ok`}]}}\n\n"),
     .out = STR_INIT("event: message\nid: 1\ndata: {`result`:{`tools`:[{`name`:`ok`}]}}\n\n"),
     .removed = 1},
    {.why = "events of all kinds without a list",
     .events = true,
     .bytes = STR_INIT("\xef\xbb\xbf: ping\r\n\r\nid: 1\r\ndata: \r\n\r\nretry: "
                       "5\n\ndata:{`method`:`x`}\r\rdata\ndata: \n\nid\n\n:\n\n"),
     .out = STR_INIT("\xef\xbb\xbf: ping\r\n\r\nid: 1\r\ndata: \r\n\r\nretry: "
                     "5\n\ndata:{`method`:`x`}\r\rdata\ndata: \n\nid\n\n:\n\n")},
    {.why = "events, a list on several lines",
     .events = true,
     .bytes = STR_INIT("data: {`result`:\r\ndata: {`tools`:\r\nid: 1\r\ndata:  "
                       "[{`name`:`x`}],\r\ndata:  `a`:1}}\r\n\r\ndata: 1\n\n"),
     .out = STR_INIT(
         "data: {`result`:\ndata: {`tools`:\ndata:  [],\ndata:  `a`:1}}\nid: 1\r\n\r\ndata: 1\n\n"),
     .removed = 1},
    {.why = "events, several with lists",
     .events = true,
     .bytes = STR_INIT("data: {`result`:{`tools`:[{`name`:`x`}]}}\n\ndata: {`method`:`m`}\n\ndata: "
                       "{`result`:{`prompts`:[{`name`:`y`}]}}\n\n"),
     .out = STR_INIT("data: {`result`:{`tools`:[]}}\n\ndata: {`method`:`m`}\n\ndata: "
                     "{`result`:{`prompts`:[]}}\n\n"),
     .removed = 2},
    {.why = "events, the rest is dropped",
     .events = true,
     .bytes = STR_INIT("data: 1\n\ndata: {`result`:{`tools`:[{`name`:`x`}]}}\n"),
     .out = STR_INIT("data: 1\n\n")},
    {.why = "events, each at the ceiling",
     .events = true,
     .bytes = STR_INIT("data: `" X150 "`\n\ndata:`" X150 "`\r\n\r\n"),
     .out = STR_INIT("data: `" X150 "`\n\ndata:`" X150 "`\r\n\r\n")},
    {.why = "events, one past it",
     .events = true,
     .bytes = STR_INIT("data: 1\n\ndata: `" X150 "x`\n\ndata: 2\n\n"),
     .rc = LIST_FILTER_ENDED,
     .reason = LIST_FILTER_TOO_LARGE,
     .out = STR_INIT("data: 1\n\n" LARGE_EVENT)},
    {.why = "events, one past it, id unknown",
     .events = true,
     .no_id = true,
     .bytes = STR_INIT("data: 1\n\ndata: `" X150 "x`\n\ndata: 2\n\n"),
     .rc = LIST_FILTER_REFUSED,
     .reason = LIST_FILTER_TOO_LARGE,
     .out = STR_INIT("data: 1\n\n")},
    {.why = "events, not JSON",
     .events = true,
     .bytes = STR_INIT(": c\r\rdata: {`result`:{`tools`:[{`name`:`x`}]}\n\ndata: 2\n\n"),
     .rc = LIST_FILTER_ENDED,
     .reason = LIST_FILTER_NOT_JSON,
     .out = STR_INIT(": c\r\r" NOT_JSON_EVENT)},
    {.why = "events, not JSON, id unknown",
     .events = true,
     .no_id = true,
     .bytes = STR_INIT("data: 1\n\ndata: x\n\ndata: 2\n\n"),
     .rc = LIST_FILTER_REFUSED,
     .reason = LIST_FILTER_NOT_JSON,
     .out = STR_INIT("data: 1\n\n")},
    {.why = "events, a list of unknown form",
     .events = true,
     .bytes = STR_INIT("data: {`result`:{`tools`:1}}\n\n"),
     .rc = LIST_FILTER_ENDED,
     .reason = LIST_FILTER_NOT_JSON,
     .out = STR_INIT(NOT_JSON_EVENT)},
    {.why = "events, a list of which a part is not JSON",
     .events = true,
     .bytes = STR_INIT("data: {`result`:\n\ndata: {`tools`:[{`name`:`x`}]}}\n\n"),
     .rc = LIST_FILTER_ENDED,
     .reason = LIST_FILTER_NOT_JSON,
     .out = STR_INIT(NOT_JSON_EVENT)},
};

static struct buf quoted(struct str row)
{
    struct buf buf = buf_make(MAX_OUT);
    for (size_t i = 0; i < row.len; i++)
        assert_int_equal(buf_append_char(&buf, row.ptr[i] == '`' ? '"' : row.ptr[i]), 0);
    return buf;
}

/* One piece, with the room that the header promises to be enough. */
static enum list_filter_rc feed(struct list_filter *filter, struct str piece, struct buf *sent)
{
    struct buf out = buf_make(LIST_FILTER_MAX_OUT(MAX_BYTES, piece.len, 1));
    enum list_filter_rc rc = list_filter_feed(filter, piece, &out);
    assert_int_equal(buf_append(sent, buf_str(&out)), 0);
    buf_free(&out);
    return rc;
}

static enum list_filter_rc end(struct list_filter *filter, struct buf *sent)
{
    struct buf out = buf_make(LIST_FILTER_MAX_OUT(MAX_BYTES, 0, 1));
    enum list_filter_rc rc = list_filter_end(filter, &out);
    assert_int_equal(buf_append(sent, buf_str(&out)), 0);
    buf_free(&out);
    return rc;
}

/* The first piece has CUT bytes, all others STEP. */
static void check_row(size_t row, size_t cut, size_t step)
{
    struct list_filter *filter = list_filter_new(&(struct list_filter_options){
        .events = rows[row].events,
        .lists = &lists,
        .request_id = rows[row].no_id ? (struct str){0} : STR("7"),
    });
    struct buf bytes = quoted(rows[row].bytes);
    struct buf want = quoted(rows[row].out);
    struct buf sent = buf_make(MAX_OUT);
    enum list_filter_rc rc = feed(filter, str_head(buf_str(&bytes), cut), &sent);
    for (size_t at = cut; at < bytes.len && rc == LIST_FILTER_OK; at += step)
        rc = feed(filter, str_head(str_from(buf_str(&bytes), at), step), &sent);
    assert_true(rows[row].events || sent.len == 0);
    if (rc == LIST_FILTER_OK)
        rc = end(filter, &sent);
    if (rc != rows[row].rc || !str_eq(buf_str(&sent), buf_str(&want)))
        fail_msg("%s, cut at %zu, %zu: %d \"%.*s\"", rows[row].why, cut, step, rc,
                 STR_ARG(buf_str(&sent)));
    assert_true(rc == LIST_FILTER_OK || list_filter_reason(filter) == rows[row].reason);
    assert_int_equal(list_filter_removed(filter), rows[row].removed);
    buf_free(&bytes);
    buf_free(&want);
    buf_free(&sent);
    list_filter_free(filter);
}

static void list_filter_sends_the_same_however_the_answer_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_row(i, 0, 1);
        for (size_t cut = 0; cut <= rows[i].bytes.len; cut++)
            check_row(i, cut, MAX_OUT);
    }
}

static void list_filter_sends_an_event_with_its_last_byte(void **state)
{
    (void)state;
    struct list_filter *filter =
        list_filter_new(&(struct list_filter_options){.events = true, .lists = &lists});
    static const struct {
        struct str piece;
        struct str out;
    } steps[] = {
        {STR_INIT("data: 1\n"), STR_INIT("")},
        {STR_INIT("\n"), STR_INIT("data: 1\n\n")},
        {STR_INIT(": ping\n"), STR_INIT(": ping\n")},
        {STR_INIT("data: 2\r\n\r"), STR_INIT("data: 2\r\n\r")},
        {STR_INIT("\ndata: 3"), STR_INIT("\n")},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct buf sent = buf_make(MAX_OUT);
        assert_int_equal(feed(filter, steps[i].piece, &sent), LIST_FILTER_OK);
        if (!str_eq(buf_str(&sent), steps[i].out))
            fail_msg("step %zu: \"%.*s\"", i, STR_ARG(buf_str(&sent)));
        buf_free(&sent);
    }
    list_filter_free(filter);
}

static void list_filter_ends_a_stream_with_an_answer_to_the_request(void **state)
{
    (void)state;
    struct list_filter *filter = list_filter_new(&(struct list_filter_options){
        .events = true, .lists = &lists, .request_id = STR("\"a\\u0022-1\"")});
    struct buf sent = buf_make(MAX_OUT);
    json_t *answer = NULL;
    assert_int_equal(feed(filter, STR("data: {\n\n"), &sent), LIST_FILTER_ENDED);
    struct str text = str_from(buf_str(&sent), 6);
    assert_true(str_has_prefix(buf_str(&sent), STR("data: ")));
    assert_true(str_has_suffix(text, STR("}\n\n")));
    assert_int_equal(json_parse(text, (struct json_limits){MAX_OUT, 8}, &answer, NULL), JSON_RC_OK);
    assert_true(str_eq(json_get_str(answer, "jsonrpc"), STR("2.0")));
    assert_true(str_eq(json_get_str(answer, "id"), STR("a\"-1")));
    const json_t *error = json_object_get(answer, "error");
    assert_int_equal(json_integer_value(json_object_get(error, "code")), -32000);
    assert_true(str_eq(json_get_str(error, "message"),
                       str_from_cstr(list_filter_reason_text(LIST_FILTER_NOT_JSON))));
    json_decref(answer);
    buf_free(&sent);
    list_filter_free(filter);
}

/* It outlives the filter, and OUT may grow further. */
static void list_filter_gives_out_an_unchanged_body_to_keep(void **state)
{
    (void)state;
    struct list_filter *filter = list_filter_new(&(struct list_filter_options){.lists = &lists});
    struct buf out = buf_make(MAX_OUT);
    assert_int_equal(buf_append(&out, STR("x")), 0);
    buf_clear(&out);
    assert_int_equal(list_filter_feed(filter, STR("{}"), &out), LIST_FILTER_OK);
    assert_int_equal(list_filter_end(filter, &out), LIST_FILTER_OK);
    assert_true(str_eq(buf_str(&out), STR("{}")));
    list_filter_free(filter);
    assert_int_equal(buf_append(&out, STR(" ")), 0);
    assert_true(str_eq(buf_str(&out), STR("{} ")));
    buf_free(&out);
}

static void list_filter_without_room_says_so_and_appends_no_part(void **state)
{
    (void)state;
    static const struct str events[] = {
        STR_INIT("data: {\"result\":{\"tools\":[{}]}}\n\n"),
        STR_INIT("data: {\"result\":{\"tools\":[]}}\n\n"),
        STR_INIT("data: {\n\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        struct list_filter *filter = list_filter_new(
            &(struct list_filter_options){.events = true, .lists = &lists, .request_id = STR("7")});
        struct buf out = buf_make(30);
        assert_int_equal(list_filter_feed(filter, events[i], &out), LIST_FILTER_NO_MEMORY);
        assert_int_equal(out.len, 0);
        buf_free(&out);
        list_filter_free(filter);
    }
}

static void list_filter_names_every_reason(void **state)
{
    (void)state;
    assert_string_equal(list_filter_reason_name(LIST_FILTER_TOO_LARGE), "response_too_large");
    assert_string_equal(list_filter_reason_name(LIST_FILTER_NOT_JSON), "response_not_json");
    assert_string_equal(list_filter_reason_name(LIST_FILTER_ENCODED), "response_encoded");
    assert_non_null(list_filter_reason_text(LIST_FILTER_ENCODED));
    assert_null(list_filter_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_filter_sends_the_same_however_the_answer_is_cut),
        cmocka_unit_test(list_filter_sends_an_event_with_its_last_byte),
        cmocka_unit_test(list_filter_ends_a_stream_with_an_answer_to_the_request),
        cmocka_unit_test(list_filter_gives_out_an_unchanged_body_to_keep),
        cmocka_unit_test(list_filter_without_room_says_so_and_appends_no_part),
        cmocka_unit_test(list_filter_names_every_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
