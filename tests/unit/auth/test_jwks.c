/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/jwks.h"

#include <dirent.h>
#include <stdlib.h>

#include "policy/fixture.h"
#include "support/mint.h"
#include "support/test_clock.h"
#include "support/wire.h"

#define REFRESH_MS 600000
#define COOLDOWN_MS 30000
#define MAX_TEXT 2048

struct world {
    struct loop *loop;
    struct client_pool *clients;
    struct spin spin;
    struct rng rng;
    int listen_fd; /* of the issuer that the test plays */
    uint16_t port;
    struct buf in;
    struct config *config;
    struct jwks_keeper *keeper;
    struct mailbox *mailbox;
    struct jwks_cache *cache; /* NULL: off */
    char dir[64];
    int written;         /* entries of the cache */
    struct buf one_key;  /* a JWK set with the kid "one" */
    struct buf next_key; /* and one with the kid "next" only */
    int settled;         /* calls, and what the last one said */
    struct jwks_event event;
};

static void on_settled(void *ctx, struct jwks_keeper *keeper, const struct jwks_event *event)
{
    struct world *w = ctx;
    assert_ptr_equal(keeper, w->keeper);
    assert_false(atomic_load(&jwks_keeper_status(keeper)->in_flight));
    w->settled++;
    w->event = *event;
}

/* ---- the world ---- */

/* A policy whose one issuer is the test; PATH is the path of its URL, MORE further members. */
static struct config *make_config(const struct world *w, const char *path, const char *more,
                                  const char *jwks)
{
    char text[MAX_TEXT];
    (void)snprintf(text, sizeof(text),
                   "{\"issuers\": {\"test\": {\"issuer\": \"http://127.0.0.1:%u%s\"%s}},"
                   " \"jwks\": {%s}, \"routes\": [" ROUTE "]}",
                   (unsigned)w->port, path, more, jwks);
    return good_policy(text);
}

/* The issuer at "/" with its keys at /keys. */
static struct config *make_plain_config(const struct world *w)
{
    char more[128];
    (void)snprintf(more, sizeof(more), ", \"jwks_uri\": \"http://127.0.0.1:%u/keys\"",
                   (unsigned)w->port);
    return make_config(w, "/", more, "");
}

static void open_keeper(struct world *w, struct config *config)
{
    w->config = config;
    w->keeper =
        jwks_keeper_new(&(struct jwks_keeper_options){.loop = w->loop,
                                                      .clients = w->clients,
                                                      .rng = &w->rng,
                                                      .config = config,
                                                      .issuer = &config_get(config)->issuers[0],
                                                      .cache = w->cache,
                                                      .settled = on_settled,
                                                      .ctx = w});
    assert_non_null(w->keeper);
}

static void make_set(struct buf *out, const char *key_name, const char *kid)
{
    EVP_PKEY *key = mint_load_key(key_name);
    *out = buf_make(65536);
    (void)buf_append_cstr(out, "{\"keys\":[");
    mint_append_jwk(out, key, kid, "");
    (void)buf_append_cstr(out, "]}");
    EVP_PKEY_free(key);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    test_clock_stop();
    w->loop = loop_new();
    w->clients = client_pool_new(w->loop);
    w->spin = (struct spin){.loop = w->loop};
    w->rng = (struct rng){.state = {1, 2}};
    w->in = buf_make(WIRE_MAX_BYTES);
    w->listen_fd = wire_listen(&w->port);
    make_set(&w->one_key, "signer", "one");
    make_set(&w->next_key, "next", "next");
    *state = w;
    return 0;
}

static void on_written(void *ctx, const char *name, int fault)
{
    (void)name;
    assert_int_equal(fault, 0);
    ((struct world *)ctx)->written++;
}

static void open_cache(struct world *w)
{
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/portcullis-jwks-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->mailbox = mailbox_new(w->loop);
    assert_int_equal(jwks_cache_open(
                         &(struct jwks_cache_options){
                             .dir = w->dir, .written = on_written, .ctx = w, .mailbox = w->mailbox},
                         &w->cache),
                     0);
}

