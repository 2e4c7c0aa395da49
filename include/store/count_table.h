/* SPDX-License-Identifier: Apache-2.0 */
/* How many things somebody has open at once, in this process: streams of a subject, connections of
 * an address. Counted exactly: whoever takes a place holds it until it is given back.
 *
 * Memory grows with what is open, which has limits of its own, and not with who was ever seen. Keys
 * are hashed with a secret of the process. */
#ifndef STORE_COUNT_TABLE_H
#define STORE_COUNT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct count_table;
struct count_place; /* held by whoever is counted */

/* NULL when memory or randomness is short. */
struct count_table *count_table_new(void);
/* Takes NULL, returns NULL. Every place was given back. */
struct count_table *count_table_free(struct count_table *table);

enum count_rc {
    COUNT_OK,
    COUNT_FULL, /* LIMIT places are taken already */
    COUNT_NO_MEMORY,
};
/* Thread-safe. A place of the key PARTS (at most SIPHASH_MAX_PARTS), if fewer than LIMIT are taken.
 */
enum count_rc count_table_take(struct count_table *table, const struct str *parts, size_t n_parts,
                               uint32_t limit, struct count_place **ret_place);
/* Thread-safe. Takes NULL, returns NULL. */
struct count_place *count_table_give_back(struct count_table *table, struct count_place *place);

/* Thread-safe: how many keys have a place, and how many places are taken. */
struct count_table_stats {
    size_t keys;
    size_t places;
};
struct count_table_stats count_table_stats(struct count_table *table);

#endif
