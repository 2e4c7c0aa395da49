/* SPDX-License-Identifier: Apache-2.0 */
/* Letters from other threads: the one way in which threads talk to a loop.
 *
 * Any thread posts; the owner's loop delivers in order, inside a turn. A letter is a function and
 * its argument; whatever the argument owns passes to the receiver with it. */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include "net/loop.h"

struct mailbox;

/* A mailbox that delivers on LOOP. NULL when descriptors or memory are short. */
struct mailbox *mailbox_new(struct loop *loop);
/* Delivers what is left and frees; nobody may post any more. */
struct mailbox *mailbox_free(struct mailbox *mailbox);

/* Thread-safe. 0 or -ENOMEM: then nothing was posted and ARG is still the caller's. */
int mailbox_post(struct mailbox *mailbox, void (*deliver)(void *ctx, void *arg), void *ctx,
                 void *arg);

#endif
