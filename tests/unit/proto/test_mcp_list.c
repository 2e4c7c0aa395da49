/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp_list.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define MAX_BYTES 65536

/* The caller may use names that begin with "ok". */
static bool may_ok(void *ctx, enum mcp_list list, struct str name)
{
    unsigned *asked = ctx;
    asked[list]++;
    return str_has_prefix(name, STR("ok"));
}

static enum mcp_list_rc filter(unsigned lists, struct str text, struct buf *out,
                               size_t *ret_removed)
{
    unsigned asked[MCP_N_LISTS] = {0};
    const struct mcp_list_filter filter = {
        .lists = lists,
        .may = may_ok,
        .ctx = asked,
        .max_bytes = MAX_BYTES,
    };
    return mcp_list_filter(&filter, text, out, ret_removed);
}

/* ---- what changes ---- */

static const struct {
    const char *why;
    struct str text;
    struct str want;
    size_t removed;
} changed[] = {
    {"the only one", STR_INIT("{'result':{'tools':[{'name':'x'}]}}"),
     STR_INIT("{'result':{'tools':[]}}"), 1},
    {"the first", STR_INIT("{'result':{'tools':[{'name':'x'},{'name':'ok'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok'}]}}"), 1},
    {"the last", STR_INIT("{'result':{'tools':[{'name':'ok'},{'name':'x'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok'}]}}"), 1},
    {"one between", STR_INIT("{'result':{'tools':[{'name':'ok1'},{'name':'x'},{'name':'ok2'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok1'},{'name':'ok2'}]}}"), 1},
    {"every other",
     STR_INIT("{'result':{'tools':[{'name':'x'},{'name':'ok1'},{'name':'y'},{'name':'ok2'},{'name':"
              "'z'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok1'},{'name':'ok2'}]}}"), 3},
    {"two in a row",
     STR_INIT("{'result':{'tools':[{'name':'ok1'},{'name':'x'},{'name':'y'},{'name':'ok2'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok1'},{'name':'ok2'}]}}"), 2},
    {"two at the start",
     STR_INIT("{'result':{'tools':[{'name':'x'},{'name':'y'},{'name':'ok2'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok2'}]}}"), 2},
    {"two at the end", STR_INIT("{'result':{'tools':[{'name':'ok1'},{'name':'x'},{'name':'y'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok1'}]}}"), 2},
    {"all of many", STR_INIT("{'result':{'tools':[{'name':'x'},{'name':'y'},{'name':'z'}]}}"),
     STR_INIT("{'result':{'tools':[]}}"), 3},
    {"blanks between those that stay",
     STR_INIT(" {'result' :\n{'tools': [ {'name':'ok1'} ,\n\n  {'name':'x'}\t,\n  {'name':'ok2'} , "
              "{'name':'y'} \r\n ] , 'nextCursor':'c' } } \n"),
     STR_INIT(" {'result' :\n{'tools': [ {'name':'ok1'}\t,\n  {'name':'ok2'} \r\n ] , "
              "'nextCursor':'c' } } \n"),
     2},
    {"blanks at the start", STR_INIT("{'result':{'tools':[ \n {'name':'x'} , {'name':'ok'} ]}}"),
     STR_INIT("{'result':{'tools':[ \n {'name':'ok'} ]}}"), 1},
    {"blanks of all", STR_INIT("{'result':{'tools':[ {'name':'x'} , {'name':'y'} ]}}"),
     STR_INIT("{'result':{'tools':[]}}"), 2},
    {"every other member",
     STR_INIT("{'jsonrpc':'2.0','id':1e0,'result':{'_meta':{'a':[1, "
              "2]},'tools':[{'name':'x'}],'nextCursor':'\\u0061','ttlMs':1.50}}"),
     STR_INIT("{'jsonrpc':'2.0','id':1e0,'result':{'_meta':{'a':[1, "
              "2]},'tools':[],'nextCursor':'\\u0061','ttlMs':1.50}}"),
     1},
    {"brackets, commas and quotes in strings",
     STR_INIT("{'result':{'tools':[{'name':'x','d':'],[\\\"}{'},{'name':'ok','d':'\\\\'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok','d':'\\\\'}]}}"), 1},
    {"lists within an entry are its own business",
     STR_INIT("{'result':{'tools':[{'tools':[{'name':'x'}],'result':{'tools':[{'name':'x'}]},'name'"
              ":'ok'},{'name':'y'}]}}"),
     STR_INIT("{'result':{'tools':[{'tools':[{'name':'x'}],'result':{'tools':[{'name':'x'}]},'name'"
              ":'ok'}]}}"),
     1},
    {"prompts", STR_INIT("{'result':{'prompts':[{'name':'x'},{'name':'ok'}]}}"),
     STR_INIT("{'result':{'prompts':[{'name':'ok'}]}}"), 1},
    {"resources",
     STR_INIT("{'result':{'resources':[{'name':'ok','uri':'x'},{'uri':'ok://a','name':'x'}]}}"),
     STR_INIT("{'result':{'resources':[{'uri':'ok://a','name':'x'}]}}"), 1},
    {"templates",
     STR_INIT("{'result':{'resourceTemplates':[{'uriTemplate':'x'},{'uriTemplate':'ok{a}'}]}}"),
     STR_INIT("{'result':{'resourceTemplates':[{'uriTemplate':'ok{a}'}]}}"), 1},
    {"several lists of one result",
     STR_INIT("{'result':{'tools':[{'name':'x'}],'prompts':[{'name':'ok'},{'name':'y'}]}}"),
     STR_INIT("{'result':{'tools':[],'prompts':[{'name':'ok'}]}}"), 2},
    {"batch",
     STR_INIT("[{'id':1,'result':{'tools':[{'name':'x'}]}}, "
              "{'id':2,'result':{}},{'id':3,'result':{'tools':[{'name':'y'},{'name':'ok'}]}}]"),
     STR_INIT("[{'id':1,'result':{'tools':[]}}, "
              "{'id':2,'result':{}},{'id':3,'result':{'tools':[{'name':'ok'}]}}]"),
     2},
    {"no id, id null, an error beside it",
     STR_INIT("{'error':{},'id':null,'result':{'tools':[{'name':'x'}]}}"),
     STR_INIT("{'error':{},'id':null,'result':{'tools':[]}}"), 1},
    {"escaped keys",
     STR_INIT("{'\\u0072esult':{'too\\u006Cs':[{'n\\u0061me':'ok'},{'n\\u0061me':'x'}]}}"),
     STR_INIT("{'\\u0072esult':{'too\\u006Cs':[{'n\\u0061me':'ok'}]}}"), 1},
    {"escaped names",
     STR_INIT("{'result':{'tools':[{'name':'\\u006fk'},{'name':'\\u0078k'},{'name':'o\\/k'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'\\u006fk'}]}}"), 2},
    {"no name", STR_INIT("{'result':{'tools':[{'title':'ok'},{},{'name':'ok'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok'}]}}"), 2},
    {"a name that is no string",
     STR_INIT(
         "{'result':{'tools':[{'name':1},{'name':null},{'name':['ok']},{'name':{'name':'ok'}}]}}"),
     STR_INIT("{'result':{'tools':[]}}"), 4},
    {"an entry that is no object",
     STR_INIT("{'result':{'tools':['ok',1,null,true,[{'name':'ok'}],{'name':'ok'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok'}]}}"), 5},
    {"the name of another kind",
     STR_INIT("{'result':{'resources':[{'name':'ok'}],'resourceTemplates':[{'uri':'ok'}]}}"),
     STR_INIT("{'result':{'resources':[],'resourceTemplates':[]}}"), 2},
    {"a second name in Go's eyes",
     STR_INIT("{'result':{'tools':[{'name':'ok','Name':'x'},{'NAM\\u0045':'x','name':'ok'}]}}"),
     STR_INIT("{'result':{'tools':[]}}"), 2},
    {"a second uri in Java's eyes",
     STR_INIT("{'result':{'resources':[{'uri':'ok','ur\\u0131':'x'},{'uri':'ok'}]}}"),
     STR_INIT("{'result':{'resources':[{'uri':'ok'}]}}"), 1},
    {"a lone surrogate elsewhere",
     STR_INIT("{'result':{'tools':[{'name':'x','d':'\\ud800'},{'name':'ok','d':'\\udc00'}]}}"),
     STR_INIT("{'result':{'tools':[{'name':'ok','d':'\\udc00'}]}}"), 1},
};

