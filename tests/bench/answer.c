/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define MAX_HEAD 256

char *answer_read_file(const char *path, size_t *ret_len)
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

char *answer_make_result(size_t body_len)
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

void answer_fill(struct answer *answer, char *body)
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

void answer_fill_stream(struct answer *answer, char *event)
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

size_t answer_print_event(char *dest, size_t size)
{
    static const char padding[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                                  "0123456789abcdef0123456789abcdef0123456789abcdef";
    static const char format[] = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                                 "\"notifications/message\",\"params\":{\"level\":\"info\","
                                 "\"data\":{\"sent_ns\":%" PRId64 ",\"text\":\"%.*s\"}}}\n\n";
    char event[ANSWER_EVENT_LEN + 1];
    int64_t now_ns = tool_now_ns();
    int bare = snprintf(NULL, 0, format, now_ns, 0, padding);
    (void)snprintf(event, sizeof(event), format, now_ns, ANSWER_EVENT_LEN - bare, padding);
    return (size_t)snprintf(dest, size, "%x\r\n%s\r\n", ANSWER_EVENT_LEN, event);
}
