/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ops/metrics_int.h"

/* Upper bounds of the latency histogram, in microseconds; the last bucket has none. */
static const int64_t bounds_us[METRICS_BUCKETS] = {250,    500,     1000,    2500,    5000,
                                                   10000,  25000,   50000,   100000,  250000,
                                                   500000, 1000000, 5000000, 30000000};

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

void metrics_handshake(struct metrics *metrics, const char *result)
{
    for (size_t i = 0; i < METRICS_HANDSHAKES; i++) {
        struct metrics_slot *slot = &metrics->handshakes[i];
        const char *used = atomic_load_explicit(&slot->reason, memory_order_relaxed);
        if (used != NULL && used != result)
            continue;
        bump(&slot->count, 1);
        atomic_store_explicit(&slot->reason, result, memory_order_release);
        return;
    }
    bump(&metrics->unslotted, 1);
}

void metrics_limited(struct metrics *metrics, size_t route, enum metrics_limit limit)
{
    bump(&metrics->limited[route < METRICS_MAX_ROUTES ? route : OTHER_ROUTE][limit], 1);
}

/* ---- calls by tool ---- */

size_t metrics_label_char(struct str s)
{
    unsigned char u = (unsigned char)s.ptr[0];
    if (u < 0x80)
        return u >= 0x20 && u != 0x7f ? 1 : 0;
    for (size_t len = 2; len <= 4 && len <= s.len; len++)
        if (str_is_utf8(str_head(s, len)))
            return len;
    return 0;
}

static bool is_plain_label(struct str s)
{
    if (s.len > METRICS_TOOL_NAME_BYTES)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e)
            return false;
    return true;
}

/* What the label says of TOOL: a view of it, or of ROOM. Cleaned before it is counted, not when it
 * is printed, so that no two rows of the page can have the same labels. */
static struct str tool_label(struct str tool, char room[METRICS_TOOL_NAME_BYTES])
{
    static const struct str replacement = STR_INIT(METRICS_REPLACEMENT);
    static const struct str cut = STR_INIT("...");
    size_t len = 0;
    size_t cut_at = 0;
    if (is_plain_label(tool))
        return tool;
    while (tool.len > 0) {
        size_t taken = metrics_label_char(tool);
        struct str part = taken > 0 ? str_head(tool, taken) : replacement;
        if (len + part.len > METRICS_TOOL_NAME_BYTES) {
            memcpy(room + cut_at, cut.ptr, cut.len);
            return str_make(room, cut_at + cut.len);
        }
        memcpy(room + len, part.ptr, part.len);
        len += part.len;
        if (len <= METRICS_TOOL_NAME_BYTES - cut.len)
            cut_at = len;
        tool = str_from(tool, size_max(taken, 1));
    }
    return str_make(room, len);
}

/* FNV-1a; never 0, which means free. */
static unsigned tool_hash(size_t route, struct str name)
{
    uint32_t hash = (2166136261U ^ (uint32_t)route) * 16777619U;
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * 16777619U;
    return hash != 0 ? hash : 1;
}

/* The row of NAME; NULL when it has none and, with ADD, when there is no room. */
static struct metrics_tool *find_tool(struct metrics *metrics, size_t route, struct str name,
                                      bool add)
{
    unsigned hash = tool_hash(route, name);
    for (size_t i = 0; i < METRICS_TOOLS; i++) {
        size_t at = (hash + i) % METRICS_TOOLS;
        struct metrics_tool *tool = &metrics->tools[at];
        unsigned used = atomic_load_explicit(&metrics->tool_hashes[at], memory_order_relaxed);
        if (used == hash && tool->route == route &&
            str_eq(str_make(tool->name, tool->name_len), name))
            return tool;
        if (used != 0)
            continue;
        if (!add)
            return NULL;
        tool->route = (uint16_t)route;
        tool->name_len = (uint8_t)name.len;
        if (name.len > 0)
            memcpy(tool->name, name.ptr, name.len);
        atomic_store_explicit(&metrics->tool_hashes[at], hash, memory_order_release);
        return tool;
    }
    return NULL;
}

void metrics_tool_call(struct metrics *metrics, size_t route, struct str tool, bool allowed)
{
    char room[METRICS_TOOL_NAME_BYTES];
    if (route >= METRICS_MAX_ROUTES)
        route = OTHER_ROUTE;
    struct metrics_tool *row = find_tool(metrics, route, tool_label(tool, room), allowed);
    if (row != NULL)
        bump(allowed ? &row->allowed : &row->denied, 1);
    else
        bump(allowed ? &metrics->other_tools[route].allowed : &metrics->other_tools[route].denied,
             1);
}