/* Rows are written with single quotes. */
static struct buf quoted(struct str row)
{
    struct buf buf = buf_make(MAX_BYTES);
    for (size_t i = 0; i < row.len; i++)
        assert_int_equal(buf_append_char(&buf, row.ptr[i] == '\'' ? '"' : row.ptr[i]), 0);
    return buf;
}

static void mcp_list_filter_removes_what_the_caller_may_not_use(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        struct buf text = quoted(changed[i].text);
        struct buf want = quoted(changed[i].want);
        struct buf out = buf_make(MAX_BYTES);
        size_t removed = 0;
        enum mcp_list_rc rc = filter(MCP_ALL_LISTS, buf_str(&text), &out, &removed);
        if (rc != MCP_LIST_CHANGED || !str_eq(buf_str(&out), buf_str(&want)))
            fail_msg("%s: %d \"%.*s\"", changed[i].why, rc, STR_ARG(buf_str(&out)));
        assert_int_equal(removed, changed[i].removed);
        buf_clear(&text);
        assert_int_equal(filter(MCP_ALL_LISTS, buf_str(&out), &text, &removed), MCP_LIST_UNCHANGED);
        buf_free(&text);
        buf_free(&want);
        buf_free(&out);
    }
}

/* ---- what stays, what is refused ---- */

