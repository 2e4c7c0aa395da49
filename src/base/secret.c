/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

void secret_wipe(void *ptr, size_t len)
{
    if (ptr != NULL)
        OPENSSL_cleanse(ptr, len);
}

/* Fetching an algorithm takes a lock and a search in OpenSSL 3, so it is done once. This is the
 * process's only cached look-up: it holds no state of ours, and is never freed before exit. */
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256_md;

static void sha256_release(void)
{
    EVP_MD_free(sha256_md);
    sha256_md = NULL;
}

static void sha256_fetch(void)
{
    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
    (void)atexit(sha256_release);
}

int secret_sha256(struct str bytes, uint8_t ret_digest[SHA256_LEN])
{
    (void)pthread_once(&sha256_once, sha256_fetch);
    if (sha256_md == NULL ||
        EVP_Digest(bytes.ptr, bytes.len, ret_digest, NULL, sha256_md, NULL) != 1) {
        ERR_clear_error();
        return -EIO;
    }
    return 0;
}
