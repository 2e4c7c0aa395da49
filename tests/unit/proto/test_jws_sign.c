/* SPDX-License-Identifier: Apache-2.0 */
/* The promise: what is signed verifies under the key that is published, by code that shares nothing
 * with libjwt; only an RSA private key of a size we would accept from others signs; and the key is
 * nowhere when its signer is gone. */
#include "proto/jws_sign.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <pthread.h>

#include "base/err.h"
#include "base/secret.h"
#include "proto/jws.h"
#include "support/cmocka_all.h"
#include "support/mint.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const struct str rs256[] = {STR_INIT("RS256")};

/* KEY as PEM behind the content of OUT, encrypted when there is a PASSPHRASE. */
static void append_pem(struct buf *out, EVP_PKEY *key, bool traditional, const char *passphrase)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_128_cbc() : NULL;
    const int len = passphrase != NULL ? (int)strlen(passphrase) : 0;
    const unsigned char *bytes = (const unsigned char *)passphrase;
    assert_int_equal(
        traditional ? PEM_write_bio_PrivateKey_traditional(bio, key, cipher, bytes, len, NULL, NULL)
                    : PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, passphrase, len, NULL, NULL),
        1);
    const long size = BIO_get_mem_data(bio, &text);
    (void)buf_append(out, str_make(text, (size_t)size));
    BIO_free(bio);
}

static void append_public_pem(struct buf *out, EVP_PKEY *key)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    const long size = BIO_get_mem_data(bio, &text);
    (void)buf_append(out, str_make(text, (size_t)size));
    BIO_free(bio);
}

/* A key of BITS from several primes, which are found much faster than two large ones. */
static EVP_PKEY *make_rsa(const char *type, size_t bits, size_t primes, uint32_t exponent)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits),
        OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_PRIMES, &primes),
        OSSL_PARAM_construct_uint32(OSSL_PKEY_PARAM_RSA_E, &exponent),
        OSSL_PARAM_construct_end(),
    };
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_params(ctx, params), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* The public numbers of one key with the private ones of another. */
static EVP_PKEY *make_mixed(const EVP_PKEY *public_half, const EVP_PKEY *private_half)
{
    static const char *const names[] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    EVP_PKEY *key = NULL;
    BIGNUM *numbers[ARRAY_LEN(names)] = {NULL};
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const EVP_PKEY *half = i < 2 ? public_half : private_half;
        assert_int_equal(EVP_PKEY_get_bn_param(half, names[i], &numbers[i]), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, names[i], numbers[i]), 1);
    }
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        BN_free(numbers[i]);
    return key;
}

static struct jws_signer *signer_of(EVP_PKEY *key)
{
    struct jws_signer *signer = NULL;
    const char *why = NULL;
    struct buf pem = buf_make(MINT_MAX_BYTES);
    append_pem(&pem, key, false, NULL);
    assert_int_equal(jws_signer_new(buf_str(&pem), &signer, &why), 0);
    buf_free(&pem);
    return signer;
}

/* The public key as the rest of the world makes it from what is published. */
static struct jwk published(const struct jws_signer *signer)
{
    const struct json_limits limits = {8192, 4};
    struct jwk key;
    json_t *object = NULL;
    assert_int_equal(json_parse(jws_signer_jwk(signer), limits, &object, NULL), JSON_RC_OK);
    assert_int_equal(jwk_parse(object, rs256, 1, &key), JWK_OK);
    json_decref(object);
    return key;
}

static bool verifies(struct str token, const struct jwk *key)
{
    struct jws_verifier *verifier = jws_verifier_make();
    struct jws_parts parts;
    assert_int_equal(jws_split(token, &parts), JWS_OK);
    const bool good = jws_verify(verifier, &parts, JWS_RS256, key) == JWS_OK;
    (void)jws_verifier_free(verifier);
    return good;
}

static json_t *decode(struct str segment)
{
    const struct json_limits limits = {MINT_MAX_BYTES, 64};
    struct buf text = buf_make(MINT_MAX_BYTES);
    json_t *json = NULL;
    assert_int_equal(base64url_decode_append(segment, &text), 0);
    assert_int_equal(json_parse(buf_str(&text), limits, &json, NULL), JSON_RC_OK);
    buf_free(&text);
    return json;
}

