/* SPDX-License-Identifier: Apache-2.0 */
/* auth/token and auth/token_cache: the input is a credential for a route with one issuer, whose
 * only key is tests/data/keys/signer.pem. Nobody can sign with it here, PKCS #1 v1.5 signatures are
 * unique and base64url is strict: so only the two tokens below are accepted, byte for byte. */
#include "auth/token_cache.h"
#include "base/err.h"
#include "oracle.h"
#include "proto/base64url.h"

#define NOW 1800000000

#define JWK                                                                                       \
    "{\"kty\":\"RSA\",\"kid\":\"key-1\",\"use\":\"sig\",\"n\":\"2w_26pHjok9rspg_2qxfLcCjiCP_Zmb2" \
    "_5WBxQRERwUYZ8vKQFxpsRsXCFQYMHQ193gxqObd_X3_cGAvDzL1-90EcUInZX1KFj2TrA00gFxl"                \
    "8djr8gYWKJfjkZo5l8DLHgGiBzSLQReTTYVCufylmoTJI_C2Luu_9DMrUruWLNyuUSzV_VsoCefs"                \
    "JpY21_N56NuB-p-omlM1K10gbMQtP4UJGcWFxZh8rJWXH7ZmKl8sY6w7CXTYTK35jIVR-cCWPlEL"                \
    "ih8BuXWFdgwQYEfJCXM_7jaSiv4YoilNiC36xxXGPRB0KyEf6Dx8F5mzEdjusRh8kPCToV_JJt3n"                \
    "2xUuHQ\",\"e\":\"AQAB\"}"
#define LEGACY                                                                     \
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtleS0xIn0.eyJpc3MiOiJodHRwczov" \
    "L3RlbmFudC51cy5hdXRoMC5jb20vIiwic3ViIjoiYXV0aDB8NjRmIiwiYXVkIjpbImh0dHBzOi8v" \
    "bWNwLmV4YW1wbGUuY29tL21jcCIsImh0dHBzOi8vdGVuYW50LnVzLmF1dGgwLmNvbS91c2VyaW5m" \
    "byJdLCJpYXQiOjE3OTk5OTkwMDAsImV4cCI6MTgwMDAwMzYwMCwiYXpwIjoidHBjX2NsaWVudCIs" \
    "InNjb3BlIjoib3BlbmlkIG1jcDp1c2UiLCJndHkiOiJwYXNzd29yZCJ9.O5P4hkCaCgMxpo17mUs" \
    "0dsMhWh65WWPDnd4RzqzcYyAm9pLe37zhy4Qdl6lnWD0SZNicjUqPwfIqIe0CnHykR3GYOPmjXf3" \
    "PVJ032ZIGiV4gkAtmE-noFxtEpglK9yeceXYVpXPEpvKoA1d7yBLAe4VeClECbwm4zGc13JTlMsk" \
    "I6brWIhMG9nHFtdv6RKWx37G2kTHlc6BPUq-oV7utbXIoicy6-IsK3RHS6OcTx4Fv5HHF4NFWv99" \
    "LUc-lgWWi8_LwqDzuIFmpsewbCyD_qxxdN_gmlaxw9MIZLVVZoFspoT1f-wxUHutz37pQbXl9NDC" \
    "XQ3GXng5JCiqMy32k1g"
#define RFC9068                                                                    \
    "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImtleS0xIn0.eyJpc3MiOiJodHRw" \
    "czovL3RlbmFudC51cy5hdXRoMC5jb20vIiwic3ViIjoiYXV0aDB8NjRmIiwiYXVkIjoiaHR0cHM6" \
    "Ly9tY3AuZXhhbXBsZS5jb20vbWNwIiwiaWF0IjoxNzk5OTk5MDAwLCJleHAiOjE4MDAwMDM2MDAs" \
    "ImNsaWVudF9pZCI6InRwY19jbGllbnQiLCJqdGkiOiJqMSIsInNjb3BlIjoibWNwOnVzZSIsInBl" \
    "cm1pc3Npb25zIjpbInRvb2w6ZWNobyJdfQ.vDt-AOaVSP0eGhkK4pzvhxn9-5cmAgsF3nV6WM0Oq" \
    "8pyQ3_hNJ4h3knR_CQcSF7yaO3Cv2FCmcY5O99o4kpfdrXn4mxQGZx3LCA1GCraUfl5wfkNLg1wO" \
    "45Ou4m5Y9bl-TT-n3K5NDYpQEcKp6a-1AQPFnfkTml2_VVRul1MldXxPYp48LWJeDRJoeJX5IgOo" \
    "V1UarUbFafvFwZ9Azn83ULxkRYtKYvmWQ60xaIQNNQr-FBWu00Wb4q4ysMyICv5GmC_Zc6acrCux" \
    "xP9y96aL30AqnVrD_x0GhAzNG6MEEhYOwEHVpVmddJmwwzRAboErI_MmFjPgVTWMKzw2zt61w"

