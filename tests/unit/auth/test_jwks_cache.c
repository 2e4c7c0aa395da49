/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/jwks_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "support/cmocka_all.h"
#include "support/mint.h"
#include "support/wire.h"

#define NOW_S 1795230007
#define DAY_MS INT64_C(86400000)
#define MAX_PATH 256
#define CLOSE_MS 5000

static const struct str rs256[] = {STR_INIT("RS256")};

static const struct issuer_config plain = {
    .name = STR_INIT("tenant"),
    .issuer = STR_INIT("https://Tenant.example/"),
    .jwks_uri = STR_INIT("https://tenant.example/keys"),
    .algorithms = rs256,
    .n_algorithms = 1,
};
static const struct issuer_config discovering = {
    .name = STR_INIT("tenant"),
    .issuer = STR_INIT("https://tenant.example/"),
    .algorithms = rs256,
    .n_algorithms = 1,
};

struct world {
    struct loop *loop;
    struct spin spin;
    struct mailbox *mailbox;
    struct jwks_cache *cache;
    char dir[64];
    char file[2 * MAX_PATH]; /* of the plain issuer */
    int written;
    int fault; /* of the last write */
    struct buf set;
};

/* ---- the world ---- */

static void on_written(void *ctx, const char *name, int fault)
{
    struct world *w = ctx;
    assert_non_null(strstr(w->file, name));
    w->fault = fault;
    w->written++;
}

static int open_cache(struct world *w)
{
    return jwks_cache_open(
        &(struct jwks_cache_options){
            .dir = w->dir, .written = on_written, .ctx = w, .mailbox = w->mailbox},
        &w->cache);
}

static void make_set(struct buf *out, const char *kid)
{
    EVP_PKEY *key = mint_load_key("signer");
    *out = buf_make(65536);
    (void)buf_append_cstr(out, "{\"keys\":[");
    mint_append_jwk(out, key, kid, "");
    (void)buf_append_cstr(out, "]}");
    EVP_PKEY_free(key);
}

static int set_up(void **state)
{
    char name[JWKS_CACHE_MAX_NAME];
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/portcullis-keys-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(jwks_cache_name(&plain, name), 0);
    (void)snprintf(w->file, sizeof(w->file), "%s/%s", w->dir, name);
    w->loop = loop_new();
    w->spin = (struct spin){.loop = w->loop};
    w->mailbox = mailbox_new(w->loop);
    make_set(&w->set, "one");
    assert_int_equal(open_cache(w), 0);
    *state = w;
    return 0;
}

/* Calls FN for every entry of the folder; returns how many there are. */
static int each_file(const struct world *w, void (*fn)(const char *path))
{
    int count = 0;
    DIR *dir = opendir(w->dir);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[2 * MAX_PATH + 16];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", w->dir, entry->d_name);
        count++;
        if (fn != NULL)
            fn(path);
    }
    (void)closedir(dir);
    return count;
}

static void remove_path(const char *path)
{
    if (unlink(path) < 0)
        (void)rmdir(path);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    assert_null(jwks_cache_close(w->cache, CLOSE_MS));
    assert_null(jwks_cache_close(NULL, 0));
    (void)mailbox_free(w->mailbox);
    (void)loop_free(w->loop);
    (void)chmod(w->dir, 0700);
    (void)each_file(w, remove_path);
    assert_int_equal(rmdir(w->dir), 0);
    buf_free(&w->set);
    free(w);
    return 0;
}

static void save(struct world *w)
{
    int before = w->written;
    assert_int_equal(jwks_cache_save(w->cache, &plain, plain.jwks_uri, NOW_S, buf_str(&w->set)), 0);
    SPIN_UNTIL(&w->spin, w->written > before);
}

static enum jwks_cache_rc load(const struct world *w)
{
    struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
    int64_t fetched_at_s = 0;
    enum jwks_cache_rc rc =
        jwks_cache_load(w->cache, &plain, NOW_S + 60, DAY_MS, &fetched_at_s, &jwks);
    if (rc == JWKS_CACHE_OK)
        assert_int_equal(fetched_at_s, NOW_S);
    else
        assert_int_equal(jwks.len, 0);
    buf_free(&jwks);
    return rc;
}

