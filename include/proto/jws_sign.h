/* SPDX-License-Identifier: Apache-2.0 */
/* Signing of what we say ourselves: a JWT with RS256 (RFC 7515, 7519), by libjwt, of which this is
 * the one home. Only trusted data goes in; nothing is verified here. */
#ifndef PROTO_JWS_SIGN_H
#define PROTO_JWS_SIGN_H

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"

#define JWS_SIGN_MAX_PEM_BYTES 65536U
#define JWS_SIGN_MAX_CLAIMS_BYTES 32768U /* as compact JSON; libjwt copies it on the stack */

/* One private key, its key id and its public form. Immutable; may be shared by threads. */
struct jws_signer;

/* PEM: an RSA private key (PKCS #8 or PKCS #1, not encrypted) of which the public half is one that
 * jwk_parse() takes: 2048 to 8192 bits. Other text before and behind the key does not matter; of
 * several keys the first one counts. 0; -EINVAL: no such key, *RET_WHY says in a sentence fragment
 * what is wrong: "is encrypted; ..."; -ENOMEM. Takes milliseconds: one signature is made and
 * verified. */
int jws_signer_new(struct str pem, struct jws_signer **ret_signer, const char **ret_why);
/* Wipes the key. Takes NULL, returns NULL. */
struct jws_signer *jws_signer_free(struct jws_signer *signer);

/* The RFC 7638 thumbprint of the public key, base64url. */
struct str jws_signer_kid(const struct jws_signer *signer);
/* The public key as a JWK object with kty, n, e, kid, use "sig" and alg "RS256": JSON text. */
struct str jws_signer_jwk(const struct jws_signer *signer);

/* Appends the compact form of CLAIMS, an object, signed; header: alg, typ "JWT", kid. Takes about a
 * millisecond with 2048 bits. 0; -EMSGSIZE: CLAIMS or OUT is too large; -EIO: it could not be
 * signed, also because a string in CLAIMS holds U+0000, which libjwt does not take; -ENOMEM. */
int jws_sign(const struct jws_signer *signer, const json_t *claims, struct buf *out);

#endif
