/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/value_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/gcra.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* From small to large, so that the last one that divides is the shortest spelling. */
static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit sizes[] = {
    {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024}};

static int parse_unit(struct str text, const struct unit *units, size_t n_units, int64_t *ret_value)
{
    size_t digits = 0;
    uint64_t number;
    while (digits < text.len && ascii_is_digit(text.ptr[digits]))
        digits++;
    for (size_t i = 0; i < n_units; i++) {
        if (!str_eq(str_from(text, digits), str_from_cstr(units[i].name)))
            continue;
        int r =
            str_to_u64(str_head(text, digits), (uint64_t)(INT64_MAX / units[i].factor), &number);
        if (r == 0)
            *ret_value = (int64_t)number * units[i].factor;
        return r;
    }
    return -EINVAL;
}

int value_duration_ms(struct str text, int64_t *ret_ms)
{
    return parse_unit(text, durations, ARRAY_LEN(durations), ret_ms);
}

int value_size_bytes(struct str text, int64_t *ret_bytes)
{
    return parse_unit(text, sizes, ARRAY_LEN(sizes), ret_bytes);
}

int value_rate(struct str text, struct rate *ret_rate)
{
    static const struct unit periods[] = {
        {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    struct rate rate = {0};
    uint64_t count;
    ptrdiff_t slash = str_find_char(text, '/');
    if (slash < 0 || str_to_u64(str_head(text, (size_t)slash), INT64_MAX, &count) < 0)
        return -EINVAL;
    struct str period = str_from(text, (size_t)slash + 1);
    for (size_t i = 0; i < ARRAY_LEN(periods); i++)
        if (str_eq(period, str_from_cstr(periods[i].name)))
            rate.period_ms = periods[i].factor;
    int r = rate.period_ms == 0 ? value_duration_ms(period, &rate.period_ms) : 0;
    if (r < 0 || rate.period_ms < 1 || rate.period_ms > GCRA_MAX_PERIOD_MS)
        return r < 0 ? r : -EINVAL;
    rate.count = (int64_t)count;
    *ret_rate = rate;
    return 0;
}

static void print_unit(int64_t value, const struct unit *units, size_t n_units, const char *zero,
                       char ret_text[VALUE_TEXT_LEN])
{
    size_t best = 0;
    for (size_t i = 0; i < n_units; i++)
        if (value % units[i].factor == 0)
            best = i;
    if (value == 0)
        (void)snprintf(ret_text, VALUE_TEXT_LEN, "%s", zero);
    else
        (void)snprintf(ret_text, VALUE_TEXT_LEN, "%" PRId64 "%s", value / units[best].factor,
                       units[best].name);
}

void value_print_duration(int64_t ms, char ret_text[VALUE_TEXT_LEN])
{
    print_unit(ms, durations, ARRAY_LEN(durations), "0s", ret_text);
}

void value_print_size(int64_t bytes, char ret_text[VALUE_TEXT_LEN])
{
    print_unit(bytes, sizes, ARRAY_LEN(sizes), "0B", ret_text);
}

const char *address_rc_text(enum address_rc rc)
{
    switch (rc) {
    case ADDRESS_OK:
        return "is an address";
    case ADDRESS_FD_NAME:
        return "must have the name of an inherited socket (FileDescriptorName= in systemd), or the "
               "number of its descriptor, behind \"fd:\"";
    case ADDRESS_UNIX_PATH:
        return "must have an absolute path of at most 107 bytes behind \"unix:\"";
    case ADDRESS_NO_PORT:
        return "has no port; write it like \"127.0.0.1:8080\"";
    case ADDRESS_PORT:
        return "has a port that is not 1..65535";
    case ADDRESS_NO_HOST:
        return "has no address; write \"127.0.0.1:PORT\" for this machine only, \"0.0.0.0:PORT\" "
               "or "
               "\"[::]:PORT\" for everybody";
    case ADDRESS_NAME:
        return "must be an IP address, not a name; this machine is \"127.0.0.1:PORT\"";
    case ADDRESS_BRACKETS:
        return "must have its IPv6 address in brackets, like \"[::1]:8080\"";
    }
    return "is no address";
}

static enum address_rc parse_unix(struct str path, struct listen_address *address)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path.len < 2 || path.ptr[0] != '/' || path.len >= sizeof(un.sun_path))
        return ADDRESS_UNIX_PATH;
    memcpy(un.sun_path, path.ptr, path.len);
    address->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    memcpy(&address->addr, &un, sizeof(un));
    return ADDRESS_OK;
}

#define MAX_FD_NAME 255 /* FDNAME_MAX of systemd */

