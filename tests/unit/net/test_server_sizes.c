/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers of every size: what does not fit the memory of an ordinary connection is
 * served all the same, and nobody can tell. */
#include "support/server_fixture.h"
#include "support/test_clock.h"

/* How a request is cut on its way. */
enum cut { CUT_NOT, CUT_IN_TWO, CUT_BEHIND_THE_HEAD, CUT_BYTES };

static const char body_text[] = "0123456789";

/* A request for TARGET whose head has HEAD_BYTES, most of them in one field. */
static struct buf make_request(const char *target, size_t head_bytes, const char *more_fields)
{
    struct buf request = buf_make(64U * 1024);
    size_t last = sizeof("X-Token: \r\n\r\n") - 1;
    (void)buf_printf(&request, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n%s", target,
                     more_fields);
    (void)buf_append(&request, STR("X-Token: "));
    while (request.len < head_bytes - (last - (sizeof("X-Token: ") - 1)))
        (void)buf_append_char(&request, 't');
    (void)buf_append(&request, STR("\r\n\r\n"));
    assert_int_equal(request.len, head_bytes);
    (void)buf_append_cstr(&request, body_text);
    assert_false(buf_failed(&request));
    return request;
}

static void send_cut(struct world *w, int fd, struct str bytes, size_t head_bytes, enum cut cut)
{
    size_t step = cut == CUT_NOT    ? bytes.len
                : cut == CUT_IN_TWO ? bytes.len / 2
                : cut == CUT_BYTES  ? 1
                                    : head_bytes;
    while (bytes.len > 0) {
        struct str part = str_head(bytes, step);
        wire_send(&w->spin, fd, part);
        bytes = str_from(bytes, part.len);
        spin_once(&w->spin);
    }
}

static void expect_whole(struct world *w, const char *target, size_t fields)
{
    struct exchange *exchange = take_parked(w);
    const struct exchange_head *head = exchange_head(exchange);
    assert_true(str_eq(head->target, str_from_cstr(target)));
    assert_int_equal(head->n_fields, fields);
    assert_true(str_eq(exchange_body(exchange), str_from_cstr(body_text)));
    reply_text(exchange, "whole");
}

static void a_head_of_any_size_is_served_however_it_is_cut(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {100,  1000, 2000, 4000,  4085,  4086,  4087, 4095, 4096,
                                   4097, 4106, 4107, 5000,  5500,  5800,  5830, 5840, 5850,
                                   5860, 5870, 5880, 5890,  5900,  6000,  6100, 6140, 6150,
                                   8191, 8192, 8193, 16384, 22528, 30000, 32768};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (enum cut cut = CUT_NOT; cut <= CUT_BYTES; cut++) {
            if (cut == CUT_BYTES && sizes[i] > 4200)
                continue;
            struct buf request = make_request("/a", sizes[i], "");
            int fd = wire_connect(w->port);
            for (int again = 0; again < 2; again++) {
                send_cut(w, fd, buf_str(&request), sizes[i], cut);
                expect_whole(w, "/a", 3);
                expect_and_forget(w, fd, "whole");
            }
            buf_free(&request);
            (void)close(fd);
        }
    }
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    assert_int_equal(w->n_gone, 0);
}

static void a_large_head_is_served_behind_small_ones(void **state)
{
    struct world *w = *state;
    for (size_t size = 3000; size < 20000; size += 977) {
        struct buf all = buf_make(1024U * 1024);
        for (int i = 0; i < 5; i++) {
            struct buf request = make_request("/a", i % 2 == 0 ? 200 : size, "");
            (void)buf_append(&all, buf_str(&request));
            buf_free(&request);
        }
        for (int cut = 0; cut < 2; cut++) {
            int fd = wire_connect(w->port);
            send_cut(w, fd, buf_str(&all), 1000, cut == 0 ? CUT_NOT : CUT_BEHIND_THE_HEAD);
            for (int i = 0; i < 5; i++) {
                expect_whole(w, "/a", 3);
                expect_and_forget(w, fd, "whole");
            }
            (void)close(fd);
        }
        buf_free(&all);
    }
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
}

