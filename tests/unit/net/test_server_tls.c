/* SPDX-License-Identifier: Apache-2.0 */
/* The server with TLS on its listener, and OpenSSL's own client. What is true of a plain connection
 * has to be true of this one. */
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "support/certs.h"
#include "support/server_fixture.h"
#include "support/test_clock.h"

#define MIB ((size_t)1024 * 1024)

struct stage {
    struct world w;
    struct cert cert;
    struct tls_context *context;
    SSL_CTX *rules; /* the client's */
    struct peer *peers[300];
    size_t n_peers;
};

/* A client; FD is not blocking, so that one thread plays both sides. */
struct peer {
    int fd;
    SSL *ssl;
    struct buf in; /* what it was told, in plain */
    bool ended;    /* by a close_notify */
    bool cut;      /* by anything else */
};

static struct tls_context *context_of(const struct cert *cert)
{
    struct tls_context *context = NULL;
    struct tls_fault fault;
    const struct tls_material material = {.certificate = str_from_cstr(cert->certificate_pem),
                                          .key = str_from_cstr(cert->key_pem)};
    assert_int_equal(tls_context_new(&material, &context, &fault), 0);
    return context;
}

static int set_up_stage(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    test_clock_stop();
    s->cert = cert_make(&(struct cert_wish){.name = "first"});
    s->context = context_of(&s->cert);
    s->rules = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_set_mode(s->rules,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    s->w.loop = loop_new();
    s->w.spin = (struct spin){.loop = s->w.loop, .after_turn = run_server, .ctx = &s->w};
    start_server_with(&s->w, s->context, 250);
    *state = s;
    return 0;
}

static void hang_up(struct peer *peer)
{
    SSL_free(peer->ssl);
    if (peer->fd >= 0)
        (void)close(peer->fd);
    buf_free(&peer->in);
    peer->ssl = NULL;
    peer->fd = -1;
}

static int tear_down_stage(void **state)
{
    struct stage *s = *state;
    for (size_t i = 0; i < s->n_peers; i++) {
        hang_up(s->peers[i]);
        free(s->peers[i]);
    }
    assert_null(server_free(s->w.server));
    (void)close(s->w.listen_fd);
    loop_free(s->w.loop);
    SSL_CTX_free(s->rules);
    assert_null(tls_context_unref(s->context));
    cert_free(&s->cert);
    free(s);
    return 0;
}

/* Connected, and not a word said. */
static struct peer *dial(struct stage *s)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_true(peer != NULL && s->n_peers < ARRAY_LEN(s->peers));
    s->peers[s->n_peers++] = peer;
    *peer = (struct peer){.fd = wire_connect(s->w.port), .in = buf_make(64 * MIB)};
    peer->ssl = SSL_new(s->rules);
    assert_int_equal(SSL_set_fd(peer->ssl, peer->fd), 1);
    SSL_set_connect_state(peer->ssl);
    return peer;
}

static struct peer *meet(struct stage *s)
{
    struct peer *peer = dial(s);
    SPIN_UNTIL(&s->w.spin, SSL_do_handshake(peer->ssl) == 1);
    return peer;
}

static void say(struct stage *s, struct peer *peer, struct str bytes)
{
    while (bytes.len > 0) {
        int n = 0;
        ERR_clear_error();
        SPIN_UNTIL(&s->w.spin, (n = SSL_write(peer->ssl, bytes.ptr, (int)bytes.len)) > 0);
        bytes = str_from(bytes, (size_t)n);
    }
}

static void say_text(struct stage *s, struct peer *peer, const char *text)
{
    say(s, peer, str_from_cstr(text));
}

