/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ops/audit.h"
#include "ops/metrics.h"
#include "ops/metrics_int.h"

static const char *const bounds_text[METRICS_BUCKETS] = {
    "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
    "0.05",    "0.1",    "0.25",  "0.5",    "1",     "5",    "30"};

static struct str label_name(const struct metrics_labels *labels, size_t route)
{
    if (route == NO_ROUTE_KEY)
        return STR("");
    return route < labels->n ? labels->names[route] : STR("other");
}

static void header(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Text format 0.0.4: a label value is UTF-8 in which backslash, quote and line feed are escaped,
 * and nothing else can be. Bytes that are no UTF-8, and control characters, which some readers trip
 * over, become U+FFFD. */
static void label(struct buf *out, const char *name, struct str value)
{
    (void)buf_append_cstr(out, name);
    (void)buf_append(out, STR("=\""));
    while (value.len > 0) {
        size_t taken = metrics_label_char(value);
        if (value.ptr[0] == '\n') {
            (void)buf_append(out, STR("\\n"));
        } else if (taken == 0) {
            (void)buf_append(out, STR(METRICS_REPLACEMENT));
        } else {
            if (value.ptr[0] == '"' || value.ptr[0] == '\\')
                (void)buf_append_char(out, '\\');
            (void)buf_append(out, str_head(value, taken));
        }
        value = str_from(value, size_max(taken, 1));
    }
    (void)buf_append_char(out, '"');
}

struct request_row {
    unsigned key;
    const char *reason;
    uint64_t count;
};

static int compare_rows(const void *a, const void *b)
{
    const struct request_row *x = a;
    const struct request_row *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return strcmp(x->reason, y->reason);
}

/* The slots of all workers, sorted, equal ones added up. The caller frees *ret_rows. */
static size_t gather_rows(const struct metrics_page *page, struct request_row **ret_rows)
{
    size_t n = 0;
    size_t kept = 0;
    struct request_row *rows = calloc(page->n_workers * METRICS_SLOTS + 1, sizeof(*rows));
    *ret_rows = rows;
    if (rows == NULL)
        return 0;
    for (size_t w = 0; w < page->n_workers; w++) {
        for (size_t i = 0; i < METRICS_SLOTS; i++) {
            struct metrics_slot *slot = &page->workers[w]->slots[i];
            const char *reason = atomic_load_explicit(&slot->reason, memory_order_acquire);
            if (reason != NULL)
                rows[n++] = (struct request_row){.key = atomic_load(&slot->key),
                                                 .reason = reason,
                                                 .count = atomic_load(&slot->count)};
        }
    }
    qsort(rows, n, sizeof(*rows), compare_rows);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && compare_rows(&rows[kept - 1], &rows[i]) == 0)
            rows[kept - 1].count += rows[i].count;
        else
            rows[kept++] = rows[i];
    }
    return kept;
}

static void render_requests(const struct metrics_page *page, struct buf *out)
{
    struct request_row *rows;
    size_t n = gather_rows(page, &rows);
    header(out, "portcullis_requests_total", "counter",
           "Finished requests by route, status and reason.");
    for (size_t i = 0; i < n; i++) {
        (void)buf_append(out, STR("portcullis_requests_total{"));
        label(out, "route", label_name(page->labels, rows[i].key >> 16));
        (void)buf_printf(out, ",status=\"%u\",", rows[i].key & 0xffffU);
        label(out, "reason", str_from_cstr(rows[i].reason));
        (void)buf_printf(out, "} %" PRIu64 "\n", rows[i].count);
    }
    free(rows);
}

struct tool_row {
    size_t route;
    struct str name; /* in the workers' tables, or static */
    uint64_t allowed;
    uint64_t denied;
};

static int compare_tools(const void *a, const void *b)
{
    const struct tool_row *x = a;
    const struct tool_row *y = b;
    if (x->route != y->route)
        return x->route < y->route ? -1 : 1;
    size_t common = size_min(x->name.len, y->name.len);
    int order = common > 0 ? memcmp(x->name.ptr, y->name.ptr, common) : 0;
    if (order != 0 || x->name.len == y->name.len)
        return order;
    return x->name.len < y->name.len ? -1 : 1;
}

