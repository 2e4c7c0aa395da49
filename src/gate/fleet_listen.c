/* SPDX-License-Identifier: Apache-2.0 */
/* Where the fleet gets its listening sockets from: opened by us, or inherited from the service
 * manager. One that was inherited serves the entry of the policy with its address, or the entry
 * that names it ("fd:NAME"). All workers accept on the same descriptor. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "gate/fleet_int.h"
#include "net/listen.h"

static void say_failed(struct fleet *fleet, const struct listen_address *address, const char *key,
                       const char *reason)
{
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_ERROR, "listen_failed",
        LOG_CSTR("key", key), LOG_STR("address", address->text), LOG_CSTR("reason", reason));
}

int fleet_check_inherited(struct fleet *fleet)
{
    int r = fleet->options.inherit_fault;
    if (r < 0)
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_ERROR, "listen_failed",
            LOG_CSTR("key", "LISTEN_FDS"), LOG_CSTR("reason", strerrordesc_np(-r)));
    return r;
}

/* "fd:NAME": there has to be one. */
static int take_named(struct fleet *fleet, const struct listen_address *address, const char *key,
                      struct listen_socket *ret)
{
    struct inherited *found = inherit_find_name(&fleet->inherited, address->fd_name);
    if (found == NULL || found->flaw != NULL) {
        say_failed(fleet, address, key,
                   found != NULL ? found->flaw
                                 : "no socket of this name was inherited; start it by the socket "
                                   "unit that has it, or write an address");
        return -EBADF;
    }
    *ret = (struct listen_socket){.fd = inherit_give(found), .inherited = true};
    return 0;
}

/* An inherited socket at an address of the policy. Its "mode" is not ours to set, and a wider one
 * must not pass in silence. */
static int take_found(struct fleet *fleet, const struct listen_address *address, const char *key,
                      struct inherited *found, struct listen_socket *ret)
{
    int r = address->has_mode ? listen_check_mode(&address->addr, address->mode) : 0;
    if (r < 0) {
        say_failed(fleet, address, key,
                   r == -EPERM
                       ? "the mode of the inherited socket's file is wider than \"mode\": "
                         "set SocketMode= in its socket unit"
                       : "the mode of the inherited socket's file cannot be seen: leave out "
                         "\"mode\", and set SocketMode= in its socket unit");
        return r;
    }
    *ret = (struct listen_socket){.fd = inherit_give(found), .inherited = true};
    return 0;
}

int fleet_open_socket(struct fleet *fleet, const struct listen_address *address, const char *key,
                      struct listen_socket *ret)
{
    if (str_is_set(address->fd_name))
        return take_named(fleet, address, key, ret);
    struct inherited *found =
        inherit_find_address(&fleet->inherited, &address->addr, address->addr_len);
    if (found != NULL && found->flaw == NULL)
        return take_found(fleet, address, key, found, ret);
    struct listen_socket own = {.fd = -1};
    const struct listen_options options = {.has_mode = address->has_mode, .mode = address->mode};
    int r = listen_open(&address->addr, address->addr_len, &options, &own.fd);
    if (r < 0)
        say_failed(fleet, address, key, strerrordesc_np(-r));
    else
        *ret = own;
    return r;
}

/* The file of an inherited unix socket stays: whoever made it goes on listening there. */
void fleet_close_socket(struct listen_socket *socket, const struct listen_address *address)
{
    if (socket->inherited && socket->fd >= 0)
        (void)close(socket->fd);
    else
        listen_close(socket->fd, &address->addr);
    socket->fd = -1;
}

int fleet_open_listeners(struct fleet *fleet)
{
    const struct fleet_start *start = &fleet->start;
    fleet->listens = calloc(start->n_listens, sizeof(*fleet->listens));
    if (fleet->listens == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < start->n_listens; i++) {
        int r = fleet_open_socket(fleet, &start->listens[i], "listen", &fleet->listens[i]);
        if (r < 0)
            return r;
        fleet->n_listens++;
    }
    return 0;
}

void fleet_close_listeners(struct fleet *fleet)
{
    const struct fleet_start *start = &fleet->start;
    for (size_t i = 0; i < fleet->n_listens; i++)
        fleet_close_socket(&fleet->listens[i], &start->listens[i]);
    fleet->n_listens = 0;
}

/* Clients that connect there would wait for ever: better they are refused, and somebody hears of
 * it. */
void fleet_close_unused(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->inherited.n; i++) {
        const struct inherited *left = &fleet->inherited.items[i];
        char address[INHERIT_ADDRESS_BYTES];
        if (left->fd < 0)
            continue;
        inherit_address_text(left, address);
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_WARN, "inherited_socket_unused",
            LOG_CSTR("name", left->name), LOG_INT("fd", left->fd), LOG_CSTR("address", address),
            LOG_CSTR("reason",
                     left->flaw != NULL
                         ? left->flaw
                         : "no entry of \"listen\" or \"admin\" has its address or name"));
    }
    inherit_free(&fleet->inherited);
}
