/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "ops/sandbox_int.h"

#define PORT_DNS 53

void sandbox_plan_free(struct sandbox_plan *plan)
{
    for (size_t i = 0; i < plan->n_paths; i++) {
        free(plan->paths[i].path);
        free(plan->paths[i].pointer);
    }
    for (size_t i = 0; i < plan->n_ports; i++)
        free(plan->ports[i].pointer);
    free(plan->paths);
    free(plan->ports);
    *plan = (struct sandbox_plan){0};
}

/* ITEMS with room for one more; it grows by doubling. NULL: memory is short, ITEMS is as it was. */
static void *grow(void *items, size_t n, size_t size)
{
    if (n == 0 || (n & (n - 1)) == 0)
        return reallocarray(items, n == 0 ? 1 : 2 * n, size);
    return items;
}

static bool is_below(const char *path, const char *tree)
{
    size_t len = strlen(tree);
    if (len > 0 && tree[len - 1] == '/') /* the root */
        len--;
    return strncmp(path, tree, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool allows_path(const struct sandbox_plan *plan, const char *path,
                        enum sandbox_access access)
{
    for (size_t i = 0; i < plan->n_paths; i++)
        if (plan->paths[i].access >= access && is_below(path, plan->paths[i].path))
            return true;
    return false;
}

static bool allows_port(const struct sandbox_plan *plan, uint16_t port)
{
    for (size_t i = 0; i < plan->n_ports; i++)
        if (plan->ports[i].port == port)
            return true;
    return false;
}

/* Takes PATH, which is canonical. */
static void add_path(struct sandbox_plan *plan, char *path, enum sandbox_access access,
                     struct str pointer)
{
    if (allows_path(plan, path, access)) {
        free(path);
        return;
    }
    struct sandbox_path *paths = grow(plan->paths, plan->n_paths, sizeof(*paths));
    char *copy = str_to_cstr(pointer);
    if (paths != NULL)
        plan->paths = paths;
    if (paths == NULL || copy == NULL) {
        plan->fault = -ENOMEM;
        free(copy);
        free(path);
        return;
    }
    paths[plan->n_paths++] = (struct sandbox_path){.path = path, .access = access, .pointer = copy};
}

void sandbox_plan_tree(struct sandbox_plan *plan, const char *path, enum sandbox_access access,
                       struct str pointer)
{
    char *canonical = realpath(path, NULL);
    if (canonical != NULL)
        add_path(plan, canonical, access, pointer);
    else if (errno == ENOMEM)
        plan->fault = -ENOMEM;
}

/* The folder that PATH, absolute or not, is in. */
static void add_folder(struct sandbox_plan *plan, const char *path, enum sandbox_access access,
                       struct str pointer)
{
    const char *slash = strrchr(path, '/');
    struct str folder = slash == NULL ? STR(".") : str_make(path, (size_t)(slash - path) + 1);
    char *copy = str_to_cstr(folder);
    if (copy == NULL)
        plan->fault = -ENOMEM;
    else
        sandbox_plan_tree(plan, copy, access, pointer);
    free(copy);
}

/* The folder of what LINK names, which is not there yet. */
static void add_folder_of_target(struct sandbox_plan *plan, const char *link,
                                 enum sandbox_access access, struct str pointer)
{
    char target[PATH_MAX];
    char path[2 * PATH_MAX];
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    if (len <= 0)
        return;
    target[len] = '\0';
    const char *slash = strrchr(link, '/');
    const size_t folder_len = target[0] == '/' || slash == NULL ? 0 : (size_t)(slash - link) + 1;
    (void)snprintf(path, sizeof(path), "%.*s%s", STR_ARG(str_make(link, folder_len)), target);
    add_folder(plan, path, access, pointer);
}

void sandbox_plan_file(struct sandbox_plan *plan, const char *path, enum sandbox_access access,
                       struct str pointer)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) &&
        !S_ISSOCK(st.st_mode)) {
        sandbox_plan_tree(plan, path, access, pointer);
        return;
    }
    add_folder(plan, path, access, pointer);
    char *canonical = realpath(path, NULL);
    if (canonical != NULL)
        add_folder(plan, canonical, access, pointer);
    else
        add_folder_of_target(plan, path, access, pointer);
    free(canonical);
}

void sandbox_plan_port(struct sandbox_plan *plan, uint16_t port, struct str pointer)
{
    if (allows_port(plan, port))
        return;
    struct sandbox_port *ports = grow(plan->ports, plan->n_ports, sizeof(*ports));
    char *copy = str_to_cstr(pointer);
    if (ports != NULL)
        plan->ports = ports;
    if (ports == NULL || copy == NULL) {
        plan->fault = -ENOMEM;
        free(copy);
        return;
    }
    ports[plan->n_ports++] = (struct sandbox_port){.port = port, .pointer = copy};
}

void sandbox_plan_system(struct sandbox_plan *plan)
{
    /* Libraries that are loaded late (name services, OpenSSL's modules, character sets), CAs,
     * and in /etc the resolver's files, which are replaced by renaming. How many processors there
     * are is for malloc(). The user's rights still hold: see the decision. */
    static const char *const trees[] = {"/etc", "/usr", "/lib", "/lib64",
                                        "/sys/devices/system/cpu"};
    for (size_t i = 0; i < ARRAY_LEN(trees); i++)
        sandbox_plan_tree(plan, trees[i], SANDBOX_READ, STR(""));
    /* A link into /run on machines with a local resolver, also replaced by renaming. */
    sandbox_plan_file(plan, "/etc/resolv.conf", SANDBOX_READ, STR(""));
    sandbox_plan_port(plan, PORT_DNS, STR(""));
}

const char *sandbox_plan_outside(const struct sandbox_plan *active,
                                 const struct sandbox_report *report,
                                 const struct sandbox_plan *fresh)
{
    for (size_t i = 0; report->files && i < fresh->n_paths; i++)
        if (!allows_path(active, fresh->paths[i].path, fresh->paths[i].access))
            return fresh->paths[i].pointer;
    for (size_t i = 0; report->tcp && i < fresh->n_ports; i++)
        if (!allows_port(active, fresh->ports[i].port))
            return fresh->ports[i].pointer;
    return NULL;
}

int sandbox_apply(const struct sandbox_plan *plan, const struct sandbox_user *user,
                  struct sandbox_report *ret_report)
{
    struct sandbox_report report = {0};
    if (plan->fault < 0)
        return plan->fault;
    int r = privileges_drop(user, &report);
    if (r < 0)
        return r;
    landlock_apply(plan, &report);
    seccomp_apply(&report);
    *ret_report = report;
    return 0;
}
