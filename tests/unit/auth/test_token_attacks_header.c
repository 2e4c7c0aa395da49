/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks by way of the JOSE header: algorithms, confusion, injected keys, kid, crit, typ, JSON.
 * Unless a row says otherwise its header is signed correctly with RS256 by key-1, so that the
 * header alone is the fault. */
#include "support/cmocka_all.h"
#include "support/token_fixture.h"

#include <openssl/hmac.h>

#define ALG(value) "{\"alg\":" value ",\"typ\":\"JWT\",\"kid\":\"key-1\"}"
#define TYP(value) "{\"alg\":\"RS256\",\"typ\":" value ",\"kid\":\"key-1\"}"
#define KID(value) "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":" value "}"
#define MORE(members) "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"key-1\"," members "}"
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256 X64 X64 X64 X64

static const struct {
    const char *why;
    struct str header;
    enum token_rc rc;
} rows[] = {
    {"10: none", STR_INIT(ALG("\"none\"")), TOKEN_ALG},
    {"10: None", STR_INIT(ALG("\"None\"")), TOKEN_ALG},
    {"10: NONE", STR_INIT(ALG("\"NONE\"")), TOKEN_ALG},
    {"10: nOnE", STR_INIT(ALG("\"nOnE\"")), TOKEN_ALG},
    {"10: none with a blank", STR_INIT(ALG("\"none \"")), TOKEN_ALG},
    {"10: empty", STR_INIT(ALG("\"\"")), TOKEN_ALG},
    {"10: missing", STR_INIT("{\"typ\":\"JWT\",\"kid\":\"key-1\"}"), TOKEN_ALG},
    {"10: null", STR_INIT(ALG("null")), TOKEN_ALG},
    {"10: true", STR_INIT(ALG("true")), TOKEN_ALG},
    {"10: false", STR_INIT(ALG("false")), TOKEN_ALG},
    {"10: 0", STR_INIT(ALG("0")), TOKEN_ALG},
    {"10: 256", STR_INIT(ALG("256")), TOKEN_ALG},
    {"10: array", STR_INIT(ALG("[\"RS256\"]")), TOKEN_ALG},
    {"10: array of two", STR_INIT(ALG("[\"none\",\"RS256\"]")), TOKEN_ALG},
    {"10: object", STR_INIT(ALG("{\"RS256\":true}")), TOKEN_ALG},
    {"10: lower case", STR_INIT(ALG("\"rs256\"")), TOKEN_ALG},
    {"10: mixed case", STR_INIT(ALG("\"Rs256\"")), TOKEN_ALG},
    {"10: blank behind", STR_INIT(ALG("\"RS256 \"")), TOKEN_ALG},
    {"10: blank before", STR_INIT(ALG("\" RS256\"")), TOKEN_ALG},
    {"10: line end behind", STR_INIT(ALG("\"RS256\\n\"")), TOKEN_ALG},
    {"10: NUL behind", STR_INIT(ALG("\"RS256\\u0000\"")), TOKEN_ALG},
    {"10: NUL and none behind", STR_INIT(ALG("\"RS256\\u0000none\"")), TOKEN_ALG},
    {"10: cut", STR_INIT(ALG("\"RS25\"")), TOKEN_ALG},
    {"10: longer", STR_INIT(ALG("\"RS2560\"")), TOKEN_ALG},
    {"10: full-width letters", STR_INIT(ALG("\"\\uff32\\uff33256\"")), TOKEN_ALG},
    {"10: zero width space", STR_INIT(ALG("\"RS256\\u200b\"")), TOKEN_ALG},
    {"10: list in one string", STR_INIT(ALG("\"none,RS256\"")), TOKEN_ALG},
    {"10: RS384, not in the policy", STR_INIT(ALG("\"RS384\"")), TOKEN_ALG},
    {"10: RS512, not in the policy", STR_INIT(ALG("\"RS512\"")), TOKEN_ALG},
    {"10: PS256, not in the policy", STR_INIT(ALG("\"PS256\"")), TOKEN_ALG},
    {"10: PS384, not in the policy", STR_INIT(ALG("\"PS384\"")), TOKEN_ALG},
    {"10: PS512, not in the policy", STR_INIT(ALG("\"PS512\"")), TOKEN_ALG},
    {"10: RS1", STR_INIT(ALG("\"RS1\"")), TOKEN_ALG},
    {"10: RS224", STR_INIT(ALG("\"RS224\"")), TOKEN_ALG},
    {"10: HS256", STR_INIT(ALG("\"HS256\"")), TOKEN_ALG},
    {"10: HS384", STR_INIT(ALG("\"HS384\"")), TOKEN_ALG},
    {"10: HS512", STR_INIT(ALG("\"HS512\"")), TOKEN_ALG},
    {"10: ES256", STR_INIT(ALG("\"ES256\"")), TOKEN_ALG},
    {"10: ES384", STR_INIT(ALG("\"ES384\"")), TOKEN_ALG},
    {"10: ES512", STR_INIT(ALG("\"ES512\"")), TOKEN_ALG},
    {"10: ES256K", STR_INIT(ALG("\"ES256K\"")), TOKEN_ALG},
    {"10: EdDSA", STR_INIT(ALG("\"EdDSA\"")), TOKEN_ALG},
    {"10: Ed25519", STR_INIT(ALG("\"Ed25519\"")), TOKEN_ALG},
    {"10: ML-DSA-65", STR_INIT(ALG("\"ML-DSA-65\"")), TOKEN_ALG},
    {"10: RSA-OAEP", STR_INIT(ALG("\"RSA-OAEP\"")), TOKEN_ALG},
    {"10: RSA1_5", STR_INIT(ALG("\"RSA1_5\"")), TOKEN_ALG},
    {"10: dir", STR_INIT(ALG("\"dir\"")), TOKEN_ALG},
    {"10: XML URI", STR_INIT(ALG("\"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256\"")),
     TOKEN_ALG},
    {"10: OID", STR_INIT(ALG("\"1.2.840.113549.1.1.11\"")), TOKEN_ALG},
    {"10: sha256WithRSAEncryption", STR_INIT(ALG("\"sha256WithRSAEncryption\"")), TOKEN_ALG},
    {"10: the key in upper case", STR_INIT("{\"ALG\":\"RS256\",\"kid\":\"key-1\"}"), TOKEN_ALG},
    {"10: alg below", STR_INIT("{\"x\":{\"alg\":\"RS256\"},\"kid\":\"key-1\"}"), TOKEN_ALG},

    {"11: an ID token's typ", STR_INIT(TYP("\"id_token\"")), TOKEN_TYP},
    {"11: logout token", STR_INIT(TYP("\"logout+jwt\"")), TOKEN_TYP},
    {"11: DPoP proof", STR_INIT(TYP("\"dpop+jwt\"")), TOKEN_TYP},
    {"11: secevent", STR_INIT(TYP("\"secevent+jwt\"")), TOKEN_TYP},
    {"11: request object", STR_INIT(TYP("\"oauth-authz-req+jwt\"")), TOKEN_TYP},
    {"11: client assertion", STR_INIT(TYP("\"client-authentication+jwt\"")), TOKEN_TYP},
    {"11: verifiable credential", STR_INIT(TYP("\"vc+sd-jwt\"")), TOKEN_TYP},
    {"11: introspection", STR_INIT(TYP("\"token-introspection+jwt\"")), TOKEN_TYP},
    {"11: JOSE", STR_INIT(TYP("\"JOSE\"")), TOKEN_TYP},
    {"11: JOSE+JSON", STR_INIT(TYP("\"JOSE+JSON\"")), TOKEN_TYP},
    {"11: JWE", STR_INIT(TYP("\"JWE\"")), TOKEN_TYP},
    {"11: application/jwt", STR_INIT(TYP("\"application/jwt\"")), TOKEN_TYP},
    {"11: with parameters", STR_INIT(TYP("\"at+jwt;v=1\"")), TOKEN_TYP},
    {"11: blank behind", STR_INIT(TYP("\"JWT \"")), TOKEN_TYP},
    {"11: NUL behind", STR_INIT(TYP("\"at+jwt\\u0000\"")), TOKEN_TYP},
    {"11: empty", STR_INIT(TYP("\"\"")), TOKEN_TYP},
    {"11: null", STR_INIT(TYP("null")), TOKEN_TYP},
    {"11: number", STR_INIT(TYP("1")), TOKEN_TYP},
    {"11: array", STR_INIT(TYP("[\"JWT\"]")), TOKEN_TYP},
    {"11: object", STR_INIT(TYP("{}")), TOKEN_TYP},

    {"12: crit with exp", STR_INIT(MORE("\"crit\":[\"exp\"]")), TOKEN_CRIT},
    {"12: crit empty", STR_INIT(MORE("\"crit\":[]")), TOKEN_CRIT},
    {"12: crit null", STR_INIT(MORE("\"crit\":null")), TOKEN_CRIT},
    {"12: crit false", STR_INIT(MORE("\"crit\":false")), TOKEN_CRIT},
    {"12: crit a string", STR_INIT(MORE("\"crit\":\"b64\"")), TOKEN_CRIT},
    {"12: crit naming a member that is missing", STR_INIT(MORE("\"crit\":[\"x\"]")), TOKEN_CRIT},
    {"12: crit naming alg", STR_INIT(MORE("\"crit\":[\"alg\"]")), TOKEN_CRIT},
    {"12: crit with b64 (RFC 7797)", STR_INIT(MORE("\"crit\":[\"b64\"],\"b64\":false")),
     TOKEN_CRIT},
    {"12: b64 false", STR_INIT(MORE("\"b64\":false")), TOKEN_CRIT},
    {"12: b64 true", STR_INIT(MORE("\"b64\":true")), TOKEN_CRIT},
    {"12: b64 null", STR_INIT(MORE("\"b64\":null")), TOKEN_CRIT},
    {"12: crit spelled with an escape", STR_INIT(MORE("\"cr\\u0069t\":[\"exp\"]")), TOKEN_CRIT},

    {"13: kid missing", STR_INIT("{\"alg\":\"RS256\",\"typ\":\"JWT\"}"), TOKEN_KID},
    {"13: empty", STR_INIT(KID("\"\"")), TOKEN_KID},
    {"13: null", STR_INIT(KID("null")), TOKEN_KID},
    {"13: number", STR_INIT(KID("1")), TOKEN_KID},
    {"13: bool", STR_INIT(KID("true")), TOKEN_KID},
    {"13: array", STR_INIT(KID("[\"key-1\"]")), TOKEN_KID},
    {"13: object", STR_INIT(KID("{\"kid\":\"key-1\"}")), TOKEN_KID},
    {"13: 256 bytes", STR_INIT(KID("\"" X256 "\"")), TOKEN_UNKNOWN_KEY},
    {"13: 257 bytes", STR_INIT(KID("\"" X256 "x\"")), TOKEN_KID},
    {"13: unknown", STR_INIT(KID("\"key-3\"")), TOKEN_UNKNOWN_KEY},
    {"13: another case", STR_INIT(KID("\"KEY-1\"")), TOKEN_UNKNOWN_KEY},
    {"13: cut", STR_INIT(KID("\"key-\"")), TOKEN_UNKNOWN_KEY},
    {"13: longer", STR_INIT(KID("\"key-10\"")), TOKEN_UNKNOWN_KEY},
    {"13: blank behind", STR_INIT(KID("\"key-1 \"")), TOKEN_UNKNOWN_KEY},
    {"13: NUL behind", STR_INIT(KID("\"key-1\\u0000\"")), TOKEN_UNKNOWN_KEY},
    {"13: NUL and more", STR_INIT(KID("\"key-1\\u0000../../dev/null\"")), TOKEN_UNKNOWN_KEY},
    {"13: path to nothing", STR_INIT(KID("\"../../../../dev/null\"")), TOKEN_UNKNOWN_KEY},
    {"13: file URL", STR_INIT(KID("\"file:///dev/null\"")), TOKEN_UNKNOWN_KEY},
    {"13: web URL", STR_INIT(KID("\"https://evil.example/jwks.json\"")), TOKEN_UNKNOWN_KEY},
    {"13: SQL", STR_INIT(KID("\"x' UNION SELECT 'key' -- \"")), TOKEN_UNKNOWN_KEY},
    {"13: shell", STR_INIT(KID("\"key-1|whoami\"")), TOKEN_UNKNOWN_KEY},
    {"13: LDAP", STR_INIT(KID("\"*)(kid=*\"")), TOKEN_UNKNOWN_KEY},
    {"13: format string", STR_INIT(KID("\"%s%n%s%n\"")), TOKEN_UNKNOWN_KEY},
    {"13: a glob", STR_INIT(KID("\"key-*\"")), TOKEN_UNKNOWN_KEY},
    {"13: an index", STR_INIT(KID("\"0\"")), TOKEN_UNKNOWN_KEY},
    {"13: __proto__", STR_INIT(KID("\"__proto__\"")), TOKEN_UNKNOWN_KEY},
    {"13: CR LF", STR_INIT(KID("\"key-1\\r\\nX: y\"")), TOKEN_UNKNOWN_KEY},
    {"13: the other key of the issuer", STR_INIT(KID("\"key-2\"")), TOKEN_SIGNATURE},

    {"9: array", STR_INIT("[\"RS256\"]"), TOKEN_HEADER},
    {"9: string", STR_INIT("\"RS256\""), TOKEN_HEADER},
    {"9: number", STR_INIT("1"), TOKEN_HEADER},
    {"9: null", STR_INIT("null"), TOKEN_HEADER},
    {"9: a blank", STR_INIT(" "), TOKEN_HEADER},
    {"9: not JSON", STR_INIT("alg=RS256"), TOKEN_HEADER},
    {"9: cut off", STR_INIT("{\"alg\":\"RS256\",\"kid\":\"key-1\""), TOKEN_HEADER},
    {"9: something behind", STR_INIT(HEADER "x"), TOKEN_HEADER},
    {"9: two objects", STR_INIT(HEADER HEADER), TOKEN_HEADER},
    {"9: NUL behind", STR_INIT(HEADER "\0"), TOKEN_HEADER},
    {"9: NUL and none behind", STR_INIT(HEADER "\0{\"alg\":\"none\"}"), TOKEN_HEADER},
    {"9: byte order mark", STR_INIT("\xef\xbb\xbf" HEADER), TOKEN_HEADER},
    {"9: duplicate alg, bad last", STR_INIT(MORE("\"alg\":\"none\"")), TOKEN_HEADER},
    {"9: duplicate alg, equal", STR_INIT(MORE("\"alg\":\"RS256\"")), TOKEN_HEADER},
    {"9: duplicate alg by escape", STR_INIT(MORE("\"\\u0061lg\":\"none\"")), TOKEN_HEADER},
    {"9: duplicate kid", STR_INIT(MORE("\"kid\":\"key-2\"")), TOKEN_HEADER},
    {"9: duplicate typ", STR_INIT(MORE("\"typ\":\"at+jwt\"")), TOKEN_HEADER},
    {"9: duplicate of an unknown member", STR_INIT(MORE("\"x\":1,\"x\":1")), TOKEN_HEADER},
    {"9: duplicate below", STR_INIT(MORE("\"x\":{\"y\":1,\"y\":1}")), TOKEN_HEADER},
    {"9: comment", STR_INIT("{/**/\"alg\":\"RS256\",\"kid\":\"key-1\"}"), TOKEN_HEADER},
    {"9: comma behind", STR_INIT("{\"alg\":\"RS256\",\"kid\":\"key-1\",}"), TOKEN_HEADER},
    {"9: single quotes", STR_INIT("{'alg':'RS256','kid':'key-1'}"), TOKEN_HEADER},
    {"9: bare keys", STR_INIT("{alg:\"RS256\",kid:\"key-1\"}"), TOKEN_HEADER},
    {"9: NaN", STR_INIT(MORE("\"x\":NaN")), TOKEN_HEADER},
    {"9: control byte in a string", STR_INIT(MORE("\"x\":\"\x01\"")), TOKEN_HEADER},
    {"9: NUL in a key", STR_INIT(MORE("\"x\\u0000\":1")), TOKEN_HEADER},
    {"9: invalid UTF-8", STR_INIT(MORE("\"x\":\"\xff\"")), TOKEN_HEADER},
    {"9: overlong UTF-8", STR_INIT(MORE("\"x\":\"\xc0\x80\"")), TOKEN_HEADER},
    {"9: CESU surrogates", STR_INIT(MORE("\"x\":\"\xed\xa0\x80\"")), TOKEN_HEADER},
    {"9: lone surrogate escape", STR_INIT(MORE("\"x\":\"\\udfff\"")), TOKEN_HEADER},
    {"9: UTF-16", STR_INIT("{\0\"\0a\0\"\0}\0"), TOKEN_HEADER},
    {"9: number out of range", STR_INIT(MORE("\"x\":1e9999")), TOKEN_HEADER},
    {"9: too deep", STR_INIT(MORE("\"x\":[[[[[[[[[[1]]]]]]]]]]")), TOKEN_HEADER},
};

