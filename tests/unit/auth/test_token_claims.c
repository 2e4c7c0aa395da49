/* SPDX-License-Identifier: Apache-2.0 */
/* Which claims of a token are kept as a tree: those that the route reads, and no others. */
#include "auth/token.h"
#include "policy/route.h"
#include "support/cmocka_all.h"
#include "support/token_fixture.h"

/* A token with more claims than any route reads. */
#define RICH_PAYLOAD                                                                          \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"auth0|64f\",\"aud\":\"" RESOURCE                       \
    "\",\"exp\":1800003600,\"azp\":\"c\",\"org\":\"o\",\"act\":{\"sub\":[1.5,null]},\"a/"     \
    "b\":{\"c\":1},"                                                                          \
    "\"~\":2,\"\":3,\"\\u0065scaped\":\"\\u00e9\",\"permissions\":[\"tool:echo\"],\"email\":" \
    "\"e\"}"

/* The identity of RICH_PAYLOAD, checked for the route of CONTEXT. */
static struct identity *identify(const struct token_fixture *f, const struct token_context *context)
{
    const struct mint_signer signer = {.key = f->signer};
    struct buf token = buf_make(MINT_MAX_BYTES);
    struct identity *identity = NULL;
    size_t issuer_index;
    mint_token(&token, HEADER, RICH_PAYLOAD, &signer);
    assert_int_equal(token_check(context, buf_str(&token), &identity, &issuer_index), TOKEN_OK);
    buf_free(&token);
    return identity;
}

/* What a route has to read for one claim to be kept. */
struct reading {
    const char *why;
    struct str rule;      /* absent: no rule */
    struct str header;    /* the same */
    struct str assertion; /* the same */
    enum authorize_on authorize_on;
    const char *kept; /* JSON; NULL: nothing */
};

static const struct reading readings[] = {
    {.why = "nothing"},
    {.why = "a claim of a rule", .rule = STR_INIT("org"), .kept = "{\"org\":\"o\"}"},
    {.why = "a claim that is not there", .rule = STR_INIT("absent")},
    {.why = "a pointer", .rule = STR_INIT("/act/sub"), .kept = "{\"act\":{\"sub\":[1.5,null]}}"},
    {.why = "a pointer with a slash", .rule = STR_INIT("/a~1b/c"), .kept = "{\"a/b\":{\"c\":1}}"},
    {.why = "a pointer with a tilde", .rule = STR_INIT("/~0"), .kept = "{\"~\":2}"},
    {.why = "a pointer to the empty name", .rule = STR_INIT("/"), .kept = "{\"\":3}"},
    {.why = "a claim that is written with escapes",
     .rule = STR_INIT("escaped"),
     .kept = "{\"escaped\":\"\xc3\xa9\"}"},
    {.why = "a claim of an identity header",
     .header = STR_INIT("email"),
     .kept = "{\"email\":\"e\"}"},
    {.why = "a header takes no pointers", .header = STR_INIT("/act/sub")},
    {.why = "a claim of the assertion", .assertion = STR_INIT("org"), .kept = "{\"org\":\"o\"}"},
    {.why = "permissions",
     .authorize_on = AUTHORIZE_ON_PERMISSIONS,
     .kept = "{\"permissions\":[\"tool:echo\"]}"},
    {.why = "permissions or scope",
     .authorize_on = AUTHORIZE_ON_EITHER,
     .kept = "{\"permissions\":[\"tool:echo\"]}"},
    {.why = "permissions and scope",
     .authorize_on = AUTHORIZE_ON_BOTH,
     .kept = "{\"permissions\":[\"tool:echo\"]}"},
    {.why = "one claim in three places, and another",
     .rule = STR_INIT("org"),
     .header = STR_INIT("org"),
     .assertion = STR_INIT("org"),
     .authorize_on = AUTHORIZE_ON_BOTH,
     .kept = "{\"org\":\"o\",\"permissions\":[\"tool:echo\"]}"},
};

/* A route that reads what READING says; it borrows. */
struct reader {
    struct rule_claim claim;
    struct rule rule;
    struct identity_header header;
    struct route route;
    struct arena *arena; /* owned */
};

