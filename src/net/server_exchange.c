/* SPDX-License-Identifier: Apache-2.0 */
/* libmicrohttpd's callbacks: from its connections to exchanges, and answers back into it.
 *
 * While an exchange waits, its connection is suspended. An answer that is given meanwhile is kept,
 * the connection resumed, and libmicrohttpd calls exchange_on_access() again, which queues it. */
#include <errno.h>
#include <stdlib.h>

#include "net/server_int.h"

/* First block of an exchange's arena: head, fields and what the gate keeps of an ordinary request;
 * and the ceiling for what one request may add to it. */
#define ARENA_FIRST 3072
#define ARENA_MAX (256U * 1024)
#define MAX_REQUEST_FIELDS 128
#define LONG_HEAD_MAX_BYTES (256U * 1024)

void *exchange_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct server *server = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct client *client = info != NULL ? info->socket_context : NULL;
    if (client != NULL)
        client->ahead--;
    struct arena *arena = client != NULL ? arena_new(ARENA_FIRST, ARENA_MAX) : NULL;
    if (arena == NULL)
        return NULL;
    struct exchange *exchange = ARENA_NEW(arena, struct exchange);
    exchange->server = server;
    exchange->client = client;
    exchange->arena = arena;
    exchange->body_limit = SERVER_DRAIN_BYTES;
    /* libmicrohttpd decodes the target in place afterwards: this is the only raw copy. */
    exchange->head.target = arena_str(arena, str_from_cstr(uri));
    exchange->head.peer = arena_str(arena, str_from_cstr(client->peer));
    exchange->head.peer_addr = &client->addr;
    client->exchange = exchange;
    return exchange;
}

struct field_collector {
    struct http1_field *fields;
    size_t n;
};

static enum MHD_Result collect_field(void *cls, enum MHD_ValueKind kind, const char *key,
                                     size_t key_size, const char *value, size_t value_size)
{
    struct field_collector *collector = cls;
    (void)kind;
    if (collector->n == MAX_REQUEST_FIELDS)
        return MHD_NO;
    collector->fields[collector->n++] = (struct http1_field){
        .name = str_make(key, key_size),
        .value = value != NULL ? str_trim(str_make(value, value_size)) : STR(""),
    };
    return MHD_YES;
}

/* The filter has checked the framing fields: at most one of either, well-formed. */
static void read_framing(struct exchange_head *head)
{
    for (size_t i = 0; i < head->n_fields; i++) {
        const struct http1_field *field = &head->fields[i];
        if (str_eq_nocase(field->name, STR("Content-Length"))) {
            (void)str_to_u64(field->value, UINT64_MAX, &head->content_length);
            head->has_body = head->content_length > 0;
        } else if (str_eq_nocase(field->name, STR("Transfer-Encoding"))) {
            head->chunked = true;
            head->has_body = true;
        }
    }
}

static bool fill_head(struct exchange *exchange, struct MHD_Connection *mhd, const char *method,
                      const char *version)
{
    struct exchange_head *head = &exchange->head;
    int count = MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, NULL, NULL);
    size_t room = size_min(count > 0 ? (size_t)count : 0, MAX_REQUEST_FIELDS);
    struct field_collector collector = {
        .fields = arena_alloc(exchange->arena, (room + 1) * sizeof(struct http1_field))};
    if (collector.fields == NULL || head->target.ptr == NULL || head->peer.ptr == NULL)
        return false;
    (void)MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, collect_field, &collector);
    head->method = str_from_cstr(method);
    head->http10 = str_eq(str_from_cstr(version), STR("HTTP/1.0"));
    head->fields = collector.fields;
    head->n_fields = collector.n;
    read_framing(head);
    return true;
}

static void set_aside(struct exchange *exchange, struct MHD_Connection *mhd)
{
    MHD_suspend_connection(mhd);
    exchange->suspended = true;
    loop_timer_pause(&exchange->client->timer);
}

static void park(struct exchange *exchange, struct MHD_Connection *mhd)
{
    set_aside(exchange, mhd);
    /* The peer left while its request was still being read. */
    if (exchange->client->half_closed)
        exchange_abandon(exchange);
}

/* A long answer takes the connection over, for which it must be suspended. A peer that has sent its
 * last byte may still read. */
static enum MHD_Result queue_answer(struct exchange *exchange, struct MHD_Connection *mhd)
{
    if (exchange->gone) /* there was no memory for an answer */
        return MHD_NO;
    if (exchange->response == NULL) {
        set_aside(exchange, mhd);
        stream_long_answer(exchange);
        return MHD_YES;
    }
    struct MHD_Response *response = TAKE(exchange->response);
    exchange->phase = PHASE_REPLY;
    client_arm(exchange->client, exchange->server->options.client_timeout_ms);
    enum MHD_Result queued = MHD_queue_response(mhd, exchange->status, response);
    MHD_destroy_response(response);
    return queued;
}

