/* SPDX-License-Identifier: Apache-2.0 */
/* auth/keyset and proto/jwk: every key that a document yields satisfies rule 14 when the document
 * is read a second time with jansson and OpenSSL's base64, and no kid yields two keys. */
#include <errno.h>
#include <openssl/evp.h>

#include "auth/keyset.h"
#include "base/err.h"
#include "base/json.h"
#include "oracle.h"

static const struct str algorithms[] = {STR_INIT("RS256"), STR_INIT("PS512")};

/* Decodes base64url text by way of OpenSSL. Returns the length. */
static size_t decode(const json_t *value, unsigned char *bytes, size_t cap)
{
    char text[2048];
    size_t len = json_string_length(value);
    ORACLE(json_is_string(value) && len > 0 && len < sizeof(text) - 4);
    for (size_t i = 0; i < len; i++) {
        const char c = json_string_value(value)[i];
        text[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    size_t padding = 0;
    while ((len + padding) % 4 != 0)
        text[len + padding++] = '=';
    ORACLE(padding < 3 && (len + padding) / 4 * 3 <= cap);
    int n = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)(len + padding));
    ORACLE(n > 0);
    return (size_t)n - padding;
}

static bool lists_verify(const json_t *key_ops)
{
    for (size_t i = 0; i < json_array_size(key_ops); i++)
        if (str_eq(json_str(json_array_get(key_ops, i)), STR("verify")))
            return true;
    return false;
}

static bool is_string(const json_t *value, const char *expected)
{
    return json_is_string(value) && strcmp(json_string_value(value), expected) == 0;
}

static void check_numbers(const json_t *object)
{
    unsigned char bytes[1600];
    size_t len = decode(json_object_get(object, "n"), bytes, sizeof(bytes));
    ORACLE(bytes[0] != 0 && (bytes[len - 1] & 1) == 1);
    ORACLE(len > 256 || (len == 256 && bytes[0] >= 0x80));
    ORACLE(len <= 1024);
    uint64_t e = 0;
    len = decode(json_object_get(object, "e"), bytes, sizeof(bytes));
    ORACLE(len <= 4);
    for (size_t i = 0; i < len; i++)
        e = e << 8 | bytes[i];
    ORACLE(e % 2 == 1 && e >= 1U << 16 && e <= UINT32_MAX);
}

static void check_key(const json_t *object)
{
    static const char *const private_members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    const json_t *use = json_object_get(object, "use");
    const json_t *key_ops = json_object_get(object, "key_ops");
    const json_t *alg = json_object_get(object, "alg");
    ORACLE(is_string(json_object_get(object, "kty"), "RSA"));
    ORACLE(use == NULL || is_string(use, "sig"));
    ORACLE(key_ops == NULL || lists_verify(key_ops));
    ORACLE(alg == NULL || is_string(alg, "RS256") || is_string(alg, "PS512"));
    for (size_t i = 0; i < ARRAY_LEN(private_members); i++)
        ORACLE(json_object_get(object, private_members[i]) == NULL);
    check_numbers(object);
}

/* How many members of KEYS look like the key that was kept under this kid; each is checked. */
static size_t count_kept(const json_t *keys, const struct keyset *keyset)
{
    const json_t *object;
    size_t kept = 0;
    size_t i;
    json_array_foreach (keys, i, object) {
        const struct str kid = json_get_str(object, "kid");
        const struct jwk *key = str_is_set(kid) ? keyset_find(keyset, kid) : NULL;
        enum jwk_rc rc;
        struct jwk again = {0};
        if (key == NULL)
            continue;
        rc = jwk_parse(object, algorithms, ARRAY_LEN(algorithms), &again);
        if (rc == JWK_OK) {
            ORACLE(kid.len >= 1 && kid.len <= 256);
            ORACLE(keyset_contains(keyset, kid, again.thumbprint));
            check_key(object);
            kept++;
        }
        jwk_clear(&again);
    }
    return kept;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str document = oracle_input(data, size);
    struct keyset_report report = {0};
    struct keyset *keyset = NULL;
    json_error_t error;
    int r = keyset_parse(document, algorithms, ARRAY_LEN(algorithms), 0, &report, &keyset);
    ORACLE((keyset != NULL) == (r == 0));
    ORACLE(r == 0 || r == -EINVAL || r == -ENOKEY); /* no key is so odd that OpenSSL fails on it */
    if (r != 0)
        return 0;
    json_t *root =
        json_loadb(document.ptr, document.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    const json_t *keys = json_object_get(root, "keys");
    ORACLE(report.usable == keyset_count(keyset) && report.usable > 0);
    ORACLE(report.usable + report.skipped == json_array_size(keys));
    ORACLE(count_kept(keys, keyset) == report.usable);
    json_decref(root);
    keyset_unref(keyset);
    return 0;
}