static void jws_sign_makes_what_the_published_key_verifies(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{}",
        "{\"sub\":\"auth0|64f\",\"exp\":1800003600}",
        "{\"a\":{\"b\":[1,-2,true,false,null,\"x\"]},\"c\":9007199254740993,\"d\":0.5}",
        "{\"q\":\"\\\"\\\\\\u0001\\n/\",\"u\":\"\\u00e9\\u20ac\\ud83d\\ude00\",\"\":\"\"}",
        "{\"https://example.com/org\":\"x\"}",
    };
    EVP_PKEY *key = mint_load_key("signer");
    EVP_PKEY *attacker = mint_load_key("attacker");
    struct jws_signer *signer = signer_of(key);
    struct jws_signer *foreign = signer_of(attacker);
    struct jwk ours = published(signer);
    struct jwk theirs = published(foreign);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = buf_make(MINT_MAX_BYTES);
        struct jws_parts parts;
        json_t *claims = json_loads(rows[i], 0, NULL);
        assert_non_null(claims);
        assert_int_equal(jws_sign(signer, claims, &out), 0);
        assert_true(verifies(buf_str(&out), &ours));
        assert_false(verifies(buf_str(&out), &theirs));
        assert_int_equal(jws_split(buf_str(&out), &parts), JWS_OK);
        json_t *said = decode(parts.payload);
        assert_true(json_equal(said, claims));
        json_decref(said);
        json_decref(claims);
        buf_free(&out);
    }
    jwk_clear(&ours);
    jwk_clear(&theirs);
    jws_signer_free(signer);
    jws_signer_free(foreign);
    EVP_PKEY_free(key);
    EVP_PKEY_free(attacker);
}

static void jws_sign_names_algorithm_type_and_key_and_nothing_else(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    struct jws_signer *signer = signer_of(key);
    struct buf out = buf_make(MINT_MAX_BYTES);
    struct jws_parts parts;
    json_t *claims = json_object();
    assert_int_equal(jws_sign(signer, claims, &out), 0);
    assert_int_equal(jws_split(buf_str(&out), &parts), JWS_OK);
    json_t *header = decode(parts.header);
    json_t *expected = json_pack("{s:s, s:s, s:s%}", "alg", "RS256", "typ", "JWT", "kid",
                                 jws_signer_kid(signer).ptr, jws_signer_kid(signer).len);
    assert_true(json_equal(header, expected));
    json_decref(expected);
    json_decref(header);
    json_decref(claims);
    buf_free(&out);
    jws_signer_free(signer);
    EVP_PKEY_free(key);
}

static void jws_signer_publishes_the_public_half_only(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    struct jws_signer *signer = signer_of(key);
    struct buf expected = buf_make(MINT_MAX_BYTES);
    char kid[64];
    (void)snprintf(kid, sizeof(kid), "%.*s", STR_ARG(jws_signer_kid(signer)));
    mint_append_jwk(&expected, key, kid, ",\"use\":\"sig\",\"alg\":\"RS256\"");
    json_t *said = json_loadb(jws_signer_jwk(signer).ptr, jws_signer_jwk(signer).len, 0, NULL);
    json_t *meant = json_loadb(expected.ptr, expected.len, 0, NULL);
    assert_non_null(said);
    assert_true(json_equal(said, meant));
    json_decref(said);
    json_decref(meant);
    buf_free(&expected);
    jws_signer_free(signer);
    EVP_PKEY_free(key);
}

/* RFC 7638, of the numbers alone: the same in every run and on every replica. */
static void jws_signer_kid_is_the_thumbprint(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    struct jws_signer *signer = signer_of(key);
    struct buf text = buf_make(MINT_MAX_BYTES);
    struct buf expected = buf_make(MINT_MAX_BYTES);
    uint8_t digest[SHA256_LEN];
    (void)buf_append_cstr(&text, "{\"e\":\"");
    mint_append_number(&text, key, OSSL_PKEY_PARAM_RSA_E);
    (void)buf_append_cstr(&text, "\",\"kty\":\"RSA\",\"n\":\"");
    mint_append_number(&text, key, OSSL_PKEY_PARAM_RSA_N);
    (void)buf_append_cstr(&text, "\"}");
    assert_int_equal(secret_sha256(buf_str(&text), digest), 0);
    (void)base64url_encode_append(str_make((const char *)digest, sizeof(digest)), &expected);
    assert_true(str_eq(jws_signer_kid(signer), buf_str(&expected)));
    buf_free(&text);
    buf_free(&expected);
    jws_signer_free(signer);
    EVP_PKEY_free(key);
}

