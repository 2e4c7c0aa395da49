/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json_lines.h"
#include "base/secret.h"
#include "policy/reader_int.h"
#include "policy/sources_int.h"
#include "proto/jws_sign.h"
#include "proto/tls.h"

#define CONFIG_MAX_DEPTH 32
#define CONFIG_FIRST_ARENA_BYTES 16384
/* Far more than any file of CONFIG_MAX_FILE_BYTES needs that is meant well. */
#define CONFIG_MAX_ARENA_BYTES (256U * 1024 * 1024)

struct config {
    atomic_uint refs;
    struct arena *arena; /* every string and array of data; holds secrets */
    json_t *printed;     /* the effective policy, redacted */
    struct config_data data;
};

const struct config_data *config_get(const struct config *config)
{
    return &config->data;
}

struct tls_context *config_tls_of(const struct config_data *data, struct str address)
{
    for (size_t i = 0; i < data->n_listens; i++)
        if (str_eq(data->listens[i].text, address))
            return data->listens[i].tls;
    return NULL;
}

struct config *config_ref(struct config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

/* What does not live in the arena. */
static void free_route(const struct route *route)
{
    for (size_t i = 0; i < route->upstream.assertion.n_keys; i++)
        (void)jws_signer_free(route->upstream.assertion.keys[i]);
    for (size_t i = 0; i < route->n_rules; i++)
        for (size_t k = 0; k < route->rules[i].n_claims; k++)
            json_decref(route->rules[i].claims[k].values);
}

struct config *config_unref(struct config *config)
{
    /* The last one must see everything that the others did before they let go. */
    if (config == NULL || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (size_t i = 0; i < config->data.n_routes; i++)
        free_route(&config->data.routes[i]);
    for (size_t i = 0; i < config->data.n_listens; i++)
        (void)tls_context_unref(config->data.listens[i].tls);
    arena_free_wiped(config->arena);
    json_decref(config->printed);
    free(config);
    return NULL;
}

json_t *config_print(const struct config *config)
{
    /* A copy: reference counts of JSON values are not for several threads. */
    return json_deep_copy(config->printed);
}

static void config_cleanup(struct config **config)
{
    (void)config_unref(*config);
}

static struct config *config_new(void)
{
    struct config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return NULL;
    atomic_init(&config->refs, 1);
    config->arena = arena_new(CONFIG_FIRST_ARENA_BYTES, CONFIG_MAX_ARENA_BYTES);
    return config->arena != NULL ? config : config_unref(config);
}

static int report_whole(struct diag *diag, int fault, unsigned line, const char *text)
{
    diag_add(diag, DIAG_ERROR, STR(""), line, "%s", text);
    return fault;
}

static void report_duplicates(const struct json_lines *lines, struct diag *diag)
{
    size_t count;
    const struct json_duplicate *duplicates = json_lines_duplicates(lines, &count);
    for (size_t i = 0; i < count; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "duplicate key; the first one is in line %u",
                       duplicates[i].first_line);
        reader_add_finding(diag, DIAG_ERROR, duplicates[i].pointer, duplicates[i].line, text);
    }
}

/* The value of TEXT. With duplicate keys, which are errors and reported, reading goes on with the
 * last one of each, so that other problems are found in the same run. */
static int parse_text(struct str text, const struct json_lines *lines, struct diag *diag,
                      json_t **ret_root)
{
    size_t duplicates;
    unsigned line;
    (void)json_lines_duplicates(lines, &duplicates);
    enum json_rc rc =
        json_parse(text, (struct json_limits){.max_bytes = text.len, .max_depth = CONFIG_MAX_DEPTH},
                   ret_root, &line);
    if (rc == JSON_RC_OK)
        return 0;
    if (rc == JSON_RC_NO_MEMORY)
        return -ENOMEM;
    if (duplicates > 0)
        *ret_root = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (*ret_root != NULL)
        return 0;
    char sentence[128];
    (void)snprintf(sentence, sizeof(sentence), "the file %s", json_rc_text(rc));
    return report_whole(diag, -EINVAL, line, sentence);
}

static int read_document(struct reader *reader, json_t *root, struct config *config)
{
    refs_resolve(reader, root);
    check_document(reader, root);
    if (!json_is_object(root))
        return -EINVAL;
    normalise_document(reader, root);
    build_document(reader, root, &config->data);
    config->data.files = reader->files;
    if (reader->fault == 0 && !diag_has_errors(reader->diag)) {
        config->printed = print_document(reader, root);
        if (config->printed == NULL)
            reader->fault = -ENOMEM;
    }
    if (reader->fault < 0)
        return report_whole(reader->diag, reader->fault, 0, "out of memory");
    return diag_has_errors(reader->diag) ? -EINVAL : 0;
}

static int digest_text(struct str text, struct config *config)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_LEN];
    char hex[2 * SHA256_LEN];
    int r = secret_sha256(text, digest);
    for (size_t i = 0; r == 0 && i < sizeof(hex); i++)
        hex[i] = digits[i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2] & 15];
    config->data.digest = arena_str(config->arena, str_make(hex, sizeof(hex)));
    return r;
}

