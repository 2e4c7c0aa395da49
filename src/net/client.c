/* SPDX-License-Identifier: Apache-2.0 */
#include "net/client.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/reserve.h"
#include "net/curl_int.h"

struct client_pool {
    struct curl_loop *curl;
    struct list fetches;
};

struct fetch {
    struct list node;
    struct client_pool *pool;
    CURL *easy;
    struct curl_slist *fields;
    bool is_post;
    bool head_complete; /* libcurl takes a connection that ends within a head for a good answer */
    struct buf body;
    void (*done)(void *ctx, const struct fetch_result *result);
    void *ctx;
};

const char *fetch_rc_name(enum fetch_rc rc)
{
    static const char *const names[] = {
        [FETCH_OK] = "ok",
        [FETCH_CONNECT] = "connect",
        [FETCH_TIMEOUT] = "timeout",
        [FETCH_TOO_LARGE] = "too_large",
        [FETCH_REDIRECT] = "redirect",
        [FETCH_STATUS] = "status",
        [FETCH_BROKEN] = "broken",
    };
    return names[rc];
}

int client_global_init(void)
{
    const CURLcode rc = curl_global_init_mem(CURL_GLOBAL_DEFAULT, reserve_malloc, reserve_free,
                                             reserve_realloc, reserve_strdup, reserve_calloc);
    return rc == CURLE_OK ? 0 : -EIO;
}

void client_global_free(void)
{
    curl_global_cleanup();
}

const char *client_library_version(void)
{
    return curl_version_info(CURLVERSION_NOW)->version;
}

void client_ca_places(const char **ret_file, const char **ret_folder)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    const bool is_told = info->age >= CURLVERSION_SEVENTH;
    *ret_file = is_told ? info->cainfo : NULL;
    *ret_folder = is_told ? info->capath : NULL;
}

static void fetch_free(struct fetch *fetch)
{
    if (fetch->easy != NULL) {
        curl_loop_remove(fetch->pool->curl, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    curl_slist_free_all(fetch->fields);
    list_unlink(&fetch->node);
    buf_free(&fetch->body);
    free(fetch);
}

static enum fetch_rc classify(const struct fetch *fetch, CURLcode rc, long status)
{
    if (rc == CURLE_OPERATION_TIMEDOUT)
        return FETCH_TIMEOUT;
    if (fetch->body.fault == -EMSGSIZE || rc == CURLE_FILESIZE_EXCEEDED)
        return FETCH_TOO_LARGE;
    if (rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_CONNECT ||
        rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_PEER_FAILED_VERIFICATION ||
        rc == CURLE_SSL_CACERT_BADFILE)
        return FETCH_CONNECT;
    if (rc != CURLE_OK || !fetch->head_complete)
        return FETCH_BROKEN;
    if (status >= 300 && status < 400)
        return FETCH_REDIRECT;
    if (fetch->is_post)
        return status >= 200 && status < 300 ? FETCH_OK : FETCH_STATUS;
    return status == 200 ? FETCH_OK : FETCH_STATUS;
}

static void on_done(void *private, CURLcode rc)
{
    struct fetch *fetch = private;
    long status = 0;
    curl_off_t retry_after_s = 0;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    struct fetch_result result = {
        .rc = classify(fetch, rc, status),
        .status = (unsigned)status,
        .body = buf_str(&fetch->body),
        .retry_after_s = (int64_t)retry_after_s,
        .text = curl_easy_strerror(rc),
    };
    fetch->done(fetch->ctx, &result);
    fetch_free(fetch);
}

static size_t on_head_line(char *line, size_t size, size_t count, void *ctx)
{
    struct fetch *fetch = ctx;
    struct str text = str_make(line, size * count);
    if (str_has_prefix(text, STR("HTTP/"))) /* interim answers have heads of their own */
        fetch->head_complete = false;
    else if (str_eq(text, STR("\r\n")) || str_eq(text, STR("\n")))
        fetch->head_complete = true;
    return text.len;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *ctx)
{
    struct fetch *fetch = ctx;
    return buf_append(&fetch->body, str_make(bytes, size * count)) == 0 ? size * count : 0;
}

struct client_pool *client_pool_new(struct loop *loop)
{
    struct client_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    list_init(&pool->fetches);
    pool->curl = curl_loop_new(loop, on_done);
    return pool->curl != NULL ? pool : client_pool_free(pool);
}

struct client_pool *client_pool_free(struct client_pool *pool)
{
    if (pool == NULL)
        return NULL;
    LIST_FOREACH (node, &pool->fetches) {
        fetch_free(LIST_ENTRY(node, struct fetch, node));
    }
    (void)curl_loop_free(pool->curl);
    free(pool);
    return NULL;
}

/* libcurl would ask for 100-continue before a larger body, and wait a second for it. */
static bool set_fields(struct fetch *fetch, const char *const *fields)
{
    fetch->fields = curl_slist_append(NULL, "Expect:");
    for (; fetch->fields != NULL && fields != NULL && *fields != NULL; fields++) {
        struct curl_slist *longer = curl_slist_append(fetch->fields, *fields);
        if (longer == NULL)
            return false;
        fetch->fields = longer;
    }
    return fetch->fields != NULL &&
           curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->fields) == CURLE_OK;
}

static bool set_post(struct fetch *fetch, const struct fetch_request *request)
{
    fetch->is_post = true;
    return curl_easy_setopt(fetch->easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t)request->post.len) == CURLE_OK &&
           curl_easy_setopt(fetch->easy, CURLOPT_COPYPOSTFIELDS, request->post.ptr) == CURLE_OK;
}

static bool set_options(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->easy;
    bool ok =
        curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK && /* as in net/upstream.c */
        curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->keep ? 0L : 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->keep ? 0L : 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->max_bytes) ==
            CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "portcullis/" PORTCULLIS_VERSION) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head_line) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch) == CURLE_OK;
    if (str_is_set(request->post))
        ok = ok && set_post(fetch, request);
    if (request->fields != NULL || str_is_set(request->post))
        ok = ok && set_fields(fetch, request->fields);
    if (request->ca_file != NULL)
        ok = ok && curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file) == CURLE_OK;
    if (request->unix_socket != NULL)
        ok = ok &&
             curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket) == CURLE_OK;
    return ok;
}

struct fetch *fetch_start(struct client_pool *pool, const struct fetch_request *request)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL)
        return NULL;
    fetch->pool = pool;
    fetch->body = buf_make(request->max_bytes);
    fetch->done = request->done;
    fetch->ctx = request->ctx;
    list_append(&pool->fetches, &fetch->node);
    fetch->easy = curl_easy_init();
    if (fetch->easy == NULL || !set_options(fetch, request) ||
        curl_loop_add(pool->curl, fetch->easy) < 0) {
        fetch_free(fetch);
        return NULL;
    }
    return fetch;
}

struct fetch *fetch_cancel(struct fetch *fetch)
{
    if (fetch != NULL)
        fetch_free(fetch);
    return NULL;
}
