/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jws.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/base64url.h"

#define MAX_SIGNATURE_BYTES (JWK_MAX_BITS / 8)

enum digest { DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512, DIGEST_COUNT };

static const char *const digest_names[DIGEST_COUNT] = {
    [DIGEST_SHA256] = "SHA2-256",
    [DIGEST_SHA384] = "SHA2-384",
    [DIGEST_SHA512] = "SHA2-512",
};

/* RFC 7518 3.3 and 3.5. */
static const struct {
    struct str name;
    enum digest digest;
    int padding;
} algorithms_table[JWS_ALG_COUNT] = {
    [JWS_RS256] = {STR_INIT("RS256"), DIGEST_SHA256, RSA_PKCS1_PADDING},
    [JWS_RS384] = {STR_INIT("RS384"), DIGEST_SHA384, RSA_PKCS1_PADDING},
    [JWS_RS512] = {STR_INIT("RS512"), DIGEST_SHA512, RSA_PKCS1_PADDING},
    [JWS_PS256] = {STR_INIT("PS256"), DIGEST_SHA256, RSA_PKCS1_PSS_PADDING},
    [JWS_PS384] = {STR_INIT("PS384"), DIGEST_SHA384, RSA_PKCS1_PSS_PADDING},
    [JWS_PS512] = {STR_INIT("PS512"), DIGEST_SHA512, RSA_PKCS1_PSS_PADDING},
};

struct jws_verifier {
    EVP_MD *digests[DIGEST_COUNT];
    EVP_MD_CTX *ctx;
};

struct str jws_alg_name(enum jws_alg alg)
{
    return algorithms_table[alg].name;
}

bool jws_alg_find(struct str name, enum jws_alg *ret_alg)
{
    for (size_t i = 0; i < ARRAY_LEN(algorithms_table); i++) {
        if (str_eq(name, algorithms_table[i].name)) {
            *ret_alg = (enum jws_alg)i;
            return true;
        }
    }
    return false;
}

bool jws_alg_is_allowed(enum jws_alg alg, const struct str *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        if (str_eq(names[i], jws_alg_name(alg)))
            return true;
    return false;
}

static enum jws_rc rc_of_dots(size_t n_dots)
{
    switch (n_dots) {
    case 0:
        return JWS_ONE_SEGMENT;
    case 2:
        return JWS_OK;
    case 4:
        return JWS_FIVE_SEGMENTS;
    default:
        return JWS_SEGMENTS;
    }
}

static size_t count_dots(struct str token)
{
    size_t n = 0;
    for (size_t i = 0; i < token.len; i++)
        n += token.ptr[i] == '.';
    return n;
}

enum jws_rc jws_split(struct str token, struct jws_parts *ret_parts)
{
    struct jws_parts parts = {0};
    struct str rest = token;
    enum jws_rc rc = rc_of_dots(count_dots(token));
    if (rc != JWS_OK)
        return rc;
    (void)str_split(&rest, '.', &parts.header);
    (void)str_split(&rest, '.', &parts.payload);
    parts.signature = rest;
    parts.signed_bytes = str_head(token, parts.header.len + 1 + parts.payload.len);
    if (parts.header.len == 0 || parts.payload.len == 0 || parts.signature.len == 0)
        return JWS_SEGMENTS;
    if (!base64url_is_valid(parts.header) || !base64url_is_valid(parts.payload) ||
        !base64url_is_valid(parts.signature))
        return JWS_BASE64;
    *ret_parts = parts;
    return JWS_OK;
}

static enum jws_rc decode_header(struct str segment, json_t **ret_json)
{
    const struct json_limits limits = {JWS_MAX_HEADER_BYTES, JWS_MAX_HEADER_DEPTH};
    uint8_t bytes[JWS_MAX_HEADER_BYTES];
    size_t len;
    json_t *json;
    if (base64url_decode(segment, bytes, sizeof(bytes), &len) < 0)
        return JWS_HEADER;
    enum json_rc rc = json_parse(str_make((const char *)bytes, len), limits, &json, NULL);
    if (rc != JSON_RC_OK)
        return rc == JSON_RC_NO_MEMORY ? JWS_NO_MEMORY : JWS_HEADER;
    if (!json_is_object(json)) {
        json_decref(json);
        return JWS_HEADER;
    }
    *ret_json = json;
    return JWS_OK;
}

