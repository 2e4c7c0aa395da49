/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the keys and tokens of a run, in the shape that an Auth0 tenant with the RFC 9068 profile
 * issues, about 920 bytes each.
 *
 * usage: mint DIRECTORY COUNT
 * Writes into DIRECTORY:
 *   jwks.json    the key set             public.pem   the same key, for HAProxy
 *   tokens       COUNT good tokens, one in a line, each different
 *   refused-*    one token each that must be refused: signature, expired, audience, issuer */
#include <inttypes.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define KEY_BITS 2048
#define SIGNATURE_LEN (KEY_BITS / 8)
#define MAX_TOKEN 2048
#define MAX_COUNT 1000000
#define LIFETIME_S 86400

#define ISSUER "https://bench.example/"
#define AUDIENCE "https://mcp.example.com/mcp"
#define KEY_ID "bench-key-2026-0001"

/* What differs between tokens. */
struct claims {
    const char *issuer;
    const char *audience;
    int64_t exp_s;
    uint64_t serial;
};

/* RFC 4648 5, without padding. dest takes 4 * ceil(len / 3) + 1 bytes; returns the length. */
static size_t base64url(char *dest, const unsigned char *bytes, size_t len)
{
    int n = EVP_EncodeBlock((unsigned char *)dest, bytes, (int)len);
    while (n > 0 && dest[n - 1] == '=')
        n--;
    dest[n] = '\0';
    for (char *at = dest; *at != '\0'; at++) {
        if (*at == '+')
            *at = '-';
        else if (*at == '/')
            *at = '_';
    }
    return (size_t)n;
}

static FILE *create(const char *directory, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        tool_die("cannot write %s", path);
    return file;
}

static void finish(FILE *file)
{
    if (fclose(file) != 0)
        tool_die("cannot write a file");
}

static void write_number(FILE *file, const EVP_PKEY *key, const char *param)
{
    unsigned char bytes[SIGNATURE_LEN];
    char text[SIGNATURE_LEN * 2];
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, param, &number) != 1)
        tool_die("the key has no %s", param);
    (void)base64url(text, bytes, (size_t)BN_bn2bin(number, bytes));
    BN_free(number);
    (void)fprintf(file, ",\"%s\":\"%s\"", param, text);
}

static void write_keys(const char *directory, const EVP_PKEY *key)
{
    FILE *jwks = create(directory, "jwks.json");
    (void)fprintf(jwks,
                  "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"%s\"",
                  KEY_ID);
    write_number(jwks, key, OSSL_PKEY_PARAM_RSA_N);
    write_number(jwks, key, OSSL_PKEY_PARAM_RSA_E);
    (void)fputs("}]}\n", jwks);
    finish(jwks);

    FILE *pem = create(directory, "public.pem");
    if (PEM_write_PUBKEY(pem, key) != 1)
        tool_die("cannot write the public key");
    finish(pem);
}

static int payload_print(char *payload, size_t size, const struct claims *claims)
{
    return snprintf(payload, size,
                    "{\"iss\":\"%s\",\"sub\":\"auth0|%024" PRIx64 "\",\"aud\":[\"%s\","
                    "\"%suserinfo\"],\"iat\":%" PRId64 ",\"exp\":%" PRId64 ",\"scope\":"
                    "\"openid profile email mcp:use mcp:read mcp:write offline_access\","
                    "\"client_id\":\"tpc_%016" PRIx64 "\",\"jti\":\"%022" PRIx64 "\","
                    "\"permissions\":[\"tool:echo\",\"tool:add\",\"tool:search\"]}",
                    claims->issuer, claims->serial, claims->audience, claims->issuer,
                    claims->exp_s - LIFETIME_S, claims->exp_s, claims->serial, claims->serial);
}

/* RFC 7515 3.1; RFC 9068 2.1: typ is at+jwt. token takes MAX_TOKEN bytes. */
static size_t token_make(char *token, EVP_PKEY *key, const struct claims *claims)
{
    static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"" KEY_ID "\"}";
    char payload[1024];
    unsigned char signature[SIGNATURE_LEN];
    size_t signature_len = sizeof(signature);
    size_t payload_len = (size_t)payload_print(payload, sizeof(payload), claims);

    size_t len = base64url(token, (const unsigned char *)header, sizeof(header) - 1);
    token[len++] = '.';
    len += base64url(token + len, (const unsigned char *)payload, payload_len);

    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(context, signature, &signature_len, (unsigned char *)token, len) != 1)
        tool_die("cannot sign");
    EVP_MD_CTX_free(context);

    token[len++] = '.';
    return len + base64url(token + len, signature, signature_len);
}

static void write_good(const char *directory, EVP_PKEY *key, uint64_t count, int64_t exp_s)
{
    char token[MAX_TOKEN];
    FILE *file = create(directory, "tokens");
    for (uint64_t i = 0; i < count; i++) {
        struct claims claims = {ISSUER, AUDIENCE, exp_s, i + 1};
        (void)token_make(token, key, &claims);
        (void)fprintf(file, "%s\n", token);
    }
    finish(file);
}

/* Each of them is right but for the one thing its name says. */
static void write_refused(const char *directory, EVP_PKEY *key, int64_t exp_s)
{
    const struct {
        const char *file;
        struct claims claims;
        bool is_forged;
    } rows[] = {
        {"refused-signature", {ISSUER, AUDIENCE, exp_s, 1}, true},
        {"refused-expired", {ISSUER, AUDIENCE, exp_s - LIFETIME_S - 3600, 1}, false},
        {"refused-audience", {ISSUER, "https://other.example.com/mcp", exp_s, 1}, false},
        {"refused-issuer", {"https://bench.example.net/", AUDIENCE, exp_s, 1}, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char token[MAX_TOKEN];
        size_t len = token_make(token, key, &rows[i].claims);
        /* Not the last character: some of its bits are padding. */
        if (rows[i].is_forged)
            token[len - 9] = token[len - 9] == 'A' ? 'B' : 'A';
        FILE *file = create(directory, rows[i].file);
        (void)fprintf(file, "%s\n", token);
        finish(file);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        tool_die("usage: mint DIRECTORY COUNT");
    uint64_t count = tool_parse_number(argv[2], 1, MAX_COUNT);
    int64_t exp_s = (int64_t)time(NULL) + LIFETIME_S;
    EVP_PKEY *key = EVP_RSA_gen(KEY_BITS);
    if (key == NULL)
        tool_die("cannot make a key");
    write_keys(argv[1], key);
    write_good(argv[1], key, count, exp_s);
    write_refused(argv[1], key, exp_s);
    EVP_PKEY_free(key);
    return 0;
}
