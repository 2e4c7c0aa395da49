/* SPDX-License-Identifier: Apache-2.0 */
/* proto/claims: the input is a payload. The text is accepted when the tree is, and both hold the
 * same claims. What the rules accept satisfies them when they are read a second time from the tree,
 * and time only ever turns "accepted" into "expired". */
#include <math.h>

#include "base/err.h"
#include "base/json_text.h"
#include "oracle.h"
#include "proto/base64url.h"
#include "proto/claims.h"

#define MAX_BYTES 65536
#define NOW 1800000000
#define SKEW 30

static const struct str audiences[] = {STR_INIT("api"), STR_INIT("https://mcp.example.com/mcp")};

static bool is_audience(const json_t *value)
{
    return json_is_string(value) &&
           (str_eq(json_str(value), audiences[0]) || str_eq(json_str(value), audiences[1]));
}

static bool has_audience(const json_t *aud)
{
    const json_t *member;
    bool found = is_audience(aud);
    size_t i;
    json_array_foreach (aud, i, member) {
        if (json_string_length(member) == 0)
            return false;
        found |= is_audience(member);
    }
    return found;
}

/* A NumericDate as a real number: every limit here is far below 2^53. */
static double seconds(const json_t *payload, const char *key, double missing)
{
    const json_t *value = json_object_get(payload, key);
    ORACLE(value == NULL || json_is_number(value));
    return value == NULL ? missing : floor(json_number_value(value));
}

static bool is_name_or_missing(const json_t *payload, const char *key)
{
    const json_t *value = json_object_get(payload, key);
    return value == NULL || json_string_length(value) > 0;
}

static void check_accepted(const json_t *payload, const struct claims *claims)
{
    const json_t *client_id = json_object_get(payload, "client_id");
    const json_t *azp = json_object_get(payload, "azp");
    ORACLE(has_audience(json_object_get(payload, "aud")));
    ORACLE(json_is_number(json_object_get(payload, "exp")));
    ORACLE(NOW < seconds(payload, "exp", 0) + SKEW);
    ORACLE(NOW >= seconds(payload, "nbf", 0) - SKEW);
    ORACLE(seconds(payload, "iat", 0) <= NOW + 300);
    ORACLE(json_string_length(json_object_get(payload, "sub")) > 0);
    ORACLE(is_name_or_missing(payload, "client_id") && is_name_or_missing(payload, "azp"));
    ORACLE(client_id != NULL || azp != NULL);
    ORACLE(client_id == NULL || azp == NULL || json_equal(client_id, azp));
    ORACLE(json_object_get(payload, "cnf") == NULL);
    ORACLE(str_eq(claims->subject, json_get_str(payload, "sub")));
    ORACLE(str_eq(claims->client, json_str(client_id != NULL ? client_id : azp)));
    ORACLE(str_eq(claims->scope, json_get_str(payload, "scope")));
    for (size_t i = 0; i < claims->scope.len; i++)
        ORACLE(claims->scope.ptr[i] >= ' ' && claims->scope.ptr[i] < 0x7f);
}

/* Each name that a scope consists of is found in it, and is a token. */
static void check_scope(struct str scope)
{
    struct str rest = scope;
    struct str name;
    while (str_split(&rest, ' ', &name)) {
        ORACLE(scope_has(scope, name) == (name.len > 0));
        ORACLE(scope_is_token(name) == (name.len > 0));
    }
}

static struct str text_of(const struct claims_payload *payload, enum claim claim)
{
    return payload->members[claim];
}

/* A member of the text and the same of the tree: both are there, and mean the same. */
static void check_member(struct str text, const json_t *value)
{
    json_t *again = NULL;
    ORACLE(str_is_set(text) == (value != NULL));
    if (value == NULL)
        return;
    ORACLE(json_parse(text, (struct json_limits){MAX_BYTES, CLAIMS_MAX_DEPTH}, &again, NULL) ==
           JSON_RC_OK);
    ORACLE(json_equal(again, value));
    json_decref(again);
    int64_t of_text = 0;
    int64_t of_tree = 0;
    ORACLE(json_text_to_i64(text, &of_text) == json_to_i64(value, &of_tree));
    ORACLE(of_text == of_tree);
}

static void check_members(const struct claims_payload *read, const json_t *payload)
{
    static const char *const names[CLAIM_COUNT] = {
        [CLAIM_ISS] = "iss",
        [CLAIM_SUB] = "sub",
        [CLAIM_AUD] = "aud",
        [CLAIM_EXP] = "exp",
        [CLAIM_NBF] = "nbf",
        [CLAIM_IAT] = "iat",
        [CLAIM_CLIENT_ID] = "client_id",
        [CLAIM_AZP] = "azp",
        [CLAIM_CNF] = "cnf",
        [CLAIM_SCOPE] = "scope",
    };
    for (size_t i = 0; i < CLAIM_COUNT; i++)
        check_member(text_of(read, (enum claim)i), json_object_get(payload, names[i]));
}

/* The one thing that a tree can hold and a text may not. */
static bool has_long_number(struct str text)
{
    size_t length = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        length = ascii_is_digit(c) || str_find_char(STR(".eE+-"), c) >= 0 ? length + 1 : 0;
        if (length > JSON_TEXT_MAX_NUMBER)
            return true;
    }
    return false;
}

static void check_rules(const struct claims_payload *read, const json_t *payload)
{
    struct claims_context context = {audiences, ARRAY_LEN(audiences), NOW, SKEW};
    struct arena *arena = arena_new(0, read->text.len + 128);
    struct claims claims;
    ORACLE(arena != NULL);
    const enum claims_rc rc = claims_check(read, &context, arena, &claims);
    ORACLE(rc != CLAIMS_NO_MEMORY && rc != CLAIMS_MALFORMED);
    if (rc == CLAIMS_OK) {
        check_accepted(payload, &claims);
        check_scope(claims.scope);
        context.now_s =
            claims.times.exp_s < INT64_MAX - SKEW ? claims.times.exp_s + SKEW : INT64_MAX / 2;
        enum claims_rc later = claims_check_clock(&context, &claims.times);
        ORACLE(claims.times.exp_s >= INT64_MAX / 2 || later == CLAIMS_EXPIRED);
    }
    (void)arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str text = oracle_input(data, size);
    struct buf segment = buf_make(2 * MAX_BYTES);
    struct claims_payload read;
    json_t *payload = NULL;
    if (size > MAX_BYTES)
        return 0;
    ORACLE(base64url_encode_append(text, &segment) == 0);
    const enum claims_rc rc = claims_decode(buf_str(&segment), &payload);
    const enum claims_rc rc_read = claims_read(text, &read);
    buf_free(&segment);
    ORACLE((rc == CLAIMS_OK) == (payload != NULL));
    ORACLE(rc == rc_read || (rc == CLAIMS_OK && has_long_number(text)));
    if (rc_read == CLAIMS_OK) {
        ORACLE(json_is_object(payload));
        check_members(&read, payload);
        check_rules(&read, payload);
    }
    json_decref(payload);
    return 0;
}
