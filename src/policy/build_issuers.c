/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/secret.h"
#include "policy/build_int.h"

#define MAX_NAME_BYTES 64

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_' && c != '.')
            return false;
    }
    return name.len > 0 && name.len <= MAX_NAME_BYTES;
}

/* Where keys come from decides who may make tokens: on the way they must not be changed. */
static bool check_https(struct reader *reader, json_t *root, const json_t *value,
                        const struct place *place, const struct uri *uri)
{
    const json_t *insecure = json_object_get(root, "insecure");
    if (uri->https || uri_host_is_loopback(uri->host) ||
        json_is_true(json_object_get(insecure, "http_issuer")))
        return true;
    reader_error(reader, place,
                 "%s must be https; plain http is for loopback hosts only, or with "
                 "\"insecure\": {\"http_issuer\": true}",
                 reader_quote(reader, value));
    return false;
}

static void check_issuer_url(struct reader *reader, json_t *root, const json_t *value,
                             const struct place *place, struct issuer_config *issuer)
{
    struct uri uri;
    if (!build_url(reader, value, place, &uri) || !check_https(reader, root, value, place, &uri))
        return;
    issuer->allow_http |= !uri.https;
    if (uri.has_query)
        reader_error(reader, place, "%s has a query; an issuer has none (RFC 8414 2)",
                     reader_quote(reader, value));
    if (uri.path.len == 0 && str_has_suffix(uri.host, STR(".auth0.com")))
        reader_warn(reader, place,
                    "Auth0 issuers end in a slash: %.*s/ (without it no token will match)",
                    STR_ARG(reader_is_secret(reader, value) ? STR(REDACTED) : issuer->issuer));
}

static void check_jwks_uri(struct reader *reader, json_t *root, const json_t *value,
                           const struct place *place, struct issuer_config *issuer)
{
    struct uri uri;
    if (build_url(reader, value, place, &uri) && check_https(reader, root, value, place, &uri))
        issuer->allow_http |= !uri.https;
}

/* Keys count as long as those count who vouch for where they came from: the CAs themselves, not the
 * name of their file. */
static struct str hash_trust(struct reader *reader, struct str pem)
{
    uint8_t digest[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    struct str hash = {0};
    if (secret_sha256(pem, digest) == 0) {
        for (size_t i = 0; i < SHA256_LEN; i++)
            (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        hash = reader_keep(reader, str_make(hex, 2 * SHA256_LEN));
    }
    if (!str_is_set(hash))
        reader->fault = -ENOMEM;
    return hash;
}

static void build_trust(struct reader *reader, json_t *object, const struct place *place,
                        struct issuer_config *issuer)
{
    CLEANUP(buf_free) struct buf pem = {0};
    issuer->ca_file = build_pem_file(reader, object, "ca_file", place, &pem);
    if (str_is_set(issuer->ca_file))
        issuer->trust = hash_trust(reader, buf_str(&pem));
}

static void build_issuer(struct reader *reader, json_t *root, json_t *object,
                         const struct place *place, struct issuer_config *issuer)
{
    struct place at_issuer = PLACE_KEY(place, STR("issuer"));
    struct place at_jwks_uri = PLACE_KEY(place, STR("jwks_uri"));
    struct str_list algorithms = reader_strings(reader, json_object_get(object, "algorithms"));
    const json_t *insecure = json_object_get(root, "insecure");
    issuer->name = reader_keep(reader, place->key);
    issuer->issuer = build_optional(reader, object, "issuer");
    issuer->jwks_uri = build_optional(reader, object, "jwks_uri");
    build_trust(reader, object, place, issuer);
    issuer->algorithms = algorithms.items;
    issuer->n_algorithms = algorithms.count;
    issuer->allow_http = json_is_true(json_object_get(insecure, "http_issuer"));
    check_issuer_url(reader, root, json_object_get(object, "issuer"), &at_issuer, issuer);
    check_jwks_uri(reader, root, json_object_get(object, "jwks_uri"), &at_jwks_uri, issuer);
}

/* Two issuers with one iss could not be told apart. */
static void check_unique(struct reader *reader, const struct config_data *data,
                         const struct issuer_config *issuer, const struct place *place)
{
    struct place at = PLACE_KEY(place, STR("issuer"));
    for (size_t i = 0; i < data->n_issuers; i++)
        if (str_is_set(issuer->issuer) && str_eq(data->issuers[i].issuer, issuer->issuer))
            reader_error(reader, &at, "the issuer \"%.*s\" has the same URL",
                         STR_ARG(data->issuers[i].name));
}

static void check_any(struct reader *reader, json_t *root, const json_t *issuers)
{
    struct place top = {0};
    if (json_object_size(issuers) == 0 && json_object_get(root, "auth0") == NULL)
        reader_error(reader, &top,
                     "no issuer: write \"auth0\": \"your-tenant.us.auth0.com\", or \"issuers\"");
}

void build_issuers(struct reader *reader, json_t *root, struct config_data *data)
{
    json_t *object = json_object_get(root, "issuers");
    struct place top = {0};
    struct place place = PLACE_KEY(&top, STR("issuers"));
    struct issuer_config *issuers =
        reader_alloc(reader, json_object_size(object), sizeof(*issuers));
    const char *name;
    json_t *value;
    data->issuers = issuers;
    check_any(reader, root, object);
    if (issuers == NULL)
        return;
    json_object_foreach (object, name, value) {
        struct place at = PLACE_KEY(&place, str_from_cstr(name));
        struct issuer_config *issuer = &issuers[data->n_issuers];
        if (!is_name(at.key))
            reader_error(reader, &at,
                         "an issuer's name is made of letters, digits, '-', '_' and '.', at most "
                         "%d",
                         MAX_NAME_BYTES);
        build_issuer(reader, root, value, &at, issuer);
        check_unique(reader, data, issuer, &at);
        data->n_issuers++;
    }
}