static bool body_is_small(const struct exchange_head *head)
{
    return !head->chunked && head->content_length <= SERVER_DRAIN_BYTES;
}

static bool expects_continue(const struct exchange_head *head)
{
    for (size_t i = 0; i < head->n_fields; i++)
        if (str_eq_nocase(head->fields[i].name, STR("Expect")))
            return true;
    return false;
}

/* The answer is known before the body: read a small body and keep the connection, or answer now and
 * close it. */
static enum MHD_Result answer_early(struct exchange *exchange, struct MHD_Connection *mhd)
{
    const struct exchange_head *head = &exchange->head;
    /* libmicrohttpd closes after an answer to a request that it has not read to its end. */
    if (!head->has_body || (body_is_small(head) && !expects_continue(head))) {
        exchange->phase = PHASE_DROP;
        client_arm(exchange->client, exchange->server->options.client_timeout_ms);
        return MHD_YES;
    }
    exchange->client->linger = true;
    return queue_answer(exchange, mhd);
}

static enum MHD_Result on_head(struct exchange *exchange, struct MHD_Connection *mhd,
                               const char *method, const char *version)
{
    const struct server_options *options = &exchange->server->options;
    if (!fill_head(exchange, mhd, method, version))
        return MHD_NO;
    exchange->seen = true;
    exchange->phase = PHASE_BODY;
    switch (options->handler->head(options->ctx, exchange)) {
    case SERVER_BODY:
        return MHD_YES;
    case SERVER_WAIT:
        exchange->phase = PHASE_WAIT;
        park(exchange, mhd);
        return MHD_YES;
    case SERVER_DONE:
        return answer_early(exchange, mhd);
    }
    return MHD_NO;
}

/* A body without a length in advance outgrew the limit, or there is no memory for it. libmicrohttpd
 * takes no answer at this point, so it is written straight to the socket. */
static enum MHD_Result refuse_body(struct exchange *exchange,
                                   void (*fill)(void *ctx, struct exchange *exchange,
                                                struct reply *ret_reply))
{
    struct reply reply = {.body = buf_make(4096)};
    if (fill == NULL)
        return MHD_NO;
    fill(exchange->server->options.ctx, exchange, &reply);
    client_last_word(exchange->client, &reply);
    exchange->gone = true; /* answered: what libmicrohttpd does now is no client leaving */
    return MHD_NO;
}

static enum MHD_Result on_body_bytes(struct exchange *exchange, const char *bytes, size_t *len)
{
    size_t n = *len;
    *len = 0;
    if (exchange->phase == PHASE_DROP)
        return MHD_YES;
    exchange->body.max = exchange->body_limit;
    const struct server_handler *handler = exchange->server->options.handler;
    int r = buf_append(&exchange->body, str_make(bytes, n));
    if (r < 0)
        return refuse_body(exchange, r == -EMSGSIZE ? handler->too_large : handler->no_memory);
    return MHD_YES;
}

static enum MHD_Result on_complete(struct exchange *exchange, struct MHD_Connection *mhd)
{
    const struct server_options *options = &exchange->server->options;
    if (exchange->phase == PHASE_DROP)
        return queue_answer(exchange, mhd);
    exchange->phase = PHASE_PARKED;
    options->handler->complete(options->ctx, exchange);
    if (exchange->answered || exchange->gone)
        return queue_answer(exchange, mhd);
    park(exchange, mhd);
    return MHD_YES;
}

static enum MHD_Result on_resumed(struct exchange *exchange, struct MHD_Connection *mhd)
{
    exchange->suspended = false;
    if (exchange->gone || exchange->taking_over)
        return MHD_NO;
    if (exchange->phase == PHASE_WAIT && exchange->answered)
        return answer_early(exchange, mhd);
    if (exchange->phase == PHASE_WAIT) {
        exchange->phase = PHASE_BODY;
        client_arm(exchange->client, exchange->server->options.client_timeout_ms);
        return MHD_YES;
    }
    return exchange->answered ? queue_answer(exchange, mhd) : MHD_NO;
}

enum MHD_Result exchange_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_len, void **con_cls)
{
    struct exchange *exchange = *con_cls;
    (void)cls;
    (void)url; /* decoded: the raw target is in the exchange */
    /* libmicrohttpd cannot be stopped while a connection is suspended. */
    if (exchange == NULL || exchange->server->ending)
        return MHD_NO;
    if (exchange->suspended)
        return on_resumed(exchange, mhd);
    if (exchange->phase == PHASE_HEAD)
        return on_head(exchange, mhd, method, version);
    if (*upload_len > 0)
        return on_body_bytes(exchange, upload, upload_len);
    return on_complete(exchange, mhd);
}

/* Between two requests, or in the middle of a pipelined one. */
static void rest(struct client *client)
{
    client_set_idle(client, !client_has_more(client));
    client_arm(client, client->server->options.client_timeout_ms);
    port_show_bytes(client);
}

