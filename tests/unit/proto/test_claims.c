/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/claims.h"

#include "base/err.h"
#include "proto/base64url.h"
#include "support/cmocka_all.h"

#define NOW 1800000000
#define SKEW 30

static const struct str audiences[] = {STR_INIT("https://mcp.example/mcp"), STR_INIT("api")};
static const struct claims_context context = {
    .audiences = audiences,
    .n_audiences = ARRAY_LEN(audiences),
    .now_s = NOW,
    .skew_s = SKEW,
};

/* What claims_read() says of TEXT, and then claims_check(). Strings with escapes live in ARENA. */
static enum claims_rc read_and_check(struct str text, struct arena *arena,
                                     struct claims *ret_claims)
{
    struct claims_payload payload;
    const enum claims_rc rc = claims_read(text, &payload);
    return rc == CLAIMS_OK ? claims_check(&payload, &context, arena, ret_claims) : rc;
}

#define REST ",\"exp\":1800000001,\"sub\":\"s\",\"azp\":\"c\"}"
#define AUD(value) "{\"aud\":" value REST
#define EXP(value) "{\"aud\":\"api\",\"exp\":" value ",\"sub\":\"s\",\"azp\":\"c\"}"
#define MORE(members) "{\"aud\":\"api\"," members REST
#define PARTIES(members) "{\"aud\":\"api\",\"exp\":1800000001," members "}"

