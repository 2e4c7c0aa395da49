/* SPDX-License-Identifier: Apache-2.0 */
#include "net/upstream.h"

#include <stdlib.h>

#include "base/err.h"
#include "net/client.h"
#include "support/test_clock.h"
#include "support/wire.h"

/* One read of the upstream side: what may still come after a pause. */
#define ONE_READ (64U * 1024)

struct world {
    struct loop *loop;
    struct upstream_engine *engine;
    struct upstream *upstream;
    struct spin spin;
    int listen_fd; /* of the server that the test plays */
    uint16_t port;
    struct buf in; /* what it got on the connection that was read last */
    bool in_verb;  /* no callback may come meanwhile */
};

/* A call and what its callbacks were told. */
struct call {
    struct world *world;
    struct upstream_call *handle;
    int heads;
    unsigned status;
    struct buf body;
    size_t largest_after_pause;
    bool pause_on_body;
    bool cancel_on_head;
    bool cancel_on_body;
    int done;
    enum upstream_rc rc;
    const char *detail;
};

static void cancel(struct call *call)
{
    call->world->in_verb = true;
    call->handle = upstream_cancel(call->handle);
    assert_null(call->handle);
    call->world->in_verb = false;
}

static void on_head(void *ctx, const struct http1_response_head *head)
{
    struct call *call = ctx;
    assert_false(call->world->in_verb);
    assert_int_equal(call->done, 0);
    call->heads++;
    call->status = head->status;
    if (call->cancel_on_head)
        cancel(call);
}

static void on_body(void *ctx, struct str bytes)
{
    struct call *call = ctx;
    assert_false(call->world->in_verb);
    assert_int_equal(call->heads, 1);
    assert_int_equal(call->done, 0);
    assert_int_equal(buf_append(&call->body, bytes), 0);
    if (call->pause_on_body)
        upstream_pause(call->handle);
    if (call->cancel_on_body)
        cancel(call);
}

static void on_done(void *ctx, enum upstream_rc rc, const char *detail)
{
    struct call *call = ctx;
    assert_false(call->world->in_verb);
    call->done++;
    call->rc = rc;
    call->detail = detail;
    call->handle = NULL;
}

static const struct upstream_handler handler = {.head = on_head, .body = on_body, .done = on_done};

/* ---- the world ---- */

/* To the server that the test plays. */
static void open_upstream(struct world *w, struct upstream_options options)
{
    char origin[64];
    (void)snprintf(origin, sizeof(origin), "http://127.0.0.1:%u", (unsigned)w->port);
    options.origin = origin; /* copied */
    w->upstream = upstream_new(w->engine, &options);
    assert_non_null(w->upstream);
}

#define PATIENT ((struct upstream_options){.connect_timeout_ms = 5000, .response_timeout_ms = 5000})

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    test_clock_stop();
    w->loop = loop_new();
    w->engine = upstream_engine_new(w->loop);
    assert_non_null(w->engine);
    w->spin = (struct spin){.loop = w->loop};
    w->in = buf_make(WIRE_MAX_BYTES);
    w->listen_fd = wire_listen(&w->port);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    assert_null(upstream_free(w->upstream));
    assert_null(upstream_engine_free(w->engine));
    (void)close(w->listen_fd);
    buf_free(&w->in);
    loop_free(w->loop);
    free(w);
    return 0;
}

/* ---- calls ---- */

static void start_bytes(struct world *w, struct call *call, const char *method, struct str body)
{
    call->world = w;
    call->body = buf_make(WIRE_MAX_BYTES);
    struct buf *head = upstream_head_buf(w->upstream);
    struct upstream_request request = {.head = head,
                                       .body = body,
                                       .idempotent = strcmp(method, "POST") != 0,
                                       .handler = &handler,
                                       .ctx = call};
    (void)buf_printf(head, "%s /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", method,
                     body.len);
    w->in_verb = true;
    call->handle = upstream_start(w->upstream, &request);
    w->in_verb = false;
    assert_non_null(call->handle);
    assert_int_equal(head->len, 0); /* for the next one */
}

static void start(struct world *w, struct call *call, const char *method, const char *body)
{
    start_bytes(w, call, method, str_from_cstr(body));
}

static void finish(struct world *w, struct call *call)
{
    SPIN_UNTIL(&w->spin, call->done > 0);
    assert_int_equal(call->done, 1);
    buf_free(&call->body);
}

/* Takes a connection and reads a whole request that ends with TAIL. */
static int serve_one(struct world *w, const char *tail)
{
    int fd = wire_accept(&w->spin, w->listen_fd);
    buf_clear(&w->in);
    wire_expect(&w->spin, fd, &w->in, tail);
    return fd;
}