/* Appends the rows of one worker to ROWS; returns how many there are now. */
static size_t gather_worker_tools(const struct metrics *metrics, struct tool_row *rows, size_t n)
{
    for (size_t i = 0; i < METRICS_TOOLS; i++) {
        const struct metrics_tool *tool = &metrics->tools[i];
        if (atomic_load_explicit(&metrics->tool_hashes[i], memory_order_acquire) != 0)
            rows[n++] = (struct tool_row){.route = tool->route,
                                          .name = str_make(tool->name, tool->name_len),
                                          .allowed = atomic_load(&tool->allowed),
                                          .denied = atomic_load(&tool->denied)};
    }
    for (size_t route = 0; route < METRICS_MAX_ROUTES; route++) {
        struct tool_row other = {.route = route,
                                 .name = STR("other"),
                                 .allowed = atomic_load(&metrics->other_tools[route].allowed),
                                 .denied = atomic_load(&metrics->other_tools[route].denied)};
        if (other.allowed > 0 || other.denied > 0)
            rows[n++] = other;
    }
    return n;
}

/* As gather_rows(), and a tool that is really called "other" is one with what is counted so. */
static size_t gather_tools(const struct metrics_page *page, struct tool_row **ret_rows)
{
    size_t n = 0;
    size_t kept = 0;
    struct tool_row *rows =
        calloc(page->n_workers * (METRICS_TOOLS + METRICS_MAX_ROUTES) + 1, sizeof(*rows));
    *ret_rows = rows;
    if (rows == NULL)
        return 0;
    for (size_t w = 0; w < page->n_workers; w++)
        n = gather_worker_tools(page->workers[w], rows, n);
    qsort(rows, n, sizeof(*rows), compare_tools);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && compare_tools(&rows[kept - 1], &rows[i]) == 0) {
            rows[kept - 1].allowed += rows[i].allowed;
            rows[kept - 1].denied += rows[i].denied;
        } else {
            rows[kept++] = rows[i];
        }
    }
    return kept;
}

static void render_tool(const struct metrics_page *page, const struct tool_row *row, bool allowed,
                        struct buf *out)
{
    uint64_t count = allowed ? row->allowed : row->denied;
    if (count == 0)
        return;
    (void)buf_append(out, STR("portcullis_tool_calls_total{"));
    label(out, "route", label_name(page->labels, row->route));
    (void)buf_append_char(out, ',');
    label(out, "tool", row->name);
    (void)buf_printf(out, ",decision=\"%s\"} %" PRIu64 "\n", allowed ? "allow" : "deny", count);
}

static void render_tools(const struct metrics_page *page, struct buf *out)
{
    struct tool_row *rows;
    size_t n = gather_tools(page, &rows);
    header(out, "portcullis_tool_calls_total", "counter",
           "Decisions about tools/call, by route and tool.");
    for (size_t i = 0; i < n; i++) {
        render_tool(page, &rows[i], true, out);
        render_tool(page, &rows[i], false, out);
    }
    free(rows);
}

static void render_duration_of(const struct metrics_page *page, size_t route, struct buf *out)
{
    static const char name[] = "portcullis_request_duration_seconds";
    uint64_t sum_us = 0;
    uint64_t total = 0;
    for (size_t b = 0; b <= METRICS_BUCKETS; b++) {
        for (size_t w = 0; w < page->n_workers; w++)
            total += atomic_load(&page->workers[w]->duration[route].buckets[b]);
        (void)buf_printf(out, "%s_bucket{", name);
        label(out, "route", label_name(page->labels, route));
        (void)buf_printf(out, ",le=\"%s\"} %" PRIu64 "\n",
                         b < METRICS_BUCKETS ? bounds_text[b] : "+Inf", total);
    }
    for (size_t w = 0; w < page->n_workers; w++)
        sum_us += atomic_load(&page->workers[w]->duration[route].sum_us);
    (void)buf_printf(out, "%s_sum{", name);
    label(out, "route", label_name(page->labels, route));
    (void)buf_printf(out, "} %" PRIu64 ".%06" PRIu64 "\n%s_count{", sum_us / 1000000,
                     sum_us % 1000000, name);
    label(out, "route", label_name(page->labels, route));
    (void)buf_printf(out, "} %" PRIu64 "\n", total);
}

