/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/sample.h"
#include "policy/fixture.h"

static void assert_str(struct str actual, const char *expected)
{
    if (!str_eq(actual, str_from_cstr(expected)))
        fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(actual), expected);
}

static void config_of_two_facts_has_safe_defaults(void **state)
{
    (void)state;
    struct config *config = good_policy(POLICY_ROUTE(ROUTE));
    const struct config_data *data = config_get(config);
    const struct route *route = &data->routes[0];
    assert_int_equal(data->n_listens, 1);
    assert_str(data->listens[0].text, "127.0.0.1:8080");
    assert_true(data->has_admin);
    assert_str(data->admin.text, "127.0.0.1:9090");
    assert_int_equal(data->workers, 3);
    assert_int_equal(data->clock_skew_s, 30);
    assert_int_equal(data->n_trusted_proxies, 0);
    assert_int_equal(data->jwks.refresh_ms, 600000);
    assert_int_equal(data->jwks.unknown_kid_cooldown_ms, 30000);
    assert_int_equal(data->jwks.max_stale_ms, 3600000);
    assert_false(str_is_set(data->jwks.cache_dir));
    assert_int_equal(data->jwks.cache_max_age_ms, 0);
    assert_false(str_is_set(data->log_file));
    assert_int_equal(data->access_threshold, 0);
    assert_int_equal(data->access_slow_us, 1000000);
    assert_int_equal(data->jwks.timeout_ms, 5000);
    assert_int_equal(data->limits.header_bytes, 32768);
    assert_int_equal(data->limits.token_bytes, 16384);
    assert_int_equal(data->limits.connections, 0);
    assert_int_equal(data->limits.ip_connections, 0);
    assert_int_equal(data->limits.min_rate_bytes, 100);
    assert_int_equal(data->limits.client_timeout_ms, 30000);
    assert_int_equal(data->limits.drain_timeout_ms, 30000);
    assert_int_equal(data->log_level, LOG_LEVEL_INFO);
    assert_false(data->log_format_set);
    assert_int_equal(data->n_insecure, 0);
    assert_int_equal(data->digest.len, 64);
    assert_int_equal(data->n_routes, 1);
    assert_int_equal(route->max_body_bytes, 4 * 1024 * 1024);
    assert_false(str_is_set(route->name));
    assert_int_equal(route->n_audiences, 1);
    assert_str(route->audiences[0], "https://mcp.example.com/mcp");
    assert_int_equal(route->n_scopes + route->n_scopes_supported + route->n_implies, 0);
    assert_int_equal(route->scope_text.len, 0);
    assert_false(route->any_origin);
    assert_int_equal(route->upstream.connect_timeout_ms, 2000);
    assert_int_equal(route->upstream.response_timeout_ms, 120000);
    assert_int_equal(route->upstream.idle_timeout_ms, 0);
    assert_int_equal(route->upstream.max_connections, 0);
    assert_false(str_is_set(route->upstream.ca_file));
    config_unref(config);
}

static void config_auth0_is_short_for_an_issuer(void **state)
{
    (void)state;
    static const char *const texts[] = {
        POLICY_ROUTE(ROUTE),
        "{\"auth0\": {\"domain\": \"tenant.us.auth0.com\"}, \"routes\": [" ROUTE "]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct config *config = good_policy(texts[i]);
        const struct config_data *data = config_get(config);
        assert_int_equal(data->n_issuers, 1);
        assert_str(data->issuers[0].name, "auth0");
        assert_str(data->issuers[0].issuer, "https://tenant.us.auth0.com/");
        assert_str(data->issuers[0].jwks_uri, "https://tenant.us.auth0.com/.well-known/jwks.json");
        assert_int_equal(data->issuers[0].n_algorithms, 1);
        assert_str(data->issuers[0].algorithms[0], "RS256");
        assert_false(data->issuers[0].allow_http);
        assert_ptr_equal(data->routes[0].issuers[0], &data->issuers[0]);
        config_unref(config);
    }
}

