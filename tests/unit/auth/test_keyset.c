/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/keyset.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"
#include "support/mint.h"

static const struct str rs256[] = {STR_INIT("RS256")};

struct keys {
    EVP_PKEY *a;
    EVP_PKEY *b;
};

static int parse(struct str document, struct keyset_report *report, struct keyset **keyset)
{
    return keyset_parse(document, rs256, ARRAY_LEN(rs256), 42, report, keyset);
}

/* What a key of the document is made of; "%A" and "%B" in a template stand for its n and e. */
static void append_template(struct buf *out, const char *template, const struct keys *keys)
{
    for (const char *c = template; *c != '\0'; c++) {
        if (*c != '%') {
            (void)buf_append_char(out, *c);
            continue;
        }
        EVP_PKEY *key = *++c == 'A' ? keys->a : keys->b;
        (void)buf_append(out, STR("\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""));
        mint_append_number(out, key, OSSL_PKEY_PARAM_RSA_N);
        (void)buf_append_char(out, '"');
    }
}

static void keyset_parse_keeps_what_rule_14_allows(void **state)
{
    static const struct {
        const char *why;
        const char *document;
        int r;
        unsigned usable;
        unsigned skipped;
    } rows[] = {
        {"one key", "{\"keys\":[{\"kid\":\"a\",%A}]}", 0, 1, 0},
        {"two keys", "{\"keys\":[{\"kid\":\"a\",%A},{\"kid\":\"b\",%B}]}", 0, 2, 0},
        {"one key under two kids", "{\"keys\":[{\"kid\":\"a\",%A},{\"kid\":\"b\",%A}]}", 0, 2, 0},
        {"further members", "{\"x\":{},\"keys\":[{\"kid\":\"a\",\"x5c\":[\"MII\"],%A}]}", 0, 1, 0},
        {"EC, OKP and oct beside it",
         "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"e\"},{\"kty\":\"OKP\",\"kid\":\"o\"},"
         "{\"kty\":\"oct\",\"k\":\"AQAB\"},{\"kid\":\"a\",%A}]}",
         0, 1, 3},
        {"one for encryption beside it",
         "{\"keys\":[{\"kid\":\"b\",\"use\":\"enc\",%B},{\"kid\":\"a\",%A}]}", 0, 1, 1},
        {"a member that is no object", "{\"keys\":[7,null,{\"kid\":\"a\",%A}]}", 0, 1, 2},
        {"a duplicate kid drops both, the third stays",
         "{\"keys\":[{\"kid\":\"a\",%A},{\"kid\":\"a\",%B},{\"kid\":\"c\",%B}]}", 0, 1, 2},
        {"a kid three times drops all three",
         "{\"keys\":[{\"kid\":\"a\",%A},{\"kid\":\"a\",%B},{\"kid\":\"c\",%B},"
         "{\"kid\":\"a\",%A}]}",
         0, 1, 3},
        {"a duplicate kid drops both, none left",
         "{\"keys\":[{\"kid\":\"a\",%A},{\"kid\":\"a\",%B}]}", -ENOKEY, 0, 2},
        {"the same key twice is a duplicate too",
         "{\"keys\":[{\"kid\":\"a\",%A},{\"kid\":\"a\",%A}]}", -ENOKEY, 0, 2},
        {"private key published", "{\"keys\":[{\"kid\":\"a\",\"d\":\"AQAB\",%A}]}", -ENOKEY, 0, 1},
        {"no keys", "{\"keys\":[]}", -ENOKEY, 0, 0},
        {"keys missing", "{}", -EINVAL, 0, 0},
        {"keys an object", "{\"keys\":{\"kid\":\"a\",%A}}", -EINVAL, 0, 0},
        {"keys null", "{\"keys\":null}", -EINVAL, 0, 0},
        {"a bare array", "[{\"kid\":\"a\",%A}]", -EINVAL, 0, 0},
        {"a bare key", "{\"kid\":\"a\",%A}", -EINVAL, 0, 0},
        {"duplicate member", "{\"keys\":[],\"keys\":[{\"kid\":\"a\",%A}]}", -EINVAL, 0, 0},
        {"duplicate kid member", "{\"keys\":[{\"kid\":\"a\",\"kid\":\"b\",%A}]}", -EINVAL, 0, 0},
        {"something behind", "{\"keys\":[{\"kid\":\"a\",%A}]} x", -EINVAL, 0, 0},
        {"HTML", "<html></html>", -EINVAL, 0, 0},
        {"nothing", "", -EINVAL, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf document = buf_make(65536);
        struct keyset_report report = {0};
        struct keyset *keyset = NULL;
        append_template(&document, rows[i].document, *state);
        int r = parse(buf_str(&document), &report, &keyset);
        if (r != rows[i].r || report.usable != rows[i].usable || report.skipped != rows[i].skipped)
            fail_msg("%s: %d, usable %u, skipped %u", rows[i].why, r, report.usable,
                     report.skipped);
        assert_int_equal(report.first_skip_reason != NULL, report.skipped > 0);
        assert_int_equal(keyset != NULL, r == 0);
        if (keyset != NULL)
            assert_int_equal(keyset_count(keyset), report.usable);
        keyset_unref(keyset);
        buf_free(&document);
    }
}

static int parse_many(const struct keys *keys, unsigned count, size_t padded_size)
{
    struct buf document = buf_make(KEYSET_MAX_BYTES + 1);
    struct keyset_report report;
    struct keyset *keyset = NULL;
    (void)buf_append(&document, STR("{\"keys\":["));
    for (unsigned i = 0; i < count; i++) {
        (void)buf_printf(&document, "%s{\"kid\":\"k%u\",", i > 0 ? "," : "", i);
        append_template(&document, "%A}", keys);
    }
    (void)buf_append(&document, STR("]}"));
    while (document.len < padded_size)
        (void)buf_append_char(&document, ' ');
    int r = parse(buf_str(&document), &report, &keyset);
    if (keyset != NULL)
        assert_int_equal(keyset_count(keyset), count);
    keyset_unref(keyset);
    buf_free(&document);
    return r;
}

static void keyset_parse_has_limits_on_keys_and_bytes(void **state)
{
    assert_int_equal(parse_many(*state, KEYSET_MAX_KEYS, 0), 0);
    assert_int_equal(parse_many(*state, KEYSET_MAX_KEYS + 1, 0), -EINVAL);
    assert_int_equal(parse_many(*state, 1, KEYSET_MAX_BYTES), 0);
    assert_int_equal(parse_many(*state, 1, KEYSET_MAX_BYTES + 1), -EINVAL);
}

static struct keyset *make(const char *template, const struct keys *keys)
{
    struct buf document = buf_make(65536);
    struct keyset_report report;
    struct keyset *keyset = NULL;
    append_template(&document, template, keys);
    assert_int_equal(parse(buf_str(&document), &report, &keyset), 0);
    buf_free(&document);
    return keyset;
}

static void keyset_find_compares_the_whole_kid(void **state)
{
    struct keyset *keyset =
        make("{\"keys\":[{\"kid\":\"key-1\",%A},{\"kid\":\"x\\u0000y\",%B}]}", *state);
    assert_non_null(keyset_find(keyset, STR("key-1")));
    assert_non_null(keyset_find(keyset, STR("x\0y")));
    static const struct str others[] = {STR_INIT("key-"),    STR_INIT("key-11"), STR_INIT("KEY-1"),
                                        STR_INIT("key-1\0"), STR_INIT("x"),      STR_INIT("")};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_null(keyset_find(keyset, others[i]));
    assert_int_equal(keyset_loaded_mono_ms(keyset), 42);
    keyset_unref(keyset);
}

static void keyset_contains_wants_the_same_key_under_the_same_kid(void **state)
{
    struct keyset *old = make("{\"keys\":[{\"kid\":\"a\",%A}]}", *state);
    struct keyset *replaced = make("{\"keys\":[{\"kid\":\"a\",%B}]}", *state);
    struct keyset *renamed = make("{\"keys\":[{\"kid\":\"b\",%A}]}", *state);
    struct keyset *grown = make("{\"keys\":[{\"kid\":\"b\",%B},{\"kid\":\"a\",%A}]}", *state);
    const struct jwk *key = keyset_find(old, STR("a"));
    assert_true(keyset_contains(old, key->kid, key->thumbprint));
    assert_true(keyset_contains(grown, key->kid, key->thumbprint));
    assert_false(keyset_contains(replaced, key->kid, key->thumbprint));
    assert_false(keyset_contains(renamed, key->kid, key->thumbprint));
    assert_false(keyset_contains(NULL, key->kid, key->thumbprint));
    keyset_unref(old);
    keyset_unref(replaced);
    keyset_unref(renamed);
    keyset_unref(grown);
}

static void keyset_lives_until_the_last_reference(void **state)
{
    struct keyset *keyset = make("{\"keys\":[{\"kid\":\"a\",%A}]}", *state);
    assert_ptr_equal(keyset_ref(keyset), keyset);
    assert_null(keyset_unref(keyset));
    assert_non_null(keyset_find(keyset, STR("a")));
    assert_null(keyset_unref(keyset));
    assert_null(keyset_unref(NULL));
}

static int load_keys(void **state)
{
    struct keys *keys = malloc(sizeof(*keys));
    if (keys == NULL)
        return -1;
    keys->a = mint_load_key("signer");
    keys->b = mint_load_key("next");
    *state = keys;
    return 0;
}

static int free_keys(void **state)
{
    struct keys *keys = *state;
    EVP_PKEY_free(keys->a);
    EVP_PKEY_free(keys->b);
    free(keys);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyset_parse_keeps_what_rule_14_allows),
        cmocka_unit_test(keyset_parse_has_limits_on_keys_and_bytes),
        cmocka_unit_test(keyset_find_compares_the_whole_kid),
        cmocka_unit_test(keyset_contains_wants_the_same_key_under_the_same_kid),
        cmocka_unit_test(keyset_lives_until_the_last_reference),
    };
    return cmocka_run_group_tests(tests, load_keys, free_keys);
}
