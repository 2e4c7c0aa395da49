/* SPDX-License-Identifier: Apache-2.0 */
/* Where received bytes pass the strict filter before libmicrohttpd sees them.
 * Its recv() is ours (server_port.c) and comes here: what was read goes through proto/http1_request
 * before libmicrohttpd gets it, as a rule in the memory that it has given for it.
 *
 * It gets one message at a time. Bytes behind the end of a message are held back, unseen by the
 * filter too, until the answer to it is out; so a refusal can be written at once without mixing
 * into another answer. It gets a head only when that is whole and known to fit its memory: a
 * connection whose head does not fit the small host moves to the large one, and stays there, and
 * what does not fit that one either is refused here. The beginning of a bad message is never given
 * to it. */
#include <errno.h>

#include "net/server_int.h"

/* The message that libmicrohttpd has is complete, or answered before its end, and not all of the
 * answer is out. libmicrohttpd reads now and then in this time too, after a resume; the end of the
 * stream would make it drop the answer. */
static bool answer_is_due(const struct client *client)
{
    const struct exchange *exchange = client->exchange;
    bool has_whole_message = http1_request_idle(&client->filter) && client->held_fed == 0;
    if (exchange == NULL)
        return has_whole_message && client->ahead > 0;
    return has_whole_message || exchange->phase == PHASE_PARKED || exchange->phase == PHASE_REPLY;
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
    if (!client->last_word_said) {
        options->handler->refused(options->ctx, str_from_cstr(client->peer), status, name,
                                  description, &reply);
        client_last_word(client, &reply);
        if (client->exchange != NULL)
            client->exchange->refused = true;
    }
    return 0;
}

static ssize_t refuse_for(struct client *client, enum http1_request_rc rc)
{
    struct http1_request_reason reason = http1_request_reason(rc);
    return refuse(client, reason.status, reason.name, reason.description);
}

static ssize_t refuse_bytes(struct client *client)
{
    return refuse_for(client, http1_request_refused(&client->filter));
}

static ssize_t refuse_late(struct client *client)
{
    return refuse(client, 408, "client_timeout", "The request did not arrive in time");
}

/* The first byte of a message starts the clock; the end of its head starts it anew for the body. */
static void note_progress(struct client *client, bool was_idle, bool was_in_head, size_t len)
{
    int64_t timeout_ms = client->server->options.client_timeout_ms;
    bool in_head = http1_request_in_head(&client->filter);
    if (was_idle) {
        client->ahead++;
        client_set_idle(client, false);
        client->body_bytes = 0;
        client_arm(client, timeout_ms);
    } else if (was_in_head && !in_head) {
        client_arm(client, timeout_ms);
    }
    if (!in_head)
        client->body_bytes += len;
}

/* Shows the filter what came, to the end of the current message at most. Returns how much of it is
 * good. */
static size_t feed(struct client *client, const char *bytes, size_t len)
{
    bool was_idle = http1_request_idle(&client->filter);
    bool was_in_head = http1_request_in_head(&client->filter);
    if (was_idle)
        client->passing = false;
    size_t used = http1_request_feed(&client->filter, bytes, len);
    if (http1_request_refused(&client->filter) == HTTP1_REQUEST_OK)
        note_progress(client, was_idle, was_in_head, used);
    return used;
}

static bool is_refused(const struct client *client)
{
    return http1_request_refused(&client->filter) != HTTP1_REQUEST_OK;
}

enum verdict { MAY_PASS, NEEDS_MORE, NEEDS_LARGE, IS_TOO_LARGE };

/* BYTES are what there is of the current message, of which libmicrohttpd has nothing yet. On
 * what fails here libmicrohttpd would end the connection or leave it hanging, without a word:
 * thousands of cookies or arguments, each a record in its memory. Where the body that came with the
 * head would take the records' room, the head goes alone first. */
static enum verdict judge_head(struct client *client, struct str bytes)
{
    bool is_small = client->host == &client->server->small;
    size_t room = client->host->pool_bytes - REPLY_HEAD_BYTES;
    if (http1_request_in_head(&client->filter))
        return is_small && bytes.len > client->host->pool_bytes / 2 ? NEEDS_LARGE : NEEDS_MORE;
    struct server_pool_need need = server_pool_need(bytes, is_small);
    if (need.bytes > room)
        return is_small ? NEEDS_LARGE : IS_TOO_LARGE;
    client->head_left = need.bytes + (bytes.len - need.head_len) > room ? need.head_len : 0;
    return MAY_PASS;
}

