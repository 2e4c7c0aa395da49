/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/audit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "ops/audit_int.h"

/* Lines are gathered for this long, so that neither the thread nor who wakes it is busy with each.
 */
#define GATHER_US 5000
/* A queue that was larger gives its memory back once it is empty. */
#define KEEP_BYTES (256U * 1024)
/* What audit_close() grants the thread to notice that its time is over. */
#define CLOSE_GRACE_US 100000

/* Waits for COND until WHEN_US; 0: without an end. Wakes early now and then, as conditions do. */
static void wait_until(struct audit *audit, pthread_cond_t *cond, int64_t when_us)
{
    struct timespec when = {.tv_sec = when_us / 1000000, .tv_nsec = when_us % 1000000 * 1000};
    if (when_us == 0)
        (void)pthread_cond_wait(cond, &audit->lock);
    else
        (void)pthread_cond_timedwait(cond, &audit->lock, &when);
}

/* ---- the callers' side ---- */

/* With the lock. */
static int queue_frame(struct audit *audit, struct str record)
{
    struct audit_frame frame = {.len = record.len, .lost = audit->lost_now};
    int r = buf_reserve(&audit->filling, sizeof(frame) + record.len);
    if (r < 0) {
        audit->filling.fault = 0;
        return r;
    }
    (void)buf_append(&audit->filling, str_make((const char *)&frame, sizeof(frame)));
    (void)buf_append(&audit->filling, record);
    audit->lost_now = 0;
    return 0;
}

static bool queue_record(struct audit *audit, struct str record)
{
    size_t used = audit->taken_bytes + audit->filling.len;
    if (used + sizeof(struct audit_frame) + record.len > AUDIT_QUEUE_BYTES) {
        audit->is_full = true;
        audit_update_failing(audit);
        return false;
    }
    return queue_frame(audit, record) == 0;
}

bool audit_append(struct audit *audit, struct str record)
{
    bool fits =
        record.len > 0 && record.len <= AUDIT_MAX_RECORD_BYTES && str_find_char(record, '\n') < 0;
    (void)pthread_mutex_lock(&audit->lock);
    bool queued = fits && queue_record(audit, record);
    if (!queued) {
        audit->lost_now++;
        audit->stats.lost++;
    }
    if (queued && audit->is_idle) {
        audit->is_idle = false;
        (void)pthread_cond_signal(&audit->wake);
    }
    (void)pthread_mutex_unlock(&audit->lock);
    return queued;
}

void audit_reopen(struct audit *audit)
{
    (void)pthread_mutex_lock(&audit->lock);
    audit->reopen = true;
    (void)pthread_cond_signal(&audit->wake);
    (void)pthread_mutex_unlock(&audit->lock);
}

bool audit_flush(struct audit *audit, unsigned timeout_ms)
{
    int64_t give_up_us = audit_now_us() + (int64_t)timeout_ms * 1000;
    bool waits = true;
    (void)pthread_mutex_lock(&audit->lock);
    audit->hurry = true;
    (void)pthread_cond_signal(&audit->wake);
    while (waits && !audit->stats.failing && audit_now_us() < give_up_us) {
        waits = audit->filling.len > 0 || audit->taken_bytes > 0;
        if (waits)
            wait_until(audit, &audit->done, give_up_us);
    }
    (void)pthread_mutex_unlock(&audit->lock);
    return !waits;
}

bool audit_is_failing(const struct audit *audit)
{
    return atomic_load_explicit(&audit->failing, memory_order_relaxed);
}

struct audit_stats audit_stats(struct audit *audit)
{
    (void)pthread_mutex_lock(&audit->lock);
    struct audit_stats stats = audit->stats;
    stats.failing = stats.failing || audit->is_full;
    (void)pthread_mutex_unlock(&audit->lock);
    return stats;
}

void audit_head(struct audit *audit, uint64_t *ret_seq, char ret_hash[AUDIT_HASH_HEX_LEN + 1])
{
    (void)pthread_mutex_lock(&audit->lock);
    *ret_seq = audit->head.seq;
    memcpy(ret_hash, audit->head.hash, sizeof(audit->head.hash));
    (void)pthread_mutex_unlock(&audit->lock);
}

/* ---- the thread ---- */

/* When something that failed is to be tried again; 0: nothing did. */
static int64_t next_try_us(const struct audit *audit)
{
    return audit->is_blocked ? audit->retry_at_us : audit->reopen_at_us;
}

/* With the lock. */
static bool has_work(const struct audit *audit)
{
    int64_t next_us = next_try_us(audit);
    return audit->stop || audit->reopen || (next_us != 0 && audit_now_us() >= next_us) ||
           (!audit->is_blocked && audit->filling.len > 0);
}

/* With the lock: waits until there is something to do, and a little longer for more of it. */
static void wait_for_work(struct audit *audit)
{
    while (!has_work(audit)) {
        audit->is_idle = !audit->is_blocked;
        wait_until(audit, &audit->wake, next_try_us(audit));
    }
    audit->is_idle = false;
    int64_t until_us = audit_now_us() + GATHER_US;
    while (!audit->stop && !audit->reopen && !audit->hurry && audit_now_us() < until_us)
        wait_until(audit, &audit->wake, until_us);
    audit->hurry = false;
}

