/* SPDX-License-Identifier: Apache-2.0 */
/* A transaction: one request on its way through the gate, from its complete head to the last byte
 * of its answer. It lives in the arena of its exchange and belongs to one worker. */
#ifndef GATE_TXN_H
#define GATE_TXN_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/session.h"
#include "auth/token.h"
#include "base/list.h"
#include "base/str.h"
#include "gate/snapshot.h"
#include "net/loop.h"
#include "net/server.h"
#include "net/upstream.h"
#include "policy/route.h"
#include "policy/rules.h"
#include "proto/field.h"
#include "proto/mcp.h"
#include "store/shared_rate.h"

struct count_place;
struct list_filter;
struct txn_trace;
struct worker;
struct route_set;

#define TXN_ID_LEN 32 /* hex digits of a request id */

enum method { METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_DELETE, METHOD_OPTIONS };
/* "POST"; "OTHER" for what the gate does not know, so that nothing foreign gets into a label. */
struct str method_name(enum method method);

/* What the stages need of the head, read once. Views borrow from the exchange: gone when the answer
 * is out. */
struct request {
    enum method method;
    struct str path;
    struct str query; /* without '?'; absent without one */
    unsigned n_authorization;
    struct str authorization;
    struct str token;         /* the credential, once the bearer stage has passed */
    struct str origin;        /* absent without an Origin field */
    struct str content_type;  /* absent without one */
    bool is_coded;            /* it has a Content-Encoding other than identity */
    struct str forwarded_for; /* all its lines as one list, in the arena */
    struct str cors_headers;  /* Access-Control-Request-Headers, absent without one */
    struct mcp_head mcp;      /* what mirrors the body */
    struct str session;       /* Mcp-Session-Id, absent without one */
    unsigned n_session;
    /* What each field of the head is to an upstream that reads '_' as '-': field_lookup_folded(),
     * in the arena. NULL when memory was short; then it is looked up again. */
    const enum field_id *folded;
    struct str traceparent; /* absent without one */
    unsigned n_traceparent;
};
/* Reads the head: each field is looked up by name once. */
struct request request_read(const struct exchange_head *head, struct arena *arena);

/* How far the answer of the upstream is. */
enum relay_state {
    RELAY_NONE,
    RELAY_WAITING,    /* for the upstream's head */
    RELAY_HOLDING,    /* it came; whether more than this read is to come is not known yet */
    RELAY_COLLECTING, /* a small answer, sent in one piece when it is complete */
    RELAY_FILTERING,  /* there may be a list in it: JSON is sent when it is complete and filtered,
                         events when it is known whether more than this read is to come */
    RELAY_STREAMING,
    RELAY_DONE,
};

/* One decision: a POST has one for each thing that it calls, and one for each response in it. */
struct txn_decision {
    const struct mcp_message *message;
    const struct mcp_call *call; /* NULL: a response, which calls nothing */
    struct decision decision;
};

struct relay {
    enum relay_state state;
    struct upstream_call *call;
    unsigned status;                        /* the upstream's; 0 while none came */
    bool events;                            /* the answer is an event stream */
    const struct http1_response_head *head; /* with RELAY_HOLDING: the upstream's */
    struct str held;                        /* with RELAY_HOLDING: what came of the body */
    struct reply *reply; /* the answer under construction, in the arena; NULL while none is kept */
    struct buf body;     /* with RELAY_COLLECTING, and what a filter gave with RELAY_FILTERING */
    uint64_t bytes;      /* of the upstream's body */
    struct list_filter *filter; /* NULL: the answer passes as it is */
    bool plain;                 /* libmicrohttpd can send its fields */
};

/* What the shared store said about a bucket. */
enum store_answer { STORE_NOT_ASKED, STORE_ASKED, STORE_TAKEN, STORE_REFUSED, STORE_FAILED };

struct txn {
    struct list node;     /* in worker.txns */
    struct list run_node; /* in worker.marked: to be run in this turn; or in worker.deferred */
    struct list key_node; /* in worker.key_waiters */
    struct worker *worker;
    struct exchange *exchange;
    struct snapshot *snapshot;
    struct route_set *routes;
    char id[TXN_ID_LEN + 1];
    int64_t start_us;
    struct request request;
    const struct route *route;
    struct identity *identity;
    char fingerprint[TOKEN_FINGERPRINT_LEN + 1]; /* of the token, also of one that is refused (rule
                                                    27); "" when none was looked at */
    struct txn_trace *trace;                     /* NULL: it belongs to no trace that is known */
    struct timer key_timer;
    int64_t deferred_ms; /* since then the check of its token waits for its turn; 0: it does not */
    const struct jwks_status *key_status; /* of the issuer whose keys it waits for */
    bool key_waited;                      /* this transaction has had its one wait for keys */
    bool was_deferred;                    /* the check of its token has had its one delay */
    bool is_too_late;                     /* that took too long */
    bool body_ready;
    bool ip_counted;          /* this request was taken from its address's bucket */
    bool origin_ok;           /* a browser's origin that may see the answer */
    bool lacks_route_scopes;  /* but a wider token could have them: the decide stage says so */
    bool replied;             /* an answer was given to the exchange */
    bool is_document;         /* metadata or a preflight: for everybody, nothing is decided */
    bool passed;              /* every stage let it pass: it went upstream */
    unsigned stage;           /* index in the table of stages */
    unsigned status;          /* of the answer; 0 while there is none */
    const char *reason;       /* why it ended as it did: static text, for logs and metrics */
    const char *detail;       /* more about a fault: static text or NULL */
    struct str client_ip;     /* the client, as far as trusted proxies vouch for it */
    struct str forwarded_for; /* what the upstream is told: X-Forwarded-For */
    struct mcp_body body;     /* what the POST says; no messages before the inspect stage */
    struct str rpc_id;        /* JSON text of the id of its only request; absent without */
    struct txn_decision *decisions; /* from the decide stage on */
    size_t n_decisions;
    struct str session;   /* the upstream's id of the session it belongs to; absent: none */
    struct str assertion; /* the signed statement about the caller; absent: none */
    bool filters;         /* its answer may carry a list, which is filtered */
    struct relay relay;
    struct shared_rate_ask ask; /* to the shared store */
    enum store_answer store_answer;
    int64_t store_wait_ns;            /* with STORE_REFUSED */
    struct count_place *stream_place; /* as one of its subject's streams; NULL: not counted */
};

/* The caller, as the rules see it, and as the owner of sessions; after the token stage. */
struct caller txn_caller(const struct txn *txn);
struct session_owner txn_session_owner(const struct txn *txn);

/* It waits for keys, for the shared store or for its turn, and not for its body. */
static inline bool txn_is_parked(const struct txn *txn)
{
    return list_is_linked(&txn->key_node) || list_is_linked(&txn->run_node) ||
           txn->ask.pending != NULL;
}

/* Puts TXN on the list of those that go on in this turn. */
void txn_mark(struct txn *txn);

#endif