static const struct {
    const char *why;
    const char *payload;
    enum claims_rc rc;
} rows[] = {
    {"17: string", AUD("\"api\""), CLAIMS_OK},
    {"17: array of one", AUD("[\"api\"]"), CLAIMS_OK},
    {"17: Auth0's array with userinfo",
     AUD("[\"https://mcp.example/mcp\",\"https://t.auth0.com/userinfo\"]"), CLAIMS_OK},
    {"17: the accepted one comes last", AUD("[\"x\",\"y\",\"api\"]"), CLAIMS_OK},
    {"17: missing", "{\"exp\":1800000001,\"sub\":\"s\",\"azp\":\"c\"}", CLAIMS_AUDIENCE},
    {"17: null", AUD("null"), CLAIMS_AUDIENCE},
    {"17: empty string", AUD("\"\""), CLAIMS_AUDIENCE},
    {"17: empty array", AUD("[]"), CLAIMS_AUDIENCE},
    {"17: another one", AUD("\"other\""), CLAIMS_AUDIENCE},
    {"17: array of others", AUD("[\"other\",\"another\"]"), CLAIMS_AUDIENCE},
    {"17: with a slash more", AUD("\"https://mcp.example/mcp/\""), CLAIMS_AUDIENCE},
    {"17: in another case", AUD("\"https://MCP.example/mcp\""), CLAIMS_AUDIENCE},
    {"17: as a prefix", AUD("\"https://mcp.example/mcp2\""), CLAIMS_AUDIENCE},
    {"17: cut", AUD("\"https://mcp.example/mc\""), CLAIMS_AUDIENCE},
    {"17: with NUL behind", AUD("\"api\\u0000\""), CLAIMS_AUDIENCE},
    {"17: separated by SP", AUD("\"other api\""), CLAIMS_AUDIENCE},
    {"17: a member that is a number", AUD("[\"api\",1]"), CLAIMS_AUDIENCE},
    {"17: a member that is null", AUD("[null,\"api\"]"), CLAIMS_AUDIENCE},
    {"17: a member that is empty", AUD("[\"api\",\"\"]"), CLAIMS_AUDIENCE},
    {"17: a member that is an array", AUD("[[\"api\"]]"), CLAIMS_AUDIENCE},
    {"17: an object", AUD("{\"api\":true}"), CLAIMS_AUDIENCE},
    {"17: true", AUD("true"), CLAIMS_AUDIENCE},

    {"18: last second within the skew", EXP("1799999971"), CLAIMS_OK},
    {"18: now = exp + skew", EXP("1799999970"), CLAIMS_EXPIRED},
    {"18: long ago", EXP("1"), CLAIMS_EXPIRED},
    {"18: zero", EXP("0"), CLAIMS_EXPIRED},
    {"18: negative", EXP("-1"), CLAIMS_EXPIRED},
    {"18: smallest integer", EXP("-9223372036854775808"), CLAIMS_EXPIRED},
    {"18: largest integer", EXP("9223372036854775807"), CLAIMS_OK},
    {"18: real", EXP("1800000001.5"), CLAIMS_OK},
    {"18: real with exponent", EXP("1.800000001e9"), CLAIMS_OK},
    {"18: real in the past", EXP("1799999970.9"), CLAIMS_EXPIRED},
    {"18: largest real below 2^53", EXP("9007199254740991.0"), CLAIMS_OK},
    {"18: real 2^53", EXP("9007199254740992.0"), CLAIMS_EXP},
    {"18: real beyond", EXP("1e300"), CLAIMS_EXP},
    {"18: missing", "{\"aud\":\"api\",\"sub\":\"s\",\"azp\":\"c\"}", CLAIMS_EXP},
    {"18: null", EXP("null"), CLAIMS_EXP},
    {"18: string", EXP("\"1800000001\""), CLAIMS_EXP},
    {"18: bool", EXP("true"), CLAIMS_EXP},
    {"18: array", EXP("[1800000001]"), CLAIMS_EXP},
    {"18: object", EXP("{}"), CLAIMS_EXP},

    {"19: nbf now", MORE("\"nbf\":1800000000"), CLAIMS_OK},
    {"19: nbf at the skew", MORE("\"nbf\":1800000030"), CLAIMS_OK},
    {"19: nbf one past the skew", MORE("\"nbf\":1800000031"), CLAIMS_NOT_YET_VALID},
    {"19: nbf largest", MORE("\"nbf\":9223372036854775807"), CLAIMS_NOT_YET_VALID},
    {"19: nbf smallest", MORE("\"nbf\":-9223372036854775808"), CLAIMS_OK},
    {"19: nbf real", MORE("\"nbf\":1799999999.5"), CLAIMS_OK},
    {"19: nbf string", MORE("\"nbf\":\"0\""), CLAIMS_TIME},
    {"19: nbf null", MORE("\"nbf\":null"), CLAIMS_TIME},
    {"19: nbf bool", MORE("\"nbf\":false"), CLAIMS_TIME},
    {"19: nbf beyond 2^53", MORE("\"nbf\":1e17"), CLAIMS_TIME},
    {"19: iat at the limit", MORE("\"iat\":1800000300"), CLAIMS_OK},
    {"19: iat one past", MORE("\"iat\":1800000301"), CLAIMS_ISSUED_AHEAD},
    {"19: iat old", MORE("\"iat\":1"), CLAIMS_OK},
    {"19: iat string", MORE("\"iat\":\"1\""), CLAIMS_TIME},
    {"19: iat null", MORE("\"iat\":null"), CLAIMS_TIME},
    {"19: iat array", MORE("\"iat\":[]"), CLAIMS_TIME},
    {"18 before 19: expired and not yet valid",
     "{\"aud\":\"api\",\"exp\":1,\"nbf\":9000000000,\"sub\":\"s\",\"azp\":\"c\"}", CLAIMS_EXPIRED},

    {"20: azp", PARTIES("\"sub\":\"auth0|1\",\"azp\":\"c\""), CLAIMS_OK},
    {"20: client_id", PARTIES("\"sub\":\"c@clients\",\"client_id\":\"c\""), CLAIMS_OK},
    {"20: both, equal", PARTIES("\"sub\":\"s\",\"azp\":\"c\",\"client_id\":\"c\""), CLAIMS_OK},
    {"20: both, different", PARTIES("\"sub\":\"s\",\"azp\":\"c\",\"client_id\":\"d\""),
     CLAIMS_CLIENT},
    {"20: neither", PARTIES("\"sub\":\"s\""), CLAIMS_CLIENT},
    {"20: client_id a number", PARTIES("\"sub\":\"s\",\"client_id\":1"), CLAIMS_CLIENT},
    {"20: client_id null beside azp", PARTIES("\"sub\":\"s\",\"client_id\":null,\"azp\":\"c\""),
     CLAIMS_CLIENT},
    {"20: client_id empty", PARTIES("\"sub\":\"s\",\"client_id\":\"\""), CLAIMS_CLIENT},
    {"20: azp an array", PARTIES("\"sub\":\"s\",\"azp\":[\"c\"]"), CLAIMS_CLIENT},
    {"20: sub missing", PARTIES("\"azp\":\"c\""), CLAIMS_SUBJECT},
    {"20: sub empty", PARTIES("\"sub\":\"\",\"azp\":\"c\""), CLAIMS_SUBJECT},
    {"20: sub null", PARTIES("\"sub\":null,\"azp\":\"c\""), CLAIMS_SUBJECT},
    {"20: sub a number", PARTIES("\"sub\":1,\"azp\":\"c\""), CLAIMS_SUBJECT},
    {"20: sub an array", PARTIES("\"sub\":[\"s\"],\"azp\":\"c\""), CLAIMS_SUBJECT},

    {"21: cnf with a thumbprint", MORE("\"cnf\":{\"jkt\":\"x\"}"), CLAIMS_CONFIRMATION},
    {"21: cnf empty", MORE("\"cnf\":{}"), CLAIMS_CONFIRMATION},
    {"21: cnf null", MORE("\"cnf\":null"), CLAIMS_CONFIRMATION},

    {"scope", MORE("\"scope\":\"a b:c\""), CLAIMS_OK},
    {"scope empty", MORE("\"scope\":\"\""), CLAIMS_OK},
    {"scope an array", MORE("\"scope\":[\"a\"]"), CLAIMS_SCOPE},
    {"scope null", MORE("\"scope\":null"), CLAIMS_SCOPE},
    {"scope with a tab", MORE("\"scope\":\"a\\tb\""), CLAIMS_SCOPE},
    {"scope with a quote", MORE("\"scope\":\"a\\\"b\""), CLAIMS_SCOPE},
    {"scope with a backslash", MORE("\"scope\":\"a\\\\b\""), CLAIMS_SCOPE},
    {"scope with NUL", MORE("\"scope\":\"a\\u0000b\""), CLAIMS_SCOPE},
    {"scope not ASCII", MORE("\"scope\":\"\\u00e9\""), CLAIMS_SCOPE},
    {"21: cnf, escaped", MORE("\"\\u0063nf\":{}"), CLAIMS_CONFIRMATION},
    {"17: escaped", AUD("[\"\\u0061p\\u0069\"]"), CLAIMS_OK},
    {"17: another one, escaped", AUD("\"\\u0062pi\""), CLAIMS_AUDIENCE},
    {"17: the name escaped", "{\"\\u0061ud\":\"api\"" REST, CLAIMS_OK},
    {"18: integer past 64 bits", EXP("9223372036854775808"), CLAIMS_MALFORMED},
    {"18: negative integer past 64 bits", EXP("-9223372036854775809"), CLAIMS_MALFORMED},
    {"18: the same as a real", EXP("9223372036854775808.0"), CLAIMS_EXP},
    {"20: both, equal, one of them escaped",
     PARTIES("\"sub\":\"s\",\"azp\":\"\\u0063\",\"client_id\":\"c\""), CLAIMS_OK},
    {"20: both, different by an escape",
     PARTIES("\"sub\":\"s\",\"azp\":\"\\u0063\",\"client_id\":\"\\\\u0063\""), CLAIMS_CLIENT},
    {"a member below is not one of ours", MORE("\"x\":{\"cnf\":1,\"exp\":1}"), CLAIMS_OK},
    {"not an object", "[]", CLAIMS_MALFORMED},
};

