/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

/* Lines that may wait for a descriptor that does not take them. */
#define LOG_MAX_PENDING (256U * 1024)
#define LOG_CLOSE_WAIT_MS 1000

/* Those of syslog(3), in the order of enum log_level. */
static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};
static const char *const level_names[] = {"error", "warn", "info", "debug"};

static enum log_target target_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return LOG_TARGET_OTHER;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return LOG_TARGET_FILE;
    case S_IFSOCK:
        return LOG_TARGET_SOCKET;
    case S_IFIFO:
        return LOG_TARGET_PIPE;
    default:
        return LOG_TARGET_OTHER;
    }
}

struct log log_make(int fd, enum log_level level, enum log_format format)
{
    return (struct log){.fd = fd,
                        .level = level,
                        .format = format,
                        .target = target_of(fd),
                        .pending = buf_make(LOG_MAX_PENDING),
                        .due_bytes = LOG_BATCH_BYTES};
}

void log_move(struct log *log, int fd)
{
    log->fd = fd;
    log->target = target_of(fd);
    log->torn = false;
}

bool log_is_journal(int fd, const char *journal_stream)
{
    struct stat st;
    struct str inode = str_from_cstr(journal_stream);
    struct str device;
    uint64_t dev;
    uint64_t ino;
    return str_is_set(inode) && str_split(&inode, ':', &device) && str_is_set(inode) &&
           str_to_u64(device, UINT64_MAX, &dev) == 0 && str_to_u64(inode, UINT64_MAX, &ino) == 0 &&
           fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

int log_open_file(const char *path, int *ret_fd)
{
    struct stat st;
    /* not to wait for a reader, should it be a FIFO */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    if (fd < 0)
        return errno == ENXIO ? -EMEDIUMTYPE : -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return -EMEDIUMTYPE;
    }
    *ret_fd = fd;
    return 0;
}

int log_reopen_file(const char *path, int fd)
{
    int fresh;
    int r = log_open_file(path, &fresh);
    if (r < 0)
        return r;
    r = dup3(fresh, fd, O_CLOEXEC) < 0 ? -errno : 0;
    (void)close(fresh);
    return r;
}