static const struct {
    const char *why;
    struct str text;
    enum mcp_list_rc rc;
} untouched[] = {
    {"all may be used", STR_INIT(" {'result':{'tools':[{'name':'ok'}, {'name':'ok2'}]}}"),
     MCP_LIST_UNCHANGED},
    {"empty list", STR_INIT("{'result':{'tools':[ ]}}"), MCP_LIST_UNCHANGED},
    {"null is an empty list", STR_INIT("{'result':{'tools':null}}"), MCP_LIST_UNCHANGED},
    {"no list", STR_INIT("{'result':{'content':[{'type':'text','text':'tools'}],'isError':false}}"),
     MCP_LIST_UNCHANGED},
    {"capabilities",
     STR_INIT("{'result':{'capabilities':{'tools':{},'prompts':{'listChanged':true}}}}"),
     MCP_LIST_UNCHANGED},
    {"structured content", STR_INIT("{'result':{'structuredContent':{'tools':[{'name':'x'}]}}}"),
     MCP_LIST_UNCHANGED},
    {"a request's tools",
     STR_INIT("{'method':'sampling/createMessage','params':{'tools':[{'name':'x'}]}}"),
     MCP_LIST_UNCHANGED},
    {"outside the result", STR_INIT("{'tools':[{'name':'x'}],'error':{'tools':[{'name':'x'}]}}"),
     MCP_LIST_UNCHANGED},
    {"result is no object", STR_INIT("{'result':[{'tools':[{'name':'x'}]}]}"), MCP_LIST_UNCHANGED},
    {"batch in a batch", STR_INIT("[[{'result':{'tools':[{'name':'x'}]}}]]"), MCP_LIST_UNCHANGED},
    {"empty batch", STR_INIT("[]"), MCP_LIST_UNCHANGED},
    {"scalar", STR_INIT("'tools'"), MCP_LIST_UNCHANGED},
    {"a number that no double holds", STR_INIT("{'result':{'a':1e999}}"), MCP_LIST_UNCHANGED},
    {"keys that fold to others",
     STR_INIT("{'results':{'Tool':1},'result':{'too':1,'toolss':2,'Toolz':3}}"),
     MCP_LIST_UNCHANGED},

    {"list is an object", STR_INIT("{'result':{'tools':{'a':{'name':'x'}}}}"), MCP_LIST_REFUSED},
    {"list is a string", STR_INIT("{'result':{'prompts':'x'}}"), MCP_LIST_REFUSED},
    {"list is a number", STR_INIT("{'result':{'resources':1}}"), MCP_LIST_REFUSED},
    {"list is true", STR_INIT("{'result':{'resourceTemplates':true}}"), MCP_LIST_REFUSED},
    {"refused behind a list that changed",
     STR_INIT("{'result':{'tools':[{'name':'x'}],'prompts':1}}"), MCP_LIST_REFUSED},
    {"refused in the second message",
     STR_INIT("[{'result':{'tools':[{'name':'x'}]}},{'result':{'tools':1}}]"), MCP_LIST_REFUSED},
    {"Go reads Tools", STR_INIT("{'result':{'Tools':[{'name':'x'}]}}"), MCP_LIST_REFUSED},
    {"Go reads tool\\u017f", STR_INIT("{'result':{'tool\\u017f':[{'name':'x'}]}}"),
     MCP_LIST_REFUSED},
    {"the same as bytes", STR_INIT("{'result':{'re\xc5\xbfource\xc5\xbf':[]}}"), MCP_LIST_REFUSED},
    {"Go reads RESULT", STR_INIT("{'RESULT':{'tools':[{'name':'x'}]}}"), MCP_LIST_REFUSED},
    {"duplicate list", STR_INIT("{'result':{'tools':[],'tools':[{'name':'x'}]}}"),
     MCP_LIST_REFUSED},
    {"duplicate name", STR_INIT("{'result':{'tools':[{'name':'x','n\\u0061me':'ok'}]}}"),
     MCP_LIST_REFUSED},
    {"empty text", STR_INIT(""), MCP_LIST_REFUSED},
    {"not JSON", STR_INIT("<html>"), MCP_LIST_REFUSED},
    {"trailing comma", STR_INIT("{'result':{'tools':[{'name':'ok'},]}}"), MCP_LIST_REFUSED},
    {"two values", STR_INIT("{}{'result':{'tools':[{'name':'x'}]}}"), MCP_LIST_REFUSED},
    {"byte order mark", STR_INIT("\xef\xbb\xbf{}"), MCP_LIST_REFUSED},
    {"not UTF-8", STR_INIT("{'result':{'a':'\xff'}}"), MCP_LIST_REFUSED},
    {"cut off", STR_INIT("{'result':{'tools':[{'name':'ok'}"), MCP_LIST_REFUSED},
};

