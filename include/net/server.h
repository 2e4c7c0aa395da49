/* SPDX-License-Identifier: Apache-2.0 */
/* The client side: libmicrohttpd on our loop, strict bytes in, buffered or streamed replies out.
 *
 * A server belongs to one thread and accepts on any number of listening sockets. One request and
 * its reply are an exchange. Its way: head() is called when the request head is complete; unless it
 * replied or asked to wait, the body is collected and complete() is called; then the exchange is
 * parked until exchange_reply() or exchange_stream() is called, at any time, from the loop. end()
 * is the last call and comes exactly once for every exchange that head() saw.
 *
 * head() and complete() run inside libmicrohttpd's callbacks: they only decide and mark, and never
 * touch libcurl. gone() may run there or from the loop; it may end upstream calls, which only takes
 * things away, but start nothing. Refusals of the strict filter (proto/http1_request)
 * never become an exchange: refused() makes their answer. See docs/ARCHITECTURE.md, "The client
 * side". */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "net/loop.h"
#include "proto/http1_response.h"
#include "proto/tls.h"

struct server;
struct exchange;

/* Early answers (a refusal before the body) read and drop a body up to this size to keep the
 * connection; above it the connection is closed. */
#define SERVER_DRAIN_BYTES (64U * 1024)
/* High mark of what waits for a slow reader of a stream; the low mark is half of it. */
#define SERVER_STREAM_HIGH_BYTES (64U * 1024)
#define SERVER_REPLY_MAX_FIELDS 72

/* An answer in one piece. Names and values are copied when it is sent. */
struct reply {
    unsigned status;
    struct http1_field fields[SERVER_REPLY_MAX_FIELDS];
    size_t n_fields;
    struct buf body; /* passes to the server with the reply */
};
/* Adds a field; past the limit it is dropped and false returned. */
bool reply_add(struct reply *reply, struct str name, struct str value);

struct exchange_head {
    struct str method;
    struct str target; /* raw, as received: path and query */
    bool http10;
    const struct http1_field *fields; /* in the order received; borrow from the connection until the
                                         exchange is replied to or streamed */
    size_t n_fields;
    bool has_body;
    bool chunked;
    uint64_t content_length; /* 0 when chunked or without a body */
    struct str peer;         /* address of the TCP peer without port, "unix:" for a unix socket */
    const struct sockaddr_storage *peer_addr;
};

enum server_next {
    SERVER_BODY, /* go on: collect the body, then complete() */
    SERVER_WAIT, /* park before the body; exchange_continue() or exchange_reply() goes on */
    SERVER_DONE, /* exchange_reply() was called */
};

struct server_handler {
    enum server_next (*head)(void *ctx, struct exchange *exchange);
    void (*complete)(void *ctx, struct exchange *exchange);
    /* The client left, or was too slow. No reply is possible any more. */
    void (*gone)(void *ctx, struct exchange *exchange);
    /* The body grew past the limit: fills the answer; gone() does not come. */
    void (*too_large)(void *ctx, struct exchange *exchange, struct reply *ret_reply);
    /* The same for a body for which there is no memory. NULL: the connection is closed. */
    void (*no_memory)(void *ctx, struct exchange *exchange, struct reply *ret_reply);
    /* What waited for a slow reader fell under the low mark: go on writing. */
    void (*drained)(void *ctx, struct exchange *exchange);
    void (*end)(void *ctx, struct exchange *exchange);
    /* Bytes that are no acceptable request, or a head that did not come in time (status 408). */
    void (*refused)(void *ctx, struct str peer, unsigned status, const char *reason,
                    const char *description, struct reply *ret_reply);
    /* A TLS handshake is over: OUTCOME is that of tls_outcome(), or "timeout". Not for peers that
     * never said anything. Needed with a listener that has TLS. */
    void (*handshake)(void *ctx, struct str peer, const char *outcome);
};

/* Whose connections are counted, for servers that want to. Both come from the server's thread. */
struct server_peers {
    /* A connection from ADDR: false refuses it. *RET_PLACE is given back when it is over. */
    bool (*enter)(void *ctx, const struct sockaddr_storage *addr, void **ret_place);
    void (*leave)(void *ctx, void *place);
    void *ctx;
};

