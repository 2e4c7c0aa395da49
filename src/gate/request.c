/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/txn.h"
#include "gate/worker.h"
#include "proto/field.h"

/* Of X-Forwarded-For: its lines together, which a head has room for, and what is kept of them from
 * the right. */
#define MAX_FORWARDED_LINES (2U * 1024 * 1024)
#define MAX_FORWARDED_BYTES 4096

static const struct {
    struct str name;
    enum method method;
} methods[] = {
    {STR_INIT("POST"), METHOD_POST},     {STR_INIT("GET"), METHOD_GET},
    {STR_INIT("DELETE"), METHOD_DELETE}, {STR_INIT("OPTIONS"), METHOD_OPTIONS},
    {STR_INIT("HEAD"), METHOD_HEAD},
};

struct str method_name(enum method method)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].method == method)
            return methods[i].name;
    return STR("OTHER");
}

static enum method method_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(methods[i].name, name))
            return methods[i].method;
    return METHOD_OTHER;
}

/* Several lines are one list (RFC 9110 5.3): HAProxy for one adds a line of its own. */
static void append_to_list(struct buf *list, struct str line)
{
    if (list->len > 0)
        (void)buf_append(list, STR(", "));
    (void)buf_append(list, line);
}

/* ID is what FIELD is as it is spelled. */
static void read_field(struct request *request, const struct http1_field *field, enum field_id id,
                       struct buf *forwarded_for)
{
    if (id == FIELD_AUTHORIZATION) {
        request->n_authorization++;
        request->authorization = field->value;
    } else if (id == FIELD_ORIGIN) {
        request->origin = field->value;
    } else if (id == FIELD_CONTENT_TYPE) {
        request->content_type = field->value;
    } else if (id == FIELD_CONTENT_ENCODING) {
        request->is_coded = request->is_coded || !str_eq_nocase(field->value, STR("identity"));
    } else if (id == FIELD_X_FORWARDED_FOR) {
        append_to_list(forwarded_for, field->value);
    } else if (id == FIELD_ACCESS_CONTROL_REQUEST_HEADERS) {
        request->cors_headers = field->value;
    } else if (id == FIELD_MCP_SESSION_ID) {
        request->n_session++;
        request->session = field->value;
    } else if (id == FIELD_MCP_PROTOCOL_VERSION) {
        request->mcp.n_revision++;
        request->mcp.revision = field->value;
    } else if (id == FIELD_MCP_METHOD) {
        request->mcp.n_method++;
        request->mcp.method = field->value;
    } else if (id == FIELD_MCP_NAME) {
        request->mcp.n_name++;
        request->mcp.name = field->value;
    } else if (id == FIELD_TRACEPARENT) {
        request->n_traceparent++;
        request->traceparent = field->value;
    }
}

/* The id of NAME with '_' read as '-', when ID is that of its own spelling. */
static enum field_id fold_id(struct str name, enum field_id id)
{
    return str_find_char(name, '_') < 0 ? id : field_lookup_folded(name);
}

/* The members of LIST that end in the last MAX_FORWARDED_BYTES. Proxies append, so a client can
 * make the list long, but not drop what stands at its right end. */
static struct str right_end(struct str list)
{
    if (list.len <= MAX_FORWARDED_BYTES)
        return list;
    struct str end = str_from(list, list.len - MAX_FORWARDED_BYTES);
    ptrdiff_t comma = str_find_char(end, ',');
    return comma >= 0 ? str_from(end, (size_t)comma + 1) : STR("");
}

struct request request_read(const struct exchange_head *head, struct arena *arena)
{
    struct request request = {.method = method_find(head->method), .path = head->target};
    ptrdiff_t mark = str_find_char(head->target, '?');
    if (mark >= 0) {
        request.path = str_head(head->target, (size_t)mark);
        request.query = str_from(head->target, (size_t)mark + 1);
    }
    struct buf forwarded_for = buf_make(MAX_FORWARDED_LINES);
    enum field_id *folded = arena_alloc(arena, head->n_fields * sizeof(*folded));
    for (size_t i = 0; i < head->n_fields; i++) {
        enum field_id id = field_lookup(head->fields[i].name);
        read_field(&request, &head->fields[i], id, &forwarded_for);
        if (folded != NULL)
            folded[i] = fold_id(head->fields[i].name, id);
    }
    request.folded = folded;
    /* A copy, since the client's address, which is a part of it, is needed for the log. */
    struct str end = buf_failed(&forwarded_for) ? STR("") : right_end(buf_str(&forwarded_for));
    if (end.len > 0)
        request.forwarded_for = arena_str(arena, end);
    buf_free(&forwarded_for);
    return request;
}

struct caller txn_caller(const struct txn *txn)
{
    return (struct caller){.scope = txn->identity->scope, .claims = txn->identity->claims};
}

struct session_owner txn_session_owner(const struct txn *txn)
{
    return (struct session_owner){.issuer = txn->identity->issuer,
                                  .subject = txn->identity->subject,
                                  .resource = txn->route->resource};
}

void txn_mark(struct txn *txn)
{
    if (!list_is_linked(&txn->run_node))
        list_append(&txn->worker->marked, &txn->run_node);
}
