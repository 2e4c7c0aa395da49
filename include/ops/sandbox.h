/* SPDX-License-Identifier: Apache-2.0 */
/* The process locks itself up, once, when everything is open and before it has threads: it gives up
 * its rights and its user, and from then on the kernel keeps it from all that its work does not
 * need. docs/decisions/0013-sandbox.md has the list and the reasons.
 *
 * What a policy needs of files and ports is a plan. A plan that is in force cannot be widened: that
 * is what sandbox_plan_outside() is for. */
#ifndef OPS_SANDBOX_H
#define OPS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

/* Each allows what those before it allow. */
enum sandbox_access {
    SANDBOX_READ,   /* read files and folders */
    SANDBOX_UNLINK, /* remove files, for unix sockets at the end */
    SANDBOX_WRITE,  /* make, write, rename and remove files */
};

struct sandbox_path {
    char *path; /* canonical */
    enum sandbox_access access;
    char *pointer; /* of the value in the policy that needs it */
};

struct sandbox_port {
    uint16_t port;
    char *pointer;
};

/* Zeroed at birth. */
struct sandbox_plan {
    struct sandbox_path *paths;
    size_t n_paths;
    struct sandbox_port *ports; /* of other machines, to which TCP connections may be made */
    size_t n_ports;
    int fault; /* the first one: -ENOMEM */
};
void sandbox_plan_free(struct sandbox_plan *plan);

/* PATH (a file or a folder; what does not exist is left out) and all below it. POINTER is copied.
 */
void sandbox_plan_tree(struct sandbox_plan *plan, const char *path, enum sandbox_access access,
                       struct str pointer);
/* The folder that PATH is in, since files are replaced by renaming, and the folder of what it is a
 * link to, be that there or not. Of a PATH that is no regular file (a device, a FIFO): that alone.
 */
void sandbox_plan_file(struct sandbox_plan *plan, const char *path, enum sandbox_access access,
                       struct str pointer);
void sandbox_plan_port(struct sandbox_plan *plan, uint16_t port, struct str pointer);
/* What every program needs that speaks TLS and asks for names: libraries, CAs, settings of the
 * resolver, port 53. */
void sandbox_plan_system(struct sandbox_plan *plan);

/* Whom to become. */
struct sandbox_user {
    bool is_set; /* false: nobody else */
    uid_t uid;
    gid_t gid;
};
/* "name" or "name:group", from the system's lists. -ENOENT: there is no such user or group. */
int sandbox_user_find(const char *text, struct sandbox_user *ret_user);

/* Without a sandbox: that alone. 0 or -errno. */
int sandbox_become(const struct sandbox_user *user);

struct sandbox_report {
    bool no_new_privs;
    bool no_dumps;        /* no core dumps, no debuggers of the same user */
    bool no_capabilities; /* none in any set, and no way to get one */
    bool seccomp;
    int seccomp_fault;
    int landlock_abi; /* of the kernel; 0: it has none */
    int landlock_fault;
    bool files; /* Landlock guards these: */
    bool tcp;
    bool scopes; /* abstract unix sockets, and signals to others */
};

/* In this order: user, capabilities, dumps, Landlock, seccomp. What the kernel does not have is in
 * the report. 0, or -errno: it could not become USER, or could not give up what it is not allowed
 * to keep; then nothing must be served. */
int sandbox_apply(const struct sandbox_plan *plan, const struct sandbox_user *user,
                  struct sandbox_report *ret_report);

/* The pointer of the first thing in FRESH that is not within ACTIVE, of which REPORT says what the
 * kernel guards; NULL: nothing is in its way. */
const char *sandbox_plan_outside(const struct sandbox_plan *active,
                                 const struct sandbox_report *report,
                                 const struct sandbox_plan *fresh);

#endif