static void expect_on(struct world *w, int fd, const char *tail)
{
    buf_clear(&w->in);
    wire_expect(&w->spin, fd, &w->in, tail);
}

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

/* A call that works, so that its connection is idle afterwards; the server's end of it. */
static int warm_up(struct world *w)
{
    struct call call = {0};
    start(w, &call, "POST", "warm");
    int fd = serve_one(w, "warm");
    wire_send_text(&w->spin, fd, GOOD);
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_OK);
    return fd;
}

/* ---- answers ---- */

static void upstream_sends_the_request_as_given_and_hands_on_the_answer(void **state)
{
    struct world *w = *state;
    struct call call = {0};
    open_upstream(w, PATIENT);
    start(w, &call, "POST", "{\"id\":1}");
    int fd = serve_one(w, "{\"id\":1}");
    assert_true(str_eq(buf_str(&w->in), STR("POST /mcp HTTP/1.1\r\nHost: x\r\n"
                                            "Content-Length: 8\r\n\r\n{\"id\":1}")));
    wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    SPIN_UNTIL(&w->spin, call.body.len == 2);
    assert_int_equal(call.heads, 1);
    assert_int_equal(call.status, 200);
    assert_int_equal(call.done, 0);
    wire_send_text(&w->spin, fd, "llo");
    SPIN_UNTIL(&w->spin, call.done > 0);
    assert_int_equal(call.rc, UPSTREAM_OK);
    assert_true(str_eq(buf_str(&call.body), STR("hello")));
    finish(w, &call);
    (void)close(fd);
}

/* Our end of the connection to the server that the test plays. */
static int our_end(const struct world *w)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t len = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == w->port)
            return fd;
    }
    return -1;
}

/* A stream may be quiet for ever; an upstream that has vanished is not a quiet one. */
static void upstream_asks_quiet_connections_for_a_sign_of_life(void **state)
{
    struct world *w = *state;
    static const struct {
        int level, name, value;
    } rows[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 15},
    };
    open_upstream(w, PATIENT);
    int fd = warm_up(w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int value = -1;
        socklen_t len = sizeof(value);
        assert_int_equal(getsockopt(our_end(w), rows[i].level, rows[i].name, &value, &len), 0);
        assert_int_equal(value, rows[i].value);
    }
    (void)close(fd);
}

/* Another call comes on the same connection, or on a new one. */
static void expect_second_call(struct world *w, int fd, bool reused)
{
    struct call call = {0};
    start(w, &call, "POST", "again");
    int second = reused ? fd : serve_one(w, "again");
    if (reused)
        expect_on(w, fd, "again");
    wire_send_text(&w->spin, second,
                   "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_OK);
    assert_int_not_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_OPEN);
    if (!reused)
        (void)close(second);
}

/* What the server says, how the call ends, and whether its connection is used again. */
static void upstream_tells_every_kind_of_answer_apart(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *answer;
        bool close;
        enum upstream_rc rc;
        unsigned status; /* 0: head() is not called */
        const char *body;
        bool reused;
    } rows[] = {
        {"measured", GOOD, false, UPSTREAM_OK, 200, "{}", true},
        {"chunked",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
         false, UPSTREAM_OK, 200, "{}", true},
        {"until close", "HTTP/1.1 200 OK\r\n\r\n{}", true, UPSTREAM_OK, 200, "{}", false},
        {"no content", "HTTP/1.1 204 No Content\r\n\r\n", false, UPSTREAM_OK, 204, "", true},
        {"accepted", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", false, UPSTREAM_OK, 202,
         "", true},
        {"an error of the server", "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}", false,
         UPSTREAM_OK, 500, "{}", true},
        {"interim first", "HTTP/1.1 100 Continue\r\n\r\n" GOOD, false, UPSTREAM_OK, 200, "{}",
         true},
        {"will close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", false,
         UPSTREAM_OK, 200, "{}", false},
        {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, UPSTREAM_OK, 200,
         "{}", false},
        {"keeps it no longer than a second",
         "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\n{}", false,
         UPSTREAM_OK, 200, "{}", false},
        {"bytes behind the answer", GOOD "HTTP/1.1 200 OK\r\n", false, UPSTREAM_OK, 200, "{}",
         false},
        {"closed without a word", "", true, UPSTREAM_CLOSED, 0, "", false},
        {"closed in the head", "HTTP/1.1 200 OK\r\nContent-", true, UPSTREAM_CLOSED, 0, "", false},
        {"closed in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", true,
         UPSTREAM_TRUNCATED, 200, "{}", false},
        {"closed in the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
         true, UPSTREAM_TRUNCATED, 200, "{}", false},
        {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", false, UPSTREAM_BAD_ANSWER, 0, "", false},
        {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
         false, UPSTREAM_BAD_ANSWER, 0, "", false},
        {"length and chunks",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", false,
         UPSTREAM_BAD_ANSWER, 0, "", false},
        {"switching protocols", "HTTP/1.1 101 Switching\r\n\r\n", false, UPSTREAM_BAD_ANSWER, 0, "",
         false},
        {"a bad chunk behind good ones",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n", false,
         UPSTREAM_BAD_ANSWER, 200, "{}", false},
    };
    open_upstream(w, PATIENT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call call = {0};
        uint64_t reuses = upstream_engine_stats(w->engine).reuses;
        start(w, &call, "POST", "body");
        int fd = serve_one(w, "body");
        wire_send_text(&w->spin, fd, rows[i].answer);
        if (rows[i].close)
            (void)shutdown(fd, SHUT_WR);
        SPIN_UNTIL(&w->spin, call.done > 0);
        if (call.rc != rows[i].rc || call.status != rows[i].status ||
            !str_eq(buf_str(&call.body), str_from_cstr(rows[i].body)))
            fail_msg("%s: %s, %u, %.*s", rows[i].why, upstream_rc_name(call.rc), call.status,
                     STR_ARG(buf_str(&call.body)));
        if (call.rc == UPSTREAM_BAD_ANSWER && call.detail == NULL)
            fail_msg("%s: no detail", rows[i].why);
        finish(w, &call);
        expect_second_call(w, fd, rows[i].reused);
        if (upstream_engine_stats(w->engine).reuses != reuses + (rows[i].reused ? 1 : 0))
            fail_msg("%s: reused or not", rows[i].why);
        (void)close(fd);
    }
}

