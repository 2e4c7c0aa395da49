/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of auth/token share. */
#ifndef AUTH_TOKEN_INT_H
#define AUTH_TOKEN_INT_H

#include "auth/token.h"

/* Adds to identity->claims what ROUTE reads of the payload and is not there yet. TOKEN_OK or
 * TOKEN_NO_MEMORY: then some of it is missing. */
enum token_rc token_keep_claims(struct identity *identity, const struct route *route);

#endif
