/* SPDX-License-Identifier: Apache-2.0 */
/* Reading policies in tests: an environment and files that exist in a table only. */
#ifndef POLICY_FIXTURE_H
#define POLICY_FIXTURE_H

#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "policy/config.h"
#include "support/cmocka_all.h"

#define PEM "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
/* Nothing that the program writes may contain it. */
#define CANARY "canary-7c1d"

struct fake_file {
    const char *path;
    const char *content;
};

static const struct fake_file fake_env[] = {
    {"SET", "value"},         {"EMPTY", ""},
    {"KEY", CANARY},          {"DOMAIN", "tenant.eu.auth0.com"},
    {"LINES", "a\nb"},        {"LATIN1", "caf\xe9"},
    {"BAD_URL", CANARY ":1"},
};

static const struct fake_file fake_files[] = {
    {"/etc/policy/key.txt", CANARY "\n"}, {"/etc/policy/crlf.txt", "value\r\n"},
    {"/etc/policy/two.txt", "value\n\n"}, {"/etc/policy/ca.pem", PEM},
    {"/etc/policy/text.pem", "hello"},    {"/creds/api-key", CANARY},
};

static inline const char *fake_getenv(void *ctx, const char *name)
{
    (void)ctx;
    for (size_t i = 0; i < ARRAY_LEN(fake_env); i++)
        if (strcmp(fake_env[i].path, name) == 0)
            return fake_env[i].content;
    return NULL;
}

static inline int fake_read_file(void *ctx, const char *path, size_t max_bytes, struct buf *out)
{
    (void)ctx;
    if (strcmp(path, "/etc/policy/large") == 0)
        return -EFBIG;
    for (size_t i = 0; i < ARRAY_LEN(fake_files); i++)
        if (strcmp(fake_files[i].path, path) == 0 && strlen(fake_files[i].content) <= max_bytes)
            return buf_append_cstr(out, fake_files[i].content);
    return -ENOENT;
}

static inline struct config_sources fake_sources(void)
{
    return (struct config_sources){.env = fake_getenv,
                                   .read_file = fake_read_file,
                                   .credentials_directory = "/creds",
                                   .cpus = 3};
}

/* Parses TEXT as /etc/policy/policy.json. */
static inline int parse_policy(const char *text, struct diag *diag, struct config **ret_config)
{
    struct config_sources sources = fake_sources();
    return config_parse(str_from_cstr(text), "/etc/policy", &sources, diag, ret_config);
}

/* Parses what must be right; the caller drops the reference. */
static inline struct config *good_policy(const char *text)
{
    struct diag diag = {0};
    struct config *config = NULL;
    int r = parse_policy(text, &diag, &config);
    if (r != 0)
        diag_print(&diag, stderr, text, false);
    diag_free(&diag);
    assert_int_equal(r, 0);
    assert_non_null(config);
    return config;
}

/* There is a finding of this level at exactly POINTER whose text holds FRAGMENT. */
static inline bool has_finding(const struct diag *diag, enum diag_level level, const char *pointer,
                               const char *fragment)
{
    for (size_t i = 0; i < diag->count; i++)
        if (diag->items[i].level == level && strcmp(diag->items[i].pointer, pointer) == 0 &&
            strstr(diag->items[i].text, fragment) != NULL)
            return true;
    return false;
}

#define ROUTE \
    "{\"resource\": \"https://mcp.example.com/mcp\", \"upstream\": \"http://127.0.0.1:3000/mcp\"}"
#define AUTH0 "\"auth0\": \"tenant.us.auth0.com\""
/* A policy with more keys at the top, with another route, and with more keys in its route. */
#define POLICY_TOP(more) "{" AUTH0 ", " more ", \"routes\": [" ROUTE "]}"
#define POLICY_ROUTE(route) "{" AUTH0 ", \"routes\": [" route "]}"
#define POLICY_IN_ROUTE(more)                                                     \
    POLICY_ROUTE("{\"resource\": \"https://mcp.example.com/mcp\", \"upstream\": " \
                 "\"http://127.0.0.1:3000/mcp\", " more "}")
#define POLICY_UPSTREAM(upstream) \
    POLICY_ROUTE("{\"resource\": \"https://mcp.example.com/mcp\", \"upstream\": " upstream "}")
#define POLICY_ISSUERS(issuers) "{\"issuers\": {" issuers "}, \"routes\": [" ROUTE "]}"

#endif
