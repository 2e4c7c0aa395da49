/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/notify.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

/* An interval below this, in milliseconds, is a mistake of somebody: half of it could not be kept.
 */
#define MIN_WATCHDOG_MS 10

static const char *take(const char *name)
{
    const char *value = getenv(name);
    if (value != NULL)
        (void)unsetenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

struct service service_take(void)
{
    return (struct service){
        .notify_socket = take("NOTIFY_SOCKET"),
        .watchdog_usec = take("WATCHDOG_USEC"),
        .watchdog_pid = take("WATCHDOG_PID"),
        .listen_pid = take("LISTEN_PID"),
        .listen_fds = take("LISTEN_FDS"),
        .listen_names = take("LISTEN_FDNAMES"),
        .journal = getenv("JOURNAL_STREAM"),
    };
}

/* "/run/systemd/notify", or "@name": in the abstract name space, where a NUL stands in front. */
static int parse_address(const char *text, struct notify *notify)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof(un.sun_path))
        return -EINVAL;
    memcpy(un.sun_path, text, len);
    if (text[0] == '@')
        un.sun_path[0] = '\0';
    memcpy(&notify->addr, &un, sizeof(un));
    /* An abstract name ends where its length says; a path has its NUL. */
    notify->addr_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] == '/' ? 1 : 0));
    return 0;
}

/* Connected, so that a sandbox that forbids other sockets does not cut it off. */
static int connect_to(struct notify *notify)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&notify->addr, notify->addr_len) < 0) {
        int fault = errno;
        (void)close(fd);
        return -fault;
    }
    notify->fd = fd;
    return 0;
}

static int64_t watchdog_ms(const struct service *service, pid_t pid)
{
    uint64_t usec;
    uint64_t whose;
    if (service->watchdog_usec == NULL ||
        str_to_u64(str_from_cstr(service->watchdog_usec), INT64_MAX, &usec) < 0)
        return 0;
    if (service->watchdog_pid != NULL &&
        (str_to_u64(str_from_cstr(service->watchdog_pid), INT32_MAX, &whose) < 0 ||
         whose != (uint64_t)pid))
        return 0;
    return usec / 1000 >= MIN_WATCHDOG_MS ? (int64_t)(usec / 1000) : 0;
}

int notify_open(const struct service *service, pid_t pid, struct notify *ret_notify)
{
    *ret_notify = (struct notify){.fd = -1};
    if (service->notify_socket == NULL)
        return 0;
    int r = parse_address(service->notify_socket, ret_notify);
    if (r == 0)
        r = connect_to(ret_notify);
    if (r == 0)
        ret_notify->watchdog_ms = watchdog_ms(service, pid);
    return r;
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        (void)close(notify->fd);
    notify->fd = -1;
}

static int send_once(const struct notify *notify, struct str message, int wait_ms)
{
    struct pollfd pfd = {.fd = notify->fd, .events = POLLOUT};
    if (send(notify->fd, message.ptr, message.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return 0;
    if (errno != EAGAIN || wait_ms == 0 || poll(&pfd, 1, wait_ms) != 1)
        return -errno;
    return send(notify->fd, message.ptr, message.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ? 0
                                                                                        : -errno;
}

/* A manager that was executed anew may have bound its socket again: then we connect once more. A
 * message that nobody takes is lost; there is nobody to tell. */
static void send_message(struct notify *notify, const struct buf *message, int wait_ms)
{
    if (notify->fd < 0 || buf_failed(message))
        return;
    int r = send_once(notify, buf_str(message), wait_ms);
    if (r != -ECONNREFUSED && r != -ENOTCONN && r != -ECONNRESET)
        return;
    if (connect(notify->fd, (const struct sockaddr *)&notify->addr, notify->addr_len) == 0)
        (void)send_once(notify, buf_str(message), wait_ms);
}

static void append_status(struct buf *message, struct str status)
{
    (void)buf_append(message, STR("STATUS="));
    for (size_t i = 0; i < status.len && message->len < NOTIFY_MAX_BYTES; i++) {
        char c = status.ptr[i];
        (void)buf_append_char(message, (unsigned char)c < ' ' || c == 0x7f ? ' ' : c);
    }
    (void)buf_append_char(message, '\n');
}

/* HEAD is whole lines; EXTEND_US of 0 leaves that line out. */
static void tell(struct notify *notify, const char *head, struct str status, int64_t extend_us,
                 int wait_ms)
{
    CLEANUP(buf_free) struct buf message = buf_make(2 * NOTIFY_MAX_BYTES);
    if (notify->fd < 0)
        return;
    (void)buf_append_cstr(&message, head);
    if (extend_us > 0)
        (void)buf_printf(&message, "EXTEND_TIMEOUT_USEC=%lld\n", (long long)extend_us);
    if (str_is_set(status))
        append_status(&message, status);
    send_message(notify, &message, wait_ms);
}

void notify_ready(struct notify *notify, struct str status)
{
    tell(notify, "READY=1\n", status, 0, NOTIFY_WAIT_MS);
}

void notify_reloading(struct notify *notify, int64_t mono_us)
{
    char head[64];
    (void)snprintf(head, sizeof(head), "RELOADING=1\nMONOTONIC_USEC=%lld\n", (long long)mono_us);
    tell(notify, head, STR("Reading the policy again"), 0, NOTIFY_WAIT_MS);
}

void notify_stopping(struct notify *notify, struct str status, int64_t extend_us)
{
    tell(notify, "STOPPING=1\n", status, extend_us, NOTIFY_WAIT_MS);
}

void notify_extend(struct notify *notify, struct str status, int64_t extend_us)
{
    tell(notify, "", status, extend_us, 0);
}

void notify_status(struct notify *notify, struct str status)
{
    tell(notify, "", status, 0, 0);
}

void notify_beat(struct notify *notify)
{
    tell(notify, "WATCHDOG=1\n", (struct str){0}, 0, 0);
}
