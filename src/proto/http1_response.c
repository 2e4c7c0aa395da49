/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an answer: status line, fields, and what they say about body and connection. */
#include "proto/http1_response.h"

#include <assert.h>

#include "proto/chars_int.h"

_Static_assert(FIELD_ID_COUNT <= UINT8_MAX, "http1_response_head.ids");

const char *http1_response_rc_name(enum http1_response_rc rc)
{
    static const char *const names[] = {
        [HTTP1_RESPONSE_OK] = "ok",
        [HTTP1_RESPONSE_STATUS_LINE] = "bad_status_line",
        [HTTP1_RESPONSE_VERSION] = "bad_version",
        [HTTP1_RESPONSE_STATUS] = "bad_status",
        [HTTP1_RESPONSE_INTERIM] = "too_many_interim",
        [HTTP1_RESPONSE_FIELD] = "bad_field",
        [HTTP1_RESPONSE_VALUE] = "bad_field_value",
        [HTTP1_RESPONSE_HEAD_SIZE] = "head_too_large",
        [HTTP1_RESPONSE_LENGTH] = "bad_content_length",
        [HTTP1_RESPONSE_ENCODING] = "bad_transfer_encoding",
        [HTTP1_RESPONSE_CHUNK] = "bad_chunk",
        [HTTP1_RESPONSE_TRUNCATED] = "truncated",
    };
    return names[rc];
}

size_t http1_response_find(const struct http1_response_head *head, enum field_id id)
{
    size_t i = 0;
    while (i < head->n_fields && head->ids[i] != id)
        i++;
    return i;
}

/* What the fields say together; filled while they are read. */
struct framing {
    bool has_length;
    bool has_chunked;
    bool close;
    bool keep_alive;
    uint64_t length;
};

/* Takes the line at the start of *REST, without its CRLF; find_empty_line() has seen to it that
 * every line of a head has one. */
static struct str take_line(struct str *rest)
{
    ptrdiff_t lf = str_find_char(*rest, '\n');
    assert(lf > 0);
    struct str line = str_head(*rest, (size_t)lf - 1);
    *rest = str_from(*rest, (size_t)lf + 1);
    return line;
}

/* Equal repetitions are one length (RFC 9110 8.6); a list in one field is not accepted. */
static enum http1_response_rc on_length(struct framing *framing, struct str value)
{
    uint64_t length;
    if (str_to_u64(value, INT64_MAX, &length) != 0)
        return HTTP1_RESPONSE_LENGTH;
    if (framing->has_length && framing->length != length)
        return HTTP1_RESPONSE_LENGTH;
    framing->has_length = true;
    framing->length = length;
    return HTTP1_RESPONSE_OK;
}

static enum http1_response_rc on_encoding(struct framing *framing, struct str value)
{
    if (framing->has_chunked || !str_eq_nocase(value, STR("chunked")))
        return HTTP1_RESPONSE_ENCODING;
    framing->has_chunked = true;
    return HTTP1_RESPONSE_OK;
}

/* "timeout=5, max=100": only a hint, so that what is not understood is passed over. */
static uint32_t keep_alive_timeout(struct str value)
{
    struct str name = STR("timeout=");
    struct str member;
    while (field_list_next(&value, &member)) {
        uint64_t seconds;
        if (str_has_prefix_nocase(member, name) &&
            str_to_u64(str_from(member, name.len), UINT32_MAX, &seconds) == 0)
            return (uint32_t)seconds;
    }
    return 0;
}

static enum http1_response_rc on_field(struct http1_response_head *head, struct framing *framing,
                                       enum field_id id, struct str value)
{
    if (id == FIELD_CONTENT_LENGTH)
        return on_length(framing, value);
    if (id == FIELD_TRANSFER_ENCODING)
        return on_encoding(framing, value);
    if (id == FIELD_KEEP_ALIVE)
        head->keep_alive_timeout_s = keep_alive_timeout(value);
    if (id == FIELD_CONNECTION) {
        framing->close |= field_list_has(value, STR("close"));
        framing->keep_alive |= field_list_has(value, STR("keep-alive"));
    }
    return HTTP1_RESPONSE_OK;
}

