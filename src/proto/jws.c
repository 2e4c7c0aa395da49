/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jws.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json_reader.h"
#include "proto/base64url.h"

#define ARENA_SLACK 64 /* for rounding up */
#define MAX_SIGNATURE_BYTES (JWK_MAX_BITS / 8)

enum digest { DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512, DIGEST_COUNT };

static const char *const digest_names[DIGEST_COUNT] = {
    [DIGEST_SHA256] = "SHA2-256",
    [DIGEST_SHA384] = "SHA2-384",
    [DIGEST_SHA512] = "SHA2-512",
};

/* RFC 7518 3.3 and 3.5. */
static const struct {
    struct str name;
    enum digest digest;
    int padding;
} algorithms_table[JWS_ALG_COUNT] = {
    [JWS_RS256] = {STR_INIT("RS256"), DIGEST_SHA256, RSA_PKCS1_PADDING},
    [JWS_RS384] = {STR_INIT("RS384"), DIGEST_SHA384, RSA_PKCS1_PADDING},
    [JWS_RS512] = {STR_INIT("RS512"), DIGEST_SHA512, RSA_PKCS1_PADDING},
    [JWS_PS256] = {STR_INIT("PS256"), DIGEST_SHA256, RSA_PKCS1_PSS_PADDING},
    [JWS_PS384] = {STR_INIT("PS384"), DIGEST_SHA384, RSA_PKCS1_PSS_PADDING},
    [JWS_PS512] = {STR_INIT("PS512"), DIGEST_SHA512, RSA_PKCS1_PSS_PADDING},
};

/* A key made ready for one algorithm. The context has a reference to the key, so no other key can
 * come to lie at this address as long as the slot is taken. */
struct ready_key {
    const EVP_PKEY *key; /* NULL: the slot is free */
    enum jws_alg alg;
    EVP_PKEY_CTX *ctx;
};

/* Making a key ready takes a fifth of the time of the signature itself. An issuer has one or two
 * keys in use. */
#define READY_KEYS 8

struct jws_verifier {
    EVP_MD *digests[DIGEST_COUNT];
    EVP_MD_CTX *digest_ctx;
    struct ready_key ready[READY_KEYS];
    size_t next; /* the slot to be taken next, in turn */
};

struct str jws_alg_name(enum jws_alg alg)
{
    return algorithms_table[alg].name;
}

bool jws_alg_find(struct str name, enum jws_alg *ret_alg)
{
    for (size_t i = 0; i < ARRAY_LEN(algorithms_table); i++) {
        if (str_eq(name, algorithms_table[i].name)) {
            *ret_alg = (enum jws_alg)i;
            return true;
        }
    }
    return false;
}

bool jws_alg_is_allowed(enum jws_alg alg, const struct str *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        if (str_eq(names[i], jws_alg_name(alg)))
            return true;
    return false;
}

static enum jws_rc rc_of_dots(size_t n_dots)
{
    switch (n_dots) {
    case 0:
        return JWS_ONE_SEGMENT;
    case 2:
        return JWS_OK;
    case 4:
        return JWS_FIVE_SEGMENTS;
    default:
        return JWS_SEGMENTS;
    }
}

static size_t count_dots(struct str token)
{
    size_t n = 0;
    ptrdiff_t at = str_find_char(token, '.');
    for (; at >= 0; at = str_find_char(token, '.')) {
        token = str_from(token, (size_t)at + 1);
        n++;
    }
    return n;
}

enum jws_rc jws_split(struct str token, struct jws_parts *ret_parts)
{
    struct jws_parts parts = {0};
    struct str rest = token;
    enum jws_rc rc = rc_of_dots(count_dots(token));
    if (rc != JWS_OK)
        return rc;
    (void)str_split(&rest, '.', &parts.header);
    (void)str_split(&rest, '.', &parts.payload);
    parts.signature = rest;
    parts.signed_bytes = str_head(token, parts.header.len + 1 + parts.payload.len);
    if (parts.header.len == 0 || parts.payload.len == 0 || parts.signature.len == 0)
        return JWS_SEGMENTS;
    if (!base64url_is_valid(parts.header) || !base64url_is_valid(parts.payload) ||
        !base64url_is_valid(parts.signature))
        return JWS_BASE64;
    *ret_parts = parts;
    return JWS_OK;
}

/* What counts in a header, and where its value is. */
enum member { ALG, TYP, CRIT, B64, KID, N_MEMBERS };

static const struct str member_names[N_MEMBERS] = {
    [ALG] = STR_INIT("alg"), [TYP] = STR_INIT("typ"), [CRIT] = STR_INIT("crit"),
    [B64] = STR_INIT("b64"), [KID] = STR_INIT("kid"),
};

