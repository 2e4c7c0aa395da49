/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a policy, and where: one row for each sentence that the reader can say. The
 * files in tests/integration/data/broken-policies are those that people would write. */
#include <stdlib.h>

#include "policy/fixture.h"

#define TWO(a, b)                                                                             \
    POLICY_ROUTE("{\"resource\": \"" a "\", \"upstream\": \"http://a\"}, {\"resource\": \"" b \
                 "\", \"upstream\": \"http://b\"}")
#define RESOURCE(r) POLICY_ROUTE("{\"resource\": \"" r "\", \"upstream\": \"http://a\"}")
#define HEADERS(h) POLICY_UPSTREAM("{\"url\": \"http://a\", \"headers\": {" h "}}")
#define ISSUER(i) POLICY_ISSUERS("\"i\": {\"issuer\": \"" i "\"}")

struct finding_row {
    const char *policy;
    const char *pointer;
    const char *text; /* a part of it */
};

static const struct finding_row type_errors[] = {
    {"null", "", "a policy is an object: { ... }, not null"},
    {POLICY_TOP("\"listen\": 8080"), "/listen", "an object or an array, not a number"},
    {POLICY_TOP("\"listen\": {}"), "/listen", "\"address\" is missing"},
    {POLICY_TOP("\"listen\": []"), "/listen", "must not be empty"},
    {POLICY_TOP("\"user\": 0"), "/user", "must be a string or null, not a number"},
    {POLICY_TOP("\"user\": \":adm\""), "/user", "\"NAME:GROUP\""},
    {POLICY_TOP("\"user\": \"a:\""), "/user", "\"NAME:GROUP\""},
    {POLICY_TOP("\"user\": \"a:b:c\""), "/user", "\"NAME:GROUP\""},
    {POLICY_TOP("\"listen\": [true]"), "/listen/0", "or an object, not a boolean"},
    {POLICY_TOP("\"admin\": \"\""), "/admin", "must not be empty"},
    {POLICY_TOP("\"workers\": 1.5"), "/workers", "not a number with a fraction"},
    {POLICY_TOP("\"workers\": 65"), "/workers", "must be from 1 to 64"},
    {POLICY_TOP("\"issuers\": []"), "/issuers", "must be an object, not an array"},
    {POLICY_TOP("\"issuers\": {\"a\": {}}"), "/issuers/a", "\"issuer\" is missing"},
    {POLICY_TOP("\"jwks\": {\"refresh\": \"10 m\"}"), "/jwks/refresh", "\"10 m\" is no duration"},
    {POLICY_TOP("\"jwks\": {\"refresh\": \"999ms\"}"), "/jwks/refresh", "from 1s to 1d"},
    {POLICY_TOP("\"jwks\": {\"timeout\": \"99999999999999999999s\"}"), "/jwks/timeout",
     "is no duration"},
    {POLICY_TOP("\"jwks\": {\"cache_dir\": \"\"}"), "/jwks/cache_dir", "must not be empty"},
    {POLICY_TOP("\"jwks\": {\"cache_max_age\": \"71m\"}"), "/jwks/cache_max_age",
     "raise jwks.max_stale"},
    {POLICY_TOP("\"log\": {\"access\": {\"sample\": \"0.5\"}}"), "/log/access/sample",
     "must be a number from 0 to 1, not a string"},
    {POLICY_TOP("\"log\": {\"access\": {\"sample\": 1.01}}"), "/log/access/sample", "from 0 to 1"},
    {POLICY_TOP("\"log\": {\"access\": {\"sample\": -1}}"), "/log/access/sample", "from 0 to 1"},
    {POLICY_TOP("\"log\": {\"file\": \"a/log\"}, \"audit\": {\"file\": \"/etc/policy/a/log\"}"),
     "/log/file", "is the same file as audit.file"},
    {POLICY_TOP("\"clock_skew\": \"301s\""), "/clock_skew", "from 0s to 5m"},
    {POLICY_TOP("\"clock_skew\": \"1s500ms\""), "/clock_skew", "is no duration"},
    {POLICY_TOP("\"clock_skew\": \"1500ms\""), "/clock_skew", "in whole seconds"},
    {POLICY_TOP("\"limits\": {\"header\": 4095}"), "/limits/header", "from 4KiB to 1MiB"},
    {POLICY_TOP("\"limits\": {\"connections\": 0}"), "/limits/connections", "from 1 to 1000000"},
    {POLICY_TOP("\"log\": {\"format\": \"xml\"}"), "/log/format", "not one of json, text"},
    {POLICY_TOP("\"tracing\": true"), "/tracing", "must be an object or null"},
    {POLICY_TOP("\"tracing\": {\"endpoint\": \"collector:4318\"}"), "/tracing/endpoint",
     "has no scheme"},
    {POLICY_TOP("\"tracing\": {\"trust\": \"clients\"}"), "/tracing/trust", "never"},
    {POLICY_TOP("\"tracing\": {\"sample\": 2}"), "/tracing/sample", "from 0 to 1"},
    {POLICY_TOP("\"tracing\": {\"queue\": 255}"), "/tracing/queue", "from 256 to 100000"},
    {POLICY_TOP("\"tracing\": {\"headers\": {\"Host\": \"x\"}}"), "/tracing/headers/Host",
     "belongs to HTTP"},
    {POLICY_TOP("\"tracing\": {\"headers\": {\"a b\": \"x\"}}"), "/tracing/headers/a b",
     "is no header name"},
    {POLICY_TOP("\"tracing\": {\"headers\": {\"X-Key\": \" x\"}}"), "/tracing/headers/X-Key",
     "has a blank"},
    {POLICY_TOP("\"tracing\": {\"endpoint\": \"http://c.example/\", \"headers\": {\"X-Key\": "
                "\"x\"}}"),
     "/tracing/endpoint", "must be https"},
    {POLICY_TOP("\"tracing\": {\"endpoint\": \"http://c.example/\", \"ca_file\": \"ca.pem\"}"),
     "/tracing/ca_file", "is not https"},
    {POLICY_TOP("\"insecure\": {\"http_issuer\": \"yes\"}"), "/insecure/http_issuer",
     "must be true or false, not a string"},
    {POLICY_IN_ROUTE("\"scopes\": \"a\""), "/routes/0/scopes",
     "must be an array of strings, not a string"},
    {POLICY_IN_ROUTE("\"scopes\": [\"a\", 1]"), "/routes/0/scopes/1", "a string, not a number"},
    {POLICY_IN_ROUTE("\"scopes\": [\"a\", \"a\"]"), "/routes/0/scopes/1", "\"a\" is listed twice"},
    {POLICY_IN_ROUTE("\"audiences\": []"), "/routes/0/audiences", "must not be empty"},
    {POLICY_IN_ROUTE("\"audiences\": [\"\"]"), "/routes/0/audiences/0", "must not be empty"},
    {POLICY_IN_ROUTE("\"name\": \"a\\u0000b\""), "/routes/0/name", "control character"},
    {POLICY_IN_ROUTE("\"limits\": {\"body\": 0}"), "/routes/0/limits/body", "from 1B to 1GiB"},
    {POLICY_IN_ROUTE("\"limits\": {\"body\": true}"), "/routes/0/limits/body",
     "a size such as \"64KiB\" or a whole number, not a boolean"},
    {POLICY_ROUTE("[]"), "/routes/0", "must be an object, not an array"},
    {POLICY_ROUTE("{}"), "/routes/0", "\"resource\" is missing"},
    {POLICY_UPSTREAM("{}"), "/routes/0/upstream", "\"url\" is missing"},
};

