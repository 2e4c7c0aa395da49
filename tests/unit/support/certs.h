/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates, made for the test that asks for them. */
#ifndef SUPPORT_CERTS_H
#define SUPPORT_CERTS_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/str.h"
#include "support/cmocka_all.h"

struct cert {
    EVP_PKEY *key;
    X509 *x509;
    char certificate_pem[2048];
    char key_pem[2048];
};

static inline void cert_pem(BIO *bio, char *ret, size_t room)
{
    int n = BIO_read(bio, ret, (int)room - 1);
    assert_in_range(n, 1, room - 2);
    ret[n] = '\0';
    (void)BIO_free(bio);
}

static inline void cert_extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

struct cert_wish {
    const char *name;
    const struct cert *by; /* NULL: signs itself, and is a CA */
    bool is_ca;
    int rsa_bits;         /* 0: EC on P-256 */
    long from_s, until_s; /* from now; both 0: valid for an hour */
};

static inline struct cert cert_make(const struct cert_wish *wish)
{
    static long serial = 1;
    struct cert cert = {.x509 = X509_new()};
    cert.key = wish->rsa_bits > 0 ? EVP_RSA_gen((unsigned)wish->rsa_bits) : EVP_EC_gen("P-256");
    assert_non_null(cert.key);
    X509 *issuer = wish->by != NULL ? wish->by->x509 : cert.x509;
    bool is_default = wish->from_s == 0 && wish->until_s == 0;
    assert_int_equal(X509_set_version(cert.x509, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert.x509), serial++), 1);
    assert_non_null(
        X509_gmtime_adj(X509_getm_notBefore(cert.x509), is_default ? -60 : wish->from_s));
    assert_non_null(
        X509_gmtime_adj(X509_getm_notAfter(cert.x509), is_default ? 3600 : wish->until_s));
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.x509), "CN",
                                                MBSTRING_ASC, (const unsigned char *)wish->name, -1,
                                                -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(cert.x509, X509_get_subject_name(issuer)), 1);
    assert_int_equal(X509_set_pubkey(cert.x509, cert.key), 1);
    cert_extend(cert.x509, issuer, NID_basic_constraints,
                wish->by == NULL || wish->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    assert_true(X509_sign(cert.x509, wish->by != NULL ? wish->by->key : cert.key, EVP_sha256()) >
                0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, cert.x509), 1);
    cert_pem(bio, cert.certificate_pem, sizeof(cert.certificate_pem));
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, cert.key, NULL, NULL, 0, NULL, NULL), 1);
    cert_pem(bio, cert.key_pem, sizeof(cert.key_pem));
    return cert;
}

static inline void cert_free(struct cert *cert)
{
    EVP_PKEY_free(cert->key);
    X509_free(cert->x509);
    *cert = (struct cert){0};
}

#endif