static void write_text(const char *path, struct str text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.ptr, text.len), text.len);
    (void)close(fd);
}

/* ---- entries ---- */

static void jwks_cache_gives_back_the_set_that_was_fetched(void **state)
{
    struct world *w = *state;
    struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
    struct keyset_report report;
    struct keyset *keyset = NULL;
    int64_t fetched_at_s;
    struct stat st;
    assert_int_equal(load(w), JWKS_CACHE_NONE);
    save(w);
    assert_int_equal(w->fault, 0);
    assert_int_equal(stat(w->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(each_file(w, NULL), 1); /* and no temporary one */
    assert_int_equal(jwks_cache_load(w->cache, &plain, NOW_S, DAY_MS, &fetched_at_s, &jwks),
                     JWKS_CACHE_OK);
    assert_int_equal(keyset_parse(buf_str(&jwks), rs256, 1, 7, &report, &keyset), 0);
    assert_non_null(keyset_find(keyset, STR("one")));
    keyset_unref(keyset);
    buf_free(&jwks);
}

/* What an issuer should not have published does not get to the disk. */
static void jwks_cache_keeps_no_private_member(void **state)
{
    (void)state;
    struct buf entry = buf_make(JWKS_CACHE_MAX_BYTES);
    const struct str document =
        STR("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"leak\",\"n\":\"AQ\",\"e\":\"AQAB\",\"d\":"
            "\"canary\"},"
            "{\"kty\":\"oct\",\"kid\":\"hmac\",\"k\":\"canary\"},\"canary\","
            "{\"kty\":\"RSA\",\"kid\":\"fine\",\"n\":\"AQ\",\"e\":\"AQAB\",\"x5c\":[\"canary\"],"
            "\"note\":\"canary\"},{\"kty\":\"EC\",\"kid\":\"curve\",\"crv\":\"P-256\",\"x\":"
            "\"canary\"}],"
            "\"more\":\"canary\"}");
    assert_int_equal(jwks_cache_append_entry(&plain, plain.jwks_uri, NOW_S, document, &entry), 0);
    (void)buf_append_char(&entry, '\0');
    assert_null(strstr(entry.ptr, "canary"));
    assert_null(strstr(entry.ptr, "leak"));
    assert_null(strstr(entry.ptr, "hmac"));
    assert_non_null(strstr(entry.ptr, "\"fine\""));
    assert_non_null(strstr(entry.ptr, "\"curve\"")); /* with its kid it counts as it did before */
    buf_free(&entry);
}

#define ENTRY(issuer, uri, discovered, fetched_at, jwks) \
    TRUSTED(issuer, uri, discovered, fetched_at, jwks, "\"\"")
#define TRUSTED(issuer, uri, discovered, fetched_at, jwks, trust)                                  \
    "{\"version\":2,\"issuer\":\"" issuer "\",\"jwks_uri\":\"" uri "\",\"discovered\":" discovered \
    ",\"trust\":" trust ",\"fetched_at\":" fetched_at ",\"jwks\":" jwks "}"
#define GOOD                                                                               \
    ENTRY("https://Tenant.example/", "https://tenant.example/keys", "false", "1795230007", \
          "{\"keys\":[]}")

static void jwks_cache_refuses_every_other_entry(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *text;
        enum jwks_cache_rc rc;
    } rows[] = {
        {"good", GOOD, JWKS_CACHE_OK},
        {"empty", "", JWKS_CACHE_MALFORMED},
        {"cut off", "{\"version\":2,\"issuer\":\"https://Ten", JWKS_CACHE_MALFORMED},
        {"something behind", GOOD "x", JWKS_CACHE_MALFORMED},
        {"an array", "[" GOOD "]", JWKS_CACHE_MALFORMED},
        {"a number", "7", JWKS_CACHE_MALFORMED},
        {"a set alone", "{\"keys\":[]}", JWKS_CACHE_MALFORMED},
        {"not UTF-8", "{\"version\":\"\xff\"}", JWKS_CACHE_MALFORMED},
        {"a member twice",
         "{\"version\":2,\"version\":2,\"issuer\":\"https://Tenant.example/\",\"jwks_uri\":\"x\","
         "\"discovered\":false,\"fetched_at\":1,\"jwks\":{}}",
         JWKS_CACHE_MALFORMED},
        {"a member more",
         "{\"version\":2,\"trust\":\"\",\"issuer\":\"https://Tenant.example/"
         "\",\"jwks_uri\":\"x\",\"discovered\":"
         "false,\"fetched_at\":1795230007,\"jwks\":{},\"more\":1}",
         JWKS_CACHE_MALFORMED},
        {"another version",
         "{\"version\":3,\"trust\":\"\",\"issuer\":\"https://Tenant.example/\",\"jwks_uri\":"
         "\"https://tenant.example/keys\",\"discovered\":false,\"fetched_at\":1795230007,\"jwks\":"
         "{}}",
         JWKS_CACHE_MALFORMED},
        {"a time that is no integer",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "false", "1795230007.5",
               "{}"),
         JWKS_CACHE_MALFORMED},
        {"an issuer that is no string",
         "{\"version\":2,\"trust\":\"\",\"issuer\":7,\"jwks_uri\":\"https://tenant.example/"
         "keys\",\"discovered\":"
         "false,\"fetched_at\":1795230007,\"jwks\":{}}",
         JWKS_CACHE_MALFORMED},
        {"a place that is no string",
         "{\"version\":2,\"trust\":\"\",\"issuer\":\"https://Tenant.example/"
         "\",\"jwks_uri\":null,\"discovered\":"
         "false,\"fetched_at\":1795230007,\"jwks\":{}}",
         JWKS_CACHE_MALFORMED},
        {"a discovery that is neither true nor false",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "0", "1795230007", "{}"),
         JWKS_CACHE_MALFORMED},
        {"a set that is no object",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "false", "1795230007",
               "[]"),
         JWKS_CACHE_MALFORMED},
        {"too deep",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "false", "1795230007",
               "{\"keys\":[[[[[[[[]]]]]]]]}"),
         JWKS_CACHE_MALFORMED},
        {"another issuer",
         ENTRY("https://tenant.example/", "https://tenant.example/keys", "false", "1795230007",
               "{}"),
         JWKS_CACHE_ISSUER},
        {"keys from elsewhere",
         ENTRY("https://Tenant.example/", "https://tenant.example/other", "false", "1795230007",
               "{}"),
         JWKS_CACHE_JWKS_URI},
        {"keys that were discovered",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "true", "1795230007",
               "{}"),
         JWKS_CACHE_JWKS_URI},
        {"of before there was a trust",
         "{\"version\":1,\"issuer\":\"https://Tenant.example/\",\"jwks_uri\":"
         "\"https://tenant.example/keys\",\"discovered\":false,\"fetched_at\":1795230007,\"jwks\":"
         "{}}",
         JWKS_CACHE_MALFORMED},
        {"a trust that is no string",
         TRUSTED("https://Tenant.example/", "https://tenant.example/keys", "false", "1795230007",
                 "{}", "null"),
         JWKS_CACHE_MALFORMED},
        {"keys that another CA vouched for",
         TRUSTED("https://Tenant.example/", "https://tenant.example/keys", "false", "1795230007",
                 "{}", "\"00ff\""),
         JWKS_CACHE_TRUST},
        {"a second too old",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "false", "1795226406",
               "{}"),
         JWKS_CACHE_OLD},
        {"just not too old",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "false", "1795226407",
               "{}"),
         JWKS_CACHE_OK},
        {"from before 1970",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "false",
               "-9223372036854775808", "{}"),
         JWKS_CACHE_OLD},
        {"a second from the future",
         ENTRY("https://Tenant.example/", "https://tenant.example/keys", "false", "1795230008",
               "{}"),
         JWKS_CACHE_FUTURE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
        int64_t fetched_at_s = 0;
        enum jwks_cache_rc rc = jwks_cache_read_entry(str_from_cstr(rows[i].text), &plain, NOW_S,
                                                      3600000, &fetched_at_s, &jwks);
        if (rc != rows[i].rc || (rc != JWKS_CACHE_OK && (jwks.len > 0 || fetched_at_s != 0)))
            fail_msg("%s: %s", rows[i].why, jwks_cache_rc_text(rc));
        buf_free(&jwks);
    }
}

