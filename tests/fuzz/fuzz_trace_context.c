/* SPDX-License-Identifier: Apache-2.0 */
/* proto/trace_context: a traceparent that is taken is the one that a regular expression takes, and
 * what is written of it is taken again and says the same; a tracestate that is taken has what the
 * grammar's characters allow, cannot break out of a header field, and is taken again when its
 * members are joined anew. The input is one or the other. */
#include <regex.h>
#include <string.h>

#include "base/buf.h"
#include "oracle.h"
#include "proto/trace_context.h"

static const char pattern[] = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$";

static bool matches(const char *text)
{
    regex_t regex;
    ORACLE(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) == 0);
    bool good = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return good && strncmp(text, "ff", 2) != 0 &&
           (strncmp(text, "00", 2) != 0 || strlen(text) == TRACEPARENT_LEN) &&
           strspn(text + 3, "0") < TRACE_ID_HEX && strspn(text + 36, "0") < SPAN_ID_HEX;
}

static void check_parent(struct str value)
{
    struct trace_context context;
    struct trace_context again;
    char written[TRACEPARENT_LEN];
    char text[512];
    bool good = trace_context_parse(value, &context);
    if (value.len < sizeof(text) && memchr(value.ptr, 0, value.len) == NULL &&
        memchr(value.ptr, '\n', value.len) == NULL && str_is_utf8(value)) {
        memcpy(text, value.ptr, value.len);
        text[value.len] = '\0';
        ORACLE(good == matches(text));
    }
    if (!good)
        return;
    trace_context_write(&context, written);
    ORACLE(memcmp(written + 3, value.ptr + 3, TRACEPARENT_LEN - 3 - 2) == 0);
    ORACLE(trace_context_parse(str_make(written, sizeof(written)), &again));
    ORACLE(memcmp(&context, &again, sizeof(again)) == 0);
}

static void check_state(struct str list)
{
    struct buf joined = buf_make(2 * TRACESTATE_MAX_BYTES);
    struct str part;
    size_t n = 0;
    if (!tracestate_is_valid(list))
        return;
    ORACLE(list.len <= TRACESTATE_MAX_BYTES);
    while (str_split(&list, ',', &part)) {
        struct str member = str_trim(part);
        if (member.len == 0)
            continue;
        for (size_t i = 0; i < member.len; i++)
            ORACLE(member.ptr[i] >= 0x20 && member.ptr[i] <= 0x7e);
        ORACLE(memchr(member.ptr, '=', member.len) == memrchr(member.ptr, '=', member.len));
        if (n++ > 0)
            (void)buf_append_char(&joined, ',');
        (void)buf_append(&joined, member);
    }
    ORACLE(n > 0 && n <= TRACESTATE_MAX_MEMBERS);
    ORACLE(tracestate_is_valid(buf_str(&joined)));
    buf_free(&joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str text = oracle_input(data, size);
    check_parent(text);
    check_state(text);
    return 0;
}
