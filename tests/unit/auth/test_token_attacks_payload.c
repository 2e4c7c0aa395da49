/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that their issuer signed and that must not get in: wrong claims in both of Auth0's
 * profiles, and payloads that two parsers could read differently. */
#include "support/cmocka_all.h"
#include "support/token_fixture.h"

#define MEMBER(members)                                         \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"s\",\"aud\":\"" RESOURCE \
    "\",\"exp\":1800003600,\"azp\":\"c\"" members "}"

static const struct {
    const char *name;
    const char *header;
    const char *payload;
} profiles[] = {
    {"legacy", HEADER, LEGACY_PAYLOAD},
    {"RFC 9068", RFC9068_HEADER, RFC9068_PAYLOAD},
};

/* One claim of a good token replaced, added, or (value NULL) taken out. "@client" is the claim in
 * which the profile names its client, "@other" the one it does not use. */
static const struct {
    const char *why;
    const char *claim;
    const char *value;
    enum token_rc rc;
} rows[] = {
    {"16: iss missing", "iss", NULL, TOKEN_ISSUER},
    {"16: iss empty", "iss", "\"\"", TOKEN_ISSUER},
    {"16: iss null", "iss", "null", TOKEN_ISSUER},
    {"16: iss array", "iss", "[\"" ISSUER "\"]", TOKEN_ISSUER},
    {"16: iss number", "iss", "1", TOKEN_ISSUER},
    {"16: without the final slash", "iss", "\"https://tenant.us.auth0.com\"", TOKEN_ISSUER},
    {"16: two slashes", "iss", "\"" ISSUER "/\"", TOKEN_ISSUER},
    {"16: http", "iss", "\"http://tenant.us.auth0.com/\"", TOKEN_ISSUER},
    {"16: another case", "iss", "\"https://TENANT.us.auth0.com/\"", TOKEN_ISSUER},
    {"16: default port", "iss", "\"https://tenant.us.auth0.com:443/\"", TOKEN_ISSUER},
    {"16: another tenant", "iss", "\"https://evil.us.auth0.com/\"", TOKEN_ISSUER},
    {"16: as a prefix", "iss", "\"" ISSUER "evil\"", TOKEN_ISSUER},
    {"16: userinfo", "iss", "\"https://tenant.us.auth0.com/@evil\"", TOKEN_ISSUER},
    {"16: NUL behind", "iss", "\"" ISSUER "\\u0000\"", TOKEN_ISSUER},
    {"16: blank behind", "iss", "\"" ISSUER " \"", TOKEN_ISSUER},
    {"16: an issuer of another route", "iss", "\"" OTHER_ISSUER "\"", TOKEN_ISSUER},

    {"17: aud missing", "aud", NULL, TOKEN_AUDIENCE},
    {"17: aud null", "aud", "null", TOKEN_AUDIENCE},
    {"17: aud empty", "aud", "\"\"", TOKEN_AUDIENCE},
    {"17: aud empty array", "aud", "[]", TOKEN_AUDIENCE},
    {"17: aud number", "aud", "1", TOKEN_AUDIENCE},
    {"17: aud true", "aud", "true", TOKEN_AUDIENCE},
    {"17: aud object", "aud", "{\"" RESOURCE "\":1}", TOKEN_AUDIENCE},
    {"17: aud glob", "aud", "\"*\"", TOKEN_AUDIENCE},
    {"17: another resource", "aud", "\"https://other.example.com/mcp\"", TOKEN_AUDIENCE},
    {"17: userinfo alone", "aud", "\"" ISSUER "userinfo\"", TOKEN_AUDIENCE},
    {"17: the management API", "aud", "\"" ISSUER "api/v2/\"", TOKEN_AUDIENCE},
    {"17: the client id (an ID token)", "aud", "\"tpc_client\"", TOKEN_AUDIENCE},
    {"17: a slash more", "aud", "\"" RESOURCE "/\"", TOKEN_AUDIENCE},
    {"17: the origin only", "aud", "\"https://mcp.example.com\"", TOKEN_AUDIENCE},
    {"17: a path below", "aud", "\"" RESOURCE "/admin\"", TOKEN_AUDIENCE},
    {"17: another scheme", "aud", "\"http://mcp.example.com/mcp\"", TOKEN_AUDIENCE},
    {"17: another case", "aud", "\"https://mcp.example.com/MCP\"", TOKEN_AUDIENCE},
    {"17: query", "aud", "\"" RESOURCE "?x\"", TOKEN_AUDIENCE},
    {"17: percent", "aud", "\"https://mcp.example.com/%6dcp\"", TOKEN_AUDIENCE},
    {"17: host below", "aud", "\"https://mcp.example.com.evil/mcp\"", TOKEN_AUDIENCE},
    {"17: comma list", "aud", "\"" RESOURCE ",x\"", TOKEN_AUDIENCE},
    {"17: SP list", "aud", "\"" RESOURCE " x\"", TOKEN_AUDIENCE},
    {"17: NUL behind", "aud", "\"" RESOURCE "\\u0000x\"", TOKEN_AUDIENCE},
    {"17: array with a number", "aud", "[\"" RESOURCE "\",1]", TOKEN_AUDIENCE},
    {"17: array with null", "aud", "[\"" RESOURCE "\",null]", TOKEN_AUDIENCE},
    {"17: array in an array", "aud", "[[\"" RESOURCE "\"]]", TOKEN_AUDIENCE},
    {"17: array of others", "aud", "[\"a\",\"b\"]", TOKEN_AUDIENCE},
    {"17: an audience of another route", "aud", "\"api\"", TOKEN_AUDIENCE},

    {"18: exp missing", "exp", NULL, TOKEN_EXP},
    {"18: exp null", "exp", "null", TOKEN_EXP},
    {"18: exp string", "exp", "\"1800003600\"", TOKEN_EXP},
    {"18: exp true", "exp", "true", TOKEN_EXP},
    {"18: exp array", "exp", "[1800003600]", TOKEN_EXP},
    {"18: exp object", "exp", "{}", TOKEN_EXP},
    {"18: exp past 2^53 as a real", "exp", "1e16", TOKEN_EXP},
    {"18: expired, past the skew", "exp", "1799999970", TOKEN_EXPIRED},
    {"18: expired long ago", "exp", "1500000000", TOKEN_EXPIRED},
    {"18: zero", "exp", "0", TOKEN_EXPIRED},
    {"18: negative", "exp", "-1800003600", TOKEN_EXPIRED},
    {"18: a small real", "exp", "1.8e8", TOKEN_EXPIRED},

    {"19: nbf past the skew", "nbf", "1800000031", TOKEN_NOT_YET_VALID},
    {"19: nbf largest", "nbf", "9223372036854775807", TOKEN_NOT_YET_VALID},
    {"19: nbf string", "nbf", "\"1\"", TOKEN_TIME_CLAIM},
    {"19: nbf null", "nbf", "null", TOKEN_TIME_CLAIM},
    {"19: nbf array", "nbf", "[]", TOKEN_TIME_CLAIM},
    {"19: iat past the tolerance", "iat", "1800000301", TOKEN_ISSUED_AHEAD},
    {"19: iat milliseconds", "iat", "1799999000000", TOKEN_ISSUED_AHEAD},
    {"19: iat string", "iat", "\"now\"", TOKEN_TIME_CLAIM},
    {"19: iat null", "iat", "null", TOKEN_TIME_CLAIM},
    {"19: iat past 2^53 as a real", "iat", "1e17", TOKEN_TIME_CLAIM},

    {"20: sub missing", "sub", NULL, TOKEN_SUBJECT},
    {"20: sub empty", "sub", "\"\"", TOKEN_SUBJECT},
    {"20: sub null", "sub", "null", TOKEN_SUBJECT},
    {"20: sub number", "sub", "1", TOKEN_SUBJECT},
    {"20: sub array", "sub", "[\"auth0|64f\"]", TOKEN_SUBJECT},
    {"20: sub object", "sub", "{\"id\":\"auth0|64f\"}", TOKEN_SUBJECT},
    {"20: client missing", "@client", NULL, TOKEN_CLIENT},
    {"20: client empty", "@client", "\"\"", TOKEN_CLIENT},
    {"20: client null", "@client", "null", TOKEN_CLIENT},
    {"20: client number", "@client", "5", TOKEN_CLIENT},
    {"20: client array", "@client", "[\"tpc_client\"]", TOKEN_CLIENT},
    {"20: client named twice, differently", "@other", "\"other\"", TOKEN_CLIENT},
    {"20: client named twice, another case", "@other", "\"TPC_client\"", TOKEN_CLIENT},
    {"20: client named twice, one malformed", "@other", "1", TOKEN_CLIENT},

    {"21: cnf jkt (DPoP)", "cnf", "{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}",
     TOKEN_SENDER_CONSTRAINED},
    {"21: cnf x5t#S256 (mTLS)", "cnf", "{\"x5t#S256\":\"x\"}", TOKEN_SENDER_CONSTRAINED},
    {"21: cnf jwk", "cnf", "{\"jwk\":{}}", TOKEN_SENDER_CONSTRAINED},
    {"21: cnf empty", "cnf", "{}", TOKEN_SENDER_CONSTRAINED},
    {"21: cnf null", "cnf", "null", TOKEN_SENDER_CONSTRAINED},
    {"21: cnf string", "cnf", "\"\"", TOKEN_SENDER_CONSTRAINED},

    {"scope array", "scope", "[\"mcp:use\"]", TOKEN_SCOPE_CLAIM},
    {"scope null", "scope", "null", TOKEN_SCOPE_CLAIM},
    {"scope number", "scope", "1", TOKEN_SCOPE_CLAIM},
    {"scope with CR LF", "scope", "\"a\\r\\nX: y\"", TOKEN_SCOPE_CLAIM},
    {"scope with a quote", "scope", "\"a\\\" error=\\\"x\"", TOKEN_SCOPE_CLAIM},
    {"scope with NUL", "scope", "\"mcp:use\\u0000\"", TOKEN_SCOPE_CLAIM},

    {"control: nothing changed", "foo", "1", TOKEN_OK},
    {"control: 18 at the limit", "exp", "1799999971", TOKEN_OK},
    {"control: 19 nbf at the limit", "nbf", "1800000030", TOKEN_OK},
    {"control: 19 iat at the limit", "iat", "1800000300", TOKEN_OK},
    {"control: 19 iat missing", "iat", NULL, TOKEN_OK},
    {"control: 20 named twice, equally", "@other", "\"tpc_client\"", TOKEN_OK},
    {"control: scope missing", "scope", NULL, TOKEN_OK},
    {"control: scope empty", "scope", "\"\"", TOKEN_OK},
};

