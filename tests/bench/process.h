/* SPDX-License-Identifier: Apache-2.0 */
/* What a contender costs, seen from outside: CPU time and resident memory of its processes. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_MAX 64

/* The processes of one contender, e.g. the master and the worker of nginx. */
struct process_set {
    pid_t pids[PROCESS_MAX];
    size_t len;
};

/* From "PID[,PID...]". 0, -EINVAL for anything else or -E2BIG for more than PROCESS_MAX. */
int process_set_parse(const char *text, struct process_set *ret_set);

/* CPU time of all threads, past and present, user and system, in nanoseconds: the CPU-time clock of
 * each process (clock_getcpuclockid(3)), which is exact to the moment of the call, where the ticks
 * of /proc/PID/stat are 10 ms and /proc/PID/schedstat lags by up to a tick. 0 or -errno. */
int process_cpu_ns(const struct process_set *set, uint64_t *ret_ns);

/* Resident memory in KiB, summed: Rss of /proc/PID/smaps_rollup, which counts pages, where the
 * counters of /proc/PID/statm are estimates. Pages that two processes share count twice. 0 or
 * -errno. */
int process_rss_kib(const struct process_set *set, uint64_t *ret_kib);

#endif
