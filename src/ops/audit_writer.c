/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "ops/audit_int.h"

#define POLL_SLICE_MS 20
/* A queue that was full is so until this little waits: calls are not to be let in for a moment each
 * time a line has left it. */
#define QUEUE_HAS_ROOM_BYTES (AUDIT_QUEUE_BYTES / 4 * 3)

int64_t audit_now_us(void)
{
    return clock_read().mono_us;
}

void audit_update_failing(struct audit *audit)
{
    atomic_store_explicit(&audit->failing, audit->stats.failing || audit->is_full,
                          memory_order_relaxed);
}

/* ---- from records to lines ---- */

static struct audit_frame frame_at(const struct audit *audit, size_t at)
{
    struct audit_frame frame;
    memcpy(&frame, audit->taken.ptr + at, sizeof(frame));
    return frame;
}

static size_t frame_end(const struct audit *audit, size_t at)
{
    return at + sizeof(struct audit_frame) + frame_at(audit, at).len;
}

/* Makes lines of the frames at TAKEN_AT and behind. */
static int make_batch(struct audit *audit)
{
    struct audit_place place = audit->place;
    size_t at = audit->taken_at;
    while (at < audit->taken.len && audit->batch.len < AUDIT_BATCH_BYTES) {
        struct audit_frame frame = frame_at(audit, at);
        struct str record = str_make(audit->taken.ptr + at + sizeof(frame), frame.len);
        int r = audit_line_append(&audit->batch, &place, frame.lost, record);
        if (r < 0)
            return audit->batch.len > 0 ? 0 : r;
        at += sizeof(frame) + frame.len;
    }
    return 0;
}

/* The first N lines of the batch are written, and LAST is the last of them: lets go of them. */
static int settle(struct audit *audit, size_t n, struct str last)
{
    struct audit_place place = {.seq = audit->place.seq + n - 1};
    int r = audit_place_pass(&place, last);
    if (r < 0)
        return r;
    size_t from = audit->taken_at;
    for (size_t i = 0; i < n; i++)
        audit->taken_at = frame_end(audit, audit->taken_at);
    audit->place = place;
    (void)pthread_mutex_lock(&audit->lock);
    audit->taken_bytes -= audit->taken_at - from;
    audit->stats.written += n;
    audit->head = place;
    if (audit->taken_bytes + audit->filling.len <= QUEUE_HAS_ROOM_BYTES)
        audit->is_full = false;
    audit_update_failing(audit);
    (void)pthread_mutex_unlock(&audit->lock);
    return 0;
}

/* After a write: settles the lines that are complete. */
static int settle_written(struct audit *audit)
{
    struct str written = str_head(buf_str(&audit->batch), audit->batch_done);
    const char *end = memrchr(written.ptr, '\n', written.len);
    size_t n = 0;
    if (end == NULL)
        return 0;
    struct str lines = str_make(written.ptr, (size_t)(end - written.ptr));
    struct str last = lines;
    while (str_split(&lines, '\n', &last))
        n++;
    int r = settle(audit, n, last);
    if (r < 0)
        return r;
    size_t complete = (size_t)(end + 1 - written.ptr);
    buf_consume(&audit->batch, complete);
    audit->batch_done -= complete;
    return 0;
}

/* The batch goes on in another file. The line that is in the old one in part stays there, as after
 * a crash: it counts as a line of the chain, and its record gets a whole line in the new file. */
static int leave_partial_line(struct audit *audit)
{
    struct str line = str_head(buf_str(&audit->batch), audit->batch_done);
    int r = 0;
    if (line.len > 0 && audit->batch.ptr[line.len] == '\n')
        r = settle(audit, 1, line); /* only its line end is missing */
    else if (line.len > 0)
        r = audit_place_pass(&audit->place, line);
    if (r < 0)
        return r;
    buf_clear(&audit->batch);
    audit->batch_done = 0;
    return 0;
}

/* ---- to the file ---- */

/* With the lock. */
static void count_failure(struct audit *audit, int fault)
{
    audit->stats.failures++;
    audit->stats.fault = fault;
}

