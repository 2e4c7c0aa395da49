/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/claims.h"

#include <errno.h>

#include "proto/base64url.h"

enum claims_rc claims_decode(struct str segment, json_t **ret_payload)
{
    const struct json_limits limits = {
        .max_bytes = base64url_decoded_len(segment.len),
        .max_depth = CLAIMS_MAX_DEPTH,
    };
    struct buf text = buf_make(limits.max_bytes);
    json_t *payload = NULL;
    int r = base64url_decode_append(segment, &text);
    enum json_rc rc =
        r < 0 ? JSON_RC_MALFORMED : json_parse(buf_str(&text), limits, &payload, NULL);
    buf_free(&text);
    if (r == -ENOMEM || rc == JSON_RC_NO_MEMORY)
        return CLAIMS_NO_MEMORY;
    if (rc != JSON_RC_OK)
        return CLAIMS_MALFORMED;
    if (!json_is_object(payload)) {
        json_decref(payload);
        return CLAIMS_MALFORMED;
    }
    *ret_payload = payload;
    return CLAIMS_OK;
}

static bool is_accepted_audience(const json_t *value, const struct claims_context *context)
{
    const struct str audience = json_str(value);
    for (size_t i = 0; i < context->n_audiences; i++)
        if (str_is_set(audience) && str_eq(audience, context->audiences[i]))
            return true;
    return false;
}

enum claims_rc claims_check_audience(const json_t *payload, const struct claims_context *context)
{
    const json_t *aud = json_object_get(payload, "aud");
    bool accepted = is_accepted_audience(aud, context);
    /* RFC 7519 4.1.3: one string, or an array of them; json_array_size() is 0 for all else. */
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const json_t *member = json_array_get(aud, i);
        if (!json_is_string(member) || json_string_length(member) == 0)
            return CLAIMS_AUDIENCE;
        accepted = accepted || is_accepted_audience(member, context);
    }
    return accepted ? CLAIMS_OK : CLAIMS_AUDIENCE;
}

/* Both sides are written so that no claim, however large, can overflow: now and skew are ours. */
enum claims_rc claims_check_clock(const struct claims_context *context, int64_t exp_s,
                                  int64_t nbf_s)
{
    if (exp_s <= context->now_s - context->skew_s)
        return CLAIMS_EXPIRED;
    if (nbf_s > context->now_s + context->skew_s)
        return CLAIMS_NOT_YET_VALID;
    return CLAIMS_OK;
}

/* A NumericDate that may be missing: then *value stays as it is. */
static bool read_time(const json_t *payload, const char *key, int64_t *value)
{
    const json_t *member = json_object_get(payload, key);
    return member == NULL || json_to_i64(member, value) == 0;
}

static enum claims_rc check_times(const json_t *payload, const struct claims_context *context,
                                  struct claims *claims)
{
    int64_t iat_s = INT64_MIN;
    claims->nbf_s = INT64_MIN;
    if (json_to_i64(json_object_get(payload, "exp"), &claims->exp_s) < 0)
        return CLAIMS_EXP;
    enum claims_rc rc = claims_check_clock(context, claims->exp_s, claims->nbf_s);
    if (rc != CLAIMS_OK)
        return rc;
    if (!read_time(payload, "nbf", &claims->nbf_s) || !read_time(payload, "iat", &iat_s))
        return CLAIMS_TIME;
    if (iat_s > context->now_s + CLAIMS_MAX_IAT_AHEAD_S)
        return CLAIMS_ISSUED_AHEAD;
    return claims_check_clock(context, claims->exp_s, claims->nbf_s);
}

/* A claim that is not there gives the absent string, one that is no string or empty fails. */
static bool read_name(const json_t *payload, const char *key, struct str *ret_name)
{
    const json_t *member = json_object_get(payload, key);
    *ret_name = json_str(member);
    return member == NULL || ret_name->len > 0;
}

static enum claims_rc check_parties(const json_t *payload, struct claims *claims)
{
    struct str client_id; /* RFC 9068 2.2 */
    struct str azp;       /* Auth0's legacy profile */
    if (!read_name(payload, "sub", &claims->subject) || !str_is_set(claims->subject))
        return CLAIMS_SUBJECT;
    if (!read_name(payload, "client_id", &client_id) || !read_name(payload, "azp", &azp))
        return CLAIMS_CLIENT;
    if (str_is_set(client_id) && str_is_set(azp) && !str_eq(client_id, azp))
        return CLAIMS_CLIENT;
    claims->client = str_is_set(client_id) ? client_id : azp;
    return str_is_set(claims->client) ? CLAIMS_OK : CLAIMS_CLIENT;
}

/* NQCHAR of RFC 6749 A: %x21 / %x23-5B / %x5D-7E. */
static bool is_scope_char(char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static enum claims_rc check_scope(const json_t *payload, struct claims *claims)
{
    const json_t *member = json_object_get(payload, "scope");
    claims->scope = json_str(member);
    if (member != NULL && !str_is_set(claims->scope))
        return CLAIMS_SCOPE;
    for (size_t i = 0; i < claims->scope.len; i++)
        if (claims->scope.ptr[i] != ' ' && !is_scope_char(claims->scope.ptr[i]))
            return CLAIMS_SCOPE;
    return CLAIMS_OK;
}

enum claims_rc claims_check(const json_t *payload, const struct claims_context *context,
                            struct claims *ret_claims)
{
    struct claims claims = {0};
    enum claims_rc rc = claims_check_audience(payload, context);
    if (rc == CLAIMS_OK)
        rc = check_times(payload, context, &claims);
    if (rc == CLAIMS_OK)
        rc = check_parties(payload, &claims);
    /* RFC 7800 3.1: presenting such a token without the proof is what cnf is there to stop. */
    if (rc == CLAIMS_OK && json_object_get(payload, "cnf") != NULL)
        rc = CLAIMS_CONFIRMATION;
    if (rc == CLAIMS_OK)
        rc = check_scope(payload, &claims);
    if (rc == CLAIMS_OK)
        *ret_claims = claims;
    return rc;
}

bool scope_has(struct str scope, struct str name)
{
    struct str part;
    while (name.len > 0 && str_split(&scope, ' ', &part))
        if (str_eq(part, name))
            return true;
    return false;
}

bool scope_is_token(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_scope_char(name.ptr[i]))
            return false;
    return name.len > 0;
}
