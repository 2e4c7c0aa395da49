/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>

void secret_wipe(void *ptr, size_t len)
{
    if (ptr != NULL)
        OPENSSL_cleanse(ptr, len);
}

bool secret_eq(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

/* Fetching an algorithm takes a lock and a search in OpenSSL 3, so it is done once. These are the
 * process's only cached look-ups: they hold no state of ours, and are never freed before exit. */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;
/* An HMAC with its digest chosen and without a key: nobody changes it, everybody copies it. A copy
 * takes no lock either, where choosing the digest anew would search for it. */
static EVP_MAC_CTX *hmac_blank;

static void release(void)
{
    EVP_MD_free(sha256);
    sha256 = NULL;
    EVP_MAC_CTX_free(hmac_blank);
    hmac_blank = NULL;
}

static EVP_MAC_CTX *make_hmac_blank(void)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac); /* the context has a reference of its own */
    if (ctx != NULL && EVP_MAC_CTX_set_params(ctx, params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hmac_blank = make_hmac_blank();
    ERR_clear_error();
    (void)atexit(release);
}

int secret_sha256(struct str bytes, uint8_t ret_digest[SHA256_LEN])
{
    (void)pthread_once(&fetched, fetch);
    if (sha256 == NULL || EVP_Digest(bytes.ptr, bytes.len, ret_digest, NULL, sha256, NULL) != 1) {
        ERR_clear_error();
        return -EIO;
    }
    return 0;
}

struct hasher {
    EVP_MD_CTX *ctx;
};

struct hasher *hasher_make(void)
{
    (void)pthread_once(&fetched, fetch);
    struct hasher *hasher = calloc(1, sizeof(*hasher));
    if (hasher == NULL)
        return NULL;
    hasher->ctx = EVP_MD_CTX_new();
    return sha256 != NULL && hasher->ctx != NULL ? hasher : hasher_free(hasher);
}

struct hasher *hasher_free(struct hasher *hasher)
{
    if (hasher != NULL)
        EVP_MD_CTX_free(hasher->ctx);
    free(hasher);
    return NULL;
}

int hasher_sha256(struct hasher *hasher, struct str bytes, uint8_t ret_digest[SHA256_LEN])
{
    if (EVP_DigestInit_ex2(hasher->ctx, sha256, NULL) == 1 &&
        EVP_DigestUpdate(hasher->ctx, bytes.ptr, bytes.len) == 1 &&
        EVP_DigestFinal_ex(hasher->ctx, ret_digest, NULL) == 1)
        return 0;
    ERR_clear_error();
    return -EIO;
}

static const unsigned char *bytes_of(struct str text)
{
    return (const unsigned char *)text.ptr;
}

/* NULL: no memory, or no HMAC in this OpenSSL. */
static EVP_MAC_CTX *hmac_begin(struct str key)
{
    assert(key.len > 0); /* OpenSSL would go on with the key before, which is none */
    (void)pthread_once(&fetched, fetch);
    EVP_MAC_CTX *ctx = hmac_blank != NULL ? EVP_MAC_CTX_dup(hmac_blank) : NULL;
    if (ctx != NULL && EVP_MAC_init(ctx, bytes_of(key), key.len, NULL) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static bool hmac_add_part(EVP_MAC_CTX *ctx, struct str part)
{
    const uint64_t len = htobe64(part.len);
    return EVP_MAC_update(ctx, (const unsigned char *)&len, sizeof(len)) == 1 &&
           EVP_MAC_update(ctx, bytes_of(part), part.len) == 1;
}

/* Wipes and frees the context. */
static int hmac_end(EVP_MAC_CTX *ctx, bool good, uint8_t ret_mac[SHA256_LEN])
{
    uint8_t mac[SHA256_LEN];
    size_t len = 0;
    good = good && EVP_MAC_final(ctx, mac, &len, sizeof(mac)) == 1 && len == sizeof(mac);
    EVP_MAC_CTX_free(ctx);
    if (!good) {
        ERR_clear_error();
        return -EIO;
    }
    memcpy(ret_mac, mac, sizeof(mac));
    return 0;
}

int secret_hmac(struct str key, struct str message, uint8_t ret_mac[SHA256_LEN])
{
    EVP_MAC_CTX *ctx = hmac_begin(key);
    bool good = ctx != NULL && EVP_MAC_update(ctx, bytes_of(message), message.len) == 1;
    return hmac_end(ctx, good, ret_mac);
}

int secret_hmac_parts(struct str key, const struct str *parts, size_t n_parts,
                      uint8_t ret_mac[SHA256_LEN])
{
    EVP_MAC_CTX *ctx = hmac_begin(key);
    bool good = ctx != NULL;
    for (size_t i = 0; i < n_parts && good; i++)
        good = hmac_add_part(ctx, parts[i]);
    return hmac_end(ctx, good, ret_mac);
}
