/* SPDX-License-Identifier: Apache-2.0 */
/* Structured log lines: one event, key-values, JSON or text, on one file descriptor.
 *
 * A logger belongs to one thread. Lines are collected and written in one go by log_flush(), which
 * never blocks: what the descriptor does not take is dropped and counted, and the count is the next
 * line. Its owner flushes when log_is_due() says so, and LOG_DELAY_MS after the first line that
 * waits: a busy thread writes many lines at once, and a crash loses no more than those.
 * Callers never pass a token, a code, a secret or a query; log_field values are escaped. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

#define LOG_BATCH_BYTES (16U * 1024) /* lines that are worth a write */
#define LOG_DELAY_MS 10              /* a line waits no longer than this for others */

/* How the descriptor is kept from blocking: it may be shared with others, so its flags are not ours
 * to change. */
enum log_target {
    LOG_TARGET_OTHER,  /* asked by poll() before each write */
    LOG_TARGET_FILE,   /* takes everything at once */
    LOG_TARGET_SOCKET, /* MSG_DONTWAIT */
    LOG_TARGET_PIPE,   /* RWF_NOWAIT; as OTHER when the kernel does not know it for pipes */
};

/* The part of a time down to the second, made once per second; zeroed at birth. */
struct log_stamp {
    int64_t second;
    char text[24]; /* "2026-11-21T03:00:00" */
};

struct log {
    int fd;
    enum log_level level;
    enum log_format format;
    enum log_target target;
    bool colour;   /* text format only */
    bool priority; /* each line begins with "<N>", as the journal reads it (sd-daemon(3)) */
    bool urgent;   /* a warning or an error has not been written yet */
    bool torn;     /* what was written last ends in the middle of a line */
    struct buf pending;
    size_t due_bytes; /* of what waits: so many are worth an attempt to write */
    struct log_stamp stamp;
    uint64_t dropped;       /* lines lost since the last report */
    uint64_t dropped_total; /* lines lost in all, for the metrics */
};

enum log_kind { LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_BOOL };
struct log_field {
    struct str key;
    enum log_kind kind;
    struct str s;
    int64_t i;
};

/* K is a string literal. */
#define LOG_STR(k, v) ((struct log_field){.key = STR(k), .kind = LOG_KIND_STR, .s = (v)})
#define LOG_CSTR(k, v) LOG_STR(k, str_from_cstr(v))
#define LOG_INT(k, v) ((struct log_field){.key = STR(k), .kind = LOG_KIND_INT, .i = (int64_t)(v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = STR(k), .kind = LOG_KIND_BOOL, .i = (v) ? 1 : 0})

struct log log_make(int fd, enum log_level level, enum log_format format);
/* FD is the stream to the journal that JOURNAL_STREAM ("DEVICE:INODE", may be NULL) tells of: not
 * so when standard error was sent elsewhere meanwhile. */
bool log_is_journal(int fd, const char *journal_stream);
/* All lines go to FD from now on, those that wait included. */
void log_move(struct log *log, int fd);
/* Writes what is left (waiting up to a second) and frees. */
void log_close(struct log *log);

/* Opens PATH for appending, made with mode 0640 if it is not there. 0 or -errno, -EMEDIUMTYPE: it
 * is no regular file. */
int log_open_file(const char *path, int *ret_fd);
/* Opens PATH anew in the place of FD: all loggers that share the descriptor, of whatever thread,
 * write there from now on. 0, or -errno and FD as it was. */
int log_reopen_file(const char *path, int fd);

static inline bool log_enabled(const struct log *log, enum log_level level)
{
    return level <= log->level;
}

/* One line. Absent strings are left out. WHEN gives the time stamp. */
void log_write(struct log *log, const struct clock *when, enum log_level level, const char *event,
               const struct log_field *fields, size_t n_fields);
#define LOG(log, when, level, event, ...)                                                  \
    do {                                                                                   \
        if (log_enabled((log), (level))) {                                                 \
            const struct log_field log_fields[] = {__VA_ARGS__};                           \
            log_write((log), (when), (level), (event), log_fields, ARRAY_LEN(log_fields)); \
        }                                                                                  \
    } while (0)

/* Writes what waits, as far as the descriptor takes it. */
void log_flush(struct log *log);
/* There is a batch, or something urgent. What the descriptor did not take is tried again with the
 * next batch. */
static inline bool log_is_due(const struct log *log)
{
    return log->urgent || log->pending.len >= log->due_bytes;
}

/* Appends WHEN in UTC with milliseconds (RFC 3339): "2026-11-21T03:00:00.123Z". */
void log_append_time(struct log_stamp *stamp, const struct clock *when, struct buf *out);
/* Appends FIELDS as the inside of a JSON object, a comma before each; absent strings are left out.
 */
void log_append_json_fields(const struct log_field *fields, size_t n_fields, struct buf *out);

#endif
