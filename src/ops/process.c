/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"

#define MICROSECONDS INT64_C(1000000)
#define STATM_BYTES 128
#define LISTING_BYTES 8192

struct process_probe process_probe_open(void)
{
    return (struct process_probe){
        .statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC),
        .fds_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    };
}

void process_probe_close(struct process_probe *probe)
{
    if (probe->statm_fd >= 0)
        (void)close(probe->statm_fd);
    if (probe->fds_fd >= 0)
        (void)close(probe->fds_fd);
    *probe = (struct process_probe){.statm_fd = -1, .fds_fd = -1};
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) < 0)
        return 0;
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * MICROSECONDS + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

/* proc(5): the second number of statm counts resident pages. */
static int64_t resident_bytes(int statm_fd)
{
    char text[STATM_BYTES];
    struct str rest;
    struct str total;
    struct str resident;
    uint64_t pages;
    ssize_t n = pread(statm_fd, text, sizeof(text), 0);
    if (n <= 0)
        return -1;
    rest = str_make(text, (size_t)n);
    if (!str_split(&rest, ' ', &total) || !str_split(&rest, ' ', &resident) ||
        str_to_u64(resident, INT64_MAX / 65536, &pages) < 0)
        return -1;
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* Every entry of the folder but "." and ".." is a descriptor. Read without opening anything: the
 * number matters most when no descriptor is left. */
static int64_t count_fds(int fds_fd)
{
    _Alignas(struct dirent64) char listing[LISTING_BYTES];
    int64_t count = 0;
    if (lseek(fds_fd, 0, SEEK_SET) < 0)
        return -1;
    for (;;) {
        ssize_t n = getdents64(fds_fd, listing, sizeof(listing));
        if (n < 0)
            return -1;
        if (n == 0)
            return count;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *entry = (const void *)(listing + at);
            count += entry->d_name[0] != '.';
            at += entry->d_reclen;
        }
    }
}

static int64_t max_fds(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT64_MAX)
        return -1;
    return (int64_t)limit.rlim_cur;
}

struct process_stats process_read(const struct process_probe *probe)
{
    return (struct process_stats){
        .cpu_us = cpu_us(),
        .resident_bytes = resident_bytes(probe->statm_fd),
        .open_fds = count_fds(probe->fds_fd),
        .max_fds = max_fds(),
    };
}
