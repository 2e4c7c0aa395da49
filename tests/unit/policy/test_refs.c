/* SPDX-License-Identifier: Apache-2.0 */
/* References in string values. The name of a route is the string that is looked at. */
#include "policy/fixture.h"

#define NAMED(name) POLICY_IN_ROUTE("\"name\": \"" name "\"")

static const struct {
    const char *policy;
    const char *expected;
    const char *why;
} good[] = {
    {NAMED("plain"), "plain", "no reference"},
    {NAMED("$env(SET)"), "value", "a variable"},
    {NAMED("a $env(SET) b $env(SET)"), "a value b value", "several, inside text"},
    {NAMED("$env(UNSET:-other)"), "other", "the default of an unset variable"},
    {NAMED("$env(EMPTY:-other)"), "other", "as shells do: also of an empty one"},
    {NAMED("$env(SET:-other)"), "value", "the default is not used"},
    {NAMED("x$env(UNSET:-)"), "x", "an empty default"},
    {NAMED("$env(UNSET:-a:-b)"), "a:-b", "the first :- counts"},
    {NAMED("$env(UNSET:-$env(SET)"), "$env(SET", "a default is text"},
    {NAMED("$file(key.txt)"), CANARY, "a file beside the policy, its line end gone"},
    {NAMED("$file(/etc/policy/key.txt)"), CANARY, "an absolute path"},
    {NAMED("$file(crlf.txt)"), "value", "CR LF is one line end"},
    {NAMED("$cred(api-key)"), CANARY, "a credential of systemd"},
    {NAMED("$$env(SET)"), "$env(SET)", "a dollar sign"},
    {NAMED("$$$$"), "$$", "two of them"},
    {NAMED("$$$env(SET)"), "$value", "one before a reference"},
    {NAMED("\\u0024env(SET)"), "value", "JSON's escapes come first"},
};

static void reference_gives_its_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct config *config = good_policy(good[i].policy);
        struct str name = config_get(config)->routes[0].name;
        if (!str_eq(name, str_from_cstr(good[i].expected)))
            fail_msg("%s: \"%.*s\" (%s)", good[i].policy, STR_ARG(name), good[i].why);
        config_unref(config);
    }
}

static const struct {
    const char *policy;
    const char *text;
} bad[] = {
    {NAMED("$env(UNSET)"), "the environment variable UNSET is not set"},
    {NAMED("$env()"), "takes the name of an environment variable"},
    {NAMED("$env(A B)"), "takes the name of an environment variable"},
    {NAMED("$env(1A)"), "takes the name of an environment variable"},
    {NAMED("$env(SET"), "is not closed"},
    {NAMED("$env"), "write $$ for a dollar sign"},
    {NAMED("5$"), "write $$ for a dollar sign"},
    {NAMED("$ENV(SET)"), "write $$ for a dollar sign"},
    {NAMED("${SET}"), "write $$ for a dollar sign"},
    {NAMED("$env(EMPTY)"), "must not be empty"},
    {NAMED("$env(LINES)"), "line break"},
    {NAMED("$env(LATIN1)"), "not valid UTF-8"},
    {NAMED("$file(two.txt)"), "line break"},
    {NAMED("$file()"), "takes the path of a file"},
    {NAMED("$file(missing)"), "/etc/policy/missing: No such file"},
    {NAMED("$file(large)"), "/etc/policy/large: the file is too large"},
    {NAMED("$cred(missing)"), "/creds/missing: No such file"},
    {NAMED("$cred(../etc/shadow)"), "without a slash"},
    {NAMED("$cred(..)"), "without a slash"},
    {NAMED("$cred()"), "without a slash"},
};

static void reference_that_gives_nothing_is_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        int r = parse_policy(bad[i].policy, &diag, &config);
        if (r != -EINVAL || diag.count != 1 ||
            !has_finding(&diag, DIAG_ERROR, "/routes/0/name", bad[i].text)) {
            diag_print(&diag, stderr, bad[i].policy, false);
            fail_msg("%s: not \"%s\"", bad[i].policy, bad[i].text);
        }
        diag_free(&diag);
    }
}

