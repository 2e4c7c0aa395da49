/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of the revisions before 2026-07-28 belong to the caller they were given to, without a
 * store: the id that the client sees is the upstream's id, a dot, and a MAC over issuer, subject,
 * route and that id. Every replica with the same key accepts it; a new token of the same subject
 * does, too. Pure.
 *
 * (MCP 2025-11-25, "Security Best Practices", session hijacking.) */
#ifndef AUTH_SESSION_H
#define AUTH_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define SESSION_KEY_LEN 32
#define SESSION_MAC_TEXT_LEN 43 /* base64url of an HMAC-SHA256 */
#define SESSION_MAX_ID_LEN 1024 /* of the upstream's id */

/* Whose session it is. */
struct session_owner {
    struct str issuer;
    struct str subject;
    struct str resource; /* of the route */
};

/* The key for a configured secret of any length (HMAC-based, with a label of its own). 0 or -EIO.
 */
int session_key_from_secret(struct str secret, uint8_t ret_key[SESSION_KEY_LEN]);

/* Appends the id for the client. 0; -EINVAL: UPSTREAM_ID is empty, too long, or has bytes that a
 * session id must not have (0x21 to 0x7e only); -EIO, -EMSGSIZE, -ENOMEM. */
int session_bind(const uint8_t key[SESSION_KEY_LEN], const struct session_owner *owner,
                 struct str upstream_id, struct buf *out);

/* False: this id was not given to this owner by anyone with this key. Takes the same time whatever
 * part of the MAC is wrong. *RET_UPSTREAM_ID borrows from CLIENT_ID. */
bool session_check(const uint8_t key[SESSION_KEY_LEN], const struct session_owner *owner,
                   struct str client_id, struct str *ret_upstream_id);

#endif
