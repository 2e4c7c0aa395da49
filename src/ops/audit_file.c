/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "ops/audit_int.h"

/* How much of a file's end is read: more than the longest line, and one that a crash cut off. */
#define TAIL_BYTES (2 * AUDIT_MAX_LINE_BYTES)

static bool is_stdout(const char *path)
{
    return path[0] == '-' && path[1] == '\0';
}

/* Never waits: not for a reader of a FIFO, not for a device. A regular file is opened for reading,
 * too, as its end tells where the chain is; of a FIFO we must not be a reader, or we would not
 * notice that nobody else is. */
static int open_path(const char *path)
{
    struct stat st = {0};
    bool there = stat(path, &st) == 0;
    int access = !there || S_ISREG(st.st_mode) ? O_RDWR : O_WRONLY;
    int fd = open(path, access | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd >= 0)
        return fd;
    int fault = errno;
    return fault == ENXIO && !(there && S_ISFIFO(st.st_mode)) ? -ENODEV : -fault;
}

static bool is_same_file(int a, int b)
{
    struct stat x;
    struct stat y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Reads exactly LEN bytes at OFFSET. */
static int read_at(int fd, char *bytes, size_t len, off_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, bytes + done, len - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ESTALE; /* it became shorter meanwhile */
        done += (size_t)n;
    }
    return 0;
}

/* Nobody wants lines of an audit log behind a policy or a program: -EBADMSG when the file begins
 * with something else. NUL bytes are what a file system may leave of a line when the power fails.
 */
static int check_beginning(int fd, size_t size)
{
    static const struct str beginning = STR_INIT("{\"seq\":");
    char bytes[16] = {0};
    size_t len = size_min(size, beginning.len);
    int r = read_at(fd, bytes, len, 0);
    if (r < 0)
        return r;
    bool is_ours = str_eq(str_make(bytes, len), str_head(beginning, len)) || bytes[0] == '\0';
    return is_ours ? 0 : -EBADMSG;
}

/* TAIL is the end of the file, whole lines but for the last one's line end. A line that does not
 * say its number has the next one: those that were cut off count as well. */
static int pass_lines(struct audit_place *place, struct str tail)
{
    struct str line = {0};
    struct audit_line read;
    uint64_t seq = 0;
    while (str_split(&tail, '\n', &line)) {
        (void)audit_line_read(line, &read);
        seq = read.seq != 0 ? read.seq : seq + 1;
    }
    place->seq = seq - 1;
    return audit_place_pass(place, line);
}

static int pass_tail(struct audit_place *place, struct str tail, bool is_all)
{
    if (tail.ptr[tail.len - 1] == '\n')
        tail = str_head(tail, tail.len - 1);
    if (!is_all) {
        ptrdiff_t at = str_find_char(tail, '\n');
        if (at < 0)
            return -EBADMSG;
        tail = str_from(tail, (size_t)at + 1);
    }
    return pass_lines(place, tail);
}

/* What FILE already holds: is it ours, does its last line want an end, and where is the chain. */
static int read_end(struct audit_file *file, struct audit_place *place)
{
    struct stat st;
    if (fstat(file->fd, &st) < 0)
        return -errno;
    if (st.st_size == 0)
        return 0;
    size_t size = (size_t)st.st_size;
    size_t len = size_min(size, TAIL_BYTES);
    int r = check_beginning(file->fd, size);
    if (r < 0)
        return r;
    CLEANUP(buf_free) struct buf tail = buf_make(TAIL_BYTES);
    r = buf_reserve(&tail, len);
    if (r == 0)
        r = read_at(file->fd, tail.ptr, len, (off_t)(size - len));
    if (r < 0)
        return r;
    tail.len = len;
    file->needs_end = tail.ptr[len - 1] != '\n';
    return place != NULL ? pass_tail(place, buf_str(&tail), len == size) : 0;
}

/* Two processes that append to one file would break the chain of both. */
static int claim(struct audit_file *file, struct audit_place *place)
{
    if (flock(file->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return -EBUSY;
    return read_end(file, place);
}

int audit_file_open(const char *path, const struct audit_file *old, struct audit_place *place,
                    struct audit_file *ret_file)
{
    struct audit_file file = {.fd = -1};
    struct stat st;
    if (old != NULL && is_stdout(path)) {
        *ret_file = *old;
        return 0;
    }
    file.fd = is_stdout(path) ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) : open_path(path);
    if (file.fd < 0)
        return is_stdout(path) ? -errno : file.fd;
    if (old != NULL && is_same_file(old->fd, file.fd)) {
        (void)close(file.fd);
        *ret_file = *old;
        return 0;
    }
    int r = fstat(file.fd, &st) < 0 ? -errno : 0;
    file.regular = r == 0 && S_ISREG(st.st_mode);
    if (file.regular && !is_stdout(path))
        r = claim(&file, place);
    if (r < 0) {
        (void)close(file.fd);
        return r;
    }
    *ret_file = file;
    return 0;
}

void audit_file_close(struct audit_file *file)
{
    if (file->fd < 0)
        return;
    (void)fdatasync(file->fd); /* EINVAL for what is no file */
    (void)close(file->fd);
    file->fd = -1;
}

/* Standard output is shared with others, so that O_NONBLOCK is not ours to set: it is asked first,
 * and a pipe that says yes takes PIPE_BUF bytes (pipe(7)). */
static bool takes_bytes(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    return poll(&pfd, 1, 0) == 1;
}

int64_t audit_file_write(const struct audit_file *file, struct str bytes)
{
    if (!file->regular && !takes_bytes(file->fd))
        return -EAGAIN;
    size_t len = file->regular ? bytes.len : size_min(bytes.len, PIPE_BUF);
    ssize_t n = write(file->fd, bytes.ptr, len);
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    return n > 0 ? n : -EIO;
}
