/* SPDX-License-Identifier: Apache-2.0 */
/* tools/call requests on keep-alive connections: closed loop, or at a fixed rate. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"
#include "request.h"
#include "tool.h"

#define SMALL_ANSWER 300

struct call {
    struct endpoint endpoint;
    int64_t due_ns; /* when it was sent, or with a fixed rate should have been */
    bool is_in_flight;
};

static const char prefix_format[] = "POST %s%s HTTP/1.1\r\n"
                                    "Host: 127.0.0.1:%u\r\n"
                                    "User-Agent: portcullis-bench\r\n"
                                    "Accept: application/json, text/event-stream\r\n"
                                    "Authorization: Bearer ";
static void call_send(struct load *load, struct call *call)
{
    call->is_in_flight = true;
    endpoint_send(load, &call->endpoint, load->call_prefix, load->call_suffix);
}

static void check_reply(const struct load *load, const struct message *reply)
{
    int status = message_status(reply);
    uint64_t size = load->options.answer;
    if (size == 0)
        size = load->options.size > 0 ? load->options.size : SMALL_ANSWER;
    if (status != load->options.expect)
        tool_die("status %d instead of %d", status, load->options.expect);
    if (status == 200 && load->saved == NULL && reply->body_len != size)
        tool_die("an answer of %llu bytes instead of %llu", (unsigned long long)reply->body_len,
                 (unsigned long long)size);
}

/* Latency counts from when the call was due: at a fixed rate a slow answer must not hide the wait
 * of the calls behind it. */
static void call_end(struct load *load, struct call *call)
{
    int64_t now_ns = tool_now_ns();
    check_reply(load, &call->endpoint.reply);
    message_reset(&call->endpoint.reply);
    call->is_in_flight = false;
    if (load->is_measuring)
        histogram_add(&load->calls_taken, (uint64_t)(now_ns - call->due_ns));
    if (load_has_enough(load))
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

void calls_start(struct load *load)
{
    uint32_t n = load->options.connections;
    make_request(load);
    load->calls = calloc(n + 1, sizeof(*load->calls));
    if (load->calls == NULL)
        tool_die("out of memory");
    int64_t start_ns = tool_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        struct call *call = &load->calls[i];
        endpoint_open(load, &call->endpoint, call_on_bytes);
        call->due_ns = start_ns;
        if (load->options.rate > 0)
            call->due_ns += INT64_C(1000000000) * i / load->options.rate;
        else
            call_send(load, call);
    }
}

int64_t calls_send_due(struct load *load)
{
    int64_t next_ns = INT64_MAX;
    if (load->options.rate == 0)
        return next_ns;
    int64_t now_ns = tool_now_ns();
    for (uint32_t i = 0; i < load->options.connections; i++) {
        struct call *call = &load->calls[i];
        if (call->is_in_flight)
            continue;
        if (call->due_ns <= now_ns)
            call_send(load, call);
        else if (call->due_ns < next_ns)
            next_ns = call->due_ns;
    }
    return next_ns;
}

void calls_free(struct load *load)
{
    for (uint32_t i = 0; load->calls != NULL && i < load->options.connections; i++)
        (void)close(load->calls[i].endpoint.fd);
    free(load->calls);
    load->calls = NULL;
}