static void render_durations(const struct metrics_page *page, struct buf *out)
{
    header(out, "portcullis_request_duration_seconds", "histogram",
           "From the complete request head to the end of the answer.");
    for (size_t route = 0; route < page->labels->n; route++)
        render_duration_of(page, route, out);
    if (page->labels->n == OTHER_ROUTE)
        render_duration_of(page, OTHER_ROUTE, out);
}

static void render_key_cache(const struct metrics_page *page, struct buf *out)
{
    header(out, "portcullis_jwks_from_cache", "gauge",
           "1 while the issuer's keys come from jwks.cache_dir.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        (void)buf_append(out, STR("portcullis_jwks_from_cache{"));
        label(out, "issuer", page->issuers[i].name);
        (void)buf_printf(out, "} %d\n", page->issuers[i].from_cache ? 1 : 0);
    }
    header(out, "portcullis_jwks_cache_failures_total", "counter",
           "Writes to jwks.cache_dir that failed.");
    (void)buf_printf(out, "portcullis_jwks_cache_failures_total %" PRIu64 "\n",
                     page->key_cache_failures);
}

static void render_issuers(const struct metrics_page *page, struct buf *out)
{
    header(out, "portcullis_jwks_age_seconds", "gauge",
           "Age of the issuer's keys; absent while none were loaded.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        const struct metrics_issuer *issuer = &page->issuers[i];
        if (issuer->age_s < 0)
            continue;
        (void)buf_append(out, STR("portcullis_jwks_age_seconds{"));
        label(out, "issuer", issuer->name);
        (void)buf_printf(out, "} %" PRId64 "\n", issuer->age_s);
    }
    header(out, "portcullis_jwks_max_age_seconds", "gauge",
           "Age at which the issuer's keys are not used any more.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        (void)buf_append(out, STR("portcullis_jwks_max_age_seconds{"));
        label(out, "issuer", page->issuers[i].name);
        (void)buf_printf(out, "} %" PRId64 "\n", page->issuers[i].max_age_s);
    }
    header(out, "portcullis_jwks_keys", "gauge", "Usable keys of the issuer.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        (void)buf_append(out, STR("portcullis_jwks_keys{"));
        label(out, "issuer", page->issuers[i].name);
        (void)buf_printf(out, "} %u\n", page->issuers[i].keys);
    }
    if (page->has_key_cache)
        render_key_cache(page, out);
    header(out, "portcullis_jwks_fetches_total", "counter", "Attempts to fetch the issuer's keys.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        const struct metrics_issuer *issuer = &page->issuers[i];
        (void)buf_append(out, STR("portcullis_jwks_fetches_total{"));
        label(out, "issuer", issuer->name);
        (void)buf_printf(out, ",result=\"ok\"} %" PRIu64 "\n", issuer->fetches_ok);
        (void)buf_append(out, STR("portcullis_jwks_fetches_total{"));
        label(out, "issuer", issuer->name);
        (void)buf_printf(out, ",result=\"failed\"} %" PRIu64 "\n", issuer->fetches_failed);
    }
}

static const char *handshake_result(const struct metrics_page *page, size_t worker, size_t i)
{
    return atomic_load_explicit(&page->workers[worker]->handshakes[i].reason, memory_order_acquire);
}

/* What all workers counted as RESULT; 0 when it was there before row AT of WORKER. */
static uint64_t sum_handshakes(const struct metrics_page *page, size_t worker, size_t at,
                               const char *result)
{
    uint64_t sum = 0;
    for (size_t w = 0; w < page->n_workers; w++)
        for (size_t i = 0; i < METRICS_HANDSHAKES; i++) {
            const char *other = handshake_result(page, w, i);
            if (other == NULL || strcmp(other, result) != 0)
                continue;
            if (w < worker || (w == worker && i < at))
                return 0;
            sum += atomic_load(&page->workers[w]->handshakes[i].count);
        }
    return sum;
}

static void render_handshakes(const struct metrics_page *page, struct buf *out)
{
    header(out, "portcullis_tls_handshakes_total", "counter", "TLS handshakes by their result.");
    for (size_t w = 0; w < page->n_workers; w++)
        for (size_t i = 0; i < METRICS_HANDSHAKES; i++) {
            const char *result = handshake_result(page, w, i);
            uint64_t sum = result != NULL ? sum_handshakes(page, w, i, result) : 0;
            if (sum > 0)
                (void)buf_printf(out,
                                 "portcullis_tls_handshakes_total{result=\"%s\"} %" PRIu64 "\n",
                                 result, sum);
        }
}

static void render_tls(const struct metrics_page *page, struct buf *out)
{
    render_handshakes(page, out);
    header(out, "portcullis_tls_certificate_expiry_seconds", "gauge",
           "When the certificates of a TLS address expire, as Unix time.");
    for (size_t i = 0; i < page->n_certificates; i++) {
        (void)buf_append(out, STR("portcullis_tls_certificate_expiry_seconds{"));
        label(out, "address", page->certificates[i].address);
        (void)buf_printf(out, "} %" PRId64 "\n", page->certificates[i].expires_s);
    }
}

struct simple_metric {
    const char *name;
    const char *type;
    const char *help;
    size_t offset; /* in struct metrics */
    bool wide;     /* atomic_ullong, else atomic_uint */
};

#define WIDE(field) offsetof(struct metrics, field), true
#define NARROW(field) offsetof(struct metrics, field), false

static const struct simple_metric simple_metrics[] = {
    {"portcullis_token_cache_hits_total", "counter", "Tokens found in the verified-token cache.",
     WIDE(cache_hits)},
    {"portcullis_token_cache_misses_total", "counter", "Tokens that were verified anew.",
     WIDE(cache_misses)},
    {"portcullis_token_cache_evictions_total", "counter", "Cached tokens dropped for want of room.",
     WIDE(cache_evictions)},
    {"portcullis_stale_key_accepts_total", "counter",
     "Tokens accepted with keys past their refresh, within max_stale.", WIDE(stale_accepts)},
    {"portcullis_upstream_connects_total", "counter", "New connections to upstreams.",
     WIDE(upstream_connects)},
    {"portcullis_upstream_reuses_total", "counter", "Requests sent on a kept upstream connection.",
     WIDE(upstream_reuses)},
    {"portcullis_connections_accepted_total", "counter", "Client connections accepted.",
     WIDE(accepted)},
    {"portcullis_accept_faults_total", "counter",
     "Accepting failed, for want of descriptors or memory.", WIDE(accept_faults)},
    {"portcullis_connections_refused_total", "counter",
     "Connections closed at once because their address had too many.", WIDE(refused_peers)},
    {"portcullis_log_lines_lost_total", "counter", "Log lines that stderr did not take.",
     WIDE(log_lost)},
    {"portcullis_log_lines_skipped_total", "counter",
     "Lines of successful requests that log.access.sample left out.", WIDE(log_skipped)},
    {"portcullis_requests_unslotted_total", "counter",
     "Requests missing in portcullis_requests_total for want of room.", WIDE(unslotted)},
    {"portcullis_connections", "gauge", "Open client connections.", NARROW(connections)},
    {"portcullis_open_streams", "gauge", "Answers that are being streamed.", NARROW(streams)},
    {"portcullis_key_waiters", "gauge", "Requests parked until the issuer's keys arrive.",
     NARROW(key_waiters)},
};

static uint64_t read_simple(const struct metrics *metrics, const struct simple_metric *metric)
{
    const char *at = (const char *)metrics + metric->offset;
    if (metric->wide)
        return atomic_load((const atomic_ullong *)(const void *)at);
    return atomic_load((const atomic_uint *)(const void *)at);
}

static void render_simple(const struct metrics_page *page, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(simple_metrics); i++) {
        const struct simple_metric *metric = &simple_metrics[i];
        uint64_t sum = 0;
        for (size_t w = 0; w < page->n_workers; w++)
            sum += read_simple(page->workers[w], metric);
        header(out, metric->name, metric->type, metric->help);
        (void)buf_printf(out, "%s %" PRIu64 "\n", metric->name, sum);
    }
}

struct plain_metric {
    const char *name;
    const char *type;
    const char *help;
    uint64_t value;
};

static void render_plain(const struct plain_metric *rows, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        header(out, rows[i].name, rows[i].type, rows[i].help);
        (void)buf_printf(out, "%s %" PRIu64 "\n", rows[i].name, rows[i].value);
    }
}

static void render_audit(const struct audit_stats *audit, struct buf *out)
{
    const struct plain_metric rows[] = {
        {"portcullis_audit_written_total", "counter", "Lines written to the audit log.",
         audit->written},
        {"portcullis_audit_lost_total", "counter", "Records lost because the audit log was behind.",
         audit->lost},
        {"portcullis_audit_failures_total", "counter", "Writes to the audit log that failed.",
         audit->failures},
        {"portcullis_audit_failing", "gauge", "1 while records do not get into the audit log.",
         audit->failing ? 1 : 0},
    };
    render_plain(rows, ARRAY_LEN(rows), out);
}

static void render_limited(const struct metrics_page *page, struct buf *out)
{
    static const char *const names[METRICS_N_LIMITS] = {
        [METRICS_LIMIT_IP_RATE] = "ip_rate",
        [METRICS_LIMIT_SUBJECT_RATE] = "subject_rate",
        [METRICS_LIMIT_SUBJECT_STREAMS] = "subject_streams",
    };
    size_t n = page->labels->n == OTHER_ROUTE ? OTHER_ROUTE + 1 : page->labels->n;
    header(out, "portcullis_rate_limited_total", "counter",
           "Requests refused with 429, by route and limit.");
    for (size_t route = 0; route < n; route++) {
        for (size_t limit = 0; limit < METRICS_N_LIMITS; limit++) {
            uint64_t sum = 0;
            for (size_t w = 0; w < page->n_workers; w++)
                sum += atomic_load(&page->workers[w]->limited[route][limit]);
            (void)buf_append(out, STR("portcullis_rate_limited_total{"));
            label(out, "route", label_name(page->labels, route));
            (void)buf_printf(out, ",limit=\"%s\"} %" PRIu64 "\n", names[limit], sum);
        }
    }
}

static void render_traces(const struct metrics_traces *traces, struct buf *out)
{
    const struct {
        const char *name;
        const char *type;
        const char *help;
        uint64_t value;
    } rows[] = {
        {"portcullis_spans_exported_total", "counter", "Spans that the collector has taken.",
         traces->exported},
        {"portcullis_spans_dropped_total", "counter", "Spans for which tracing.queue had no room.",
         traces->dropped},
        {"portcullis_spans_failed_total", "counter",
         "Spans that the collector refused, or was tried in vain for.", traces->failed},
        {"portcullis_spans_waiting", "gauge", "Spans on their way to the collector.",
         traces->waiting},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        header(out, rows[i].name, rows[i].type, rows[i].help);
        (void)buf_printf(out, "%s %" PRIu64 "\n", rows[i].name, rows[i].value);
    }
}

/* The names that every client library of Prometheus gives them. */
static void render_kernel_stats(const struct metrics_page *page, struct buf *out)
{
    const struct process_stats *stats = &page->process;
    const struct {
        const char *name;
        const char *help;
        int64_t value; /* negative: not known */
    } gauges[] = {
        {"process_start_time_seconds", "When the process started, Unix time.", page->started_s},
        {"process_resident_memory_bytes", "Resident memory.", stats->resident_bytes},
        {"process_open_fds", "Open file descriptors.", stats->open_fds},
        {"process_max_fds", "How many of them there may be.", stats->max_fds},
    };
    header(out, "process_cpu_seconds_total", "counter", "CPU time, user and system.");
    (void)buf_printf(out, "process_cpu_seconds_total %" PRId64 ".%06" PRId64 "\n",
                     stats->cpu_us / 1000000, stats->cpu_us % 1000000);
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
        if (gauges[i].value < 0)
            continue;
        header(out, gauges[i].name, "gauge", gauges[i].help);
        (void)buf_printf(out, "%s %" PRId64 "\n", gauges[i].name, gauges[i].value);
    }
}