static const struct {
    const char *resource;
    const char *mount, *origin, *metadata_url;
} resources[] = {
    {"https://mcp.example.com/mcp", "/mcp", "https://mcp.example.com",
     "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"},
    {"https://mcp.example.com/a/b/", "/a/b", "https://mcp.example.com",
     "https://mcp.example.com/.well-known/oauth-protected-resource/a/b/"},
    {"https://mcp.example.com", "", "https://mcp.example.com",
     "https://mcp.example.com/.well-known/oauth-protected-resource"},
    {"https://mcp.example.com/", "", "https://mcp.example.com",
     "https://mcp.example.com/.well-known/oauth-protected-resource"},
    {"http://127.0.0.1:8080/mcp", "/mcp", "http://127.0.0.1:8080",
     "http://127.0.0.1:8080/.well-known/oauth-protected-resource/mcp"},
    {"http://[::1]:80/", "", "http://[::1]",
     "http://[::1]:80/.well-known/oauth-protected-resource"},
};

static void config_derives_mount_and_metadata_from_the_resource(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
        char text[512];
        char document[512];
        (void)snprintf(text, sizeof(text),
                       "{\"issuers\": {\"a\": {\"issuer\": \"https://a.example/\"}, \"b\": "
                       "{\"issuer\": \"https://b.example\"}}, \"routes\": [{\"resource\": \"%s\", "
                       "\"upstream\": \"http://127.0.0.1\", \"name\": \"N\\\"\"}]}",
                       resources[i].resource);
        struct config *config = good_policy(text);
        const struct route *route = &config_get(config)->routes[0];
        assert_str(route->resource, resources[i].resource);
        assert_str(route->mount, resources[i].mount);
        assert_str(route->origin, resources[i].origin);
        assert_str(route->metadata_url, resources[i].metadata_url);
        (void)snprintf(document, sizeof(document),
                       "{\"resource\":\"%s\",\"authorization_servers\":[\"https://a.example/\","
                       "\"https://b.example\"],\"bearer_methods_supported\":[\"header\"],"
                       "\"resource_name\":\"N\\\"\"}",
                       resources[i].resource);
        json_t *expected = json_loads(document, 0, NULL);
        json_t *actual = json_loadb(route->metadata_json.ptr, route->metadata_json.len, 0, NULL);
        assert_true(json_equal(expected, actual));
        json_decref(expected);
        json_decref(actual);
        config_unref(config);
    }
}

static const struct {
    const char *url;
    const char *host, *authority, *target, *origin;
    uint16_t port;
    bool tls, has_query;
} upstreams[] = {
    {"http://127.0.0.1:3000/mcp", "127.0.0.1", "127.0.0.1:3000", "/mcp", "http://127.0.0.1:3000",
     3000, false, false},
    {"https://up.example", "up.example", "up.example", "/", "https://up.example:443", 443, true,
     false},
    {"http://[::1]/a?b=c", "::1", "[::1]", "/a?b=c", "http://[::1]:80", 80, false, true},
    {"http://up.example?", "up.example", "up.example", "/?", "http://up.example:80", 80, false,
     true},
};

static void config_splits_the_upstream_url(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(upstreams); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text), POLICY_UPSTREAM("\"%s\""), upstreams[i].url);
        struct config *config = good_policy(text);
        const struct upstream_config *upstream = &config_get(config)->routes[0].upstream;
        assert_str(upstream->url, upstreams[i].url);
        assert_str(upstream->host, upstreams[i].host);
        assert_str(upstream->authority, upstreams[i].authority);
        assert_str(upstream->target, upstreams[i].target);
        assert_str(upstream->origin, upstreams[i].origin);
        assert_int_equal(upstream->port, upstreams[i].port);
        assert_int_equal(upstream->tls, upstreams[i].tls);
        assert_int_equal(upstream->has_query, upstreams[i].has_query);
        config_unref(config);
    }
}