static int parse_lines(struct str text, struct reader *reader, struct config **ret_config)
{
    CLEANUP(config_cleanup) struct config *config = config_new();
    CLEANUP(json_unref) json_t *root = NULL;
    if (config == NULL)
        return report_whole(reader->diag, -ENOMEM, 0, "out of memory");
    report_duplicates(reader->lines, reader->diag);
    int r = parse_text(text, reader->lines, reader->diag, &root);
    if (r < 0)
        return r;
    reader->arena = config->arena;
    r = read_document(reader, root, config);
    free(reader->refs);
    if (r == 0)
        r = digest_text(text, config);
    if (r == 0)
        *ret_config = TAKE(config);
    return r;
}

static const char *whole_fault(struct str text)
{
    size_t blanks = 0;
    while (blanks < text.len && str_find_char(STR(" \t\r\n"), text.ptr[blanks]) >= 0)
        blanks++;
    if (blanks == text.len)
        return "the file is empty";
    if (text.len > CONFIG_MAX_FILE_BYTES)
        return "the file is too large: at most 4 MiB";
    if (str_has_prefix(text, STR("\xef\xbb\xbf")))
        return "the file begins with a byte order mark; save it as UTF-8 without one";
    return NULL;
}

int config_parse(struct str text, const char *base_dir, const struct config_sources *sources,
                 struct diag *diag, struct config **ret_config)
{
    CLEANUP(json_lines_cleanup) struct json_lines *lines = NULL;
    struct json_fault fault;
    struct config_sources own = *sources;
    const char *problem = whole_fault(text);
    if (problem != NULL)
        return report_whole(diag, -EINVAL, 1, problem);
    int r = json_lines_scan(text, &lines, &fault);
    if (r < 0)
        return report_whole(diag, r, fault.line, fault.text);
    if (own.read_file == NULL)
        own.read_file = sources_read_file;
    struct reader reader = {.sources = &own, .base_dir = base_dir, .diag = diag, .lines = lines};
    r = parse_lines(text, &reader, ret_config);
    diag_sort(diag);
    return r;
}

/* The folder of PATH; the caller frees it. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return str_to_cstr(STR("."));
    return str_to_cstr(str_make(path, slash == path ? 1 : (size_t)(slash - path)));
}

int config_load(const char *path, const struct config_sources *sources, struct diag *diag,
                struct config **ret_config)
{
    /* All the room at once: growing would leave copies of what is a secret in the file. */
    CLEANUP(buf_free) struct buf text = buf_make(2 * CONFIG_MAX_FILE_BYTES);
    int (*read_file)(void *, const char *, size_t, struct buf *) =
        sources->read_file != NULL ? sources->read_file : sources_read_file;
    int r = buf_reserve(&text, text.max);
    if (r == 0)
        r = read_file(sources->ctx, path, CONFIG_MAX_FILE_BYTES, &text);
    if (r < 0)
        return report_whole(diag, r, 0, config_fault_text(r));
    char *folder = folder_of(path);
    r = folder != NULL ? config_parse(buf_str(&text), folder, sources, diag, ret_config) : -ENOMEM;
    secret_wipe(text.ptr, text.len);
    free(folder);
    return r;
}
