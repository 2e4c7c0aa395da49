/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of TLS: tls_context.c (certificates, and what a handshake may use), tls.c (one
 * connection). */
#ifndef PROTO_TLS_INT_H
#define PROTO_TLS_INT_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "proto/tls.h"

struct tls_context {
    atomic_uint refs;
    SSL_CTX *ssl;
    BIO_METHOD *bio; /* between OpenSSL and the owner's functions */
    struct tls_validity validity;
};

/* tls.c: NULL when memory is short. */
BIO_METHOD *tls_bio_method_new(void);

#endif