static void close_cache(struct world *w)
{
    if (w->cache == NULL)
        return;
    w->cache = jwks_cache_close(w->cache, 5000);
    w->mailbox = mailbox_free(w->mailbox);
    DIR *dir = opendir(w->dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    (void)closedir(dir);
    assert_int_equal(rmdir(w->dir), 0);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    assert_null(jwks_keeper_free(w->keeper));
    close_cache(w);
    config_unref(w->config);
    client_pool_free(w->clients);
    (void)close(w->listen_fd);
    buf_free(&w->in);
    buf_free(&w->one_key);
    buf_free(&w->next_key);
    loop_free(w->loop);
    free(w);
    return 0;
}

/* ---- the issuer that the test plays ---- */

/* Waits for a request of exactly this target; the connection. */
static int expect_fetch(struct world *w, const char *target)
{
    char line[MAX_TEXT];
    int fd = wire_accept(&w->spin, w->listen_fd);
    (void)snprintf(line, sizeof(line), "GET %s HTTP/1.1\r\n", target);
    buf_clear(&w->in);
    wire_expect(&w->spin, fd, &w->in, "\r\n\r\n");
    if (!str_has_prefix(buf_str(&w->in), str_from_cstr(line)))
        fail_msg("expected %s, got %.*s", line, STR_ARG(str_head(buf_str(&w->in), 80)));
    return fd;
}

static void answer(struct world *w, int fd, const char *status, struct str body)
{
    struct buf out = buf_make(WIRE_MAX_BYTES);
    (void)buf_printf(&out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status, body.len);
    (void)buf_append(&out, body);
    wire_send(&w->spin, fd, buf_str(&out));
    buf_free(&out);
    (void)close(fd);
}

/* Answers the fetch of TARGET and waits for the end of the attempt. */
static void serve(struct world *w, const char *target, const char *status, struct str body)
{
    int before = w->settled;
    answer(w, expect_fetch(w, target), status, body);
    SPIN_UNTIL(&w->spin, w->settled > before);
    assert_int_equal(w->settled, before + 1);
}

static void expect_no_fetch(struct world *w)
{
    spin_for(&w->spin, 15);
    assert_int_equal(wire_try_accept(w->listen_fd), -1);
}

static bool has_key(const struct world *w, struct str kid)
{
    const struct keyset *keyset = jwks_keeper_keyset(w->keeper);
    return keyset != NULL && keyset_find(keyset, kid) != NULL;
}

/* ---- the first fetch and the refresh ---- */

static void jwks_keeper_fetches_at_once_and_says_what_it_got(void **state)
{
    struct world *w = *state;
    open_keeper(w, make_plain_config(w));
    const struct jwks_status *status = jwks_keeper_status(w->keeper);
    assert_null(jwks_keeper_keyset(w->keeper));
    assert_true(jwks_status_is_pending(status)); /* from birth: who comes now may wait */
    assert_int_equal(atomic_load(&status->loaded_ms), JWKS_NEVER_LOADED);
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    assert_true(w->event.ok);
    assert_string_equal(w->event.step, "jwks");
    assert_null(w->event.reason);
    assert_int_equal(w->event.report.usable, 1);
    assert_true(has_key(w, STR("one")));
    assert_false(jwks_status_is_pending(status));
    assert_int_equal(atomic_load(&status->keys), 1);
    assert_int_equal(atomic_load(&status->fetches_ok), 1);
    assert_int_equal(atomic_load(&status->fetches_failed), 0);
    assert_int_equal(atomic_load(&status->loaded_ms),
                     keyset_loaded_mono_ms(jwks_keeper_keyset(w->keeper)));
    assert_ptr_equal(jwks_keeper_issuer(w->keeper), &config_get(w->config)->issuers[0]);
}

static void jwks_keeper_refreshes_in_the_background_with_jitter(void **state)
{
    struct world *w = *state;
    int64_t shortest = INT64_MAX;
    int64_t longest = 0;
    open_keeper(w, make_plain_config(w));
    for (int i = 0; i < 12; i++) {
        serve(w, "/keys", "200 OK", buf_str(&w->one_key));
        assert_in_range(w->event.retry_in_ms, REFRESH_MS - REFRESH_MS / 10,
                        REFRESH_MS + REFRESH_MS / 10);
        shortest = w->event.retry_in_ms < shortest ? w->event.retry_in_ms : shortest;
        longest = w->event.retry_in_ms > longest ? w->event.retry_in_ms : longest;
        test_clock_skip_ms(w->event.retry_in_ms - 1);
        expect_no_fetch(w);
        test_clock_skip_ms(1);
    }
    assert_true(longest - shortest > REFRESH_MS / 20);
}

static void jwks_keeper_takes_a_set_without_the_old_key(void **state)
{
    struct world *w = *state;
    open_keeper(w, make_plain_config(w));
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    struct keyset *old = keyset_ref(jwks_keeper_keyset(w->keeper));
    test_clock_skip_ms(2 * REFRESH_MS);
    serve(w, "/keys", "200 OK", buf_str(&w->next_key));
    assert_true(has_key(w, STR("next")));
    assert_false(has_key(w, STR("one"))); /* that is how a key is revoked */
    assert_non_null(keyset_find(old, STR("one")));
    keyset_unref(old);
}

/* ---- failures ---- */

static void jwks_keeper_retries_after_1_2_4_up_to_60_seconds(void **state)
{
    struct world *w = *state;
    static const int64_t schedule_s[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    open_keeper(w, make_plain_config(w));
    for (size_t i = 0; i < ARRAY_LEN(schedule_s); i++) {
        serve(w, "/keys", "500 Oops", STR(""));
        if (w->event.ok || w->event.retry_in_ms != schedule_s[i] * 1000)
            fail_msg("attempt %zu: %d ms", i, (int)w->event.retry_in_ms);
        test_clock_skip_ms(w->event.retry_in_ms - 1);
        expect_no_fetch(w);
        test_clock_skip_ms(1);
    }
    assert_int_equal(atomic_load(&jwks_keeper_status(w->keeper)->fetches_failed),
                     ARRAY_LEN(schedule_s));
    /* A success starts the schedule anew. */
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    test_clock_skip_ms(w->event.retry_in_ms);
    serve(w, "/keys", "500 Oops", STR(""));
    assert_int_equal(w->event.retry_in_ms, 1000);
}

static void jwks_keeper_keeps_good_keys_whatever_comes(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *status;
        const char *body;
        const char *reason;
        unsigned http_status;
    } rows[] = {
        {"not found", "404 Not Found", "", "status", 404},
        {"down", "503 Unavailable", "", "status", 503},
        {"redirect", "302 Found\r\nLocation: /elsewhere", "", "redirect", 302},
        {"HTML", "200 OK", "<html>sign in</html>", "the answer is not a JWK set", 200},
        {"nothing", "200 OK", "", "the answer is not a JWK set", 200},
        {"no keys member", "200 OK", "{}", "the answer is not a JWK set", 200},
        {"an empty set", "200 OK", "{\"keys\":[]}", "the set has no usable key", 200},
        {"no key we may use", "200 OK",
         "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"one\",\"k\":\"AA\"}]}", "the set has no usable key",
         200},
    };
    open_keeper(w, make_plain_config(w));
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    int64_t loaded_ms = atomic_load(&jwks_keeper_status(w->keeper)->loaded_ms);
    const struct keyset *keyset = jwks_keeper_keyset(w->keeper);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        test_clock_skip_ms(w->event.retry_in_ms);
        serve(w, "/keys", rows[i].status, str_from_cstr(rows[i].body));
        if (w->event.ok || strcmp(w->event.reason, rows[i].reason) != 0 ||
            w->event.http_status != rows[i].http_status || strcmp(w->event.step, "jwks") != 0)
            fail_msg("%s: %s, %u", rows[i].why, w->event.reason, w->event.http_status);
        if (jwks_keeper_keyset(w->keeper) != keyset || !has_key(w, STR("one")))
            fail_msg("%s: the keys are gone", rows[i].why);
    }
    assert_int_equal(atomic_load(&jwks_keeper_status(w->keeper)->loaded_ms), loaded_ms);
    assert_int_equal(atomic_load(&jwks_keeper_status(w->keeper)->keys), 1);
}

