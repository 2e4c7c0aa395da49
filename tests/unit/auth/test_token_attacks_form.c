/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on the form of a token and on its signature: a good one is taken apart and put together
 * wrongly, signed by the wrong key or in the wrong way, or changed bit by bit. */
#include "support/cmocka_all.h"
#include "support/token_fixture.h"

/* A good token and its segments. */
struct parts {
    struct buf token;
    struct jws_parts views;
};

static void parts_make(struct parts *parts, const struct token_fixture *f)
{
    const struct mint_signer signer = {.key = f->signer};
    parts->token = buf_make(MINT_MAX_BYTES);
    mint_token(&parts->token, HEADER, LEGACY_PAYLOAD, &signer);
    assert_int_equal(jws_split(buf_str(&parts->token), &parts->views), JWS_OK);
    assert_int_equal(fixture_check(&f->context, buf_str(&parts->token)), TOKEN_OK);
}

static struct str segment(char which, const struct jws_parts *views)
{
    switch (which) {
    case 'h':
        return views->header;
    case 'p':
        return views->payload;
    case 's':
        return views->signature;
    default:
        return STR("%");
    }
}

/* "%h", "%p" and "%s" in a template stand for the segments, "%%" for a percent sign. */
static void build(struct buf *out, struct str template, const struct jws_parts *views)
{
    buf_clear(out);
    for (size_t i = 0; i < template.len; i++) {
        if (template.ptr[i] == '%')
            (void)buf_append(out, segment(template.ptr[++i], views));
        else
            (void)buf_append_char(out, template.ptr[i]);
    }
}

static const struct {
    const char *why;
    struct str template;
    enum token_rc rc;
} forms[] = {
    {"control", STR_INIT("%h.%p.%s"), TOKEN_OK},
    {"7: empty", STR_INIT(""), TOKEN_OPAQUE},
    {"7: opaque", STR_INIT("AbCdEf0123456789"), TOKEN_OPAQUE},
    {"7: the header only", STR_INIT("%h"), TOKEN_OPAQUE},
    {"7: two segments", STR_INIT("%h.%p"), TOKEN_SEGMENTS},
    {"7: no signature (none)", STR_INIT("%h.%p."), TOKEN_SEGMENTS},
    {"7: no payload", STR_INIT("%h..%s"), TOKEN_SEGMENTS},
    {"7: no header", STR_INIT(".%p.%s"), TOKEN_SEGMENTS},
    {"7: dots", STR_INIT(".."), TOKEN_SEGMENTS},
    {"7: one dot", STR_INIT("."), TOKEN_SEGMENTS},
    {"7: three dots", STR_INIT("..."), TOKEN_SEGMENTS},
    {"7: four dots", STR_INIT("...."), TOKEN_ENCRYPTED},
    {"7: a dot behind", STR_INIT("%h.%p.%s."), TOKEN_SEGMENTS},
    {"7: a dot before", STR_INIT(".%h.%p.%s"), TOKEN_SEGMENTS},
    {"7: two dots inside", STR_INIT("%h..%p.%s"), TOKEN_SEGMENTS},
    {"7: four segments", STR_INIT("%h.%p.%s.%s"), TOKEN_SEGMENTS},
    {"7: JWE", STR_INIT("%h.%p.%s.%s.%s"), TOKEN_ENCRYPTED},
    {"7: JWE dir", STR_INIT("%h..%s.%s.%s"), TOKEN_ENCRYPTED},
    {"7: six segments", STR_INIT("%h.%p.%s.%h.%p.%s"), TOKEN_SEGMENTS},
    {"7: NUL instead of a token", STR_INIT("\0"), TOKEN_OPAQUE},
    {"7: JSON serialisation", STR_INIT("{\"payload\":\"%p\",\"signature\":\"%s\"}"), TOKEN_OPAQUE},
    {"8: padding on the header", STR_INIT("%h=.%p.%s"), TOKEN_BASE64},
    {"8: padding on the payload", STR_INIT("%h.%p=.%s"), TOKEN_BASE64},
    {"8: padding on the signature", STR_INIT("%h.%p.%s=="), TOKEN_BASE64},
    {"8: blank behind", STR_INIT("%h.%p.%s "), TOKEN_BASE64},
    {"8: blank before", STR_INIT(" %h.%p.%s"), TOKEN_BASE64},
    {"8: blank inside", STR_INIT("%h. %p.%s"), TOKEN_BASE64},
    {"8: line end behind", STR_INIT("%h.%p.%s\n"), TOKEN_BASE64},
    {"8: CR LF behind", STR_INIT("%h.%p.%s\r\n"), TOKEN_BASE64},
    {"8: line end inside", STR_INIT("%h.\n%p.%s"), TOKEN_BASE64},
    {"8: tab inside", STR_INIT("%h\t.%p.%s"), TOKEN_BASE64},
    {"8: NUL behind", STR_INIT("%h.%p.%s\0"), TOKEN_BASE64},
    {"8: NUL inside", STR_INIT("%h.%p\0.%s"), TOKEN_BASE64},
    {"8: NUL and junk behind", STR_INIT("%h.%p.%s\0junk"), TOKEN_BASE64},
    {"8: plus", STR_INIT("%h.%p.%s+"), TOKEN_BASE64},
    {"8: slash", STR_INIT("%h/.%p.%s"), TOKEN_BASE64},
    {"8: comma", STR_INIT("%h.%p.%s,"), TOKEN_BASE64},
    {"8: semicolon", STR_INIT("%h.%p.%s;v=1"), TOKEN_BASE64},
    {"8: tilde", STR_INIT("%h.%p.%s~"), TOKEN_BASE64},
    {"8: SD-JWT disclosures", STR_INIT("%h.%p.%s~WyJ4Il0~"), TOKEN_BASE64},
    {"8: quotes", STR_INIT("\"%h.%p.%s\""), TOKEN_BASE64},
    {"8: percent escape", STR_INIT("%h.%p.%s%%41"), TOKEN_BASE64},
    {"8: non-ASCII", STR_INIT("%h.%p\xc3\xa9.%s"), TOKEN_BASE64},
    {"8: 0xff", STR_INIT("\xff%h.%p.%s"), TOKEN_BASE64},
    {"8: the scheme again", STR_INIT("Bearer %h.%p.%s"), TOKEN_BASE64},
    {"payload and header swapped", STR_INIT("%p.%h.%s"), TOKEN_ALG},
    {"header twice", STR_INIT("%h.%h.%s"), TOKEN_ISSUER},
    {"signature as payload", STR_INIT("%h.%s.%s"), TOKEN_PAYLOAD},
    {"payload as signature", STR_INIT("%h.%p.%p"), TOKEN_SIGNATURE},
    {"header as signature", STR_INIT("%h.%p.%h"), TOKEN_SIGNATURE},
    {"15: signature of one byte", STR_INIT("%h.%p.AA"), TOKEN_SIGNATURE},
    {"15: signature twice", STR_INIT("%h.%p.%sAA%s"), TOKEN_SIGNATURE},
    {"15: zero bytes before the signature", STR_INIT("%h.%p.AAAA%s"), TOKEN_SIGNATURE},
};

