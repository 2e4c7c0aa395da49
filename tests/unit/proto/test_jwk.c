/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jwk.h"

#include "base/err.h"
#include "support/cmocka_all.h"
#include "support/mint.h"

static const struct str algorithms[] = {STR_INIT("RS256"), STR_INIT("PS256")};

/* RFC 7638 3.1: the key and its thumbprint. */
#define RFC7638_N                                                                             \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_" \
    "BJECPebWK"                                                                               \
    "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"         \
    "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"       \
    "bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
#define KEY(members) "{" members ",\"n\":\"" RFC7638_N "\",\"e\":\"AQAB\"}"
#define BASE "\"kty\":\"RSA\",\"kid\":\"k\""
#define KID_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KID_256 KID_64 KID_64 KID_64 KID_64

static enum jwk_rc parse(const char *text, struct jwk *ret_key)
{
    CLEANUP(json_unref) json_t *root = NULL;
    const struct json_limits limits = {65536, 8};
    assert_int_equal(json_parse(str_from_cstr(text), limits, &root, NULL), JSON_RC_OK);
    return jwk_parse(root, algorithms, ARRAY_LEN(algorithms), ret_key);
}

static void jwk_parse_gives_key_and_thumbprint_of_rfc_7638(void **state)
{
    (void)state;
    struct jwk key = {0};
    struct buf thumbprint = buf_make(64);
    assert_int_equal(parse(KEY("\"kty\":\"RSA\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\""), &key),
                     JWK_OK);
    assert_true(str_eq(key.kid, STR("2011-04-29")));
    assert_true(str_eq(key.alg, STR("RS256")));
    assert_int_equal(EVP_PKEY_get_bits(key.key), 2048);
    assert_int_equal(
        base64url_encode_append(str_make((const char *)key.thumbprint, sizeof(key.thumbprint)),
                                &thumbprint),
        0);
    assert_true(str_eq(buf_str(&thumbprint), STR("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")));
    buf_free(&thumbprint);
    jwk_clear(&key);
}