/* What FileDescriptorName= takes: printable ASCII without a colon. */
static enum address_rc parse_fd(struct str name, struct listen_address *address)
{
    if (name.len == 0 || name.len > MAX_FD_NAME)
        return ADDRESS_FD_NAME;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == ':')
            return ADDRESS_FD_NAME;
    address->fd_name = name;
    return ADDRESS_OK;
}

/* inet_pton() wants a NUL-terminated string; nothing longer than this is an address. */
static bool parse_ip(int family, struct str text, void *ret_bytes)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(copy) || str_has_nul(text))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, ret_bytes) == 1;
}

static enum address_rc parse_ipv6(struct str host, uint16_t port, struct listen_address *address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (host.len < 2 || host.ptr[0] != '[' || host.ptr[host.len - 1] != ']' ||
        !parse_ip(AF_INET6, str_make(host.ptr + 1, host.len - 2), &in6.sin6_addr))
        return ADDRESS_BRACKETS;
    memcpy(&address->addr, &in6, sizeof(in6));
    address->addr_len = sizeof(in6);
    return ADDRESS_OK;
}

static enum address_rc parse_ipv4(struct str host, uint16_t port, struct listen_address *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (!parse_ip(AF_INET, host, &in.sin_addr))
        return ADDRESS_NAME;
    memcpy(&address->addr, &in, sizeof(in));
    address->addr_len = sizeof(in);
    return ADDRESS_OK;
}

enum address_rc value_address(struct str text, struct listen_address *ret_address)
{
    struct listen_address address = {.text = text};
    uint64_t port;
    enum address_rc rc;
    if (str_has_prefix(text, STR("unix:"))) {
        rc = parse_unix(str_from(text, 5), &address);
    } else if (str_has_prefix(text, STR("fd:"))) {
        rc = parse_fd(str_from(text, 3), &address);
    } else {
        const char *colon = text.len > 0 ? memrchr(text.ptr, ':', text.len) : NULL;
        if (colon == NULL || (text.ptr[0] == '[' && text.ptr[text.len - 1] == ']'))
            return ADDRESS_NO_PORT;
        struct str host = str_make(text.ptr, (size_t)(colon - text.ptr));
        if (str_to_u64(str_from(text, host.len + 1), UINT16_MAX, &port) < 0 || port == 0)
            return ADDRESS_PORT;
        if (host.len == 0)
            return ADDRESS_NO_HOST;
        rc = host.ptr[0] == '[' || str_find_char(host, ':') >= 0
               ? parse_ipv6(host, (uint16_t)port, &address)
               : parse_ipv4(host, (uint16_t)port, &address);
    }
    if (rc == ADDRESS_OK)
        *ret_address = address;
    return rc;
}

int value_mode(struct str text, unsigned *ret_mode)
{
    unsigned mode = 0;
    if (text.len == 4 && text.ptr[0] == '0')
        text = str_from(text, 1);
    if (text.len != 3)
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '7')
            return -EINVAL;
        mode = mode << 3 | (unsigned)(text.ptr[i] - '0');
    }
    *ret_mode = mode;
    return 0;
}

#define V4_MAPPED_BITS 96U

static bool bits_behind_are_zero(const struct cidr *cidr)
{
    for (unsigned bit = cidr->prefix; bit < 128; bit++)
        if ((cidr->bytes[bit / 8] & (0x80U >> (bit % 8))) != 0)
            return false;
    return true;
}

int value_cidr(struct str text, struct cidr *ret_cidr)
{
    static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct cidr cidr = {.prefix = 0};
    ptrdiff_t slash = str_find_char(text, '/');
    struct str address = slash < 0 ? text : str_head(text, (size_t)slash);
    uint64_t prefix;
    bool v4 = parse_ip(AF_INET, address, cidr.bytes + sizeof(v4_mapped));
    if (v4)
        memcpy(cidr.bytes, v4_mapped, sizeof(v4_mapped));
    else if (!parse_ip(AF_INET6, address, cidr.bytes))
        return -EINVAL;
    uint64_t most = v4 ? 32 : 128;
    if (slash < 0)
        prefix = most;
    else if (str_to_u64(str_from(text, (size_t)slash + 1), most, &prefix) < 0)
        return -EINVAL;
    cidr.prefix = (unsigned)prefix + (v4 ? V4_MAPPED_BITS : 0);
    if (!bits_behind_are_zero(&cidr))
        return -EDOM;
    *ret_cidr = cidr;
    return 0;
}

static bool is_domain_byte(char c)
{
    return (c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '-' || c == '.';
}

bool value_is_domain(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_domain_byte(text.ptr[i]))
            return false;
    return text.len > 0 && text.ptr[0] != '.' && text.ptr[text.len - 1] != '.';
}

bool value_has_upper_case(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != ascii_lower(text.ptr[i]))
            return true;
    return false;
}
