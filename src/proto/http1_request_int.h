/* SPDX-License-Identifier: Apache-2.0 */
/* The states of the request filter, and the steps that take it from one to the next.
 *
 * A step gets at least one byte, says how many it used, and uses none only when it refuses or moves
 * to another state. It judges by the bytes and the state alone, never by where a cut was made. */
#ifndef PROTO_HTTP1_REQUEST_INT_H
#define PROTO_HTTP1_REQUEST_INT_H

#include "proto/http1_request.h"

#include "base/str.h"

/* In the order of a message: the head lies between STATE_METHOD and STATE_BODY. */
enum state {
    STATE_START,
    STATE_METHOD,
    STATE_TARGET_START,
    STATE_TARGET_STAR, /* behind "OPTIONS *" */
    STATE_PATH,
    STATE_QUERY,
    STATE_VERSION,
    STATE_LINE_CR,
    STATE_LINE_LF,
    STATE_FIELD_START,
    STATE_NAME,
    STATE_VALUE_START, /* blanks before the value */
    STATE_VALUE,
    STATE_VALUE_LF,
    STATE_HEAD_LF,
    STATE_BODY, /* counted by Content-Length */
    STATE_CHUNK_SIZE,
    STATE_CHUNK_SIZE_LF,
    STATE_CHUNK_DATA,
    STATE_CHUNK_CR,
    STATE_CHUNK_LF,
    STATE_LAST_CR, /* behind the chunk of size 0 */
    STATE_LAST_LF,
    STATE_END,
    STATE_REFUSED,
    STATE_COUNT,
};

/* Ends in refusal; returns 0, the number of bytes used. */
static inline size_t request_refuse(struct http1_request *request, enum http1_request_rc rc)
{
    request->state = STATE_REFUSED;
    request->reason = (uint8_t)rc;
    return 0;
}

/* Moves to STATE with nothing kept. */
static inline void request_enter(struct http1_request *request, enum state state)
{
    request->state = (uint8_t)state;
    request->text_len = 0;
}

/* Keeps PART of a text that the next bytes go on with. */
void request_keep(struct http1_request *request, struct str part);
/* The whole of a text whose last part is PART: PART itself when nothing was kept before it. Absent
 * when it has more than HTTP1_REQUEST_TEXT bytes. */
struct str request_whole(struct http1_request *request, struct str part);

typedef size_t request_step(struct http1_request *request, struct str bytes);

/* http1_request_line.c */
request_step request_step_start, request_step_method, request_step_target_start,
    request_step_target, request_step_version;
/* http1_request_field.c */
request_step request_step_field_start, request_step_name, request_step_value_start,
    request_step_value, request_step_head_lf;

#endif
