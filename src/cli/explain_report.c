/* SPDX-License-Identifier: Apache-2.0 */
/* The finding as JSON. Every value is there also when it is null, so that programs need not ask. */
#include "base/err.h"
#include "cli/explain_int.h"

#define MAX_TEXT_BYTES (1024U * 1024)

/* An object under construction; the first value that there was no memory for spoils it. */
struct object {
    json_t *json;
    bool failed;
};

static void set(struct object *object, const char *key, json_t *value)
{
    if (json_object_set_new(object->json, key, value) < 0)
        object->failed = true;
}

static json_t *text_or_null(struct str text)
{
    return str_is_set(text) ? json_stringn(text.ptr, text.len) : json_null();
}

static void set_text(struct object *object, const char *key, struct str text)
{
    set(object, key, text_or_null(text));
}

static void set_cstr(struct object *object, const char *key, const char *text)
{
    set_text(object, key, str_from_cstr(text));
}

/* What the token has there, whatever its type. */
static void set_copy(struct object *object, const char *key, const json_t *value)
{
    set(object, key, value != NULL ? json_deep_copy(value) : json_null());
}

static struct object object_new(void)
{
    struct object object = {.json = json_object()};
    object.failed = object.json == NULL;
    return object;
}

/* Hands over what was made; NULL when something is missing in it. */
static json_t *finish(struct object *object)
{
    if (object->failed)
        json_unref(&object->json);
    return TAKE(object->json);
}

static json_t *list_of(const struct str *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < count; i++)
        if (json_array_append_new(list, json_stringn(items[i].ptr, items[i].len)) < 0)
            json_unref(&list);
    return list;
}

static json_t *time_text(int64_t seconds)
{
    CLEANUP(buf_free) struct buf text = buf_make(32);
    explain_append_time(seconds, &text);
    return text_or_null(buf_str(&text));
}

/* ---- the call and the token ---- */

static json_t *report_call(const struct explain_question *question)
{
    static const char *const kinds[MCP_N_TARGETS] = {
        [MCP_TOOL] = "tool",
        [MCP_PROMPT] = "prompt",
        [MCP_RESOURCE] = "resource",
    };
    struct object call = object_new();
    set_text(&call, "method", question->call.method);
    set_cstr(&call, "kind", kinds[question->call.target]);
    set_text(&call, "name", question->call.name);
    return finish(&call);
}

static const char *signature_name(enum explain_signature signature)
{
    static const char *const names[] = {
        [SIGNATURE_NO_KEYS] = "not_checked",
        [SIGNATURE_NOT_REACHED] = "not_reached",
        [SIGNATURE_WRONG] = "wrong",
        [SIGNATURE_VERIFIED] = "verified",
    };
    return names[signature];
}

static void set_expiry(struct object *token, const json_t *exp)
{
    int64_t seconds;
    if (json_to_i64(exp, &seconds) == 0)
        set(token, "expires", time_text(seconds));
    else
        set_copy(token, "expires", exp);
}

static json_t *report_token(const struct explain_finding *finding)
{
    const json_t *claims = finding->payload;
    const json_t *client = json_object_get(claims, "client_id");
    struct object token = object_new();
    set_cstr(&token, "signature", signature_name(finding->signature));
    set_copy(&token, "key", json_object_get(finding->header, "kid"));
    set_copy(&token, "issuer", json_object_get(claims, "iss"));
    set_copy(&token, "audience", json_object_get(claims, "aud"));
    set_copy(&token, "subject", json_object_get(claims, "sub"));
    set_copy(&token, "client", client != NULL ? client : json_object_get(claims, "azp"));
    set_copy(&token, "scope", json_object_get(claims, "scope"));
    set_copy(&token, "permissions", json_object_get(claims, "permissions"));
    set_expiry(&token, json_object_get(claims, "exp"));
    return finish(&token);
}

/* ---- a refused token: which rule, and what it looked at ---- */

