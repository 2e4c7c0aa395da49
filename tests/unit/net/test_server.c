/* SPDX-License-Identifier: Apache-2.0 */
#include "net/server.h"

#include <stdlib.h>
#include <sys/un.h>

#include "base/err.h"
#include "net/server_int.h"
#include "support/test_clock.h"
#include "support/wire.h"

#define TIMEOUT_MS 30000
#define HEADER_BYTES 8192
#define MAX_STORIES 16

/* One exchange as the handler under test saw it. What head() and complete() do is in the target:
 * "/early" replies in head(), "/wait" parks before the body, "/now" replies in complete(), anything
 * else is parked for the test to answer. "?limit=16" sets the body limit. */
struct story {
    struct world *world;
    int number; /* from 1, in the order of head() */
    struct exchange *exchange;
    bool waits; /* before the body */
    bool complete;
    bool full; /* the writer was told to wait */
    bool gone;
    bool ended;
};

struct world {
    struct loop *loop;
    size_t min_rate_bytes; /* of a server that is opened */
    struct server *server;
    struct spin spin;
    int listen_fd;
    uint16_t port;
    struct story stories[MAX_STORIES];
    int n_stories;
    struct buf journal; /* "1:head 1:complete 1:end " */
    int refusals;
    unsigned refused_status;
    struct buf in; /* what the client got on the connection that was read last */
};

static void note(struct story *story, const char *event)
{
    assert_false(story->ended);
    assert_int_equal(buf_printf(&story->world->journal, "%d:%s ", story->number, event), 0);
}

static void send_reply(struct exchange *exchange, unsigned status, const char *body)
{
    struct reply reply = {.status = status, .body = buf_make(1024 * 1024)};
    assert_true(reply_add(&reply, STR("X-Test"), STR("yes")));
    assert_int_equal(buf_append_cstr(&reply.body, body), 0);
    exchange_reply(exchange, &reply);
}

static void send_long_reply(struct exchange *exchange, size_t len)
{
    struct reply reply = {.status = 200, .body = buf_make(len)};
    assert_int_equal(buf_reserve(&reply.body, len), 0);
    memset(reply.body.ptr, 'x', len);
    reply.body.len = len;
    exchange_reply(exchange, &reply);
}

static bool target_has(const struct exchange *exchange, const char *part)
{
    struct str target = exchange_head(exchange)->target;
    return memmem(target.ptr, target.len, part, strlen(part)) != NULL;
}

static enum server_next on_head(void *ctx, struct exchange *exchange)
{
    struct world *w = ctx;
    assert_true(w->n_stories < MAX_STORIES);
    struct story *story = &w->stories[w->n_stories++];
    *story = (struct story){.world = w, .number = w->n_stories, .exchange = exchange};
    assert_null(exchange_user(exchange));
    exchange_set_user(exchange, story);
    note(story, "head");
    if (target_has(exchange, "limit=16"))
        exchange_set_body_limit(exchange, 16);
    story->waits = target_has(exchange, "/wait");
    if (story->waits)
        return SERVER_WAIT;
    if (!target_has(exchange, "/early"))
        return SERVER_BODY;
    send_reply(exchange, 401, "early");
    return SERVER_DONE;
}

static void on_complete(void *ctx, struct exchange *exchange)
{
    (void)ctx;
    struct story *story = exchange_user(exchange);
    story->waits = false;
    story->complete = true;
    note(story, "complete");
    if (target_has(exchange, "/now"))
        send_reply(exchange, 200, "now");
}

static void on_gone(void *ctx, struct exchange *exchange)
{
    (void)ctx;
    struct story *story = exchange_user(exchange);
    assert_true(exchange_is_gone(exchange));
    assert_false(story->gone);
    story->gone = true;
    note(story, "gone");
}

static void on_too_large(void *ctx, struct exchange *exchange, struct reply *ret_reply)
{
    (void)ctx;
    note(exchange_user(exchange), "too_large");
    ret_reply->status = 413;
    (void)buf_append_cstr(&ret_reply->body, "too large");
}

static void on_drained(void *ctx, struct exchange *exchange)
{
    struct story *story = exchange_user(exchange);
    (void)ctx;
    story->full = false;
    note(story, "drained");
}

static void on_end(void *ctx, struct exchange *exchange)
{
    (void)ctx;
    struct story *story = exchange_user(exchange);
    note(story, exchange_was_refused(exchange) ? "end(refused)" : "end");
    story->ended = true;
}

static void on_refused(void *ctx, struct str peer, unsigned status, const char *reason,
                       const char *description, struct reply *ret_reply)
{
    struct world *w = ctx;
    assert_true(peer.len > 0);
    assert_true(reason[0] != '\0' && description[0] != '\0');
    w->refusals++;
    w->refused_status = status;
    ret_reply->status = status;
    (void)buf_append_cstr(&ret_reply->body, reason);
}

static const struct server_handler handler = {
    .head = on_head,
    .complete = on_complete,
    .gone = on_gone,
    .too_large = on_too_large,
    .drained = on_drained,
    .end = on_end,
    .refused = on_refused,
};

/* ---- the world ---- */

static void run_server(void *ctx)
{
    struct world *w = ctx;
    if (w->server != NULL)
        server_run(w->server);
}

static void open_server(struct world *w, uint32_t max_connections)
{
    w->server = server_new(w->loop, &(struct server_options){.handler = &handler,
                                                             .ctx = w,
                                                             .header_bytes = HEADER_BYTES,
                                                             .max_connections = max_connections,
                                                             .min_rate_bytes = w->min_rate_bytes,
                                                             .client_timeout_ms = TIMEOUT_MS});
    assert_non_null(w->server);
    assert_int_equal(server_listen(w->server, w->listen_fd, NULL), 0);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    test_clock_stop();
    w->loop = loop_new();
    w->spin = (struct spin){.loop = w->loop, .after_turn = run_server, .ctx = w};
    w->journal = buf_make(65536);
    w->in = buf_make(WIRE_MAX_BYTES);
    w->listen_fd = wire_listen(&w->port);
    open_server(w, 100);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    assert_null(server_free(w->server));
    for (int i = 0; i < w->n_stories; i++)
        if (!w->stories[i].ended)
            fail_msg("exchange %d has no end()", i + 1);
    (void)close(w->listen_fd);
    buf_free(&w->journal);
    buf_free(&w->in);
    loop_free(w->loop);
    free(w);
    return 0;
}

/* Waits until the journal is as long as EXPECTED; then it must be that, word for word. */
static void expect_journal(struct world *w, const char *expected)
{
    int64_t end = wire_real_ms() + WIRE_PATIENCE_MS;
    while (w->journal.len < strlen(expected) && wire_real_ms() < end)
        spin_once(&w->spin);
    spin_for(&w->spin, 5);
    if (!str_eq(buf_str(&w->journal), str_from_cstr(expected)))
        fail_msg("expected: %s\ngot:      %.*s", expected, STR_ARG(buf_str(&w->journal)));
}

/* ---- the client that the test plays ---- */

static int connect_and_send(struct world *w, const char *bytes)
{
    int fd = wire_connect(w->port);
    buf_clear(&w->in);
    wire_send_text(&w->spin, fd, bytes);
    return fd;
}

/* The exchange in its turn, when it is there and parked (or streaming). */
static struct exchange *nth(struct world *w, int number)
{
    const struct story *story = &w->stories[number - 1];
    SPIN_UNTIL(&w->spin, w->n_stories >= number && (story->complete || story->waits));
    assert_false(story->ended);
    return story->exchange;
}

struct answer {
    unsigned status;
    bool complete; /* else the connection ended before the answer did */
    bool chunked;
    bool keep_alive; /* as the head says */
    char body[256];
    size_t body_len; /* may be more than BODY keeps */
    int end;         /* WIRE_OPEN, or how the connection ended */
};

