/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that every request goes through, each called COST_CALLS times over what an ordinary
 * request gives it. tests/cost/run lets callgrind count the instructions of each cost_NAME() and
 * compares them with tests/cost/expected.tsv; by itself this program only checks that they work.
 *
 * Pure code only: what the kernel does, and waiting, is the benchmark's part (docs/BENCHMARKS.md).
 */
#include <fcntl.h>

#include "base/diag.h"
#include "base/secret.h"
#include "gate/list_filter.h"
#include "gate/relay.h"
#include "gate/stages_int.h"
#include "policy/rules.h"
#include "proto/bearer.h"
#include "proto/http1_request.h"
#include "proto/http1_response.h"
#include "proto/mcp_list.h"
#include "support/gate_fixture.h"

#define COST_CALLS 200
#define MAX_HEAD 4096
#define LISTED_TOOLS 50

/* Each one is found by its name in callgrind's account. clang makes no clones. */
#ifdef __clang__
#define COSTED __attribute__((noinline, used))
#else
#define COSTED __attribute__((noinline, noclone, used))
#endif

#define BODY                                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":42,\"method\":\"tools/call\",\"params\":{\"name\":\"search\"," \
    "\"arguments\":{\"query\":\"quarterly report of the northern region\",\"limit\":20},"       \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}"

static const struct {
    struct str name;
    struct str value;
} client_fields[] = {
    {STR_INIT("Host"), STR_INIT("mcp.example.com")},
    {STR_INIT("Accept"), STR_INIT("application/json, text/event-stream")},
    {STR_INIT("Content-Type"), STR_INIT("application/json")},
    {STR_INIT("MCP-Protocol-Version"), STR_INIT("2026-07-28")},
    {STR_INIT("Mcp-Method"), STR_INIT("tools/call")},
    {STR_INIT("Mcp-Name"), STR_INIT("search")},
    {STR_INIT("User-Agent"), STR_INIT("mcp-client/1.0")},
    {STR_INIT("Connection"), STR_INIT("keep-alive")},
};

static const struct str answer = STR_INIT("HTTP/1.1 200 OK\r\n"
                                          "Content-Type: application/json\r\n"
                                          "Mcp-Session-Id: 0123456789abcdef\r\n"
                                          "Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
                                          "Connection: keep-alive\r\n"
                                          "Content-Length: 300\r\n\r\n");

/* An ordinary request and all that it meets. */
struct world {
    struct gate_fixture *gate;
    struct gate_request request;
    struct config *config;
    const struct route *route; /* with ten rules */
    struct caller caller;
    struct str token;
    struct str authorization;
    struct buf raw; /* the request as it comes */
    struct mcp_head mcp;
    struct str list;
    struct mcp_list_filter lists;
    struct buf out;
};

/* ---- the functions ---- */

COSTED static void cost_request_filter(struct world *w)
{
    struct http1_request filter;
    const struct http1_request_limits limits = {.head_bytes = 32768, .target_bytes = 8192};
    http1_request_init(&filter, limits);
    mint_require(http1_request_feed(&filter, w->raw.ptr, w->raw.len) == w->raw.len &&
                     http1_request_idle(&filter),
                 "request");
}

COSTED static void cost_request_read(struct world *w)
{
    const struct request request =
        request_read(&w->request.exchange.head, w->request.exchange.arena);
    mint_require(request.n_authorization == 1 && request.mcp.n_name == 1, "fields");
}

COSTED static void cost_bearer(struct world *w)
{
    struct str token;
    mint_require(bearer_parse(w->authorization, &token) == BEARER_OK, "bearer");
}

COSTED static void cost_token_lookup(struct world *w)
{
    uint8_t digest[SHA256_LEN];
    mint_require(hasher_sha256(w->gate->worker.hasher, w->token, digest) == 0, "digest");
    struct identity *identity =
        token_cache_lookup(w->gate->worker.cache, digest, w->token, FIXTURE_NOW);
    mint_require(identity != NULL, "cached token");
    (void)identity_unref(identity);
}

/* All of a check but the header and the signature. */
COSTED static void cost_token_claims(struct world *w)
{
    mint_require(token_check_claims(&w->gate->tokens->context, w->token) == TOKEN_OK, "claims");
}