/* Each of them is a record of 64 bytes in libmicrohttpd's memory, whatever its own size. */
static void a_head_of_many_parts_is_served(void **state)
{
    struct world *w = *state;
    static const char *const parts[] = {"a:\r\n", "Cookie: a=b; c=d; e=f; g=h; i=j; k=l; m=n\r\n",
                                        "&a", "&"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        bool in_query = parts[i][0] == '&';
        for (int n = 1; n < 97; n += 5) {
            struct buf target = buf_make(8192);
            struct buf fields = buf_make(8192);
            (void)buf_append_cstr(&target, in_query ? "/a?" : "/a");
            for (int k = 0; k < n && (i != 1 || k == 0); k++)
                (void)buf_append_cstr(in_query ? &target : &fields, parts[i]);
            (void)buf_append_char(&target, '\0');
            (void)buf_append_char(&fields, '\0');
            struct buf request = make_request(target.ptr, 3800, fields.ptr);
            int fd = wire_connect(w->port);
            wire_send(&w->spin, fd, buf_str(&request));
            expect_whole(w, target.ptr, 3 + (in_query ? 0 : i == 1 ? 1 : (size_t)n));
            expect_and_forget(w, fd, "whole");
            (void)close(fd);
            buf_free(&request);
            buf_free(&fields);
            buf_free(&target);
        }
    }
}

static void a_head_past_the_limit_is_refused_on_every_connection(void **state)
{
    struct world *w = *state;
    for (int behind = 0; behind < 2; behind++) {
        struct buf request = make_request("/a", SERVER_FIXTURE_HEADER_BYTES + 1, "");
        int fd = wire_connect(w->port);
        w->refused_status = 0;
        if (behind == 1) {
            wire_send_text(&w->spin, fd, GET("/now"));
            expect_and_forget(w, fd, "now");
        }
        wire_send(&w->spin, fd, buf_str(&request));
        expect_and_forget(w, fd, "HTTP/1.1 431 ");
        assert_int_equal(w->refused_status, 431);
        (void)close(fd);
        buf_free(&request);
    }
}

/* Each is a record in libmicrohttpd's memory, which would end the connection without a word, or
 * leave it hanging. */
static void what_no_memory_is_enough_for_is_refused_by_us(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *begin;
        const char *part;
        int n;
    } rows[] = {
        {"cookies", "GET /a HTTP/1.1\r\nHost: x\r\nCookie: a", ";a", 4000},
        {"cookies with commas", "GET /a HTTP/1.1\r\nHost: x\r\nCookie: a", ",", 8000},
        {"arguments", "GET /a?", "&", 4000},
    };
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        struct buf request = buf_make(64U * 1024);
        if (i % 2 == 1)
            (void)buf_append_cstr(&request, GET("/now"));
        (void)buf_append_cstr(&request, rows[i / 2].begin);
        for (int k = 0; k < rows[i / 2].n; k++)
            (void)buf_append_cstr(&request, rows[i / 2].part);
        if (i / 2 == 2)
            (void)buf_append_cstr(&request, " HTTP/1.1\r\nHost: x");
        (void)buf_append_cstr(&request, "\r\n\r\n");
        w->refused_status = 0;
        int fd = wire_connect(w->port);
        wire_send(&w->spin, fd, buf_str(&request));
        if (i % 2 == 1)
            wire_expect(&w->spin, fd, &w->in, "\r\n\r\nnow");
        expect_and_forget(w, fd, "HTTP/1.1 431 ");
        if (w->refused_status != 431)
            fail_msg("%s: not refused by us", rows[i / 2].why);
        (void)close(fd);
        buf_free(&request);
    }
    assert_int_equal(w->n_parked, 0);
}

static void a_client_that_waits_to_send_its_body_is_told_to(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {200, 4000, 5000, 30000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf request = make_request("/a", sizes[i], "Expect: 100-continue\r\n");
        int fd = wire_connect(w->port);
        for (int again = 0; again < 2; again++) {
            wire_send(&w->spin, fd, str_head(buf_str(&request), sizes[i]));
            expect_and_forget(w, fd, "HTTP/1.1 100 Continue\r\n\r\n");
            wire_send(&w->spin, fd, str_from(buf_str(&request), sizes[i]));
            expect_whole(w, "/a", 4);
            expect_and_forget(w, fd, "whole");
        }
        (void)close(fd);
        buf_free(&request);
    }
}

