/* SPDX-License-Identifier: Apache-2.0 */
/* One request on one connection: bytes out, answer in, deadlines, and the rule for a second try. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "net/upstream_int.h"

/* Reads per event, so that one fast answer does not keep the loop from the others. */
#define MAX_READS_PER_EVENT 4
#define MAX_TLS_READS_PER_EVENT 16 /* each gives one record: 16 KiB at most */

static struct loop *call_loop(const struct upstream_call *call)
{
    return call->upstream->engine->loop;
}

static void call_deadline(struct upstream_call *call, enum upstream_rc rc, int64_t delay_ms)
{
    call->late_rc = rc;
    if (delay_ms > 0)
        (void)loop_timer_in(call_loop(call), &call->timer, delay_ms);
    else
        loop_timer_stop(call_loop(call), &call->timer);
}

/* Faults met inside a verb are reported from the next turn. */
static void call_fail_later(struct upstream_call *call, enum upstream_rc rc)
{
    call->late_rc = rc;
    (void)loop_timer_in(call_loop(call), &call->timer, 0);
}

/* TLS may hold decrypted bytes that no event will announce. Not in this turn: its timers run until
 * none is due. */
static void call_read_later(struct upstream_call *call)
{
    call->late_rc = UPSTREAM_OK;
    (void)loop_timer_in(call_loop(call), &call->timer, 1);
}

static void call_free(struct upstream_call *call)
{
    struct upstream_engine *engine = call->upstream->engine;
    loop_timer_stop(call_loop(call), &call->timer);
    list_unlink(&call->node);
    buf_free_wiped(&call->kept);
    if (engine->n_spare_calls == UPSTREAM_SPARE_CALLS) {
        free(call);
        return;
    }
    engine->n_spare_calls++;
    list_prepend(&engine->spare_calls, &call->node);
}

/* A zeroed call, or NULL. */
static struct upstream_call *call_new(struct upstream_engine *engine)
{
    struct list *node = list_first(&engine->spare_calls);
    if (node == NULL)
        return calloc(1, sizeof(struct upstream_call));
    struct upstream_call *call = LIST_ENTRY(node, struct upstream_call, node);
    engine->n_spare_calls--;
    list_unlink(node);
    *call = (struct upstream_call){0};
    return call;
}

void call_free_spares(struct upstream_engine *engine)
{
    LIST_FOREACH (node, &engine->spare_calls) {
        list_unlink(node);
        free(LIST_ENTRY(node, struct upstream_call, node));
    }
}

void call_finish(struct upstream_call *call, enum upstream_rc rc, const char *detail)
{
    const struct upstream_handler *handler = call->handler;
    void *ctx = call->ctx;
    struct upstream_conn *conn = TAKE(call->conn);
    bool reusable = rc == UPSTREAM_OK && call->keep_alive && call->sent == call->total;
    int64_t idle_ms = call->conn_idle_ms;
    /* What was told of this read may lie in it. */
    CLEANUP(buf_free) struct buf in = buf_make(0);
    call_free(call);
    if (conn != NULL) {
        in = conn->in;
        conn->in = buf_make(in.max);
        conn_release(conn, reusable, idle_ms);
    }
    handler->done(ctx, rc, detail);
}

/* True when a second try was begun. Nothing of the answer came; a connection from the pool may have
 * been closed by the server while our request was on its way. */
static bool try_again(struct upstream_call *call)
{
    bool safe = call->idempotent || call->sent == 0;
    if (call->got_bytes || call->retried || !safe || !call->conn->reused)
        return false;
    struct upstream_conn *conn = TAKE(call->conn);
    conn->call = NULL;
    call->retried = true;
    call->sent = 0;
    call->send_broken = false;
    conn_free(conn);
    if (upstream_dispatch(call, true) < 0)
        call_fail_later(call, UPSTREAM_NO_MEMORY);
    return true;
}

static void call_connection_lost(struct upstream_call *call)
{
    if (try_again(call))
        return;
    if (call->have_head)
        call_finish(call, UPSTREAM_TRUNCATED, NULL);
    else
        call_finish(call, UPSTREAM_CLOSED, call->got_bytes ? "the head was cut off" : NULL);
}

