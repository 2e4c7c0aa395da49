/* SPDX-License-Identifier: Apache-2.0 */
/* The claims that a route reads, as a tree, in one walk over the payload. What route->claims_read
 * does not name is not there. */
#include "auth/token_int.h"
#include "base/err.h"
#include "base/json_text.h"

/* What JSON costs besides its text: jansson's structs and malloc's own, on a 64-bit machine. */
#define JSON_VALUE_BYTES 64
#define JSON_OBJECT_BYTES 320 /* the hash table with its first eight buckets */
#define JSON_MEMBER_BYTES 96

/* The tree was parsed with a limit on its depth (CLAIMS_MAX_DEPTH). */
static size_t json_bytes(json_t *value)
{
    size_t bytes = JSON_VALUE_BYTES + json_string_length(value);
    size_t index;
    const char *key;
    json_t *member;
    if (json_is_object(value))
        bytes += JSON_OBJECT_BYTES;
    json_object_foreach (value, key, member)
        bytes += JSON_MEMBER_BYTES + strlen(key) + json_bytes(member);
    json_array_foreach (value, index, member)
        bytes += sizeof(json_t *) + json_bytes(member);
    return bytes;
}

/* False: no memory. */
static bool add(struct identity *identity, struct str name, struct str text)
{
    const struct json_limits limits = {text.len, CLAIMS_MAX_DEPTH};
    json_t *value = NULL;
    if (identity->claims == NULL)
        identity->claims = json_object();
    /* It was checked with the payload, so that only memory can be missing. */
    if (identity->claims == NULL || json_parse(text, limits, &value, NULL) != JSON_RC_OK)
        return false;
    return json_object_setn_new(identity->claims, name.ptr, name.len, value) == 0;
}

/* The name of RAW_KEY among those that ROUTE reads; absent when it is none of them. */
static struct str read_name(const struct route *route, struct str raw_key)
{
    for (size_t i = 0; i < route->n_claims_read; i++)
        if (json_text_key_is(raw_key, route->claims_read[i]))
            return route->claims_read[i];
    return (struct str){0};
}

static bool keep_of_route(struct identity *identity, const struct route *route)
{
    struct str raw_key;
    struct str text;
    if (route->n_claims_read == 0)
        return true;
    struct json_text_iter iter = json_text_iter(identity->payload);
    while (json_text_next_member(&iter, &raw_key, &text)) {
        const struct str name = read_name(route, raw_key);
        if (str_is_set(name) && json_object_getn(identity->claims, name.ptr, name.len) == NULL &&
            !add(identity, name, text))
            return false;
    }
    return true;
}

enum token_rc token_keep_claims(struct identity *identity, const struct route *route)
{
    if (identity->claims_route == route)
        return TOKEN_OK;
    const bool kept = keep_of_route(identity, route);
    if (identity->claims != NULL)
        identity->claims_bytes = json_bytes(identity->claims);
    if (!kept)
        return TOKEN_NO_MEMORY;
    identity->claims_route = route;
    return TOKEN_OK;
}
