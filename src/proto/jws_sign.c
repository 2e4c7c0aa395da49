/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL reads and judges the private key, libjwt signs with it. libjwt keeps no state between
 * signatures: it gets the key as text each time, which is what makes a signer fit for threads. */
#include "proto/jws_sign.h"

#include <errno.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/secret.h"
#include "proto/base64url.h"
#include "proto/jwk.h"
#include "proto/jws.h"

#define MAX_JWK_BYTES 4096 /* the numbers of 8192 bits take 1372 characters */
#define KID_LEN ((JWK_THUMBPRINT_LEN * 4 + 2) / 3) /* base64url without padding */
#define SELF_TEST_MAX_BYTES 8192

struct jws_signer {
    struct buf pem; /* the private key as libjwt wants it; wiped */
    struct buf jwk;
    char kid[KID_LEN + 1];
};

/* ---- the key ---- */

/* Without a callback OpenSSL asks at the terminal. */
static int refuse_passphrase(char *ret_passphrase, int size, int writing, void *ctx)
{
    bool *was_asked = ctx;
    (void)writing;
    if (size > 0)
        ret_passphrase[0] = '\0';
    *was_asked = true;
    return -1; /* there is none */
}

static bool is_public_key(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    const bool found = key != NULL;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return found;
}

static EVP_PKEY *read_pem(struct str pem, bool *ret_encrypted)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = NULL;
    if (bio != NULL)
        key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, ret_encrypted);
    BIO_free(bio);
    return key;
}

/* NULL, and why. */
static EVP_PKEY *read_key(struct str pem, const char **ret_why)
{
    bool encrypted = false;
    if (pem.len == 0 || pem.len > JWS_SIGN_MAX_PEM_BYTES) {
        *ret_why = pem.len == 0 ? "is empty" : "is too large for a key";
        return NULL;
    }
    EVP_PKEY *key = read_pem(pem, &encrypted);
    if (key == NULL)
        *ret_why = encrypted          ? "is encrypted; a key without a passphrase is needed"
                 : is_public_key(pem) ? "is a public key; the private one is needed"
                                      : "is no private key in PEM form";
    ERR_clear_error();
    return key;
}

/* Big-endian without leading zeros, as base64url (RFC 7518 2). */
static int set_number(json_t *object, const char *name, const EVP_PKEY *key, const char *param)
{
    uint8_t bytes[JWK_MAX_BITS / 8];
    struct buf text = buf_make(MAX_JWK_BYTES);
    BIGNUM *number = NULL;
    int r = -EINVAL;
    if (EVP_PKEY_get_bn_param(key, param, &number) == 1 &&
        BN_num_bytes(number) <= (int)sizeof(bytes)) {
        const size_t len = (size_t)BN_bn2bin(number, bytes);
        r = base64url_encode_append(str_make((const char *)bytes, len), &text);
        if (r == 0 && json_object_set_new(object, name, json_stringn(text.ptr, text.len)) < 0)
            r = -ENOMEM;
    }
    BN_free(number);
    buf_free(&text);
    return r;
}

/* The public half of a key as a JWK. Its kid is a stand-in until the thumbprint is known. */
static int make_jwk(const EVP_PKEY *key, json_t **ret_object)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s}", "kty", "RSA", "kid", "-", "use", "sig", "alg", "RS256");
    int r = object != NULL ? 0 : -ENOMEM;
    if (r == 0)
        r = set_number(object, "n", key, OSSL_PKEY_PARAM_RSA_N);
    if (r == 0)
        r = set_number(object, "e", key, OSSL_PKEY_PARAM_RSA_E);
    if (r < 0) {
        json_unref(&object);
        return r;
    }
    *ret_object = object;
    return 0;
}

/* Names the key by its thumbprint and writes the JWK down. */
static int keep_jwk(struct jws_signer *signer, json_t *object, const struct jwk *public_key)
{
    struct buf kid = buf_make(KID_LEN);
    const struct str thumbprint =
        str_make((const char *)public_key->thumbprint, sizeof(public_key->thumbprint));
    int r = base64url_encode_append(thumbprint, &kid);
    if (r == 0)
        memcpy(signer->kid, kid.ptr, KID_LEN);
    buf_free(&kid);
    if (r == 0 && json_object_set_new(object, "kid", json_string(signer->kid)) < 0)
        r = -ENOMEM;
    return r < 0 ? r : json_write(object, 0, &signer->jwk);
}

/* Writes the key anew, so that libjwt reads this key and nothing else that was in the text. */
static int keep_pem(struct jws_signer *signer, EVP_PKEY *key)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    int r = -ENOMEM;
    if (bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        const long len = BIO_get_mem_data(bio, &text);
        signer->pem = buf_make((size_t)len);
        r = buf_append(&signer->pem, str_make(text, (size_t)len));
    }
    BIO_free(bio);
    return r;
}

/* The numbers of a private key need not belong together, and libjwt is to say "alg" and "kid" as we
 * mean them: one signature tells. */
