/* SPDX-License-Identifier: Apache-2.0 */
/* The head that goes upstream: made anew, never the client's. */
#include <errno.h>

#include "gate/relay.h"
#include "gate/txn_trace.h"
#include "gate/worker.h"
#include "proto/field.h"

#define CRLF STR("\r\n")

static void append_field(struct buf *out, struct str name, struct str value)
{
    (void)buf_append(out, name);
    (void)buf_append(out, STR(": "));
    (void)buf_append(out, value);
    (void)buf_append(out, CRLF);
}

/* The upstream's own target, plus the query of the request. */
static void append_target(const struct txn *txn, struct buf *out)
{
    const struct upstream_config *upstream = &txn->route->upstream;
    (void)buf_append(out, upstream->target);
    if (!str_is_set(txn->request.query))
        return;
    (void)buf_append_char(out, upstream->has_query ? '&' : '?');
    (void)buf_append(out, txn->request.query);
}

size_t relay_find_field(const struct http1_field *fields, size_t n_fields, enum field_id id)
{
    size_t i = 0;
    while (i < n_fields && field_lookup(fields[i].name) != id)
        i++;
    return i;
}

bool relay_is_connection_option(const struct http1_field *fields, size_t n_fields, size_t first,
                                struct str name)
{
    for (size_t i = first; i < n_fields; i++)
        if (field_lookup(fields[i].name) == FIELD_CONNECTION &&
            field_list_has(fields[i].value, name))
            return true;
    return false;
}

/* Headers that we set ourselves never come from the client, in no spelling that an upstream could
 * take for them. */
static bool is_ours(const struct route *route, struct str name)
{
    /* also on a route without an assertion: another one may lead to the same upstream */
    if (field_fold_eq(name, STR("x-portcullis-assertion")))
        return true;
    for (size_t i = 0; i < route->n_stripped; i++)
        if (field_fold_eq(name, route->stripped[i]))
            return true;
    return false;
}

/* For this hop only, by its name or by a Connection field. What was compared with the body goes
 * with it, whatever Connection says: the upstream may rely on it. */
static bool is_for_this_hop(const struct exchange_head *head, size_t connection,
                            const struct http1_field *field, unsigned flags)
{
    if ((flags & FIELD_MIRROR) != 0)
        return false;
    return (flags & FIELD_HOP_BY_HOP) != 0 ||
           relay_is_connection_option(head->fields, head->n_fields, connection, field->name);
}

/* What a field of the client goes on as; absent: not at all. */
static struct str value_upstream(const struct txn *txn, const struct http1_field *field,
                                 enum field_id id)
{
    if (id == FIELD_MCP_SESSION_ID && txn->route->binds_sessions)
        return txn->session;
    /* The upstream's parent is our own span. */
    if ((id == FIELD_TRACEPARENT || id == FIELD_TRACESTATE) && txn_trace_is_active(txn))
        return (struct str){0};
    /* Only what can be read can be filtered. */
    if (id == FIELD_ACCEPT_ENCODING && txn->filters)
        return (struct str){0};
    return field->value;
}

static enum field_id folded_id(const struct txn *txn, size_t i)
{
    return txn->request.folded != NULL
             ? txn->request.folded[i]
             : field_lookup_folded(exchange_head(txn->exchange)->fields[i].name);
}

static void append_client_fields(const struct txn *txn, struct buf *out)
{
    const struct exchange_head *head = exchange_head(txn->exchange);
    size_t connection = 0;
    while (connection < head->n_fields && folded_id(txn, connection) != FIELD_CONNECTION)
        connection++;
    for (size_t i = 0; i < head->n_fields; i++) {
        const struct http1_field *field = &head->fields[i];
        enum field_id id = folded_id(txn, i);
        unsigned flags = field_flags(id);
        struct str value = value_upstream(txn, field, id);
        if ((flags & FIELD_REQUEST_STRIP) != 0 || !str_is_set(value) ||
            is_ours(txn->route, field->name) || is_for_this_hop(head, connection, field, flags))
            continue;
        append_field(out, field->name, value);
    }
}

/* Where the request came from. Proto and Host are the policy's, not the client's: they say what the
 * outside calls this server. */
static void append_forwarded(const struct txn *txn, struct buf *out)
{
    (void)buf_append(out, STR("X-Forwarded-For: "));
    (void)buf_append(out, txn->forwarded_for);
    (void)buf_append(out, CRLF);
    append_field(out, STR("X-Forwarded-Proto"), txn->route->scheme);
    append_field(out, STR("X-Forwarded-Host"), txn->route->authority);
    append_field(out, STR("X-Request-Id"), str_from_cstr(txn->id));
    if (txn_trace_is_active(txn))
        txn_trace_append_head(txn, out);
}

/* A claim as text: a string as it is, anything else as JSON. */
static int append_claim(struct buf *out, const json_t *value)
{
    struct str text = json_str(value);
    if (str_is_set(text))
        return field_append_value(out, text);
    struct buf json = buf_make(RELAY_MAX_HEAD_BYTES);
    int r = json_write(value, 0, &json);
    if (r == 0)
        r = field_append_value(out, buf_str(&json));
    buf_free(&json);
    return r;
}

static const json_t *first_claim(const struct identity *identity,
                                 const struct identity_header *header)
{
    for (size_t i = 0; i < header->n_claims; i++) {
        const json_t *value = json_object_get(identity->claims, header->claims[i].ptr);
        if (value != NULL && !json_is_null(value))
            return value;
    }
    return NULL;
}

static int append_identity(const struct txn *txn, struct buf *out)
{
    for (size_t i = 0; i < txn->route->n_identity; i++) {
        const struct identity_header *header = &txn->route->identity[i];
        const json_t *value = first_claim(txn->identity, header);
        if (value == NULL)
            continue;
        (void)buf_append(out, header->name);
        (void)buf_append(out, STR(": "));
        int r = append_claim(out, value);
        if (r < 0)
            return r;
        (void)buf_append(out, CRLF);
    }
    return 0;
}

static void append_configured(const struct upstream_config *upstream, struct buf *out)
{
    for (size_t i = 0; i < upstream->n_headers; i++)
        append_field(out, upstream->headers[i].name, upstream->headers[i].value);
}

struct str relay_body(const struct txn *txn)
{
    return txn->request.method == METHOD_POST ? exchange_body(txn->exchange) : STR("");
}

static void append_length(const struct txn *txn, struct buf *out)
{
    if (txn->request.method != METHOD_POST)
        return;
    (void)buf_append(out, STR("Content-Length: "));
    (void)buf_append_u64(out, relay_body(txn).len);
    (void)buf_append(out, CRLF);
}

int relay_append_head(const struct txn *txn, struct buf *out)
{
    (void)buf_append(out, method_name(txn->request.method));
    (void)buf_append_char(out, ' ');
    append_target(txn, out);
    (void)buf_append(out, STR(" HTTP/1.1\r\n"));
    append_field(out, STR("Host"), txn->route->upstream.authority);
    append_client_fields(txn, out);
    append_forwarded(txn, out);
    int r = append_identity(txn, out);
    if (r < 0)
        return r;
    append_configured(&txn->route->upstream, out);
    if (str_is_set(txn->assertion))
        append_field(out, txn->route->upstream.assertion.header, txn->assertion);
    append_length(txn, out);
    (void)buf_append(out, CRLF);
    return out->fault;
}
