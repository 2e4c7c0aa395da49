/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/value_int.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

static const struct {
    const char *text;
    int rc;
    int64_t value;
} durations[] = {
    {"500ms", 0, 500},
    {"30s", 0, 30000},
    {"10m", 0, 600000},
    {"1h", 0, 3600000},
    {"7d", 0, 604800000},
    {"0s", 0, 0},
    {"007s", 0, 7000},
    {"30", -EINVAL, 0},
    {"s", -EINVAL, 0},
    {"", -EINVAL, 0},
    {"-1s", -EINVAL, 0},
    {"1.5s", -EINVAL, 0},
    {"1 s", -EINVAL, 0},
    {"1S", -EINVAL, 0},
    {"1h30m", -EINVAL, 0},
    {"1us", -EINVAL, 0},
    {"9223372036854775807ms", 0, INT64_MAX},
    {"9223372036854775808ms", -ERANGE, 0},
    {"9223372036854776s", -ERANGE, 0},
    {"99999999999999999999999d", -ERANGE, 0},
};
static const struct {
    const char *text;
    int rc;
    int64_t value;
} sizes[] = {
    {"1B", 0, 1},          {"64KiB", 0, 65536},
    {"4MiB", 0, 4194304},  {"1GiB", 0, 1073741824},
    {"4MB", -EINVAL, 0},   {"4K", -EINVAL, 0},
    {"4 KiB", -EINVAL, 0}, {"KiB", -EINVAL, 0},
    {"100", -EINVAL, 0},   {"9007199254740993GiB", -ERANGE, 0},
};

static void value_reads_whole_numbers_with_a_unit(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        int64_t ms = 0;
        assert_int_equal(value_duration_ms(str_from_cstr(durations[i].text), &ms), durations[i].rc);
        assert_int_equal(ms, durations[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        int64_t bytes = 0;
        assert_int_equal(value_size_bytes(str_from_cstr(sizes[i].text), &bytes), sizes[i].rc);
        assert_int_equal(bytes, sizes[i].value);
    }
}

static void value_reads_rates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        struct rate rate;
    } rows[] = {
        {"5/s", 0, {5, 1000}},
        {"100/m", 0, {100, 60000}},
        {"100/1m", 0, {100, 60000}},
        {"7/h", 0, {7, 3600000}},
        {"1/d", 0, {1, 86400000}},
        {"20/10s", 0, {20, 10000}},
        {"1/500ms", 0, {1, 500}},
        {"0/s", 0, {0, 1000}}, /* the range is for the key to check */
        {"5", -EINVAL, {0}},
        {"5/", -EINVAL, {0}},
        {"/s", -EINVAL, {0}},
        {"5/0s", -EINVAL, {0}},
        {"5/ms", -EINVAL, {0}},
        {"5/2d", -EINVAL, {0}},
        {"-5/s", -EINVAL, {0}},
        {"5.5/s", -EINVAL, {0}},
        {"5 /s", -EINVAL, {0}},
        {"5/s/s", -EINVAL, {0}},
        {"99999999999999999999/s", -EINVAL, {0}},
        {"5/99999999999999999999s", -ERANGE, {0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rate rate = {0};
        assert_int_equal(value_rate(str_from_cstr(rows[i].text), &rate), rows[i].rc);
        assert_int_equal(rate.count, rows[i].rate.count);
        assert_int_equal(rate.period_ms, rows[i].rate.period_ms);
    }
}

static void value_prints_the_shortest_exact_form(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "0s"},     {500, "500ms"},  {1000, "1s"},    {90000, "90s"},
                {60000, "1m"}, {3600000, "1h"}, {86400000, "1d"}};
    char text[VALUE_TEXT_LEN];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        value_print_duration(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
    }
    value_print_size(4096, text);
    assert_string_equal(text, "4KiB");
    value_print_size(1000, text);
    assert_string_equal(text, "1000B");
}