static const struct finding_row key_errors[] = {
    {POLICY_TOP("\"lissten\": 1"), "/lissten", "did you mean \"listen\"?"},
    {POLICY_TOP("\"work\": 1"), "/work", "did you mean \"workers\"?"},
    {POLICY_TOP("\"xyz\": 1"), "/xyz", "unknown key"},
    {POLICY_TOP("\"upstream\": 1"), "/upstream", "it belongs to routes[].upstream"},
    {POLICY_TOP("\"a/b~c\": 1"), "/a~1b~0c", "unknown key"},
    {POLICY_TOP("\"routes[]\": 1"), "/routes[]", "unknown key"},
    {POLICY_TOP("\"jwks.refresh\": 1"), "/jwks.refresh", "unknown key"},
    {POLICY_TOP("\"*\": 1"), "/*", "unknown key"},
    {POLICY_TOP("\"\": 1"), "/", "unknown key"},
    {POLICY_TOP("\"\\u001b[2J\": 1"), "/\\u001b[2J", "unknown key"},
    {POLICY_TOP("\"jwks\": {\"refesh\": \"1m\"}"), "/jwks/refesh", "did you mean \"refresh\"?"},
    {POLICY_UPSTREAM("{\"url\": \"http://a\", \"header\": {}}"), "/routes/0/upstream/header",
     "did you mean \"headers\"?"},
};

