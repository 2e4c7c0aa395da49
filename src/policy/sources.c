/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy may ask of the system it is read on: environment, files, number of CPUs. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "policy/sources_int.h"

const char *config_fault_text(int fault)
{
    if (fault == -EFBIG)
        return "the file is too large";
    if (fault == -EMEDIUMTYPE)
        return "not a regular file";
    const char *text = strerrordesc_np(-fault);
    return text != NULL ? text : "the file cannot be read";
}

static int read_open_file(int fd, size_t max_bytes, struct buf *out)
{
    struct stat status;
    size_t start = out->len;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EMEDIUMTYPE;
    if (status.st_size < 0 || (uint64_t)status.st_size > max_bytes)
        return -EFBIG;
    for (;;) {
        size_t left = max_bytes - (out->len - start);
        /* One byte more than allowed, to notice a file that grows meanwhile. Files of /proc and
         * /sys say that they are empty and are read all the same. */
        int r = buf_reserve(out, size_min(left, 16384) + 1);
        if (r < 0)
            return r == -EMSGSIZE ? -EFBIG : r;
        ssize_t n = read(fd, out->ptr + out->len, size_min(left, 16384) + 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if ((size_t)n > left)
            return -EFBIG;
        if (n == 0)
            return 0;
        out->len += (size_t)n;
    }
}

int sources_read_file(void *ctx, const char *path, size_t max_bytes, struct buf *out)
{
    (void)ctx;
    /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = read_open_file(fd, max_bytes, out);
    (void)close(fd);
    return r;
}

static const char *system_env(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

unsigned sources_cpus_of_quota(struct str cpu_max)
{
    struct str quota;
    uint64_t quota_us;
    uint64_t period_us;
    ptrdiff_t line_end = str_find_char(cpu_max, '\n');
    if (line_end >= 0)
        cpu_max = str_head(cpu_max, (size_t)line_end);
    if (!str_split(&cpu_max, ' ', &quota) || str_to_u64(quota, INT64_MAX, &quota_us) < 0 ||
        str_to_u64(cpu_max, INT64_MAX, &period_us) < 0 || period_us == 0)
        return CONFIG_MAX_WORKERS;
    uint64_t cpus = quota_us / period_us + (quota_us % period_us != 0 ? 1 : 0);
    return (unsigned)(cpus < 1 ? 1 : size_min(cpus, CONFIG_MAX_WORKERS));
}

/* The tightest cpu.max from our own cgroup up to the root (cgroup v2 has one hierarchy, whose line
 * in /proc/self/cgroup begins with "0::"). Inside a container the own cgroup looks like a root. */
static unsigned cgroup_cpus(void)
{
    CLEANUP(buf_free) struct buf group = buf_make(16384);
    CLEANUP(buf_free) struct buf path = buf_make(16384);
    CLEANUP(buf_free) struct buf content = buf_make(16384);
    unsigned cpus = CONFIG_MAX_WORKERS;
    if (sources_read_file(NULL, "/proc/self/cgroup", 8192, &group) < 0)
        return cpus;
    struct str text = buf_str(&group);
    struct str line = {0};
    while (str_split(&text, '\n', &line) && !str_has_prefix(line, STR("0::/")))
        line.len = 0;
    struct str folder = str_from(line, 3);
    while (folder.len > 0) {
        buf_clear(&path);
        buf_clear(&content);
        (void)buf_printf(&path, "/sys/fs/cgroup%.*s/cpu.max", STR_ARG(folder));
        if (buf_append_char(&path, '\0') == 0 &&
            sources_read_file(NULL, path.ptr, 4096, &content) == 0)
            cpus = (unsigned)size_min(cpus, sources_cpus_of_quota(buf_str(&content)));
        const char *slash = memrchr(folder.ptr, '/', folder.len);
        folder.len = slash != NULL ? (size_t)(slash - folder.ptr) : 0;
    }
    return cpus;
}

static unsigned affinity_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

struct config_sources config_sources_system(void)
{
    const struct clock now = clock_read();
    return (struct config_sources){
        .env = system_env,
        .read_file = sources_read_file,
        .credentials_directory = getenv("CREDENTIALS_DIRECTORY"),
        .cpus = (unsigned)size_min(affinity_cpus(), cgroup_cpus()),
        .now_s = clock_wall_s(&now),
    };
}
