/* SPDX-License-Identifier: Apache-2.0 */
/* routes[].upstream.assertion: keys are read, published once each, and never shown. */
#include <stdlib.h>

#include "policy/fixture.h"
#include "proto/jws_sign.h"

#define KEYS SOURCE_DIR "/tests/data/keys"
#define UPSTREAM(url, more) "{\"url\": \"" url "\", " more "}"
#define ASSERTION(members) "\"assertion\": {" members "}"
#define ROUTE_OF(path, more)                                                        \
    "{\"resource\": \"https://mcp.example.com/" path "\", \"upstream\": {\"url\": " \
    "\"http://127.0.0.1:3000/mcp\", " more "}}"
#define ONE(members) "{" AUTH0 ", \"routes\": [" ROUTE_OF("mcp", ASSERTION(members)) "]}"
#define KEY(name) "\"$file(" name ".pem)\""

/* Parses TEXT as a policy that lies beside the keys. */
static int parse(const char *text, struct diag *diag, struct config **ret_config)
{
    const struct config_sources sources = {.cpus = 1};
    return config_parse(str_from_cstr(text), KEYS, &sources, diag, ret_config);
}

static struct config *good(const char *text)
{
    struct diag diag = {0};
    struct config *config = NULL;
    int r = parse(text, &diag, &config);
    diag_print(&diag, stderr, "got", false);
    assert_int_equal(r, 0);
    assert_int_equal(diag.count, 0);
    diag_free(&diag);
    return config;
}

static const struct assertion_config *assertion_of(const struct config *config, size_t route)
{
    return &config_get(config)->routes[route].upstream.assertion;
}

static void config_assertion_has_defaults(void **state)
{
    (void)state;
    struct config *config = good(ONE("\"key\": " KEY("signer")));
    const struct assertion_config *assertion = assertion_of(config, 0);
    assert_true(str_eq(assertion->header, STR("X-Portcullis-Assertion")));
    assert_int_equal(assertion->ttl_s, 60);
    assert_int_equal(assertion->n_claims, 0);
    assert_int_equal(assertion->n_keys, 1);
    config_unref(config);
}

static void config_assertion_takes_its_settings(void **state)
{
    (void)state;
    struct config *config = good(ONE("\"header\": \"X-Caller\", \"key\": [" KEY("next") ", " KEY(
        "signer") "], \"ttl\": \"5m\", \"claims\": [\"email\", \"org_id\"]"));
    const struct assertion_config *assertion = assertion_of(config, 0);
    assert_true(str_eq(assertion->header, STR("X-Caller")));
    assert_int_equal(assertion->ttl_s, 300);
    assert_int_equal(assertion->n_claims, 2);
    assert_true(str_eq(assertion->claims[1], STR("org_id")));
    assert_int_equal(assertion->n_keys, 2);
    assert_false(str_eq(jws_signer_kid(assertion->keys[0]), jws_signer_kid(assertion->keys[1])));
    config_unref(config);
}

/* Whatever a client sends under that name, in any spelling, must not arrive. */
static void config_assertion_header_is_stripped(void **state)
{
    (void)state;
    struct config *config = good(ONE("\"header\": \"X_Caller\", \"key\": " KEY("signer")));
    const struct route *route = &config_get(config)->routes[0];
    assert_int_equal(route->n_stripped, 1);
    assert_true(str_eq(route->stripped[0], STR("x-caller")));
    config_unref(config);
}

static void config_publishes_each_key_once(void **state)
{
    (void)state;
    struct config *config = good(
        "{" AUTH0
        ", \"routes\": [" ROUTE_OF("a", ASSERTION("\"key\": " KEY("signer"))) ", " ROUTE_OF(
            "b", ASSERTION("\"key\": [" KEY("next") ", " KEY(
                     "signer") "]")) ", " ROUTE
                                     ", " ROUTE_OF("c", ASSERTION("\"key\": " KEY("next"))) "]}");
    struct str text = config_get(config)->assertion_jwks;
    json_t *jwks = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *keys = json_object_get(jwks, "keys");
    assert_int_equal(json_array_size(keys), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *key = json_array_get(keys, i);
        assert_string_equal(json_string_value(json_object_get(key, "kty")), "RSA");
        assert_null(json_object_get(key, "d"));
        assert_true(
            str_eq(json_get_str(key, "kid"), jws_signer_kid(assertion_of(config, i)->keys[0])));
    }
    json_decref(jwks);
    config_unref(config);
}

