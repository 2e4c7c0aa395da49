/* SPDX-License-Identifier: Apache-2.0 */
/* Small fetches over HTTP(S) on a loop: JWKS, discovery, health checks, spans. libcurl does the
 * work.
 *
 * Always: GET or POST, no redirects, no proxy, no cookies, no netrc, no compressed answers, TLS 1.2
 * or newer and verified, a total time and a size that end the fetch. Belongs to one thread. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "net/loop.h"

struct client_pool;
struct fetch;

enum fetch_rc {
    FETCH_OK,
    FETCH_CONNECT, /* name, connection or TLS; TEXT says which */
    FETCH_TIMEOUT,
    FETCH_TOO_LARGE,
    FETCH_REDIRECT, /* 3xx: never followed */
    FETCH_STATUS,   /* any status but 200; of a POST any but 2xx */
    FETCH_BROKEN,   /* the answer ended early or was not HTTP */
};
const char *fetch_rc_name(enum fetch_rc rc);

struct fetch_result {
    enum fetch_rc rc;
    unsigned status;       /* HTTP status, 0 when none came */
    struct str body;       /* with FETCH_OK; valid during the call only */
    int64_t retry_after_s; /* as the answer says, in whatever form; 0: it does not */
    const char *text;      /* libcurl's words for a fault; static */
};

struct fetch_request {
    const char *url;         /* http or https */
    const char *ca_file;     /* NULL: the system's */
    const char *unix_socket; /* NULL: TCP */
    int64_t timeout_ms;
    size_t max_bytes;
    struct str post;           /* absent: GET; else the body of a POST */
    const char *const *fields; /* "NAME: VALUE", to the NULL; NULL: none */
    bool keep;                 /* on a connection that an earlier one with KEEP has left */
    /* Called once, from the loop, never from inside fetch_start(). */
    void (*done)(void *ctx, const struct fetch_result *result);
    void *ctx;
};

/* NULL when libcurl or memory fails. */
struct client_pool *client_pool_new(struct loop *loop);
/* Cancels what is under way, without calls to done(). */
struct client_pool *client_pool_free(struct client_pool *pool);

/* The strings of REQUEST are copied. NULL when memory is short; done() is not called then. A URL
 * that is refused (not http or https, with a user in it) ends as FETCH_BROKEN. The fetch is freed
 * after done(). */
struct fetch *fetch_start(struct client_pool *pool, const struct fetch_request *request);
/* Ends it without a call to done(). Takes NULL, returns NULL. */
struct fetch *fetch_cancel(struct fetch *fetch);

/* Process-wide set-up of libcurl, before any thread starts; 0 or -EIO. */
int client_global_init(void);
void client_global_free(void);
const char *client_library_version(void);
/* Where libcurl was built to look for CAs; NULL: nowhere. Static. */
void client_ca_places(const char **ret_file, const char **ret_folder);

#endif
