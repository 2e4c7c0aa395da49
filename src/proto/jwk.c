/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jwk.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/secret.h"
#include "proto/base64url.h"

#define MAX_MODULUS_BYTES (JWK_MAX_BITS / 8)
#define MIN_EXPONENT 0x10001U /* the smallest odd number of 17 bits: 3 and its like are refused */
#define MAX_EXPONENT_BYTES 4

/* The two numbers of an RSA public key, big-endian, without leading zeros. */
struct rsa_numbers {
    uint8_t modulus[MAX_MODULUS_BYTES];
    size_t modulus_len;
    uint8_t exponent[MAX_EXPONENT_BYTES];
    size_t exponent_len;
};

const char *jwk_rc_text(enum jwk_rc rc)
{
    static const char *const texts[] = {
        [JWK_OK] = "is usable",
        [JWK_NOT_OBJECT] = "is not an object",
        [JWK_KTY] = "is not an RSA key",
        [JWK_KID] = "has no kid of 1 to 256 bytes",
        [JWK_USE] = "is not meant for signatures (use or key_ops)",
        [JWK_ALG] = "is for an algorithm that the policy does not allow",
        [JWK_PRIVATE] = "has private members",
        [JWK_MODULUS] = "has a modulus that is not an odd number of 2048 to 8192 bits",
        [JWK_EXPONENT] = "has an exponent that is not an odd number of 17 to 32 bits",
        [JWK_NO_MEMORY] = "needs more memory than there is",
    };
    return texts[rc];
}

static bool has_private_member(const json_t *object)
{
    /* RFC 7518 6.3.2, 6.4.1: with one of these in it, the set is a leak, not a publication. */
    static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_object_get(object, names[i]) != NULL)
            return true;
    return false;
}

/* RFC 7517 4.2 and 4.3: each member may be absent; if it is there it must permit verifying. */
static bool is_for_verifying(const json_t *object)
{
    const json_t *use = json_object_get(object, "use");
    const json_t *key_ops = json_object_get(object, "key_ops");
    if (use != NULL && !str_eq(json_str(use), STR("sig")))
        return false;
    if (key_ops == NULL)
        return true;
    for (size_t i = 0; i < json_array_size(key_ops); i++)
        if (str_eq(json_str(json_array_get(key_ops, i)), STR("verify")))
            return true;
    return false;
}

static bool is_alg_allowed(const json_t *object, const struct str *algorithms, size_t n_algorithms)
{
    const json_t *alg = json_object_get(object, "alg");
    if (alg == NULL)
        return true;
    for (size_t i = 0; i < n_algorithms; i++)
        if (json_is_string(alg) && str_eq(json_str(alg), algorithms[i]))
            return true;
    return false;
}

static bool is_kid(struct str kid)
{
    return kid.len > 0 && kid.len <= JWK_MAX_KID_BYTES;
}

/* Of a number that read_number() gave: its first byte is not zero. */
static unsigned bit_length(const uint8_t *bytes, size_t len)
{
    return (unsigned)(len * 8) - (unsigned)(__builtin_clz(bytes[0]) - 24);
}

/* RFC 7518 2: Base64urlUInt is big-endian in as few octets as possible, so no leading zero. */
static bool read_number(const json_t *object, const char *key, uint8_t *ret_bytes, size_t cap,
                        size_t *ret_len)
{
    struct str text = json_get_str(object, key);
    return text.len > 0 && base64url_decode(text, ret_bytes, cap, ret_len) == 0 &&
           ret_bytes[0] != 0 && (ret_bytes[*ret_len - 1] & 1) == 1;
}

static bool read_modulus(const json_t *object, struct rsa_numbers *ret_numbers)
{
    if (!read_number(object, "n", ret_numbers->modulus, sizeof(ret_numbers->modulus),
                     &ret_numbers->modulus_len))
        return false;
    unsigned bits = bit_length(ret_numbers->modulus, ret_numbers->modulus_len);
    return bits >= JWK_MIN_BITS && bits <= JWK_MAX_BITS;
}

