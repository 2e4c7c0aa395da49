/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel counts of this process, for the page of metrics. */
#ifndef OPS_PROCESS_H
#define OPS_PROCESS_H

#include <stdint.h>

/* Descriptors of the process's files in /proc, opened once: a process that has locked itself up may
 * not be able to open them later. */
struct process_probe {
    int statm_fd; /* -1: there is no /proc */
    int fds_fd;
};

struct process_stats {
    int64_t cpu_us;         /* user and system time of all threads */
    int64_t resident_bytes; /* -1: not known */
    int64_t open_fds;       /* the probe's own two among them; -1: not known */
    int64_t max_fds;        /* the soft limit; -1: none, or not known */
};

struct process_probe process_probe_open(void);
void process_probe_close(struct process_probe *probe);
/* Costs two or three system calls, and one more for some hundred open descriptors each. */
struct process_stats process_read(const struct process_probe *probe);

#endif