static void config_reads_every_key_that_is_set(void **state)
{
    (void)state;
    struct config *config = good_policy(
        "{\"$schema\": \"x\", \"listen\": [\"[::1]:8080\", {\"address\": \"unix:/run/p.sock\"}],"
        "\"admin\": null, \"workers\": 7, \"issuers\": {\"i\": {\"issuer\": "
        "\"http://localhost:1/\","
        "\"jwks_uri\": null, \"algorithms\": [\"PS256\", \"RS256\"], \"ca_file\": \"ca.pem\"}},"
        "\"jwks\": {\"refresh\": \"1m\", \"max_stale\": \"1d\", \"cache_dir\": \"keys\", "
        "\"cache_max_age\": \"1441m\"}, \"clock_skew\": \"0s\","
        "\"trusted_proxies\": [\"10.0.0.0/8\", \"::1\"], \"limits\": {\"header\": 65536,"
        "\"token\": \"8KiB\", \"connections\": 100, \"client_timeout\": \"1500ms\"},"
        "\"log\": {\"level\": \"debug\", \"format\": \"text\", \"file\": \"log/gate.log\","
        "\"access\": {\"sample\": 0.25, \"slow\": \"2s\"}}, \"insecure\": {\"http_issuer\": "
        "true, \"no_sandbox\": true}, \"user\": \"portcullis:adm\","
        "\"routes\": [{\"resource\": \"https://h.example/\", \"name\": \"Name\", \"upstream\": {"
        "\"url\": \"https://u.example/\", \"idle_timeout\": \"1m\", \"max_connections\": 5,"
        "\"ca_file\": \"/etc/policy/ca.pem\", \"client_certificate\": \"ca.pem\", \"client_key\":"
        "\"ca.pem\", \"headers\": {\"Authorization\": \"Bearer $env(KEY)\"}}, \"issuers\": [\"i\"],"
        "\"audiences\": [\"a\", \"b\"], \"scopes\": [\"s\", \"t\"], \"scopes_supported\": [\"u\"],"
        "\"identity\": {\"X_User\": \"sub\", \"X-Mail\": [\"m\", \"email\"]},"
        "\"limits\": {\"body\": \"1KiB\"}}]}");
    const struct config_data *data = config_get(config);
    const struct route *route = &data->routes[0];
    assert_int_equal(data->n_listens, 2);
    assert_int_equal(data->listens[0].addr.ss_family, AF_INET6);
    assert_int_equal(data->listens[1].addr.ss_family, AF_UNIX);
    assert_false(data->has_admin);
    assert_int_equal(data->workers, 7);
    assert_true(data->issuers[0].allow_http);
    assert_false(str_is_set(data->issuers[0].jwks_uri));
    assert_int_equal(data->issuers[0].n_algorithms, 2);
    assert_str(data->issuers[0].algorithms[0], "PS256");
    assert_str(data->issuers[0].ca_file, "/etc/policy/ca.pem");
    assert_int_equal(data->issuers[0].trust.len, 64);
    assert_int_equal(data->jwks.refresh_ms, 60000);
    assert_str(data->jwks.cache_dir, "/etc/policy/keys");
    assert_int_equal(data->jwks.cache_max_age_ms, 1441 * 60000);
    assert_str(data->log_file, "/etc/policy/log/gate.log");
    assert_int_equal(data->access_threshold, sample_threshold(0.25));
    assert_int_equal(data->access_slow_us, 2000000);
    assert_int_equal(data->clock_skew_s, 0);
    assert_int_equal(data->n_trusted_proxies, 2);
    assert_int_equal(data->trusted_proxies[0].prefix, 104);
    assert_int_equal(data->trusted_proxies[1].prefix, 128);
    assert_int_equal(data->limits.header_bytes, 65536);
    assert_int_equal(data->limits.token_bytes, 8192);
    assert_int_equal(data->limits.connections, 100);
    assert_int_equal(data->limits.client_timeout_ms, 1500);
    assert_int_equal(data->log_level, LOG_LEVEL_DEBUG);
    assert_true(data->log_format_set);
    assert_int_equal(data->log_format, LOG_FORMAT_TEXT);
    assert_int_equal(data->n_insecure, 2);
    assert_str(data->insecure[0], "http_issuer");
    assert_str(data->insecure[1], "no_sandbox");
    assert_true(data->no_sandbox);
    assert_str(data->user, "portcullis:adm");
    /* the files that were read, and where they are named: the last one first */
    assert_str(data->files->path, "/etc/policy/ca.pem");
    assert_str(data->files->pointer, "/routes/0/upstream/client_key");
    assert_str(data->files->next->pointer, "/routes/0/upstream/client_certificate");
    assert_str(route->name, "Name");
    assert_int_equal(route->upstream.idle_timeout_ms, 60000);
    assert_int_equal(route->upstream.max_connections, 5);
    assert_str(route->upstream.client_key, "/etc/policy/ca.pem");
    assert_int_equal(route->upstream.n_headers, 1);
    assert_str(route->upstream.headers[0].name, "Authorization");
    assert_str(route->upstream.headers[0].value, "Bearer " CANARY);
    assert_int_equal(route->n_audiences, 2);
    assert_str(route->scope_text, "s t");
    assert_str(route->scopes_supported[0], "u");
    assert_int_equal(route->n_identity, 2);
    assert_str(route->identity[1].claims[1], "email");
    assert_int_equal(route->n_stripped, 3);
    assert_str(route->stripped[0], "x-user");
    assert_str(route->stripped[1], "x-mail");
    assert_str(route->stripped[2], "authorization");
    assert_int_equal(route->max_body_bytes, 1024);
    config_unref(config);
}

