/* SPDX-License-Identifier: Apache-2.0 */
/* What libmicrohttpd sees of the operating system.
 *
 * libmicrohttpd calls recv(), send(), sendmsg(), epoll_ctl() and epoll_wait() through the dynamic
 * symbol table, so the five below, in our own executable, are the ones it gets. While it runs they
 * answer for its own epoll descriptor and for its connections; everything else in the process (our
 * loop, libcurl, resolvers) falls through to the kernel. No second socket, and no change to the
 * library. Writing is ours for the sake of TLS only
 * (docs/decisions/0012-tls-below-libmicrohttpd.md): what goes out on a plain connection goes on to
 * the kernel at once.
 *
 * The socket of a client is watched once, by our loop, for edges of every kind, as long as
 * libmicrohttpd owns it. What an edge said is remembered here. "Adding to the epoll set" only notes
 * whom to tell, and tells at once what is remembered, as the kernel does for a socket that is ready
 * already; "removing" only forgets whom to tell. So a request that waits for its answer (suspended:
 * removed, and resumed: added) costs no system call, and neither does a look for bytes that are
 * known not to be there. docs/decisions/0008-libmicrohttpd-on-our-events.md */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/server_int.h"

#define PORT_EVENTS (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET)
/* Events that stay true, and are told with every other one. */
#define PORT_FAULTS (EPOLLPRI | EPOLLERR | EPOLLHUP)
#define PORT_ENDS (EPOLLRDHUP | EPOLLERR | EPOLLHUP)

#define INTERPOSED __attribute__((visibility("default")))

/* The libmicrohttpd that is on this thread's stack; the one piece of thread state that the
 * interposed functions need, since they have no argument for it. */
static _Thread_local struct host *active;

void port_enter(struct host *host)
{
    active = host;
}

void port_leave(void)
{
    active = NULL;
}

/* Puts CLIENT among those whose events the next epoll_wait() gives out. */
static void tell(struct client *client)
{
    struct port *port = &client->port;
    if (!port->in_set)
        return;
    if (!list_is_linked(&port->node))
        list_append(&client->host->ready, &port->node);
    client->host->kick = true;
}

int port_open(struct client *client)
{
    /* Bytes may be there already; the first look is free of guessing. */
    client->port = (struct port){.readable = true, .sealed = client->tls != NULL};
    return loop_watch(client->server->loop, &client->watch, client->fd, PORT_EVENTS);
}

void port_close(struct client *client)
{
    list_unlink(&client->port.node);
    client->port.in_set = false;
    loop_unwatch(client->server->loop, &client->watch);
}

bool port_on_event(struct client *client, uint32_t events)
{
    struct port *port = &client->port;
    bool ends = (events & PORT_ENDS) != 0;
    port->readable = port->readable || ends || (events & EPOLLIN) != 0;
    port->writable = port->writable || (events & EPOLLOUT) != 0;
    port->faults |= events & PORT_FAULTS;
    if (client->tls != NULL && tls_is_crossed(client->tls)) {
        port->readable = true;
        port->writable = true;
    }
    tell(client);
    return ends;
}

void port_show_end(struct client *client)
{
    client->port.readable = true;
    tell(client);
}

static bool may_have_bytes(const struct client *client)
{
    return client->port.readable || client->held.len > 0 ||
           (client->tls != NULL && tls_has_bytes(client->tls));
}

void port_show_bytes(struct client *client)
{
    if (may_have_bytes(client))
        tell(client);
}

ssize_t port_receive(struct client *client, void *bytes, size_t len)
{
    struct port *port = &client->port;
    if (!port->readable) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t n = recvfrom(client->fd, bytes, len, MSG_DONTWAIT, NULL, NULL);
    bool emptied = n > 0 && (size_t)n < len;
    bool end_is_near = client->half_closed || client->stopped || port->faults != 0;
    if ((n < 0 && errno == EAGAIN) || (emptied && !end_is_near))
        port->readable = false; /* until the next edge */
    return n;
}

