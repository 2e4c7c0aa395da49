/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON Web Key as a verification key: RFC 7517, RFC 7518 6.3, rule 14 of docs/TOKENS.md.
 * The only members used are kty, kid, use, key_ops, alg, n and e; never x5c and x5t. */
#ifndef PROTO_JWK_H
#define PROTO_JWK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/str.h"

#define JWK_MIN_BITS 2048
#define JWK_MAX_BITS 8192
#define JWK_MAX_KID_BYTES 256
#define JWK_THUMBPRINT_LEN 32 /* SHA-256 */

/* OpenSSL's EVP_PKEY, opaque outside proto/jwk.c and proto/jws.c. */
struct evp_pkey_st;

struct jwk {
    struct str kid;
    struct str alg;                         /* absent when the JWK names none */
    char *text;                             /* owned: what kid and alg borrow from */
    struct evp_pkey_st *key;                /* RSA public key, owned */
    uint8_t thumbprint[JWK_THUMBPRINT_LEN]; /* of n and e (RFC 7638) */
};

enum jwk_rc {
    JWK_OK,
    JWK_NOT_OBJECT,
    JWK_KTY,      /* not RSA */
    JWK_KID,      /* missing, empty, not a string, longer than 256 bytes */
    JWK_USE,      /* use present and not "sig", or key_ops present without "verify" */
    JWK_ALG,      /* alg present and not allowed by the policy */
    JWK_PRIVATE,  /* d, p, q, dp, dq, qi, oth or k present */
    JWK_MODULUS,  /* n missing, not strict base64url, even, or not 2048..8192 bits */
    JWK_EXPONENT, /* e missing, even, or not 17..32 bits long; 65537 is usual */
    JWK_NO_MEMORY,
};
const char *jwk_rc_text(enum jwk_rc rc);

/* Makes a key from one member of "keys". On JWK_OK *ret_key is the caller's (jwk_clear). */
enum jwk_rc jwk_parse(const json_t *object, const struct str *algorithms, size_t n_algorithms,
                      struct jwk *ret_key);
/* Frees what a key owns; harmless on a zeroed one. */
void jwk_clear(struct jwk *key);

#endif