static void claims_check_gives_the_answer_of_the_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(0, 4096);
        struct claims claims = {0};
        enum claims_rc rc = read_and_check(str_from_cstr(rows[i].payload), arena, &claims);
        if (rc != rows[i].rc)
            fail_msg("%s: rc %d", rows[i].why, (int)rc);
        assert_int_equal(str_is_set(claims.subject), rc == CLAIMS_OK);
        (void)arena_free(arena);
    }
}

static void claims_check_reads_what_it_checked(void **state)
{
    (void)state;
    struct arena *arena = arena_new(0, 4096);
    struct claims claims;
    assert_int_equal(
        read_and_check(STR(" {\"aud\":\"api\",\"exp\":1800000600,\"nbf\":1799999990,"
                           "\"sub\":\"auth0|1\",\"client_id\":\"tpc_1\",\"scope\":\"a b\"}\n"),
                       arena, &claims),
        CLAIMS_OK);
    assert_true(str_eq(claims.subject, STR("auth0|1")));
    assert_true(str_eq(claims.client, STR("tpc_1")));
    assert_true(str_eq(claims.scope, STR("a b")));
    assert_int_equal(claims.times.exp_s, 1800000600);
    assert_int_equal(claims.times.nbf_s, 1799999990);
    assert_int_equal(
        read_and_check(
            STR("{\"aud\":\"api\",\"exp\":1800000600.5,\"sub\":\"\\u00e9\\/\",\"azp\":\"c\"}"),
            arena, &claims),
        CLAIMS_OK);
    assert_false(str_is_set(claims.scope));
    assert_true(claims.times.nbf_s == INT64_MIN);
    assert_true(str_eq(claims.client, STR("c")));
    assert_true(str_eq(claims.subject, STR("\xc3\xa9/")));
    assert_int_equal(claims.times.exp_s, 1800000600);
    (void)arena_free(arena);
}

