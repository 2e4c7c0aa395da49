/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/err.h"
#include "support/cmocka_all.h"

/* 10.0.0.0/8, 192.0.2.128/25, 203.0.113.5/32 (IPv4 is counted in its mapped form) and
 * 2001:db8::/33. */
static const struct cidr networks[] = {
    {{[10] = 0xff, 0xff, 10}, 96 + 8},
    {{[10] = 0xff, 0xff, 192, 0, 2, 128}, 96 + 25},
    {{[10] = 0xff, 0xff, 203, 0, 113, 5}, 96 + 32},
    {{0x20, 0x01, 0x0d, 0xb8}, 33},
};
static const struct config_data config = {.trusted_proxies = networks,
                                          .n_trusted_proxies = ARRAY_LEN(networks)};

/* TEXT is an address, or "unix:". */
static struct sockaddr_storage socket_address(const char *text)
{
    struct sockaddr_storage addr = {.ss_family = AF_UNIX};
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&addr)->sin_addr) == 1)
        addr.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&addr)->sin6_addr) == 1)
        addr.ss_family = AF_INET6;
    return addr;
}

static void forwarded_is_trusted_compares_networks_bit_by_bit(void **state)
{
    (void)state;
    static const struct {
        const char *peer;
        bool trusted;
    } rows[] = {
        {"10.0.0.0", true},          {"10.255.255.255", true},  {"9.255.255.255", false},
        {"11.0.0.0", false},         {"192.0.2.128", true},     {"192.0.2.255", true},
        {"192.0.2.127", false},      {"192.0.3.128", false},    {"203.0.113.5", true},
        {"203.0.113.4", false},      {"::ffff:10.1.2.3", true}, {"::ffff:11.1.2.3", false},
        {"::10.1.2.3", false},       {"2001:db8::1", true},     {"2001:db8:7fff::1", true},
        {"2001:db8:8000::1", false}, {"2001:db9::1", false},    {"::1", false},
        {"127.0.0.1", false},        {"unix:", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_storage addr = socket_address(rows[i].peer);
        if (forwarded_is_trusted(&config, &addr) != rows[i].trusted)
            fail_msg("%s", rows[i].peer);
    }
    struct sockaddr_storage none = {.ss_family = AF_UNSPEC};
    assert_false(forwarded_is_trusted(&config, &none));
    static const struct config_data nobody = {0};
    struct sockaddr_storage inside = socket_address("10.0.0.1");
    assert_false(forwarded_is_trusted(&nobody, &inside));
}

static void forwarded_is_trusted_knows_prefixes_of_nothing_and_all(void **state)
{
    (void)state;
    static const struct cidr everybody[] = {{{0}, 0}};
    static const struct config_data open = {.trusted_proxies = everybody, .n_trusted_proxies = 1};
    static const struct cidr one[] = {{{[15] = 1}, 128}};
    static const struct config_data closed = {.trusted_proxies = one, .n_trusted_proxies = 1};
    struct sockaddr_storage any = socket_address("198.51.100.1");
    struct sockaddr_storage loopback = socket_address("::1");
    struct sockaddr_storage next = socket_address("::2");
    assert_true(forwarded_is_trusted(&open, &any));
    assert_true(forwarded_is_trusted(&open, &next));
    assert_true(forwarded_is_trusted(&closed, &loopback));
    assert_false(forwarded_is_trusted(&closed, &next));
}

static void forwarded_read_believes_trusted_proxies_from_right_to_left(void **state)
{
    static const struct {
        const char *why;
        const char *peer;
        const char *field; /* NULL: absent */
        const char *client;
        const char *chain;
    } rows[] = {
        {"no field", "10.0.0.1", NULL, "10.0.0.1", "10.0.0.1"},
        {"empty field", "10.0.0.1", "", "10.0.0.1", "10.0.0.1"},
        {"a foreign peer says nothing", "198.51.100.1", "127.0.0.1", "198.51.100.1",
         "198.51.100.1"},
        {"one client", "10.0.0.1", "198.51.100.9", "198.51.100.9", "198.51.100.9, 10.0.0.1"},
        {"the rightmost that is no proxy", "10.0.0.1", "127.0.0.1, 198.51.100.9", "198.51.100.9",
         "198.51.100.9, 10.0.0.1"},
        {"proxies on the way are passed over", "10.0.0.1", "198.51.100.9, 10.7.7.7, 192.0.2.200",
         "198.51.100.9", "198.51.100.9, 10.7.7.7, 192.0.2.200, 10.0.0.1"},
        {"what the client made up goes no further", "10.0.0.1", "10.1.1.1, 198.51.100.9, 10.7.7.7",
         "198.51.100.9", "198.51.100.9, 10.7.7.7, 10.0.0.1"},
        {"not even if it is no address", "10.0.0.1", "unknown,198.51.100.9", "198.51.100.9",
         "198.51.100.9, 10.0.0.1"},
        {"proxies only: the leftmost", "10.0.0.1", "10.2.2.2, 10.3.3.3", "10.2.2.2",
         "10.2.2.2, 10.3.3.3, 10.0.0.1"},
        {"IPv6 client", "10.0.0.1", "2001:db8:ffff::9", "2001:db8:ffff::9",
         "2001:db8:ffff::9, 10.0.0.1"},
        {"IPv6 proxy", "2001:db8::1", "198.51.100.9,2001:db8::2", "198.51.100.9",
         "198.51.100.9,2001:db8::2, 2001:db8::1"},
        {"mapped proxy", "::ffff:10.0.0.1", "198.51.100.9, ::ffff:10.4.4.4", "198.51.100.9",
         "198.51.100.9, ::ffff:10.4.4.4, ::ffff:10.0.0.1"},
        {"tabs and no blanks", "10.0.0.1", "198.51.100.9,\t10.4.4.4", "198.51.100.9",
         "198.51.100.9,\t10.4.4.4, 10.0.0.1"},
        {"a unix socket is trusted and has an address for others", "unix:", "198.51.100.9",
         "198.51.100.9", "198.51.100.9, 127.0.0.1"},
        {"a unix socket without a field", "unix:", NULL, "127.0.0.1", "127.0.0.1"},
        /* Whatever is no address ends the belief: nobody vouches for the rest. */
        {"garbage", "10.0.0.1", "unknown", "10.0.0.1", "10.0.0.1"},
        {"garbage behind a client", "10.0.0.1", "198.51.100.9, x", "10.0.0.1", "10.0.0.1"},
        {"an empty member", "10.0.0.1", "198.51.100.9,", "10.0.0.1", "10.0.0.1"},
        {"garbage in the middle", "10.0.0.1", "198.51.100.9, x, 10.7.7.7", "10.0.0.1", "10.0.0.1"},
        /* Azure's gateways and others write the port, too. */
        {"with a port", "10.0.0.1", "1.1.1.1, 198.51.100.9:1234", "198.51.100.9",
         "198.51.100.9:1234, 10.0.0.1"},
        {"a proxy with a port", "10.0.0.1", "198.51.100.9, 10.7.7.7:80", "198.51.100.9",
         "198.51.100.9, 10.7.7.7:80, 10.0.0.1"},
        {"in brackets", "10.0.0.1", "[2001:db8:ffff::9]", "2001:db8:ffff::9",
         "[2001:db8:ffff::9], 10.0.0.1"},
        {"in brackets with a port", "10.0.0.1", "9.9.9.9, [2001:db8:ffff::9]:443",
         "2001:db8:ffff::9", "[2001:db8:ffff::9]:443, 10.0.0.1"},
        {"a port that is none", "10.0.0.1", "198.51.100.9:", "10.0.0.1", "10.0.0.1"},
        {"a port that is too large", "10.0.0.1", "198.51.100.9:65536", "10.0.0.1", "10.0.0.1"},
        {"a port with a sign", "10.0.0.1", "198.51.100.9:+80", "10.0.0.1", "10.0.0.1"},
        {"IPv4 in brackets", "10.0.0.1", "[198.51.100.9]:80", "10.0.0.1", "10.0.0.1"},
        {"brackets with something behind", "10.0.0.1", "[2001:db8:ffff::9]x", "10.0.0.1",
         "10.0.0.1"},
        {"a bracket alone", "10.0.0.1", "[", "10.0.0.1", "10.0.0.1"},
        {"brackets around nothing", "10.0.0.1", "[]:80", "10.0.0.1", "10.0.0.1"},
        {"short IPv4", "10.0.0.1", "127.1", "10.0.0.1", "10.0.0.1"},
        {"octal IPv4", "10.0.0.1", "0177.0.0.1", "10.0.0.1", "10.0.0.1"},
        {"a number", "10.0.0.1", "2130706433", "10.0.0.1", "10.0.0.1"},
        {"out of range", "10.0.0.1", "198.51.100.256", "10.0.0.1", "10.0.0.1"},
        {"a zone", "10.0.0.1", "fe80::1%eth0", "10.0.0.1", "10.0.0.1"},
        {"a name", "10.0.0.1", "localhost", "10.0.0.1", "10.0.0.1"},
        {"longer than any address", "10.0.0.1",
         "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111", "10.0.0.1",
         "10.0.0.1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_storage addr = socket_address(rows[i].peer);
        struct forwarded forwarded = forwarded_read(&config, str_from_cstr(rows[i].peer), &addr,
                                                    str_from_cstr(rows[i].field), *state);
        if (!str_eq(forwarded.client_ip, str_from_cstr(rows[i].client)) ||
            !str_eq(forwarded.chain, str_from_cstr(rows[i].chain)))
            fail_msg("%s: %.*s | %.*s", rows[i].why, STR_ARG(forwarded.client_ip),
                     STR_ARG(forwarded.chain));
    }
}

static int set_up(void **state)
{
    *state = arena_new(4096, 65536);
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)arena_free(*state);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void forwarded_network_is_an_ipv4_address_or_half_of_an_ipv6_one(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        /* IPv4 behind a translator (RFC 6052): the client, not the translator */
        {"64:ff9b::192.0.2.1", "64:ff9b::192.0.2.1", true},
        {"64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", false},
        {"192.0.2.1", "64:ff9b::192.0.2.1", true},
        {"64:ff9b::1:192.0.2.1", "64:ff9b::1:192.0.2.2", true},
        {"64:ff9b::1:192.0.2.1", "192.0.2.1", false},
        {"64:ff9b:1::192.0.2.1", "64:ff9b:1::192.0.2.2", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t a[FORWARDED_NETWORK_LEN];
        uint8_t b[FORWARDED_NETWORK_LEN];
        struct sockaddr_storage addr = socket_address(rows[i].b);
        forwarded_network(str_from_cstr(rows[i].a), a);
        forwarded_network(str_from_cstr(rows[i].b), b);
        assert_int_equal(memcmp(a, b, sizeof(a)) == 0, rows[i].same);
        forwarded_network_of(&addr, b);
        assert_int_equal(memcmp(a, b, sizeof(a)) == 0, rows[i].same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwarded_network_is_an_ipv4_address_or_half_of_an_ipv6_one),
        cmocka_unit_test(forwarded_is_trusted_compares_networks_bit_by_bit),
        cmocka_unit_test(forwarded_is_trusted_knows_prefixes_of_nothing_and_all),
        TEST(forwarded_read_believes_trusted_proxies_from_right_to_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
