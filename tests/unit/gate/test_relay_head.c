/* SPDX-License-Identifier: Apache-2.0 */
/* What goes upstream, byte for byte: relay_append_head() over plain structs. */
#include <errno.h>
#include <stdlib.h>

#include "base/json.h"
#include "gate/relay.h"
#include "net/server_int.h"
#include "support/cmocka_all.h"

/* X-User from sub, X-Teams from the first of two claims; X-Api-Key is the policy's own. */
static const struct str user_claims[] = {STR_INIT("sub")};
static const struct str team_claims[] = {STR_INIT("https://example.com/teams"), STR_INIT("teams")};
static const struct identity_header identity_headers[] = {
    {STR_INIT("X-User"), user_claims, 1},
    {STR_INIT("X_Teams"), team_claims, 2},
};
static const struct name_value configured[] = {
    {STR_INIT("X-Api-Key"), STR_INIT("from the policy")}};
static const struct str stripped[] = {STR_INIT("x-user"), STR_INIT("x-teams"),
                                      STR_INIT("x-api-key")};

struct world {
    struct http1_field fields[8];
    struct exchange exchange;
    struct route route;
    struct identity identity;
    struct txn txn;
    struct buf head;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->exchange.head = (struct exchange_head){.fields = w->fields};
    w->route = (struct route){
        .scheme = STR("https"),
        .authority = STR("mcp.example.com"),
        .identity = identity_headers,
        .n_identity = ARRAY_LEN(identity_headers),
        .stripped = stripped,
        .n_stripped = ARRAY_LEN(stripped),
        .upstream = {.authority = STR("127.0.0.1:3000"),
                     .target = STR("/up"),
                     .headers = configured,
                     .n_headers = ARRAY_LEN(configured)},
    };
    w->identity.claims = json_pack("{s:s}", "sub", "auth0|1");
    assert_non_null(w->identity.claims);
    w->txn = (struct txn){.exchange = &w->exchange,
                          .route = &w->route,
                          .identity = &w->identity,
                          .id = "0123456789abcdef0123456789abcdef",
                          .forwarded_for = STR("192.0.2.7"),
                          .request = {.method = METHOD_POST}};
    w->head = buf_make(RELAY_MAX_HEAD_BYTES);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    json_decref(w->identity.claims);
    buf_free(&w->exchange.body);
    buf_free(&w->head);
    free(w);
    return 0;
}

static void set_claims(struct world *w, const char *json)
{
    json_decref(w->identity.claims);
    w->identity.claims = NULL;
    assert_int_equal(
        json_parse(str_from_cstr(json), (struct json_limits){4096, 8}, &w->identity.claims, NULL),
        JSON_RC_OK);
}

static int make_head(struct world *w)
{
    struct arena *arena = arena_new(1024, 4096);
    struct buf again = buf_make(RELAY_MAX_HEAD_BYTES);
    buf_clear(&w->head);
    int r = relay_append_head(&w->txn, &w->head);
    /* It makes no difference whether the fields were looked up when the request was read. */
    w->txn.request.folded = request_read(&w->exchange.head, arena).folded;
    assert_int_equal(relay_append_head(&w->txn, &again), r);
    assert_true(str_eq(buf_str(&again), buf_str(&w->head)));
    w->txn.request.folded = NULL;
    buf_free(&again);
    (void)arena_free(arena);
    return r;
}

/* With one field of the client (besides what the world has); the whole head must be EXPECTED. */
static void assert_head(struct world *w, const char *why, const char *expected)
{
    assert_int_equal(make_head(w), 0);
    if (!str_eq(buf_str(&w->head), str_from_cstr(expected)))
        fail_msg("%s:\n%.*s", why, STR_ARG(buf_str(&w->head)));
}

#define REQUEST_LINE "POST /up HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n"
#define OURS                                \
    "X-Forwarded-For: 192.0.2.7\r\n"        \
    "X-Forwarded-Proto: https\r\n"          \
    "X-Forwarded-Host: mcp.example.com\r\n" \
    "X-Request-Id: 0123456789abcdef0123456789abcdef\r\n"
#define IDENTITY "X-User: auth0|1\r\n"
#define KEY "X-Api-Key: from the policy\r\n"
#define LENGTH "Content-Length: 0\r\n\r\n"
#define BARE REQUEST_LINE OURS IDENTITY KEY LENGTH

static void relay_head_is_made_anew(void **state)
{
    struct world *w = *state;
    assert_head(w, "no field of the client", BARE);
}

