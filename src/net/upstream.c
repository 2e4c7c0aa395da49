/* SPDX-License-Identifier: Apache-2.0 */
#include "net/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/listen.h"
#include "net/upstream_int.h"

#define USUAL_HEAD_BYTES 4096

/* ---- the engine ---- */

static void on_connected(void *private, CURLcode rc);

struct upstream_engine *upstream_engine_new(struct loop *loop)
{
    struct upstream_engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return NULL;
    engine->loop = loop;
    list_init(&engine->upstreams);
    list_init(&engine->spare_calls);
    engine->request_head = buf_make(UPSTREAM_MAX_HEAD_BYTES);
    engine->curl = curl_loop_new(loop, on_connected);
    return engine->curl != NULL ? engine : upstream_engine_free(engine);
}

static void upstream_destroy(struct upstream *upstream);

struct upstream_engine *upstream_engine_free(struct upstream_engine *engine)
{
    if (engine == NULL)
        return NULL;
    LIST_FOREACH (node, &engine->upstreams) {
        upstream_destroy(LIST_ENTRY(node, struct upstream, node));
    }
    (void)curl_loop_free(engine->curl);
    call_free_spares(engine);
    buf_free_wiped(&engine->request_head);
    free(engine);
    return NULL;
}

struct upstream_engine_stats upstream_engine_stats(const struct upstream_engine *engine)
{
    return engine->stats;
}

/* ---- connections ---- */

static void serve_waiting(struct upstream *upstream);

static void drop_easy(struct upstream_conn *conn)
{
    if (conn->easy != NULL) {
        curl_loop_remove(conn->upstream->engine->curl, conn->easy);
        curl_easy_cleanup(conn->easy);
    }
    (void)curl_share_cleanup(conn->share);
    conn->easy = NULL;
    conn->share = NULL;
}

void conn_free(struct upstream_conn *conn)
{
    struct upstream *upstream = conn->upstream;
    if (conn->depth > 0) {
        conn->doomed = true;
        return;
    }
    if (conn->state == CONN_IDLE)
        upstream->n_idle--;
    loop_unwatch(upstream->engine->loop, &conn->watch);
    loop_timer_stop(upstream->engine->loop, &conn->timer);
    drop_easy(conn);
    if (conn->fd >= 0)
        (void)close(conn->fd);
    buf_free(&conn->in);
    list_unlink(&conn->node);
    free(conn);
    upstream->n_open--;
    if (upstream->closing && upstream->n_open == 0 && list_is_empty(&upstream->waiting))
        upstream_destroy(upstream);
    else
        serve_waiting(upstream);
}

CURLcode conn_send(struct upstream_conn *conn, struct str bytes, size_t *ret_n)
{
    if (conn->upstream->options.tls)
        return curl_easy_send(conn->easy, bytes.ptr, bytes.len, ret_n);
    ssize_t n = send(conn->watch.fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? CURLE_AGAIN : CURLE_SEND_ERROR;
    *ret_n = (size_t)n;
    return CURLE_OK;
}

CURLcode conn_recv(struct upstream_conn *conn, char *bytes, size_t len, size_t *ret_n)
{
    if (conn->upstream->options.tls)
        return curl_easy_recv(conn->easy, bytes, len, ret_n);
    ssize_t n = recv(conn->watch.fd, bytes, len, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? CURLE_AGAIN : CURLE_RECV_ERROR;
    *ret_n = (size_t)n;
    return CURLE_OK;
}

static void on_idle_timer(struct timer *timer)
{
    conn_free(CONTAINER_OF(timer, struct upstream_conn, timer));
}

static void on_conn_event(struct watch *watch, uint32_t events)
{
    struct upstream_conn *conn = CONTAINER_OF(watch, struct upstream_conn, watch);
    if (conn->state == CONN_IDLE) /* the end, or bytes that nobody asked for */
        conn_free(conn);
    else
        call_on_event(conn, events);
}

static void set_idle(struct upstream_conn *conn, int64_t idle_ms)
{
    struct upstream *upstream = conn->upstream;
    conn->state = CONN_IDLE;
    conn->reused = true;
    upstream->n_idle++;
    list_unlink(&conn->node);
    list_prepend(&upstream->idle, &conn->node);
    if (loop_timer_in(upstream->engine->loop, &conn->timer, idle_ms) < 0 ||
        loop_rewatch(upstream->engine->loop, &conn->watch, EPOLLIN | EPOLLRDHUP) < 0)
        conn_free(conn);
    else
        serve_waiting(upstream);
}

void conn_release(struct upstream_conn *conn, bool reusable, int64_t idle_ms)
{
    conn->call = NULL;
    buf_free(&conn->in);
    if (reusable && !conn->upstream->closing && idle_ms > 0)
        set_idle(conn, idle_ms);
    else
        conn_free(conn);
}

/* curl_easy_send() and curl_easy_recv() look for their connection among all in the same cache; a
 * cache of its own for each TLS connection makes that a look at one. */
static bool set_own_cache(struct upstream_conn *conn)
{
    conn->share = curl_share_init();
    return conn->share != NULL &&
           curl_share_setopt(conn->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) == CURLSHE_OK &&
           curl_easy_setopt(conn->easy, CURLOPT_SHARE, conn->share) == CURLE_OK;
}

static bool set_tls_options(CURL *easy, const struct upstream_options *options)
{
    bool ok = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    if (options->ca_file != NULL)
        ok = ok && curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file) == CURLE_OK;
    if (options->client_certificate != NULL)
        ok = ok &&
             curl_easy_setopt(easy, CURLOPT_SSLCERT, options->client_certificate) == CURLE_OK &&
             curl_easy_setopt(easy, CURLOPT_SSLKEY, options->client_key) == CURLE_OK;
    return ok;
}

/* In the place of libcurl's close(): the socket that became ours stays open. */
static int on_close(void *ctx, curl_socket_t fd)
{
    const struct upstream_conn *conn = ctx;
    return fd == conn->fd ? 0 : close(fd);
}

static bool set_connect_options(struct upstream_conn *conn)
{
    const struct upstream_options *options = &conn->upstream->options;
    CURL *easy = conn->easy;
    return curl_easy_setopt(easy, CURLOPT_URL, options->origin) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* a name that is still being looked up is left to its thread: waiting for that would
            * hold up the loop for as long as a resolver is silent */
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
           /* a stream that is quiet tells nothing of an upstream that has vanished */
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)LISTEN_IDLE_S) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)LISTEN_PROBE_S) == CURLE_OK &&
           /* libcurl reads nothing but through curl_easy_recv(), into our memory */
           curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 1024L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, conn) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PRIVATE, conn) == CURLE_OK &&
           (!options->tls || (set_own_cache(conn) && set_tls_options(easy, options)));
}

