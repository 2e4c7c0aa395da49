/* SPDX-License-Identifier: Apache-2.0 */
/* The main thread: signals, key refresh, reload, the admin listener, drain, and the workers. */
#ifndef GATE_FLEET_H
#define GATE_FLEET_H

#include "net/inherit.h"
#include "ops/notify.h"
#include "policy/config.h"

struct fleet_options {
    const char *policy_path; /* read again on SIGHUP */
    struct config *config;   /* handed over */
    struct config_sources sources;
    struct service service;         /* the service manager, if there is one */
    struct inherited_set inherited; /* its sockets: handed over */
    int inherit_fault;              /* of inherit_take(): it does not start, and says why */
};

/* Serves until SIGTERM or SIGINT. Before it returns every thread has ended. 0, or -errno when it
 * could not start (said in the log). */
int fleet_run(const struct fleet_options *options);

#endif
