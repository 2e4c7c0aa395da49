/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jws.h"

#include <openssl/err.h>

#include "base/err.h"
#include "support/cmocka_all.h"
#include "support/mint.h"

/* RFC 7515 A.2: the token and the key. */
#define RFC7515_TOKEN                                                                           \
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl" \
    "LmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZm" \
    "h7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyT" \
    "yWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqt" \
    "FZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Io" \
    "ypGlUPQGe77Rw"
#define RFC7515_JWK                                                                             \
    "{\"kty\":\"RSA\",\"kid\":\"a2\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_" \
    "wWJc"                                                                                      \
    "yQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwO" \
    "WvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2" \
    "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q" \
    "2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}"

static const struct str all_algorithms[] = {
    STR_INIT("RS256"), STR_INIT("RS384"), STR_INIT("RS512"),
    STR_INIT("PS256"), STR_INIT("PS384"), STR_INIT("PS512"),
};

static struct jwk parse_key(struct str text)
{
    const struct json_limits limits = {65536, 8};
    CLEANUP(json_unref) json_t *root = NULL;
    struct jwk key = {0};
    assert_int_equal(json_parse(text, limits, &root, NULL), JSON_RC_OK);
    assert_int_equal(jwk_parse(root, all_algorithms, ARRAY_LEN(all_algorithms), &key), JWK_OK);
    return key;
}

static struct jwk key_of(EVP_PKEY *pair, const char *more)
{
    struct buf text = buf_make(4096);
    mint_append_jwk(&text, pair, "k", more);
    struct jwk key = parse_key(buf_str(&text));
    buf_free(&text);
    return key;
}

/* Splits and verifies TOKEN. */
static enum jws_rc verify(struct jws_verifier *verifier, struct str token, enum jws_alg alg,
                          const struct jwk *key)
{
    struct jws_parts parts;
    enum jws_rc rc = jws_split(token, &parts);
    return rc != JWS_OK ? rc : jws_verify(verifier, &parts, alg, key);
}

static void jws_split_counts_segments(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str token;
        enum jws_rc rc;
    } rows[] = {
        {"three segments", STR_INIT("YQ.Yg.Yw"), JWS_OK},
        {"opaque", STR_INIT("YQ"), JWS_ONE_SEGMENT},
        {"empty", STR_INIT(""), JWS_ONE_SEGMENT},
        {"two", STR_INIT("YQ.Yg"), JWS_SEGMENTS},
        {"four", STR_INIT("YQ.Yg.Yw.ZA"), JWS_SEGMENTS},
        {"JWE", STR_INIT("YQ.Yg.Yw.ZA.ZQ"), JWS_FIVE_SEGMENTS},
        {"JWE with direct encryption", STR_INIT("YQ..Yw.ZA.ZQ"), JWS_FIVE_SEGMENTS},
        {"six", STR_INIT("YQ.Yg.Yw.ZA.ZQ.Zg"), JWS_SEGMENTS},
        {"no header", STR_INIT(".Yg.Yw"), JWS_SEGMENTS},
        {"no payload (detached, RFC 7515 F)", STR_INIT("YQ..Yw"), JWS_SEGMENTS},
        {"no signature (unsecured, RFC 7515 A.5)", STR_INIT("YQ.Yg."), JWS_SEGMENTS},
        {"dots only", STR_INIT(".."), JWS_SEGMENTS},
        {"header not base64url", STR_INIT("YQ==.Yg.Yw"), JWS_BASE64},
        {"payload not base64url", STR_INIT("YQ.Y+8.Yw"), JWS_BASE64},
        {"signature not base64url", STR_INIT("YQ.Yg.Yx"), JWS_BASE64},
        {"blank before", STR_INIT(" YQ.Yg.Yw"), JWS_BASE64},
        {"line end behind", STR_INIT("YQ.Yg.Yw\n"), JWS_BASE64},
        {"one character", STR_INIT("YQ.Yg.Y"), JWS_BASE64},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jws_parts parts = {0};
        enum jws_rc rc = jws_split(rows[i].token, &parts);
        if (rc != rows[i].rc)
            fail_msg("%s: rc %d", rows[i].why, (int)rc);
        assert_int_equal(str_is_set(parts.header), rc == JWS_OK);
    }
}

