/* SPDX-License-Identifier: Apache-2.0 */
/* Findings for people: what is wrong with a file, where, and what to do about it.
 *
 * Collects any number of findings (up to DIAG_MAX, the rest is counted) so that one run reports all
 * of them. Texts never contain secrets. */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/str.h"

#define DIAG_MAX 200

enum diag_level { DIAG_WARNING, DIAG_ERROR };

struct finding {
    enum diag_level level;
    char *pointer; /* JSON pointer (RFC 6901), "" for the whole document; owned */
    unsigned line; /* from 1; 0 when unknown */
    char *text;    /* one sentence, owned */
};

struct diag {
    struct finding *items;
    size_t count;
    size_t errors;  /* findings of level DIAG_ERROR, also those not kept */
    size_t dropped; /* findings past DIAG_MAX */
};

/* Zero-initialised is empty: struct diag diag = {0}. */
void diag_free(struct diag *diag);

/* Adds one finding; POINTER is copied. Running out of memory counts the finding and drops its
 * text. */
__attribute__((format(printf, 5, 6))) void diag_add(struct diag *diag, enum diag_level level,
                                                    struct str pointer, unsigned line,
                                                    const char *format, ...);

static inline bool diag_has_errors(const struct diag *diag)
{
    return diag->errors > 0;
}

/* Orders the findings by line and removes exact repetitions. */
void diag_sort(struct diag *diag);

/* Prints one line each: "FILE:LINE: error: POINTER: TEXT". COLOUR marks the level. */
void diag_print(const struct diag *diag, FILE *out, const char *file, bool colour);

#endif
