/* SPDX-License-Identifier: Apache-2.0 */
/* The examples in config/ and what docs/POLICY.md shows of them: they are accepted without a word,
 * come to the decisions that they promise, and the pages show what is in the files. */
#include <dirent.h>
#include <stdlib.h>

#include "policy/fixture.h"

#define CONFIG SOURCE_DIR "/config/"
#define KEYS SOURCE_DIR "/tests/data/keys/"

/* Credentials that the examples name, and what takes their place here. */
static const struct fake_file credentials[] = {
    {"/creds/assertion-key", KEYS "signer.pem"},
    {"/creds/assertion-key-next", KEYS "next.pem"},
};

static int read_real_file(const char *path, struct buf *out)
{
    char chunk[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -ENOENT;
    for (size_t n = fread(chunk, 1, sizeof(chunk), file); n > 0;
         n = fread(chunk, 1, sizeof(chunk), file))
        (void)buf_append(out, str_make(chunk, n));
    (void)fclose(file);
    return buf_failed(out) ? -EIO : 0;
}

static int read_example_file(void *ctx, const char *path, size_t max_bytes, struct buf *out)
{
    (void)ctx;
    (void)max_bytes;
    for (size_t i = 0; i < ARRAY_LEN(credentials); i++)
        if (strcmp(credentials[i].path, path) == 0)
            return read_real_file(credentials[i].content, out);
    if (strcmp(path, "/creds/session-secret") == 0)
        return buf_append_cstr(out, "0123456789abcdef0123456789abcdef\n");
    return read_real_file(path, out);
}

static void check_example(const char *folder, const char *name, bool tested)
{
    const struct config_sources sources = {
        .env = fake_getenv,
        .read_file = read_example_file,
        .credentials_directory = "/creds",
        .cpus = 1,
    };
    char path[512];
    struct diag diag = {0};
    struct config *config = NULL;
    (void)snprintf(path, sizeof(path), "%s%s", folder, name);
    int r = config_load(path, &sources, &diag, &config);
    diag_print(&diag, stderr, path, false);
    assert_int_equal(r, 0);
    assert_int_equal(diag.count, 0);
    if (tested && config_get(config)->n_tests == 0)
        fail_msg("%s has no tests", name);
    config_unref(config);
    diag_free(&diag);
}

/* Without blanks and line ends, so that the pages may break lines otherwise. */
static char *squeeze(struct str text)
{
    char *out = malloc(text.len + 1);
    size_t len = 0;
    assert_non_null(out);
    for (size_t i = 0; i < text.len; i++)
        if (str_find_char(STR(" \n"), text.ptr[i]) < 0)
            out[len++] = text.ptr[i];
    out[len] = '\0';
    return out;
}

static char *read_squeezed(const char *folder, const char *name)
{
    struct buf text = buf_make(1U << 20);
    char path[512];
    (void)snprintf(path, sizeof(path), "%s%s", folder, name);
    assert_int_equal(read_real_file(path, &text), 0);
    char *squeezed = squeeze(buf_str(&text));
    buf_free(&text);
    return squeezed;
}

/* Every block of JSON under the heading that names the file is a part of the file. */
static void check_page(const char *page, const char *folder, const char *name, const char *shown)
{
    char heading[512];
    (void)snprintf(heading, sizeof(heading), ": `%s`\n", shown);
    const char *at = strstr(page, heading);
    if (at == NULL)
        fail_msg("no heading in docs/POLICY.md names %s", shown);
    const char *end = strstr(at, "\n##");
    char *file = read_squeezed(folder, name);
    for (at = strstr(at, "```json\n"); at != NULL && (end == NULL || at < end);
         at = strstr(at, "```json\n")) {
        at += strlen("```json\n");
        const char *close = strstr(at, "```");
        assert_non_null(close);
        char *block = squeeze(str_make(at, (size_t)(close - at)));
        if (strstr(file, block) == NULL)
            fail_msg("docs/POLICY.md shows what is not in %s: %s", shown, block);
        free(block);
        at = close;
    }
    free(file);
}

static void check_folder(const char *folder, const char *prefix, bool tested, unsigned at_least)
{
    struct buf page = buf_make(1U << 20);
    assert_int_equal(read_real_file(SOURCE_DIR "/docs/POLICY.md", &page), 0);
    assert_int_equal(buf_append_char(&page, '\0'), 0);
    DIR *dir = opendir(folder);
    unsigned count = 0;
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        struct str name = str_from_cstr(entry->d_name);
        char shown[300];
        if (!str_has_suffix(name, STR(".json")) || str_eq(name, STR("policy.schema.json")))
            continue;
        (void)snprintf(shown, sizeof(shown), "%s%s", prefix, entry->d_name);
        check_example(folder, entry->d_name, tested);
        check_page(page.ptr, folder, entry->d_name, shown);
        count++;
    }
    (void)closedir(dir);
    buf_free(&page);
    assert_true(count >= at_least);
}

static void examples_are_accepted_and_shown_as_they_are(void **state)
{
    (void)state;
    check_folder(CONFIG, "", false, 3);
}

static void examples_of_rules_come_to_what_they_promise(void **state)
{
    (void)state;
    check_folder(CONFIG "examples/", "examples/", true, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_accepted_and_shown_as_they_are),
        cmocka_unit_test(examples_of_rules_come_to_what_they_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