/* Takes the field line at the start of *REST. Every line of a head ends in CRLF and no LF is
 * without its CR (find_empty_line()), so that the first byte that may not stand in a value is the
 * end of the line, or a fault. */
static enum http1_response_rc take_field(struct str *rest, struct http1_field *ret_field)
{
    const char *line = rest->ptr;
    size_t name_len = chars_run(line, rest->len, CHARS_TOKEN);
    if (name_len == 0 || name_len == rest->len || line[name_len] != ':')
        return HTTP1_RESPONSE_FIELD;
    size_t start = name_len + 1;
    size_t end = start + chars_value_run(line + start, rest->len - start);
    if (rest->len - end < 2 || line[end] != '\r' || line[end + 1] != '\n')
        return HTTP1_RESPONSE_VALUE;
    ret_field->name = str_make(line, name_len);
    ret_field->value = str_trim(str_make(line + start, end - start));
    *rest = str_make(line + end + 2, rest->len - end - 2);
    return HTTP1_RESPONSE_OK;
}

/* Reads the field lines up to and with the empty line. */
static enum http1_response_rc parse_fields(struct str *rest, struct http1_response_head *head,
                                           struct framing *framing)
{
    while (rest->len < 2 || rest->ptr[0] != '\r' || rest->ptr[1] != '\n') {
        struct http1_field field;
        enum http1_response_rc rc = take_field(rest, &field);
        if (rc != HTTP1_RESPONSE_OK)
            return rc;
        if (head->n_fields == HTTP1_RESPONSE_MAX_FIELDS)
            return HTTP1_RESPONSE_HEAD_SIZE;
        enum field_id id = field_lookup(field.name);
        head->ids[head->n_fields] = (uint8_t)id;
        head->fields[head->n_fields++] = field;
        rc = on_field(head, framing, id, field.value);
        if (rc != HTTP1_RESPONSE_OK)
            return rc;
    }
    *rest = str_from(*rest, 2);
    return HTTP1_RESPONSE_OK;
}

/* RFC 9112 4: HTTP-version SP status-code SP [reason-phrase]; the last SP may be missing. */
static enum http1_response_rc parse_status_line(struct str *rest, struct http1_response_head *head)
{
    enum { VERSION_LEN = 8, CODE_LEN = 3 };
    struct str line = take_line(rest);
    struct str version = str_head(line, VERSION_LEN);
    head->minor_version = str_eq(version, STR("HTTP/1.1")) ? 1 : 0;
    if (head->minor_version == 0 && !str_eq(version, STR("HTTP/1.0")))
        return str_has_prefix(line, STR("HTTP/")) ? HTTP1_RESPONSE_VERSION
                                                  : HTTP1_RESPONSE_STATUS_LINE;

    struct str tail = str_from(line, VERSION_LEN);
    if (tail.len < 1 + CODE_LEN || tail.ptr[0] != ' ' || !ascii_is_digit(tail.ptr[1]) ||
        !ascii_is_digit(tail.ptr[2]) || !ascii_is_digit(tail.ptr[3]))
        return HTTP1_RESPONSE_STATUS_LINE;
    struct str reason = str_from(tail, 1 + CODE_LEN);
    if (reason.len > 0 && reason.ptr[0] != ' ')
        return HTTP1_RESPONSE_STATUS_LINE;
    if (chars_value_run(reason.ptr, reason.len) != reason.len)
        return HTTP1_RESPONSE_STATUS_LINE;
    unsigned status = (unsigned)(tail.ptr[1] - '0') * 100 + (unsigned)(tail.ptr[2] - '0') * 10 +
                      (unsigned)(tail.ptr[3] - '0');
    /* 101 would turn the connection into something else; we never ask for that. */
    if (status < 100 || status > 599 || status == 101)
        return HTTP1_RESPONSE_STATUS;
    head->status = status;
    return HTTP1_RESPONSE_OK;
}

