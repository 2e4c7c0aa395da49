/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/challenge.h"

#include <errno.h>

#include "base/err.h"

/* %x20-21 / %x23-5B / %x5D-7E (RFC 6750 3): a quoted-string of these needs no escaping. */
static bool is_parameter_value(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static void append_parameter(struct buf *out, const char *separator, struct str name,
                             struct str value)
{
    (void)buf_append_cstr(out, separator);
    (void)buf_append(out, name);
    (void)buf_append(out, STR("=\""));
    (void)buf_append(out, value);
    (void)buf_append_char(out, '"');
}

int challenge_append(const struct challenge *challenge, struct buf *out)
{
    const struct {
        struct str name;
        struct str value;
    } parameters[] = {
        {STR("resource_metadata"), challenge->resource_metadata},
        {STR("scope"), challenge->scope},
        {STR("error"), challenge->error},
        {STR("error_description"), challenge->error_description},
    };
    const size_t start = out->len;
    const char *separator = " ";
    (void)buf_append(out, STR("Bearer"));
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
        if (!is_parameter_value(parameters[i].value)) {
            out->len = start;
            return -EINVAL;
        }
        if (parameters[i].value.len > 0) {
            append_parameter(out, separator, parameters[i].name, parameters[i].value);
            separator = ", ";
        }
    }
    if (buf_failed(out))
        out->len = start;
    return out->fault;
}
