/* SPDX-License-Identifier: Apache-2.0 */
/* tools/call requests on keep-alive connections: closed loop, or at a fixed rate; beside them, if
 * wanted, a flood of calls that are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "request.h"
#include "tool.h"

#define SMALL_ANSWER 300

struct call {
    struct endpoint endpoint;
    struct call_group *group; /* borrowed */
    int64_t due_ns;           /* when it was sent, or with a fixed rate should have been */
    bool is_in_flight;
};

static const char prefix_format[] = "POST %s%s HTTP/1.1\r\n"
                                    "Host: 127.0.0.1:%u\r\n"
                                    "User-Agent: portcullis-bench\r\n"
                                    "Accept: application/json, text/event-stream\r\n"
                                    "Authorization: Bearer ";

static void call_connect(struct load *load, struct call *call);

/* Without a token to lose: what a closed connection did not take is sent again on a new one. */
static void call_send(struct load *load, struct call *call)
{
    call->is_in_flight = true;
    while (!endpoint_send(&call->endpoint, &call->group->tokens, load->call_prefix,
                          load->call_suffix)) {
        endpoint_close(&call->endpoint);
        call_connect(load, call);
        call->group->n_reconnects++;
    }
}

static bool is_enough_for(const struct load *load, const struct call *call)
{
    return call->group == &load->good && load_has_enough(load);
}

static void check_reply(const struct load *load, const struct call *call)
{
    const struct message *reply = &call->endpoint.reply;
    int status = message_status(reply);
    uint64_t size = load->options.answer;
    if (size == 0)
        size = load->options.size > 0 ? load->options.size : SMALL_ANSWER;
    if (status != call->group->expect)
        tool_die("status %d instead of %d", status, call->group->expect);
    if (status == 200 && load->saved == NULL && reply->body_len != size)
        tool_die("an answer of %llu bytes instead of %llu", (unsigned long long)reply->body_len,
                 (unsigned long long)size);
}

/* Latency counts from when the call was due: at a fixed rate a slow answer must not hide the wait
 * of the calls behind it. */
static void call_end(struct load *load, struct call *call)
{
    int64_t now_ns = tool_now_ns();
    check_reply(load, call);
    message_reset(&call->endpoint.reply);
    call->is_in_flight = false;
    if (load->is_measuring)
        histogram_add(&call->group->taken, (uint64_t)(now_ns - call->due_ns));
    if (is_enough_for(load, call))
        return;
    if (load->options.rate > 0) {
        call->due_ns += INT64_C(1000000000) * load->options.connections / load->options.rate;
    } else {
        call->due_ns = now_ns;
        call_send(load, call);
    }
}

static void save_body(void *arg, const char *bytes, size_t len)
{
    const struct load *load = arg;
    if (fwrite(bytes, 1, len, load->saved) != len)
        tool_die("cannot write to %s", load->options.save);
}

static void call_on_bytes(struct load *load, struct endpoint *endpoint, const char *bytes,
                          size_t len)
{
    struct call *call = (struct call *)endpoint;
    message_body_fn *on_body = load->saved != NULL ? save_body : NULL;
    ssize_t used = message_read(&endpoint->reply, bytes, len, on_body, load);
    if (used < 0 || (size_t)used != len)
        tool_die("an answer that cannot be read, or more than one");
    if (endpoint->reply.state == MESSAGE_DONE)
        call_end(load, call);
}

/* Who refuses a call may close the connection: then the caller comes again, as strangers do. */
static void call_on_close(struct load *load, struct endpoint *endpoint)
{
    struct call *call = (struct call *)endpoint;
    endpoint_close(endpoint);
    message_reset(&endpoint->reply);
    call_connect(load, call);
    call->group->n_reconnects++;
    if (call->is_in_flight)
        call_send(load, call);
}

static void call_connect(struct load *load, struct call *call)
{
    endpoint_open(load, &call->endpoint, (struct tool_source){0}, call_on_bytes);
    call->endpoint.on_close = call->group->expect == 200 ? NULL : call_on_close;
}

static void make_request(struct load *load)
{
    char query[64] = "";
    if (load->options.query != NULL)
        (void)snprintf(query, sizeof(query), "?%s", load->options.query);
    else if (load->options.size > 0)
        (void)snprintf(query, sizeof(query), "?size=%u", load->options.size);
    (void)snprintf(load->call_prefix, sizeof(load->call_prefix), prefix_format, load->options.path,
                   query, load->options.port);
    request_print(load->options.request, load->call_suffix, sizeof(load->call_suffix));
}

static void group_start(struct load *load, struct call_group *group)
{
    group->calls = calloc(group->len + 1, sizeof(*group->calls));
    if (group->calls == NULL)
        tool_die("out of memory");
    int64_t start_ns = tool_now_ns();
    for (uint32_t i = 0; i < group->len; i++) {
        struct call *call = &group->calls[i];
        call->group = group;
        call_connect(load, call);
        call->due_ns = start_ns;
        if (load->options.rate > 0)
            call->due_ns += INT64_C(1000000000) * i / load->options.rate;
        else
            call_send(load, call);
    }
}

void calls_start(struct load *load)
{
    make_request(load);
    group_start(load, &load->good);
    group_start(load, &load->flood);
}

int64_t calls_send_due(struct load *load)
{
    int64_t next_ns = INT64_MAX;
    if (load->options.rate == 0)
        return next_ns;
    int64_t now_ns = tool_now_ns();
    for (uint32_t i = 0; i < load->good.len; i++) {
        struct call *call = &load->good.calls[i];
        if (call->is_in_flight)
            continue;
        if (call->due_ns <= now_ns)
            call_send(load, call);
        else if (call->due_ns < next_ns)
            next_ns = call->due_ns;
    }
    return next_ns;
}

static void group_free(struct call_group *group)
{
    for (uint32_t i = 0; group->calls != NULL && i < group->len; i++)
        endpoint_close(&group->calls[i].endpoint);
    free(group->calls);
    group->calls = NULL;
}

void calls_free(struct load *load)
{
    group_free(&load->good);
    group_free(&load->flood);
}