static void upstream_reads_an_answer_that_trickles_in(void **state)
{
    struct world *w = *state;
    static const char answer[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    struct call call = {0};
    open_upstream(w, PATIENT);
    start(w, &call, "GET", "");
    int fd = serve_one(w, "\r\n\r\n");
    for (size_t i = 0; i < sizeof(answer) - 1; i++) {
        assert_int_equal(call.done, 0);
        wire_send(&w->spin, fd, str_make(answer + i, 1));
        spin_once(&w->spin);
    }
    SPIN_UNTIL(&w->spin, call.done > 0);
    assert_int_equal(call.rc, UPSTREAM_OK);
    assert_true(str_eq(buf_str(&call.body), STR("abcde")));
    finish(w, &call);
    (void)close(fd);
}

static void upstream_refuses_a_head_without_end(void **state)
{
    struct world *w = *state;
    struct call call = {0};
    open_upstream(w, PATIENT);
    start(w, &call, "GET", "");
    int fd = serve_one(w, "\r\n\r\n");
    wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\n");
    for (size_t sent = 0; sent <= HTTP1_RESPONSE_MAX_HEAD && call.done == 0; sent += 16) {
        if (send(fd, "X-Filler: abcd\r\n", 16, MSG_NOSIGNAL) < 0)
            break;
        spin_once(&w->spin);
    }
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_BAD_ANSWER);
    assert_int_equal(call.heads, 0);
    (void)close(fd);
}

/* A body of many socket buffers, both ways. */
static void upstream_carries_large_bodies_unchanged(void **state)
{
    struct world *w = *state;
    enum { SIZE = 12 * 1024 * 1024 };
    char *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 2654435761U >> 13);
    struct call call = {0};
    char head[64];
    open_upstream(w, PATIENT);
    start_bytes(w, &call, "POST", str_make(bytes, SIZE));
    int fd = serve_one(w, "\r\n\r\n");
    size_t head_len = (size_t)((char *)memmem(w->in.ptr, w->in.len, "\r\n\r\n", 4) - w->in.ptr) + 4;
    SPIN_UNTIL(&w->spin, wire_take(fd, &w->in) == WIRE_OPEN && w->in.len == head_len + SIZE);
    assert_memory_equal(w->in.ptr + head_len, bytes, SIZE);
    (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
    wire_send_text(&w->spin, fd, head);
    wire_send(&w->spin, fd, str_make(bytes, SIZE));
    SPIN_UNTIL(&w->spin, call.done > 0);
    assert_int_equal(call.rc, UPSTREAM_OK);
    assert_int_equal(call.body.len, SIZE);
    assert_memory_equal(call.body.ptr, bytes, SIZE);
    finish(w, &call);
    free(bytes);
    (void)close(fd);
}

/* ---- the pool ---- */

