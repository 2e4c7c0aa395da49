/* SPDX-License-Identifier: Apache-2.0 */
/* Streamed answers on a connection that we take over from libmicrohttpd.
 *
 * Resuming a connection in libmicrohttpd walks all suspended ones, so thousands of open streams
 * would make every event on any of them dear. Instead, a stream leaves libmicrohttpd: its socket is
 * duplicated, libmicrohttpd closes its own copy (MHD_USE_TURBO: without a shutdown), and head and
 * chunks are written here, as the bytes come. When the answer is complete the socket goes back with
 * MHD_add_connection() and serves the next request. docs/decisions/0002-streams.md */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/server_int.h"

/* What a writer may still add after it was told to wait: one read of the upstream, framed. */
#define OUT_MARGIN_BYTES (256U * 1024)
#define OUT_MAX_HEAD (96U * 1024)
#define NEVER_CAUGHT_UP INT64_MAX
#define TAKEN_UNKNOWN (INT64_MIN / 2) /* whatever the kernel says later is enough */

static bool wants_close(const struct exchange_head *head)
{
    for (size_t i = 0; i < head->n_fields; i++) {
        struct str rest = head->fields[i].value;
        struct str token;
        if (!str_eq_nocase(head->fields[i].name, STR("Connection")))
            continue;
        while (str_split(&rest, ',', &token))
            if (str_eq_nocase(str_trim(token), STR("close")))
                return true;
    }
    return head->http10;
}

/* The peer is gone or does not read: nothing can be sent any more. */
static void stream_break(struct exchange *exchange)
{
    const struct server_options *options = &exchange->server->options;
    if (exchange->gone)
        return;
    exchange->gone = true;
    exchange->close_after = true;
    exchange->client->cut = true;
    buf_free(&exchange->out);
    loop_unwatch(exchange->server->loop, &exchange->client->watch);
    loop_timer_stop(exchange->server->loop, &exchange->client->timer);
    options->handler->gone(options->ctx, exchange);
    exchange_mark_dead(exchange);
}

/* Writes as much of the two parts as the socket takes; returns the number of bytes, or -1. */
static ssize_t send_parts(struct client *client, struct str first, struct str second)
{
    const struct iovec parts[2] = {
        {.iov_base = (void *)(uintptr_t)first.ptr, .iov_len = first.len},
        {.iov_base = (void *)(uintptr_t)second.ptr, .iov_len = second.len}};
    ssize_t n = port_write(client, parts, ARRAY_LEN(parts));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n;
}

/* How the peer's leaving shows; once we stopped reading, EPOLLRDHUP is our own doing. One that had
 * sent its last byte before the answer was known is let to read it. */
static uint32_t leaving_events(const struct client *client)
{
    return client->stopped || client->half_closed ? 0U : (uint32_t)EPOLLRDHUP;
}

/* What was sent and is not in the kernel any more, the reader's side has taken. False when nobody
 * can tell. */
static bool ask_taken(struct client *client, int64_t *ret_taken)
{
    int unread = 0;
    if (ioctl(client->fd, SIOCOUTQ, &unread) < 0) {
        client->server->stats.readers_unmeasured = true;
        return false;
    }
    *ret_taken = client->sent - unread;
    return true;
}

static void begin_waiting(struct client *client)
{
    if (!ask_taken(client, &client->taken))
        client->taken = TAKEN_UNKNOWN;
    client->caught_up = NEVER_CAUGHT_UP;
    client_arm(client, client->server->options.client_timeout_ms);
}

/* Bytes wait for the reader, perhaps for a moment only: the kernel may have room for all of them
 * soon. That alone does not end the stretch of time in which it has to take its share, or a large
 * buffer would hide how slow it is. Only a reader that had taken all there was when nothing waited
 * begins anew: it has waited for us. */
static void note_waiting(struct client *client)
{
    int64_t taken;
    if (timer_is_armed(&client->timer) && client->caught_up == NEVER_CAUGHT_UP)
        return;
    if (!timer_is_armed(&client->timer) || !ask_taken(client, &taken) || taken >= client->caught_up)
        begin_waiting(client);
    client->caught_up = NEVER_CAUGHT_UP;
}

static void note_nothing_waits(struct client *client)
{
    if (client->caught_up == NEVER_CAUGHT_UP)
        client->caught_up = client->sent;
}

