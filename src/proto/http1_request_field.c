/* SPDX-License-Identifier: Apache-2.0 */
/* The field lines of a request (RFC 9112 5), and what they say together at the end of the head. */
#include "base/err.h"
#include "proto/chars_int.h"
#include "proto/field.h"
#include "proto/http1_request_int.h"
#include "proto/uri.h"

_Static_assert(FIELD_ID_COUNT <= 64, "request->seen has one bit per field");

static uint64_t seen_bit(enum field_id id)
{
    return UINT64_C(1) << id;
}

static bool is_seen(const struct http1_request *request, enum field_id id)
{
    return (request->seen & seen_bit(id)) != 0;
}

static bool check_host(struct http1_request *request, struct str value)
{
    (void)request;
    struct uri_authority authority;
    return uri_parse_authority(str_trim(value), &authority) == URI_OK;
}

/* libmicrohttpd does not trim a value at its end, so that a blank there is one reading too many for
 * the two fields that frame the body. */
static bool check_content_length(struct http1_request *request, struct str value)
{
    return str_to_u64(value, INT64_MAX, &request->content_length) == 0;
}

static bool check_transfer_encoding(struct http1_request *request, struct str value)
{
    return !request->minor_zero && str_eq_nocase(value, STR("chunked"));
}

static bool check_expect(struct http1_request *request, struct str value)
{
    (void)request;
    return str_eq_nocase(str_trim(value), STR("100-continue"));
}

/* Fields whose value is judged, and how. Such a field twice is refused for the same reason. */
static const struct rule {
    enum field_id id;
    enum http1_request_rc rc;
    bool (*check)(struct http1_request *request, struct str value);
} rules[] = {
    {FIELD_OTHER, HTTP1_REQUEST_DUPLICATE, NULL},
    {FIELD_HOST, HTTP1_REQUEST_HOST, check_host},
    {FIELD_CONTENT_LENGTH, HTTP1_REQUEST_CONTENT_LENGTH, check_content_length},
    {FIELD_TRANSFER_ENCODING, HTTP1_REQUEST_TRANSFER_ENCODING, check_transfer_encoding},
    {FIELD_EXPECT, HTTP1_REQUEST_EXPECT, check_expect},
};

static uint8_t find_rule(enum field_id id)
{
    for (size_t i = 1; i < ARRAY_LEN(rules); i++)
        if (rules[i].id == id)
            return (uint8_t)i;
    return 0;
}

/* A field of this NAME begins: may it, and how is its value judged? */
static enum http1_request_rc begin_field(struct http1_request *request, struct str name)
{
    enum field_id id = field_lookup(name);
    request->rule = 0;
    /* An upstream that reads '_' as '-' would see a second Content-Length where we see none. */
    if (id == FIELD_OTHER &&
        (field_flags(field_lookup_folded(name)) & (FIELD_SINGLE | FIELD_MIRROR)) != 0)
        return HTTP1_REQUEST_FIELD_NAME;
    if ((field_flags(id) & FIELD_SINGLE) == 0)
        return HTTP1_REQUEST_OK;
    request->rule = find_rule(id);
    if (is_seen(request, id))
        return rules[request->rule].rc;
    request->seen |= seen_bit(id);
    return HTTP1_REQUEST_OK;
}

size_t request_step_field_start(struct http1_request *request, struct str bytes)
{
    char c = bytes.ptr[0];
    if (c == '\r') {
        request_enter(request, STATE_HEAD_LF);
        return 1;
    }
    if (c == '\n')
        return request_refuse(request, HTTP1_REQUEST_LINE_END);
    if (c == ' ' || c == '\t')
        return request_refuse(request, HTTP1_REQUEST_FIELD_FOLD);
    if (request->fields == HTTP1_REQUEST_MAX_FIELDS)
        return request_refuse(request, HTTP1_REQUEST_FIELD_COUNT);
    if (!chars_is(c, CHARS_TOKEN))
        return request_refuse(request, HTTP1_REQUEST_FIELD_NAME);
    request->fields++;
    request_enter(request, STATE_NAME);
    return 0;
}

size_t request_step_name(struct http1_request *request, struct str bytes)
{
    size_t run = chars_run(bytes.ptr, bytes.len, CHARS_TOKEN);
    struct str part = str_head(bytes, run);
    if (run == bytes.len) {
        request_keep(request, part);
        return run;
    }
    enum http1_request_rc rc = HTTP1_REQUEST_FIELD_NAME;
    if (bytes.ptr[run] == ':')
        rc = begin_field(request, request_whole(request, part));
    if (rc != HTTP1_REQUEST_OK) {
        request_refuse(request, rc);
        return run;
    }
    request_enter(request, STATE_VALUE_START);
    return run + 1;
}

size_t request_step_value_start(struct http1_request *request, struct str bytes)
{
    size_t blanks = 0;
    while (blanks < bytes.len && (bytes.ptr[blanks] == ' ' || bytes.ptr[blanks] == '\t'))
        blanks++;
    if (blanks < bytes.len)
        request_enter(request, STATE_VALUE);
    return blanks;
}

size_t request_step_value(struct http1_request *request, struct str bytes)
{
    const struct rule *rule = &rules[request->rule];
    size_t run = chars_value_run(bytes.ptr, bytes.len);
    struct str part = str_head(bytes, run);
    if (run == bytes.len) {
        if (rule->check != NULL)
            request_keep(request, part);
        return run;
    }
    enum http1_request_rc rc = HTTP1_REQUEST_OK;
    if (bytes.ptr[run] != '\r')
        rc = HTTP1_REQUEST_FIELD_VALUE;
    else if (rule->check != NULL && !rule->check(request, request_whole(request, part)))
        rc = rule->rc;
    if (rc != HTTP1_REQUEST_OK) {
        request_refuse(request, rc);
        return run;
    }
    request_enter(request, STATE_VALUE_LF);
    return run + 1;
}

/* RFC 9112 6.3 and 3.2: one way only to tell where the body ends, and one Host. */
static enum http1_request_rc check_head(const struct http1_request *request)
{
    if (!request->minor_zero && !is_seen(request, FIELD_HOST))
        return HTTP1_REQUEST_HOST;
    if (is_seen(request, FIELD_CONTENT_LENGTH) && is_seen(request, FIELD_TRANSFER_ENCODING))
        return HTTP1_REQUEST_FRAMING;
    return HTTP1_REQUEST_OK;
}

size_t request_step_head_lf(struct http1_request *request, struct str bytes)
{
    enum http1_request_rc rc = bytes.ptr[0] == '\n' ? check_head(request) : HTTP1_REQUEST_LINE_END;
    if (rc != HTTP1_REQUEST_OK)
        return request_refuse(request, rc);
    request->body_left = request->content_length;
    if (is_seen(request, FIELD_TRANSFER_ENCODING))
        request_enter(request, STATE_CHUNK_SIZE);
    else
        request_enter(request, request->body_left > 0 ? STATE_BODY : STATE_END);
    request->position = 0;
    return 1;
}