static int self_test(const struct jws_signer *signer, const struct jwk *public_key)
{
    struct buf token = buf_make(SELF_TEST_MAX_BYTES);
    struct jws_verifier *verifier = jws_verifier_make();
    struct jws_header header = {0};
    struct jws_parts parts;
    json_t *claims = json_object();
    int r = verifier != NULL && claims != NULL ? jws_sign(signer, claims, &token) : -ENOMEM;
    if (r == 0 && (jws_split(buf_str(&token), &parts) != JWS_OK ||
                   jws_header_read(parts.header, &header) != JWS_OK || header.alg != JWS_RS256 ||
                   !str_eq(header.kid, jws_signer_kid(signer)) ||
                   jws_verify(verifier, &parts, header.alg, public_key) != JWS_OK))
        r = -EIO;
    jws_header_clear(&header);
    json_decref(claims);
    (void)jws_verifier_free(verifier);
    buf_free(&token);
    return r;
}

/* Everything about a key that could be read; *RET_WHY is set with -EINVAL. */
static int fill(struct jws_signer *signer, EVP_PKEY *key, const char **ret_why)
{
    CLEANUP(json_unref) json_t *object = NULL;
    CLEANUP(jwk_clear) struct jwk public_key = {0};
    if (!EVP_PKEY_is_a(key, "RSA")) {
        *ret_why = jwk_rc_text(JWK_KTY);
        return -EINVAL;
    }
    int r = make_jwk(key, &object);
    if (r < 0) {
        *ret_why = jwk_rc_text(JWK_MODULUS);
        return r;
    }
    /* What we would not accept from an issuer we do not publish. */
    const enum jwk_rc rc = jwk_parse(object, &(struct str)STR_INIT("RS256"), 1, &public_key);
    if (rc != JWK_OK) {
        *ret_why = jwk_rc_text(rc);
        return rc == JWK_NO_MEMORY ? -ENOMEM : -EINVAL;
    }
    r = keep_jwk(signer, object, &public_key);
    if (r == 0)
        r = keep_pem(signer, key);
    if (r == 0)
        r = self_test(signer, &public_key);
    if (r == -EIO) {
        *ret_why = "is broken: what it signs does not verify with its own public key";
        return -EINVAL;
    }
    return r;
}

int jws_signer_new(struct str pem, struct jws_signer **ret_signer, const char **ret_why)
{
    EVP_PKEY *key = read_key(pem, ret_why);
    if (key == NULL)
        return -EINVAL;
    struct jws_signer *signer = calloc(1, sizeof(*signer));
    int r = -ENOMEM;
    if (signer != NULL) {
        signer->jwk = buf_make(MAX_JWK_BYTES);
        r = fill(signer, key, ret_why);
    }
    EVP_PKEY_free(key); /* wipes the private numbers */
    ERR_clear_error();
    if (r < 0) {
        (void)jws_signer_free(signer);
        return r;
    }
    *ret_signer = signer;
    return 0;
}

struct jws_signer *jws_signer_free(struct jws_signer *signer)
{
    if (signer == NULL)
        return NULL;
    secret_wipe(signer->pem.ptr, signer->pem.len);
    buf_free(&signer->pem);
    buf_free(&signer->jwk);
    free(signer);
    return NULL;
}

struct str jws_signer_kid(const struct jws_signer *signer)
{
    return str_make(signer->kid, KID_LEN);
}

struct str jws_signer_jwk(const struct jws_signer *signer)
{
    return buf_str(&signer->jwk);
}

/* ---- signatures ---- */

static int fault_of(int fault)
{
    return fault == ENOMEM ? -ENOMEM : -EIO;
}

/* TEXT: the claims, ends with a NUL. */
static int sign_text(const struct jws_signer *signer, const char *text, struct buf *out)
{
    jwt_t *jwt = NULL;
    char *token = NULL;
    int fault = jwt_new(&jwt);
    if (fault == 0)
        fault = jwt_add_grants_json(jwt, text);
    if (fault == 0)
        fault = jwt_add_header(jwt, "kid", signer->kid);
    if (fault == 0)
        fault = jwt_set_alg(jwt, JWT_ALG_RS256, (const unsigned char *)signer->pem.ptr,
                            (int)signer->pem.len);
    if (fault == 0) {
        errno = 0;
        token = jwt_encode_str(jwt);
        fault = token != NULL ? 0 : errno != 0 ? errno : EIO;
    }
    jwt_free(jwt); /* and its copy of the key */
    int r = fault == 0 ? buf_append(out, str_from_cstr(token)) : fault_of(fault);
    free(token);
    return r;
}

int jws_sign(const struct jws_signer *signer, const json_t *claims, struct buf *out)
{
    struct buf text = buf_make(JWS_SIGN_MAX_CLAIMS_BYTES + 1);
    int r = json_write(claims, 0, &text);
    if (r == 0)
        r = buf_append_char(&text, '\0');
    if (r == 0)
        r = sign_text(signer, text.ptr, out);
    if (r == -EIO)
        ERR_clear_error();
    buf_free(&text);
    return r;
}
