/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "support/cmocka_all.h"

#define MAX_FILE_BYTES (16U * 1024 * 1024)
#define CLOSE_MS 20000
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* A folder of its own, and a path in it. */
struct world {
    char folder[64];
    char path[96];
    char moved[96];
    struct audit *audit;
    struct buf content;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    (void)snprintf(w->folder, sizeof(w->folder), "/tmp/portcullis-audit-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    (void)snprintf(w->path, sizeof(w->path), "%s/audit.log", w->folder);
    (void)snprintf(w->moved, sizeof(w->moved), "%s/audit.log.1", w->folder);
    w->content = buf_make(MAX_FILE_BYTES);
    *state = w;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    w->audit = audit_close(w->audit, 0);
    (void)nftw(w->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    buf_free(&w->content);
    free(w);
    return 0;
}

static void open_log(struct world *w)
{
    assert_int_equal(audit_open(w->path, &w->audit), 0);
}

static void close_log(struct world *w)
{
    w->audit = audit_close(w->audit, CLOSE_MS);
    assert_null(w->audit);
}

static bool append(struct world *w, const char *record)
{
    return audit_append(w->audit, str_from_cstr(record));
}

/* Appends "n":FROM ... "n":TO - 1. */
static void append_numbers(struct audit *audit, unsigned from, unsigned to)
{
    char record[32];
    for (unsigned i = from; i < to; i++) {
        (void)snprintf(record, sizeof(record), "\"n\":%u", i);
        assert_true(audit_append(audit, str_from_cstr(record)));
    }
}

static struct str read_file(struct world *w, const char *path)
{
    char bytes[4096];
    FILE *file = fopen(path, "r");
    size_t n;
    assert_non_null(file);
    buf_clear(&w->content);
    while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
        assert_int_equal(buf_append(&w->content, str_make(bytes, n)), 0);
    (void)fclose(file);
    return buf_str(&w->content);
}

static void write_file(const char *path, struct str bytes)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

/* What the verifier finds in one or two files of a chain. */
static struct audit_check verify(struct world *w, const char *first, const char *second)
{
    struct audit_check check;
    struct audit_verifier verifier = audit_verifier_make();
    audit_verify_bytes(&verifier, read_file(w, first));
    audit_verify_end(&verifier, &check);
    if (second != NULL) {
        audit_verify_bytes(&verifier, read_file(w, second));
        audit_verify_end(&verifier, &check);
    }
    audit_verifier_free(&verifier);
    return check;
}

static void assert_chain(struct audit_check check, uint64_t lines, uint64_t last_seq)
{
    if (check.bad_line != 0)
        fail_msg("line %" PRIu64 ": %s", check.bad_line, check.why);
    assert_int_equal(check.lines, lines);
    assert_int_equal(check.first_seq, 1);
    assert_int_equal(check.last_seq, last_seq);
}

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* Polls until the log has written so many lines. */
static void wait_written(struct audit *audit, uint64_t lines)
{
    for (int i = 0; i < 4000 && audit_stats(audit).written < lines; i++)
        pause_ms(5);
    assert_int_equal(audit_stats(audit).written, lines);
}

static void wait_failing(struct audit *audit, bool failing)
{
    for (int i = 0; i < 4000 && audit_is_failing(audit) != failing; i++)
        pause_ms(5);
    assert_int_equal(audit_is_failing(audit), failing);
    assert_int_equal(audit_stats(audit).failing, failing);
}

static void hash_of(struct str line, char ret_hash[AUDIT_HASH_HEX_LEN + 1])
{
    uint8_t digest[SHA256_LEN];
    assert_int_equal(secret_sha256(line, digest), 0);
    for (size_t i = 0; i < SHA256_LEN; i++)
        (void)snprintf(ret_hash + 2 * i, 3, "%02x", digest[i]);
}

/* ---- lines and chain ---- */

static void audit_lines_name_the_hash_of_the_line_before(void **state)
{
    struct world *w = *state;
    char hash[AUDIT_HASH_HEX_LEN + 1];
    char head[AUDIT_HASH_HEX_LEN + 1];
    char want[256];
    uint64_t seq;
    struct str line;
    struct stat st;
    open_log(w);
    audit_head(w->audit, &seq, head);
    assert_int_equal(seq, 0);
    assert_string_equal(head, "");
    assert_true(append(w, "\"a\":1"));
    assert_true(append(w, "\"b\":{\"c\":\"}\"}"));
    wait_written(w->audit, 2);
    audit_head(w->audit, &seq, head);
    close_log(w);

    struct str rest = read_file(w, w->path);
    assert_true(str_split(&rest, '\n', &line));
    assert_true(str_eq(line, STR("{\"seq\":1,\"prev\":\"" ZEROS "\",\"a\":1}")));
    hash_of(line, hash);
    (void)snprintf(want, sizeof(want), "{\"seq\":2,\"prev\":\"%s\",\"b\":{\"c\":\"}\"}}", hash);
    assert_true(str_split(&rest, '\n', &line));
    assert_true(str_eq(line, str_from_cstr(want)));
    assert_true(str_eq(rest, STR("")));
    hash_of(line, hash);
    assert_int_equal(seq, 2);
    assert_string_equal(head, hash);
    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void audit_flushed_knows_the_hash_of_the_newest_line(void **state)
{
    struct world *w = *state;
    char head[AUDIT_HASH_HEX_LEN + 1];
    uint64_t seq;
    open_log(w);
    assert_true(audit_flush(w->audit, CLOSE_MS)); /* nothing waits */
    for (unsigned i = 0; i < 20; i++) {
        append_numbers(w->audit, 500 * i, 500 * (i + 1));
        assert_true(audit_flush(w->audit, CLOSE_MS));
        audit_head(w->audit, &seq, head);
        assert_int_equal(seq, 500 * (i + 1));
    }
    close_log(w);
    assert_string_equal(verify(w, w->path, NULL).head, head);
}

static void audit_keeps_the_order_of_one_caller(void **state)
{
    struct world *w = *state;
    char want[32];
    struct str line;
    open_log(w);
    append_numbers(w->audit, 0, 5000);
    close_log(w);
    struct str rest = read_file(w, w->path);
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(want, sizeof(want), "\",\"n\":%u}", i);
        assert_true(str_split(&rest, '\n', &line));
        assert_true(str_has_suffix(line, str_from_cstr(want)));
    }
    assert_true(str_eq(rest, STR("")));
    assert_chain(verify(w, w->path, NULL), 5000, 5000);
}

static void *append_many(void *ctx)
{
    struct audit *audit = ctx;
    append_numbers(audit, 0, 10000);
    return NULL;
}

static void audit_takes_lines_from_many_threads(void **state)
{
    struct world *w = *state;
    pthread_t threads[4];
    open_log(w);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, w->audit), 0);
    while (audit_stats(w->audit).written < 20000) {
        (void)audit_is_failing(w->audit);
        pause_ms(1);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    close_log(w);
    assert_chain(verify(w, w->path, NULL), 40000, 40000);
}

static void audit_goes_on_after_a_restart(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 4; i++) {
        open_log(w);
        if (i != 2) /* a start without a line leaves no trace */
            append_numbers(w->audit, 0, 10);
        close_log(w);
    }
    struct audit_check check = verify(w, w->path, NULL);
    assert_chain(check, 30, 30);
    assert_int_equal(check.torn, 0);
}

