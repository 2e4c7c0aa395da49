/* SPDX-License-Identifier: Apache-2.0 */
/* The last good keys of each issuer on disk (jwks.cache_dir), so that a restart survives an outage
 * of the issuer: one small file for each, docs/TOKENS.md tells when it counts.
 *
 * Who can write such a file can make tokens, so only a regular file counts that is ours, that
 * nobody else may write, that is complete, of the same issuer, jwks_uri and CAs, not too old
 * and not from the future. Only what a JWK publishes is kept, never a private member.
 *
 * Files are written by a thread of the cache, so that a slow disk, or a network file system that
 * hangs, never holds up the fleet; everything else belongs to the thread that opened the cache. */
#ifndef AUTH_JWKS_CACHE_H
#define AUTH_JWKS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/keyset.h"
#include "base/buf.h"
#include "base/str.h"
#include "net/mailbox.h"
#include "policy/config.h"

/* A file has the set and little else. */
#define JWKS_CACHE_MAX_BYTES (KEYSET_MAX_BYTES + 32U * 1024)
#define JWKS_CACHE_MAX_NAME 128

enum jwks_cache_rc {
    JWKS_CACHE_OK,
    JWKS_CACHE_NONE,       /* there is no file */
    JWKS_CACHE_UNREADABLE, /* it cannot be opened or read */
    JWKS_CACHE_KIND,       /* a symbolic link, a folder, a device, or with a second name */
    JWKS_CACHE_OWNER,      /* of another user */
    JWKS_CACHE_MODE,       /* others may write it */
    JWKS_CACHE_SIZE,
    JWKS_CACHE_MALFORMED, /* cut off, no strict JSON, other members than we write */
    JWKS_CACHE_ISSUER,
    JWKS_CACHE_JWKS_URI,
    JWKS_CACHE_TRUST, /* fetched while other CAs were trusted (issuers.*.ca_file, its content) */
    JWKS_CACHE_FUTURE,
    JWKS_CACHE_OLD,
    JWKS_CACHE_KEYS, /* no usable key in it, by the rules of a fetched set */
    JWKS_CACHE_NO_MEMORY,
};
/* A sentence fragment for people: "was fetched too long ago". */
const char *jwks_cache_rc_text(enum jwks_cache_rc rc);

/* ---- one entry as text: pure ---- */

/* Appends the entry for DOCUMENT, a JWK set that ISSUER has published at JWKS_URI. Of each key only
 * the members of RFC 7517 4 and 7518 6.3.1 are kept that say something about verifying; a key with
 * a private member is left out whole. 0; -EINVAL: DOCUMENT is no JWK set; -ENOMEM, -EMSGSIZE. */
int jwks_cache_append_entry(const struct issuer_config *issuer, struct str jwks_uri,
                            int64_t fetched_at_s, struct str document, struct buf *out);
/* Reads TEXT for ISSUER at NOW_S (wall clock). OK: the set is appended to RET_JWKS, to be parsed as
 * a fetched one is, and *RET_FETCHED_AT_S is at most MAX_AGE_MS ago. Where the policy names no
 * jwks_uri, that of the entry must have been discovered, on the issuer's own origin. */
enum jwks_cache_rc jwks_cache_read_entry(struct str text, const struct issuer_config *issuer,
                                         int64_t now_s, int64_t max_age_ms,
                                         int64_t *ret_fetched_at_s, struct buf *ret_jwks);
/* The name of its file: the issuer's host for people, and a hash of the whole. 0 or -EIO. */
int jwks_cache_name(const struct issuer_config *issuer, char ret_name[JWKS_CACHE_MAX_NAME]);

/* ---- the folder ---- */

struct jwks_cache;

struct jwks_cache_options {
    const char *dir;
    /* One write has ended: 0 or -errno. From the loop of MAILBOX. NAME is valid during the call. */
    void (*written)(void *ctx, const char *name, int fault);
    void *ctx;
    struct mailbox *mailbox; /* outlives the cache */
};

/* Opens the folder, removes what an earlier process left half written, and starts the thread. 0;
 * -ENOENT, -ENOTDIR, -EACCES, -EPERM: it is not there, or not ours to write to; -ENOMEM, ... */
int jwks_cache_open(const struct jwks_cache_options *options, struct jwks_cache **ret_cache);
/* Why nothing could be written to it then (-ENOSPC, -EROFS, ...), or 0. It is open all the same. */
int jwks_cache_write_fault(const struct jwks_cache *cache);
/* Others than its owner may write to the folder: they can remove our files, and put back old ones.
 */
bool jwks_cache_is_open_to_others(const struct jwks_cache *cache);
/* Writes what waits, for at most TIMEOUT_MS. Takes NULL, returns NULL. */
struct jwks_cache *jwks_cache_close(struct jwks_cache *cache, unsigned timeout_ms);

/* jwks_cache_read_entry() of the file of ISSUER. Reads at most JWKS_CACHE_MAX_BYTES. */
enum jwks_cache_rc jwks_cache_load(const struct jwks_cache *cache,
                                   const struct issuer_config *issuer, int64_t now_s,
                                   int64_t max_age_ms, int64_t *ret_fetched_at_s,
                                   struct buf *ret_jwks);
/* Has the entry written: a temporary file, fsync, rename, so that nobody ever sees a part of one.
 * 0, or what jwks_cache_append_entry() says; written() tells of the rest. */
int jwks_cache_save(struct jwks_cache *cache, const struct issuer_config *issuer,
                    struct str jwks_uri, int64_t fetched_at_s, struct str document);

#endif
