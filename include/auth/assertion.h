/* SPDX-License-Identifier: Apache-2.0 */
/* The signed statement about a verified caller that goes upstream (routes[].upstream.assertion): a
 * short-lived JWT, made once per identity, route and lifetime and kept with the identity, so that a
 * cached token costs no signature per request. docs/POLICY.md, "What the upstream is told", lists
 * its claims. Pure but for what is kept in the identity.
 *
 * An assertion lives for the configured time, but never past the token's exp. It is renewed when
 * less than a quarter of its lifetime is left and a new one would live longer, so the upstream
 * gets one with at least a quarter left until the token itself comes to its end. A token that is
 * past its exp, and accepted for the clock skew, has an assertion that is past it, too. */
#ifndef AUTH_ASSERTION_H
#define AUTH_ASSERTION_H

#include <stdint.h>

#include "auth/token.h"
#include "base/str.h"
#include "policy/config.h"

/* A longer one is not sent: most servers would refuse the whole request. */
#define ASSERTION_MAX_BYTES (16U * 1024)

/* The assertion of ROUTE, which has one configured, about IDENTITY at NOW_S; FINGERPRINT is that of
 * the token. ROUTE is of the config that the identity was checked under. *RET_JWT borrows from the
 * identity until the next call for it. 0; -EMSGSIZE: the claims that the policy wants copied make
 * it too long; -EIO: it could not be signed (jws_sign()); -ENOMEM. */
int assertion_get(const struct route *route, struct identity *identity, const char *fingerprint,
                  int64_t now_s, struct str *ret_jwt);

/* One kept assertion; the list belongs to the identity. */
struct assertion;
struct assertion *assertion_free_all(struct assertion *first); /* takes NULL, returns NULL */

#endif