struct server_options {
    const struct server_peers *peers; /* NULL: not counted; outlives the server */
    const struct server_handler *handler;
    void *ctx;
    size_t header_bytes;       /* limit of a request head */
    uint32_t max_connections;  /* accepting stops there; at least 1 */
    int64_t client_timeout_ms; /* for a handshake, for a head, for a body (plus 1 s per 16 KiB),
                                  between requests, and for a reader that takes nothing */
    size_t min_rate_bytes;     /* what a reader takes per second while bytes of a stream wait for
                                  it, over client_timeout_ms; 0: anything will do */
};

struct server_stats {
    uint32_t connections;
    uint32_t streams; /* replies that are being streamed */
    uint64_t accepted;
    uint64_t accept_faults; /* out of descriptors and the like */
    uint64_t refused_peers; /* closed at once: their address has too many */
    /* The kernel would not say what a slow reader has taken: min_rate_bytes does not hold. */
    bool readers_unmeasured;
};

/* LOOP stays the caller's and must outlive the server. NULL when libmicrohttpd does not start. */
struct server *server_new(struct loop *loop, const struct server_options *options);
/* Cuts what is still open, with end() for every exchange. */
struct server *server_free(struct server *server);

/* Accepts on FD, a listening non-blocking socket that stays the caller's. Connections speak TLS
 * when there is a context, of which a reference is taken. 0 or -errno. */
int server_listen(struct server *server, int fd, struct tls_context *tls);
/* New connections on FD, which speaks TLS already, use another context; those that are there
 * go on as they are. */
void server_set_tls(struct server *server, int fd, struct tls_context *tls);
/* Accepts what is queued, then stops accepting, closes idle connections, and lets the others end
 * after their reply. */
void server_drain(struct server *server);
bool server_is_idle(const struct server *server); /* no connection is left */

/* Lets libmicrohttpd work until it has nothing to do, then ends what is over. Once per turn. */
void server_run(struct server *server);
/* How long the next turn may wait: 0 or -1 (for ever). */
int server_wait_hint(const struct server *server);
struct server_stats server_stats(const struct server *server);
/* "0.9.75", for `portcullis version`. */
const char *server_library_version(void);

const struct exchange_head *exchange_head(const struct exchange *exchange);
struct arena *exchange_arena(struct exchange *exchange);
void *exchange_user(const struct exchange *exchange);
void exchange_set_user(struct exchange *exchange, void *user);
/* From head() only: how many body bytes are allowed. Default: SERVER_DRAIN_BYTES. */
void exchange_set_body_limit(struct exchange *exchange, size_t max_bytes);
/* The collected body, valid until end(). */
struct str exchange_body(const struct exchange *exchange);
/* True when the client already left; a reply would reach nobody. */
bool exchange_is_gone(const struct exchange *exchange);
/* True when the connection was refused in the middle of this request: refused() has answered it. */
bool exchange_was_refused(const struct exchange *exchange);

/* After SERVER_WAIT: collect the body now. */
void exchange_continue(struct exchange *exchange);
/* Sends REPLY, once; takes its body. Content-Length, Date and Connection are added. */
void exchange_reply(struct exchange *exchange, struct reply *reply);

/* Begins a streamed answer. With CONTENT_LENGTH >= 0 the stream must carry exactly so many bytes;
 * -1: chunked (HTTP/1.0: until close). 204 and 304 have no body, whatever it says. FIELDS are
 * copied. 0 or -errno (no descriptor, no memory): then nothing was sent and exchange_reply() is
 * still possible. */
int exchange_stream(struct exchange *exchange, unsigned status, const struct http1_field *fields,
                    size_t n_fields, int64_t content_length);
/* Sends BYTES, of any length, at once or keeps them until the client takes them. True: go on;
 * false: enough, wait for drained() (the bytes were taken all the same). A client that is found to
 * have left, or a writer that does not wait, is told by gone() before this returns. */
bool exchange_stream_write(struct exchange *exchange, struct str bytes);
/* Ends the stream: completely, or broken, so that no client takes it for complete. */
void exchange_stream_end(struct exchange *exchange, bool complete);

#endif
