/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets that several replicas share, in a Redis or Valkey: one connection on one loop,
 * questions pipelined, the arithmetic of base/gcra as a script with the server's own clock.
 * libhiredis speaks the protocol.
 *
 * While the store is not known to work nobody waits for it: a question that was not answered within
 * the time-out, a connection that broke, or an answer that is none ends the connection, every
 * question that is open fails at once, and until a new connection has proved itself, by a trial of
 * the script, there are no questions. Belongs to one thread. docs/decisions/0014 */
#ifndef STORE_SHARED_RATE_H
#define STORE_SHARED_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/gcra.h"
#include "base/str.h"
#include "net/loop.h"
#include "net/mailbox.h"

struct shared_rate;

struct shared_rate_options {
    struct loop *loop;
    struct mailbox *mailbox; /* of LOOP, for names that are looked up */
    /* Copied. Absent: none. */
    struct str path; /* of a unix socket; absent: HOST and PORT */
    struct str host; /* a name, or an address without brackets */
    uint16_t port;
    struct str user;
    struct str password;
    unsigned db;
    int64_t timeout_ms;
    /* It works now, or does not any more (REASON: static text). Only when that changes, but for the
     * first word. Asks nothing of the store. */
    void (*changed)(void *ctx, bool works, const char *reason);
    void *ctx;
};

/* Begins to connect. NULL when memory is short. */
struct shared_rate *shared_rate_new(const struct shared_rate_options *options);
/* Every open question fails, with a call of done(). Not from inside a callback. Takes NULL, returns
 * NULL. */
struct shared_rate *shared_rate_free(struct shared_rate *store);

enum shared_rate_rc {
    SHARED_RATE_TAKEN,
    SHARED_RATE_REFUSED,
    SHARED_RATE_FAILED, /* nobody knows */
};

/* One question; a member of whoever asks. All zero: none is open. */
struct shared_rate_ask {
    struct shared_rate_pending *pending; /* NULL: no question is open */
    /* Comes once, from the loop, unless it was cancelled. It only notes the answer. */
    void (*done)(struct shared_rate_ask *ask, enum shared_rate_rc rc, int64_t wait_ns);
};

/* Asks for COST tokens of the bucket KEY. False: the store does not work, and done() will not come.
 */
bool shared_rate_ask(struct shared_rate *store, struct str key, const struct gcra *gcra,
                     int64_t cost, struct shared_rate_ask *ask);
/* done() will not come; an answer that does is dropped. Harmless when nothing is open. */
void shared_rate_cancel(struct shared_rate_ask *ask);

struct shared_rate_stats {
    bool works;
    uint64_t answers;
    uint64_t failures;   /* questions without an answer, and those not asked because it is down */
    uint64_t latency_us; /* of all answers together */
};
struct shared_rate_stats shared_rate_stats(const struct shared_rate *store);
/* "0.14.1", for `portcullis version`. */
const char *shared_rate_library_version(void);

#endif