static void jws_split_gives_views_of_the_token(void **state)
{
    (void)state;
    const struct str token = STR("YQ.YmI.Y2Nj");
    struct jws_parts parts;
    assert_int_equal(jws_split(token, &parts), JWS_OK);
    assert_true(parts.signed_bytes.ptr == token.ptr);
    assert_true(str_eq(parts.signed_bytes, STR("YQ.YmI")));
    assert_true(str_eq(parts.header, STR("YQ")));
    assert_true(str_eq(parts.payload, STR("YmI")));
    assert_true(str_eq(parts.signature, STR("Y2Nj")));
}

static enum jws_rc read_header(struct str text, struct jws_header *ret_header)
{
    struct buf segment = buf_make(16384);
    assert_int_equal(base64url_encode_append(text, &segment), 0);
    enum jws_rc rc = jws_header_read(buf_str(&segment), ret_header);
    buf_free(&segment);
    return rc;
}

static void jws_header_read_gives_algorithm_and_kid(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all_algorithms); i++) {
        struct jws_header header = {0};
        struct buf text = buf_make(256);
        (void)buf_printf(&text, "{\"alg\":\"%.*s\",\"kid\":\"a\\u0000b\"}",
                         STR_ARG(all_algorithms[i]));
        assert_int_equal(read_header(buf_str(&text), &header), JWS_OK);
        assert_int_equal(header.alg, i);
        assert_true(str_eq(header.kid, STR("a\0b")));
        assert_true(str_eq(jws_alg_name(header.alg), all_algorithms[i]));
        assert_true(jws_alg_is_allowed(header.alg, all_algorithms, i + 1));
        assert_false(jws_alg_is_allowed(header.alg, all_algorithms, i));
        jws_header_clear(&header);
        buf_free(&text);
    }
}

/* Rule 9: at most 4 KiB and a few levels. */
static enum jws_rc read_padded_header(size_t size)
{
    struct jws_header header = {0};
    struct buf text = buf_make(8192);
    (void)buf_append(&text, STR("{\"alg\":\"RS256\",\"kid\":\"k\""));
    while (text.len < size - 1)
        (void)buf_append_char(&text, ' ');
    (void)buf_append_char(&text, '}');
    assert_int_equal(text.len, size);
    enum jws_rc rc = read_header(buf_str(&text), &header);
    jws_header_clear(&header);
    buf_free(&text);
    return rc;
}

static void jws_header_read_has_limits(void **state)
{
    (void)state;
    struct jws_header header = {0};
    assert_int_equal(read_padded_header(JWS_MAX_HEADER_BYTES), JWS_OK);
    assert_int_equal(read_padded_header(JWS_MAX_HEADER_BYTES + 1), JWS_HEADER);
    assert_int_equal(
        read_header(STR("{\"alg\":\"RS256\",\"kid\":\"k\",\"x\":[[[[[[[1]]]]]]]}"), &header),
        JWS_OK);
    jws_header_clear(&header);
    assert_int_equal(
        read_header(STR("{\"alg\":\"RS256\",\"kid\":\"k\",\"x\":[[[[[[[[1]]]]]]]]}"), &header),
        JWS_HEADER);
}

static void jws_verify_accepts_the_token_of_rfc_7515(void **state)
{
    struct jwk key = parse_key(STR(RFC7515_JWK));
    assert_int_equal(verify(*state, STR(RFC7515_TOKEN), JWS_RS256, &key), JWS_OK);
    assert_int_equal(verify(*state, STR(RFC7515_TOKEN), JWS_RS384, &key), JWS_SIGNATURE);
    assert_int_equal(verify(*state, STR(RFC7515_TOKEN), JWS_PS256, &key), JWS_SIGNATURE);
    jwk_clear(&key);
}

