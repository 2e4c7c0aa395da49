/* SPDX-License-Identifier: Apache-2.0 */
/* The request filter: the driver over the steps, and the body (RFC 9112 6 and 7.1). */
#include "proto/http1_request.h"

#include "base/err.h"
#include "proto/chars_int.h"
#include "proto/http1_request_int.h"

#define MAX_CHUNK_DIGITS 16

void http1_request_init(struct http1_request *request, struct http1_request_limits limits)
{
    *request = (struct http1_request){
        .limits =
            {
                .head_bytes = size_min(limits.head_bytes, UINT32_MAX),
                .target_bytes = size_min(limits.target_bytes, HTTP1_REQUEST_MAX_TARGET),
            },
    };
}

void request_keep(struct http1_request *request, struct str part)
{
    if (request->text_len + part.len > HTTP1_REQUEST_TEXT) {
        request->text_len = HTTP1_REQUEST_TEXT + 1;
        return;
    }
    if (part.len > 0)
        memcpy(request->text + request->text_len, part.ptr, part.len);
    request->text_len = (uint16_t)(request->text_len + part.len);
}

struct str request_whole(struct http1_request *request, struct str part)
{
    if (request->text_len == 0)
        return part.len <= HTTP1_REQUEST_TEXT ? part : (struct str){0};
    request_keep(request, part);
    if (request->text_len > HTTP1_REQUEST_TEXT)
        return (struct str){0};
    return str_make(request->text, request->text_len);
}

/* States that allow one byte only and then go on. */
static const struct {
    char byte;
    uint8_t next; /* enum state */
    uint8_t rc;   /* enum http1_request_rc for any other byte */
} expected[STATE_COUNT] = {
    [STATE_TARGET_STAR] = {' ', STATE_VERSION, HTTP1_REQUEST_TARGET},
    [STATE_LINE_CR] = {'\r', STATE_LINE_LF, HTTP1_REQUEST_LINE_END},
    [STATE_LINE_LF] = {'\n', STATE_FIELD_START, HTTP1_REQUEST_LINE_END},
    [STATE_VALUE_LF] = {'\n', STATE_FIELD_START, HTTP1_REQUEST_FIELD_VALUE},
    [STATE_CHUNK_CR] = {'\r', STATE_CHUNK_LF, HTTP1_REQUEST_CHUNK},
    [STATE_CHUNK_LF] = {'\n', STATE_CHUNK_SIZE, HTTP1_REQUEST_CHUNK},
    [STATE_LAST_LF] = {'\n', STATE_END, HTTP1_REQUEST_CHUNK},
};

static size_t step_expected(struct http1_request *request, struct str bytes)
{
    uint8_t state = request->state;
    if (bytes.ptr[0] != expected[state].byte)
        return request_refuse(request, (enum http1_request_rc)expected[state].rc);
    request_enter(request, (enum state)expected[state].next);
    return 1;
}

static size_t step_counted(struct http1_request *request, struct str bytes)
{
    size_t used = bytes.len < request->body_left ? bytes.len : (size_t)request->body_left;
    request->body_left -= used;
    if (request->body_left == 0)
        request_enter(request, request->state == STATE_BODY ? STATE_END : STATE_CHUNK_CR);
    return used;
}

/* The size is digits and CR, nothing else: extensions (RFC 9112 7.1.1) are read differently by too
 * many servers, and no client of ours sends them. */
static size_t step_chunk_size(struct http1_request *request, struct str bytes)
{
    char c = bytes.ptr[0];
    if (c == '\r' && request->position > 0) {
        request_enter(request, STATE_CHUNK_SIZE_LF);
        return 1;
    }
    if (!chars_is(c, CHARS_HEX) || request->position == MAX_CHUNK_DIGITS ||
        request->body_left > INT64_MAX >> 4)
        return request_refuse(request, HTTP1_REQUEST_CHUNK);
    request->body_left = request->body_left << 4 | chars_hex_value(c);
    request->position++;
    return 1;
}

static size_t step_chunk_size_lf(struct http1_request *request, struct str bytes)
{
    if (bytes.ptr[0] != '\n')
        return request_refuse(request, HTTP1_REQUEST_CHUNK);
    request_enter(request, request->body_left > 0 ? STATE_CHUNK_DATA : STATE_LAST_CR);
    request->position = 0;
    return 1;
}

static size_t step_last_cr(struct http1_request *request, struct str bytes)
{
    if (bytes.ptr[0] == '\n')
        return request_refuse(request, HTTP1_REQUEST_CHUNK);
    if (bytes.ptr[0] != '\r')
        return request_refuse(request, HTTP1_REQUEST_TRAILER);
    request_enter(request, STATE_LAST_LF);
    return 1;
}

static request_step *const steps[STATE_COUNT] = {
    [STATE_START] = request_step_start,
    [STATE_METHOD] = request_step_method,
    [STATE_TARGET_START] = request_step_target_start,
    [STATE_TARGET_STAR] = step_expected,
    [STATE_PATH] = request_step_target,
    [STATE_QUERY] = request_step_target,
    [STATE_VERSION] = request_step_version,
    [STATE_LINE_CR] = step_expected,
    [STATE_LINE_LF] = step_expected,
    [STATE_FIELD_START] = request_step_field_start,
    [STATE_NAME] = request_step_name,
    [STATE_VALUE_START] = request_step_value_start,
    [STATE_VALUE] = request_step_value,
    [STATE_VALUE_LF] = step_expected,
    [STATE_HEAD_LF] = request_step_head_lf,
    [STATE_BODY] = step_counted,
    [STATE_CHUNK_SIZE] = step_chunk_size,
    [STATE_CHUNK_SIZE_LF] = step_chunk_size_lf,
    [STATE_CHUNK_DATA] = step_counted,
    [STATE_CHUNK_CR] = step_expected,
    [STATE_CHUNK_LF] = step_expected,
    [STATE_LAST_CR] = step_last_cr,
    [STATE_LAST_LF] = step_expected,
};

/* The head never goes past its limit: a step is shown only so many bytes. */
static size_t step_head(struct http1_request *request, struct str bytes)
{
    size_t room = request->limits.head_bytes - request->head_bytes;
    if (room == 0)
        return request_refuse(request, HTTP1_REQUEST_HEAD_SIZE);
    size_t used = steps[request->state](request, str_head(bytes, room));
    request->head_bytes += (uint32_t)used;
    return used;
}

size_t http1_request_feed(struct http1_request *request, const char *bytes, size_t len)
{
    size_t used = 0;
    if (len > 0 && request->state == STATE_END)
        http1_request_init(request, request->limits);
    while (used < len && request->state < STATE_BODY)
        used += step_head(request, str_make(bytes + used, len - used));
    while (used < len && request->state < STATE_END)
        used += steps[request->state](request, str_make(bytes + used, len - used));
    return used;
}

bool http1_request_at_end(const struct http1_request *request)
{
    return request->state == STATE_END;
}

enum http1_request_rc http1_request_refused(const struct http1_request *request)
{
    return (enum http1_request_rc)request->reason;
}

bool http1_request_idle(const struct http1_request *request)
{
    return request->state == STATE_START || request->state == STATE_END;
}

bool http1_request_in_head(const struct http1_request *request)
{
    return request->state > STATE_START && request->state < STATE_BODY;
}
