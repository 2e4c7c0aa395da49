/* SPDX-License-Identifier: Apache-2.0 */
/* Whether OpenSSL can do here what everything rests on, asked once before anybody relies on it. A
 * configuration may forbid an algorithm (FIPS), and OpenSSL 3.0 does not take it well when memory
 * is short while it builds its tables: it is then silently unable for as long as it runs. */
#ifndef PROTO_SELF_CHECK_H
#define PROTO_SELF_CHECK_H

/* Computes one SHA-256 and one HMAC-SHA256 with known results, and verifies an RS256 signature that
 * is good (RFC 7515 A.2) and one that is not. NULL when all is as it should be, else the name of
 * what was not. Less than a millisecond. What it fetches stays fetched. For the main thread. */
const char *self_check(void);

#endif