/* ---- sending ---- */

static struct str unsent(const struct upstream_call *call)
{
    if (call->sent < call->head.len)
        return str_from(call->head, call->sent);
    return str_from(call->body, call->sent - call->head.len);
}

/* The head that was borrowed goes back to its owner; it is copied when it may be sent still, or
 * once more (try_again()). 0 or -ENOMEM. */
static int keep_head(struct upstream_call *call)
{
    bool again = call->idempotent && call->conn != NULL && call->conn->reused;
    call->kept = buf_make(call->head.len);
    if (call->sent < call->head.len || again) {
        int r = buf_append(&call->kept, call->head);
        if (r < 0)
            return r;
    }
    call->head.ptr = call->kept.ptr; /* its length still counts */
    return 0;
}

/* What the connection is watched for. A pause holds up the answer only: the server may need the
 * rest of the request to go on. */
static int call_watch(struct upstream_call *call)
{
    uint32_t events = call->paused ? 0U : (uint32_t)EPOLLIN | (uint32_t)EPOLLRDHUP;
    if (unsent(call).len > 0 && !call->send_broken)
        events |= (uint32_t)EPOLLOUT;
    return loop_rewatch(call_loop(call), &call->conn->watch, events);
}

/* Sends until everything is out or the socket is full; false when the connection is broken. */
static bool call_send(struct upstream_call *call)
{
    struct str rest = unsent(call);
    while (rest.len > 0) {
        size_t n = 0;
        CURLcode rc = conn_send(call->conn, rest, &n);
        if (rc == CURLE_AGAIN)
            break;
        if (rc != CURLE_OK)
            return false;
        call->sent += n;
        rest = unsent(call);
    }
    return call_watch(call) == 0;
}

void call_connected(struct upstream_call *call)
{
    if (call->handler->connected != NULL)
        call->handler->connected(call->ctx, call->conn->reused);
    call_deadline(call, UPSTREAM_RESPONSE_TIMEOUT, call->upstream->options.response_timeout_ms);
    if (!call_send(call) && !try_again(call))
        call_fail_later(call, UPSTREAM_CLOSED);
}

static enum upstream_rc rc_of_connect(CURLcode rc)
{
    switch ((int)rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return UPSTREAM_CONNECT_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return UPSTREAM_NO_MEMORY;
    default:
        return UPSTREAM_CONNECT;
    }
}

void call_connect_failed(struct upstream_call *call, CURLcode rc)
{
    call_finish(call, rc_of_connect(rc), curl_easy_strerror(rc));
}

/* ---- receiving ---- */

/* Decodes the LEN bytes at BYTES and moves what is body together, so that the caller gets one piece
 * however the server has cut it. */
static enum http1_response_rc decode(struct http1_body *decoder, char *bytes, size_t len,
                                     struct str *ret_data, size_t *ret_used)
{
    char *start = bytes;
    size_t n = 0;
    size_t at = 0;
    enum http1_response_rc rc = HTTP1_RESPONSE_OK;
    while (at < len && !decoder->done && rc == HTTP1_RESPONSE_OK) {
        struct str run = {0};
        size_t used = 0;
        rc = http1_body_feed(decoder, str_make(bytes + at, len - at), &run, &used);
        if (n == 0)
            start = bytes + at + (run.len > 0 ? run.ptr - (bytes + at) : 0);
        else if (run.len > 0)
            memmove(start + n, run.ptr, run.len);
        n += run.len;
        at += used;
    }
    *ret_data = str_make(start, n);
    *ret_used = at;
    return rc;
}

