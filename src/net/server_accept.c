/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting: when to take a connection in, and what to do when there is no room. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/listen.h"
#include "net/server_int.h"

#define ACCEPT_BATCH 32
#define ACCEPT_PAUSE_MS 100

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

void accept_on_room(struct server *server)
{
    /* However long we meant to look away. */
    loop_timer_stop(server->loop, &server->accept_timer);
    resume_accepting(server);
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

/* There is no room for another connection. Only when one is known to WAIT (the listener has just
 * been reported readable) an idle one must go for it; and as the listener stays readable, we look
 * away for a moment. Until then another connection may have become idle, or have left. */
static void make_room(struct server *server, bool one_waits)
{
    if (!one_waits)
        return;
    close_one_idle(server);
    pause_accepting(server);
    (void)loop_timer_in(server->loop, &server->accept_timer, ACCEPT_PAUSE_MS);
}

static void accept_one(const struct listener *listener, int fd, const struct sockaddr_storage *addr,
                       socklen_t addr_len)
{
    struct server *server = listener->server;
    const struct server_peers *peers = server->options.peers;
    void *place = NULL;
    if (peers != NULL && !peers->enter(peers->ctx, addr, &place)) {
        (void)close(fd);
        server->stats.refused_peers++;
        return;
    }
    struct client *client = client_new(server, addr, addr_len);
    if (client != NULL)
        client->place = place;
    else if (peers != NULL)
        peers->leave(peers->ctx, place);
    if (client == NULL) {
        (void)close(fd);
        server->stats.accept_faults++;
        return;
    }
    if (!listener->queue_is_tuned)
        listen_tune(fd, server->options.client_timeout_ms);
    int r = listener->tls != NULL ? handshake_begin(client, fd, listener->tls)
                                  : client_adopt(client, fd);
    if (r == 0)
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
            accept_one(listener, fd, &addr, addr_len);
            continue;
        }
        if (errno == EAGAIN)
            listener->queue_is_tuned = true;
        if (is_passing_fault(errno))
            return;
        /* Out of descriptors or memory; Linux says so also when nobody waits. */
        server->stats.accept_faults++;
        make_room(server, i == 0);
        return;
    }
}

int server_listen(struct server *server, int fd, struct tls_context *tls)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return -ENOMEM;
    *listener = (struct listener){.server = server,
                                  .fd = fd,
                                  .tls = tls != NULL ? tls_context_ref(tls) : NULL,
                                  .next = server->listeners,
                                  .watch = {.fd = -1, .fn = on_acceptable}};
    server->listeners = listener;
    listen_tune(fd, server->options.client_timeout_ms);
    return loop_watch(server->loop, &listener->watch, fd, EPOLLIN | EPOLLEXCLUSIVE);
}

void server_set_tls(struct server *server, int fd, struct tls_context *tls)
{
    for (struct listener *l = server->listeners; l != NULL; l = l->next) {
        if (l->fd != fd || l->tls == NULL)
            continue;
        (void)tls_context_unref(l->tls);
        l->tls = tls_context_ref(tls);
    }
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

void accept_init(struct server *server)
{
    server->accepting = true;
    server->accept_timer.fn = on_accept_timer;
}

void accept_end(struct server *server)
{
    loop_timer_stop(server->loop, &server->accept_timer);
    while (server->listeners != NULL) {
        struct listener *next = server->listeners->next;
        loop_unwatch(server->loop, &server->listeners->watch);
        (void)tls_context_unref(server->listeners->tls);
        free(server->listeners);
        server->listeners = next;
    }
}