static void mcp_list_filter_leaves_out_untouched_unless_something_changed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(untouched); i++) {
        struct buf text = quoted(untouched[i].text);
        struct buf out = buf_make(MAX_BYTES);
        size_t removed = 77;
        assert_int_equal(buf_append(&out, STR("before")), 0);
        enum mcp_list_rc rc = filter(MCP_ALL_LISTS, buf_str(&text), &out, &removed);
        if (rc != untouched[i].rc)
            fail_msg("%s: %d", untouched[i].why, rc);
        assert_true(str_eq(buf_str(&out), STR("before")));
        assert_int_equal(removed, 77);
        buf_free(&text);
        buf_free(&out);
    }
}

static void mcp_list_filter_looks_for_the_chosen_lists_only(void **state)
{
    (void)state;
    struct buf text = quoted(STR("{'result':{'tools':[{'name':'x'}],'prompts':[{'name':'x'}],"
                                 "'resources':{},'Resources':1}}"));
    struct buf want = quoted(STR("{'result':{'tools':[{'name':'x'}],'prompts':[],"
                                 "'resources':{},'Resources':1}}"));
    struct buf out = buf_make(MAX_BYTES);
    size_t removed = 0;
    assert_int_equal(filter(1U << MCP_LIST_PROMPTS, buf_str(&text), &out, &removed),
                     MCP_LIST_CHANGED);
    assert_true(str_eq(buf_str(&out), buf_str(&want)));
    assert_int_equal(removed, 1);
    buf_free(&text);
    buf_free(&want);
    buf_free(&out);
}