static void config_never_prints_the_key(void **state)
{
    (void)state;
    static const char *const policies[] = {
        ONE("\"key\": " KEY("signer")),
        ONE("\"key\": [" KEY("signer") "]"),
        ONE("\"key\": \"-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\\n-----END PRIVATE KEY-----\\n\""),
    };
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        (void)parse(policies[i], &diag, &config);
        json_t *printed = config != NULL ? config_print(config) : NULL;
        char *text = printed != NULL ? json_dumps(printed, 0) : NULL;
        assert_true((config != NULL) == (i < 2));
        assert_true(text == NULL || strstr(text, "\"key\": \"[redacted]\"") != NULL ||
                    strstr(text, "\"key\": [\"[redacted]\"]") != NULL);
        assert_true(text == NULL || strstr(text, "PRIVATE") == NULL);
        for (size_t k = 0; k < diag.count; k++)
            assert_null(strstr(diag.items[k].text, "c2VjcmV0"));
        free(text);
        json_decref(printed);
        config_unref(config);
        diag_free(&diag);
    }
}

static const struct {
    const char *policy;
    const char *pointer;
    const char *text;
} errors[] = {
    {ONE("\"header\": \"X-A\""), "/routes/0/upstream/assertion", "\"key\" is missing"},
    {ONE("\"key\": []"), "/routes/0/upstream/assertion/key", "must not be empty"},
    {ONE("\"key\": 1"), "/routes/0/upstream/assertion/key", "must be a string or an array"},
    {ONE("\"key\": \"signer.pem\""), "/routes/0/upstream/assertion/key", "write $file(PATH)"},
    {ONE("\"key\": \"$file(missing.pem)\""), "/routes/0/upstream/assertion/key", "No such file"},
    {ONE("\"key\": " KEY("signer.pub")), "/routes/0/upstream/assertion/key",
     "is a public key; the private one is needed"},
    {ONE("\"key\": [" KEY("signer") ", \"-----BEGIN X-----\"]"),
     "/routes/0/upstream/assertion/key/1", "is no private key"},
    {ONE("\"key\": [" KEY("signer") ", \"\\n$file(signer.pem)\"]"),
     "/routes/0/upstream/assertion/key/1", "this key is listed twice"},
    {ONE("\"key\": " KEY("signer") ", \"ttl\": \"1500ms\""), "/routes/0/upstream/assertion/ttl",
     "in whole seconds"},
    {ONE("\"key\": " KEY("signer") ", \"ttl\": \"61m\""), "/routes/0/upstream/assertion/ttl",
     "from 1s to 1h"},
    {ONE("\"key\": " KEY("signer") ", \"claims\": [\"email\", \"sub\"]"),
     "/routes/0/upstream/assertion/claims/1", "is in every assertion"},
    {ONE("\"key\": " KEY("signer") ", \"header\": \"X A\""), "/routes/0/upstream/assertion/header",
     "is no header name"},
    {ONE("\"key\": " KEY("signer") ", \"header\": \"Authorization\""),
     "/routes/0/upstream/assertion/header", "cannot be set here"},
    {ONE("\"key\": " KEY("signer") ", \"header\": \"Mcp-Name\""),
     "/routes/0/upstream/assertion/header", "cannot be set here"},
    {ONE("\"key\": " KEY("signer") ", \"header\": \"X-A\"}, \"headers\": {\"x_a\": \"1\""),
     "/routes/0/upstream/assertion/header", "is given twice"},
    {"{" AUTH0 ", \"routes\": [{\"identity\": {\"X-Portcullis-Assertion\": \"sub\"}, "
     "\"resource\": \"https://a\", \"upstream\": {\"url\": \"http://a\", " ASSERTION(
         "\"key\": " KEY("signer")) "}}]}",
     "/routes/0/upstream/assertion", "is given twice"},
};

static void policy_refuses_wrong_assertions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        int r = parse(errors[i].policy, &diag, &config);
        if (r != -EINVAL || config != NULL ||
            !has_finding(&diag, DIAG_ERROR, errors[i].pointer, errors[i].text)) {
            diag_print(&diag, stderr, "got", false);
            fail_msg("%s: no error at \"%s\" with \"%s\"", errors[i].policy, errors[i].pointer,
                     errors[i].text);
        }
        diag_free(&diag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_assertion_has_defaults),
        cmocka_unit_test(config_assertion_takes_its_settings),
        cmocka_unit_test(config_assertion_header_is_stripped),
        cmocka_unit_test(config_publishes_each_key_once),
        cmocka_unit_test(config_never_prints_the_key),
        cmocka_unit_test(policy_refuses_wrong_assertions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