/* What a write came to. */
static void say_result(struct audit *audit, int fault)
{
    (void)pthread_mutex_lock(&audit->lock);
    audit->stats.failing = fault < 0;
    if (fault < 0)
        count_failure(audit, fault);
    audit_update_failing(audit);
    (void)pthread_mutex_unlock(&audit->lock);
}

static int end_last_line(struct audit *audit)
{
    if (!audit->file.needs_end)
        return 0;
    int64_t n = audit_file_write(&audit->file, STR("\n"));
    if (n < 0)
        return (int)n;
    audit->file.needs_end = false;
    return 0;
}

static int write_batch(struct audit *audit)
{
    int r = end_last_line(audit);
    if (r < 0)
        return r;
    struct str rest = str_from(buf_str(&audit->batch), audit->batch_done);
    int64_t n = rest.len > 0 ? audit_file_write(&audit->file, rest) : 0;
    if (n < 0)
        return (int)n;
    audit->batch_done += (size_t)n;
    return settle_written(audit);
}

/* A pipe that is full: waits for its reader until it takes bytes (0), a second is over (-EAGAIN),
 * or there is something else to do (-EINTR). */
static int wait_for_reader(struct audit *audit)
{
    int64_t give_up_us = audit_now_us() + AUDIT_RETRY_US;
    for (;;) {
        struct pollfd pfd = {.fd = audit->file.fd, .events = POLLOUT};
        if (poll(&pfd, 1, POLL_SLICE_MS) > 0)
            return 0;
        (void)pthread_mutex_lock(&audit->lock);
        bool has_more_to_do =
            audit->reopen || (audit->stop && audit_now_us() >= audit->close_by_us);
        (void)pthread_mutex_unlock(&audit->lock);
        if (has_more_to_do)
            return -EINTR;
        if (audit_now_us() >= give_up_us)
            return -EAGAIN;
    }
}

/* Writes what was taken. 0, -EINTR when there is something else to do, or the fault. */
static int write_taken(struct audit *audit)
{
    while (audit->taken_at < audit->taken.len) {
        int r = audit->batch.len > 0 ? 0 : make_batch(audit);
        if (r == 0)
            r = write_batch(audit);
        if (r == 0)
            say_result(audit, 0);
        if (r == -EAGAIN)
            r = wait_for_reader(audit);
        if (r < 0)
            return r;
    }
    return 0;
}

static int open_again(struct audit *audit)
{
    struct audit_file old = audit->file;
    struct audit_file file;
    int r = audit_file_open(audit->path, old.fd >= 0 ? &old : NULL, NULL, &file);
    if (r < 0)
        return r;
    if (file.fd == old.fd)
        return 0;
    r = leave_partial_line(audit);
    audit_file_close(r < 0 ? &file : &old);
    if (r == 0)
        audit->file = file;
    return r;
}

static void try_reopen(struct audit *audit)
{
    int r = open_again(audit);
    audit->reopen_at_us = r < 0 ? audit_now_us() + AUDIT_RETRY_US : 0;
    if (r < 0) {
        (void)pthread_mutex_lock(&audit->lock);
        count_failure(audit, r);
        (void)pthread_mutex_unlock(&audit->lock);
    }
}

int audit_work(struct audit *audit, bool reopen)
{
    bool was_open = audit->file.fd >= 0;
    if (reopen || (audit->reopen_at_us != 0 && audit_now_us() >= audit->reopen_at_us))
        try_reopen(audit);
    bool is_open = audit->file.fd >= 0;
    int r = is_open ? write_taken(audit) : -ENXIO;
    if (r == 0 && !was_open)
        say_result(audit, 0); /* there may have been nothing to write */
    if (r < 0 && r != -EINTR && is_open)
        say_result(audit, r);
    audit->is_blocked = r < 0;
    audit->retry_at_us = audit_now_us();
    if (r != -EINTR && r != -EAGAIN) /* which have waited already */
        audit->retry_at_us += AUDIT_RETRY_US;
    return r;
}
