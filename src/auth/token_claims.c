/* SPDX-License-Identifier: Apache-2.0 */
/* Which claims a route reads, and these as a tree. Whoever reads another claim of an identity adds
 * it to keep_of_route(): what is not listed is not there. */
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

static bool keep(struct identity *identity, struct str name)
{
    if (json_object_getn(identity->claims, name.ptr, name.len) != NULL)
        return true;
    const struct str text = json_text_get(identity->payload, name);
    return !str_is_set(text) || add(identity, name, text);
}

static bool keep_all(struct identity *identity, const struct str *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        if (!keep(identity, names[i]))
            return false;
    return true;
}

/* The claim that a pointer leads into (RFC 6901 4: "~1" is '/', "~0" is '~'). */
static bool keep_first_of_pointer(struct identity *identity, struct str pointer)
{
    struct buf name = buf_make(pointer.len);
    for (size_t i = 1; i < pointer.len && pointer.ptr[i] != '/'; i++) {
        char c = pointer.ptr[i];
        if (c == '~' && i + 1 < pointer.len)
            c = pointer.ptr[++i] == '1' ? '/' : '~';
        (void)buf_append_char(&name, c);
    }
    const struct str token = name.len > 0 ? buf_str(&name) : STR("");
    const bool kept = !buf_failed(&name) && keep(identity, token);
    buf_free(&name);
    return kept;
}

static bool keep_of_rule(struct identity *identity, const struct rule *rule)
{
    for (size_t i = 0; i < rule->n_claims; i++) {
        const struct str name = rule->claims[i].name;
        if (str_has_prefix(name, STR("/")) ? !keep_first_of_pointer(identity, name)
                                           : !keep(identity, name))
            return false;
    }
    return true;
}

static bool keep_of_route(struct identity *identity, const struct route *route)
{
    const struct assertion_config *assertion = &route->upstream.assertion;
    bool kept = route->authorize_on == AUTHORIZE_ON_SCOPE || keep(identity, STR("permissions"));
    for (size_t i = 0; i < route->n_rules && kept; i++)
        kept = keep_of_rule(identity, &route->rules[i]);
    for (size_t i = 0; i < route->n_identity && kept; i++)
        kept = keep_all(identity, route->identity[i].claims, route->identity[i].n_claims);
    return kept && keep_all(identity, assertion->claims, assertion->n_claims);
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
