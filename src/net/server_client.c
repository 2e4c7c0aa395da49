/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: who owns its socket, its deadlines, its end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/server_int.h"

#define BODY_BYTES_PER_SECOND (16U * 1024)
/* A head that is not complete yet, and one read, which is smaller than this and a head. */
#define HELD_EXTRA_BYTES (64U * 1024)
#define LINGER_MS 2000
#define LINGER_MAX_BYTES (8U * 1024 * 1024)
#define LAST_WORD_MAX_BYTES (16U * 1024)

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
    port_show_end(client);
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

/* The kernel holds bytes that the peer has not taken, or does not tell. */
static bool reader_is_behind(const struct client *client)
{
    int n = 0;
    return ioctl(client->fd, SIOCOUTQ, &n) < 0 || n > 0;
}

/* libmicrohttpd waits for room to write, and reads nothing meanwhile, not even the end: an answer,
 * or the "100 Continue" before a body, that a reader does not take would keep the connection for
 * ever. */
static bool is_stuck_in_writing(const struct client *client)
{
    const struct exchange *exchange = client->exchange;
    if (exchange == NULL)
        return false;
    bool reads_a_body = exchange->phase == PHASE_BODY || exchange->phase == PHASE_DROP;
    return exchange->phase == PHASE_REPLY || (reads_a_body && reader_is_behind(client));
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
    case OWNER_HANDSHAKE:
        handshake_on_deadline(client);
        break;
    case OWNER_MHD:
    case OWNER_MOVING:
        if (client->exchange != NULL && client->exchange->phase == PHASE_BODY &&
            body_is_making_progress(client))
            return;
        client->timed_out = true;
        client_stop_reading(client);
        if (is_stuck_in_writing(client))
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

static void on_peer_left(struct client *client)
{
    struct exchange *exchange = client->exchange;
    if (client->stopped)
        return;
    client->half_closed = true;
    if (exchange != NULL && exchange->suspended)
        exchange_abandon(exchange);
    else
        port_show_end(client);
}

static void on_client_event(struct watch *watch, uint32_t events)
{
    struct client *client = CONTAINER_OF(watch, struct client, watch);
    switch (client->owner) {
    case OWNER_MHD:
        if (port_on_event(client, events))
            on_peer_left(client);
        break;
    case OWNER_MOVING:
        break;
    case OWNER_STREAM:
        stream_on_event(client, events);
        break;
    case OWNER_LINGER:
        on_linger(client);
        break;
    case OWNER_HANDSHAKE:
        handshake_on_event(client, events);
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

struct client *client_new(struct server *server, const struct sockaddr_storage *addr,
                          socklen_t addr_len)
{
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    client->server = server;
    client->host = &server->small;
    client->held = buf_make(2 * server->options.header_bytes + HELD_EXTRA_BYTES);
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

/* With TLS an end that is announced is no cut (RFC 8446 6.1). */
static void end_tls(struct client *client)
{
    if (client->tls == NULL)
        return;
    if (!client->cut)
        tls_say_end(client->tls);
    client->tls = tls_session_free(client->tls);
}

void client_free(struct client *client)
{
    struct server *server = client->server;
    end_tls(client);
    port_close(client);
    loop_timer_stop(server->loop, &client->timer);
    unregister_fd(client);
    if (client->owner != OWNER_MHD && client->fd >= 0)
        (void)close(client->fd);
    list_unlink(&client->node);
    list_unlink(&client->idle_node);
    if (client->place != NULL)
        server->options.peers->leave(server->options.peers->ctx, client->place);
    buf_free_wiped(&client->held);
    server->stats.connections--;
    free(client);
    accept_on_room(server);
}

int client_move(struct client *client, int fd)
{
    int r = register_fd(client->server, fd, client);
    if (r < 0)
        return r;
    port_close(client);
    unregister_fd(client);
    client->fd = fd;
    return 0;
}

/* Frees CLIENT and closes FD when that fails. */
static int enter_host(struct client *client, int fd)
{
    struct server *server = client->server;
    /* libmicrohttpd wants an address and knows nothing of unix sockets. */
    const struct sockaddr_in nowhere = {.sin_family = AF_INET};
    bool is_unix = client->addr.ss_family == AF_UNIX;
    const struct sockaddr *addr =
        is_unix ? (const struct sockaddr *)&nowhere : (const struct sockaddr *)&client->addr;
    client->owner = OWNER_MHD;
    client->fd = fd;
    int r = register_fd(server, fd, client);
    if (r == 0)
        r = port_open(client);
    if (r < 0) {
        client_free(client);
        (void)close(fd);
        return r;
    }
    server->adopting = client;
    enum MHD_Result added = MHD_add_connection(
        client->host->daemon, fd, addr, is_unix ? (socklen_t)sizeof(nowhere) : client->addr_len);
    server->adopting = NULL;
    client->host->kick = true;
    if (added == MHD_YES)
        return 0;
    if (client->mhd == NULL) {
        client->cut = true; /* the descriptor is closed already */
        client_free(client);
    }
    return -EIO;
}

int client_adopt(struct client *client, int fd)
{
    int r = enter_host(client, fd);
    if (r < 0)
        return r;
    client_set_idle(client, true);
    client_arm(client, client->server->options.client_timeout_ms);
    return 0;
}

/* The socket goes on under another number, as for a stream; libmicrohttpd closes its own. There is
 * no way back: who sent one large request sends others, with the same long token, and every move
 * costs more than what a small request on the large host does. */
void client_leave_host(struct client *client)
{
    struct server *server = client->server;
    int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && client_move(client, fd) < 0) {
        (void)close(fd);
        fd = -1;
    }
    if (fd < 0)
        return; /* the connection ends */
    client->owner = OWNER_MOVING;
    client->host = &server->large;
    list_append(&server->moving, &client->port.node);
}

void client_enter_host(struct client *client)
{
    (void)enter_host(client, client->fd);
}

bool client_has_more(const struct client *client)
{
    return client->ahead > 0 || client->held.len > 0;
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
    bool is_stuck = client->tls != NULL && tls_is_stuck(client->tls);
    const struct iovec all = {.iov_base = out.ptr, .iov_len = out.len};
    if (!buf_failed(&out) && !is_stuck)
        (void)port_write(client, &all, 1);
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
    end_tls(client);
    (void)shutdown(fd, SHUT_WR);
    client_arm(client, LINGER_MS);
    if (loop_watch(loop, &client->watch, fd, EPOLLIN | EPOLLRDHUP) < 0)
        client_free(client);
}
