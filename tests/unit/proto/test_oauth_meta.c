/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/oauth_meta.h"

#include <errno.h>

#include "base/err.h"
#include "base/json.h"
#include "support/cmocka_all.h"

static void oauth_meta_url_gives_the_places_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str issuer;
        const char *urls[OAUTH_META_MAX_URLS + 1];
    } rows[] = {
        {"root with a slash (Auth0)",
         STR_INIT("https://t.us.auth0.com/"),
         {"https://t.us.auth0.com/.well-known/oauth-authorization-server",
          "https://t.us.auth0.com/.well-known/openid-configuration", NULL}},
        {"root without a slash",
         STR_INIT("https://as.example"),
         {"https://as.example/.well-known/oauth-authorization-server",
          "https://as.example/.well-known/openid-configuration", NULL}},
        {"with a path (RFC 8414 3.1)",
         STR_INIT("https://as.example/issuer1"),
         {"https://as.example/.well-known/oauth-authorization-server/issuer1",
          "https://as.example/.well-known/openid-configuration/issuer1",
          "https://as.example/issuer1/.well-known/openid-configuration", NULL}},
        {"with a path and a final slash",
         STR_INIT("https://as.example:8443/a/b/"),
         {"https://as.example:8443/.well-known/oauth-authorization-server/a/b",
          "https://as.example:8443/.well-known/openid-configuration/a/b",
          "https://as.example:8443/a/b/.well-known/openid-configuration", NULL}},
        {"loopback",
         STR_INIT("http://[::1]:9000/"),
         {"http://[::1]:9000/.well-known/oauth-authorization-server",
          "http://[::1]:9000/.well-known/openid-configuration", NULL}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = buf_make(1024);
        size_t n = 0;
        for (; rows[i].urls[n] != NULL; n++) {
            buf_clear(&out);
            assert_int_equal(oauth_meta_url(rows[i].issuer, n, &out), 0);
            if (!str_eq(buf_str(&out), str_from_cstr(rows[i].urls[n])))
                fail_msg("%s: %.*s", rows[i].why, STR_ARG(buf_str(&out)));
        }
        assert_int_equal(oauth_meta_url(rows[i].issuer, n, &out), -ENOENT);
        buf_free(&out);
    }
}

