/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define MORE_FDS 500 /* their listing takes several reads */
#define MORE_BYTES (32U * 1024 * 1024)

static void process_read_counts_descriptors(void **state)
{
    int fds[MORE_FDS];
    struct process_probe probe = process_probe_open();
    int64_t before = process_read(&probe).open_fds;
    (void)state;
    assert_true(before >= 5); /* the standard ones, and the probe's */
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
    assert_int_equal(process_read(&probe).open_fds, before + MORE_FDS);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
    assert_int_equal(process_read(&probe).open_fds, before);
    process_probe_close(&probe);
}

static void process_read_works_with_no_descriptor_left(void **state)
{
    struct process_probe probe = process_probe_open();
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_true(open("/dev/null", O_RDONLY | O_CLOEXEC) < 0);
    struct process_stats stats = process_read(&probe);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(stats.open_fds >= 5);
    assert_int_equal(stats.max_fds, 3);
    assert_true(stats.resident_bytes > 0);
    process_probe_close(&probe);
}

static void process_read_sees_memory_come(void **state)
{
    struct process_probe probe = process_probe_open();
    int64_t before = process_read(&probe).resident_bytes;
    char *bytes = malloc(MORE_BYTES);
    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'x', MORE_BYTES);
    int64_t after = process_read(&probe).resident_bytes;
    assert_true(after - before > (int64_t)MORE_BYTES / 2);
    free(bytes);
    process_probe_close(&probe);
}

static void process_read_sees_cpu_time_pass(void **state)
{
    struct process_probe probe = process_probe_open();
    int64_t before = process_read(&probe).cpu_us;
    (void)state;
    while (process_read(&probe).cpu_us - before < 1000)
        continue;
    process_probe_close(&probe);
}

static void process_read_without_proc_says_not_known(void **state)
{
    struct process_probe probe = {.statm_fd = -1, .fds_fd = -1};
    struct process_stats stats = process_read(&probe);
    (void)state;
    assert_int_equal(stats.resident_bytes, -1);
    assert_int_equal(stats.open_fds, -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(process_read_counts_descriptors),
        cmocka_unit_test(process_read_works_with_no_descriptor_left),
        cmocka_unit_test(process_read_sees_memory_come),
        cmocka_unit_test(process_read_sees_cpu_time_pass),
        cmocka_unit_test(process_read_without_proc_says_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
