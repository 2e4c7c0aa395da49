/* SPDX-License-Identifier: Apache-2.0 */
/* The MCP server of the bench: answers at once, so that what is measured is the proxy.
 *
 *   POST /mcp             a JSON-RPC result of 300 bytes, whatever was asked for
 *   POST /mcp?size=BYTES  one of that size, up to 16 MiB
 *   POST /mcp?events=N    N events of 200 bytes in one piece; &every=MS: one each MS ms, alone
 *   POST /mcp?list=json   the list of 50 tools; ?list=sse: the same as an event stream that ends
 *   GET  /mcp             an SSE stream that stays open; ?every=MS: with an event each MS ms
 *   GET  /jwks.json       the key set, for contenders that fetch it
 *
 * usage: upstream JWKS_FILE PORT_FILE
 * Writes the port it listens on to PORT_FILE and serves until it is ended. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "message.h"
#include "tool.h"
#include "tool_list.h"

#define BATCH 256
#define RECEIVE_MAX (64U * 1024)
#define MAX_ACTIVE 4096
#define MAX_SIZES 16
#define MAX_SIZE (16U * 1024 * 1024)
#define MAX_EVENTS 50

struct peer {
    int fd;
    struct message request;
    const char *unsent; /* the rest of an answer that the socket did not take */
    size_t unsent_len;
    uint32_t events_left; /* of an answer that ends; 0: of a stream without end */
    int64_t every_ns;     /* 0: not an active stream */
    int64_t due_ns;
};

struct upstream {
    int epoll_fd;
    int listen_fd;
    struct answer *answers;
    size_t n_answers;
    struct answer sizes[MAX_SIZES]; /* made when they are first asked for */
    size_t n_sizes;
    struct peer *active[MAX_ACTIVE]; /* streams with events, in no order; borrowed */
    size_t n_active;
    size_t n_ever_active;
    char received[RECEIVE_MAX];
};

#define STREAM_HEAD                       \
    "HTTP/1.1 200 OK\r\n"                 \
    "Content-Type: text/event-stream\r\n" \
    "Cache-Control: no-cache\r\n"         \
    "X-Accel-Buffering: no\r\n"           \
    "Transfer-Encoding: chunked\r\n\r\n"

static const char stream_head[] = STREAM_HEAD;
static const char stream_opening[] = STREAM_HEAD "8\r\n: open\n\n\r\n";

/* No more events for this peer. */
static void peer_rest(struct upstream *upstream, struct peer *peer)
{
    for (size_t i = 0; peer->every_ns > 0 && i < upstream->n_active; i++)
        if (upstream->active[i] == peer)
            upstream->active[i--] = upstream->active[--upstream->n_active];
    peer->every_ns = 0;
}

static void peer_close(struct upstream *upstream, struct peer *peer)
{
    peer_rest(upstream, peer);
    (void)close(peer->fd);
    free(peer);
}

