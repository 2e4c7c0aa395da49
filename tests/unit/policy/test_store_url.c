/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/store_url.h"

#include "policy/fixture.h"

static bool same(struct str got, const char *expected)
{
    return expected == NULL ? !str_is_set(got) : str_eq(got, str_from_cstr(expected));
}

static void store_url_reads_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct {
            const char *path, *host, *user, *password;
            uint16_t port;
            unsigned db;
        } url;
    } rows[] = {
        {"redis://10.0.0.5", {NULL, "10.0.0.5", NULL, NULL, 6379, 0}},
        {"redis://cache:6380/", {NULL, "cache", NULL, NULL, 6380, 0}},
        {"redis://[::1]:7/12", {NULL, "::1", NULL, NULL, 7, 12}},
        {"redis://:secret@cache/1", {NULL, "cache", NULL, "secret", 6379, 1}},
        {"redis://me:se%40cret@cache", {NULL, "cache", "me", "se%40cret", 6379, 0}},
        {"redis://:a@b:c/d@cache", {NULL, "cache", NULL, "a@b:c/d", 6379, 0}},
        {"unix:/run/redis.sock", {"/run/redis.sock", NULL, NULL, NULL, 0, 0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_url url = {0};
        const char *fault = store_url_parse(str_from_cstr(rows[i].text), &url);
        if (fault != NULL)
            fail_msg("%s: %s", rows[i].text, fault);
        assert_true(same(url.path, rows[i].url.path));
        assert_true(same(url.host, rows[i].url.host));
        assert_true(same(url.user, rows[i].url.user));
        assert_true(same(url.password, rows[i].url.password));
        assert_int_equal(url.port, rows[i].url.port);
        assert_int_equal(url.db, rows[i].url.db);
    }
}

static void store_url_says_what_is_wrong_and_quotes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *fault;
    } rows[] = {
        {"http://" CANARY, "is no store"},
        {CANARY, "is no store"},
        {"rediss://:" CANARY "@cache", "TLS"},
        {"redis://", "no host name"},
        {"redis://:" CANARY "@", "no host name"},
        {"redis://:" CANARY "@cache:0", "no host name"},
        {"redis://:" CANARY "@cache:65536", "no host name"},
        {"redis://" CANARY "@cache", "without a password"},
        {"redis://" CANARY ":@cache", "without a password"},
        {"redis://:" CANARY "%@cache", "no escape"},
        {"redis://:" CANARY "%4@cache", "no escape"},
        {"redis://:" CANARY "%00@cache", "no escape"},
        {"redis://:" CANARY "@cache/x", "no number"},
        {"redis://:" CANARY "@cache/65536", "no number"},
        {"redis://:" CANARY "@cache/1/2", "no number"},
        {"unix:" CANARY, "absolute path"},
        {"unix:/", "absolute path"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_url url = {.port = 1};
        const char *fault = store_url_parse(str_from_cstr(rows[i].text), &url);
        if (fault == NULL || strstr(fault, rows[i].fault) == NULL || strstr(fault, CANARY) != NULL)
            fail_msg("%s: %s", rows[i].text, fault != NULL ? fault : "accepted");
        assert_int_equal(url.port, 1);
    }
}

static void store_url_decodes_what_was_escaped(void **state)
{
    (void)state;
    struct buf out = buf_make(64);
    assert_int_equal(store_url_decode(STR("p%40ss%2Fw%3ard%25"), &out), 0);
    assert_true(str_eq(buf_str(&out), STR("p@ss/w:rd%")));
    buf_free(&out);
}

static void config_reads_the_store_and_never_shows_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        POLICY_TOP("\"limits\": {\"store\": \"redis://me:" CANARY "%21@cache:7/2\", "
                   "\"store_timeout\": \"20ms\", \"store_on_error\": \"refuse\"}"),
        POLICY_TOP("\"limits\": {\"store\": \"redis://me:$env(KEY)%21@cache:7/2\", "
                   "\"store_timeout\": \"20ms\", \"store_on_error\": \"refuse\"}"),
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct config *config = good_policy(texts[i]);
        const struct store_config *store = &config_get(config)->limits.store;
        assert_true(store->on);
        assert_true(same(store->host, "cache"));
        assert_true(same(store->user, "me"));
        assert_true(same(store->password, CANARY "!"));
        assert_int_equal(store->port, 7);
        assert_int_equal(store->db, 2);
        assert_int_equal(store->timeout_ms, 20);
        assert_int_equal(store->on_error, STORE_ERROR_REFUSE);
        json_t *printed = config_print(config);
        char *text = json_dumps(printed, 0);
        assert_null(strstr(text, CANARY));
        assert_non_null(strstr(text, "\"store\": \"[redacted]\""));
        free(text);
        json_decref(printed);
        config_unref(config);
    }
    struct config *config = good_policy(POLICY_ROUTE(ROUTE));
    assert_false(config_get(config)->limits.store.on);
    assert_int_equal(config_get(config)->limits.store.timeout_ms, 50);
    assert_int_equal(config_get(config)->limits.store.on_error, STORE_ERROR_LOCAL);
    config_unref(config);
}

static void config_warns_of_a_store_that_is_of_no_use_or_guessed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *warning; /* NULL: none */
    } rows[] = {
        {POLICY_TOP("\"limits\": {\"store\": \"redis://cache\"}"), "no route has a rate"},
        {"{" AUTH0 ", \"limits\": {\"store\": \"redis://cache\"}, \"routes\": [{\"resource\": "
         "\"https://a/mcp\", \"upstream\": \"http://a\", \"limits\": {\"ip_rate\": 1}}]}",
         "set session_secret"},
        {"{" AUTH0 ", \"session_secret\": \"0123456789abcdef0123456789abcdef\", \"limits\": "
         "{\"store\": \"redis://cache\"}, \"routes\": [{\"resource\": \"https://a/mcp\", "
         "\"upstream\": \"http://a\", \"limits\": {\"ip_rate\": 1}}]}",
         NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        assert_int_equal(parse_policy(rows[i].text, &diag, &config), 0);
        if (rows[i].warning != NULL)
            assert_true(has_finding(&diag, DIAG_WARNING, "/limits/store", rows[i].warning));
        else
            assert_false(has_finding(&diag, DIAG_WARNING, "/limits/store", ""));
        diag_free(&diag);
        config_unref(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_url_reads_every_form),
        cmocka_unit_test(store_url_says_what_is_wrong_and_quotes_nothing),
        cmocka_unit_test(store_url_decodes_what_was_escaped),
        cmocka_unit_test(config_reads_the_store_and_never_shows_it),
        cmocka_unit_test(config_warns_of_a_store_that_is_of_no_use_or_guessed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