static void relay_head_drops_what_must_not_pass(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        struct http1_field field;
    } rows[] = {
        {"the token", {STR_INIT("Authorization"), STR_INIT("Bearer secret")}},
        {"the token, other case", {STR_INIT("AUTHORIZATION"), STR_INIT("Bearer secret")}},
        {"cookie", {STR_INIT("Cookie"), STR_INIT("session=1")}},
        {"the client's host", {STR_INIT("Host"), STR_INIT("evil.example")}},
        {"length", {STR_INIT("Content-Length"), STR_INIT("99")}},
        {"framing", {STR_INIT("Transfer-Encoding"), STR_INIT("chunked")}},
        {"framing by underscore", {STR_INIT("Transfer_Encoding"), STR_INIT("chunked")}},
        {"our assertion", {STR_INIT("X-Portcullis-Assertion"), STR_INIT("a.b.c")}},
        {"hop by hop: connection", {STR_INIT("Connection"), STR_INIT("close")}},
        {"hop by hop: keep-alive", {STR_INIT("Keep-Alive"), STR_INIT("timeout=5")}},
        {"hop by hop: te", {STR_INIT("TE"), STR_INIT("trailers")}},
        {"hop by hop: trailer", {STR_INIT("Trailer"), STR_INIT("X")}},
        {"hop by hop: upgrade", {STR_INIT("Upgrade"), STR_INIT("websocket")}},
        {"hop by hop: proxy credential", {STR_INIT("Proxy-Authorization"), STR_INIT("Basic x")}},
        {"expect", {STR_INIT("Expect"), STR_INIT("100-continue")}},
        {"httpoxy", {STR_INIT("Proxy"), STR_INIT("http://evil")}},
        {"identity", {STR_INIT("X-User"), STR_INIT("admin")}},
        {"identity, other case", {STR_INIT("x-uSER"), STR_INIT("admin")}},
        {"identity by underscore", {STR_INIT("X_User"), STR_INIT("admin")}},
        {"identity named with an underscore", {STR_INIT("X_Teams"), STR_INIT("admins")}},
        {"the same by dash", {STR_INIT("X-Teams"), STR_INIT("admins")}},
        {"a header of the policy", {STR_INIT("x_api-key"), STR_INIT("mine")}},
        {"forwarded-for", {STR_INIT("X-Forwarded-For"), STR_INIT("127.0.0.1")}},
        {"forwarded-for by underscore", {STR_INIT("X_FORWARDED_FOR"), STR_INIT("127.0.0.1")}},
        {"forwarded-host", {STR_INIT("X-Forwarded-Host"), STR_INIT("evil")}},
        {"forwarded-proto", {STR_INIT("X-Forwarded-Proto"), STR_INIT("http")}},
        {"forwarded-user, of oauth2-proxy", {STR_INIT("X-Forwarded-User"), STR_INIT("admin")}},
        {"forwarded", {STR_INIT("Forwarded"), STR_INIT("for=127.0.0.1")}},
        {"real ip", {STR_INIT("X-Real-IP"), STR_INIT("127.0.0.1")}},
        {"request id", {STR_INIT("X-Request-Id"), STR_INIT("forged")}},
        {"original url", {STR_INIT("X-Original-URL"), STR_INIT("/admin")}},
        {"rewrite url", {STR_INIT("X-Rewrite-Url"), STR_INIT("/admin")}},
        {"method override", {STR_INIT("X-HTTP-Method-Override"), STR_INIT("DELETE")}},
    };
    w->exchange.head.n_fields = 1;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->fields[0] = rows[i].field;
        assert_head(w, rows[i].why, BARE);
    }
}

static void relay_head_passes_the_rest_as_it_came(void **state)
{
    struct world *w = *state;
    static const struct http1_field fields[] = {
        {STR_INIT("Accept"), STR_INIT("application/json, text/event-stream")},
        {STR_INIT("content-type"), STR_INIT("application/json")},
        {STR_INIT("Mcp-Session-Id"), STR_INIT("abc")},
        {STR_INIT("MCP-Protocol-Version"), STR_INIT("2025-06-18")},
        {STR_INIT("Last-Event-ID"), STR_INIT("7")},
        {STR_INIT("traceparent"), STR_INIT("00-1-2-01")},
        {STR_INIT("X-Users"), STR_INIT("similar, but another name")},
        {STR_INIT("X-Empty"), STR_INIT("")},
    };
    memcpy(w->fields, fields, sizeof(fields));
    w->exchange.head.n_fields = ARRAY_LEN(fields);
    assert_head(w, "end-to-end fields",
                REQUEST_LINE "Accept: application/json, text/event-stream\r\n"
                             "content-type: application/json\r\nMcp-Session-Id: abc\r\n"
                             "MCP-Protocol-Version: 2025-06-18\r\nLast-Event-ID: 7\r\n"
                             "traceparent: 00-1-2-01\r\n"
                             "X-Users: similar, but another name\r\n"
                             "X-Empty: \r\n" OURS IDENTITY KEY LENGTH);
}