static void take_body(struct answer *answer, struct http1_body *decoder, struct buf *in)
{
    while (in->len > 0 && !decoder->done) {
        struct str data;
        size_t used;
        assert_int_equal(http1_body_feed(decoder, buf_str(in), &data, &used), HTTP1_RESPONSE_OK);
        for (size_t i = 0; i < data.len; i++)
            if (answer->body_len + i < sizeof(answer->body) - 1)
                answer->body[answer->body_len + i] = data.ptr[i];
        answer->body_len += data.len;
        buf_consume(in, used);
    }
}

/* Reads one answer off w->in by the strict codec; what is behind it stays there. */
static struct answer read_answer(struct world *w, int fd)
{
    struct answer answer = {.end = WIRE_OPEN};
    static struct http1_response_head head;
    struct http1_body decoder = {0};
    size_t scanned = 0;
    size_t used = 0;
    int64_t end = wire_real_ms() + WIRE_PATIENCE_MS;
    while (!decoder.done && answer.end == WIRE_OPEN) {
        if (wire_real_ms() > end)
            fail_msg("no answer, but: %.*s", STR_ARG(buf_str(&w->in)));
        answer.end = wire_take(fd, &w->in);
        if (used == 0) {
            assert_int_equal(http1_response_head(buf_str(&w->in), &scanned, &head, &used),
                             HTTP1_RESPONSE_OK);
            if (used > 0) {
                answer.status = head.status;
                answer.keep_alive = head.keep_alive;
                answer.chunked = head.body == HTTP1_BODY_CHUNKED;
                http1_body_init(&decoder, &head);
                buf_consume(&w->in, used);
            }
        }
        if (used > 0)
            take_body(&answer, &decoder, &w->in);
        if (!decoder.done && answer.end == WIRE_OPEN)
            spin_once(&w->spin);
    }
    answer.complete = decoder.done || (used > 0 && answer.end == WIRE_FIN &&
                                       http1_body_eof(&decoder) == HTTP1_RESPONSE_OK);
    return answer;
}

static void expect_answer(struct world *w, int fd, unsigned status, const char *body)
{
    struct answer answer = read_answer(w, fd);
    if (answer.status != status || !answer.complete || strcmp(answer.body, body) != 0)
        fail_msg("expected %u \"%s\", got %u \"%s\"%s", status, body, answer.status, answer.body,
                 answer.complete ? "" : ", cut");
}

static void expect_end(struct world *w, int fd)
{
    assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
    assert_int_equal(w->in.len, 0);
    (void)close(fd);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST(target, length) \
    "POST " target " HTTP/1.1\r\nHost: x\r\nContent-Length: " length "\r\n\r\n"
#define POST_CHUNKED(target) \
    "POST " target " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

/* ---- one request ---- */

static void server_calls_head_complete_and_end_once(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *request;
        const char *body;
    } rows[] = {
        {"without a body", GET("/a"), ""},
        {"empty body", POST("/a", "0"), ""},
        {"measured", POST("/a", "5") "hello", "hello"},
        {"chunked", POST_CHUNKED("/a") "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"},
        {"chunked, empty", POST_CHUNKED("/a") "0\r\n\r\n", ""},
        {"DELETE", "DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->n_stories = 0;
        buf_clear(&w->journal);
        int fd = connect_and_send(w, rows[i].request);
        struct exchange *exchange = nth(w, 1);
        if (!str_eq(exchange_body(exchange), str_from_cstr(rows[i].body)))
            fail_msg("%s: %.*s", rows[i].why, STR_ARG(exchange_body(exchange)));
        expect_journal(w, "1:head 1:complete ");
        send_reply(exchange, 200, "done");
        expect_answer(w, fd, 200, "done");
        expect_journal(w, "1:head 1:complete 1:end ");
        (void)close(fd);
    }
}

static void server_reads_a_request_that_comes_byte_by_byte(void **state)
{
    struct world *w = *state;
    static const char request[] = POST_CHUNKED("/slow") "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
    int fd = wire_connect(w->port);
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        wire_send(&w->spin, fd, str_make(request + i, 1));
        spin_once(&w->spin);
    }
    assert_true(str_eq(exchange_body(nth(w, 1)), STR("abcd")));
    send_reply(nth(w, 1), 200, "");
    expect_answer(w, fd, 200, "");
    (void)close(fd);
}

static void exchange_head_gives_the_request_as_received(void **state)
{
    struct world *w = *state;
    static const struct http1_field fields[] = {
        {STR_INIT("Host"), STR_INIT("x")},   {STR_INIT("X-b"), STR_INIT("2")},
        {STR_INIT("x-A"), STR_INIT("1 1")},  {STR_INIT("X-b"), STR_INIT("3")},
        {STR_INIT("X-Empty"), STR_INIT("")}, {STR_INIT("Content-Length"), STR_INIT("2")},
    };
    int fd = connect_and_send(w, "PUT /%41b/%c3%a9?q=%2f&access=1 HTTP/1.1\r\nHost: x\r\n"
                                 "X-b: 2\r\nx-A: \t1 1 \t\r\nX-b:3\r\nX-Empty:\r\n"
                                 "Content-Length: 2\r\n\r\n{}");
    const struct exchange_head *head = exchange_head(nth(w, 1));
    assert_true(str_eq(head->method, STR("PUT")));
    assert_true(str_eq(head->target, STR("/%41b/%c3%a9?q=%2f&access=1")));
    assert_true(str_eq(head->peer, STR("127.0.0.1")));
    assert_int_equal(head->peer_addr->ss_family, AF_INET);
    assert_false(head->http10);
    assert_true(head->has_body);
    assert_false(head->chunked);
    assert_int_equal(head->content_length, 2);
    assert_int_equal(head->n_fields, ARRAY_LEN(fields));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        assert_true(str_eq(head->fields[i].name, fields[i].name));
        assert_true(str_eq(head->fields[i].value, fields[i].value));
    }
    (void)close(fd);
    fd = connect_and_send(w, "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    assert_true(exchange_head(nth(w, 2))->http10);
    assert_false(exchange_head(nth(w, 2))->has_body);
    (void)close(fd);
    fd = connect_and_send(w, POST_CHUNKED("/") "0\r\n\r\n");
    assert_true(exchange_head(nth(w, 3))->chunked);
    assert_true(exchange_head(nth(w, 3))->has_body);
    (void)close(fd);
    spin_for(&w->spin, 10);
}

static void server_serves_unix_sockets(void **state)
{
    struct world *w = *state;
    char folder[] = "/tmp/test_server_XXXXXX";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", folder);
    int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listen_fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listen_fd, 8), 0);
    assert_int_equal(server_listen(w->server, listen_fd, NULL), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    for (int i = 1; i <= 2; i++) { /* the second one after a take-over and back */
        wire_send_text(&w->spin, fd, GET("/a"));
        assert_true(str_eq(exchange_head(nth(w, i))->peer, STR("unix:")));
        assert_int_equal(exchange_head(nth(w, i))->peer_addr->ss_family, AF_UNIX);
        assert_int_equal(exchange_stream(nth(w, i), 200, NULL, 0, 0), 0);
        exchange_stream_end(nth(w, i), true);
        expect_answer(w, fd, 200, "");
    }
    (void)close(fd);
    server_free(w->server);
    w->server = NULL;
    (void)close(listen_fd);
    (void)unlink(addr.sun_path);
    (void)rmdir(folder);
}

/* ---- replies in one piece ---- */

static void exchange_reply_keeps_the_connection_for_the_next_request(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/now"));
    expect_answer(w, fd, 200, "now");
    for (int i = 2; i <= 5; i++) {
        wire_send_text(&w->spin, fd, i % 2 == 0 ? POST("/a", "3") "abc" : GET("/b"));
        send_reply(nth(w, i), 404, "not here");
        expect_answer(w, fd, 404, "not here");
    }
    assert_int_equal(server_stats(w->server).accepted, 1);
    (void)close(fd);
}

