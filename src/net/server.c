/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting, the life of a connection, and libmicrohttpd's place in a loop turn. */
#include "net/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/server_int.h"

#define ACCEPT_BATCH 32
#define ACCEPT_PAUSE_MS 100
/* libmicrohttpd needs two or three runs for a reply; more than this in one turn is left for the
 * next one. */
#define MAX_RUNS_PER_TURN 16
/* Room in libmicrohttpd's per-connection pool besides the request head itself. */
#define POOL_EXTRA_BYTES (12U * 1024)
#define BODY_BYTES_PER_SECOND (16U * 1024)
#define LINGER_MS 2000
#define LINGER_MAX_BYTES (8U * 1024 * 1024)
#define LAST_WORD_MAX_BYTES (16U * 1024)

static void resume_accepting(struct server *server);

const char *server_library_version(void)
{
    return MHD_get_version();
}

/* ---- connections ---- */

struct client *server_client_by_fd(const struct server *server, int fd)
{
    return fd >= 0 && (size_t)fd < server->by_fd_len ? server->by_fd[fd] : NULL;
}

static int register_fd(struct server *server, int fd, struct client *client)
{
    size_t need = (size_t)fd + 1;
    if (need > server->by_fd_len) {
        size_t len = size_max(need, server->by_fd_len * 2);
        struct client **grown = reallocarray(server->by_fd, len, sizeof(struct client *));
        if (grown == NULL)
            return -ENOMEM;
        for (size_t i = server->by_fd_len; i < len; i++)
            grown[i] = NULL;
        server->by_fd = grown;
        server->by_fd_len = len;
    }
    server->by_fd[fd] = client;
    return 0;
}

static void unregister_fd(const struct client *client)
{
    if (server_client_by_fd(client->server, client->fd) == client)
        client->server->by_fd[client->fd] = NULL;
}

void client_arm(struct client *client, int64_t delay_ms)
{
    (void)loop_timer_in(client->server->loop, &client->timer, delay_ms);
}

void client_set_idle(struct client *client, bool idle)
{
    if (idle == list_is_linked(&client->idle_node))
        return;
    if (idle)
        list_append(&client->server->idle, &client->idle_node);
    else
        list_unlink(&client->idle_node);
}

void client_stop_reading(struct client *client)
{
    client->stopped = true;
    (void)shutdown(client->fd, SHUT_RD);
}

/* The body may take a second longer for every 16 KiB that arrived. */
static bool body_is_making_progress(struct client *client)
{
    int64_t extra_ms = (int64_t)(client->body_bytes / BODY_BYTES_PER_SECOND) * 1000;
    client->body_bytes = 0;
    if (extra_ms == 0)
        return false;
    client_arm(client, extra_ms);
    return true;
}

static void on_deadline(struct timer *timer)
{
    struct client *client = CONTAINER_OF(timer, struct client, timer);
    switch (client->owner) {
    case OWNER_STREAM:
        stream_on_deadline(client);
        break;
    case OWNER_LINGER:
        client_free(client);
        break;
    case OWNER_MHD:
        if (client->exchange != NULL && client->exchange->phase == PHASE_BODY &&
            body_is_making_progress(client))
            return;
        client->timed_out = true;
        client_stop_reading(client);
        /* A reader that does not take its answer would keep the connection for ever. */
        if (client->exchange != NULL && client->exchange->phase == PHASE_REPLY)
            (void)shutdown(client->fd, SHUT_RDWR);
        break;
    }
}

static void on_linger(struct client *client)
{
    char waste[8 * 1024];
    for (;;) {
        ssize_t n = recvfrom(client->fd, waste, sizeof(waste), MSG_DONTWAIT, NULL, NULL);
        if (n > 0)
            client->lingered += (size_t)n;
        if (n < 0 && errno == EAGAIN && client->lingered < LINGER_MAX_BYTES)
            return;
        if (n <= 0 || client->lingered >= LINGER_MAX_BYTES) {
            client_free(client);
            return;
        }
    }
}