static void jwks_cache_keeps_the_trust_that_keys_were_fetched_with(void **state)
{
    (void)state;
    static const struct {
        struct str then;
        struct str now;
        enum jwks_cache_rc rc;
    } rows[] = {
        {STR_INIT("aa"), STR_INIT("aa"), JWKS_CACHE_OK},
        {STR_INIT("aa"), STR_INIT("ab"), JWKS_CACHE_TRUST},
        {STR_INIT("aa"), {0}, JWKS_CACHE_TRUST},
        {{0}, STR_INIT("aa"), JWKS_CACHE_TRUST},
        {{0}, {0}, JWKS_CACHE_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf entry = buf_make(JWKS_CACHE_MAX_BYTES);
        struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
        struct issuer_config issuer = plain;
        int64_t at_s;
        issuer.trust = rows[i].then;
        assert_int_equal(
            jwks_cache_append_entry(&issuer, issuer.jwks_uri, NOW_S, STR("{\"keys\":[]}"), &entry),
            0);
        issuer.trust = rows[i].now;
        assert_int_equal(
            jwks_cache_read_entry(buf_str(&entry), &issuer, NOW_S, DAY_MS, &at_s, &jwks),
            rows[i].rc);
        buf_free(&entry);
        buf_free(&jwks);
    }
}

/* As at a discovery: on the issuer's origin, and not over plain http. */
static void jwks_cache_believes_a_discovered_place_at_home_only(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *text;
        enum jwks_cache_rc rc;
    } rows[] = {
        {"at home",
         ENTRY("https://tenant.example/", "https://tenant.example/any", "true", "1795230007", "{}"),
         JWKS_CACHE_OK},
        {"not discovered",
         ENTRY("https://tenant.example/", "https://tenant.example/any", "false", "1795230007",
               "{}"),
         JWKS_CACHE_JWKS_URI},
        {"another host",
         ENTRY("https://tenant.example/", "https://evil.example/any", "true", "1795230007", "{}"),
         JWKS_CACHE_JWKS_URI},
        {"plain http",
         ENTRY("https://tenant.example/", "http://tenant.example/any", "true", "1795230007", "{}"),
         JWKS_CACHE_JWKS_URI},
        {"no URL", ENTRY("https://tenant.example/", "any", "true", "1795230007", "{}"),
         JWKS_CACHE_JWKS_URI},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
        int64_t fetched_at_s;
        enum jwks_cache_rc rc = jwks_cache_read_entry(str_from_cstr(rows[i].text), &discovering,
                                                      NOW_S, DAY_MS, &fetched_at_s, &jwks);
        if (rc != rows[i].rc)
            fail_msg("%s: %s", rows[i].why, jwks_cache_rc_text(rc));
        buf_free(&jwks);
    }
}

