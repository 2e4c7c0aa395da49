/* SPDX-License-Identifier: Apache-2.0 */
/* What libmicrohttpd costs in system calls, and what it is told of its sockets: nothing is asked
 * twice, and nothing that happens while a request waits is lost. */
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "support/server_fixture.h"
#include "support/test_clock.h"

/* System calls of the server side, counted where its code leaves for the C library. */
static struct {
    unsigned epoll_changes;
    unsigned reads;
    unsigned empty_reads;
    int client_fd; /* the test's own reads do not count */
} calls;

/* Stand in for the C library's recvfrom() and syscall(). */
ssize_t counted_recvfrom(int fd, void *bytes, size_t len, int flags, void *addr,
                         socklen_t *addr_len) __asm__("recvfrom");
long counted_syscall(long number, ...) __asm__("syscall");

__attribute__((visibility("default"))) ssize_t
counted_recvfrom(int fd, void *bytes, size_t len, int flags, void *addr, socklen_t *addr_len)
{
    static ssize_t (*next)(int, void *, size_t, int, void *, socklen_t *);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "recvfrom");
    ssize_t n = next(fd, bytes, len, flags, addr, addr_len);
    if (fd != calls.client_fd) {
        calls.reads++;
        calls.empty_reads += n < 0;
    }
    return n;
}

__attribute__((visibility("default"))) long counted_syscall(long number, ...)
{
    static long (*next)(long, ...);
    va_list args;
    va_start(args, number);
    long a = va_arg(args, long);
    long b = va_arg(args, long);
    long c = va_arg(args, long);
    long d = va_arg(args, long);
    va_end(args);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    calls.epoll_changes += number == SYS_epoll_ctl;
    return next(number, a, b, c, d);
}

static void a_request_costs_one_read_and_no_change_of_what_is_watched(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *request;
        bool parked;
    } rows[] = {
        {"waits for its answer", GET("/a"), true},
        {"has a body and waits", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
         true},
        {"is answered at once", GET("/now"), false},
    };
    int fd = wire_connect(w->port);
    calls.client_fd = fd;
    wire_send_text(&w->spin, fd, GET("/now"));
    expect_and_forget(w, fd, "now");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        calls.epoll_changes = calls.reads = calls.empty_reads = 0;
        for (int k = 0; k < 10; k++) {
            wire_send_text(&w->spin, fd, rows[i].request);
            if (rows[i].parked)
                reply_text(take_parked(w), "now");
            expect_and_forget(w, fd, "now");
        }
        spin_for(&w->spin, 5);
        if (calls.epoll_changes != 0 || calls.reads != 10 || calls.empty_reads != 0)
            fail_msg("%s: %u epoll_ctl, %u reads, %u of them empty, for 10 requests", rows[i].why,
                     calls.epoll_changes, calls.reads, calls.empty_reads);
    }
    (void)close(fd);
}

static void a_request_that_comes_while_one_waits_is_served_after_it(void **state)
{
    struct world *w = *state;
    int fd = wire_connect(w->port);
    for (int i = 0; i < 3; i++) {
        wire_send_text(&w->spin, fd, GET("/a"));
        struct exchange *first = take_parked(w);
        wire_send_text(&w->spin, fd, GET("/b"));
        spin_for(&w->spin, 5);
        assert_int_equal(w->n_parked, 0);
        reply_text(first, "first");
        expect_and_forget(w, fd, "first");
        struct exchange *second = take_parked(w);
        assert_true(str_eq(exchange_head(second)->target, STR("/b")));
        reply_text(second, "second");
        expect_and_forget(w, fd, "second");
    }
    (void)close(fd);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
}

static void a_client_that_leaves_is_noticed_in_every_state(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *sent;
        const char *sent_later; /* with the end of the stream */
        int gone;
    } rows[] = {
        {"before its first byte", "", "", 0},
        {"in the middle of a head", "GET /a HT", "", 0},
        {"with the last bytes of a head", "GET /now HT", "TP/1.1\r\nHost: x\r\n\r\n", 0},
        {"while its request waits", GET("/a"), "", 1},
        {"while its request waits, with another request", GET("/a"), GET("/b"), 1},
        {"between two requests", GET("/now"), "", 0},
        {"in the middle of a body", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx",
         "y", 1},
    };
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    for (size_t i = 0; i < 3 * ARRAY_LEN(rows); i++) {
        size_t row = i / 3;
        int fd = wire_connect(w->port);
        w->n_gone = w->n_parked = 0;
        wire_send_text(&w->spin, fd, rows[row].sent);
        SPIN_UNTIL(&w->spin, server_stats(w->server).connections == 1);
        spin_for(&w->spin, 3);
        wire_send_text(&w->spin, fd, rows[row].sent_later);
        if (i % 3 == 2)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        if (i % 3 == 0)
            (void)shutdown(fd, SHUT_WR);
        else
            (void)close(fd);
        SPIN_UNTIL(&w->spin, server_is_idle(w->server));
        if (w->n_gone != rows[row].gone)
            fail_msg("leaves %s: %d gone", rows[row].why, w->n_gone);
        if (i % 3 == 0)
            (void)close(fd);
    }
}

