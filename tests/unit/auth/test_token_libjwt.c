/* SPDX-License-Identifier: Apache-2.0 */
/* libjwt as a second opinion, for typ JWT and trusted input only: what it signs passes our check,
 * what we hold for good it verifies, and a wrong key is wrong to both. */
#include <jwt.h>

#include "support/cmocka_all.h"
#include "support/token_fixture.h"

/* The text of tests/data/keys/NAME.pem. */
static size_t load_private_pem(const char *name, char *ret_text, size_t cap)
{
    char path[512];
    (void)snprintf(path, sizeof(path), SOURCE_DIR "/tests/data/keys/%s.pem", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(ret_text, 1, cap - 1, file);
    (void)fclose(file);
    ret_text[len] = '\0';
    return len;
}

/* A legacy-profile token signed by libjwt with the key NAME. */
static char *sign_with_libjwt(const char *name)
{
    char pem[4096];
    jwt_t *jwt = NULL;
    const size_t len = load_private_pem(name, pem, sizeof(pem));
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grants_json(jwt, LEGACY_PAYLOAD), 0);
    assert_int_equal(jwt_add_header(jwt, "kid", "key-1"), 0);
    assert_int_equal(jwt_set_alg(jwt, JWT_ALG_RS256, (const unsigned char *)pem, (int)len), 0);
    char *token = jwt_encode_str(jwt);
    assert_non_null(token);
    jwt_free(jwt);
    return token;
}

static int decode_with_libjwt(const struct buf *token, const char *name)
{
    char pem[4096];
    jwt_t *jwt = NULL;
    const size_t len = mint_load_public_pem(name, pem, sizeof(pem));
    char *text = str_to_cstr(buf_str(token));
    int r = jwt_decode(&jwt, text, (const unsigned char *)pem, (int)len);
    if (r == 0)
        assert_string_equal(jwt_get_grant(jwt, "sub"), "auth0|64f");
    jwt_free(jwt);
    free(text);
    return r;
}

static void token_check_accepts_what_libjwt_signs(void **state)
{
    const struct token_fixture *f = *state;
    char *good = sign_with_libjwt("signer");
    char *bad = sign_with_libjwt("attacker");
    assert_int_equal(fixture_check(&f->context, str_from_cstr(good)), TOKEN_OK);
    assert_int_equal(fixture_check(&f->context, str_from_cstr(bad)), TOKEN_SIGNATURE);
    free(good);
    free(bad);
}

static void libjwt_verifies_what_token_check_accepts(void **state)
{
    const struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    struct buf token = buf_make(MINT_MAX_BYTES);
    mint_token(&token, HEADER, LEGACY_PAYLOAD, &signer);
    assert_int_equal(fixture_check(&f->context, buf_str(&token)), TOKEN_OK);
    assert_int_equal(decode_with_libjwt(&token, "signer"), 0);
    assert_int_not_equal(decode_with_libjwt(&token, "attacker"), 0);
    token.ptr[token.len - 10] = token.ptr[token.len - 10] == 'A' ? 'B' : 'A';
    assert_int_equal(fixture_check(&f->context, buf_str(&token)), TOKEN_SIGNATURE);
    assert_int_not_equal(decode_with_libjwt(&token, "signer"), 0);
    buf_free(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_check_accepts_what_libjwt_signs),
        cmocka_unit_test(libjwt_verifies_what_token_check_accepts),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