static void exchange_reply_sends_fields_length_and_date(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/now"));
    wire_expect(&w->spin, fd, &w->in, "now");
    assert_true(str_has_prefix(buf_str(&w->in), STR("HTTP/1.1 200 OK\r\n")));
    assert_true(wire_has(&w->in, "\r\nX-Test: yes\r\n"));
    assert_true(wire_has(&w->in, "\r\nContent-Length: 3\r\n"));
    assert_true(wire_has(&w->in, "\r\nDate: "));
    assert_false(wire_has(&w->in, "Connection: close"));
    (void)close(fd);
    fd = connect_and_send(w, "HEAD /now HTTP/1.1\r\nHost: x\r\n\r\n" GET("/now"));
    wire_expect(&w->spin, fd, &w->in, "\r\n\r\nHTTP/1.1 200 OK\r\n"); /* no body between */
    assert_true(wire_has(&w->in, "\r\nContent-Length: 3\r\n"));
    (void)close(fd);
}

static void exchange_reply_closes_when_the_client_wants_it(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, "GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect_answer(w, fd, 200, "now");
    expect_end(w, fd);
    fd = connect_and_send(w, "GET /now HTTP/1.0\r\n\r\n");
    expect_answer(w, fd, 200, "now");
    expect_end(w, fd);
    expect_journal(w, "1:head 1:complete 1:end 2:head 2:complete 2:end ");
}

static void exchange_reply_counts_once(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/a"));
    send_reply(nth(w, 1), 200, "first");
    send_reply(nth(w, 1), 500, "second");
    expect_answer(w, fd, 200, "first");
    spin_for(&w->spin, 10);
    assert_true(wire_is_quiet(fd));
    (void)close(fd);
}

static void reply_add_has_a_limit(void **state)
{
    (void)state;
    struct reply reply = {0};
    for (int i = 0; i < SERVER_REPLY_MAX_FIELDS; i++)
        assert_true(reply_add(&reply, STR("a"), STR("b")));
    assert_false(reply_add(&reply, STR("a"), STR("b")));
    assert_int_equal(reply.n_fields, SERVER_REPLY_MAX_FIELDS);
}

/* ---- early replies ---- */

static void server_reads_a_small_body_after_an_early_reply_and_keeps_the_connection(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, POST("/early", "5") "he");
    spin_for(&w->spin, 5);
    wire_send_text(&w->spin, fd, "llo" GET("/early"));
    expect_answer(w, fd, 401, "early");
    expect_answer(w, fd, 401, "early");
    (void)close(fd);
    /* complete() is not called for a body that nobody wants; the ends come at the end of the turn
     */
    expect_journal(w, "1:head 2:head 1:end 2:end ");
}

static void server_closes_after_an_early_reply_to_a_large_body(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *request;
    } rows[] = {
        {"one byte more than is drained", POST("/early", "65537") "begin"},
        {"a size that nobody told", POST_CHUNKED("/early") "5\r\nbegin\r\n"},
        {"a body that waits to be asked for",
         "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"},
    };
    static char more[64 * 1024];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = connect_and_send(w, rows[i].request);
        struct answer answer = read_answer(w, fd);
        if (answer.status != 401 || !answer.complete)
            fail_msg("%s: %u", rows[i].why, answer.status);
        /* What still comes is read and dropped: no reset destroys the answer on its way. */
        for (int n = 0; n < 3; n++) {
            wire_send(&w->spin, fd, str_make(more, sizeof(more)));
            spin_for(&w->spin, 3);
        }
        expect_end(w, fd);
    }
}

/* ---- waiting before the body ---- */

static void server_wait_parks_before_the_body(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, POST("/wait", "5") "hello");
    (void)nth(w, 1);
    expect_journal(w, "1:head ");
    exchange_continue(nth(w, 1));
    expect_journal(w, "1:head 1:complete ");
    assert_true(str_eq(exchange_body(nth(w, 1)), STR("hello")));
    send_reply(nth(w, 1), 200, "after");
    expect_answer(w, fd, 200, "after");
    /* refused while it waits: the small body is dropped, the connection stays */
    wire_send_text(&w->spin, fd, POST("/wait", "5") "hello");
    SPIN_UNTIL(&w->spin, w->n_stories == 2);
    send_reply(w->stories[1].exchange, 401, "no");
    expect_answer(w, fd, 401, "no");
    wire_send_text(&w->spin, fd, GET("/now"));
    expect_answer(w, fd, 200, "now");
    (void)close(fd);
    expect_journal(w, "1:head 1:complete 1:end 2:head 2:end 3:head 3:complete 3:end ");
}

/* ---- bodies ---- */

static void server_asks_too_large_for_the_answer_to_a_body_past_the_limit(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *request;
        unsigned status;
        const char *journal;
    } rows[] = {
        {"at the limit", POST("/now?limit=16", "16") "0123456789abcdef", 200,
         "1:head 1:complete 1:end "},
        {"one past it", POST("/now?limit=16", "17") "0123456789abcdefg", 413,
         "1:head 1:too_large 1:end "},
        {"at the limit in chunks",
         POST_CHUNKED("/now?limit=16") "8\r\n01234567\r\n8\r\n89abcdef\r\n0\r\n\r\n", 200,
         "1:head 1:complete 1:end "},
        {"one past it in chunks",
         POST_CHUNKED("/now?limit=16") "8\r\n01234567\r\n9\r\n89abcdefg\r\n", 413,
         "1:head 1:too_large 1:end "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->n_stories = 0;
        buf_clear(&w->journal);
        int fd = connect_and_send(w, rows[i].request);
        struct answer answer = read_answer(w, fd);
        if (answer.status != rows[i].status || !answer.complete)
            fail_msg("%s: %u", rows[i].why, answer.status);
        if (answer.status == 413)
            expect_end(w, fd);
        else
            (void)close(fd);
        expect_journal(w, rows[i].journal);
    }
}

/* ---- streams ---- */

static const struct http1_field stream_fields[] = {
    {STR_INIT("Content-Type"), STR_INIT("text/event-stream")}};

static struct exchange *begin_stream(struct world *w, int number, int64_t content_length)
{
    struct exchange *exchange = nth(w, number);
    assert_int_equal(exchange_stream(exchange, 200, stream_fields, 1, content_length), 0);
    return exchange;
}

