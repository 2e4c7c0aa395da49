/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the audit log: lines (audit_line.c), which the verifier reads, too; the file
 * (audit_file.c); what the thread does (audit_writer.c), and its life (audit.c). */
#ifndef OPS_AUDIT_INT_H
#define OPS_AUDIT_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ops/audit.h"

/* The place in a chain behind some line. */
struct audit_place {
    uint64_t seq;                      /* of that line; 0: the chain has none yet */
    char hash[AUDIT_HASH_HEX_LEN + 1]; /* of that line; "": the chain has none yet */
};

/* ---- audit_line.c ---- */

/* Appends the line behind PLACE, with its line end, and moves PLACE behind it. RECORD may be empty
 * when LOST is not 0. 0, or -errno with OUT and PLACE as before. */
int audit_line_append(struct buf *out, struct audit_place *place, uint64_t lost, struct str record);
/* Moves PLACE behind LINE (without its line end), whatever is in it. 0 or -EIO, PLACE as before. */
int audit_place_pass(struct audit_place *place, struct str line);

struct audit_line {
    uint64_t seq;    /* 0: not even that can be read */
    struct str prev; /* borrows from the line */
    uint64_t lost;
};
/* True for a whole line; else *RET_LINE holds what its beginning says. */
bool audit_line_read(struct str line, struct audit_line *ret_line);
/* The hash in front of the first line. */
struct str audit_line_no_hash(void);

/* ---- audit_file.c ---- */

struct audit_file {
    int fd;         /* -1: not open */
    bool regular;   /* else a pipe or a device, which may not take bytes for a while */
    bool needs_end; /* its last line was cut off and wants a line end */
};

/* Opens PATH ("-": standard output). With PLACE not NULL the end of a regular file is read, and
 * PLACE moved behind its last line. With OLD not NULL and PATH still the same file, *RET_FILE is
 * *OLD. 0 or -errno; -ENXIO: a FIFO that nobody reads. */
int audit_file_open(const char *path, const struct audit_file *old, struct audit_place *place,
                    struct audit_file *ret_file);
/* To the disk, and closed. */
void audit_file_close(struct audit_file *file);
/* Writes what FILE takes without waiting: the number of bytes, or -errno; -EAGAIN: none now. */
int64_t audit_file_write(const struct audit_file *file, struct str bytes);

/* ---- audit_writer.c ---- */

/* What failed is tried again after this time. */
#define AUDIT_RETRY_US 1000000
/* Lines that go to the disk in one write. */
#define AUDIT_BATCH_BYTES (128U * 1024)

/* A record in the queue, with its bytes behind it. */
struct audit_frame {
    size_t len;
    uint64_t lost; /* before it */
};

/* Records wait in FILLING; the thread swaps it with TAKEN, makes a batch of lines of what is there,
 * and lets go of a record only when its line is written: should the rest of a batch have to go to
 * another file, the lines are made anew.
 *
 * The lock guards what stands below it, and is never held while the disk is waited for. */
struct audit {
    char *path;
    pthread_t thread;
    atomic_bool failing;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* the thread */
    pthread_cond_t done; /* who flushes, or closes */
    struct buf filling;
    size_t taken_bytes; /* in TAKEN, not let go of */
    uint64_t lost_now;  /* since the newest frame */
    struct audit_stats stats;
    struct audit_place head;
    int64_t close_by_us;
    bool is_full;
    bool is_idle; /* the thread waits for the first record */
    bool stop;
    bool reopen;
    bool hurry; /* nothing more is to be gathered */
    bool has_ended;

    /* The thread's own. */
    struct audit_file file;
    struct buf taken;
    size_t taken_at;          /* first frame whose line is not written */
    struct buf batch;         /* lines that are not written; the first may be in part */
    size_t batch_done;        /* bytes of the first line that are */
    struct audit_place place; /* behind the newest line written */
    bool is_blocked;          /* the last write failed: none is tried before RETRY_AT_US */
    int64_t retry_at_us;
    int64_t reopen_at_us; /* the last reopening failed, and is tried again then; 0: it did not */
};

int64_t audit_now_us(void);
/* With the lock. */
void audit_update_failing(struct audit *audit);
/* One round of the thread: reopens, writes what was taken, and says when to try again what failed.
 * 0: all is written; -EINTR: there is something else to do first; or the fault. */
int audit_work(struct audit *audit, bool reopen);

#endif