/* Also where a read of libmicrohttpd was as long as it could be, so that it expects more. */
static void what_comes_behind_a_request_that_waits_is_looked_at_after_it(void **state)
{
    struct world *w = *state;
    w->waits = true;
    for (size_t size = 4078; size < 4098; size++) {
        struct buf request = make_request("/a", size, "");
        (void)buf_append(&request, STR("\x01\x02"));
        int fd = wire_connect(w->port);
        w->waiting = NULL;
        w->refused_status = 0;
        wire_send(&w->spin, fd, buf_str(&request));
        SPIN_UNTIL(&w->spin, w->waiting != NULL);
        spin_for(&w->spin, 2);
        exchange_continue(w->waiting);
        spin_for(&w->spin, 2);
        assert_int_equal(w->refused_status, 0);
        expect_whole(w, "/a", 3);
        wire_expect(&w->spin, fd, &w->in, "whole");
        expect_and_forget(w, fd, "HTTP/1.1 400 ");
        (void)close(fd);
        buf_free(&request);
    }
}

/* libmicrohttpd has no room for a record while bytes of a body lie where it would be. On the large
 * host, which reads more at once, there are more of both. */
static void a_body_behind_a_head_of_many_parts_is_no_matter(void **state)
{
    struct world *w = *state;
    static char body[20000];
    memset(body, 'b', sizeof(body));
    for (int on_large = 0; on_large < 2; on_large++) {
        const int most = on_large == 0 ? 96 : 400;
        const size_t largest = on_large == 0 ? 4096 : sizeof(body);
        int fd = wire_connect(w->port);
        if (on_large == 1) {
            struct buf first = make_request("/a", 9000, "");
            wire_send(&w->spin, fd, buf_str(&first));
            expect_whole(w, "/a", 3);
            expect_and_forget(w, fd, "whole");
            buf_free(&first);
        }
        for (int n = most / 8; n <= most; n += most / 12) {
            for (size_t size = largest / 16; size <= largest; size += largest / 16) {
                struct buf request = buf_make(128U * 1024);
                (void)buf_append_cstr(&request, "POST /a?");
                for (int k = 0; k < n; k++)
                    (void)buf_append_cstr(&request, "a&");
                (void)buf_printf(&request, " HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                                 size);
                (void)buf_append(&request, str_make(body, size));
                (void)send(fd, request.ptr, request.len, MSG_NOSIGNAL);
                struct exchange *exchange = take_parked(w);
                assert_true(str_eq(exchange_body(exchange), str_make(body, size)));
                reply_text(exchange, "whole");
                expect_and_forget(w, fd, "whole");
                buf_free(&request);
            }
        }
        (void)close(fd);
    }
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
}

static void a_body_that_never_comes_is_not_waited_for_after_an_early_answer(void **state)
{
    struct world *w = *state;
    w->waits = true;
    test_clock_stop();
    int fd = wire_connect(w->port);
    wire_send_text(&w->spin, fd, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    SPIN_UNTIL(&w->spin, w->waiting != NULL);
    test_clock_skip_ms(100000); /* as long as head() likes */
    spin_for(&w->spin, 2);
    reply_text(w->waiting, "no");
    spin_for(&w->spin, 5);
    assert_int_equal(server_stats(w->server).connections, 1);
    test_clock_skip_ms(30000);
    expect_and_forget(w, fd, "HTTP/1.1 408 ");
    assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
    test_clock_run();
    (void)close(fd);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
}

/* At every point where the head may be: held, on the way to the large host, on it. */
static void a_head_that_stops_in_the_middle_ends_as_any_other(void **state)
{
    struct world *w = *state;
    static const size_t sent[] = {10, 3000, 4096, 4097, 6000, 29999};
    struct buf request = make_request("/a", 30000, "");
    test_clock_stop();
    for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
        int fds[2] = {wire_connect(w->port), wire_connect(w->port)};
        for (int k = 0; k < 2; k++)
            wire_send(&w->spin, fds[k], str_head(buf_str(&request), sent[i]));
        spin_for(&w->spin, 5);
        assert_int_equal(server_stats(w->server).connections, 2);
        (void)close(fds[1]);
        SPIN_UNTIL(&w->spin, server_stats(w->server).connections == 1);
        test_clock_skip_ms(30000);
        expect_and_forget(w, fds[0], "HTTP/1.1 408 ");
        assert_int_equal(wire_expect_end(&w->spin, fds[0], &w->in), WIRE_FIN);
        buf_clear(&w->in);
        (void)close(fds[0]);
        SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    }
    test_clock_run();
    assert_int_equal(w->n_ended, 0);
    buf_free(&request);
}

static void a_large_head_is_served_and_closed_while_draining(void **state)
{
    struct world *w = *state;
    struct buf request = make_request("/a", 30000, "");
    int fds[2] = {wire_connect(w->port), wire_connect(w->port)};
    wire_send(&w->spin, fds[0], str_head(buf_str(&request), 4000));
    wire_send(&w->spin, fds[1], str_head(buf_str(&request), 9000));
    spin_for(&w->spin, 5);
    server_drain(w->server);
    for (int k = 0; k < 2; k++) {
        wire_send(&w->spin, fds[k], str_from(buf_str(&request), k == 0 ? 4000 : 9000));
        expect_whole(w, "/a", 3);
        wire_expect(&w->spin, fds[k], &w->in, "onnection: close\r\n");
        assert_int_equal(wire_expect_end(&w->spin, fds[k], &w->in), WIRE_FIN);
        buf_clear(&w->in);
        (void)close(fds[k]);
    }
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    buf_free(&request);
}

static void server_free_ends_connections_with_half_a_head(void **state)
{
    struct world *w = *state;
    struct buf request = make_request("/a", 30000, "");
    static const size_t sent[] = {0, 100, 4000, 9000, 29000};
    for (size_t turns = 0; turns < 4; turns++) {
        int fds[ARRAY_LEN(sent)];
        for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
            fds[i] = wire_connect(w->port);
            (void)send(fds[i], request.ptr, sent[i], MSG_NOSIGNAL);
        }
        for (size_t n = 0; n < turns; n++)
            spin_once(&w->spin);
        assert_null(server_free(w->server));
        for (size_t i = 0; i < ARRAY_LEN(sent); i++)
            (void)close(fds[i]);
        (void)close(w->listen_fd);
        start_server(w);
    }
    buf_free(&request);
    assert_int_equal(w->n_ended, 0);
}