/* Hands on what is in the LEN bytes at BYTES of the body. False when the call is over. */
static bool feed_body(struct upstream_conn *conn, char *bytes, size_t len)
{
    struct upstream_call *call = conn->call;
    struct str data = {0};
    size_t used = 0;
    enum http1_response_rc rc = decode(&call->decoder, bytes, len, &data, &used);
    if (data.len > 0)
        call->handler->body(call->ctx, data);
    if (conn->call == NULL)
        return false;
    if (rc != HTTP1_RESPONSE_OK) {
        call_finish(call, UPSTREAM_BAD_ANSWER, http1_response_rc_name(rc));
        return false;
    }
    if (!call->decoder.done) {
        if (call->handler->settled != NULL)
            call->handler->settled(call->ctx);
        return conn->call != NULL;
    }
    if (used < len) /* bytes behind the answer: not a connection to use again */
        call->keep_alive = false;
    call_finish(call, UPSTREAM_OK, NULL);
    return false;
}

/* Servers say how long they keep an idle connection; we leave a second earlier, so that no request
 * meets their close. */
static int64_t idle_time(const struct http1_response_head *head)
{
    if (head->keep_alive_timeout_s == 0)
        return UPSTREAM_IDLE_MS;
    if (head->keep_alive_timeout_s == 1)
        return 0;
    return ((int64_t)size_min(head->keep_alive_timeout_s, 3600) - 1) * 1000;
}

/* BYTES are all that came of this answer so far. False when the call is over. */
static bool feed_head(struct upstream_conn *conn, struct str bytes, size_t *ret_used)
{
    struct upstream_call *call = conn->call;
    struct http1_response_head *head = &call->upstream->engine->head;
    enum http1_response_rc rc = http1_response_head(bytes, &call->scanned, head, ret_used);
    if (rc != HTTP1_RESPONSE_OK) {
        call_finish(call, UPSTREAM_BAD_ANSWER, http1_response_rc_name(rc));
        return false;
    }
    if (*ret_used == 0)
        return true;
    call->have_head = true;
    call->keep_alive = head->keep_alive;
    call->conn_idle_ms = idle_time(head);
    http1_body_init(&call->decoder, head);
    call_deadline(call, UPSTREAM_IDLE_TIMEOUT, call->upstream->options.idle_timeout_ms);
    call->handler->head(call->ctx, head);
    return conn->call != NULL;
}

/* The head comes in pieces. Most come in one read and are looked at where they are. */
static bool collect_head(struct upstream_conn *conn, struct str bytes)
{
    if (buf_append(&conn->in, bytes) == 0)
        return true;
    call_finish(conn->call, UPSTREAM_NO_MEMORY, NULL);
    return false;
}

static bool feed(struct upstream_conn *conn, char *bytes, size_t len)
{
    struct upstream_call *call = conn->call;
    size_t used = 0;
    if (call->have_head) {
        if (timer_is_armed(&call->timer))
            call_deadline(call, UPSTREAM_IDLE_TIMEOUT, call->upstream->options.idle_timeout_ms);
        return feed_body(conn, bytes, len);
    }
    call->got_bytes = true;
    if (call->sent == call->total) /* it is not sent twice any more */
        buf_free_wiped(&call->kept);
    bool collecting = conn->in.len > 0;
    if (collecting) {
        if (!collect_head(conn, str_make(bytes, len)))
            return false;
        bytes = conn->in.ptr;
        len = conn->in.len;
    }
    if (!feed_head(conn, str_make(bytes, len), &used))
        return false;
    if (used == 0)
        return collecting || collect_head(conn, str_make(bytes, len));
    if (!feed_body(conn, bytes + used, len - used))
        return false;
    buf_free(&conn->in);
    return true;
}

static void on_eof(struct upstream_call *call)
{
    if (call->have_head && http1_body_eof(&call->decoder) == HTTP1_RESPONSE_OK) {
        call->keep_alive = false;
        call_finish(call, UPSTREAM_OK, NULL);
        return;
    }
    call_connection_lost(call);
}