/* With the lock. */
static void take_records(struct audit *audit)
{
    struct buf empty = audit->taken;
    if (audit->taken_at < audit->taken.len)
        return;
    if (empty.cap > KEEP_BYTES)
        buf_free(&empty);
    buf_clear(&empty);
    audit->taken = audit->filling;
    audit->filling = empty;
    audit->taken_at = 0;
    audit->taken_bytes = audit->taken.len;
}

/* With the lock: true when nothing is left to do, or nothing can be done. */
static bool is_over(const struct audit *audit, int result)
{
    if (!audit->stop)
        return false;
    if (audit_now_us() >= audit->close_by_us)
        return true;
    if (result < 0)
        return result != -EAGAIN && result != -EINTR;
    return audit->filling.len == 0;
}

static void *run(void *ctx)
{
    struct audit *audit = ctx;
    int r;
    (void)pthread_mutex_lock(&audit->lock);
    do {
        wait_for_work(audit);
        bool reopen = audit->reopen;
        audit->reopen = false;
        take_records(audit);
        (void)pthread_mutex_unlock(&audit->lock);
        r = audit_work(audit, reopen);
        (void)pthread_mutex_lock(&audit->lock);
        (void)pthread_cond_signal(&audit->done);
    } while (!is_over(audit, r));
    (void)pthread_mutex_unlock(&audit->lock);
    audit_file_close(&audit->file);
    (void)pthread_mutex_lock(&audit->lock);
    audit->has_ended = true;
    (void)pthread_cond_signal(&audit->done);
    (void)pthread_mutex_unlock(&audit->lock);
    return NULL;
}

/* ---- make and free ---- */

static struct audit *audit_free(struct audit *audit)
{
    buf_free(&audit->filling);
    buf_free(&audit->taken);
    buf_free(&audit->batch);
    (void)pthread_cond_destroy(&audit->wake);
    (void)pthread_cond_destroy(&audit->done);
    (void)pthread_mutex_destroy(&audit->lock);
    free(audit->path);
    free(audit);
    return NULL;
}

static struct audit *audit_new(const char *path)
{
    pthread_condattr_t monotonic;
    struct audit *audit = calloc(1, sizeof(*audit));
    if (audit == NULL)
        return NULL;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&audit->lock, NULL);
    (void)pthread_cond_init(&audit->wake, &monotonic);
    (void)pthread_cond_init(&audit->done, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    audit->file.fd = -1;
    /* A frame for what was lost last must fit behind a full queue. */
    audit->filling = buf_make(AUDIT_QUEUE_BYTES + sizeof(struct audit_frame));
    audit->taken = buf_make(AUDIT_QUEUE_BYTES + sizeof(struct audit_frame));
    audit->batch = buf_make(AUDIT_BATCH_BYTES + 2 * AUDIT_MAX_LINE_BYTES);
    audit->path = str_to_cstr(str_from_cstr(path));
    return audit->path != NULL ? audit : audit_free(audit);
}

/* Signals are for the main thread; SIGPIPE, too, is an error of write() here. */
static int start_thread(struct audit *audit)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&audit->thread, NULL, run, audit);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        (void)pthread_setname_np(audit->thread, "audit");
    return r;
}

int audit_open(const char *path, struct audit **ret_audit)
{
    struct audit *audit = audit_new(path);
    if (audit == NULL)
        return -ENOMEM;
    int r = audit_file_open(path, NULL, &audit->place, &audit->file);
    if (r == -ENXIO) { /* a FIFO without a reader: one may come */
        audit->is_blocked = true;
        audit->reopen_at_us = audit->retry_at_us = audit_now_us() + AUDIT_RETRY_US;
        audit->stats = (struct audit_stats){.failing = true, .failures = 1, .fault = r};
        audit_update_failing(audit);
        r = 0;
    }
    audit->head = audit->place;
    if (r == 0)
        r = start_thread(audit);
    if (r < 0) {
        audit_file_close(&audit->file);
        (void)audit_free(audit);
        return r;
    }
    *ret_audit = audit;
    return 0;
}

struct audit *audit_close(struct audit *audit, unsigned timeout_ms)
{
    if (audit == NULL)
        return NULL;
    (void)pthread_mutex_lock(&audit->lock);
    if (audit->lost_now > 0)
        (void)queue_frame(audit, STR(""));
    audit->close_by_us = audit_now_us() + (int64_t)timeout_ms * 1000;
    audit->stop = true;
    (void)pthread_cond_signal(&audit->wake);
    int64_t give_up_us = audit->close_by_us + CLOSE_GRACE_US;
    while (!audit->has_ended && audit_now_us() < give_up_us)
        wait_until(audit, &audit->done, give_up_us);
    bool has_ended = audit->has_ended;
    (void)pthread_mutex_unlock(&audit->lock);
    if (!has_ended) {
        /* It hangs in a write to a disk that does not answer, and nothing can wake it: what it uses
         * stays, and the process can end. */
        (void)pthread_detach(audit->thread);
        return NULL;
    }
    (void)pthread_join(audit->thread, NULL);
    return audit_free(audit);
}
