/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "ops/audit.h"
#include "support/cmocka_all.h"

#define MAX_PAGE_BYTES (4U * 1024 * 1024)
#define FFFD "\xef\xbf\xbd"
#define TOOL(route, tool, decision, count)                                                   \
    "portcullis_tool_calls_total{route=\"" route "\",tool=\"" tool "\",decision=\"" decision \
    "\"} " count

/* Two workers' counters, two routes, and the page over them. */
struct world {
    struct metrics *workers[2];
    struct metrics_labels labels;
    struct metrics_issuer issuers[2];
    struct metrics_page page;
    struct buf text;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    for (size_t i = 0; i < ARRAY_LEN(w->workers); i++) {
        w->workers[i] = calloc(1, sizeof(*w->workers[i]));
        assert_non_null(w->workers[i]);
    }
    w->text = buf_make(MAX_PAGE_BYTES);
    w->issuers[0] = (struct metrics_issuer){.name = STR("https://a/"),
                                            .age_s = 12,
                                            .max_age_s = 4200,
                                            .keys = 2,
                                            .fetches_ok = 3,
                                            .fetches_failed = 4};
    w->issuers[1] = (struct metrics_issuer){.name = STR("never"), .age_s = -1, .fetches_failed = 9};
    w->page = (struct metrics_page){
        .labels = &w->labels,
        .workers = w->workers,
        .n_workers = ARRAY_LEN(w->workers),
        .issuers = w->issuers,
        .n_issuers = ARRAY_LEN(w->issuers),
        .version = "1.2.3",
        .started_s = 1795230007,
        .reloads_ok = 5,
        .reloads_failed = 6,
        .connections_limit = 4096,
        .process = {.cpu_us = 12000345, .resident_bytes = 7000064, .open_fds = 31, .max_fds = -1},
    };
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    metrics_labels_free(&w->labels);
    for (size_t i = 0; i < ARRAY_LEN(w->workers); i++)
        free(w->workers[i]);
    buf_free(&w->text);
    free(w);
    return 0;
}

/* True when the page has exactly this line. */
static bool page_has(struct world *w, const char *line)
{
    struct str rest;
    struct str one;
    buf_clear(&w->text);
    metrics_render(&w->page, &w->text);
    assert_false(buf_failed(&w->text));
    rest = buf_str(&w->text);
    while (str_split(&rest, '\n', &one))
        if (str_eq(one, str_from_cstr(line)))
            return true;
    return false;
}

static void assert_page_has(struct world *w, const char *line)
{
    if (!page_has(w, line))
        fail_msg("no line %s", line);
}

static void metrics_label_keeps_the_index_of_a_name(void **state)
{
    struct world *w = *state;
    char name[] = "https://mcp.example.com/a";
    assert_int_equal(metrics_label(&w->labels, str_from_cstr(name)), 0);
    name[0] = 'X'; /* the name was copied */
    assert_int_equal(metrics_label(&w->labels, STR("b")), 1);
    assert_int_equal(metrics_label(&w->labels, STR("https://mcp.example.com/a")), 0);
    assert_int_equal(metrics_label(&w->labels, STR("b")), 1);
    assert_int_equal(w->labels.n, 2);
}

static void metrics_routes_past_the_limit_share_a_label(void **state)
{
    struct world *w = *state;
    char name[16];
    for (size_t i = 0; i < METRICS_MAX_ROUTES - 1; i++) {
        (void)snprintf(name, sizeof(name), "r%zu", i);
        assert_int_equal(metrics_label(&w->labels, str_from_cstr(name)), i);
    }
    size_t other = metrics_label(&w->labels, STR("one more"));
    assert_int_equal(other, METRICS_MAX_ROUTES - 1);
    assert_int_equal(metrics_label(&w->labels, STR("and one")), other);
    assert_int_equal(metrics_label(&w->labels, STR("r5")), 5);
    metrics_request(w->workers[0], other, 200, "ok", 1000);
    assert_page_has(w, "portcullis_requests_total{route=\"other\",status=\"200\",reason=\"ok\"} 1");
    assert_page_has(w, "portcullis_request_duration_seconds_count{route=\"other\"} 1");
}