static const struct finding_row address_errors[] = {
    {POLICY_TOP("\"listen\": \":8080\""), "/listen", "has no address; write"},
    {POLICY_TOP("\"listen\": \"8080\""), "/listen", "has no port"},
    {POLICY_TOP("\"listen\": \"::1:8080\""), "/listen", "in brackets"},
    {POLICY_TOP("\"listen\": \"127.0.0.1:65536\""), "/listen", "not 1..65535"},
    {POLICY_TOP("\"listen\": {\"address\": \"localhost:1\"}"), "/listen/address", "not a name"},
    {POLICY_TOP("\"listen\": \"unix:relative\""), "/listen", "absolute path"},
    {POLICY_TOP("\"listen\": [\"127.0.0.1:1\", \"127.0.0.1:1\"]"), "/listen/1", "listed twice"},
    {POLICY_TOP("\"listen\": [\"[::1]:1\", \"[0::1]:1\"]"), "/listen/1", "listed twice"},
    {POLICY_TOP("\"listen\": [\"fd:web\", \"fd:web\"]"), "/listen/1", "listed twice"},
    {POLICY_TOP("\"listen\": [\"fd:web\", \"fd:\"]"), "/listen/1", "behind \"fd:\""},
    {POLICY_TOP("\"listen\": \"fd:web\", \"admin\": \"fd:web\""), "/admin",
     "same address as \"listen\""},
    {POLICY_TOP("\"listen\": \"127.0.0.1:9090\""), "", "same address as \"listen\""},
    {POLICY_TOP("\"listen\": {\"address\": \"unix:/s\", \"mode\": \"0888\"}"), "/listen/mode",
     "is no mode"},
    {POLICY_TOP("\"listen\": {\"address\": \"unix:/s\", \"mode\": \"1777\"}"), "/listen/mode",
     "is no mode"},
    {POLICY_TOP("\"listen\": {\"address\": \"unix:/s\", \"mode\": 660}"), "/listen/mode",
     "must be a mode"},
    {POLICY_TOP("\"listen\": [{\"address\": \"127.0.0.1:1\", \"mode\": \"0660\"}]"),
     "/listen/0/mode", "only a unix socket"},
    {POLICY_TOP("\"listen\": {\"address\": \"127.0.0.1:1\", \"tls\": {}}"), "/listen/tls",
     "\"key\" is missing"},
    {POLICY_TOP("\"listen\": {\"address\": \"127.0.0.1:1\", \"tls\": true}"), "/listen/tls",
     "must be an object or null"},
    {POLICY_TOP("\"listen\": {\"address\": \"127.0.0.1:1\", \"tls\": {\"certificate\": "
                "\"none.pem\", \"key\": \"ca.pem\"}}"),
     "/listen/tls/certificate", "No such file"},
    {POLICY_TOP("\"listen\": {\"address\": \"127.0.0.1:1\", \"tls\": {\"certificate\": "
                "\"ca.pem\", \"key\": \"text.pem\"}}"),
     "/listen/tls/key", "holds no PEM"},
    {POLICY_TOP("\"listen\": {\"address\": \"127.0.0.1:1\", \"tls\": {\"certificate\": "
                "\"ca.pem\", \"key\": \"ca.pem\"}}"),
     "/listen/tls/certificate", "holds no certificate that can be read"},
    {POLICY_TOP("\"trusted_proxies\": [\"proxy\"]"), "/trusted_proxies/0", "is no network"},
    {POLICY_TOP("\"trusted_proxies\": [\"10.0.0.0/33\"]"), "/trusted_proxies/0", "is no network"},
    {POLICY_TOP("\"trusted_proxies\": [\"fd00::1/8\"]"), "/trusted_proxies/0", "clear them"},
};

