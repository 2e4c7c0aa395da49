/* SPDX-License-Identifier: Apache-2.0 */
/* How much one caller may ask for: the stages that count. Each costs one comparison on a route that
 * has no such limit. */
#include <stdio.h>

#include "base/secret.h"
#include "gate/limits.h"
#include "gate/reply.h"
#include "gate/stages_int.h"
#include "gate/worker.h"
#include "policy/forwarded.h"

#define MAX_TEXT 96
#define STREAMS_RETRY_S 5 /* nobody knows when a stream will end */

static enum step limited(struct txn *txn, enum metrics_limit limit,
                         const struct limit_refusal *refusal)
{
    metrics_limited(txn->worker->metrics, txn->snapshot->labels[txn->route->index], limit);
    reply_limited(txn, refusal);
    return STEP_REPLY;
}

/* ---- token buckets ---- */

struct question {
    enum metrics_limit limit;
    const struct gcra *gcra;
    const struct str *parts; /* whose bucket it is */
    size_t n_parts;
    int64_t cost;
};

static enum step refuse_rate(struct txn *txn, const struct question *question, int64_t wait_ns)
{
    char text[MAX_TEXT];
    int64_t wait_s = gcra_wait_s(wait_ns);
    if (question->cost > question->gcra->burst)
        (void)snprintf(text, sizeof(text), "Too many calls in one batch: at most %lld are allowed",
                       (long long)question->gcra->burst);
    else
        (void)snprintf(text, sizeof(text), "Too many requests: try again in %lld second%s",
                       (long long)wait_s, wait_s == 1 ? "" : "s");
    return limited(
        txn, question->limit,
        &(struct limit_refusal){.reason = "rate_limited", .text = text, .wait_s = wait_s});
}

/* This process counts for itself. */
static enum step take_here(struct txn *txn, const struct question *question)
{
    struct rate_table *rates = txn->worker->limits->rates;
    int64_t now_ns = loop_clock(txn->worker->loop)->mono_us * 1000;
    int64_t wait_ns;
    uint64_t hash = rate_table_hash(rates, question->parts, question->n_parts);
    if (rate_table_take(rates, hash, question->gcra, now_ns, question->cost, &wait_ns))
        return STEP_NEXT;
    return refuse_rate(txn, question, wait_ns);
}

static enum step without_store(struct txn *txn, const struct question *question)
{
    switch (txn->snapshot->data->limits.store.on_error) {
    case STORE_ERROR_LOCAL:
        return take_here(txn, question);
    case STORE_ERROR_ALLOW:
        return STEP_NEXT;
    case STORE_ERROR_REFUSE:
        break;
    }
    reply_gateway(txn, &(struct refusal){.status = 503,
                                         .reason = "limits_unavailable",
                                         .error = "temporarily_unavailable",
                                         .description = "The gate cannot count requests now"});
    return STEP_REPLY;
}

static void on_store_answer(struct shared_rate_ask *ask, enum shared_rate_rc rc, int64_t wait_ns)
{
    static const enum store_answer answers[] = {[SHARED_RATE_TAKEN] = STORE_TAKEN,
                                                [SHARED_RATE_REFUSED] = STORE_REFUSED,
                                                [SHARED_RATE_FAILED] = STORE_FAILED};
    struct txn *txn = CONTAINER_OF(ask, struct txn, ask);
    txn->store_answer = answers[rc];
    txn->store_wait_ns = wait_ns;
    txn_mark(txn);
}

#define STORE_KEY_PREFIX "portcullis:"
#define STORE_KEY_MAC_LEN 16
#define STORE_KEY_BYTES (sizeof(STORE_KEY_PREFIX) + (size_t)2 * STORE_KEY_MAC_LEN)

/* Nobody who reads the store learns whose bucket it is. 0 or -EIO. */
static int make_store_key(const struct txn *txn, const struct question *question,
                          char ret_key[STORE_KEY_BYTES])
{
    uint8_t mac[SHA256_LEN];
    struct str key = str_make((const char *)txn->snapshot->rate_key, SHA256_LEN);
    int r = secret_hmac_parts(key, question->parts, question->n_parts, mac);
    size_t len = sizeof(STORE_KEY_PREFIX) - 1;
    memcpy(ret_key, STORE_KEY_PREFIX, len);
    for (size_t i = 0; r == 0 && i < STORE_KEY_MAC_LEN; i++, len += 2)
        (void)snprintf(ret_key + len, 3, "%02x", mac[i]);
    return r;
}

static enum step ask_store(struct txn *txn, const struct question *question)
{
    char key[STORE_KEY_BYTES];
    txn->ask.done = on_store_answer;
    if (make_store_key(txn, question, key) < 0 ||
        !shared_rate_ask(txn->worker->store, str_from_cstr(key), question->gcra, question->cost,
                         &txn->ask))
        return without_store(txn, question);
    txn->store_answer = STORE_ASKED;
    return STEP_WAIT;
}