static void exchange_stream_sends_every_write_at_once(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/s"));
    struct exchange *exchange = begin_stream(w, 1, -1);
    /* nothing turns meanwhile: the bytes are on the wire when the call returns */
    assert_int_equal(wire_take(fd, &w->in), WIRE_OPEN);
    assert_true(str_has_prefix(buf_str(&w->in), STR("HTTP/1.1 200 OK\r\nDate: ")));
    assert_true(wire_has(&w->in, "\r\nContent-Type: text/event-stream\r\n"));
    assert_true(wire_has(&w->in, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_true(exchange_stream_write(exchange, STR("data: 1\n\n")));
    assert_int_equal(wire_take(fd, &w->in), WIRE_OPEN);
    assert_true(wire_has(&w->in, "\r\n\r\n9\r\ndata: 1\n\n\r\n"));
    spin_for(&w->spin, 5);
    assert_int_equal(server_stats(w->server).streams, 1);
    assert_true(exchange_stream_write(exchange, STR("")));
    assert_true(exchange_stream_write(exchange, STR("x")));
    exchange_stream_end(exchange, true);
    expect_answer(w, fd, 200, "data: 1\n\nx");
    spin_for(&w->spin, 5);
    assert_int_equal(server_stats(w->server).streams, 0);
    (void)close(fd);
}

static void exchange_stream_gives_the_connection_back_for_the_next_request(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/s"));
    for (int i = 1; i <= 6; i += 2) {
        struct exchange *exchange = begin_stream(w, i, i == 3 ? 4 : -1);
        assert_true(exchange_stream_write(exchange, STR("ab")));
        spin_for(&w->spin, 3);
        assert_true(exchange_stream_write(exchange, STR("cd")));
        exchange_stream_end(exchange, true);
        expect_answer(w, fd, 200, "abcd");
        wire_send_text(&w->spin, fd, POST("/now", "2") "{}");
        expect_answer(w, fd, 200, "now");
        wire_send_text(&w->spin, fd, GET("/s"));
    }
    send_reply(nth(w, 7), 200, "last");
    expect_answer(w, fd, 200, "last");
    assert_int_equal(server_stats(w->server).accepted, 1);
    assert_int_equal(server_stats(w->server).connections, 1);
    (void)close(fd);
}

static void exchange_stream_may_end_in_the_turn_it_began(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/s"));
    for (int i = 1; i <= 3; i++) {
        struct exchange *exchange = begin_stream(w, i, -1);
        (void)exchange_stream_write(exchange, STR("all"));
        exchange_stream_end(exchange, true);
        expect_answer(w, fd, 200, "all");
        wire_send_text(&w->spin, fd, GET("/s"));
    }
    send_reply(nth(w, 4), 200, "");
    expect_answer(w, fd, 200, "");
    (void)close(fd);
}

static void exchange_stream_closes_when_the_client_wants_it(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, "GET /s HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n");
    struct exchange *exchange = begin_stream(w, 1, -1);
    (void)exchange_stream_write(exchange, STR("abc"));
    exchange_stream_end(exchange, true);
    struct answer answer = read_answer(w, fd);
    assert_true(answer.complete && answer.chunked && !answer.keep_alive);
    expect_end(w, fd);
    /* HTTP/1.0 knows no chunks: the end of the connection is the end of the answer */
    fd = connect_and_send(w, "GET /s HTTP/1.0\r\n\r\n");
    exchange = begin_stream(w, 2, -1);
    (void)exchange_stream_write(exchange, STR("abc"));
    exchange_stream_end(exchange, true);
    answer = read_answer(w, fd);
    assert_true(answer.complete && !answer.chunked && !answer.keep_alive);
    assert_string_equal(answer.body, "abc");
    assert_int_equal(answer.end, WIRE_FIN);
    (void)close(fd);
}

/* Bytes of the next request that came before the stream began are with libmicrohttpd: such a
 * connection does not come back, and the client sees that it has to ask again. */
static void exchange_stream_closes_after_a_pipelined_request(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/s") GET("/now"));
    struct exchange *exchange = begin_stream(w, 1, -1);
    exchange_stream_end(exchange, true);
    struct answer answer = read_answer(w, fd);
    assert_true(answer.complete && !answer.keep_alive);
    assert_int_not_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_OPEN);
    assert_int_equal(w->in.len, 0);
    (void)close(fd);
}

static void exchange_stream_that_ends_broken_never_looks_complete(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *request;
        int64_t length;
        bool complete; /* as the writer says */
        int end;
    } rows[] = {
        {"chunked", GET("/s"), -1, false, WIRE_FIN},
        {"measured", GET("/s"), 9, false, WIRE_FIN},
        {"until close: only a reset tells", "GET /s HTTP/1.0\r\n\r\n", -1, false, -ECONNRESET},
        {"said to be complete, but bytes are missing", GET("/s"), 9, true, WIRE_FIN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = connect_and_send(w, rows[i].request);
        struct exchange *exchange = begin_stream(w, (int)i + 1, rows[i].length);
        (void)exchange_stream_write(exchange, STR("abc"));
        spin_for(&w->spin, 3);
        exchange_stream_end(exchange, rows[i].complete);
        struct answer answer = read_answer(w, fd);
        if (answer.complete || answer.end != rows[i].end || answer.body_len > 3)
            fail_msg("%s: end %d", rows[i].why, answer.end);
        (void)close(fd);
    }
}

static void exchange_stream_tells_the_writer_when_it_is_enough(void **state)
{
    struct world *w = *state;
    static char block[16 * 1024];
    size_t written = 0;
    int fd = connect_and_send(w, GET("/s"));
    struct exchange *exchange = begin_stream(w, 1, -1);
    spin_for(&w->spin, 3);
    while (exchange_stream_write(exchange, str_make(block, sizeof(block))))
        written += sizeof(block);
    written += sizeof(block); /* that one was taken all the same */
    spin_for(&w->spin, 5);
    expect_journal(w, "1:head 1:complete ");
    /* The client reads: first "go on", then the rest. */
    struct answer answer;
    SPIN_UNTIL(&w->spin, wire_take(fd, &w->in) == WIRE_OPEN && wire_has(&w->journal, "drained"));
    assert_true(exchange_stream_write(exchange, STR("tail")));
    exchange_stream_end(exchange, true);
    answer = read_answer(w, fd);
    assert_true(answer.complete);
    assert_int_equal(answer.body_len, written + 4);
    expect_journal(w, "1:head 1:complete 1:drained 1:end ");
    (void)close(fd);
}

/* A list that was filtered is written as a whole, over lines that take a little of it at a time. */
static void exchange_stream_takes_a_piece_of_any_size_in_its_turn(void **state)
{
    struct world *w = *state;
    const size_t len = 16U * 1024 * 1024; /* more than sockets hold */
    char *piece = calloc(1, len);
    int fd = connect_and_send(w, GET("/s"));
    struct exchange *exchange = begin_stream(w, 1, -1);
    spin_for(&w->spin, 3);
    assert_non_null(piece);
    assert_false(exchange_stream_write(exchange, str_make(piece, len)));
    assert_false(exchange_stream_write(exchange, str_make(piece, 64U * 1024)));
    free(piece);
    assert_false(exchange_is_gone(exchange));
    exchange_stream_end(exchange, true);
    struct answer answer = read_answer(w, fd);
    assert_true(answer.complete);
    assert_int_equal(answer.body_len, len + 64U * 1024);
    expect_journal(w, "1:head 1:complete 1:drained 1:end ");
    (void)close(fd);
}

/* Who goes on after "enough" is not let fill the memory. */
static void exchange_stream_ends_with_a_writer_that_does_not_wait(void **state)
{
    struct world *w = *state;
    static char block[64 * 1024];
    int fd = connect_and_send(w, GET("/s"));
    struct exchange *exchange = begin_stream(w, 1, -1);
    spin_for(&w->spin, 3);
    while (exchange_stream_write(exchange, str_make(block, sizeof(block))))
        ;
    for (int i = 0; i < 5; i++)
        (void)exchange_stream_write(exchange, str_make(block, sizeof(block)));
    assert_true(exchange_is_gone(exchange));
    expect_journal(w, "1:head 1:complete 1:gone 1:end ");
    (void)close(fd);
}

static void exchange_stream_ends_with_a_reader_that_takes_nothing(void **state)
{
    struct world *w = *state;
    static char block[64 * 1024];
    int fd = connect_and_send(w, GET("/s"));
    struct exchange *exchange = begin_stream(w, 1, -1);
    spin_for(&w->spin, 3);
    while (exchange_stream_write(exchange, str_make(block, sizeof(block))))
        ;
    test_clock_skip_ms(TIMEOUT_MS - 1);
    spin_for(&w->spin, 3);
    assert_false(exchange_is_gone(exchange));
    test_clock_skip_ms(1);
    expect_journal(w, "1:head 1:complete 1:gone 1:end ");
    (void)close(fd);
}

static void exchange_stream_has_no_deadline_while_nothing_waits(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/s"));
    struct exchange *exchange = begin_stream(w, 1, -1);
    for (int i = 0; i < 5; i++) {
        test_clock_skip_ms(3600000);
        spin_for(&w->spin, 3);
        assert_true(exchange_stream_write(exchange, STR(":\n\n")));
    }
    exchange_stream_end(exchange, true);
    expect_answer(w, fd, 200, ":\n\n:\n\n:\n\n:\n\n:\n\n");
    (void)close(fd);
}

/* Reads about BYTES of what has come, with the loop turning. */
static void read_some(struct world *w, int fd, size_t bytes)
{
    static char waste[4096];
    while (bytes > 0) {
        ssize_t n = recv(fd, waste, size_min(bytes, sizeof(waste)), MSG_DONTWAIT);
        if (n > 0)
            bytes -= (size_t)n;
        else
            spin_once(&w->spin);
    }
    spin_for(&w->spin, 30); /* the kernel tells the sender */
}

