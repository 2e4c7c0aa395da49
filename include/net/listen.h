/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: TCP and unix. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* What a unix socket's file is like. */
struct listen_options {
    bool has_mode; /* else the umask decides */
    unsigned mode; /* from the moment the file is there */
};

/* A listening, non-blocking, close-on-exec socket on ADDR; the caller closes *RET_FD. A unix socket
 * whose file is left over from a dead process is replaced; one that answers is not. OPTIONS may be
 * NULL. With a mode, files that other threads make in this moment get it, too. 0 or -errno. */
int listen_open(const struct sockaddr_storage *addr, socklen_t addr_len,
                const struct listen_options *options, int *ret_fd);
/* For a unix socket on ADDR that somebody else made: 0 when its file lets in nobody whom MODE keeps
 * out, -EPERM when it does, or -errno when that cannot be seen. */
int listen_check_mode(const struct sockaddr_storage *addr, unsigned mode);
/* Closes, and removes the file of a unix socket. */
void listen_close(int fd, const struct sockaddr_storage *addr);

/* What a TCP connection needs here: no waiting to fill segments; and an end when the peer vanishes
 * without a word. An idle peer is asked for a sign of life after LISTEN_IDLE_S and then every
 * LISTEN_PROBE_S; one that takes nothing, or gives no sign, is given up after LISTEN_GIVE_UP_MS, or
 * after PATIENCE_MS when that is longer. Connections that are accepted inherit all this from the
 * listening FD; those that waited in its queue before do not. Where keepalive is on already (a
 * socket unit with KeepAlive=), its times are left alone. Nothing for unix sockets. Linux only. */
#define LISTEN_IDLE_S 60
#define LISTEN_PROBE_S 15
#define LISTEN_GIVE_UP_MS 120000
void listen_tune(int fd, int64_t patience_ms);

/* Raises the soft limit of descriptors to the hard one and says what it is then. */
uint64_t listen_raise_nofile(void);

#endif
