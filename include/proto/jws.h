/* SPDX-License-Identifier: Apache-2.0 */
/* A compact JWS (RFC 7515): split, header, signature. Rules 7 to 13 and 15 of docs/TOKENS.md.
 *
 * Three steps, each usable only with the result of the one before: jws_split() gives views,
 * jws_header_read() decides whether the header is acceptable at all, jws_verify() holds the
 * signature against one key. Only RSA: RS256, RS384, RS512 (PKCS #1 v1.5) and PS256, PS384, PS512
 * (PSS, salt as long as the hash, RFC 7518 3.5). */
#ifndef PROTO_JWS_H
#define PROTO_JWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "proto/jwk.h"

#define JWS_MAX_HEADER_BYTES 4096 /* decoded */
#define JWS_MAX_HEADER_DEPTH 8
#define JWS_MAX_KID_BYTES JWK_MAX_KID_BYTES

enum jws_rc {
    JWS_OK,
    JWS_ONE_SEGMENT,   /* no dot: an opaque token, not a JWS */
    JWS_FIVE_SEGMENTS, /* four dots: a JWE */
    JWS_SEGMENTS,      /* another number of segments, or an empty one */
    JWS_BASE64,        /* a segment is not strict base64url */
    JWS_HEADER,        /* not a JSON object of at most 4 KiB, not UTF-8, a duplicate member */
    JWS_ALG,           /* missing, not one of enum jws_alg, or not the one the key is for */
    JWS_TYP,           /* present and neither JWT nor at+jwt */
    JWS_CRIT,          /* crit or b64 present: an extension that changes the meaning */
    JWS_KID,           /* missing, empty, longer than 256 bytes, or not a string */
    JWS_SIGNATURE,
    JWS_NO_MEMORY,
};

enum jws_alg { JWS_RS256, JWS_RS384, JWS_RS512, JWS_PS256, JWS_PS384, JWS_PS512, JWS_ALG_COUNT };

/* The name of ALG in headers and policies: "RS256". */
struct str jws_alg_name(enum jws_alg alg);
/* True and *ret_alg when NAME is byte for byte the name of a supported algorithm. */
bool jws_alg_find(struct str name, enum jws_alg *ret_alg);
/* Rule 10: ALG is among NAMES, the algorithms of one issuer in the policy (RFC 8725 3.1). */
bool jws_alg_is_allowed(enum jws_alg alg, const struct str *names, size_t n_names);

/* Views of the segments, all borrowed from the token. */
struct jws_parts {
    struct str header;       /* base64url text, not empty, its characters checked */
    struct str payload;      /* the same */
    struct str signature;    /* the same */
    struct str signed_bytes; /* header "." payload, exactly as received (RFC 7515 5.2) */
};

/* Rules 7 and 8: JWS_OK, JWS_ONE_SEGMENT, JWS_FIVE_SEGMENTS, JWS_SEGMENTS or JWS_BASE64. */
enum jws_rc jws_split(struct str token, struct jws_parts *ret_parts);

/* What the header says, as far as it counts. jku, x5u, jwk, x5c and everything else is ignored. */
struct jws_header {
    struct arena *arena; /* owned: what kid borrows from */
    enum jws_alg alg;
    struct str kid;
};

/* Rules 9 to 13 for the header segment of a split token, as far as they need nothing but the
 * header: "alg" must be one that we support at all; whether the policy allows it for the issuer is
 * jws_alg_is_allowed(). JWS_OK gives *ret_header, to be freed with jws_header_clear(). */
enum jws_rc jws_header_read(struct str segment, struct jws_header *ret_header);
/* Frees what the header owns; harmless on a zeroed one. */
void jws_header_clear(struct jws_header *header);

/* What one thread needs to verify: fetched digests, and the last few keys, each made ready for an
 * algorithm. It has references to these keys, so that their memory may outlive their keyset; which
 * key counts is for the caller to say each time. */
struct jws_verifier;
struct jws_verifier *jws_verifier_make(void);                          /* NULL: no memory */
struct jws_verifier *jws_verifier_free(struct jws_verifier *verifier); /* takes NULL, gives NULL */

/* Rule 15: JWS_OK when PARTS is signed with KEY under ALG. JWS_ALG when the key names another
 * algorithm (RFC 7517 4.4), JWS_NO_MEMORY when it could not be found out; else JWS_SIGNATURE. */
enum jws_rc jws_verify(struct jws_verifier *verifier, const struct jws_parts *parts,
                       enum jws_alg alg, const struct jwk *key);

/* The version of OpenSSL that the program runs on: "3.0.15". */
const char *jws_library_version(void);

#endif