/* The switch that lets an issuer do without TLS holds for its cached place as for its fetched one.
 */
static void jwks_cache_believes_plain_http_of_who_may_use_it(void **state)
{
    (void)state;
    const struct str text = STR(
        ENTRY("http://tenant.example/", "http://tenant.example/any", "true", "1795230007", "{}"));
    struct issuer_config issuer = discovering;
    issuer.issuer = STR("http://tenant.example/");
    for (int allowed = 0; allowed <= 1; allowed++) {
        struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
        int64_t fetched_at_s;
        issuer.allow_http = allowed == 1;
        assert_int_equal(jwks_cache_read_entry(text, &issuer, NOW_S, DAY_MS, &fetched_at_s, &jwks),
                         allowed == 1 ? JWKS_CACHE_OK : JWKS_CACHE_JWKS_URI);
        buf_free(&jwks);
    }
}

static void jwks_cache_refuses_more_text_than_an_entry_can_have(void **state)
{
    (void)state;
    struct buf text = buf_make(JWKS_CACHE_MAX_BYTES + 1);
    struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
    int64_t fetched_at_s = 0;
    assert_int_equal(buf_append_cstr(&text, GOOD), 0);
    while (text.len < JWKS_CACHE_MAX_BYTES)
        assert_int_equal(buf_append_char(&text, ' '), 0);
    assert_int_equal(
        jwks_cache_read_entry(buf_str(&text), &plain, NOW_S, DAY_MS, &fetched_at_s, &jwks),
        JWKS_CACHE_OK);
    assert_int_equal(buf_append_char(&text, ' '), 0);
    assert_int_equal(
        jwks_cache_read_entry(buf_str(&text), &plain, NOW_S, DAY_MS, &fetched_at_s, &jwks),
        JWKS_CACHE_SIZE);
    buf_free(&text);
    buf_free(&jwks);
}

