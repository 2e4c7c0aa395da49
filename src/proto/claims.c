/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/claims.h"

#include <errno.h>

#include "base/err.h"
#include "base/json_reader.h"
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

static const struct str member_names[CLAIM_COUNT] = {
    [CLAIM_ISS] = STR_INIT("iss"),
    [CLAIM_SUB] = STR_INIT("sub"),
    [CLAIM_AUD] = STR_INIT("aud"),
    [CLAIM_EXP] = STR_INIT("exp"),
    [CLAIM_NBF] = STR_INIT("nbf"),
    [CLAIM_IAT] = STR_INIT("iat"),
    [CLAIM_CLIENT_ID] = STR_INIT("client_id"),
    [CLAIM_AZP] = STR_INIT("azp"),
    [CLAIM_CNF] = STR_INIT("cnf"),
    [CLAIM_SCOPE] = STR_INIT("scope"),
};

/* The number of RAW_KEY, or CLAIM_COUNT. Few keys have escapes: these are compared the long way. */
static size_t find_member(struct str raw_key)
{
    const bool is_plain = str_find_char(raw_key, '\\') < 0;
    size_t i = 0;
    while (i < CLAIM_COUNT && !(is_plain ? str_eq(raw_key, member_names[i])
                                         : json_text_key_is(raw_key, member_names[i])))
        i++;
    return i;
}

/* False: an integer that no tree could hold. */
static bool read_members(struct json_reader *reader, struct str *ret_members)
{
    struct str raw_key;
    bool fit = true;
    while (fit && json_reader_next_key(reader, &raw_key)) {
        const size_t member = find_member(raw_key);
        const struct str value = json_reader_over(reader);
        fit = json_text_integers_fit(value);
        if (member < CLAIM_COUNT)
            ret_members[member] = value;
    }
    return fit;
}

enum claims_rc claims_read(struct str text, struct claims_payload *ret_payload)
{
    const struct json_text_rules rules = {.limits = {text.len, CLAIMS_MAX_DEPTH}};
    struct claims_payload payload = {0};
    NOT_ZEROED struct json_reader reader;
    json_reader_start(&reader, text, &rules);
    const char *begin = json_reader_place(&reader);
    const bool good = json_reader_is_object(&reader) && json_reader_into(&reader) &&
                      read_members(&reader, payload.members);
    const enum json_rc rc = json_reader_finish(&reader);
    if (!good || rc != JSON_RC_OK)
        return rc == JSON_RC_NO_MEMORY ? CLAIMS_NO_MEMORY : CLAIMS_MALFORMED;
    payload.text = str_make(begin, (size_t)(text.ptr + text.len - begin));
    *ret_payload = payload;
    return CLAIMS_OK;
}

/* The inside of a string, with its escapes; absent when VALUE is none. */
static struct str raw_string(struct str value)
{
    return json_text_type(value) == JSON_TEXT_STRING ? str_make(value.ptr + 1, value.len - 2)
                                                     : (struct str){0};
}

static bool is_accepted_audience(struct str value, const struct claims_context *context)
{
    const struct str audience = raw_string(value);
    for (size_t i = 0; i < context->n_audiences; i++)
        if (str_is_set(audience) && json_text_key_is(audience, context->audiences[i]))
            return true;
    return false;
}

enum claims_rc claims_check_audience(struct str aud, const struct claims_context *context)
{
    bool accepted = is_accepted_audience(aud, context);
    if (json_text_type(aud) != JSON_TEXT_ARRAY)
        return accepted ? CLAIMS_OK : CLAIMS_AUDIENCE;
    /* RFC 7519 4.1.3: one string, or an array of them. */
    struct json_text_iter iter = json_text_iter(aud);
    struct str member;
    while (json_text_next_element(&iter, &member)) {
        if (raw_string(member).len == 0)
            return CLAIMS_AUDIENCE;
        accepted = accepted || is_accepted_audience(member, context);
    }
    return accepted ? CLAIMS_OK : CLAIMS_AUDIENCE;
}

/* Both sides are written so that no claim, however large, can overflow: now and skew are ours. */
enum claims_rc claims_check_clock(const struct claims_context *context,
                                  const struct claims_times *times)
{
    if (times->exp_s <= context->now_s - context->skew_s)
        return CLAIMS_EXPIRED;
    if (times->iat_s > context->now_s + CLAIMS_MAX_IAT_AHEAD_S)
        return CLAIMS_ISSUED_AHEAD;
    if (times->nbf_s > context->now_s + context->skew_s)
        return CLAIMS_NOT_YET_VALID;
    return CLAIMS_OK;
}

