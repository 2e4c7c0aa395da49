/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of the upstream side: upstream.c (connections and the pool), upstream_call.c (one
 * request and its answer on a connection). */
#ifndef NET_UPSTREAM_INT_H
#define NET_UPSTREAM_INT_H

#include "base/list.h"
#include "net/curl_int.h"
#include "net/upstream.h"

/* One read; also what may still come after a pause. */
#define UPSTREAM_READ_BYTES (64U * 1024)
/* How long an idle connection is kept when the server names no time (Keep-Alive: timeout=N): less
 * than the 5 s after which common MCP servers close theirs, so that no request meets the close. */
#define UPSTREAM_IDLE_MS 4000
/* Ended calls whose memory is kept for the next ones. */
#define UPSTREAM_SPARE_CALLS 64

struct upstream_engine {
    struct loop *loop;
    struct curl_loop *curl;
    struct list upstreams;
    struct upstream_engine_stats stats;
    struct list spare_calls; /* to be used again */
    unsigned n_spare_calls;
    struct buf request_head;           /* the one that is written */
    struct http1_response_head head;   /* the one that was read last */
    char scratch[UPSTREAM_READ_BYTES]; /* the last read */
};

struct upstream {
    struct list node;
    struct upstream_engine *engine;
    struct upstream_options options; /* strings owned */
    struct list idle;                /* newest first */
    struct list busy;                /* connecting ones, too */
    struct list waiting;             /* calls that wait for max_connections */
    bool closing;
    uint32_t n_open; /* connections, idle ones included */
    uint32_t n_idle;
};

enum conn_state { CONN_CONNECTING, CONN_BUSY, CONN_IDLE };

struct upstream_conn {
    struct list node;
    struct upstream *upstream;
    enum conn_state state;
    CURL *easy;    /* NULL once a plain TCP connection is ours */
    CURLSH *share; /* TLS: libcurl's connection cache, of this connection alone */
    int fd;        /* plain TCP: owned once it is connected; else -1 */
    struct watch watch;
    struct timer timer; /* idle: expiry */
    struct upstream_call *call;
    struct buf
        in; /* a head that comes in pieces, and what came with its end; the codec has the limit */
    bool reused;
    unsigned depth; /* callbacks on the stack that still use this object */
    bool doomed;    /* to be freed when DEPTH is 0 */
};

struct upstream_call {
    struct list node; /* in upstream.waiting */
    struct upstream *upstream;
    struct upstream_conn *conn;
    struct str head; /* while it may still be sent: the caller's, then KEPT */
    struct buf kept; /* a head that could not leave at once, or may leave twice */
    struct str body;
    size_t total; /* bytes of head and body together */
    size_t sent;
    bool send_broken; /* the server takes no more; only what it has said is still read */
    bool idempotent;
    const struct upstream_handler *handler;
    void *ctx;
    struct timer timer;       /* connect, response or idle deadline; or a fault to report */
    enum upstream_rc late_rc; /* what the timer reports */
    bool have_head;
    bool got_bytes;
    bool keep_alive;
    bool paused;
    bool retried;
    int64_t conn_idle_ms;
    size_t scanned;
    struct http1_body decoder;
};

/* upstream.c */
/* Bytes over a connection, as curl_easy_send() and curl_easy_recv() have it. TLS needs libcurl's
 * state and goes through them; plain TCP goes to the socket, which is ours. */
CURLcode conn_send(struct upstream_conn *conn, struct str bytes, size_t *ret_n);
CURLcode conn_recv(struct upstream_conn *conn, char *bytes, size_t len, size_t *ret_n);
void conn_free(struct upstream_conn *conn);
/* The call is over: back to the pool, or closed. */
void conn_release(struct upstream_conn *conn, bool reusable, int64_t idle_ms);
/* Gets CALL a connection: an idle one (unless FRESH), a new one, or a place in the queue. */
int upstream_dispatch(struct upstream_call *call, bool fresh);
/* upstream_call.c */
void call_connected(struct upstream_call *call);
void call_connect_failed(struct upstream_call *call, CURLcode rc);
void call_on_event(struct upstream_conn *conn, uint32_t events);
void call_on_timer(struct timer *timer);
/* Memory of an ended call that was kept. */
void call_free_spares(struct upstream_engine *engine);
void call_finish(struct upstream_call *call, enum upstream_rc rc, const char *detail);

#endif
