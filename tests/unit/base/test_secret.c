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

static void assert_hex(const uint8_t digest[SHA256_LEN], const char *hex)
{
    char text[2 * SHA256_LEN + 1];
    for (size_t i = 0; i < SHA256_LEN; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, hex);
}

static void assert_digest(struct str bytes, const char *hex)
{
    uint8_t digest[SHA256_LEN];
    struct hasher *hasher = hasher_make();
    assert_non_null(hasher);
    assert_int_equal(secret_sha256(bytes, digest), 0);
    assert_hex(digest, hex);
    for (int i = 0; i < 3; i++) { /* nothing of one stays for the next */
        memset(digest, 0, sizeof(digest));
        assert_int_equal(hasher_sha256(hasher, bytes, digest), 0);
        assert_hex(digest, hex);
    }
    assert_null(hasher_free(hasher));
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

static void secret_eq_compares_every_byte(void **state)
{
    (void)state;
    uint8_t a[32];
    uint8_t b[32];
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = b[i] = (uint8_t)i;
    assert_true(secret_eq(a, b, sizeof(a)));
    for (size_t bit = 0; bit < 8 * sizeof(a); bit++) {
        b[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(secret_eq(a, b, sizeof(a)));
        b[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    b[31] = 0xff;
    assert_true(secret_eq(a, b, 31)); /* no byte past the length */
    assert_true(secret_eq(a, b, 0));
}

/* COUNT bytes BYTE in MEMORY. */
static struct str repeat(char *memory, int byte, size_t count)
{
    memset(memory, byte, count);
    return str_make(memory, count);
}

/* RFC 4231 4.2 to 4.8; of case 5 the standard has the first half only. */
static void secret_hmac_gives_the_vectors_of_the_standard(void **state)
{
    (void)state;
    char key[131];
    char data[50];
    uint8_t mac[SHA256_LEN];
    assert_int_equal(secret_hmac(repeat(key, 0x0b, 20), STR("Hi There"), mac), 0);
    assert_hex(mac, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(secret_hmac(STR("Jefe"), STR("what do ya want for nothing?"), mac), 0);
    assert_hex(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(secret_hmac(repeat(key, 0xaa, 20), repeat(data, 0xdd, 50), mac), 0);
    assert_hex(mac, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    for (int i = 0; i < 25; i++)
        key[i] = (char)(i + 1);
    assert_int_equal(secret_hmac(str_make(key, 25), repeat(data, 0xcd, 50), mac), 0);
    assert_hex(mac, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    assert_int_equal(secret_hmac(repeat(key, 0x0c, 20), STR("Test With Truncation"), mac), 0);
    assert_memory_equal(mac, "\xa3\xb6\x16\x74\x73\x10\x0e\xe0\x6e\x0c\x79\x6c\x29\x55\x55\x2b",
                        16);
    assert_int_equal(secret_hmac(repeat(key, 0xaa, 131),
                                 STR("Test Using Larger Than Block-Size Key - Hash Key First"),
                                 mac),
                     0);
    assert_hex(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_int_equal(secret_hmac(repeat(key, 0xaa, 131),
                                 STR("This is a test using a larger than block-size key and a "
                                     "larger than block-size data. The key needs to be hashed "
                                     "before being used by the HMAC algorithm."),
                                 mac),
                     0);
    assert_hex(mac, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

static void secret_hmac_parts_is_the_hmac_of_lengths_and_parts(void **state)
{
    (void)state;
    const struct str parts[] = {STR_INIT("ab"), STR_INIT(""), {0}, STR_INIT("c")};
    uint8_t mac[SHA256_LEN];
    uint8_t expected[SHA256_LEN];
    assert_int_equal(secret_hmac_parts(STR("key"), parts, ARRAY_LEN(parts), mac), 0);
    assert_int_equal(secret_hmac(STR("key"),
                                 STR("\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                     "\0\0\0\0\0\0\0\1c"),
                                 expected),
                     0);
    assert_memory_equal(mac, expected, sizeof(mac));
    assert_int_equal(secret_hmac_parts(STR("key"), NULL, 0, mac), 0);
    assert_int_equal(secret_hmac(STR("key"), STR(""), expected), 0);
    assert_memory_equal(mac, expected, sizeof(mac));
}

static void secret_hmac_parts_tells_lists_apart(void **state)
{
    (void)state;
    static const struct {
        struct str parts[3];
        size_t n;
    } lists[] = {
        {{STR_INIT("ab"), STR_INIT("c")}, 2},
        {{STR_INIT("a"), STR_INIT("bc")}, 2},
        {{STR_INIT("abc"), STR_INIT("")}, 2},
        {{STR_INIT(""), STR_INIT("abc")}, 2},
        {{STR_INIT("abc")}, 1},
        {{STR_INIT("abc"), STR_INIT(""), STR_INIT("")}, 3},
        {{STR_INIT("a"), STR_INIT("b"), STR_INIT("c")}, 3},
        {{STR_INIT("a\0\0\0\0\0\0\0\1b"), STR_INIT("c")}, 2},
    };
    uint8_t macs[ARRAY_LEN(lists)][SHA256_LEN];
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        assert_int_equal(secret_hmac_parts(STR("k"), lists[i].parts, lists[i].n, macs[i]), 0);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(macs[i], macs[j], SHA256_LEN);
    }
}

struct mac_job {
    char key; /* each thread has a key of its own: a shared context would mix them up */
    bool good;
};

static void *mac_often(void *ctx)
{
    struct mac_job *job = ctx;
    const struct str key = str_make(&job->key, 1);
    uint8_t first[SHA256_LEN];
    uint8_t mac[SHA256_LEN];
    job->good = secret_hmac(key, STR("abc"), first) == 0;
    for (int i = 0; i < 1000; i++)
        job->good = job->good && secret_hmac(key, STR("abc"), mac) == 0 &&
                    memcmp(mac, first, sizeof(mac)) == 0;
    return NULL;
}

static void secret_hmac_may_be_used_by_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct mac_job jobs[ARRAY_LEN(threads)];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        jobs[i] = (struct mac_job){.key = (char)('a' + i)};
        assert_int_equal(pthread_create(&threads[i], NULL, mac_often, &jobs[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(jobs[i].good);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_hmac_may_be_used_by_many_threads),
        cmocka_unit_test(secret_hmac_gives_the_vectors_of_the_standard),
        cmocka_unit_test(secret_hmac_parts_is_the_hmac_of_lengths_and_parts),
        cmocka_unit_test(secret_hmac_parts_tells_lists_apart),
        cmocka_unit_test(secret_eq_compares_every_byte),
        cmocka_unit_test(secret_sha256_may_be_used_by_many_threads),
        cmocka_unit_test(secret_wipe_leaves_nothing_of_the_bytes_named),
        cmocka_unit_test(secret_sha256_gives_the_vectors_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