/* Takes what is there, at most MAX bytes. */
static void take(struct peer *peer, size_t max)
{
    while (max > 0 && !peer->ended && !peer->cut) {
        assert_int_equal(buf_reserve(&peer->in, 65536), 0);
        ERR_clear_error();
        int n = SSL_read(peer->ssl, peer->in.ptr + peer->in.len, (int)size_min(max, 65536));
        int error = n > 0 ? 0 : SSL_get_error(peer->ssl, n);
        if (n > 0) {
            peer->in.len += (size_t)n;
            max -= (size_t)n;
        } else if (error == SSL_ERROR_WANT_READ) {
            return;
        } else {
            peer->ended = error == SSL_ERROR_ZERO_RETURN;
            peer->cut = !peer->ended;
        }
    }
}

static bool hears(struct peer *peer, const char *text)
{
    take(peer, SIZE_MAX);
    return wire_has(&peer->in, text);
}

static void expect(struct stage *s, struct peer *peer, const char *text)
{
    SPIN_UNTIL(&s->w.spin, hears(peer, text));
    buf_clear(&peer->in);
}

static int count_in(struct peer *peer, const char *text)
{
    int count = 0;
    take(peer, SIZE_MAX);
    struct str rest = buf_str(&peer->in);
    for (const char *at; (at = memmem(rest.ptr, rest.len, text, strlen(text))) != NULL; count++)
        rest = str_from(rest, (size_t)(at - rest.ptr) + 1);
    return count;
}

static bool is_over(struct peer *peer)
{
    take(peer, SIZE_MAX);
    return peer->ended || peer->cut;
}

static void expect_end(struct stage *s, struct peer *peer)
{
    SPIN_UNTIL(&s->w.spin, is_over(peer));
    assert_true(peer->ended);
    assert_int_equal(peer->in.len, 0);
}

static uint32_t connections(const struct stage *s)
{
    return server_stats(s->w.server).connections;
}

/* ---- requests ---- */

static void server_serves_requests_over_tls(void **state)
{
    struct stage *s = *state;
    struct peer *peer = meet(s);
    for (int i = 0; i < 3; i++) {
        say_text(s, peer, GET("/now"));
        expect(s, peer, "\r\n\r\nnow");
    }
    assert_string_equal(s->w.handshake, "full");
    assert_int_equal(s->w.n_handshakes, 1);
    assert_int_equal(server_stats(s->w.server).accepted, 1);
    (void)SSL_shutdown(peer->ssl);
    expect_end(s, peer);
    SPIN_UNTIL(&s->w.spin, server_is_idle(s->w.server));
}

/* One record of requests, of which reads of any power of two take whole ones: what is left is in
 * the memory of TLS, where neither an event nor half a request tells of it. */
static void server_forgets_no_bytes_inside_of_tls(void **state)
{
    struct stage *s = *state;
    static const char request[] =
        "GET /now HTTP/1.1\r\nHost: so-that-it-has-64-bytes-01234567890\r\n\r\n";
    static const int n = 200;
    struct peer *peer = meet(s);
    struct buf many = buf_make(MIB);
    assert_int_equal(sizeof(request) - 1, 64);
    for (int i = 0; i < n; i++)
        assert_int_equal(buf_append_cstr(&many, request), 0);
    assert_in_range(many.len, 8192, 16384);
    say_text(s, peer, GET("/now")); /* so that nothing is left of the first look */
    expect(s, peer, "now");
    say(s, peer, buf_str(&many));
    buf_free(&many);
    SPIN_UNTIL(&s->w.spin, count_in(peer, "\r\n\r\nnow") == n);
    buf_clear(&peer->in);
    say_text(s, peer, GET("/parked"));
    reply_text(take_parked(&s->w), "and on");
    expect(s, peer, "and on");
}

