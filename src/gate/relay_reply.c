/* SPDX-License-Identifier: Apache-2.0 */
/* The reply to the client: its status and fields, from the head that the upstream sent. */
#include <errno.h>

#include "gate/relay_int.h"
#include "gate/reply.h"
#include "gate/worker.h"

bool relay_has_media_type(const struct http1_response_head *head, struct str type)
{
    size_t at = http1_response_find(head, FIELD_CONTENT_TYPE);
    return at < head->n_fields && field_media_type_is(head->fields[at].value, type);
}

/* The session id that the client gets for that of the upstream: bound to the caller. */
static int bind_session(const struct txn *txn, struct str upstream_id, struct str *ret_id)
{
    CLEANUP(buf_free) struct buf bound = buf_make(SESSION_MAX_ID_LEN + 1 + SESSION_MAC_TEXT_LEN);
    const struct session_owner owner = txn_session_owner(txn);
    int r = session_bind(txn->snapshot->session_key, &owner, upstream_id, &bound);
    if (r < 0)
        return r;
    *ret_id = arena_str(exchange_arena(txn->exchange), buf_str(&bound));
    return str_is_set(*ret_id) ? 0 : -ENOMEM;
}

static bool is_for_client(const struct http1_response_head *head, size_t connection, size_t i)
{
    enum field_id id = (enum field_id)head->ids[i];
    return (field_flags(id) & (FIELD_HOP_BY_HOP | FIELD_RESPONSE_STRIP)) == 0 &&
           id != FIELD_X_REQUEST_ID &&
           !relay_is_connection_option(head->fields, head->n_fields, connection,
                                       head->fields[i].name);
}

/* How long the strings of a reply are needed. */
enum reply_life {
    REPLY_NOW,   /* it is sent before the upstream is read again */
    REPLY_LATER, /* they are copied into the arena */
};

/* Status and fields of the answer; notes whether libmicrohttpd can send them, which has little room
 * for a head and refuses empty values. 0; -EINVAL: the session id is none; or another fault: more
 * fields than we pass on, or no memory. The answer is then not passed at all. */
static int fill_reply(struct txn *txn, const struct http1_response_head *head, enum reply_life life,
                      struct reply *reply)
{
    struct arena *arena = exchange_arena(txn->exchange);
    size_t connection = http1_response_find(head, FIELD_CONNECTION);
    size_t bytes = 0;
    bool has_empty = false;
    reply->status = head->status;
    reply->n_fields = 0;
    reply->body = buf_make(0);
    reply_add_common(txn, reply);
    for (size_t i = 0; i < head->n_fields; i++) {
        struct http1_field field = head->fields[i];
        if (!is_for_client(head, connection, i))
            continue;
        if (head->ids[i] == FIELD_MCP_SESSION_ID && txn->route->binds_sessions) {
            int r = bind_session(txn, field.value, &field.value);
            if (r < 0)
                return r;
        }
        if (life == REPLY_LATER) {
            field.name = arena_str(arena, field.name);
            field.value = arena_str(arena, field.value);
        }
        if (field.name.ptr == NULL || field.value.ptr == NULL ||
            !reply_add(reply, field.name, field.value))
            return -EMSGSIZE;
        bytes += field.name.len + field.value.len;
        has_empty = has_empty || field.value.len == 0;
    }
    if (txn->relay.events) /* nginx in front of us must not collect events */
        (void)reply_add(reply, STR("X-Accel-Buffering"), STR("no"));
    txn->relay.plain = bytes <= RELAY_SMALL_HEAD_BYTES && !has_empty;
    return 0;
}

/* The head cannot be passed on; R says why. */
static void refuse_head(struct txn *txn, int r)
{
    txn->relay.call = upstream_cancel(txn->relay.call);
    if (r == -EINVAL)
        relay_fail(txn, "upstream_session_id", "The MCP server gave a session id that is none");
    else
        relay_fail(txn, "upstream_head_too_large",
                   "The MCP server's answer has too many header fields");
}

bool relay_keep_reply(struct txn *txn, const struct http1_response_head *head)
{
    struct relay *relay = &txn->relay;
    int r = -ENOMEM;
    relay->reply = arena_alloc(exchange_arena(txn->exchange), sizeof(struct reply));
    if (relay->reply != NULL)
        r = fill_reply(txn, head, REPLY_LATER, relay->reply);
    if (r < 0)
        refuse_head(txn, r);
    return r == 0;
}

struct reply *relay_reply_now(struct txn *txn, const struct http1_response_head *head,
                              struct reply *local)
{
    if (txn->relay.reply != NULL)
        return txn->relay.reply;
    int r = fill_reply(txn, head, REPLY_NOW, local);
    if (r == 0)
        return local;
    refuse_head(txn, r);
    return NULL;
}
