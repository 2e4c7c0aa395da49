/* SPDX-License-Identifier: Apache-2.0 */
#include "net/client.h"

#include <stdlib.h>
#include <sys/un.h>

#include "base/err.h"
#include "support/wire.h"

#define MAX_BODY 64
#define TIMEOUT_MS 5000

struct world {
    struct loop *loop;
    struct client_pool *pool;
    struct spin spin;
    int listen_fd;
    uint16_t port;
    struct buf in; /* what the server got */
    /* what done() was told */
    int done_calls;
    bool in_verb; /* while fetch_start() or fetch_cancel() is on the stack */
    enum fetch_rc rc;
    unsigned status;
    struct buf body;
    bool has_text;
};

static void on_done(void *ctx, const struct fetch_result *result)
{
    struct world *w = ctx;
    assert_false(w->in_verb);
    w->done_calls++;
    w->rc = result->rc;
    w->status = result->status;
    w->has_text = result->text != NULL && result->text[0] != '\0';
    buf_clear(&w->body);
    (void)buf_append(&w->body, result->body);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->loop = loop_new();
    w->pool = client_pool_new(w->loop);
    assert_non_null(w->pool);
    w->spin = (struct spin){.loop = w->loop};
    w->in = buf_make(WIRE_MAX_BYTES);
    w->body = buf_make(WIRE_MAX_BYTES);
    w->listen_fd = wire_listen(&w->port);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    assert_null(client_pool_free(w->pool));
    (void)close(w->listen_fd);
    buf_free(&w->in);
    buf_free(&w->body);
    loop_free(w->loop);
    free(w);
    return 0;
}

static struct fetch *start(struct world *w, const char *url, int64_t timeout_ms)
{
    w->in_verb = true;
    w->done_calls = 0;
    struct fetch *fetch = fetch_start(w->pool, &(struct fetch_request){.url = url,
                                                                       .timeout_ms = timeout_ms,
                                                                       .max_bytes = MAX_BODY,
                                                                       .done = on_done,
                                                                       .ctx = w});
    w->in_verb = false;
    return fetch;
}

/* http://127.0.0.1:PORT/keys */
static const char *own_url(const struct world *w, const char *scheme, char url[64])
{
    (void)snprintf(url, 64, "%s://127.0.0.1:%u/keys", scheme, (unsigned)w->port);
    return url;
}

/* Starts a fetch and waits until its request is there; the server's end of the connection. */
static int start_and_accept(struct world *w, int64_t timeout_ms)
{
    char url[64];
    assert_non_null(start(w, own_url(w, "http", url), timeout_ms));
    int fd = wire_accept(&w->spin, w->listen_fd);
    buf_clear(&w->in);
    wire_expect(&w->spin, fd, &w->in, "\r\n\r\n");
    return fd;
}

