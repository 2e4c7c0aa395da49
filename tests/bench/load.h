/* SPDX-License-Identifier: Apache-2.0 */
/* The load of the bench: one thread, one epoll, calls (load_calls.c) and streams (load_streams.c)
 * on connections of their own. Whatever does not go as it should ends the run: a wrong status, a
 * short body, a closed connection, a missing event. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "histogram.h"
#include "message.h"
#include "process.h"

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
    uint32_t answer;    /* bytes that each answer has; 0: as size says */
    int expect;         /* the status of every answer */
    bool is_once;       /* use no token twice */
    const char *tokens; /* a file with one token in a line */
    const char *path;   /* of the route */
    const char *query;  /* behind it; NULL: as size says */
    const char *save;   /* a file for the bodies of the answers; NULL: none */
    const struct request *request;
    struct process_set contender;
};

struct load;
struct call;
struct request;
struct stream;

/* One connection; first member of struct call and struct stream. */
struct endpoint {
    int fd;
    struct message reply;
    void (*on_bytes)(struct load *load, struct endpoint *endpoint, const char *bytes, size_t len);
};

struct load_options load_options_parse(int argc, char **argv); /* or the end of the program */

struct load {
    struct load_options options;
    int epoll_fd;
    char **tokens;
    size_t n_tokens;
    size_t next_token;

    struct call *calls;     /* options.connections */
    char call_prefix[256];  /* of each request, up to the token */
    char call_suffix[1024]; /* and behind it */
    FILE *saved;            /* where bodies go: then their length does not matter; or NULL */
    struct stream *streams; /* options.idle, then options.active */
    size_t n_streams_open;  /* answered with 200 and a first byte */

    bool is_measuring; /* what ends now counts */
    struct histogram calls_taken;
    struct histogram events_taken;
};

/* Opens a connection that reports to on_bytes. */
void endpoint_open(struct load *load, struct endpoint *endpoint,
                   void (*on_bytes)(struct load *, struct endpoint *, const char *, size_t));

/* Sends prefix, the next token and suffix. */
void endpoint_send(struct load *load, const struct endpoint *endpoint, const char *prefix,
                   const char *suffix);

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

#endif
