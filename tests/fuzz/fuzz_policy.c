/* SPDX-License-Identifier: Apache-2.0 */
/* A policy is any text. What must hold for each:
 * - either there is an error in the findings and no configuration, or the other way round;
 * - what jansson does not take for JSON, or what has a duplicate key, is refused;
 * - a configuration is whole: routes are found at their own paths, the metadata names the resource;
 * - it prints as a policy that is accepted and prints itself, unless something is redacted;
 * - what references gave appears neither in a finding nor in print.
 * Environment and files are made up; nothing outside is touched. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "policy/config.h"
#include "policy/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CANARY "s3cr3t-7c1d"

static const char *fuzz_env(void *ctx, const char *name)
{
    (void)ctx;
    if (strncmp(name, "UNSET", 5) == 0)
        return NULL;
    return strcmp(name, "DOMAIN") == 0 ? CANARY ".auth0.com" : CANARY;
}

static int fuzz_read_file(void *ctx, const char *path, size_t max_bytes, struct buf *out)
{
    (void)ctx;
    (void)max_bytes;
    if (strstr(path, "missing") != NULL)
        return -ENOENT;
    if (strstr(path, ".pem") != NULL)
        return buf_append_cstr(out, "-----BEGIN X-----\n");
    return buf_append_cstr(out, CANARY "\n");
}

static const struct config_sources sources = {
    .env = fuzz_env,
    .read_file = fuzz_read_file,
    .credentials_directory = "/creds",
    .cpus = 2,
};

static bool has(struct str text, const char *part)
{
    return text.len > 0 && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static void check_findings(const struct diag *diag, bool secret)
{
    for (size_t i = 0; i < diag->count; i++) {
        const struct finding *finding = &diag->items[i];
        assert(finding->text[0] != '\0');
        assert(finding->pointer[0] == '\0' || finding->pointer[0] == '/');
        assert(!secret || strstr(finding->text, CANARY) == NULL);
    }
}

static void check_route(const struct config_data *data, const struct route *route)
{
    struct str root = STR("/");
    struct str path = route->mount.len > 0 ? route->mount : root;
    assert(route_find(data, path).route == route);
    assert(route_find(data, path).kind == ROUTE_MCP);
    assert(route_find(data, route->metadata_path).route == route);
    assert(route_find(data, route->metadata_path).kind == ROUTE_METADATA);
    assert(route_origin_allowed(route, route->origin));
    assert(!str_has_suffix(route->mount, root));
    assert(str_has_prefix(route->metadata_url, route->scheme));
    assert(route->n_issuers > 0 && route->n_audiences > 0);
    assert(route->max_body_bytes > 0 && route->upstream.port > 0);
    assert(route->upstream.target.len > 0 && route->upstream.target.ptr[0] == '/');
    json_t *document = json_loadb(route->metadata_json.ptr, route->metadata_json.len,
                                  JSON_REJECT_DUPLICATES, NULL);
    assert(str_eq(json_get_str(document, "resource"), route->resource));
    json_decref(document);
}

static void check_config(const struct config_data *data)
{
    assert(data->n_routes > 0 && data->n_issuers > 0 && data->n_listens > 0);
    assert(data->workers >= 1 && data->workers <= CONFIG_MAX_WORKERS);
    assert(data->limits.token_bytes <= data->limits.header_bytes);
    assert(data->jwks.refresh_ms > 0 && data->jwks.timeout_ms > 0 && data->clock_skew_s >= 0);
    for (size_t i = 0; i < data->n_routes; i++)
        check_route(data, &data->routes[i]);
}

static void check_print(const struct config *config, bool secret)
{
    struct diag diag = {0};
    struct config *again = NULL;
    json_t *printed = config_print(config);
    char *text = json_dumps(printed, 0);
    assert(text != NULL);
    assert(!secret || strstr(text, CANARY) == NULL);
    if (strstr(text, "[redacted]") == NULL) {
        int r = config_parse(str_from_cstr(text), ".", &sources, &diag, &again);
        assert(r == 0);
        json_t *reprinted = config_print(again);
        assert(json_equal(printed, reprinted));
        json_decref(reprinted);
        config_unref(again);
    }
    free(text);
    json_decref(printed);
    diag_free(&diag);
}

static bool is_json(struct str text)
{
    json_t *root = json_loadb(text.ptr, text.len,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool valid = root != NULL;
    json_decref(root);
    return valid;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make((const char *)data, size);
    /* The canary may also be spelled out in the input, as it is or with escapes. */
    bool secret = !has(text, "7c1d") && !has(text, "\\u");
    struct diag diag = {0};
    struct config *config = NULL;
    int r = config_parse(text, ".", &sources, &diag, &config);
    assert((r == 0) == (config != NULL));
    assert((r == 0) == !diag_has_errors(&diag));
    check_findings(&diag, secret);
    if (config != NULL) {
        assert(is_json(text));
        check_config(config_get(config));
        check_print(config, secret);
    }
    config_unref(config);
    diag_free(&diag);
    return 0;
}