static void token_check_refuses_attacks_in_the_header(void **state)
{
    struct token_fixture *f = *state;
    const struct mint_signer signer = {.key = f->signer};
    static const char *const payloads[] = {LEGACY_PAYLOAD, RFC9068_PAYLOAD};
    struct buf token = buf_make(MINT_MAX_BYTES);
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(payloads); i++) {
        const char *payload = payloads[i % ARRAY_LEN(payloads)];
        const size_t row = i / ARRAY_LEN(payloads);
        mint_token_bytes(&token, rows[row].header, str_from_cstr(payload), &signer);
        enum token_rc rc = fixture_check(&f->context, buf_str(&token));
        if (rc != rows[row].rc)
            fail_msg("%s: %s", rows[row].why, token_rc_name(rc));
        count++;
    }
    print_message("%u attacks\n", count);
    buf_free(&token);
}

/* Puts an HMAC keyed with SECRET behind header and payload. */
static void append_hmac(struct buf *token, const char *digest, struct str secret)
{
    unsigned char mac[64];
    unsigned int len = sizeof(mac);
    const struct str bytes = buf_str(token);
    assert_non_null(HMAC(EVP_get_digestbyname(digest), secret.ptr, (int)secret.len,
                         (const unsigned char *)bytes.ptr, bytes.len, mac, &len));
    (void)buf_append_char(token, '.');
    assert_int_equal(base64url_encode_append(str_make((char *)mac, len), token), 0);
}

