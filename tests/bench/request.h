/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON-RPC requests that the bench sends. The load sends them, inspect_cost judges the same
 * bytes, so that the figures of both belong together. */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <stddef.h>

struct request {
    const char *name;     /* what --call takes */
    const char *revision; /* MCP-Protocol-Version */
    const char *method;   /* Mcp-Method; NULL in a revision that mirrors nothing */
    const char *target;   /* Mcp-Name; NULL without one */
    const char *body;
};

/* Tells what NAME may be, and ends the program, when there is no such request. */
const struct request *request_find(const char *name);

/* Writes what follows the token of a POST: line end, fields, empty line and body, NUL-terminated.
 */
void request_print(const struct request *request, char *suffix, size_t size);

#endif