static const struct finding_row issuer_errors[] = {
    {"{\"routes\": [" ROUTE "]}", "", "no issuer: write \"auth0\""},
    {"{\"auth0\": \"tenant.auth0.com/\", \"routes\": [" ROUTE "]}", "/auth0", "every slash"},
    {"{\"auth0\": \"Tenant.auth0.com\", \"routes\": [" ROUTE "]}", "/auth0", "lower case"},
    {"{\"auth0\": \"a b\", \"routes\": [" ROUTE "]}", "/auth0", "is no domain"},
    {"{\"auth0\": {}, \"routes\": [" ROUTE "]}", "/auth0", "\"domain\" is missing"},
    {POLICY_TOP("\"issuers\": {\"auth0\": {\"issuer\": \"https://a\"}}"), "/auth0", "keep one"},
    {POLICY_ISSUERS("\"a b\": {\"issuer\": \"https://a\"}"), "/issuers/a b", "letters, digits"},
    {POLICY_ISSUERS("\"a$b\": {\"issuer\": \"https://a\"}"), "/issuers/a$b", "letters, digits"},
    {ISSUER("idp.example.com"), "/issuers/i/issuer", "has no scheme"},
    {ISSUER("ftp://idp.example.com"), "/issuers/i/issuer", "does not begin with http"},
    {ISSUER("http://idp.example.com"), "/issuers/i/issuer", "must be https"},
    {ISSUER("https://u:" CANARY "@idp.example.com"), "/issuers/i/issuer", "a user name"},
    {ISSUER("https://idp.example.com/#a"), "/issuers/i/issuer", "fragment"},
    {POLICY_ISSUERS("\"i\": {\"issuer\": \"https://a\", \"jwks_uri\": \"http://b/k\"}"),
     "/issuers/i/jwks_uri", "must be https"},
    {POLICY_ISSUERS("\"i\": {\"issuer\": \"https://a\", \"algorithms\": []}"),
     "/issuers/i/algorithms", "must not be empty"},
    {POLICY_ISSUERS("\"i\": {\"issuer\": \"https://a\", \"algorithms\": [\"ES256\"]}"),
     "/issuers/i/algorithms/0", "is not one of RS256, RS384"},
    {POLICY_ISSUERS("\"i\": {\"issuer\": \"https://a\", \"ca_file\": \"text.pem\"}"),
     "/issuers/i/ca_file", "no PEM block"},
    {POLICY_ISSUERS("\"i\": {\"issuer\": \"https://a\", \"ca_file\": \"large\"}"),
     "/issuers/i/ca_file", "too large"},
};

