/* SPDX-License-Identifier: Apache-2.0 */
/* The stages that count, over plain structs: who shares a bucket, what the refusal says, and that a
 * place for a stream comes back. The arithmetic is tested in base/test_gcra, the tables in store/.
 */
#include "gate/stages.h"
#include "support/dice.h"
#include "support/gate_fixture.h"

#define PING(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"ping\"}"
#define LISTEN \
    "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"subscriptions/listen\",\"params\":{}}"
/* As RFC9068_PAYLOAD for somebody else. */
#define OTHER_SUBJECT                                                                       \
    "{\"iss\":\"" ISSUER "\",\"sub\":\"auth0|other\",\"aud\":\"" RESOURCE                   \
    "\",\"iat\":1799999000,\"exp\":1800003600,\"client_id\":\"tpc_client\",\"jti\":\"j2\"," \
    "\"scope\":\"mcp:use\"}"

#define SECOND INT64_C(1000000000)

static struct route_limits *limits_of(struct gate_fixture *f, size_t route)
{
    return &f->tokens->routes[route].limits;
}

struct ask {
    const char *method; /* NULL: POST */
    const char *target; /* NULL: /mcp */
    const char *token;  /* NULL: a good one of RFC9068_PAYLOAD */
    struct str ip;      /* absent: 192.0.2.7 */
    const char *body;   /* NULL: a ping */
};

/* Runs one request up to where it waits for the upstream, or was answered. */
static enum step run(struct gate_fixture *f, struct gate_request *request, const struct ask *ask)
{
    const char *method = ask->method != NULL ? ask->method : "POST";
    gate_begin(f, request, method, ask->target != NULL ? ask->target : "/mcp");
    gate_add_field(request, STR("Content-Type"), STR("application/json"));
    gate_add_field(request, STR("Origin"), STR("https://mcp.example.com"));
    if (ask->token == NULL)
        gate_add_token(request, gate_token(f, "key-1", RFC9068_PAYLOAD));
    else
        gate_add_token(request, str_from_cstr(ask->token));
    (void)gate_make_txn(f, request);
    if (str_is_set(ask->ip))
        request->txn->client_ip = ask->ip;
    enum step step = stages_run(request->txn);
    if (step != STEP_WAIT)
        return step;
    gate_set_body(request, ask->body != NULL ? ask->body : PING("1"));
    return stages_run(request->txn);
}

/* Status of its answer; 0: it went upstream. */
static unsigned ask(struct gate_fixture *f, const struct ask *what)
{
    struct gate_request request;
    enum step step = run(f, &request, what);
    unsigned status = step == STEP_REPLY ? request.txn->status : 0;
    gate_end(&request);
    return status;
}

static void a_route_without_limits_counts_nothing(void **state)
{
    struct gate_fixture *f = *state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(ask(f, &(struct ask){0}), 0);
    const struct metrics_limits numbers = limits_numbers(f->limits, FIXTURE_MONO * INT64_C(1000));
    assert_int_equal(numbers.buckets, 0);
    assert_int_equal(numbers.streams, 0);
}

static void an_address_is_counted_before_its_token_is_looked_at(void **state)
{
    struct gate_fixture *f = *state;
    limits_of(f, 0)->ip_rate = (struct gcra){.interval_ns = SECOND, .burst = 3};
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(f, &(struct ask){.token = "no-token"}), 401);
    assert_int_equal(ask(f, &(struct ask){.token = "no-token"}), 429);
    assert_int_equal(ask(f, &(struct ask){0}), 429);
    assert_int_equal(ask(f, &(struct ask){.ip = STR("192.0.2.8")}), 0);
    /* Each route for itself: this one is not for the audience of the token. */
    assert_int_equal(ask(f, &(struct ask){.target = "/api"}), 401);
    /* A document and a preflight are for everybody. */
    assert_int_equal(ask(f, &(struct ask){.method = "OPTIONS"}), 204);
    assert_int_equal(ask(f, &(struct ask){.method = "GET",
                                          .target = "/.well-known/oauth-protected-resource/mcp"}),
                     200);
    assert_int_equal(f->metrics.limited[0][METRICS_LIMIT_IP_RATE], 2);
}

/* There was no memory for the store: the policy says what counts, not the shortage. */
static void a_store_that_is_missing_is_a_store_that_does_not_answer(void **state)
{
    struct gate_fixture *f = *state;
    struct store_config *store = &f->tokens->config.limits.store;
    limits_of(f, 0)->ip_rate = (struct gcra){.interval_ns = SECOND, .burst = 1};
    assert_null(f->worker.store);
    store->on = true;
    store->on_error = STORE_ERROR_REFUSE;
    assert_int_equal(ask(f, &(struct ask){0}), 503);
    store->on_error = STORE_ERROR_ALLOW;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(f, &(struct ask){0}), 0);
    store->on_error = STORE_ERROR_LOCAL;
    assert_int_equal(ask(f, &(struct ask){0}), 0);
    assert_int_equal(ask(f, &(struct ask){0}), 429);
    store->on = false;
}

static void a_whole_ipv6_subscriber_is_one_address(void **state)
{
    struct gate_fixture *f = *state;
    limits_of(f, 0)->ip_rate = (struct gcra){.interval_ns = SECOND, .burst = 1};
    assert_int_equal(ask(f, &(struct ask){.ip = STR("2001:db8:0:1::1")}), 0);
    assert_int_equal(ask(f, &(struct ask){.ip = STR("2001:db8:0:1:ffff::1")}), 429);
    assert_int_equal(ask(f, &(struct ask){.ip = STR("2001:db8:0:2::1")}), 0);
}