static const struct {
    const char *text;
    enum address_rc rc;
    int family;
} addresses[] = {
    {"127.0.0.1:8080", ADDRESS_OK, AF_INET},
    {"0.0.0.0:1", ADDRESS_OK, AF_INET},
    {"[::1]:65535", ADDRESS_OK, AF_INET6},
    {"[::ffff:1.2.3.4]:1", ADDRESS_OK, AF_INET6},
    {"unix:/run/portcullis/http.sock", ADDRESS_OK, AF_UNIX},
    {"fd:http", ADDRESS_OK, 0},
    {"fd:3", ADDRESS_OK, 0},
    {"fd:", ADDRESS_FD_NAME, 0},
    {"fd:a:b", ADDRESS_FD_NAME, 0},
    {"fd:a b", ADDRESS_FD_NAME, 0},
    {"fd:\x7f", ADDRESS_FD_NAME, 0},
    {"", ADDRESS_NO_PORT, 0},
    {"127.0.0.1", ADDRESS_NO_PORT, 0},
    {"[::1]", ADDRESS_NO_PORT, 0},
    {"127.0.0.1:", ADDRESS_PORT, 0},
    {"127.0.0.1:http", ADDRESS_PORT, 0},
    {"127.0.0.1:65536", ADDRESS_PORT, 0},
    {"127.0.0.1:0", ADDRESS_PORT, 0},
    {"127.0.0.1:+1", ADDRESS_PORT, 0},
    {":8080", ADDRESS_NO_HOST, 0},
    {"localhost:8080", ADDRESS_NAME, 0},
    {"*:8080", ADDRESS_NAME, 0},
    {"1.2.3:80", ADDRESS_NAME, 0},
    {"::1:8080", ADDRESS_BRACKETS, 0},
    {"[127.0.0.1]:80", ADDRESS_BRACKETS, 0},
    {"[fe80::1%lo]:80", ADDRESS_BRACKETS, 0},
    {"unix:", ADDRESS_UNIX_PATH, 0},
    {"unix:http.sock", ADDRESS_UNIX_PATH, 0},
    {"unix:/", ADDRESS_UNIX_PATH, 0},
};

static void value_address_takes_ip_addresses_and_socket_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct listen_address address = {0};
        enum address_rc rc = value_address(str_from_cstr(addresses[i].text), &address);
        if (rc != addresses[i].rc)
            fail_msg("%s: %s", addresses[i].text, address_rc_text(rc));
        assert_int_equal(address.addr.ss_family, addresses[i].family);
    }
}

static void value_address_of_a_socket_has_a_longest_path(void **state)
{
    (void)state;
    char text[5 + 109] = "unix:/";
    struct listen_address address;
    memset(text + 6, 'a', sizeof(text) - 6);
    assert_int_equal(value_address(str_make(text, 5 + 107), &address), ADDRESS_OK);
    assert_int_equal(value_address(str_make(text, 5 + 108), &address), ADDRESS_UNIX_PATH);
}

static const struct {
    const char *text;
    int rc;
    unsigned prefix;
    uint8_t last;
} networks[] = {
    {"10.0.0.0/8", 0, 104, 0},       {"127.0.0.1", 0, 128, 1},
    {"0.0.0.0/0", 0, 96, 0},         {"::1", 0, 128, 1},
    {"fd00::/8", 0, 8, 0},           {"::/0", 0, 0, 0},
    {"10.0.0.1/8", -EDOM, 0, 0},     {"10.0.0.0/33", -EINVAL, 0, 0},
    {"fd00::/129", -EINVAL, 0, 0},   {"10.0.0.0/", -EINVAL, 0, 0},
    {"10/8", -EINVAL, 0, 0},         {"", -EINVAL, 0, 0},
    {"/8", -EINVAL, 0, 0},           {"proxy.example", -EINVAL, 0, 0},
    {"10.0.0.0/8/8", -EINVAL, 0, 0},
};

static void value_cidr_maps_ipv4_into_ipv6(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
        struct cidr cidr = {0};
        int r = value_cidr(str_from_cstr(networks[i].text), &cidr);
        if (r != networks[i].rc || cidr.prefix != networks[i].prefix)
            fail_msg("%s: %d, /%u", networks[i].text, r, cidr.prefix);
        assert_int_equal(cidr.bytes[15], networks[i].last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_reads_whole_numbers_with_a_unit),
        cmocka_unit_test(value_reads_rates),
        cmocka_unit_test(value_prints_the_shortest_exact_form),
        cmocka_unit_test(value_address_takes_ip_addresses_and_socket_paths),
        cmocka_unit_test(value_address_of_a_socket_has_a_longest_path),
        cmocka_unit_test(value_cidr_maps_ipv4_into_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
