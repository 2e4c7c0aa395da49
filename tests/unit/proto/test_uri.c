/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/uri.h"

#include "base/err.h"
#include "support/cmocka_all.h"

#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    struct str text;
    struct str host;
    struct str authority;
    uint16_t port;
    struct str path;
    struct str query;
    bool https;
    bool has_query;
    bool ipv6;
} good[] = {
    {STR_INIT("https://mcp.example.com/mcp"),
     STR_INIT("mcp.example.com"),
     STR_INIT("mcp.example.com"),
     443,
     STR_INIT("/mcp"),
     {0},
     true,
     false,
     false},
    {STR_INIT("http://127.0.0.1:3000/mcp"),
     STR_INIT("127.0.0.1"),
     STR_INIT("127.0.0.1:3000"),
     3000,
     STR_INIT("/mcp"),
     {0},
     false,
     false,
     false},
    {STR_INIT("HTTPS://Example.COM"),
     STR_INIT("Example.COM"),
     STR_INIT("Example.COM"),
     443,
     STR_INIT(""),
     {0},
     true,
     false,
     false},
    {STR_INIT("http://[::1]:65535/"),
     STR_INIT("::1"),
     STR_INIT("[::1]:65535"),
     65535,
     STR_INIT("/"),
     {0},
     false,
     false,
     true},
    {STR_INIT("https://[2001:db8::1]?q"), STR_INIT("2001:db8::1"), STR_INIT("[2001:db8::1]"), 443,
     STR_INIT(""), STR_INIT("q"), true, true, true},
    {STR_INIT("http://my_service/a%20b?x=%41&y=/?:@"), STR_INIT("my_service"),
     STR_INIT("my_service"), 80, STR_INIT("/a%20b"), STR_INIT("x=%41&y=/?:@"), false, true, false},
    {STR_INIT("http://a:1?"), STR_INIT("a"), STR_INIT("a:1"), 1, STR_INIT(""), STR_INIT(""), false,
     true, false},
    {STR_INIT("http://a./-._~!$&'()*+,;=:@"),
     STR_INIT("a."),
     STR_INIT("a."),
     80,
     STR_INIT("/-._~!$&'()*+,;=:@"),
     {0},
     false,
     false,
     false},
    {STR_INIT("http://" LABEL_63 ".x1/"),
     STR_INIT(LABEL_63 ".x1"),
     STR_INIT(LABEL_63 ".x1"),
     80,
     STR_INIT("/"),
     {0},
     false,
     false,
     false},
};

static void uri_parse_splits_what_is_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct uri uri;
        enum uri_rc rc = uri_parse(good[i].text, &uri);
        if (rc != URI_OK)
            fail_msg("%.*s %s", STR_ARG(good[i].text), uri_rc_text(rc));
        assert_int_equal(uri.https, good[i].https);
        assert_int_equal(uri.scheme.len, good[i].https ? 5 : 4);
        assert_true(str_eq(uri.host, good[i].host));
        assert_true(str_eq(uri.authority, good[i].authority));
        assert_int_equal(uri.port, good[i].port);
        assert_true(str_eq(uri.path, good[i].path));
        assert_int_equal(uri.has_query, good[i].has_query);
        assert_int_equal(str_is_set(uri.query), good[i].has_query);
        assert_true(str_eq(uri.query, good[i].query));
        assert_int_equal(uri.ipv6, good[i].ipv6);
    }
}