static void audit_knows_its_head_after_a_restart(void **state)
{
    struct world *w = *state;
    char head[AUDIT_HASH_HEX_LEN + 1];
    uint64_t seq;
    open_log(w);
    append_numbers(w->audit, 0, 10);
    close_log(w);
    open_log(w);
    audit_head(w->audit, &seq, head);
    assert_int_equal(seq, 10);
    assert_string_equal(head, verify(w, w->path, NULL).head);
}

/* Whatever is left of the last line after a crash, the next start ends it, and the chain holds. */
static void audit_goes_on_behind_a_line_cut_anywhere(void **state)
{
    struct world *w = *state;
    open_log(w);
    append_numbers(w->audit, 0, 3);
    close_log(w);
    struct str whole = read_file(w, w->path);
    size_t last = whole.len - 1;
    while (whole.ptr[last - 1] != '\n')
        last--;
    char *copy = str_to_cstr(whole);
    for (size_t len = last; len < whole.len; len++) {
        write_file(w->path, str_make(copy, len));
        open_log(w);
        append_numbers(w->audit, 3, 4);
        close_log(w);
        open_log(w); /* the torn line is not the last one any more */
        append_numbers(w->audit, 4, 5);
        close_log(w);
        struct audit_check check = verify(w, w->path, NULL);
        bool is_torn = len > last && len < whole.len - 1;
        assert_chain(check, len > last ? 5 : 4, len > last ? 5 : 4);
        assert_int_equal(check.torn, is_torn);
    }
    free(copy);
}

