/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the service manager how we are (systemd's sd_notify(3), and sd_watchdog_enabled(3)).
 *
 * A message is one datagram of lines "NAME=value" to the unix socket that $NOTIFY_SOCKET names: a
 * path, or an abstract name that is written with '@'. Without a manager every call does nothing.
 * Nothing here blocks for longer than NOTIFY_WAIT_MS; belongs to one thread. */
#ifndef OPS_NOTIFY_H
#define OPS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/str.h"

#define NOTIFY_MAX_BYTES 1024 /* of one message; a status that is longer is cut */
#define NOTIFY_WAIT_MS 1000   /* for a manager whose queue is full, with messages that matter */

/* What a service manager gives a service at its birth. Members are NULL when they were not set.
 * service_take() removes them from the environment, so that nobody else takes them for its own. */
struct service {
    const char *notify_socket; /* $NOTIFY_SOCKET */
    const char *watchdog_usec; /* $WATCHDOG_USEC */
    const char *watchdog_pid;  /* $WATCHDOG_PID */
    const char *listen_pid;    /* $LISTEN_PID, read by net/inherit */
    const char *listen_fds;    /* $LISTEN_FDS */
    const char *listen_names;  /* $LISTEN_FDNAMES */
    const char *journal;       /* $JOURNAL_STREAM, read by base/log; stays in the environment */
};
/* Before the first thread. The strings live as long as the process. */
struct service service_take(void);

struct notify {
    int fd; /* connected; -1: there is no manager, or it cannot be reached */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    int64_t watchdog_ms; /* a beat has to come in less than this; 0: nobody waits for one */
};

/* PID is ours: a watchdog for another process is not for us. 0, also without a manager; -EINVAL:
 * a socket's name that is none; -errno: it cannot be reached. *ret_notify is usable in any case. */
int notify_open(const struct service *service, pid_t pid, struct notify *ret_notify);
void notify_close(struct notify *notify);

static inline bool notify_is_on(const struct notify *notify)
{
    return notify->fd >= 0;
}

/* STATUS is one line for people (`systemctl status`); control characters become blanks. */

/* It serves; also the end of a reload, whatever came of it. */
void notify_ready(struct notify *notify, struct str status);
/* A reload begins, at MONO_US of the monotonic clock. */
void notify_reloading(struct notify *notify, int64_t mono_us);
/* It drains, and wants EXTEND_US more from now on before it is killed. */
void notify_stopping(struct notify *notify, struct str status, int64_t extend_us);
/* Still draining. */
void notify_extend(struct notify *notify, struct str status, int64_t extend_us);
void notify_status(struct notify *notify, struct str status);
/* All threads are alive. */
void notify_beat(struct notify *notify);

#endif
