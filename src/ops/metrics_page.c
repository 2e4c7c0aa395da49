/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ops/audit.h"
#include "ops/metrics.h"
#include "ops/metrics_int.h"

struct str metrics_route_name(const struct metrics_labels *labels, size_t route)
{
    if (route == NO_ROUTE_KEY)
        return STR("");
    return route < labels->n ? labels->names[route] : STR("other");
}

void metrics_put_header(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Text format 0.0.4: a label value is UTF-8 in which backslash, quote and line feed are escaped,
 * and nothing else can be. Bytes that are no UTF-8, and control characters, which some readers trip
 * over, become U+FFFD. */
void metrics_put_label(struct buf *out, const char *name, struct str value)
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

static void render_key_cache(const struct metrics_page *page, struct buf *out)
{
    metrics_put_header(out, "portcullis_jwks_from_cache", "gauge",
                       "1 while the issuer's keys come from jwks.cache_dir.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        (void)buf_append(out, STR("portcullis_jwks_from_cache{"));
        metrics_put_label(out, "issuer", page->issuers[i].name);
        (void)buf_printf(out, "} %d\n", page->issuers[i].from_cache ? 1 : 0);
    }
    metrics_put_header(out, "portcullis_jwks_cache_failures_total", "counter",
                       "Writes to jwks.cache_dir that failed.");
    (void)buf_printf(out, "portcullis_jwks_cache_failures_total %" PRIu64 "\n",
                     page->key_cache_failures);
}

static void render_issuers(const struct metrics_page *page, struct buf *out)
{
    metrics_put_header(out, "portcullis_jwks_age_seconds", "gauge",
                       "Age of the issuer's keys; absent while none were loaded.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        const struct metrics_issuer *issuer = &page->issuers[i];
        if (issuer->age_s < 0)
            continue;
        (void)buf_append(out, STR("portcullis_jwks_age_seconds{"));
        metrics_put_label(out, "issuer", issuer->name);
        (void)buf_printf(out, "} %" PRId64 "\n", issuer->age_s);
    }
    metrics_put_header(out, "portcullis_jwks_max_age_seconds", "gauge",
                       "Age at which the issuer's keys are not used any more.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        (void)buf_append(out, STR("portcullis_jwks_max_age_seconds{"));
        metrics_put_label(out, "issuer", page->issuers[i].name);
        (void)buf_printf(out, "} %" PRId64 "\n", page->issuers[i].max_age_s);
    }
    metrics_put_header(out, "portcullis_jwks_keys", "gauge", "Usable keys of the issuer.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        (void)buf_append(out, STR("portcullis_jwks_keys{"));
        metrics_put_label(out, "issuer", page->issuers[i].name);
        (void)buf_printf(out, "} %u\n", page->issuers[i].keys);
    }
    if (page->has_key_cache)
        render_key_cache(page, out);
    metrics_put_header(out, "portcullis_jwks_fetches_total", "counter",
                       "Attempts to fetch the issuer's keys.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        const struct metrics_issuer *issuer = &page->issuers[i];
        (void)buf_append(out, STR("portcullis_jwks_fetches_total{"));
        metrics_put_label(out, "issuer", issuer->name);
        (void)buf_printf(out, ",result=\"ok\"} %" PRIu64 "\n", issuer->fetches_ok);
        (void)buf_append(out, STR("portcullis_jwks_fetches_total{"));
        metrics_put_label(out, "issuer", issuer->name);
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
    metrics_put_header(out, "portcullis_tls_handshakes_total", "counter",
                       "TLS handshakes by their result.");
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
    metrics_put_header(out, "portcullis_tls_certificate_expiry_seconds", "gauge",
                       "When the certificates of a TLS address expire, as Unix time.");
    for (size_t i = 0; i < page->n_certificates; i++) {
        (void)buf_append(out, STR("portcullis_tls_certificate_expiry_seconds{"));
        metrics_put_label(out, "address", page->certificates[i].address);
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
        metrics_put_header(out, metric->name, metric->type, metric->help);
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
        metrics_put_header(out, rows[i].name, rows[i].type, rows[i].help);
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
    metrics_put_header(out, "portcullis_rate_limited_total", "counter",
                       "Requests refused with 429, by route and limit.");
    for (size_t route = 0; route < n; route++) {
        for (size_t limit = 0; limit < METRICS_N_LIMITS; limit++) {
            uint64_t sum = 0;
            for (size_t w = 0; w < page->n_workers; w++)
                sum += atomic_load(&page->workers[w]->limited[route][limit]);
            (void)buf_append(out, STR("portcullis_rate_limited_total{"));
            metrics_put_label(out, "route", metrics_route_name(page->labels, route));
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
        metrics_put_header(out, rows[i].name, rows[i].type, rows[i].help);
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
    metrics_put_header(out, "process_cpu_seconds_total", "counter", "CPU time, user and system.");
    (void)buf_printf(out, "process_cpu_seconds_total %" PRId64 ".%06" PRId64 "\n",
                     stats->cpu_us / 1000000, stats->cpu_us % 1000000);
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
        if (gauges[i].value < 0)
            continue;
        metrics_put_header(out, gauges[i].name, "gauge", gauges[i].help);
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
    metrics_put_header(out, "portcullis_store_seconds_total", "counter",
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
    metrics_put_header(out, "portcullis_build_info", "gauge",
                       "Always 1; the version is the label.");
    (void)buf_printf(out, "portcullis_build_info{version=\"%s\"} 1\n", page->version);
    metrics_put_header(out, "portcullis_workers", "gauge", "Worker threads.");
    (void)buf_printf(out, "portcullis_workers %zu\n", page->n_workers);
    metrics_put_header(out, "portcullis_connections_limit", "gauge",
                       "Client connections that there may be, in all workers.");
    (void)buf_printf(out, "portcullis_connections_limit %" PRIu64 "\n", page->connections_limit);
    metrics_put_header(out, "portcullis_reloads_total", "counter", "Policy reloads.");
    (void)buf_printf(out,
                     "portcullis_reloads_total{result=\"ok\"} %" PRIu64
                     "\nportcullis_reloads_total{result=\"failed\"} %" PRIu64 "\n",
                     page->reloads_ok, page->reloads_failed);
}

void metrics_render(const struct metrics_page *page, struct buf *out)
{
    render_kernel_stats(page, out);
    render_process(page, out);
    metrics_render_requests(page, out);
    metrics_render_tools(page, out);
    metrics_render_durations(page, out);
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