/* 0, or -1 when the peer is gone. */
static int peer_flush(struct upstream *upstream, struct peer *peer)
{
    ssize_t sent = send(peer->fd, peer->unsent, peer->unsent_len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return -1;
    size_t taken = sent > 0 ? (size_t)sent : 0;
    peer->unsent += taken;
    peer->unsent_len -= taken;
    if (peer->unsent_len > 0)
        tool_epoll_change(upstream->epoll_fd, peer->fd, EPOLLOUT, peer);
    return 0;
}

static int peer_send(struct upstream *upstream, struct peer *peer, const char *bytes, size_t len)
{
    peer->unsent = bytes;
    peer->unsent_len = len;
    return peer_flush(upstream, peer);
}

/* The last event of an answer takes its end with it, in one piece. */
static int send_event(struct upstream *upstream, struct peer *peer)
{
    static const char end[] = "0\r\n\r\n";
    char bytes[ANSWER_EVENT_LEN + 32];
    size_t len = answer_print_event(bytes, sizeof(bytes));
    if (peer->events_left == 1) {
        memcpy(bytes + len, end, sizeof(end) - 1);
        len += sizeof(end) - 1;
        peer_rest(upstream, peer);
    }
    if (peer->events_left > 0)
        peer->events_left--;
    return send(peer->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

static void peer_activate(struct upstream *upstream, struct peer *peer, uint64_t every_ms,
                          int64_t first_ns)
{
    if (upstream->n_active == MAX_ACTIVE)
        tool_die("more than %d active streams", MAX_ACTIVE);
    peer->every_ns = (int64_t)every_ms * 1000000;
    peer->due_ns = tool_now_ns() + first_ns;
    upstream->active[upstream->n_active++] = peer;
}

/* The number behind NAME in the request line, or 0. */
static uint64_t query_number(const struct peer *peer, const char *name)
{
    const char *line_end = strstr(peer->request.head, "\r\n");
    const char *at = strstr(peer->request.head, name);
    return at == NULL || at > line_end ? 0 : strtoull(at + strlen(name), NULL, 10);
}

/* Events are spread over the period: streams that were opened together do not fire together. */
static int open_stream(struct upstream *upstream, struct peer *peer)
{
    static const int64_t phases = 64;
    int64_t every_ms = (int64_t)query_number(peer, "?every=");
    if (every_ms > 0) {
        int64_t phase = (int64_t)(upstream->n_ever_active++ * 27) % phases;
        peer_activate(upstream, peer, (uint64_t)every_ms, every_ms * 1000000 * phase / phases);
    }
    return peer_send(upstream, peer, stream_opening, sizeof(stream_opening) - 1);
}

/* All events at once: small enough for any socket that is empty. */
static int answer_at_once(struct peer *peer, uint64_t n_events)
{
    static const char end[] = "0\r\n\r\n";
    char bytes[sizeof(stream_head) + MAX_EVENTS * (ANSWER_EVENT_LEN + 8) + sizeof(end)];
    size_t len = sizeof(stream_head) - 1;
    memcpy(bytes, stream_head, len);
    for (uint64_t i = 0; i < n_events; i++)
        len += answer_print_event(bytes + len, sizeof(bytes) - len);
    memcpy(bytes + len, end, sizeof(end) - 1);
    len += sizeof(end) - 1;
    return send(peer->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

static int answer_events(struct upstream *upstream, struct peer *peer)
{
    uint64_t n_events = query_number(peer, "?events=");
    uint64_t every_ms = query_number(peer, "&every=");
    if (n_events == 0 || n_events > MAX_EVENTS)
        return -1;
    if (every_ms == 0)
        return answer_at_once(peer, n_events);
    peer->events_left = (uint32_t)n_events;
    peer_activate(upstream, peer, every_ms, (int64_t)every_ms * 1000000);
    return peer_send(upstream, peer, stream_head, sizeof(stream_head) - 1);
}

static int answer_size(struct upstream *upstream, struct peer *peer)
{
    size_t size = query_number(peer, "?size=");
    size_t i = 0;
    while (i < upstream->n_sizes && upstream->sizes[i].body_len != size)
        i++;
    if (i == MAX_SIZES || size > MAX_SIZE)
        return -1;
    if (i == upstream->n_sizes) {
        upstream->sizes[i].body_len = size;
        answer_fill(&upstream->sizes[i], answer_make_result(size));
        upstream->n_sizes++;
    }
    return peer_send(upstream, peer, upstream->sizes[i].bytes, upstream->sizes[i].len);
}

static int answer_request(struct upstream *upstream, struct peer *peer)
{
    static const char not_found[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    const char *head = peer->request.head;
    for (size_t i = 0; i < upstream->n_answers; i++) {
        const struct answer *answer = &upstream->answers[i];
        if (strncmp(head, answer->request_line, strlen(answer->request_line)) == 0)
            return peer_send(upstream, peer, answer->bytes, answer->len);
    }
    if (strncmp(head, "POST /mcp?size=", 15) == 0)
        return answer_size(upstream, peer);
    if (strncmp(head, "POST /mcp?events=", 17) == 0)
        return answer_events(upstream, peer);
    if (strncmp(head, "GET /mcp", 8) == 0)
        return open_stream(upstream, peer);
    return peer_send(upstream, peer, not_found, sizeof(not_found) - 1);
}

static int peer_receive(struct upstream *upstream, struct peer *peer)
{
    ssize_t len = recv(peer->fd, upstream->received, sizeof(upstream->received), 0);
    if (len <= 0)
        return len < 0 && errno == EAGAIN ? 0 : -1;
    for (ssize_t at = 0; at < len;) {
        ssize_t used =
            message_read(&peer->request, upstream->received + at, (size_t)(len - at), NULL, NULL);
        if (used < 0)
            return -1;
        at += used;
        if (peer->request.state != MESSAGE_DONE)
            continue;
        if (answer_request(upstream, peer) < 0)
            return -1;
        message_reset(&peer->request);
    }
    return 0;
}

static void peer_ready(struct upstream *upstream, struct peer *peer, uint32_t events)
{
    int r = 0;
    if (events & EPOLLOUT) {
        r = peer_flush(upstream, peer);
        if (r == 0 && peer->unsent_len == 0)
            tool_epoll_change(upstream->epoll_fd, peer->fd, EPOLLIN, peer);
    } else {
        r = peer_receive(upstream, peer);
    }
    if (r < 0)
        peer_close(upstream, peer);
}

static void accept_all(struct upstream *upstream)
{
    for (int fd = tool_accept(upstream->listen_fd); fd >= 0;
         fd = tool_accept(upstream->listen_fd)) {
        struct peer *peer = calloc(1, sizeof(*peer));
        if (peer == NULL)
            tool_die("out of memory");
        peer->fd = fd;
        tool_epoll_add(upstream->epoll_fd, fd, EPOLLIN, peer);
    }
}

/* Sends what is due. Returns how long until the next event, -1 when there is none. */
static int64_t run_events(struct upstream *upstream)
{
    int64_t now_ns = tool_now_ns();
    int64_t next_ns = INT64_MAX;
    for (size_t i = 0; i < upstream->n_active; i++) {
        struct peer *peer = upstream->active[i];
        if (peer->due_ns <= now_ns) {
            peer->due_ns += peer->every_ns;
            if (send_event(upstream, peer) < 0) {
                /* A stream that does not keep up, or is gone: the load notices the missing end. */
                peer_close(upstream, peer);
                i--;
                continue;
            }
            if (peer->every_ns == 0) {
                i--;
                continue;
            }
        }
        if (peer->due_ns < next_ns)
            next_ns = peer->due_ns;
    }
    if (upstream->n_active == 0)
        return -1;
    int64_t left_ns = next_ns - tool_now_ns();
    return left_ns < 0 ? 0 : left_ns;
}

static _Noreturn void serve(struct upstream *upstream)
{
    struct epoll_event events[BATCH];
    for (;;) {
        int n = tool_epoll_wait(upstream->epoll_fd, events, BATCH, run_events(upstream));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(upstream);
            else
                peer_ready(upstream, events[i].data.ptr, events[i].events);
        }
    }
}

static void write_port(const char *path, uint16_t port)
{
    FILE *file = fopen(path, "we");
    if (file == NULL || fprintf(file, "%u\n", port) < 0 || fclose(file) != 0)
        tool_die("cannot write %s", path);
}

/* What there is to answer with. */
enum { ANSWER_300, ANSWER_LIST, ANSWER_LIST_STREAM, ANSWER_KEYS, N_ANSWERS };

static void fill_all(struct answer *answers, const char *key_file)
{
    answer_fill(&answers[ANSWER_300], answer_make_result(answers[ANSWER_300].body_len));
    char *list = tool_list_make(&answers[ANSWER_LIST].body_len);
    answer_fill(&answers[ANSWER_LIST], list);
    char *event = tool_list_make_event(&answers[ANSWER_LIST_STREAM].body_len);
    answer_fill_stream(&answers[ANSWER_LIST_STREAM], event);
    char *keys = answer_read_file(key_file, &answers[ANSWER_KEYS].body_len);
    answer_fill(&answers[ANSWER_KEYS], keys);
}

int main(int argc, char **argv)
{
    static struct answer answers[] = {
        [ANSWER_300] = {.request_line = "POST /mcp ", .body_len = 300},
        [ANSWER_LIST] = {.request_line = "POST /mcp?list=json "},
        [ANSWER_LIST_STREAM] = {.request_line = "POST /mcp?list=sse "},
        [ANSWER_KEYS] = {.request_line = "GET /jwks.json "},
    };
    static struct upstream upstream = {.answers = answers, .n_answers = N_ANSWERS};
    uint16_t port = 0;
    if (argc != 3)
        tool_die("usage: upstream JWKS_FILE PORT_FILE");

    tool_exact_timers();
    fill_all(answers, argv[1]);

    upstream.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    upstream.listen_fd = tool_listen(0, &port);
    tool_epoll_add(upstream.epoll_fd, upstream.listen_fd, EPOLLIN, NULL);
    write_port(argv[2], port);
    serve(&upstream);
}