/* The classic: the public key, in every form that a library may keep it in, as an HMAC secret. */
static void token_check_refuses_the_public_key_as_hmac_secret(void **state)
{
    struct token_fixture *f = *state;
    static const struct {
        const char *digest;
        const char *header;
        enum token_rc rc;
    } algorithms[] = {
        {"SHA256", ALG("\"HS256\""), TOKEN_ALG},
        {"SHA384", ALG("\"HS384\""), TOKEN_ALG},
        {"SHA512", ALG("\"HS512\""), TOKEN_ALG},
        {"SHA256", ALG("\"RS256\""), TOKEN_SIGNATURE},
        {"SHA512", ALG("\"RS256\""), TOKEN_SIGNATURE},
        {"SHA256", ALG("\"none\""), TOKEN_ALG},
    };
    char pem[1024];
    const size_t pem_len = mint_load_public_pem("signer", pem, sizeof(pem));
    unsigned char *der = NULL;
    const int der_len = i2d_PUBKEY(f->signer, &der);
    struct buf jwk = buf_make(4096);
    struct buf modulus = buf_make(4096);
    mint_append_jwk(&jwk, f->signer, "key-1", "");
    mint_append_number(&modulus, f->signer, OSSL_PKEY_PARAM_RSA_N);
    const struct str secrets[] = {
        str_make(pem, pem_len),
        str_make(pem, pem_len - 1),
        str_make((char *)der, (size_t)der_len),
        buf_str(&jwk),
        buf_str(&modulus),
        STR("key-1"),
        STR(""),
        STR("secret"),
    };
    struct buf token = buf_make(MINT_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(algorithms) * ARRAY_LEN(secrets); i++) {
        const size_t a = i / ARRAY_LEN(secrets);
        buf_clear(&token);
        (void)base64url_encode_append(str_from_cstr(algorithms[a].header), &token);
        (void)buf_append_char(&token, '.');
        (void)base64url_encode_append(STR(LEGACY_PAYLOAD), &token);
        append_hmac(&token, algorithms[a].digest, secrets[i % ARRAY_LEN(secrets)]);
        assert_int_equal(fixture_check(&f->context, buf_str(&token)), algorithms[a].rc);
    }
    print_message("%zu attacks\n", ARRAY_LEN(algorithms) * ARRAY_LEN(secrets));
    OPENSSL_free(der);
    buf_free(&jwk);
    buf_free(&modulus);
    buf_free(&token);
}

