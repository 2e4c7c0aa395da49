/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target insists on. Unlike assert() it also holds in builds with NDEBUG, so that the
 * replay of the corpus checks the same in every preset. */
#ifndef FUZZ_ORACLE_H
#define FUZZ_ORACLE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

/* libFuzzer's contract. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORACLE(promise)                                                                 \
    do {                                                                                \
        if (!(promise)) {                                                               \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #promise); \
            abort();                                                                    \
        }                                                                               \
    } while (0)

static inline struct str oracle_input(const uint8_t *data, size_t size)
{
    return str_make(size > 0 ? (const char *)data : "", size);
}

#endif
