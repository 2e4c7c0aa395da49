/* SPDX-License-Identifier: Apache-2.0 */
#include "base/footprint.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/secret.h"
#include "support/cmocka_all.h"

#define TABLE_BYTES (1024 * 1024)

/* Constant, so it lies in a segment that cannot be written to; and data of each other kind. */
static const uint8_t table[TABLE_BYTES] = {[0] = 1, [TABLE_BYTES / 2] = 2, [TABLE_BYTES - 1] = 3};
static int changed_data = 1;
static int changed_zeros;

static unsigned sum_of_table(void)
{
    const volatile uint8_t *bytes = table;
    unsigned sum = 0;
    for (size_t i = 0; i < TABLE_BYTES; i++)
        sum += bytes[i];
    return sum;
}

static uintptr_t page_bytes(void)
{
    return (uintptr_t)sysconf(_SC_PAGESIZE);
}

/* Whether the page of AT is in this process's page table; bit 63 of its word in the page map. */
static bool is_resident(const volatile void *at)
{
    uint64_t word = 0;
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    const off_t offset = (off_t)((uintptr_t)at / page_bytes() * sizeof(word));
    assert_int_equal(pread(fd, &word, sizeof(word), offset), sizeof(word));
    assert_int_equal(close(fd), 0);
    return word >> 63 != 0;
}

static size_t settle(void)
{
    int fd = footprint_open();
    assert_true(fd >= 0);
    size_t bytes = footprint_settle(fd);
    (void)close(fd);
    return bytes;
}

static void footprint_settle_lets_go_of_what_was_only_read(void **state)
{
    (void)state;
    assert_int_equal(sum_of_table(), 6);
    assert_true(is_resident(table + TABLE_BYTES / 2));
    assert_true(settle() >= TABLE_BYTES - 2 * page_bytes());
    assert_false(is_resident(table + TABLE_BYTES / 2));
    assert_int_equal(sum_of_table(), 6);
    assert_true(is_resident(table + TABLE_BYTES / 2));
}

static void footprint_settle_leaves_data_as_it_is(void **state)
{
    (void)state;
    int on_stack = 4;
    int *on_heap = malloc(sizeof(*on_heap));
    assert_non_null(on_heap);
    changed_data = 2;
    changed_zeros = 3;
    *on_heap = 5;
    assert_true(settle() > 0);
    assert_true(is_resident(&changed_data));
    assert_int_equal(changed_data, 2);
    assert_int_equal(changed_zeros, 3);
    assert_int_equal(on_stack, 4);
    assert_int_equal(*on_heap, 5);
    free(on_heap);
}

/* What a debugger does to set a breakpoint, and a linker to relocate code: the process's copy of
 * this one page is all there is of the change. */
static void footprint_settle_keeps_a_page_that_was_written_and_protected_again(void **state)
{
    (void)state;
    const uintptr_t at = ((uintptr_t)table + TABLE_BYTES / 4) & ~(page_bytes() - 1);
    volatile uint8_t *page = (volatile uint8_t *)at;
    assert_int_equal(mprotect((void *)at, page_bytes(), PROT_READ | PROT_WRITE), 0);
    page[7] = 40;
    assert_int_equal(mprotect((void *)at, page_bytes(), PROT_READ), 0);
    assert_int_equal(sum_of_table(), 46);
    assert_true(settle() > 0);
    assert_false(is_resident(page - page_bytes()));
    assert_true(is_resident(page));
    assert_false(is_resident(page + page_bytes()));
    assert_int_equal(sum_of_table(), 46);
    assert_int_equal(mprotect((void *)at, page_bytes(), PROT_READ | PROT_WRITE), 0);
    page[7] = 0;
    assert_int_equal(mprotect((void *)at, page_bytes(), PROT_READ), 0);
}

static void *digest_until_told(void *ctx)
{
    atomic_bool *stop = ctx;
    uint8_t want[SHA256_LEN];
    uint8_t digest[SHA256_LEN];
    size_t n_wrong = secret_sha256(STR("abc"), want) < 0;
    while (!atomic_load(stop))
        n_wrong += secret_sha256(STR("abc"), digest) < 0 || memcmp(digest, want, SHA256_LEN) != 0;
    return (void *)n_wrong;
}

static void footprint_settle_does_not_disturb_other_threads(void **state)
{
    (void)state;
    atomic_bool stop = false;
    pthread_t threads[2];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, digest_until_told, &stop), 0);
    for (int i = 0; i < 50; i++)
        assert_true(settle() > 0);
    atomic_store(&stop, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *n_wrong;
        assert_int_equal(pthread_join(threads[i], &n_wrong), 0);
        assert_null(n_wrong);
    }
}

/* The first test: it has to come before anything else that uses OpenSSL. */
static void footprint_begin_leaves_out_the_texts_of_errors_and_nothing_else(void **state)
{
    (void)state;
    uint8_t digest[SHA256_LEN];
    assert_int_equal(footprint_begin(), 0);
    assert_int_equal(footprint_begin(), 0);
    assert_int_equal(secret_sha256(STR("abc"), digest), 0);
    ERR_raise(ERR_LIB_RSA, ERR_R_MALLOC_FAILURE);
    const unsigned long error = ERR_get_error();
    assert_int_equal(ERR_GET_LIB(error), ERR_LIB_RSA);
    assert_null(ERR_lib_error_string(error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(footprint_begin_leaves_out_the_texts_of_errors_and_nothing_else),
        cmocka_unit_test(footprint_settle_lets_go_of_what_was_only_read),
        cmocka_unit_test(footprint_settle_leaves_data_as_it_is),
        cmocka_unit_test(footprint_settle_keeps_a_page_that_was_written_and_protected_again),
        cmocka_unit_test(footprint_settle_does_not_disturb_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
