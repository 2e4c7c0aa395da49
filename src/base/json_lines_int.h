/* SPDX-License-Identifier: Apache-2.0 */
/* The values of a JSON text by position. Private to json_lines.c and its scanner. */
#ifndef BASE_JSON_LINES_INT_H
#define BASE_JSON_LINES_INT_H

#include "base/arena.h"
#include "base/json_lines.h"

/* One value. Nodes lie in one array in the order of the file; links are indexes, and 0, which is
 * the root and nobody's child or sibling, stands for none. */
struct node {
    struct str key; /* decoded; absent for an array element and the root */
    uint32_t line;
    uint32_t index; /* of an array element */
    uint32_t parent;
    uint32_t next;  /* sibling */
    uint32_t child; /* first */
};

struct json_lines {
    struct node *nodes;
    uint32_t count;
    uint32_t cap;
    struct arena *arena; /* decoded keys, pointers of duplicates, the list of duplicates */
    struct json_duplicate *duplicates;
    size_t n_duplicates;
};

/* Decoded keys are no longer than the text; the rest is what the limits above allow. */
#define LINES_ARENA_MAX (64U * 1024 * 1024)

/* Reads TEXT into the nodes of LINES, which is empty but for its arena. 0, -EINVAL or -ENOMEM, with
 * *ret_fault. */
int json_lines_read(struct json_lines *lines, struct str text, struct json_fault *ret_fault);

#endif