/* libmicrohttpd watches edges, and takes a short read for the end of what is there: when the last
 * bytes and the end of the stream came together it would never look for the end. Shutting down what
 * is over anyway makes a new edge. */
void client_show_end(struct client *client)
{
    (void)shutdown(client->fd, SHUT_RD);
}

static void on_peer_left(struct client *client)
{
    struct exchange *exchange = client->exchange;
    if (client->stopped)
        return;
    client->half_closed = true;
    if (exchange != NULL && exchange->suspended)
        exchange_abandon(exchange);
    else
        client_show_end(client);
}

static void on_client_event(struct watch *watch, uint32_t events)
{
    struct client *client = CONTAINER_OF(watch, struct client, watch);
    switch (client->owner) {
    case OWNER_MHD:
        on_peer_left(client);
        break;
    case OWNER_STREAM:
        stream_on_event(client, events);
        break;
    case OWNER_LINGER:
        on_linger(client);
        break;
    }
}

static void describe_peer(struct client *client)
{
    const void *addr = NULL;
    if (client->addr.ss_family == AF_INET)
        addr = &((const struct sockaddr_in *)&client->addr)->sin_addr;
    else if (client->addr.ss_family == AF_INET6)
        addr = &((const struct sockaddr_in6 *)&client->addr)->sin6_addr;
    if (addr == NULL ||
        inet_ntop(client->addr.ss_family, addr, client->peer, sizeof(client->peer)) == NULL)
        (void)snprintf(client->peer, sizeof(client->peer), "unix:");
}

static void reset_filter(struct client *client)
{
    http1_request_init(&client->filter, (struct http1_request_limits){
                                            .head_bytes = client->server->options.header_bytes,
                                            .target_bytes = 8192});
}

static struct client *client_new(struct server *server, const struct sockaddr_storage *addr,
                                 socklen_t addr_len)
{
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    client->server = server;
    client->fd = -1;
    client->watch = (struct watch){.fd = -1, .fn = on_client_event};
    client->timer.fn = on_deadline;
    client->addr = *addr;
    client->addr_len = addr_len;
    describe_peer(client);
    reset_filter(client);
    list_append(&server->clients, &client->node);
    server->stats.connections++;
    return client;
}

/* Forgets the connection. The descriptor is closed here unless libmicrohttpd owns it. */
void client_free(struct client *client)
{
    struct server *server = client->server;
    loop_unwatch(server->loop, &client->watch);
    loop_timer_stop(server->loop, &client->timer);
    unregister_fd(client);
    if (client->owner != OWNER_MHD && client->fd >= 0)
        (void)close(client->fd);
    list_unlink(&client->node);
    list_unlink(&client->idle_node);
    server->stats.connections--;
    free(client);
    /* There is room again, however long we meant to look away. */
    loop_timer_stop(server->loop, &server->accept_timer);
    resume_accepting(server);
}

int client_move(struct client *client, int fd)
{
    int r = register_fd(client->server, fd, client);
    if (r < 0)
        return r;
    loop_unwatch(client->server->loop, &client->watch);
    unregister_fd(client);
    client->fd = fd;
    return 0;
}

int client_adopt(struct client *client, int fd)
{
    struct server *server = client->server;
    /* libmicrohttpd wants an address and knows nothing of unix sockets. */
    const struct sockaddr_in nowhere = {.sin_family = AF_INET};
    bool is_unix = client->addr.ss_family == AF_UNIX;
    const struct sockaddr *addr = is_unix ? (const struct sockaddr *)&nowhere
                                          : (const struct sockaddr *)&client->addr;
    client->owner = OWNER_MHD;
    client->fd = fd;
    client->pipelined = false;
    int r = register_fd(server, fd, client);
    if (r == 0)
        r = loop_watch(server->loop, &client->watch, fd, EPOLLRDHUP | EPOLLET);
    if (r < 0) {
        (void)close(fd);
        client_free(client);
        return r;
    }
    server->adopting = client;
    enum MHD_Result added = MHD_add_connection(
        server->daemon, fd, addr, is_unix ? (socklen_t)sizeof(nowhere) : client->addr_len);
    server->adopting = NULL;
    server->kick = true;
    if (added != MHD_YES) { /* the descriptor is closed already */
        if (client->mhd == NULL)
            client_free(client);
        return -EIO;
    }
    client_set_idle(client, true);
    client_arm(client, server->options.client_timeout_ms);
    return 0;
}