/* What is no set is not kept, and what is in the folder stays. */
static void jwks_cache_save_refuses_what_is_no_set(void **state)
{
    static const char *const documents[] = {"", "{", "7", "[]", "{}", "{\"keys\":{}}"};
    struct world *w = *state;
    save(w);
    for (size_t i = 0; i < ARRAY_LEN(documents); i++)
        assert_int_equal(
            jwks_cache_save(w->cache, &plain, plain.jwks_uri, NOW_S, str_from_cstr(documents[i])),
            -EINVAL);
    assert_null(jwks_cache_close(w->cache, CLOSE_MS));
    assert_int_equal(open_cache(w), 0);
    assert_int_equal(w->written, 1);
    assert_int_equal(load(w), JWKS_CACHE_OK);
}

/* Fetches may come faster than the disk writes: what is behind is left out, the last one is not. */
static void jwks_cache_writes_the_newest_when_the_disk_is_slow(void **state)
{
    enum { SAVES = 200 };
    struct world *w = *state;
    struct buf jwks = buf_make(JWKS_CACHE_MAX_BYTES);
    int64_t fetched_at_s = 0;
    for (int i = 1; i <= SAVES; i++)
        assert_int_equal(
            jwks_cache_save(w->cache, &plain, plain.jwks_uri, NOW_S + i, buf_str(&w->set)), 0);
    assert_null(jwks_cache_close(w->cache, CLOSE_MS));
    assert_int_equal(open_cache(w), 0);
    assert_int_equal(jwks_cache_load(w->cache, &plain, NOW_S + SAVES, DAY_MS, &fetched_at_s, &jwks),
                     JWKS_CACHE_OK);
    assert_int_equal(fetched_at_s, NOW_S + SAVES);
    assert_int_equal(each_file(w, NULL), 1);
    buf_free(&jwks);
}

