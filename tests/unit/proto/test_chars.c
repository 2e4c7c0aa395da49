/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/chars_int.h"

#include "support/cmocka_all.h"

/* Every byte that is a class member, as the RFCs list them. */
static const struct {
    const char *why;
    unsigned class;
    const char *members; /* beside letters and digits */
} classes[] = {
    {"tchar, RFC 9110 5.6.2", CHARS_TOKEN, "!#$%&'*+-.^_`|~"},
    {"pchar without '%', and '/', RFC 3986 3.3", CHARS_PATH, "-._~!$&'()*+,;=:@/"},
    {"the same and '?', RFC 3986 3.4", CHARS_QUERY, "-._~!$&'()*+,;=:@/?"},
    {"host names that are in use", CHARS_HOST, "-._"},
    {"b64token without padding, RFC 6750 2.1", CHARS_B64TOKEN, "-._~+/"},
};

static void chars_class_has_exactly_the_bytes_of_the_rfc(void **state)
{
    (void)state;
    for (unsigned row = 0; row < sizeof(classes) / sizeof(classes[0]); row++) {
        for (int byte = 0; byte < 256; byte++) {
            char c = (char)byte;
            bool member = ascii_is_alpha(c) || ascii_is_digit(c) ||
                          (c != '\0' && strchr(classes[row].members, c) != NULL);
            if (chars_is(c, classes[row].class) != member)
                fail_msg("%s: byte 0x%02x", classes[row].why, (unsigned)byte);
        }
    }
}

static void chars_class_knows_hexadecimal_digits_and_their_values(void **state)
{
    (void)state;
    static const char lower[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    unsigned digits = 0;
    for (int byte = 0; byte < 256; byte++)
        digits += chars_is((char)byte, CHARS_HEX) ? 1 : 0;
    assert_int_equal(digits, 22);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(chars_is(lower[i], CHARS_HEX) && chars_is(upper[i], CHARS_HEX));
        assert_int_equal(chars_hex_value(lower[i]), i);
        assert_int_equal(chars_hex_value(upper[i]), i);
    }
}

static void chars_value_run_stops_at_every_control_byte_at_every_place(void **state)
{
    (void)state;
    char bytes[40];
    for (int byte = 0; byte < 256; byte++) {
        bool allowed = byte == '\t' || (byte >= ' ' && byte != 0x7f);
        for (size_t at = 0; at < sizeof(bytes); at++) {
            /* 0x80 and 0x21 are next to the borders that the eight-byte steps tell apart. */
            memset(bytes, at % 2 == 0 ? '!' : 0x80, sizeof(bytes));
            bytes[at] = (char)byte;
            for (size_t len = at + 1; len <= sizeof(bytes); len++)
                assert_int_equal(chars_value_run(bytes, len), allowed ? len : at);
        }
    }
    assert_int_equal(chars_value_run(bytes, 0), 0);
}

static void chars_all_b64token_refuses_every_other_byte_at_every_place(void **state)
{
    (void)state;
    char bytes[50];
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool allowed =
            ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("-._~+/", c) != NULL);
        for (size_t at = 0; at < sizeof(bytes); at++) {
            memset(bytes, at % 2 == 0 ? 'A' : '~', sizeof(bytes));
            bytes[at] = c;
            for (size_t len = at + 1; len <= sizeof(bytes); len++)
                if (chars_all_b64token(str_make(bytes, len)) != allowed)
                    fail_msg("0x%02x at %zu of %zu", (unsigned)byte, at, len);
            assert_true(chars_all_b64token(str_make(bytes, at)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chars_class_has_exactly_the_bytes_of_the_rfc),
        cmocka_unit_test(chars_class_knows_hexadecimal_digits_and_their_values),
        cmocka_unit_test(chars_value_run_stops_at_every_control_byte_at_every_place),
        cmocka_unit_test(chars_all_b64token_refuses_every_other_byte_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
