/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/sources_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"

static void sources_read_a_cgroup_quota_rounded_up(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned cpus;
    } rows[] = {
        {"100000 100000\n", 1},
        {"150000 100000\n", 2},
        {"50000 100000", 1},
        {"1 100000\n", 1},
        {"800000 100000\n", 8},
        {"max 100000\n", CONFIG_MAX_WORKERS},
        {"9223372036854775807 1\n", CONFIG_MAX_WORKERS},
        {"100000 0\n", CONFIG_MAX_WORKERS},
        {"", CONFIG_MAX_WORKERS},
        {"100000\n", CONFIG_MAX_WORKERS},
        {"x y\n", CONFIG_MAX_WORKERS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(sources_cpus_of_quota(str_from_cstr(rows[i].text)), rows[i].cpus);
}

static void sources_of_the_system_count_at_least_one_cpu(void **state)
{
    (void)state;
    struct config_sources sources = config_sources_system();
    assert_true(sources.cpus >= 1 && sources.cpus <= CONFIG_MAX_WORKERS);
    assert_non_null(sources.env(sources.ctx, "PATH"));
    assert_null(sources.env(sources.ctx, "PORTCULLIS_NO_SUCH_VARIABLE"));
}

static void write_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(fputc('x', file), 'x');
    assert_int_equal(fclose(file), 0);
}

static void sources_read_regular_files_up_to_the_limit_only(void **state)
{
    (void)state;
    char folder[] = "/tmp/portcullis-test-XXXXXX";
    char file[64];
    char fifo[64];
    CLEANUP(buf_free) struct buf out = buf_make(8192);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(file, sizeof(file), "%s/file", folder);
    (void)snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    write_file(file, 100);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(sources_read_file(NULL, file, 100, &out), 0);
    assert_int_equal(out.len, 100);
    assert_int_equal(sources_read_file(NULL, file, 99, &out), -EFBIG);
    assert_int_equal(sources_read_file(NULL, fifo, 100, &out), -EMEDIUMTYPE);
    assert_int_equal(sources_read_file(NULL, folder, 100, &out), -EMEDIUMTYPE);
    assert_int_equal(sources_read_file(NULL, "/nonexistent", 100, &out), -ENOENT);
    buf_clear(&out);
    /* Says that it is empty, and is not. */
    assert_int_equal(sources_read_file(NULL, "/proc/self/status", 4096, &out), 0);
    assert_true(out.len > 0);
    assert_int_equal(unlink(file) | unlink(fifo) | rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_read_a_cgroup_quota_rounded_up),
        cmocka_unit_test(sources_of_the_system_count_at_least_one_cpu),
        cmocka_unit_test(sources_read_regular_files_up_to_the_limit_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
