/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/limits.h"

#include <stdlib.h>

#include "policy/forwarded.h"

struct limits *limits_new(void)
{
    struct limits *limits = calloc(1, sizeof(*limits));
    if (limits == NULL)
        return NULL;
    limits->rates = rate_table_new(LIMITS_RATE_ENTRIES);
    limits->streams = count_table_new();
    limits->peers = count_table_new();
    if (limits->rates == NULL || limits->streams == NULL || limits->peers == NULL)
        return limits_free(limits);
    return limits;
}

struct limits *limits_free(struct limits *limits)
{
    if (limits == NULL)
        return NULL;
    limits->rates = rate_table_free(limits->rates);
    limits->streams = count_table_free(limits->streams);
    limits->peers = count_table_free(limits->peers);
    free(limits);
    return NULL;
}

static bool on_enter(void *ctx, const struct sockaddr_storage *addr, void **ret_place)
{
    const struct limits_peers *peers = ctx;
    uint8_t network[FORWARDED_NETWORK_LEN];
    struct count_place *place = NULL;
    if (addr->ss_family == AF_UNIX)
        return true;
    forwarded_network_of(addr, network);
    const struct str part = str_make((const char *)network, sizeof(network));
    if (count_table_take(peers->limits->peers, &part, 1, peers->max, &place) != COUNT_OK)
        return false;
    *ret_place = place;
    return true;
}

static void on_leave(void *ctx, void *place)
{
    const struct limits_peers *peers = ctx;
    (void)count_table_give_back(peers->limits->peers, place);
}

void limits_count_peers(const struct limits *limits, uint32_t max, struct limits_peers *ret_peers)
{
    *ret_peers = (struct limits_peers){
        .limits = limits,
        .max = max,
        .peers = {.enter = on_enter, .leave = on_leave, .ctx = ret_peers},
    };
}

struct metrics_limits limits_numbers(const struct limits *limits, int64_t now_us)
{
    const struct rate_table_stats rates = rate_table_stats(limits->rates, now_us * 1000);
    return (struct metrics_limits){
        .buckets = rates.used,
        .bucket_capacity = rates.capacity,
        .bucket_evictions = rates.evictions,
        .streams = count_table_stats(limits->streams).places,
    };
}