/* Rows for those that look at something which can be shown. */
static const struct {
    const char *names[2]; /* members of the payload, or of the header */
    unsigned rule;        /* of docs/TOKENS.md */
    bool header;
} token_rules[TOKEN_RC_COUNT] = {
    [TOKEN_BEARER] = {.rule = 3},
    [TOKEN_TOO_LARGE] = {.rule = 6},
    [TOKEN_OPAQUE] = {.rule = 7},
    [TOKEN_ENCRYPTED] = {.rule = 7},
    [TOKEN_SEGMENTS] = {.rule = 7},
    [TOKEN_BASE64] = {.rule = 8},
    [TOKEN_HEADER] = {.rule = 9},
    [TOKEN_ALG] = {.rule = 10, .names = {"alg"}, .header = true},
    [TOKEN_TYP] = {.rule = 11, .names = {"typ"}, .header = true},
    [TOKEN_CRIT] = {.rule = 12, .names = {"crit", "b64"}, .header = true},
    [TOKEN_KID] = {.rule = 13, .names = {"kid"}, .header = true},
    [TOKEN_PAYLOAD] = {.rule = 9},
    [TOKEN_ISSUER] = {.rule = 16, .names = {"iss"}},
    [TOKEN_UNKNOWN_KEY] = {.rule = 13, .names = {"kid"}, .header = true},
    [TOKEN_NO_KEYS] = {.rule = 24, .names = {"iss"}},
    [TOKEN_SIGNATURE] = {.rule = 15},
    [TOKEN_AUDIENCE] = {.rule = 17, .names = {"aud"}},
    [TOKEN_EXPIRED] = {.rule = 18, .names = {"exp"}},
    [TOKEN_EXP] = {.rule = 18, .names = {"exp"}},
    [TOKEN_NOT_YET_VALID] = {.rule = 19, .names = {"nbf"}},
    [TOKEN_ISSUED_AHEAD] = {.rule = 19, .names = {"iat"}},
    [TOKEN_TIME_CLAIM] = {.rule = 19, .names = {"nbf", "iat"}},
    [TOKEN_SUBJECT] = {.rule = 20, .names = {"sub"}},
    [TOKEN_CLIENT] = {.rule = 20, .names = {"client_id", "azp"}},
    [TOKEN_SENDER_CONSTRAINED] = {.rule = 21, .names = {"cnf"}},
    [TOKEN_SCOPE_CLAIM] = {.rule = 22, .names = {"scope"}},
};

static json_t *refusal_claims(const struct explain_finding *finding)
{
    const bool header = token_rules[finding->token].header;
    struct object used = object_new();
    for (size_t i = 0; i < ARRAY_LEN(token_rules[0].names); i++) {
        const char *name = token_rules[finding->token].names[i];
        if (name != NULL)
            set_copy(&used, name,
                     json_object_get(header ? finding->header : finding->payload, name));
    }
    return finish(&used);
}

static json_t *accepted_issuers(const struct route *route)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < route->n_issuers; i++)
        if (json_array_append_new(list, text_or_null(route->issuers[i]->issuer)) < 0)
            json_unref(&list);
    return list;
}

/* What the policy has to compare with, for the faults that come from comparing. */
static json_t *refusal_needs(const struct explain_question *question, enum token_rc rc)
{
    const struct route *route = question->route;
    struct object claims = object_new();
    if (rc == TOKEN_AUDIENCE)
        set(&claims, "aud", list_of(route->audiences, route->n_audiences));
    if (rc == TOKEN_ISSUER)
        set(&claims, "iss", accepted_issuers(route));
    return finish(&claims);
}

/* ---- a decision: what the rule needs, and what of it is there ---- */

/* The scopes of a list, all or only those that the caller does not hold. */
static json_t *scopes_of(const struct explain_question *question, struct str names,
                         const struct caller *holder)
{
    json_t *list = json_array();
    struct str name;
    while (list != NULL && names.len > 0 && str_split(&names, ' ', &name))
        if ((holder == NULL || !rules_grants(question->route, holder, name)) &&
            json_array_append_new(list, json_stringn(name.ptr, name.len)) < 0)
            json_unref(&list);
    return list;
}

static json_t *permission_text(const struct explain_question *question, const struct rule *rule)
{
    CLEANUP(buf_free) struct buf text = buf_make(MAX_TEXT_BYTES);
    if (rule == NULL || !str_is_set(rule->permission))
        return json_null();
    if (rules_append_permission(rule, &question->call, &text) < 0)
        return NULL;
    return text_or_null(buf_str(&text));
}

static bool lacks_permission(const struct explain_question *question, const struct caller *caller,
                             const struct rule *rule)
{
    CLEANUP(buf_free) struct buf text = buf_make(MAX_TEXT_BYTES);
    return rule != NULL && str_is_set(rule->permission) &&
           rules_append_permission(rule, &question->call, &text) == 0 &&
           !rules_grants(question->route, caller, buf_str(&text));
}

static void set_named(struct object *object, struct str name, json_t *value)
{
    if (json_object_setn_new_nocheck(object->json, name.ptr, name.len, value) < 0)
        object->failed = true;
}

static json_t *claims_needed(const struct rule *rule)
{
    struct object claims = object_new();
    for (size_t i = 0; rule != NULL && i < rule->n_claims; i++)
        set_named(&claims, rule->claims[i].name, json_deep_copy(rule->claims[i].values));
    return finish(&claims);
}

static json_t *claims_missing(const struct rule *rule, const json_t *payload)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && rule != NULL && i < rule->n_claims; i++)
        if (!rules_claim_holds(&rule->claims[i], payload) &&
            json_array_append_new(list, text_or_null(rule->claims[i].name)) < 0)
            json_unref(&list);
    return list;
}