static void claims_check_says_when_memory_is_short(void **state)
{
    (void)state;
    struct arena *full = arena_new(0, 0);
    struct claims claims;
    const struct str escaped = STR(PARTIES("\"sub\":\"\\u0061\",\"azp\":\"c\""));
    const struct str plain = STR(PARTIES("\"sub\":\"a\",\"azp\":\"c\""));
    assert_int_equal(read_and_check(escaped, full, &claims), CLAIMS_NO_MEMORY);
    assert_int_equal(read_and_check(plain, full, &claims), CLAIMS_OK);
    (void)arena_free(full);
}

static void claims_check_accepts_nothing_without_audiences(void **state)
{
    (void)state;
    struct claims_context nobody = context;
    assert_int_equal(claims_check_audience(STR("\"api\""), &context), CLAIMS_OK);
    nobody.n_audiences = 0;
    assert_int_equal(claims_check_audience(STR("\"api\""), &nobody), CLAIMS_AUDIENCE);
}

static void claims_check_clock_has_exact_limits(void **state)
{
    (void)state;
    static const struct {
        struct claims_times times;
        enum claims_rc rc;
    } limits[] = {
        {{NOW - SKEW + 1, INT64_MIN, INT64_MIN}, CLAIMS_OK},
        {{NOW - SKEW, INT64_MIN, INT64_MIN}, CLAIMS_EXPIRED},
        {{INT64_MAX, NOW + SKEW, INT64_MIN}, CLAIMS_OK},
        {{INT64_MAX, NOW + SKEW + 1, INT64_MIN}, CLAIMS_NOT_YET_VALID},
        {{INT64_MAX, INT64_MIN, NOW + CLAIMS_MAX_IAT_AHEAD_S}, CLAIMS_OK},
        {{INT64_MAX, INT64_MIN, NOW + CLAIMS_MAX_IAT_AHEAD_S + 1}, CLAIMS_ISSUED_AHEAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        assert_int_equal(claims_check_clock(&context, &limits[i].times), limits[i].rc);
}

/* The payload as it arrives: base64url of text that may be anything. */
static void claims_want_one_json_object(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str text;
        enum claims_rc rc;
    } texts[] = {
        {"object", STR_INIT("{\"a\":1}"), CLAIMS_OK},
        {"empty object", STR_INIT("{}"), CLAIMS_OK},
        {"blanks around", STR_INIT(" {} \n"), CLAIMS_OK},
        {"array", STR_INIT("[]"), CLAIMS_MALFORMED},
        {"string", STR_INIT("\"x\""), CLAIMS_MALFORMED},
        {"null", STR_INIT("null"), CLAIMS_MALFORMED},
        {"duplicate member", STR_INIT("{\"a\":1,\"a\":1}"), CLAIMS_MALFORMED},
        {"duplicate member, escaped", STR_INIT("{\"a\":1,\"\\u0061\":1}"), CLAIMS_MALFORMED},
        {"duplicate member below", STR_INIT("{\"a\":{\"b\":1,\"b\":2}}"), CLAIMS_MALFORMED},
        {"two values", STR_INIT("{}{}"), CLAIMS_MALFORMED},
        {"NUL behind", STR_INIT("{}\0"), CLAIMS_MALFORMED},
        {"comment", STR_INIT("{/**/}"), CLAIMS_MALFORMED},
        {"comma at the end", STR_INIT("{\"a\":1,}"), CLAIMS_MALFORMED},
        {"single quotes", STR_INIT("{'a':1}"), CLAIMS_MALFORMED},
        {"NaN", STR_INIT("{\"a\":NaN}"), CLAIMS_MALFORMED},
        {"number too large", STR_INIT("{\"a\":9223372036854775808}"), CLAIMS_MALFORMED},
        {"number too small", STR_INIT("{\"a\":-9223372036854775809}"), CLAIMS_MALFORMED},
        {"largest number", STR_INIT("{\"a\":9223372036854775807}"), CLAIMS_OK},
        {"smallest number", STR_INIT("{\"a\":-9223372036854775808}"), CLAIMS_OK},
        {"number too large below", STR_INIT("{\"a\":[1,{\"b\":[\"c\",10000000000000000000]}]}"),
         CLAIMS_MALFORMED},
        {"as many digits in a string", STR_INIT("{\"a\":[1,{\"b\":[\"10000000000000000000\"]}]}"),
         CLAIMS_OK},
        {"as many digits in a name", STR_INIT("{\"a\":{\"10000000000000000000\":1}}"), CLAIMS_OK},
        {"as many digits in a real", STR_INIT("{\"a\":[10000000000000000000.0]}"), CLAIMS_OK},
        {"as many digits with an exponent", STR_INIT("{\"a\":[10000000000000000000E0]}"),
         CLAIMS_OK},
        {"real too large", STR_INIT("{\"a\":1e999}"), CLAIMS_MALFORMED},
        {"not UTF-8", STR_INIT("{\"a\":\"\xff\"}"), CLAIMS_MALFORMED},
        {"overlong UTF-8", STR_INIT("{\"a\":\"\xc0\xaf\"}"), CLAIMS_MALFORMED},
        {"lone surrogate", STR_INIT("{\"a\":\"\\ud800\"}"), CLAIMS_MALFORMED},
        {"byte order mark", STR_INIT("\xef\xbb\xbf{}"), CLAIMS_MALFORMED},
        {"UTF-16", STR_INIT("{\0}\0"), CLAIMS_MALFORMED},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct buf segment = buf_make(1024);
        struct claims_payload read = {0};
        json_t *payload = NULL;
        assert_int_equal(base64url_encode_append(texts[i].text, &segment), 0);
        enum claims_rc rc = claims_decode(buf_str(&segment), &payload);
        if (rc != texts[i].rc)
            fail_msg("%s: rc %d", texts[i].why, (int)rc);
        assert_int_equal(payload != NULL, rc == CLAIMS_OK);
        if (claims_read(texts[i].text, &read) != rc)
            fail_msg("%s, without a tree", texts[i].why);
        assert_int_equal(str_is_set(read.text), rc == CLAIMS_OK);
        json_decref(payload);
        buf_free(&segment);
    }
}

static enum claims_rc decode_nested(unsigned depth)
{
    struct buf text = buf_make(1024);
    struct buf segment = buf_make(4096);
    json_t *payload = NULL;
    (void)buf_append(&text, STR("{\"a\":"));
    for (unsigned i = 1; i < depth; i++)
        (void)buf_append_char(&text, '[');
    for (unsigned i = 1; i < depth; i++)
        (void)buf_append_char(&text, ']');
    (void)buf_append_char(&text, '}');
    assert_int_equal(base64url_encode_append(buf_str(&text), &segment), 0);
    enum claims_rc rc = claims_decode(buf_str(&segment), &payload);
    struct claims_payload read;
    assert_int_equal(claims_read(buf_str(&text), &read), rc);
    json_decref(payload);
    buf_free(&text);
    buf_free(&segment);
    return rc;
}

static void claims_have_a_limit_on_depth(void **state)
{
    (void)state;
    assert_int_equal(decode_nested(CLAIMS_MAX_DEPTH), CLAIMS_OK);
    assert_int_equal(decode_nested(CLAIMS_MAX_DEPTH + 1), CLAIMS_MALFORMED);
}

static void scope_has_compares_whole_names(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str scope;
        struct str name;
        bool has;
    } scopes[] = {
        {"alone", STR_INIT("a"), STR_INIT("a"), true},
        {"first", STR_INIT("a b c"), STR_INIT("a"), true},
        {"middle", STR_INIT("a b c"), STR_INIT("b"), true},
        {"last", STR_INIT("a b c"), STR_INIT("c"), true},
        {"prefix", STR_INIT("mcp:use"), STR_INIT("mcp"), false},
        {"suffix", STR_INIT("mcp:use"), STR_INIT("use"), false},
        {"longer", STR_INIT("mcp"), STR_INIT("mcp:use"), false},
        {"case", STR_INIT("mcp:use"), STR_INIT("MCP:use"), false},
        {"comma is no separator", STR_INIT("a,b"), STR_INIT("a"), false},
        {"tab is no separator", STR_INIT("a\tb"), STR_INIT("a"), false},
        {"name with a space", STR_INIT("a b"), STR_INIT("a b"), false},
        {"empty scope", STR_INIT(""), STR_INIT("a"), false},
        {"empty name between two SP", STR_INIT("a  b"), STR_INIT(""), false},
        {"behind two SP", STR_INIT("a  b"), STR_INIT("b"), true},
        {"absent scope", {0}, STR_INIT("a"), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        if (scope_has(scopes[i].scope, scopes[i].name) != scopes[i].has)
            fail_msg("%s", scopes[i].why);
}

static void scope_is_token_knows_the_characters_of_rfc_6749(void **state)
{
    (void)state;
    assert_false(scope_is_token(STR("")));
    assert_true(scope_is_token(STR("files:read")));
    for (unsigned c = 0; c < 256; c++) {
        const char text[] = {'a', (char)c};
        const bool allowed = c > 0x20 && c < 0x7f && c != '"' && c != '\\';
        assert_int_equal(scope_is_token(str_make(text, sizeof(text))), allowed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_check_gives_the_answer_of_the_rule),
        cmocka_unit_test(claims_check_reads_what_it_checked),
        cmocka_unit_test(claims_check_says_when_memory_is_short),
        cmocka_unit_test(claims_check_accepts_nothing_without_audiences),
        cmocka_unit_test(claims_check_clock_has_exact_limits),
        cmocka_unit_test(claims_want_one_json_object),
        cmocka_unit_test(claims_have_a_limit_on_depth),
        cmocka_unit_test(scope_has_compares_whole_names),
        cmocka_unit_test(scope_is_token_knows_the_characters_of_rfc_6749),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