static void upstream_uses_an_idle_connection_again(void **state)
{
    struct world *w = *state;
    open_upstream(w, PATIENT);
    int fd = warm_up(w);
    struct call call = {0};
    start(w, &call, "POST", "second");
    expect_on(w, fd, "second");
    wire_send_text(&w->spin, fd, GOOD);
    finish(w, &call);
    struct upstream_engine_stats stats = upstream_engine_stats(w->engine);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.reuses, 1);
    (void)close(fd);
}

static void upstream_keeps_idle_connections_a_second_less_than_the_server(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *answer;
        int64_t idle_ms;
    } rows[] = {
        {"no hint: 4 s", GOOD, 4000},
        {"a hint of 2 s", "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 0\r\n\r\n",
         1000},
        {"a hint of 60 s",
         "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60, max=100\r\nContent-Length: 0\r\n\r\n", 59000},
        {"a hint of years is taken for an hour",
         "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=99999999\r\nContent-Length: 0\r\n\r\n", 3599000},
    };
    open_upstream(w, PATIENT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call call = {0};
        start(w, &call, "POST", "body");
        int fd = serve_one(w, "body");
        wire_send_text(&w->spin, fd, rows[i].answer);
        finish(w, &call);
        test_clock_skip_ms(rows[i].idle_ms - 1);
        spin_for(&w->spin, 5);
        if (!wire_is_quiet(fd))
            fail_msg("%s: shut too early", rows[i].why);
        test_clock_skip_ms(1);
        if (wire_expect_end(&w->spin, fd, &w->in) != WIRE_FIN)
            fail_msg("%s: still open", rows[i].why);
        (void)close(fd);
    }
}

static void upstream_drops_idle_connections_that_the_server_ends_or_writes_to(void **state)
{
    struct world *w = *state;
    open_upstream(w, PATIENT);
    int fd = warm_up(w);
    (void)close(fd);
    spin_for(&w->spin, 5);
    fd = warm_up(w); /* a POST: it did not meet the dead connection */
    wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    assert_int_not_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_OPEN);
    (void)close(fd);
    fd = warm_up(w); /* nobody gets the answer that nobody asked for */
    assert_int_equal(upstream_engine_stats(w->engine).connects, 3);
    (void)close(fd);
}

static void upstream_gives_concurrent_calls_connections_of_their_own(void **state)
{
    struct world *w = *state;
    struct call calls[3] = {{0}};
    int fds[3];
    open_upstream(w, PATIENT);
    for (int i = 0; i < 3; i++) {
        start(w, &calls[i], "POST", i == 0 ? "a" : i == 1 ? "b" : "c");
        fds[i] = serve_one(w, i == 0 ? "\r\n\r\na" : i == 1 ? "\r\n\r\nb" : "\r\n\r\nc");
    }
    for (int i = 2; i >= 0; i--) {
        wire_send_text(&w->spin, fds[i], GOOD);
        finish(w, &calls[i]);
        assert_int_equal(calls[i].rc, UPSTREAM_OK);
    }
    /* The connection that became idle last is the freshest: it is taken first. */
    struct call call = {0};
    start(w, &call, "POST", "next");
    expect_on(w, fds[0], "next");
    wire_send_text(&w->spin, fds[0], GOOD);
    finish(w, &call);
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]);
}

/* ---- once, or twice ---- */

static void upstream_never_sends_a_post_twice(void **state)
{
    struct world *w = *state;
    struct call call = {0};
    open_upstream(w, PATIENT);
    int fd = warm_up(w);
    start(w, &call, "POST", "only once");
    expect_on(w, fd, "only once");
    (void)close(fd);
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_CLOSED);
    spin_for(&w->spin, 30);
    assert_int_equal(wire_try_accept(w->listen_fd), -1);
}

static void upstream_sends_an_idempotent_request_once_more_when_a_kept_connection_dies(void **state)
{
    struct world *w = *state;
    static const char *const methods[] = {"GET", "DELETE"};
    open_upstream(w, PATIENT);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct call call = {0};
        int fd = warm_up(w);
        start(w, &call, methods[i], "");
        expect_on(w, fd, "\r\n\r\n");
        if (i == 0)
            (void)close(fd);
        else
            wire_reset(fd);
        fd = serve_one(w, "\r\n\r\n"); /* the same request on a new connection */
        assert_true(str_has_prefix(buf_str(&w->in), str_from_cstr(methods[i])));
        wire_send_text(&w->spin, fd,
                       "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                       "Content-Length: 0\r\n\r\n");
        finish(w, &call);
        assert_int_equal(call.rc, UPSTREAM_OK);
        (void)close(fd);
    }
}

