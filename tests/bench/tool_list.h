/* SPDX-License-Identifier: Apache-2.0 */
/* A tools/list answer as a large server gives it: 50 tools, each with a description and a schema of
 * its input, 20 kB. The rules of contenders/rules.json leave five of them to the callers of
 * the bench: add, docs_list, docs_read, echo and search. */
#ifndef BENCH_TOOL_LIST_H
#define BENCH_TOOL_LIST_H

#include <stddef.h>

/* The caller frees it; not NUL-terminated. */
char *tool_list_make(size_t *ret_len);
/* The same as the only event of a stream. */
char *tool_list_make_event(size_t *ret_len);

#endif