static void server_reads_tls_that_comes_in_any_pieces(void **state)
{
    struct stage *s = *state;
    static const char request[] = GET("/parked?with=a&few=more");
    struct peer *peer = meet(s);
    for (size_t i = 0; i < sizeof(request) - 1; i++) { /* a record for each byte */
        say(s, peer, str_make(request + i, 1));
        spin_once(&s->w.spin);
    }
    reply_text(take_parked(&s->w), "pieces");
    expect(s, peer, "pieces");

    peer = dial(s); /* every byte on the wire by itself, the handshake too */
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set0_wbio(peer->ssl, out);
    bool asked = false;
    char byte;
    for (int i = 0; !hears(peer, "pieces"); i++) {
        assert_true(i < 20000);
        if (!asked && SSL_do_handshake(peer->ssl) == 1) {
            assert_int_equal(SSL_write(peer->ssl, request, sizeof(request) - 1),
                             (int)sizeof(request) - 1);
            asked = true;
        }
        if (BIO_read(out, &byte, 1) == 1)
            wire_send(&s->w.spin, peer->fd, str_make(&byte, 1));
        spin_once(&s->w.spin);
        if (s->w.n_parked > 0)
            reply_text(take_parked(&s->w), "pieces");
    }
}

static void fill_pattern(struct buf *out, size_t len)
{
    *out = buf_make(len);
    assert_int_equal(buf_reserve(out, len), 0);
    for (size_t i = 0; i < len; i++)
        out->ptr[i] = (char)('a' + (i * 7 + i / 1000) % 26);
    out->len = len;
}