static void jwks_keeper_reads_no_more_than_256_kib(void **state)
{
    struct world *w = *state;
    struct buf padded = buf_make(KEYSET_MAX_BYTES + 1);
    (void)buf_append(&padded, buf_str(&w->one_key));
    while (padded.len < KEYSET_MAX_BYTES)
        (void)buf_append_char(&padded, ' ');
    open_keeper(w, make_plain_config(w));
    serve(w, "/keys", "200 OK", buf_str(&padded));
    assert_true(w->event.ok);
    (void)buf_append_char(&padded, ' ');
    test_clock_skip_ms(w->event.retry_in_ms);
    serve(w, "/keys", "200 OK", buf_str(&padded));
    assert_false(w->event.ok);
    assert_string_equal(w->event.reason, "too_large");
    assert_true(has_key(w, STR("one")));
    buf_free(&padded);
}

static void jwks_keeper_starts_without_the_issuer_and_recovers(void **state)
{
    struct world *w = *state;
    (void)close(w->listen_fd);
    w->listen_fd = wire_bind(&w->port);
    open_keeper(w, make_plain_config(w));
    SPIN_UNTIL(&w->spin, w->settled == 1);
    assert_false(w->event.ok);
    assert_int_equal(w->event.http_status, 0);
    assert_true(strlen(w->event.reason) > 0);
    assert_null(jwks_keeper_keyset(w->keeper));
    assert_int_equal(listen(w->listen_fd, 8), 0); /* it is back */
    test_clock_skip_ms(1000);
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    assert_true(has_key(w, STR("one")));
}