static void metrics_counts_by_route_status_and_reason_over_all_workers(void **state)
{
    struct world *w = *state;
    char other_ok[] = "ok"; /* the same text at another address */
    size_t route = metrics_label(&w->labels, STR("a"));
    metrics_request(w->workers[0], route, 200, "ok", 100);
    metrics_request(w->workers[0], route, 200, "ok", 100);
    metrics_request(w->workers[1], route, 200, other_ok, 100);
    metrics_request(w->workers[1], route, 401, "expired", 100);
    metrics_request(w->workers[1], METRICS_NO_ROUTE, 400, "framing", 0);
    assert_page_has(w, "portcullis_requests_total{route=\"a\",status=\"200\",reason=\"ok\"} 3");
    assert_page_has(w,
                    "portcullis_requests_total{route=\"a\",status=\"401\",reason=\"expired\"} 1");
    assert_page_has(w, "portcullis_requests_total{route=\"\",status=\"400\",reason=\"framing\"} 1");
    assert_page_has(w, "portcullis_request_duration_seconds_count{route=\"a\"} 4");
}

static void metrics_durations_fall_into_cumulative_buckets(void **state)
{
    static const int64_t durations_us[] = {-5, 250, 251, 1000000, 30000000, 30000001};
    static const char *const lines[] = {
        "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"0.00025\"} 2",
        "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"0.0005\"} 3",
        "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"0.5\"} 3",
        "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"1\"} 4",
        "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"30\"} 5",
        "portcullis_request_duration_seconds_bucket{route=\"a\",le=\"+Inf\"} 6",
        "portcullis_request_duration_seconds_count{route=\"a\"} 6",
        "portcullis_request_duration_seconds_sum{route=\"a\"} 61.000502",
    };
    struct world *w = *state;
    size_t route = metrics_label(&w->labels, STR("a"));
    for (size_t i = 0; i < ARRAY_LEN(durations_us); i++)
        metrics_request(w->workers[i % 2], route, 200, "ok", durations_us[i]);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_page_has(w, lines[i]);
}

static void metrics_past_the_slots_are_counted_apart(void **state)
{
    struct world *w = *state;
    size_t route = metrics_label(&w->labels, STR("a"));
    for (unsigned i = 0; i < METRICS_SLOTS; i++)
        metrics_request(w->workers[0], route, i, "ok", 0);
    assert_page_has(w, "portcullis_requests_unslotted_total 0");
    metrics_request(w->workers[0], route, METRICS_SLOTS, "ok", 0);
    metrics_request(w->workers[0], route, 7, "ok", 0);
    assert_page_has(w, "portcullis_requests_unslotted_total 1");
    assert_page_has(w, "portcullis_requests_total{route=\"a\",status=\"7\",reason=\"ok\"} 2");
}

static void metrics_page_says_what_is_known_of_issuers_and_process(void **state)
{
    static const char *const lines[] = {
        "portcullis_jwks_age_seconds{issuer=\"https://a/\"} 12",
        "portcullis_jwks_keys{issuer=\"https://a/\"} 2",
        "portcullis_jwks_keys{issuer=\"never\"} 0",
        "portcullis_jwks_fetches_total{issuer=\"https://a/\",result=\"ok\"} 3",
        "portcullis_jwks_fetches_total{issuer=\"https://a/\",result=\"failed\"} 4",
        "portcullis_jwks_fetches_total{issuer=\"never\",result=\"failed\"} 9",
        "portcullis_build_info{version=\"1.2.3\"} 1",
        "process_start_time_seconds 1795230007",
        "process_cpu_seconds_total 12.000345",
        "process_resident_memory_bytes 7000064",
        "process_open_fds 31",
        "portcullis_connections_limit 4096",
        "portcullis_jwks_max_age_seconds{issuer=\"https://a/\"} 4200",
        "portcullis_workers 2",
        "portcullis_reloads_total{result=\"ok\"} 5",
        "portcullis_reloads_total{result=\"failed\"} 6",
    };
    struct world *w = *state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_page_has(w, lines[i]);
    assert_null(strstr(w->text.ptr, "portcullis_jwks_age_seconds{issuer=\"never\"}"));
}

