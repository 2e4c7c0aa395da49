/* SPDX-License-Identifier: Apache-2.0 */
/* The server as a whole, and libmicrohttpd's place in a loop turn. */
#include "net/server.h"

#include <stdlib.h>

#include "net/server_int.h"

/* Memory of a connection: head and fields of a request, then the head of its answer. Half of it is
 * what one read may bring. */
#define SMALL_POOL_BYTES (8U * 1024)
/* What the large one has besides the request head itself. */
#define LARGE_EXTRA_BYTES (12U * 1024)

const char *server_library_version(void)
{
    return MHD_get_version();
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
    list_init(&server->moving);
    bool started = host_start(&server->small, server, SMALL_POOL_BYTES) &&
                   host_start(&server->large, server, options->header_bytes + LARGE_EXTRA_BYTES);
    return started ? server : server_free(server);
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
    buf_free(&exchange->long_head);
    buf_free(&exchange->long_body);
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
        bool gone = exchange->gone;
        /* Closing with bytes unread would be a reset, in which the end of the answer is lost. */
        bool unread = client != NULL && (client->linger || client_has_more(client));
        bool close_it = exchange->close_after || gone || server->draining;
        if (client != NULL)
            client->exchange = NULL;
        exchange_free(exchange);
        if (!give_back)
            continue;
        server->stats.streams--;
        int fd = client->fd;
        if (close_it && unread && !gone)
            client_begin_linger(client, fd);
        else if (close_it)
            client_free(client);
        if (close_it)
            continue;
        loop_unwatch(server->loop, &client->watch);
        (void)client_adopt(client, fd);
    }
}

void server_run(struct server *server)
{
    host_run(&server->small);
    host_run(&server->large);
    reap(server);
}

int server_wait_hint(const struct server *server)
{
    bool busy = server->small.kick || server->large.kick || !list_is_empty(&server->dead);
    return busy ? 0 : -1;
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
        else if (client->owner == OWNER_LINGER || client->owner == OWNER_HANDSHAKE)
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
    server->small.kick = server->small.daemon != NULL;
    server->large.kick = server->large.daemon != NULL;
    server_run(server);
    host_stop(&server->small);
    host_stop(&server->large);
    reap(server);
    LIST_FOREACH (node, &server->clients) {
        client_free(LIST_ENTRY(node, struct client, node));
    }
    accept_end(server);
    free(server->by_fd);
    free(server);
    return NULL;
}
