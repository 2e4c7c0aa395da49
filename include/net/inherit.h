/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets that a service manager opened for us (systemd's sd_listen_fds(3)).
 *
 * They are the descriptors from 3 on; $LISTEN_FDS says how many, $LISTEN_PID for which process, and
 * $LISTEN_FDNAMES how they are called, colons between the names. Taken once, and first of all: a
 * descriptor that was opened before would be taken for one of them. */
#ifndef NET_INHERIT_H
#define NET_INHERIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/str.h"

#define INHERIT_MAX 256        /* sockets */
#define INHERIT_NAME_BYTES 256 /* of a name, with its NUL; systemd's own limit is 255 */
#define INHERIT_FIRST_FD 3     /* SD_LISTEN_FDS_START */

struct inherited {
    int fd;       /* -1: given away */
    bool is_open; /* false: the number may have become somebody else's by now */
    char name[INHERIT_NAME_BYTES];
    struct sockaddr_storage addr; /* what it is bound to */
    socklen_t addr_len;
    const char *flaw; /* why nothing can be accepted on it; NULL: something can */
};

struct inherited_set {
    struct inherited *items;
    size_t n;
    int first_fd;
};

struct inherit_source {
    const char *pid;   /* $LISTEN_PID */
    const char *fds;   /* $LISTEN_FDS */
    const char *names; /* $LISTEN_FDNAMES; NULL: they are "unknown", as in systemd */
    int first_fd;      /* INHERIT_FIRST_FD */
};

/* An empty set when there are none, or they are for another process than SELF. Each gets O_NONBLOCK
 * and FD_CLOEXEC. 0, -EINVAL (numbers that are none), -E2BIG, -ENOMEM. */
int inherit_take(const struct inherit_source *source, pid_t self, struct inherited_set *ret_set);
/* Closes what was not given away. */
void inherit_free(struct inherited_set *set);

/* The first one that is left and has this address, or this name; a name may also be the number of
 * the descriptor, "3". NULL: there is none. */
struct inherited *inherit_find_address(struct inherited_set *set,
                                       const struct sockaddr_storage *addr, socklen_t addr_len);
struct inherited *inherit_find_name(struct inherited_set *set, struct str name);

/* Gives the descriptor away: it is the caller's now. */
int inherit_give(struct inherited *socket);

/* "127.0.0.1:8080", "[::1]:8080", "unix:/path", "unix:@name". Always ends with a NUL. */
#define INHERIT_ADDRESS_BYTES 128
void inherit_address_text(const struct inherited *socket, char ret_text[INHERIT_ADDRESS_BYTES]);

#endif
