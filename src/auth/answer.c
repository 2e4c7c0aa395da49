/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/answer.h"

#include <assert.h>

#include "proto/challenge.h"

struct answer answer_no_credential(const char *reason)
{
    return (struct answer){
        .status = 401,
        .reason = reason,
        .error = "unauthorized",
        .description = "A bearer access token is required",
        .challenges = true,
        .names_scope = true,
    };
}

struct answer answer_invalid_request(const char *reason, const char *description)
{
    return (struct answer){
        .status = 400,
        .reason = reason,
        .error = "invalid_request",
        .description = description,
        .challenges = true,
        .names_scope = true,
        .names_error = true,
    };
}

/* The fault is ours: a 401 would make clients throw away tokens that are good (rule 24). */
static struct answer unavailable(enum token_rc rc)
{
    return (struct answer){
        .status = 503,
        .reason = token_rc_name(rc),
        .error = "temporarily_unavailable",
        .description = token_rc_description(rc),
        .retry_after = true,
    };
}

struct answer answer_token(enum token_rc rc)
{
    assert(rc != TOKEN_OK);
    if (rc == TOKEN_NO_KEYS || rc == TOKEN_NO_MEMORY)
        return unavailable(rc);
    return (struct answer){
        .status = 401,
        .reason = token_rc_name(rc),
        .error = "invalid_token",
        .description = token_rc_description(rc),
        .challenges = true,
        .names_scope = true,
        .names_error = true,
    };
}

struct answer answer_decision(const struct decision *decision)
{
    assert(decision->verdict != VERDICT_ALLOW);
    const bool step_up = decision->verdict == VERDICT_STEP_UP;
    return (struct answer){
        .status = 403,
        .reason = decision->reason,
        .error = step_up ? "insufficient_scope" : "access_denied",
        .description = decision->description,
        .challenges = true,
        .names_scope = step_up,
        .names_error = step_up,
    };
}

int answer_append_challenge(const struct answer *answer, const struct route *route,
                            struct str scope, struct buf *out)
{
    struct challenge challenge = {.resource_metadata = route->metadata_url};
    if (!answer->challenges)
        return 0;
    if (answer->names_scope)
        challenge.scope = str_is_set(scope) ? scope : route->scope_text;
    if (answer->names_error) {
        challenge.error = str_from_cstr(answer->error);
        challenge.error_description = str_from_cstr(answer->description);
    }
    return challenge_append(&challenge, out);
}

int answer_append_tool_error(struct str name, bool modern, struct buf *out)
{
    const size_t start = out->len;
    (void)buf_append_cstr(out, modern ? "{\"resultType\":\"complete\"," : "{");
    (void)buf_append(out, STR("\"content\":[{\"type\":\"text\","
                              "\"text\":\"You don't have permission to use the '"));
    (void)buf_append_json(out, name);
    (void)buf_append(out, STR("' tool.\"}],\"isError\":true}"));
    if (buf_failed(out))
        out->len = start;
    return out->fault;
}
