/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_request.h"

static const struct http1_request_reason reasons[] = {
    [HTTP1_REQUEST_OK] = {200, "ok", "The request is well-formed"},
    [HTTP1_REQUEST_METHOD] = {400, "bad_method", "The method is not a token of at most 32 bytes"},
    [HTTP1_REQUEST_TARGET] = {400, "bad_target", "The request target is not a path and query"},
    [HTTP1_REQUEST_TARGET_DOTS] = {400, "ambiguous_path",
                                   "The path has a dot segment, an empty segment or an encoded "
                                   "slash"},
    [HTTP1_REQUEST_TARGET_LENGTH] = {414, "target_too_long", "The request target is too long"},
    [HTTP1_REQUEST_VERSION] = {505, "version_not_supported",
                               "Only HTTP/1.1 and HTTP/1.0 are spoken here"},
    [HTTP1_REQUEST_VERSION_SYNTAX] = {400, "bad_version",
                                      "The request line does not end with an HTTP version"},
    [HTTP1_REQUEST_LINE_END] = {400, "bad_line_end", "A line does not end with CRLF"},
    [HTTP1_REQUEST_FIELD_NAME] = {400, "bad_field_name",
                                  "A header field name is not a token followed by a colon"},
    [HTTP1_REQUEST_FIELD_FOLD] = {400, "folded_field",
                                  "A header field is folded over more than one line"},
    [HTTP1_REQUEST_FIELD_VALUE] = {400, "bad_field_value",
                                   "A header field value contains a control byte"},
    [HTTP1_REQUEST_HEAD_SIZE] = {431, "head_too_large", "The request head is too large"},
    [HTTP1_REQUEST_FIELD_COUNT] = {431, "too_many_fields",
                                   "The request has more than 100 header fields"},
    [HTTP1_REQUEST_HOST] = {400, "bad_host", "The request needs exactly one valid Host field"},
    [HTTP1_REQUEST_CONTENT_LENGTH] = {400, "bad_content_length",
                                      "Content-Length is not a single decimal number"},
    [HTTP1_REQUEST_TRANSFER_ENCODING] = {400, "bad_transfer_encoding",
                                         "Transfer-Encoding is not a single \"chunked\" in "
                                         "HTTP/1.1"},
    [HTTP1_REQUEST_FRAMING] = {400, "ambiguous_framing",
                               "Content-Length and Transfer-Encoding exclude each other"},
    [HTTP1_REQUEST_CHUNK] = {400, "bad_chunk", "The chunked body is malformed"},
    [HTTP1_REQUEST_TRAILER] = {400, "trailer", "Trailer fields are not accepted"},
    [HTTP1_REQUEST_HTTP2] = {505, "http2_preface", "HTTP/2 is not spoken here"},
    [HTTP1_REQUEST_EXPECT] = {417, "bad_expect", "The only expectation known is 100-continue"},
    [HTTP1_REQUEST_DUPLICATE] = {400, "duplicate_field",
                                 "A header field that must be single occurs twice"},
};

struct http1_request_reason http1_request_reason(enum http1_request_rc rc)
{
    return reasons[rc];
}
