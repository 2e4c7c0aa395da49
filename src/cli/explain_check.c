/* SPDX-License-Identifier: Apache-2.0 */
/* The decision, from the functions that the gate asks. */
#include <errno.h>

#include "base/err.h"
#include "cli/explain_int.h"
#include "proto/claims.h"
#include "proto/jws.h"

void explain_finding_clear(struct explain_finding *finding)
{
    json_unref(&finding->header);
    json_unref(&finding->payload);
    buf_free(&finding->needed);
    buf_free(&finding->challenge);
}

/* What can be read of the token, for people; nothing is decided on it. */
static void read_parts(const struct explain_question *question, struct explain_finding *finding)
{
    struct jws_parts parts;
    if (question->bearer != BEARER_OK || jws_split(question->token, &parts) != JWS_OK)
        return;
    (void)claims_decode(parts.header, &finding->header);
    (void)claims_decode(parts.payload, &finding->payload);
}

/* Without keys token_check() goes as far as it can, and ends with TOKEN_NO_KEYS when nothing was
 * wrong up to there; the claims, which it checks last, are checked here. */
static enum token_rc check_unsigned(const struct token_context *context, struct str token)
{
    struct identity *identity = NULL;
    size_t issuer;
    enum token_rc rc = token_check(context, token, &identity, &issuer);
    (void)identity_unref(identity);
    return rc == TOKEN_NO_KEYS ? token_check_claims(context, token) : rc;
}

static enum token_rc check_signed(const struct token_context *context, struct str token)
{
    struct identity *identity = NULL;
    size_t issuer;
    enum token_rc rc = token_check(context, token, &identity, &issuer);
    (void)identity_unref(identity);
    return rc;
}

static enum token_rc check_token(const struct explain_question *question)
{
    struct keyset *const none[CONFIG_MAX_ISSUERS] = {NULL};
    struct jws_verifier *verifier = jws_verifier_make();
    if (verifier == NULL)
        return TOKEN_NO_MEMORY;
    const struct token_context context = {
        .config = question->config,
        .route = question->route,
        .verifier = verifier,
        .keysets = question->keysets != NULL ? question->keysets : none,
        .now_s = question->now_s,
    };
    enum token_rc rc = question->bearer != BEARER_OK ? TOKEN_BEARER
                     : question->keysets != NULL     ? check_signed(&context, question->token)
                                                     : check_unsigned(&context, question->token);
    (void)jws_verifier_free(verifier);
    return rc;
}

/* The claims come after the signature. */
static enum explain_signature signature_of(const struct explain_question *question,
                                           enum token_rc rc)
{
    if (question->keysets == NULL)
        return SIGNATURE_NO_KEYS;
    if (rc == TOKEN_SIGNATURE)
        return SIGNATURE_WRONG;
    const bool claims_fault = rc > TOKEN_SIGNATURE && rc <= TOKEN_SCOPE_CLAIM;
    return rc == TOKEN_OK || claims_fault ? SIGNATURE_VERIFIED : SIGNATURE_NOT_REACHED;
}

static bool is_answered_by_result(const struct explain_question *question,
                                  const struct caller *caller)
{
    enum verdict verdict;
    return question->route->on_deny == ON_DENY_TOOL_ERROR &&
           str_eq(question->call.method, STR("tools/call")) &&
           rules_has_route_scopes(question->route, caller, &verdict);
}

static int decide(const struct explain_question *question, struct explain_finding *finding)
{
    const struct caller caller = {
        .scope = json_get_str(finding->payload, "scope"),
        .claims = finding->payload,
    };
    finding->decision = rules_judge(question->route, &caller, &question->call);
    int r =
        rules_append_needed(question->route, &finding->decision, &question->call, &finding->needed);
    if (finding->decision.verdict == VERDICT_ALLOW)
        return r == -EMSGSIZE ? 0 : r;
    if (r == -EMSGSIZE) { /* more than is asked for: see ANSWER_MAX_SCOPES_BYTES */
        finding->decision.verdict = VERDICT_FORBIDDEN;
        r = 0;
    }
    finding->denied = true;
    finding->answer = answer_decision(&finding->decision);
    finding->tool_error = is_answered_by_result(question, &caller);
    return r;
}

int explain_check(const struct explain_question *question, struct explain_finding *ret_finding)
{
    CLEANUP(explain_finding_clear)
    struct explain_finding finding = {
        .needed = buf_make(ANSWER_MAX_SCOPES_BYTES),
        .challenge = buf_make(ANSWER_MAX_CHALLENGE_BYTES),
    };
    struct str scope = {0};
    int r = 0;
    read_parts(question, &finding);
    finding.token = check_token(question);
    finding.signature = signature_of(question, finding.token);
    if (finding.token == TOKEN_OK) {
        r = decide(question, &finding);
        scope = buf_str(&finding.needed);
    } else {
        finding.denied = true;
        finding.answer = answer_token(finding.token);
    }
    if (r == 0 && finding.denied && !finding.tool_error)
        r = answer_append_challenge(&finding.answer, question->route, scope, &finding.challenge);
    if (r == -ENOMEM)
        return r;
    *ret_finding = finding;
    finding = (struct explain_finding){0};
    return 0;
}