static void reference_to_a_credential_needs_a_folder(void **state)
{
    (void)state;
    struct config_sources sources = fake_sources();
    struct diag diag = {0};
    struct config *config = NULL;
    sources.credentials_directory = NULL;
    assert_int_equal(config_parse(STR(NAMED("$cred(api-key)")), ".", &sources, &diag, &config),
                     -EINVAL);
    assert_true(has_finding(&diag, DIAG_ERROR, "/routes/0/name", "CREDENTIALS_DIRECTORY"));
    diag_free(&diag);
}

/* Wherever a secret is wrong, the sentence about it must not show it. */
static const char *const leaks[] = {
    POLICY_TOP("\"listen\": \"$env(KEY)\""),
    POLICY_TOP("\"clock_skew\": \"$env(KEY)\""),
    POLICY_TOP("\"log\": {\"level\": \"$env(KEY)\"}"),
    POLICY_TOP("\"trusted_proxies\": [\"$env(KEY)\"]"),
    POLICY_TOP("\"limits\": {\"header\": \"$env(KEY)\"}"),
    POLICY_TOP("\"issuers\": {\"a\": {\"issuer\": \"$env(KEY)\"}}"),
    POLICY_TOP("\"issuers\": {\"a\": {\"issuer\": \"http://$env(KEY)/\"}}"),
    POLICY_TOP("\"issuers\": {\"a\": {\"issuer\": \"https://a\", \"ca_file\": \"$env(KEY)\"}}"),
    POLICY_TOP(
        "\"issuers\": {\"a\": {\"issuer\": \"https://a\", \"algorithms\": [\"$env(KEY)\"]}}"),
    "{\"auth0\": \"$env(BAD_URL)\", \"routes\": [" ROUTE "]}",
    POLICY_IN_ROUTE("\"issuers\": [\"$env(KEY)\"]"),
    POLICY_IN_ROUTE("\"scopes\": [\"$env(KEY) b\"]"),
    POLICY_IN_ROUTE("\"scopes\": [\"$env(KEY)\", \"$env(KEY)\"]"),
    POLICY_IN_ROUTE("\"origins\": [\"$env(KEY)\"]"),
    POLICY_UPSTREAM("\"$env(KEY)\""),
    POLICY_UPSTREAM("\"http://$env(KEY):port/\""),
    POLICY_UPSTREAM("{\"url\": \"http://a\", \"headers\": {\"X-A\": \"$env(KEY) \"}}"),
    POLICY_ROUTE("{\"resource\": \"https://a/$env(KEY)//\", \"upstream\": \"http://a\"}"),
};

static void reference_is_never_shown_in_a_finding(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(leaks); i++) {
        struct diag diag = {0};
        struct config *config = NULL;
        if (parse_policy(leaks[i], &diag, &config) != -EINVAL)
            fail_msg("accepted: %s", leaks[i]);
        for (size_t k = 0; k < diag.count; k++)
            if (strstr(diag.items[k].text, CANARY) != NULL)
                fail_msg("%s: %s", leaks[i], diag.items[k].text);
        diag_free(&diag);
    }
}

static void reference_in_a_key_is_only_a_name(void **state)
{
    (void)state;
    struct diag diag = {0};
    struct config *config = NULL;
    assert_int_equal(parse_policy(POLICY_TOP("\"$env(SET)\": 1"), &diag, &config), -EINVAL);
    assert_true(has_finding(&diag, DIAG_ERROR, "/$env(SET)", "unknown key"));
    diag_free(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_gives_its_value),
        cmocka_unit_test(reference_that_gives_nothing_is_an_error),
        cmocka_unit_test(reference_to_a_credential_needs_a_folder),
        cmocka_unit_test(reference_is_never_shown_in_a_finding),
        cmocka_unit_test(reference_in_a_key_is_only_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