static void jwks_keeper_gives_a_fetch_only_so_much_time(void **state)
{
    struct world *w = *state;
    char more[128];
    (void)snprintf(more, sizeof(more), ", \"jwks_uri\": \"http://127.0.0.1:%u/keys\"",
                   (unsigned)w->port);
    open_keeper(w, make_config(w, "/", more, "\"timeout\": \"100ms\""));
    int fd = expect_fetch(w, "/keys");
    test_clock_run(); /* libcurl measures this time itself */
    SPIN_UNTIL(&w->spin, w->settled == 1);
    assert_false(w->event.ok);
    assert_string_equal(w->event.reason, "timeout");
    (void)close(fd);
}

/* ---- discovery ---- */

/* {"issuer": ..., "jwks_uri": "http://127.0.0.1:PORT/found"} for the issuer at PATH. */
static struct str metadata(const struct world *w, const char *path, char text[MAX_TEXT])
{
    (void)snprintf(text, MAX_TEXT,
                   "{\"issuer\":\"http://127.0.0.1:%u%s\","
                   "\"jwks_uri\":\"http://127.0.0.1:%u/found\"}",
                   (unsigned)w->port, path, (unsigned)w->port);
    return str_from_cstr(text);
}

static void jwks_keeper_discovers_in_the_order_of_rfc_8414(void **state)
{
    struct world *w = *state;
    static const char *const places[] = {
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration",
    };
    char text[MAX_TEXT];
    open_keeper(w, make_config(w, "/tenant", "", ""));
    /* Nothing anywhere: each place is asked once, then the attempt has failed. */
    for (size_t i = 0; i + 1 < ARRAY_LEN(places); i++)
        answer(w, expect_fetch(w, places[i]), "404 Not Found", STR(""));
    assert_int_equal(w->settled, 0);
    serve(w, places[2], "404 Not Found", STR(""));
    assert_false(w->event.ok);
    assert_string_equal(w->event.step, "discovery");
    assert_int_equal(w->event.http_status, 404);
    assert_int_equal(w->event.retry_in_ms, 1000);
    /* The next attempt begins at the first place again; the first good document ends the search. */
    test_clock_skip_ms(1000);
    answer(w, expect_fetch(w, places[0]), "404 Not Found", STR(""));
    answer(w, expect_fetch(w, places[1]), "200 OK", metadata(w, "/tenant", text));
    serve(w, "/found", "200 OK", buf_str(&w->one_key));
    assert_true(w->event.ok);
    assert_true(has_key(w, STR("one")));
}

static void jwks_keeper_remembers_the_place_until_it_fails(void **state)
{
    struct world *w = *state;
    static const char first_place[] = "/.well-known/oauth-authorization-server";
    char text[MAX_TEXT];
    open_keeper(w, make_config(w, "/", "", ""));
    answer(w, expect_fetch(w, first_place), "200 OK", metadata(w, "/", text));
    serve(w, "/found", "200 OK", buf_str(&w->one_key));
    test_clock_skip_ms(w->event.retry_in_ms);
    serve(w, "/found", "200 OK", buf_str(&w->one_key)); /* no second discovery */
    test_clock_skip_ms(w->event.retry_in_ms);
    serve(w, "/found", "404 Not Found", STR(""));
    assert_string_equal(w->event.step, "jwks");
    test_clock_skip_ms(w->event.retry_in_ms);
    answer(w, expect_fetch(w, first_place), "200 OK", metadata(w, "/", text));
    serve(w, "/found", "200 OK", buf_str(&w->next_key));
    assert_true(has_key(w, STR("next")));
}

static void jwks_keeper_believes_no_metadata_of_others(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *document;
    } rows[] = {
        {"another issuer",
         "{\"issuer\":\"http://127.0.0.1:1/\",\"jwks_uri\":\"http://127.0.0.1:1/\"}"},
        {"keys elsewhere",
         "{\"issuer\":\"http://127.0.0.1:%u/\",\"jwks_uri\":\"http://127.0.0.1:1/k\"}"},
        {"keys in a file",
         "{\"issuer\":\"http://127.0.0.1:%u/\",\"jwks_uri\":\"file:///etc/passwd\"}"},
        {"no keys", "{\"issuer\":\"http://127.0.0.1:%u/\"}"},
        {"the issuer without its slash",
         "{\"issuer\":\"http://127.0.0.1:%u\",\"jwks_uri\":\"http://127.0.0.1:1/k\"}"},
        {"no JSON", "<html></html>"},
    };
    open_keeper(w, make_config(w, "/", "", ""));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text = buf_make(MAX_TEXT);
        const char *hole = strstr(rows[i].document, "%u");
        if (hole == NULL) {
            (void)buf_append_cstr(&text, rows[i].document);
        } else {
            (void)buf_append(&text, str_make(rows[i].document, (size_t)(hole - rows[i].document)));
            (void)buf_append_u64(&text, w->port);
            (void)buf_append_cstr(&text, hole + 2);
        }
        answer(w, expect_fetch(w, "/.well-known/oauth-authorization-server"), "200 OK",
               buf_str(&text));
        serve(w, "/.well-known/openid-configuration", "200 OK", buf_str(&text));
        if (w->event.ok || strcmp(w->event.step, "discovery") != 0)
            fail_msg("%s", rows[i].why);
        expect_no_fetch(w);
        test_clock_skip_ms(w->event.retry_in_ms);
        buf_free(&text);
    }
}