static void watch_for_room(struct exchange *exchange)
{
    struct client *client = exchange->client;
    bool waiting = exchange->out.len > 0;
    uint32_t events = leaving_events(client) | (waiting ? (uint32_t)EPOLLOUT : 0U);
    if (loop_rewatch(exchange->server->loop, &client->watch, events) < 0)
        stream_break(exchange);
    else if (waiting)
        note_waiting(client);
    else
        note_nothing_waits(client);
}

static void finish_if_flushed(struct exchange *exchange)
{
    if (exchange->finishing && exchange->out.len == 0 && !exchange->gone)
        exchange_mark_dead(exchange);
}

static void stream_flush(struct exchange *exchange)
{
    const struct server_options *options = &exchange->server->options;
    struct client *client = exchange->client;
    ssize_t n = send_parts(client, buf_str(&exchange->out), STR(""));
    if (n < 0) {
        stream_break(exchange);
        return;
    }
    buf_consume(&exchange->out, (size_t)n);
    watch_for_room(exchange);
    if (exchange->full && exchange->out.len <= SERVER_STREAM_HIGH_BYTES / 2 && !exchange->gone) {
        exchange->full = false;
        options->handler->drained(options->ctx, exchange);
    }
    finish_if_flushed(exchange);
}

/* Sends HEAD and BODY in this order, behind what waits already. */
static void stream_send(struct exchange *exchange, struct str head, struct str body)
{
    size_t sent = 0;
    if (exchange->out.len == 0) {
        ssize_t n = send_parts(exchange->client, head, body);
        if (n < 0) {
            stream_break(exchange);
            return;
        }
        sent = (size_t)n;
    }
    if (sent == head.len + body.len)
        return;
    (void)buf_append(&exchange->out, str_from(head, sent));
    (void)buf_append(&exchange->out, str_from(body, sent > head.len ? sent - head.len : 0));
    if (buf_failed(&exchange->out)) /* the writer ignored "enough", or memory is short */
        stream_break(exchange);
    else
        watch_for_room(exchange);
}

void stream_on_event(struct client *client, uint32_t events)
{
    struct exchange *exchange = client->exchange;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        stream_break(exchange);
    else if ((events & EPOLLOUT) != 0)
        stream_flush(exchange);
}

/* What a reader has to take in the time it has: one byte, or what the least rate asks for. */
static int64_t least_taken(const struct server_options *options)
{
    uint64_t bytes =
        (uint64_t)options->min_rate_bytes * (uint64_t)options->client_timeout_ms / 1000;
    return bytes < 1 ? 1 : (int64_t)bytes;
}

/* The kernel tells of room when about a third of its buffer is free, so what could be sent
 * meanwhile does not say what was taken. When nobody can tell, the reader has the doubt. */
void stream_on_deadline(struct client *client)
{
    int64_t taken;
    if (client->exchange->out.len == 0) /* the next time that bytes wait is another stretch */
        return;
    if (!ask_taken(client, &taken) ||
        taken - client->taken >= least_taken(&client->server->options))
        begin_waiting(client);
    else
        stream_break(client->exchange);
}

/* RFC 9110 6.4.1: the status alone says that there is no body, and framing fields would be read as
 * those of one. */
static bool has_no_body(unsigned status)
{
    return status == 204 || status == 304;
}

/* From libmicrohttpd to us: a descriptor of our own, watched for the peer leaving. */
static int take_over(struct exchange *exchange)
{
    struct client *client = exchange->client;
    int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -errno;
    int r = client_move(client, fd);
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    client->owner = OWNER_STREAM;
    r = loop_watch(exchange->server->loop, &client->watch, fd, leaving_events(client));
    exchange->close_after =
        client_has_more(client) || client->stopped || wants_close(&exchange->head) || r < 0;
    exchange->taking_over = true;
    exchange->phase = PHASE_STREAM;
    exchange->server->stats.streams++;
    exchange_wake(exchange);
    return 0;
}

static void append_framing(const struct exchange *exchange, struct buf *head, int64_t length)
{
    if (length >= 0)
        (void)buf_printf(head, "Content-Length: %lld\r\n", (long long)length);
    else if (exchange->chunked_out)
        (void)buf_append(head, STR("Transfer-Encoding: chunked\r\n"));
    if (exchange->close_after)
        (void)buf_append(head, STR("Connection: close\r\n"));
    (void)buf_append(head, STR("\r\n"));
}