static void mcp_list_filter_asks_once_for_each_name(void **state)
{
    (void)state;
    unsigned asked[MCP_N_LISTS] = {0};
    const struct mcp_list_filter filter = {MCP_ALL_LISTS, may_ok, asked, MAX_BYTES};
    struct buf text =
        quoted(STR("{'result':{'tools':[{'name':'x'},{'name':'ok'},{}],'prompts':[{'name':'a'}],"
                   "'resources':[{'uri':'a'}],'resourceTemplates':[{'uriTemplate':'a'}]}}"));
    struct buf out = buf_make(MAX_BYTES);
    size_t removed = 0;
    assert_int_equal(mcp_list_filter(&filter, buf_str(&text), &out, &removed), MCP_LIST_CHANGED);
    assert_int_equal(removed, 5);
    assert_int_equal(asked[MCP_LIST_TOOLS], 2);
    assert_int_equal(asked[MCP_LIST_PROMPTS], 1);
    assert_int_equal(asked[MCP_LIST_RESOURCES], 1);
    assert_int_equal(asked[MCP_LIST_TEMPLATES], 1);
    buf_free(&text);
    buf_free(&out);
}

/* ---- limits ---- */

static void mcp_list_filter_refuses_a_text_over_the_ceiling(void **state)
{
    (void)state;
    unsigned asked[MCP_N_LISTS] = {0};
    struct mcp_list_filter filter = {MCP_ALL_LISTS, may_ok, asked, 2};
    struct buf out = buf_make(MAX_BYTES);
    size_t removed = 0;
    assert_int_equal(mcp_list_filter(&filter, STR("{}"), &out, &removed), MCP_LIST_UNCHANGED);
    assert_int_equal(mcp_list_filter(&filter, STR("{} "), &out, &removed), MCP_LIST_TOO_LARGE);
}

static void mcp_list_filter_refuses_a_text_that_is_too_deep(void **state)
{
    (void)state;
    for (size_t depth = MCP_LIST_MAX_DEPTH; depth <= MCP_LIST_MAX_DEPTH + 1; depth++) {
        struct buf text = buf_make(MAX_BYTES);
        struct buf out = buf_make(MAX_BYTES);
        size_t removed = 0;
        for (size_t i = 0; i < depth; i++)
            assert_int_equal(buf_append_char(&text, '['), 0);
        for (size_t i = 0; i < depth; i++)
            assert_int_equal(buf_append_char(&text, ']'), 0);
        assert_int_equal(filter(MCP_ALL_LISTS, buf_str(&text), &out, &removed),
                         depth == MCP_LIST_MAX_DEPTH ? MCP_LIST_UNCHANGED : MCP_LIST_REFUSED);
        buf_free(&text);
        buf_free(&out);
    }
}

static void mcp_list_filter_without_room_appends_nothing(void **state)
{
    (void)state;
    struct buf text = quoted(STR("{'result':{'tools':[{'name':'x'},{'name':'ok'}]}}"));
    for (size_t room = 0; room < text.len - 14; room++) {
        struct buf out = buf_make(room);
        size_t removed = 0;
        assert_int_equal(filter(MCP_ALL_LISTS, buf_str(&text), &out, &removed), MCP_LIST_NO_MEMORY);
        assert_int_equal(out.len, 0);
        buf_free(&out);
    }
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mcp_list_filter_removes_what_the_caller_may_not_use),
        cmocka_unit_test(mcp_list_filter_leaves_out_untouched_unless_something_changed),
        cmocka_unit_test(mcp_list_filter_looks_for_the_chosen_lists_only),
        cmocka_unit_test(mcp_list_filter_asks_once_for_each_name),
        cmocka_unit_test(mcp_list_filter_refuses_a_text_over_the_ceiling),
        cmocka_unit_test(mcp_list_filter_refuses_a_text_that_is_too_deep),
        cmocka_unit_test(mcp_list_filter_without_room_appends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
