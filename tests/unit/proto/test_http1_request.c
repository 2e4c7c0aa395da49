/* SPDX-License-Identifier: Apache-2.0 */
/* The probes are one list for the unit and the integration tests:
 * tests/integration/data/http-probes.json, described in make-probes.mjs beside it. */
#include "proto/http1_request.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "support/cmocka_all.h"

#define PROBES_FILE SOURCE_DIR "/tests/integration/data/http-probes.json"
#define PROBES_MAX_BYTES (4U * 1024 * 1024)
#define MIN_REFUSE 278
#define MIN_ACCEPT 30
/* Every cut of a probe up to this size; of a longer one so many cuts. */
#define MAX_CUTS 2048

static const struct http1_request_limits limits = {.head_bytes = 32768, .target_bytes = 8192};

struct probe {
    char *id;
    char *why;
    bool accept;
    unsigned status;
    char *reason;
    struct buf raw;
};

struct probes {
    struct probe *rows;
    size_t count;
};

/* Appends the bytes that the code points U+0000..U+00FF of TEXT stand for. */
static void append_latin1(struct buf *raw, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x80) {
            assert_in_range(c, 0xc2, 0xc3);
            i++;
            c = (unsigned char)((c & 3) << 6 | (text.ptr[i] & 0x3f));
        }
        assert_int_equal(buf_append_char(raw, (char)c), 0);
    }
}

/* RAW is a string, or an array of strings and of [string, count] repetitions. */
static void append_raw(struct buf *raw, const json_t *value)
{
    if (json_is_string(value)) {
        append_latin1(raw, json_str(value));
        return;
    }
    const json_t *times = json_array_get(value, 1);
    json_int_t count = json_is_integer(times) ? json_integer_value(times) : 0;
    for (json_int_t i = 0; i < count; i++)
        append_latin1(raw, json_str(json_array_get(value, 0)));
    for (size_t i = 0; count == 0 && i < json_array_size(value); i++)
        append_raw(raw, json_array_get(value, i));
}

static int read_probes(void **state)
{
    struct buf file = buf_make(PROBES_MAX_BYTES);
    FILE *in = fopen(PROBES_FILE, "rb");
    assert_non_null(in);
    assert_int_equal(buf_reserve(&file, PROBES_MAX_BYTES), 0);
    file.len = fread(file.ptr, 1, file.cap, in);
    fclose(in);
    CLEANUP(json_unref) json_t *root = NULL;
    struct json_limits json_limits = {.max_bytes = PROBES_MAX_BYTES, .max_depth = 8};
    assert_int_equal(json_parse(buf_str(&file), json_limits, &root, NULL), JSON_RC_OK);
    buf_free(&file);

    struct probes *probes = calloc(1, sizeof(*probes));
    assert_non_null(probes);
    probes->rows = calloc(json_array_size(root), sizeof(*probes->rows));
    assert_non_null(probes->rows);
    for (; probes->count < json_array_size(root); probes->count++) {
        const json_t *row = json_array_get(root, probes->count);
        struct probe *probe = &probes->rows[probes->count];
        *probe = (struct probe){
            .id = str_to_cstr(json_get_str(row, "id")),
            .why = str_to_cstr(json_get_str(row, "why")),
            .accept = str_eq(json_get_str(row, "expect"), STR("accept")),
            .status = (unsigned)json_integer_value(json_object_get(row, "status")),
            .reason = str_to_cstr(json_get_str(row, "reason")),
            .raw = buf_make(1024 * 1024),
        };
        append_raw(&probe->raw, json_object_get(row, "raw"));
    }
    *state = probes;
    return 0;
}

static int free_probes(void **state)
{
    struct probes *probes = *state;
    for (size_t i = 0; i < probes->count; i++) {
        free(probes->rows[i].id);
        free(probes->rows[i].why);
        free(probes->rows[i].reason);
        buf_free(&probes->rows[i].raw);
    }
    free(probes->rows);
    free(probes);
    return 0;
}

struct verdict {
    size_t used;
    unsigned messages;
    enum http1_request_rc rc;
    bool at_end;
};

