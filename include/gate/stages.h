/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a request: an ordered table. Each stage lets it pass, lets it wait, or answers it;
 * forwarding is the last row, so nothing reaches an upstream without passing every row above. */
#ifndef GATE_STAGES_H
#define GATE_STAGES_H

#include <stdbool.h>
#include <stddef.h>

struct txn;

enum step {
    STEP_NEXT,
    STEP_WAIT,  /* for a body, for keys, for the upstream: run again when marked */
    STEP_REPLY, /* answered: the way ends here */
};

struct stage {
    const char *name; /* in logs */
    enum step (*run)(struct txn *txn);
};

/* The table; *RET_COUNT rows. */
const struct stage *stages(size_t *ret_count);

/* Goes on from txn->stage until a stage waits or answers. */
enum step stages_run(struct txn *txn);
/* The answer is an event stream: it counts as one of its subject from now on. */
void limits_note_stream(struct txn *txn);
/* TXN is over, however it ended: gives back what it holds of limits. */
void limits_end(struct txn *txn);

/* The name of the stage TXN is at. */
const char *stages_name(const struct txn *txn);
/* TXN was refused before anybody asked who its caller is: by route, origin or ip_rate. Whoever can
 * connect can have as many of these as he likes. */
bool stages_refused_anybody(const struct txn *txn);

#endif
