/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "support/cmocka_all.h"

static void secret_wipe_leaves_nothing_of_the_bytes_named(void **state)
{
    (void)state;
    char bytes[] = "keepSECRETkeep";
    secret_wipe(bytes + 4, 6);
    assert_memory_equal(bytes, "keep\0\0\0\0\0\0keep", sizeof(bytes));
    secret_wipe(NULL, 0);
}

static void assert_digest(struct str bytes, const char *hex)
{
    uint8_t digest[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];
    assert_int_equal(secret_sha256(bytes, digest), 0);
    for (size_t i = 0; i < SHA256_LEN; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, hex);
}

/* FIPS 180-4, the examples of NIST. */
static void secret_sha256_gives_the_vectors_of_the_standard(void **state)
{
    (void)state;
    assert_digest(STR(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest(STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    struct buf million = buf_make(1000000);
    while (million.len < 1000000)
        (void)buf_append_char(&million, 'a');
    assert_digest(buf_str(&million),
                  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    buf_free(&million);
}

static void *digest_often(void *ctx)
{
    uint8_t *ret_digest = ctx;
    for (int i = 0; i < 1000; i++)
        (void)secret_sha256(STR("abc"), ret_digest);
    return NULL;
}

static void secret_sha256_may_be_used_by_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    uint8_t digests[ARRAY_LEN(threads)][SHA256_LEN];
    uint8_t expected[SHA256_LEN];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, digest_often, digests[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(secret_sha256(STR("abc"), expected), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_memory_equal(digests[i], expected, SHA256_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_sha256_may_be_used_by_many_threads),
        cmocka_unit_test(secret_wipe_leaves_nothing_of_the_bytes_named),
        cmocka_unit_test(secret_sha256_gives_the_vectors_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