static void config_reads_the_limits_of_a_caller(void **state)
{
    (void)state;
    static const struct {
        const char *limits;
        int64_t subject_ns, subject_burst;
        int64_t ip_ns, ip_burst;
        uint32_t streams;
    } rows[] = {
        {"{}", 0, 0, 0, 0, 0},
        {"{\"subject_rate\": null, \"ip_rate\": null, \"subject_streams\": null}", 0, 0, 0, 0, 0},
        {"{\"subject_rate\": 10}", 100000000, 10, 0, 0, 0},
        {"{\"subject_rate\": \"100/m\", \"subject_burst\": 5}", 600000000, 5, 0, 0, 0},
        {"{\"ip_rate\": \"3/1s\", \"ip_burst\": 1}", 0, 0, 333333334, 1, 0},
        {"{\"ip_rate\": 1000000, \"subject_streams\": 4}", 0, 0, 1000, 1000000, 4},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text), POLICY_IN_ROUTE("\"limits\": %s"), rows[i].limits);
        struct config *config = good_policy(text);
        const struct route_limits *limits = &config_get(config)->routes[0].limits;
        assert_int_equal(limits->subject_rate.interval_ns, rows[i].subject_ns);
        assert_int_equal(limits->subject_rate.burst, rows[i].subject_burst);
        assert_int_equal(limits->ip_rate.interval_ns, rows[i].ip_ns);
        assert_int_equal(limits->ip_rate.burst, rows[i].ip_burst);
        assert_int_equal(limits->subject_streams, rows[i].streams);
        config_unref(config);
    }
}