static struct mcp_call inspect(struct world *w, struct arena *arena)
{
    struct mcp_body body;
    struct str id;
    mint_require(mcp_inspect(STR(BODY), GATE_BODY_LIMIT, arena, &body, &id) == MCP_OK &&
                     mcp_check_shape(&w->mcp, &body) == NULL &&
                     mcp_check_head(&w->mcp, &body, arena) == NULL && body.messages[0].n_calls == 1,
                 "inspection");
    return body.messages[0].calls[0];
}

COSTED static void cost_inspection(struct world *w)
{
    struct arena *arena = arena_new(6144, 262144);
    (void)inspect(w, arena);
    (void)arena_free(arena);
}

COSTED static void cost_decision(struct world *w)
{
    const struct mcp_call call = {
        .target = MCP_TOOL, .method = STR("tools/call"), .name = STR("search")};
    mint_require(rules_judge(w->route, &w->caller, &call).verdict == VERDICT_ALLOW, "decision");
}

COSTED static void cost_upstream_head(struct world *w)
{
    buf_clear(&w->out);
    mint_require(relay_append_head(w->request.txn, &w->out) == 0, "upstream head");
}

COSTED static void cost_answer_head(struct world *w)
{
    struct http1_response_head head;
    size_t scanned = 0;
    size_t used = 0;
    (void)w;
    mint_require(http1_response_head(answer, &scanned, &head, &used) == HTTP1_RESPONSE_OK &&
                     used == answer.len,
                 "answer head");
}

/* Both buckets; a route without limits pays a comparison for each. */
COSTED static void cost_rate_limits(struct world *w)
{
    struct txn *txn = w->request.txn;
    txn->ip_counted = false;
    mint_require(stage_ip_rate(txn) == STEP_NEXT && stage_subject_rate(txn) == STEP_NEXT, "limits");
}

COSTED static void cost_metrics(struct world *w)
{
    metrics_request(w->gate->worker.metrics, 0, 200, "ok", 850);
    metrics_tool_call(w->gate->worker.metrics, 0, STR("search"), true);
}

COSTED static void cost_log_line(struct world *w)
{
    LOG(&w->gate->worker.log, loop_clock(w->gate->worker.loop), LOG_LEVEL_INFO, "request",
        LOG_CSTR("request_id", "0123456789abcdef0123456789abcdef"),
        LOG_STR("client_ip", STR("192.0.2.7")), LOG_STR("method", STR("POST")),
        LOG_STR("path", STR("/mcp")), LOG_STR("route", STR("https://mcp.example.com/mcp")),
        LOG_STR("mcp_method", STR("tools/call")), LOG_STR("name", STR("search")),
        LOG_INT("status", 200), LOG_CSTR("reason", "ok"), LOG_CSTR("stage", "forward"),
        LOG_STR("issuer", STR(ISSUER)), LOG_STR("subject", STR("auth0|64f")),
        LOG_STR("client_id", STR("tpc_client")), LOG_CSTR("token", "0123456789ab"),
        LOG_INT("upstream_status", 200), LOG_INT("bytes", 300), LOG_INT("duration_us", 850));
}

COSTED static void cost_list_filter(struct world *w)
{
    struct list_filter *filter =
        list_filter_new(&(struct list_filter_options){.lists = &w->lists, .request_id = STR("1")});
    struct buf out = buf_make(LIST_FILTER_MAX_OUT(GATE_BODY_LIMIT * 4, 0, 1));
    mint_require(list_filter_feed(filter, w->list, &out) == LIST_FILTER_OK &&
                     list_filter_end(filter, &out) == LIST_FILTER_OK && out.len > 0 &&
                     out.len < w->list.len,
                 "list");
    buf_free(&out);
    (void)list_filter_free(filter);
}

/* ---- what they need ---- */

static bool may_use(void *ctx, enum mcp_list list, struct str name)
{
    const struct world *w = ctx;
    const struct mcp_call call = {.target = MCP_TOOL, .method = STR("tools/call"), .name = name};
    (void)list;
    return rules_judge(w->route, &w->caller, &call).verdict == VERDICT_ALLOW;
}