static enum verdict judge(struct client *client, struct str bytes)
{
    enum verdict verdict = client->passing ? MAY_PASS : judge_head(client, bytes);
    client->passing = verdict == MAY_PASS;
    return verdict;
}

/* How many of GOOD bytes may be given at once. */
static size_t take_passing(struct client *client, size_t good)
{
    if (client->head_left == 0)
        return good;
    size_t n = size_min(good, client->head_left);
    client->head_left -= n;
    return n;
}

/* The end of the stream, or nothing now. When we want to close between two requests, that needs no
 * words. */
static ssize_t no_bytes(const struct client *client, ssize_t n)
{
    return client->timed_out ? 0 : n;
}

static ssize_t move(struct client *client)
{
    client_leave_host(client);
    return 0; /* libmicrohttpd lets go of a connection that ends between two messages */
}

/* Reads on behind what is held. */
static ssize_t read_more(struct client *client)
{
    struct buf *held = &client->held;
    if (buf_reserve(held, client->host->pool_bytes / 2) < 0)
        return 0;
    ssize_t n = port_read(client, held->ptr + held->len, client->host->pool_bytes / 2);
    if (n > 0)
        held->len += (size_t)n;
    return n;
}

static void feed_held(struct client *client)
{
    struct str rest = str_from(buf_str(&client->held), client->held_fed);
    client->held_fed += feed(client, rest.ptr, rest.len);
}

static ssize_t give_held(struct client *client, void *bytes, size_t len)
{
    size_t n = take_passing(client, size_min(len, client->held_fed));
    memcpy(bytes, client->held.ptr, n);
    buf_consume(&client->held, n);
    client->held_fed -= n;
    if (client->held.len == 0)
        buf_free_wiped(&client->held);
    return (ssize_t)n;
}

/* Something is held: the rest of a message that libmicrohttpd has the head of, a head that is not
 * whole, or what came behind the end of the last message. */
static ssize_t receive_held(struct client *client, void *bytes, size_t len)
{
    if (client->held_fed == 0)
        feed_held(client);
    for (;;) {
        if (is_refused(client))
            return refuse_bytes(client);
        ssize_t n = 0;
        switch (judge(client, str_head(buf_str(&client->held), client->held_fed))) {
        case MAY_PASS:
            return give_held(client, bytes, len);
        case NEEDS_LARGE:
            return move(client);
        case IS_TOO_LARGE:
            return refuse_for(client, HTTP1_REQUEST_HEAD_SIZE);
        case NEEDS_MORE:
            n = read_more(client);
            if (n <= 0)
                return no_bytes(client, n);
            feed_held(client);
        }
    }
}

/* Keeps back BYTES, of which the filter has seen FED. */
static bool hold(struct client *client, struct str bytes, size_t fed)
{
    client->held_fed = fed;
    return buf_append(&client->held, bytes) == 0;
}

static ssize_t receive_new(struct client *client, char *bytes, size_t len)
{
    ssize_t n = port_read(client, bytes, len);
    if (n <= 0)
        return no_bytes(client, n);
    struct str all = str_make(bytes, (size_t)n);
    size_t good = feed(client, bytes, all.len);
    if (is_refused(client))
        return refuse_bytes(client);
    if (judge(client, str_head(all, good)) != MAY_PASS)
        return hold(client, all, good) ? receive_held(client, bytes, len) : 0;
    size_t now = take_passing(client, good);
    if (now < all.len && !hold(client, str_from(all, now), good - now))
        return 0;
    return (ssize_t)now;
}

ssize_t server_receive(struct client *client, void *bytes, size_t len)
{
    /* libmicrohttpd looks now and then in this time too, after a resume. */
    if (answer_is_due(client))
        return not_now();
    if (client->timed_out && !http1_request_idle(&client->filter))
        return refuse_late(client);
    if (is_refused(client))
        return refuse_bytes(client);
    ssize_t n =
        client->held.len > 0 ? receive_held(client, bytes, len) : receive_new(client, bytes, len);
    /* It takes a short read for the end of what is there. */
    if (n > 0 && (size_t)n < len)
        port_show_bytes(client);
    return n;
}
