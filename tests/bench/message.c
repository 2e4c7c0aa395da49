/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))

void message_reset(struct message *message)
{
    message->state = MESSAGE_HEAD;
    message->head_len = 0;
    message->line_len = 0;
    message->left = 0;
    message->body_len = 0;
}

static bool is_response(const struct message *message)
{
    return strncmp(message->head, "HTTP/1.", 7) == 0;
}

int message_status(const struct message *message)
{
    return is_response(message) ? atoi(message->head + sizeof("HTTP/1.1 ") - 1) : 0;
}

static bool is_without_body(const struct message *message)
{
    int status = message_status(message);
    return status == 204 || status == 304;
}

/* RFC 9112 6.3: chunked, else Content-Length, else a request has no body. */
static int choose_framing(struct message *message)
{
    const char *length = strcasestr(message->head, "\r\ncontent-length:");
    if (is_without_body(message)) {
        message->state = MESSAGE_DONE;
    } else if (strcasestr(message->head, "\r\ntransfer-encoding: chunked\r\n") != NULL) {
        message->state = MESSAGE_CHUNK_SIZE;
    } else if (length != NULL) {
        message->left = strtoull(length + sizeof("\r\ncontent-length:") - 1, NULL, 10);
        message->state = message->left == 0 ? MESSAGE_DONE : MESSAGE_BODY;
    } else if (!is_response(message)) {
        message->state = MESSAGE_DONE;
    } else {
        return -EBADMSG;
    }
    return 0;
}

static ssize_t read_head(struct message *message, const char *bytes, size_t len)
{
    /* The empty line may have begun in the bytes of the last call. */
    size_t before = message->head_len;
    size_t copied = MIN(len, MESSAGE_MAX_HEAD - before);
    size_t search_from = before < 3 ? 0 : before - 3;
    memcpy(message->head + before, bytes, copied);
    message->head_len = (uint32_t)(before + copied);

    const char *end =
        memmem(message->head + search_from, message->head_len - search_from, "\r\n\r\n", 4);
    if (end == NULL)
        return copied < len ? -EMSGSIZE : (ssize_t)copied;
    message->head_len = (uint32_t)(end - message->head) + 4;
    message->head[message->head_len] = '\0';
    int r = choose_framing(message);
    return r < 0 ? r : (ssize_t)(message->head_len - before);
}

static ssize_t read_body(struct message *message, const char *bytes, size_t len,
                         message_body_fn *on_body, void *arg)
{
    size_t used = (size_t)MIN((uint64_t)len, message->left);
    message->left -= used;
    message->body_len += used;
    if (on_body != NULL && used > 0)
        on_body(arg, bytes, used);
    if (message->left == 0)
        message->state = message->state == MESSAGE_BODY ? MESSAGE_DONE : MESSAGE_CHUNK_SIZE;
    return (ssize_t)used;
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = memchr(digits, c | 0x20, 16);
    return at == NULL ? -1 : (int)(at - digits);
}

/* One byte of a chunk-size line. The line end of the chunk before it reads as an empty line. */
static void read_chunk_size(struct message *message, char c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        message->left = message->left * 16 + (uint64_t)digit;
        message->line_len++;
    } else if (c == '\n' && message->line_len > 0) {
        message->state = message->left == 0 ? MESSAGE_TRAILER : MESSAGE_CHUNK_DATA;
        message->line_len = 0;
    }
}

static void read_trailer(struct message *message, char c)
{
    if (c == '\n' && message->line_len == 0)
        message->state = MESSAGE_DONE;
    else if (c == '\n')
        message->line_len = 0;
    else if (c != '\r')
        message->line_len++;
}

ssize_t message_read(struct message *message, const char *bytes, size_t len,
                     message_body_fn *on_body, void *arg)
{
    size_t at = 0;
    while (at < len && message->state != MESSAGE_DONE) {
        ssize_t used = 1;
        switch (message->state) {
        case MESSAGE_HEAD:
            used = read_head(message, bytes + at, len - at);
            break;
        case MESSAGE_BODY:
        case MESSAGE_CHUNK_DATA:
            used = read_body(message, bytes + at, len - at, on_body, arg);
            break;
        case MESSAGE_CHUNK_SIZE:
            read_chunk_size(message, bytes[at]);
            break;
        case MESSAGE_TRAILER:
            read_trailer(message, bytes[at]);
            break;
        case MESSAGE_DONE:
            break;
        }
        if (used < 0)
            return used;
        at += (size_t)used;
    }
    return (ssize_t)at;
}
