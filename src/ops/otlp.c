/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/otlp.h"

#include "base/err.h"
#include "base/json.h"

#define MAX_ANSWER_DEPTH 8
#define MAX_ANSWER_BYTES (64U * 1024)

static void append_hex(const uint8_t *bytes, size_t len, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        const char pair[] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
        (void)buf_append(out, str_make(pair, sizeof(pair)));
    }
}

static void append_id(const char *key, const uint8_t *bytes, size_t len, struct buf *out)
{
    (void)buf_append_cstr(out, key);
    append_hex(bytes, len, out);
    (void)buf_append_char(out, '"');
}

static void append_time(const char *key, int64_t at_us, struct buf *out)
{
    (void)buf_append_cstr(out, key);
    (void)buf_append_u64(out, at_us > 0 ? (uint64_t)at_us : 0);
    (void)buf_append(out, STR("000\""));
}

static void append_value(const struct log_field *field, struct buf *out)
{
    switch (field->kind) {
    case LOG_KIND_STR:
        (void)buf_append(out, STR("{\"stringValue\":\""));
        (void)buf_append_json(out, field->s);
        (void)buf_append(out, STR("\"}"));
        break;
    case LOG_KIND_INT:
        (void)buf_append(out, STR("{\"intValue\":\""));
        if (field->i < 0)
            (void)buf_append_char(out, '-');
        (void)buf_append_u64(out, field->i < 0 ? 0 - (uint64_t)field->i : (uint64_t)field->i);
        (void)buf_append(out, STR("\"}"));
        break;
    case LOG_KIND_BOOL:
        (void)buf_append_cstr(out,
                              field->i != 0 ? "{\"boolValue\":true}" : "{\"boolValue\":false}");
        break;
    }
}

static void append_attributes(const struct log_field *fields, size_t n, struct buf *out)
{
    const char *before = "";
    (void)buf_append(out, STR("\"attributes\":["));
    for (size_t i = 0; i < n; i++) {
        if (fields[i].kind == LOG_KIND_STR && !str_is_set(fields[i].s))
            continue;
        (void)buf_append_cstr(out, before);
        (void)buf_append(out, STR("{\"key\":\""));
        (void)buf_append(out, fields[i].key);
        (void)buf_append(out, STR("\",\"value\":"));
        append_value(&fields[i], out);
        (void)buf_append_char(out, '}');
        before = ",";
    }
    (void)buf_append_char(out, ']');
}

void otlp_append_head(const struct log_field *resource, size_t n_resource, struct buf *out)
{
    (void)buf_append(out, STR("{\"resourceSpans\":[{\"resource\":{"));
    append_attributes(resource, n_resource, out);
    (void)buf_append(out, STR("},\"scopeSpans\":[{\"scope\":{\"name\":\"portcullis\",\"version\":"
                              "\"" PORTCULLIS_VERSION "\"},\"spans\":["));
}

void otlp_append_tail(struct buf *out)
{
    (void)buf_append(out, STR("]}]}]}"));
}

static void append_events(const struct otlp_span *span, struct buf *out)
{
    const char *before = ",\"events\":[";
    bool any = false;
    for (size_t i = 0; i < span->n_events; i++) {
        if (span->events[i].name == NULL)
            continue;
        (void)buf_append_cstr(out, before);
        append_time("{\"timeUnixNano\":\"", span->events[i].at_us, out);
        (void)buf_append(out, STR(",\"name\":\""));
        (void)buf_append_cstr(out, span->events[i].name);
        (void)buf_append(out, STR("\"}"));
        before = ",";
        any = true;
    }
    if (any)
        (void)buf_append_char(out, ']');
}

void otlp_append_span(const struct otlp_span *span, struct buf *out)
{
    append_id("{\"traceId\":\"", span->trace_id, OTLP_TRACE_ID_BYTES, out);
    append_id(",\"spanId\":\"", span->span_id, OTLP_SPAN_ID_BYTES, out);
    if (span->parent_id != NULL)
        append_id(",\"parentSpanId\":\"", span->parent_id, OTLP_SPAN_ID_BYTES, out);
    (void)buf_append(out, STR(",\"flags\":"));
    (void)buf_append_u64(out, span->flags);
    (void)buf_append(out, STR(",\"name\":\""));
    (void)buf_append_json(out, span->name);
    (void)buf_append(out, STR("\",\"kind\":"));
    (void)buf_append_u64(out, (uint64_t)span->kind);
    append_time(",\"startTimeUnixNano\":\"", span->start_us, out);
    append_time(",\"endTimeUnixNano\":\"", span->end_us, out);
    (void)buf_append_char(out, ',');
    append_attributes(span->attributes, span->n_attributes, out);
    append_events(span, out);
    if (span->link_trace_id != NULL) {
        append_id(",\"links\":[{\"traceId\":\"", span->link_trace_id, OTLP_TRACE_ID_BYTES, out);
        append_id(",\"spanId\":\"", span->link_span_id, OTLP_SPAN_ID_BYTES, out);
        (void)buf_append(out, STR("}]"));
    }
    /* "unset" otherwise: that a request went well is not for us to say (OTLP Status) */
    (void)buf_append(out, span->failed ? STR(",\"status\":{\"code\":2}}") : STR("}"));
}

uint64_t otlp_rejected(struct str answer)
{
    const struct json_limits limits = {MAX_ANSWER_BYTES, MAX_ANSWER_DEPTH};
    CLEANUP(json_unref) json_t *root = NULL;
    uint64_t count = 0;
    if (json_parse(answer, limits, &root, NULL) != JSON_RC_OK)
        return 0;
    const json_t *value = json_object_get(json_object_get(root, "partialSuccess"), "rejectedSpans");
    if (json_is_integer(value)) /* lenient senders; the specification has a string */
        return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    return str_to_u64(json_str(value), UINT32_MAX, &count) == 0 ? count : 0;
}