static void make_list(struct world *w)
{
    struct buf list = buf_make(GATE_BODY_LIMIT * 4);
    (void)buf_append(&list, STR("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":["));
    for (unsigned i = 0; i < LISTED_TOOLS; i++)
        (void)buf_printf(&list,
                         "%s{\"name\":\"%s_%u\",\"description\":\"Does what number %u of a large "
                         "server does, and says so at some length, as descriptions do.\","
                         "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"query\":{"
                         "\"type\":\"string\",\"description\":\"What to look for\"},\"limit\":{"
                         "\"type\":\"integer\",\"minimum\":1}},\"required\":[\"query\"]}}",
                         i > 0 ? "," : "", i % 10 == 0 ? "docs" : "report", i, i);
    (void)buf_append(&list, STR("]}}"));
    mint_require(!buf_failed(&list), "list");
    w->list = buf_str(&list);
    w->lists = (struct mcp_list_filter){
        .lists = MCP_ALL_LISTS, .may = may_use, .ctx = w, .max_bytes = list.len};
}

static void make_raw_request(struct world *w)
{
    w->raw = buf_make(2 * MAX_HEAD);
    (void)buf_append(&w->raw, STR("POST /mcp HTTP/1.1\r\n"));
    for (size_t i = 0; i < w->request.exchange.head.n_fields; i++)
        (void)buf_printf(&w->raw, "%.*s: %.*s\r\n", STR_ARG(w->request.fields[i].name),
                         STR_ARG(w->request.fields[i].value));
    (void)buf_printf(&w->raw, "Content-Length: %zu\r\n\r\n%s", sizeof(BODY) - 1, BODY);
    mint_require(!buf_failed(&w->raw), "raw request");
}

static void load_rules(struct world *w)
{
    struct config_sources sources = config_sources_system();
    struct diag diag = {0};
    mint_require(config_load(SOURCE_DIR "/tests/cost/policy.json", &sources, &diag, &w->config) ==
                     0,
                 "policy");
    diag_free(&diag);
    w->route = &config_get(w->config)->routes[0];
}

/* The rules are those of another policy than the request's: what they read is not kept yet. */
static void know_claims(const struct world *w, struct identity *identity)
{
    struct token_context context = w->gate->tokens->context;
    context.config = config_get(w->config);
    context.route = w->route;
    mint_require(token_recheck(&context, identity) == TOKEN_OK, "claims of the rules");
}

/* The request passes all stages once; from then on its token is in the cache. */
static void make_request(struct world *w)
{
    static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}";
    static const char payload[] =
        "{\"iss\":\"" ISSUER "\",\"sub\":\"auth0|64f\",\"aud\":[\"" RESOURCE "\",\"" ISSUER
        "userinfo\"],\"iat\":1799999000,\"exp\":1800003600,\"client_id\":\"tpc_client\","
        "\"jti\":\"j1\",\"scope\":\"openid profile mcp:use\","
        "\"permissions\":[\"tool:search\",\"tool:echo\"]}";
    struct gate_fixture *gate = w->gate;
    gate_begin(gate, &w->request, "POST", "/mcp");
    for (size_t i = 0; i < ARRAY_LEN(client_fields); i++)
        gate_add_field(&w->request, client_fields[i].name, client_fields[i].value);
    mint_token(&gate->token, header, payload, &(struct mint_signer){.key = gate->tokens->signer});
    w->token = buf_str(&gate->token);
    gate_add_token(&w->request, w->token);
    w->authorization = w->request.fields[w->request.exchange.head.n_fields - 1].value;
    (void)gate_make_txn(gate, &w->request);
    gate_set_body(&w->request, BODY);
    mint_require(stages_run(w->request.txn) == STEP_WAIT, "stages");
    know_claims(w, w->request.txn->identity);
    w->caller = txn_caller(w->request.txn);
    w->mcp = w->request.txn->request.mcp;
}

static void make_world(struct world *w)
{
    static struct metrics metrics;
    w->gate = gate_make();
    w->gate->worker.metrics = &metrics;
    w->gate->worker.log =
        log_make(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    w->out = buf_make(RELAY_MAX_HEAD_BYTES);
    load_rules(w);
    make_request(w);
    make_raw_request(w);
    make_list(w);
    const struct gcra plenty = {.interval_ns = 1000, .burst = GCRA_MAX_COUNT};
    w->gate->tokens->routes[0].limits =
        (struct route_limits){.ip_rate = plenty, .subject_rate = plenty};
}

int main(void)
{
    static void (*const functions[])(struct world *) = {
        cost_request_filter, cost_request_read, cost_bearer,   cost_token_lookup,
        cost_token_claims,   cost_inspection,   cost_decision, cost_upstream_head,
        cost_answer_head,    cost_metrics,      cost_log_line, cost_list_filter,
        cost_rate_limits,
    };
    static struct world world;
    make_world(&world);
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        for (unsigned call = 0; call < COST_CALLS; call++)
            functions[i](&world);
    /* Everything else goes with the process. */
    return 0;
}