static void server_takes_large_bodies_over_tls(void **state)
{
    struct stage *s = *state;
    struct peer *peer = meet(s);
    struct buf body;
    fill_pattern(&body, 60000); /* the fixture's limit is 64 KiB */
    say_text(s, peer, "POST /parked HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
    say(s, peer, buf_str(&body));
    struct exchange *exchange = take_parked(&s->w);
    assert_true(str_eq(exchange_body(exchange), buf_str(&body)));
    reply_text(exchange, "taken");
    expect(s, peer, "taken");
    buf_free(&body);
}

static void server_sends_large_answers_over_tls_to_slow_readers(void **state)
{
    struct stage *s = *state;
    struct buf body;
    fill_pattern(&body, 16 * MIB);
    struct peer *peer = meet(s);
    say_text(s, peer, GET("/parked"));
    struct reply reply = {.status = 200, .body = buf_make(body.len)};
    assert_int_equal(buf_append(&reply.body, buf_str(&body)), 0);
    exchange_reply(take_parked(&s->w), &reply);
    SPIN_UNTIL(&s->w.spin, hears(peer, "\r\n\r\n"));
    char *start = memmem(peer->in.ptr, peer->in.len, "\r\n\r\n", 4);
    size_t head = (size_t)(start - peer->in.ptr) + 4;
    while (peer->in.len < head + body.len) {
        int64_t before = wire_real_ms();
        size_t had = peer->in.len;
        while (peer->in.len == had) {
            assert_true(wire_real_ms() < before + WIRE_PATIENCE_MS);
            take(peer, 100000);
            spin_once(&s->w.spin);
        }
    }
    assert_memory_equal(peer->in.ptr + head, body.ptr, body.len);
    buf_clear(&peer->in);
    say_text(s, peer, GET("/now"));
    expect(s, peer, "now");
    buf_free(&body);
}

/* A head that the small host has no room for: the connection moves under another descriptor. */
static void server_moves_tls_connections_between_its_hosts(void **state)
{
    struct stage *s = *state;
    struct peer *peer = meet(s);
    struct buf head = buf_make(MIB);
    assert_int_equal(buf_append_cstr(&head, "GET /now HTTP/1.1\r\nHost: x\r\nX-Long: "), 0);
    for (int i = 0; i < 12000; i++)
        assert_int_equal(buf_append_char(&head, 'x'), 0);
    assert_int_equal(buf_append_cstr(&head, "\r\n\r\n"), 0);
    for (int i = 0; i < 3; i++) {
        say(s, peer, buf_str(&head));
        expect(s, peer, "now");
        say_text(s, peer, GET("/now"));
        expect(s, peer, "now");
    }
    buf_free(&head);
}

static void server_refuses_over_tls_what_it_refuses_in_plain(void **state)
{
    struct stage *s = *state;
    static const struct {
        const char *request;
        const char *status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
         "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\nHost: x\n\n", "HTTP/1.1 400 "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer *peer = meet(s);
        say_text(s, peer, rows[i].request);
        expect(s, peer, rows[i].status);
        buf_clear(&peer->in);
        SPIN_UNTIL(&s->w.spin, is_over(peer));
        assert_true(peer->ended);
    }
    struct peer *peer = meet(s);
    struct buf head = buf_make(MIB);
    assert_int_equal(buf_append_cstr(&head, "GET / HTTP/1.1\r\nHost: x\r\nX: "), 0);
    while (head.len < 40000)
        assert_int_equal(buf_append_char(&head, 'x'), 0);
    say(s, peer, buf_str(&head));
    expect(s, peer, "HTTP/1.1 431 ");
    buf_free(&head);
}

static void server_tells_a_late_client_so_over_tls(void **state)
{
    struct stage *s = *state;
    struct peer *peer = meet(s);
    say_text(s, peer, "GET / HT");
    spin_for(&s->w.spin, 20);
    test_clock_skip_ms(30001);
    expect(s, peer, "HTTP/1.1 408 ");
    SPIN_UNTIL(&s->w.spin, is_over(peer));
    assert_true(peer->ended);
}

static void server_closes_idle_tls_connections_with_a_word(void **state)
{
    struct stage *s = *state;
    struct peer *peer = meet(s);
    say_text(s, peer, GET("/now"));
    expect(s, peer, "now");
    test_clock_skip_ms(30001);
    expect_end(s, peer);
    SPIN_UNTIL(&s->w.spin, server_is_idle(s->w.server));
}

static void server_notices_a_tls_client_that_left(void **state)
{
    struct stage *s = *state;
    for (int announced = 0; announced <= 1; announced++) {
        struct peer *peer = meet(s);
        say_text(s, peer, GET("/parked"));
        SPIN_UNTIL(&s->w.spin, s->w.n_parked == announced + 1);
        if (announced)
            (void)SSL_shutdown(peer->ssl);
        hang_up(peer);
        SPIN_UNTIL(&s->w.spin, s->w.n_gone == announced + 1 && server_is_idle(s->w.server));
    }
    s->w.n_parked = 0;
}

/* ---- streams ---- */

static void server_streams_over_tls_and_takes_the_connection_back(void **state)
{
    struct stage *s = *state;
    struct peer *peer = meet(s);
    for (int round = 0; round < 3; round++) {
        say_text(s, peer, GET("/parked"));
        struct exchange *exchange = take_parked(&s->w);
        assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), 0);
        assert_true(exchange_stream_write(exchange, STR("data: one\n\n")));
        expect(s, peer, "data: one\n\n");
        assert_true(exchange_stream_write(exchange, STR("data: two\n\n")));
        expect(s, peer, "data: two\n\n");
        exchange_stream_end(exchange, true);
        expect(s, peer, "0\r\n\r\n");
        say_text(s, peer, GET("/now"));
        expect(s, peer, "now");
    }
    assert_int_equal(server_stats(s->w.server).streams, 0);
}

static void server_waits_for_slow_readers_of_tls_streams(void **state)
{
    struct stage *s = *state;
    struct buf piece;
    fill_pattern(&piece, 30000);
    struct peer *peer = meet(s);
    say_text(s, peer, GET("/parked"));
    struct exchange *exchange = take_parked(&s->w);
    size_t pieces = 1000;
    assert_int_equal(exchange_stream(exchange, 200, NULL, 0, (int64_t)(pieces * piece.len)), 0);
    size_t written = 0;
    while (exchange_stream_write(exchange, buf_str(&piece)))
        assert_true(++written < pieces); /* it says "enough" before everything is in memory */
    written++;
    int64_t end = wire_real_ms() + 30000;
    size_t want = SIZE_MAX;
    while (peer->in.len < want) {
        assert_true(wire_real_ms() < end);
        take(peer, 20000);
        spin_once(&s->w.spin);
        while (written < pieces && s->w.n_drained > 0) {
            written++;
            if (!exchange_stream_write(exchange, buf_str(&piece)))
                s->w.n_drained = 0;
        }
        if (written == pieces && want == SIZE_MAX) {
            exchange_stream_end(exchange, true);
            want =
                (size_t)((char *)memmem(peer->in.ptr, peer->in.len, "\r\n\r\n", 4) - peer->in.ptr) +
                4 + pieces * piece.len;
        }
    }
    assert_int_equal(peer->in.len, want);
    for (size_t i = 0; i < pieces; i++)
        assert_memory_equal(peer->in.ptr + want - (i + 1) * piece.len, piece.ptr, piece.len);
    buf_clear(&peer->in);
    say_text(s, peer, GET("/now"));
    expect(s, peer, "now");
    buf_free(&piece);
}

