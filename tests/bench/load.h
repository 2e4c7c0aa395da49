/* SPDX-License-Identifier: Apache-2.0 */
/* The load of the bench: one thread, one epoll, calls (load_calls.c), streams (load_streams.c) and
 * slow readers (load_slow.c) on connections of their own. Whatever does not go as it should ends
 * the run: a wrong status, a short body, a closed connection, a missing event. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "histogram.h"
#include "message.h"
#include "process.h"
#include "tool.h"

struct load_options {
    uint16_t port;
    uint32_t connections; /* each with one call in flight */
    uint32_t rate;        /* calls per second over all connections; 0: the next when one returns */
    uint32_t requests;    /* ends the window early; 0: no such end */
    uint32_t window_ms;
    uint32_t warmup_ms;
    uint32_t
        rest_ms; /* between closing all connections and the last look at memory; 0: no such look */
    uint32_t size;   /* of the answer in bytes; 0: the small one */
    uint32_t idle;   /* streams that only stay open */
    uint32_t active; /* streams that get an event each every_ms */
    uint32_t every_ms;
    uint32_t answer;          /* bytes that each answer has; 0: as size says */
    uint32_t take;            /* only so many of the tokens; 0: all */
    uint32_t slow;            /* connections that read SLOW_BYTES_PER_S of a large answer */
    uint32_t slow_size;       /* bytes of that answer */
    uint32_t flood;           /* connections whose calls are all refused with 401 */
    int expect;               /* the status of every answer, but those to the flood */
    bool is_once;             /* use no token twice */
    bool is_tls;              /* towards the contender */
    const char *tokens;       /* a file with one token in a line */
    const char *flood_tokens; /* and one with those of the flood */
    const char *path;         /* of the route */
    const char *query;        /* behind it; NULL: as size says */
    const char *save;         /* a file for the bodies of the answers; NULL: none */
    const struct request *request;
    struct process_set contender;
};

#define SLOW_BYTES_PER_S 1024

struct load;
struct call;
struct request;
struct stream;
struct tls;

/* One connection; first member of struct call, struct stream and struct slow. */
struct endpoint {
    int fd;
    struct tls *tls; /* NULL: plain; owned */
    struct message reply;
    void (*on_bytes)(struct load *load, struct endpoint *endpoint, const char *bytes, size_t len);
    /* NULL: a contender that closes ends the run. */
    void (*on_close)(struct load *load, struct endpoint *endpoint);
};

/* The tokens of a file, one after the other and from the beginning again. */
struct token_list {
    const char *file;
    char **tokens;
    size_t len;
    size_t next;
    bool is_once;
};

/* Calls that are measured together. */
struct call_group {
    struct call *calls;
    uint32_t len;
    int expect;
    struct token_list tokens;
    struct histogram taken; /* of the window */
    uint64_t n_reconnects;
};

struct load_options load_options_parse(int argc, char **argv); /* or the end of the program */

struct load {
    struct load_options options;
    int epoll_fd;

    struct call_group good;  /* options.connections */
    struct call_group flood; /* options.flood */
    char call_prefix[256];   /* of each request, up to the token */
    char call_suffix[1024];  /* and behind it */
    FILE *saved;             /* where bodies go: then their length does not matter; or NULL */
    struct stream *streams;  /* options.idle, then options.active */
    size_t n_streams_open;   /* answered with 200 and a first byte */
    struct slow *slow;       /* options.slow */

    bool is_measuring; /* what ends now counts */
    struct histogram events_taken;
};

/* Opens a connection that reports to on_bytes. */
void endpoint_open(struct load *load, struct endpoint *endpoint, struct tool_source source,
                   void (*on_bytes)(struct load *, struct endpoint *, const char *, size_t));

/* Sends prefix, the next token and suffix. Returns whether the connection took it; the fault of one
 * without on_close ends the run. */
bool endpoint_send(const struct endpoint *endpoint, struct token_list *tokens, const char *prefix,
                   const char *suffix);

void endpoint_close(struct endpoint *endpoint);

/* Whether the window has seen options.requests calls. */
bool load_has_enough(const struct load *load);

/* Waits up to timeout_ns and hands what came to the endpoints. */
void load_turn(struct load *load, int64_t timeout_ns);

/* load_calls.c: calls_start sends the first call on each connection; calls_send_due, for a fixed
 * rate, sends those whose time has come and returns when the next one is due (INT64_MAX: none). */
void calls_start(struct load *load);
int64_t calls_send_due(struct load *load);
void calls_free(struct load *load);

/* load_streams.c: returns when all streams are open. */
void streams_open(struct load *load);
void streams_free(struct load *load);

/* load_slow.c: slow_start asks for the large answers; slow_read_due reads a little of those whose
 * turn it is and returns when the next one's is (INT64_MAX: there is none). */
void slow_start(struct load *load);
int64_t slow_read_due(struct load *load);
void slow_free(struct load *load);

/* load_tls.c: TLS 1.2 or 1.3 over a connected socket. The certificate is not looked at: the bench
 * made it itself, and what is measured is the other side. */
struct tls *tls_open(int fd); /* or the end of the program */
bool tls_send(struct tls *tls, const char *bytes, size_t len);
/* Like recv(2): the number of bytes, 0 at the end, -1 with errno EAGAIN or EIO. */
ssize_t tls_receive(struct tls *tls, char *bytes, size_t size);
struct tls *tls_free(struct tls *tls);

#endif