/* Feeds BYTES in pieces that end at CUT, then in pieces of STEP bytes. */
static struct verdict feed(struct str bytes, size_t cut, size_t step)
{
    struct http1_request request;
    http1_request_init(&request, limits);
    struct verdict verdict = {0};
    while (verdict.used < bytes.len && http1_request_refused(&request) == HTTP1_REQUEST_OK) {
        size_t left = verdict.used < cut ? cut - verdict.used : bytes.len - verdict.used;
        verdict.used += http1_request_feed(&request, bytes.ptr + verdict.used,
                                           size_min(left, verdict.used < cut ? left : step));
        verdict.messages += http1_request_at_end(&request) ? 1 : 0;
    }
    verdict.rc = http1_request_refused(&request);
    verdict.at_end = http1_request_at_end(&request);
    return verdict;
}

static void filter_gives_every_bad_probe_its_reason(void **state)
{
    const struct probes *probes = *state;
    size_t refused = 0;
    size_t wrong = 0;
    for (size_t i = 0; i < probes->count; i++) {
        const struct probe *probe = &probes->rows[i];
        if (probe->accept)
            continue;
        struct verdict verdict = feed(buf_str(&probe->raw), 0, SIZE_MAX);
        struct http1_request_reason reason = http1_request_reason(verdict.rc);
        bool same = strcmp(reason.name, probe->reason) == 0 && reason.status == probe->status;
        if (!same || verdict.messages != 0) {
            print_error("%s (%s): %s %u after %u messages\n", probe->id, probe->why, reason.name,
                        reason.status, verdict.messages);
            wrong++;
        }
        refused++;
    }
    assert_int_equal(wrong, 0);
    assert_true(refused >= MIN_REFUSE);
}

static void filter_passes_every_good_probe_to_its_last_byte(void **state)
{
    const struct probes *probes = *state;
    size_t accepted = 0;
    for (size_t i = 0; i < probes->count; i++) {
        const struct probe *probe = &probes->rows[i];
        if (!probe->accept)
            continue;
        struct verdict verdict = feed(buf_str(&probe->raw), 0, SIZE_MAX);
        if (verdict.rc != HTTP1_REQUEST_OK || !verdict.at_end || verdict.used != probe->raw.len)
            fail_msg("%s (%s): %s at byte %zu", probe->id, probe->why,
                     http1_request_reason(verdict.rc).name, verdict.used);
        accepted++;
    }
    assert_true(accepted >= MIN_ACCEPT);
}

static bool verdict_eq(struct verdict a, struct verdict b)
{
    return a.used == b.used && a.messages == b.messages && a.rc == b.rc && a.at_end == b.at_end;
}

static void filter_says_the_same_for_every_cut(void **state)
{
    const struct probes *probes = *state;
    for (size_t i = 0; i < probes->count; i++) {
        const struct probe *probe = &probes->rows[i];
        struct str raw = buf_str(&probe->raw);
        struct verdict whole = feed(raw, 0, SIZE_MAX);
        if (!verdict_eq(whole, feed(raw, 0, 1)))
            fail_msg("%s (%s): byte by byte differs", probe->id, probe->why);
        for (size_t cut = 1; cut < raw.len; cut += 1 + raw.len / MAX_CUTS)
            if (!verdict_eq(whole, feed(raw, cut, SIZE_MAX)))
                fail_msg("%s (%s): cut at %zu differs", probe->id, probe->why, cut);
    }
}