static void audit_goes_on_behind_any_first_line_that_was_cut(void **state)
{
    static const struct {
        struct str left;
        const char *why;
    } rows[] = {
        {STR_INIT("{"), "one byte"},
        {STR_INIT("{\"seq\":"), "before the number"},
        {STR_INIT("{\"seq\":41,\"pre"), "behind the number"},
        {STR_INIT("\0\0\0\0\0\0\0\0\0\0\0\0"), "NUL bytes, as after a power failure"},
        {STR_INIT("{\"seq\":41,\"pre\n"), "ended by a start that wrote nothing"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        write_file(w->path, rows[i].left);
        open_log(w);
        append_numbers(w->audit, 0, 2);
        close_log(w);
        struct audit_check check = verify(w, w->path, NULL);
        if (check.bad_line != 0)
            fail_msg("%s: line %" PRIu64 ": %s", rows[i].why, check.bad_line, check.why);
        assert_int_equal(check.lines, 3);
        assert_int_equal(check.torn, 1);
        assert_int_equal(check.last_seq, i == 2 || i == 4 ? 43 : 3);
    }
}

static void audit_refuses_what_is_no_audit_log(void **state)
{
    struct world *w = *state;
    struct audit *audit = NULL;
    char path[128];
    char *long_line = calloc(1, 200000);
    assert_non_null(long_line);
    memset(long_line, 'x', 199999);
    memcpy(long_line, "{\"seq\":1", 8);

    assert_int_equal(audit_open(w->folder, &audit), -EISDIR);
    (void)snprintf(path, sizeof(path), "%s/no/such/folder", w->folder);
    assert_int_equal(audit_open(path, &audit), -ENOENT);
    write_file(w->path, STR("{ \"listen\": \"127.0.0.1:80\" }\n"));
    assert_int_equal(audit_open(w->path, &audit), -EBADMSG);
    assert_true(str_eq(read_file(w, w->path), STR("{ \"listen\": \"127.0.0.1:80\" }\n")));
    write_file(w->path, str_from_cstr(long_line));
    assert_int_equal(audit_open(w->path, &audit), -EBADMSG);
    assert_null(audit);
    free(long_line);
}

static void audit_refuses_a_file_that_another_writes(void **state)
{
    struct world *w = *state;
    struct audit *audit = NULL;
    open_log(w);
    assert_int_equal(audit_open(w->path, &audit), -EBUSY);
    close_log(w);
    open_log(w);
}

static void audit_refuses_records_that_are_no_line(void **state)
{
    struct world *w = *state;
    char *record = calloc(1, AUDIT_MAX_RECORD_BYTES + 2);
    assert_non_null(record);
    memset(record, 'x', AUDIT_MAX_RECORD_BYTES + 1);
    memcpy(record, "\"x\":\"", 5);
    open_log(w);
    assert_false(append(w, ""));
    assert_false(append(w, "\"a\":1\n"));
    assert_false(audit_append(w->audit, str_make(record, AUDIT_MAX_RECORD_BYTES + 1)));
    assert_int_equal(audit_stats(w->audit).lost, 3);
    assert_false(audit_is_failing(w->audit));
    record[AUDIT_MAX_RECORD_BYTES - 1] = '"';
    assert_true(audit_append(w->audit, str_make(record, AUDIT_MAX_RECORD_BYTES)));
    close_log(w);
    struct audit_check check = verify(w, w->path, NULL);
    assert_chain(check, 1, 1);
    assert_int_equal(check.lost, 3);
    free(record);
}

/* ---- failures ---- */

static void audit_on_a_full_device_fails_and_keeps_the_lines(void **state)
{
    struct world *w = *state;
    (void)snprintf(w->path, sizeof(w->path), "/dev/full");
    open_log(w);
    assert_false(audit_is_failing(w->audit));
    append_numbers(w->audit, 0, 10);
    wait_failing(w->audit, true);
    struct audit_stats stats = audit_stats(w->audit);
    assert_int_equal(stats.written, 0);
    assert_true(stats.failures > 0);
    assert_int_equal(stats.fault, -ENOSPC);
    int64_t before_us = clock_read().mono_us;
    assert_false(audit_flush(w->audit, CLOSE_MS));
    close_log(w); /* gives up at once */
    assert_true(clock_read().mono_us - before_us < 1000000);
}

/* RLIMIT_FSIZE is a disk that is full at any byte we like. */
static void set_disk_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void audit_goes_on_when_there_is_room_again(void **state)
{
    struct world *w = *state;
    open_log(w);
    append_numbers(w->audit, 0, 1);
    wait_written(w->audit, 1);
    set_disk_size(150); /* in the middle of the second line */
    append_numbers(w->audit, 1, 3);
    wait_failing(w->audit, true);
    assert_int_equal(audit_stats(w->audit).written, 1);
    assert_int_equal(audit_stats(w->audit).fault, -EFBIG);
    assert_int_equal(read_file(w, w->path).len, 150);
    append_numbers(w->audit, 3, 5);
    set_disk_size(RLIM_INFINITY);
    wait_failing(w->audit, false);
    wait_written(w->audit, 5);
    close_log(w);
    struct audit_check check = verify(w, w->path, NULL);
    assert_chain(check, 5, 5);
    assert_int_equal(check.torn, 0);
    assert_int_equal(check.lost, 0);
}

/* Every place at which the disk can be full when the log is rotated. */
static void audit_leaves_a_full_disk_for_another_file(void **state)
{
    struct world *w = *state;
    open_log(w);
    append_numbers(w->audit, 0, 1);
    close_log(w);
    size_t line_len = read_file(w, w->path).len;
    static const int cuts[] = {0, 1, 7, 8, 9, 40, -2, -1};
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        size_t cut = cuts[i] >= 0 ? (size_t)cuts[i] : line_len - (size_t)-cuts[i];
        bool is_torn = cuts[i] > 0 || cuts[i] == -2;
        (void)unlink(w->path);
        open_log(w);
        append_numbers(w->audit, 0, 1);
        wait_written(w->audit, 1);
        set_disk_size((rlim_t)(line_len + cut));
        append_numbers(w->audit, 1, 3);
        wait_failing(w->audit, true);
        assert_int_equal(read_file(w, w->path).len, line_len + cut);
        assert_int_equal(rename(w->path, w->moved), 0);
        set_disk_size(RLIM_INFINITY);
        audit_reopen(w->audit);
        wait_written(w->audit, 3);
        assert_false(audit_is_failing(w->audit));
        close_log(w);
        struct audit_check check = verify(w, w->moved, w->path);
        assert_chain(check, is_torn ? 4 : 3, is_torn ? 4 : 3);
        assert_int_equal(check.torn, is_torn);
    }
}

