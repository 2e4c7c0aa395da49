/* SPDX-License-Identifier: Apache-2.0 */
/* proto/jws: the segments of a token that splits make up the input again and are canonical; a
 * header that is accepted holds, read with jansson alone, what the rules ask for. */
#include "oracle.h"
#include "proto/base64url.h"
#include "proto/jws.h"

#define MAX_BYTES 65536

static void check_split(struct str token, const struct jws_parts *parts)
{
    struct buf joined = buf_make(MAX_BYTES);
    (void)buf_append(&joined, parts->header);
    (void)buf_append_char(&joined, '.');
    (void)buf_append(&joined, parts->payload);
    ORACLE(str_eq(buf_str(&joined), parts->signed_bytes));
    (void)buf_append_char(&joined, '.');
    (void)buf_append(&joined, parts->signature);
    ORACLE(str_eq(buf_str(&joined), token));
    ORACLE(parts->header.len > 0 && parts->payload.len > 0 && parts->signature.len > 0);
    ORACLE(base64url_is_valid(parts->header) && base64url_is_valid(parts->payload) &&
           base64url_is_valid(parts->signature));
    buf_free(&joined);
}

static bool is_typ(const char *typ)
{
    return strcasecmp(typ, "JWT") == 0 || strcasecmp(typ, "at+jwt") == 0 ||
           strcasecmp(typ, "application/at+jwt") == 0;
}

static void check_header(struct str segment, const struct jws_header *header)
{
    struct buf text = buf_make(MAX_BYTES);
    json_error_t error;
    ORACLE(base64url_decode_append(segment, &text) == 0 && text.len <= JWS_MAX_HEADER_BYTES);
    json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    ORACLE(json_is_object(json));
    ORACLE(json_object_get(json, "crit") == NULL && json_object_get(json, "b64") == NULL);
    const json_t *typ = json_object_get(json, "typ");
    ORACLE(typ == NULL || (json_is_string(typ) && is_typ(json_string_value(typ)) &&
                           strlen(json_string_value(typ)) == json_string_length(typ)));
    ORACLE(str_eq(json_get_str(json, "alg"), jws_alg_name(header->alg)));
    ORACLE(str_eq(json_get_str(json, "kid"), header->kid));
    ORACLE(header->kid.len >= 1 && header->kid.len <= 256);
    json_decref(json);
    buf_free(&text);
}

static void check_token(struct str token)
{
    struct jws_parts parts;
    struct jws_header header;
    if (jws_split(token, &parts) != JWS_OK)
        return;
    check_split(token, &parts);
    if (jws_header_read(parts.header, &header) != JWS_OK)
        return;
    check_header(parts.header, &header);
    jws_header_clear(&header);
}

static void check_header_text(struct str text)
{
    struct buf segment = buf_make(2 * MAX_BYTES);
    struct jws_header header;
    ORACLE(base64url_encode_append(text, &segment) == 0);
    if (jws_header_read(buf_str(&segment), &header) == JWS_OK) {
        check_header(buf_str(&segment), &header);
        jws_header_clear(&header);
    }
    buf_free(&segment);
}

/* The input is a token, and it is the text of a header: mutations do not get through base64. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str input = oracle_input(data, size);
    if (size > MAX_BYTES)
        return 0;
    check_token(input);
    check_header_text(input);
    return 0;
}