/* No other request is served on this connection: we drain, or it was to be closed when a last
 * request came. */
static bool is_last(const struct client *client)
{
    return client->server->draining || client->timed_out;
}

void exchange_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                           enum MHD_RequestTerminationCode toe)
{
    const struct server *server = cls;
    struct exchange *exchange = *con_cls;
    (void)mhd;
    if (exchange == NULL || exchange->taking_over)
        return;
    *con_cls = NULL;
    struct client *client = TAKE(exchange->client);
    client->exchange = NULL;
    if (toe == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        rest(client);
    else if (!exchange->gone && exchange->seen) {
        exchange->gone = true;
        server->options.handler->gone(server->options.ctx, exchange);
    }
    exchange_mark_dead(exchange);
    if (toe == MHD_REQUEST_TERMINATED_COMPLETED_OK && is_last(client)) {
        client->timed_out = client->timed_out || server->draining;
        client_stop_reading(client);
    }
}

void exchange_wake(struct exchange *exchange)
{
    if (!exchange->suspended || exchange->client == NULL || exchange->client->mhd == NULL)
        return;
    MHD_resume_connection(exchange->client->mhd);
    exchange->client->host->kick = true;
}

/* The client left a parked exchange: tell the owner and let the connection go. */
void exchange_abandon(struct exchange *exchange)
{
    const struct server_options *options = &exchange->server->options;
    if (exchange->gone)
        return;
    exchange->gone = true;
    options->handler->gone(options->ctx, exchange);
    exchange_wake(exchange);
}

/* ---- what the owner of an exchange asks for ---- */

const struct exchange_head *exchange_head(const struct exchange *exchange)
{
    return &exchange->head;
}

struct arena *exchange_arena(struct exchange *exchange)
{
    return exchange->arena;
}

void *exchange_user(const struct exchange *exchange)
{
    return exchange->user;
}

void exchange_set_user(struct exchange *exchange, void *user)
{
    exchange->user = user;
}

void exchange_set_body_limit(struct exchange *exchange, size_t max_bytes)
{
    exchange->body_limit = max_bytes;
}

struct str exchange_body(const struct exchange *exchange)
{
    return buf_str(&exchange->body);
}

bool exchange_is_gone(const struct exchange *exchange)
{
    return exchange->gone;
}

bool exchange_was_refused(const struct exchange *exchange)
{
    return exchange->refused;
}

void exchange_continue(struct exchange *exchange)
{
    exchange_wake(exchange);
}

/* libmicrohttpd wants NUL-terminated texts. False when it refuses one. */
static bool add_header(struct exchange *exchange, struct MHD_Response *response,
                       const struct http1_field *field)
{
    struct str name = arena_str(exchange->arena, field->name);
    struct str value = arena_str(exchange->arena, field->value);
    return name.ptr != NULL && value.ptr != NULL &&
           MHD_add_response_header(response, name.ptr, value.ptr) == MHD_YES;
}

static struct MHD_Response *make_response(struct exchange *exchange, struct reply *reply)
{
    size_t len = reply->body.len;
    char *bytes = TAKE(reply->body.ptr);
    reply->body = buf_make(0);
    struct MHD_Response *response =
        bytes != NULL ? MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE)
                      : MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        free(bytes);
        return NULL;
    }
    bool ok = true;
    for (size_t i = 0; i < reply->n_fields && ok; i++)
        ok = add_header(exchange, response, &reply->fields[i]);
    if (exchange->server->draining)
        ok = ok && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    if (ok)
        return response;
    MHD_destroy_response(response);
    return NULL;
}

/* Whether libmicrohttpd has room for the head; the status line and what it adds are in the sum. */
static bool head_is_long(const struct reply *reply)
{
    size_t bytes = 256;
    for (size_t i = 0; i < reply->n_fields; i++)
        bytes += reply->fields[i].name.len + reply->fields[i].value.len + sizeof(": \r\n") - 1;
    return bytes > REPLY_HEAD_BYTES;
}

static bool keep_long_answer(struct exchange *exchange, struct reply *reply)
{
    exchange->long_head = buf_make(LONG_HEAD_MAX_BYTES);
    exchange->long_body = reply->body;
    reply->body = buf_make(0);
    server_append_head(exchange->server, &exchange->long_head, reply->status, reply->fields,
                       reply->n_fields);
    return !buf_failed(&exchange->long_head);
}

void exchange_reply(struct exchange *exchange, struct reply *reply)
{
    if (exchange->gone || exchange->answered) {
        buf_free(&reply->body);
        return;
    }
    exchange->status = reply->status;
    if (head_is_long(reply)) {
        exchange->answered = keep_long_answer(exchange, reply);
    } else {
        exchange->response = make_response(exchange, reply);
        exchange->answered = exchange->response != NULL;
    }
    /* Without memory for an answer the connection is closed (on_resumed, queue_answer). */
    exchange->gone = !exchange->answered;
    exchange_wake(exchange);
}