/* A stream as full as it gets, over small buffers and segments; 4096 bytes a second are asked for.
 */
static struct peer *open_full_stream(struct stage *s, struct exchange **ret_exchange)
{
    static const int segment = 1448;
    static const int room = 16384;
    (void)server_free(s->w.server);
    (void)close(s->w.listen_fd);
    s->w.min_rate_bytes = 4096;
    start_server_with(&s->w, s->context, 250);
    assert_int_equal(setsockopt(s->w.listen_fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)),
                     0);
    assert_int_equal(setsockopt(s->w.listen_fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    struct peer *peer = dial(s);
    assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    SPIN_UNTIL(&s->w.spin, SSL_do_handshake(peer->ssl) == 1);
    say_text(s, peer, GET("/parked"));
    *ret_exchange = take_parked(&s->w);
    assert_int_equal(exchange_stream(*ret_exchange, 200, NULL, 0, -1), 0);
    s->w.n_drained = 1;
    return peer;
}

/* What is sent and what the kernel holds are bytes of records: they are compared with each other.
 */
static void server_knows_what_readers_of_tls_streams_take(void **state)
{
    struct stage *s = *state;
    static char bytes[65536];
    static const struct {
        size_t read; /* in each sixth of 30 s */
        bool stays;
    } rows[] = {{10240, false}, {30720, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct exchange *exchange;
        struct peer *peer = open_full_stream(s, &exchange);
        s->w.n_gone = 0;
        for (int part = 0; part < 18 && s->w.n_gone == 0; part++) {
            for (int64_t end = wire_real_ms() + 30; wire_real_ms() < end && s->w.n_gone == 0;) {
                while (s->w.n_drained > 0 && s->w.n_gone == 0)
                    s->w.n_drained = exchange_stream_write(exchange, str_make(bytes, 65536));
                spin_once(&s->w.spin);
            }
            buf_clear(&peer->in);
            int64_t end = wire_real_ms() + WIRE_PATIENCE_MS;
            while (peer->in.len < rows[i].read && wire_real_ms() < end) {
                take(peer, rows[i].read - peer->in.len);
                spin_once(&s->w.spin);
            }
            spin_for(&s->w.spin, 20);
            test_clock_skip_ms(30000 / 6);
            spin_for(&s->w.spin, 3);
        }
        assert_int_equal(s->w.n_gone == 0, rows[i].stays);
        hang_up(peer);
        SPIN_UNTIL(&s->w.spin, server_is_idle(s->w.server));
    }
}

static void server_never_announces_the_end_of_a_broken_tls_stream(void **state)
{
    struct stage *s = *state;
    static const struct {
        const char *why;
        const char *request;
        int64_t length;
    } rows[] = {
        {"chunked", GET("/parked"), -1},
        {"measured", GET("/parked"), 1000},
        {"until the end", "GET /parked HTTP/1.0\r\nHost: x\r\n\r\n", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer *peer = meet(s);
        say_text(s, peer, rows[i].request);
        struct exchange *exchange = take_parked(&s->w);
        assert_int_equal(exchange_stream(exchange, 200, NULL, 0, rows[i].length), 0);
        assert_true(exchange_stream_write(exchange, STR("begun")));
        expect(s, peer, "begun");
        exchange_stream_end(exchange, false);
        SPIN_UNTIL(&s->w.spin, is_over(peer));
        if (!peer->cut)
            fail_msg("%s: looks complete", rows[i].why);
    }
    struct peer *peer = meet(s); /* and a complete one does not look broken */
    say_text(s, peer, rows[2].request);
    struct exchange *exchange = take_parked(&s->w);
    assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), 0);
    assert_true(exchange_stream_write(exchange, STR("whole")));
    exchange_stream_end(exchange, true);
    expect(s, peer, "whole");
    expect_end(s, peer);
}

static void server_cuts_a_tls_stream_whose_reader_takes_nothing(void **state)
{
    struct stage *s = *state;
    struct buf piece;
    fill_pattern(&piece, 60000);
    struct peer *peer = meet(s);
    say_text(s, peer, GET("/parked"));
    struct exchange *exchange = take_parked(&s->w);
    assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), 0);
    for (int i = 0; exchange_stream_write(exchange, buf_str(&piece)); i++)
        assert_true(i < 1000);
    spin_for(&s->w.spin, 20);
    assert_int_equal(s->w.n_gone, 0);
    for (int i = 0; i < 5 && s->w.n_gone == 0; i++) { /* its kernel may have taken some at first */
        test_clock_skip_ms(30001);
        spin_for(&s->w.spin, 20);
    }
    SPIN_UNTIL(&s->w.spin, s->w.n_gone == 1 && server_is_idle(s->w.server));
    buf_free(&piece);
}