/* RFC 9110 7.6.1. What we add ourselves cannot be named away. */
static void relay_head_drops_what_connection_names(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        struct str connection;
        bool passes;
    } rows[] = {
        {"named", STR_INIT("X-Hop"), false},
        {"named among others, other case", STR_INIT("keep-alive, ,\tx-hOP ,TE"), false},
        {"a part of the name", STR_INIT("X-Ho, X-Hop-2, Hop"), true},
        {"our own",
         STR_INIT("X-User, X-Forwarded-For, X-Request-Id, X-Api-Key, Host, "
                  "Content-Length"),
         true},
        {"close", STR_INIT("close"), true},
    };
    w->fields[0] = (struct http1_field){STR("X-Hop"), STR("1")};
    w->exchange.head.n_fields = 2;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->fields[1] = (struct http1_field){STR("Connection"), rows[i].connection};
        assert_head(w, rows[i].why,
                    rows[i].passes ? REQUEST_LINE "X-Hop: 1\r\n" OURS IDENTITY KEY LENGTH : BARE);
    }
    /* in the second of two lines */
    w->fields[1] = (struct http1_field){STR("Connection"), STR("close")};
    w->fields[2] = (struct http1_field){STR("connection"), STR("x-hop")};
    w->exchange.head.n_fields = 3;
    assert_head(w, "the second line", BARE);
    /* what the body was compared with */
    w->fields[0] = (struct http1_field){STR("Mcp-Method"), STR("ping")};
    w->fields[1] = (struct http1_field){STR("Connection"), STR("mcp-method")};
    w->exchange.head.n_fields = 2;
    assert_head(w, "a field that mirrors the body",
                REQUEST_LINE "Mcp-Method: ping\r\n" OURS IDENTITY KEY LENGTH);
}

static void relay_head_target_is_the_upstreams_with_the_query_behind_it(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        struct str target;
        bool has_query;
        struct str query;
        const char *line;
    } rows[] = {
        {"no query", STR_INIT("/up"), false, {NULL, 0}, "POST /up HTTP/1.1\r\n"},
        {"a query", STR_INIT("/up"), false, STR_INIT("a=1&b=%20"),
         "POST /up?a=1&b=%20 HTTP/1.1\r\n"},
        {"an empty one", STR_INIT("/up"), false, STR_INIT(""), "POST /up? HTTP/1.1\r\n"},
        {"behind the upstream's own", STR_INIT("/up?key=1"), true, STR_INIT("key=2"),
         "POST /up?key=1&key=2 HTTP/1.1\r\n"},
        {"the upstream's own only",
         STR_INIT("/up?key=1"),
         true,
         {NULL, 0},
         "POST /up?key=1 HTTP/1.1\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->route.upstream.target = rows[i].target;
        w->route.upstream.has_query = rows[i].has_query;
        w->txn.request.query = rows[i].query;
        assert_int_equal(make_head(w), 0);
        if (!str_has_prefix(buf_str(&w->head), str_from_cstr(rows[i].line)))
            fail_msg("%s: %.*s", rows[i].why, STR_ARG(str_head(buf_str(&w->head), 40)));
    }
}