/* Rule 14, one row each. */
static void jwk_parse_refuses_what_rule_14_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *text;
        enum jwk_rc rc;
    } rows[] = {
        {"nothing optional", KEY(BASE), JWK_OK},
        {"use sig", KEY(BASE ",\"use\":\"sig\""), JWK_OK},
        {"use enc", KEY(BASE ",\"use\":\"enc\""), JWK_USE},
        {"use in another case", KEY(BASE ",\"use\":\"SIG\""), JWK_USE},
        {"use empty", KEY(BASE ",\"use\":\"\""), JWK_USE},
        {"use null", KEY(BASE ",\"use\":null"), JWK_USE},
        {"use an array", KEY(BASE ",\"use\":[\"sig\"]"), JWK_USE},
        {"key_ops verify", KEY(BASE ",\"key_ops\":[\"verify\"]"), JWK_OK},
        {"key_ops verify among others", KEY(BASE ",\"key_ops\":[\"x\",\"verify\"]"), JWK_OK},
        {"key_ops sign", KEY(BASE ",\"key_ops\":[\"sign\"]"), JWK_USE},
        {"key_ops empty", KEY(BASE ",\"key_ops\":[]"), JWK_USE},
        {"key_ops a string", KEY(BASE ",\"key_ops\":\"verify\""), JWK_USE},
        {"key_ops null", KEY(BASE ",\"key_ops\":null"), JWK_USE},
        {"key_ops of numbers", KEY(BASE ",\"key_ops\":[1]"), JWK_USE},
        {"use sig but key_ops encrypt", KEY(BASE ",\"use\":\"sig\",\"key_ops\":[\"encrypt\"]"),
         JWK_USE},
        {"alg allowed", KEY(BASE ",\"alg\":\"PS256\""), JWK_OK},
        {"alg not in the policy", KEY(BASE ",\"alg\":\"RS512\""), JWK_ALG},
        {"alg HS256", KEY(BASE ",\"alg\":\"HS256\""), JWK_ALG},
        {"alg none", KEY(BASE ",\"alg\":\"none\""), JWK_ALG},
        {"alg in another case", KEY(BASE ",\"alg\":\"rs256\""), JWK_ALG},
        {"alg RSA-OAEP", KEY(BASE ",\"alg\":\"RSA-OAEP\""), JWK_ALG},
        {"alg null", KEY(BASE ",\"alg\":null"), JWK_ALG},
        {"private exponent", KEY(BASE ",\"d\":\"AQAB\""), JWK_PRIVATE},
        {"prime p", KEY(BASE ",\"p\":\"AQAB\""), JWK_PRIVATE},
        {"prime q", KEY(BASE ",\"q\":\"AQAB\""), JWK_PRIVATE},
        {"dp", KEY(BASE ",\"dp\":\"AQAB\""), JWK_PRIVATE},
        {"dq", KEY(BASE ",\"dq\":\"AQAB\""), JWK_PRIVATE},
        {"qi", KEY(BASE ",\"qi\":\"AQAB\""), JWK_PRIVATE},
        {"oth", KEY(BASE ",\"oth\":[]"), JWK_PRIVATE},
        {"k of a symmetric key", KEY(BASE ",\"k\":\"AQAB\""), JWK_PRIVATE},
        {"d null is still a leak of the form", KEY(BASE ",\"d\":null"), JWK_PRIVATE},
        {"x5c, x5t are not looked at", KEY(BASE ",\"x5c\":[\"!\"],\"x5t\":7"), JWK_OK},
        {"no kty", KEY("\"kid\":\"k\""), JWK_KTY},
        {"kty EC", KEY("\"kty\":\"EC\",\"kid\":\"k\""), JWK_KTY},
        {"kty oct", KEY("\"kty\":\"oct\",\"kid\":\"k\""), JWK_KTY},
        {"kty OKP", KEY("\"kty\":\"OKP\",\"kid\":\"k\""), JWK_KTY},
        {"kty in another case", KEY("\"kty\":\"rsa\",\"kid\":\"k\""), JWK_KTY},
        {"kty a number", KEY("\"kty\":1,\"kid\":\"k\""), JWK_KTY},
        {"no kid", KEY("\"kty\":\"RSA\""), JWK_KID},
        {"kid empty", KEY("\"kty\":\"RSA\",\"kid\":\"\""), JWK_KID},
        {"kid a number", KEY("\"kty\":\"RSA\",\"kid\":1"), JWK_KID},
        {"kid of 256 bytes", KEY("\"kty\":\"RSA\",\"kid\":\"" KID_256 "\""), JWK_OK},
        {"kid of 257 bytes", KEY("\"kty\":\"RSA\",\"kid\":\"" KID_256 "x\""), JWK_KID},
        {"no n", "{" BASE ",\"e\":\"AQAB\"}", JWK_MODULUS},
        {"n empty", "{" BASE ",\"n\":\"\",\"e\":\"AQAB\"}", JWK_MODULUS},
        {"n a number", "{" BASE ",\"n\":65537,\"e\":\"AQAB\"}", JWK_MODULUS},
        {"n padded", "{" BASE ",\"n\":\"" RFC7638_N "==\",\"e\":\"AQAB\"}", JWK_MODULUS},
        {"n with a foreign byte", "{" BASE ",\"n\":\"+" RFC7638_N "\",\"e\":\"AQAB\"}",
         JWK_MODULUS},
        {"no e", "{" BASE ",\"n\":\"" RFC7638_N "\"}", JWK_EXPONENT},
        {"e = 0", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"AA\"}", JWK_EXPONENT},
        {"e = 1", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"AQ\"}", JWK_EXPONENT},
        {"e = 3", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"Aw\"}", JWK_EXPONENT},
        {"e = 17", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"EQ\"}", JWK_EXPONENT},
        {"e = 65535: 16 bits", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"__8\"}", JWK_EXPONENT},
        {"e = 65536: even", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"AQAA\"}", JWK_EXPONENT},
        {"e = 65539", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"AQAD\"}", JWK_OK},
        {"e = 2^32 - 1: 32 bits", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"_____w\"}", JWK_OK},
        {"e = 2^32 + 1: 33 bits", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"AQAAAAE\"}",
         JWK_EXPONENT},
        {"e with a leading zero", "{" BASE ",\"n\":\"" RFC7638_N "\",\"e\":\"AAEAAQ\"}",
         JWK_EXPONENT},
        {"not an object", "[]", JWK_NOT_OBJECT},
        {"null", "null", JWK_NOT_OBJECT},
        {"a string", "\"RSA\"", JWK_NOT_OBJECT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jwk key = {0};
        enum jwk_rc rc = parse(rows[i].text, &key);
        if (rc != rows[i].rc)
            fail_msg("%s: %s", rows[i].why, jwk_rc_text(rc));
        assert_int_equal(key.key != NULL, rc == JWK_OK);
        jwk_clear(&key);
    }
}