#define SIXTY_FOUR "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void client_tells_every_kind_of_answer_apart(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *answer;
        enum fetch_rc rc;
        unsigned status;
        const char *body;
    } rows[] = {
        {"good", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", FETCH_OK, 200, "{}"},
        {"chunked",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
         FETCH_OK, 200, "{}"},
        {"until close", "HTTP/1.0 200 OK\r\n\r\n{}", FETCH_OK, 200, "{}"},
        {"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", FETCH_OK, 200, ""},
        {"at the limit", "HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" SIXTY_FOUR, FETCH_OK, 200,
         SIXTY_FOUR},
        {"one past the limit", "HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n" SIXTY_FOUR "x",
         FETCH_TOO_LARGE, 200, NULL},
        {"promises too much", "HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n",
         FETCH_TOO_LARGE, 200, NULL},
        {"one past the limit in chunks",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n" SIXTY_FOUR "x\r\n0\r\n\r\n",
         FETCH_TOO_LARGE, 200, NULL},
        {"one past the limit until close", "HTTP/1.0 200 OK\r\n\r\n" SIXTY_FOUR "x",
         FETCH_TOO_LARGE, 200, NULL},
        {"compressed bytes are not decoded",
         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", FETCH_OK, 200,
         "{}"},
        {"not found", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", FETCH_STATUS, 404,
         NULL},
        {"no content", "HTTP/1.1 204 No Content\r\n\r\n", FETCH_STATUS, 204, NULL},
        {"down", "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n", FETCH_STATUS, 503, NULL},
        {"not modified", "HTTP/1.1 304 Not Modified\r\n\r\n", FETCH_REDIRECT, 304, NULL},
        {"ends early", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", FETCH_BROKEN, 200, NULL},
        {"ends early in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}",
         FETCH_BROKEN, 200, NULL},
        {"ends in the head", "HTTP/1.1 200 OK\r\nContent-Le", FETCH_BROKEN, 200, NULL},
        {"ends in the head behind an interim answer",
         "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n", FETCH_BROKEN, 200, NULL},
        {"an interim answer first",
         "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n"
         "Content-Length: 2\r\n\r\n{}",
         FETCH_OK, 200, "{}"},
        {"trailers",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
         "Digest: x\r\n\r\n",
         FETCH_OK, 200, "{}"},
        {"nothing", "", FETCH_BROKEN, 0, NULL},
        {"HTTP/0.9", "{\"keys\":[]}", FETCH_BROKEN, 0, NULL},
        {"SSH", "SSH-2.0-OpenSSH_9.2\r\n", FETCH_BROKEN, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = start_and_accept(w, TIMEOUT_MS);
        wire_send_text(&w->spin, fd, rows[i].answer);
        (void)close(fd);
        SPIN_UNTIL(&w->spin, w->done_calls > 0);
        if (w->done_calls != 1 || w->rc != rows[i].rc || !w->has_text)
            fail_msg("%s: %s", rows[i].why, fetch_rc_name(w->rc));
        if (rows[i].status != w->status)
            fail_msg("%s: status %u", rows[i].why, w->status);
        if (rows[i].body != NULL && !str_eq(buf_str(&w->body), str_from_cstr(rows[i].body)))
            fail_msg("%s: %.*s", rows[i].why, STR_ARG(buf_str(&w->body)));
    }
}

static void client_asks_with_a_plain_get(void **state)
{
    struct world *w = *state;
    static const char *const never[] = {"Accept-Encoding", "Cookie", "Authorization",
                                        "Proxy",           "Expect", "Upgrade"};
    int fd = start_and_accept(w, TIMEOUT_MS);
    assert_true(str_has_prefix(buf_str(&w->in), STR("GET /keys HTTP/1.1\r\n")));
    assert_true(wire_has(&w->in, "\r\nHost: 127.0.0.1:"));
    assert_true(wire_has(&w->in, "\r\nUser-Agent: portcullis/"));
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        if (wire_has(&w->in, never[i]))
            fail_msg("%s", never[i]);
    (void)close(fd);
}

static void client_never_follows_a_redirect(void **state)
{
    struct world *w = *state;
    uint16_t elsewhere;
    char answer[128];
    int trap = wire_listen(&elsewhere);
    int fd = start_and_accept(w, TIMEOUT_MS);
    (void)snprintf(answer, sizeof(answer),
                   "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/\r\n"
                   "Content-Length: 0\r\n\r\n",
                   (unsigned)elsewhere);
    wire_send_text(&w->spin, fd, answer);
    SPIN_UNTIL(&w->spin, w->done_calls > 0);
    assert_int_equal(w->rc, FETCH_REDIRECT);
    assert_int_equal(w->status, 302);
    spin_for(&w->spin, 30);
    assert_int_equal(wire_try_accept(trap), -1);
    (void)close(trap);
    (void)close(fd);
}

static void client_does_not_use_the_proxy_of_the_environment(void **state)
{
    struct world *w = *state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1/", 1), 0);
    assert_int_equal(setenv("all_proxy", "http://127.0.0.1:1/", 1), 0);
    int fd = start_and_accept(w, TIMEOUT_MS);
    assert_true(str_has_prefix(buf_str(&w->in), STR("GET /keys ")));
    (void)unsetenv("http_proxy");
    (void)unsetenv("all_proxy");
    (void)close(fd);
}

static void client_opens_a_connection_for_every_fetch(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++) {
        int fd = start_and_accept(w, TIMEOUT_MS);
        wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        SPIN_UNTIL(&w->spin, w->done_calls > 0);
        assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
        (void)close(fd);
    }
}

static void client_ends_what_takes_too_long(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        const char *answer;
        unsigned status;
    } rows[] = {
        {"no answer", "", 0},
        {"half a head", "HTTP/1.1 200 OK\r\nContent-", 200},
        {"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", 200},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t start_ms = wire_real_ms();
        int fd = start_and_accept(w, 60);
        wire_send_text(&w->spin, fd, rows[i].answer);
        SPIN_UNTIL(&w->spin, w->done_calls > 0);
        if (w->rc != FETCH_TIMEOUT || w->status != rows[i].status || wire_real_ms() < start_ms + 55)
            fail_msg("%s: %s, %u", rows[i].why, fetch_rc_name(w->rc), w->status);
        (void)close(fd);
    }
}

static void client_says_that_it_cannot_connect(void **state)
{
    struct world *w = *state;
    char url[64];
    (void)close(w->listen_fd);
    w->listen_fd = wire_bind(&w->port);
    assert_non_null(start(w, own_url(w, "http", url), TIMEOUT_MS));
    SPIN_UNTIL(&w->spin, w->done_calls > 0);
    assert_int_equal(w->rc, FETCH_CONNECT);
    assert_int_equal(w->status, 0);
    assert_true(w->has_text);
}

static void client_calls_a_server_without_tls_unreachable_by_https(void **state)
{
    struct world *w = *state;
    char url[64];
    assert_non_null(start(w, own_url(w, "https", url), TIMEOUT_MS));
    int fd = wire_accept(&w->spin, w->listen_fd);
    wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    SPIN_UNTIL(&w->spin, w->done_calls > 0);
    assert_int_equal(w->rc, FETCH_CONNECT);
    (void)close(fd);
}

