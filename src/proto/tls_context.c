/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, keys, and what a handshake may use. */
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "proto/tls_int.h"

#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TICKET_LIFETIME_S 3600
#define MAX_CHAIN 16
#define MAX_CLIENT_CHAIN_BYTES (32 * 1024)
/* A CertificateRequest has 64 KiB for the names of the CAs, and for what else it says (RFC
 * 8446 4.3.2, RFC 5246 7.4.4): each has two bytes of length before it. */
#define MAX_CLIENT_CA_NAMES 60000

struct loading {
    struct tls_context *context;
    struct tls_fault *fault;
};

static int fail(const struct loading *loading, enum tls_part part, const char *text)
{
    *loading->fault = (struct tls_fault){.part = part, .text = text};
    return -EINVAL;
}

static void bio_cleanup(BIO **bio)
{
    (void)BIO_free(*bio);
}

static void x509_cleanup(X509 **certificate)
{
    X509_free(*certificate);
}

static void key_cleanup(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static BIO *reader_of(struct str pem)
{
    return pem.len <= INT_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
}

/* Notes that a password was asked for, and has none. */
static int no_password(char *room, /* NOLINT: OpenSSL gives the type */
                       int room_len, int for_writing, void *asked)
{
    (void)room;
    (void)room_len;
    (void)for_writing;
    if (asked != NULL)
        *(bool *)asked = true;
    return -1;
}

/* Why OpenSSL does not take a certificate or key; the newest of its errors says it. */
static const char *refusal_text(void)
{
    switch (ERR_GET_REASON(ERR_peek_last_error())) {
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
        return "has a key that is too short to be safe: RSA needs 2048 bits, EC 224";
    case SSL_R_CA_MD_TOO_WEAK:
        return "is signed with a digest that is not safe any more";
    default:
        return "is of a kind that TLS cannot use";
    }
}

/* ---- the server's certificates ---- */

static int64_t seconds_of(const ASN1_TIME *time, int64_t otherwise)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : otherwise;
}

static void narrow_validity(struct tls_validity *validity, const X509 *certificate)
{
    int64_t from = seconds_of(X509_get0_notBefore(certificate), INT64_MAX);
    int64_t until = seconds_of(X509_get0_notAfter(certificate), INT64_MIN);
    if (from > validity->from_s)
        validity->from_s = from;
    if (until < validity->until_s)
        validity->until_s = until;
}

/* The rest of the file: the chain. The end of the texts is an error of OpenSSL's, too. */
static int load_chain(const struct loading *loading, BIO *bio)
{
    struct tls_context *context = loading->context;
    for (int i = 0; i < MAX_CHAIN; i++) {
        X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);
        if (certificate == NULL && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
            return 0;
        if (certificate == NULL)
            return fail(loading, TLS_CERTIFICATE, "holds a certificate that cannot be read");
        narrow_validity(&context->validity, certificate);
        if (SSL_CTX_add0_chain_cert(context->ssl, certificate) != 1) {
            X509_free(certificate);
            return fail(loading, TLS_CERTIFICATE, refusal_text());
        }
    }
    return fail(loading, TLS_CERTIFICATE, "holds more than 16 certificates");
}

static int load_certificates(const struct loading *loading, struct str pem)
{
    struct tls_context *context = loading->context;
    CLEANUP(bio_cleanup) BIO *bio = reader_of(pem);
    if (bio == NULL)
        return -ENOMEM;
    CLEANUP(x509_cleanup) X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
    if (leaf == NULL)
        return fail(loading, TLS_CERTIFICATE, "holds no certificate that can be read");
    context->validity = (struct tls_validity){.from_s = INT64_MIN, .until_s = INT64_MAX};
    narrow_validity(&context->validity, leaf);
    if (SSL_CTX_use_certificate(context->ssl, leaf) != 1)
        return fail(loading, TLS_CERTIFICATE, refusal_text());
    return load_chain(loading, bio);
}

/* ---- its key ---- */

