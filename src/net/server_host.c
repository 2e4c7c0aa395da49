/* SPDX-License-Identifier: Apache-2.0 */
/* One libmicrohttpd of a server: its start, its runs, its end. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/server_int.h"

/* libmicrohttpd needs two or three runs for a reply; more than this in one turn is left for the
 * next one. */
#define MAX_RUNS_PER_TURN 16

/* libmicrohttpd lets go of a connection: it was closed, or we took it over. */
static void on_connection_closed(struct client *client, struct MHD_Connection *mhd)
{
    if (client == NULL || client->mhd != mhd)
        return;
    client->mhd = NULL;
    if (client->owner != OWNER_MHD)
        return;
    int fd = client->linger ? fcntl(client->fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (fd >= 0)
        client_begin_linger(client, fd);
    else
        client_free(client);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *server = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = server->adopting;
        server->adopting->mhd = mhd;
    } else {
        on_connection_closed(*socket_context, mhd);
    }
}

/* An internal fault of libmicrohttpd. It cannot go on, and neither can we: the supervisor restarts
 * us. */
static void on_panic(void *cls, const char *file, unsigned int line, const char *reason)
{
    (void)cls;
    (void)fprintf(stderr, "libmicrohttpd: %s:%u: %s\n", file, line,
                  reason != NULL ? reason : "internal fault");
    abort();
}

static struct MHD_Daemon *start_daemon(struct host *host)
{
    /* Suspending without the wake-up descriptor: we always run libmicrohttpd after a resume.
     * MHD_USE_TURBO: closing does not shut the socket down, so a duplicate lives on (streams). */
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_TURBO |
                     ((unsigned)MHD_ALLOW_SUSPEND_RESUME & ~(unsigned)MHD_USE_ITC);
    struct server *server = host->server;
    MHD_set_panic_func(on_panic, NULL);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, exchange_on_access, server, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        host->pool_bytes, MHD_OPTION_CONNECTION_LIMIT, UINT32_MAX / 2,
        MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, server, MHD_OPTION_URI_LOG_CALLBACK,
        exchange_on_uri, server, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
        1, MHD_OPTION_END);
}

/* Those that have left the small host. */
static void move_clients(struct server *server)
{
    LIST_FOREACH (node, &server->moving) {
        struct client *client = LIST_ENTRY(node, struct client, port.node);
        if (client->mhd != NULL)
            continue;
        list_unlink(node);
        client_enter_host(client);
    }
}

void host_run(struct host *host)
{
    MHD_UNSIGNED_LONG_LONG timeout = 1;
    for (int i = 0; host->kick && i < MAX_RUNS_PER_TURN; i++) {
        host->kick = false;
        port_enter(host);
        (void)MHD_run(host->daemon);
        port_leave();
        if (MHD_get_timeout(host->daemon, &timeout) == MHD_YES && timeout == 0)
            host->kick = true;
        move_clients(host->server);
    }
}

/* A connection of HOST to ourselves, and *RET_FD its other end. NULL when it cannot be had. */
static struct client *connect_to_self(struct host *host, int *ret_fd)
{
    static const struct sockaddr_storage addr = {.ss_family = AF_UNIX};
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return NULL;
    *ret_fd = fds[1];
    struct client *client = client_new(host->server, &addr, sizeof(addr));
    if (client == NULL) {
        (void)close(fds[0]);
        return NULL;
    }
    client->host = host;
    return client_adopt(client, fds[0]) == 0 ? client : NULL;
}

/* It must look for bytes, find none, and see the end. */
static bool reads_through_us(struct host *host, struct client *client)
{
    host_run(host);
    bool ours = !client->port.readable && client->port.in_set;
    client_stop_reading(client);
    host_run(host);
    return ours && server_is_idle(host->server);
}

/* The peer at PEER_FD has got nothing but the end. */
static bool got_nothing(int peer_fd)
{
    char byte;
    return recvfrom(peer_fd, &byte, 1, MSG_DONTWAIT, NULL, NULL) == 0;
}

/* It gets a request, behind the filter's back, that it refuses by itself: without Host. We take its
 * answer, all of which has to come here, whatever function it is written with. */
static bool writes_through_us(struct host *host, struct client *client, int peer_fd)
{
    if (buf_append(&client->held, STR("GET / HTTP/1.1\r\n\r\n")) < 0)
        return false;
    client->held_fed = client->held.len;
    client->passing = true;
    client->ahead = 1;
    client->port.sealed = true;
    port_show_bytes(client);
    host_run(host);
    return host->proven.by_send + host->proven.by_sendmsg > 0 && server_is_idle(host->server) &&
           got_nothing(peer_fd);
}

/* Whether libmicrohttpd calls our recv(), send(), epoll_ctl() and epoll_wait(), tried on
 * connections to ourselves. One that is linked in another way would get no event, get its bytes
 * unseen, or write past TLS. */
static bool port_is_ours(struct host *host)
{
    int fds[] = {-1, -1};
    struct client *client = connect_to_self(host, &fds[0]);
    bool ours = client != NULL && reads_through_us(host, client);
    client = ours ? connect_to_self(host, &fds[1]) : NULL;
    ours = client != NULL && writes_through_us(host, client, fds[1]);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    if (!ours)
        (void)fputs(
            "libmicrohttpd does not use this program's recv(), send(), sendmsg() and epoll\n",
            stderr);
    return ours;
}

bool host_start(struct host *host, struct server *server, size_t pool_bytes)
{
    *host = (struct host){.server = server, .pool_bytes = pool_bytes};
    list_init(&host->ready);
    host->daemon = start_daemon(host);
    const union MHD_DaemonInfo *info =
        host->daemon == NULL ? NULL : MHD_get_daemon_info(host->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL)
        return false;
    host->epoll_fd = info->epoll_fd;
    return port_is_ours(host);
}

void host_stop(struct host *host)
{
    port_enter(host);
    if (host->daemon != NULL)
        MHD_stop_daemon(host->daemon);
    port_leave();
    host->daemon = NULL;
}
