/* SPDX-License-Identifier: Apache-2.0 */
/* GET streams: idle ones only stay open; active ones get events, whose latency is measured from the
 * time that the upstream wrote into each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "tool.h"

#define MAX_OPENING 32  /* streams opened at the same time: no listen queue overflows */
#define PER_SOURCE 4000 /* streams from one address */
#define MAX_EVENT 1024
#define OPEN_TIMEOUT_NS INT64_C(60000000000)
#define TURN_NS INT64_C(100000000)

struct stream {
    struct endpoint endpoint;
    struct load *load;
    bool is_open;
    size_t event_len;
    char event[MAX_EVENT + 1];
};

static const char prefix_format[] = "GET /mcp%s HTTP/1.1\r\n"
                                    "Host: 127.0.0.1:%u\r\n"
                                    "User-Agent: portcullis-bench\r\n"
                                    "Accept: text/event-stream\r\n"
                                    "Authorization: Bearer ";
static const char suffix[] = "\r\nMCP-Protocol-Version: 2025-06-18\r\n\r\n";

static void event_end(struct load *load, const char *event)
{
    static const char key[] = "\"sent_ns\":";
    const char *sent = strstr(event, key);
    if (sent != NULL && load->is_measuring)
        histogram_add(&load->events_taken,
                      (uint64_t)(tool_now_ns() - strtoll(sent + sizeof(key) - 1, NULL, 10)));
}

/* Events end with an empty line and may come in pieces. */
static void stream_on_body(void *arg, const char *bytes, size_t len)
{
    struct stream *stream = arg;
    if (!stream->is_open) {
        stream->is_open = true;
        stream->load->n_streams_open++;
    }
    for (size_t i = 0; i < len; i++) {
        if (stream->event_len == MAX_EVENT)
            tool_die("an event of more than %d bytes", MAX_EVENT);
        stream->event[stream->event_len++] = bytes[i];
        if (stream->event_len < 2 || memcmp(stream->event + stream->event_len - 2, "\n\n", 2) != 0)
            continue;
        stream->event[stream->event_len] = '\0';
        event_end(stream->load, stream->event);
        stream->event_len = 0;
    }
}

static void stream_on_bytes(struct load *load, struct endpoint *endpoint, const char *bytes,
                            size_t len)
{
    struct stream *stream = (struct stream *)endpoint;
    bool had_head = message_has_head(&endpoint->reply);
    ssize_t used = message_read(&endpoint->reply, bytes, len, stream_on_body, stream);
    if (used < 0 || endpoint->reply.state == MESSAGE_DONE)
        tool_die("a stream that ended or cannot be read");
    if (!had_head && message_has_head(&endpoint->reply) &&
        message_status(&endpoint->reply) != load->options.expect)
        tool_die("a stream with status %d", message_status(&endpoint->reply));
}

static void stream_start(struct load *load, size_t index)
{
    struct stream *stream = &load->streams[index];
    struct tool_source source = {.address = (uint32_t)(index / PER_SOURCE)};
    char prefix[256];
    char query[32] = "";
    if (index >= load->options.idle)
        (void)snprintf(query, sizeof(query), "?every=%u", load->options.every_ms);
    (void)snprintf(prefix, sizeof(prefix), prefix_format, query, load->options.port);
    stream->load = load;
    endpoint_open(load, &stream->endpoint, source, stream_on_bytes);
    (void)endpoint_send(&stream->endpoint, &load->good.tokens, prefix, suffix);
}

void streams_open(struct load *load)
{
    size_t total = (size_t)load->options.idle + load->options.active;
    int64_t deadline_ns = tool_now_ns() + OPEN_TIMEOUT_NS;
    size_t started = 0;
    load->streams = calloc(total + 1, sizeof(*load->streams));
    if (load->streams == NULL)
        tool_die("out of memory");
    while (load->n_streams_open < total) {
        if (tool_now_ns() > deadline_ns)
            tool_die("only %zu of %zu streams opened", load->n_streams_open, total);
        for (; started < total && started - load->n_streams_open < MAX_OPENING; started++)
            stream_start(load, started);
        load_turn(load, TURN_NS);
    }
}

void streams_free(struct load *load)
{
    for (size_t i = 0; load->streams != NULL && i < load->n_streams_open; i++)
        endpoint_close(&load->streams[i].endpoint);
    free(load->streams);
    load->streams = NULL;
}