/* ---- unknown kids ---- */

static void jwks_keeper_request_fetches_once_per_cool_down(void **state)
{
    struct world *w = *state;
    open_keeper(w, make_plain_config(w));
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    struct jwks_status *status = jwks_keeper_status(w->keeper);
    for (int i = 0; i < 3; i++) {
        test_clock_skip_ms(COOLDOWN_MS - 1);
        spin_once(&w->spin);
        atomic_store(&status->requested, true); /* as a worker does */
        assert_false(jwks_keeper_request(w->keeper));
        assert_false(atomic_load(&status->requested));
        expect_no_fetch(w);
        test_clock_skip_ms(1);
        spin_once(&w->spin);
        atomic_store(&status->requested, true);
        assert_true(jwks_keeper_request(w->keeper));
        assert_false(atomic_load(&status->requested));
        assert_true(atomic_load(&status->in_flight));
        /* The outcome does not matter for the cool-down. */
        serve(w, "/keys", i == 0 ? "200 OK" : "500 Oops", buf_str(&w->next_key));
        assert_true(has_key(w, STR("next")));
        if (i > 0) { /* out of the way of the retries, which are attempts, too */
            test_clock_skip_ms(w->event.retry_in_ms);
            serve(w, "/keys", "200 OK", buf_str(&w->next_key));
        }
    }
}

static void jwks_keeper_cool_down_counts_from_the_start_of_the_attempt(void **state)
{
    struct world *w = *state;
    open_keeper(w, make_plain_config(w));
    int fd = expect_fetch(w, "/keys");
    test_clock_skip_ms(COOLDOWN_MS - 1); /* the issuer is slow */
    spin_once(&w->spin);
    answer(w, fd, "200 OK", buf_str(&w->one_key));
    SPIN_UNTIL(&w->spin, w->settled == 1);
    assert_false(jwks_keeper_request(w->keeper));
    test_clock_skip_ms(1);
    spin_once(&w->spin);
    assert_true(jwks_keeper_request(w->keeper));
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
}

static void jwks_keeper_has_one_fetch_in_flight(void **state)
{
    struct world *w = *state;
    open_keeper(w, make_plain_config(w));
    int fd = expect_fetch(w, "/keys");
    test_clock_skip_ms(2 * COOLDOWN_MS);
    spin_once(&w->spin);
    for (int i = 0; i < 3; i++)
        assert_true(jwks_keeper_request(w->keeper)); /* one is under way */
    expect_no_fetch(w);
    answer(w, fd, "200 OK", buf_str(&w->one_key));
    SPIN_UNTIL(&w->spin, w->settled > 0);
    expect_no_fetch(w);
    assert_int_equal(w->settled, 1);
}

/* An attempt that a kid has caused takes the place of the one that was due. */
static void jwks_keeper_request_moves_the_refresh(void **state)
{
    struct world *w = *state;
    open_keeper(w, make_plain_config(w));
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    test_clock_skip_ms(w->event.retry_in_ms - 10000);
    spin_once(&w->spin);
    assert_true(jwks_keeper_request(w->keeper));
    int fd = expect_fetch(w, "/keys");
    test_clock_skip_ms(20000);
    expect_no_fetch(w); /* not while this one is under way */
    answer(w, fd, "200 OK", buf_str(&w->one_key));
    SPIN_UNTIL(&w->spin, w->settled == 2);
    test_clock_skip_ms(20000);
    expect_no_fetch(w); /* nor soon after it */
}

