/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that were verified before, rule 26 of docs/TOKENS.md: a hit costs one SHA-256 and one
 * comparison instead of a signature check. Belongs to one worker thread.
 *
 * The key is the SHA-256 of the whole credential, and the credential itself is compared too. What
 * is cached is what does not depend on the route: the signature held under a key of the token's
 * issuer, and the claims are well-formed. The caller asks token_recheck() on every hit for the
 * rest. An entry ends at exp + skew, when its key left the set (token_cache_drop_missing_keys), on
 * reload (token_cache_clear), or as the one not used for longest when there is no room. Bytes of a
 * token are wiped when its entry ends. */
#ifndef AUTH_TOKEN_CACHE_H
#define AUTH_TOKEN_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "auth/keyset.h"
#include "auth/token.h"
#include "base/secret.h"
#include "base/str.h"

struct token_cache;

struct token_cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions; /* for want of room; not those that expired or lost their key */
    size_t entries;
    size_t bytes; /* held by tokens, claims, assertions and book-keeping, estimated */
};

/* Holds at most MAX_ENTRIES (0 counts as 1) and MAX_BYTES. NULL: no memory. */
struct token_cache *token_cache_make(size_t max_entries, size_t max_bytes);
struct token_cache *token_cache_free(struct token_cache *cache); /* takes NULL, returns NULL */

/* The identity of TOKEN whose SHA-256 is DIGEST, or NULL. The caller gets a reference. An entry
 * past exp + skew at NOW_S ends here. Claims and assertions that the identity has gained are
 * counted here, and others leave when they need the room. */
struct identity *token_cache_lookup(struct token_cache *cache, const uint8_t digest[SHA256_LEN],
                                    struct str token, int64_t now_s);

/* Remembers what token_check() said; takes a reference of its own. Without memory, or when the
 * entry alone is larger than the cache, nothing is remembered. */
void token_cache_insert(struct token_cache *cache, const uint8_t digest[SHA256_LEN],
                        struct str token, struct identity *identity);

/* Ends every entry whose key is not in KEYSETS any more (one per issuer of the config, entries may
 * be NULL). To be called when new keys arrive. */
void token_cache_drop_missing_keys(struct token_cache *cache, struct keyset *const *keysets);
/* Ends every entry: the config changed. */
void token_cache_clear(struct token_cache *cache);

struct token_cache_stats token_cache_stats(const struct token_cache *cache);

#endif
