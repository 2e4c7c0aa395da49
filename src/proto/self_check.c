/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/self_check.h"

#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "proto/jwk.h"
#include "proto/jws.h"

/* RFC 7515 A.2: a token, and the key that signed it. */
static const char token[] =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx"
    "lLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5R"
    "Zmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrn"
    "byTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHW"
    "EsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
    "cN_IoypGlUPQGe77Rw";
static const char jwk_text[] =
    "{\"kty\":\"RSA\",\"kid\":\"a2\",\"e\":\"AQAB\",\"n\":\""
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt"
    "0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSX"
    "ndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5"
    "IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
    "\"}";

#define JWK_LIMITS ((struct json_limits){sizeof(jwk_text), 2})

/* FIPS 180-4: SHA-256 of "abc". */
static const uint8_t known_digest[SHA256_LEN] = {
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
};

/* RFC 4231 4.3. */
static const uint8_t known_mac[SHA256_LEN] = {
    0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
    0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
};

static bool sha256_works(void)
{
    uint8_t digest[SHA256_LEN];
    return secret_sha256(STR("abc"), digest) == 0 &&
           memcmp(digest, known_digest, sizeof(digest)) == 0;
}

static bool hmac_works(void)
{
    uint8_t mac[SHA256_LEN];
    return secret_hmac(STR("Jefe"), STR("what do ya want for nothing?"), mac) == 0 &&
           memcmp(mac, known_mac, sizeof(mac)) == 0;
}

/* A verifier that says yes to everything would be worse than none. */
static bool tells_good_from_bad(struct jws_verifier *verifier, const struct jwk *key)
{
    struct jws_parts parts;
    if (jws_split(str_from_cstr(token), &parts) != JWS_OK ||
        jws_verify(verifier, &parts, JWS_RS256, key) != JWS_OK)
        return false;
    parts.signed_bytes.len--;
    return jws_verify(verifier, &parts, JWS_RS256, key) == JWS_SIGNATURE;
}

static bool read_key(struct jwk *ret_key)
{
    CLEANUP(json_unref) json_t *root = NULL;
    return json_parse(str_from_cstr(jwk_text), JWK_LIMITS, &root, NULL) == JSON_RC_OK &&
           jwk_parse(root, NULL, 0, ret_key) == JWK_OK;
}

static bool rs256_works(void)
{
    struct jwk key = {0};
    struct jws_verifier *verifier = jws_verifier_make();
    bool works = verifier != NULL && read_key(&key) && tells_good_from_bad(verifier, &key);
    jwk_clear(&key);
    (void)jws_verifier_free(verifier);
    return works;
}

const char *self_check(void)
{
    if (!sha256_works())
        return "SHA-256";
    if (!hmac_works())
        return "HMAC-SHA256";
    return rs256_works() ? NULL : "RS256";
}
