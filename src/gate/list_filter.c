/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/list_filter.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/jsonrpc.h"
#include "proto/sse.h"

#define MAX_ERROR_DATA_BYTES 64

struct list_filter {
    struct mcp_list_filter lists;
    struct str request_id;
    bool events;
    struct sse_reader reader; /* of events */
    struct buf body;          /* else */
    enum list_filter_reason reason;
    uint64_t removed;
};

static const struct {
    const char *name;
    const char *text;
} reasons[] = {
    [LIST_FILTER_TOO_LARGE] = {"response_too_large",
                               "The MCP server's answer is too large to be inspected"},
    [LIST_FILTER_NOT_JSON] = {"response_not_json",
                              "The MCP server's answer is not of a form that can be inspected"},
    [LIST_FILTER_ENCODED] = {"response_encoded",
                             "The MCP server's answer is encoded and cannot be inspected"},
};

const char *list_filter_reason_name(enum list_filter_reason reason)
{
    return reasons[reason].name;
}

const char *list_filter_reason_text(enum list_filter_reason reason)
{
    return reasons[reason].text;
}

struct list_filter *list_filter_new(const struct list_filter_options *options)
{
    struct list_filter *filter = calloc(1, sizeof(*filter));
    if (filter == NULL)
        return NULL;
    filter->lists = *options->lists;
    filter->request_id = options->request_id;
    filter->events = options->events;
    filter->reader = sse_reader_make(filter->lists.max_bytes);
    filter->body = buf_make(filter->lists.max_bytes);
    return filter;
}

struct list_filter *list_filter_free(struct list_filter *filter)
{
    if (filter == NULL)
        return NULL;
    sse_reader_free(&filter->reader);
    buf_free(&filter->body);
    free(filter);
    return NULL;
}

enum list_filter_reason list_filter_reason(const struct list_filter *filter)
{
    return filter->reason;
}

uint64_t list_filter_removed(const struct list_filter *filter)
{
    return filter->removed;
}

static enum list_filter_rc refuse(struct list_filter *filter, enum list_filter_reason reason)
{
    filter->reason = reason;
    return LIST_FILTER_REFUSED;
}

/* Blanks hold no list, whoever reads them; events of them are sent to begin a stream with. */
static bool is_blank(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != ' ' && text.ptr[i] != '\t' && text.ptr[i] != '\n' && text.ptr[i] != '\r')
            return false;
    return true;
}

/* *RET_CHANGED: OUT has the new text, else TEXT may be sent as it is. */
static enum list_filter_rc filter_text(struct list_filter *filter, struct str text, struct buf *out,
                                       bool *ret_changed)
{
    size_t removed = 0;
    *ret_changed = false;
    if (is_blank(text))
        return LIST_FILTER_OK;
    switch (mcp_list_filter(&filter->lists, text, out, &removed)) {
    case MCP_LIST_UNCHANGED:
        return LIST_FILTER_OK;
    case MCP_LIST_CHANGED:
        filter->removed += removed;
        *ret_changed = true;
        return LIST_FILTER_OK;
    case MCP_LIST_REFUSED:
        return refuse(filter, LIST_FILTER_NOT_JSON);
    case MCP_LIST_TOO_LARGE:
        return refuse(filter, LIST_FILTER_TOO_LARGE);
    case MCP_LIST_NO_MEMORY:
        break;
    }
    return LIST_FILTER_NO_MEMORY;
}

/* ---- a JSON body ---- */

static enum list_filter_rc collect(struct list_filter *filter, struct str bytes)
{
    int r = buf_append(&filter->body, bytes);
    if (r == 0)
        return LIST_FILTER_OK;
    buf_free(&filter->body);
    return r == -EMSGSIZE ? refuse(filter, LIST_FILTER_TOO_LARGE) : LIST_FILTER_NO_MEMORY;
}