static void read_answer(struct upstream_conn *conn)
{
    struct upstream_engine *engine = conn->upstream->engine;
    bool tls = conn->upstream->options.tls;
    int max_reads = tls ? MAX_TLS_READS_PER_EVENT : MAX_READS_PER_EVENT;
    for (int i = 0; conn->call != NULL && !conn->call->paused; i++) {
        size_t n = 0;
        if (i >= max_reads) {
            if (tls)
                call_read_later(conn->call);
            return;
        }
        CURLcode rc = conn_recv(conn, engine->scratch, sizeof(engine->scratch), &n);
        if (rc == CURLE_AGAIN && !conn->call->send_broken)
            return;
        if (rc != CURLE_OK) {
            call_connection_lost(conn->call);
            return;
        }
        if (n == 0) {
            on_eof(conn->call);
            return;
        }
        if (!feed(conn, engine->scratch, n))
            return;
        if (!tls && n < sizeof(engine->scratch))
            return;
    }
}

void call_on_event(struct upstream_conn *conn, uint32_t events)
{
    struct upstream_call *call = conn->call;
    if (call == NULL)
        return;
    conn->depth++;
    if ((events & EPOLLOUT) != 0 && !call_send(call)) {
        /* The server takes no more, but what it has said before (413, say) is its answer. */
        call->send_broken = true;
        (void)call_watch(call);
    }
    if (call->paused && (events & (EPOLLERR | EPOLLHUP)) != 0)
        call_connection_lost(call);
    else if ((events & ~(uint32_t)EPOLLOUT) != 0 || call->send_broken)
        read_answer(conn);
    conn->depth--;
    if (conn->doomed)
        conn_free(conn);
}

/* ---- deadlines and verbs ---- */

void call_on_timer(struct timer *timer)
{
    struct upstream_call *call = CONTAINER_OF(timer, struct upstream_call, timer);
    struct upstream_conn *conn = call->conn;
    /* A paused answer waits for our own client, not for the upstream. */
    if (call->paused && call->late_rc == UPSTREAM_IDLE_TIMEOUT) {
        call_deadline(call, UPSTREAM_IDLE_TIMEOUT, call->upstream->options.idle_timeout_ms);
        return;
    }
    if (call->late_rc == UPSTREAM_OK) { /* call_read_later() */
        if (call->have_head)
            call_deadline(call, UPSTREAM_IDLE_TIMEOUT, call->upstream->options.idle_timeout_ms);
        else
            call_deadline(call, UPSTREAM_RESPONSE_TIMEOUT,
                          call->upstream->options.response_timeout_ms);
        conn->depth++;
        read_answer(conn);
        conn->depth--;
        if (conn->doomed)
            conn_free(conn);
        return;
    }
    call_finish(call, call->late_rc, NULL);
}

struct upstream_call *upstream_start(struct upstream *upstream, struct upstream_request *request)
{
    struct upstream_call *call = call_new(upstream->engine);
    if (call == NULL)
        return NULL;
    call->upstream = upstream;
    call->body = request->body;
    call->idempotent = request->idempotent;
    call->handler = request->handler;
    call->ctx = request->ctx;
    call->timer.fn = call_on_timer;
    /* A small body goes out in one system call with its head. */
    if (call->body.len > 0 && call->body.len <= UPSTREAM_JOIN_BYTES &&
        buf_append(request->head, call->body) == 0)
        call->body = (struct str){0};
    call->head = buf_str(request->head);
    call->total = call->head.len + call->body.len;
    if (upstream_dispatch(call, false) < 0) {
        call_free(call);
        return NULL;
    }
    if (keep_head(call) < 0)
        return upstream_cancel(call);
    buf_clear(request->head);
    return call;
}

struct upstream_call *upstream_cancel(struct upstream_call *call)
{
    if (call == NULL)
        return NULL;
    struct upstream_conn *conn = TAKE(call->conn);
    call_free(call);
    if (conn != NULL) {
        conn->call = NULL;
        conn_free(conn);
    }
    return NULL;
}

void upstream_pause(struct upstream_call *call)
{
    call->paused = true;
    if (call->conn != NULL)
        (void)call_watch(call);
}

void upstream_resume(struct upstream_call *call)
{
    if (!call->paused)
        return;
    call->paused = false;
    if (call->conn == NULL)
        return;
    (void)call_watch(call);
    if (call->upstream->options.tls)
        call_read_later(call);
}
