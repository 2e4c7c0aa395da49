/* SPDX-License-Identifier: Apache-2.0 */
/* proto/base64url: what decodes encodes to the same text again, OpenSSL decodes it to the same
 * bytes, and any bytes survive encoding and decoding. */
#include <openssl/evp.h>

#include "oracle.h"
#include "proto/base64url.h"

#define MAX_BYTES 65536

/* The same text in OpenSSL's dialect: the other alphabet, and padding. */
static struct buf to_standard(struct str text)
{
    struct buf out = buf_make(2 * MAX_BYTES);
    for (size_t i = 0; i < text.len; i++)
        (void)buf_append_char(&out, text.ptr[i] == '-'   ? '+'
                                    : text.ptr[i] == '_' ? '/'
                                                         : text.ptr[i]);
    while (out.len % 4 != 0)
        (void)buf_append_char(&out, '=');
    return out;
}

static void check_decoded(struct str text, struct str bytes)
{
    struct buf again = buf_make(2 * MAX_BYTES);
    struct buf standard = to_standard(text);
    unsigned char *theirs = malloc(standard.len + 1);
    ORACLE(theirs != NULL);
    ORACLE(base64url_encode_append(bytes, &again) == 0);
    ORACLE(str_eq(buf_str(&again), text));
    int len =
        EVP_DecodeBlock(theirs, (const unsigned char *)buf_str(&standard).ptr, (int)standard.len);
    ORACLE(len >= 0 && (size_t)len >= bytes.len);
    ORACLE(str_eq(str_make((char *)theirs, bytes.len), bytes));
    free(theirs);
    buf_free(&standard);
    buf_free(&again);
}

static void check_bytes(struct str bytes)
{
    struct buf text = buf_make(2 * MAX_BYTES);
    struct buf back = buf_make(2 * MAX_BYTES);
    ORACLE(base64url_encode_append(bytes, &text) == 0);
    ORACLE(base64url_is_valid(buf_str(&text)));
    ORACLE(base64url_decoded_len(text.len) == bytes.len);
    ORACLE(base64url_decode_append(buf_str(&text), &back) == 0);
    ORACLE(str_eq(buf_str(&back), bytes));
    buf_free(&text);
    buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str input = oracle_input(data, size);
    if (size > MAX_BYTES)
        return 0;
    uint8_t *bytes = malloc(base64url_decoded_len(size) + 1);
    ORACLE(bytes != NULL);
    size_t len = 0;
    int r = base64url_decode(input, bytes, base64url_decoded_len(size), &len);
    ORACLE((r == 0) == base64url_is_valid(input));
    if (r == 0)
        check_decoded(input, str_make((char *)bytes, len));
    check_bytes(input);
    free(bytes);
    return 0;
}
