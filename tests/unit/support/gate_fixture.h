/* SPDX-License-Identifier: Apache-2.0 */
/* A transaction made of plain structs: no worker thread, no libmicrohttpd, no socket. The exchange
 * is filled by hand (net/server_int.h); what the gate answers stays in it, to be looked at.
 *
 * Routes over the world of token_fixture.h: "/mcp" issuer 0 only, "/api" both issuers, "/scoped"
 * with scopes. The wall clock stands still at FIXTURE_NOW; the monotonic one, too, unless moved on.
 */
#ifndef SUPPORT_GATE_FIXTURE_H
#define SUPPORT_GATE_FIXTURE_H

#include "gate/list_filter.h"
#include "gate/stages.h"
#include "gate/txn.h"
#include "gate/worker.h"
#include "net/server_int.h"
#include "support/cmocka_all.h"
#include "support/token_fixture.h"

#define GATE_BODY_LIMIT 16384
#define GATE_MAX_FIELDS 32

/* How far the monotonic clock is past FIXTURE_MONO; seen by the loop from its next turn on. */
static int64_t gate_later_ms;

struct clock clock_read(void)
{
    return (struct clock){.mono_us = (FIXTURE_MONO + gate_later_ms) * INT64_C(1000),
                          .wall_us = FIXTURE_NOW * INT64_C(1000000)};
}

/* A request and what becomes of it. */
struct gate_request {
    struct exchange exchange;
    struct http1_field fields[GATE_MAX_FIELDS];
    struct txn *txn;
};

struct gate_fixture {
    struct token_fixture *tokens;
    struct snapshot snapshot;
    struct jwks_status statuses[2];
    struct jwks_status *status_pointers[2];
    struct server server;
    struct worker worker;
    struct metrics metrics;
    struct limits *limits;
    size_t labels[3];
    struct route_set routes;
    struct upstream *upstreams[3];
    struct buf token; /* room for one */
    int keys_wanted;
    const struct jwks_status *wanted;
};

static inline void gate_on_want_keys(void *fleet, struct jwks_status *status)
{
    struct gate_fixture *f = fleet;
    f->keys_wanted++;
    f->wanted = status;
}

static inline void gate_make_routes(struct gate_fixture *f)
{
    static const struct {
        struct str mount;
        struct str metadata_url;
    } places[] = {
        {STR_INIT("/mcp"),
         STR_INIT("https://mcp.example.com/.well-known/oauth-protected-resource/mcp")},
        {STR_INIT("/api"),
         STR_INIT("https://mcp.example.com/.well-known/oauth-protected-resource/api")},
        {STR_INIT("/scoped"),
         STR_INIT("https://mcp.example.com/.well-known/oauth-protected-resource/scoped")},
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct route *route = &f->tokens->routes[i];
        route->mount = places[i].mount;
        route->metadata_url = places[i].metadata_url;
        route->metadata_json = STR("{}");
        route->scheme = STR("https");
        route->authority = STR("mcp.example.com");
        route->origin = STR("https://mcp.example.com");
        route->max_body_bytes = GATE_BODY_LIMIT;
        route->max_inspect_bytes = GATE_BODY_LIMIT;
        route->default_allows = true;
        route->filters_lists = true;
        route->binds_sessions = true;
        route->upstream.authority = STR("127.0.0.1:3000");
        route->upstream.target = STR("/up");
    }
    f->tokens->routes[2].scope_text = STR("mcp:use files:read");
}

/* Upstreams that nobody listens at: calls begin and are cancelled, nothing is sent. */
static inline void gate_make_upstreams(struct gate_fixture *f)
{
    f->worker.engine = upstream_engine_new(f->worker.loop);
    for (size_t i = 0; i < ARRAY_LEN(f->upstreams); i++)
        f->upstreams[i] = upstream_new(
            f->worker.engine,
            &(struct upstream_options){.origin = "http://127.0.0.1:9", .connect_timeout_ms = 1000});
    f->routes = (struct route_set){.refs = 1, .upstreams = f->upstreams, .n = 3};
}

static inline struct gate_fixture *gate_make(void)
{
    struct gate_fixture *f = calloc(1, sizeof(*f));
    mint_require(f != NULL, "memory");
    gate_later_ms = 0;
    f->tokens = fixture_make();
    f->tokens->config.jwks.unknown_kid_cooldown_ms = 30000;
    f->tokens->config.jwks.timeout_ms = 5000;
    gate_make_routes(f);
    f->token = buf_make(MINT_MAX_BYTES);
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&f->statuses[i].loaded_ms, FIXTURE_MONO);
        atomic_store(&f->statuses[i].last_start_ms, FIXTURE_MONO - 3600000);
        f->status_pointers[i] = &f->statuses[i];
    }
    f->snapshot = (struct snapshot){.data = &f->tokens->config,
                                    .keysets = f->tokens->keysets,
                                    .statuses = f->status_pointers,
                                    .labels = f->labels};
    f->snapshot.table = route_table_new(f->snapshot.data);
    assert_non_null(f->snapshot.table);
    f->worker.loop = loop_new();
    f->server.loop = f->worker.loop;
    f->worker.verifier = f->tokens->verifier;
    f->worker.metrics = &f->metrics;
    f->limits = limits_new();
    assert_non_null(f->limits);
    f->worker.limits = f->limits;
    f->worker.hasher = hasher_make();
    assert_non_null(f->worker.hasher);
    f->worker.cache = token_cache_make(100, 1024 * 1024);
    f->worker.snapshot = &f->snapshot;
    f->worker.letters = (struct worker_letters){.want_keys = gate_on_want_keys, .fleet = f};
    list_init(&f->worker.txns);
    list_init(&f->worker.marked);
    list_init(&f->worker.deferred);
    list_init(&f->worker.key_waiters);
    gate_make_upstreams(f);
    return f;
}