static void relay_head_has_the_length_of_the_body_of_a_post(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        enum method method;
        const char *body;
        const char *start;
        const char *end;
    } rows[] = {
        {"POST", METHOD_POST, "{}", "POST ", KEY "Content-Length: 2\r\n\r\n"},
        {"POST without a body", METHOD_POST, "", "POST ", KEY "Content-Length: 0\r\n\r\n"},
        {"GET", METHOD_GET, "", "GET ", KEY "\r\n"},
        {"DELETE", METHOD_DELETE, "", "DELETE ", KEY "\r\n"},
        {"DELETE with a body, which stays here", METHOD_DELETE, "abc", "DELETE ", KEY "\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->exchange.body = buf_make(16);
        (void)buf_append_cstr(&w->exchange.body, rows[i].body);
        w->txn.request.method = rows[i].method;
        assert_int_equal(make_head(w), 0);
        if (!str_has_prefix(buf_str(&w->head), str_from_cstr(rows[i].start)) ||
            !str_has_suffix(buf_str(&w->head), str_from_cstr(rows[i].end)))
            fail_msg("%s:\n%.*s", rows[i].why, STR_ARG(buf_str(&w->head)));
        buf_free(&w->exchange.body);
    }
}

static void relay_head_says_who_the_caller_is(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *claims;
        const char *lines; /* NULL: refused */
    } rows[] = {
        {"a string", "{\"sub\":\"a b\"}", "X-User: a b\r\n"},
        {"the first claim that is there",
         "{\"sub\":\"a\",\"teams\":\"t2\",\"https://example.com/teams\":\"t1\"}",
         "X-User: a\r\nX_Teams: t1\r\n"},
        {"the second one", "{\"sub\":\"a\",\"teams\":\"t2\"}", "X-User: a\r\nX_Teams: t2\r\n"},
        {"null is not there", "{\"sub\":\"a\",\"https://example.com/teams\":null,\"teams\":\"t2\"}",
         "X-User: a\r\nX_Teams: t2\r\n"},
        {"none is there", "{}", ""},
        {"an empty string", "{\"sub\":\"\"}", "X-User: \r\n"},
        {"an array as JSON", "{\"sub\":\"a\",\"teams\":[\"x\",\"y\"]}",
         "X-User: a\r\nX_Teams: [\"x\",\"y\"]\r\n"},
        {"a number", "{\"sub\":\"a\",\"teams\":7}", "X-User: a\r\nX_Teams: 7\r\n"},
        {"a truth", "{\"sub\":\"a\",\"teams\":true}", "X-User: a\r\nX_Teams: true\r\n"},
        {"not ASCII", "{\"sub\":\"Andr\\u00e9\"}", "X-User: Andr%C3%A9\r\n"},
        {"looks escaped already", "{\"sub\":\"Andr%C3%A9\"}", "X-User: Andr%25C3%25A9\r\n"},
        {"blanks at the ends", "{\"sub\":\" a \"}", "X-User: %20a%20\r\n"},
        {"a line break", "{\"sub\":\"a\\r\\nX-Admin: yes\"}", NULL},
        {"a NUL", "{\"sub\":\"a\\u0000b\"}", NULL},
        {"a tab", "{\"sub\":\"a\\tb\"}", NULL},
        {"DEL", "{\"sub\":\"a\\u007fb\"}", NULL},
        {"a line break inside JSON is escaped there", "{\"sub\":\"a\",\"teams\":[\"x\\r\\ny\"]}",
         "X-User: a\r\nX_Teams: [\"x\\r\\ny\"]\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_claims(w, rows[i].claims);
        if (rows[i].lines == NULL) {
            if (make_head(w) != -EINVAL)
                fail_msg("%s: passed", rows[i].why);
            continue;
        }
        struct buf expected = buf_make(4096);
        (void)buf_printf(&expected, "%s%s", REQUEST_LINE OURS, rows[i].lines);
        (void)buf_append(&expected, STR(KEY LENGTH));
        (void)buf_append_char(&expected, '\0');
        assert_head(w, rows[i].why, expected.ptr);
        buf_free(&expected);
    }
}

static void relay_head_past_its_ceiling_is_refused_whole(void **state)
{
    struct world *w = *state;
    struct buf small = buf_make(sizeof(BARE) - 1);
    assert_int_equal(relay_append_head(&w->txn, &small), 0);
    buf_free(&small);
    small = buf_make(sizeof(BARE) - 2);
    assert_int_equal(relay_append_head(&w->txn, &small), -EMSGSIZE);
    buf_free(&small);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(relay_head_is_made_anew),
        TEST(relay_head_drops_what_must_not_pass),
        TEST(relay_head_passes_the_rest_as_it_came),
        TEST(relay_head_drops_what_connection_names),
        TEST(relay_head_target_is_the_upstreams_with_the_query_behind_it),
        TEST(relay_head_has_the_length_of_the_body_of_a_post),
        TEST(relay_head_says_who_the_caller_is),
        TEST(relay_head_past_its_ceiling_is_refused_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