static void reader_fill(struct reader *reader, const struct route *base,
                        const struct reading *reading)
{
    *reader = (struct reader){.claim = {.name = reading->rule}, .route = *base};
    reader->rule = (struct rule){.claims = &reader->claim, .n_claims = 1};
    reader->header = (struct identity_header){.claims = &reading->header, .n_claims = 1};
    reader->route.authorize_on = reading->authorize_on;
    reader->route.rules = &reader->rule;
    reader->route.n_rules = str_is_set(reading->rule) ? 1 : 0;
    reader->route.identity = &reader->header;
    reader->route.n_identity = str_is_set(reading->header) ? 1 : 0;
    reader->route.upstream.assertion.claims = &reading->assertion;
    reader->route.upstream.assertion.n_claims = str_is_set(reading->assertion) ? 1 : 0;
    reader->arena = arena_new(1024, 1024);
    assert_int_equal(route_list_claims(reader->arena, &reader->route), 0);
}

static bool holds(const struct identity *identity, const char *expected)
{
    if (expected == NULL)
        return identity->claims == NULL && identity->claims_bytes == 0;
    json_t *tree = json_loads(expected, 0, NULL);
    assert_non_null(tree);
    const bool equal = json_equal(tree, identity->claims) && identity->claims_bytes > 0;
    json_decref(tree);
    return equal;
}

/* All that rules, headers and assertions can ask of a token is what is kept as a tree. */
static void token_check_keeps_the_claims_that_the_route_reads(void **state)
{
    struct token_fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(readings); i++) {
        struct reader reader;
        reader_fill(&reader, &f->routes[0], &readings[i]);
        struct token_context context = f->context;
        context.route = &reader.route;
        struct identity *fresh = identify(f, &context);
        if (!holds(fresh, readings[i].kept))
            fail_msg("%s", readings[i].why);
        identity_unref(fresh);

        /* one that was checked for another route before */
        struct identity *known = identify(f, &f->context);
        assert_null(known->claims);
        assert_int_equal(token_recheck(&context, known), TOKEN_OK);
        if (!holds(known, readings[i].kept))
            fail_msg("%s, at the recheck", readings[i].why);
        identity_unref(known);
        (void)arena_free(reader.arena);
    }
}

static void token_recheck_adds_the_claims_of_each_route(void **state)
{
    struct token_fixture *f = *state;
    struct identity *identity = identify(f, &f->context);
    struct token_context context = f->context;
    struct reader readers[2];
    reader_fill(&readers[0], &f->routes[0], &(struct reading){.rule = STR("org")});
    reader_fill(&readers[1], &f->routes[0], &(struct reading){.header = STR("email")});
    for (size_t i = 0; i < 4; i++) {
        context.route = &readers[i % 2].route;
        assert_int_equal(token_recheck(&context, identity), TOKEN_OK);
        assert_true(
            holds(identity, i == 0 ? "{\"org\":\"o\"}" : "{\"org\":\"o\",\"email\":\"e\"}"));
    }
    identity_unref(identity);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        (void)arena_free(readers[i].arena);
}

/* However many rules ask for a claim, a token is looked through for it once. */
static void a_route_lists_each_claim_that_it_reads_once(void **state)
{
    (void)state;
    static const struct rule_claim claims[] = {{.name = STR_INIT("org")},
                                               {.name = STR_INIT("/org/id")},
                                               {.name = STR_INIT("/o~1rg")},
                                               {.name = STR_INIT("permissions")}};
    struct rule rules[50];
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        rules[i] = (struct rule){.claims = claims, .n_claims = ARRAY_LEN(claims)};
    struct route route = {
        .rules = rules, .n_rules = ARRAY_LEN(rules), .authorize_on = AUTHORIZE_ON_PERMISSIONS};
    struct arena *arena = arena_new(8192, 8192);
    assert_int_equal(route_list_claims(arena, &route), 0);
    assert_int_equal(route.n_claims_read, 3);
    (void)arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_check_keeps_the_claims_that_the_route_reads),
        cmocka_unit_test(a_route_lists_each_claim_that_it_reads_once),
        cmocka_unit_test(token_recheck_adds_the_claims_of_each_route),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
