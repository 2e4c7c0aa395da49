/* SPDX-License-Identifier: Apache-2.0 */
/* Looking a host name up without blocking a loop: the system's resolver in a thread of its own, the
 * answer by letter. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <netinet/in.h>

#include "net/mailbox.h"

#define RESOLVE_MAX_HOST 255

struct resolve;

/* Looks HOST up. DONE is called once, from a letter of MAILBOX: TEXT is a numeric address, the
 * TURNth of those that were found, round and round; NULL when there is none. NULL when the name is
 * too long, a thread or memory is short, or too many that were cancelled still wait for the system.
 * When there is no memory for the letter DONE never comes: whoever asks has a time-out. */
struct resolve *resolve_start(struct mailbox *mailbox, const char *host, unsigned turn,
                              void (*done)(void *ctx, const char *text), void *ctx);
/* After this DONE is not called. Before the mailbox ends. Takes NULL, returns NULL. */
struct resolve *resolve_cancel(struct resolve *resolve);

#endif