static void config_refuses_limits_that_cannot_be_meant(void **state)
{
    (void)state;
    static const struct {
        const char *limits;
        const char *pointer;
        const char *text;
    } rows[] = {
        {"{\"subject_rate\": 0}", "/routes/0/limits/subject_rate", "from 1 to 1000000"},
        {"{\"subject_rate\": 1000001}", "/routes/0/limits/subject_rate", "from 1 to 1000000"},
        {"{\"subject_rate\": \"0/s\"}", "/routes/0/limits/subject_rate", "from 1 to 1000000"},
        {"{\"subject_rate\": 1.5}", "/routes/0/limits/subject_rate", "a rate such as"},
        {"{\"ip_rate\": \"10\"}", "/routes/0/limits/ip_rate", "is no rate"},
        {"{\"ip_rate\": \"10/2d\"}", "/routes/0/limits/ip_rate", "at most a day"},
        {"{\"ip_rate\": 1, \"ip_burst\": 0}", "/routes/0/limits/ip_burst", "from 1 to 1000000"},
        {"{\"subject_burst\": 1}", "/routes/0/limits/subject_burst", "without \"subject_rate\""},
        {"{\"ip_rate\": \"1/d\", \"ip_burst\": 32}", "/routes/0/limits/ip_burst", "31 days"},
        {"{\"subject_streams\": 0}", "/routes/0/limits/subject_streams", "from 1 to 1000000"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        struct diag diag = {0};
        struct config *config = NULL;
        (void)snprintf(text, sizeof(text), POLICY_IN_ROUTE("\"limits\": %s"), rows[i].limits);
        assert_int_equal(parse_policy(text, &diag, &config), -EINVAL);
        if (!has_finding(&diag, DIAG_ERROR, rows[i].pointer, rows[i].text)) {
            diag_print(&diag, stderr, text, false);
            fail_msg("%s", rows[i].limits);
        }
        diag_free(&diag);
    }
}

static void config_closes_scope_implies_also_over_cycles(void **state)
{
    (void)state;
    struct config *config =
        good_policy(POLICY_IN_ROUTE("\"scope_implies\": {\"a\": [\"b\"], \"b\": [\"c\", \"d\"], "
                                    "\"d\": [\"a\"], \"x\": [\"x\"]}"));
    const struct route *route = &config_get(config)->routes[0];
    assert_int_equal(route->n_implies, 4);
    assert_str(route->implies[0].name, "a");
    assert_int_equal(route->implies[0].n_implied, 3);
    assert_str(route->implies[0].implied[0], "b");
    assert_str(route->implies[0].implied[2], "d");
    assert_int_equal(route->implies[1].n_implied, 3); /* c, d, a */
    assert_int_equal(route->implies[2].n_implied, 3); /* a, b, c */
    assert_int_equal(route->implies[3].n_implied, 0); /* only itself */
    config_unref(config);
}

static json_t *print_of(const char *text)
{
    struct config *config = good_policy(text);
    json_t *printed = config_print(config);
    config_unref(config);
    assert_non_null(printed);
    return printed;
}

static void config_print_is_a_policy_that_prints_itself(void **state)
{
    (void)state;
    static const char *const texts[] = {
        POLICY_ROUTE(ROUTE),
        POLICY_TOP("\"listen\": {\"address\": \"[::]:1\"}, \"admin\": null"),
        POLICY_TOP("\"listen\": [\"127.0.0.1:1\", {\"address\": \"127.0.0.1:2\"}]"),
        POLICY_IN_ROUTE("\"name\": \"100 $$\", \"identity\": {\"X-A\": [\"a\", \"b\"]}"),
        POLICY_IN_ROUTE("\"limits\": {\"subject_rate\": \"100/m\", \"ip_rate\": 5}"),
        POLICY_IN_ROUTE("\"scope_implies\": {\"a\": [\"b\"]}, \"scopes\": [\"a\"]"),
        POLICY_UPSTREAM("{\"url\": \"http://a\", \"headers\": {\"X-Key\": \"literal\"}}"),
        POLICY_ISSUERS("\"a\": {\"issuer\": \"https://a/\"}, \"b\": {\"issuer\": \"https://b/\"}"),
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_t *first = print_of(texts[i]);
        char *text = json_dumps(first, 0);
        json_t *second = print_of(text);
        assert_true(json_equal(first, second));
        free(text);
        json_decref(first);
        json_decref(second);
    }
}

static void config_print_never_shows_what_references_gave(void **state)
{
    (void)state;
    static const char *const texts[] = {
        POLICY_TOP("\"log\": {\"level\": \"$env(NONE:-info)\"}"),
        "{\"auth0\": \"$env(DOMAIN)\", \"routes\": [" ROUTE "]}",
        POLICY_IN_ROUTE("\"name\": \"a $env(KEY) b\""),
        POLICY_IN_ROUTE("\"audiences\": [\"$file(key.txt)\"]"),
        POLICY_IN_ROUTE("\"scopes\": [\"$env(KEY)\"]"),
        POLICY_IN_ROUTE("\"identity\": {\"X-A\": [\"$cred(api-key)\"]}"),
        POLICY_UPSTREAM("{\"url\": \"http://a/$env(KEY)\"}"),
        POLICY_UPSTREAM("{\"url\": \"http://a/\", \"headers\": {\"X-Key\": \"$cred(api-key)\"}}"),
        POLICY_UPSTREAM("{\"url\": \"http://a/\", \"headers\": {\"X-Key\": \"" CANARY "\"}}"),
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_t *printed = print_of(texts[i]);
        char *text = json_dumps(printed, 0);
        if (strstr(text, CANARY) != NULL || strstr(text, "tenant.eu") != NULL ||
            strstr(text, "[redacted]") == NULL)
            fail_msg("%s is printed as %s", texts[i], text);
        free(text);
        json_decref(printed);
    }
}

static void *ref_and_unref(void *config)
{
    for (int i = 0; i < 10000; i++)
        config_unref(config_ref(config));
    return NULL;
}

static void config_is_counted_across_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct config *config = good_policy(POLICY_ROUTE(ROUTE));
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, config), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(config_get(config)->n_routes, 1);
    assert_null(config_unref(config));
    assert_null(config_unref(NULL));
}