static void render_store(const struct metrics_page *page, struct buf *out)
{
    uint64_t up = 0;
    uint64_t answers = 0;
    uint64_t failures = 0;
    uint64_t latency_us = 0;
    for (size_t w = 0; w < page->n_workers; w++) {
        up += atomic_load(&page->workers[w]->store_works);
        answers += atomic_load(&page->workers[w]->store_answers);
        failures += atomic_load(&page->workers[w]->store_failures);
        latency_us += atomic_load(&page->workers[w]->store_latency_us);
    }
    const struct plain_metric rows[] = {
        {"portcullis_store_workers_up", "gauge", "Workers that reach the store of shared rates.",
         up},
        {"portcullis_store_answers_total", "counter",
         "Questions about rates that the store answered.", answers},
        {"portcullis_store_errors_total", "counter",
         "Questions about rates that the store did not answer.", failures},
    };
    render_plain(rows, ARRAY_LEN(rows), out);
    header(out, "portcullis_store_seconds_total", "counter",
           "Time that the store took for its answers.");
    (void)buf_printf(out, "portcullis_store_seconds_total %" PRIu64 ".%06" PRIu64 "\n",
                     latency_us / 1000000, latency_us % 1000000);
}

static void render_limits(const struct metrics_limits *limits, struct buf *out)
{
    const struct plain_metric rows[] = {
        {"portcullis_rate_buckets", "gauge", "Token buckets of this process that are not full.",
         limits->buckets},
        {"portcullis_rate_bucket_capacity", "gauge", "Token buckets that there is room for.",
         limits->bucket_capacity},
        {"portcullis_rate_bucket_evictions_total", "counter",
         "Token buckets that made room for others before they were full.",
         limits->bucket_evictions},
        {"portcullis_limited_streams", "gauge", "Open streams that count for subject_streams.",
         limits->streams},
    };
    render_plain(rows, ARRAY_LEN(rows), out);
}