static json_t *parse(const char *text)
{
    const struct json_limits limits = {65536, 64};
    json_t *root = NULL;
    assert_int_equal(json_parse(str_from_cstr(text), limits, &root, NULL), JSON_RC_OK);
    return root;
}

/* The name that a row means in this payload. */
static const char *claim_name(const char *claim, const json_t *payload)
{
    const bool legacy = json_object_get(payload, "azp") != NULL;
    if (strcmp(claim, "@client") == 0)
        return legacy ? "azp" : "client_id";
    if (strcmp(claim, "@other") == 0)
        return legacy ? "client_id" : "azp";
    return claim;
}

static enum token_rc check_changed(const struct token_fixture *f, size_t profile, size_t row)
{
    const struct mint_signer signer = {.key = f->signer};
    CLEANUP(json_unref) json_t *payload = parse(profiles[profile].payload);
    struct buf text = buf_make(65536);
    struct buf token = buf_make(MINT_MAX_BYTES);
    const char *claim = claim_name(rows[row].claim, payload);
    if (rows[row].value == NULL)
        assert_int_equal(json_object_del(payload, claim), 0);
    else
        assert_int_equal(json_object_set_new(payload, claim, parse(rows[row].value)), 0);
    assert_int_equal(json_write(payload, 0, &text), 0);
    mint_token_bytes(&token, str_from_cstr(profiles[profile].header), buf_str(&text), &signer);
    enum token_rc rc = fixture_check(&f->context, buf_str(&token));
    buf_free(&text);
    buf_free(&token);
    return rc;
}