/* What each algorithm is signed with; every other algorithm must refuse it. */
static void jws_verify_tells_algorithms_apart(void **state)
{
    static const struct {
        const char *digest;
        int pss_salt;
    } how[JWS_ALG_COUNT] = {
        [JWS_RS256] = {"SHA256", 0},
        [JWS_RS384] = {"SHA384", 0},
        [JWS_RS512] = {"SHA512", 0},
        [JWS_PS256] = {"SHA256", RSA_PSS_SALTLEN_DIGEST},
        [JWS_PS384] = {"SHA384", RSA_PSS_SALTLEN_DIGEST},
        [JWS_PS512] = {"SHA512", RSA_PSS_SALTLEN_DIGEST},
    };
    EVP_PKEY *pair = mint_load_key("signer");
    struct jwk key = key_of(pair, "");
    struct buf token = buf_make(MINT_MAX_BYTES);
    for (unsigned made = 0; made < JWS_ALG_COUNT; made++) {
        const struct mint_signer signer = {pair, how[made].digest, how[made].pss_salt};
        mint_token(&token, "{}", "{}", &signer);
        for (unsigned read = 0; read < JWS_ALG_COUNT; read++)
            assert_int_equal(verify(*state, buf_str(&token), (enum jws_alg)read, &key),
                             read == made ? JWS_OK : JWS_SIGNATURE);
    }
    buf_free(&token);
    jwk_clear(&key);
    EVP_PKEY_free(pair);
}

static void jws_verify_wants_a_pss_salt_as_long_as_the_hash(void **state)
{
    EVP_PKEY *pair = mint_load_key("signer");
    struct jwk key = key_of(pair, "");
    struct buf token = buf_make(MINT_MAX_BYTES);
    for (int salt = 31; salt <= 33; salt++) {
        const struct mint_signer signer = {pair, "SHA256", salt};
        mint_token(&token, "{}", "{}", &signer);
        assert_int_equal(verify(*state, buf_str(&token), JWS_PS256, &key),
                         salt == 32 ? JWS_OK : JWS_SIGNATURE);
    }
    buf_free(&token);
    jwk_clear(&key);
    EVP_PKEY_free(pair);
}

static void jws_verify_honours_the_algorithm_of_the_key(void **state)
{
    EVP_PKEY *pair = mint_load_key("signer");
    struct jwk rs256 = key_of(pair, ",\"alg\":\"RS256\"");
    struct jwk rs512 = key_of(pair, ",\"alg\":\"RS512\"");
    const struct mint_signer signer = {.key = pair};
    struct buf token = buf_make(MINT_MAX_BYTES);
    mint_token(&token, "{}", "{}", &signer);
    assert_int_equal(verify(*state, buf_str(&token), JWS_RS256, &rs256), JWS_OK);
    assert_int_equal(verify(*state, buf_str(&token), JWS_RS256, &rs512), JWS_ALG);
    buf_free(&token);
    jwk_clear(&rs256);
    jwk_clear(&rs512);
    EVP_PKEY_free(pair);
}

/* One verifier, many keys: a context that kept the key of the call before would pass the second. */
static void jws_verify_forgets_the_key_before(void **state)
{
    EVP_PKEY *mine = mint_load_key("signer");
    EVP_PKEY *other = mint_load_key("next");
    struct jwk my_key = key_of(mine, "");
    struct jwk other_key = key_of(other, "");
    const struct mint_signer signer = {.key = mine};
    struct buf token = buf_make(MINT_MAX_BYTES);
    mint_token(&token, "{}", "{}", &signer);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(verify(*state, buf_str(&token), JWS_RS256, &my_key), JWS_OK);
        assert_int_equal(verify(*state, buf_str(&token), JWS_RS256, &other_key), JWS_SIGNATURE);
        assert_int_equal(verify(*state, buf_str(&token), JWS_PS256, &my_key), JWS_SIGNATURE);
    }
    buf_free(&token);
    jwk_clear(&my_key);
    jwk_clear(&other_key);
    EVP_PKEY_free(mine);
    EVP_PKEY_free(other);
}

/* A verifier makes the last few keys ready and keeps them: more pairs of key and algorithm than it
 * has room for, in turn, and each token holds under its own pair only. */
