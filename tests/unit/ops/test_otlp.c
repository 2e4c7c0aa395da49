/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/otlp.h"

#include "base/err.h"
#include "base/json.h"
#include "support/cmocka_all.h"

static const uint8_t trace_id[OTLP_TRACE_ID_BYTES] = {0x4b, [15] = 0x36};
static const uint8_t span_id[OTLP_SPAN_ID_BYTES] = {0x01, [7] = 0xff};
static const uint8_t parent_id[OTLP_SPAN_ID_BYTES] = {0xaa, [7] = 0xbb};

static void otlp_is_the_json_of_the_protocol(void **state)
{
    (void)state;
    const struct log_field resource[] = {LOG_STR("service.name", STR("gate \"1\"")),
                                         LOG_STR("absent", (struct str){0})};
    const struct log_field attributes[] = {
        LOG_STR("absent", (struct str){0}),
        LOG_STR("text", STR("a\"\n\xff")),
        LOG_INT("number", INT64_MIN),
        LOG_BOOL("yes", true),
        LOG_BOOL("no", false),
        LOG_STR("empty", STR("")),
    };
    const struct otlp_event events[] = {
        {NULL, 1}, {"connected", 1795230007000001}, {NULL, 2}, {"first byte", 1795230007000002}};
    struct otlp_span span = {
        .trace_id = trace_id,
        .span_id = span_id,
        .parent_id = parent_id,
        .name = STR("POST /\"mcp\""),
        .kind = OTLP_SERVER,
        .start_us = 1795230007000000,
        .end_us = 1795230007000003,
        .attributes = attributes,
        .n_attributes = ARRAY_LEN(attributes),
        .events = events,
        .n_events = ARRAY_LEN(events),
        .link_trace_id = trace_id,
        .link_span_id = parent_id,
        .flags = 3,
        .failed = true,
    };
    struct buf out = buf_make(65536);
    otlp_append_head(resource, ARRAY_LEN(resource), &out);
    otlp_append_span(&span, &out);
    span = (struct otlp_span){.trace_id = trace_id,
                              .span_id = span_id,
                              .name = STR("x"),
                              .kind = OTLP_CLIENT,
                              .start_us = 1,
                              .end_us = 2};
    (void)buf_append_char(&out, ',');
    otlp_append_span(&span, &out);
    otlp_append_tail(&out);
    (void)buf_append_char(&out, '\0');
    static const char expected[] =
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"gate "
        "\\\"1\\\"\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"portcullis\","
        "\"version\":\"" PORTCULLIS_VERSION "\"},\"spans\":["
        "{\"traceId\":\"4b000000000000000000000000000036\",\"spanId\":\"01000000000000ff\","
        "\"parentSpanId\":\"aa000000000000bb\",\"flags\":3,\"name\":\"POST "
        "/\\\"mcp\\\"\",\"kind\":2,"
        "\"startTimeUnixNano\":\"1795230007000000000\",\"endTimeUnixNano\":\"1795230007000003000\","
        "\"attributes\":[{\"key\":\"text\",\"value\":{\"stringValue\":\"a\\\"\\n\\ufffd\"}},"
        "{\"key\":\"number\",\"value\":{\"intValue\":\"-9223372036854775808\"}},"
        "{\"key\":\"yes\",\"value\":{\"boolValue\":true}},"
        "{\"key\":\"no\",\"value\":{\"boolValue\":false}},"
        "{\"key\":\"empty\",\"value\":{\"stringValue\":\"\"}}],"
        "\"events\":[{\"timeUnixNano\":\"1795230007000001000\",\"name\":\"connected\"},"
        "{\"timeUnixNano\":\"1795230007000002000\",\"name\":\"first byte\"}],"
        "\"links\":[{\"traceId\":\"4b000000000000000000000000000036\",\"spanId\":"
        "\"aa000000000000bb\""
        "}],\"status\":{\"code\":2}},"
        "{\"traceId\":\"4b000000000000000000000000000036\",\"spanId\":\"01000000000000ff\","
        "\"flags\":"
        "0,\"name\":\"x\",\"kind\":3,\"startTimeUnixNano\":\"1000\",\"endTimeUnixNano\":\"2000\","
        "\"attributes\":[]}]}]}]}";
    assert_string_equal(out.ptr, expected);
    json_t *root = json_loads(out.ptr, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    json_decref(root);
    buf_free(&out);
}

static void otlp_rejected_reads_what_the_collector_says(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        uint64_t rejected;
    } rows[] = {
        {"{}", 0},
        {"", 0},
        {"garbage", 0},
        {"{\"partialSuccess\":{}}", 0},
        {"{\"partialSuccess\":{\"rejectedSpans\":\"7\",\"errorMessage\":\"x\"}}", 7},
        {"{\"partialSuccess\":{\"rejectedSpans\":7}}", 7},
        {"{\"partialSuccess\":{\"rejectedSpans\":-7}}", 0},
        {"{\"partialSuccess\":{\"rejectedSpans\":\"many\"}}", 0},
        {"{\"partialSuccess\":7}", 0},
        {"[1]", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(otlp_rejected(str_from_cstr(rows[i].answer)), rows[i].rejected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(otlp_is_the_json_of_the_protocol),
        cmocka_unit_test(otlp_rejected_reads_what_the_collector_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
