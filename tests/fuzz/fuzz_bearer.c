/* SPDX-License-Identifier: Apache-2.0 */
/* proto/bearer: the answer is that of the grammar of RFC 6750 2.1, read a second time from the end
 * to the beginning. */
#include "oracle.h"
#include "proto/bearer.h"

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || c == '+' || c == '/';
}

/* "Bearer" 1*SP b64token between optional blanks, from the end. */
static bool is_bearer(struct str value, struct str *ret_token)
{
    const char *const scheme = "bearer";
    size_t end = value.len;
    while (end > 0 && (value.ptr[end - 1] == ' ' || value.ptr[end - 1] == '\t'))
        end--;
    size_t start = end;
    while (start > 0 && value.ptr[start - 1] == '=')
        start--;
    const size_t padding = start;
    while (start > 0 && is_token_char(value.ptr[start - 1]))
        start--;
    if (start == padding)
        return false;
    *ret_token = str_make(value.ptr + start, end - start);
    end = start;
    while (end > 0 && value.ptr[end - 1] == ' ')
        end--;
    if (end == start || end < 6)
        return false;
    for (size_t i = 0; i < 6; i++)
        if ((value.ptr[end - 6 + i] | 0x20) != scheme[i])
            return false;
    for (size_t i = 0; i < end - 6; i++)
        if (value.ptr[i] != ' ' && value.ptr[i] != '\t')
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str value = oracle_input(data, size);
    struct str expected = {0};
    struct str token = {0};
    const bool good = is_bearer(value, &expected);
    ORACLE((bearer_parse(value, &token) == BEARER_OK) == good);
    ORACLE(good ? token.ptr == expected.ptr && token.len == expected.len : token.ptr == NULL);
    return 0;
}