static inline void gate_free(struct gate_fixture *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->upstreams); i++)
        (void)upstream_free(f->upstreams[i]);
    (void)upstream_engine_free(f->worker.engine);
    (void)token_cache_free(f->worker.cache);
    (void)hasher_free(f->worker.hasher);
    (void)limits_free(f->limits);
    (void)route_table_free(f->snapshot.table);
    (void)loop_free(f->worker.loop);
    buf_free(&f->token);
    fixture_free(f->tokens);
    free(f);
}

static inline int gate_set_up(void **state)
{
    *state = gate_make();
    return 0;
}
static inline int gate_tear_down(void **state)
{
    gate_free(*state);
    return 0;
}

/* A token for PAYLOAD that issuer 0 signed under KID; borrows from the fixture until the next. */
static inline struct str gate_token(struct gate_fixture *f, const char *kid, const char *payload)
{
    char header[128];
    (void)snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}",
                   kid);
    mint_token(&f->token, header, payload, &(struct mint_signer){.key = f->tokens->signer});
    return buf_str(&f->token);
}

/* ---- a request ---- */

static inline void gate_add_field(struct gate_request *request, struct str name, struct str value)
{
    struct exchange_head *head = &request->exchange.head;
    mint_require(head->n_fields < GATE_MAX_FIELDS, "too many fields");
    request->fields[head->n_fields++] = (struct http1_field){.name = name, .value = value};
}

static inline void gate_begin(struct gate_fixture *f, struct gate_request *request,
                              const char *method, const char *target)
{
    struct arena *arena = arena_new(4096, 262144);
    *request = (struct gate_request){.exchange = {.server = &f->server,
                                                  .arena = arena,
                                                  .head = {.method = str_from_cstr(method),
                                                           .target = str_from_cstr(target),
                                                           .fields = request->fields,
                                                           .peer = STR("192.0.2.7")}},
                                     .txn = ARENA_NEW(arena, struct txn)};
}

/* Adds "Authorization: Bearer TOKEN"; the copy lives as long as the request. */
static inline void gate_add_token(struct gate_request *request, struct str token)
{
    struct buf value = buf_make(MINT_MAX_BYTES);
    (void)buf_append(&value, STR("Bearer "));
    (void)buf_append(&value, token);
    gate_add_field(request, STR("Authorization"),
                   arena_str(request->exchange.arena, buf_str(&value)));
    buf_free(&value);
}

/* What the worker does when a head is complete, up to the stages. */
static inline struct txn *gate_make_txn(struct gate_fixture *f, struct gate_request *request)
{
    struct txn *txn = request->txn;
    txn->worker = &f->worker;
    txn->exchange = &request->exchange;
    txn->snapshot = &f->snapshot;
    txn->routes = &f->routes;
    txn->forwarded_for = STR("192.0.2.7");
    txn->client_ip = STR("192.0.2.7");
    (void)snprintf(txn->id, sizeof(txn->id), "%s", "0123456789abcdef0123456789abcdef");
    txn->request = request_read(&request->exchange.head, request->exchange.arena);
    return txn;
}

/* The body has come in. */
static inline void gate_set_body(struct gate_request *request, const char *body)
{
    request->exchange.body.max = GATE_BODY_LIMIT;
    buf_clear(&request->exchange.body);
    mint_require(buf_append_cstr(&request->exchange.body, body) == 0, "body too large");
    request->txn->body_ready = true;
}

/* A field of an answer that is too long for libmicrohttpd. */
static inline const char *gate_long_answer_field(const struct gate_request *request,
                                                 struct str name)
{
    struct str rest = buf_str(&request->exchange.long_head);
    struct str line;
    while (str_split(&rest, '\n', &line)) {
        line = str_head(line, line.len - 1); /* CR */
        if (line.len > name.len && line.ptr[name.len] == ':' &&
            str_eq_nocase(str_head(line, name.len), name))
            return arena_str(request->exchange.arena, str_trim(str_from(line, name.len + 1))).ptr;
    }
    return NULL;
}

/* A field of the answer, or NULL. */
static inline const char *gate_answer_field(const struct gate_request *request, const char *name)
{
    return request->exchange.response != NULL
             ? MHD_get_response_header(request->exchange.response, name)
             : gate_long_answer_field(request, str_from_cstr(name));
}

static inline void gate_end(struct gate_request *request)
{
    struct txn *txn = request->txn;
    txn->relay.call = upstream_cancel(txn->relay.call);
    buf_free(&txn->relay.body);
    txn->relay.filter = list_filter_free(txn->relay.filter);
    limits_end(txn);
    list_unlink(&txn->key_node);
    loop_timer_stop(txn->worker->loop, &txn->key_timer);
    txn->identity = identity_unref(txn->identity);
    if (request->exchange.response != NULL)
        MHD_destroy_response(request->exchange.response);
    buf_free(&request->exchange.body);
    buf_free(&request->exchange.long_head);
    buf_free(&request->exchange.long_body);
    (void)arena_free(request->exchange.arena);
}

#endif
