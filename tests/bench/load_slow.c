/* SPDX-License-Identifier: Apache-2.0 */
/* Readers that take SLOW_BYTES_PER_S of a large answer and never come to its end. Their sockets ask
 * for the smallest receive buffer, so that the answer waits in the contender or before it, and not
 * here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load.h"
#include "request.h"
#include "tool.h"

#define READ_BYTES 256 /* at once */
#define PERIOD_NS (INT64_C(1000000000) * READ_BYTES / SLOW_BYTES_PER_S)
#define RECEIVE_BUFFER 4096

struct slow {
    struct endpoint endpoint;
    int64_t due_ns;
};

static const char prefix_format[] = "POST %s?size=%u HTTP/1.1\r\n"
                                    "Host: 127.0.0.1:%u\r\n"
                                    "User-Agent: portcullis-bench\r\n"
                                    "Accept: application/json, text/event-stream\r\n"
                                    "Authorization: Bearer ";

static void ignore_bytes(struct load *load, struct endpoint *endpoint, const char *bytes,
                         size_t len)
{
    (void)load;
    (void)endpoint;
    (void)bytes;
    (void)len;
}

void slow_start(struct load *load)
{
    char prefix[256];
    char suffix[1024];
    uint32_t n = load->options.slow;
    struct tool_source source = {.receive_bytes = RECEIVE_BUFFER};
    (void)snprintf(prefix, sizeof(prefix), prefix_format, load->options.path,
                   load->options.slow_size, load->options.port);
    request_print(load->options.request, suffix, sizeof(suffix));
    load->slow = calloc(n + 1, sizeof(*load->slow));
    if (load->slow == NULL)
        tool_die("out of memory");
    int64_t now_ns = tool_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        struct slow *slow = &load->slow[i];
        endpoint_open(load, &slow->endpoint, source, ignore_bytes);
        /* It is read by the clock, not when bytes are there. */
        tool_epoll_change(load->epoll_fd, slow->endpoint.fd, 0, slow);
        (void)endpoint_send(&slow->endpoint, &load->good.tokens, prefix, suffix);
        slow->due_ns = now_ns + PERIOD_NS * i / n;
    }
}

static void read_some(struct slow *slow)
{
    char bytes[READ_BYTES];
    ssize_t len = recv(slow->endpoint.fd, bytes, sizeof(bytes), 0);
    if (len == 0 || (len < 0 && errno != EAGAIN))
        tool_die("the contender closed the connection of a slow reader: %s",
                 len < 0 ? strerror(errno) : "end of file");
}

int64_t slow_read_due(struct load *load)
{
    int64_t next_ns = INT64_MAX;
    if (load->slow == NULL)
        return next_ns;
    int64_t now_ns = tool_now_ns();
    for (uint32_t i = 0; i < load->options.slow; i++) {
        struct slow *slow = &load->slow[i];
        if (slow->due_ns <= now_ns) {
            read_some(slow);
            slow->due_ns += PERIOD_NS;
        }
        if (slow->due_ns < next_ns)
            next_ns = slow->due_ns;
    }
    return next_ns;
}

void slow_free(struct load *load)
{
    for (uint32_t i = 0; load->slow != NULL && i < load->options.slow; i++)
        endpoint_close(&load->slow[i].endpoint);
    free(load->slow);
    load->slow = NULL;
}