/* ---- handshakes ---- */

/* The client's first message, or the beginning of it. */
static void begin_to_speak(struct stage *s, struct peer *peer, size_t max)
{
    BIO *out = BIO_new(BIO_s_mem());
    char hello[4096];
    SSL_set0_wbio(peer->ssl, out);
    (void)SSL_do_handshake(peer->ssl);
    int n = BIO_read(out, hello, sizeof(hello));
    assert_true(n > 100);
    wire_send(&s->w.spin, peer->fd, str_make(hello, size_min((size_t)n, max)));
}

static bool is_closed(int fd)
{
    char waste[4096];
    ssize_t n = recvfrom(fd, waste, sizeof(waste), MSG_DONTWAIT, NULL, NULL);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void server_ends_handshakes_at_their_deadline(void **state)
{
    struct stage *s = *state;
    static const size_t said[] = {0, 1, 50, SIZE_MAX};
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        int before = s->w.n_handshakes;
        struct peer *peer = dial(s);
        begin_to_speak(s, peer, said[i]);
        SPIN_UNTIL(&s->w.spin, connections(s) == 1);
        spin_for(&s->w.spin, 20);
        test_clock_skip_ms(29999);
        spin_for(&s->w.spin, 10);
        assert_int_equal(connections(s), 1);
        test_clock_skip_ms(2);
        SPIN_UNTIL(&s->w.spin, is_closed(peer->fd) && server_is_idle(s->w.server));
        assert_int_equal(s->w.n_handshakes - before,
                         said[i] > 0); /* who said nothing is not told */
        if (said[i] > 0)
            assert_string_equal(s->w.handshake, "timeout");
    }
}

static void server_answers_plain_http_on_a_tls_port(void **state)
{
    struct stage *s = *state;
    struct world *w = &s->w;
    int fd = wire_connect(w->port);
    w->in = buf_make(MIB);
    wire_send_text(&w->spin, fd, GET("/now"));
    wire_expect(&w->spin, fd, &w->in, "HTTP/1.1 400 ");
    assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
    assert_int_equal(w->refused_status, 400);
    assert_string_equal(w->handshake, "plain_http");
    (void)close(fd);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    buf_free(&w->in);
}