static void jws_verify_tells_more_keys_apart_than_it_keeps(void **state)
{
    static const char *const names[] = {"signer", "next", "attacker"};
    static const char *const digests[] = {"SHA256", "SHA384", "SHA512"};
    EVP_PKEY *pairs[ARRAY_LEN(names)];
    struct jwk keys[ARRAY_LEN(names)];
    struct buf tokens[ARRAY_LEN(names)][6];
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        pairs[k] = mint_load_key(names[k]);
        keys[k] = key_of(pairs[k], "");
        for (size_t alg = 0; alg < 6; alg++) {
            const struct mint_signer signer = {.key = pairs[k],
                                               .digest = digests[alg % 3],
                                               .pss_salt = alg < 3 ? 0 : RSA_PSS_SALTLEN_DIGEST};
            tokens[k][alg] = buf_make(MINT_MAX_BYTES);
            mint_token(&tokens[k][alg], "{}", "{}", &signer);
        }
    }
    for (size_t round = 0; round < 3 * 6 * 18; round++) {
        const size_t k = round % 3;
        const size_t alg = round / 3 % 6;
        const size_t pair = round / 18;
        const bool good = pair == k * 6 + alg;
        assert_int_equal(
            verify(*state, buf_str(&tokens[pair / 6][pair % 6]), (enum jws_alg)alg, &keys[k]),
            good ? JWS_OK : JWS_SIGNATURE);
    }
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        for (size_t alg = 0; alg < 6; alg++)
            buf_free(&tokens[k][alg]);
        jwk_clear(&keys[k]);
        EVP_PKEY_free(pairs[k]);
    }
}

/* Keys come and go with their sets, and memory is used again: what counts is the key, not where it
 * lies. */
static void jws_verify_never_takes_a_new_key_for_an_old_one(void **state)
{
    EVP_PKEY *pairs[] = {mint_load_key("signer"), mint_load_key("next")};
    const struct mint_signer signer = {.key = pairs[0]};
    struct buf token = buf_make(MINT_MAX_BYTES);
    mint_token(&token, "{}", "{}", &signer);
    for (unsigned i = 0; i < 100; i++) {
        struct jwk key = key_of(pairs[i % 2], "");
        assert_int_equal(verify(*state, buf_str(&token), JWS_RS256, &key),
                         i % 2 == 0 ? JWS_OK : JWS_SIGNATURE);
        jwk_clear(&key);
    }
    buf_free(&token);
    EVP_PKEY_free(pairs[0]);
    EVP_PKEY_free(pairs[1]);
}

/* OpenSSL's error queue is the thread's: what stays in it is read by the next who fails, libcurl
 * too. */
static void jws_verify_leaves_no_error_behind(void **state)
{
    struct jwk key = parse_key(STR(RFC7515_JWK));
    assert_int_equal(verify(*state, STR(RFC7515_TOKEN), JWS_PS256, &key), JWS_SIGNATURE);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(verify(*state, STR(RFC7515_TOKEN), JWS_RS384, &key), JWS_SIGNATURE);
    assert_int_equal(ERR_peek_error(), 0);
    jwk_clear(&key);
}

static int make_verifier(void **state)
{
    *state = jws_verifier_make();
    return *state == NULL ? -1 : 0;
}

static int free_verifier(void **state)
{
    *state = jws_verifier_free(*state);
    return 0;
}

static void jws_library_version_is_openssl_3(void **state)
{
    (void)state;
    assert_int_equal(jws_library_version()[0], '3');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jws_split_counts_segments),
        cmocka_unit_test(jws_split_gives_views_of_the_token),
        cmocka_unit_test(jws_header_read_gives_algorithm_and_kid),
        cmocka_unit_test(jws_header_read_has_limits),
        cmocka_unit_test(jws_verify_accepts_the_token_of_rfc_7515),
        cmocka_unit_test(jws_verify_tells_algorithms_apart),
        cmocka_unit_test(jws_verify_wants_a_pss_salt_as_long_as_the_hash),
        cmocka_unit_test(jws_verify_honours_the_algorithm_of_the_key),
        cmocka_unit_test(jws_verify_forgets_the_key_before),
        cmocka_unit_test(jws_verify_tells_more_keys_apart_than_it_keeps),
        cmocka_unit_test(jws_verify_never_takes_a_new_key_for_an_old_one),
        cmocka_unit_test(jws_verify_leaves_no_error_behind),
        cmocka_unit_test(jws_library_version_is_openssl_3),
    };
    return cmocka_run_group_tests(tests, make_verifier, free_verifier);
}