static void jwks_status_may_help_says_when_waiting_is_worth_it(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        bool in_flight;
        bool requested;
        int64_t since_start_ms;
        int64_t newer_ms; /* than the keys of the caller */
        bool with_keys;
        bool helps;
    } rows[] = {
        {"in the cool-down", false, false, 29999, 0, true, false},
        {"at its end", false, false, 30000, 0, true, true},
        {"a fetch is under way", true, false, 1, 0, true, true},
        {"a fetch is asked for", false, true, 1, 0, true, true},
        {"newer keys are on their way", false, false, 1, 1, true, true},
        {"the first keys are on their way", false, false, 1, 0, false, true},
    };
    open_keeper(w, make_plain_config(w));
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    const struct keyset *keyset = jwks_keeper_keyset(w->keeper);
    int64_t now_ms = loop_now_ms(w->loop);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jwks_status status = {0};
        atomic_store(&status.in_flight, rows[i].in_flight);
        atomic_store(&status.requested, rows[i].requested);
        atomic_store(&status.last_start_ms, now_ms - rows[i].since_start_ms);
        atomic_store(&status.loaded_ms, keyset_loaded_mono_ms(keyset) + rows[i].newer_ms);
        if (jwks_status_may_help(&status, rows[i].with_keys ? keyset : NULL, COOLDOWN_MS, now_ms) !=
            rows[i].helps)
            fail_msg("%s", rows[i].why);
    }
    struct jwks_status never = {.loaded_ms = JWKS_NEVER_LOADED};
    atomic_store(&never.last_start_ms, now_ms - 1);
    assert_false(jwks_status_may_help(&never, NULL, COOLDOWN_MS, now_ms));
}

/* ---- keys of the disk ---- */

/* A first process has fetched "one" and ended; MS later the next one starts. */
static void restart_after(struct world *w, int64_t ms)
{
    open_cache(w);
    open_keeper(w, make_plain_config(w));
    assert_int_equal(jwks_keeper_cached(w->keeper).rc, JWKS_CACHE_NONE);
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    SPIN_UNTIL(&w->spin, w->written == 1);
    w->keeper = jwks_keeper_free(w->keeper);
    config_unref(w->config);
    w->settled = 0;
    test_clock_skip_ms(ms);
    spin_once(&w->spin);
    open_keeper(w, make_plain_config(w));
}

static void jwks_keeper_uses_young_keys_of_the_disk_at_once(void **state)
{
    struct world *w = *state;
    restart_after(w, REFRESH_MS - 1000);
    const struct jwks_status *status = jwks_keeper_status(w->keeper);
    assert_true(has_key(w, STR("one")));
    assert_true(jwks_keeper_cached(w->keeper).in_use);
    assert_true(jwks_status_is_pending(status)); /* and asks all the same */
    assert_int_equal(atomic_load(&status->keys), 1);
    /* Their age goes on: the disk makes no key younger. */
    int64_t age_ms = loop_now_ms(w->loop) - keyset_loaded_mono_ms(jwks_keeper_keyset(w->keeper));
    assert_in_range(age_ms, REFRESH_MS - 1000, REFRESH_MS);
    assert_int_equal(atomic_load(&status->loaded_ms), loop_now_ms(w->loop) - age_ms);
    serve(w, "/keys", "200 OK", buf_str(&w->next_key));
    assert_true(has_key(w, STR("next")));
    assert_false(has_key(w, STR("one")));
    assert_false(jwks_keeper_cached(w->keeper).in_use);
}

static void jwks_keeper_uses_older_keys_of_the_disk_when_the_first_attempt_failed(void **state)
{
    struct world *w = *state;
    restart_after(w, REFRESH_MS + 2000);
    assert_int_equal(jwks_keeper_cached(w->keeper).rc, JWKS_CACHE_OK);
    assert_null(jwks_keeper_keyset(w->keeper)); /* a key may have been revoked meanwhile */
    serve(w, "/keys", "503 Down", STR(""));
    assert_true(w->event.from_cache);
    assert_true(has_key(w, STR("one")));
    const struct keyset *keyset = jwks_keeper_keyset(w->keeper);
    test_clock_skip_ms(w->event.retry_in_ms);
    serve(w, "/keys", "503 Down", STR(""));
    assert_false(w->event.from_cache);
    assert_ptr_equal(jwks_keeper_keyset(w->keeper), keyset);
    test_clock_skip_ms(w->event.retry_in_ms);
    serve(w, "/keys", "200 OK", buf_str(&w->next_key));
    assert_true(has_key(w, STR("next")));
    assert_false(jwks_keeper_cached(w->keeper).in_use);
}

static void jwks_keeper_never_puts_keys_of_the_disk_over_fetched_ones(void **state)
{
    struct world *w = *state;
    restart_after(w, REFRESH_MS + 2000);
    serve(w, "/keys", "200 OK", buf_str(&w->next_key));
    test_clock_skip_ms(w->event.retry_in_ms);
    serve(w, "/keys", "503 Down", STR(""));
    assert_false(w->event.from_cache);
    assert_true(has_key(w, STR("next")));
    assert_false(has_key(w, STR("one")));
}

