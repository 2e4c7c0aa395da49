/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/stages.h"

#include "support/gate_fixture.h"

/* ---- the order ---- */

static void stages_have_this_order(void **state)
{
    (void)state;
    static const char *const names[] = {
        "route",   "origin",       "ip_rate", "bearer",  "token",   "admit",      "body",
        "inspect", "subject_rate", "decide",  "session", "streams", "credential", "forward"};
    size_t count = 0;
    const struct stage *table = stages(&count);
    assert_int_equal(count, ARRAY_LEN(names));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(table[i].name, names[i]);
        assert_non_null(table[i].run);
    }
}

/* What a request brings with it; everything not said is good. */
struct plan {
    const char *method;  /* NULL: POST */
    const char *target;  /* NULL: /mcp */
    const char *origin;  /* NULL: none */
    const char *type;    /* NULL: application/json */
    uint64_t length;     /* 0: 2 */
    const char *auth;    /* NULL: "Bearer " and a token of PAYLOAD; "": none at all */
    const char *auth2;   /* NULL: no second one */
    const char *kid;     /* NULL: key-1 */
    const char *payload; /* NULL: RFC9068_PAYLOAD */
};

static const char *or_else(const char *value, const char *otherwise)
{
    return value != NULL ? value : otherwise;
}

static enum step run_plan(struct gate_fixture *f, struct gate_request *request,
                          const struct plan *plan)
{
    gate_begin(f, request, or_else(plan->method, "POST"), or_else(plan->target, "/mcp"));
    gate_add_field(request, STR("Content-Type"),
                   str_from_cstr(or_else(plan->type, "application/json")));
    request->exchange.head.content_length = plan->length != 0 ? plan->length : 2;
    if (plan->origin != NULL)
        gate_add_field(request, STR("Origin"), str_from_cstr(plan->origin));
    if (plan->auth == NULL)
        gate_add_token(request, gate_token(f, or_else(plan->kid, "key-1"),
                                           or_else(plan->payload, RFC9068_PAYLOAD)));
    else if (plan->auth[0] != '\0')
        gate_add_field(request, STR("Authorization"), str_from_cstr(plan->auth));
    if (plan->auth2 != NULL)
        gate_add_field(request, STR("Authorization"), str_from_cstr(plan->auth2));
    return stages_run(gate_make_txn(f, request));
}

#define FOREIGN "https://evil.example"
#define OWN "https://mcp.example.com"
#define EXPIRED                                                 \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE \
    "\",\"iat\":1799990000,\"exp\":1799999969,\"client_id\":\"c\",\"scope\":\"x\"}"
#define NO_SCOPE                                                \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE \
    "\",\"iat\":1799999000,\"exp\":1800003600,\"client_id\":\"c\"}"
#define WITH_SCOPES                                             \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE \
    "\",\"iat\":1799999000,\"exp\":1800003600,\"client_id\":\"c\",\"scope\":\"mcp:admin\"}"

/* A request that is wrong in every way; row by row one more thing is put right, and the next stage
 * is the one that answers. So none is skipped, and none runs before its turn. */
static void stages_answer_in_their_order(void **state)
{
    struct gate_fixture *f = *state;
    static const struct {
        struct plan plan;
        const char *stage;
        unsigned status;
    } rows[] = {
        {{.target = "/nowhere?access_token=x",
          .origin = FOREIGN,
          .payload = EXPIRED,
          .type = "text/plain",
          .auth2 = "Basic eA=="},
         "route",
         404},
        {{.target = "/scoped?access_token=x",
          .origin = FOREIGN,
          .payload = EXPIRED,
          .type = "text/plain",
          .auth2 = "Basic eA=="},
         "origin",
         403},
        {{.target = "/scoped?access_token=x",
          .origin = OWN,
          .payload = EXPIRED,
          .type = "text/plain",
          .auth2 = "Basic eA=="},
         "bearer",
         400},
        {{.target = "/scoped",
          .origin = OWN,
          .payload = EXPIRED,
          .type = "text/plain",
          .auth2 = "Basic eA=="},
         "bearer",
         400},
        {{.target = "/scoped", .origin = OWN, .payload = EXPIRED, .type = "text/plain"},
         "token",
         401},
        {{.target = "/scoped", .origin = OWN, .payload = NO_SCOPE, .type = "text/plain"},
         "admit",
         403},
        {{.target = "/scoped", .origin = OWN, .payload = WITH_SCOPES, .type = "text/plain"},
         "body",
         415},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        enum step step = run_plan(f, &request, &rows[i].plan);
        if (step != STEP_REPLY || strcmp(stages_name(request.txn), rows[i].stage) != 0 ||
            request.txn->status != rows[i].status || request.exchange.status != rows[i].status)
            fail_msg("row %zu: %s, %u", i, stages_name(request.txn), request.txn->status);
        assert_null(request.txn->relay.call);
        assert_int_equal(request.txn->relay.state, RELAY_NONE);
        gate_end(&request);
    }
}