static void upstream_gives_up_after_the_second_time(void **state)
{
    struct world *w = *state;
    struct call call = {0};
    open_upstream(w, PATIENT);
    int fd = warm_up(w);
    start(w, &call, "GET", "");
    expect_on(w, fd, "\r\n\r\n");
    (void)close(fd);
    fd = serve_one(w, "\r\n\r\n");
    (void)close(fd);
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_CLOSED);
    spin_for(&w->spin, 30);
    assert_int_equal(wire_try_accept(w->listen_fd), -1);
}

static void upstream_does_not_repeat_what_met_a_new_connection_or_was_answered_in_part(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        bool warm;
        const char *answer;
        enum upstream_rc rc;
    } rows[] = {
        {"a new connection was closed", false, "", UPSTREAM_CLOSED},
        {"the answer had begun", true, "H", UPSTREAM_CLOSED},
        {"the body had begun", true, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
         UPSTREAM_TRUNCATED},
    };
    open_upstream(w, PATIENT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call call = {0};
        int fd = -1;
        if (rows[i].warm)
            fd = warm_up(w);
        start(w, &call, "GET", "");
        if (rows[i].warm)
            expect_on(w, fd, "\r\n\r\n");
        else
            fd = serve_one(w, "\r\n\r\n");
        wire_send_text(&w->spin, fd, rows[i].answer);
        (void)close(fd);
        finish(w, &call);
        if (call.rc != rows[i].rc)
            fail_msg("%s: %s", rows[i].why, upstream_rc_name(call.rc));
        spin_for(&w->spin, 20);
        if (wire_try_accept(w->listen_fd) >= 0)
            fail_msg("%s: repeated", rows[i].why);
    }
}

/* ---- deadlines ---- */

static void upstream_says_that_nobody_listens(void **state)
{
    struct world *w = *state;
    struct call call = {0};
    (void)close(w->listen_fd);
    w->listen_fd = wire_bind(&w->port);
    open_upstream(w, PATIENT);
    start(w, &call, "GET", "");
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_CONNECT);
    assert_non_null(call.detail);
}

static void upstream_gives_up_connecting_in_time(void **state)
{
    struct world *w = *state;
    struct call call = {0};
    struct upstream_options options = PATIENT;
    options.connect_timeout_ms = 60;
    test_clock_run(); /* libcurl measures this time itself */
    /* A queue of one that is full: the kernel drops what else comes. */
    assert_int_equal(listen(w->listen_fd, 0), 0);
    int filler = wire_connect(w->port);
    open_upstream(w, options);
    int64_t start_ms = wire_real_ms();
    start(w, &call, "GET", "");
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_CONNECT_TIMEOUT);
    assert_in_range(wire_real_ms() - start_ms, 50, 2000);
    (void)close(filler);
}

static void upstream_ends_calls_whose_answer_is_late(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *answer;
        enum upstream_rc rc;
    } rows[] = {
        {"no answer", "", UPSTREAM_RESPONSE_TIMEOUT},
        {"a part of the head", "HTTP/1.1 200 OK\r\nContent-", UPSTREAM_RESPONSE_TIMEOUT},
        {"interim answers only", "HTTP/1.1 103 Early Hints\r\n\r\n", UPSTREAM_RESPONSE_TIMEOUT},
        {"no body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", UPSTREAM_IDLE_TIMEOUT},
        {"a part of the body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
         UPSTREAM_IDLE_TIMEOUT},
    };
    open_upstream(w, (struct upstream_options){.connect_timeout_ms = 5000,
                                               .response_timeout_ms = 30000,
                                               .idle_timeout_ms = 20000});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call call = {0};
        int64_t limit_ms = rows[i].rc == UPSTREAM_IDLE_TIMEOUT ? 20000 : 30000;
        start(w, &call, "POST", "body");
        int fd = serve_one(w, "body");
        wire_send_text(&w->spin, fd, rows[i].answer);
        spin_for(&w->spin, 5);
        test_clock_skip_ms(limit_ms - 1);
        spin_for(&w->spin, 5);
        if (call.done != 0)
            fail_msg("%s: too early", rows[i].why);
        test_clock_skip_ms(1);
        finish(w, &call);
        if (call.rc != rows[i].rc)
            fail_msg("%s: %s", rows[i].why, upstream_rc_name(call.rc));
        assert_int_not_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_OPEN);
        (void)close(fd);
    }
}

static void upstream_idle_timeout_starts_anew_with_every_byte_and_may_be_off(void **state)
{
    struct world *w = *state;
    static const int64_t idle_ms[] = {20000, 0};
    for (size_t i = 0; i < ARRAY_LEN(idle_ms); i++) {
        struct call call = {0};
        struct upstream_options options = PATIENT;
        options.idle_timeout_ms = idle_ms[i];
        open_upstream(w, options);
        start(w, &call, "POST", "body");
        int fd = serve_one(w, "body");
        wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        for (size_t n = 1; n <= 5; n++) {
            test_clock_skip_ms(idle_ms[i] > 0 ? 19999 : 3600000);
            spin_for(&w->spin, 3);
            wire_send_text(&w->spin, fd, "x");
            SPIN_UNTIL(&w->spin, call.body.len == n);
            assert_int_equal(call.done, 0);
        }
        (void)close(fd);
        finish(w, &call);
        assert_int_equal(call.rc, UPSTREAM_OK);
        w->upstream = upstream_free(w->upstream);
    }
}

