/* SPDX-License-Identifier: Apache-2.0 */
/* Spans in the JSON form of the OpenTelemetry protocol (OTLP 1.x, ExportTraceServiceRequest): ids
 * in hexadecimal, 64-bit numbers as strings. Pure: appends text, and knows nothing of requests.
 *
 * Attributes are those of the log (base/log.h): absent strings are left out. */
#ifndef OPS_OTLP_H
#define OPS_OTLP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"

#define OTLP_TRACE_ID_BYTES 16
#define OTLP_SPAN_ID_BYTES 8

enum otlp_kind { OTLP_SERVER = 2, OTLP_CLIENT = 3 };

struct otlp_event {
    const char *name; /* NULL: it did not happen, and is left out */
    int64_t at_us;
};

struct otlp_span {
    const uint8_t *trace_id;
    const uint8_t *span_id;
    const uint8_t *parent_id; /* NULL: a root */
    struct str name;
    enum otlp_kind kind;
    int64_t start_us; /* wall clock */
    int64_t end_us;   /* not before START_US */
    const struct log_field *attributes;
    size_t n_attributes;
    const struct otlp_event *events;
    size_t n_events;
    const uint8_t *link_trace_id; /* NULL: no link */
    const uint8_t *link_span_id;
    uint8_t flags; /* of the trace context */
    bool failed;   /* status "error" */
};

/* What stands around the spans of one request: HEAD, spans with commas between them, TAIL. */
void otlp_append_head(const struct log_field *resource, size_t n_resource, struct buf *out);
void otlp_append_span(const struct otlp_span *span, struct buf *out);
void otlp_append_tail(struct buf *out);

/* How many spans the collector says it has refused (partialSuccess): 0 for an answer that says
 * nothing of the kind, or nothing that can be read. */
uint64_t otlp_rejected(struct str answer);

#endif