static void a_subject_is_counted_whatever_its_token_and_address(void **state)
{
    struct gate_fixture *f = *state;
    limits_of(f, 0)->subject_rate = (struct gcra){.interval_ns = SECOND, .burst = 2};
    assert_int_equal(ask(f, &(struct ask){.ip = STR("192.0.2.8")}), 0);
    assert_int_equal(ask(f, &(struct ask){.method = "DELETE"}), 0);
    assert_int_equal(ask(f, &(struct ask){0}), 429);
    assert_int_equal(ask(f, &(struct ask){.method = "GET"}), 429);
    char *other = str_to_cstr(gate_token(f, "key-1", OTHER_SUBJECT));
    assert_int_equal(ask(f, &(struct ask){.token = other}), 0);
    free(other);
    assert_int_equal(f->metrics.limited[0][METRICS_LIMIT_SUBJECT_RATE], 2);
    gate_later_ms = 1000;
    loop_turn(f->worker.loop, 0);
    assert_int_equal(ask(f, &(struct ask){0}), 0);
    assert_int_equal(ask(f, &(struct ask){0}), 429);
}

static void a_batch_counts_each_of_its_messages(void **state)
{
    struct gate_fixture *f = *state;
    limits_of(f, 0)->subject_rate = (struct gcra){.interval_ns = SECOND, .burst = 4};
    assert_int_equal(ask(f, &(struct ask){.body = "[" PING("1") "," PING("2") "," PING("3") "]"}),
                     0);
    assert_int_equal(ask(f, &(struct ask){.body = "[" PING("1") "," PING("2") "]"}), 429);
    assert_int_equal(ask(f, &(struct ask){0}), 0);
    gate_later_ms = 60000;
    loop_turn(f->worker.loop, 0);
    struct gate_request request;
    assert_int_equal(run(f, &request,
                         &(struct ask){.body = "[" PING("1") "," PING("2") "," PING("3") "," PING(
                                           "4") "," PING("5") "]"}),
                     STEP_REPLY);
    assert_int_equal(request.txn->status, 429);
    gate_end(&request);
}

static void a_refusal_says_when_to_come_back(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request request;
    limits_of(f, 0)->subject_rate = (struct gcra){.interval_ns = 5 * SECOND / 2, .burst = 1};
    assert_int_equal(ask(f, &(struct ask){0}), 0);
    assert_int_equal(run(f, &request, &(struct ask){.body = PING("\"a\\u0041\"")}), STEP_REPLY);
    assert_int_equal(request.txn->status, 429);
    assert_string_equal(request.txn->reason, "rate_limited");
    assert_string_equal(stages_name(request.txn), "subject_rate");
    assert_string_equal(gate_answer_field(&request, "Retry-After"), "3");
    assert_string_equal(gate_answer_field(&request, "Cache-Control"), "no-store");
    assert_non_null(
        strstr(gate_answer_field(&request, "Access-Control-Expose-Headers"), "Retry-After"));
    gate_end(&request);
}

static void streams_of_a_subject_are_limited_and_come_back(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request first;
    struct gate_request second;
    struct gate_request third;
    limits_of(f, 0)->subject_streams = 2;
    assert_int_equal(run(f, &first, &(struct ask){.method = "GET"}), STEP_WAIT);
    assert_int_equal(run(f, &second, &(struct ask){.body = LISTEN}), STEP_WAIT);
    assert_int_equal(ask(f, &(struct ask){0}), 0); /* a call is none */
    assert_int_equal(run(f, &third, &(struct ask){.body = LISTEN}), STEP_REPLY);
    assert_int_equal(third.txn->status, 429);
    assert_string_equal(third.txn->reason, "too_many_streams");
    assert_string_equal(stages_name(third.txn), "streams");
    gate_end(&third);
    assert_int_equal(ask(f, &(struct ask){.method = "GET"}), 429);
    gate_end(&first);
    assert_int_equal(run(f, &first, &(struct ask){.method = "GET"}), STEP_WAIT);
    gate_end(&first);
    gate_end(&second);
    assert_int_equal(limits_numbers(f->limits, 0).streams, 0);
    assert_int_equal(f->metrics.limited[0][METRICS_LIMIT_SUBJECT_STREAMS], 2);
}

/* The answer of a POST that turns out to be a stream counts, however many there are. */
static void an_answer_that_streams_is_counted_and_never_cut(void **state)
{
    struct gate_fixture *f = *state;
    struct gate_request posts[3];
    limits_of(f, 0)->subject_streams = 1;
    for (size_t i = 0; i < ARRAY_LEN(posts); i++) {
        assert_int_equal(run(f, &posts[i], &(struct ask){0}), STEP_WAIT);
        limits_note_stream(posts[i].txn);
        limits_note_stream(posts[i].txn); /* counted once */
    }
    assert_int_equal(limits_numbers(f->limits, 0).streams, 3);
    assert_int_equal(ask(f, &(struct ask){.method = "GET"}), 429);
    for (size_t i = 0; i < ARRAY_LEN(posts); i++)
        gate_end(&posts[i]);
    assert_int_equal(limits_numbers(f->limits, 0).streams, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, gate_set_up, gate_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_route_without_limits_counts_nothing),
        TEST(an_address_is_counted_before_its_token_is_looked_at),
        TEST(a_store_that_is_missing_is_a_store_that_does_not_answer),
        TEST(a_whole_ipv6_subscriber_is_one_address),
        TEST(a_subject_is_counted_whatever_its_token_and_address),
        TEST(a_batch_counts_each_of_its_messages),
        TEST(a_refusal_says_when_to_come_back),
        TEST(streams_of_a_subject_are_limited_and_come_back),
        TEST(an_answer_that_streams_is_counted_and_never_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