static void jws_signer_takes_a_key_in_every_usual_text(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    EVP_PKEY *other = mint_load_key("next");
    struct jws_signer *plain = signer_of(key);
    struct buf texts[6];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        texts[i] = buf_make(MINT_MAX_BYTES);
    append_pem(&texts[0], key, true, NULL); /* PKCS #1 */
    (void)buf_append_cstr(&texts[1], "Bag Attributes\n  friendlyName: x\n");
    append_pem(&texts[1], key, false, NULL);
    append_pem(&texts[2], key, false, NULL);
    (void)buf_append_cstr(&texts[2], "and then something\n");
    append_pem(&texts[3], key, false, NULL); /* without its last line end, as $file() gives it */
    texts[3].len--;
    append_public_pem(&texts[4], key);
    append_pem(&texts[4], key, false, NULL);
    append_pem(&texts[5], key, false, NULL);
    append_pem(&texts[5], other, false, NULL); /* the first one counts */
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct jws_signer *signer = NULL;
        const char *why = "";
        assert_int_equal(jws_signer_new(buf_str(&texts[i]), &signer, &why), 0);
        assert_true(str_eq(jws_signer_kid(signer), jws_signer_kid(plain)));
        jws_signer_free(signer);
        buf_free(&texts[i]);
    }
    jws_signer_free(plain);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

/* PEM is freed. */
static void assert_refused(struct buf *pem, const char *expected)
{
    struct jws_signer *signer = NULL;
    const char *why = NULL;
    assert_int_equal(jws_signer_new(buf_str(pem), &signer, &why), -EINVAL);
    assert_null(signer);
    assert_non_null(why);
    if (strstr(why, expected) == NULL)
        fail_msg("\"%s\" instead of \"%s\"", why, expected);
    buf_free(pem);
}

static void assert_key_refused(EVP_PKEY *key, const char *expected)
{
    struct buf pem = buf_make(MINT_MAX_BYTES);
    append_pem(&pem, key, false, NULL);
    EVP_PKEY_free(key);
    assert_refused(&pem, expected);
}

static void jws_signer_refuses_what_is_no_private_key(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"", "is empty"},
        {"secret", "is no private key in PEM form"},
        {"/etc/portcullis/key.pem", "is no private key in PEM form"},
        {"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "is no private key"},
        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is no private key"},
        {"-----BEGIN PRIVATE KEY-----\n", "is no private key"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text = buf_make(MINT_MAX_BYTES);
        (void)buf_append_cstr(&text, rows[i].text);
        assert_refused(&text, rows[i].why);
    }
    EVP_PKEY *key = mint_load_key("signer");
    struct buf text = buf_make(MINT_MAX_BYTES);
    append_public_pem(&text, key);
    assert_refused(&text, "is a public key");
    append_pem(&text, key, false, NULL);
    text.len /= 2;
    assert_refused(&text, "is no private key in PEM form");
    EVP_PKEY_free(key);
}

static void jws_signer_never_asks_for_a_passphrase(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    struct buf text = buf_make(MINT_MAX_BYTES);
    append_pem(&text, key, false, "passphrase");
    assert_refused(&text, "is encrypted");
    append_pem(&text, key, true, "passphrase");
    assert_refused(&text, "is encrypted");
    EVP_PKEY_free(key);
}

static void jws_signer_refuses_keys_of_other_kinds(void **state)
{
    (void)state;
    assert_key_refused(EVP_EC_gen("P-256"), "is not an RSA key");
    assert_key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "is not an RSA key");
    assert_key_refused(make_rsa("RSA-PSS", 2048, 2, 65537), "is not an RSA key");
    assert_key_refused(make_rsa("RSA", 2048, 2, 3), "exponent");
}

static void jws_signer_has_a_least_and_a_largest_size(void **state)
{
    (void)state;
    EVP_PKEY *least = make_rsa("RSA", 2048, 2, 65537);
    EVP_PKEY *largest = make_rsa("RSA", 8192, 5, 65537);
    jws_signer_free(signer_of(least));
    jws_signer_free(signer_of(largest));
    EVP_PKEY_free(least);
    EVP_PKEY_free(largest);
    assert_key_refused(make_rsa("RSA", 1024, 2, 65537), "2048 to 8192 bits");
    assert_key_refused(make_rsa("RSA", 2047, 2, 65537), "2048 to 8192 bits");
    assert_key_refused(make_rsa("RSA", 8193, 5, 65537), "2048 to 8192 bits");
    struct buf text = buf_make(MINT_MAX_BYTES);
    while (text.len <= JWS_SIGN_MAX_PEM_BYTES)
        (void)buf_append_char(&text, '\n');
    assert_refused(&text, "is too large");
}