static void server_keeps_nothing_of_abandoned_handshakes(void **state)
{
    struct stage *s = *state;
    for (size_t i = 0; i < 200; i++) {
        struct peer *peer = dial(s);
        begin_to_speak(s, peer, i % 2 == 0 ? SIZE_MAX : i);
        if (i % 3 == 0)
            spin_for(&s->w.spin, 1);
        if (i % 5 == 0)
            wire_reset(dup(peer->fd));
        hang_up(peer);
    }
    SPIN_UNTIL(&s->w.spin,
               server_stats(s->w.server).accepted == 200 && server_is_idle(s->w.server));
    struct peer *peer = meet(s);
    say_text(s, peer, GET("/now"));
    expect(s, peer, "now");
}

/* The limit is 250: those that never said a word make room. */
static void server_lets_silent_tls_connections_make_room(void **state)
{
    struct stage *s = *state;
    for (size_t i = 0; i < 250; i++) {
        (void)dial(s);
        spin_once(&s->w.spin); /* the backlog is shorter */
    }
    SPIN_UNTIL(&s->w.spin, connections(s) == 250);
    struct peer *peer = meet(s);
    say_text(s, peer, GET("/now"));
    expect(s, peer, "now");
    assert_int_equal(s->w.n_handshakes, 1);
}

/* What OpenSSL holds now. */
static size_t openssl_bytes;

static void *count_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    void *ptr = malloc(len);
    openssl_bytes += malloc_usable_size(ptr);
    return ptr;
}

static void count_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    openssl_bytes -= malloc_usable_size(ptr);
    free(ptr);
}

static void *count_realloc(void *ptr, size_t len, const char *file, int line)
{
    if (len == 0) {
        count_free(ptr, file, line);
        return NULL;
    }
    size_t before = malloc_usable_size(ptr);
    void *grown = realloc(ptr, len);
    if (grown != NULL)
        openssl_bytes += malloc_usable_size(grown) - before;
    return grown;
}

/* What strangers can make us keep until the deadline: little by connecting, and not much more by
 * the beginning of a message that claims to be as long as may be. */
static void server_gives_unfinished_handshakes_little_memory(void **state)
{
    struct stage *s = *state;
    enum { N = 50 };
    static const char claim[] = "\x16\x03\x01\x40\x00\x01\x00\x40\x00";
    int fds[N];
    struct peer *peer = meet(s); /* what is made once is there */
    SPIN_UNTIL(&s->w.spin, s->w.n_handshakes == 1);
    size_t before = openssl_bytes;
    for (size_t i = 0; i < N; i++)
        fds[i] = wire_connect(s->w.port);
    SPIN_UNTIL(&s->w.spin, connections(s) == N + 1);
    spin_for(&s->w.spin, 20);
    assert_in_range((openssl_bytes - before) / N, 1, 16 * 1024);
    for (size_t i = 0; i < N; i++)
        wire_send(&s->w.spin, fds[i], str_make(claim, sizeof(claim) - 1));
    spin_for(&s->w.spin, 50);
    assert_int_equal(connections(s), N + 1);
    assert_in_range((openssl_bytes - before) / N, 1, 80 * 1024);
    for (size_t i = 0; i < N; i++)
        (void)close(fds[i]);
    SPIN_UNTIL(&s->w.spin, connections(s) == 1);
    hang_up(peer);
}

static bool sees(struct peer *peer, const struct cert *cert)
{
    X509 *shown = SSL_get1_peer_certificate(peer->ssl);
    bool same = X509_cmp(shown, cert->x509) == 0;
    X509_free(shown);
    return same;
}

static void server_shows_a_new_certificate_to_new_connections(void **state)
{
    struct stage *s = *state;
    struct cert second = cert_make(&(struct cert_wish){.name = "second"});
    struct tls_context *context = context_of(&second);
    struct peer *old = meet(s);
    struct peer *between = dial(s); /* accepted before, shakes hands after */
    SPIN_UNTIL(&s->w.spin, connections(s) == 2);
    server_set_tls(s->w.server, s->w.listen_fd, context);
    assert_null(tls_context_unref(context));
    struct peer *fresh = meet(s);
    SPIN_UNTIL(&s->w.spin, SSL_do_handshake(between->ssl) == 1);
    struct peer *all[] = {old, between, fresh};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_true(sees(all[i], i < 2 ? &s->cert : &second));
        say_text(s, all[i], GET("/now"));
        expect(s, all[i], "now");
    }
    cert_free(&second);
}