/* With segments as small as on Ethernet: on loopback the kernel would acknowledge 64 KiB at once.
 */
static int connect_with_small_segments(struct world *w)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(w->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int segment = 1448;
    int room = 16384;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    wire_send_text(&w->spin, fd, GET("/s"));
    return fd;
}

/* Over every TIMEOUT_MS a reader takes what the rate asks for, or it is cut off; when no rate is
 * asked for, any byte will do. */
static void exchange_stream_cuts_a_reader_below_the_least_rate(void **state)
{
    struct world *w = *state;
    static const struct {
        size_t min_rate_bytes;
        size_t read; /* in each stretch of TIMEOUT_MS */
        bool stays;
    } rows[] = {
        {4096, 32768, false},
        {4096, 5 * 32768, true},
        {0, 32768, true},
        {0, 0, false},
    };
    static char bytes[65536];
    for (int i = 0; i < (int)ARRAY_LEN(rows); i++) {
        w->server = server_free(w->server);
        w->min_rate_bytes = rows[i].min_rate_bytes;
        open_server(w, 10);
        int fd = connect_with_small_segments(w);
        struct exchange *exchange = begin_stream(w, i + 1, -1);
        while (exchange_stream_write(exchange, str_make(bytes, sizeof(bytes))))
            spin_once(&w->spin);
        for (int stretch = 0; stretch < 3; stretch++) {
            read_some(w, fd, rows[i].read);
            test_clock_skip_ms(TIMEOUT_MS);
            spin_for(&w->spin, 5);
        }
        assert_int_equal(w->stories[i].gone, !rows[i].stays);
        if (rows[i].stays)
            exchange_stream_end(exchange, false);
        SPIN_UNTIL(&w->spin, w->stories[i].ended);
        (void)close(fd);
    }
}

/* Writes until the writer is told to wait, and again whenever the kernel takes more. */
static void fill(struct world *w)
{
    static char bytes[65536];
    struct story *story = &w->stories[w->n_stories - 1];
    for (int64_t end = wire_real_ms() + 30; wire_real_ms() < end && !story->gone;) {
        while (!story->full && !story->gone)
            story->full = !exchange_stream_write(story->exchange, str_make(bytes, sizeof(bytes)));
        spin_once(&w->spin);
    }
}

/* A stream whose every byte waits in the end, over a kernel's buffer of SEND_BUFFER. */
static struct exchange *begin_full_stream(struct world *w, size_t min_rate_bytes, int send_buffer,
                                          int *ret_fd)
{
    w->server = server_free(w->server);
    w->min_rate_bytes = min_rate_bytes;
    open_server(w, 10);
    /* which those that are accepted inherit */
    assert_int_equal(
        setsockopt(w->listen_fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer)), 0);
    *ret_fd = connect_with_small_segments(w);
    struct exchange *exchange = begin_stream(w, w->n_stories + 1, -1);
    fill(w);
    return exchange;
}

static void end_stream(struct world *w, struct exchange *exchange, int fd)
{
    const struct story *story = &w->stories[w->n_stories - 1];
    if (!story->gone)
        exchange_stream_end(exchange, false);
    SPIN_UNTIL(&w->spin, story->ended);
    (void)close(fd);
}

/* Bytes go out all the time, as the kernel has room again and again: they are counted, too. */
static void exchange_stream_counts_what_is_taken_while_bytes_go_out(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        int send_buffer;
        size_t read; /* in each sixth of TIMEOUT_MS; the rate is 4096 a second */
        bool stays;
    } rows[] = {
        {"an eighth of the rate", 16384, 2560, false},
        {"a half", 16384, 10240, false},
        {"one and a half", 16384, 30720, true},
        {"a half, large buffer", 65536, 10240, false},
        {"more, large buffer", 65536, 30720, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd;
        struct exchange *exchange = begin_full_stream(w, 4096, rows[i].send_buffer, &fd);
        for (int part = 0; part < 18 && !w->stories[i].gone; part++) {
            read_some(w, fd, rows[i].read);
            fill(w);
            test_clock_skip_ms(TIMEOUT_MS / 6);
            spin_for(&w->spin, 3);
        }
        if (w->stories[i].gone == rows[i].stays)
            fail_msg("%s", rows[i].why);
        end_stream(w, exchange, fd);
    }
}

/* The kernel takes all that waited whenever it has much room; the reader is no quicker for that. */
static void exchange_stream_is_not_deceived_by_a_large_buffer(void **state)
{
    struct world *w = *state;
    int fd;
    struct exchange *exchange = begin_full_stream(w, 65536, 1024 * 1024, &fd);
    test_clock_skip_ms(TIMEOUT_MS / 3 * 2);
    read_some(w, fd, 1024 * 1024); /* half of what the rate asks for in all of TIMEOUT_MS */
    fill(w);
    test_clock_skip_ms(TIMEOUT_MS / 3 - 1);
    spin_for(&w->spin, 3);
    assert_false(w->stories[0].gone);
    test_clock_skip_ms(1);
    spin_for(&w->spin, 3);
    assert_true(w->stories[0].gone);
    end_stream(w, exchange, fd);
}

/* Reads until nothing more comes. */
static void read_all(struct world *w, int fd)
{
    for (int64_t end = wire_real_ms() + 100; wire_real_ms() < end; spin_once(&w->spin)) {
        static char waste[65536];
        while (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
            end = wire_real_ms() + 100;
    }
}

/* It waited for us: what it could not take while there was nothing is not held against it. */
static void exchange_stream_begins_anew_with_a_reader_that_has_caught_up(void **state)
{
    struct world *w = *state;
    int fd;
    struct exchange *exchange = begin_full_stream(w, 1024 * 1024, 16384, &fd);
    test_clock_skip_ms(1000);
    read_all(w, fd);
    test_clock_skip_ms(TIMEOUT_MS - 1001);
    spin_for(&w->spin, 3);
    fill(w);
    test_clock_skip_ms(1);
    spin_for(&w->spin, 3);
    assert_false(w->stories[0].gone);
    /* an hour without anything to take, once the deadline has passed over nothing */
    read_all(w, fd);
    test_clock_skip_ms(3600000);
    spin_for(&w->spin, 3);
    fill(w);
    test_clock_skip_ms(TIMEOUT_MS - 1);
    spin_for(&w->spin, 3);
    assert_false(w->stories[0].gone);
    test_clock_skip_ms(1);
    spin_for(&w->spin, 3);
    assert_true(w->stories[0].gone);
    end_stream(w, exchange, fd);
}

/* ---- a client that leaves ---- */

static void server_tells_gone_and_end_when_the_client_leaves(void **state)
{
    struct world *w = *state;
    enum leave { LEAVE_FIN, LEAVE_RESET, LEAVE_HALF };
    static const struct {
        const char *why;
        const char *request;
        const char *journal;
        enum leave how;
        bool stream;
    } rows[] = {
        {"in the head", "GET /a HTTP/1.1\r\nHos", "", LEAVE_FIN, false},
        {"in the body", POST("/a", "9") "abc", "1:head 1:gone 1:end ", LEAVE_FIN, false},
        {"in the body, by reset", POST("/a", "9") "abc", "1:head 1:gone 1:end ", LEAVE_RESET,
         false},
        {"parked before the body", POST("/wait", "9"), "1:head 1:gone 1:end ", LEAVE_FIN, false},
        {"parked", GET("/a"), "1:head 1:complete 1:gone 1:end ", LEAVE_FIN, false},
        {"parked, by reset", GET("/a"), "1:head 1:complete 1:gone 1:end ", LEAVE_RESET, false},
        {"parked, half closed", GET("/a"), "1:head 1:complete 1:gone 1:end ", LEAVE_HALF, false},
        {"streaming", GET("/a"), "1:head 1:complete 1:gone 1:end ", LEAVE_FIN, true},
        {"streaming, by reset", GET("/a"), "1:head 1:complete 1:gone 1:end ", LEAVE_RESET, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->n_stories = 0;
        buf_clear(&w->journal);
        int fd = connect_and_send(w, rows[i].request);
        if (rows[i].stream)
            begin_stream(w, 1, -1);
        spin_for(&w->spin, 10);
        if (rows[i].how == LEAVE_RESET)
            wire_reset(fd);
        else if (rows[i].how == LEAVE_HALF)
            (void)shutdown(fd, SHUT_WR);
        else
            (void)close(fd);
        expect_journal(w, rows[i].journal);
        SPIN_UNTIL(&w->spin, server_is_idle(w->server));
        if (rows[i].how == LEAVE_HALF)
            (void)close(fd);
        if (server_stats(w->server).streams != 0)
            fail_msg("%s: the stream is still counted", rows[i].why);
    }
}

static void exchange_takes_answers_for_a_client_that_left(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/a"));
    struct exchange *exchange = nth(w, 1);
    (void)close(fd);
    /* One turn of the loop without the reap step: the owner learns it and may still be answering.
     */
    for (int i = 0; i < 1000 && !w->stories[0].gone; i++)
        loop_turn(w->loop, 1);
    assert_true(exchange_is_gone(exchange));
    send_reply(exchange, 200, "nobody reads this");
    assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), -ENOTCONN);
    expect_journal(w, "1:head 1:complete 1:gone 1:end ");
}

