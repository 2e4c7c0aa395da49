/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/route.h"

#include "policy/fixture.h"

#define UP "\"upstream\": \"http://127.0.0.1:3000/\""
#define META "/.well-known/oauth-protected-resource"

static const char with_root[] = "{\"auth0\": \"tenant.us.auth0.com\", \"routes\": ["
                                "{\"resource\": \"https://h.example/mcp\", " UP "},"
                                "{\"resource\": \"https://h.example/mcp/admin/\", " UP "},"
                                "{\"resource\": \"https://h.example/caf%C3%A9\", " UP "},"
                                "{\"resource\": \"https://h.example\", " UP "}]}";
static const char without_root[] = "{\"auth0\": \"tenant.us.auth0.com\", \"routes\": ["
                                   "{\"resource\": \"https://h.example/a\", " UP "},"
                                   "{\"resource\": \"https://h.example/b\", " UP "}]}";

struct find_row {
    const char *path;
    enum route_kind kind;
    size_t index;
    const char *why;
};

static void check_rows(const char *policy, const struct find_row *rows, size_t count)
{
    struct config *config = good_policy(policy);
    struct route_table *table = route_table_new(config_get(config));
    assert_non_null(table);
    for (size_t i = 0; i < count; i++) {
        struct route_match match = route_find(table, str_from_cstr(rows[i].path));
        if (match.kind != rows[i].kind ||
            (match.kind != ROUTE_NONE && match.route->index != rows[i].index))
            fail_msg("%s: %s", rows[i].path, rows[i].why);
        assert_true((match.kind == ROUTE_NONE) == (match.route == NULL));
    }
    (void)route_table_free(table);
    config_unref(config);
}

static void route_find_knows_every_spelling_of_the_policy_and_no_other(void **state)
{
    (void)state;
    static const struct find_row rows[] = {
        {"/mcp", ROUTE_MCP, 0, "the mount point"},
        {"/mcp/", ROUTE_MCP, 0, "and one final slash"},
        {"/mcp//", ROUTE_NONE, 0, "two are another path"},
        {"/mcp/admin", ROUTE_MCP, 1, "a mount inside another mount"},
        {"/mcp/admin/", ROUTE_MCP, 1, "whose resource ends in a slash"},
        {"/mcp/other", ROUTE_NONE, 0, "below a mount is not mounted"},
        {"/mcpx", ROUTE_NONE, 0, "a prefix is not a path"},
        {"/MCP", ROUTE_NONE, 0, "paths have case"},
        {"/%6dcp", ROUTE_NONE, 0, "an encoded letter is another spelling"},
        {"/mcp%2Fadmin", ROUTE_NONE, 0, "an encoded slash is no slash"},
        {"/mcp;x=1", ROUTE_NONE, 0, "a path parameter"},
        {"/caf%C3%A9", ROUTE_MCP, 2, "encoded as in the policy"},
        {"/caf%c3%a9", ROUTE_NONE, 2, "encoded in lower case"},
        {"/", ROUTE_MCP, 3, "the root"},
        {"//", ROUTE_NONE, 3, "not the root"},
        {"mcp", ROUTE_NONE, 0, "no path"},
        {META, ROUTE_METADATA, 3, "bare: the route at the root"},
        {META "/", ROUTE_METADATA, 3, "bare with a slash"},
        {META "/mcp", ROUTE_METADATA, 0, "path-inserted"},
        {META "/mcp/", ROUTE_METADATA, 0, "path-inserted with a slash"},
        {META "/mcp/admin", ROUTE_METADATA, 1, "path-inserted, nested"},
        {META "/mcp/admin/", ROUTE_METADATA, 1, "as in the resource"},
        {META "/nothing", ROUTE_NONE, 0, "no such mount"},
        {META "mcp", ROUTE_NONE, 0, "no slash between"},
        {"/mcp" META, ROUTE_NONE, 0, "appended instead of inserted"},
        {"/.well-known/oauth-authorization-server", ROUTE_NONE, 0, "not ours"},
    };
    check_rows(with_root, rows, ARRAY_LEN(rows));
}

static void route_find_gives_the_first_route_for_the_bare_metadata_path(void **state)
{
    (void)state;
    static const struct find_row rows[] = {
        {META, ROUTE_METADATA, 0, "no route at the root: the first"},
        {META "/", ROUTE_METADATA, 0, "with a slash"},
        {META "/b", ROUTE_METADATA, 1, "named"},
        {"/", ROUTE_NONE, 0, "nothing at the root"},
    };
    check_rows(without_root, rows, ARRAY_LEN(rows));
}

/* The rule spelled out: the first route in the policy whose mount is PATH, with or without one
 * final slash. */
static const struct route *search(const struct config_data *data, struct str path)
{
    for (size_t i = 0; i < data->n_routes; i++) {
        struct str mount = data->routes[i].mount;
        if (str_eq(path, mount) || (path.len == mount.len + 1 && str_has_prefix(path, mount) &&
                                    str_has_suffix(path, STR("/"))))
            return &data->routes[i];
    }
    return NULL;
}

#define N_MOUNTS 600

/* Mounts that are alike, among them some that no policy may have: with a final slash, twice, one
 * that differs from another by that slash, before it and behind it. */