static void jws_signer_refuses_a_key_whose_halves_do_not_fit(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    EVP_PKEY *next = mint_load_key("next");
    assert_key_refused(make_mixed(key, next), "is broken");
    EVP_PKEY_free(key);
    EVP_PKEY_free(next);
}

static void jws_sign_refuses_what_it_cannot_sign(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    struct jws_signer *signer = signer_of(key);
    struct buf out = buf_make(MINT_MAX_BYTES);
    (void)buf_append(&out, STR("before"));
    json_t *nul = json_pack("{s:s%}", "a", "b\0c", (size_t)3);
    json_t *array = json_array();
    assert_int_equal(jws_sign(signer, nul, &out), -EIO);
    assert_int_equal(jws_sign(signer, array, &out), -EIO);
    assert_true(str_eq(buf_str(&out), STR("before")));
    struct buf small = buf_make(64);
    json_t *empty = json_object();
    assert_int_equal(jws_sign(signer, empty, &small), -EMSGSIZE);
    assert_int_equal(small.len, 0);
    json_decref(nul);
    json_decref(array);
    json_decref(empty);
    buf_free(&out);
    buf_free(&small);
    jws_signer_free(signer);
    EVP_PKEY_free(key);
}

static void jws_sign_has_a_largest_size_of_claims(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    struct jws_signer *signer = signer_of(key);
    struct jwk public_key = published(signer);
    char *value = malloc(JWS_SIGN_MAX_CLAIMS_BYTES);
    assert_non_null(value);
    memset(value, 'x', JWS_SIGN_MAX_CLAIMS_BYTES);
    for (size_t more = 0; more < 2; more++) {
        struct buf out = buf_make(MINT_MAX_BYTES);
        const size_t len = JWS_SIGN_MAX_CLAIMS_BYTES - strlen("{\"a\":\"\"}") + more;
        json_t *claims = json_pack("{s:s%}", "a", value, len);
        assert_int_equal(jws_sign(signer, claims, &out), more == 0 ? 0 : -EMSGSIZE);
        if (more == 0)
            assert_true(verifies(buf_str(&out), &public_key));
        assert_int_equal(out.len > 0, more == 0);
        json_decref(claims);
        buf_free(&out);
    }
    free(value);
    jwk_clear(&public_key);
    jws_signer_free(signer);
    EVP_PKEY_free(key);
}

struct sign_job {
    const struct jws_signer *signer;
    struct str expected;
    bool good;
};

static void *sign_often(void *ctx)
{
    struct sign_job *job = ctx;
    json_t *claims = json_pack("{s:s}", "sub", "x");
    job->good = true;
    for (int i = 0; i < 20; i++) {
        struct buf out = buf_make(MINT_MAX_BYTES);
        job->good = job->good && jws_sign(job->signer, claims, &out) == 0 &&
                    str_eq(buf_str(&out), job->expected);
        buf_free(&out);
    }
    json_decref(claims);
    return NULL;
}