static bool belongs_to_chain(const SSL_CTX *ssl, const EVP_PKEY *key)
{
    STACK_OF(X509) *chain = NULL;
    (void)SSL_CTX_get0_chain_certs((SSL_CTX *)(uintptr_t)ssl, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (X509_check_private_key(sk_X509_value(chain, i), key) == 1)
            return true;
    return false;
}

static int load_key(const struct loading *loading, struct str pem)
{
    const struct tls_context *context = loading->context;
    bool asked = false;
    CLEANUP(bio_cleanup) BIO *bio = reader_of(pem);
    if (bio == NULL)
        return -ENOMEM;
    CLEANUP(key_cleanup) EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &asked);
    if (key == NULL && asked)
        return fail(loading, TLS_KEY,
                    "is encrypted; write it without a password (openssl pkey -in KEY -out "
                    "PLAIN) into a file that only this service may read");
    if (key == NULL)
        return fail(loading, TLS_KEY, "holds no private key that can be read");
    if (X509_check_private_key(SSL_CTX_get0_certificate(context->ssl), key) == 1)
        return SSL_CTX_use_PrivateKey(context->ssl, key) == 1
                 ? 0
                 : fail(loading, TLS_KEY, refusal_text());
    if (belongs_to_chain(context->ssl, key))
        return fail(loading, TLS_CERTIFICATE,
                    "does not begin with the server's own certificate; put that one first, and "
                    "those of its CAs behind it");
    return fail(loading, TLS_KEY, "does not belong to the certificate");
}

/* ---- clients' certificates ---- */

static int trust(SSL_CTX *ssl, X509 *certificate)
{
    bool ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), certificate) == 1 &&
              SSL_CTX_add_client_CA(ssl, certificate) == 1;
    return ok ? 0 : -ENOMEM;
}

static size_t name_bytes(const X509 *certificate)
{
    int n = i2d_X509_NAME(X509_get_subject_name(certificate), NULL);
    return n > 0 ? (size_t)n + 2 : 2;
}

static int trust_all(const struct loading *loading, BIO *bio, size_t *ret_names)
{
    int r = 0;
    size_t names = 0;
    while (r == 0 && names <= MAX_CLIENT_CA_NAMES) {
        CLEANUP(x509_cleanup) X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);
        if (certificate == NULL)
            break;
        names += name_bytes(certificate);
        r = trust(loading->context->ssl, certificate);
    }
    *ret_names = names;
    return r;
}

/* A certificate is looked at in a full handshake only: a resumed session would go on when it has
 * expired, or its CA is no longer trusted. NO_TICKET is for TLS 1.2; with 1.3 it would make tickets
 * that name a session of the server's memory. A CA of the file counts whether or not it signed
 * itself: who wants the clients of one intermediate only names that one. */
static void ask_for_certificates(SSL_CTX *ssl)
{
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    (void)SSL_CTX_set_num_tickets(ssl, 0);
    (void)SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
    (void)X509_STORE_set_flags(SSL_CTX_get_cert_store(ssl), X509_V_FLAG_PARTIAL_CHAIN);
}

static int load_client_ca(const struct loading *loading, struct str pem)
{
    CLEANUP(bio_cleanup) BIO *bio = reader_of(pem);
    size_t names = 0;
    int r = bio != NULL ? trust_all(loading, bio, &names) : -ENOMEM;
    if (r < 0)
        return r;
    if (names > MAX_CLIENT_CA_NAMES)
        return fail(loading, TLS_CLIENT_CA,
                    "holds more certificates than clients can be told of: their subjects' names "
                    "may have 60000 bytes together");
    if (names == 0)
        return fail(loading, TLS_CLIENT_CA, "holds no certificate that can be read");
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return fail(loading, TLS_CLIENT_CA, "holds a certificate that cannot be read");
    ask_for_certificates(loading->context->ssl);
    return 0;
}

/* ---- what a handshake may use ---- */

