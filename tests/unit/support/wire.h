/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of a connection, played by the test: sockets on loopback, read and written step by
 * step while the loop under test turns. Every wait has an end; what does not come fails the test.
 */
#ifndef SUPPORT_WIRE_H
#define SUPPORT_WIRE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/loop.h"
#include "support/cmocka_all.h"

#define WIRE_PATIENCE_MS 10000
#define WIRE_MAX_BYTES (64U * 1024 * 1024)

/* What turns while the test waits. */
struct spin {
    struct loop *loop;
    void (*after_turn)(void *ctx); /* NULL: nothing more */
    void *ctx;
};

static inline int64_t wire_real_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline void spin_once(const struct spin *spin)
{
    loop_turn(spin->loop, 1);
    if (spin->after_turn != NULL)
        spin->after_turn(spin->ctx);
}

/* Lets things happen for MS, where the promise is that they do not. */
static inline void spin_for(const struct spin *spin, int64_t ms)
{
    for (int64_t end = wire_real_ms() + ms; wire_real_ms() < end;)
        spin_once(spin);
}

#define SPIN_UNTIL(spin, condition)                             \
    do {                                                        \
        int64_t spin_end = wire_real_ms() + WIRE_PATIENCE_MS;   \
        while (!(condition)) {                                  \
            if (wire_real_ms() > spin_end)                      \
                fail_msg("it never came to this: " #condition); \
            spin_once(spin);                                    \
        }                                                       \
    } while (0)

/* A socket on a free port of 127.0.0.1 that does not listen: the port is taken, and whoever
 * connects to it is refused. */
static inline int wire_bind(uint16_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static inline int wire_listen(uint16_t *ret_port)
{
    int fd = wire_bind(ret_port);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static inline int wire_connect(uint16_t port)
{
    static const int on = 1;
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    return fd;
}

/* The next connection of LISTEN_FD, or -1 when none waits. */
static inline int wire_try_accept(int listen_fd)
{
    return accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline int wire_accept(const struct spin *spin, int listen_fd)
{
    int fd = -1;
    SPIN_UNTIL(spin, (fd = wire_try_accept(listen_fd)) >= 0);
    return fd;
}

static inline void wire_send(const struct spin *spin, int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = -1;
        SPIN_UNTIL(spin,
                   (n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL)) >= 0 || errno != EAGAIN);
        assert_true(n >= 0);
        bytes = str_from(bytes, (size_t)n);
    }
}

static inline void wire_send_text(const struct spin *spin, int fd, const char *text)
{
    wire_send(spin, fd, str_from_cstr(text));
}

/* The end of the peer's bytes: FIN, or a fault such as -ECONNRESET. */
#define WIRE_OPEN 1
#define WIRE_FIN 0

/* Takes what is there now; WIRE_OPEN, WIRE_FIN or -errno. */
static inline int wire_take(int fd, struct buf *in)
{
    for (;;) {
        assert_int_equal(buf_reserve(in, 65536), 0);
        /* recvfrom(): recv() is the filtered one of net/server_recv.c */
        ssize_t n = recvfrom(fd, in->ptr + in->len, 65536, MSG_DONTWAIT, NULL, NULL);
        if (n > 0)
            in->len += (size_t)n;
        else if (n == 0)
            return WIRE_FIN;
        else
            return errno == EAGAIN ? WIRE_OPEN : -errno;
    }
}

static inline bool wire_has(const struct buf *in, const char *text)
{
    return memmem(buf_str(in).ptr, in->len, text, strlen(text)) != NULL;
}

/* Waits until TEXT has come. */
static inline void wire_expect(const struct spin *spin, int fd, struct buf *in, const char *text)
{
    int64_t end = wire_real_ms() + WIRE_PATIENCE_MS;
    while (!wire_has(in, text)) {
        int state = wire_take(fd, in);
        if (!wire_has(in, text) && (state != WIRE_OPEN || wire_real_ms() > end))
            fail_msg("\"%s\" did not come (%d), but: %.*s", text, state, STR_ARG(buf_str(in)));
        spin_once(spin);
    }
}

/* Waits until the peer ends the connection; WIRE_FIN or -errno. */
static inline int wire_expect_end(const struct spin *spin, int fd, struct buf *in)
{
    int state = WIRE_OPEN;
    SPIN_UNTIL(spin, (state = wire_take(fd, in)) != WIRE_OPEN);
    return state;
}

/* True when nothing has come and the connection is open. */
static inline bool wire_is_quiet(int fd)
{
    char byte;
    return recvfrom(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL) < 0 && errno == EAGAIN;
}

/* Closes with RST instead of FIN. */
static inline void wire_reset(int fd)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    (void)close(fd);
}

#endif
