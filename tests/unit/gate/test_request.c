/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "gate/txn.h"
#include "gate/worker.h"
#include "support/cmocka_all.h"

#define ABSENT  \
    {           \
        NULL, 0 \
    }

static struct request read_request(const char *method, struct str target,
                                   const struct http1_field *fields, size_t n_fields,
                                   struct arena *arena)
{
    const struct exchange_head head = {
        .method = str_from_cstr(method), .target = target, .fields = fields, .n_fields = n_fields};
    return request_read(&head, arena);
}

static bool same(struct str a, struct str b)
{
    return str_is_set(a) == str_is_set(b) && str_eq(a, b);
}

static void request_read_knows_methods_by_their_exact_name(void **state)
{
    static const struct {
        const char *name;
        enum method method;
    } rows[] = {
        {"GET", METHOD_GET},       {"HEAD", METHOD_HEAD},       {"POST", METHOD_POST},
        {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS}, {"PUT", METHOD_OTHER},
        {"post", METHOD_OTHER},    {"POSTX", METHOD_OTHER},     {"POS", METHOD_OTHER},
        {"", METHOD_OTHER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (read_request(rows[i].name, STR("/"), NULL, 0, *state).method != rows[i].method)
            fail_msg("%s", rows[i].name);
        /* What is not known gets into no label and no log under its own name. */
        assert_true(str_eq(method_name(rows[i].method), rows[i].method == METHOD_OTHER
                                                            ? STR("OTHER")
                                                            : str_from_cstr(rows[i].name)));
    }
}

static void request_read_cuts_the_target_at_the_first_question_mark(void **state)
{
    static const struct {
        struct str target;
        struct str path;
        struct str query;
    } rows[] = {
        {STR_INIT("/mcp"), STR_INIT("/mcp"), ABSENT},
        {STR_INIT("/mcp?"), STR_INIT("/mcp"), STR_INIT("")},
        {STR_INIT("/mcp?a=1"), STR_INIT("/mcp"), STR_INIT("a=1")},
        {STR_INIT("/mcp?a=1?b=2"), STR_INIT("/mcp"), STR_INIT("a=1?b=2")},
        {STR_INIT("/m%3fp?%3f"), STR_INIT("/m%3fp"), STR_INIT("%3f")},
        {STR_INIT("?a"), STR_INIT(""), STR_INIT("a")},
        {STR_INIT("*"), STR_INIT("*"), ABSENT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct request request = read_request("GET", rows[i].target, NULL, 0, *state);
        if (!same(request.path, rows[i].path) || !same(request.query, rows[i].query))
            fail_msg("%.*s", STR_ARG(rows[i].target));
    }
}

static void request_read_finds_fields_by_name_whatever_their_case(void **state)
{
    static const struct http1_field fields[] = {
        {STR_INIT("aUTHORIZATION"), STR_INIT("Bearer x")},
        {STR_INIT("Origin"), STR_INIT("https://a.example")},
        {STR_INIT("content-TYPE"), STR_INIT("application/json")},
        {STR_INIT("Access-Control-Request-Headers"), STR_INIT("authorization")},
        {STR_INIT("X-Authorization"), STR_INIT("no")},
        {STR_INIT("Originator"), STR_INIT("no")},
        {STR_INIT("Content_Type"), STR_INIT("no")},
    };
    struct request request = read_request("POST", STR("/"), fields, ARRAY_LEN(fields), *state);
    assert_int_equal(request.n_authorization, 1);
    assert_true(same(request.authorization, STR("Bearer x")));
    assert_true(same(request.origin, STR("https://a.example")));
    assert_true(same(request.content_type, STR("application/json")));
    assert_true(same(request.cors_headers, STR("authorization")));
    assert_false(str_is_set(request.token)); /* only the bearer stage finds one */
}

static void request_read_leaves_absent_what_is_not_there(void **state)
{
    struct request request = read_request("GET", STR("/"), NULL, 0, *state);
    assert_int_equal(request.n_authorization, 0);
    assert_false(str_is_set(request.authorization));
    assert_false(str_is_set(request.origin));
    assert_false(str_is_set(request.content_type));
    assert_false(str_is_set(request.forwarded_for));
    assert_false(str_is_set(request.cors_headers));
    /* present and empty is something else */
    static const struct http1_field empty[] = {{STR_INIT("Origin"), STR_INIT("")},
                                               {STR_INIT("Authorization"), STR_INIT("")}};
    request = read_request("GET", STR("/"), empty, 2, *state);
    assert_true(str_is_set(request.origin));
    assert_int_equal(request.n_authorization, 1);
}

static void request_read_counts_every_credential(void **state)
{
    static const struct http1_field fields[] = {
        {STR_INIT("Authorization"), STR_INIT("Bearer a")},
        {STR_INIT("authorization"), STR_INIT("Bearer a")},
        {STR_INIT("AUTHORIZATION"), STR_INIT("Basic b")},
    };
    for (size_t n = 0; n <= ARRAY_LEN(fields); n++)
        assert_int_equal(read_request("GET", STR("/"), fields, n, *state).n_authorization, n);
}

static void request_read_joins_the_lines_of_x_forwarded_for(void **state)
{
    static const struct http1_field fields[] = {
        {STR_INIT("X-Forwarded-For"), STR_INIT("192.0.2.1, 192.0.2.2")},
        {STR_INIT("X-Forwarded-Forx"), STR_INIT("192.0.2.9")},
        {STR_INIT("x-forwarded-for"), STR_INIT("192.0.2.3")},
    };
    struct request request = read_request("GET", STR("/"), fields, ARRAY_LEN(fields), *state);
    assert_true(same(request.forwarded_for, STR("192.0.2.1, 192.0.2.2, 192.0.2.3")));
    /* a copy: the fields are gone when the log is written */
    assert_ptr_not_equal(read_request("GET", STR("/"), fields, 1, *state).forwarded_for.ptr,
                         fields[0].value.ptr);
}

/* Proxies append: who makes the list long cannot push off it what they say about him. */
static void request_read_keeps_the_right_end_of_a_long_list_of_addresses(void **state)
{
    static char list[8192];
    memset(list, '1', sizeof(list));
    struct http1_field field = {.name = STR("X-Forwarded-For"), .value = str_make(list, 4096)};
    assert_int_equal(read_request("GET", STR("/"), &field, 1, *state).forwarded_for.len, 4096);
    field.value.len = 4097; /* one member, which is cut */
    assert_false(str_is_set(read_request("GET", STR("/"), &field, 1, *state).forwarded_for));
    struct http1_field lines[] = {field,
                                  {.name = STR("X-Forwarded-For"), .value = STR("198.51.100.9")}};
    lines[0].value.len = sizeof(list);
    assert_true(
        same(read_request("GET", STR("/"), lines, 2, *state).forwarded_for, STR(" 198.51.100.9")));
    list[8000] = ',';
    struct str end = read_request("GET", STR("/"), lines, 2, *state).forwarded_for;
    assert_int_equal(end.len, 8192 - 8001 + 2 + 12);
}

static void txn_mark_puts_a_transaction_on_the_list_once(void **state)
{
    (void)state;
    struct worker worker = {0};
    struct txn first = {.worker = &worker};
    struct txn second = {.worker = &worker};
    list_init(&worker.marked);
    txn_mark(&first);
    txn_mark(&second);
    txn_mark(&first);
    assert_ptr_equal(worker.marked.next, &first.run_node);
    assert_ptr_equal(first.run_node.next, &second.run_node);
    assert_ptr_equal(second.run_node.next, &worker.marked);
}

static int set_up(void **state)
{
    *state = arena_new(4096, 65536);
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)arena_free(*state);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(request_read_knows_methods_by_their_exact_name),
        TEST(request_read_cuts_the_target_at_the_first_question_mark),
        TEST(request_read_finds_fields_by_name_whatever_their_case),
        TEST(request_read_leaves_absent_what_is_not_there),
        TEST(request_read_counts_every_credential),
        TEST(request_read_joins_the_lines_of_x_forwarded_for),
        TEST(request_read_keeps_the_right_end_of_a_long_list_of_addresses),
        cmocka_unit_test(txn_mark_puts_a_transaction_on_the_list_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
