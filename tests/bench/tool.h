/* SPDX-License-Identifier: Apache-2.0 */
/* What the bench's programs share: loopback sockets, the clock, and one way to give up. A fault
 * ends the program with a message, since a measurement with a fault in it is worth nothing. */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <stdint.h>
#include <sys/epoll.h>

/* Prints the printf-style message to stderr and exits with 1. */
_Noreturn void tool_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CLOCK_MONOTONIC in nanoseconds: one clock for all processes of the machine, so that the load can
 * subtract what the upstream wrote into an event. */
int64_t tool_now_ns(void);

/* A number from the command line within [min, max], or the end of the program. */
uint64_t tool_parse_number(const char *text, uint64_t min, uint64_t max);

/* Non-blocking TCP on 127.0.0.1 with TCP_NODELAY. Port 0 takes any free one. */
int tool_listen(uint16_t port, uint16_t *ret_port);
int tool_accept(int listen_fd); /* -1 when nobody waits any more */

/* Our end of a connection; zero-initialised, as the kernel likes it. */
struct tool_source {
    uint32_t address;  /* 127.0.0.1 + this: one address has some 28,000 ports */
    int receive_bytes; /* SO_RCVBUF, set before the window is offered */
};
int tool_connect(uint16_t port, struct tool_source source);

/* Level-triggered interest of fd, with data.ptr = owner. */
void tool_epoll_add(int epoll_fd, int fd, uint32_t events, void *owner);
void tool_epoll_change(int epoll_fd, int fd, uint32_t events, void *owner);

/* Lets timers of this process fire when they are due, not up to 50 us later (the kernel's default).
 */
void tool_exact_timers(void);

/* Waits up to timeout_ns (negative: without end) with nanosecond resolution. */
int tool_epoll_wait(int epoll_fd, struct epoll_event *events, int max_events, int64_t timeout_ns);

#endif