static void token_check_refuses_other_forms(void **state)
{
    const struct token_fixture *f = *state;
    struct parts parts;
    struct buf token = buf_make(MINT_MAX_BYTES);
    parts_make(&parts, f);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        build(&token, forms[i].template, &parts.views);
        enum token_rc rc = fixture_check(&f->context, buf_str(&token));
        if (rc != forms[i].rc)
            fail_msg("%s: %s", forms[i].why, token_rc_name(rc));
    }
    print_message("%zu attacks\n", ARRAY_LEN(forms) - 1);
    buf_free(&parts.token);
    buf_free(&token);
}

/* Every bit of every character of the signed part and of the signature: nothing may be ignored. */
static void token_check_notices_every_changed_bit(void **state)
{
    const struct token_fixture *f = *state;
    struct parts parts;
    unsigned count = 0;
    parts_make(&parts, f);
    for (size_t i = 0; i < parts.token.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            const char original = parts.token.ptr[i];
            parts.token.ptr[i] = (char)((unsigned char)original ^ (1 << bit));
            if (fixture_check(&f->context, buf_str(&parts.token)) == TOKEN_OK)
                fail_msg("bit %u of byte %zu does not count", bit, i);
            parts.token.ptr[i] = original;
            count++;
        }
    }
    assert_int_equal(fixture_check(&f->context, buf_str(&parts.token)), TOKEN_OK);
    print_message("%u attacks\n", count);
    buf_free(&parts.token);
}

static void token_check_refuses_every_cut_token(void **state)
{
    const struct token_fixture *f = *state;
    struct parts parts;
    parts_make(&parts, f);
    for (size_t len = 0; len < parts.token.len; len++) {
        assert_int_not_equal(fixture_check(&f->context, str_head(buf_str(&parts.token), len)),
                             TOKEN_OK);
        assert_int_not_equal(fixture_check(&f->context, str_from(buf_str(&parts.token), len + 1)),
                             TOKEN_OK);
    }
    print_message("%zu attacks\n", 2 * parts.token.len);
    buf_free(&parts.token);
}

