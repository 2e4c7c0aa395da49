/* SPDX-License-Identifier: Apache-2.0 */
/* Project Wycheproof's vectors for JWS and RSA (github.com/C2SP/wycheproof, testvectors_v1), run
 * when PORTCULLIS_WYCHEPROOF names the folder; third-party vectors are not part of this tree. */
#include <glob.h>

#include "auth/keyset.h"
#include "base/err.h"
#include "proto/jws.h"
#include "support/cmocka_all.h"
#include "support/mint.h"

static const struct str algorithms[] = {
    STR_INIT("RS256"), STR_INIT("RS384"), STR_INIT("RS512"),
    STR_INIT("PS256"), STR_INIT("PS384"), STR_INIT("PS512"),
};

struct tally {
    unsigned tests;
    unsigned accepted;
    unsigned right;
    unsigned outside; /* valid, but not what an RSA-only resource server takes */
};

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (root == NULL)
        fail_msg("%s: %s", path, error.text);
    return root;
}

static struct keyset *keyset_of(const json_t *jwk)
{
    struct buf document = buf_make(MINT_MAX_BYTES);
    struct keyset_report report;
    struct keyset *keyset = NULL;
    (void)buf_append(&document, STR("{\"keys\":["));
    assert_int_equal(json_write(jwk, 0, &document), 0);
    (void)buf_append(&document, STR("]}"));
    (void)keyset_parse(buf_str(&document), algorithms, ARRAY_LEN(algorithms), 0, &report, &keyset);
    buf_free(&document);
    return keyset;
}

/* The way of a token up to its signature: split, header, key by kid, verify. */
static bool accepts(struct jws_verifier *verifier, const struct keyset *keyset, struct str token)
{
    struct jws_parts parts;
    CLEANUP(jws_header_clear) struct jws_header header = {0};
    if (keyset == NULL || jws_split(token, &parts) != JWS_OK ||
        jws_header_read(parts.header, &header) != JWS_OK)
        return false;
    const struct jwk *key = keyset_find(keyset, header.kid);
    return key != NULL && jws_verify(verifier, &parts, header.alg, key) == JWS_OK;
}

/* Valid vectors that must be refused here: other kinds of key, a payload of no bytes (rule 7), and
 * a key that names another algorithm than the token (RFC 8725 3.1; 2 of the RFC 7520 vectors). */
static bool is_outside(const json_t *jwk, struct str token)
{
    struct jws_parts parts;
    CLEANUP(jws_header_clear) struct jws_header header = {0};
    if (!str_eq(json_get_str(jwk, "kty"), STR("RSA")))
        return true;
    if (jws_split(token, &parts) != JWS_OK)
        return strstr(token.ptr, "..") != NULL;
    const struct str alg = json_get_str(jwk, "alg");
    return jws_header_read(parts.header, &header) == JWS_OK && str_is_set(alg) &&
           !str_eq(alg, jws_alg_name(header.alg));
}

/* The public half; the groups with a symmetric key have only one. */
static const json_t *group_key(const json_t *group)
{
    const json_t *key = json_object_get(group, "public");
    return key != NULL ? key : json_object_get(group, "private");
}

static void run_jws_group(struct jws_verifier *verifier, const json_t *group, struct tally *tally)
{
    const json_t *jwk = group_key(group);
    struct keyset *keyset = keyset_of(jwk);
    const json_t *test;
    size_t i;
    json_array_foreach (json_object_get(group, "tests"), i, test) {
        const struct str token = json_get_str(test, "jws");
        const bool valid = str_eq(json_get_str(test, "result"), STR("valid"));
        const bool outside = valid && is_outside(jwk, token);
        const bool accepted = accepts(verifier, keyset, token);
        tally->tests++;
        tally->accepted += accepted;
        tally->outside += outside;
        if (accepted == (valid && !outside))
            tally->right++;
        else
            print_message("tcId %d (%s): %s\n",
                          (int)json_integer_value(json_object_get(test, "tcId")),
                          json_string_value(json_object_get(test, "comment")),
                          accepted ? "accepted" : "refused");
    }
    keyset_unref(keyset);
}

static void print_tally(const char *what, const struct tally *tally)
{
    print_message("%s: %u of %u right, %u accepted, %u valid but outside\n", what, tally->right,
                  tally->tests, tally->accepted, tally->outside);
}