static void jwks_keeper_uses_no_keys_of_the_disk_past_their_age(void **state)
{
    struct world *w = *state;
    restart_after(w, REFRESH_MS + 3600000 + 2000);
    assert_int_equal(jwks_keeper_cached(w->keeper).rc, JWKS_CACHE_OLD);
    serve(w, "/keys", "503 Down", STR(""));
    assert_false(w->event.from_cache);
    assert_null(jwks_keeper_keyset(w->keeper));
}

static void jwks_keeper_checks_keys_of_the_disk_like_fetched_ones(void **state)
{
    struct world *w = *state;
    restart_after(w, 1000);
    w->keeper = jwks_keeper_free(w->keeper);
    config_unref(w->config);
    char more[256]; /* RS256 is not allowed any more: the key says that it is for that */
    (void)snprintf(more, sizeof(more),
                   ", \"jwks_uri\": \"http://127.0.0.1:%u/keys\", \"algorithms\": [\"PS256\"]",
                   (unsigned)w->port);
    struct buf odd = buf_make(65536);
    const struct issuer_config *issuer;
    (void)buf_append_cstr(&odd, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"one\",\"alg\":\"RS256\","
                                "\"n\":\"AQAB\",\"e\":\"AQAB\"}]}");
    w->config = make_config(w, "/", more, "");
    issuer = &config_get(w->config)->issuers[0];
    assert_int_equal(jwks_cache_save(w->cache, issuer, issuer->jwks_uri,
                                     clock_wall_s(loop_clock(w->loop)), buf_str(&odd)),
                     0);
    SPIN_UNTIL(&w->spin, w->written == 2);
    open_keeper(w, w->config);
    assert_int_equal(jwks_keeper_cached(w->keeper).rc, JWKS_CACHE_KEYS);
    assert_null(jwks_keeper_keyset(w->keeper));
    buf_free(&odd);
}

/* ---- reload ---- */

static void jwks_keeper_serves_the_same_issuer_only(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *path;
        const char *more;
        const char *jwks;
        bool serves;
    } rows[] = {
        {"the same", "/", ", \"jwks_uri\": \"http://127.0.0.1:9/keys\"", "", true},
        {"other settings of the life cycle", "/", ", \"jwks_uri\": \"http://127.0.0.1:9/keys\"",
         "\"refresh\": \"1h\"", true},
        {"another issuer", "/other", ", \"jwks_uri\": \"http://127.0.0.1:9/keys\"", "", false},
        {"keys elsewhere", "/", ", \"jwks_uri\": \"http://127.0.0.1:9/other\"", "", false},
        {"keys to be discovered", "/", "", "", false},
        {"other algorithms", "/",
         ", \"jwks_uri\": \"http://127.0.0.1:9/keys\", \"algorithms\": [\"PS256\"]", "", false},
        {"one algorithm more", "/",
         ", \"jwks_uri\": \"http://127.0.0.1:9/keys\", \"algorithms\": [\"RS256\", \"PS256\"]", "",
         false},
        {"another CA", "/",
         ", \"jwks_uri\": \"http://127.0.0.1:9/keys\", \"ca_file\": \"/etc/policy/ca.pem\"", "",
         false},
    };
    open_keeper(w, make_config(w, "/", ", \"jwks_uri\": \"http://127.0.0.1:9/keys\"", ""));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *config = make_config(w, rows[i].path, rows[i].more, rows[i].jwks);
        if (jwks_keeper_serves(w->keeper, &config_get(config)->issuers[0]) != rows[i].serves)
            fail_msg("%s", rows[i].why);
        config_unref(config);
    }
    /* What a file of CAs holds counts, not its name. */
    struct issuer_config issuer = config_get(w->config)->issuers[0];
    issuer.ca_file = STR("/etc/policy/renamed.pem");
    assert_true(jwks_keeper_serves(w->keeper, &issuer));
    issuer.trust = STR("ab");
    assert_false(jwks_keeper_serves(w->keeper, &issuer));
}