static void oauth_meta_url_refuses_what_is_no_issuer(void **state)
{
    (void)state;
    static const struct str issuers[] = {
        STR_INIT(""),
        STR_INIT("as.example"),
        STR_INIT("ftp://as.example/"),
        STR_INIT("https://as.example/?x=1"),
        STR_INIT("https://as.example/#f"),
        STR_INIT("https://user@as.example/"),
    };
    struct buf out = buf_make(1024);
    for (size_t i = 0; i < ARRAY_LEN(issuers); i++)
        assert_int_equal(oauth_meta_url(issuers[i], 0, &out), -EINVAL);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

static void oauth_meta_read_gives_the_answer_of_the_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str document;
        bool allow_http;
        struct str issuer;
        enum oauth_meta_rc rc;
        struct str jwks_uri;
    } rows[] = {
        {"good",
         STR_INIT("{\"issuer\":\"https://as.example/\",\"x\":[1],"
                  "\"jwks_uri\":\"https://as.example/jwks.json\"}"),
         false, STR_INIT("https://as.example/"), OAUTH_META_OK,
         STR_INIT("https://as.example/jwks.json")},
        {"the default port written out is the same origin",
         STR_INIT("{\"issuer\":\"https://as.example/\","
                  "\"jwks_uri\":\"https://AS.example:443/k?v=1\"}"),
         false, STR_INIT("https://as.example/"), OAUTH_META_OK,
         STR_INIT("https://AS.example:443/k?v=1")},
        {"plain http where it is allowed",
         STR_INIT("{\"issuer\":\"http://127.0.0.1:9/\",\"jwks_uri\":\"http://127.0.0.1:9/k\"}"),
         true, STR_INIT("http://127.0.0.1:9/"), OAUTH_META_OK, STR_INIT("http://127.0.0.1:9/k")},

        {"plain http where it is not",
         STR_INIT("{\"issuer\":\"http://as.example/\",\"jwks_uri\":\"http://as.example/k\"}"),
         false,
         STR_INIT("http://as.example/"),
         OAUTH_META_INSECURE,
         {0}},
        {"a downgrade is another origin",
         STR_INIT("{\"issuer\":\"https://as.example/\",\"jwks_uri\":\"http://as.example/k\"}"),
         true,
         STR_INIT("https://as.example/"),
         OAUTH_META_ORIGIN,
         {0}},
        {"issuer without the final slash",
         STR_INIT("{\"issuer\":\"https://as.example\",\"jwks_uri\":\"https://as.example/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_ISSUER,
         {0}},
        {"issuer in another case",
         STR_INIT("{\"issuer\":\"https://AS.example/\",\"jwks_uri\":\"https://as.example/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_ISSUER,
         {0}},
        {"issuer missing",
         STR_INIT("{\"jwks_uri\":\"https://as.example/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_ISSUER,
         {0}},
        {"issuer not a string",
         STR_INIT("{\"issuer\":[\"https://as.example/\"],\"jwks_uri\":\"https://as.example/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_ISSUER,
         {0}},
        {"issuer twice",
         STR_INIT("{\"issuer\":\"https://evil/\",\"issuer\":\"https://as.example/\","
                  "\"jwks_uri\":\"https://as.example/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_MALFORMED,
         {0}},
        {"jwks_uri missing",
         STR_INIT("{\"issuer\":\"https://as.example/\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_JWKS_URI,
         {0}},
        {"jwks_uri relative",
         STR_INIT("{\"issuer\":\"https://as.example/\",\"jwks_uri\":\"/jwks.json\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_JWKS_URI,
         {0}},
        {"jwks_uri file:",
         STR_INIT("{\"issuer\":\"https://as.example/\",\"jwks_uri\":\"file:///etc/passwd\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_JWKS_URI,
         {0}},
        {"jwks_uri with userinfo",
         STR_INIT("{\"issuer\":\"https://as.example/\","
                  "\"jwks_uri\":\"https://as.example@evil/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_JWKS_URI,
         {0}},
        {"jwks_uri with CR LF",
         STR_INIT("{\"issuer\":\"https://as.example/\","
                  "\"jwks_uri\":\"https://as.example/k\\r\\nX: y\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_JWKS_URI,
         {0}},
        {"jwks_uri on another host",
         STR_INIT("{\"issuer\":\"https://as.example/\",\"jwks_uri\":\"https://evil/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_ORIGIN,
         {0}},
        {"jwks_uri on a host below",
         STR_INIT("{\"issuer\":\"https://as.example/\","
                  "\"jwks_uri\":\"https://as.example.evil/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_ORIGIN,
         {0}},
        {"jwks_uri on another port",
         STR_INIT("{\"issuer\":\"https://as.example/\","
                  "\"jwks_uri\":\"https://as.example:444/k\"}"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_ORIGIN,
         {0}},
        {"not an object",
         STR_INIT("[]"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_MALFORMED,
         {0}},
        {"not JSON",
         STR_INIT("<html>"),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_MALFORMED,
         {0}},
        {"nothing",
         STR_INIT(""),
         false,
         STR_INIT("https://as.example/"),
         OAUTH_META_MALFORMED,
         {0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct oauth_meta_expected expected = {rows[i].issuer, rows[i].allow_http};
        struct buf out = buf_make(1024);
        enum oauth_meta_rc rc = oauth_meta_read(rows[i].document, &expected, &out);
        if (rc != rows[i].rc || !str_eq(buf_str(&out), rows[i].jwks_uri))
            fail_msg("%s: %s", rows[i].why, oauth_meta_rc_text(rc));
        assert_true(strlen(oauth_meta_rc_text(rc)) > 0);
        buf_free(&out);
    }
}

static void oauth_meta_read_has_a_limit_on_size(void **state)
{
    (void)state;
    const struct oauth_meta_expected expected = {STR("https://as.example/"), false};
    struct buf document = buf_make(OAUTH_META_MAX_BYTES + 1);
    struct buf out = buf_make(1024);
    (void)buf_append(&document, STR("{\"issuer\":\"https://as.example/\","
                                    "\"jwks_uri\":\"https://as.example/k\"}"));
    while (document.len < OAUTH_META_MAX_BYTES)
        (void)buf_append_char(&document, ' ');
    assert_int_equal(oauth_meta_read(buf_str(&document), &expected, &out), OAUTH_META_OK);
    (void)buf_append_char(&document, ' ');
    assert_int_equal(oauth_meta_read(buf_str(&document), &expected, &out), OAUTH_META_MALFORMED);
    buf_free(&document);
    buf_free(&out);
}

static void oauth_meta_read_needs_room_for_the_uri(void **state)
{
    (void)state;
    const struct oauth_meta_expected expected = {STR("https://as.example/"), false};
    struct buf out = buf_make(8);
    assert_int_equal(oauth_meta_read(STR("{\"issuer\":\"https://as.example/\","
                                         "\"jwks_uri\":\"https://as.example/k\"}"),
                                     &expected, &out),
                     OAUTH_META_NO_MEMORY);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

static void oauth_meta_append_resource_writes_rfc_9728(void **state)
{
    (void)state;
    static const struct str servers[] = {STR_INIT("https://t.us.auth0.com/"),
                                         STR_INIT("https://as.example")};
    static const struct str scopes[] = {STR_INIT("mcp:use"), STR_INIT("files:read")};
    const struct oauth_resource small = {
        .resource = STR("https://mcp.example.com/mcp"),
        .authorization_servers = servers,
        .n_authorization_servers = 1,
    };
    const struct oauth_resource one_scope = {
        .resource = STR("https://mcp.example.com/mcp"),
        .authorization_servers = servers,
        .n_authorization_servers = 1,
        .scopes_supported = scopes,
        .n_scopes_supported = 1,
    };
    const struct oauth_resource full = {
        .resource = STR("https://mcp.example.com/mcp"),
        .name = STR("Bob's \"tools\""),
        .authorization_servers = servers,
        .n_authorization_servers = 2,
        .scopes_supported = scopes,
        .n_scopes_supported = 2,
    };
    struct buf out = buf_make(1024);
    assert_int_equal(oauth_meta_append_resource(&small, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("{\"resource\":\"https://mcp.example.com/mcp\","
                                          "\"authorization_servers\":[\"https://t.us.auth0.com/\"],"
                                          "\"bearer_methods_supported\":[\"header\"]}")));
    buf_clear(&out);
    assert_int_equal(oauth_meta_append_resource(&one_scope, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("{\"resource\":\"https://mcp.example.com/mcp\","
                                          "\"authorization_servers\":[\"https://t.us.auth0.com/\"],"
                                          "\"scopes_supported\":[\"mcp:use\"],"
                                          "\"bearer_methods_supported\":[\"header\"]}")));
    buf_clear(&out);
    assert_int_equal(oauth_meta_append_resource(&full, &out), 0);
    assert_true(
        str_eq(buf_str(&out),
               STR("{\"resource\":\"https://mcp.example.com/mcp\","
                   "\"authorization_servers\":[\"https://t.us.auth0.com/\",\"https://as.example\"],"
                   "\"scopes_supported\":[\"mcp:use\",\"files:read\"],"
                   "\"bearer_methods_supported\":[\"header\"],"
                   "\"resource_name\":\"Bob's \\\"tools\\\"\"}")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oauth_meta_url_gives_the_places_in_order),
        cmocka_unit_test(oauth_meta_url_refuses_what_is_no_issuer),
        cmocka_unit_test(oauth_meta_read_gives_the_answer_of_the_rfc),
        cmocka_unit_test(oauth_meta_read_has_a_limit_on_size),
        cmocka_unit_test(oauth_meta_read_needs_room_for_the_uri),
        cmocka_unit_test(oauth_meta_append_resource_writes_rfc_9728),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