/* The FIN comes in the same packet as the end of the request. */
static void server_sees_a_client_that_leaves_with_its_last_bytes(void **state)
{
    struct world *w = *state;
    int fd = wire_connect(w->port);
    SPIN_UNTIL(&w->spin, server_stats(w->server).connections == 1);
    wire_send_text(&w->spin, fd, POST("/a", "3") "abc");
    (void)close(fd);
    expect_journal(w, "1:head 1:complete 1:gone 1:end ");
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
}

/* ---- bytes that are no request ---- */

static void server_refuses_bad_requests_and_closes(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *bytes;
        unsigned status;
    } rows[] = {
        {"no HTTP", "\x16\x03\x01 hello", 400},
        {"two lengths",
         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400},
        {"length and chunks",
         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"space before the colon", "GET / HTTP/1.1\r\nHost: x\r\nX-A : 1\r\n\r\n", 400},
        {"a bare line feed", "GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
        {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"absolute form", "GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->refusals = 0;
        int fd = connect_and_send(w, rows[i].bytes);
        struct answer answer = read_answer(w, fd);
        if (answer.status != rows[i].status || !answer.complete || answer.keep_alive ||
            w->refused_status != rows[i].status)
            fail_msg("%s: %u", rows[i].why, answer.status);
        expect_end(w, fd);
        assert_int_equal(w->refusals, 1);
    }
    expect_journal(w, ""); /* none of them became an exchange */
}

static void server_refuses_a_head_past_the_limit(void **state)
{
    struct world *w = *state;
    static char filler[HEADER_BYTES];
    memset(filler, 'x', sizeof(filler));
    int fd = connect_and_send(w, "GET /now HTTP/1.1\r\nHost: x\r\nX-Filler: ");
    wire_send(&w->spin, fd, str_make(filler, sizeof(filler)));
    struct answer answer = read_answer(w, fd);
    assert_int_equal(answer.status, 431);
    assert_int_equal(w->refusals, 1);
    expect_end(w, fd);
    /* and one that just fits */
    fd = connect_and_send(w, "GET /now HTTP/1.1\r\nHost: x\r\nX-Filler: ");
    wire_send(&w->spin, fd,
              str_make(filler, HEADER_BYTES -
                                   strlen("GET /now HTTP/1.1\r\nHost: x\r\nX-Filler: \r\n\r\n")));
    wire_send_text(&w->spin, fd, "\r\n\r\n");
    expect_answer(w, fd, 200, "now");
    (void)close(fd);
}

static void server_refuses_in_the_middle_of_a_body(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, POST_CHUNKED("/a") "3\r\nabc\r\n");
    SPIN_UNTIL(&w->spin, w->n_stories == 1);
    wire_send_text(&w->spin, fd, "zz\r\n");
    assert_int_equal(read_answer(w, fd).status, 400);
    expect_end(w, fd);
    expect_journal(w, "1:head 1:gone 1:end(refused) ");
    assert_int_equal(w->refusals, 1);
}

/* ---- pipelining ---- */

static void server_answers_pipelined_requests_in_order(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/a") POST("/b", "2") "{}" GET("/now"));
    send_reply(nth(w, 1), 200, "first");
    send_reply(nth(w, 2), 201, "second");
    expect_answer(w, fd, 200, "first");
    expect_answer(w, fd, 201, "second");
    expect_answer(w, fd, 200, "now");
    (void)close(fd);
    expect_journal(w, "1:head 1:complete 2:head 2:complete 1:end 3:head 3:complete 2:end 3:end ");
}

#define SPACE_BEFORE_COLON "GET / HTTP/1.1\r\nHost: x\r\nX-A : 1\r\n\r\n"

/* The good one is answered first, however long that takes; then the bad one is refused. */
static void server_answers_the_good_request_before_it_refuses_the_bad_one_behind_it(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *packets[3]; /* the server turns between them */
        size_t answer_len;
    } rows[] = {
        {"in one packet", {GET("/a") SPACE_BEFORE_COLON}, 4},
        {"in one packet, behind a body", {POST("/a", "2") "{}BAD\x01 / HTTP/1.1\r\n"}, 4},
        {"in one packet, behind chunks", {POST_CHUNKED("/a") "2\r\n{}\r\n0\r\n\r\n\x01"}, 4},
        {"the bad one while the good one is parked", {GET("/a"), SPACE_BEFORE_COLON}, 4},
        {"the same, behind a body", {POST("/a", "2") "{}", SPACE_BEFORE_COLON}, 4},
        {"behind the second part of a body", {POST("/a", "2") "{", "}" SPACE_BEFORE_COLON}, 4},
        {"a good beginning, then bad",
         {GET("/a") "GET / HTTP/1.1\r\nHost: x\r\nX-A", " : 1\r\n\r\n"},
         4},
        {"in three packets", {GET("/a") "GET / HT", "TP/1.1\r\nHost: x\r\nX-A", " : 1\r\n\r\n"}, 4},
        {"behind an early body", {POST("/wait", "2") "{}\x01\x02"}, 4},
        {"before the body is asked for", {POST("/wait", "2") "{}", "\x01\x02"}, 4},
        {"an answer that takes many writes", {GET("/a") SPACE_BEFORE_COLON}, 8 * 1024 * 1024},
        {"the same, in two packets", {GET("/a"), SPACE_BEFORE_COLON}, 8 * 1024 * 1024},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->n_stories = 0;
        w->refusals = 0;
        buf_clear(&w->journal);
        int fd = connect_and_send(w, "");
        for (size_t n = 0; n < ARRAY_LEN(rows[i].packets) && rows[i].packets[n] != NULL; n++) {
            wire_send_text(&w->spin, fd, rows[i].packets[n]);
            spin_for(&w->spin, 5);
        }
        SPIN_UNTIL(&w->spin, w->n_stories == 1);
        if (!wire_is_quiet(fd) || w->stories[0].gone)
            fail_msg("%s: refused too early", rows[i].why);
        if (w->stories[0].waits)
            exchange_continue(w->stories[0].exchange);
        SPIN_UNTIL(&w->spin, w->stories[0].complete);
        send_long_reply(w->stories[0].exchange, rows[i].answer_len);
        spin_for(&w->spin, 5); /* a slow reader: the answer waits in the middle */
        struct answer first = read_answer(w, fd);
        struct answer second = read_answer(w, fd);
        if (first.status != 200 || !first.complete || first.body_len != rows[i].answer_len ||
            second.status != 400 || !second.complete)
            fail_msg("%s: %u, %u", rows[i].why, first.status, second.status);
        assert_int_equal(w->refusals, 1);
        expect_end(w, fd);
        expect_journal(w, "1:head 1:complete 1:end ");
    }
}

/* ---- deadlines ---- */