static void a_body_of_any_size_is_collected(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {1, 3000, 4095, 4096, 4097, 9000, 60000};
    static char body[60000];
    int fd = wire_connect(w->port);
    memset(body, 'b', sizeof(body));
    for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
        size_t size = sizes[i / 2];
        struct buf request = buf_make(128U * 1024);
        if (i % 2 == 0)
            (void)buf_printf(&request, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                             size);
        else
            (void)buf_printf(&request,
                             "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "%zx\r\n",
                             size);
        (void)buf_append(&request, str_make(body, size));
        (void)buf_append_cstr(&request, i % 2 == 0 ? GET("/now") : "\r\n0\r\n\r\n" GET("/now"));
        wire_send(&w->spin, fd, buf_str(&request));
        struct exchange *exchange = take_parked(w);
        assert_true(str_eq(exchange_body(exchange), str_make(body, size)));
        reply_text(exchange, "collected");
        wire_expect(&w->spin, fd, &w->in, "collected");
        expect_and_forget(w, fd, "now");
        buf_free(&request);
    }
    (void)close(fd);
}

/* ---- answers ---- */

static char value_text[20000];

/* An answer whose fields have about HEAD_BYTES in all. */
static void reply_with_head(struct exchange *exchange, size_t head_bytes)
{
    struct reply reply = {.status = 200, .body = buf_make(64)};
    memset(value_text, '~', sizeof(value_text));
    for (size_t left = head_bytes; left > 0;) {
        size_t part = size_min(left, head_bytes / 40 + 100);
        assert_true(reply_add(&reply, STR("X-Part"), str_make(value_text, part)));
        left -= part;
    }
    assert_true(reply_add(&reply, STR("X-Last"), STR("last field")));
    (void)buf_append(&reply.body, STR("the body"));
    exchange_reply(exchange, &reply);
}