/* RFC 7301 3.2: a client that names protocols, and not ours, must be told. */
static int select_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                           const unsigned char *list, unsigned int list_len, void *arg)
{
    static const unsigned char ours[] = "http/1.1";
    const unsigned len = sizeof(ours) - 1;
    (void)ssl;
    (void)arg;
    for (unsigned at = 0; at < list_len && list[at] < list_len - at; at += list[at] + 1U) {
        if (list[at] != len || memcmp(list + at + 1, ours, len) != 0)
            continue;
        *ret_name = list + at + 1;
        *ret_len = (unsigned char)len;
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* RFC 8446 4.2.1: a list of versions, two bytes each, behind a byte with its length. */
static bool offers_tls13(SSL *ssl)
{
    const unsigned char *bytes = NULL;
    size_t len = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &bytes, &len) != 1)
        return false;
    for (size_t i = 1; i + 1 < len; i += 2)
        if (bytes[i] == TLS1_3_VERSION >> 8 && bytes[i + 1] == (TLS1_3_VERSION & 0xff))
            return true;
    return false;
}

static int on_client_hello(SSL *ssl, int *ret_alert, /* NOLINT: OpenSSL gives the type */
                           void *arg)
{
    (void)ret_alert;
    (void)arg;
    if (!offers_tls13(ssl))
        (void)SSL_set_options(ssl, SSL_OP_NO_TICKET);
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* CLEANSE_PLAINTEXT: requests hold tokens, and the buffer they were decrypted in is freed when it
 * is empty. NO_AUTO_CHAIN: the chain is what the file says, and is not put together anew, from the
 * clients' CAs, in every handshake. */
static bool set_rules(SSL_CTX *ssl)
{
    static const unsigned char name[] = "portcullis"; /* of sessions that may be resumed */
    SSL_CTX_set_security_level(ssl, 2);
    (void)SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CLEANSE_PLAINTEXT);
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    (void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_timeout(ssl, TICKET_LIFETIME_S);
    SSL_CTX_set_max_cert_list(ssl, MAX_CLIENT_CHAIN_BYTES);
    SSL_CTX_set_read_ahead(ssl, 1); /* a record in one read, not its head first */
    SSL_CTX_set_alpn_select_cb(ssl, select_protocol, NULL);
    SSL_CTX_set_client_hello_cb(ssl, on_client_hello, NULL);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ssl, 0) == 1 &&
           SSL_CTX_set_cipher_list(ssl, CIPHERS_TLS12) == 1 &&
           SSL_CTX_set_ciphersuites(ssl, CIPHERS_TLS13) == 1 &&
           SSL_CTX_set_num_tickets(ssl, 1) == 1 &&
           SSL_CTX_set_session_id_context(ssl, name, sizeof(name) - 1) == 1;
}

/* ---- life ---- */

static struct tls_context *context_new(void)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL)
        return NULL;
    atomic_init(&context->refs, 1);
    context->ssl = SSL_CTX_new(TLS_server_method());
    context->bio = tls_bio_method_new();
    if (context->ssl == NULL || context->bio == NULL || !set_rules(context->ssl))
        return tls_context_unref(context);
    return context;
}

int tls_context_new(const struct tls_material *material, struct tls_context **ret_context,
                    struct tls_fault *ret_fault)
{
    struct tls_context *context = context_new();
    struct loading loading = {.context = context, .fault = ret_fault};
    if (context == NULL)
        return -ENOMEM;
    ERR_clear_error();
    int r = load_certificates(&loading, material->certificate);
    if (r == 0)
        r = load_key(&loading, material->key);
    ERR_clear_error();
    if (r == 0 && str_is_set(material->client_ca))
        r = load_client_ca(&loading, material->client_ca);
    ERR_clear_error();
    if (r == 0)
        *ret_context = TAKE(context);
    (void)tls_context_unref(context);
    return r;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    (void)atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    return context;
}

struct tls_context *tls_context_unref(struct tls_context *context)
{
    if (context == NULL || atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->bio);
    free(context);
    return NULL;
}

struct tls_validity tls_context_validity(const struct tls_context *context)
{
    return context->validity;
}

void tls_ca_places(const char **ret_file, const char **ret_folder)
{
    *ret_file = X509_get_default_cert_file();
    *ret_folder = X509_get_default_cert_dir();
}
