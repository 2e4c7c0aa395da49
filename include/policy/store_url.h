/* SPDX-License-Identifier: Apache-2.0 */
/* Where the shared store is: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`, or `unix:/path`. User
 * and password may be percent-encoded (RFC 3986 2.1). Pure. */
#ifndef POLICY_STORE_URL_H
#define POLICY_STORE_URL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define STORE_DEFAULT_PORT 6379
#define STORE_MAX_DB 65535
#define STORE_MAX_URL_BYTES 4096

struct store_url {
    struct str path; /* of a unix socket; absent: HOST */
    struct str host; /* without brackets */
    uint16_t port;
    struct str user;     /* still encoded; absent: none */
    struct str password; /* the same */
    unsigned db;
};

/* NULL, or what is wrong with TEXT: a sentence fragment that quotes nothing of it, as there may be
 * a password in it. *RET_URL borrows from TEXT. */
const char *store_url_parse(struct str text, struct store_url *ret_url);

/* Appends the bytes that TEXT stands for. TEXT came from store_url_parse(). 0 or -errno. */
int store_url_decode(struct str text, struct buf *out);

#endif
