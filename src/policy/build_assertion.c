/* SPDX-License-Identifier: Apache-2.0 */
/* The signed statement about the caller for an upstream, and the public keys of all of them. */
#include <errno.h>

#include "base/err.h"
#include "policy/build_int.h"
#include "proto/jws_sign.h"

#define MAX_JWKS_BYTES (1024U * 1024)

/* What the statement says itself; docs/POLICY.md, "What the upstream is told". */
static const struct str own_claims[] = {
    STR_INIT("iss"),   STR_INIT("aud"),      STR_INIT("exp"),    STR_INIT("iat"),
    STR_INIT("nbf"),   STR_INIT("sub"),      STR_INIT("sub_id"), STR_INIT("client_id"),
    STR_INIT("scope"), STR_INIT("resource"), STR_INIT("token"),
};

static void check_claims(struct reader *reader, const json_t *list, const struct place *place)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct place at = PLACE_AT(place, i);
        struct str name = reader_text(reader, json_array_get(list, i));
        for (size_t k = 0; k < ARRAY_LEN(own_claims); k++)
            if (str_is_set(name) && str_eq(name, own_claims[k]))
                reader_error(reader, &at, "is in every assertion, set by Portcullis itself");
    }
}

static bool has_kid(struct jws_signer *const *keys, size_t count, struct str kid)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(jws_signer_kid(keys[i]), kid))
            return true;
    return false;
}

/* One key, into KEYS; a bad one is reported. */
static void add_key(struct reader *reader, const json_t *value, const struct place *place,
                    struct assertion_config *assertion, struct jws_signer **keys)
{
    struct str pem = reader_text(reader, value);
    struct jws_signer *signer = NULL;
    const char *why = NULL;
    if (!str_is_set(pem) || memmem(pem.ptr, pem.len, "-----BEGIN ", 11) == NULL)
        return; /* was reported */
    int r = jws_signer_new(pem, &signer, &why);
    if (r == -EINVAL)
        reader_error(reader, place, "%s", why);
    else if (r < 0)
        reader->fault = r;
    if (r < 0)
        return;
    if (has_kid(keys, assertion->n_keys, jws_signer_kid(signer))) {
        reader_error(reader, place, "this key is listed twice");
        signer = jws_signer_free(signer);
        return;
    }
    keys[assertion->n_keys++] = signer;
}

static void build_keys(struct reader *reader, json_t *object, const struct place *place,
                       struct assertion_config *assertion)
{
    struct place at_key = PLACE_KEY(place, STR("key"));
    json_t *value = json_object_get(object, "key");
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    struct jws_signer **keys = reader_alloc(reader, count, sizeof(*keys));
    assertion->keys = keys;
    if (keys == NULL)
        return;
    if (!json_is_array(value))
        add_key(reader, value, &at_key, assertion, keys);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct place at = PLACE_AT(&at_key, i);
        add_key(reader, json_array_get(value, i), &at, assertion, keys);
    }
}

void build_assertion(struct reader *reader, json_t *object, const struct place *place,
                     struct assertion_config *ret_assertion)
{
    const json_t *list = json_object_get(object, "claims");
    struct place at_ttl = PLACE_KEY(place, STR("ttl"));
    struct place at_claims = PLACE_KEY(place, STR("claims"));
    struct str_list claims = reader_strings(reader, list);
    int64_t ttl_ms = reader_duration_ms(reader, object, "ttl");
    if (ttl_ms % 1000 != 0)
        reader_error(reader, &at_ttl, "must be in whole seconds, as the times in tokens are");
    check_claims(reader, list, &at_claims);
    ret_assertion->header = build_optional(reader, object, "header");
    ret_assertion->ttl_s = ttl_ms / 1000;
    ret_assertion->claims = claims.items;
    ret_assertion->n_claims = claims.count;
    build_keys(reader, object, place, ret_assertion);
}

/* Appends the keys of one route whose ids are not in SEEN yet. */
static void append_keys(struct reader *reader, const struct assertion_config *assertion,
                        json_t *seen, struct buf *out)
{
    for (size_t i = 0; i < assertion->n_keys; i++) {
        struct str kid = jws_signer_kid(assertion->keys[i]);
        if (json_object_getn(seen, kid.ptr, kid.len) != NULL)
            continue;
        if (json_object_setn_new(seen, kid.ptr, kid.len, json_true()) < 0)
            reader->fault = -ENOMEM;
        (void)buf_append_cstr(out, json_object_size(seen) > 1 ? "," : "");
        (void)buf_append(out, jws_signer_jwk(assertion->keys[i]));
    }
}

void build_assertion_jwks(struct reader *reader, struct config_data *data)
{
    CLEANUP(json_unref) json_t *seen = json_object();
    CLEANUP(buf_free) struct buf out = buf_make(MAX_JWKS_BYTES);
    struct place top = {0};
    (void)buf_append_cstr(&out, "{\"keys\":[");
    for (size_t i = 0; i < data->n_routes; i++)
        append_keys(reader, &data->routes[i].upstream.assertion, seen, &out);
    (void)buf_append_cstr(&out, "]}");
    if (json_object_size(seen) == 0)
        return;
    if (out.fault == -EMSGSIZE)
        reader_error(reader, &top, "the public keys of all assertions are larger than %u bytes",
                     MAX_JWKS_BYTES);
    else if (buf_failed(&out))
        reader->fault = out.fault;
    data->assertion_jwks = reader_keep(reader, buf_str(&out));
}