/* False: an integer that no tree could hold. */
static bool read_values(struct json_reader *reader, struct str values[N_MEMBERS])
{
    struct str raw_key;
    bool fit = true;
    while (fit && json_reader_next_key(reader, &raw_key)) {
        const struct str value = json_reader_over(reader);
        fit = json_text_integers_fit(value);
        for (size_t i = 0; i < N_MEMBERS; i++)
            if (json_text_key_is(raw_key, member_names[i]))
                values[i] = value;
    }
    return fit;
}

/* Rule 9 for the text. A member that is missing is the absent string. */
static enum jws_rc read_members(struct str text, struct str ret_values[N_MEMBERS])
{
    const struct json_text_rules rules = {.limits = {JWS_MAX_HEADER_BYTES, JWS_MAX_HEADER_DEPTH}};
    NOT_ZEROED struct json_reader reader;
    json_reader_start(&reader, text, &rules);
    const bool good = json_reader_is_object(&reader) && json_reader_into(&reader) &&
                      read_values(&reader, ret_values);
    const enum json_rc rc = json_reader_finish(&reader);
    if (rc == JSON_RC_NO_MEMORY)
        return JWS_NO_MEMORY;
    return good && rc == JSON_RC_OK ? JWS_OK : JWS_HEADER;
}

/* RFC 9068 4 wants at+jwt; Auth0's legacy profile sends JWT; media types know no case. */
static bool is_typ_accepted(struct str typ)
{
    static const struct str accepted[] = {
        STR_INIT("JWT"),
        STR_INIT("at+jwt"),
        STR_INIT("application/at+jwt"),
    };
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++)
        if (str_eq_nocase(typ, accepted[i]))
            return true;
    return false;
}

static enum jws_rc read_header(const struct str *values, struct jws_header *header)
{
    int faults[3];
    const struct str alg = json_text_string(values[ALG], header->arena, &faults[0]);
    const struct str typ = json_text_string(values[TYP], header->arena, &faults[1]);
    header->kid = json_text_string(values[KID], header->arena, &faults[2]);
    if (faults[0] < 0 || faults[1] < 0 || faults[2] < 0)
        return JWS_NO_MEMORY;
    if (!jws_alg_find(alg, &header->alg))
        return JWS_ALG;
    if (str_is_set(values[TYP]) && !is_typ_accepted(typ))
        return JWS_TYP;
    /* RFC 7515 4.1.11, RFC 7797 6: we understand no extension, and b64 is never unencoded here. */
    if (str_is_set(values[CRIT]) || str_is_set(values[B64]))
        return JWS_CRIT;
    if (header->kid.len == 0 || header->kid.len > JWS_MAX_KID_BYTES)
        return JWS_KID;
    return JWS_OK;
}

/* SEGMENT in *ARENA, which is made here with room for the text and what its escapes mean. */
static enum jws_rc decode_header(struct str segment, struct arena **arena, struct str *ret_text)
{
    const size_t cap = base64url_decoded_len(segment.len);
    size_t len;
    if (cap > JWS_MAX_HEADER_BYTES)
        return JWS_HEADER;
    *arena = arena_new(cap + ARENA_SLACK, 2 * (cap + ARENA_SLACK));
    uint8_t *bytes = *arena != NULL ? arena_alloc(*arena, cap) : NULL;
    if (bytes == NULL)
        return JWS_NO_MEMORY;
    if (base64url_decode(segment, bytes, cap, &len) < 0)
        return JWS_HEADER;
    *ret_text = str_make((const char *)bytes, len);
    return JWS_OK;
}

enum jws_rc jws_header_read(struct str segment, struct jws_header *ret_header)
{
    struct jws_header header = {0};
    struct str values[N_MEMBERS] = {0};
    struct str text;
    enum jws_rc rc = decode_header(segment, &header.arena, &text);
    if (rc == JWS_OK)
        rc = read_members(text, values);
    if (rc == JWS_OK)
        rc = read_header(values, &header);
    if (rc != JWS_OK) {
        jws_header_clear(&header);
        return rc;
    }
    *ret_header = header;
    return JWS_OK;
}

void jws_header_clear(struct jws_header *header)
{
    header->arena = arena_free(header->arena);
    header->kid = (struct str){0};
}

struct jws_verifier *jws_verifier_make(void)
{
    struct jws_verifier *verifier = calloc(1, sizeof(*verifier));
    if (verifier == NULL)
        return NULL;
    verifier->digest_ctx = EVP_MD_CTX_new();
    bool complete = verifier->digest_ctx != NULL;
    for (size_t i = 0; i < DIGEST_COUNT; i++) {
        verifier->digests[i] = EVP_MD_fetch(NULL, digest_names[i], NULL);
        complete = complete && verifier->digests[i] != NULL;
    }
    if (!complete) {
        ERR_clear_error();
        return jws_verifier_free(verifier);
    }
    return verifier;
}

