/* SPDX-License-Identifier: Apache-2.0 */
/* The server as a whole, and libmicrohttpd's place in a loop turn. */
#include "net/server.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/server_int.h"

/* libmicrohttpd needs two or three runs for a reply; more than this in one turn is left for the
 * next one. */
#define MAX_RUNS_PER_TURN 16
/* Room in libmicrohttpd's per-connection pool besides the request head itself. */
#define POOL_EXTRA_BYTES (12U * 1024)

const char *server_library_version(void)
{
    return MHD_get_version();
}

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

static struct MHD_Daemon *start_daemon(struct server *server)
{
    /* Suspending without the wake-up descriptor: we always run libmicrohttpd after a resume.
     * MHD_USE_TURBO: closing does not shut the socket down, so a duplicate lives on (streams). */
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_TURBO |
                     ((unsigned)MHD_ALLOW_SUSPEND_RESUME & ~(unsigned)MHD_USE_ITC);
    size_t pool = server->options.header_bytes + POOL_EXTRA_BYTES;
    MHD_set_panic_func(on_panic, NULL);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, exchange_on_access, server, MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool,
        MHD_OPTION_CONNECTION_LIMIT, UINT32_MAX / 2, MHD_OPTION_CONNECTION_TIMEOUT, 0U,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED,
        exchange_on_completed, server, MHD_OPTION_URI_LOG_CALLBACK, exchange_on_uri, server,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

static void run_daemon(struct server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout = 1;
    port_enter(server);
    for (int i = 0; server->kick && i < MAX_RUNS_PER_TURN; i++) {
        server->kick = false;
        (void)MHD_run(server->daemon);
        if (MHD_get_timeout(server->daemon, &timeout) == MHD_YES && timeout == 0)
            server->kick = true;
    }
    port_leave();
}

/* Whether libmicrohttpd calls our recv(), epoll_ctl() and epoll_wait(), tried on a connection to
 * ourselves. One that is linked in another way would get no event, or get its bytes unseen. */
static bool port_is_ours(struct server *server)
{
    static const struct sockaddr_storage addr = {.ss_family = AF_UNIX};
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return false;
    struct client *client = client_new(server, &addr, sizeof(addr));
    bool ours = client != NULL && client_adopt(client, fds[0]) == 0;
    if (ours) {
        run_daemon(server);
        ours = !client->port.readable && client->port.in_set;
        client_stop_reading(client);
        run_daemon(server);
        ours = ours && server_is_idle(server);
    }
    (void)close(fds[1]);
    if (!ours)
        (void)fputs("libmicrohttpd does not use this program's recv() and epoll\n", stderr);
    return ours;
}

struct server *server_new(struct loop *loop, const struct server_options *options)
{
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return NULL;
    server->loop = loop;
    server->options = *options;
    accept_init(server);
    list_init(&server->clients);
    list_init(&server->idle);
    list_init(&server->dead);
    list_init(&server->ready);
    server->daemon = start_daemon(server);
    const union MHD_DaemonInfo *info =
        server->daemon == NULL ? NULL
                               : MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL)
        return server_free(server);
    server->epoll_fd = info->epoll_fd;
    return port_is_ours(server) ? server : server_free(server);
}

void exchange_mark_dead(struct exchange *exchange)
{
    if (!list_is_linked(&exchange->node))
        list_append(&exchange->server->dead, &exchange->node);
}

static void exchange_free(struct exchange *exchange)
{
    const struct server_options *options = &exchange->server->options;
    if (exchange->seen)
        options->handler->end(options->ctx, exchange);
    if (exchange->response != NULL)
        MHD_destroy_response(exchange->response);
    buf_free(&exchange->body);
    buf_free(&exchange->out);
    (void)arena_free(exchange->arena);
}

static void reap(struct server *server)
{
    LIST_FOREACH (node, &server->dead) {
        struct exchange *exchange = LIST_ENTRY(node, struct exchange, node);
        /* A taken-over connection goes back only after libmicrohttpd has let go of its copy. */
        if (exchange->taking_over && exchange->client != NULL && exchange->client->mhd != NULL)
            continue;
        list_unlink(node);
        struct client *client = exchange->client;
        bool give_back = exchange->taking_over && client != NULL;
        bool close_it = exchange->close_after || exchange->gone || server->draining;
        if (client != NULL)
            client->exchange = NULL;
        exchange_free(exchange);
        if (!give_back)
            continue;
        server->stats.streams--;
        if (close_it) {
            client_free(client);
            continue;
        }
        int fd = client->fd;
        loop_unwatch(server->loop, &client->watch);
        (void)client_adopt(client, fd);
    }
}

void server_run(struct server *server)
{
    run_daemon(server);
    reap(server);
}

int server_wait_hint(const struct server *server)
{
    return server->kick || !list_is_empty(&server->dead) ? 0 : -1;
}

struct server_stats server_stats(const struct server *server)
{
    return server->stats;
}

bool server_is_idle(const struct server *server)
{
    return list_is_empty(&server->clients);
}

/* Everything still parked or streaming ends now, as for a client that left. */
static void cut_all(struct server *server)
{
    LIST_FOREACH (node, &server->clients) {
        struct client *client = LIST_ENTRY(node, struct client, node);
        if (client->exchange != NULL && client->owner == OWNER_STREAM)
            exchange_stream_end(client->exchange, false);
        else if (client->exchange != NULL && client->exchange->suspended)
            exchange_abandon(client->exchange);
        else if (client->owner == OWNER_LINGER)
            client_free(client);
    }
}

struct server *server_free(struct server *server)
{
    if (server == NULL)
        return NULL;
    server_drain(server);
    cut_all(server);
    server->ending = true;
    server->kick = true;
    server_run(server);
    port_enter(server);
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    port_leave();
    server->daemon = NULL;
    reap(server);
    LIST_FOREACH (node, &server->clients) {
        client_free(LIST_ENTRY(node, struct client, node));
    }
    accept_end(server);
    free(server->by_fd);
    free(server);
    return NULL;
}
