/* SPDX-License-Identifier: Apache-2.0 */
/* An entry of the key cache as text: {"version":2,"issuer":...,"jwks_uri":...,"discovered":...,
 * "trust":...,"fetched_at":SECONDS,"jwks":{"keys":[...]}}; "trust" is "" for the CAs of the system.
 */
#include <errno.h>
#include <stdio.h>

#include "auth/jwks_cache.h"
#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "proto/uri.h"

#define ENTRY_VERSION 2
#define ENTRY_MEMBERS 7
#define ENTRY_MAX_DEPTH 9 /* one more than a set */
#define NAME_HOST_BYTES 80
#define NAME_HASH_BYTES 8

const char *jwks_cache_rc_text(enum jwks_cache_rc rc)
{
    static const char *const texts[] = {
        [JWKS_CACHE_OK] = "is usable",
        [JWKS_CACHE_NONE] = "is not there",
        [JWKS_CACHE_UNREADABLE] = "cannot be read",
        [JWKS_CACHE_KIND] = "is no regular file with one name",
        [JWKS_CACHE_OWNER] = "belongs to another user",
        [JWKS_CACHE_MODE] = "may be written by others",
        [JWKS_CACHE_SIZE] = "is too large",
        [JWKS_CACHE_MALFORMED] = "is not what this program writes",
        [JWKS_CACHE_ISSUER] = "is of another issuer",
        [JWKS_CACHE_JWKS_URI] = "has keys from another jwks_uri",
        [JWKS_CACHE_TRUST] = "was fetched when other CAs were trusted",
        [JWKS_CACHE_FUTURE] = "was fetched in the future",
        [JWKS_CACHE_OLD] = "was fetched too long ago",
        [JWKS_CACHE_KEYS] = "has no usable key",
        [JWKS_CACHE_NO_MEMORY] = "needs more memory than there is",
    };
    return texts[rc];
}

/* ---- writing ---- */

/* A key with a private member is no publication, and left out, as rule 14 would do. */
static bool is_publication(const json_t *key)
{
    static const char *const private[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    for (size_t i = 0; i < ARRAY_LEN(private); i++)
        if (json_object_get(key, private[i]) != NULL)
            return false;
    return json_is_object(key);
}

/* What counts of a key. New reference; NULL when memory is short. */
static json_t *public_part(const json_t *key)
{
    static const char *const kept[] = {"kty", "kid", "use", "key_ops", "alg", "n", "e"};
    CLEANUP(json_unref) json_t *part = json_object();
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        json_t *value = json_object_get(key, kept[i]);
        if (value != NULL && json_object_set(part, kept[i], value) < 0)
            return NULL;
    }
    return TAKE(part);
}

static json_t *public_set(const json_t *keys)
{
    CLEANUP(json_unref) json_t *list = json_array();
    const json_t *key;
    size_t i;
    json_array_foreach (keys, i, key)
        if (is_publication(key) && json_array_append_new(list, public_part(key)) < 0)
            return NULL;
    return json_pack("{s:O}", "keys", list);
}

int jwks_cache_append_entry(const struct issuer_config *issuer, struct str jwks_uri,
                            int64_t fetched_at_s, struct str document, struct buf *out)
{
    const struct json_limits limits = {KEYSET_MAX_BYTES, ENTRY_MAX_DEPTH - 1};
    CLEANUP(json_unref) json_t *root = NULL;
    CLEANUP(json_unref) json_t *entry = NULL;
    enum json_rc rc = json_parse(document, limits, &root, NULL);
    if (rc != JSON_RC_OK)
        return rc == JSON_RC_NO_MEMORY ? -ENOMEM : -EINVAL;
    const json_t *keys = json_object_get(root, "keys");
    if (!json_is_array(keys))
        return -EINVAL;
    const struct str trust = str_is_set(issuer->trust) ? issuer->trust : STR("");
    entry = json_pack("{s:i, s:s%, s:s%, s:b, s:s%, s:I, s:o}", "version", ENTRY_VERSION, "issuer",
                      issuer->issuer.ptr, issuer->issuer.len, "jwks_uri", jwks_uri.ptr,
                      jwks_uri.len, "discovered", !str_is_set(issuer->jwks_uri), "trust", trust.ptr,
                      trust.len, "fetched_at", (json_int_t)fetched_at_s, "jwks", public_set(keys));
    return entry != NULL ? json_write(entry, 0, out) : -ENOMEM;
}

/* ---- reading ---- */

