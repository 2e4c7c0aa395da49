/* SPDX-License-Identifier: Apache-2.0 */
/* The request up, the answer down: what is sent to the upstream, and how its answer gets to the
 * client while it comes. */
#ifndef GATE_RELAY_H
#define GATE_RELAY_H

#include "base/buf.h"
#include "gate/txn.h"
#include "proto/field.h"

/* Answers up to this size that are no event stream are sent in one piece. */
#define RELAY_COLLECT_BYTES (64U * 1024)
/* ... if their fields are no larger than this: libmicrohttpd builds the head of such an answer in
 * what the request head has left of the connection's memory. */
#define RELAY_SMALL_HEAD_BYTES (8U * 1024)
/* Ceiling of the head we send. */
#define RELAY_MAX_HEAD_BYTES UPSTREAM_MAX_HEAD_BYTES

/* Appends the complete request head for the upstream. 0; -EINVAL: a claim cannot be a header value;
 * -EMSGSIZE or -ENOMEM. */
int relay_append_head(const struct txn *txn, struct buf *out);
/* The body that goes with it: that of a POST, which was inspected. One that came with another
 * method means nothing (RFC 9110 9.3), nobody has looked at it, and it does not go upstream. */
struct str relay_body(const struct txn *txn);

/* The index of the first field ID, or N_FIELDS. */
size_t relay_find_field(const struct http1_field *fields, size_t n_fields, enum field_id id);
/* NAME is an option of a Connection field at FIRST or behind it: for that hop only (RFC 9110
 * 7.6.1). */
bool relay_is_connection_option(const struct http1_field *fields, size_t n_fields, size_t first,
                                struct str name);

/* Starts the call. False: it could not, and TXN was answered. */
bool relay_start(struct txn *txn);
/* The client takes bytes again. */
void relay_drained(struct txn *txn);
/* The client left, or the transaction must end: cancels the upstream at once. */
void relay_cancel(struct txn *txn);
/* Draining: ends a GET event stream in order, so that the client connects elsewhere. */
void relay_finish_stream(struct txn *txn);

#endif