static const struct {
    const char *why;
    struct str text;
    enum uri_rc rc;
} bad[] = {
    {"empty", STR_INIT(""), URI_SCHEME},
    {"relative", STR_INIT("/mcp"), URI_SCHEME},
    {"no scheme", STR_INIT("example.com/mcp"), URI_SCHEME},
    {"file", STR_INIT("file:///etc/passwd"), URI_SCHEME},
    {"other scheme", STR_INIT("httpx://a"), URI_SCHEME},
    {"one slash", STR_INIT("http:/a"), URI_SCHEME},
    {"leading space", STR_INIT(" http://a"), URI_SCHEME},
    {"no host", STR_INIT("http://"), URI_HOST},
    {"no host, a path", STR_INIT("http:///mcp"), URI_HOST},
    {"no host, a port", STR_INIT("http://:80/"), URI_HOST},
    {"user", STR_INIT("http://user@a/"), URI_USERINFO},
    {"password", STR_INIT("http://user:pw@a/"), URI_USERINFO},
    {"host behind a user that looks like one", STR_INIT("http://good.com:80@evil.com/"),
     URI_USERINFO},
    {"space in the host", STR_INIT("http://a b/"), URI_HOST},
    {"backslash before '@'", STR_INIT("http://good.com\\.evil.com/"), URI_HOST},
    {"escape in the host", STR_INIT("http://a%2eb/"), URI_HOST},
    {"host that is not ASCII",
     STR_INIT("http://b\xc3\xbc"
              "cher.test/"),
     URI_HOST},
    {"NUL in the host", STR_INIT("http://a\0.evil.com/"), URI_HOST},
    {"empty label", STR_INIT("http://a..b/"), URI_HOST},
    {"leading dot", STR_INIT("http://.a/"), URI_HOST},
    {"dot alone", STR_INIT("http://./"), URI_HOST},
    {"label of 64 bytes", STR_INIT("http://" LABEL_63 "a.test/"), URI_HOST},
    {"254 bytes", STR_INIT("http://" LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63 ".bc/"),
     URI_HOST},
    {"short IPv4", STR_INIT("http://127.1/"), URI_HOST},
    {"octal IPv4", STR_INIT("http://0177.0.0.1/"), URI_HOST},
    {"hexadecimal IPv4", STR_INIT("http://0x7f000001/"), URI_HOST},
    {"hexadecimal part", STR_INIT("http://127.0.0.0x1/"), URI_HOST},
    {"bare 0x", STR_INIT("http://a.0x/"), URI_HOST},
    {"decimal IPv4", STR_INIT("http://2130706433/"), URI_HOST},
    {"five parts", STR_INIT("http://1.2.3.4.5/"), URI_HOST},
    {"part above 255", STR_INIT("http://1.2.3.256/"), URI_HOST},
    {"IPv4 with the root's dot", STR_INIT("http://127.0.0.1./"), URI_HOST},
    {"open bracket", STR_INIT("http://[::1/"), URI_HOST},
    {"empty brackets", STR_INIT("http://[]/"), URI_HOST},
    {"IPv4 in brackets", STR_INIT("http://[127.0.0.1]/"), URI_HOST},
    {"zone", STR_INIT("http://[fe80::1%25eth0]/"), URI_HOST},
    {"IPv6 without brackets", STR_INIT("http://::1/"), URI_HOST},
    {"overlong IPv6", STR_INIT("http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:1]/"),
     URI_HOST},
    {"text behind the bracket", STR_INIT("http://[::1]a/"), URI_PORT},
    {"empty port", STR_INIT("http://a:/"), URI_PORT},
    {"port 0", STR_INIT("http://a:0/"), URI_PORT},
    {"port 65536", STR_INIT("http://a:65536/"), URI_PORT},
    {"port of six digits", STR_INIT("http://a:000080/"), URI_PORT},
    {"negative port", STR_INIT("http://a:-1/"), URI_PORT},
    {"named port", STR_INIT("http://a:http/"), URI_PORT},
    {"two ports", STR_INIT("http://a:80:80/"), URI_PORT},
    {"fragment", STR_INIT("http://a/mcp#x"), URI_FRAGMENT},
    {"empty fragment", STR_INIT("http://a/mcp#"), URI_FRAGMENT},
    {"fragment behind the host", STR_INIT("http://a#x"), URI_FRAGMENT},
    {"fragment behind the query", STR_INIT("http://a/?q#x"), URI_FRAGMENT},
    {"space in the path", STR_INIT("http://a/b c"), URI_BYTE},
    {"trailing newline", STR_INIT("http://a/b\n"), URI_BYTE},
    {"NUL in the path", STR_INIT("http://a/b\0c"), URI_BYTE},
    {"quote in the path", STR_INIT("http://a/\"b"), URI_BYTE},
    {"backslash in the path", STR_INIT("http://a/..\\b"), URI_BYTE},
    {"path that is not ASCII", STR_INIT("http://a/\xc3\xa9"), URI_BYTE},
    {"brace in the query", STR_INIT("http://a/?{b}"), URI_BYTE},
    {"DEL in the query", STR_INIT("http://a/?b\x7f"), URI_BYTE},
    {"lone percent", STR_INIT("http://a/%"), URI_ESCAPE},
    {"one digit", STR_INIT("http://a/%4"), URI_ESCAPE},
    {"no digits", STR_INIT("http://a/%zz"), URI_ESCAPE},
    {"%00", STR_INIT("http://a/%00"), URI_ESCAPE},
    {"%00 in the query", STR_INIT("http://a/?b=%00"), URI_ESCAPE},
};

static void uri_parse_refuses_what_has_two_readings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct uri uri = {.port = 7};
        enum uri_rc rc = uri_parse(bad[i].text, &uri);
        if (rc != bad[i].rc || uri.port != 7)
            fail_msg("%s: it %s", bad[i].why, uri_rc_text(rc));
    }
}

static void uri_parse_takes_8192_bytes_and_not_one_more(void **state)
{
    (void)state;
    char text[URI_MAX_BYTES + 1] = "http://a/";
    memset(text + 9, 'p', sizeof(text) - 9);
    struct uri uri;
    assert_int_equal(uri_parse(str_make(text, URI_MAX_BYTES), &uri), URI_OK);
    assert_int_equal(uri_parse(str_make(text, URI_MAX_BYTES + 1), &uri), URI_TOO_LONG);
}