/* A modulus of BITS bits: the top and the bottom bit are set, the rest is noise. */
static void append_modulus(struct buf *out, unsigned bits, bool odd, bool leading_zero)
{
    unsigned char bytes[1100];
    size_t len = (bits + 7) / 8;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(i * 91 + 5);
    bytes[0] = (unsigned char)(0x80U >> ((8 - bits % 8) % 8));
    bytes[len - 1] = (unsigned char)((bytes[len - 1] & 0xfe) | (odd ? 1 : 0));
    if (leading_zero) {
        memmove(bytes + 1, bytes, len++);
        bytes[0] = 0;
    }
    assert_int_equal(base64url_encode_append(str_make((char *)bytes, len), out), 0);
}

static void jwk_parse_accepts_2048_to_8192_bits(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        unsigned bits;
        bool odd;
        bool leading_zero;
        enum jwk_rc rc;
    } rows[] = {
        {"far too small", 512, true, false, JWK_MODULUS},
        {"one bit too small", 2047, true, false, JWK_MODULUS},
        {"smallest", 2048, true, false, JWK_OK},
        {"odd length", 2049, true, false, JWK_OK},
        {"usual", 4096, true, false, JWK_OK},
        {"largest", 8192, true, false, JWK_OK},
        {"one bit too large", 8193, true, false, JWK_MODULUS},
        {"even", 2048, false, false, JWK_MODULUS},
        {"leading zero byte (RFC 7518 6.3.1.1)", 2048, true, true, JWK_MODULUS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jwk key = {0};
        struct buf text = buf_make(4096);
        (void)buf_append(&text, STR("{" BASE ",\"e\":\"AQAB\",\"n\":\""));
        append_modulus(&text, rows[i].bits, rows[i].odd, rows[i].leading_zero);
        (void)buf_append(&text, STR("\"}"));
        (void)buf_append_char(&text, '\0');
        enum jwk_rc rc = parse(text.ptr, &key);
        if (rc != rows[i].rc)
            fail_msg("%s: %s", rows[i].why, jwk_rc_text(rc));
        jwk_clear(&key);
        buf_free(&text);
    }
}

static void jwk_clear_is_harmless_on_nothing(void **state)
{
    (void)state;
    struct jwk key = {0};
    jwk_clear(&key);
    jwk_clear(&key);
    assert_null(key.key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jwk_parse_gives_key_and_thumbprint_of_rfc_7638),
        cmocka_unit_test(jwk_parse_refuses_what_rule_14_refuses),
        cmocka_unit_test(jwk_parse_accepts_2048_to_8192_bits),
        cmocka_unit_test(jwk_clear_is_harmless_on_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