/* ---- back-pressure ---- */

static void upstream_pause_stops_the_bytes_and_resume_goes_on(void **state)
{
    struct world *w = *state;
    enum { SIZE = 4 * 1024 * 1024 };
    static char bytes[64 * 1024];
    struct call call = {.pause_on_body = true};
    char head[64];
    struct upstream_options options = PATIENT;
    options.idle_timeout_ms = 20000;
    open_upstream(w, options);
    start(w, &call, "GET", "");
    int fd = serve_one(w, "\r\n\r\n");
    (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
    wire_send_text(&w->spin, fd, head);
    /* As much as the sockets hold; the rest must wait with the server. */
    size_t sent = 0;
    ssize_t n;
    while (sent < SIZE && (n = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL)) > 0)
        sent += (size_t)n;
    SPIN_UNTIL(&w->spin, call.body.len > 0);
    size_t at_pause = call.body.len;
    assert_true(at_pause <= 2 * ONE_READ);
    spin_for(&w->spin, 20);
    assert_int_equal(call.body.len, at_pause);
    /* What waits to be read must not keep the loop turning. */
    int64_t start_ms = wire_real_ms();
    loop_turn(w->loop, 30);
    assert_true(wire_real_ms() - start_ms >= 25);
    /* Waiting for our own client is not the upstream's idleness. */
    test_clock_skip_ms(300000);
    spin_for(&w->spin, 5);
    assert_int_equal(call.done, 0);

    call.pause_on_body = false;
    upstream_resume(call.handle);
    while (sent < SIZE) {
        size_t more = size_min(sizeof(bytes), SIZE - sent);
        wire_send(&w->spin, fd, str_make(bytes, more));
        sent += more;
    }
    SPIN_UNTIL(&w->spin, call.done > 0);
    assert_int_equal(call.rc, UPSTREAM_OK);
    assert_int_equal(call.body.len, SIZE);
    finish(w, &call);
    (void)close(fd);
}

/* An answer that begins before the request is out, and a client that is slow meanwhile: the rest of
 * the request must still go out. */
static void upstream_pause_does_not_hold_up_the_request(void **state)
{
    struct world *w = *state;
    enum { SIZE = 12 * 1024 * 1024 };
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    struct call call = {.pause_on_body = true};
    open_upstream(w, PATIENT);
    start_bytes(w, &call, "POST", str_make(bytes, SIZE));
    int fd = wire_accept(&w->spin, w->listen_fd);
    wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    SPIN_UNTIL(&w->spin, call.body.len == 1);
    SPIN_UNTIL(&w->spin, wire_take(fd, &w->in) == WIRE_OPEN && w->in.len > SIZE);
    wire_send_text(&w->spin, fd, "1\r\ny\r\n0\r\n\r\n");
    spin_for(&w->spin, 5);
    assert_int_equal(call.body.len, 1);
    call.pause_on_body = false;
    upstream_resume(call.handle);
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_OK);
    free(bytes);
    (void)close(fd);
}

/* A server that refuses a large body answers at once, reads no further and closes, which resets the
 * connection. Its answer counts. */
static void upstream_hands_on_an_answer_that_came_before_the_request_was_out(void **state)
{
    struct world *w = *state;
    enum { SIZE = 12 * 1024 * 1024 };
    static const char refusal[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}";
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    for (int by_reset = 0; by_reset < 2; by_reset++) {
        struct call call = {0};
        if (by_reset == 0)
            open_upstream(w, PATIENT);
        start_bytes(w, &call, "POST", str_make(bytes, SIZE));
        int fd = wire_accept(&w->spin, w->listen_fd);
        spin_for(&w->spin, 10); /* until the sockets are full */
        assert_int_equal(send(fd, refusal, sizeof(refusal) - 1, MSG_NOSIGNAL), sizeof(refusal) - 1);
        if (by_reset != 0)
            (void)close(fd);
        finish(w, &call);
        if (call.rc != UPSTREAM_OK || call.status != 413)
            fail_msg("by reset %d: %s, %u", by_reset, upstream_rc_name(call.rc), call.status);
        if (by_reset == 0)
            (void)close(fd);
    }
    /* A connection with half a request on it is not used again. */
    assert_int_equal(upstream_engine_stats(w->engine).connects, 2);
    assert_int_equal(upstream_engine_stats(w->engine).reuses, 0);
    free(bytes);
}