static void config_load_says_why_a_file_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int fault;
        const char *text;
    } rows[] = {
        {"/nonexistent/policy.json", -ENOENT, "No such file"},
        {"/tmp", -EMEDIUMTYPE, "not a regular file"},
        {"/dev/null", -EMEDIUMTYPE, "not a regular file"},
        {SOURCE_DIR "/tests/unit/policy/fixture.h", -EINVAL, "JSON has no comments"},
    };
    struct config_sources sources = config_sources_system();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        assert_int_equal(config_load(rows[i].path, &sources, &diag, &config), rows[i].fault);
        assert_true(has_finding(&diag, DIAG_ERROR, "", rows[i].text));
        assert_null(config);
        diag_free(&diag);
    }
}

static void config_takes_files_of_4_mib_and_not_a_byte_more(void **state)
{
    (void)state;
    char *text = malloc(CONFIG_MAX_FILE_BYTES + 2);
    assert_non_null(text);
    for (size_t more = 0; more <= 1; more++) {
        struct diag diag = {0};
        struct config *config = NULL;
        const size_t len = CONFIG_MAX_FILE_BYTES + more;
        memset(text, ' ', len);
        memcpy(text, POLICY_ROUTE(ROUTE), strlen(POLICY_ROUTE(ROUTE)));
        text[len] = '\0';
        assert_int_equal(parse_policy(text, &diag, &config), more == 0 ? 0 : -EINVAL);
        assert_int_equal(has_finding(&diag, DIAG_ERROR, "", "too large: at most 4 MiB"), more == 1);
        (void)config_unref(config);
        diag_free(&diag);
    }
    free(text);
}

static void config_takes_resources_of_2048_bytes_and_not_a_byte_more(void **state)
{
    (void)state;
    enum { MAX = 2048 };
    static const char origin[] = "https://a.example/";
    for (size_t more = 0; more <= 1; more++) {
        struct diag diag = {0};
        struct config *config = NULL;
        char resource[MAX + 2];
        char text[2 * MAX];
        memset(resource, 'a', sizeof(resource));
        memcpy(resource, origin, strlen(origin));
        resource[MAX + more] = '\0';
        (void)snprintf(text, sizeof(text),
                       "{\"auth0\": \"tenant.auth0.com\", \"routes\": [{\"resource\": \"%s\", "
                       "\"upstream\": \"http://127.0.0.1:3000/\"}]}",
                       resource);
        assert_int_equal(parse_policy(text, &diag, &config), more == 0 ? 0 : -EINVAL);
        assert_int_equal(has_finding(&diag, DIAG_ERROR, "/routes/0/resource", "is too long"),
                         more == 1);
        (void)config_unref(config);
        diag_free(&diag);
    }
}

