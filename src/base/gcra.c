/* SPDX-License-Identifier: Apache-2.0 */
#include "base/gcra.h"

/* Threads share a bucket and look at the clock once per turn of their loops: the NOW of one may lie
 * behind that of another who has just emptied the bucket, and its debt is no less for that. */
#define CLOCKS_APART_NS GCRA_NS_PER_S

bool gcra_make(int64_t count, int64_t period_ms, int64_t burst, struct gcra *ret_gcra)
{
    int64_t period_ns = period_ms * GCRA_NS_PER_MS;
    int64_t interval_ns = (period_ns + count - 1) / count;
    if (burst > GCRA_MAX_FILL_NS / interval_ns)
        return false;
    *ret_gcra = (struct gcra){.interval_ns = interval_ns, .burst = burst};
    return true;
}

bool gcra_take(const struct gcra *gcra, int64_t now_ns, int64_t cost, int64_t *tat_ns,
               int64_t *ret_wait_ns)
{
    int64_t fill_ns = gcra->interval_ns * gcra->burst;
    int64_t tat = *tat_ns > now_ns ? *tat_ns : now_ns;
    /* Further ahead than an empty bucket: the rates have changed since. Nobody owes more. */
    if (tat - now_ns > fill_ns + CLOCKS_APART_NS) {
        tat = now_ns + fill_ns;
        *tat_ns = tat;
    }
    if (cost > gcra->burst) {
        *ret_wait_ns = fill_ns;
        return false;
    }
    int64_t next = tat + cost * gcra->interval_ns;
    if (next - now_ns > fill_ns) {
        *ret_wait_ns = next - now_ns - fill_ns;
        return false;
    }
    *tat_ns = next;
    return true;
}

int64_t gcra_wait_s(int64_t ns)
{
    int64_t s = (ns + GCRA_NS_PER_S - 1) / GCRA_NS_PER_S;
    return s > 1 ? s : 1;
}