void client_last_word(struct client *client, struct reply *reply)
{
    struct buf out = buf_make(LAST_WORD_MAX_BYTES);
    client->last_word_said = true;
    client->linger = true;
    server_append_head(client->server, &out, reply->status, reply->fields, reply->n_fields);
    (void)buf_printf(&out, "Content-Length: %zu\r\nConnection: close\r\n\r\n", reply->body.len);
    (void)buf_append(&out, buf_str(&reply->body));
    /* A fresh answer fits the socket's buffer; a peer whose buffer is full does not read anyway. */
    if (!buf_failed(&out))
        (void)send(client->fd, out.ptr, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_free(&out);
    buf_free(&reply->body);
}

void client_begin_linger(struct client *client, int fd)
{
    struct loop *loop = client->server->loop;
    client_set_idle(client, false);
    if (client_move(client, fd) < 0) {
        (void)close(fd);
        client_free(client);
        return;
    }
    client->owner = OWNER_LINGER;
    (void)shutdown(fd, SHUT_WR);
    client_arm(client, LINGER_MS);
    if (loop_watch(loop, &client->watch, fd, EPOLLIN | EPOLLRDHUP) < 0)
        client_free(client);
}

/* ---- accepting ---- */

static void pause_accepting(struct server *server)
{
    if (!server->accepting)
        return;
    server->accepting = false;
    for (struct listener *l = server->listeners; l != NULL; l = l->next)
        loop_unwatch(server->loop, &l->watch);
}

static void resume_accepting(struct server *server)
{
    if (server->accepting || server->draining || timer_is_armed(&server->accept_timer))
        return;
    server->accepting = true;
    for (struct listener *l = server->listeners; l != NULL; l = l->next)
        (void)loop_watch(server->loop, &l->watch, l->fd, EPOLLIN | EPOLLEXCLUSIVE);
}

static void on_accept_timer(struct timer *timer)
{
    resume_accepting(CONTAINER_OF(timer, struct server, accept_timer));
}

/* An idle connection makes room for a new one: the one that has been idle longest. */
static void close_one_idle(struct server *server)
{
    struct list *node = list_first(&server->idle);
    if (node == NULL)
        return;
    struct client *client = LIST_ENTRY(node, struct client, idle_node);
    client_set_idle(client, false);
    client->timed_out = true;
    client_stop_reading(client);
}

/* There is no room for another connection. Only when one is known to WAIT (the listener has just been
 * reported readable) an idle one must go for it; and as the listener stays readable, we look away for
 * a moment. Until then another connection may have become idle, or have left. */
static void make_room(struct server *server, bool one_waits)
{
    if (!one_waits)
        return;
    close_one_idle(server);
    pause_accepting(server);
    (void)loop_timer_in(server->loop, &server->accept_timer, ACCEPT_PAUSE_MS);
}

static void accept_one(struct server *server, int fd, const struct sockaddr_storage *addr,
                       socklen_t addr_len)
{
    static const int on = 1;
    struct client *client = client_new(server, addr, addr_len);
    if (client == NULL) {
        (void)close(fd);
        server->stats.accept_faults++;
        return;
    }
    if (addr->ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (client_adopt(client, fd) == 0)
        server->stats.accepted++;
    else
        server->stats.accept_faults++;
}

static bool is_passing_fault(int err)
{
    return err == EAGAIN || err == EINTR || err == ECONNABORTED || err == EPROTO;
}

static void on_acceptable(struct watch *watch, uint32_t events)
{
    struct listener *listener = CONTAINER_OF(watch, struct listener, watch);
    struct server *server = listener->server;
    (void)events;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage addr = {0};
        socklen_t addr_len = sizeof(addr);
        if (server->stats.connections >= server->options.max_connections) {
            make_room(server, i == 0);
            return;
        }
        int fd = accept4(listener->fd, (struct sockaddr *)&addr, &addr_len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(server, fd, &addr, addr_len);
            continue;
        }
        if (is_passing_fault(errno))
            return;
        /* Out of descriptors or memory; Linux says so also when nobody waits. */
        server->stats.accept_faults++;
        make_room(server, i == 0);
        return;
    }
}

int server_listen(struct server *server, int fd)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return -ENOMEM;
    *listener = (struct listener){.server = server,
                                  .fd = fd,
                                  .next = server->listeners,
                                  .watch = {.fd = -1, .fn = on_acceptable}};
    server->listeners = listener;
    return loop_watch(server->loop, &listener->watch, fd, EPOLLIN | EPOLLEXCLUSIVE);
}