static struct str small_request(void)
{
    return STR("POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
}

static void filter_tells_where_in_a_message_it_is(void **state)
{
    (void)state;
    struct str bytes = small_request();
    struct http1_request request;
    http1_request_init(&request, limits);
    assert_true(http1_request_idle(&request));
    for (unsigned message = 0; message < 2; message++) {
        for (size_t i = 0; i < bytes.len; i++) {
            assert_int_equal(http1_request_feed(&request, bytes.ptr + i, 1), 1);
            bool last = i + 1 == bytes.len;
            assert_int_equal(http1_request_in_head(&request), i + 3 < bytes.len);
            assert_int_equal(http1_request_idle(&request), last);
            assert_int_equal(http1_request_at_end(&request), last);
        }
    }
}

static void filter_stops_behind_each_message(void **state)
{
    (void)state;
    static const struct str messages[] = {
        STR_INIT("GET /mcp HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR_INIT("POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"),
        STR_INIT("POST /mcp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "2\r\n{}\r\n0\r\n\r\n"),
        STR_INIT("GET /mcp HTTP/1.0\r\n\r\n"),
    };
    struct http1_request request;
    http1_request_init(&request, limits);
    struct buf all = buf_make(1024);
    for (size_t i = 0; i < ARRAY_LEN(messages); i++)
        buf_append(&all, messages[i]);
    assert_false(buf_failed(&all));
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        size_t message = http1_request_feed(&request, all.ptr + used, all.len - used);
        assert_int_equal(message, messages[i].len);
        assert_true(http1_request_at_end(&request));
        used += message;
    }
    assert_int_equal(http1_request_feed(&request, all.ptr, 0), 0);
    assert_true(http1_request_at_end(&request));
    buf_free(&all);
}

static void filter_that_refused_takes_nothing_more(void **state)
{
    (void)state;
    struct str good = small_request();
    struct http1_request request;
    http1_request_init(&request, limits);
    assert_int_equal(http1_request_feed(&request, "GET\n", 4), 3);
    assert_int_equal(http1_request_refused(&request), HTTP1_REQUEST_METHOD);
    assert_int_equal(http1_request_feed(&request, good.ptr, good.len), 0);
    assert_int_equal(http1_request_refused(&request), HTTP1_REQUEST_METHOD);
    assert_false(http1_request_idle(&request));
    assert_false(http1_request_in_head(&request));
    assert_false(http1_request_at_end(&request));
}

static void filter_counts_the_head_to_the_byte(void **state)
{
    (void)state;
    struct str bytes = small_request();
    size_t head = bytes.len - 2;
    for (size_t limit = 0; limit <= head; limit++) {
        struct http1_request request;
        http1_request_init(&request, (struct http1_request_limits){limit, 8192});
        size_t used = http1_request_feed(&request, bytes.ptr, bytes.len);
        assert_int_equal(used, limit < head ? limit : bytes.len);
        assert_int_equal(http1_request_refused(&request),
                         limit < head ? HTTP1_REQUEST_HEAD_SIZE : HTTP1_REQUEST_OK);
    }
}

static void filter_allows_no_target_above_8192_bytes(void **state)
{
    (void)state;
    char bytes[9000] = "GET /";
    memset(bytes + 5, 'a', sizeof(bytes) - 5);
    struct http1_request request;
    http1_request_init(&request, (struct http1_request_limits){SIZE_MAX, SIZE_MAX});
    assert_int_equal(http1_request_feed(&request, bytes, sizeof(bytes)), 4 + 8192);
    assert_int_equal(http1_request_refused(&request), HTTP1_REQUEST_TARGET_LENGTH);
}

static void filter_gives_every_refusal_a_status_a_name_and_a_sentence(void **state)
{
    (void)state;
    for (int rc = HTTP1_REQUEST_METHOD; rc <= HTTP1_REQUEST_DUPLICATE; rc++) {
        struct http1_request_reason reason = http1_request_reason((enum http1_request_rc)rc);
        assert_in_range(reason.status, 400, 505);
        assert_false(str_has_suffix(str_from_cstr(reason.description), STR(".")));
        for (int other = HTTP1_REQUEST_OK; other < rc; other++)
            assert_string_not_equal(http1_request_reason((enum http1_request_rc)other).name,
                                    reason.name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_gives_every_bad_probe_its_reason),
        cmocka_unit_test(filter_passes_every_good_probe_to_its_last_byte),
        cmocka_unit_test(filter_says_the_same_for_every_cut),
        cmocka_unit_test(filter_tells_where_in_a_message_it_is),
        cmocka_unit_test(filter_stops_behind_each_message),
        cmocka_unit_test(filter_that_refused_takes_nothing_more),
        cmocka_unit_test(filter_counts_the_head_to_the_byte),
        cmocka_unit_test(filter_allows_no_target_above_8192_bytes),
        cmocka_unit_test(filter_gives_every_refusal_a_status_a_name_and_a_sentence),
    };
    return cmocka_run_group_tests(tests, read_probes, free_probes);
}
