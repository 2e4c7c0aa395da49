/* SPDX-License-Identifier: Apache-2.0 */
/* The families with a row for each route: requests, calls of tools, durations. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ops/metrics.h"
#include "ops/metrics_int.h"

static const char *const bounds_text[METRICS_BUCKETS] = {
    "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
    "0.05",    "0.1",    "0.25",  "0.5",    "1",     "5",    "30"};

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

void metrics_render_requests(const struct metrics_page *page, struct buf *out)
{
    struct request_row *rows;
    size_t n = gather_rows(page, &rows);
    metrics_put_header(out, "portcullis_requests_total", "counter",
                       "Finished requests by route, status and reason.");
    for (size_t i = 0; i < n; i++) {
        (void)buf_append(out, STR("portcullis_requests_total{"));
        metrics_put_label(out, "route", metrics_route_name(page->labels, rows[i].key >> 16));
        (void)buf_printf(out, ",status=\"%u\",", rows[i].key & 0xffffU);
        metrics_put_label(out, "reason", str_from_cstr(rows[i].reason));
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
    metrics_put_label(out, "route", metrics_route_name(page->labels, row->route));
    (void)buf_append_char(out, ',');
    metrics_put_label(out, "tool", row->name);
    (void)buf_printf(out, ",decision=\"%s\"} %" PRIu64 "\n", allowed ? "allow" : "deny", count);
}

void metrics_render_tools(const struct metrics_page *page, struct buf *out)
{
    struct tool_row *rows;
    size_t n = gather_tools(page, &rows);
    metrics_put_header(out, "portcullis_tool_calls_total", "counter",
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
        metrics_put_label(out, "route", metrics_route_name(page->labels, route));
        (void)buf_printf(out, ",le=\"%s\"} %" PRIu64 "\n",
                         b < METRICS_BUCKETS ? bounds_text[b] : "+Inf", total);
    }
    for (size_t w = 0; w < page->n_workers; w++)
        sum_us += atomic_load(&page->workers[w]->duration[route].sum_us);
    (void)buf_printf(out, "%s_sum{", name);
    metrics_put_label(out, "route", metrics_route_name(page->labels, route));
    (void)buf_printf(out, "} %" PRIu64 ".%06" PRIu64 "\n%s_count{", sum_us / 1000000,
                     sum_us % 1000000, name);
    metrics_put_label(out, "route", metrics_route_name(page->labels, route));
    (void)buf_printf(out, "} %" PRIu64 "\n", total);
}

void metrics_render_durations(const struct metrics_page *page, struct buf *out)
{
    metrics_put_header(out, "portcullis_request_duration_seconds", "histogram",
                       "From the complete request head to the end of the answer.");
    for (size_t route = 0; route < page->labels->n; route++)
        render_duration_of(page, route, out);
    if (page->labels->n == OTHER_ROUTE)
        render_duration_of(page, OTHER_ROUTE, out);
}
