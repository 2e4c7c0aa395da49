/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of the server, shared by its files: server.c (the whole), server_host.c (one
 * libmicrohttpd), server_pool.c (what a request needs of its memory),
 * server_accept.c (new connections), server_client.c (the life of one), server_exchange.c
 * (libmicrohttpd's callbacks), server_port.c (what libmicrohttpd sees of the operating system),
 * server_tls.c (handshakes),
 * server_recv.c (the filter over received bytes), server_stream.c (streamed answers on a connection
 * that we took over), server_head.c (response heads). */
#ifndef NET_SERVER_INT_H
#define NET_SERVER_INT_H

#include <microhttpd.h>

#include "base/clock.h"
#include "net/server.h"
#include "proto/http1_request.h"
#include "proto/tls.h"

struct client;

struct listener {
    struct watch watch;
    struct server *server;
    int fd;
    struct tls_context *tls; /* a reference; NULL: plain */
    bool queue_is_tuned;     /* none is left in it that came before listen_tune() */
    struct listener *next;
};

/* One libmicrohttpd of a server. Its connections have memory of one size, and it overwrites all of
 * that after every request; so there is one for ordinary requests and one for large ones. */
struct host {
    struct server *server;
    struct MHD_Daemon *daemon;
    size_t pool_bytes; /* memory of one connection */
    int epoll_fd;      /* libmicrohttpd's own; nothing is ever in it */
    struct list ready; /* clients with events for it */
    bool kick;         /* it must run: an event, a resume, a new connection */
    /* Bytes that it wrote through this program's functions, to prove that it does. */
    struct {
        size_t by_send;
        size_t by_sendmsg;
    } proven;
};

struct server {
    struct loop *loop;
    struct server_options options;
    struct host small;  /* where every connection begins */
    struct host large;  /* has room for a head up to the limit */
    struct list moving; /* from small to large */
    struct listener *listeners;
    bool accepting;
    struct timer accept_timer; /* accepting is paused until then */
    struct client **by_fd;     /* the filter's look-up */
    size_t by_fd_len;
    struct list clients;
    struct list idle;        /* between requests, longest first */
    struct list dead;        /* exchanges whose end() is due */
    struct client *adopting; /* the client that MHD_add_connection() is about */
    bool draining;
    bool ending; /* server_free(): nothing begins or waits any more */
    struct server_stats stats;
    int64_t date_s; /* the second that DATE shows */
    char date[40];
};

enum client_owner {
    OWNER_MHD,       /* libmicrohttpd reads and writes the socket */
    OWNER_MOVING,    /* one libmicrohttpd lets go of it, another one will get it */
    OWNER_STREAM,    /* we took it over for a streamed answer */
    OWNER_LINGER,    /* the last answer is out; what still comes in is dropped */
    OWNER_HANDSHAKE, /* of TLS: nobody has a request yet */
};

/* What libmicrohttpd believes to be the kernel's side of a connection of its own. */
struct port {
    struct list node; /* in host.ready, or in server.moving */
    bool in_set;      /* it wants to be told of events */
    bool readable;    /* reading may give bytes or the end of the stream */
    bool writable;    /* there is room to write, and it was not told yet */
    bool sealed;      /* what it writes does not go to the socket as it is */
    uint32_t faults;  /* EPOLLPRI, EPOLLERR, EPOLLHUP, once they were seen */
    epoll_data_t data;
};

/* One connection. */
struct client {
    struct list node;
    struct list idle_node;
    struct server *server;
    int fd;
    enum client_owner owner;
    struct host *host;
    struct MHD_Connection *mhd; /* with OWNER_MHD */
    struct tls_session *tls;    /* NULL: plain */
    struct http1_request filter;
    struct buf held;  /* received, and not given to libmicrohttpd yet */
    size_t held_fed;  /* so many of them the filter has seen: they are of one message */
    bool passing;     /* libmicrohttpd may have what there is of the current message */
    size_t head_left; /* but first so much of its head, and nothing else with it; 0: no matter */
    struct port port; /* with OWNER_MHD */
    struct watch watch;
    struct timer timer;  /* the deadline of the current phase */
    int64_t sent;        /* bytes of streams that the kernel took (with TLS: all, sealed) */
    int64_t taken;       /* so many of them the reader had when that deadline was set */
    int64_t caught_up;   /* a reader who has so many has waited for us since then */
    uint64_t body_bytes; /* of the current request, for its deadline */
    struct exchange *exchange;
    unsigned ahead;   /* messages that libmicrohttpd has bytes of, but no exchange for yet */
    bool half_closed; /* the peer has sent its last byte */
    bool stopped;     /* we stopped reading; EPOLLRDHUP means nothing any more */
    bool timed_out;
    bool last_word_said; /* a refusal was written: nothing else may be sent */
    bool linger;         /* read on after closing, so that the peer gets our answer */
    bool cut;            /* the answer is broken: with TLS its end is not announced */
    size_t lingered;
    struct sockaddr_storage addr;
    socklen_t addr_len;
    char peer[64];
    void *place; /* of server_peers */
};

enum exchange_phase {
    PHASE_HEAD, /* the head is being read */
    PHASE_WAIT, /* parked before the body */
    PHASE_BODY,
    PHASE_DROP,   /* an early answer is ready; the rest of the body is read and dropped */
    PHASE_PARKED, /* complete; waiting for an answer */
    PHASE_REPLY,  /* the answer is with libmicrohttpd */
    PHASE_STREAM, /* the answer is streamed on the socket we took over */
    PHASE_DEAD,
};

struct exchange {
    struct list node; /* in server.dead */
    struct server *server;
    struct client *client;
    struct arena *arena;
    enum exchange_phase phase;
    bool seen;      /* head() was called, so end() is owed */
    bool suspended; /* libmicrohttpd keeps the connection aside */
    bool gone;
    bool refused;     /* the strict filter has answered in our place */
    bool taking_over; /* the stream is begun; the connection leaves libmicrohttpd in the next run */
    struct exchange_head head;
    size_t body_limit;
    struct buf body;
    void *user;
    bool answered;                 /* by one of the two that follow */
    struct MHD_Response *response; /* an answer that waits to be queued */
    struct buf long_head;          /* of an answer that goes as a stream, with LONG_BODY */
    struct buf long_body;
    unsigned status;
    /* streamed answers */
    struct buf out; /* bytes that the client has not taken yet, framed */
    bool chunked_out;
    bool close_after;
    bool full;        /* the writer was told to wait */
    bool finishing;   /* exchange_stream_end(complete) was called */
    int64_t left_out; /* with a Content-Length: bytes still to come */
};

/* server_host.c */
/* HOST in SERVER, whose connections have memory of POOL_BYTES. False when libmicrohttpd does not
 * start, or does not use this program's recv(), send(), sendmsg() and epoll. */
bool host_start(struct host *host, struct server *server, size_t pool_bytes);
void host_stop(struct host *host);
/* Lets it work until it has nothing to do. */
void host_run(struct host *host);

/* server.c */
/* An answer's head may take so much of a connection's memory; a longer one goes as a stream. */
#define REPLY_HEAD_BYTES 2048
void exchange_mark_dead(struct exchange *exchange);

/* server_accept.c */
void accept_init(struct server *server);
/* A connection has left: there is room for another one. */
void accept_on_room(struct server *server);
/* Forgets the listeners; their descriptors stay the caller's. */
void accept_end(struct server *server);

/* server_client.c */
struct client *server_client_by_fd(const struct server *server, int fd);
/* ADDR is copied. The client has no descriptor yet: client_adopt() gives it one. */
struct client *client_new(struct server *server, const struct sockaddr_storage *addr,
                          socklen_t addr_len);
/* Forgets the connection. The descriptor is closed here unless libmicrohttpd owns it. */
void client_free(struct client *client);
void client_arm(struct client *client, int64_t delay_ms);
void client_set_idle(struct client *client, bool idle);
/* No more bytes from the peer; libmicrohttpd will see the end of the stream. */
void client_stop_reading(struct client *client);
/* Writes REPLY straight to the socket, once, with Connection: close. */
void client_last_word(struct client *client, struct reply *reply);
/* Gives FD to libmicrohttpd on behalf of CLIENT; the descriptor is closed when that fails. */
int client_adopt(struct client *client, int fd);
/* CLIENT, which libmicrohttpd has nothing of in hand, leaves its host for the large one. */
void client_leave_host(struct client *client);
void client_enter_host(struct client *client);
/* Bytes wait that belong to a request for which there is no exchange yet. */
bool client_has_more(const struct client *client);
/* The socket of CLIENT has a new number (after dup()). */
int client_move(struct client *client, int fd);
/* The connection has left libmicrohttpd and CLIENT owns a descriptor of its own: read and drop. */
void client_begin_linger(struct client *client, int fd);

/* server_exchange.c */
void *exchange_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result exchange_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_len, void **con_cls);
void exchange_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                           enum MHD_RequestTerminationCode toe);
void exchange_abandon(struct exchange *exchange);
void exchange_wake(struct exchange *exchange);