static void config_reads_tracing(void **state)
{
    (void)state;
    static const char *const accepted[] = {
        POLICY_TOP("\"tracing\": {\"endpoint\": \"http://c.example/\"}"),
        POLICY_TOP("\"tracing\": {\"endpoint\": \"https://c.example/\", \"headers\": {\"X-Key\": "
                   "\"x\"}, \"ca_file\": \"ca.pem\"}"),
        POLICY_TOP("\"tracing\": {\"endpoint\": \"http://[::1]:4318/\", \"headers\": {\"X-Key\": "
                   "\"x\"}}"),
        POLICY_TOP("\"insecure\": {\"http_collector\": true}, \"tracing\": {\"endpoint\": "
                   "\"http://c.example/\", \"headers\": {\"X-Key\": \"x\"}}"),
    };
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
        config_unref(good_policy(accepted[i]));
    struct config *config = good_policy(POLICY_TOP("\"tracing\": {}"));
    const struct tracing_config *tracing = &config_get(config)->tracing;
    assert_true(tracing->on);
    assert_false(str_is_set(tracing->endpoint));
    assert_int_equal(tracing->threshold, 0);
    assert_int_equal(tracing->trust, TRACE_TRUST_PROXIES);
    assert_str(tracing->service_name, "portcullis");
    assert_false(tracing->identity);
    assert_int_equal(tracing->timeout_ms, 10000);
    assert_int_equal(tracing->queue, 4096);
    config_unref(config);

    config = good_policy(POLICY_TOP(
        "\"tracing\": {\"endpoint\": \"https://c.example/v1/traces\", \"sample\": 0.5, \"trust\": "
        "\"always\", \"service_name\": \"gate\", \"identity\": true, \"timeout\": \"1s\", "
        "\"queue\": 256, \"headers\": {\"Authorization\": \"Bearer $env(KEY)\"}}"));
    tracing = &config_get(config)->tracing;
    assert_str(tracing->endpoint, "https://c.example/v1/traces");
    assert_int_equal(tracing->threshold, sample_threshold(0.5));
    assert_int_equal(tracing->trust, TRACE_TRUST_ALWAYS);
    assert_str(tracing->service_name, "gate");
    assert_true(tracing->identity);
    assert_int_equal(tracing->timeout_ms, 1000);
    assert_int_equal(tracing->queue, 256);
    assert_int_equal(tracing->n_headers, 1);
    assert_str(tracing->headers[0].value, "Bearer " CANARY);
    json_t *printed = config_print(config);
    char *text = json_dumps(printed, 0);
    assert_null(strstr(text, CANARY));
    free(text);
    json_decref(printed);
    config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_of_two_facts_has_safe_defaults),
        cmocka_unit_test(config_auth0_is_short_for_an_issuer),
        cmocka_unit_test(config_derives_mount_and_metadata_from_the_resource),
        cmocka_unit_test(config_splits_the_upstream_url),
        cmocka_unit_test(config_reads_every_key_that_is_set),
        cmocka_unit_test(config_reads_the_limits_of_a_caller),
        cmocka_unit_test(config_refuses_limits_that_cannot_be_meant),
        cmocka_unit_test(config_reads_tracing),
        cmocka_unit_test(config_closes_scope_implies_also_over_cycles),
        cmocka_unit_test(config_print_is_a_policy_that_prints_itself),
        cmocka_unit_test(config_print_never_shows_what_references_gave),
        cmocka_unit_test(config_is_counted_across_threads),
        cmocka_unit_test(config_load_says_why_a_file_cannot_be_read),
        cmocka_unit_test(config_takes_files_of_4_mib_and_not_a_byte_more),
        cmocka_unit_test(config_takes_resources_of_2048_bytes_and_not_a_byte_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
