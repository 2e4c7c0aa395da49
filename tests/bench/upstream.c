/* SPDX-License-Identifier: Apache-2.0 */
/* The MCP server of the bench: answers at once, so that what is measured is the proxy.
 *
 *   POST /mcp             a JSON-RPC result of 300 bytes, whatever was asked for
 *   POST /mcp?size=65536  a larger one; or ?size=1048576
 *   POST /mcp?list=json   the list of 50 tools; ?list=sse: the same as an event stream that ends
 *   GET  /mcp             an SSE stream that stays open; ?every=MS: with an event each MS ms
 *   GET  /jwks.json       the key set, for contenders that fetch it
 *
 * usage: upstream JWKS_FILE PORT_FILE
 * Writes the port it listens on to PORT_FILE and serves until it is ended. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"
#include "tool.h"
#include "tool_list.h"

#define BATCH 256
#define RECEIVE_MAX (64U * 1024)
#define MAX_ACTIVE 1024
#define MAX_HEAD 256

/* A whole response in memory. */
struct answer {
    const char *request_line; /* how a request for it begins */
    size_t body_len;
    char *bytes;
    size_t len;
};

struct peer {
    int fd;
    struct message request;
    const char *unsent; /* the rest of an answer that the socket did not take */
    size_t unsent_len;
    int64_t every_ns; /* 0: not an active stream */
    int64_t due_ns;
};

struct upstream {
    int epoll_fd;
    int listen_fd;
    struct answer *answers;
    size_t n_answers;
    struct peer *active[MAX_ACTIVE]; /* streams with events, in no order; borrowed */
    size_t n_active;
    size_t n_ever_active;
    char received[RECEIVE_MAX];
};

static const char stream_head[] = "HTTP/1.1 200 OK\r\n"
                                  "Content-Type: text/event-stream\r\n"
                                  "Cache-Control: no-cache\r\n"
                                  "X-Accel-Buffering: no\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n"
                                  "8\r\n: open\n\n\r\n";

static char *file_read(const char *path, size_t *ret_len)
{
    static const size_t max_file = 256U * 1024;
    FILE *file = fopen(path, "re");
    char *bytes = malloc(max_file);
    if (file == NULL || bytes == NULL)
        tool_die("cannot read %s", path);
    *ret_len = fread(bytes, 1, max_file, file);
    (void)fclose(file);
    return bytes;
}

/* A tools/call result, padded to exactly body_len bytes. */
static char *result_make(size_t body_len)
{
    static const char start[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"";
    static const char end[] = "\"}]}}";
    char *body = malloc(body_len);
    if (body == NULL || body_len < sizeof(start) + sizeof(end))
        tool_die("cannot make an answer of %zu bytes", body_len);
    memset(body, 'x', body_len);
    memcpy(body, start, sizeof(start) - 1);
    memcpy(body + body_len - (sizeof(end) - 1), end, sizeof(end) - 1);
    return body;
}

/* Takes over body. */
static void answer_fill(struct answer *answer, char *body)
{
    answer->bytes = malloc(MAX_HEAD + answer->body_len);
    if (answer->bytes == NULL)
        tool_die("out of memory");
    int head_len = snprintf(answer->bytes, MAX_HEAD,
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n",
                            answer->body_len);
    memcpy(answer->bytes + head_len, body, answer->body_len);
    answer->len = (size_t)head_len + answer->body_len;
    free(body);
}

/* The whole stream: one event in one chunk, and the end. Takes over event. */
static void answer_fill_stream(struct answer *answer, char *event)
{
    answer->bytes = malloc(MAX_HEAD + answer->body_len);
    if (answer->bytes == NULL)
        tool_die("out of memory");
    int len = snprintf(answer->bytes, MAX_HEAD + answer->body_len,
                       "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                       "Cache-Control: no-cache\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%.*s\r\n0\r\n\r\n",
                       answer->body_len, (int)answer->body_len, event);
    answer->len = (size_t)len;
    free(event);
}

static void peer_close(struct upstream *upstream, struct peer *peer)
{
    for (size_t i = 0; i < upstream->n_active; i++)
        if (upstream->active[i] == peer)
            upstream->active[i--] = upstream->active[--upstream->n_active];
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

/* Events are spread over the period: streams that were opened together do not fire together. */
static void peer_activate(struct upstream *upstream, struct peer *peer, uint64_t every_ms)
{
    static const size_t phases = 64;
    if (upstream->n_active == MAX_ACTIVE)
        tool_die("more than %d active streams", MAX_ACTIVE);
    size_t phase = upstream->n_ever_active++ * 27 % phases;
    peer->every_ns = (int64_t)every_ms * 1000000;
    peer->due_ns = tool_now_ns() + peer->every_ns * (int64_t)phase / (int64_t)phases;
    upstream->active[upstream->n_active++] = peer;
}

static int open_stream(struct upstream *upstream, struct peer *peer)
{
    const char *every = strstr(peer->request.head, "?every=");
    if (every != NULL)
        peer_activate(upstream, peer, strtoull(every + sizeof("?every=") - 1, NULL, 10));
    return peer_send(upstream, peer, stream_head, sizeof(stream_head) - 1);
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

/* One event in one chunk. It carries the time it was sent, from which the load takes its latency.
 */
static int send_event(struct peer *peer, int64_t now_ns)
{
    char event[256];
    char chunk[300];
    int event_len = snprintf(event, sizeof(event),
                             "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                             "\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":"
                             "{\"sent_ns\":%" PRId64 ",\"text\":\"0123456789abcdef\"}}}\n\n",
                             now_ns);
    int len = snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", (unsigned)event_len, event);
    return send(peer->fd, chunk, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -1;
}

/* Sends what is due. Returns how long until the next event, -1 when there is none. */
static int64_t run_events(struct upstream *upstream)
{
    int64_t now_ns = tool_now_ns();
    int64_t next_ns = INT64_MAX;
    for (size_t i = 0; i < upstream->n_active; i++) {
        struct peer *peer = upstream->active[i];
        if (peer->due_ns <= now_ns) {
            if (send_event(peer, tool_now_ns()) < 0) {
                /* A stream that does not keep up, or is gone: the load notices the missing end. */
                peer_close(upstream, peer);
                i--;
                continue;
            }
            peer->due_ns += peer->every_ns;
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
enum { ANSWER_300, ANSWER_64K, ANSWER_1M, ANSWER_LIST, ANSWER_LIST_STREAM, ANSWER_KEYS, N_ANSWERS };

static void fill_all(struct answer *answers, const char *key_file)
{
    for (size_t i = ANSWER_300; i <= ANSWER_1M; i++)
        answer_fill(&answers[i], result_make(answers[i].body_len));
    char *list = tool_list_make(&answers[ANSWER_LIST].body_len);
    answer_fill(&answers[ANSWER_LIST], list);
    char *event = tool_list_make_event(&answers[ANSWER_LIST_STREAM].body_len);
    answer_fill_stream(&answers[ANSWER_LIST_STREAM], event);
    char *keys = file_read(key_file, &answers[ANSWER_KEYS].body_len);
    answer_fill(&answers[ANSWER_KEYS], keys);
}

int main(int argc, char **argv)
{
    static struct answer answers[] = {
        [ANSWER_300] = {.request_line = "POST /mcp ", .body_len = 300},
        [ANSWER_64K] = {.request_line = "POST /mcp?size=65536 ", .body_len = 65536},
        [ANSWER_1M] = {.request_line = "POST /mcp?size=1048576 ", .body_len = 1048576},
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
