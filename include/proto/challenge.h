/* SPDX-License-Identifier: Apache-2.0 */
/* The value of WWW-Authenticate: a Bearer challenge (RFC 6750 3) that names the protected resource
 * metadata (RFC 9728 5.1). */
#ifndef PROTO_CHALLENGE_H
#define PROTO_CHALLENGE_H

#include "base/buf.h"
#include "base/str.h"

/* Parameters in the order in which they are sent. An absent or empty one is left out. */
struct challenge {
    struct str resource_metadata; /* absolute URL of the metadata document */
    struct str scope;             /* names joined by SP */
    struct str error; /* "invalid_token", ...: no credentials, no error (RFC 6750 3.1) */
    struct str error_description;
};

/* Appends the value. 0; -EINVAL: a parameter holds a byte that RFC 6750 3 does not allow in it
 * (controls, non-ASCII, quote and backslash: what is left needs no escaping); -EMSGSIZE or -ENOMEM
 * of the buffer. On failure nothing is appended. */
int challenge_append(const struct challenge *challenge, struct buf *out);

#endif