static const struct finding_row route_errors[] = {
    {RESOURCE("https://a/?x=1"), "/routes/0/resource", "has a query"},
    {RESOURCE("HTTPS://a/"), "/routes/0/resource", "capitals"},
    {RESOURCE("https://A.example/"), "/routes/0/resource", "capitals"},
    {RESOURCE("https://a/%2e%2e/b"), "/routes/0/resource", "\"..\" segment"},
    {RESOURCE("https://a/b%2Fc"), "/routes/0/resource", "encoded slash"},
    {RESOURCE("https://a/b%5cc"), "/routes/0/resource", "encoded slash or backslash"},
    {RESOURCE("https://a/b//"), "/routes/0/resource", "two slashes"},
    {RESOURCE("https://a//"), "/routes/0/resource", "two slashes"},
    {RESOURCE("https://a/.well-known"), "/routes/0/resource", "lies under"},
    {RESOURCE("https://a/.well-known/oauth-protected-resource/b"), "/routes/0/resource",
     "lies under"},
    {RESOURCE("https://a/b c"), "/routes/0/resource", "\"https://a/b c\""},
    {TWO("https://a/x", "https://b/x/"), "/routes/1/resource", "/routes/0 has the same path"},
    {TWO("https://a", "https://b/"), "/routes/1/resource", "/routes/0 has the same path"},
    {POLICY_IN_ROUTE("\"issuers\": [\"auth\"]"), "/routes/0/issuers/0", "no issuer named \"auth\""},
    {POLICY_IN_ROUTE("\"scopes\": [\"a\\\"b\"]"), "/routes/0/scopes/0", "is no scope"},
    {POLICY_IN_ROUTE("\"scope_implies\": {\"a b\": [\"c\"]}"), "/routes/0/scope_implies/a b",
     "is no scope"},
    {POLICY_IN_ROUTE("\"scope_implies\": {\"a\": [\"b c\"]}"), "/routes/0/scope_implies/a/0",
     "is no scope"},
    {POLICY_IN_ROUTE("\"origins\": [\"app.example.com\"]"), "/routes/0/origins/0", "is no origin"},
    {POLICY_IN_ROUTE("\"identity\": {\"X User\": \"sub\"}"), "/routes/0/identity/X User",
     "is no header name"},
    {POLICY_IN_ROUTE("\"identity\": {\"Authorization\": \"sub\"}"),
     "/routes/0/identity/Authorization", "cannot be set here"},
    {POLICY_IN_ROUTE("\"identity\": {\"mcp_session_id\": \"sub\"}"),
     "/routes/0/identity/mcp_session_id", "cannot be set here"},
    {POLICY_IN_ROUTE("\"identity\": {\"X-Forwarded-For\": \"sub\"}"),
     "/routes/0/identity/X-Forwarded-For", "cannot be set here"},
    {POLICY_IN_ROUTE("\"identity\": {\"X-A\": []}"), "/routes/0/identity/X-A", "must not be empty"},
    {POLICY_IN_ROUTE("\"identity\": {\"X-A\": 1}"), "/routes/0/identity/X-A",
     "a string or an array of strings"},
};

static const struct finding_row upstream_errors[] = {
    {POLICY_UPSTREAM("\"http://a:0/\""), "/routes/0/upstream", "1..65535"},
    {POLICY_UPSTREAM("\"http://u:" CANARY "@a/\""), "/routes/0/upstream", "a user name"},
    {POLICY_UPSTREAM("{\"url\": \"a:3000\"}"), "/routes/0/upstream/url", "has no scheme"},
    {POLICY_UPSTREAM("{\"url\": \"https://a\", \"client_key\": \"ca.pem\"}"),
     "/routes/0/upstream/client_key", "needs its certificate"},
    {POLICY_UPSTREAM("{\"url\": \"http://a\", \"client_key\": \"ca.pem\"}"),
     "/routes/0/upstream/client_key", "of no use with an http upstream"},
    {HEADERS("\"Content-Length\": \"1\""), "/routes/0/upstream/headers/Content-Length",
     "cannot be set here"},
    {HEADERS("\"transfer_encoding\": \"x\""), "/routes/0/upstream/headers/transfer_encoding",
     "cannot be set here"},
    {HEADERS("\"Mcp-Param-X\": \"x\""), "/routes/0/upstream/headers/Mcp-Param-X",
     "cannot be set here"},
    {HEADERS("\"content_encoding\": \"x\""), "/routes/0/upstream/headers/content_encoding",
     "cannot be set here"},
    {HEADERS("\"\": \"x\""), "/routes/0/upstream/headers/", "is no header name"},
    {HEADERS("\"X-A\": \" x\""), "/routes/0/upstream/headers/X-A", "a blank at its beginning"},
    {HEADERS("\"X-A\": \"a\\nb\""), "/routes/0/upstream/headers/X-A", "line break"},
    {HEADERS("\"X-A\": \"1\", \"x_a\": \"2\""), "/routes/0/upstream/headers/x_a", "given twice"},
    {POLICY_ROUTE("{\"resource\": \"https://a\", \"identity\": {\"X-A\": \"sub\"}, \"upstream\": "
                  "{\"url\": \"http://a\", \"headers\": {\"X-A\": \"1\"}}}"),
     "/routes/0/upstream/headers/X-A", "given twice"},
};

