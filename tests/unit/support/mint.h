/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and key sets for tests, made with OpenSSL from the keys in tests/data/keys, so that what
 * signs here shares no code with what verifies. Failures abort: they are faults of the test. */
#ifndef SUPPORT_MINT_H
#define SUPPORT_MINT_H

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/base64url.h"

#define MINT_MAX_BYTES (1024U * 1024)

static inline void mint_require(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "mint: %s\n", what);
    abort();
}

/* The private key tests/data/keys/NAME.pem; the caller frees it with EVP_PKEY_free(). */
static inline EVP_PKEY *mint_load_key(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof(path), SOURCE_DIR "/tests/data/keys/%s.pem", name);
    FILE *file = fopen(path, "r");
    mint_require(file != NULL, path);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    (void)fclose(file);
    mint_require(key != NULL, path);
    return key;
}

/* The text of tests/data/keys/NAME.pub.pem. */
static inline size_t mint_load_public_pem(const char *name, char *ret_text, size_t cap)
{
    char path[512];
    (void)snprintf(path, sizeof(path), SOURCE_DIR "/tests/data/keys/%s.pub.pem", name);
    FILE *file = fopen(path, "r");
    mint_require(file != NULL, path);
    size_t len = fread(ret_text, 1, cap, file);
    (void)fclose(file);
    return len;
}

static inline void mint_append_number(struct buf *out, const EVP_PKEY *key, const char *param)
{
    unsigned char bytes[1024];
    BIGNUM *number = NULL;
    mint_require(EVP_PKEY_get_bn_param(key, param, &number) == 1, param);
    int len = BN_bn2bin(number, bytes);
    BN_free(number);
    mint_require(base64url_encode_append(str_make((char *)bytes, (size_t)len), out) == 0, param);
}

/* Appends the public half as a JWK; MORE is further members, each with a comma before it. */
static inline void mint_append_jwk(struct buf *out, const EVP_PKEY *key, const char *kid,
                                   const char *more)
{
    (void)buf_printf(out, "{\"kty\":\"RSA\",\"kid\":\"%s\"%s,\"n\":\"", kid, more);
    mint_append_number(out, key, OSSL_PKEY_PARAM_RSA_N);
    (void)buf_append_cstr(out, "\",\"e\":\"");
    mint_append_number(out, key, OSSL_PKEY_PARAM_RSA_E);
    (void)buf_append_cstr(out, "\"}");
}

struct mint_signer {
    EVP_PKEY *key;
    const char *digest; /* NULL: SHA256 */
    int pss_salt;       /* 0: PKCS #1 v1.5; else RSA_PSS_SALTLEN_DIGEST or a length */
};

/* Signs BYTES into RET_SIGNATURE (1024 bytes) and returns the length. */
static inline size_t mint_sign(const struct mint_signer *signer, struct str bytes,
                               unsigned char *ret_signature)
{
    size_t len = 1024;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const char *digest = signer->digest != NULL ? signer->digest : "SHA256";
    mint_require(ctx != NULL &&
                     EVP_DigestSignInit_ex(ctx, &pctx, digest, NULL, NULL, signer->key, NULL) == 1,
                 "EVP_DigestSignInit");
    if (signer->pss_salt != 0)
        mint_require(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, signer->pss_salt) == 1,
                     "PSS");
    mint_require(
        EVP_DigestSign(ctx, ret_signature, &len, (const unsigned char *)bytes.ptr, bytes.len) == 1,
        "EVP_DigestSign");
    EVP_MD_CTX_free(ctx);
    return len;
}

/* Replaces the content of OUT by a token over these texts, whatever they hold. */
static inline void mint_token_bytes(struct buf *out, struct str header, struct str payload,
                                    const struct mint_signer *signer)
{
    unsigned char signature[1024];
    buf_clear(out);
    (void)base64url_encode_append(header, out);
    (void)buf_append_char(out, '.');
    (void)base64url_encode_append(payload, out);
    size_t len = mint_sign(signer, buf_str(out), signature);
    (void)buf_append_char(out, '.');
    (void)base64url_encode_append(str_make((char *)signature, len), out);
    mint_require(!buf_failed(out), "token too large");
}

static inline void mint_token(struct buf *out, const char *header, const char *payload,
                              const struct mint_signer *signer)
{
    mint_token_bytes(out, str_from_cstr(header), str_from_cstr(payload), signer);
}

#endif
