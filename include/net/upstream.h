/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream side: pooled connections to one MCP server, one request at a time on each.
 *
 * libcurl makes, secures and owns every connection (CURLOPT_CONNECT_ONLY: names, happy eyeballs,
 * TCP, TLS, client certificates); HTTP/1.1 over it is ours (proto/http1_response), because
 * libcurl's own HTTP engine costs more with every idle stream and accepts answers that we must not
 * pass on.
 *
 * A request is never sent twice unless it is certain that no byte of it reached the server, or it
 * came back unanswered on a reused connection and its method is idempotent. Belongs to one thread;
 * callbacks come from the loop, never from inside a verb of this header.
 * docs/decisions/0001-upstream.md */
#ifndef NET_UPSTREAM_H
#define NET_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/loop.h"
#include "proto/http1_response.h"

/* A body up to this size is copied behind its head and leaves in one system call. */
#define UPSTREAM_JOIN_BYTES (16U * 1024)
/* Ceiling of a request's head. */
#define UPSTREAM_MAX_HEAD_BYTES (128U * 1024)

struct upstream_engine; /* one per worker */
struct upstream;        /* one per upstream server and worker */
struct upstream_call;

enum upstream_rc {
    UPSTREAM_OK,
    UPSTREAM_CONNECT, /* name, TCP or TLS */
    UPSTREAM_CONNECT_TIMEOUT,
    UPSTREAM_BUSY,             /* max_connections, and none became free in connect_timeout */
    UPSTREAM_RESPONSE_TIMEOUT, /* no head in time */
    UPSTREAM_IDLE_TIMEOUT,     /* nothing of the body in time */
    UPSTREAM_CLOSED,           /* closed without an answer */
    UPSTREAM_BAD_ANSWER,       /* not acceptable HTTP: see the codec's reason */
    UPSTREAM_TRUNCATED,        /* closed in the middle of the answer */
    UPSTREAM_NO_MEMORY,
};
/* snake_case, for logs and metrics. */
const char *upstream_rc_name(enum upstream_rc rc);

struct upstream_options {
    const char *origin; /* scheme://host:port; strings are copied */
    bool tls;
    const char *ca_file;            /* NULL: the system's */
    const char *client_certificate; /* NULL: none */
    const char *client_key;
    int64_t connect_timeout_ms;
    int64_t response_timeout_ms;
    int64_t idle_timeout_ms;  /* 0: none */
    uint32_t max_connections; /* 0: no limit */
};

/* What one read of the connection brings is told in this order: head(), if the head became complete
 * with it; body(), once, if it has body bytes; then settled() or done(). Everything that was told
 * is valid until that last call of the read returns. */
struct upstream_handler {
    /* There is a connection, one that was REUSED or a new one; also from inside upstream_start(),
     * and again when the request is sent a second time. NULL: nobody wants to know. */
    void (*connected)(void *ctx, bool reused);
    void (*head)(void *ctx, const struct http1_response_head *head);
    /* All body bytes of a read in one piece, without their framing. After upstream_pause() one more
     * may come: of the read that is under way. */
    void (*body)(void *ctx, struct str bytes);
    /* There is more to come. From the read with the head on, and not when the read ended the call.
     * NULL: nobody wants to know. */
    void (*settled)(void *ctx);
    /* The last call: complete, or what went wrong. DETAIL is static text or NULL. The call object
     * is gone afterwards. */
    void (*done)(void *ctx, enum upstream_rc rc, const char *detail);
};

struct upstream_request {
    struct buf *head; /* complete head with framing fields; stays the caller's and is cleared */
    struct str body;  /* stays the caller's until done() or upstream_cancel() */
    bool idempotent;  /* GET, DELETE */
    const struct upstream_handler *handler;
    void *ctx;
};

struct upstream_engine_stats {
    uint64_t connects; /* new connections */
    uint64_t reuses;   /* calls that found an idle one */
};

/* NULL when libcurl or memory fails. */
struct upstream_engine *upstream_engine_new(struct loop *loop);
struct upstream_engine *upstream_engine_free(struct upstream_engine *engine);
struct upstream_engine_stats upstream_engine_stats(const struct upstream_engine *engine);

struct upstream *upstream_new(struct upstream_engine *engine,
                              const struct upstream_options *options);
/* Idle connections are closed now; busy ones when their call ends, and then the rest is freed. */
struct upstream *upstream_free(struct upstream *upstream);

/* An empty buffer for the head of the next request. The engine's: one for all, so that a request
 * needs no memory for a head that leaves at once. */
struct buf *upstream_head_buf(struct upstream *upstream);
/* Overwrites what is left of the last one, which may have credentials that are not used any more.
 */
void upstream_engine_forget(struct upstream_engine *engine);

/* Starts a call. NULL when memory is short: then nothing comes of it. */
struct upstream_call *upstream_start(struct upstream *upstream, struct upstream_request *request);
/* Ends a call without done(); its connection is closed at once, which is the upstream's cancel
 * signal. Takes NULL, returns NULL. */
struct upstream_call *upstream_cancel(struct upstream_call *call);
/* Back-pressure: stop and go on reading the answer. */
void upstream_pause(struct upstream_call *call);
void upstream_resume(struct upstream_call *call);

#endif