/* What a discovered jwks_uri has to be when it is discovered: on the issuer's origin, over https
 * unless the issuer may do without. */
static bool is_at_home(struct str jwks_uri, const struct issuer_config *issuer)
{
    struct uri home;
    struct uri place;
    return uri_parse(issuer->issuer, &home) == URI_OK && uri_parse(jwks_uri, &place) == URI_OK &&
           uri_same_origin(&home, &place) && (place.https || issuer->allow_http);
}

static bool is_same_place(const json_t *entry, const struct issuer_config *issuer)
{
    struct str jwks_uri = json_get_str(entry, "jwks_uri");
    bool discovered = json_is_true(json_object_get(entry, "discovered"));
    if (str_is_set(issuer->jwks_uri))
        return !discovered && str_eq(jwks_uri, issuer->jwks_uri);
    return discovered && is_at_home(jwks_uri, issuer);
}

/* Every member that we write, of its type, and no other. */
static bool is_well_formed(const json_t *entry)
{
    return json_object_size(entry) == ENTRY_MEMBERS &&
           json_integer_value(json_object_get(entry, "version")) == ENTRY_VERSION &&
           json_is_string(json_object_get(entry, "issuer")) &&
           json_is_string(json_object_get(entry, "jwks_uri")) &&
           json_is_boolean(json_object_get(entry, "discovered")) &&
           json_is_string(json_object_get(entry, "trust")) &&
           json_is_integer(json_object_get(entry, "fetched_at")) &&
           json_is_object(json_object_get(entry, "jwks"));
}

enum jwks_cache_rc jwks_cache_read_entry(struct str text, const struct issuer_config *issuer,
                                         int64_t now_s, int64_t max_age_ms,
                                         int64_t *ret_fetched_at_s, struct buf *ret_jwks)
{
    const struct json_limits limits = {JWKS_CACHE_MAX_BYTES, ENTRY_MAX_DEPTH};
    CLEANUP(json_unref) json_t *entry = NULL;
    if (text.len > JWKS_CACHE_MAX_BYTES)
        return JWKS_CACHE_SIZE;
    enum json_rc rc = json_parse(text, limits, &entry, NULL);
    if (rc == JSON_RC_NO_MEMORY)
        return JWKS_CACHE_NO_MEMORY;
    if (rc != JSON_RC_OK || !is_well_formed(entry))
        return JWKS_CACHE_MALFORMED;
    if (!str_eq(json_get_str(entry, "issuer"), issuer->issuer))
        return JWKS_CACHE_ISSUER;
    if (!is_same_place(entry, issuer))
        return JWKS_CACHE_JWKS_URI;
    if (!str_eq(json_get_str(entry, "trust"), issuer->trust))
        return JWKS_CACHE_TRUST;
    const int64_t fetched_at_s = json_integer_value(json_object_get(entry, "fetched_at"));
    if (fetched_at_s > now_s)
        return JWKS_CACHE_FUTURE;
    /* no overflow: a negative one is before 1970, and older than any bound */
    if (fetched_at_s < 0 || now_s - fetched_at_s > max_age_ms / 1000)
        return JWKS_CACHE_OLD;
    if (json_write(json_object_get(entry, "jwks"), 0, ret_jwks) < 0)
        return JWKS_CACHE_NO_MEMORY;
    *ret_fetched_at_s = fetched_at_s;
    return JWKS_CACHE_OK;
}

/* ---- names ---- */

int jwks_cache_name(const struct issuer_config *issuer, char ret_name[JWKS_CACHE_MAX_NAME])
{
    uint8_t digest[SHA256_LEN];
    char hash[2 * NAME_HASH_BYTES + 1];
    struct uri uri = {0};
    size_t len = 0;
    int r = secret_sha256(issuer->issuer, digest);
    if (r < 0)
        return r;
    (void)uri_parse(issuer->issuer, &uri);
    for (size_t i = 0; i < uri.host.len && len < NAME_HOST_BYTES; i++) {
        char c = ascii_lower(uri.host.ptr[i]);
        bool plain = ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || (c == '.' && i > 0);
        ret_name[len++] = plain ? c : '_';
    }
    for (size_t i = 0; i < NAME_HASH_BYTES; i++)
        (void)snprintf(hash + 2 * i, 3, "%02x", digest[i]);
    (void)snprintf(ret_name + len, JWKS_CACHE_MAX_NAME - len, "-%s.jwks.json", hash);
    return 0;
}
