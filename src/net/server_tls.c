/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes of TLS: a phase of their own, before libmicrohttpd gets a connection.
 *
 * A connection counts from its first moment, and has the client's timeout for the whole handshake;
 * until it says something it is idle, and makes room for others (client_stop_reading() ends it).
 * Afterwards everything that libmicrohttpd and we read and write goes through the session
 * (server_port.c). */
#include <errno.h>
#include <sys/socket.h>

#include "net/server_int.h"

#define HANDSHAKE_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
/* A connection that became ready while we drain may still send the request it was made for. */
#define LAST_REQUEST_MS 1000

static ssize_t io_read(void *ctx, void *bytes, size_t len)
{
    return port_receive(ctx, bytes, len);
}

static ssize_t io_write(void *ctx, const void *bytes, size_t len)
{
    struct client *client = ctx;
    ssize_t n = sendto(client->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
    client->sent += n > 0 ? n : 0;
    return n;
}

static const struct tls_io io = {.read = io_read, .write = io_write};

int handshake_begin(struct client *client, int fd, struct tls_context *context)
{
    struct server *server = client->server;
    client->owner = OWNER_HANDSHAKE;
    client->fd = fd;
    client->tls = tls_session_new(context, &io, client);
    int r = client->tls != NULL ? loop_watch(server->loop, &client->watch, fd, HANDSHAKE_EVENTS)
                                : -ENOMEM;
    if (r < 0) {
        client_free(client);
        return r;
    }
    client_set_idle(client, true);
    client_arm(client, server->options.client_timeout_ms);
    return 0;
}

static void report(const struct client *client, const char *outcome)
{
    const struct server_options *options = &client->server->options;
    if (tls_was_spoken_to(client->tls))
        options->handler->handshake(options->ctx, str_from_cstr(client->peer), outcome);
}

/* From here on the connection is like any other. */
static void succeed(struct client *client)
{
    const struct server *server = client->server;
    report(client, tls_outcome(client->tls));
    loop_unwatch(server->loop, &client->watch);
    if (client_adopt(client, client->fd) == 0 && server->draining)
        client_arm(client, LAST_REQUEST_MS);
}

/* In plain: nobody there would understand an alert. */
static void answer_plain_http(struct client *client)
{
    const struct server_options *options = &client->server->options;
    struct reply reply = {.status = 400, .body = buf_make(4096)};
    options->handler->refused(options->ctx, str_from_cstr(client->peer), 400, "plain_http",
                              "The plain HTTP request was sent to an HTTPS port", &reply);
    client_last_word(client, &reply);
}

/* An alert is out, unless nobody is there to read it: the peer gets the time to. */
static void give_up(struct client *client)
{
    bool is_http = tls_is_plain_http(client->tls);
    report(client, tls_outcome(client->tls));
    client->tls = tls_session_free(client->tls);
    if (is_http)
        answer_plain_http(client);
    client_begin_linger(client, client->fd);
}

/* A fresh socket has room to write, which is an event, too: the memory for a handshake is taken
 * when there is something to read. */
static bool has_begun(const struct client *client)
{
    return client->port.readable || tls_was_spoken_to(client->tls);
}

void handshake_on_event(struct client *client, uint32_t events)
{
    if (port_on_event(client, events)) /* the end has one edge only, often that of the last bytes */
        client->half_closed = true;
    if (!has_begun(client))
        return;
    enum tls_rc rc = tls_handshake(client->tls);
    if (tls_was_spoken_to(client->tls))
        client_set_idle(client, false);
    switch (rc) {
    case TLS_AGAIN:
        break;
    case TLS_OK:
        succeed(client);
        break;
    case TLS_FAILED:
        give_up(client);
        break;
    }
}

void handshake_on_deadline(struct client *client)
{
    report(client, "timeout");
    client_free(client);
}