struct jws_verifier *jws_verifier_free(struct jws_verifier *verifier)
{
    if (verifier == NULL)
        return NULL;
    for (size_t i = 0; i < READY_KEYS; i++)
        EVP_PKEY_CTX_free(verifier->ready[i].ctx);
    for (size_t i = 0; i < DIGEST_COUNT; i++)
        EVP_MD_free(verifier->digests[i]);
    EVP_MD_CTX_free(verifier->digest_ctx);
    free(verifier);
    return NULL;
}

static const EVP_MD *digest_of(const struct jws_verifier *verifier, enum jws_alg alg)
{
    return verifier->digests[algorithms_table[alg].digest];
}

/* Settles everything but signature and digest. MGF1 uses the same digest by default. */
static bool set_up(EVP_PKEY_CTX *ctx, enum jws_alg alg, const EVP_MD *digest)
{
    const int padding = algorithms_table[alg].padding;
    if (EVP_PKEY_verify_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_padding(ctx, padding) != 1 ||
        EVP_PKEY_CTX_set_signature_md(ctx, digest) != 1)
        return false;
    return padding != RSA_PKCS1_PSS_PADDING ||
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static EVP_PKEY_CTX *make_ready(struct jws_verifier *verifier, enum jws_alg alg, EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (ctx == NULL || !set_up(ctx, alg, digest_of(verifier, alg))) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    struct ready_key *ready = &verifier->ready[verifier->next];
    verifier->next = (verifier->next + 1) % READY_KEYS;
    EVP_PKEY_CTX_free(ready->ctx);
    *ready = (struct ready_key){.key = key, .alg = alg, .ctx = ctx};
    return ctx;
}

/* The context of KEY under ALG and of no other; NULL when it cannot be made. */
static EVP_PKEY_CTX *ready_ctx(struct jws_verifier *verifier, enum jws_alg alg, EVP_PKEY *key)
{
    for (size_t i = 0; i < READY_KEYS; i++)
        if (verifier->ready[i].key == key && verifier->ready[i].alg == alg)
            return verifier->ready[i].ctx;
    return make_ready(verifier, alg, key);
}

static bool digest_signed(struct jws_verifier *verifier, enum jws_alg alg, struct str bytes,
                          uint8_t ret_digest[EVP_MAX_MD_SIZE], unsigned *ret_len)
{
    return EVP_DigestInit_ex2(verifier->digest_ctx, digest_of(verifier, alg), NULL) == 1 &&
           EVP_DigestUpdate(verifier->digest_ctx, bytes.ptr, bytes.len) == 1 &&
           EVP_DigestFinal_ex(verifier->digest_ctx, ret_digest, ret_len) == 1;
}

/* Why OpenSSL did not say yes: the signature, or memory. Nobody is to be told that a good token is
 * bad, as clients throw such a one away. Empties the queue of errors. */
static enum jws_rc rc_of_errors(void)
{
    enum jws_rc rc = JWS_SIGNATURE;
    for (unsigned long error = ERR_get_error(); error != 0; error = ERR_get_error())
        if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
            rc = JWS_NO_MEMORY;
    return rc;
}

static enum jws_rc check_signature(struct jws_verifier *verifier, struct str bytes,
                                   enum jws_alg alg, EVP_PKEY *key, struct str signature)
{
    NOT_ZEROED uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len;
    ERR_clear_error();
    EVP_PKEY_CTX *ctx = ready_ctx(verifier, alg, key);
    if (ctx == NULL || !digest_signed(verifier, alg, bytes, digest, &len)) {
        ERR_clear_error();
        return JWS_NO_MEMORY; /* neither has seen the signature */
    }
    if (EVP_PKEY_verify(ctx, (const unsigned char *)signature.ptr, signature.len, digest, len) == 1)
        return JWS_OK;
    return rc_of_errors();
}

enum jws_rc jws_verify(struct jws_verifier *verifier, const struct jws_parts *parts,
                       enum jws_alg alg, const struct jwk *key)
{
    NOT_ZEROED uint8_t signature[MAX_SIGNATURE_BYTES];
    size_t len;
    if (str_is_set(key->alg) && !str_eq(key->alg, jws_alg_name(alg)))
        return JWS_ALG;
    /* RFC 8017 8.1.2, 8.2.2: step 1 is the length; OpenSSL would take shorter ones for PSS. */
    if (base64url_decode(parts->signature, signature, sizeof(signature), &len) < 0 ||
        len != (size_t)EVP_PKEY_get_size(key->key))
        return JWS_SIGNATURE;
    return check_signature(verifier, parts->signed_bytes, alg, key->key,
                           str_make((const char *)signature, len));
}

const char *jws_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}