/* ---- each stage ---- */

static void stages_refuse_with_status_and_reason(void **state)
{
    struct gate_fixture *f = *state;
    static const struct {
        const char *why;
        struct plan plan;
        const char *stage;
        unsigned status;
        const char *reason;
    } rows[] = {
        {"another path", {.target = "/mcp2"}, "route", 404, "not_found"},
        {"a path below", {.target = "/mcp/x"}, "route", 404, "not_found"},
        {"two final slashes", {.target = "/mcp//"}, "route", 404, "not_found"},
        {"HEAD at the endpoint", {.method = "HEAD"}, "route", 405, "method"},
        {"PUT", {.method = "PUT"}, "route", 405, "method"},
        {"methods have a case", {.method = "post"}, "route", 405, "method"},
        {"metadata, no token",
         {.method = "GET", .target = "/.well-known/oauth-protected-resource/mcp", .auth = ""},
         "route",
         200,
         "metadata"},
        {"metadata for a foreign page",
         {.method = "GET",
          .target = "/.well-known/oauth-protected-resource/mcp",
          .auth = "",
          .origin = FOREIGN},
         "route",
         200,
         "metadata"},
        {"preflight of the metadata",
         {.method = "OPTIONS", .target = "/.well-known/oauth-protected-resource/mcp", .auth = ""},
         "route",
         204,
         "preflight"},
        {"POST to the metadata",
         {.target = "/.well-known/oauth-protected-resource/mcp"},
         "route",
         405,
         "method"},
        {"foreign origin", {.origin = FOREIGN}, "origin", 403, "origin"},
        {"good origin and more", {.origin = OWN ", " FOREIGN}, "origin", 403, "origin"},
        {"null origin", {.origin = "null"}, "origin", 403, "origin"},
        {"empty origin", {.origin = ""}, "origin", 403, "origin"},
        {"preflight needs no token",
         {.method = "OPTIONS", .origin = OWN, .auth = ""},
         "origin",
         204,
         "preflight"},
        {"OPTIONS without an origin",
         {.method = "OPTIONS", .auth = ""},
         "origin",
         204,
         "preflight"},
        {"foreign preflight",
         {.method = "OPTIONS", .origin = FOREIGN, .auth = ""},
         "origin",
         403,
         "origin"},
        {"no credential", {.auth = ""}, "bearer", 401, "no_token"},
        {"another scheme", {.auth = "Basic dXNlcjpwYXNz"}, "bearer", 401, "other_scheme"},
        {"DPoP", {.auth = "DPoP abc"}, "bearer", 401, "other_scheme"},
        {"two tokens in one", {.auth = "Bearer abc def"}, "bearer", 401, NULL},
        {"no token behind the scheme", {.auth = "Bearer"}, "bearer", 401, NULL},
        {"two credentials", {.auth2 = "Basic dXNlcjpwYXNz"}, "bearer", 400, "two_credentials"},
        {"the same one twice",
         {.auth = "Bearer abc", .auth2 = "Bearer abc"},
         "bearer",
         400,
         "two_credentials"},
        {"token in the query",
         {.target = "/mcp?a=1&access_token=x"},
         "bearer",
         400,
         "token_in_query"},
        {"token in the query and nowhere else",
         {.target = "/mcp?access_token=x", .auth = ""},
         "bearer",
         400,
         "token_in_query"},
        {"opaque token", {.auth = "Bearer 2YotnFZFEjr1zCsicMWpAA"}, "token", 401, NULL},
        {"expired", {.payload = EXPIRED}, "token", 401, NULL},
        {"the token of another route", {.target = "/api"}, "token", 401, NULL},
        {"no scope where some are needed",
         {.target = "/scoped", .payload = NO_SCOPE},
         "admit",
         403,
         "route_scope_missing"},
        {"one scope of two", {.target = "/scoped"}, "admit", 403, "route_scope_missing"},
        {"form body", {.type = "application/x-www-form-urlencoded"}, "body", 415, "content_type"},
        {"no content type", {.type = ""}, "body", 415, "content_type"},
        {"body one past the limit", {.length = GATE_BODY_LIMIT + 1}, "body", 413, "body_too_large"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        enum step step = run_plan(f, &request, &rows[i].plan);
        const struct txn *txn = request.txn;
        if (step != STEP_REPLY || strcmp(stages_name(txn), rows[i].stage) != 0 ||
            txn->status != rows[i].status || request.exchange.status != rows[i].status)
            fail_msg("%s: %s, %u", rows[i].why, stages_name(txn), txn->status);
        if (rows[i].reason != NULL && strcmp(txn->reason, rows[i].reason) != 0)
            fail_msg("%s: %s", rows[i].why, txn->reason);
        assert_true(txn->replied);
        assert_string_equal(gate_answer_field(&request, "X-Request-Id"), txn->id);
        assert_null(txn->relay.call);
        gate_end(&request);
    }
}

/* PRODUCT, "HTTP surface": who gets a challenge, and what is in it. */
static void stages_challenge_as_rfc_6750_has_it(void **state)
{
    struct gate_fixture *f = *state;
#define AT(mount) \
    "resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource" mount "\""
    static const struct {
        const char *why;
        struct plan plan;
        const char *has;   /* NULL: there is no challenge at all */
        const char *error; /* NULL: the challenge has no error */
        const char *scope; /* NULL: none */
    } rows[] = {
        {"no token: no error", {.auth = ""}, AT("/mcp"), NULL, NULL},
        {"other scheme: no error", {.auth = "Basic eA=="}, AT("/mcp"), NULL, NULL},
        {"no token, scopes needed",
         {.target = "/scoped", .auth = ""},
         AT("/scoped"),
         NULL,
         "scope=\"mcp:use files:read\""},
        {"bad token", {.payload = EXPIRED}, AT("/mcp"), "error=\"invalid_token\"", NULL},
        {"malformed", {.auth = "Bearer a b"}, AT("/mcp"), "error=\"invalid_token\"", NULL},
        {"two credentials", {.auth2 = "Basic eA=="}, AT("/mcp"), "error=\"invalid_request\"", NULL},
        {"scope missing",
         {.target = "/scoped"},
         AT("/scoped"),
         "error=\"insufficient_scope\"",
         "scope=\"mcp:use files:read\""},
        {"not found", {.target = "/x"}, NULL, NULL, NULL},
        {"foreign origin", {.origin = FOREIGN}, NULL, NULL, NULL},
        {"too large", {.length = GATE_BODY_LIMIT + 1}, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        (void)run_plan(f, &request, &rows[i].plan);
        const char *challenge = gate_answer_field(&request, "WWW-Authenticate");
        if ((challenge != NULL) != (rows[i].has != NULL))
            fail_msg("%s: %s", rows[i].why, or_else(challenge, "none"));
        if (challenge != NULL &&
            (strncmp(challenge, "Bearer ", 7) != 0 || strstr(challenge, rows[i].has) == NULL ||
             (strstr(challenge, "error=") != NULL) != (rows[i].error != NULL) ||
             (rows[i].error != NULL && strstr(challenge, rows[i].error) == NULL) ||
             (strstr(challenge, " scope=") != NULL) != (rows[i].scope != NULL) ||
             (rows[i].scope != NULL && strstr(challenge, rows[i].scope) == NULL)))
            fail_msg("%s: %s", rows[i].why, challenge);
        assert_string_equal(gate_answer_field(&request, "Cache-Control"), "no-store");
        gate_end(&request);
    }
#undef AT
}

static void stages_say_which_methods_there_are(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    (void)run_plan(f, &request, &(struct plan){.method = "PATCH"});
    assert_string_equal(gate_answer_field(&request, "Allow"), "POST, GET, DELETE, OPTIONS");
    gate_end(&request);
    (void)run_plan(f, &request, &(struct plan){.target = "/.well-known/oauth-protected-resource"});
    assert_string_equal(gate_answer_field(&request, "Allow"), "GET, HEAD, OPTIONS");
    gate_end(&request);
}

/* A browser page that may call sees every answer, also the refusals; no other page does. */
static void stages_show_answers_to_allowed_origins_only(void **state)
{
    struct gate_fixture *f = *state;
    static const struct {
        const char *why;
        struct plan plan;
        const char *allowed; /* NULL: no such field */
    } rows[] = {
        {"own origin, refused", {.origin = OWN, .payload = EXPIRED}, OWN},
        {"own origin, preflight", {.origin = OWN, .method = "OPTIONS", .auth = ""}, OWN},
        {"no origin", {.payload = EXPIRED}, NULL},
        {"foreign origin", {.origin = FOREIGN}, NULL},
        {"metadata is for everybody",
         {.method = "GET", .target = "/.well-known/oauth-protected-resource/mcp", .auth = ""},
         "*"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        (void)run_plan(f, &request, &rows[i].plan);
        const char *field = gate_answer_field(&request, "Access-Control-Allow-Origin");
        if (strcmp(or_else(field, "none"), or_else(rows[i].allowed, "none")) != 0)
            fail_msg("%s: %s", rows[i].why, or_else(field, "none"));
        gate_end(&request);
    }
}

/* ---- the way on ---- */

static void stages_wait_for_the_body_and_then_forward(void **state)
{
    struct gate_fixture *f = *state;
    static const struct {
        const char *why;
        struct plan plan;
    } rows[] = {
        {"POST", {.length = GATE_BODY_LIMIT}},
        {"parameters of the media type", {.type = "Application/JSON; charset=utf-8"}},
        {"GET needs no content type", {.method = "GET", .type = ""}},
        {"DELETE", {.method = "DELETE", .type = ""}},
        {"a final slash", {.target = "/mcp/"}},
        {"a query", {.target = "/mcp?x=access_token"}},
        {"own origin", {.origin = OWN}},
        {"own origin with the default port", {.origin = "HTTPS://MCP.example.com:443"}},
        {"scopes by implication", {.target = "/scoped", .payload = WITH_SCOPES}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        if (run_plan(f, &request, &rows[i].plan) != STEP_WAIT ||
            strcmp(stages_name(request.txn), "body") != 0 || request.txn->relay.call != NULL)
            fail_msg("%s: %s, %u", rows[i].why, stages_name(request.txn), request.txn->status);
        assert_int_equal(request.exchange.body_limit, GATE_BODY_LIMIT);
        /* Nothing moves without the body, however often it runs. */
        assert_int_equal(stages_run(request.txn), STEP_WAIT);
        assert_null(request.txn->relay.call);
        gate_set_body(&request, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
        assert_int_equal(stages_run(request.txn), STEP_WAIT);
        assert_string_equal(stages_name(request.txn), "forward");
        assert_non_null(request.txn->relay.call);
        assert_false(request.txn->replied);
        gate_end(&request);
    }
}

/* The length of a chunked body is not known here: the server counts it. */
static void stages_leave_chunked_bodies_to_the_limit_of_the_server(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    gate_begin(f, &request, "POST", "/mcp");
    gate_add_field(&request, STR("Content-Type"), STR("application/json"));
    gate_add_token(&request, gate_token(f, "key-1", RFC9068_PAYLOAD));
    request.exchange.head.chunked = true;
    assert_int_equal(stages_run(gate_make_txn(f, &request)), STEP_WAIT);
    assert_int_equal(request.exchange.body_limit, GATE_BODY_LIMIT);
    gate_end(&request);
}

static void stages_name_is_empty_past_the_table(void **state)
{
    (void)state;
    struct txn txn = {.stage = 99};
    assert_string_equal(stages_name(&txn), "");
    assert_int_equal(stages_run(&txn), STEP_NEXT);
}

/* ---- the token cache ---- */

static void stage_token_checks_a_token_once(void **state)
{
    struct gate_fixture *f = *state;
    for (unsigned i = 0; i < 3; i++) {
        struct gate_request request;
        assert_int_equal(run_plan(f, &request, &(struct plan){0}), STEP_WAIT);
        assert_true(str_eq(request.txn->identity->subject, STR("auth0|64f")));
        assert_int_equal(token_cache_stats(f->worker.cache).hits, i);
        gate_end(&request);
    }
    assert_int_equal(token_cache_stats(f->worker.cache).entries, 1);
}

/* A turn has made all its first checks: an unknown token waits, behind those that do already, and
 * goes on as if nothing had been; a known one does not. */
static void stage_token_of_a_known_token_passes_by_a_flood_of_new_ones(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    assert_int_equal(run_plan(f, &request, &(struct plan){0}), STEP_WAIT);
    gate_end(&request);
    assert_int_equal(f->worker.n_first_checks, 1);
    f->worker.n_first_checks = WORKER_FIRST_CHECKS;
    assert_int_equal(run_plan(f, &request, &(struct plan){0}), STEP_WAIT);
    assert_non_null(request.txn->identity);
    gate_end(&request);

    token_cache_clear(f->worker.cache);
    struct gate_request second;
    assert_int_equal(run_plan(f, &request, &(struct plan){0}), STEP_WAIT);
    assert_null(request.txn->identity);
    f->worker.n_first_checks = WORKER_FIRST_CHECKS - 1; /* the queue counts, too */
    assert_int_equal(run_plan(f, &second, &(struct plan){0}), STEP_WAIT);
    assert_null(second.txn->identity);
    assert_ptr_equal(list_first(&f->worker.deferred), &request.txn->run_node);
    assert_ptr_equal(request.txn->run_node.next, &second.txn->run_node);

    list_unlink(&request.txn->run_node);
    assert_int_equal(stages_run(request.txn), STEP_WAIT);
    assert_non_null(request.txn->identity);
    assert_int_equal(f->worker.n_first_checks, WORKER_FIRST_CHECKS);
    list_unlink(&second.txn->run_node);
    gate_end(&request);
    gate_end(&second);
}

/* It is refused by its length alone. */
static void stage_token_of_tokens_that_are_too_large_takes_no_turn_from_others(void **state)
{
    struct gate_fixture *f = *state;
    static char large[16 * 1024 + 2]; /* the default of limits.token */
    memset(large, 'a', sizeof(large) - 1);
    for (unsigned i = 0; i < 2 * WORKER_FIRST_CHECKS; i++) {
        struct gate_request request;
        gate_begin(f, &request, "GET", "/mcp");
        gate_add_token(&request, str_from_cstr(large));
        assert_int_equal(stages_run(gate_make_txn(f, &request)), STEP_REPLY);
        assert_int_equal(request.txn->status, 401);
        gate_end(&request);
    }
    assert_int_equal(f->worker.n_first_checks, 0);
}

/* One whose turn came in time is checked; one that others kept waiting is told to come again. */
static void stage_token_whose_turn_comes_too_late_is_asked_to_come_again(void **state)
{
    struct gate_fixture *f = *state;
    for (unsigned late = 0; late < 2; late++) {
        struct gate_request request;
        token_cache_clear(f->worker.cache);
        f->worker.n_first_checks = WORKER_FIRST_CHECKS;
        assert_int_equal(run_plan(f, &request, &(struct plan){0}), STEP_WAIT);
        assert_null(request.txn->identity);
        list_unlink(&request.txn->run_node);
        gate_later_ms += WORKER_FIRST_CHECK_WAIT_MS + late;
        loop_turn(f->worker.loop, 0);
        assert_int_equal(stages_run(request.txn), late ? STEP_REPLY : STEP_WAIT);
        assert_int_equal(request.txn->identity == NULL, late);
        if (late) {
            assert_int_equal(request.txn->status, 503);
            assert_string_equal(request.txn->reason, "busy");
            assert_non_null(gate_answer_field(&request, "Retry-After"));
            assert_null(gate_answer_field(&request, "WWW-Authenticate"));
        }
        gate_end(&request);
    }
    gate_later_ms = 0;
}

static void stage_token_judges_a_cached_token_for_its_own_route(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    assert_int_equal(run_plan(f, &request, &(struct plan){0}), STEP_WAIT);
    gate_end(&request);
    /* the audience of /api is another one */
    assert_int_equal(run_plan(f, &request, &(struct plan){.target = "/api"}), STEP_REPLY);
    assert_int_equal(request.txn->status, 401);
    assert_string_equal(request.txn->reason, token_rc_name(TOKEN_AUDIENCE));
    assert_null(request.txn->identity);
    gate_end(&request);
}

/* While a reload is under way a transaction of the old policy neither reads nor fills the cache. */
static void stage_token_of_an_older_policy_leaves_the_cache_alone(void **state)
{
    struct gate_fixture *f = *state;
    char old_config;
    struct snapshot older = f->snapshot;
    struct gate_request request;
    older.config = (struct config *)(void *)&old_config; /* compared, never looked into */
    gate_begin(f, &request, "GET", "/mcp");
    gate_add_token(&request, gate_token(f, "key-1", RFC9068_PAYLOAD));
    gate_make_txn(f, &request)->snapshot = &older;
    assert_int_equal(stages_run(request.txn), STEP_WAIT);
    assert_int_equal(token_cache_stats(f->worker.cache).entries, 0);
    gate_end(&request);
}

static void stage_token_never_caches_a_refusal(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    assert_int_equal(run_plan(f, &request, &(struct plan){.payload = EXPIRED}), STEP_REPLY);
    gate_end(&request);
    assert_int_equal(token_cache_stats(f->worker.cache).entries, 0);
}

/* ---- waiting for keys ---- */

static void stage_token_waits_once_for_an_unknown_kid(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request first;
    struct gate_request second;
    const struct plan rotated = {.kid = "key-9"};
    assert_int_equal(run_plan(f, &first, &rotated), STEP_WAIT);
    assert_string_equal(stages_name(first.txn), "token");
    assert_int_equal(f->keys_wanted, 1);
    assert_ptr_equal(f->wanted, &f->statuses[0]);
    /* The next one waits for the same fetch: one letter. */
    assert_int_equal(run_plan(f, &second, &rotated), STEP_WAIT);
    assert_int_equal(f->keys_wanted, 1);
    assert_int_equal(f->worker.n_key_waiters, 2);
    /* The fetch brought no such key. */
    assert_int_equal(stages_run(first.txn), STEP_REPLY);
    assert_int_equal(first.txn->status, 401);
    assert_string_equal(first.txn->reason, token_rc_name(TOKEN_UNKNOWN_KEY));
    gate_end(&first);
    gate_end(&second);
}

static void stage_token_answers_at_once_when_waiting_cannot_help(void **state)
{
    struct gate_fixture *f = *state;
    enum { COOL_DOWN, DRAINING, CROWD, BAD_SIGNATURE };
    static const struct {
        const char *why;
        int cause;
    } rows[] = {
        {"the last attempt began a moment ago", COOL_DOWN},
        {"the worker is draining", DRAINING},
        {"enough others wait", CROWD},
        {"a bad signature under a known kid", BAD_SIGNATURE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        int64_t last_start_ms = FIXTURE_MONO - 3600000;
        f->worker.draining = rows[i].cause == DRAINING;
        f->worker.n_key_waiters = rows[i].cause == CROWD ? WORKER_MAX_KEY_WAITERS : 0;
        if (rows[i].cause == COOL_DOWN)
            last_start_ms = FIXTURE_MONO - 29999;
        atomic_store(&f->statuses[0].last_start_ms, last_start_ms);
        if (run_plan(f, &request,
                     &(struct plan){.kid = rows[i].cause == BAD_SIGNATURE ? "key-2" : "key-9"}) !=
                STEP_REPLY ||
            request.txn->status != 401)
            fail_msg("%s: %u", rows[i].why, request.txn->status);
        assert_int_equal(f->keys_wanted, 0);
        gate_end(&request);
    }
}

static void stage_token_waits_at_the_end_of_the_cool_down_and_for_a_fetch_under_way(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    atomic_store(&f->statuses[0].last_start_ms, FIXTURE_MONO - 30000);
    assert_int_equal(run_plan(f, &request, &(struct plan){.kid = "key-9"}), STEP_WAIT);
    assert_int_equal(f->keys_wanted, 1);
    gate_end(&request);
    atomic_store(&f->statuses[0].requested, false);
    atomic_store(&f->statuses[0].last_start_ms, FIXTURE_MONO);
    atomic_store(&f->statuses[0].in_flight, true);
    assert_int_equal(run_plan(f, &request, &(struct plan){.kid = "key-9"}), STEP_WAIT);
    assert_int_equal(f->keys_wanted, 1); /* it is on its way already */
    gate_end(&request);
}

/* Rule 24: good tokens must not be thrown away because we have no keys. */
static void stage_token_answers_503_without_a_challenge_when_keys_were_never_loaded(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    struct keyset *none[2] = {NULL, NULL};
    f->snapshot.keysets = none;
    atomic_store(&f->statuses[0].loaded_ms, JWKS_NEVER_LOADED);
    atomic_store(&f->statuses[0].last_start_ms, FIXTURE_MONO);
    assert_int_equal(run_plan(f, &request, &(struct plan){0}), STEP_REPLY);
    assert_int_equal(request.txn->status, 503);
    assert_non_null(gate_answer_field(&request, "Retry-After"));
    assert_null(gate_answer_field(&request, "WWW-Authenticate"));
    gate_end(&request);
}

/* Rule 25, and 24 again when they are too old. */
static void stage_token_accepts_stale_keys_for_a_while_and_counts_that(void **state)
{
    struct gate_fixture *f = *state;
    static const struct {
        const char *why;
        int64_t age_ms;
        unsigned status; /* 0: it went on */
        unsigned counted;
    } rows[] = {
        {"fresh", FIXTURE_REFRESH_MS, 0, 0},
        {"a refresh was missed", 2 * FIXTURE_REFRESH_MS + 1, 0, 1},
        {"at the limit", FIXTURE_REFRESH_MS + FIXTURE_MAX_STALE_MS, 0, 1},
        {"one past it", FIXTURE_REFRESH_MS + FIXTURE_MAX_STALE_MS + 1, 503, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gate_request request;
        gate_later_ms = rows[i].age_ms;
        loop_turn(f->worker.loop, 0);
        atomic_store(&f->statuses[0].last_start_ms, FIXTURE_MONO + gate_later_ms);
        f->worker.stale_accepts = 0;
        (void)run_plan(f, &request, &(struct plan){0});
        if (request.txn->status != rows[i].status || f->worker.stale_accepts != rows[i].counted)
            fail_msg("%s: %u, counted %u", rows[i].why, request.txn->status,
                     (unsigned)f->worker.stale_accepts);
        gate_end(&request);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, gate_set_up, gate_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_have_this_order),
        TEST(stages_answer_in_their_order),
        TEST(stages_refuse_with_status_and_reason),
        TEST(stages_challenge_as_rfc_6750_has_it),
        TEST(stages_say_which_methods_there_are),
        TEST(stages_show_answers_to_allowed_origins_only),
        TEST(stages_wait_for_the_body_and_then_forward),
        TEST(stages_leave_chunked_bodies_to_the_limit_of_the_server),
        cmocka_unit_test(stages_name_is_empty_past_the_table),
        TEST(stage_token_checks_a_token_once),
        TEST(stage_token_of_a_known_token_passes_by_a_flood_of_new_ones),
        TEST(stage_token_of_tokens_that_are_too_large_takes_no_turn_from_others),
        TEST(stage_token_whose_turn_comes_too_late_is_asked_to_come_again),
        TEST(stage_token_judges_a_cached_token_for_its_own_route),
        TEST(stage_token_of_an_older_policy_leaves_the_cache_alone),
        TEST(stage_token_never_caches_a_refusal),
        TEST(stage_token_waits_once_for_an_unknown_kid),
        TEST(stage_token_answers_at_once_when_waiting_cannot_help),
        TEST(stage_token_waits_at_the_end_of_the_cool_down_and_for_a_fetch_under_way),
        TEST(stage_token_answers_503_without_a_challenge_when_keys_were_never_loaded),
        TEST(stage_token_accepts_stale_keys_for_a_while_and_counts_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
