/* SPDX-License-Identifier: Apache-2.0 */
#include "net/inherit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"

static int option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static const char *flaw_of(int fd, sa_family_t family)
{
    if (option(fd, SO_TYPE) < 0)
        return "is no socket";
    if (option(fd, SO_TYPE) != SOCK_STREAM)
        return "is no stream socket";
    if (option(fd, SO_ACCEPTCONN) != 1)
        return "does not listen (with systemd: Accept=no)";
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return "is neither TCP nor a unix socket";
    return NULL;
}

static int set_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int descriptor_flags = fcntl(fd, F_GETFD);
    if (flags < 0 || descriptor_flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, descriptor_flags | FD_CLOEXEC) < 0)
        return -errno;
    return 0;
}

static void look_at(int fd, struct str name, struct inherited *ret)
{
    *ret = (struct inherited){.fd = fd, .addr_len = sizeof(ret->addr)};
    (void)snprintf(ret->name, sizeof(ret->name), "%.*s", STR_ARG(name));
    ret->is_open = set_flags(fd) == 0;
    if (!ret->is_open) {
        ret->flaw = "is not open";
        return;
    }
    if (getsockname(fd, (struct sockaddr *)&ret->addr, &ret->addr_len) < 0)
        ret->addr_len = 0;
    ret->flaw = flaw_of(fd, ret->addr.ss_family);
}

static int read_number(const char *text, uint64_t max, uint64_t *ret)
{
    int r = str_to_u64(str_from_cstr(text), max, ret);
    return r == -ERANGE ? -E2BIG : r;
}

int inherit_take(const struct inherit_source *source, pid_t self, struct inherited_set *ret_set)
{
    uint64_t pid;
    uint64_t count;
    *ret_set = (struct inherited_set){.first_fd = source->first_fd};
    if (source->pid == NULL || source->fds == NULL)
        return 0;
    int r = read_number(source->pid, INT32_MAX, &pid);
    if (r < 0 || pid != (uint64_t)self) /* they are meant for somebody else */
        return r;
    r = read_number(source->fds, INHERIT_MAX, &count);
    if (r < 0 || count == 0)
        return r;
    ret_set->items = calloc(count, sizeof(*ret_set->items));
    if (ret_set->items == NULL)
        return -ENOMEM;
    struct str names = str_from_cstr(source->names);
    for (size_t i = 0; i < count; i++) {
        struct str name = STR("unknown");
        if (str_is_set(names) && !str_split(&names, ':', &name))
            name = STR("unknown");
        look_at(source->first_fd + (int)i, name, &ret_set->items[ret_set->n++]);
    }
    return 0;
}

void inherit_free(struct inherited_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->items[i].fd >= 0 && set->items[i].is_open)
            (void)close(set->items[i].fd);
    free(set->items);
    *set = (struct inherited_set){0};
}

/* Kernel and policy may count the NUL behind a path differently, and flow labels are no address. */
static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)a;
    const struct sockaddr_in *b4 = (const struct sockaddr_in *)b;
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a;
    const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)b;
    if (a->ss_family != b->ss_family)
        return false;
    switch (a->ss_family) {
    case AF_INET:
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    case AF_INET6:
        return a6->sin6_port == b6->sin6_port &&
               memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
    case AF_UNIX:
        return strncmp(((const struct sockaddr_un *)a)->sun_path,
                       ((const struct sockaddr_un *)b)->sun_path,
                       sizeof(((const struct sockaddr_un *)a)->sun_path)) == 0;
    default:
        return false;
    }
}

struct inherited *inherit_find_address(struct inherited_set *set,
                                       const struct sockaddr_storage *addr, socklen_t addr_len)
{
    for (size_t i = 0; i < set->n; i++)
        if (addr_len > 0 && set->items[i].fd >= 0 && set->items[i].addr_len > 0 &&
            same_address(&set->items[i].addr, addr))
            return &set->items[i];
    return NULL;
}

struct inherited *inherit_find_name(struct inherited_set *set, struct str name)
{
    uint64_t number;
    for (size_t i = 0; i < set->n; i++)
        if (set->items[i].fd >= 0 && str_eq(str_from_cstr(set->items[i].name), name))
            return &set->items[i];
    if (str_to_u64(name, INT32_MAX, &number) < 0)
        return NULL;
    for (size_t i = 0; i < set->n; i++)
        if (set->items[i].fd >= 0 && (uint64_t)set->items[i].fd == number)
            return &set->items[i];
    return NULL;
}

int inherit_give(struct inherited *socket)
{
    int fd = socket->fd;
    socket->fd = -1;
    return fd;
}

void inherit_address_text(const struct inherited *socket, char ret_text[INHERIT_ADDRESS_BYTES])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&socket->addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&socket->addr;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&socket->addr;
    sa_family_t family = socket->addr_len > 0 ? socket->addr.ss_family : AF_UNSPEC;
    if (family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip)) != NULL)
        (void)snprintf(ret_text, INHERIT_ADDRESS_BYTES, "%s:%u", ip, ntohs(v4->sin_port));
    else if (family == AF_INET6 && inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip)) != NULL)
        (void)snprintf(ret_text, INHERIT_ADDRESS_BYTES, "[%s]:%u", ip, ntohs(v6->sin6_port));
    else if (family == AF_UNIX && un->sun_path[0] != '\0')
        (void)snprintf(ret_text, INHERIT_ADDRESS_BYTES, "unix:%.*s", (int)sizeof(un->sun_path),
                       un->sun_path);
    else if (family == AF_UNIX)
        (void)snprintf(ret_text, INHERIT_ADDRESS_BYTES, "unix:@%.*s", (int)sizeof(un->sun_path) - 1,
                       un->sun_path + 1);
    else
        (void)snprintf(ret_text, INHERIT_ADDRESS_BYTES, "?");
}
