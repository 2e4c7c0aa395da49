/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* Upper bounds of the latency histogram, in microseconds; the last bucket has none. */
static const int64_t bounds_us[METRICS_BUCKETS] = {250,    500,     1000,    2500,    5000,
                                                   10000,  25000,   50000,   100000,  250000,
                                                   500000, 1000000, 5000000, 30000000};
static const char *const bounds_text[METRICS_BUCKETS] = {
    "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
    "0.05",    "0.1",    "0.25",  "0.5",    "1",     "5",    "30"};

#define OTHER_ROUTE (METRICS_MAX_ROUTES - 1)
#define NO_ROUTE_KEY 0xffffU

size_t metrics_label(struct metrics_labels *labels, struct str name)
{
    for (size_t i = 0; i < labels->n; i++)
        if (str_eq(labels->names[i], name))
            return i;
    if (labels->n == OTHER_ROUTE)
        return OTHER_ROUTE;
    char *copy = str_to_cstr(name);
    if (copy == NULL)
        return OTHER_ROUTE;
    labels->names[labels->n] = str_make(copy, name.len);
    return labels->n++;
}

void metrics_labels_free(struct metrics_labels *labels)
{
    for (size_t i = 0; i < labels->n; i++)
        free((void *)(uintptr_t)labels->names[i].ptr);
    labels->n = 0;
}

static struct str label_name(const struct metrics_labels *labels, size_t route)
{
    if (route == NO_ROUTE_KEY)
        return STR("");
    return route < labels->n ? labels->names[route] : STR("other");
}

/* ---- counting ---- */

static void bump(atomic_ullong *counter, uint64_t by)
{
    /* One writer: a plain add without a locked instruction. */
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + by, memory_order_relaxed);
}

static struct metrics_slot *find_slot(struct metrics *metrics, unsigned key, const char *reason)
{
    uintptr_t hash = ((uintptr_t)reason >> 3) * 31U + key * 2654435761U;
    for (size_t i = 0; i < METRICS_SLOTS; i++) {
        struct metrics_slot *slot = &metrics->slots[(hash + i) % METRICS_SLOTS];
        const char *used = atomic_load_explicit(&slot->reason, memory_order_relaxed);
        if (used == NULL) {
            atomic_store_explicit(&slot->key, key, memory_order_relaxed);
            atomic_store_explicit(&slot->reason, reason, memory_order_release);
            return slot;
        }
        if (used == reason && atomic_load_explicit(&slot->key, memory_order_relaxed) == key)
            return slot;
    }
    return NULL;
}

static size_t bucket_of(int64_t duration_us)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && duration_us > bounds_us[i])
        i++;
    return i;
}

void metrics_request(struct metrics *metrics, size_t route, unsigned status, const char *reason,
                     int64_t duration_us)
{
    unsigned route_key = route == METRICS_NO_ROUTE ? NO_ROUTE_KEY : (unsigned)route;
    struct metrics_slot *slot = find_slot(metrics, route_key << 16 | status, reason);
    bump(slot != NULL ? &slot->count : &metrics->unslotted, 1);
    if (route == METRICS_NO_ROUTE)
        return;
    bump(&metrics->duration[route].buckets[bucket_of(duration_us)], 1);
    bump(&metrics->duration[route].sum_us, (uint64_t)(duration_us > 0 ? duration_us : 0));
}

/* ---- the page ---- */

static void header(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Label values: backslash, quote and newline escaped; JSON's escapes are a superset that the text
 * format reads the same for what resources and names may hold. */
static void label(struct buf *out, const char *name, struct str value)
{
    (void)buf_printf(out, "%s=\"", name);
    (void)buf_append_json(out, value);
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
    header(out, "portcullis_jwks_keys", "gauge", "Usable keys of the issuer.");
    for (size_t i = 0; i < page->n_issuers; i++) {
        (void)buf_append(out, STR("portcullis_jwks_keys{"));
        label(out, "issuer", page->issuers[i].name);
        (void)buf_printf(out, "} %u\n", page->issuers[i].keys);
    }
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
    {"portcullis_log_lines_lost_total", "counter", "Log lines that stderr did not take.",
     WIDE(log_lost)},
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

static void render_process(const struct metrics_page *page, struct buf *out)
{
    header(out, "portcullis_build_info", "gauge", "Always 1; the version is the label.");
    (void)buf_printf(out, "portcullis_build_info{version=\"%s\"} 1\n", page->version);
    header(out, "portcullis_start_time_seconds", "gauge", "When the process started, Unix time.");
    (void)buf_printf(out, "portcullis_start_time_seconds %" PRId64 "\n", page->started_s);
    header(out, "portcullis_workers", "gauge", "Worker threads.");
    (void)buf_printf(out, "portcullis_workers %zu\n", page->n_workers);
    header(out, "portcullis_reloads_total", "counter", "Policy reloads.");
    (void)buf_printf(out,
                     "portcullis_reloads_total{result=\"ok\"} %" PRIu64
                     "\nportcullis_reloads_total{result=\"failed\"} %" PRIu64 "\n",
                     page->reloads_ok, page->reloads_failed);
}

void metrics_render(const struct metrics_page *page, struct buf *out)
{
    render_process(page, out);
    render_requests(page, out);
    render_durations(page, out);
    render_issuers(page, out);
    render_simple(page, out);
}