static void route_find_gives_what_a_search_in_order_gives(void **state)
{
    (void)state;
    static char names[N_MOUNTS][32];
    static struct route routes[N_MOUNTS];
    static const char *const ends[] = {"", "", "/", "//", "/x"};
    for (unsigned i = 0; i < N_MOUNTS; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "%s/%u%s", i % 3 == 0 ? "/a" : "",
                           i * 7 % 101, ends[i * 13 % ARRAY_LEN(ends)]);
        routes[i] = (struct route){.index = i, .mount = str_make(names[i], (size_t)len)};
    }
    routes[17].mount = STR("");
    struct config_data data = {.routes = routes, .n_routes = N_MOUNTS};
    struct route_table *table = route_table_new(&data);
    assert_non_null(table);
    for (size_t i = 0; i < N_MOUNTS; i++) {
        char path[64];
        int len = snprintf(path, sizeof(path), "%.*s//x", STR_ARG(routes[i].mount));
        for (int cut = 0; cut <= len; cut++) {
            struct str part = str_make(path, (size_t)(len - cut));
            if (route_find(table, part).route != search(&data, part))
                fail_msg("%.*s", STR_ARG(part));
        }
    }
    (void)route_table_free(table);
    (void)route_table_free(NULL);
}

static void route_table_of_no_routes_finds_nothing(void **state)
{
    (void)state;
    const struct config_data data = {0};
    struct route_table *table = route_table_new(&data);
    assert_non_null(table);
    assert_int_equal(route_find(table, STR("/")).kind, ROUTE_NONE);
    assert_int_equal(route_find(table, STR(META)).kind, ROUTE_NONE);
    (void)route_table_free(table);
}

#define ORIGINS(list)                                                   \
    "{\"auth0\": \"tenant.us.auth0.com\", \"routes\": [{\"resource\": " \
    "\"https://mcp.example.com:8443/mcp\", " UP ", \"origins\": " list "}]}"

struct origin_row {
    const char *origin;
    bool none, some, any; /* without origins, with a list, with "*" */
    const char *why;
};

static const struct origin_row origin_rows[] = {
    {"https://mcp.example.com:8443", true, true, true, "the resource's own"},
    {"HTTPS://MCP.Example.Com:8443", true, true, true, "scheme and host have no case"},
    {"https://mcp.example.com", false, false, true, "another port"},
    {"http://mcp.example.com:8443", false, false, true, "another scheme"},
    {"https://evil.example", false, false, true, "another host"},
    {"https://app.example.com", false, true, true, "listed"},
    {"https://app.example.com:443", false, true, true, "listed, its default port spelled out"},
    {"https://app.example.com:444", false, false, true, "listed with another port"},
    {"https://app.example.com.evil.example", false, false, true, "a listed name as a prefix"},
    {"https://xapp.example.com", false, false, true, "a listed name as a suffix"},
    {"http://localhost:6274", false, true, true, "listed in capitals with a port"},
    {"http://[::1]:3000", false, true, true, "listed IPv6"},
    {"vscode-webview://1a2b3c", false, true, true, "listed, an origin of an application"},
    {"null", false, true, true, "listed null"},
    {"NULL", false, false, false, "null has one spelling"},
    {"", false, false, false, "empty"},
    {"https://app.example.com/", false, false, false, "a slash makes it a URL"},
    {"https://app.example.com, https://evil.example", false, false, false, "two values"},
    {"https://evil.example https://app.example.com", false, false, false, "an old list"},
    {"https://user@app.example.com", false, false, false, "a user"},
    {"https://app.example.com?x", false, false, false, "a query"},
    {"https://", false, false, false, "no host"},
    {"1app://x", false, false, false, "no scheme begins with a digit"},
    {"a_b://x", false, false, false, "a byte that no scheme has"},
    {"app:x", false, false, false, "no slashes"},
    {"app://", false, false, false, "an application without a name"},
    {"app://x/y", false, false, false, "an application's URL"},
    {"other-app+x.y://a.b_c-d:1", false, false, true, "another application"},
    {"://x", false, false, false, "an empty scheme"},
    {"app.example.com", false, false, false, "no scheme"},
    {"*", false, false, false, "the policy's word is no origin"},
};

static void check_origins(const char *policy, size_t column)
{
    struct config *config = good_policy(policy);
    const struct route *route = &config_get(config)->routes[0];
    for (size_t i = 0; i < ARRAY_LEN(origin_rows); i++) {
        const struct origin_row *row = &origin_rows[i];
        const bool expected[] = {row->none, row->some, row->any};
        if (route_origin_allowed(route, str_from_cstr(row->origin)) != expected[column])
            fail_msg("%s: %s (column %zu)", row->origin, row->why, column);
    }
    config_unref(config);
}

static void route_origin_allows_its_own_and_the_listed_only(void **state)
{
    (void)state;
    check_origins(ORIGINS("[]"), 0);
    check_origins(ORIGINS("[\"https://app.example.com\", \"HTTP://LOCALHOST:6274\", "
                          "\"http://[::1]:3000\", \"null\", \"vscode-webview://1a2b3c\"]"),
                  1);
    check_origins(ORIGINS("[\"*\"]"), 2);
}

static void route_origin_of_the_default_port_matches_in_both_spellings(void **state)
{
    (void)state;
    struct config *config = good_policy(POLICY_ROUTE(ROUTE));
    const struct route *route = &config_get(config)->routes[0];
    assert_true(route_origin_allowed(route, STR("https://mcp.example.com")));
    assert_true(route_origin_allowed(route, STR("https://mcp.example.com:443")));
    assert_false(route_origin_allowed(route, STR("http://mcp.example.com:443")));
    config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route_find_knows_every_spelling_of_the_policy_and_no_other),
        cmocka_unit_test(route_find_gives_the_first_route_for_the_bare_metadata_path),
        cmocka_unit_test(route_find_gives_what_a_search_in_order_gives),
        cmocka_unit_test(route_table_of_no_routes_finds_nothing),
        cmocka_unit_test(route_origin_allows_its_own_and_the_listed_only),
        cmocka_unit_test(route_origin_of_the_default_port_matches_in_both_spellings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