static void server_ends_slow_requests_with_408_and_idle_connections_without_a_word(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *bytes;
        unsigned status; /* 0: closed without a word */
        const char *journal;
    } rows[] = {
        {"nothing was sent", "", 0, ""},
        {"half a head", "GET /a HTTP/1.1\r\nHos", 408, ""},
        {"half a body", POST("/a", "9") "abc", 408, "1:head 1:gone 1:end(refused) "},
        {"idle after an answer", GET("/now"), 0, "1:head 1:complete 1:end "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        w->n_stories = 0;
        buf_clear(&w->journal);
        int fd = connect_and_send(w, rows[i].bytes);
        if (strstr(rows[i].bytes, "/now") != NULL)
            expect_answer(w, fd, 200, "now");
        spin_for(&w->spin, 5);
        test_clock_skip_ms(TIMEOUT_MS - 1);
        spin_for(&w->spin, 5);
        if (!wire_is_quiet(fd))
            fail_msg("%s: too early", rows[i].why);
        test_clock_skip_ms(1);
        if (rows[i].status != 0) {
            struct answer answer = read_answer(w, fd);
            if (answer.status != rows[i].status || !answer.complete)
                fail_msg("%s: %u", rows[i].why, answer.status);
        }
        expect_end(w, fd);
        expect_journal(w, rows[i].journal);
    }
}

/* One byte now and then does not buy time: the deadline is the head's, not the byte's. */
static void server_deadline_of_a_head_is_not_moved_by_bytes(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, "GET /a HTTP/1.1\r\nX-Drip: ");
    spin_for(&w->spin, 5);
    for (int i = 0; i < 5; i++) {
        test_clock_skip_ms(TIMEOUT_MS / 6);
        wire_send_text(&w->spin, fd, "x");
        spin_for(&w->spin, 3);
        assert_true(wire_is_quiet(fd));
    }
    test_clock_skip_ms(TIMEOUT_MS / 6);
    assert_int_equal(read_answer(w, fd).status, 408);
    expect_end(w, fd);
}

/* 16 KiB buy a second, so that a large body may come over a slow line. */
static void server_deadline_of_a_body_is_moved_by_what_came(void **state)
{
    struct world *w = *state;
    static char block[32 * 1024];
    int fd =
        connect_and_send(w, "POST /a?limit HTTP/1.1\r\nHost: x\r\nContent-Length: 65000\r\n\r\n");
    SPIN_UNTIL(&w->spin, w->n_stories == 1);
    wire_send(&w->spin, fd, str_make(block, sizeof(block)));
    spin_for(&w->spin, 10);
    test_clock_skip_ms(TIMEOUT_MS);
    spin_for(&w->spin, 5);
    assert_true(wire_is_quiet(fd)); /* two seconds more */
    test_clock_skip_ms(2000);
    assert_int_equal(read_answer(w, fd).status, 408);
    expect_end(w, fd);
}

static void server_does_not_time_a_parked_exchange(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/a"));
    (void)nth(w, 1);
    test_clock_skip_ms(10 * TIMEOUT_MS);
    spin_for(&w->spin, 5);
    send_reply(nth(w, 1), 200, "late");
    expect_answer(w, fd, 200, "late");
    (void)close(fd);
}

static void server_ends_a_reader_that_does_not_take_its_answer(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/a"));
    send_long_reply(nth(w, 1), 16 * 1024 * 1024);
    spin_for(&w->spin, 10);
    assert_false(server_is_idle(w->server));
    test_clock_skip_ms(TIMEOUT_MS);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    expect_journal(w, "1:head 1:complete 1:gone 1:end ");
    assert_false(read_answer(w, fd).complete);
    (void)close(fd);
}

static bool fill_up(struct world *w)
{
    static const char filler[64 * 1024];
    struct client *client = LIST_ENTRY(list_first(&w->server->clients), struct client, node);
    bool had_room = false;
    for (size_t len = sizeof(filler); len > 0; len /= 2)
        while (sendto(client->fd, filler, len, MSG_DONTWAIT, NULL, 0) > 0)
            had_room = true;
    return had_room;
}

/* The "100 Continue" finds no room, as the client takes nothing of what was before it. */
static void server_ends_a_reader_that_does_not_take_the_word_to_go_on(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/now"));
    expect_answer(w, fd, 200, "now");
    while (fill_up(w))
        spin_for(&w->spin, 20); /* the client's kernel takes some */
    wire_send_text(&w->spin, fd,
                   "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
                   "Expect: 100-continue\r\n\r\n");
    (void)fill_up(w); /* what came has told of room again */
    SPIN_UNTIL(&w->spin, w->n_stories == 2);
    spin_for(&w->spin, 20);
    assert_false(server_is_idle(w->server));
    test_clock_skip_ms(TIMEOUT_MS);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    (void)close(fd);
}

/* Both of the functions that libmicrohttpd writes with, or TLS would have a hole. */
static void server_start_proves_every_way_of_writing(void **state)
{
    const struct world *w = *state;
    const struct host *hosts[] = {&w->server->small, &w->server->large};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        assert_true(hosts[i]->proven.by_sendmsg > 0);
        assert_true(hosts[i]->proven.by_send > 0);
    }
}

/* ---- draining ---- */

static void server_drain_closes_idle_connections_and_lets_requests_finish(void **state)
{
    struct world *w = *state;
    int idle = connect_and_send(w, GET("/now"));
    expect_answer(w, idle, 200, "now");
    int parked = connect_and_send(w, GET("/a"));
    (void)nth(w, 2);
    int streaming = connect_and_send(w, GET("/s"));
    struct exchange *exchange = begin_stream(w, 3, -1);
    int in_body = connect_and_send(w, POST("/b", "2") "{");
    SPIN_UNTIL(&w->spin, w->n_stories == 4);
    server_drain(w->server);
    expect_end(w, idle);
    assert_false(server_is_idle(w->server));

    send_reply(nth(w, 2), 200, "finished");
    struct answer answer = read_answer(w, parked);
    assert_true(answer.complete && answer.status == 200 && !answer.keep_alive);
    expect_end(w, parked);

    assert_true(exchange_stream_write(exchange, STR("event")));
    exchange_stream_end(exchange, true);
    expect_answer(w, streaming, 200, "event");
    expect_end(w, streaming);

    wire_send_text(&w->spin, in_body, "}");
    send_reply(nth(w, 4), 200, "in time");
    expect_answer(w, in_body, 200, "in time");
    expect_end(w, in_body);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
}

static void server_drain_says_close_in_streams_that_begin_later(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/s"));
    (void)nth(w, 1);
    server_drain(w->server);
    exchange_stream_end(begin_stream(w, 1, -1), true);
    struct answer answer = read_answer(w, fd);
    assert_true(answer.complete && !answer.keep_alive);
    expect_end(w, fd);
}

static void server_drain_serves_what_is_queued_and_accepts_no_more(void **state)
{
    struct world *w = *state;
    /* Connected and sent before the drain, but the loop has not turned since. */
    int queued = connect_and_send(w, GET("/now"));
    server_drain(w->server);
    struct answer answer = read_answer(w, queued);
    assert_int_equal(answer.status, 200);
    assert_true(answer.complete && !answer.keep_alive);
    expect_end(w, queued);
    int late = connect_and_send(w, GET("/now"));
    spin_for(&w->spin, 20);
    assert_true(wire_is_quiet(late));
    assert_int_equal(server_stats(w->server).accepted, 1);
    assert_true(server_is_idle(w->server));
    (void)close(late);
}

static void server_drain_serves_a_request_that_came_just_before(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/now"));
    expect_answer(w, fd, 200, "now");
    spin_for(&w->spin, 5);
    wire_send_text(&w->spin, fd, GET("/now"));
    server_drain(w->server);
    expect_answer(w, fd, 200, "now");
    expect_end(w, fd);
}

