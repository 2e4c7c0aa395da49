/* SPDX-License-Identifier: Apache-2.0 */
/* The body of an answer: none, counted, chunked (RFC 9112 7.1), or until the connection ends. */
#include "proto/chars_int.h"
#include "proto/http1_response.h"

#define MAX_CHUNK_DIGITS 16

/* CHUNK_SIZE is the first; enum http1_body_kind tells whether they matter. */
enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION, /* ignored, as RFC 9112 7.1.1 asks */
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* at the start of a line behind the last chunk */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_LAST_LF,
};

void http1_body_init(struct http1_body *body, const struct http1_response_head *head)
{
    *body = (struct http1_body){
        .kind = head->body,
        .left = head->body == HTTP1_BODY_LENGTH ? head->content_length : 0,
        .done = head->body == HTTP1_BODY_NONE,
    };
}

/* Adds a digit; false when C is none, or one too many. */
static bool add_digit(struct http1_body *body, char c)
{
    if (!chars_is(c, CHARS_HEX) || body->digits == MAX_CHUNK_DIGITS || body->left > INT64_MAX >> 4)
        return false;
    body->left = body->left << 4 | chars_hex_value(c);
    body->digits++;
    return true;
}

static bool step_size(struct http1_body *body, char c)
{
    if (c == '\r' && body->digits > 0)
        body->state = CHUNK_SIZE_LF;
    else if (c == ';' && body->digits > 0)
        body->state = CHUNK_EXTENSION;
    else
        return add_digit(body, c);
    return true;
}

/* One more byte of an extension or a trailer. */
static bool step_extra(struct http1_body *body, char c, unsigned class)
{
    body->extra++;
    return chars_is(c, class) && body->extra <= HTTP1_RESPONSE_MAX_EXTRA;
}

static bool step_size_lf(struct http1_body *body, char c)
{
    body->state = body->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
    body->digits = 0;
    body->extra = 0;
    return c == '\n';
}

/* Goes to NEXT when C is EXPECTED. */
static bool step_to(struct http1_body *body, char c, char expected, enum chunk_state next)
{
    body->state = (uint8_t)next;
    return c == expected;
}

/* One byte of the framing; false when it may not stand there. */
static bool step_framing(struct http1_body *body, char c)
{
    switch ((enum chunk_state)body->state) {
    case CHUNK_SIZE:
        return step_size(body, c);
    case CHUNK_EXTENSION:
        return c == '\r' ? step_to(body, c, '\r', CHUNK_SIZE_LF) : step_extra(body, c, CHARS_VALUE);
    case CHUNK_SIZE_LF:
        return step_size_lf(body, c);
    case CHUNK_DATA_CR:
        return step_to(body, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return step_to(body, c, '\n', CHUNK_SIZE);
    case CHUNK_TRAILER:
        body->state = c == '\r' ? CHUNK_LAST_LF : CHUNK_TRAILER_NAME;
        return c == '\r' || step_extra(body, c, CHARS_TOKEN);
    case CHUNK_TRAILER_NAME:
        return c == ':' ? step_to(body, c, ':', CHUNK_TRAILER_VALUE)
                        : step_extra(body, c, CHARS_TOKEN);
    case CHUNK_TRAILER_VALUE:
        return c == '\r' ? step_to(body, c, '\r', CHUNK_TRAILER_LF)
                         : step_extra(body, c, CHARS_VALUE);
    case CHUNK_TRAILER_LF:
        return step_to(body, c, '\n', CHUNK_TRAILER);
    case CHUNK_LAST_LF:
        body->done = c == '\n';
        return body->done;
    case CHUNK_DATA:
        break;
    }
    return false;
}

/* The next run of counted bytes. */
static struct str take_counted(struct http1_body *body, struct str bytes)
{
    size_t run = bytes.len < body->left ? bytes.len : (size_t)body->left;
    body->left -= run;
    return str_head(bytes, run);
}

/* A size line that is here as a whole and has no extension, read in one go as step_framing() would
 * read it. Returns its length; 0: it is not so simple, or not all here. */
static size_t take_size_line(struct http1_body *body, struct str bytes)
{
    static const size_t max_digits = 7; /* no overflow to look for */
    size_t n = 0;
    uint64_t size = 0;
    for (; n < bytes.len && n < max_digits && chars_is(bytes.ptr[n], CHARS_HEX); n++)
        size = size << 4 | chars_hex_value(bytes.ptr[n]);
    if (n == 0 || bytes.len - n < 2 || bytes.ptr[n] != '\r' || bytes.ptr[n + 1] != '\n')
        return 0;
    body->left = size;
    body->extra = 0;
    body->state = size > 0 ? CHUNK_DATA : CHUNK_TRAILER;
    return n + 2;
}

/* The line end behind a chunk, when both of its bytes are here. */
static size_t take_chunk_end(struct http1_body *body, struct str bytes)
{
    if (bytes.len < 2 || bytes.ptr[0] != '\r' || bytes.ptr[1] != '\n')
        return 0;
    body->state = CHUNK_SIZE;
    return 2;
}

static enum http1_response_rc feed_chunked(struct http1_body *body, struct str bytes,
                                           struct str *ret_data, size_t *ret_used)
{
    size_t at = 0;
    struct str data = str_head(bytes, 0);
    if (body->state == CHUNK_SIZE && body->digits == 0)
        at = take_size_line(body, bytes);
    while (at < bytes.len && !body->done && body->state != CHUNK_DATA)
        if (!step_framing(body, bytes.ptr[at++]))
            return HTTP1_RESPONSE_CHUNK;
    if (at < bytes.len && !body->done) {
        data = take_counted(body, str_from(bytes, at));
        at += data.len;
        if (body->left == 0) {
            body->state = CHUNK_DATA_CR;
            at += take_chunk_end(body, str_from(bytes, at));
        }
    }
    *ret_data = data;
    *ret_used = at;
    return HTTP1_RESPONSE_OK;
}

enum http1_response_rc http1_body_feed(struct http1_body *body, struct str bytes,
                                       struct str *ret_data, size_t *ret_used)
{
    struct str data = str_head(bytes, 0);
    switch (body->kind) {
    case HTTP1_BODY_CHUNKED:
        return feed_chunked(body, bytes, ret_data, ret_used);
    case HTTP1_BODY_LENGTH:
        data = take_counted(body, bytes);
        body->done = body->left == 0;
        break;
    case HTTP1_BODY_CLOSE:
        data = body->done ? data : bytes;
        break;
    case HTTP1_BODY_NONE:
        break;
    }
    *ret_data = data;
    *ret_used = data.len;
    return HTTP1_RESPONSE_OK;
}

enum http1_response_rc http1_body_eof(struct http1_body *body)
{
    if (body->kind == HTTP1_BODY_CLOSE)
        body->done = true;
    return body->done ? HTTP1_RESPONSE_OK : HTTP1_RESPONSE_TRUNCATED;
}
