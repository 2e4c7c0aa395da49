/* SPDX-License-Identifier: Apache-2.0 */
/* The policy's own tests: what it says about calls, by the code that decides on real ones. */
#include <errno.h>

#include "base/err.h"
#include "policy/build_int.h"
#include "policy/rules.h"
#include "proto/claims.h"
#include "proto/mcp_call.h"

#define MAX_NEEDED_BYTES (64U * 1024)

/* One test under way. */
struct test {
    struct reader *reader;
    const struct place *place;
    json_t *object;
    const struct route *route;
    struct mcp_call call;
    struct caller caller;
};

static const struct route *find_route(const struct test *test, const struct config_data *data)
{
    const json_t *value = json_object_get(test->object, "route");
    struct place at = PLACE_KEY(test->place, STR("route"));
    struct str resource = reader_text(test->reader, value);
    if (value == NULL)
        reader_error(test->reader, test->place,
                     "\"route\" is missing: there are several; write the \"resource\" of one");
    for (size_t i = 0; str_is_set(resource) && i < data->n_routes; i++)
        if (str_eq(data->routes[i].resource, resource))
            return &data->routes[i];
    if (str_is_set(resource))
        reader_error(test->reader, &at, "no route has the resource %s",
                     reader_quote(test->reader, value));
    return NULL;
}

/* A NUL in a string of the file was reported with all other control characters. */
static bool read_call(struct test *test)
{
    const json_t *list = json_object_get(test->object, "call");
    const json_t *method = json_array_get(list, 0);
    struct place at = PLACE_KEY(test->place, STR("call"));
    enum mcp_call_rc rc =
        mcp_call_make(reader_text(test->reader, method),
                      reader_text(test->reader, json_array_get(list, 1)), &test->call);
    if (rc == MCP_CALL_OK)
        return true;
    reader_error(test->reader, &at, "%s %s", reader_quote(test->reader, method),
                 mcp_call_rc_text(rc));
    return false;
}

/* A token with another form of scope is refused as a whole (rule 22), so it tests nothing. */
static bool read_caller(struct test *test)
{
    const json_t *value = json_object_get(test->caller.claims, "scope");
    struct place at_claims = PLACE_KEY(test->place, STR("claims"));
    struct place at = PLACE_KEY(&at_claims, STR("scope"));
    struct str rest = json_str(value);
    struct str part;
    bool valid = value == NULL || json_is_string(value);
    test->caller.scope = rest;
    while (str_split(&rest, ' ', &part))
        valid = valid && (part.len == 0 || scope_is_token(part));
    if (!valid)
        reader_error(test->reader, &at,
                     "must be a string of scopes with one space between them, as in a token");
    return valid;
}

static bool is_expected(struct str expect, enum verdict verdict)
{
    if (str_eq(expect, STR("deny")))
        return verdict != VERDICT_ALLOW;
    return str_eq(expect, str_from_cstr(verdict_name(verdict)));
}

static void report(const struct test *test, const struct decision *decision, struct str expect)
{
    CLEANUP(buf_free) struct buf text = buf_make(2 * MAX_NEEDED_BYTES);
    struct buf needed = buf_make(MAX_NEEDED_BYTES);
    (void)buf_printf(&text, "%s", decision->reason);
    if (decision->rule != NULL)
        (void)buf_printf(&text, ", by %.*s", STR_ARG(decision->rule->pointer));
    if (decision->verdict == VERDICT_STEP_UP &&
        rules_append_needed(test->route, decision, &test->call, &needed) == 0)
        (void)buf_printf(&text, "; a token needs \"%.*s\"", STR_ARG(buf_str(&needed)));
    buf_free(&needed);
    reader_error(test->reader, test->place, "expected \"%.*s\", but this is \"%s\": %.*s",
                 STR_ARG(expect), verdict_name(decision->verdict), STR_ARG(buf_str(&text)));
}

static void run(struct test *test, const struct config_data *data)
{
    struct str expect = reader_member(test->reader, test->object, "expect");
    test->route = find_route(test, data);
    bool ready = read_call(test);
    ready = read_caller(test) && ready && test->route != NULL;
    if (!ready)
        return;
    struct decision decision = rules_judge(test->route, &test->caller, &test->call);
    if (!is_expected(expect, decision.verdict))
        report(test, &decision, expect);
}

void build_tests(struct reader *reader, json_t *root, struct config_data *data)
{
    json_t *list = json_object_get(root, "tests");
    struct place top = {0};
    struct place at_list = PLACE_KEY(&top, STR("tests"));
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct place at = PLACE_AT(&at_list, i);
        json_t *object = json_array_get(list, i);
        CLEANUP(json_unref)
        json_t *claims = reader_copy(reader, json_object_get(object, "claims"));
        struct test test = {
            .reader = reader, .place = &at, .object = object, .caller.claims = claims};
        run(&test, data);
        data->n_tests++;
    }
}