/* Runs again when the store has answered. */
static enum step take(struct txn *txn, const struct question *question)
{
    enum store_answer answer = txn->store_answer;
    if (answer == STORE_ASKED)
        return STEP_WAIT;
    txn->store_answer = STORE_NOT_ASKED;
    switch (answer) {
    case STORE_NOT_ASKED:
    case STORE_ASKED:
        break;
    case STORE_TAKEN:
        return STEP_NEXT;
    case STORE_REFUSED:
        return refuse_rate(txn, question, txn->store_wait_ns);
    case STORE_FAILED:
        return without_store(txn, question);
    }
    if (txn->worker->store != NULL)
        return ask_store(txn, question);
    /* One that is wanted may be missing: there was no memory for it. */
    return txn->snapshot->data->limits.store.on ? without_store(txn, question)
                                                : take_here(txn, question);
}

/* Before the token is looked at, so that a flood of bad ones is cheap. */
enum step stage_ip_rate(struct txn *txn)
{
    uint8_t network[FORWARDED_NETWORK_LEN];
    const struct gcra *gcra = &txn->route->limits.ip_rate;
    if (gcra->interval_ns == 0 || txn->ip_counted)
        return STEP_NEXT;
    forwarded_network(txn->client_ip, network);
    const struct str parts[] = {STR("ip"), txn->route->resource,
                                str_make((const char *)network, sizeof(network))};
    enum step step = take(txn, &(struct question){.limit = METRICS_LIMIT_IP_RATE,
                                                  .gcra = gcra,
                                                  .parts = parts,
                                                  .n_parts = ARRAY_LEN(parts),
                                                  .cost = 1});
    /* Behind this it may wait for keys, and begin anew. */
    txn->ip_counted = step != STEP_WAIT;
    return step;
}

/* Each message of a batch counts. */
enum step stage_subject_rate(struct txn *txn)
{
    const struct gcra *gcra = &txn->route->limits.subject_rate;
    if (gcra->interval_ns == 0)
        return STEP_NEXT;
    const struct str parts[] = {STR("subject"), txn->route->resource, txn->identity->issuer,
                                txn->identity->subject};
    return take(txn, &(struct question){
                         .limit = METRICS_LIMIT_SUBJECT_RATE,
                         .gcra = gcra,
                         .parts = parts,
                         .n_parts = ARRAY_LEN(parts),
                         .cost = (int64_t)size_max(txn->body.n_messages, 1),
                     });
}

/* ---- open streams ---- */

static enum count_rc take_stream(struct txn *txn, uint32_t limit)
{
    const struct str parts[] = {txn->route->resource, txn->identity->issuer,
                                txn->identity->subject};
    return count_table_take(txn->worker->limits->streams, parts, ARRAY_LEN(parts), limit,
                            &txn->stream_place);
}

static bool asks_for_stream(const struct txn *txn)
{
    if (txn->request.method == METHOD_GET)
        return true;
    for (size_t i = 0; i < txn->body.n_messages; i++)
        if (str_eq(txn->body.messages[i].method, STR("subscriptions/listen")))
            return true;
    return false;
}

enum step stage_streams(struct txn *txn)
{
    uint32_t limit = txn->route->limits.subject_streams;
    if (limit == 0 || !asks_for_stream(txn))
        return STEP_NEXT;
    switch (take_stream(txn, limit)) {
    case COUNT_OK:
        return STEP_NEXT;
    case COUNT_FULL:
        return limited(
            txn, METRICS_LIMIT_SUBJECT_STREAMS,
            &(struct limit_refusal){.reason = "too_many_streams",
                                    .text = "Too many open streams: close one, or try again later",
                                    .wait_s = STREAMS_RETRY_S});
    case COUNT_NO_MEMORY:
        break;
    }
    reply_gateway(txn, &(struct refusal){.status = 503,
                                         .reason = "no_resources",
                                         .error = "temporarily_unavailable",
                                         .description = "The gate is out of resources"});
    return STEP_REPLY;
}

/* The answer of a POST is a stream, which nobody could know: it counts, and is never cut. */
void limits_note_stream(struct txn *txn)
{
    if (txn->route->limits.subject_streams != 0 && txn->stream_place == NULL)
        (void)take_stream(txn, UINT32_MAX);
}

void limits_end(struct txn *txn)
{
    shared_rate_cancel(&txn->ask);
    if (txn->stream_place != NULL)
        txn->stream_place = count_table_give_back(txn->worker->limits->streams, txn->stream_place);
}