int exchange_stream(struct exchange *exchange, unsigned status, const struct http1_field *fields,
                    size_t n_fields, int64_t content_length)
{
    if (exchange->gone || exchange->client == NULL || !exchange->suspended)
        return -ENOTCONN;
    int r = take_over(exchange);
    if (r < 0)
        return r;
    struct buf head = buf_make(OUT_MAX_HEAD);
    exchange->out = buf_make(SERVER_STREAM_HIGH_BYTES + OUT_MARGIN_BYTES);
    exchange->left_out = has_no_body(status) ? 0 : content_length;
    exchange->chunked_out = exchange->left_out < 0 && !exchange->head.http10;
    exchange->close_after = exchange->close_after || exchange->server->draining;
    server_append_head(exchange->server, &head, status, fields, n_fields);
    append_framing(exchange, &head, has_no_body(status) ? -1 : content_length);
    if (buf_failed(&head))
        stream_break(exchange);
    else
        stream_send(exchange, buf_str(&head), STR(""));
    buf_free(&head);
    return 0;
}

static void send_chunk(struct exchange *exchange, struct str bytes)
{
    char size[24];
    int n = snprintf(size, sizeof(size), "%zx\r\n", bytes.len);
    struct str frame = str_make(size, n > 0 ? (size_t)n : 0);
    /* One system call for an ordinary event: size, bytes and line end together. */
    char small[4096];
    if (frame.len + bytes.len + 2 <= sizeof(small)) {
        memcpy(small, frame.ptr, frame.len);
        memcpy(small + frame.len, bytes.ptr, bytes.len);
        memcpy(small + frame.len + bytes.len, "\r\n", 2);
        stream_send(exchange, str_make(small, frame.len + bytes.len + 2), STR(""));
        return;
    }
    stream_send(exchange, frame, bytes);
    if (!exchange->gone)
        stream_send(exchange, STR("\r\n"), STR(""));
}

/* A piece that is written in its turn waits for the reader whatever its size: the writer cannot
 * take it back, and the socket may have room for a small part of it only. */
static void make_room(struct exchange *exchange, size_t len)
{
    if (!exchange->full)
        exchange->out.max =
            size_max(SERVER_STREAM_HIGH_BYTES, exchange->out.len + len) + OUT_MARGIN_BYTES;
}

bool exchange_stream_write(struct exchange *exchange, struct str bytes)
{
    if (exchange->gone || bytes.len == 0)
        return !exchange->full;
    make_room(exchange, bytes.len);
    if (exchange->chunked_out) {
        send_chunk(exchange, bytes);
    } else {
        if (exchange->left_out >= 0)
            exchange->left_out -= (int64_t)bytes.len;
        stream_send(exchange, bytes, STR(""));
    }
    exchange->full = !exchange->gone && exchange->out.len >= SERVER_STREAM_HIGH_BYTES;
    return !exchange->full;
}

/* What was sent must not look complete: a chunked or measured answer just ends early; one that
 * lasts until the connection closes is reset (SO_LINGER 0). With TLS none of them gets a
 * close_notify. */
static void end_broken(struct exchange *exchange)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (!exchange->chunked_out && exchange->left_out < 0)
        (void)setsockopt(exchange->client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    exchange->close_after = true;
    exchange->client->cut = true;
    buf_clear(&exchange->out);
    loop_timer_stop(exchange->server->loop, &exchange->client->timer);
    exchange_mark_dead(exchange);
}

void exchange_stream_end(struct exchange *exchange, bool complete)
{
    if (exchange->gone || exchange->phase != PHASE_STREAM)
        return;
    if (!complete || exchange->left_out > 0) {
        end_broken(exchange);
        return;
    }
    if (exchange->chunked_out)
        stream_send(exchange, STR("0\r\n\r\n"), STR(""));
    exchange->finishing = true;
    finish_if_flushed(exchange);
}

/* An answer in one piece whose head is too long for libmicrohttpd's memory. The writer is done with
 * it, so it is never told to wait, nor when there is room. */
void stream_long_answer(struct exchange *exchange)
{
    struct buf *head = &exchange->long_head;
    struct str body = buf_str(&exchange->long_body);
    if (exchange->gone)
        return;
    if (take_over(exchange) < 0) {
        exchange_abandon(exchange);
        return;
    }
    bool bodiless = has_no_body(exchange->status);
    exchange->close_after =
        exchange->close_after || exchange->client->linger || exchange->server->draining;
    append_framing(exchange, head, bodiless ? -1 : (int64_t)body.len);
    if (bodiless || str_eq(exchange->head.method, STR("HEAD")))
        body = STR("");
    exchange->out = buf_make(head->len + body.len);
    exchange->finishing = true;
    if (buf_failed(head))
        stream_break(exchange);
    else
        stream_send(exchange, buf_str(head), body);
    finish_if_flushed(exchange);
}