/* Its head says nothing of closing: it was made before. */
static void server_drain_closes_after_an_answer_that_was_on_its_way(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/a"));
    send_long_reply(nth(w, 1), 16 * 1024 * 1024);
    spin_for(&w->spin, 5);
    assert_false(w->stories[0].ended);
    server_drain(w->server);
    struct answer answer = read_answer(w, fd);
    assert_true(answer.complete && answer.keep_alive);
    assert_int_equal(answer.body_len, 16 * 1024 * 1024);
    expect_end(w, fd);
    assert_true(server_is_idle(w->server));
}

static void server_free_ends_everything_that_is_open(void **state)
{
    struct world *w = *state;
    int fds[5];
    fds[0] = connect_and_send(w, GET("/a"));
    (void)nth(w, 1);
    fds[1] = connect_and_send(w, GET("/s"));
    begin_stream(w, 2, -1);
    fds[2] = connect_and_send(w, POST("/b", "9") "abc");
    SPIN_UNTIL(&w->spin, w->n_stories == 3);
    fds[3] = connect_and_send(w, POST("/wait", "9") "abc");
    SPIN_UNTIL(&w->spin, w->n_stories == 4);
    fds[4] = connect_and_send(w, GET("/s"));
    begin_stream(w, 5, -1); /* libmicrohttpd has not let go of it yet */
    w->server = server_free(w->server);
    for (int i = 0; i < 5; i++) {
        assert_true(w->stories[i].ended);
        buf_clear(&w->in);
        assert_int_not_equal(wire_expect_end(&w->spin, fds[i], &w->in), WIRE_OPEN);
        (void)close(fds[i]);
    }
    assert_null(server_free(NULL));
}

/* ---- limits ---- */

static void server_stops_accepting_at_the_connection_limit(void **state)
{
    struct world *w = *state;
    w->server = server_free(w->server);
    open_server(w, 2);
    int first = connect_and_send(w, GET("/a"));
    int second = connect_and_send(w, GET("/b"));
    (void)nth(w, 2);
    int third = connect_and_send(w, GET("/c"));
    test_clock_skip_ms(10000); /* longer than the server looks away */
    spin_for(&w->spin, 10);
    assert_int_equal(w->n_stories, 2); /* nobody is idle, so nobody has to go */
    assert_int_equal(server_stats(w->server).connections, 2);
    (void)close(first);
    send_reply(nth(w, 3), 200, "room");
    expect_answer(w, third, 200, "room");
    (void)close(second);
    (void)close(third);
    spin_for(&w->spin, 10);
}

static void server_closes_the_longest_idle_connection_for_a_new_one(void **state)
{
    struct world *w = *state;
    int fds[4];
    w->server = server_free(w->server);
    open_server(w, 3);
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_and_send(w, GET("/now"));
        expect_answer(w, fds[i], 200, "now");
    }
    /* The first is used again: the second is now the one that has been idle longest. */
    wire_send_text(&w->spin, fds[0], GET("/now"));
    expect_answer(w, fds[0], 200, "now");
    fds[3] = connect_and_send(w, GET("/now"));
    expect_answer(w, fds[3], 200, "now");
    assert_int_equal(wire_expect_end(&w->spin, fds[1], &w->in), WIRE_FIN);
    assert_true(wire_is_quiet(fds[0]));
    assert_true(wire_is_quiet(fds[2]));
    for (int i = 0; i < 4; i++)
        (void)close(fds[i]);
}

static void server_counts_connections_exactly(void **state)
{
    struct world *w = *state;
    int fds[10];
    for (int i = 0; i < 10; i++)
        fds[i] = wire_connect(w->port);
    SPIN_UNTIL(&w->spin, server_stats(w->server).connections == 10);
    assert_int_equal(server_stats(w->server).accepted, 10);
    for (int i = 0; i < 10; i++)
        (void)close(fds[i]);
    SPIN_UNTIL(&w->spin, server_stats(w->server).connections == 0);
    assert_true(server_is_idle(w->server));
    assert_int_equal(server_stats(w->server).accept_faults, 0);
}

static void server_wait_hint_is_for_ever_when_all_is_quiet(void **state)
{
    struct world *w = *state;
    int fd = connect_and_send(w, GET("/a"));
    struct exchange *exchange = nth(w, 1);
    for (int i = 0; i < 10; i++)
        spin_once(&w->spin);
    assert_int_equal(server_wait_hint(w->server), -1);
    send_reply(exchange, 200, "x");
    assert_int_equal(server_wait_hint(w->server), 0); /* a resume wakes nobody by itself */
    expect_answer(w, fd, 200, "x");
    (void)close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_calls_head_complete_and_end_once),
        TEST(server_reads_a_request_that_comes_byte_by_byte),
        TEST(exchange_head_gives_the_request_as_received),
        TEST(server_serves_unix_sockets),
        TEST(exchange_reply_keeps_the_connection_for_the_next_request),
        TEST(exchange_reply_sends_fields_length_and_date),
        TEST(exchange_reply_closes_when_the_client_wants_it),
        TEST(exchange_reply_counts_once),
        cmocka_unit_test(reply_add_has_a_limit),
        TEST(server_reads_a_small_body_after_an_early_reply_and_keeps_the_connection),
        TEST(server_closes_after_an_early_reply_to_a_large_body),
        TEST(server_wait_parks_before_the_body),
        TEST(server_asks_too_large_for_the_answer_to_a_body_past_the_limit),
        TEST(exchange_stream_sends_every_write_at_once),
        TEST(exchange_stream_gives_the_connection_back_for_the_next_request),
        TEST(exchange_stream_may_end_in_the_turn_it_began),
        TEST(exchange_stream_closes_when_the_client_wants_it),
        TEST(exchange_stream_closes_after_a_pipelined_request),
        TEST(exchange_stream_that_ends_broken_never_looks_complete),
        TEST(exchange_stream_tells_the_writer_when_it_is_enough),
        TEST(exchange_stream_takes_a_piece_of_any_size_in_its_turn),
        TEST(exchange_stream_ends_with_a_writer_that_does_not_wait),
        TEST(exchange_stream_ends_with_a_reader_that_takes_nothing),
        TEST(exchange_stream_has_no_deadline_while_nothing_waits),
        TEST(exchange_stream_cuts_a_reader_below_the_least_rate),
        TEST(exchange_stream_counts_what_is_taken_while_bytes_go_out),
        TEST(exchange_stream_is_not_deceived_by_a_large_buffer),
        TEST(exchange_stream_begins_anew_with_a_reader_that_has_caught_up),
        TEST(server_tells_gone_and_end_when_the_client_leaves),
        TEST(exchange_takes_answers_for_a_client_that_left),
        TEST(server_sees_a_client_that_leaves_with_its_last_bytes),
        TEST(server_refuses_bad_requests_and_closes),
        TEST(server_refuses_a_head_past_the_limit),
        TEST(server_refuses_in_the_middle_of_a_body),
        TEST(server_answers_pipelined_requests_in_order),
        TEST(server_answers_the_good_request_before_it_refuses_the_bad_one_behind_it),
        TEST(server_ends_slow_requests_with_408_and_idle_connections_without_a_word),
        TEST(server_deadline_of_a_head_is_not_moved_by_bytes),
        TEST(server_deadline_of_a_body_is_moved_by_what_came),
        TEST(server_does_not_time_a_parked_exchange),
        TEST(server_ends_a_reader_that_does_not_take_its_answer),
        TEST(server_ends_a_reader_that_does_not_take_the_word_to_go_on),
        TEST(server_start_proves_every_way_of_writing),
        TEST(server_drain_closes_idle_connections_and_lets_requests_finish),
        TEST(server_drain_says_close_in_streams_that_begin_later),
        TEST(server_drain_serves_what_is_queued_and_accepts_no_more),
        TEST(server_drain_serves_a_request_that_came_just_before),
        TEST(server_drain_closes_after_an_answer_that_was_on_its_way),
        TEST(server_free_ends_everything_that_is_open),
        TEST(server_stops_accepting_at_the_connection_limit),
        TEST(server_closes_the_longest_idle_connection_for_a_new_one),
        TEST(server_counts_connections_exactly),
        TEST(server_wait_hint_is_for_ever_when_all_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