static void server_drains_tls_connections(void **state)
{
    struct stage *s = *state;
    struct peer *idle = meet(s);
    struct peer *busy = meet(s);
    struct peer *half = dial(s);
    begin_to_speak(s, half, SIZE_MAX);
    struct peer *silent = dial(s);
    say_text(s, busy, GET("/parked"));
    SPIN_UNTIL(&s->w.spin, s->w.n_parked == 1 && connections(s) == 4);
    spin_for(&s->w.spin, 20);
    server_drain(s->w.server);
    expect_end(s, idle);
    SPIN_UNTIL(&s->w.spin, is_closed(silent->fd));
    reply_text(take_parked(&s->w), "in time");
    expect(s, busy, "in time");
    expect_end(s, busy);
    assert_int_equal(connections(s), 1);
    test_clock_skip_ms(30001);
    SPIN_UNTIL(&s->w.spin, server_is_idle(s->w.server));
}

/* A client that was in the middle of its handshake gets its request answered. */
static void server_answers_whom_a_drain_met_in_the_handshake(void **state)
{
    struct stage *s = *state;
    struct peer *peer = dial(s);
    (void)SSL_do_handshake(peer->ssl);
    SPIN_UNTIL(&s->w.spin, connections(s) == 1);
    spin_for(&s->w.spin, 20);
    server_drain(s->w.server);
    SPIN_UNTIL(&s->w.spin, SSL_do_handshake(peer->ssl) == 1);
    say_text(s, peer, GET("/now"));
    expect(s, peer, "now");
    expect_end(s, peer);
    SPIN_UNTIL(&s->w.spin, server_is_idle(s->w.server));
}

static void server_ends_with_handshakes_under_way(void **state)
{
    struct stage *s = *state;
    for (size_t i = 0; i < 3; i++)
        begin_to_speak(s, dial(s), i == 0 ? 0 : i * 30);
    (void)meet(s);
    SPIN_UNTIL(&s->w.spin, connections(s) == 4);
    /* tear_down_stage() frees the server; the sanitizers look */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_stage, tear_down_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_serves_requests_over_tls),
        TEST(server_forgets_no_bytes_inside_of_tls),
        TEST(server_reads_tls_that_comes_in_any_pieces),
        TEST(server_takes_large_bodies_over_tls),
        TEST(server_sends_large_answers_over_tls_to_slow_readers),
        TEST(server_moves_tls_connections_between_its_hosts),
        TEST(server_refuses_over_tls_what_it_refuses_in_plain),
        TEST(server_tells_a_late_client_so_over_tls),
        TEST(server_closes_idle_tls_connections_with_a_word),
        TEST(server_notices_a_tls_client_that_left),
        TEST(server_streams_over_tls_and_takes_the_connection_back),
        TEST(server_waits_for_slow_readers_of_tls_streams),
        TEST(server_knows_what_readers_of_tls_streams_take),
        TEST(server_never_announces_the_end_of_a_broken_tls_stream),
        TEST(server_cuts_a_tls_stream_whose_reader_takes_nothing),
        TEST(server_ends_handshakes_at_their_deadline),
        TEST(server_answers_plain_http_on_a_tls_port),
        TEST(server_keeps_nothing_of_abandoned_handshakes),
        TEST(server_lets_silent_tls_connections_make_room),
        TEST(server_gives_unfinished_handshakes_little_memory),
        TEST(server_shows_a_new_certificate_to_new_connections),
        TEST(server_drains_tls_connections),
        TEST(server_answers_whom_a_drain_met_in_the_handshake),
        TEST(server_ends_with_handshakes_under_way),
    };
    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
        return 1; /* OpenSSL has begun already */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
