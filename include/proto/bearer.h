/* SPDX-License-Identifier: Apache-2.0 */
/* One Authorization value as a bearer credential: RFC 6750 2.1, RFC 9110 11.4, rules 2 and 3 of
 * docs/TOKENS.md. No header, several headers and the query are the caller's to answer (rules 1, 4,
 * 5). */
#ifndef PROTO_BEARER_H
#define PROTO_BEARER_H

#include "base/str.h"

enum bearer_rc {
    BEARER_OK,
    BEARER_OTHER_SCHEME, /* no bearer credential is meant: another scheme, or an empty value */
    BEARER_MALFORMED,    /* the scheme is Bearer, what follows is not 1*SP b64token */
};

/* Reads VALUE, one field value; blanks around it are not part of it (RFC 9110 5.5). The scheme is
 * compared without case. BEARER_OK gives *ret_token, which borrows from VALUE; it holds b64token
 * characters only and is as long as VALUE at most (rule 6 is the caller's). */
enum bearer_rc bearer_parse(struct str value, struct str *ret_token);

#endif