static const struct str rs256[] = {STR_INIT("RS256")};
static const struct str audiences[] = {STR_INIT("https://mcp.example.com/mcp")};
static const struct issuer_config issuer = {
    .issuer = STR_INIT("https://tenant.us.auth0.com/"),
    .algorithms = rs256,
    .n_algorithms = 1,
};
static const struct issuer_config *const issuers[] = {&issuer};
static const struct route route = {
    .issuers = issuers,
    .n_issuers = 1,
    .audiences = audiences,
    .n_audiences = 1,
};
static const struct config_data config = {
    .issuers = &issuer,
    .n_issuers = 1,
    .jwks = {.refresh_ms = 600000, .max_stale_ms = 3600000},
    .clock_skew_s = 30,
    .routes = &route,
    .n_routes = 1,
    .limits = {.token_bytes = 16384},
};

/* Made with the first input, lives as long as the process. */
struct world {
    struct keyset *keyset;
    struct jws_verifier *verifier;
    struct token_cache *cache;
    uint8_t good_digest[SHA256_LEN]; /* of LEGACY, which is in the cache */
};

static struct token_context context_of(const struct world *world)
{
    return (struct token_context){
        .config = &config,
        .route = &route,
        .verifier = world->verifier,
        .keysets = &world->keyset,
        .now_s = NOW,
    };
}

static void world_make(struct world *world)
{
    struct keyset_report report;
    ORACLE(keyset_parse(STR("{\"keys\":[" JWK "]}"), rs256, 1, 0, &report, &world->keyset) == 0);
    world->verifier = jws_verifier_make();
    world->cache = token_cache_make(4, 65536);
    ORACLE(world->verifier != NULL && world->cache != NULL);
    const struct token_context context = context_of(world);
    struct identity *identity = NULL;
    size_t issuer_index;
    ORACLE(token_check(&context, STR(LEGACY), &identity, &issuer_index) == TOKEN_OK);
    ORACLE(secret_sha256(STR(LEGACY), world->good_digest) == 0);
    token_cache_insert(world->cache, world->good_digest, STR(LEGACY), identity);
    identity_unref(identity);
}

static void check_identity(const struct token_context *context, struct identity *identity)
{
    ORACLE(token_recheck(context, identity) == TOKEN_OK);
    ORACLE(str_eq(identity->issuer, issuer.issuer));
    ORACLE(str_eq(identity->subject, STR("auth0|64f")));
    ORACLE(str_eq(identity->client, STR("tpc_client")));
    ORACLE(keyset_contains(context->keysets[0], identity->kid, identity->thumbprint));
}

/* Under the digest of the good token only the good token is found: as if SHA-256 had collided. */
static void check_cache(const struct world *world, struct str token)
{
    struct identity *identity = token_cache_lookup(world->cache, world->good_digest, token, NOW);
    ORACLE((identity != NULL) == str_eq(token, STR(LEGACY)));
    identity_unref(identity);
}

static void check_credential(const struct world *world, struct str token)
{
    const struct token_context context = context_of(world);
    const bool good = str_eq(token, STR(LEGACY)) || str_eq(token, STR(RFC9068));
    struct identity *identity = NULL;
    size_t issuer_index = 0;
    enum token_rc rc = token_check(&context, token, &identity, &issuer_index);
    ORACLE((rc == TOKEN_OK) == good);
    ORACLE((identity != NULL) == good);
    ORACLE(issuer_index == (rc == TOKEN_UNKNOWN_KEY ? 0 : SIZE_MAX));
    ORACLE(rc != TOKEN_NO_KEYS && rc != TOKEN_NO_MEMORY);
    ORACLE(token_rc_name(rc) != NULL && token_rc_description(rc) != NULL);
    if (identity != NULL)
        check_identity(&context, identity);
    identity_unref(identity);
    check_cache(world, token);
}

/* Lines of header, payload and signature become a token, the first two by way of base64url: so that
 * a mutation of the JSON gets as far as the check of the signature. */
static void check_composed(const struct world *world, struct str text)
{
    struct buf token = buf_make(4 * text.len + 16);
    struct str header;
    struct str payload;
    (void)str_split(&text, '\n', &header);
    (void)str_split(&text, '\n', &payload);
    (void)base64url_encode_append(header, &token);
    (void)buf_append_char(&token, '.');
    (void)base64url_encode_append(payload, &token);
    (void)buf_append_char(&token, '.');
    (void)buf_append(&token, text);
    ORACLE(!buf_failed(&token));
    check_credential(world, buf_str(&token));
    buf_free(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    const struct str input = oracle_input(data, size);
    struct str rest = input;
    struct str line;
    if (world.keyset == NULL)
        world_make(&world);
    check_credential(&world, input);
    if (str_split(&rest, '\n', &line) && str_is_set(rest) && str_find_char(rest, '\n') >= 0)
        check_composed(&world, input);
    return 0;
}
