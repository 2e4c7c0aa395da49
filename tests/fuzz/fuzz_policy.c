/* SPDX-License-Identifier: Apache-2.0 */
/* A policy is any text. What must hold for each:
 * - either there is an error in the findings and no configuration, or the other way round;
 * - what jansson does not take for JSON, or what has a duplicate key, is refused; what it does take
 *   has lines, and no duplicate key in them;
 * - a configuration is whole: routes are found at their own paths, the metadata names the resource;
 * - it prints as a policy that is accepted and prints itself, unless something is redacted;
 * - what references gave appears neither in a finding nor in print.
 * Environment and files are made up; nothing outside is touched. */
#include <errno.h>
#include <stdlib.h>

#include "base/json_lines.h"
#include "oracle.h"
#include "policy/config.h"
#include "policy/route.h"

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
        ORACLE(finding->text[0] != '\0');
        ORACLE(finding->pointer[0] == '\0' || finding->pointer[0] == '/');
        ORACLE(!secret || strstr(finding->text, CANARY) == NULL);
    }
}

static void check_route(const struct route_table *table, const struct route *route)
{
    struct str root = STR("/");
    struct str path = route->mount.len > 0 ? route->mount : root;
    ORACLE(route_find(table, path).route == route);
    ORACLE(route_find(table, path).kind == ROUTE_MCP);
    struct str origin_end = str_from(route->metadata_url, route->scheme.len + strlen("://"));
    struct str metadata_path = str_from(origin_end, route->authority.len);
    ORACLE(route_find(table, metadata_path).route == route);
    ORACLE(route_find(table, metadata_path).kind == ROUTE_METADATA);
    ORACLE(route_origin_allowed(route, route->origin));
    ORACLE(!str_has_suffix(route->mount, root));
    ORACLE(str_has_prefix(route->metadata_url, route->scheme));
    ORACLE(route->n_issuers > 0 && route->n_audiences > 0);
    ORACLE(route->max_body_bytes > 0 && route->upstream.port > 0);
    ORACLE(route->upstream.target.len > 0 && route->upstream.target.ptr[0] == '/');
    json_t *document = json_loadb(route->metadata_json.ptr, route->metadata_json.len,
                                  JSON_REJECT_DUPLICATES, NULL);
    ORACLE(str_eq(json_get_str(document, "resource"), route->resource));
    json_decref(document);
}

static void check_config(const struct config_data *data)
{
    ORACLE(data->n_routes > 0 && data->n_issuers > 0 && data->n_listens > 0);
    ORACLE(data->workers >= 1 && data->workers <= CONFIG_MAX_WORKERS);
    ORACLE(data->limits.token_bytes <= data->limits.header_bytes);
    ORACLE(data->jwks.refresh_ms > 0 && data->jwks.timeout_ms > 0 && data->clock_skew_s >= 0);
    struct route_table *table = route_table_new(data);
    ORACLE(table != NULL);
    for (size_t i = 0; i < data->n_routes; i++)
        check_route(table, &data->routes[i]);
    (void)route_table_free(table);
}

static void check_print(const struct config *config, bool secret)
{
    struct diag diag = {0};
    struct config *again = NULL;
    json_t *printed = config_print(config);
    char *text = json_dumps(printed, 0);
    ORACLE(text != NULL);
    ORACLE(!secret || strstr(text, CANARY) == NULL);
    if (strstr(text, "[redacted]") == NULL) {
        int r = config_parse(str_from_cstr(text), ".", &sources, &diag, &again);
        ORACLE(r == 0);
        json_t *reprinted = config_print(again);
        ORACLE(json_equal(printed, reprinted));
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
    /* It skips a NUL byte behind a number or a word. */
    bool valid = root != NULL && !str_has_nul(text);
    json_decref(root);
    return valid;
}

/* The scanner may accept more than jansson, but for its limits never less. */
static void check_lines(struct str text, bool json)
{
    struct json_lines *lines = NULL;
    struct json_fault fault;
    size_t duplicates = 0;
    if (json_lines_scan(text, &lines, &fault) < 0) {
        ORACLE(!json || strstr(fault.text, "too ") != NULL);
        ORACLE(fault.line >= 1);
        return;
    }
    (void)json_lines_duplicates(lines, &duplicates);
    ORACLE(!json || duplicates == 0);
    json_lines_free(lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = oracle_input(data, size);
    /* The canary may also be spelled out in the input, as it is or with escapes. */
    bool secret = !has(text, "7c1d") && !has(text, "\\u");
    struct diag diag = {0};
    struct config *config = NULL;
    int r = config_parse(text, ".", &sources, &diag, &config);
    ORACLE((r == 0) == (config != NULL));
    ORACLE((r == 0) == !diag_has_errors(&diag));
    check_findings(&diag, secret);
    check_lines(text, is_json(text));
    if (config != NULL) {
        ORACLE(is_json(text));
        check_config(config_get(config));
        check_print(config, secret);
    }
    config_unref(config);
    diag_free(&diag);
    return 0;
}
