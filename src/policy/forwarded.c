/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define MAX_ADDR_TEXT 64
#define UNIX_PEER_ADDRESS STR("127.0.0.1")

/* An address in the form of struct cidr: IPv4 mapped into IPv6. */
struct address {
    uint8_t bytes[16];
};

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
/* RFC 6052 2.1: 64:ff9b::/96, how translators write IPv4 addresses; all of them in one /64. */
static const uint8_t nat64[12] = {[1] = 0x64, [2] = 0xff, [3] = 0x9b};

static bool address_of_socket(const struct sockaddr_storage *addr, struct address *ret)
{
    if (addr->ss_family == AF_INET) {
        memcpy(ret->bytes, v4_mapped, sizeof(v4_mapped));
        memcpy(ret->bytes + 12, &((const struct sockaddr_in *)addr)->sin_addr, 4);
        return true;
    }
    if (addr->ss_family == AF_INET6) {
        memcpy(ret->bytes, &((const struct sockaddr_in6 *)addr)->sin6_addr, 16);
        return true;
    }
    return false;
}

static bool address_of_text(struct str text, struct address *ret)
{
    char copy[MAX_ADDR_TEXT];
    if (text.len == 0 || text.len >= sizeof(copy) || str_has_nul(text))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET6, copy, ret->bytes) == 1)
        return true;
    memcpy(ret->bytes, v4_mapped, sizeof(v4_mapped));
    return inet_pton(AF_INET, copy, ret->bytes + 12) == 1;
}

/* The address ends in that of an IPv4 client. */
static bool holds_v4(const struct address *address)
{
    return memcmp(address->bytes, v4_mapped, sizeof(v4_mapped)) == 0 ||
           memcmp(address->bytes, nat64, sizeof(nat64)) == 0;
}

static void cut_to_network(const struct address *address,
                           uint8_t ret_network[FORWARDED_NETWORK_LEN])
{
    memset(ret_network, 0, FORWARDED_NETWORK_LEN);
    if (!holds_v4(address)) {
        memcpy(ret_network, address->bytes, 8);
        return;
    }
    memcpy(ret_network, v4_mapped, sizeof(v4_mapped));
    memcpy(ret_network + 12, address->bytes + 12, 4);
}

void forwarded_network(struct str client_ip, uint8_t ret_network[FORWARDED_NETWORK_LEN])
{
    struct address address;
    if (!address_of_text(client_ip, &address))
        address = (struct address){{0}};
    cut_to_network(&address, ret_network);
}

void forwarded_network_of(const struct sockaddr_storage *addr,
                          uint8_t ret_network[FORWARDED_NETWORK_LEN])
{
    struct address address;
    if (!address_of_socket(addr, &address))
        address = (struct address){{0}};
    cut_to_network(&address, ret_network);
}

static bool in_network(const struct address *address, const struct cidr *cidr)
{
    unsigned whole = cidr->prefix / 8;
    unsigned rest = cidr->prefix % 8;
    if (memcmp(address->bytes, cidr->bytes, whole) != 0)
        return false;
    if (rest == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff00U >> rest);
    return (address->bytes[whole] & mask) == (cidr->bytes[whole] & mask);
}

static bool is_trusted(const struct config_data *config, const struct address *address)
{
    for (size_t i = 0; i < config->n_trusted_proxies; i++)
        if (in_network(address, &config->trusted_proxies[i]))
            return true;
    return false;
}

bool forwarded_is_trusted(const struct config_data *config, const struct sockaddr_storage *addr)
{
    struct address address;
    if (addr->ss_family == AF_UNIX)
        return true;
    return address_of_socket(addr, &address) && is_trusted(config, &address);
}

/* Some proxies add the port: "192.0.2.1:5678", "[2001:db8::1]:80", and brackets without one. */
static struct str without_port(struct str member)
{
    struct str address = member;
    struct str port = STR("");
    uint64_t number;
    ptrdiff_t colon = str_find_char(member, ':');
    ptrdiff_t bracket = str_find_char(member, ']');
    if (member.len > 0 && member.ptr[0] == '[' && bracket > 0) {
        address = str_make(member.ptr + 1, (size_t)bracket - 1);
        port = str_from(member, (size_t)bracket + 1);
        if (str_find_char(address, ':') < 0 || (port.len > 0 && port.ptr[0] != ':'))
            return member;
        port = port.len > 0 ? str_from(port, 1) : STR("0");
    } else if (colon >= 0 && str_find_char(str_from(member, (size_t)colon + 1), ':') < 0) {
        address = str_head(member, (size_t)colon);
        port = str_from(member, (size_t)colon + 1);
    } else {
        return member;
    }
    return str_to_u64(port, UINT16_MAX, &number) == 0 ? address : member;
}

/* The part behind the last comma; moves *REST before it. */
static struct str take_last(struct str *rest)
{
    size_t at = rest->len;
    while (at > 0 && rest->ptr[at - 1] != ',')
        at--;
    struct str last = str_trim(str_from(*rest, at));
    *rest = at > 0 ? str_head(*rest, at - 1) : (struct str){0};
    return last;
}

/* Right to left: the first address that is no trusted proxy is the client. False when a member on
 * the way is no address: then nobody vouches for the rest. *RET_MEMBER is how the client is
 * written, with a port or without. */
static bool find_client(const struct config_data *config, struct str field, struct str *ret_client,
                        struct str *ret_member)
{
    struct str rest = field;
    struct address address;
    while (str_is_set(rest)) {
        struct str member = take_last(&rest);
        struct str client = without_port(member);
        if (!address_of_text(client, &address))
            return false;
        *ret_client = client;
        *ret_member = member;
        if (!is_trusted(config, &address))
            return true;
    }
    return true;
}

static struct str join(struct str chain, struct str peer, struct arena *arena)
{
    size_t len = chain.len + 2 + peer.len;
    char *joined = arena_alloc(arena, len);
    if (joined == NULL)
        return peer;
    memcpy(joined, chain.ptr, chain.len);
    memcpy(joined + chain.len, ", ", 2);
    memcpy(joined + chain.len + 2, peer.ptr, peer.len);
    return str_make(joined, len);
}

struct forwarded forwarded_read(const struct config_data *config, struct str peer,
                                const struct sockaddr_storage *peer_addr, struct str field,
                                struct arena *arena)
{
    struct str own = peer_addr->ss_family == AF_UNIX ? UNIX_PEER_ADDRESS : peer;
    struct forwarded forwarded = {.client_ip = own, .chain = own};
    struct str client = {0};
    struct str member = {0};
    if (!str_is_set(field) || field.len == 0 || !forwarded_is_trusted(config, peer_addr) ||
        !find_client(config, field, &client, &member))
        return forwarded;
    /* a copy: the field belongs to the connection, which may be gone when the log is written */
    forwarded.client_ip = arena_str(arena, client);
    /* What stands before the client is the client's own claim: nobody vouches for it. */
    struct str believed = str_from(field, (size_t)(member.ptr - field.ptr));
    forwarded.chain = join(believed, own, arena);
    return forwarded;
}