static void render_process(const struct metrics_page *page, struct buf *out)
{
    header(out, "portcullis_build_info", "gauge", "Always 1; the version is the label.");
    (void)buf_printf(out, "portcullis_build_info{version=\"%s\"} 1\n", page->version);
    header(out, "portcullis_workers", "gauge", "Worker threads.");
    (void)buf_printf(out, "portcullis_workers %zu\n", page->n_workers);
    header(out, "portcullis_connections_limit", "gauge",
           "Client connections that there may be, in all workers.");
    (void)buf_printf(out, "portcullis_connections_limit %" PRIu64 "\n", page->connections_limit);
    header(out, "portcullis_reloads_total", "counter", "Policy reloads.");
    (void)buf_printf(out,
                     "portcullis_reloads_total{result=\"ok\"} %" PRIu64
                     "\nportcullis_reloads_total{result=\"failed\"} %" PRIu64 "\n",
                     page->reloads_ok, page->reloads_failed);
}

void metrics_render(const struct metrics_page *page, struct buf *out)
{
    render_kernel_stats(page, out);
    render_process(page, out);
    render_requests(page, out);
    render_tools(page, out);
    render_durations(page, out);
    render_issuers(page, out);
    render_tls(page, out);
    render_simple(page, out);
    render_limited(page, out);
    if (page->limits != NULL)
        render_limits(page->limits, out);
    if (page->limits != NULL && page->limits->has_store)
        render_store(page, out);
    if (page->audit != NULL)
        render_audit(page->audit, out);
    if (page->traces != NULL)
        render_traces(page->traces, out);
}
