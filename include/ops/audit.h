/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: one JSON line per decision, chained by hash, written by a thread of its own, so
 * that a slow or full disk never holds up a worker.
 *
 * A line is {"seq":N,"prev":"HEX",RECORD}: its number, and the SHA-256 of the line before it
 * (without the line end; 64 zeros before the first). Where records were lost, the next line says
 * how many behind prev: "lost":N. The chain goes on over restarts, and over files when the log is
 * reopened. Who can write the file can also make a new chain: keep the newest hash elsewhere
 * (audit_head), see docs/OPERATIONS.md. */
#ifndef OPS_AUDIT_H
#define OPS_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/str.h"

/* Lines that wait for the disk; past it the log counts as failing, and further lines are lost. */
#define AUDIT_QUEUE_BYTES (4U * 1024 * 1024)
#define AUDIT_MAX_LINE_BYTES (64U * 1024)
/* Longer records are lost: their line would be too long. */
#define AUDIT_MAX_RECORD_BYTES (AUDIT_MAX_LINE_BYTES - 256)
/* What the thread writes in front of every record. */
#define AUDIT_HASH_HEX_LEN (2 * SHA256_LEN)

struct audit;

struct audit_stats {
    uint64_t written;  /* lines in the file */
    uint64_t lost;     /* records for which there was no room */
    uint64_t failures; /* attempts to write, or to reopen, that failed: one a second at most */
    bool failing;      /* the last write failed, or the queue is full */
    int fault;         /* -errno of the newest failure, 0: there was none */
};

/* Opens PATH for appending (created with mode 0600; "-": standard output) and starts the thread,
 * which blocks all signals. An existing file is read from its end: the chain goes on, and a line
 * that was cut off by a crash is ended. What cannot be read back (a pipe, a device, "-") begins a
 * chain. A FIFO that nobody reads is no error: the log is failing until somebody does.
 *
 * 0 or -errno, *RET_AUDIT untouched: -EBUSY when another process writes this file, -EBADMSG when
 * the file is something else than an audit log, -EISDIR, -EACCES, ... */
int audit_open(const char *path, struct audit **ret_audit);
/* Writes what waits, for at most TIMEOUT_MS, then ends the thread; gives up at once when a write
 * fails. Takes NULL, returns NULL. */
struct audit *audit_close(struct audit *audit, unsigned timeout_ms);

/* Thread-safe. RECORD is the inside of a JSON object, without braces and without line ends:
 * "\"time\":...". True: it will be written, in order, within some milliseconds; false: lost, and
 * counted. */
bool audit_append(struct audit *audit, struct str record);
/* Waits for at most TIMEOUT_MS until all that was appended is written, so that audit_head() tells
 * of it; false: it is not, and at once when a write fails. */
bool audit_flush(struct audit *audit, unsigned timeout_ms);
/* Thread-safe: opens the path anew (after a rotation). What waits goes to the new file. While that
 * cannot be opened, the old one is written, and it is tried again every second. */
void audit_reopen(struct audit *audit);
/* Thread-safe, cheap: a record given now would not get to the disk. True from the first write that
 * fails until one succeeds; tried every second, and at once after audit_reopen(). */
bool audit_is_failing(const struct audit *audit);
struct audit_stats audit_stats(struct audit *audit);
/* The number and the hash of the newest line written; "" before the first. */
void audit_head(struct audit *audit, uint64_t *ret_seq, char ret_hash[AUDIT_HASH_HEX_LEN + 1]);

/* ---- verification ---- */

struct audit_check {
    uint64_t lines; /* all that were read, torn ones too */
    uint64_t first_seq;
    uint64_t last_seq;
    uint64_t lost; /* records that the log itself says were lost */
    uint64_t torn; /* lines cut off by a crash, with the chain going on behind, or the end */
    char first_prev[AUDIT_HASH_HEX_LEN + 1];
    char head[AUDIT_HASH_HEX_LEN + 1]; /* hash of the last line */
    uint64_t anchor_line;              /* that has the hash of audit_verifier_expect(); 0: none */
    uint64_t bad_line;                 /* 0: the chain holds; else the first line (from 1, over all
                                          files) where it breaks; nothing behind it was looked at */
    const char *why;                   /* static, with bad_line */
};

/* Fed with the file in pieces of any size, which need not hold whole lines. What it finds depends
 * on the bytes only, not on the pieces. Memory: one line. */
struct audit_verifier {
    struct buf line;          /* the beginning of a line whose end is not there yet */
    struct audit_check check; /* so far */
    uint64_t next_seq;        /* 0: not known yet */
    uint64_t torn_from;       /* first of the torn lines at the end, 0: the last line is whole */
    char anchor[AUDIT_HASH_HEX_LEN + 1];
};
struct audit_verifier audit_verifier_make(void);
void audit_verifier_free(struct audit_verifier *verifier);
/* Looks for the line that has this hash (hex, lower case); false: HASH is no hash. */
bool audit_verifier_expect(struct audit_verifier *verifier, struct str hash);
void audit_verify_bytes(struct audit_verifier *verifier, struct str bytes);
/* The file has ended; *RET_CHECK is the finding so far. The next file of the same chain may follow.
 */
void audit_verify_end(struct audit_verifier *verifier, struct audit_check *ret_check);

#endif