static enum list_filter_rc pass_body(struct list_filter *filter, struct buf *out)
{
    struct buf *body = &filter->body;
    if (out->len > 0 || body->len > out->max)
        return buf_append(out, buf_str(body)) < 0 ? LIST_FILTER_NO_MEMORY : LIST_FILTER_OK;
    buf_free(out);
    out->ptr = TAKE(body->ptr);
    out->len = body->len;
    out->cap = body->cap;
    *body = buf_make(body->max);
    return LIST_FILTER_OK;
}

static enum list_filter_rc end_body(struct list_filter *filter, struct buf *out)
{
    bool changed;
    enum list_filter_rc rc = filter_text(filter, buf_str(&filter->body), out, &changed);
    if (rc == LIST_FILTER_OK && !changed)
        return pass_body(filter, out);
    buf_free(&filter->body);
    return rc;
}

/* ---- events ---- */

static enum list_filter_rc filter_event(struct list_filter *filter, const struct sse_event *event,
                                        struct buf *out)
{
    CLEANUP(buf_free) struct buf data = buf_make(filter->lists.max_bytes);
    bool changed;
    enum list_filter_rc rc = filter_text(filter, event->data, &data, &changed);
    if (rc != LIST_FILTER_OK)
        return rc;
    int r = changed ? sse_append_event(event, buf_str(&data), out) : buf_append(out, event->raw);
    return r < 0 ? LIST_FILTER_NO_MEMORY : LIST_FILTER_OK;
}

/* What came before it ended with a whole event, or with lines that mean nothing. */
static enum list_filter_rc end_with_error(const struct list_filter *filter, struct buf *out)
{
    const size_t start = out->len;
    CLEANUP(buf_free) struct buf data = buf_make(MAX_ERROR_DATA_BYTES);
    (void)buf_printf(&data, "{\"reason\":\"%s\"}", list_filter_reason_name(filter->reason));
    struct jsonrpc_error error = {
        .code = JSONRPC_SERVER_ERROR, /* as reply_gateway() has it */
        .message = str_from_cstr(list_filter_reason_text(filter->reason)),
        .data = buf_str(&data),
    };
    (void)buf_append(out, STR("data: "));
    (void)jsonrpc_append_error(filter->request_id, &error, out);
    (void)buf_append(out, STR("\n\n"));
    if (!buf_failed(&data) && !buf_failed(out))
        return LIST_FILTER_ENDED;
    out->len = start;
    return LIST_FILTER_NO_MEMORY;
}

static enum list_filter_rc read_events(struct list_filter *filter, struct str bytes,
                                       struct buf *out)
{
    for (;;) {
        struct sse_event event;
        enum list_filter_rc rc = LIST_FILTER_OK;
        switch (sse_read(&filter->reader, &bytes, &event)) {
        case SSE_EVENT:
            rc = filter_event(filter, &event, out);
            break;
        case SSE_MORE:
            return LIST_FILTER_OK;
        case SSE_TOO_LARGE:
            return refuse(filter, LIST_FILTER_TOO_LARGE);
        case SSE_NO_MEMORY:
            return LIST_FILTER_NO_MEMORY;
        }
        if (rc != LIST_FILTER_OK)
            return rc;
    }
}

static enum list_filter_rc feed_events(struct list_filter *filter, struct str bytes,
                                       struct buf *out)
{
    enum list_filter_rc rc = read_events(filter, bytes, out);
    if (rc != LIST_FILTER_REFUSED || !str_is_set(filter->request_id))
        return rc;
    return end_with_error(filter, out);
}

/* ---- both ---- */

enum list_filter_rc list_filter_feed(struct list_filter *filter, struct str bytes, struct buf *out)
{
    return filter->events ? feed_events(filter, bytes, out) : collect(filter, bytes);
}

enum list_filter_rc list_filter_end(struct list_filter *filter, struct buf *out)
{
    return filter->events ? LIST_FILTER_OK : end_body(filter, out);
}