static void metrics_set_values_are_added_up_over_the_workers(void **state)
{
    struct world *w = *state;
    METRICS_SET(w->workers[0], cache_hits, 5000000000);
    METRICS_SET(w->workers[1], cache_hits, 1);
    METRICS_SET(w->workers[0], connections, 3);
    METRICS_SET(w->workers[1], connections, 4);
    METRICS_SET(w->workers[1], streams, 2);
    METRICS_SET(w->workers[1], log_lost, 7);
    assert_page_has(w, "portcullis_token_cache_hits_total 5000000001");
    assert_page_has(w, "portcullis_connections 7");
    assert_page_has(w, "portcullis_open_streams 2");
    assert_page_has(w, "portcullis_log_lines_lost_total 7");
}

static void metrics_label_values_are_escaped(void **state)
{
    struct world *w = *state;
    w->issuers[0].name = STR("a\"b\\c\nd");
    assert_page_has(w, "portcullis_jwks_keys{issuer=\"a\\\"b\\\\c\\nd\"} 2");
    w->issuers[0].name = STR("\r\t\x01\x7f \xff \xc3\xa4 \xed\xa0\x80");
    assert_page_has(w, "portcullis_jwks_keys{issuer=\"" FFFD FFFD FFFD FFFD " " FFFD
                       " \xc3\xa4 " FFFD FFFD FFFD "\"} 2");
}

static void metrics_tools_are_counted_by_name_and_decision(void **state)
{
    struct world *w = *state;
    char name[] = "echo";
    size_t a = metrics_label(&w->labels, STR("a"));
    size_t b = metrics_label(&w->labels, STR("b"));
    metrics_tool_call(w->workers[0], a, str_from_cstr(name), true);
    name[0] = 'X'; /* the name was copied */
    metrics_tool_call(w->workers[0], a, STR("echo"), true);
    metrics_tool_call(w->workers[0], a, STR("echo"), false);
    metrics_tool_call(w->workers[1], a, STR("echo"), true);
    metrics_tool_call(w->workers[1], a, STR(""), true);
    metrics_tool_call(w->workers[1], b, STR("echo"), true);
    assert_page_has(w, TOOL("a", "echo", "allow", "3"));
    assert_page_has(w, TOOL("a", "echo", "deny", "1"));
    assert_page_has(w, TOOL("a", "", "allow", "1"));
    assert_page_has(w, TOOL("b", "echo", "allow", "1"));
}

static void metrics_denied_names_get_no_row_of_their_own(void **state)
{
    struct world *w = *state;
    char name[16];
    size_t a = metrics_label(&w->labels, STR("a"));
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "made-up-%d", i);
        metrics_tool_call(w->workers[i % 2], a, str_from_cstr(name), false);
    }
    metrics_tool_call(w->workers[0], a, STR("real"), true);
    metrics_tool_call(w->workers[0], a, STR("real"), false);
    metrics_tool_call(w->workers[1], a, STR("real"), false);
    assert_page_has(w, TOOL("a", "other", "deny", "1001"));
    assert_page_has(w, TOOL("a", "real", "allow", "1"));
    assert_page_has(w, TOOL("a", "real", "deny", "1"));
    assert_null(strstr(w->text.ptr, "made-up"));
}

static void metrics_tools_past_the_limit_are_other(void **state)
{
    struct world *w = *state;
    char name[16];
    size_t a = metrics_label(&w->labels, STR("a"));
    for (unsigned i = 0; i < METRICS_TOOLS; i++) {
        (void)snprintf(name, sizeof(name), "t%u", i);
        metrics_tool_call(w->workers[0], a, str_from_cstr(name), true);
    }
    assert_page_has(w, TOOL("a", "t255", "allow", "1"));
    assert_null(strstr(w->text.ptr, "\"other\""));
    metrics_tool_call(w->workers[0], a, STR("t256"), true);
    metrics_tool_call(w->workers[0], a, STR("t7"), false);
    metrics_tool_call(w->workers[0], METRICS_NO_ROUTE, STR("t7"), true);
    assert_page_has(w, TOOL("a", "other", "allow", "1"));
    assert_page_has(w, TOOL("a", "t7", "deny", "1"));
    assert_page_has(w, TOOL("other", "other", "allow", "1"));
}

/* A tool of the name "other", and what is counted so, are one sample: two would make the page bad.
 */
static void metrics_a_tool_called_other_shares_its_row(void **state)
{
    struct world *w = *state;
    size_t a = metrics_label(&w->labels, STR("a"));
    metrics_tool_call(w->workers[0], a, STR("made-up"), false);
    metrics_tool_call(w->workers[0], a, STR("other"), true);
    metrics_tool_call(w->workers[0], a, STR("other"), false);
    assert_page_has(w, TOOL("a", "other", "allow", "1"));
    assert_page_has(w, TOOL("a", "other", "deny", "2"));
}

