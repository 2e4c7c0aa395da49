/* SPDX-License-Identifier: Apache-2.0 */
/* A server whose handler parks every request, for the test to answer; "/now" it answers itself. */
#ifndef SUPPORT_SERVER_FIXTURE_H
#define SUPPORT_SERVER_FIXTURE_H

#include <stdlib.h>

#include "base/err.h"
#include "net/server.h"
#include "support/wire.h"

#define SERVER_FIXTURE_MANY 1000
#define SERVER_FIXTURE_HEADER_BYTES 32768

struct world {
    struct loop *loop;
    struct server *server;
    struct spin spin;
    size_t min_rate_bytes; /* of a server that is started */
    int listen_fd;
    uint16_t port;
    struct exchange *parked[SERVER_FIXTURE_MANY];
    int n_parked;
    int n_gone;
    int n_drained;
    int n_ended;
    unsigned refused_status;
    const char *handshake; /* how the last one ended */
    int n_handshakes;
    bool waits;               /* head() asks to wait before the body */
    struct exchange *waiting; /* the last one that does */
    void (*early)(struct world *w, struct exchange *exchange); /* answers in head(), if any */
    void (*late)(struct exchange *exchange);                   /* in complete(), if any */
    struct buf in;                                             /* what the client got */
};

static inline enum server_next on_head(void *ctx, struct exchange *exchange)
{
    struct world *w = ctx;
    if (w->waits) {
        w->waiting = exchange;
        return SERVER_WAIT;
    }
    if (w->early == NULL)
        return SERVER_BODY;
    w->early(w, exchange);
    return SERVER_DONE;
}

static inline void reply_text(struct exchange *exchange, const char *text)
{
    struct reply reply = {.status = 200, .body = buf_make(1024)};
    assert_int_equal(buf_append_cstr(&reply.body, text), 0);
    exchange_reply(exchange, &reply);
}

static inline void on_complete(void *ctx, struct exchange *exchange)
{
    struct world *w = ctx;
    if (str_eq(exchange_head(exchange)->target, STR("/now"))) {
        reply_text(exchange, "now");
        return;
    }
    if (w->late != NULL) {
        w->late(exchange);
        return;
    }
    assert_true(w->n_parked < SERVER_FIXTURE_MANY);
    w->parked[w->n_parked++] = exchange;
}

static inline void on_gone(void *ctx, struct exchange *exchange)
{
    (void)exchange;
    ((struct world *)ctx)->n_gone++;
}

static inline void on_end(void *ctx, struct exchange *exchange)
{
    (void)exchange;
    ((struct world *)ctx)->n_ended++;
}

static inline void on_too_large(void *ctx, struct exchange *exchange, struct reply *ret_reply)
{
    (void)ctx;
    (void)exchange;
    ret_reply->status = 413;
}

static inline void on_drained(void *ctx, struct exchange *exchange)
{
    (void)exchange;
    ((struct world *)ctx)->n_drained++;
}

static inline void on_refused(void *ctx, struct str peer, unsigned status, const char *reason,
                              const char *description, struct reply *ret_reply)
{
    ((struct world *)ctx)->refused_status = status;
    (void)peer;
    (void)reason;
    (void)description;
    ret_reply->status = status;
}

static inline void on_handshake(void *ctx, struct str peer, const char *outcome)
{
    struct world *w = ctx;
    assert_true(peer.len > 0);
    w->handshake = outcome;
    w->n_handshakes++;
}

static const struct server_handler handler = {
    .head = on_head,
    .complete = on_complete,
    .gone = on_gone,
    .too_large = on_too_large,
    .drained = on_drained,
    .end = on_end,
    .refused = on_refused,
    .handshake = on_handshake,
};

static inline void run_server(void *ctx)
{
    server_run(((struct world *)ctx)->server);
}

static inline void start_server_with(struct world *w, struct tls_context *tls,
                                     uint32_t max_connections)
{
    w->listen_fd = wire_listen(&w->port);
    w->server =
        server_new(w->loop, &(struct server_options){.handler = &handler,
                                                     .ctx = w,
                                                     .header_bytes = SERVER_FIXTURE_HEADER_BYTES,
                                                     .max_connections = max_connections,
                                                     .min_rate_bytes = w->min_rate_bytes,
                                                     .client_timeout_ms = 30000});
    assert_non_null(w->server);
    assert_int_equal(server_listen(w->server, w->listen_fd, tls), 0);
}

static inline void start_server(struct world *w)
{
    start_server_with(w, NULL, 2 * SERVER_FIXTURE_MANY);
}

static inline int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->loop = loop_new();
    w->spin = (struct spin){.loop = w->loop, .after_turn = run_server, .ctx = w};
    w->in = buf_make(WIRE_MAX_BYTES);
    start_server(w);
    *state = w;
    return 0;
}

static inline int tear_down(void **state)
{
    struct world *w = *state;
    assert_null(server_free(w->server));
    (void)close(w->listen_fd);
    buf_free(&w->in);
    loop_free(w->loop);
    free(w);
    return 0;
}

static inline struct exchange *take_parked(struct world *w)
{
    SPIN_UNTIL(&w->spin, w->n_parked > 0);
    return w->parked[--w->n_parked];
}

static inline void expect_and_forget(struct world *w, int fd, const char *text)
{
    wire_expect(&w->spin, fd, &w->in, text);
    buf_clear(&w->in);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
