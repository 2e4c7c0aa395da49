/* SPDX-License-Identifier: Apache-2.0 */
/* server_free(), with connections in every state. */
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "net/listen.h"
#include "net/server.h"
#include "support/cmocka_all.h"

/* What a handler does when it has the whole request. */
enum plan { PLAN_WAIT, PLAN_STREAM, PLAN_STREAM_FULL };

struct fixture {
    struct loop *loop;
    struct server *server;
    struct exchange *exchange; /* the one that waits for its answer */
    enum plan plan;
    unsigned heads;
    unsigned ends;
    int listen_fd;
    uint16_t port;
};

static enum server_next on_head(void *ctx, struct exchange *exchange)
{
    struct fixture *f = ctx;
    (void)exchange;
    f->heads++;
    return SERVER_BODY;
}

static void on_complete(void *ctx, struct exchange *exchange)
{
    ((struct fixture *)ctx)->exchange = exchange;
}

static void on_nothing(void *ctx, struct exchange *exchange)
{
    (void)ctx;
    (void)exchange;
}

static void on_too_large(void *ctx, struct exchange *exchange, struct reply *ret_reply)
{
    (void)ctx;
    (void)exchange;
    ret_reply->status = 413;
}

static void on_end(void *ctx, struct exchange *exchange)
{
    struct fixture *f = ctx;
    (void)exchange;
    f->ends++;
}

static void on_refused(void *ctx, struct str peer, unsigned status, const char *reason,
                       const char *description, struct reply *ret_reply)
{
    (void)ctx;
    (void)peer;
    (void)reason;
    (void)description;
    ret_reply->status = status;
}

static const struct server_handler handler = {
    .head = on_head,
    .complete = on_complete,
    .gone = on_nothing,
    .too_large = on_too_large,
    .drained = on_nothing,
    .end = on_end,
    .refused = on_refused,
};

static void fixture_open(struct fixture *f, enum plan plan)
{
    struct sockaddr_storage addr = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&addr;
    socklen_t len = sizeof(*in);
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *f = (struct fixture){.plan = plan, .loop = loop_new()};
    assert_non_null(f->loop);
    assert_int_equal(listen_open(&addr, len, NULL, &f->listen_fd), 0);
    assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&addr, &len), 0);
    f->port = in->sin_port;
    f->server = server_new(f->loop, &(struct server_options){.handler = &handler,
                                                             .ctx = f,
                                                             .header_bytes = 8192,
                                                             .max_connections = 16,
                                                             .client_timeout_ms = 10000});
    assert_non_null(f->server);
    assert_int_equal(server_listen(f->server, f->listen_fd, NULL), 0);
}

/* Turns of the loop until nothing happens any more. */
static void settle(struct fixture *f)
{
    for (int i = 0; i < 10; i++) {
        loop_turn(f->loop, 2);
        server_run(f->server);
    }
}

static int client_connect(const struct fixture *f)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = f->port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void client_send(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void act(struct fixture *f)
{
    static char waste[SERVER_STREAM_HIGH_BYTES];
    if (f->plan == PLAN_WAIT)
        return;
    assert_int_equal(exchange_stream(f->exchange, 200, NULL, 0, -1), 0);
    while (f->plan == PLAN_STREAM_FULL &&
           exchange_stream_write(f->exchange, str_make(waste, sizeof(waste))))
        ;
}

struct end_row {
    const char *why;
    const char *before; /* sent, and read by the server */
    enum plan plan;     /* then the handler does this, and the server does not run again */
    const char *after;  /* sent, and not read by the server before it ends */
    unsigned exchanges; /* that the handler saw */
};

static const struct end_row end_rows[] = {
    {"nothing came", "", PLAN_WAIT, "", 0},
    {"half a head", "GET / HT", PLAN_WAIT, "TP/1.1\r\nHost: a\r\n\r\n", 0},
    {"a request that nobody has read", "", PLAN_WAIT, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"half a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", PLAN_WAIT, "", 1},
    {"the rest of a body that nobody has read: it must not begin to wait",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", PLAN_WAIT, "cd", 1},
    {"it waits for its answer", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", PLAN_WAIT, "", 1},
    {"a second one in the pipeline",
     "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", PLAN_WAIT, "", 1},
    {"a stream that libmicrohttpd has not let go of", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
     PLAN_STREAM, "", 1},
    {"a stream with a full buffer", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", PLAN_STREAM_FULL, "", 1},
    {"a refusal that lingers", "GET / HTTP/9.9\r\n", PLAN_WAIT, "", 0},
};

static void server_free_ends_every_exchange_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(end_rows); i++) {
        const struct end_row *row = &end_rows[i];
        struct fixture f;
        print_message("%s\n", row->why);
        fixture_open(&f, row->plan);
        int fd = client_connect(&f);
        client_send(fd, row->before);
        settle(&f);
        if (f.exchange != NULL)
            act(&f);
        client_send(fd, row->after);
        f.server = server_free(f.server);
        assert_int_equal(f.heads, row->exchanges);
        assert_int_equal(f.ends, row->exchanges);
        (void)close(fd);
        (void)close(f.listen_fd);
        f.loop = loop_free(f.loop);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_free_ends_every_exchange_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