/* ---- cancelling ---- */

static void upstream_cancel_closes_the_connection_at_once(void **state)
{
    struct world *w = *state;
    struct call call = {0};
    open_upstream(w, PATIENT);
    assert_null(upstream_cancel(NULL));
    start(w, &call, "POST", "body");
    int fd = serve_one(w, "body");
    cancel(&call);
    assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
    assert_int_equal(call.done, 0);
    (void)close(fd);
    /* before it was connected, too */
    start(w, &call, "POST", "body");
    cancel(&call);
    spin_for(&w->spin, 10);
    assert_int_equal(call.done + call.heads, 0);
    buf_free(&call.body);
}

static void upstream_cancel_is_allowed_in_every_callback(void **state)
{
    struct world *w = *state;
    open_upstream(w, PATIENT);
    for (int in_body = 0; in_body < 2; in_body++) {
        struct call call = {.cancel_on_head = in_body == 0, .cancel_on_body = in_body == 1};
        start(w, &call, "GET", "");
        int fd = serve_one(w, "\r\n\r\n");
        wire_send_text(&w->spin, fd, GOOD "and more");
        assert_int_not_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_OPEN);
        assert_int_equal(call.heads, 1);
        assert_int_equal(call.done, 0);
        assert_int_equal(call.body.len > 0, in_body);
        buf_free(&call.body);
        (void)close(fd);
    }
}

static void upstream_cancel_of_a_paused_call_closes_the_connection(void **state)
{
    struct world *w = *state;
    struct call call = {.pause_on_body = true};
    open_upstream(w, PATIENT);
    start(w, &call, "GET", "");
    int fd = serve_one(w, "\r\n\r\n");
    wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    SPIN_UNTIL(&w->spin, call.body.len == 1);
    cancel(&call);
    assert_int_not_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_OPEN);
    buf_free(&call.body);
    (void)close(fd);
}

/* ---- max_connections ---- */

static void upstream_queues_in_order_what_is_past_max_connections(void **state)
{
    struct world *w = *state;
    struct upstream_options options = PATIENT;
    struct call calls[4] = {{0}};
    static const char *const bodies[] = {"first", "second", "third", "fourth"};
    options.max_connections = 1;
    open_upstream(w, options);
    for (int i = 0; i < 4; i++)
        start(w, &calls[i], "POST", bodies[i]);
    int fd = serve_one(w, "first");
    spin_for(&w->spin, 10);
    assert_int_equal(wire_try_accept(w->listen_fd), -1);
    cancel(&calls[1]); /* it leaves the queue */
    buf_free(&calls[1].body);
    wire_send_text(&w->spin, fd, GOOD);
    finish(w, &calls[0]);
    expect_on(w, fd, "third"); /* on the same connection */
    wire_send_text(&w->spin, fd,
                   "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    finish(w, &calls[2]);
    (void)close(fd);
    fd = serve_one(w, "fourth"); /* on a new one, in the place of the old */
    wire_send_text(&w->spin, fd, GOOD);
    finish(w, &calls[3]);
    for (int i = 0; i < 4; i++)
        assert_int_equal(calls[i].rc, UPSTREAM_OK);
    assert_int_equal(calls[1].done, 0);
    (void)close(fd);
}

static void upstream_is_busy_when_no_connection_becomes_free_in_time(void **state)
{
    struct world *w = *state;
    struct upstream_options options = {
        .connect_timeout_ms = 20000, .response_timeout_ms = 60000, .max_connections = 2};
    struct call calls[3] = {{0}};
    int fds[2];
    open_upstream(w, options);
    for (int i = 0; i < 2; i++) {
        start(w, &calls[i], "POST", "body");
        fds[i] = serve_one(w, "body");
    }
    start(w, &calls[2], "POST", "late");
    test_clock_skip_ms(19999);
    spin_for(&w->spin, 5);
    assert_int_equal(calls[2].done, 0);
    test_clock_skip_ms(1);
    finish(w, &calls[2]);
    assert_int_equal(calls[2].rc, UPSTREAM_BUSY);
    for (int i = 0; i < 2; i++) {
        wire_send_text(&w->spin, fds[i], GOOD);
        finish(w, &calls[i]);
        assert_int_equal(calls[i].rc, UPSTREAM_OK);
        (void)close(fds[i]);
    }
}

static void upstream_cancel_gives_its_place_to_the_next(void **state)
{
    struct world *w = *state;
    struct upstream_options options = PATIENT;
    struct call first = {0};
    struct call second = {0};
    options.max_connections = 1;
    open_upstream(w, options);
    start(w, &first, "POST", "first");
    int fd = serve_one(w, "first");
    start(w, &second, "POST", "second");
    cancel(&first);
    buf_free(&first.body);
    (void)close(fd);
    fd = serve_one(w, "second");
    wire_send_text(&w->spin, fd, GOOD);
    finish(w, &second);
    assert_int_equal(second.rc, UPSTREAM_OK);
    (void)close(fd);
}

/* The one place is taken by the dead connection itself until the second try takes it. */
static void upstream_repeats_with_one_connection_allowed(void **state)
{
    struct world *w = *state;
    struct upstream_options options = PATIENT;
    struct call call = {0};
    options.max_connections = 1;
    open_upstream(w, options);
    int fd = warm_up(w);
    start(w, &call, "GET", "");
    expect_on(w, fd, "\r\n\r\n");
    (void)close(fd);
    fd = serve_one(w, "\r\n\r\n");
    wire_send_text(&w->spin, fd, GOOD);
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_OK);
    (void)close(fd);
}