/* Puts SIGNATURE behind the good signed part and expects a refusal. */
static void refuse_signature(const struct token_fixture *f, const struct parts *parts,
                             struct str signature, const char *why)
{
    struct buf token = buf_make(MINT_MAX_BYTES);
    (void)buf_append(&token, parts->views.signed_bytes);
    (void)buf_append_char(&token, '.');
    assert_int_equal(base64url_encode_append(signature, &token), 0);
    enum token_rc rc = fixture_check(&f->context, buf_str(&token));
    if (rc != TOKEN_SIGNATURE)
        fail_msg("%s: %s", why, token_rc_name(rc));
    buf_free(&token);
}

/* Signatures that are wrong as a whole: patterns, lengths, and the numbers RSA is weak at. */
static void token_check_refuses_degenerate_signatures(void **state)
{
    const struct token_fixture *f = *state;
    static const size_t lengths[] = {1, 2, 127, 128, 255, 256, 257, 384, 512, 1024, 1025, 4096};
    static const unsigned char fills[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct parts parts;
    unsigned char bytes[4096];
    unsigned count = 0;
    parts_make(&parts, f);
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
        for (size_t i = 0; i < ARRAY_LEN(fills); i++) {
            memset(bytes, fills[i], lengths[l]);
            refuse_signature(f, &parts, str_make((char *)bytes, lengths[l]), "pattern");
            count++;
        }
    }
    memset(bytes, 0, 256);
    bytes[255] = 1; /* 1^e = 1 */
    refuse_signature(f, &parts, str_make((char *)bytes, 256), "one");
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(f->signer, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    assert_int_equal(BN_bn2binpad(n, bytes, 256), 256);
    refuse_signature(f, &parts, str_make((char *)bytes, 256), "n, that is zero");
    assert_int_equal(BN_sub_word(n, 1), 1);
    assert_int_equal(BN_bn2binpad(n, bytes, 256), 256);
    refuse_signature(f, &parts, str_make((char *)bytes, 256), "n - 1, that is minus one");
    BN_free(n);
    print_message("%u attacks\n", count + 3);
    buf_free(&parts.token);
}

/* Signed by the right key in the wrong way, or by the wrong key in the right way. */
static void token_check_refuses_signatures_made_otherwise(void **state)
{
    const struct token_fixture *f = *state;
    const struct {
        const char *why;
        struct mint_signer signer;
    } signers[] = {
        {"SHA-1", {f->signer, "SHA1", 0}},
        {"SHA-224", {f->signer, "SHA224", 0}},
        {"SHA-384", {f->signer, "SHA384", 0}},
        {"SHA-512", {f->signer, "SHA512", 0}},
        {"SHA-512/256", {f->signer, "SHA512-256", 0}},
        {"SHA3-256", {f->signer, "SHA3-256", 0}},
        {"MD5", {f->signer, "MD5", 0}},
        {"PSS", {f->signer, "SHA256", RSA_PSS_SALTLEN_DIGEST}},
        {"PSS with the longest salt", {f->signer, "SHA256", RSA_PSS_SALTLEN_MAX}},
        {"another key of the issuer", {f->next, "SHA256", 0}},
        {"a key of another issuer", {f->large, "SHA256", 0}},
        {"the attacker's key", {f->attacker, "SHA256", 0}},
    };
    struct parts parts;
    unsigned char bytes[1024];
    parts_make(&parts, f);
    for (size_t i = 0; i < ARRAY_LEN(signers); i++) {
        size_t len = mint_sign(&signers[i].signer, parts.views.signed_bytes, bytes);
        refuse_signature(f, &parts, str_make((char *)bytes, len), signers[i].why);
    }
    const struct mint_signer good = {.key = f->signer};
    size_t len = mint_sign(&good, parts.views.payload, bytes);
    refuse_signature(f, &parts, str_make((char *)bytes, len), "over the payload only");
    len = mint_sign(&good, buf_str(&parts.token), bytes);
    refuse_signature(f, &parts, str_make((char *)bytes, len), "over the whole token");
    len = mint_sign(&good, STR(""), bytes);
    refuse_signature(f, &parts, str_make((char *)bytes, len), "over nothing");
    print_message("%zu attacks\n", ARRAY_LEN(signers) + 3);
    buf_free(&parts.token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_check_refuses_other_forms),
        cmocka_unit_test(token_check_notices_every_changed_bit),
        cmocka_unit_test(token_check_refuses_every_cut_token),
        cmocka_unit_test(token_check_refuses_degenerate_signatures),
        cmocka_unit_test(token_check_refuses_signatures_made_otherwise),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