static void client_refuses_urls_that_are_not_plain_http(void **state)
{
    struct world *w = *state;
    static const char *const urls[] = {"file:///etc/passwd",
                                       "ftp://127.0.0.1/",
                                       "gopher://127.0.0.1/",
                                       "http://user:pw@127.0.0.1/",
                                       "http://[::1/",
                                       "dict://127.0.0.1/",
                                       ""};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        assert_non_null(start(w, urls[i], TIMEOUT_MS));
        SPIN_UNTIL(&w->spin, w->done_calls > 0);
        if (w->rc != FETCH_BROKEN || w->body.len > 0)
            fail_msg("%s", urls[i]);
    }
}

static void client_fetches_over_a_unix_socket(void **state)
{
    struct world *w = *state;
    char folder[] = "/tmp/test_client_XXXXXX";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", folder);
    int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listen_fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listen_fd, 8), 0);
    assert_non_null(fetch_start(w->pool, &(struct fetch_request){.url = "http://localhost/healthz",
                                                                 .unix_socket = addr.sun_path,
                                                                 .timeout_ms = TIMEOUT_MS,
                                                                 .max_bytes = MAX_BODY,
                                                                 .done = on_done,
                                                                 .ctx = w}));
    int fd = wire_accept(&w->spin, listen_fd);
    wire_expect(&w->spin, fd, &w->in, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
    wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    SPIN_UNTIL(&w->spin, w->done_calls > 0);
    assert_int_equal(w->rc, FETCH_OK);
    (void)close(fd);
    (void)close(listen_fd);
    (void)unlink(addr.sun_path);
    (void)rmdir(folder);
}

static void fetch_cancel_ends_the_connection_and_calls_nobody(void **state)
{
    struct world *w = *state;
    char url[64];
    assert_null(fetch_cancel(NULL));
    struct fetch *fetch = start(w, own_url(w, "http", url), TIMEOUT_MS);
    int fd = wire_accept(&w->spin, w->listen_fd);
    wire_expect(&w->spin, fd, &w->in, "\r\n\r\n");
    w->in_verb = true;
    assert_null(fetch_cancel(fetch));
    w->in_verb = false;
    assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
    assert_int_equal(w->done_calls, 0);
    (void)close(fd);
    /* and before anything went out */
    assert_null(fetch_cancel(start(w, own_url(w, "http", url), TIMEOUT_MS)));
    spin_for(&w->spin, 10);
    assert_int_equal(w->done_calls, 0);
}

static void client_pool_free_cancels_what_is_under_way(void **state)
{
    struct world *w = *state;
    int first = start_and_accept(w, TIMEOUT_MS);
    int second = start_and_accept(w, TIMEOUT_MS);
    w->in_verb = true;
    w->pool = client_pool_free(w->pool);
    w->in_verb = false;
    assert_int_equal(wire_expect_end(&w->spin, first, &w->in), WIRE_FIN);
    assert_int_equal(wire_expect_end(&w->spin, second, &w->in), WIRE_FIN);
    assert_int_equal(w->done_calls, 0);
    (void)close(first);
    (void)close(second);
}

/* As discovery does: the next fetch is started by the done() of the one before. */
struct chain {
    struct world *world;
    char url[64];
    int left;
};

static void on_link_done(void *ctx, const struct fetch_result *result)
{
    struct chain *chain = ctx;
    assert_int_equal(result->rc, FETCH_OK);
    if (chain->left-- == 0)
        return;
    assert_non_null(
        fetch_start(chain->world->pool, &(struct fetch_request){.url = chain->url,
                                                                .timeout_ms = TIMEOUT_MS,
                                                                .max_bytes = MAX_BODY,
                                                                .done = on_link_done,
                                                                .ctx = chain}));
}

static void client_may_start_a_fetch_from_the_end_of_another(void **state)
{
    struct world *w = *state;
    struct chain chain = {.world = w, .left = 3};
    (void)own_url(w, "http", chain.url);
    on_link_done(&chain, &(struct fetch_result){.rc = FETCH_OK});
    for (int i = 0; i < 3; i++) {
        int fd = wire_accept(&w->spin, w->listen_fd);
        wire_send_text(&w->spin, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_int_equal(wire_expect_end(&w->spin, fd, &w->in), WIRE_FIN);
        (void)close(fd);
    }
    SPIN_UNTIL(&w->spin, chain.left < 0);
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
        TEST(client_tells_every_kind_of_answer_apart),
        TEST(client_asks_with_a_plain_get),
        TEST(client_never_follows_a_redirect),
        TEST(client_does_not_use_the_proxy_of_the_environment),
        TEST(client_opens_a_connection_for_every_fetch),
        TEST(client_ends_what_takes_too_long),
        TEST(client_says_that_it_cannot_connect),
        TEST(client_calls_a_server_without_tls_unreachable_by_https),
        TEST(client_refuses_urls_that_are_not_plain_http),
        TEST(client_fetches_over_a_unix_socket),
        TEST(fetch_cancel_ends_the_connection_and_calls_nobody),
        TEST(client_pool_free_cancels_what_is_under_way),
        TEST(client_may_start_a_fetch_from_the_end_of_another),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