/* A NumericDate that may be missing: then *value stays as it is. */
static bool read_time(struct str member, int64_t *value)
{
    return !str_is_set(member) || json_text_to_i64(member, value) == 0;
}

static enum claims_rc check_times(const struct claims_payload *payload,
                                  const struct claims_context *context, struct claims *claims)
{
    struct claims_times *times = &claims->times;
    *times = (struct claims_times){.nbf_s = INT64_MIN, .iat_s = INT64_MIN};
    if (json_text_to_i64(payload->members[CLAIM_EXP], &times->exp_s) < 0)
        return CLAIMS_EXP;
    enum claims_rc rc = claims_check_clock(context, times);
    if (rc != CLAIMS_OK)
        return rc;
    if (!read_time(payload->members[CLAIM_NBF], &times->nbf_s) ||
        !read_time(payload->members[CLAIM_IAT], &times->iat_s))
        return CLAIMS_TIME;
    return claims_check_clock(context, times);
}

/* The strings among the members that count, without their escapes. A claim that is not there, or is
 * no string, gives the absent string. */
struct names {
    struct str sub;
    struct str client_id; /* RFC 9068 2.2 */
    struct str azp;       /* Auth0's legacy profile */
    struct str scope;
};

static bool read_names(const struct str *members, struct arena *arena, struct names *ret_names)
{
    int faults[4];
    *ret_names = (struct names){
        .sub = json_text_string(members[CLAIM_SUB], arena, &faults[0]),
        .client_id = json_text_string(members[CLAIM_CLIENT_ID], arena, &faults[1]),
        .azp = json_text_string(members[CLAIM_AZP], arena, &faults[2]),
        .scope = json_text_string(members[CLAIM_SCOPE], arena, &faults[3]),
    };
    return faults[0] == 0 && faults[1] == 0 && faults[2] == 0 && faults[3] == 0;
}

/* True when MEMBER is not there, or is the string NAME, and that is not empty. */
static bool is_name(struct str member, struct str name)
{
    return !str_is_set(member) || name.len > 0;
}

static enum claims_rc check_parties(const struct str *members, const struct names *names,
                                    struct claims *claims)
{
    if (names->sub.len == 0)
        return CLAIMS_SUBJECT;
    if (!is_name(members[CLAIM_CLIENT_ID], names->client_id) ||
        !is_name(members[CLAIM_AZP], names->azp))
        return CLAIMS_CLIENT;
    if (str_is_set(names->client_id) && str_is_set(names->azp) &&
        !str_eq(names->client_id, names->azp))
        return CLAIMS_CLIENT;
    claims->subject = names->sub;
    claims->client = str_is_set(names->client_id) ? names->client_id : names->azp;
    return str_is_set(claims->client) ? CLAIMS_OK : CLAIMS_CLIENT;
}

/* NQCHAR of RFC 6749 A: %x21 / %x23-5B / %x5D-7E. */
static bool is_scope_char(char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static enum claims_rc check_scope(struct str member, struct str scope, struct claims *claims)
{
    if (str_is_set(member) && !str_is_set(scope))
        return CLAIMS_SCOPE;
    for (size_t i = 0; i < scope.len; i++)
        if (scope.ptr[i] != ' ' && !is_scope_char(scope.ptr[i]))
            return CLAIMS_SCOPE;
    claims->scope = scope;
    return CLAIMS_OK;
}

enum claims_rc claims_check(const struct claims_payload *payload,
                            const struct claims_context *context, struct arena *arena,
                            struct claims *ret_claims)
{
    const struct str *members = payload->members;
    struct claims claims = {0};
    struct names names;
    enum claims_rc rc = claims_check_audience(members[CLAIM_AUD], context);
    if (rc == CLAIMS_OK)
        rc = check_times(payload, context, &claims);
    if (rc == CLAIMS_OK && !read_names(members, arena, &names))
        rc = CLAIMS_NO_MEMORY;
    if (rc == CLAIMS_OK)
        rc = check_parties(members, &names, &claims);
    /* RFC 7800 3.1: presenting such a token without the proof is what cnf is there to stop. */
    if (rc == CLAIMS_OK && str_is_set(members[CLAIM_CNF]))
        rc = CLAIMS_CONFIRMATION;
    if (rc == CLAIMS_OK)
        rc = check_scope(members[CLAIM_SCOPE], names.scope, &claims);
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