/* ---- libmicrohttpd ---- */

static void on_daemon_event(struct watch *watch, uint32_t events)
{
    (void)events;
    CONTAINER_OF(watch, struct server, daemon_watch)->kick = true;
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
    return MHD_start_daemon(flags, 0, NULL, NULL, exchange_on_access, server,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool,
                            MHD_OPTION_CONNECTION_LIMIT, UINT32_MAX / 2,
                            MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_NOTIFY_CONNECTION,
                            on_connection, server, MHD_OPTION_NOTIFY_COMPLETED,
                            exchange_on_completed, server, MHD_OPTION_URI_LOG_CALLBACK,
                            exchange_on_uri, server, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                            MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

struct server *server_new(struct loop *loop, const struct server_options *options)
{
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return NULL;
    server->loop = loop;
    server->options = *options;
    server->accepting = true;
    server->accept_timer.fn = on_accept_timer;
    server->daemon_watch = (struct watch){.fd = -1, .fn = on_daemon_event};
    list_init(&server->clients);
    list_init(&server->idle);
    list_init(&server->dead);
    server->daemon = start_daemon(server);
    const union MHD_DaemonInfo *info =
        server->daemon == NULL ? NULL
                               : MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || loop_watch(loop, &server->daemon_watch, info->epoll_fd, EPOLLIN) < 0)
        return server_free(server);
    return server;
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
    LIST_FOREACH(node, &server->dead)
    {
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
    MHD_UNSIGNED_LONG_LONG timeout = 1;
    server_recv_begin(server);
    for (int i = 0; server->kick && i < MAX_RUNS_PER_TURN; i++) {
        server->kick = false;
        (void)MHD_run(server->daemon);
        if (MHD_get_timeout(server->daemon, &timeout) == MHD_YES && timeout == 0)
            server->kick = true;
    }
    server_recv_end();
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

void server_drain(struct server *server)
{
    for (struct listener *l = server->listeners; l != NULL && server->accepting; l = l->next)
        on_acceptable(&l->watch, EPOLLIN);
    server->draining = true;
    pause_accepting(server);
    while (!list_is_empty(&server->idle))
        close_one_idle(server);
}

/* Everything still parked or streaming ends now, as for a client that left. */
static void cut_all(struct server *server)
{
    LIST_FOREACH(node, &server->clients)
    {
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
    loop_timer_stop(server->loop, &server->accept_timer);
    cut_all(server);
    server->kick = true;
    server_run(server);
    loop_unwatch(server->loop, &server->daemon_watch);
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    reap(server);
    LIST_FOREACH(node, &server->clients)
    {
        client_free(LIST_ENTRY(node, struct client, node));
    }
    while (server->listeners != NULL) {
        struct listener *next = server->listeners->next;
        loop_unwatch(server->loop, &server->listeners->watch);
        free(server->listeners);
        server->listeners = next;
    }
    free(server->by_fd);
    free(server);
    return NULL;
}
