/* SPDX-License-Identifier: Apache-2.0 */
/* The audit records of a transaction: one for each decision, or one for a request that was decided
 * before its message was looked at. */
#include "gate/stages.h"
#include "gate/txn_trace.h"
#include "gate/worker_int.h"
#include "ops/audit.h"

static const char *target_name(enum mcp_target target)
{
    static const char *const names[MCP_N_TARGETS] = {
        [MCP_TOOL] = "tool", [MCP_PROMPT] = "prompt", [MCP_RESOURCE] = "resource"};
    return names[target];
}

/* What is the same in all records of TXN. */
static void append_request(const struct txn *txn, int64_t duration_us, struct buf *out)
{
    const struct identity *identity = txn->identity;
    const struct log_field fields[] = {
        LOG_CSTR("request_id", txn->id),
        LOG_CSTR("trace_id", txn_trace_id(txn)),
        LOG_STR("client_ip", txn->client_ip),
        LOG_STR("route", txn->route->resource),
        LOG_STR("policy", txn->snapshot->data->digest),
        LOG_STR("issuer", identity != NULL ? identity->issuer : (struct str){0}),
        LOG_STR("subject", identity != NULL ? report_text(identity->subject) : (struct str){0}),
        LOG_STR("client_id", identity != NULL ? report_text(identity->client) : (struct str){0}),
        LOG_CSTR("token", txn->fingerprint[0] != '\0' ? txn->fingerprint : NULL),
        LOG_STR("http_method", method_name(txn->request.method)),
        LOG_INT("status", txn_status(txn)),
        LOG_INT("upstream_status", txn->relay.status),
        LOG_INT("bytes", txn->relay.bytes),
        LOG_INT("duration_us", duration_us),
    };
    log_append_json_fields(fields, ARRAY_LEN(fields), out);
}

/* A call may be allowed by its rule and still not be done: because of another one in its batch, a
 * session of somebody else, a limit. DECISION is what the rules said, REASON why it ended so. */
static void append_decision(const struct txn *txn, const struct txn_decision *at, struct buf *out)
{
    const struct mcp_call *call = at->call;
    const struct rule *rule = at->decision.rule;
    const bool denied = at->decision.verdict != VERDICT_ALLOW || !txn->passed;
    const struct log_field fields[] = {
        LOG_STR("mcp_method", report_text(at->message->method)),
        LOG_CSTR("target", call != NULL ? target_name(call->target) : NULL),
        LOG_STR("name", call != NULL ? report_text(call->name) : (struct str){0}),
        LOG_CSTR("decision", denied ? "deny" : "allow"),
        LOG_CSTR("reason", at->decision.verdict == VERDICT_ALLOW && !txn->passed
                               ? txn->reason
                               : at->decision.reason),
        LOG_STR("rule", rule != NULL ? rule->pointer : (struct str){0}),
    };
    log_append_json_fields(fields, ARRAY_LEN(fields), out);
    if (call != NULL && call->name.len > REPORT_MAX_BYTES) {
        const struct log_field cut[] = {LOG_INT("name_bytes", call->name.len)};
        log_append_json_fields(cut, ARRAY_LEN(cut), out);
    }
}

static void append_undecided(const struct txn *txn, struct buf *out)
{
    const struct log_field fields[] = {
        LOG_CSTR("decision", txn->passed ? "allow" : "deny"),
        LOG_CSTR("reason", txn->passed ? "no_call" : txn->reason),
    };
    log_append_json_fields(fields, ARRAY_LEN(fields), out);
}

static void append_record(struct txn *txn, const struct txn_decision *at, int64_t duration_us)
{
    struct worker *worker = txn->worker;
    struct buf *out = &worker->audit_record;
    buf_clear(out);
    out->fault = 0;
    (void)buf_append(out, STR("\"time\":\""));
    log_append_time(&worker->audit_stamp, loop_clock(worker->loop), out);
    (void)buf_append_char(out, '"');
    if (at != NULL)
        append_decision(txn, at, out);
    else
        append_undecided(txn, out);
    append_request(txn, duration_us, out);
    (void)audit_append(worker->audit, buf_str(out));
}

void txn_audit(struct txn *txn, int64_t duration_us)
{
    /* Documents and preflights are for everybody: nothing is decided. Nor is it about a caller when
     * none was asked for, and a flood of those must not fill the disk, or the queue. */
    if (txn->worker->audit == NULL || txn->route == NULL || txn->is_document ||
        stages_refused_anybody(txn))
        return;
    for (size_t i = 0; i < txn->n_decisions; i++)
        append_record(txn, &txn->decisions[i], duration_us);
    if (txn->n_decisions == 0)
        append_record(txn, NULL, duration_us);
}
