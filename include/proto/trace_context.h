/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Trace Context (level 1, and the random flag of level 2): traceparent and tracestate, read
 * strictly and written anew. Pure functions. */
#ifndef PROTO_TRACE_CONTEXT_H
#define PROTO_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define TRACE_ID_BYTES 16
#define SPAN_ID_BYTES 8
#define TRACE_ID_HEX (2 * TRACE_ID_BYTES)
#define SPAN_ID_HEX (2 * SPAN_ID_BYTES)
#define TRACEPARENT_LEN 55

#define TRACE_FLAG_SAMPLED 0x01U
#define TRACE_FLAG_RANDOM 0x02U /* level 2: the last 7 bytes of the trace id are random */

/* What a vendor has to take (3.3.1.5), and what is passed on here. */
#define TRACESTATE_MAX_BYTES 512
#define TRACESTATE_MAX_MEMBERS 32

struct trace_context {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES]; /* the sender's: our parent */
    uint8_t flags;                  /* of those above; others are not passed on */
};

/* Reads the value of the one traceparent field (3.2). Version 00 has exactly its four parts; a
 * later one may have more behind them, and is read as far as 00 goes (4.3); ff is invalid. Lower
 * case only, and no id of zeros. False: invalid, to be treated as if there were none, and then
 * tracestate does not count either. */
bool trace_context_parse(struct str value, struct trace_context *ret_context);

/* Writes CONTEXT as a traceparent of version 00, without a NUL. */
void trace_context_write(const struct trace_context *context, char ret_text[TRACEPARENT_LEN]);
/* LEN bytes as lower-case hexadecimal, 2 * LEN characters without a NUL. */
void trace_id_write(const uint8_t *bytes, size_t len, char *ret_hex);
/* An id of zeros is none. */
bool trace_id_is_valid(const uint8_t *bytes, size_t len);
/* The last 64 bits of a trace id, for a decision by ratio (base/sample.h). */
uint64_t trace_id_random(const uint8_t trace_id[TRACE_ID_BYTES]);

/* A list of members KEY=VALUE (3.3), all its lines taken together, separated by commas and with
 * empty members allowed: within the limits above, each key once, and every byte as the grammar has
 * it. False: it is to be left out. */
bool tracestate_is_valid(struct str list);

#endif
