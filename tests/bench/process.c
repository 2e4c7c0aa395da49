/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int process_set_parse(const char *text, struct process_set *ret_set)
{
    struct process_set set = {.len = 0};
    for (const char *at = text;;) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || (*end != '\0' && *end != ','))
            return -EINVAL;
        if (set.len == PROCESS_MAX)
            return -E2BIG;
        set.pids[set.len++] = (pid_t)pid;
        if (*end == '\0')
            break;
        at = end + 1;
    }
    *ret_set = set;
    return 0;
}

int process_cpu_ns(const struct process_set *set, uint64_t *ret_ns)
{
    uint64_t sum_ns = 0;
    for (size_t i = 0; i < set->len; i++) {
        clockid_t clock;
        struct timespec spent;
        int r = clock_getcpuclockid(set->pids[i], &clock);
        if (r != 0)
            return -r;
        if (clock_gettime(clock, &spent) < 0)
            return -errno;
        sum_ns += (uint64_t)spent.tv_sec * 1000000000U + (uint64_t)spent.tv_nsec;
    }
    *ret_ns = sum_ns;
    return 0;
}

static int rss_of_one(pid_t pid, uint64_t *ret_kib)
{
    char path[64];
    char line[256];
    int r = -EBADMSG;
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -errno;
    while (r < 0 && fgets(line, sizeof(line), file) != NULL) {
        unsigned long long kib;
        if (sscanf(line, "Rss: %llu kB", &kib) == 1) {
            *ret_kib = kib;
            r = 0;
        }
    }
    (void)fclose(file);
    return r;
}

int process_rss_kib(const struct process_set *set, uint64_t *ret_kib)
{
    uint64_t sum_kib = 0;
    for (size_t i = 0; i < set->len; i++) {
        uint64_t kib = 0;
        int r = rss_of_one(set->pids[i], &kib);
        if (r < 0)
            return r;
        sum_kib += kib;
    }
    *ret_kib = sum_kib;
    return 0;
}
