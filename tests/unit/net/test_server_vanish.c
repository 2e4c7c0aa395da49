/* SPDX-License-Identifier: Apache-2.0 */
/* Peers of which nobody hears any more. */
#include <dlfcn.h>
#include <linux/filter.h>

#include "support/server_fixture.h"

/* The options of other sockets that are set, each with a system call, are counted. */
static struct {
    int listen_fd;
    unsigned tuned;
} kernel;

/* Stands in for the C library's setsockopt(). */
int our_setsockopt(int fd, int level, int name, const void *value,
                   socklen_t len) __asm__("setsockopt");

__attribute__((visibility("default"))) int our_setsockopt(int fd, int level, int name,
                                                          const void *value, socklen_t len)
{
    static int (*next)(int, int, int, const void *, socklen_t);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
    kernel.tuned += fd != kernel.listen_fd && name == TCP_USER_TIMEOUT && level == IPPROTO_TCP;
    return next(fd, level, name, value, len);
}

/* ---- the server's side of a connection ---- */

static uint16_t port_at(int fd, int (*look)(int, struct sockaddr *restrict, socklen_t *restrict))
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    if (look(fd, (struct sockaddr *)&addr, &len) < 0 || addr.ss_family != AF_INET)
        return 0;
    return ntohs(((const struct sockaddr_in *)&addr)->sin_port);
}

/* In the server under test, which lives in this process, too; -1: it has not accepted it yet. */
static int server_side_of(int client_fd)
{
    uint16_t port = port_at(client_fd, getsockname);
    for (int fd = 3; fd < 256; fd++)
        if (fd != client_fd && port_at(fd, getpeername) == port)
            return fd;
    return -1;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void set_option(int fd, int name, int value)
{
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, name, &value, sizeof(value)), 0);
}

/* ---- vanishing ---- */

static void every_connection_is_tuned_and_only_those_of_the_past_cost_a_system_call(void **state)
{
    struct world *w = *state;
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},    {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 15}, {IPPROTO_TCP, TCP_KEEPCNT, 4},
        {IPPROTO_TCP, TCP_NODELAY, 1},    {IPPROTO_TCP, TCP_USER_TIMEOUT, 120000},
    };
    /* The first one waits in the queue when the server gets the listening socket, as with a service
     * that is started by its first connection. */
    uint16_t port;
    int listen_fd = wire_listen(&port);
    int fds[] = {wire_connect(port), -1, -1};
    kernel.listen_fd = listen_fd;
    kernel.tuned = 0;
    assert_int_equal(server_listen(w->server, listen_fd, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (fds[i] < 0)
            fds[i] = wire_connect(port);
        wire_send_text(&w->spin, fds[i], GET("/now"));
        expect_and_forget(w, fds[i], "now");
        int accepted = server_side_of(fds[i]);
        for (size_t k = 0; k < ARRAY_LEN(options); k++)
            assert_int_equal(option_of(accepted, options[k].level, options[k].name),
                             options[k].value);
        assert_int_equal(kernel.tuned, 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
    SPIN_UNTIL(&w->spin, server_is_idle(w->server));
    w->server = server_free(w->server);
    (void)close(listen_fd);
}

/* From now on nothing reaches FD, and its end says nothing: power is gone, or the network. */
static void vanish(int fd)
{
    struct sock_filter drop = {.code = BPF_RET | BPF_K, .k = 0};
    const struct sock_fprog program = {.len = 1, .filter = &drop};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
}

/* The same in seconds that takes minutes; what is off stays off. */
static void make_quick(int fd)
{
    set_option(fd, TCP_KEEPIDLE, 1);
    set_option(fd, TCP_KEEPINTVL, 1);
    if (option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) > 0)
        set_option(fd, TCP_USER_TIMEOUT, 1500);
}

static void a_peer_that_vanishes_gives_its_place_back(void **state)
{
    struct world *w = *state;
    enum phase { PARKED, QUIET_STREAM, BUSY_STREAM };
    for (enum phase phase = PARKED; phase <= BUSY_STREAM; phase++) {
        int gone = w->n_gone;
        int fd = wire_connect(w->port);
        wire_send_text(&w->spin, fd, GET("/parked"));
        struct exchange *exchange = take_parked(w);
        if (phase != PARKED)
            assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), 0);
        spin_for(&w->spin, 10);
        make_quick(server_side_of(fd));
        vanish(fd);
        if (phase == BUSY_STREAM)
            assert_true(exchange_stream_write(exchange, STR("data: nobody reads this\n\n")));
        SPIN_UNTIL(&w->spin, w->n_gone == gone + 1);
        SPIN_UNTIL(&w->spin, server_is_idle(w->server));
        (void)close(fd);
    }
}

/* A peer that is there, and has nothing to say or to hear, stays. */
static void a_peer_that_is_quiet_keeps_its_stream(void **state)
{
    struct world *w = *state;
    int fd = wire_connect(w->port);
    wire_send_text(&w->spin, fd, GET("/parked"));
    struct exchange *exchange = take_parked(w);
    assert_int_equal(exchange_stream(exchange, 200, NULL, 0, -1), 0);
    spin_for(&w->spin, 10);
    make_quick(server_side_of(fd));
    spin_for(&w->spin, 4000);
    assert_int_equal(w->n_gone, 0);
    assert_true(exchange_stream_write(exchange, STR("data: still here\n\n")));
    expect_and_forget(w, fd, "still here");
    exchange_stream_end(exchange, true);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(every_connection_is_tuned_and_only_those_of_the_past_cost_a_system_call),
        SERVER_TEST(a_peer_that_vanishes_gives_its_place_back),
        SERVER_TEST(a_peer_that_is_quiet_keeps_its_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