static void check_row(const struct finding_row *row)
{
    struct diag diag = {0};
    struct config *config = NULL;
    int r = parse_policy(row->policy, &diag, &config);
    if (r != -EINVAL || config != NULL || !diag_has_errors(&diag))
        fail_msg("accepted: %s", row->policy);
    if (!has_finding(&diag, DIAG_ERROR, row->pointer, row->text)) {
        diag_print(&diag, stderr, "got", false);
        fail_msg("%s: no error at \"%s\" with \"%s\"", row->policy, row->pointer, row->text);
    }
    for (size_t i = 0; i < diag.count; i++)
        if (strstr(diag.items[i].text, CANARY) != NULL)
            fail_msg("shows a secret: %s", diag.items[i].text);
    diag_free(&diag);
}

#define FINDING_TEST(name, rows)                     \
    static void name(void **state)                   \
    {                                                \
        (void)state;                                 \
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) \
            check_row(&(rows)[i]);                   \
    }

FINDING_TEST(policy_refuses_wrong_types_and_ranges, type_errors)
FINDING_TEST(policy_refuses_unknown_and_later_keys, key_errors)
FINDING_TEST(policy_refuses_wrong_addresses, address_errors)
FINDING_TEST(policy_refuses_wrong_issuers, issuer_errors)
FINDING_TEST(policy_refuses_wrong_routes, route_errors)
FINDING_TEST(policy_refuses_wrong_upstreams, upstream_errors)

static const struct finding_row warnings[] = {
    {ISSUER("https://tenant.us.auth0.com"), "/issuers/i/issuer", "end in a slash"},
    {RESOURCE("http://mcp.example.com/"), "/routes/0/resource", "plain http"},
    {RESOURCE("https://mcp.example.com:443/"), "/routes/0/resource", "default port"},
    {POLICY_ROUTE("{\"resource\": \"https://a/x\", \"upstream\": \"http://a\"}, {\"resource\": "
                  "\"https://a/y\", \"upstream\": \"http://a\", \"audiences\": [\"z\", "
                  "\"https://a/x\"]}"),
     "/routes/1/audiences/1", "/routes/0 accepts this audience too"},
    {"{\"issuers\": {\"a\": {\"issuer\": \"https://a\"}, \"b\": {\"issuer\": \"https://b\"}}, "
     "\"routes\": [{\"resource\": \"https://a/x\", \"upstream\": \"http://a\", \"issuers\": "
     "[\"a\"]}]}",
     "/issuers/b", "no route accepts this issuer"},
};

static void policy_warns_and_goes_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(warnings); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        assert_int_equal(parse_policy(warnings[i].policy, &diag, &config), 0);
        assert_int_equal(diag.errors, 0);
        if (diag.count != 1 ||
            !has_finding(&diag, DIAG_WARNING, warnings[i].pointer, warnings[i].text))
            fail_msg("%s: no warning with \"%s\"", warnings[i].policy, warnings[i].text);
        config_unref(config);
        diag_free(&diag);
    }
}