/* ---- pipes ---- */

static void make_fifo(struct world *w)
{
    assert_int_equal(mkfifo(w->path, 0600), 0);
}

static int open_reader(struct world *w)
{
    int fd = open(w->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void audit_waits_for_the_reader_of_a_fifo(void **state)
{
    struct world *w = *state;
    char bytes[512];
    make_fifo(w);
    open_log(w);
    assert_true(audit_is_failing(w->audit));
    assert_int_equal(audit_stats(w->audit).fault, -ENXIO);
    int fd = open_reader(w);
    wait_failing(w->audit,
                 false); /* without a record: who refuses calls while it fails sends none */
    assert_true(append(w, "\"a\":1"));
    wait_written(w->audit, 1);
    assert_true(read(fd, bytes, sizeof(bytes)) > 80);

    /* The reader leaves, and comes back. */
    (void)close(fd);
    assert_true(append(w, "\"b\":1"));
    wait_failing(w->audit, true);
    assert_int_equal(audit_stats(w->audit).fault, -EPIPE);
    fd = open_reader(w);
    wait_failing(w->audit, false);
    wait_written(w->audit, 2);
    (void)close(fd);
}

static void audit_of_a_fifo_without_reader_closes_at_once(void **state)
{
    struct world *w = *state;
    make_fifo(w);
    open_log(w);
    assert_true(append(w, "\"a\":1"));
    int64_t before_us = clock_read().mono_us;
    close_log(w);
    assert_true(clock_read().mono_us - before_us < 1000000);
}

/* A reader that was stopped: the queue fills, records are lost and counted, nothing ever waits, and
 * what is behind the gap says how large it was. */
static void audit_behind_a_stopped_reader_loses_and_counts(void **state)
{
    static char record[1024];
    struct world *w = *state;
    struct audit_check check;
    unsigned queued = 0;
    unsigned lost = 0;
    make_fifo(w);
    int fd = open_reader(w);
    open_log(w);
    (void)snprintf(record, sizeof(record), "\"x\":\"%01000d\"", 0);
    while (lost < 100) {
        if (append(w, record))
            queued++;
        else
            lost++;
    }
    assert_true(audit_is_failing(w->audit));
    assert_true((uint64_t)queued * sizeof(record) < AUDIT_QUEUE_BYTES + 200000);
    assert_true((uint64_t)queued * sizeof(record) > AUDIT_QUEUE_BYTES * 9ULL / 10);
    assert_int_equal(audit_stats(w->audit).lost, lost);

    /* The reader goes on. */
    struct audit_verifier verifier = audit_verifier_make();
    static char bytes[65536];
    uint64_t lines = 0;
    bool asked = false;
    for (int i = 0; i < 100000 && lines < queued + 1; i++) {
        ssize_t n = read(fd, bytes, sizeof(bytes));
        if (n <= 0) {
            pause_ms(1);
            continue;
        }
        audit_verify_bytes(&verifier, str_make(bytes, (size_t)n));
        lines = verifier.check.lines;
        if (!asked && lines > queued / 2) {
            wait_failing(w->audit, false);
            asked = true;
            assert_true(append(w, "\"behind\":\"the gap\""));
        }
    }
    audit_verify_end(&verifier, &check);
    audit_verifier_free(&verifier);
    assert_chain(check, queued + 1, queued + 1);
    assert_int_equal(check.lost, lost);
    assert_int_equal(check.torn, 0);
    (void)close(fd);
}

static void audit_behind_a_stopped_reader_closes_in_time(void **state)
{
    static char record[1024];
    struct world *w = *state;
    make_fifo(w);
    int fd = open_reader(w);
    open_log(w);
    (void)snprintf(record, sizeof(record), "\"x\":\"%01000d\"", 0);
    for (int i = 0; i < 200; i++)
        assert_true(append(w, record));
    wait_failing(w->audit, true); /* within a second or so, long before the queue is full */
    assert_int_equal(audit_stats(w->audit).fault, -EAGAIN);
    int64_t before_us = clock_read().mono_us;
    assert_false(audit_flush(w->audit, 100));
    w->audit = audit_close(w->audit, 300);
    int64_t took_us = clock_read().mono_us - before_us;
    assert_true(took_us >= 300000 && took_us < 2000000);
    (void)close(fd);
}

static void audit_says_at_its_end_what_was_lost_last(void **state)
{
    struct world *w = *state;
    open_log(w);
    append_numbers(w->audit, 0, 1);
    assert_false(append(w, ""));
    assert_false(append(w, ""));
    close_log(w);
    struct audit_check check = verify(w, w->path, NULL);
    assert_chain(check, 2, 2);
    assert_int_equal(check.lost, 2);
    open_log(w);
    append_numbers(w->audit, 0, 1);
    close_log(w);
    assert_chain(verify(w, w->path, NULL), 3, 3);
}

/* ---- reopening ---- */

static void audit_goes_on_in_a_new_file_after_rotation(void **state)
{
    struct world *w = *state;
    open_log(w);
    append_numbers(w->audit, 0, 10);
    wait_written(w->audit, 10);
    assert_int_equal(rename(w->path, w->moved), 0);
    append_numbers(w->audit, 10, 12); /* nobody said so yet: still the old one */
    wait_written(w->audit, 12);
    audit_reopen(w->audit);
    for (int i = 0; i < 4000 && access(w->path, F_OK) != 0; i++)
        pause_ms(5);
    append_numbers(w->audit, 12, 20);
    close_log(w);
    assert_int_equal(verify(w, w->moved, NULL).last_seq, 12);
    assert_chain(verify(w, w->moved, w->path), 20, 20);
}

static void audit_reopened_without_rotation_stays(void **state)
{
    struct world *w = *state;
    open_log(w);
    for (unsigned i = 0; i < 20; i++) {
        append_numbers(w->audit, i, i + 1);
        audit_reopen(w->audit);
    }
    close_log(w);
    assert_chain(verify(w, w->path, NULL), 20, 20);
}

/* The folder lets nobody make the new file: lines go to the old one until it does. */
static void audit_that_cannot_be_reopened_writes_the_old_file(void **state)
{
    struct world *w = *state;
    open_log(w);
    append_numbers(w->audit, 0, 1);
    wait_written(w->audit, 1);
    assert_int_equal(rename(w->path, w->moved), 0);
    assert_int_equal(mkdir(w->path, 0700), 0);
    audit_reopen(w->audit);
    for (int i = 0; i < 4000 && audit_stats(w->audit).failures == 0; i++)
        pause_ms(5);
    append_numbers(w->audit, 1, 2);
    wait_written(w->audit, 2);
    assert_false(audit_is_failing(w->audit));
    assert_int_equal(audit_stats(w->audit).fault, -EISDIR);
    for (unsigned i = 2; i < 12; i++) { /* lines do not make it try more often than once a second */
        append_numbers(w->audit, i, i + 1);
        wait_written(w->audit, i + 1);
    }
    assert_true(audit_stats(w->audit).failures < 5);
    assert_int_equal(rmdir(w->path), 0);
    for (int i = 0; i < 4000 && access(w->path, F_OK) != 0; i++)
        pause_ms(5);
    append_numbers(w->audit, 12, 13);
    close_log(w);
    assert_chain(verify(w, w->moved, w->path), 13, 13);
    assert_int_equal(verify(w, w->moved, NULL).lines, 12);
}

/* The new path holds lines already, the last one cut off. */
static void audit_ends_the_last_line_of_a_file_it_goes_on_in(void **state)
{
    struct world *w = *state;
    open_log(w);
    append_numbers(w->audit, 0, 1);
    wait_written(w->audit, 1);
    assert_int_equal(rename(w->path, w->moved), 0);
    write_file(w->path, STR("{\"seq\":1,\"pr"));
    audit_reopen(w->audit);
    pause_ms(50);
    append_numbers(w->audit, 1, 2);
    close_log(w);
    struct str content = read_file(w, w->path);
    assert_true(str_has_prefix(content, STR("{\"seq\":1,\"pr\n{\"seq\":2,")));
}

/* ---- the process ---- */

static void audit_to_standard_output(void **state)
{
    struct world *w = *state;
    int saved = dup(STDOUT_FILENO);
    (void)fflush(stdout);
    int fd = open(w->path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(dup2(fd, STDOUT_FILENO) >= 0);
    struct audit *audit = NULL;
    int r = audit_open("-", &audit);
    if (r == 0) {
        append_numbers(audit, 0, 3);
        audit_reopen(audit);
        append_numbers(audit, 3, 5);
        (void)audit_close(audit, CLOSE_MS);
    }
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    (void)close(saved);
    (void)close(fd);
    assert_int_equal(r, 0);
    assert_chain(verify(w, w->path, NULL), 5, 5);
}

/* Were it the thread's to take, the signal would end the process. */
static void audit_thread_takes_no_signals(void **state)
{
    struct world *w = *state;
    const struct timespec no_wait = {0};
    sigset_t usr1;
    sigset_t before;
    open_log(w);
    (void)sigemptyset(&usr1);
    (void)sigaddset(&usr1, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &usr1, &before), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    pause_ms(20);
    assert_int_equal(sigtimedwait(&usr1, NULL, &no_wait), SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static void audit_makes_and_frees_nothing_from_nothing(void **state)
{
    (void)state;
    assert_null(audit_close(NULL, 0));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(audit_lines_name_the_hash_of_the_line_before),
        TEST(audit_flushed_knows_the_hash_of_the_newest_line),
        TEST(audit_keeps_the_order_of_one_caller),
        TEST(audit_takes_lines_from_many_threads),
        TEST(audit_goes_on_after_a_restart),
        TEST(audit_knows_its_head_after_a_restart),
        TEST(audit_goes_on_behind_a_line_cut_anywhere),
        TEST(audit_goes_on_behind_any_first_line_that_was_cut),
        TEST(audit_refuses_what_is_no_audit_log),
        TEST(audit_refuses_a_file_that_another_writes),
        TEST(audit_refuses_records_that_are_no_line),
        TEST(audit_on_a_full_device_fails_and_keeps_the_lines),
        TEST(audit_goes_on_when_there_is_room_again),
        TEST(audit_leaves_a_full_disk_for_another_file),
        TEST(audit_waits_for_the_reader_of_a_fifo),
        TEST(audit_of_a_fifo_without_reader_closes_at_once),
        TEST(audit_behind_a_stopped_reader_loses_and_counts),
        TEST(audit_behind_a_stopped_reader_closes_in_time),
        TEST(audit_says_at_its_end_what_was_lost_last),
        TEST(audit_goes_on_in_a_new_file_after_rotation),
        TEST(audit_reopened_without_rotation_stays),
        TEST(audit_that_cannot_be_reopened_writes_the_old_file),
        TEST(audit_ends_the_last_line_of_a_file_it_goes_on_in),
        TEST(audit_to_standard_output),
        TEST(audit_thread_takes_no_signals),
        TEST(audit_makes_and_frees_nothing_from_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
