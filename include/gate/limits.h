/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers share to hold callers to their limits: the token buckets, and the counts of what
 * is open. One for the process; it outlives the workers, and a reload, so that a new policy finds
 * the buckets as the old one left them. */
#ifndef GATE_LIMITS_H
#define GATE_LIMITS_H

#include <stdatomic.h>

#include "base/str.h"
#include "net/server.h"
#include "ops/metrics.h"
#include "store/count_table.h"
#include "store/rate_table.h"

/* Buckets that are not full, of all routes together: 4 MiB when all of them are used. */
#define LIMITS_RATE_ENTRIES (256U * 1024)

struct limits {
    atomic_bool store_is_down; /* said so in the log */
    struct rate_table *rates;
    struct count_table *streams; /* of subjects */
    struct count_table *peers;   /* connections of peer addresses */
};

/* NULL when memory is short. */
struct limits *limits_new(void);
struct limits *limits_free(struct limits *limits); /* takes NULL, returns NULL */

/* What a server asks about its peers. Unix sockets have no address, and are not counted. */
struct limits_peers {
    const struct limits *limits;
    uint32_t max; /* connections of one address */
    struct server_peers peers;
};
void limits_count_peers(const struct limits *limits, uint32_t max, struct limits_peers *ret_peers);

/* Thread-safe. */
struct metrics_limits limits_numbers(const struct limits *limits, int64_t now_us);

#endif
