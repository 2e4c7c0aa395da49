/* SPDX-License-Identifier: Apache-2.0 */
/* Every body of tests/data/json-bodies.json: refused for its reason, or read as its calls. The
 * integration test of the same list asks other parsers. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "proto/base64url.h"
#include "proto/mcp.h"
#include "support/cmocka_all.h"

#define MAX_BYTES (4 * 1024 * 1024)
#define MAX_FILE_BYTES (4 * 1024 * 1024)

static void read_file(const char *path, struct buf *out)
{
    char block[8192];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    for (size_t n = fread(block, 1, sizeof(block), file); n > 0;
         n = fread(block, 1, sizeof(block), file))
        assert_int_equal(buf_append(out, str_make(block, n)), 0);
    assert_int_equal(fclose(file), 0);
}

/* Base64 with the alphabet and the padding of RFC 4648 4. */
static void append_decoded(struct buf *out, struct str text, size_t times)
{
    struct buf url = buf_make(MAX_FILE_BYTES);
    for (size_t i = 0; i < text.len && text.ptr[i] != '='; i++) {
        const char c = text.ptr[i];
        (void)buf_append_char(&url, c == '+' ? '-' : c);
        if (c == '/')
            url.ptr[url.len - 1] = '_';
    }
    const size_t start = out->len;
    assert_int_equal(base64url_decode_append(buf_str(&url), out), 0);
    const size_t len = out->len - start;
    assert_int_equal(buf_reserve(out, len * times), 0);
    for (size_t i = 1; i < times; i++)
        (void)buf_append(out, str_make(out->ptr + start, len));
    buf_free(&url);
}

static void append_body(struct buf *out, const json_t *body)
{
    size_t i;
    const json_t *part;
    if (json_is_string(body))
        append_decoded(out, json_str(body), 1);
    json_array_foreach (body, i, part)
        append_decoded(out, json_str(json_array_get(part, 0)),
                       (size_t)json_integer_value(json_array_get(part, 1)));
}

static void check_calls(const char *id, const struct mcp_body *body, const json_t *calls)
{
    size_t n = 0;
    for (size_t i = 0; i < body->n_messages; i++) {
        for (size_t j = 0; j < body->messages[i].n_calls; j++, n++) {
            const struct mcp_call *call = &body->messages[i].calls[j];
            const json_t *expected = json_array_get(calls, n);
            const struct str name = json_str(json_array_get(expected, 1));
            if (!str_eq(call->method, json_str(json_array_get(expected, 0))) ||
                !str_eq(call->name, name) || str_is_set(call->name) != str_is_set(name))
                fail_msg("%s: %.*s %.*s", id, STR_ARG(call->method), STR_ARG(call->name));
        }
    }
    if (n != json_array_size(calls))
        fail_msg("%s: %zu calls", id, n);
}

static void check_row(const json_t *row)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    const struct str reason = json_get_str(row, "reason");
    struct arena *arena = arena_new(4096, 64 * MAX_BYTES);
    struct buf text = buf_make(MAX_BYTES);
    struct mcp_body body;
    struct str request_id;
    append_body(&text, json_object_get(row, "body"));
    /* Memory of exactly its size: a sanitizer sees one byte too many. */
    char *copy = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(copy);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    enum mcp_rc rc = mcp_inspect(str_make(copy, text.len), MAX_BYTES, arena, &body, &request_id);
    if (str_is_set(reason) ? !str_eq(reason, str_from_cstr(mcp_rc_name(rc))) : rc != MCP_OK)
        fail_msg("%s (%s): %s", id, json_string_value(json_object_get(row, "why")),
                 mcp_rc_name(rc));
    if (rc == MCP_OK)
        check_calls(id, &body, json_object_get(row, "calls"));
    free(copy);
    buf_free(&text);
    arena_free(arena);
}

static void mcp_inspect_reads_every_body_as_it_is_meant(void **state)
{
    (void)state;
    const struct json_limits limits = {MAX_FILE_BYTES, 16};
    struct buf file = buf_make(MAX_FILE_BYTES);
    json_t *rows = NULL;
    size_t i;
    const json_t *row;
    read_file(SOURCE_DIR "/tests/data/json-bodies.json", &file);
    assert_int_equal(json_parse(buf_str(&file), limits, &rows, NULL), JSON_RC_OK);
    assert_true(json_array_size(rows) >= 250);
    json_array_foreach (rows, i, row)
        check_row(row);
    json_decref(rows);
    buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mcp_inspect_reads_every_body_as_it_is_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