static int open_conn(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;
    struct upstream_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        return -ENOMEM;
    conn->upstream = upstream;
    conn->state = CONN_CONNECTING;
    conn->fd = -1;
    conn->watch = (struct watch){.fd = -1, .fn = on_conn_event};
    conn->timer.fn = on_idle_timer;
    /* A head that is not complete yet, and the read that completes it, with what follows it. */
    conn->in = buf_make(HTTP1_RESPONSE_MAX_HEAD + UPSTREAM_READ_BYTES);
    conn->easy = curl_easy_init();
    if (conn->easy == NULL || !set_connect_options(conn) ||
        curl_loop_add(upstream->engine->curl, conn->easy) < 0) {
        drop_easy(conn);
        free(conn);
        return -ENOMEM;
    }
    list_append(&upstream->busy, &conn->node);
    upstream->n_open++;
    upstream->engine->stats.connects++;
    conn->call = call;
    call->conn = conn;
    return 0;
}

/* What libcurl keeps of a connection costs memory, and it finds connections by walking all that it
 * keeps: each new one would cost more with every open stream. So a plain TCP connection leaves
 * libcurl when it is made. */
static void on_connected(void *private, CURLcode rc)
{
    struct upstream_conn *conn = private;
    struct upstream_call *call = conn->call;
    curl_socket_t fd = CURL_SOCKET_BAD;
    /* Later, libcurl may see the connection end; our own watch does, too. */
    if (conn->state != CONN_CONNECTING)
        return;
    if (rc == CURLE_OK)
        rc = curl_easy_getinfo(conn->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (rc == CURLE_OK && fd != CURL_SOCKET_BAD) {
        struct upstream_engine *engine = conn->upstream->engine;
        curl_loop_forget_socket(engine->curl, fd);
        if (!conn->upstream->options.tls) {
            conn->fd = fd;
            drop_easy(conn);
        }
        if (loop_watch(engine->loop, &conn->watch, fd, EPOLLIN | EPOLLRDHUP) < 0)
            rc = CURLE_COULDNT_CONNECT;
    }
    conn->state = CONN_BUSY;
    if (rc == CURLE_OK)
        call_connected(call);
    else
        call_connect_failed(call, rc);
}

static struct upstream_conn *take_idle(struct upstream *upstream)
{
    struct list *node = list_first(&upstream->idle);
    if (node == NULL)
        return NULL;
    struct upstream_conn *conn = LIST_ENTRY(node, struct upstream_conn, node);
    loop_timer_pause(&conn->timer);
    list_unlink(&conn->node);
    list_append(&upstream->busy, &conn->node);
    conn->state = CONN_BUSY;
    upstream->n_idle--;
    upstream->engine->stats.reuses++;
    return conn;
}

int upstream_dispatch(struct upstream_call *call, bool fresh)
{
    struct upstream *upstream = call->upstream;
    struct upstream_conn *conn = fresh ? NULL : take_idle(upstream);
    if (conn != NULL) {
        conn->call = call;
        call->conn = conn;
        call_connected(call);
        return 0;
    }
    if (upstream->options.max_connections > 0 &&
        upstream->n_open >= upstream->options.max_connections) {
        call->late_rc = UPSTREAM_BUSY;
        list_append(&upstream->waiting, &call->node);
        return loop_timer_in(upstream->engine->loop, &call->timer,
                             upstream->options.connect_timeout_ms);
    }
    return open_conn(call);
}

/* A connection has become idle, or its place free. */
static void serve_waiting(struct upstream *upstream)
{
    struct list *node = list_first(&upstream->waiting);
    if (node == NULL)
        return;
    struct upstream_call *call = LIST_ENTRY(node, struct upstream_call, node);
    list_unlink(node);
    loop_timer_stop(upstream->engine->loop, &call->timer);
    if (upstream_dispatch(call, false) < 0)
        call_finish(call, UPSTREAM_NO_MEMORY, NULL);
}

/* ---- upstreams ---- */

struct buf *upstream_head_buf(struct upstream *upstream)
{
    struct buf *head = &upstream->engine->request_head;
    buf_clear(head);
    /* At once, so that growing leaves no copies of credentials behind. */
    (void)buf_reserve(head, USUAL_HEAD_BYTES);
    return head;
}

void upstream_engine_forget(struct upstream_engine *engine)
{
    buf_free_wiped(&engine->request_head);
}

const char *upstream_rc_name(enum upstream_rc rc)
{
    static const char *const names[] = {
        [UPSTREAM_OK] = "ok",
        [UPSTREAM_CONNECT] = "upstream_connect",
        [UPSTREAM_CONNECT_TIMEOUT] = "upstream_connect_timeout",
        [UPSTREAM_BUSY] = "upstream_busy",
        [UPSTREAM_RESPONSE_TIMEOUT] = "upstream_response_timeout",
        [UPSTREAM_IDLE_TIMEOUT] = "upstream_idle_timeout",
        [UPSTREAM_CLOSED] = "upstream_closed",
        [UPSTREAM_BAD_ANSWER] = "upstream_bad_answer",
        [UPSTREAM_TRUNCATED] = "upstream_truncated",
        [UPSTREAM_NO_MEMORY] = "no_memory",
    };
    return names[rc];
}

static char *copy_or_null(const char *s, bool *ok)
{
    char *copy = s != NULL ? strdup(s) : NULL;
    *ok = *ok && (s == NULL || copy != NULL);
    return copy;
}

static void free_text(const char *s)
{
    free((void *)(uintptr_t)s);
}

static void upstream_destroy(struct upstream *upstream)
{
    upstream->closing = false; /* no second destruction by the last connection */
    LIST_FOREACH (busy, &upstream->busy) {
        conn_free(LIST_ENTRY(busy, struct upstream_conn, node));
    }
    LIST_FOREACH (idle, &upstream->idle) {
        conn_free(LIST_ENTRY(idle, struct upstream_conn, node));
    }
    list_unlink(&upstream->node);
    free_text(upstream->options.origin);
    free_text(upstream->options.ca_file);
    free_text(upstream->options.client_certificate);
    free_text(upstream->options.client_key);
    free(upstream);
}

struct upstream *upstream_new(struct upstream_engine *engine,
                              const struct upstream_options *options)
{
    bool ok = true;
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    if (upstream == NULL)
        return NULL;
    upstream->engine = engine;
    upstream->options = *options;
    upstream->options.origin = copy_or_null(options->origin, &ok);
    upstream->options.ca_file = copy_or_null(options->ca_file, &ok);
    upstream->options.client_certificate = copy_or_null(options->client_certificate, &ok);
    upstream->options.client_key = copy_or_null(options->client_key, &ok);
    list_init(&upstream->idle);
    list_init(&upstream->busy);
    list_init(&upstream->waiting);
    list_append(&engine->upstreams, &upstream->node);
    if (!ok) {
        upstream_destroy(upstream);
        return NULL;
    }
    return upstream;
}

struct upstream *upstream_free(struct upstream *upstream)
{
    if (upstream == NULL)
        return NULL;
    if (upstream->n_open == upstream->n_idle && list_is_empty(&upstream->waiting)) {
        upstream_destroy(upstream);
        return NULL;
    }
    upstream->closing = true;
    LIST_FOREACH (node, &upstream->idle) {
        conn_free(LIST_ENTRY(node, struct upstream_conn, node));
    }
    return NULL;
}