/* Names are read from scope, permissions or both; claims only when the rule asks for some. */
static json_t *claims_used(const struct explain_question *question,
                           const struct explain_finding *finding)
{
    const struct rule *rule = finding->decision.rule;
    const enum authorize_on from = question->route->authorize_on;
    const bool names = finding->needed.len > 0 || (rule != NULL && str_is_set(rule->permission));
    struct object used = object_new();
    if (names && from != AUTHORIZE_ON_PERMISSIONS)
        set_copy(&used, "scope", json_object_get(finding->payload, "scope"));
    if (names && from != AUTHORIZE_ON_SCOPE)
        set_copy(&used, "permissions", json_object_get(finding->payload, "permissions"));
    for (size_t i = 0; rule != NULL && i < rule->n_claims; i++) {
        const json_t *value = rules_claim_value(&rule->claims[i], finding->payload);
        set_named(&used, rule->claims[i].name, value != NULL ? json_deep_copy(value) : json_null());
    }
    return finish(&used);
}

static json_t *report_needs(const struct explain_question *question,
                            const struct explain_finding *finding)
{
    const struct rule *rule = finding->decision.rule;
    struct object needs = object_new();
    set(&needs, "scopes", scopes_of(question, buf_str(&finding->needed), NULL));
    set(&needs, "permission", permission_text(question, rule));
    set(&needs, "claims", claims_needed(rule));
    return finish(&needs);
}

static json_t *report_missing(const struct explain_question *question,
                              const struct explain_finding *finding)
{
    const struct rule *rule = finding->decision.rule;
    const struct caller caller = {
        .scope = json_get_str(finding->payload, "scope"),
        .claims = finding->payload,
    };
    struct object missing = object_new();
    set(&missing, "scopes", scopes_of(question, buf_str(&finding->needed), &caller));
    set(&missing, "permission",
        lacks_permission(question, &caller, rule) ? permission_text(question, rule) : json_null());
    set(&missing, "claims", claims_missing(rule, finding->payload));
    return finish(&missing);
}

/* ---- the answer ---- */

static json_t *tool_error(const struct explain_question *question)
{
    CLEANUP(buf_free) struct buf text = buf_make(MAX_TEXT_BYTES);
    json_t *result = NULL;
    if (answer_append_tool_error(question->call.name, false, &text) < 0)
        return NULL;
    (void)json_parse(buf_str(&text), (struct json_limits){MAX_TEXT_BYTES, 8}, &result, NULL);
    return result;
}

static json_t *report_answer(const struct explain_question *question,
                             const struct explain_finding *finding)
{
    const struct answer *answer = &finding->answer;
    struct object report = object_new();
    if (!finding->denied) {
        json_unref(&report.json);
        return json_null();
    }
    if (finding->tool_error) {
        set(&report, "status", json_integer(200));
        set(&report, "result", tool_error(question));
        return finish(&report);
    }
    set(&report, "status", json_integer(answer->status));
    set_text(&report, "www_authenticate",
             finding->challenge.len > 0 ? buf_str(&finding->challenge) : (struct str){0});
    set_cstr(&report, "error", answer->error);
    set_cstr(&report, "error_description", answer->description);
    return finish(&report);
}

static void set_refusal(struct object *report, const struct explain_question *question,
                        const struct explain_finding *finding)
{
    struct object needs = object_new();
    set_cstr(report, "verdict", "token_refused");
    set_cstr(report, "reason", token_rc_name(finding->token));
    set_cstr(report, "description", token_rc_description(finding->token));
    set(report, "token_rule", json_integer(token_rules[finding->token].rule));
    set(report, "rule", json_null());
    set(&needs, "claims", refusal_needs(question, finding->token));
    set(report, "needs", finish(&needs));
    set(report, "claims", refusal_claims(finding));
    set(report, "missing", json_null());
}

static void set_decision(struct object *report, const struct explain_question *question,
                         const struct explain_finding *finding)
{
    const struct decision *decision = &finding->decision;
    set_cstr(report, "verdict", verdict_name(decision->verdict));
    set_cstr(report, "reason", decision->reason);
    set_cstr(report, "description", decision->description);
    set(report, "token_rule", json_null());
    set_text(report, "rule", decision->rule != NULL ? decision->rule->pointer : (struct str){0});
    set(report, "needs", report_needs(question, finding));
    set(report, "claims", claims_used(question, finding));
    set(report, "missing", report_missing(question, finding));
}

json_t *explain_report(const struct explain_question *question,
                       const struct explain_finding *finding)
{
    struct object report = object_new();
    set_text(&report, "route", question->route->resource);
    set(&report, "call", report_call(question));
    set(&report, "time", time_text(question->now_s));
    set(&report, "token", report_token(finding));
    if (finding->token == TOKEN_OK)
        set_decision(&report, question, finding);
    else
        set_refusal(&report, question, finding);
    set(&report, "answer", report_answer(question, finding));
    return finish(&report);
}
