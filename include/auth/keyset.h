/* SPDX-License-Identifier: Apache-2.0 */
/* The verification keys of one issuer at one moment: an immutable, counted snapshot.
 *
 * Built by the fleet thread from a JWKS document, shared by all workers, freed with the last
 * reference (thread-safe counting). Its life cycle, with the refresh, is auth/jwks.h. */
#ifndef AUTH_KEYSET_H
#define AUTH_KEYSET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "proto/jwk.h"

#define KEYSET_MAX_BYTES (256U * 1024)
#define KEYSET_MAX_KEYS 32

struct keyset;

/* What was found in a document, for one log line. */
struct keyset_report {
    unsigned usable;
    unsigned skipped;              /* keys that rule 14 refuses, one that is not RSA included */
    const char *first_skip_reason; /* static text, NULL when none was skipped */
};

/* Parses a JWKS document (RFC 7517 5). 0; -EINVAL: not a JWKS, or past KEYSET_MAX_BYTES or
 * KEYSET_MAX_KEYS; -ENOKEY: no usable key in it; -ENOMEM. *ret_report is set with 0 and -ENOKEY.
 * ALGORITHMS are those the policy allows for the issuer. LOADED_MONO_MS is the time of the fetch.
 * The caller owns *ret_keyset. */
int keyset_parse(struct str document, const struct str *algorithms, size_t n_algorithms,
                 int64_t loaded_mono_ms, struct keyset_report *ret_report,
                 struct keyset **ret_keyset);

struct keyset *keyset_ref(struct keyset *keyset);
struct keyset *keyset_unref(struct keyset *keyset); /* takes NULL, returns NULL */

/* The key with exactly this kid, or NULL. Borrows from the keyset. */
const struct jwk *keyset_find(const struct keyset *keyset, struct str kid);
size_t keyset_count(const struct keyset *keyset);
int64_t keyset_loaded_mono_ms(const struct keyset *keyset);
/* True when KEYSET (which may be NULL) holds the public key with this thumbprint under this kid. */
bool keyset_contains(const struct keyset *keyset, struct str kid,
                     const uint8_t thumbprint[JWK_THUMBPRINT_LEN]);

#endif
