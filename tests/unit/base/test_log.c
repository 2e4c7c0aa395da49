/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "support/cmocka_all.h"

/* 2026-11-21 03:00:07.042 UTC */
static const struct clock moment = {.wall_us = 1795230007042000};

/* The two ends of what the logger writes to: every read gives one write. */
struct ends {
    int in;
    int out;
};

static struct ends make_ends(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    return (struct ends){.in = fds[0], .out = fds[1]};
}

static void close_ends(struct ends *ends)
{
    (void)close(ends->in);
    (void)close(ends->out);
}

/* The next write, NUL-terminated; "" when there is none. */
static const char *next_write(const struct ends *ends, char text[8192])
{
    ssize_t n = recv(ends->in, text, 8191, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void log_write_makes_one_line_with_escaped_values(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        enum log_format format;
        bool colour;
        const char *line;
    } rows[] = {
        {"json", LOG_FORMAT_JSON, false,
         "{\"time\":\"2026-11-21T03:00:07.042Z\",\"level\":\"info\",\"event\":\"request\","
         "\"path\":\"/a\\\"\\n\\u001b\",\"empty\":\"\",\"n\":-9223372036854775808,\"yes\":true}\n"},
        {"text", LOG_FORMAT_TEXT, false,
         "2026-11-21T03:00:07.042Z info  request path=\"/a\\\"\\n\\u001b\" empty=\"\" "
         "n=-9223372036854775808 yes=true\n"},
        {"text in colour", LOG_FORMAT_TEXT, true,
         "2026-11-21T03:00:07.042Z \033[32minfo \033[0m request path=\"/a\\\"\\n\\u001b\" "
         "empty=\"\" n=-9223372036854775808 yes=true\n"},
        {"json knows no colour", LOG_FORMAT_JSON, true,
         "{\"time\":\"2026-11-21T03:00:07.042Z\",\"level\":\"info\",\"event\":\"request\","
         "\"path\":\"/a\\\"\\n\\u001b\",\"empty\":\"\",\"n\":-9223372036854775808,\"yes\":true}\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[8192];
        struct ends ends = make_ends();
        struct log log = log_make(ends.out, LOG_LEVEL_INFO, rows[i].format);
        log.colour = rows[i].colour;
        LOG(&log, &moment, LOG_LEVEL_INFO, "request", LOG_STR("path", STR("/a\"\n\x1b")),
            LOG_CSTR("absent", NULL), LOG_STR("empty", STR("")), LOG_INT("n", INT64_MIN),
            LOG_BOOL("yes", 7));
        log_flush(&log);
        if (strcmp(next_write(&ends, text), rows[i].line) != 0)
            fail_msg("%s: %s", rows[i].why, text);
        log_close(&log);
        close_ends(&ends);
    }
}

static void log_lines_for_the_journal_begin_with_their_priority(void **state)
{
    (void)state;
    static const struct {
        enum log_level level;
        const char *line;
    } rows[] = {
        {LOG_LEVEL_ERROR, "<3>2026-11-21T03:00:07.042Z error x\n"},
        {LOG_LEVEL_WARN, "<4>2026-11-21T03:00:07.042Z warn  x\n"},
        {LOG_LEVEL_INFO, "<6>2026-11-21T03:00:07.042Z info  x\n"},
        {LOG_LEVEL_DEBUG, "<7>2026-11-21T03:00:07.042Z debug x\n"},
    };
    struct ends ends = make_ends();
    struct log log = log_make(ends.out, LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    log.priority = true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[8192];
        log_write(&log, &moment, rows[i].level, "x", NULL, 0);
        log_flush(&log);
        assert_string_equal(next_write(&ends, text), rows[i].line);
    }
    log_close(&log);
    close_ends(&ends);
}

static void log_is_journal_compares_device_and_inode(void **state)
{
    (void)state;
    struct ends ends = make_ends();
    struct stat st;
    char stream[64];
    assert_int_equal(fstat(ends.out, &st), 0);
    (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    assert_true(log_is_journal(ends.out, stream));
    assert_false(log_is_journal(ends.in, stream)); /* redirected since */
    assert_false(log_is_journal(ends.out, NULL));
    assert_false(log_is_journal(ends.out, ""));
    assert_false(log_is_journal(ends.out, "8"));
    assert_false(log_is_journal(ends.out, "8:"));
    assert_false(log_is_journal(-1, stream));
    close_ends(&ends);
}

static void log_write_stamps_the_time_it_is_given(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_us;
        const char *stamp;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {999, "1970-01-01T00:00:00.000Z"},
        {1795230007042999, "2026-11-21T03:00:07.042Z"},
        {1795230007999000, "2026-11-21T03:00:07.999Z"},
        {1795230008000000, "2026-11-21T03:00:08.000Z"},
        /* the clock was set back */
        {1795230007100000, "2026-11-21T03:00:07.100Z"},
        {951782400000000, "2000-02-29T00:00:00.000Z"},
    };
    char text[8192];
    struct ends ends = make_ends();
    struct log log = log_make(ends.out, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct clock when = {.wall_us = rows[i].wall_us};
        LOG(&log, &when, LOG_LEVEL_INFO, "tick", LOG_INT("i", i));
        log_flush(&log);
        (void)next_write(&ends, text);
        if (strncmp(text, rows[i].stamp, strlen(rows[i].stamp)) != 0)
            fail_msg("%s: %s", rows[i].stamp, text);
    }
    log_close(&log);
    close_ends(&ends);
}

static void log_level_lets_pass_what_is_as_urgent(void **state)
{
    (void)state;
    char text[8192];
    struct ends ends = make_ends();
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        struct log log = log_make(ends.out, (enum log_level)level, LOG_FORMAT_JSON);
        for (int of = LOG_LEVEL_ERROR; of <= LOG_LEVEL_DEBUG; of++) {
            log_write(&log, &moment, (enum log_level)of, "event", NULL, 0);
            log_flush(&log);
            assert_int_equal(next_write(&ends, text)[0] != '\0', of <= level);
        }
        log_close(&log);
    }
    close_ends(&ends);
}

static void log_collects_lines_until_they_are_flushed(void **state)
{
    (void)state;
    char text[8192];
    struct ends ends = make_ends();
    struct log log = log_make(ends.out, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG(&log, &moment, LOG_LEVEL_INFO, "one", LOG_INT("i", 1));
    LOG(&log, &moment, LOG_LEVEL_INFO, "two", LOG_INT("i", 2));
    assert_string_equal(next_write(&ends, text), "");
    log_flush(&log);
    (void)next_write(&ends, text);
    assert_non_null(strstr(text, "one i=1\n"));
    assert_non_null(strstr(text, "two i=2\n"));
    LOG(&log, &moment, LOG_LEVEL_INFO, "three", LOG_INT("i", 3));
    log_close(&log);
    assert_non_null(strstr(next_write(&ends, text), "three i=3\n"));
    close_ends(&ends);
}

/* Several workers share stderr: what one of them writes in one go must end with a line, or another
 * one's line gets into the middle. */
static void log_flush_writes_whole_lines(void **state)
{
    (void)state;
    char text[8192];
    size_t lines = 0;
    struct ends ends = make_ends();
    struct log log = log_make(ends.out, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    for (int i = 0; i < 200; i++)
        LOG(&log, &moment, LOG_LEVEL_INFO, "request", LOG_INT("i", i),
            LOG_STR("path", STR("/a/path/that/makes/the/line/a/little/longer")));
    log_flush(&log);
    for (const char *at = next_write(&ends, text); *at != '\0'; at = next_write(&ends, text)) {
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_true(strlen(text) <= 4096);
        for (const char *c = text; *c != '\0'; c++)
            lines += *c == '\n';
    }
    assert_int_equal(lines, 200);
    log_close(&log);
    close_ends(&ends);
}

static void log_flush_writes_a_line_longer_than_one_write(void **state)
{
    (void)state;
    char text[8192];
    char path[6000];
    size_t total = 0;
    struct ends ends = make_ends();
    struct log log = log_make(ends.out, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    memset(path, 'x', sizeof(path));
    LOG(&log, &moment, LOG_LEVEL_INFO, "long", LOG_STR("path", str_make(path, sizeof(path))));
    log_flush(&log);
    assert_int_equal(log.pending.len, 0);
    while (*next_write(&ends, text) != '\0')
        total += strlen(text);
    assert_true(total > sizeof(path));
    log_close(&log);
    close_ends(&ends);
}

/* Fills the pipe, which then takes nothing. */
static void stuff(int fd)
{
    char bytes[4096] = {0};
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

static size_t empty(int fd, char *text, size_t len)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    size_t last = 0;
    for (ssize_t n = read(fd, text, len - 1); n > 0; n = read(fd, text, len - 1))
        last = (size_t)n;
    text[last] = '\0';
    return last;
}

static void log_drops_whole_lines_when_nobody_reads_and_says_so_later(void **state)
{
    (void)state;
    static char text[512 * 1024];
    int fds[2];
    struct buf lost = buf_make(64);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    stuff(fds[1]);
    struct log log = log_make(fds[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    unsigned written = 0;
    while (log.dropped == 0) {
        LOG(&log, &moment, LOG_LEVEL_INFO, "event", LOG_INT("i", written));
        log_flush(&log); /* returns at once: the descriptor blocks */
        written++;
    }
    assert_true(written > 1000);
    assert_true(log.pending.len <= log.pending.max);
    assert_int_equal(log.pending.ptr[log.pending.len - 1], '\n');
    for (int i = 0; i < 4; i++)
        LOG(&log, &moment, LOG_LEVEL_INFO, "event", LOG_INT("i", written));
    uint64_t dropped = log.dropped;
    assert_true(dropped >= 1 && dropped <= 5);
    assert_int_equal(log.dropped_total, dropped);

    (void)empty(fds[0], text, sizeof(text));
    while (log.pending.len > 0) {
        log_flush(&log);
        (void)empty(fds[0], text, sizeof(text));
    }
    LOG(&log, &moment, LOG_LEVEL_INFO, "after", LOG_INT("i", 0));
    log_flush(&log);
    (void)empty(fds[0], text, sizeof(text));
    (void)buf_printf(&lost, "warn  log_lines_lost lines=%u\n", (unsigned)dropped);
    (void)buf_append_char(&lost, '\0');
    assert_non_null(strstr(text, lost.ptr));
    assert_true(strstr(text, " after i=0\n") > strstr(text, lost.ptr));
    assert_int_equal(log.dropped, 0);
    assert_int_equal(log.dropped_total, dropped);
    buf_free(&lost);
    log_close(&log);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void write_lines(struct log *log, size_t bytes)
{
    size_t before = log->pending.len;
    while (log->pending.len < before + bytes)
        LOG(log, &moment, LOG_LEVEL_INFO, "request", LOG_INT("i", 1));
}

static void log_is_due_with_a_batch_or_a_warning(void **state)
{
    (void)state;
    char text[8192];
    struct ends ends = make_ends();
    struct log log = log_make(ends.out, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    assert_false(log_is_due(&log));
    LOG(&log, &moment, LOG_LEVEL_INFO, "request", LOG_INT("i", 1));
    assert_false(log_is_due(&log));
    write_lines(&log, LOG_BATCH_BYTES - 256);
    assert_false(log_is_due(&log));
    write_lines(&log, 256);
    assert_true(log_is_due(&log));
    log_flush(&log);
    assert_false(log_is_due(&log));
    LOG(&log, &moment, LOG_LEVEL_DEBUG, "not written", LOG_INT("i", 1));
    LOG(&log, &moment, LOG_LEVEL_WARN, "warning", LOG_INT("i", 1));
    assert_true(log_is_due(&log));
    log_flush(&log);
    assert_false(log_is_due(&log));
    LOG(&log, &moment, LOG_LEVEL_ERROR, "error", LOG_INT("i", 1));
    assert_true(log_is_due(&log));
    log_close(&log);
    while (*next_write(&ends, text) != '\0')
        ;
    close_ends(&ends);
}

/* Until the descriptor takes something again, one attempt for each batch; at the ceiling, always.
 */
static void log_is_due_again_with_the_next_batch_when_nobody_reads(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    stuff(fds[1]);
    struct log log = log_make(fds[1], LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    write_lines(&log, LOG_BATCH_BYTES);
    assert_true(log_is_due(&log));
    log_flush(&log);
    assert_true(log.pending.len >= LOG_BATCH_BYTES);
    assert_false(log_is_due(&log));
    write_lines(&log, LOG_BATCH_BYTES);
    assert_true(log_is_due(&log));
    log_flush(&log);
    assert_false(log_is_due(&log));
    while (log.dropped == 0)
        LOG(&log, &moment, LOG_LEVEL_INFO, "event", LOG_INT("i", 1));
    log_flush(&log);
    assert_true(log_is_due(&log));
    log.pending.len = 0;
    log_close(&log);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* Others share it, and may want to block. */
static void log_flush_leaves_the_flags_of_the_descriptor_alone(void **state)
{
    (void)state;
    char text[8192];
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct log log = log_make(fds[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG(&log, &moment, LOG_LEVEL_INFO, "one", LOG_INT("i", 1));
    log_flush(&log);
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    assert_true(empty(fds[0], text, sizeof(text)) > 0);
    assert_non_null(strstr(text, " one i=1\n"));
    log_close(&log);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void log_flush_writes_a_batch_to_a_file_at_once(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    struct log log = log_make(fileno(file), LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    write_lines(&log, LOG_BATCH_BYTES);
    size_t total = log.pending.len;
    log_flush(&log);
    assert_int_equal(log.pending.len, 0);
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), total);
    log_close(&log);
    (void)fclose(file);
}

static void log_flush_survives_a_descriptor_that_is_gone(void **state)
{
    (void)state;
    struct ends ends = make_ends();
    (void)close(ends.out);
    struct log log = log_make(ends.out, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    LOG(&log, &moment, LOG_LEVEL_INFO, "event", LOG_INT("i", 1));
    log_flush(&log);
    log_close(&log);
    (void)close(ends.in);
}

static void log_reopen_file_moves_all_loggers_of_the_descriptor(void **state)
{
    (void)state;
    char folder[] = "/tmp/portcullis-log-XXXXXX";
    char path[64];
    char moved[64];
    char text[8192];
    int fd = -1;
    struct stat st;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    (void)snprintf(moved, sizeof(moved), "%s/log.1", folder);
    assert_int_equal(log_open_file(path, &fd), 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0);
    struct log one = log_make(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    struct log two = log_make(fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG(&one, &moment, LOG_LEVEL_INFO, "waits", LOG_INT("i", 1));
    log_move(&one, fd);
    log_flush(&one);
    assert_int_equal(rename(path, moved), 0);
    LOG(&two, &moment, LOG_LEVEL_INFO, "late", LOG_INT("i", 2)); /* the old file is still open */
    log_flush(&two);
    assert_int_equal(log_reopen_file(path, fd), 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    LOG(&one, &moment, LOG_LEVEL_INFO, "one", LOG_INT("i", 3));
    LOG(&two, &moment, LOG_LEVEL_INFO, "two", LOG_INT("i", 4));
    log_close(&one);
    log_close(&two);

    static const char *const lines[2][2] = {{"waits i=1\n", "late i=2\n"},
                                            {"one i=3\n", "two i=4\n"}};
    for (int i = 0; i < 2; i++) {
        int in = open(i == 0 ? moved : path, O_RDONLY);
        ssize_t n = read(in, text, sizeof(text) - 1);
        assert_true(n > 0);
        text[n] = '\0';
        assert_non_null(strstr(text, lines[i][0]));
        assert_true(strstr(text, lines[i][1]) > strstr(text, lines[i][0]));
        assert_null(strstr(text, lines[1 - i][0]));
        (void)close(in);
    }
    assert_int_equal(unlink(moved), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(log_reopen_file(path, fd), -EMEDIUMTYPE); /* nobody reads, and nobody waits */
    assert_int_equal(log_reopen_file(folder, fd), -EISDIR);
    assert_int_equal(log_reopen_file("/dev/null", fd), -EMEDIUMTYPE);
    assert_int_equal(log_reopen_file("/nonexistent/log", fd), -ENOENT);
    assert_int_equal(write(fd, "x", 1), 1); /* as it was */
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* A disk that is full takes a part of a line, then nothing, and later has room again. */
static void log_counts_the_lines_that_a_full_disk_did_not_take(void **state)
{
    (void)state;
    char text[8192];
    FILE *file = tmpfile();
    assert_non_null(file);
    const int fd = fileno(file);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN); /* the write then fails with EFBIG */
    struct log log = log_make(fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (int i = 0; i < 10; i++)
        LOG(&log, &moment, LOG_LEVEL_INFO, "early", LOG_INT("i", i));
    const size_t line = log.pending.len / 10;
    assert_int_equal(
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){3 * line + line / 2, before.rlim_max}), 0);
    log_flush(&log);
    assert_int_equal(log.pending.len, 0);
    assert_int_equal(log.dropped_total, 7);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    LOG(&log, &moment, LOG_LEVEL_INFO, "late", LOG_INT("i", 1));
    log_close(&log);

    const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "log_lines_lost lines=7\n"));
    assert_non_null(strstr(text, " late i=1\n"));
    assert_int_equal(text[3 * line + line / 2], '\n'); /* the one that was cut ends here */
    (void)fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_write_makes_one_line_with_escaped_values),
        cmocka_unit_test(log_lines_for_the_journal_begin_with_their_priority),
        cmocka_unit_test(log_is_journal_compares_device_and_inode),
        cmocka_unit_test(log_write_stamps_the_time_it_is_given),
        cmocka_unit_test(log_level_lets_pass_what_is_as_urgent),
        cmocka_unit_test(log_collects_lines_until_they_are_flushed),
        cmocka_unit_test(log_flush_writes_whole_lines),
        cmocka_unit_test(log_flush_writes_a_line_longer_than_one_write),
        cmocka_unit_test(log_drops_whole_lines_when_nobody_reads_and_says_so_later),
        cmocka_unit_test(log_is_due_with_a_batch_or_a_warning),
        cmocka_unit_test(log_is_due_again_with_the_next_batch_when_nobody_reads),
        cmocka_unit_test(log_flush_leaves_the_flags_of_the_descriptor_alone),
        cmocka_unit_test(log_flush_writes_a_batch_to_a_file_at_once),
        cmocka_unit_test(log_reopen_file_moves_all_loggers_of_the_descriptor),
        cmocka_unit_test(log_counts_the_lines_that_a_full_disk_did_not_take),
        cmocka_unit_test(log_flush_survives_a_descriptor_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