/* RS256 signs the same way each time, so all must come to the same. */
static void jws_signer_may_be_shared_by_threads(void **state)
{
    (void)state;
    EVP_PKEY *key = mint_load_key("signer");
    struct jws_signer *signer = signer_of(key);
    struct buf expected = buf_make(MINT_MAX_BYTES);
    json_t *claims = json_pack("{s:s}", "sub", "x");
    pthread_t threads[4];
    struct sign_job jobs[ARRAY_LEN(threads)];
    assert_int_equal(jws_sign(signer, claims, &expected), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        jobs[i] = (struct sign_job){.signer = signer, .expected = buf_str(&expected)};
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &jobs[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(jobs[i].good);
    }
    json_decref(claims);
    buf_free(&expected);
    jws_signer_free(signer);
    EVP_PKEY_free(key);
}

/* ---- what stays in memory ---- */

#define NEEDLE_LEN 32
#define MASK 0x5a

/* What to look for, masked, so that the needle is not found where it is kept. */
struct needle {
    uint8_t masked[NEEDLE_LEN];
};

static struct needle needle_of(const void *bytes)
{
    struct needle needle;
    for (size_t i = 0; i < NEEDLE_LEN; i++)
        needle.masked[i] = ((const uint8_t *)bytes)[i] ^ MASK;
    return needle;
}

static size_t count_in(const uint8_t *bytes, size_t len, const struct needle *needle)
{
    size_t found = 0;
    for (size_t at = 0; at + NEEDLE_LEN <= len; at++) {
        size_t i = 0;
        while (i < NEEDLE_LEN && (bytes[at + i] ^ MASK) == needle->masked[i])
            i++;
        found += i == NEEDLE_LEN;
    }
    return found;
}

/* How often the process holds it: in all memory that can be written, heap and stacks included. */
static size_t count_in_memory(const struct needle *needle)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t found = 0;
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *end;
        const uintptr_t from = strtoul(line, &end, 16);
        const uintptr_t to = strtoul(end + 1, &end, 16);
        if (strncmp(end, " rw", 3) == 0)
            found += count_in((const uint8_t *)from, to - from, needle);
    }
    (void)fclose(maps);
    return found;
}

/* A private number as OpenSSL calculates with it: in words of this machine. */
static struct needle needle_of_number(const EVP_PKEY *key, const char *param)
{
    unsigned char bytes[1024];
    BIGNUM *number = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &number), 1);
    (void)BN_bn2lebinpad(number, bytes, BN_num_bytes(number));
    const struct needle needle = needle_of(bytes + 8);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    BN_clear_free(number);
    return needle;
}

/* Not looked for: the DER that OpenSSL 3.0's own PEM decoder frees without wiping it, whoever reads
 * a key. */
static void jws_signer_leaves_no_copy_of_the_key(void **state)
{
    (void)state;
    if (SANITIZED)
        skip(); /* terabytes of shadow memory, and freed blocks are kept */
    EVP_PKEY *key = make_rsa("RSA", 2048, 2, 65537); /* one that no other test has seen */
    struct buf pem = buf_make(MINT_MAX_BYTES);
    struct buf out = buf_make(MINT_MAX_BYTES);
    json_t *claims = json_object();
    assert_int_equal(buf_reserve(&pem, 16384), 0);
    append_pem(&pem, key, false, NULL);
    const struct needle text = needle_of(pem.ptr + 800);
    const struct needle numbers[] = {
        needle_of_number(key, OSSL_PKEY_PARAM_RSA_D),
        needle_of_number(key, OSSL_PKEY_PARAM_RSA_FACTOR1),
    };
    assert_true(count_in_memory(&text) > 0); /* so it does find what is there */
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        assert_true(count_in_memory(&numbers[i]) > 0);
    EVP_PKEY_free(key);

    struct jws_signer *signer = NULL;
    const char *why = NULL;
    assert_int_equal(jws_signer_new(buf_str(&pem), &signer, &why), 0);
    secret_wipe(pem.ptr, pem.len);
    assert_int_equal(jws_sign(signer, claims, &out), 0);
    assert_int_equal(count_in_memory(&text), 1);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        assert_int_equal(count_in_memory(&numbers[i]), 0);
    jws_signer_free(signer);
    assert_int_equal(count_in_memory(&text), 0);
    json_decref(claims);
    buf_free(&pem);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jws_sign_makes_what_the_published_key_verifies),
        cmocka_unit_test(jws_sign_names_algorithm_type_and_key_and_nothing_else),
        cmocka_unit_test(jws_signer_publishes_the_public_half_only),
        cmocka_unit_test(jws_signer_kid_is_the_thumbprint),
        cmocka_unit_test(jws_signer_takes_a_key_in_every_usual_text),
        cmocka_unit_test(jws_signer_refuses_what_is_no_private_key),
        cmocka_unit_test(jws_signer_never_asks_for_a_passphrase),
        cmocka_unit_test(jws_signer_refuses_keys_of_other_kinds),
        cmocka_unit_test(jws_signer_has_a_least_and_a_largest_size),
        cmocka_unit_test(jws_signer_refuses_a_key_whose_halves_do_not_fit),
        cmocka_unit_test(jws_sign_refuses_what_it_cannot_sign),
        cmocka_unit_test(jws_sign_has_a_largest_size_of_claims),
        cmocka_unit_test(jws_signer_may_be_shared_by_threads),
        cmocka_unit_test(jws_signer_leaves_no_copy_of_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
