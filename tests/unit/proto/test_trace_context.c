/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/trace_context.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "support/cmocka_all.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static void trace_context_parse_takes_what_the_standard_takes(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *text;
        int flags; /* -1: invalid */
    } rows[] = {
        {"sampled", "00-" TRACE "-" SPAN "-01", 1},
        {"not sampled", "00-" TRACE "-" SPAN "-00", 0},
        {"level 2: random", "00-" TRACE "-" SPAN "-03", 3},
        {"flags of which nobody has heard", "00-" TRACE "-" SPAN "-ff", 3},
        {"a later version, as long", "01-" TRACE "-" SPAN "-01", 1},
        {"a later version with more", "cc-" TRACE "-" SPAN "-01-what-the-future-brings", 1},
        {"a later version that ends in a dash", "fe-" TRACE "-" SPAN "-01-", 1},
        {"a later version with more that is no part", "cc-" TRACE "-" SPAN "-01.what", -1},
        {"version ff", "ff-" TRACE "-" SPAN "-01", -1},
        {"version 00 with more", "00-" TRACE "-" SPAN "-01-", -1},
        {"version 00 with more flags", "00-" TRACE "-" SPAN "-010", -1},
        {"nothing", "", -1},
        {"a version alone", "00", -1},
        {"a byte short", "00-" TRACE "-" SPAN "-0", -1},
        {"a later version, a byte short", "cc-" TRACE "-" SPAN "-0", -1},
        {"trace id of zeros", "00-00000000000000000000000000000000-" SPAN "-01", -1},
        {"parent id of zeros", "00-" TRACE "-0000000000000000-01", -1},
        {"capitals in the trace id", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", -1},
        {"a capital in the parent id", "00-" TRACE "-00F067aa0ba902b7-01", -1},
        {"capitals in the flags", "00-" TRACE "-" SPAN "-0A", -1},
        {"a capital in the version", "0A-" TRACE "-" SPAN "-01", -1},
        {"no digit in the version", ".0-" TRACE "-" SPAN "-01", -1},
        {"no digit in the trace id", "00-4bf92f3577b34da6a3ce929d0e0e473g-" SPAN "-01", -1},
        {"no digit in the flags", "00-" TRACE "-" SPAN "-0x", -1},
        {"another separator", "00_" TRACE "-" SPAN "-01", -1},
        {"another separator in the middle", "00-" TRACE "." SPAN "-01", -1},
        {"another separator at the end", "00-" TRACE "-" SPAN ".01", -1},
        {"a blank before it", " 00-" TRACE "-" SPAN "-01", -1},
        {"a blank behind it", "00-" TRACE "-" SPAN "-01 ", -1},
        {"two in one", "00-" TRACE "-" SPAN "-01,00-" TRACE "-" SPAN "-01", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct trace_context context = {.flags = 0x55};
        bool good = trace_context_parse(str_from_cstr(rows[i].text), &context);
        if (good != (rows[i].flags >= 0))
            fail_msg("%s", rows[i].why);
        if (!good) {
            assert_int_equal(context.flags, 0x55); /* untouched */
            continue;
        }
        char hex[TRACE_ID_HEX];
        assert_int_equal(context.flags, rows[i].flags);
        trace_id_write(context.trace_id, TRACE_ID_BYTES, hex);
        assert_memory_equal(hex, TRACE, TRACE_ID_HEX);
        trace_id_write(context.span_id, SPAN_ID_BYTES, hex);
        assert_memory_equal(hex, SPAN, SPAN_ID_HEX);
    }
}

static void trace_context_write_gives_version_00(void **state)
{
    (void)state;
    struct trace_context context;
    char text[TRACEPARENT_LEN];
    assert_true(trace_context_parse(STR("cc-" TRACE "-" SPAN "-ff-more"), &context));
    trace_context_write(&context, text);
    assert_memory_equal(text, "00-" TRACE "-" SPAN "-03", TRACEPARENT_LEN);
    assert_true(trace_id_random(context.trace_id) == 0xa3ce929d0e0e4736);
}

#define LONG_32 "12345678901234567890123456789012"
#define LONG_256 LONG_32 LONG_32 LONG_32 LONG_32 LONG_32 LONG_32 LONG_32 LONG_32

static void tracestate_is_valid_by_the_grammar(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *text;
        bool valid;
    } rows[] = {
        {"one", "congo=t61rcWkgMzE", true},
        {"two", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true},
        {"blanks around members", "a=1 \t, \tb=2", true},
        {"blanks in a value", "a=x y  z", true},
        {"empty members", "a=1,,b=2,", true},
        {"a tenant", "fw529a3039@dt=FfAAAAA", true},
        {"a key that begins with a digit", "0a=1", true},
        {"signs in keys", "a_-*/=1", true},
        {"punctuation in values", "a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~", true},
        {"a value of 256 bytes", "a=" LONG_256, true},
        {"nothing", "", false},
        {"commas alone", ",,", false},
        {"no value", "a=", false},
        {"no sign", "a", false},
        {"no key", "=1", false},
        {"a capital in a key", "aB=1", false},
        {"a blank in a key", "a =1", false},
        {"two signs", "a=1=2", false},
        {"the same key twice", "a=1,b=2,a=3", false},
        {"a control byte", "a=\x01", false},
        {"a tab in a value", "a=x\ty", false},
        {"no ASCII", "a=\xc3\xa9", false},
        {"a value of 257 bytes", "a=x" LONG_256, false},
        {"a key of 257 bytes", "k" LONG_256 "=1", false},
        {"two tenants", "a@b@c=1", false},
        {"a tenant without a system", "a@=1", false},
        {"a system that begins with a digit", "a@1=1", false},
        {"a system of 15 bytes", "a@abcdefghijklmno=1", false},
        {"a line break", "a=1\r\nx: y", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (tracestate_is_valid(str_from_cstr(rows[i].text)) != rows[i].valid)
            fail_msg("%s", rows[i].why);
}

static void tracestate_is_valid_at_its_limits(void **state)
{
    (void)state;
    struct buf list = buf_make(4096);
    for (int i = 0; i < TRACESTATE_MAX_MEMBERS; i++)
        (void)buf_printf(&list, "k%d=%d,", i, i);
    assert_true(tracestate_is_valid(buf_str(&list)));
    (void)buf_append_cstr(&list, "one=more");
    assert_false(tracestate_is_valid(buf_str(&list)));
    buf_clear(&list);
    (void)buf_append_cstr(&list, "a=" LONG_256);
    (void)buf_append_cstr(&list, ",b=");
    while (list.len < TRACESTATE_MAX_BYTES)
        (void)buf_append_char(&list, 'x');
    assert_true(tracestate_is_valid(buf_str(&list)));
    (void)buf_append_char(&list, ',');
    assert_false(tracestate_is_valid(buf_str(&list)));
    buf_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trace_context_parse_takes_what_the_standard_takes),
        cmocka_unit_test(trace_context_write_gives_version_00),
        cmocka_unit_test(tracestate_is_valid_by_the_grammar),
        cmocka_unit_test(tracestate_is_valid_at_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
