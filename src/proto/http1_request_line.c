/* SPDX-License-Identifier: Apache-2.0 */
/* The request line (RFC 9112 3): method SP request-target SP HTTP-version. */
#include "base/err.h"
#include "proto/chars_int.h"
#include "proto/http1_request_int.h"

/* What a path segment is so far; request->segment. */
enum segment { SEGMENT_EMPTY, SEGMENT_DOT, SEGMENT_DOTS, SEGMENT_NAME };

size_t request_step_start(struct http1_request *request, struct str bytes)
{
    char c = bytes.ptr[0];
    if (c == '\r' || c == '\n')
        return request_refuse(request, HTTP1_REQUEST_LINE_END);
    request_enter(request, STATE_METHOD);
    return 0;
}

size_t request_step_method(struct http1_request *request, struct str bytes)
{
    size_t room = HTTP1_REQUEST_MAX_METHOD - (size_t)request->text_len;
    size_t run = chars_run(bytes.ptr, size_min(bytes.len, room), CHARS_TOKEN);
    request_keep(request, str_head(bytes, run));
    if (run == bytes.len)
        return run;
    if (bytes.ptr[run] != ' ' || request->text_len == 0) {
        request_refuse(request, HTTP1_REQUEST_METHOD);
        return run;
    }
    /* The text stays: '*' depends on the method. */
    request->state = STATE_TARGET_START;
    return run + 1;
}

/* '*' is for OPTIONS (RFC 9112 3.2.4), and in the preface that every HTTP/2 client begins with. */
static size_t step_star(struct http1_request *request)
{
    struct str method = str_make(request->text, request->text_len);
    if (str_eq(method, STR("PRI")))
        return request_refuse(request, HTTP1_REQUEST_HTTP2);
    if (!str_eq(method, STR("OPTIONS")))
        return request_refuse(request, HTTP1_REQUEST_TARGET);
    request->state = STATE_TARGET_STAR;
    return 1;
}

size_t request_step_target_start(struct http1_request *request, struct str bytes)
{
    if (bytes.ptr[0] == '*')
        return step_star(request);
    if (bytes.ptr[0] != '/')
        return request_refuse(request, HTTP1_REQUEST_TARGET);
    request_enter(request, STATE_PATH);
    request->target_bytes = 1;
    request->segment = SEGMENT_EMPTY;
    return 1;
}

/* The segment with one more decoded byte. '/', and ';' behind dots, end it: Java servers take what
 * follows a ';' for parameters, so "..;" is ".." to them. */
static enum http1_request_rc path_byte(struct http1_request *request, char c)
{
    bool dots = request->segment == SEGMENT_DOT || request->segment == SEGMENT_DOTS;
    if (dots && (c == '/' || c == ';'))
        return HTTP1_REQUEST_TARGET_DOTS;
    if (c == '/') {
        if (request->segment == SEGMENT_EMPTY)
            return HTTP1_REQUEST_TARGET_DOTS;
        request->segment = SEGMENT_EMPTY;
    } else if (c != '.') {
        request->segment = SEGMENT_NAME;
    } else if (request->segment != SEGMENT_NAME) {
        request->segment++;
    }
    return HTTP1_REQUEST_OK;
}

/* One byte of a percent escape. %00 cuts the URL that libmicrohttpd hands on; an encoded slash
 * makes two servers see two paths. */
static enum http1_request_rc escape_byte(struct http1_request *request, char c)
{
    if (!chars_is(c, CHARS_HEX))
        return HTTP1_REQUEST_TARGET;
    if (request->position == 1) {
        request->position = 2;
        request->high = (uint8_t)chars_hex_value(c);
        return HTTP1_REQUEST_OK;
    }
    char decoded = (char)((unsigned)request->high << 4 | chars_hex_value(c));
    request->position = 0;
    if (decoded == '\0')
        return HTTP1_REQUEST_TARGET;
    if (request->state == STATE_QUERY)
        return HTTP1_REQUEST_OK;
    if (decoded == '/' || decoded == '\\')
        return HTTP1_REQUEST_TARGET_DOTS;
    return path_byte(request, decoded);
}

/* What has come of the target may end here: not within an escape, nor with a dot segment. */
static enum http1_request_rc check_end(const struct http1_request *request)
{
    if (request->position > 0)
        return HTTP1_REQUEST_TARGET;
    if (request->segment == SEGMENT_DOT || request->segment == SEGMENT_DOTS)
        return HTTP1_REQUEST_TARGET_DOTS;
    return HTTP1_REQUEST_OK;
}

static enum http1_request_rc begin_query(struct http1_request *request)
{
    enum http1_request_rc rc = check_end(request);
    request->segment = SEGMENT_NAME;
    request->state = STATE_QUERY;
    return rc;
}

static enum http1_request_rc target_byte(struct http1_request *request, char c)
{
    bool path = request->state == STATE_PATH;
    if (request->target_bytes >= request->limits.target_bytes)
        return HTTP1_REQUEST_TARGET_LENGTH;
    request->target_bytes++;
    if (request->position > 0)
        return escape_byte(request, c);
    if (c == '%') {
        request->position = 1;
        return HTTP1_REQUEST_OK;
    }
    if (path && c == '?')
        return begin_query(request);
    if (chars_is(c, path ? CHARS_PATH : CHARS_QUERY))
        return path ? path_byte(request, c) : HTTP1_REQUEST_OK;
    /* A line that ends here is HTTP/0.9. */
    return c == '\r' || c == '\n' ? HTTP1_REQUEST_VERSION_SYNTAX : HTTP1_REQUEST_TARGET;
}

size_t request_step_target(struct http1_request *request, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        bool end = bytes.ptr[i] == ' ';
        enum http1_request_rc rc = end ? check_end(request) : target_byte(request, bytes.ptr[i]);
        if (rc != HTTP1_REQUEST_OK) {
            request_refuse(request, rc);
            return i;
        }
        if (end) {
            request_enter(request, STATE_VERSION);
            return i + 1;
        }
    }
    return bytes.len;
}

size_t request_step_version(struct http1_request *request, struct str bytes)
{
    static const char form[] = "HTTP/d.d";
    char c = bytes.ptr[0];
    char expected = form[request->position];
    if (expected == 'd' ? !ascii_is_digit(c) : c != expected)
        return request_refuse(request, HTTP1_REQUEST_VERSION_SYNTAX);
    request->position++;
    if (expected == 'd')
        request->text[request->text_len++] = c;
    if (request->text_len < 2)
        return 1;
    request->minor_zero = request->text[1] == '0';
    if (request->text[0] != '1' || (c != '1' && !request->minor_zero))
        return request_refuse(request, HTTP1_REQUEST_VERSION);
    request_enter(request, STATE_LINE_CR);
    return 1;
}