static void jwks_keeper_move_keeps_the_keys_and_takes_the_new_settings(void **state)
{
    struct world *w = *state;
    char more[128];
    (void)snprintf(more, sizeof(more), ", \"jwks_uri\": \"http://127.0.0.1:%u/keys\"",
                   (unsigned)w->port);
    open_keeper(w, make_plain_config(w));
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    struct jwks_status *status = jwks_keeper_status(w->keeper);

    struct config *fresh =
        make_config(w, "/", more, "\"unknown_kid_cooldown\": \"1m\", \"refresh\": \"1h\"");
    jwks_keeper_move(w->keeper, fresh, &config_get(fresh)->issuers[0]);
    config_unref(w->config); /* the old policy is gone */
    w->config = fresh;
    assert_true(has_key(w, STR("one")));
    assert_ptr_equal(jwks_keeper_status(w->keeper), status);
    assert_ptr_equal(jwks_keeper_issuer(w->keeper), &config_get(fresh)->issuers[0]);
    expect_no_fetch(w);
    assert_int_equal(w->settled, 1);

    test_clock_skip_ms(59999);
    spin_once(&w->spin);
    assert_false(jwks_keeper_request(w->keeper));
    test_clock_skip_ms(1);
    spin_once(&w->spin);
    assert_true(jwks_keeper_request(w->keeper));
    serve(w, "/keys", "200 OK", buf_str(&w->one_key));
    assert_in_range(w->event.retry_in_ms, 3240000, 3960000);
}

static void jwks_keeper_move_in_the_middle_of_a_fetch_does_no_harm(void **state)
{
    struct world *w = *state;
    open_keeper(w, make_plain_config(w));
    int fd = expect_fetch(w, "/keys");
    struct config *fresh = make_plain_config(w);
    jwks_keeper_move(w->keeper, fresh, &config_get(fresh)->issuers[0]);
    config_unref(w->config);
    w->config = fresh;
    answer(w, fd, "200 OK", buf_str(&w->one_key));
    SPIN_UNTIL(&w->spin, w->settled == 1);
    assert_true(has_key(w, STR("one")));
}

static void jwks_keeper_free_ends_the_fetch_and_leaves_the_status_to_others(void **state)
{
    struct world *w = *state;
    assert_null(jwks_keeper_free(NULL));
    open_keeper(w, make_plain_config(w));
    int fd = expect_fetch(w, "/keys");
    struct jwks_status *status = jwks_status_ref(jwks_keeper_status(w->keeper));
    w->keeper = jwks_keeper_free(w->keeper);
    assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
    test_clock_skip_ms(2 * REFRESH_MS);
    expect_no_fetch(w);
    assert_int_equal(w->settled, 0);
    /* Nothing will come of it: nobody should wait. */
    assert_false(jwks_status_is_pending(status));
    assert_null(jwks_status_unref(status));
    assert_null(jwks_status_unref(NULL));
    (void)close(fd);
}

static int group_set_up(void **state)
{
    (void)state;
    return client_global_init();
}

static int group_tear_down(void **state)
{
    (void)state;
    client_global_free();
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(jwks_keeper_fetches_at_once_and_says_what_it_got),
        TEST(jwks_keeper_refreshes_in_the_background_with_jitter),
        TEST(jwks_keeper_takes_a_set_without_the_old_key),
        TEST(jwks_keeper_retries_after_1_2_4_up_to_60_seconds),
        TEST(jwks_keeper_keeps_good_keys_whatever_comes),
        TEST(jwks_keeper_reads_no_more_than_256_kib),
        TEST(jwks_keeper_starts_without_the_issuer_and_recovers),
        TEST(jwks_keeper_gives_a_fetch_only_so_much_time),
        TEST(jwks_keeper_discovers_in_the_order_of_rfc_8414),
        TEST(jwks_keeper_remembers_the_place_until_it_fails),
        TEST(jwks_keeper_believes_no_metadata_of_others),
        TEST(jwks_keeper_request_fetches_once_per_cool_down),
        TEST(jwks_keeper_cool_down_counts_from_the_start_of_the_attempt),
        TEST(jwks_keeper_has_one_fetch_in_flight),
        TEST(jwks_keeper_request_moves_the_refresh),
        TEST(jwks_status_may_help_says_when_waiting_is_worth_it),
        TEST(jwks_keeper_uses_young_keys_of_the_disk_at_once),
        TEST(jwks_keeper_uses_older_keys_of_the_disk_when_the_first_attempt_failed),
        TEST(jwks_keeper_never_puts_keys_of_the_disk_over_fetched_ones),
        TEST(jwks_keeper_uses_no_keys_of_the_disk_past_their_age),
        TEST(jwks_keeper_checks_keys_of_the_disk_like_fetched_ones),
        TEST(jwks_keeper_serves_the_same_issuer_only),
        TEST(jwks_keeper_move_keeps_the_keys_and_takes_the_new_settings),
        TEST(jwks_keeper_move_in_the_middle_of_a_fetch_does_no_harm),
        TEST(jwks_keeper_free_ends_the_fetch_and_leaves_the_status_to_others),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