static const char *const accepted[] = {
    ISSUER("http://localhost:8080/realms/x"),
    ISSUER("http://127.0.0.1/"),
    POLICY_ISSUERS("\"i\": {\"issuer\": \"https://a\", \"jwks_uri\": \"https://b/k?p=1\"}"),
    POLICY_ISSUERS("\"i\": {\"issuer\": \"https://a\", \"ca_file\": \"ca.pem\"}"),
    "{\"insecure\": {\"http_issuer\": true}, \"issuers\": {\"i\": {\"issuer\": \"http://a.b/\"}}, "
    "\"routes\": [" ROUTE "]}",
    RESOURCE("http://localhost:8080/mcp"),
    RESOURCE("https://a/caf%C3%A9"),
    RESOURCE("https://a/.well-knownx"),
    TWO("https://a/mcp", "https://a/mcp/admin"),
    POLICY_TOP("\"listen\": [\"127.0.0.1:1\", \"127.0.0.2:1\"], \"admin\": \"127.0.0.1:2\""),
    POLICY_TOP("\"jwks\": {\"cache_dir\": null}"),
    POLICY_TOP("\"workers\": 64, \"clock_skew\": \"5m\", \"limits\": {\"drain_timeout\": \"0s\"}"),
    HEADERS("\"Authorization\": \"Bearer x\", \"Cookie\": \"a=b\", \"X-Forwarded-User\": \"u\""),
    POLICY_IN_ROUTE("\"identity\": {\"X-Forwarded-Email\": \"email\", \"X-User\": \"sub\"}"),
    POLICY_IN_ROUTE("\"origins\": [\"*\", \"null\", \"vscode-webview://abc\"]"),
};

static void policy_accepts_what_is_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
        config_unref(good_policy(accepted[i]));
}

static void policy_refuses_metadata_that_is_too_large(void **state)
{
    (void)state;
    static const char before[] = "{\"auth0\": \"a.auth0.com\", \"routes\": [{\"resource\": "
                                 "\"https://a\", \"upstream\": \"http://a\", \"scopes\": [\"";
    const size_t scope_bytes = 256U * 1024;
    struct diag diag = {0};
    struct config *config = NULL;
    char *text = calloc(1, sizeof(before) + scope_bytes + 8);
    assert_non_null(text);
    memcpy(text, before, sizeof(before));
    memset(text + sizeof(before) - 1, 's', scope_bytes);
    memcpy(text + sizeof(before) - 1 + scope_bytes, "\"]}]}", 6);
    assert_int_equal(parse_policy(text, &diag, &config), -EINVAL);
    assert_true(has_finding(&diag, DIAG_ERROR, "/routes/0", "the metadata with all its scopes"));
    diag_free(&diag);
    free(text);
}

static void policy_reports_all_problems_in_one_run_by_line(void **state)
{
    (void)state;
    struct diag diag = {0};
    struct config *config = NULL;
    int r =
        parse_policy("{\n\"listn\": 1,\n\"workers\": \"x\",\n\"workers\": 0,\n\"auth0\": \"A\",\n"
                     "\"routes\": [\n{\"resource\": \"x\",\n\"upstream\": \"$env(NOPE)\",\n"
                     "\"limits\": {\"ip_rate\": 0}}]\n}",
                     &diag, &config);
    static const unsigned lines[] = {2, 4, 4, 5, 7, 8, 9};
    assert_int_equal(r, -EINVAL);
    assert_int_equal(diag.count, ARRAY_LEN(lines));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(diag.items[i].line, lines[i]);
    diag_free(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_refuses_wrong_types_and_ranges),
        cmocka_unit_test(policy_refuses_unknown_and_later_keys),
        cmocka_unit_test(policy_refuses_wrong_addresses),
        cmocka_unit_test(policy_refuses_wrong_issuers),
        cmocka_unit_test(policy_refuses_wrong_routes),
        cmocka_unit_test(policy_refuses_wrong_upstreams),
        cmocka_unit_test(policy_warns_and_goes_on),
        cmocka_unit_test(policy_accepts_what_is_right),
        cmocka_unit_test(policy_refuses_metadata_that_is_too_large),
        cmocka_unit_test(policy_reports_all_problems_in_one_run_by_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