void log_append_time(struct log_stamp *stamp, const struct clock *when, struct buf *out)
{
    int64_t second = clock_wall_s(when);
    unsigned ms = (unsigned)(when->wall_us / 1000 % 1000);
    struct tm tm;
    if (second != stamp->second || stamp->text[0] == '\0') {
        time_t seconds = (time_t)second;
        if (gmtime_r(&seconds, &tm) == NULL ||
            strftime(stamp->text, sizeof(stamp->text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
            return;
        stamp->second = second;
    }
    char millis[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
                     'Z'};
    (void)buf_append_cstr(out, stamp->text);
    (void)buf_append(out, str_make(millis, sizeof(millis)));
}

static void append_i64(struct buf *out, int64_t value)
{
    if (value < 0)
        (void)buf_append_char(out, '-');
    (void)buf_append_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void append_value(struct buf *out, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_KIND_STR:
        (void)buf_append_char(out, '"');
        (void)buf_append_json(out, field->s);
        (void)buf_append_char(out, '"');
        break;
    case LOG_KIND_INT:
        append_i64(out, field->i);
        break;
    case LOG_KIND_BOOL:
        (void)buf_append_cstr(out, field->i != 0 ? "true" : "false");
        break;
    }
}

static bool field_is_absent(const struct log_field *field)
{
    return field->kind == LOG_KIND_STR && !str_is_set(field->s);
}

void log_append_json_fields(const struct log_field *fields, size_t n_fields, struct buf *out)
{
    for (size_t i = 0; i < n_fields; i++) {
        if (field_is_absent(&fields[i]))
            continue;
        (void)buf_append(out, STR(",\""));
        (void)buf_append(out, fields[i].key);
        (void)buf_append(out, STR("\":"));
        append_value(out, &fields[i]);
    }
}

static void append_json_line(struct log *log, const struct clock *when, enum log_level level,
                             const char *event, const struct log_field *fields, size_t n_fields)
{
    struct buf *out = &log->pending;
    (void)buf_append(out, STR("{\"time\":\""));
    log_append_time(&log->stamp, when, out);
    (void)buf_append(out, STR("\",\"level\":\""));
    (void)buf_append_cstr(out, level_names[level]);
    (void)buf_append(out, STR("\",\"event\":\""));
    (void)buf_append_cstr(out, event);
    (void)buf_append_char(out, '"');
    log_append_json_fields(fields, n_fields, out);
    (void)buf_append(out, STR("}\n"));
}

static void append_text_line(struct log *log, const struct clock *when, enum log_level level,
                             const char *event, const struct log_field *fields, size_t n_fields)
{
    static const char *const colours[] = {"\033[31m", "\033[33m", "\033[32m", "\033[2m"};
    struct buf *out = &log->pending;
    log_append_time(&log->stamp, when, out);
    (void)buf_printf(out, " %s%-5s%s %s", log->colour ? colours[level] : "", level_names[level],
                     log->colour ? "\033[0m" : "", event);
    for (size_t i = 0; i < n_fields; i++) {
        if (field_is_absent(&fields[i]))
            continue;
        (void)buf_append_char(out, ' ');
        (void)buf_append(out, fields[i].key);
        (void)buf_append_char(out, '=');
        append_value(out, &fields[i]);
    }
    (void)buf_append_char(out, '\n');
}

static void append_line(struct log *log, const struct clock *when, enum log_level level,
                        const char *event, const struct log_field *fields, size_t n_fields)
{
    size_t before = log->pending.len;
    if (log->torn && before == 0) /* its rest is lost */
        (void)buf_append_char(&log->pending, '\n');
    if (log->priority)
        (void)buf_append_cstr(&log->pending, priorities[level]);
    if (log->format == LOG_FORMAT_JSON)
        append_json_line(log, when, level, event, fields, n_fields);
    else
        append_text_line(log, when, level, event, fields, n_fields);
    if (!buf_failed(&log->pending))
        return;
    /* A line is written whole or not at all. */
    log->pending.len = before;
    log->pending.fault = 0;
    log->dropped++;
    log->dropped_total++;
}

void log_write(struct log *log, const struct clock *when, enum log_level level, const char *event,
               const struct log_field *fields, size_t n_fields)
{
    if (!log_enabled(log, level))
        return;
    if (log->dropped > 0 && log->pending.len == 0) {
        const struct log_field lost[] = {LOG_INT("lines", log->dropped)};
        log->dropped = 0;
        append_line(log, when, LOG_LEVEL_WARN, "log_lines_lost", lost, ARRAY_LEN(lost));
    }
    append_line(log, when, level, event, fields, n_fields);
    log->urgent = log->urgent || level <= LOG_LEVEL_WARN;
}

/* One write that does not block; with WAIT_MS it waits so long for the descriptor. -errno; -EAGAIN:
 * it takes nothing now. */
static ssize_t write_polled(int fd, const char *bytes, size_t len, int wait_ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    if (poll(&pfd, 1, wait_ms) != 1 || (pfd.revents & POLLOUT) == 0)
        return -EAGAIN;
    ssize_t n = write(fd, bytes, len);
    return n < 0 ? -errno : n;
}

static ssize_t write_socket(int fd, const char *bytes, size_t len)
{
    ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

static ssize_t write_pipe(struct log *log, const char *bytes, size_t len)
{
    const struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    ssize_t n = pwritev2(log->fd, &part, 1, -1, RWF_NOWAIT);
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == EINTR || errno == EPIPE)
        return -errno;
    /* Linux before 6.5 does not have it for pipes, and a sandbox may forbid the call. */
    log->target = LOG_TARGET_OTHER;
    return write_polled(log->fd, bytes, len, 0);
}

static ssize_t write_file(int fd, const char *bytes, size_t len)
{
    ssize_t n = write(fd, bytes, len);
    return n < 0 ? -errno : n;
}

static ssize_t write_some(struct log *log, const char *bytes, size_t len, int wait_ms)
{
    if (wait_ms > 0)
        return write_polled(log->fd, bytes, len, wait_ms);
    switch (log->target) {
    case LOG_TARGET_FILE:
        return write_file(log->fd, bytes, len);
    case LOG_TARGET_SOCKET:
        return write_socket(log->fd, bytes, len);
    case LOG_TARGET_PIPE:
        return write_pipe(log, bytes, len);
    case LOG_TARGET_OTHER:
        break;
    }
    return write_polled(log->fd, bytes, len, 0);
}

/* A pipe that polls writable takes at least this much without blocking, and takes it whole or not
 * at all (PIPE_BUF, pipe(7)). */
#define LOG_SAFE_WRITE 4096

/* What to write in one go: whole lines, since others write to the same descriptor, and theirs must
 * not get into the middle of ours. A file takes any number of them. */
static size_t next_write(const struct log *log, size_t done)
{
    size_t left = log->pending.len - done;
    size_t len = log->target == LOG_TARGET_FILE ? left : size_min(left, LOG_SAFE_WRITE);
    const char *end = memrchr(log->pending.ptr + done, '\n', len);
    return end != NULL ? (size_t)(end + 1 - (log->pending.ptr + done)) : len;
}

/* The descriptor is gone, or full for good: the lines are lost, too. */
static void lose_lines(struct log *log, struct str lines)
{
    struct str line;
    while (lines.len > 0 && str_split(&lines, '\n', &line)) {
        log->dropped++;
        log->dropped_total++;
    }
}

static void log_drain(struct log *log, int wait_ms)
{
    size_t done = 0;
    while (done < log->pending.len) {
        ssize_t n = write_some(log, log->pending.ptr + done, next_write(log, done), wait_ms);
        if (n == -EINTR)
            continue;
        if (n <= 0) {
            if (n < 0 && n != -EAGAIN) {
                lose_lines(log, str_from(buf_str(&log->pending), done));
                done = log->pending.len;
            }
            break;
        }
        done += (size_t)n;
        log->torn = log->pending.ptr[done - 1] != '\n';
    }
    buf_consume(&log->pending, done);
    log->urgent = log->urgent && log->pending.len > 0;
    /* Near the ceiling, where lines get lost, every turn tries. */
    log->due_bytes =
        size_min(log->pending.len, LOG_MAX_PENDING - 2 * LOG_BATCH_BYTES) + LOG_BATCH_BYTES;
}

void log_flush(struct log *log)
{
    if (log->pending.len > 0)
        log_drain(log, 0);
}

void log_close(struct log *log)
{
    if (log->pending.len > 0)
        log_drain(log, LOG_CLOSE_WAIT_MS);
    buf_free(&log->pending);
}