static size_t count_text(const struct buf *in, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < in->len; i++)
        n += in->ptr[i] == c;
    return n;
}

static const size_t head_sizes[] = {10,   1500, 1700, 1800,  1900,  2000,
                                    2048, 3000, 6000, 20000, 120000};

static void an_answer_with_a_head_of_any_size_is_sent_whole(void **state)
{
    struct world *w = *state;
    static const size_t request_sizes[] = {100, 3900, 5000, 30000};
    for (size_t i = 0; i < ARRAY_LEN(request_sizes); i++) {
        struct buf request = make_request("/a", request_sizes[i], "");
        int fd = wire_connect(w->port);
        for (size_t k = 0; k < ARRAY_LEN(head_sizes); k++) {
            wire_send(&w->spin, fd, buf_str(&request));
            reply_with_head(take_parked(w), head_sizes[k]);
            wire_expect(&w->spin, fd, &w->in, "X-Last: last field\r\n");
            wire_expect(&w->spin, fd, &w->in, "\r\n\r\nthe body");
            assert_true(wire_has(&w->in, "HTTP/1.1 200 OK\r\n"));
            assert_true(wire_has(&w->in, "Content-Length: 8\r\n"));
            assert_false(wire_has(&w->in, "onnection: close"));
            assert_int_equal(count_text(&w->in, '~'), head_sizes[k]);
            buf_clear(&w->in);
        }
        (void)close(fd);
        buf_free(&request);
    }
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    assert_int_equal(w->n_ended, ARRAY_LEN(request_sizes) * ARRAY_LEN(head_sizes));
    assert_int_equal(w->n_gone, 0);
}

static void reply_early(struct world *w, struct exchange *exchange)
{
    (void)w;
    reply_with_head(exchange, 9000);
}

static void an_early_answer_with_a_long_head_keeps_or_closes_as_any_other(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *request;
        bool closes;
    } rows[] = {
        {"no body", GET("/a"), false},
        {"small body", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", false},
        {"body that is not read", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nx",
         true},
        {"wants to close", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true},
        {"HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", true},
    };
    w->early = reply_early;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = wire_connect(w->port);
        for (int again = 0; again < (rows[i].closes ? 1 : 3); again++) {
            wire_send_text(&w->spin, fd, rows[i].request);
            wire_expect(&w->spin, fd, &w->in, "\r\n\r\nthe body");
            assert_int_equal(count_text(&w->in, '~'), 9000);
            if (wire_has(&w->in, "Connection: close\r\n") != rows[i].closes)
                fail_msg("%s: wrong word about closing", rows[i].why);
            buf_clear(&w->in);
        }
        if (rows[i].closes)
            assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
        (void)close(fd);
        SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    }
    assert_int_equal(w->n_gone, 0);
}

/* More than the sockets take at once. */
static void reply_early_at_length(struct world *w, struct exchange *exchange)
{
    static char body[8 * 1024 * 1024];
    struct reply reply = {.status = 200, .body = buf_make(sizeof(body))};
    (void)w;
    memset(body, 'b', sizeof(body));
    assert_true(reply_add(&reply, STR("X-Part"), str_make(value_text, sizeof(value_text))));
    assert_int_equal(buf_append(&reply.body, str_make(body, sizeof(body))), 0);
    exchange_reply(exchange, &reply);
}

static size_t read_all(struct world *w, int fd)
{
    size_t total = 0;
    while (wire_take(fd, &w->in) == WIRE_OPEN) {
        total += w->in.len;
        buf_clear(&w->in);
        spin_once(&w->spin);
    }
    return total + w->in.len;
}