#define X20 "xxxxxxxxxxxxxxxxxxxx"

static void metrics_tool_names_are_cleaned_and_cut(void **state)
{
    static const struct {
        const char *name;
        const char *line;
        const char *why;
    } rows[] = {
        {"say \"hi\\", TOOL("a", "say \\\"hi\\\\", "allow", "1"), "escapes of the format"},
        {"a\nb", TOOL("a", "a" FFFD "b", "allow", "2"), "a line feed"},
        {"a\x01"
         "b",
         TOOL("a", "a" FFFD "b", "allow", "2"), "the same label is the same row"},
        {"\xff\xc3", TOOL("a", FFFD FFFD, "allow", "1"), "no UTF-8"},
        {"\xc3\xa4\xf0\x9f\x94\xa5", TOOL("a", "\xc3\xa4\xf0\x9f\x94\xa5", "allow", "1"), "UTF-8"},
        {X20 X20 X20 "abcd", TOOL("a", X20 X20 X20 "abcd", "allow", "1"), "64 bytes"},
        {X20 X20 X20 "abcde", TOOL("a", X20 X20 X20 "a...", "allow", "2"), "65 bytes"},
        {X20 X20 X20 "abcxxxxx", TOOL("a", X20 X20 X20 "a...", "allow", "2"), "alike when cut"},
        {X20 X20 X20 "\xe2\x82\xac--", TOOL("a", X20 X20 X20 "...", "allow", "1"),
         "no cut inside a character"},
        {X20 X20 X20 "-\xe2\x82\xac", TOOL("a", X20 X20 X20 "-\xe2\x82\xac", "allow", "1"),
         "64, not ASCII"},
    };
    struct world *w = *state;
    size_t a = metrics_label(&w->labels, STR("a"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        metrics_tool_call(w->workers[i % 2], a, str_from_cstr(rows[i].name), true);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!page_has(w, rows[i].line))
            fail_msg("%s: no line %s", rows[i].why, rows[i].line);
}

static void *call_many_tools(void *ctx)
{
    struct world *w = ctx;
    char name[32];
    for (unsigned i = 0; i < 4 * METRICS_TOOLS; i++) {
        (void)snprintf(name, sizeof(name), "tool-with-a-name-%u", i % (METRICS_TOOLS + 8));
        metrics_tool_call(w->workers[0], 0, str_from_cstr(name), true);
    }
    return NULL;
}

/* The page is read while a worker counts: a name is never seen half written. */
static void metrics_tools_can_be_read_while_they_are_counted(void **state)
{
    struct world *w = *state;
    pthread_t thread;
    (void)metrics_label(&w->labels, STR("a"));
    assert_int_equal(pthread_create(&thread, NULL, call_many_tools, w), 0);
    for (int i = 0; i < 20; i++) {
        const char *at;
        buf_clear(&w->text);
        metrics_render(&w->page, &w->text);
        assert_int_equal(buf_append_char(&w->text, '\0'), 0);
        at = w->text.ptr;
        while ((at = strstr(at, "tool=\"")) != NULL) {
            at += 6;
            assert_true(strncmp(at, "tool-with-a-name-", 17) == 0 || strncmp(at, "other", 5) == 0);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void metrics_say_how_the_audit_log_is(void **state)
{
    static const char *const lines[] = {
        "portcullis_audit_written_total 7",
        "portcullis_audit_lost_total 8",
        "portcullis_audit_failures_total 9",
        "portcullis_audit_failing 1",
    };
    static const struct audit_stats audit = {
        .written = 7, .lost = 8, .failures = 9, .failing = true};
    struct world *w = *state;
    assert_false(page_has(w, lines[0]));
    assert_null(strstr(w->text.ptr, "audit"));
    w->page.audit = &audit;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_page_has(w, lines[i]);
}

/* Text format 0.0.4: HELP and TYPE once and before the first sample, samples of one name together,
 * each with a name, an optional label set and a number, none twice. */
static void metrics_page_is_well_formed(void **state)
{
    struct world *w = *state;
    size_t route = metrics_label(&w->labels, STR("a"));
    struct buf seen = buf_make(MAX_PAGE_BYTES);
    struct str family = {0};
    struct str line;
    static const struct audit_stats audit;
    w->page.audit = &audit;
    metrics_request(w->workers[0], route, 200, "ok", 1);
    metrics_tool_call(w->workers[0], route, STR("echo"), true);
    metrics_tool_call(w->workers[1], route, STR("echo"), true);
    metrics_render(&w->page, &w->text);
    assert_int_equal(w->text.ptr[w->text.len - 1], '\n');
    struct str rest = str_head(buf_str(&w->text), w->text.len - 1);
    (void)buf_append_char(&seen, '\n');
    while (str_split(&rest, '\n', &line)) {
        if (str_has_prefix(line, STR("# HELP "))) {
            struct str words = str_from(line, 7);
            (void)str_split(&words, ' ', &family);
            continue;
        }
        if (str_has_prefix(line, STR("# TYPE "))) {
            assert_true(str_has_prefix(str_from(line, 7), family));
            continue;
        }
        struct str number = line;
        struct str key;
        while (str_find_char(number, ' ') >= 0)
            (void)str_split(&number, ' ', &key);
        key = str_head(line, line.len - number.len);
        assert_true(str_has_prefix(key, family));
        assert_true(number.len > 0 && ascii_is_digit(number.ptr[0]));
        assert_null(memmem(seen.ptr, seen.len, key.ptr, key.len));
        (void)buf_append(&seen, key);
        (void)buf_append_char(&seen, '\n');
    }
    assert_true(seen.len > 1000);
    buf_free(&seen);
}

static void metrics_count_handshakes_by_result_over_all_workers(void **state)
{
    struct world *w = *state;
    char other_full[] = "full"; /* the same text at another address */
    static const char *const extra[METRICS_HANDSHAKES] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                                          "i", "j", "k", "l", "m", "n", "o", "p"};
    const struct metrics_certificate certificates[] = {
        {.address = STR("127.0.0.1:8443"), .expires_s = 1800000000},
        {.address = STR("unix:/run/\"x\""), .expires_s = -1}};
    metrics_handshake(w->workers[0], "full");
    metrics_handshake(w->workers[0], "full");
    metrics_handshake(w->workers[1], "version");
    metrics_handshake(w->workers[1], other_full);
    metrics_handshake(w->workers[1], "full");
    w->page.certificates = certificates;
    w->page.n_certificates = ARRAY_LEN(certificates);
    assert_page_has(w, "portcullis_tls_handshakes_total{result=\"full\"} 4");
    assert_page_has(w, "portcullis_tls_handshakes_total{result=\"version\"} 1");
    assert_page_has(w, "portcullis_tls_certificate_expiry_seconds{address=\"127.0.0.1:8443\"} "
                       "1800000000");
    assert_page_has(w, "portcullis_tls_certificate_expiry_seconds{address=\"unix:/run/\\\"x\\\"\"} "
                       "-1");
    for (size_t i = 0; i < ARRAY_LEN(extra); i++) /* one more than there is room for */
        metrics_handshake(w->workers[0], extra[i]);
    assert_page_has(w, "portcullis_tls_handshakes_total{result=\"o\"} 1");
    assert_page_has(w, "portcullis_requests_unslotted_total 1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(metrics_label_keeps_the_index_of_a_name),
        TEST(metrics_routes_past_the_limit_share_a_label),
        TEST(metrics_counts_by_route_status_and_reason_over_all_workers),
        TEST(metrics_durations_fall_into_cumulative_buckets),
        TEST(metrics_past_the_slots_are_counted_apart),
        TEST(metrics_page_says_what_is_known_of_issuers_and_process),
        TEST(metrics_set_values_are_added_up_over_the_workers),
        TEST(metrics_label_values_are_escaped),
        TEST(metrics_tools_are_counted_by_name_and_decision),
        TEST(metrics_denied_names_get_no_row_of_their_own),
        TEST(metrics_tools_past_the_limit_are_other),
        TEST(metrics_a_tool_called_other_shares_its_row),
        TEST(metrics_tool_names_are_cleaned_and_cut),
        TEST(metrics_tools_can_be_read_while_they_are_counted),
        TEST(metrics_say_how_the_audit_log_is),
        TEST(metrics_page_is_well_formed),
        TEST(metrics_count_handshakes_by_result_over_all_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
