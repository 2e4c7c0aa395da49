/* SPDX-License-Identifier: Apache-2.0 */
#include "net/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

static const struct sockaddr *generic(const struct sockaddr_storage *addr)
{
    return (const struct sockaddr *)addr;
}

/* Somebody answers on the socket file. */
static bool unix_is_alive(const struct sockaddr_storage *addr, socklen_t addr_len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    bool refused = connect(fd, generic(addr), addr_len) < 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return !refused;
}

static const char *unix_path(const struct sockaddr_storage *addr)
{
    return ((const struct sockaddr_un *)addr)->sun_path;
}

/* A socket file that nobody serves any more. Connecting is refused by any other file, too. */
static bool unix_is_left_over(const struct sockaddr_storage *addr, socklen_t addr_len)
{
    struct stat st;
    return lstat(unix_path(addr), &st) == 0 && S_ISSOCK(st.st_mode) &&
           !unix_is_alive(addr, addr_len);
}

static int bind_to(int fd, const struct sockaddr_storage *addr, socklen_t addr_len)
{
    if (bind(fd, generic(addr), addr_len) == 0)
        return 0;
    if (errno != EADDRINUSE || addr->ss_family != AF_UNIX)
        return -errno;
    if (!unix_is_left_over(addr, addr_len))
        return -EADDRINUSE;
    if (unlink(unix_path(addr)) < 0)
        return -errno;
    return bind(fd, generic(addr), addr_len) == 0 ? 0 : -errno;
}

/* A mode that is set afterwards, by name, would come late, and might hit another file. */
static int bind_with_mode(int fd, const struct sockaddr_storage *addr, socklen_t addr_len,
                          const struct listen_options *options)
{
    if (options == NULL || !options->has_mode || addr->ss_family != AF_UNIX)
        return bind_to(fd, addr, addr_len);
    mode_t before = umask((mode_t)(0777 & ~options->mode));
    int r = bind_to(fd, addr, addr_len);
    (void)umask(before);
    return r;
}

int listen_open(const struct sockaddr_storage *addr, socklen_t addr_len,
                const struct listen_options *options, int *ret_fd)
{
    static const int on = 1;
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (addr->ss_family != AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (addr->ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    int r = bind_with_mode(fd, addr, addr_len, options);
    if (r == 0 && listen(fd, BACKLOG) < 0)
        r = -errno;
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int listen_check_mode(const struct sockaddr_storage *addr, unsigned mode)
{
    struct stat st;
    if (lstat(unix_path(addr), &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    return (st.st_mode & 0777 & ~mode) == 0 ? 0 : -EPERM;
}

void listen_close(int fd, const struct sockaddr_storage *addr)
{
    if (fd < 0)
        return;
    (void)close(fd);
    if (addr->ss_family == AF_UNIX)
        (void)unlink(unix_path(addr));
}

static bool is_tcp(int fd)
{
    int domain = AF_UNSPEC;
    socklen_t len = sizeof(domain);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           (domain == AF_INET || domain == AF_INET6);
}

static bool has_keepalive(int fd)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len) == 0 && value != 0;
}

static void set_tcp(int fd, int option, int value)
{
    (void)setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value));
}

/* TCP_USER_TIMEOUT ends all three: bytes that are not acknowledged, a window that stays shut, and
 * probes without an answer, whatever TCP_KEEPCNT says. */
void listen_tune(int fd, int64_t patience_ms)
{
    static const int on = 1;
    if (!is_tcp(fd))
        return;
    int64_t give_up_ms = patience_ms > LISTEN_GIVE_UP_MS ? patience_ms : LISTEN_GIVE_UP_MS;
    set_tcp(fd, TCP_NODELAY, 1);
    set_tcp(fd, TCP_USER_TIMEOUT, give_up_ms < INT32_MAX ? (int)give_up_ms : INT32_MAX);
    if (has_keepalive(fd))
        return;
    set_tcp(fd, TCP_KEEPIDLE, LISTEN_IDLE_S);
    set_tcp(fd, TCP_KEEPINTVL, LISTEN_PROBE_S);
    set_tcp(fd, TCP_KEEPCNT, (LISTEN_GIVE_UP_MS / 1000 - LISTEN_IDLE_S) / LISTEN_PROBE_S);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

uint64_t listen_raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}