static void token_check_refuses_wrong_claims_in_both_profiles(void **state)
{
    unsigned count = 0;
    for (size_t profile = 0; profile < ARRAY_LEN(profiles); profile++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            enum token_rc rc = check_changed(*state, profile, i);
            if (rc != rows[i].rc)
                fail_msg("%s, %s: %s", profiles[profile].name, rows[i].why, token_rc_name(rc));
            count += rc != TOKEN_OK;
        }
    }
    print_message("%u attacks\n", count);
}

/* Payloads as texts: what one parser takes and another does not, or takes differently. */
static const struct {
    const char *why;
    struct str payload;
} texts[] = {
    {"array", STR_INIT("[]")},
    {"array around a good one", STR_INIT("[" LEGACY_PAYLOAD "]")},
    {"string", STR_INIT("\"x\"")},
    {"number", STR_INIT("1")},
    {"null", STR_INIT("null")},
    {"a blank", STR_INIT(" ")},
    {"cut off", STR_INIT("{\"iss\":\"" ISSUER "\"")},
    {"something behind", STR_INIT(LEGACY_PAYLOAD "x")},
    {"two objects", STR_INIT(LEGACY_PAYLOAD LEGACY_PAYLOAD)},
    {"NUL behind", STR_INIT(LEGACY_PAYLOAD "\0")},
    {"NUL and a second one behind", STR_INIT(LEGACY_PAYLOAD "\0{}")},
    {"byte order mark", STR_INIT("\xef\xbb\xbf" LEGACY_PAYLOAD)},
    {"duplicate iss", STR_INIT(MEMBER(",\"iss\":\"" ISSUER "\""))},
    {"duplicate sub", STR_INIT(MEMBER(",\"sub\":\"admin\""))},
    {"duplicate aud", STR_INIT(MEMBER(",\"aud\":\"x\""))},
    {"duplicate exp", STR_INIT(MEMBER(",\"exp\":1"))},
    {"duplicate scope", STR_INIT(MEMBER(",\"scope\":\"a\",\"scope\":\"b\""))},
    {"duplicate azp", STR_INIT(MEMBER(",\"azp\":\"c\""))},
    {"duplicate by escape", STR_INIT(MEMBER(",\"s\\u0075b\":\"admin\""))},
    {"duplicate below", STR_INIT(MEMBER(",\"act\":{\"sub\":\"a\",\"sub\":\"b\"}"))},
    {"NUL in a key", STR_INIT(MEMBER(",\"sub\\u0000\":\"admin\""))},
    {"comment", STR_INIT("{/*x*/\"iss\":\"" ISSUER "\"}")},
    {"comma behind", STR_INIT(MEMBER(","))},
    {"single quotes", STR_INIT("{'iss':'" ISSUER "'}")},
    {"bare keys", STR_INIT("{iss:\"" ISSUER "\"}")},
    {"NaN", STR_INIT(MEMBER(",\"nbf\":NaN"))},
    {"Infinity", STR_INIT(MEMBER(",\"nbf\":-Infinity"))},
    {"hexadecimal", STR_INIT(MEMBER(",\"nbf\":0x0"))},
    {"leading zero", STR_INIT(MEMBER(",\"nbf\":01"))},
    {"leading plus", STR_INIT(MEMBER(",\"nbf\":+1"))},
    {"bare point", STR_INIT(MEMBER(",\"nbf\":.5"))},
    {"integer past 64 bits", STR_INIT(MEMBER(",\"nbf\":9223372036854775808"))},
    {"integer of 40 digits", STR_INIT(MEMBER(",\"x\":1111111111222222222233333333334444444444"))},
    {"real out of range", STR_INIT(MEMBER(",\"nbf\":1e999"))},
    {"control byte in a string", STR_INIT(MEMBER(",\"x\":\"\x1f\""))},
    {"line end in a string", STR_INIT(MEMBER(",\"x\":\"\n\""))},
    {"invalid UTF-8", STR_INIT(MEMBER(",\"x\":\"\xff\""))},
    {"overlong UTF-8", STR_INIT(MEMBER(",\"x\":\"\xc0\xaf\""))},
    {"UTF-8 past U+10FFFF", STR_INIT(MEMBER(",\"x\":\"\xf4\x90\x80\x80\""))},
    {"CESU surrogates", STR_INIT(MEMBER(",\"x\":\"\xed\xa0\xbd\xed\xb8\x80\""))},
    {"lone surrogate escape", STR_INIT(MEMBER(",\"x\":\"\\ud83d\""))},
    {"bad escape", STR_INIT(MEMBER(",\"x\":\"\\x41\""))},
    {"UTF-16", STR_INIT("{\0\"\0i\0s\0s\0\"\0:\0001\0}\0")},
    {"too deep",
     STR_INIT(MEMBER(",\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"))},
    {"a JWT in a JWT", STR_INIT("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")},
    {"compressed (zip DEF)", STR_INIT("\xab\x56\xca\x2c\x2e\x56\xb2\x52\xaa\x05\x00")},
};

static void token_check_refuses_payloads_that_are_not_strict_json(void **state)
{
    const struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    struct buf token = buf_make(MINT_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        mint_token_bytes(&token, STR(HEADER), texts[i].payload, &signer);
        enum token_rc rc = fixture_check(&f->context, buf_str(&token));
        if (rc != TOKEN_PAYLOAD)
            fail_msg("%s: %s", texts[i].why, token_rc_name(rc));
    }
    print_message("%zu attacks\n", ARRAY_LEN(texts));
    buf_free(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_check_refuses_wrong_claims_in_both_profiles),
        cmocka_unit_test(token_check_refuses_payloads_that_are_not_strict_json),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