static void a_client_that_has_said_all_gets_its_early_answer(void **state)
{
    struct world *w = *state;
    memset(value_text, '~', sizeof(value_text));
    w->early = reply_early_at_length;
    int fd = wire_connect(w->port);
    spin_for(&w->spin, 5);
    assert_true(send(fd, GET("/a"), strlen(GET("/a")), MSG_NOSIGNAL) > 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_in_range(read_all(w, fd), 8 * 1024 * 1024 + sizeof(value_text), SIZE_MAX);
    assert_int_equal(w->n_gone, 0);
    (void)close(fd);
}

static void an_answer_to_head_has_no_body_whatever_its_fields(void **state)
{
    struct world *w = *state;
    int fd = wire_connect(w->port);
    for (size_t k = 0; k < ARRAY_LEN(head_sizes); k++) {
        wire_send_text(&w->spin, fd, "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n");
        reply_with_head(take_parked(w), head_sizes[k]);
        wire_expect(&w->spin, fd, &w->in, "Content-Length: 8\r\n");
        wire_send_text(&w->spin, fd, GET("/now"));
        wire_expect(&w->spin, fd, &w->in, "\r\n\r\nnow");
        assert_false(wire_has(&w->in, "the body"));
        buf_clear(&w->in);
    }
    (void)close(fd);
}

static void reply_with_too_long_a_head(struct exchange *exchange)
{
    reply_with_head(exchange, 300000);
}

static void reply_early_with_too_long_a_head(struct world *w, struct exchange *exchange)
{
    (void)w;
    reply_with_too_long_a_head(exchange);
}

/* As without memory for one. */
static void an_answer_that_cannot_be_made_ends_the_connection(void **state)
{
    struct world *w = *state;
    for (int when = 0; when < 3; when++) {
        int fd = wire_connect(w->port);
        w->early = when == 0 ? reply_early_with_too_long_a_head : NULL;
        w->late = when == 1 ? reply_with_too_long_a_head : NULL;
        wire_send_text(&w->spin, fd, GET("/a"));
        if (when == 2)
            reply_with_too_long_a_head(take_parked(w));
        SPIN_UNTIL(&w->spin, w->n_ended == when + 1);
        SPIN_UNTIL(&w->spin, server_is_idle(w->server));
        (void)close(fd);
    }
}

static void a_client_that_leaves_during_a_long_answer_ends_it(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++) {
        int fd = wire_connect(w->port);
        wire_send_text(&w->spin, fd, GET("/a"));
        struct exchange *exchange = take_parked(w);
        if (i == 0)
            reply_with_head(exchange, 100000);
        (void)close(fd);
        if (i == 1)
            reply_with_head(exchange, 100000);
        SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    }
    assert_int_equal(w->n_ended, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(a_head_of_any_size_is_served_however_it_is_cut),
        SERVER_TEST(a_large_head_is_served_behind_small_ones),
        SERVER_TEST(a_head_of_many_parts_is_served),
        SERVER_TEST(a_head_past_the_limit_is_refused_on_every_connection),
        SERVER_TEST(what_no_memory_is_enough_for_is_refused_by_us),
        SERVER_TEST(a_body_behind_a_head_of_many_parts_is_no_matter),
        SERVER_TEST(a_body_that_never_comes_is_not_waited_for_after_an_early_answer),
        SERVER_TEST(a_client_that_waits_to_send_its_body_is_told_to),
        SERVER_TEST(what_comes_behind_a_request_that_waits_is_looked_at_after_it),
        SERVER_TEST(a_head_that_stops_in_the_middle_ends_as_any_other),
        SERVER_TEST(a_large_head_is_served_and_closed_while_draining),
        SERVER_TEST(server_free_ends_connections_with_half_a_head),
        SERVER_TEST(a_body_of_any_size_is_collected),
        SERVER_TEST(an_answer_with_a_head_of_any_size_is_sent_whole),
        SERVER_TEST(an_early_answer_with_a_long_head_keeps_or_closes_as_any_other),
        SERVER_TEST(a_client_that_has_said_all_gets_its_early_answer),
        SERVER_TEST(an_answer_to_head_has_no_body_whatever_its_fields),
        SERVER_TEST(an_answer_that_cannot_be_made_ends_the_connection),
        SERVER_TEST(a_client_that_leaves_during_a_long_answer_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
