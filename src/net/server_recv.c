/* SPDX-License-Identifier: Apache-2.0 */
/* Where received bytes pass the strict filter before libmicrohttpd sees them.
 * Its recv() is ours (server_port.c) and comes here: what was read goes through proto/http1_request
 * before libmicrohttpd gets it. No second copy.
 *
 * libmicrohttpd asks for bytes only while it reads a message, when every earlier answer has been
 * sent; so a refusal can be written here at once without mixing into another answer. Bytes behind
 * the end of a message are given only when they are good so far; the rest is refused when it is
 * that message's turn. */
#include <errno.h>

#include "net/server_int.h"

/* The last complete message has no answer yet, or not all of it is out. libmicrohttpd reads now and
 * then in this time too, after a resume; the end of the stream would make it drop the answer. */
static bool answer_is_due(const struct client *client)
{
    const struct exchange *exchange = client->exchange;
    return exchange != NULL && (exchange->phase == PHASE_PARKED || exchange->phase == PHASE_REPLY);
}

/* exchange_on_completed() makes libmicrohttpd look again when the answer is out. */
static ssize_t not_now(void)
{
    errno = EAGAIN;
    return -1;
}

/* Says why, and lets libmicrohttpd believe that the client is gone. */
static ssize_t refuse(struct client *client, unsigned status, const char *name,
                      const char *description)
{
    const struct server_options *options = &client->server->options;
    struct reply reply = {.status = status, .body = buf_make(4096)};
    if (answer_is_due(client))
        return not_now();
    if (!client->last_word_said) {
        options->handler->refused(options->ctx, str_from_cstr(client->peer), status, name,
                                  description, &reply);
        client_last_word(client, &reply);
        if (client->exchange != NULL)
            client->exchange->refused = true;
    }
    return 0;
}

static ssize_t refuse_bytes(struct client *client)
{
    struct http1_request_reason reason =
        http1_request_reason(http1_request_refused(&client->filter));
    return refuse(client, reason.status, reason.name, reason.description);
}

static ssize_t refuse_late(struct client *client)
{
    return refuse(client, 408, "client_timeout", "The request did not arrive in time");
}

/* The first byte of a message starts the clock; the end of its head starts it anew for the body. A
 * pipelined message waits for its turn first (exchange_on_completed() arms it then). */
static void note_progress(struct client *client, bool was_idle, bool was_in_head, size_t len)
{
    int64_t timeout_ms = client->server->options.client_timeout_ms;
    bool in_head = http1_request_in_head(&client->filter);
    if (was_idle)
        client->ahead++;
    if (was_idle && (client->exchange != NULL || client->ahead > 1))
        return;
    if (was_idle) {
        client_set_idle(client, false);
        client->body_bytes = 0;
        client_arm(client, timeout_ms);
    } else if (was_in_head && !in_head) {
        client_arm(client, timeout_ms);
    }
    if (!in_head)
        client->body_bytes += len;
}

/* Feeds what came; returns how many bytes libmicrohttpd may have: all, or those of the messages
 * before the one that is bad. The beginning of a bad message is never given. */
static size_t filter_bytes(struct client *client, const char *bytes, size_t len)
{
    size_t good = 0;
    while (good < len) {
        bool was_idle = http1_request_idle(&client->filter);
        bool was_in_head = http1_request_in_head(&client->filter);
        size_t used = http1_request_feed(&client->filter, bytes + good, len - good);
        if (http1_request_refused(&client->filter) != HTTP1_REQUEST_OK)
            return good;
        good += used;
        note_progress(client, was_idle, was_in_head, used);
    }
    return good;
}

ssize_t server_receive(struct client *client, void *bytes, size_t len)
{
    if (client->timed_out && !http1_request_idle(&client->filter))
        return refuse_late(client);
    if (http1_request_refused(&client->filter) != HTTP1_REQUEST_OK)
        return refuse_bytes(client);
    ssize_t n = port_read(client, bytes, len);
    /* We want to close, between two requests: that needs no words. What came before is served. */
    if (n <= 0 && client->timed_out)
        return answer_is_due(client) ? not_now() : 0;
    if (n <= 0)
        return n;
    if (client->half_closed && (size_t)n < len)
        port_show_end(client);
    size_t good = filter_bytes(client, bytes, (size_t)n);
    if (http1_request_refused(&client->filter) == HTTP1_REQUEST_OK)
        return n;
    if (good == 0)
        return refuse_bytes(client);
    /* The refusal waits for the answers before it. libmicrohttpd would wait for more bytes then;
     * the end of the stream is what wakes it. */
    client_stop_reading(client);
    return (ssize_t)good;
}