static void wycheproof_json_web_signatures_get_the_right_verdict(void **state)
{
    const char *folder = getenv("PORTCULLIS_WYCHEPROOF");
    char path[4096];
    struct tally tally = {0};
    if (folder == NULL)
        skip();
    (void)snprintf(path, sizeof(path), "%s/json_web_signature_test.json", folder);
    CLEANUP(json_unref) json_t *root = load(path);
    const json_t *groups = json_object_get(root, "testGroups");
    for (size_t i = 0; i < json_array_size(groups); i++)
        run_jws_group(*state, json_array_get(groups, i), &tally);
    print_tally("JWS", &tally);
    assert_true(tally.tests > 0);
    assert_int_equal(tally.right, tally.tests);
}

static unsigned hex_value(char c)
{
    return ascii_is_digit(c) ? (unsigned)(c - '0') : (unsigned)(ascii_lower(c) - 'a') + 10;
}

static void decode_hex(struct str hex, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i + 1 < hex.len; i += 2)
        (void)buf_append_char(out, (char)(hex_value(hex.ptr[i]) << 4 | hex_value(hex.ptr[i + 1])));
}

/* The group's key as a JWK; NULL for the digests and salts that no JWS algorithm has. */
static const json_t *raw_group_key(const json_t *group)
{
    const json_t *key = json_object_get(group, "keyJwk");
    return key != NULL ? key : json_object_get(group, "publicKeyJwk");
}

static void run_raw_group(struct jws_verifier *verifier, const json_t *group, struct tally *tally)
{
    const json_t *jwk = raw_group_key(group);
    /* Groups with e = 3 have no usable key here (rule 14): everything in them is refused. */
    const bool small_exponent = str_eq(json_get_str(jwk, "e"), STR("Aw"));
    struct keyset *keyset = keyset_of(jwk);
    const struct jwk *key = keyset != NULL ? keyset_find(keyset, json_get_str(jwk, "kid")) : NULL;
    struct buf bytes = buf_make(MINT_MAX_BYTES);
    struct buf signature = buf_make(MINT_MAX_BYTES);
    const json_t *test;
    enum jws_alg alg;
    size_t i;
    assert_int_equal(key == NULL, small_exponent);
    assert_true(jws_alg_find(json_get_str(jwk, "alg"), &alg));
    json_array_foreach (json_object_get(group, "tests"), i, test) {
        const bool valid = str_eq(json_get_str(test, "result"), STR("valid"));
        struct jws_parts parts = {0};
        decode_hex(json_get_str(test, "sig"), &bytes);
        buf_clear(&signature);
        (void)base64url_encode_append(buf_str(&bytes), &signature);
        decode_hex(json_get_str(test, "msg"), &bytes);
        parts.signature = buf_str(&signature);
        parts.signed_bytes = buf_str(&bytes);
        const bool accepted = key != NULL && jws_verify(verifier, &parts, alg, key) == JWS_OK;
        tally->tests++;
        tally->accepted += accepted;
        tally->outside += valid && small_exponent;
        /* "acceptable" leaves the choice: the legacy leniency (a missing NULL) is refused. */
        tally->right += accepted == (valid && !small_exponent);
    }
    buf_free(&bytes);
    buf_free(&signature);
    keyset_unref(keyset);
}

static void wycheproof_rsa_signatures_get_the_right_verdict(void **state)
{
    const char *folder = getenv("PORTCULLIS_WYCHEPROOF");
    char pattern[4096];
    glob_t files;
    struct tally tally = {0};
    if (folder == NULL)
        skip();
    (void)snprintf(pattern, sizeof(pattern), "%s/rsa_*_test.json", folder);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t f = 0; f < files.gl_pathc; f++) {
        CLEANUP(json_unref) json_t *root = load(files.gl_pathv[f]);
        const json_t *groups = json_object_get(root, "testGroups");
        for (size_t i = 0; i < json_array_size(groups); i++)
            if (raw_group_key(json_array_get(groups, i)) != NULL)
                run_raw_group(*state, json_array_get(groups, i), &tally);
    }
    globfree(&files);
    print_tally("RSA", &tally);
    assert_true(tally.tests > 0);
    assert_int_equal(tally.right, tally.tests);
}

static int make_verifier(void **state)
{
    *state = jws_verifier_make();
    return *state == NULL ? -1 : 0;
}

static int free_verifier(void **state)
{
    *state = jws_verifier_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wycheproof_json_web_signatures_get_the_right_verdict),
        cmocka_unit_test(wycheproof_rsa_signatures_get_the_right_verdict),
    };
    return cmocka_run_group_tests(tests, make_verifier, free_verifier);
}