/* RFC 9068 4 wants at+jwt; Auth0's legacy profile sends JWT; media types know no case. */
static bool is_typ_accepted(const json_t *json)
{
    static const struct str accepted[] = {
        STR_INIT("JWT"),
        STR_INIT("at+jwt"),
        STR_INIT("application/at+jwt"),
    };
    const json_t *typ = json_object_get(json, "typ");
    if (typ == NULL)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
        if (json_is_string(typ) && str_eq_nocase(json_str(typ), accepted[i]))
            return true;
    return false;
}

static enum jws_rc read_header(const json_t *json, struct jws_header *header)
{
    if (!jws_alg_find(json_get_str(json, "alg"), &header->alg))
        return JWS_ALG;
    if (!is_typ_accepted(json))
        return JWS_TYP;
    /* RFC 7515 4.1.11, RFC 7797 6: we understand no extension, and b64 is never unencoded here. */
    if (json_object_get(json, "crit") != NULL || json_object_get(json, "b64") != NULL)
        return JWS_CRIT;
    header->kid = json_get_str(json, "kid");
    if (header->kid.len == 0 || header->kid.len > JWS_MAX_KID_BYTES)
        return JWS_KID;
    return JWS_OK;
}

enum jws_rc jws_header_read(struct str segment, struct jws_header *ret_header)
{
    struct jws_header header = {0};
    enum jws_rc rc = decode_header(segment, &header.json);
    if (rc == JWS_OK)
        rc = read_header(header.json, &header);
    if (rc != JWS_OK) {
        jws_header_clear(&header);
        return rc;
    }
    *ret_header = header;
    return JWS_OK;
}

void jws_header_clear(struct jws_header *header)
{
    json_unref(&header->json);
    header->kid = (struct str){0};
}

struct jws_verifier *jws_verifier_make(void)
{
    struct jws_verifier *verifier = calloc(1, sizeof(*verifier));
    if (verifier == NULL)
        return NULL;
    verifier->ctx = EVP_MD_CTX_new();
    bool complete = verifier->ctx != NULL;
    for (size_t i = 0; i < DIGEST_COUNT; i++) {
        verifier->digests[i] = EVP_MD_fetch(NULL, digest_names[i], NULL);
        complete = complete && verifier->digests[i] != NULL;
    }
    if (!complete) {
        ERR_clear_error();
        return jws_verifier_free(verifier);
    }
    return verifier;
}

struct jws_verifier *jws_verifier_free(struct jws_verifier *verifier)
{
    if (verifier == NULL)
        return NULL;
    for (size_t i = 0; i < DIGEST_COUNT; i++)
        EVP_MD_free(verifier->digests[i]);
    EVP_MD_CTX_free(verifier->ctx);
    free(verifier);
    return NULL;
}

/* Prepares the context for one key and algorithm. MGF1 uses the same digest by default. */
static bool begin(struct jws_verifier *verifier, enum jws_alg alg, EVP_PKEY *key)
{
    const int padding = algorithms_table[alg].padding;
    EVP_PKEY_CTX *pctx = NULL; /* belongs to the digest context */
    if (EVP_DigestVerifyInit(verifier->ctx, &pctx, verifier->digests[algorithms_table[alg].digest],
                             NULL, key) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(pctx, padding) != 1)
        return false;
    return padding != RSA_PKCS1_PSS_PADDING ||
           EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

enum jws_rc jws_verify(struct jws_verifier *verifier, const struct jws_parts *parts,
                       enum jws_alg alg, const struct jwk *key)
{
    uint8_t signature[MAX_SIGNATURE_BYTES];
    size_t len;
    if (str_is_set(key->alg) && !str_eq(key->alg, jws_alg_name(alg)))
        return JWS_ALG;
    /* RFC 8017 8.1.2, 8.2.2: step 1 is the length; OpenSSL would take shorter ones for PSS. */
    if (base64url_decode(parts->signature, signature, sizeof(signature), &len) < 0 ||
        len != (size_t)EVP_PKEY_get_size(key->key))
        return JWS_SIGNATURE;
    bool good = begin(verifier, alg, key->key) &&
                EVP_DigestVerify(verifier->ctx, signature, len,
                                 (const unsigned char *)parts->signed_bytes.ptr,
                                 parts->signed_bytes.len) == 1;
    /* Without the reset the next EVP_DigestVerifyInit() would quietly go on with this key. */
    (void)EVP_MD_CTX_reset(verifier->ctx);
    if (!good)
        ERR_clear_error();
    return good ? JWS_OK : JWS_SIGNATURE;
}

const char *jws_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}
