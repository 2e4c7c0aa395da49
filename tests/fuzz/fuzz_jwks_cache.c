/* SPDX-License-Identifier: Apache-2.0 */
/* auth/jwks_cache: an entry that is believed says what the policy says, and is neither too old nor
 * from the future, when it is read a second time with jansson; its set is that of the entry; and
 * what we write of the set is believed again. */
#include "auth/jwks_cache.h"
#include "base/err.h"
#include "base/json.h"
#include "oracle.h"

#define NOW_S 1795230007
#define MAX_AGE_MS 3600000

static const struct issuer_config issuers[] = {
    {.issuer = STR_INIT("https://tenant.example/"),
     .jwks_uri = STR_INIT("https://tenant.example/keys")},
    {.issuer = STR_INIT("https://tenant.example/")},
};

static void check_again(const struct issuer_config *issuer, struct str jwks_uri, struct str jwks,
                        int64_t fetched_at_s)
{
    struct buf entry = buf_make(JWKS_CACHE_MAX_BYTES);
    struct buf again = buf_make(JWKS_CACHE_MAX_BYTES);
    int64_t at_s = 0;
    if (jwks_cache_append_entry(issuer, jwks_uri, fetched_at_s, jwks, &entry) == 0) {
        ORACLE(jwks_cache_read_entry(buf_str(&entry), issuer, NOW_S, MAX_AGE_MS, &at_s, &again) ==
               JWKS_CACHE_OK);
        ORACLE(at_s == fetched_at_s);
    }
    buf_free(&entry);
    buf_free(&again);
}

static void check(struct str text, const struct issuer_config *issuer)
{
    struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
    int64_t at_s = 0;
    json_error_t error;
    enum jwks_cache_rc rc = jwks_cache_read_entry(text, issuer, NOW_S, MAX_AGE_MS, &at_s, &jwks);
    ORACLE(jwks_cache_rc_text(rc) != NULL);
    ORACLE(rc == JWKS_CACHE_OK || jwks.len == 0);
    if (rc == JWKS_CACHE_OK) {
        json_t *root =
            json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        json_t *set =
            json_loadb(jwks.ptr, jwks.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        ORACLE(str_eq(json_get_str(root, "issuer"), issuer->issuer));
        ORACLE(json_is_true(json_object_get(root, "discovered")) == !str_is_set(issuer->jwks_uri));
        ORACLE(!str_is_set(issuer->jwks_uri) ||
               str_eq(json_get_str(root, "jwks_uri"), issuer->jwks_uri));
        ORACLE(str_eq(json_get_str(root, "trust"), issuer->trust));
        ORACLE(json_integer_value(json_object_get(root, "fetched_at")) == at_s);
        ORACLE(at_s <= NOW_S && at_s >= NOW_S - MAX_AGE_MS / 1000);
        ORACLE(json_equal(json_object_get(root, "jwks"), set));
        check_again(issuer, json_get_str(root, "jwks_uri"), buf_str(&jwks), at_s);
        json_decref(root);
        json_decref(set);
    }
    buf_free(&jwks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str text = oracle_input(data, size);
    for (size_t i = 0; i < ARRAY_LEN(issuers); i++)
        check(text, &issuers[i]);
    return 0;
}
