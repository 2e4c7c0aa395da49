/* SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define BACKLOG 4096

_Noreturn void tool_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "%s: ", program_invocation_short_name);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

int64_t tool_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t tool_parse_number(const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < min || value > max)
        tool_die("%s is not a number from %llu to %llu", text, (unsigned long long)min,
                 (unsigned long long)max);
    return value;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int make_socket(int flags)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        tool_die("socket: %s", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

int tool_listen(uint16_t port, uint16_t *ret_port)
{
    int fd = make_socket(SOCK_NONBLOCK);
    struct sockaddr_in address = loopback(port);
    socklen_t len = sizeof(address);
    if (bind(fd, (const struct sockaddr *)&address, len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        tool_die("cannot listen on port %u: %s", port, strerror(errno));
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int tool_accept(int listen_fd)
{
    int on = 1;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    else if (errno != EAGAIN && errno != ECONNABORTED)
        tool_die("accept: %s", strerror(errno));
    return fd;
}

/* The port is chosen by connect(), when the other end is known: so one port serves several. */
static void take_source(int fd, struct tool_source source)
{
    int on = 1;
    struct sockaddr_in address = loopback(0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + source.address);
    if (source.address > 0 &&
        (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
         bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0))
        tool_die("cannot bind to a loopback address: %s", strerror(errno));
    if (source.receive_bytes > 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &source.receive_bytes, sizeof(int)) < 0)
        tool_die("SO_RCVBUF: %s", strerror(errno));
}

int tool_connect(uint16_t port, struct tool_source source)
{
    int fd = make_socket(0);
    struct sockaddr_in address = loopback(port);
    take_source(fd, source);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        tool_die("cannot connect to port %u: %s", port, strerror(errno));
    return fd;
}

static void control(int epoll_fd, int op, int fd, struct epoll_event event)
{
    if (epoll_ctl(epoll_fd, op, fd, &event) < 0)
        tool_die("epoll_ctl: %s", strerror(errno));
}

void tool_epoll_add(int epoll_fd, int fd, uint32_t events, void *owner)
{
    control(epoll_fd, EPOLL_CTL_ADD, fd, (struct epoll_event){events, {.ptr = owner}});
}

void tool_epoll_change(int epoll_fd, int fd, uint32_t events, void *owner)
{
    control(epoll_fd, EPOLL_CTL_MOD, fd, (struct epoll_event){events, {.ptr = owner}});
}

void tool_exact_timers(void)
{
    if (prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) < 0)
        tool_die("prctl: %s", strerror(errno));
}

int tool_epoll_wait(int epoll_fd, struct epoll_event *events, int max_events, int64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                               .tv_nsec = timeout_ns % 1000000000};
    int n = epoll_pwait2(epoll_fd, events, max_events, timeout_ns < 0 ? NULL : &timeout, NULL);
    if (n < 0 && errno != EINTR)
        tool_die("epoll_wait: %s", strerror(errno));
    return n < 0 ? 0 : n;
}