/* ---- the end of an upstream ---- */

static void upstream_free_closes_idle_connections_and_lets_calls_end(void **state)
{
    struct world *w = *state;
    struct call call = {0};
    open_upstream(w, PATIENT);
    assert_null(upstream_free(NULL));
    start(w, &call, "POST", "under way");
    int busy = serve_one(w, "under way");
    int idle = warm_up(w);
    w->upstream = upstream_free(w->upstream); /* as a reload does */
    assert_int_equal(wire_expect_end(&w->spin, idle, &w->in), WIRE_FIN);
    assert_true(wire_is_quiet(busy));
    wire_send_text(&w->spin, busy, GOOD);
    finish(w, &call);
    assert_int_equal(call.rc, UPSTREAM_OK);
    assert_int_equal(wire_expect_end(&w->spin, busy, &w->in), WIRE_FIN);
    (void)close(idle);
    (void)close(busy);
}

static void upstream_rc_names_are_all_different(void **state)
{
    (void)state;
    for (int rc = UPSTREAM_OK; rc <= UPSTREAM_NO_MEMORY; rc++)
        for (int other = UPSTREAM_OK; other < rc; other++)
            assert_string_not_equal(upstream_rc_name((enum upstream_rc)rc),
                                    upstream_rc_name((enum upstream_rc)other));
}

static int group_set_up(void **state)
{
    (void)state;
    return client_global_init();
}

static int group_tear_down(void **state)
{
    (void)state;
    client_global_free();
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(upstream_sends_the_request_as_given_and_hands_on_the_answer),
        TEST(upstream_asks_quiet_connections_for_a_sign_of_life),
        TEST(upstream_tells_every_kind_of_answer_apart),
        TEST(upstream_reads_an_answer_that_trickles_in),
        TEST(upstream_refuses_a_head_without_end),
        TEST(upstream_carries_large_bodies_unchanged),
        TEST(upstream_uses_an_idle_connection_again),
        TEST(upstream_keeps_idle_connections_a_second_less_than_the_server),
        TEST(upstream_drops_idle_connections_that_the_server_ends_or_writes_to),
        TEST(upstream_gives_concurrent_calls_connections_of_their_own),
        TEST(upstream_never_sends_a_post_twice),
        TEST(upstream_sends_an_idempotent_request_once_more_when_a_kept_connection_dies),
        TEST(upstream_gives_up_after_the_second_time),
        TEST(upstream_does_not_repeat_what_met_a_new_connection_or_was_answered_in_part),
        TEST(upstream_says_that_nobody_listens),
        TEST(upstream_gives_up_connecting_in_time),
        TEST(upstream_ends_calls_whose_answer_is_late),
        TEST(upstream_idle_timeout_starts_anew_with_every_byte_and_may_be_off),
        TEST(upstream_pause_stops_the_bytes_and_resume_goes_on),
        TEST(upstream_pause_does_not_hold_up_the_request),
        TEST(upstream_hands_on_an_answer_that_came_before_the_request_was_out),
        TEST(upstream_cancel_closes_the_connection_at_once),
        TEST(upstream_cancel_is_allowed_in_every_callback),
        TEST(upstream_cancel_of_a_paused_call_closes_the_connection),
        TEST(upstream_queues_in_order_what_is_past_max_connections),
        TEST(upstream_is_busy_when_no_connection_becomes_free_in_time),
        TEST(upstream_cancel_gives_its_place_to_the_next),
        TEST(upstream_repeats_with_one_connection_allowed),
        TEST(upstream_free_closes_idle_connections_and_lets_calls_end),
        cmocka_unit_test(upstream_rc_names_are_all_different),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
