/* SPDX-License-Identifier: Apache-2.0 */
/* Whose X-Forwarded-For is believed, and what it says: pure functions over trusted_proxies. */
#ifndef POLICY_FORWARDED_H
#define POLICY_FORWARDED_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/str.h"
#include "policy/config.h"

struct forwarded {
    struct str client_ip; /* the first address from the right that is no trusted proxy */
    struct str chain;     /* what to send on: the believed chain and the peer */
};

/* PEER is the TCP peer as text, PEER_ADDR its address (a unix socket counts as trusted: only local
 * processes with the right to it can connect). FIELD is the X-Forwarded-For received, or absent; it
 * is ignored unless the peer is trusted and every member from the right to the client's is an
 * address, with a port or without. Strings are made in ARENA or borrow from the arguments. */
struct forwarded forwarded_read(const struct config_data *config, struct str peer,
                                const struct sockaddr_storage *peer_addr, struct str field,
                                struct arena *arena);

/* What counts as one client when clients are counted: an IPv4 address (mapped into IPv6, also when
 * it came by way of 64:ff9b::/96), or the first 64 bits of an IPv6 one, which is what a subscriber
 * gets as a whole. Of what is no address: all zero. */
#define FORWARDED_NETWORK_LEN 16
void forwarded_network(struct str client_ip, uint8_t ret_network[FORWARDED_NETWORK_LEN]);
void forwarded_network_of(const struct sockaddr_storage *addr,
                          uint8_t ret_network[FORWARDED_NETWORK_LEN]);

/* True when ADDR lies in one of the trusted networks. */
bool forwarded_is_trusted(const struct config_data *config, const struct sockaddr_storage *addr);

#endif