static void uri_rc_has_a_text_for_each_fault(void **state)
{
    (void)state;
    for (int rc = URI_OK; rc <= URI_FRAGMENT; rc++)
        for (int other = URI_OK; other < rc; other++)
            assert_string_not_equal(uri_rc_text((enum uri_rc)rc), uri_rc_text((enum uri_rc)other));
}

static void uri_host_is_loopback_for_names_and_addresses_of_this_machine(void **state)
{
    (void)state;
    static const char *const yes[] = {"127.0.0.1",  "127.255.0.9", "::1",
                                      "0:0::1",     "localhost",   "LocalHost",
                                      "localhost.", "a.localhost", "b.a.LOCALHOST."};
    static const char *const no[] = {"128.0.0.1",
                                     "127.0.0.1.example.com",
                                     "localhost.example.com",
                                     "xlocalhost",
                                     "::2",
                                     "0.0.0.0",
                                     "",
                                     "::",
                                     "10.0.0.1",
                                     "[::1]",
                                     "127.1",
                                     "localhost.."};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (!uri_host_is_loopback(str_from_cstr(yes[i])))
            fail_msg("%s is loopback", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (uri_host_is_loopback(str_from_cstr(no[i])))
            fail_msg("%s is not loopback", no[i]);
    assert_false(uri_host_is_loopback((struct str){0}));
    assert_false(uri_host_is_loopback(STR("127.0.0.1\0")));
}

static struct uri parsed(const char *text)
{
    struct uri uri = {0};
    assert_int_equal(uri_parse(str_from_cstr(text), &uri), URI_OK);
    return uri;
}

static void uri_origin_is_scheme_host_and_port(void **state)
{
    (void)state;
    struct uri base = parsed("https://a.test/x");
    static const struct {
        const char *text;
        bool same;
        bool default_port;
    } rows[] = {
        {"https://a.test:443/y?z", true, true}, {"https://A.TEST", true, true},
        {"http://a.test", false, true},         {"https://a.test:444", false, false},
        {"https://b.test", false, true},        {"http://a.test:443", false, false},
        {"https://a.test:80", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct uri uri = parsed(rows[i].text);
        assert_int_equal(uri_same_origin(&base, &uri), rows[i].same);
        assert_int_equal(uri_has_default_port(&uri), rows[i].default_port);
    }
}

static void uri_path_has_dots_in_every_spelling(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "/..",      "/.",    "/../",  "/a/../b",  "/./",     "..",     ".",       "/%2e",
        "/%2E%2e/", "/.%2e", "/..;/", "/.;x=y/b", "/a%2f..", "/a\\..", "/..%5cb", "/a/%2e%2e%3bx"};
    static const char *const no[] = {
        "",       "/",     "/a",     "/...",           "/a.", "/.a", "/..a", "/a..", "//",
        "/a.b/c", "/a;..", "/%252e", "/.well-known/x", "/%2", "/.%2"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (!uri_path_has_dots(str_from_cstr(yes[i])))
            fail_msg("%s has dots", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (uri_path_has_dots(str_from_cstr(no[i])))
            fail_msg("%s has no dots", no[i]);
}

static void uri_query_has_finds_a_parameter_in_every_spelling(void **state)
{
    (void)state;
    struct str name = STR("access_token");
    static const char *const yes[] = {"access_token=x",
                                      "access_token",
                                      "access_token=",
                                      "a=b&access_token=x",
                                      "a=b;access_token=x",
                                      "access%5Ftoken=x",
                                      "access%5ftoken",
                                      "%61ccess_token=x",
                                      "&&access_token=x",
                                      "a&access_token&b",
                                      "a=access_token&access_token="};
    static const char *const no[] = {"",
                                     "a=access_token",
                                     "access_tokens=x",
                                     "xaccess_token=x",
                                     "access_toke=x",
                                     "Access_Token=x",
                                     "access-token=x",
                                     "access%255Ftoken=x",
                                     "access_token%3Dx",
                                     "&",
                                     "access_token%"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (!uri_query_has(str_from_cstr(yes[i]), name))
            fail_msg("\"%s\" has it", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (uri_query_has(str_from_cstr(no[i]), name))
            fail_msg("\"%s\" does not have it", no[i]);
    assert_false(uri_query_has((struct str){0}, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uri_parse_splits_what_is_well_formed),
        cmocka_unit_test(uri_parse_refuses_what_has_two_readings),
        cmocka_unit_test(uri_parse_takes_8192_bytes_and_not_one_more),
        cmocka_unit_test(uri_rc_has_a_text_for_each_fault),
        cmocka_unit_test(uri_host_is_loopback_for_names_and_addresses_of_this_machine),
        cmocka_unit_test(uri_origin_is_scheme_host_and_port),
        cmocka_unit_test(uri_path_has_dots_in_every_spelling),
        cmocka_unit_test(uri_query_has_finds_a_parameter_in_every_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