/* server_port.c */
/* Around every call that runs the connections of HOST. */
void port_enter(struct host *host);
void port_leave(void);
/* Begins and ends watching the socket of CLIENT for libmicrohttpd. 0 or -errno. */
int port_open(struct client *client);
void port_close(struct client *client);
/* Remembers and passes on what our loop saw. True when the peer has sent its last byte, or left. */
bool port_on_event(struct client *client, uint32_t events);
/* Makes libmicrohttpd look for the end of the stream. */
void port_show_end(struct client *client);
/* Makes it look again if there may be something. */
void port_show_bytes(struct client *client);
/* Like recv(); without a system call while nothing can be there. */
ssize_t port_read(struct client *client, void *bytes, size_t len);
/* The same of the socket itself: with TLS, of its records. */
ssize_t port_receive(struct client *client, void *bytes, size_t len);
/* Like writev() without waiting. With TLS, what was not taken has to be offered again. */
ssize_t port_write(struct client *client, const struct iovec *parts, size_t n_parts);

/* server_pool.c: so much of a connection's memory goes to the head at the beginning of MESSAGE,
 * which is whole; more than any host has when the body is too long for FOR_SMALL. */
struct server_pool_need {
    size_t bytes;
    size_t head_len;
};
struct server_pool_need server_pool_need(struct str message, bool for_small);

/* server_recv.c: what libmicrohttpd's recv() answers. */
ssize_t server_receive(struct client *client, void *bytes, size_t len);

/* server_tls.c */
/* Begins the handshake of a new connection; the descriptor passes. CLIENT goes on to libmicrohttpd
 * after it, and is freed when that fails. 0 or -errno. */
int handshake_begin(struct client *client, int fd, struct tls_context *context);
void handshake_on_event(struct client *client, uint32_t events);
void handshake_on_deadline(struct client *client);

/* server_stream.c */
/* Sends the long answer of an exchange that is suspended. */
void stream_long_answer(struct exchange *exchange);
void stream_on_event(struct client *client, uint32_t events);
void stream_on_deadline(struct client *client);

/* server_head.c: status line, Date, FIELDS; framing fields and the empty line are the caller's. */
void server_append_head(struct server *server, struct buf *out, unsigned status,
                        const struct http1_field *fields, size_t n_fields);
void server_append_field(struct buf *out, struct str name, struct str value);

#endif