/* libmicrohttpd waits for room to write, again and again. */
static void a_long_answer_reaches_a_slow_reader(void **state)
{
    struct world *w = *state;
    static const size_t len = 16U * 1024 * 1024;
    int fd = wire_connect(w->port);
    for (int i = 0; i < 2; i++) {
        wire_send_text(&w->spin, fd, GET("/a"));
        struct reply reply = {.status = 200, .body = buf_make(len)};
        struct exchange *exchange = take_parked(w);
        assert_int_equal(buf_reserve(&reply.body, len), 0);
        memset(reply.body.ptr, 'x', len);
        reply.body.len = len;
        exchange_reply(exchange, &reply);
        spin_for(&w->spin, 5);
        SPIN_UNTIL(&w->spin, wire_take(fd, &w->in) == WIRE_OPEN && w->in.len > len);
        buf_clear(&w->in);
        spin_for(&w->spin, 2);
    }
    (void)close(fd);
}

/* Over a unix socket, where what the reader took is gone from the sender's buffer at once, and room
 * is told of when three quarters of it are free. */
static void a_reader_that_takes_a_little_in_its_time_may_go_on(void **state)
{
    struct world *w = *state;
    static char block[64 * 1024];
    char some[1024];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(sa_family_t); /* a name of the kernel's choice */
    int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(listen_fd, 1), 0);
    len = sizeof(addr);
    assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(server_listen(w->server, listen_fd, NULL), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, len), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);

    wire_send_text(&w->spin, fd, GET("/a"));
    struct exchange *exchange = take_parked(w);
    test_clock_stop();
    assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), 0);
    while (exchange_stream_write(exchange, str_make(block, sizeof(block)))) {}
    for (int i = 0; i < 3; i++) { /* of about 200 KiB */
        for (int k = 0; k < 32; k++)
            assert_true(recv(fd, some, sizeof(some), 0) > 0);
        spin_for(&w->spin, 2);
        test_clock_skip_ms(30000);
        spin_for(&w->spin, 2);
        if (w->n_gone > 0)
            fail_msg("ended after %d times 30 s", i + 1);
    }
    test_clock_skip_ms(30000); /* in which it takes nothing */
    SPIN_UNTIL(&w->spin, w->n_gone == 1);
    test_clock_run();
    (void)close(fd);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    (void)close(listen_fd);
}

static void a_thousand_connections_are_served_side_by_side(void **state)
{
    struct world *w = *state;
    struct rlimit limit;
    static int fds[SERVER_FIXTURE_MANY];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2 * SERVER_FIXTURE_MANY + 100)
        skip();
    for (int i = 0; i < SERVER_FIXTURE_MANY; i++) {
        fds[i] = wire_connect(w->port);
        if (i % 32 == 0) /* the listener's queue holds 128 */
            spin_once(&w->spin);
    }
    for (int round = 0; round < 3; round++) {
        w->n_parked = 0;
        for (int i = 0; i < SERVER_FIXTURE_MANY; i++)
            wire_send_text(&w->spin, fds[i], GET("/a"));
        SPIN_UNTIL(&w->spin, w->n_parked == SERVER_FIXTURE_MANY);
        for (int i = 0; i < SERVER_FIXTURE_MANY; i++)
            reply_text(w->parked[i], "one of many");
        for (int i = 0; i < SERVER_FIXTURE_MANY; i++)
            expect_and_forget(w, fds[i], "one of many");
    }
    assert_int_equal(server_stats(w->server).connections, SERVER_FIXTURE_MANY);
    for (int i = 0; i < SERVER_FIXTURE_MANY; i++)
        (void)close(fds[i]);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    assert_int_equal(w->n_ended, 3 * SERVER_FIXTURE_MANY);
    assert_int_equal(w->n_gone, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(a_request_costs_one_read_and_no_change_of_what_is_watched),
        SERVER_TEST(a_request_that_comes_while_one_waits_is_served_after_it),
        SERVER_TEST(a_client_that_leaves_is_noticed_in_every_state),
        SERVER_TEST(a_long_answer_reaches_a_slow_reader),
        SERVER_TEST(a_reader_that_takes_a_little_in_its_time_may_go_on),
        SERVER_TEST(a_thousand_connections_are_served_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