/* The attacker signs and brings the key along, in every member made for it. */
static void token_check_never_uses_a_key_from_the_header(void **state)
{
    struct token_fixture *f = *state;
    static const struct {
        const char *why;
        const char *before;
        const char *after;
        enum token_rc rc;
    } injections[] = {
        {"jwk", "\"kid\":\"key-1\",\"jwk\":", "", TOKEN_SIGNATURE},
        {"jwk without kid", "\"jwk\":", "", TOKEN_KID},
        {"jwk with a kid of its own", "\"kid\":\"evil\",\"jwk\":", "", TOKEN_UNKNOWN_KEY},
        {"jku", "\"kid\":\"key-1\",\"jku\":\"https://evil.example/jwks.json\",\"x\":", "",
         TOKEN_SIGNATURE},
        {"jku on the issuer's host",
         "\"kid\":\"evil\",\"jku\":\"" ISSUER "@evil.example/jwks.json\",\"x\":", "",
         TOKEN_UNKNOWN_KEY},
        {"jku file", "\"kid\":\"key-1\",\"jku\":\"file:///etc/passwd\",\"x\":", "",
         TOKEN_SIGNATURE},
        {"x5u", "\"kid\":\"key-1\",\"x5u\":\"https://evil.example/c.pem\",\"x\":", "",
         TOKEN_SIGNATURE},
        {"x5c", "\"kid\":\"key-1\",\"x5c\":[\"MIIB\"],\"x\":", "", TOKEN_SIGNATURE},
        {"x5t", "\"kid\":\"key-1\",\"x5t\":\"AAAA\",\"x\":", "", TOKEN_SIGNATURE},
        {"epk", "\"kid\":\"key-1\",\"epk\":", "", TOKEN_SIGNATURE},
        {"jwks", "\"kid\":\"key-1\",\"jwks\":{\"keys\":[", "]}", TOKEN_SIGNATURE},
        {"keys", "\"kid\":\"key-1\",\"keys\":[", "]", TOKEN_SIGNATURE},
        {"kid is the key", "\"kid\":", "", TOKEN_KID},
    };
    const struct mint_signer attacker = {.key = f->attacker};
    struct buf header = buf_make(8192);
    struct buf token = buf_make(MINT_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(injections); i++) {
        buf_clear(&header);
        (void)buf_printf(&header, "{\"alg\":\"RS256\",%s", injections[i].before);
        mint_append_jwk(&header, f->attacker, "key-1", "");
        (void)buf_printf(&header, "%s}", injections[i].after);
        mint_token_bytes(&token, buf_str(&header), STR(LEGACY_PAYLOAD), &attacker);
        enum token_rc rc = fixture_check(&f->context, buf_str(&token));
        if (rc != injections[i].rc)
            fail_msg("%s: %s", injections[i].why, token_rc_name(rc));
    }
    print_message("%zu attacks\n", ARRAY_LEN(injections));
    buf_free(&header);
    buf_free(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_check_refuses_attacks_in_the_header),
        cmocka_unit_test(token_check_refuses_the_public_key_as_hmac_secret),
        cmocka_unit_test(token_check_never_uses_a_key_from_the_header),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
