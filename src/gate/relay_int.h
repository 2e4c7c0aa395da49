/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of the relay: relay.c (the call and its answer), relay_head.c (the head that goes
 * up), relay_reply.c (status and fields that go down), relay_list.c (answers in which there may be
 * a list). */
#ifndef GATE_RELAY_INT_H
#define GATE_RELAY_INT_H

#include "gate/relay.h"
#include "proto/http1_response.h"

/* relay_reply.c */
bool relay_has_media_type(const struct http1_response_head *head, struct str type);
/* Makes the reply to HEAD in the arena, and keeps it as relay.reply. False: TXN was answered
 * otherwise. */
bool relay_keep_reply(struct txn *txn, const struct http1_response_head *head);
/* The reply that is kept, or one in *LOCAL that borrows from what was read. NULL: TXN was answered
 * otherwise. */
struct reply *relay_reply_now(struct txn *txn, const struct http1_response_head *head,
                              struct reply *local);

/* relay.c */
/* 502 in the place of the answer. REASON and DESCRIPTION are static. */
void relay_fail(struct txn *txn, const char *reason, const char *description);
void relay_refuse_resources(struct txn *txn);
/* Begins the answer as a stream, or fails and answers otherwise: look at txn->relay.state. */
void relay_begin_stream(struct txn *txn, int64_t content_length);
void relay_write_stream(struct txn *txn, struct str bytes);
/* Sends relay.body in one piece. */
void relay_reply_collected(struct txn *txn);

/* relay_list.c */
/* Sets the filter of this answer up, if it needs one. False: the answer is not to be passed, and
 * TXN was answered. */
bool relay_list_begin(struct txn *txn, const struct http1_response_head *head);
/* Gives BYTES of the answer to the filter, and sends what comes out of it; what comes out of the
 * first read is kept until it is known whether the answer goes on. */
void relay_list_feed(struct txn *txn, struct str bytes);
/* The answer goes on behind this read: from here on events are a stream. */
void relay_list_settled(struct txn *txn);
/* The answer is complete. */
void relay_list_end(struct txn *txn);

#endif
