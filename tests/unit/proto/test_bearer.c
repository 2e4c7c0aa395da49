/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/bearer.h"

#include "base/err.h"
#include "support/cmocka_all.h"

static const struct {
    const char *why;
    struct str value;
    enum bearer_rc rc;
    struct str token;
} rows[] = {
    {"rule 3: plain", STR_INIT("Bearer abc"), BEARER_OK, STR_INIT("abc")},
    {"rule 3: lower case", STR_INIT("bearer abc"), BEARER_OK, STR_INIT("abc")},
    {"rule 3: upper case", STR_INIT("BEARER abc"), BEARER_OK, STR_INIT("abc")},
    {"rule 3: any case", STR_INIT("bEaReR abc"), BEARER_OK, STR_INIT("abc")},
    {"rule 3: one or more SP", STR_INIT("Bearer    abc"), BEARER_OK, STR_INIT("abc")},
    {"RFC 9110 5.5: blanks around", STR_INIT(" \tBearer abc \t"), BEARER_OK, STR_INIT("abc")},
    {"every b64token character", STR_INIT("Bearer azAZ09-._~+/=="), BEARER_OK,
     STR_INIT("azAZ09-._~+/==")},
    {"one character", STR_INIT("Bearer x"), BEARER_OK, STR_INIT("x")},
    {"a compact JWS", STR_INIT("Bearer eyJ.eyJ.c2ln"), BEARER_OK, STR_INIT("eyJ.eyJ.c2ln")},

    {"rule 2: Basic", STR_INIT("Basic dXNlcjpwYXNz"), BEARER_OTHER_SCHEME, {0}},
    {"rule 2: DPoP", STR_INIT("DPoP eyJ.eyJ.c2ln"), BEARER_OTHER_SCHEME, {0}},
    {"empty value", STR_INIT(""), BEARER_OTHER_SCHEME, {0}},
    {"blanks only", STR_INIT("  \t "), BEARER_OTHER_SCHEME, {0}},
    {"a longer scheme", STR_INIT("Bearerx abc"), BEARER_OTHER_SCHEME, {0}},
    {"a longer scheme with a dash", STR_INIT("Bearer-x abc"), BEARER_OTHER_SCHEME, {0}},
    {"a shorter scheme", STR_INIT("Beare abc"), BEARER_OTHER_SCHEME, {0}},
    {"a token without a scheme", STR_INIT("eyJ.eyJ.c2ln"), BEARER_OTHER_SCHEME, {0}},
    {"look-alike scheme", STR_INIT("Be\xd0\xb0rer abc"), BEARER_OTHER_SCHEME, {0}},
    {"quoted scheme", STR_INIT("\"Bearer\" abc"), BEARER_OTHER_SCHEME, {0}},

    {"no token", STR_INIT("Bearer"), BEARER_MALFORMED, {0}},
    {"no token behind SP", STR_INIT("Bearer "), BEARER_MALFORMED, {0}},
    {"no token behind many SP", STR_INIT("Bearer      "), BEARER_MALFORMED, {0}},
    {"HTAB instead of SP", STR_INIT("Bearer\tabc"), BEARER_MALFORMED, {0}},
    {"HTAB behind SP", STR_INIT("Bearer \tabc"), BEARER_MALFORMED, {0}},
    {"colon", STR_INIT("Bearer: abc"), BEARER_MALFORMED, {0}},
    {"equals sign", STR_INIT("Bearer=abc"), BEARER_MALFORMED, {0}},
    {"padding only", STR_INIT("Bearer =="), BEARER_MALFORMED, {0}},
    {"padding inside", STR_INIT("Bearer a=b"), BEARER_MALFORMED, {0}},
    {"two tokens", STR_INIT("Bearer abc def"), BEARER_MALFORMED, {0}},
    {"two credentials in one value", STR_INIT("Bearer abc, Bearer def"), BEARER_MALFORMED, {0}},
    {"comma behind", STR_INIT("Bearer abc,"), BEARER_MALFORMED, {0}},
    {"quoted token", STR_INIT("Bearer \"abc\""), BEARER_MALFORMED, {0}},
    {"parameters", STR_INIT("Bearer token=\"abc\""), BEARER_MALFORMED, {0}},
    {"NUL and more", STR_INIT("Bearer good\0evil"), BEARER_MALFORMED, {0}},
    {"NUL at the end", STR_INIT("Bearer good\0"), BEARER_MALFORMED, {0}},
    {"NUL behind the scheme", STR_INIT("Bearer\0abc"), BEARER_MALFORMED, {0}},
    {"CR", STR_INIT("Bearer good\r"), BEARER_MALFORMED, {0}},
    {"LF", STR_INIT("Bearer good\nX: y"), BEARER_MALFORMED, {0}},
    {"semicolon", STR_INIT("Bearer abc;v=1"), BEARER_MALFORMED, {0}},
    {"percent", STR_INIT("Bearer abc%20"), BEARER_MALFORMED, {0}},
    {"non-ASCII", STR_INIT("Bearer ab\xc3\xa9"), BEARER_MALFORMED, {0}},
    {"DEL", STR_INIT("Bearer abc\x7f"), BEARER_MALFORMED, {0}},
};

static void bearer_parse_gives_the_documented_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str token = {0};
        enum bearer_rc rc = bearer_parse(rows[i].value, &token);
        if (rc != rows[i].rc || !str_eq(token, rows[i].token))
            fail_msg("%s: rc %d, token '%.*s'", rows[i].why, (int)rc, STR_ARG(token));
        assert_int_equal(str_is_set(token), rc == BEARER_OK);
    }
}

static void bearer_parse_accepts_exactly_the_b64token_characters(void **state)
{
    (void)state;
    unsigned accepted = 0;
    for (unsigned c = 0; c < 256; c++) {
        const char value[] = {'B', 'e', 'a', 'r', 'e', 'r', ' ', (char)c, 'a'};
        struct str token;
        accepted +=
            bearer_parse(str_make(value, sizeof(value)), &token) == BEARER_OK && token.len == 2;
    }
    assert_int_equal(accepted, 26 + 26 + 10 + 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bearer_parse_gives_the_documented_answer),
        cmocka_unit_test(bearer_parse_accepts_exactly_the_b64token_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