/* RFC 9112 6.3, without the guesses: what is not clear is a fault. */
static enum http1_response_rc decide_body(struct http1_response_head *head,
                                          const struct framing *framing)
{
    if (framing->has_chunked && (framing->has_length || head->minor_version == 0))
        return HTTP1_RESPONSE_ENCODING;
    bool persistent = head->minor_version == 1 || framing->keep_alive;
    head->keep_alive = persistent && !framing->close;
    if (head->status == 204 || head->status == 304) {
        head->body = HTTP1_BODY_NONE;
        /* RFC 9110 8.6: a 204 has no Content-Length. One that announces a body may send it, and the
         * next answer on this connection would begin with it. */
        if (head->status == 204 && (framing->has_chunked || framing->length > 0))
            head->keep_alive = false;
    } else if (framing->has_chunked) {
        head->body = HTTP1_BODY_CHUNKED;
    } else if (framing->has_length) {
        head->body = framing->length > 0 ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
        head->content_length = framing->length;
    } else {
        head->body = HTTP1_BODY_CLOSE;
        head->keep_alive = false;
    }
    return HTTP1_RESPONSE_OK;
}

/* Reads one head, interim or final, from *REST, which has an empty line. */
static enum http1_response_rc parse_head(struct str *rest, struct http1_response_head *head)
{
    struct framing framing = {0};
    head->n_fields = 0;
    head->content_length = 0;
    head->keep_alive_timeout_s = 0;
    enum http1_response_rc rc = parse_status_line(rest, head);
    if (rc == HTTP1_RESPONSE_OK)
        rc = parse_fields(rest, head, &framing);
    return rc == HTTP1_RESPONSE_OK ? decide_body(head, &framing) : rc;
}

/* Goes on to the end of the next empty line behind *AT. A line that ends in LF alone is a fault
 * now: an upstream that ends all lines so would never send the empty line. */
static enum http1_response_rc find_empty_line(struct str bytes, size_t *at, bool *ret_found)
{
    while (*at < bytes.len) {
        ptrdiff_t next = str_find_char(str_from(bytes, *at), '\n');
        if (next < 0) {
            *at = bytes.len;
            break;
        }
        size_t lf = *at + (size_t)next;
        *at = lf + 1;
        if (lf == 0 || bytes.ptr[lf - 1] != '\r')
            return HTTP1_RESPONSE_FIELD;
        if (lf < 3 || bytes.ptr[lf - 2] != '\n')
            continue;
        *ret_found = true;
        return HTTP1_RESPONSE_OK;
    }
    *ret_found = false;
    return HTTP1_RESPONSE_OK;
}

/* Known after seven bytes: whatever this is, it will not become an HTTP/1 answer. */
static enum http1_response_rc check_start(struct str bytes)
{
    struct str start = STR("HTTP/1.");
    if (str_eq(str_head(bytes, start.len), str_head(start, bytes.len)))
        return HTTP1_RESPONSE_OK;
    return str_has_prefix(bytes, STR("HTTP/")) ? HTTP1_RESPONSE_VERSION
                                               : HTTP1_RESPONSE_STATUS_LINE;
}

enum http1_response_rc http1_response_head(struct str bytes, size_t *scanned,
                                           struct http1_response_head *ret_head, size_t *ret_used)
{
    struct str rest = bytes;
    unsigned interim = 0;
    bool found = false;
    enum http1_response_rc rc = check_start(bytes);
    if (rc == HTTP1_RESPONSE_OK)
        rc = find_empty_line(bytes, scanned, &found);
    while (rc == HTTP1_RESPONSE_OK && found) {
        /* Interim heads are few: reading them again with each new head costs less than a state. */
        while (bytes.len - rest.len < *scanned) {
            rc = parse_head(&rest, ret_head);
            if (rc != HTTP1_RESPONSE_OK)
                return rc;
            if (ret_head->status >= 200) {
                *ret_used = bytes.len - rest.len;
                return *ret_used > HTTP1_RESPONSE_MAX_HEAD ? HTTP1_RESPONSE_HEAD_SIZE : rc;
            }
            if (++interim > HTTP1_RESPONSE_MAX_INTERIM)
                return HTTP1_RESPONSE_INTERIM;
        }
        rc = find_empty_line(bytes, scanned, &found);
    }
    if (rc == HTTP1_RESPONSE_OK && bytes.len >= HTTP1_RESPONSE_MAX_HEAD)
        rc = HTTP1_RESPONSE_HEAD_SIZE;
    *ret_used = 0;
    return rc;
}