static bool read_exponent(const json_t *object, struct rsa_numbers *ret_numbers)
{
    uint32_t exponent = 0;
    if (!read_number(object, "e", ret_numbers->exponent, sizeof(ret_numbers->exponent),
                     &ret_numbers->exponent_len))
        return false;
    for (size_t i = 0; i < ret_numbers->exponent_len; i++)
        exponent = exponent << 8 | ret_numbers->exponent[i];
    return exponent >= MIN_EXPONENT;
}

/* OpenSSL 3.0 makes a key that does not know its size, and reports no error, when memory is short
 * at the end: no signature would be as long as that. */
static EVP_PKEY *pkey_from_params(OSSL_PARAM *params, size_t modulus_len)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    if (key == NULL || (size_t)EVP_PKEY_get_size(key) == modulus_len)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static EVP_PKEY *pkey_make(const struct rsa_numbers *numbers)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(numbers->modulus, (int)numbers->modulus_len, NULL);
    BIGNUM *e = BN_bin2bn(numbers->exponent, (int)numbers->exponent_len, NULL);
    if (builder != NULL && n != NULL && e != NULL &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(builder);
    if (params != NULL)
        key = pkey_from_params(params, numbers->modulus_len);
    if (key == NULL)
        ERR_clear_error();
    OSSL_PARAM_free(params);
    BN_free(e);
    BN_free(n);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

/* RFC 7638 3.2: the required members in lexicographic order, no blanks. The text of e and n is
 * canonical: base64url_decode() accepts one text for each number. */
static int make_thumbprint(const json_t *object, uint8_t ret_thumbprint[JWK_THUMBPRINT_LEN])
{
    struct buf text = buf_make(2048);
    int r = buf_printf(&text, "{\"e\":\"%.*s\",\"kty\":\"RSA\",\"n\":\"%.*s\"}",
                       STR_ARG(json_get_str(object, "e")), STR_ARG(json_get_str(object, "n")));
    if (r == 0)
        r = secret_sha256(buf_str(&text), ret_thumbprint);
    buf_free(&text);
    return r;
}

/* Copies the names of a key, which outlive the document, into one allocation. */
static bool copy_names(const json_t *object, struct jwk *key)
{
    const struct str kid = json_get_str(object, "kid");
    const struct str alg = json_get_str(object, "alg");
    key->text = malloc(kid.len + alg.len);
    if (key->text == NULL)
        return false;
    memcpy(key->text, kid.ptr, kid.len);
    key->kid = str_make(key->text, kid.len);
    if (str_is_set(alg)) {
        memcpy(key->text + kid.len, alg.ptr, alg.len);
        key->alg = str_make(key->text + kid.len, alg.len);
    }
    return true;
}

/* Everything that needs memory, for an object that was found good. */
static enum jwk_rc make_key(const json_t *object, const struct rsa_numbers *numbers,
                            struct jwk *ret_key)
{
    struct jwk key = {.key = pkey_make(numbers)};
    if (key.key == NULL || !copy_names(object, &key) ||
        make_thumbprint(object, key.thumbprint) < 0) {
        jwk_clear(&key);
        return JWK_NO_MEMORY;
    }
    *ret_key = key;
    return JWK_OK;
}

enum jwk_rc jwk_parse(const json_t *object, const struct str *algorithms, size_t n_algorithms,
                      struct jwk *ret_key)
{
    struct rsa_numbers numbers;
    if (!json_is_object(object))
        return JWK_NOT_OBJECT;
    if (!str_eq(json_get_str(object, "kty"), STR("RSA")))
        return JWK_KTY;
    if (!is_kid(json_get_str(object, "kid")))
        return JWK_KID;
    if (!is_for_verifying(object))
        return JWK_USE;
    if (!is_alg_allowed(object, algorithms, n_algorithms))
        return JWK_ALG;
    if (has_private_member(object))
        return JWK_PRIVATE;
    if (!read_modulus(object, &numbers))
        return JWK_MODULUS;
    if (!read_exponent(object, &numbers))
        return JWK_EXPONENT;
    return make_key(object, &numbers, ret_key);
}

void jwk_clear(struct jwk *key)
{
    free(key->text);
    EVP_PKEY_free(key->key);
    *key = (struct jwk){0};
}