static void jwks_cache_names_tell_issuers_apart(void **state)
{
    (void)state;
    static const struct {
        const char *issuer;
        const char *begins;
    } rows[] = {
        {"https://tenant.example/", "tenant.example-"},
        {"https://tenant.example", "tenant.example-"},
        {"https://tenant.example/a", "tenant.example-"},
        {"https://Tenant.example/", "tenant.example-"},
        {"http://[::1]:8080/", "__1-"},
        {"https://../", "-"}, /* no such host passes the policy, and it would do no harm */
        {"https://a12345678901234567890123456789012345678901234567890.a1234567890123456789"
         "01234567890123456789/",
         "a12345678901234567890123456789012345678901234567890.a123456789012345678901234567-"},
    };
    char names[ARRAY_LEN(rows)][JWKS_CACHE_MAX_NAME];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct issuer_config issuer = {.issuer = str_from_cstr(rows[i].issuer)};
        assert_int_equal(jwks_cache_name(&issuer, names[i]), 0);
        if (strncmp(names[i], rows[i].begins, strlen(rows[i].begins)) != 0 ||
            strchr(names[i], '/') != NULL || strstr(names[i], ".jwks.json") == NULL)
            fail_msg("%s: %s", rows[i].issuer, names[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
    }
}

/* ---- files ---- */

static void jwks_cache_refuses_files_that_others_may_have_made(void **state)
{
    struct world *w = *state;
    char other[MAX_PATH + 16];
    (void)snprintf(other, sizeof(other), "%s/other", w->dir);
    save(w);
    assert_int_equal(load(w), JWKS_CACHE_OK);

    assert_int_equal(chmod(w->file, 0620), 0);
    assert_int_equal(load(w), JWKS_CACHE_MODE);
    assert_int_equal(chmod(w->file, 0602), 0);
    assert_int_equal(load(w), JWKS_CACHE_MODE);
    assert_int_equal(chmod(w->file, 0644), 0); /* keys are no secret */
    assert_int_equal(load(w), JWKS_CACHE_OK);

    assert_int_equal(link(w->file, other), 0);
    assert_int_equal(load(w), JWKS_CACHE_KIND);
    assert_int_equal(unlink(w->file), 0);
    assert_int_equal(symlink(other, w->file), 0);
    assert_int_equal(load(w), JWKS_CACHE_KIND);
    assert_int_equal(unlink(w->file), 0);
    assert_int_equal(mkdir(w->file, 0700), 0);
    assert_int_equal(load(w), JWKS_CACHE_KIND);
    assert_int_equal(rmdir(w->file), 0);
    assert_int_equal(mkfifo(w->file, 0600), 0); /* which must not be waited for */
    assert_int_equal(load(w), JWKS_CACHE_KIND);
    assert_int_equal(unlink(w->file), 0);
    if (geteuid() == 0) {
        save(w);
        assert_int_equal(chown(w->file, 12345, 0), 0);
        assert_int_equal(load(w), JWKS_CACHE_OWNER);
    }
}

static void jwks_cache_reads_no_more_than_an_entry_can_have(void **state)
{
    struct world *w = *state;
    struct buf text = buf_make(JWKS_CACHE_MAX_BYTES + 1);
    (void)buf_append_cstr(&text, GOOD);
    while (text.len < JWKS_CACHE_MAX_BYTES)
        (void)buf_append_char(&text, ' ');
    write_text(w->file, buf_str(&text));
    assert_int_equal(load(w), JWKS_CACHE_OK);
    (void)buf_append_char(&text, ' ');
    write_text(w->file, buf_str(&text));
    assert_int_equal(load(w), JWKS_CACHE_SIZE);
    buf_free(&text);
}

static void jwks_cache_open_says_what_is_wrong_with_the_folder(void **state)
{
    struct world *w = *state;
    char keep[64];
    struct jwks_cache *good = TAKE(w->cache);
    (void)snprintf(keep, sizeof(keep), "%s", w->dir);
    assert_false(jwks_cache_is_open_to_others(good));
    (void)snprintf(w->dir, sizeof(w->dir), "/nonexistent-folder");
    assert_int_equal(open_cache(w), -ENOENT);
    (void)snprintf(w->dir, sizeof(w->dir), "/etc/passwd");
    assert_int_equal(open_cache(w), -ENOTDIR);
    (void)snprintf(w->dir, sizeof(w->dir), "/proc/self");
    assert_true(open_cache(w) < 0);
    assert_null(w->cache);
    (void)snprintf(w->dir, sizeof(w->dir), "%s", keep);
    if (geteuid() != 0) {
        assert_int_equal(chmod(w->dir, 0500), 0);
        assert_int_equal(open_cache(w), -EACCES);
        assert_int_equal(chmod(w->dir, 0700), 0);
    }
    assert_int_equal(chmod(w->dir, 0770), 0);
    assert_int_equal(open_cache(w), 0);
    assert_true(jwks_cache_is_open_to_others(w->cache));
    (void)jwks_cache_close(good, CLOSE_MS);
}

/* The disk is read-only after a fault, or full: what is on it can still be read. */
static void jwks_cache_open_reads_what_it_cannot_write(void **state)
{
    struct world *w = *state;
    int status;
    save(w);
    assert_int_equal(jwks_cache_write_fault(w->cache), 0);
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (child == 0) { /* mounts of its own */
        w->cache = NULL;
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount(w->dir, w->dir, NULL, MS_BIND, NULL) < 0 ||
            mount(NULL, w->dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
            _exit(2);
        _exit(open_cache(w) == 0 && jwks_cache_write_fault(w->cache) == -EROFS &&
                      load(w) == JWKS_CACHE_OK
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2)
        skip(); /* no mounts here */
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void jwks_cache_tells_of_a_write_that_failed_and_keeps_the_old_file(void **state)
{
    struct world *w = *state;
    struct rlimit before;
    save(w);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN); /* the write then fails with EFBIG, as with ENOSPC */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){100, before.rlim_max}), 0);
    save(w);
    assert_int_equal(w->fault, -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(each_file(w, NULL), 1);
    assert_int_equal(load(w), JWKS_CACHE_OK);
    save(w);
    assert_int_equal(w->fault, 0);
}

/* A process that dies in the middle leaves its temporary file, which nobody reads, and which a
 * later start removes. */
static void jwks_cache_open_removes_what_was_left_half_written(void **state)
{
    struct world *w = *state;
    char left[MAX_PATH + 64];
    char fresh[MAX_PATH + 64];
    char other[MAX_PATH + 64];
    const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    (void)snprintf(left, sizeof(left), "%s/.portcullis-0123456789abcdef.tmp", w->dir);
    (void)snprintf(fresh, sizeof(fresh), "%s/.portcullis-1123456789abcdef.tmp", w->dir);
    (void)snprintf(other, sizeof(other), "%s/somebody-elses.tmp", w->dir);
    write_text(left, STR("{\"vers"));
    write_text(fresh, STR("{\"vers")); /* of a replica that is writing now */
    write_text(other, STR("x"));
    assert_int_equal(utimensat(AT_FDCWD, left, long_ago, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, other, long_ago, 0), 0);
    assert_null(jwks_cache_close(w->cache, CLOSE_MS));
    assert_int_equal(open_cache(w), 0);
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(access(fresh, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
}

/* Whoever reads while others write, and are killed while they write, sees whole entries only. */
static void jwks_cache_never_shows_a_part_of_an_entry(void **state)
{
    struct world *w = *state;
    save(w);
    for (int round = 0; round < 20; round++) {
        enum jwks_cache_rc rc = JWKS_CACHE_OK;
        pid_t pid = fork();
        if (pid == 0) { /* its own cache: the thread of ours is not there */
            struct jwks_cache *mine = NULL;
            if (jwks_cache_open(
                    &(struct jwks_cache_options){
                        .dir = w->dir, .written = on_written, .ctx = w, .mailbox = w->mailbox},
                    &mine) < 0)
                _exit(1);
            (void)alarm(20); /* should nobody end it */
            for (;;)
                (void)jwks_cache_save(mine, &plain, plain.jwks_uri, NOW_S, buf_str(&w->set));
        }
        assert_true(pid > 0);
        int64_t until_ms = wire_real_ms() + 10;
        while (wire_real_ms() < until_ms && rc == JWKS_CACHE_OK)
            rc = load(w);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(rc, JWKS_CACHE_OK);
        assert_int_equal(load(w), JWKS_CACHE_OK);
    }
}

static void jwks_cache_close_writes_what_waits(void **state)
{
    struct world *w = *state;
    assert_int_equal(jwks_cache_save(w->cache, &plain, plain.jwks_uri, NOW_S, buf_str(&w->set)), 0);
    assert_null(jwks_cache_close(w->cache, CLOSE_MS));
    assert_int_equal(open_cache(w), 0);
    assert_int_equal(load(w), JWKS_CACHE_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(jwks_cache_gives_back_the_set_that_was_fetched),
        cmocka_unit_test(jwks_cache_keeps_no_private_member),
        cmocka_unit_test(jwks_cache_refuses_every_other_entry),
        cmocka_unit_test(jwks_cache_keeps_the_trust_that_keys_were_fetched_with),
        cmocka_unit_test(jwks_cache_believes_a_discovered_place_at_home_only),
        cmocka_unit_test(jwks_cache_believes_plain_http_of_who_may_use_it),
        cmocka_unit_test(jwks_cache_refuses_more_text_than_an_entry_can_have),
        TEST(jwks_cache_save_refuses_what_is_no_set),
        TEST(jwks_cache_writes_the_newest_when_the_disk_is_slow),
        cmocka_unit_test(jwks_cache_names_tell_issuers_apart),
        TEST(jwks_cache_refuses_files_that_others_may_have_made),
        TEST(jwks_cache_reads_no_more_than_an_entry_can_have),
        TEST(jwks_cache_open_says_what_is_wrong_with_the_folder),
        TEST(jwks_cache_open_reads_what_it_cannot_write),
        TEST(jwks_cache_tells_of_a_write_that_failed_and_keeps_the_old_file),
        TEST(jwks_cache_open_removes_what_was_left_half_written),
        TEST(jwks_cache_never_shows_a_part_of_an_entry),
        TEST(jwks_cache_close_writes_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