ssize_t port_read(struct client *client, void *bytes, size_t len)
{
    return client->tls == NULL ? port_receive(client, bytes, len)
                               : tls_read(client->tls, bytes, len);
}

/* sendmsg() itself is the one below. */
static ssize_t send_message(int fd, const struct msghdr *message, int flags)
{
    return (ssize_t)syscall(SYS_sendmsg, fd, message, flags);
}

ssize_t port_write(struct client *client, const struct iovec *parts, size_t n_parts)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                                   .msg_iovlen = n_parts};
    if (client->tls != NULL)
        return tls_write(client->tls, parts, n_parts);
    ssize_t n = send_message(client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    client->sent += n > 0 ? n : 0;
    return n;
}

/* The client of libmicrohttpd's that owns FD, when what it writes must not go there as it is. */
static struct client *sealed_client(int fd)
{
    struct client *client = active != NULL ? server_client_by_fd(active->server, fd) : NULL;
    return client != NULL && client->port.sealed ? client : NULL;
}

/* The proof of host_start(). Of an answer in two parts, head and body, a byte of the body is taken
 * along, and libmicrohttpd comes back for the rest: with send(), if it does as it always did. */
static size_t take_as_proof(const struct iovec *parts, size_t n_parts)
{
    return parts[0].iov_len + (n_parts > 1 && parts[1].iov_len > 0 ? 1 : 0);
}

INTERPOSED ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    struct client *client = sealed_client(fd);
    const struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    if (client == NULL)
        return sendto(fd, bytes, len, flags, NULL, 0);
    if (client->tls != NULL)
        return tls_write(client->tls, &part, 1);
    client->host->proven.by_send += len;
    return (ssize_t)len;
}

INTERPOSED ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct client *client = sealed_client(fd);
    if (client == NULL)
        return send_message(fd, message, flags);
    if (client->tls != NULL)
        return tls_write(client->tls, message->msg_iov, message->msg_iovlen);
    size_t len = take_as_proof(message->msg_iov, message->msg_iovlen);
    client->host->proven.by_sendmsg += len;
    return (ssize_t)len;
}

INTERPOSED ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    if (active == NULL)
        return recvfrom(fd, bytes, len, flags, NULL, NULL);
    struct client *client = server_client_by_fd(active->server, fd);
    if (client != NULL)
        return server_receive(client, bytes, len);
    errno = EAGAIN; /* taken over for a stream: what the client sends now is for later */
    return -1;
}

static void add_to_set(struct client *client, epoll_data_t data)
{
    struct port *port = &client->port;
    port->in_set = true;
    port->data = data;
    if (may_have_bytes(client) || port->writable || port->faults != 0)
        tell(client);
}

static void remove_from_set(struct client *client)
{
    client->port.in_set = false;
    list_unlink(&client->port.node);
}

INTERPOSED int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    if (active == NULL || epoll_fd != active->epoll_fd)
        return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
    struct client *client = server_client_by_fd(active->server, fd);
    if (client != NULL && op == EPOLL_CTL_DEL)
        remove_from_set(client);
    else if (client != NULL)
        add_to_set(client, event->data);
    return 0;
}

/* Room to write is told once: after a send that found none, the kernel makes a new edge. */
static uint32_t take_events(struct client *client)
{
    struct port *port = &client->port;
    uint32_t events = port->faults | (may_have_bytes(client) ? (uint32_t)EPOLLIN : 0U) |
                      (port->writable ? (uint32_t)EPOLLOUT : 0U);
    port->writable = false;
    return events;
}

INTERPOSED int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
    if (active == NULL || epoll_fd != active->epoll_fd)
        return epoll_pwait(epoll_fd, events, max, timeout_ms, NULL);
    int n = 0;
    while (n < max && !list_is_empty(&active->ready)) {
        struct client *client = LIST_ENTRY(list_first(&active->ready), struct client, port.node);
        list_unlink(&client->port.node);
        uint32_t what = take_events(client);
        if (what != 0)
            events[n++] = (struct epoll_event){.events = what, .data = client->port.data};
    }
    return n;
}
