/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's side of the sandbox: what a policy needs of files and ports, the words about it in
 * the log, and reloads that would need more than the process has left itself. */
#include <errno.h>
#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include "gate/fleet_int.h"
#include "net/client.h"
#include "ops/sandbox.h"
#include "proto/tls.h"
#include "proto/uri.h"

#define MAX_POINTER_BYTES 512
#define RESOLVER_FILE "/etc/resolv.conf"

/* ---- what a policy needs ---- */

static void plan_url_port(struct sandbox_plan *plan, struct str url, struct str pointer)
{
    struct uri uri;
    if (str_is_set(url) && uri_parse(url, &uri) == URI_OK)
        sandbox_plan_port(plan, uri.port, pointer);
}

/* Keys come from the policy's place, or from one of the issuer's own origin. */
static void plan_issuers(struct sandbox_plan *plan, const struct config_data *data)
{
    for (size_t i = 0; i < data->n_issuers; i++) {
        const struct issuer_config *issuer = &data->issuers[i];
        CLEANUP(buf_free) struct buf pointer = buf_make(MAX_POINTER_BYTES);
        (void)buf_printf(&pointer, "/issuers/%.*s", STR_ARG(issuer->name));
        plan_url_port(plan, issuer->issuer, buf_str(&pointer));
        plan_url_port(plan, issuer->jwks_uri, buf_str(&pointer));
    }
}

static void plan_upstreams(struct sandbox_plan *plan, const struct config_data *data)
{
    for (size_t i = 0; i < data->n_routes; i++) {
        CLEANUP(buf_free) struct buf pointer = buf_make(MAX_POINTER_BYTES);
        (void)buf_printf(&pointer, "/routes/%zu/upstream", i);
        sandbox_plan_port(plan, data->routes[i].upstream.port, buf_str(&pointer));
    }
}

/* Other places of CAs, as OpenSSL knows them. */
static void plan_environment(struct sandbox_plan *plan, const struct config_sources *sources)
{
    static const char *const names[] = {"SSL_CERT_FILE", "SSL_CERT_DIR"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *path = sources->env != NULL ? sources->env(sources->ctx, names[i]) : NULL;
        if (path != NULL && path[0] != '\0')
            sandbox_plan_file(plan, path, SANDBOX_READ, STR(""));
        if (path != NULL && path[0] != '\0')
            sandbox_plan_tree(plan, path, SANDBOX_READ, STR(""));
    }
    if (sources->credentials_directory != NULL)
        sandbox_plan_tree(plan, sources->credentials_directory, SANDBOX_READ, STR(""));
}

/* Where the libraries look for CAs when nobody says where: mostly in /etc, from where some systems
 * link to elsewhere (openSUSE: /var/lib/ca-certificates). */
static void plan_ca_places(struct sandbox_plan *plan)
{
    void (*const places[])(const char **, const char **) = {client_ca_places, tls_ca_places};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const char *file;
        const char *folder;
        places[i](&file, &folder);
        if (file != NULL)
            sandbox_plan_file(plan, file, SANDBOX_READ, STR(""));
        if (folder != NULL)
            sandbox_plan_tree(plan, folder, SANDBOX_READ, STR(""));
    }
}

/* Without what a reload does not change: listeners, and the files that are written. */
static void plan_policy(const struct fleet *fleet, const struct config_data *data,
                        struct sandbox_plan *plan)
{
    sandbox_plan_system(plan);
    plan_ca_places(plan);
    plan_environment(plan, &fleet->options.sources);
    sandbox_plan_file(plan, fleet->options.policy_path, SANDBOX_READ, STR(""));
    for (const struct config_file *file = data->files; file != NULL; file = file->next)
        sandbox_plan_file(plan, file->path.ptr, SANDBOX_READ, file->pointer);
    plan_issuers(plan, data);
    plan_upstreams(plan, data);
    if (str_is_set(data->limits.store.host))
        sandbox_plan_port(plan, data->limits.store.port, STR("/limits/store"));
    plan_url_port(plan, data->tracing.endpoint, STR("/tracing/endpoint"));
}

/* The file of a unix socket is removed at the end. */
static void plan_listener(struct sandbox_plan *plan, const struct listen_address *address,
                          const struct listen_socket *socket)
{
    if (address->addr.ss_family == AF_UNIX && !socket->inherited)
        sandbox_plan_file(plan, ((const struct sockaddr_un *)&address->addr)->sun_path,
                          SANDBOX_UNLINK, STR("/listen"));
}

static void plan_start(const struct fleet *fleet, struct sandbox_plan *plan)
{
    const struct fleet_start *start = &fleet->start;
    plan_policy(fleet, config_get(fleet->options.config), plan);
    if (str_is_set(start->audit_file) && !str_eq(start->audit_file, STR("-")))
        sandbox_plan_file(plan, start->audit_file.ptr, SANDBOX_WRITE, STR("/audit/file"));
    if (str_is_set(start->log_file))
        sandbox_plan_file(plan, start->log_file.ptr, SANDBOX_WRITE, STR("/log/file"));
    if (str_is_set(start->cache_dir))
        sandbox_plan_tree(plan, start->cache_dir.ptr, SANDBOX_WRITE, STR("/jwks/cache_dir"));
    for (size_t i = 0; i < fleet->n_listens; i++)
        plan_listener(plan, &start->listens[i], &fleet->listens[i]);
    if (start->has_admin)
        plan_listener(plan, &start->admin, &fleet->admin_socket);
}

/* ---- the words ---- */

static void say_incomplete(struct fleet *fleet, const char *missing, const char *reason)
{
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_WARN, "sandbox_incomplete",
        LOG_CSTR("missing", missing), LOG_CSTR("reason", reason));
}

static const char *landlock_reason(const struct sandbox_report *report)
{
    if (report->landlock_fault == -EOPNOTSUPP)
        return "Landlock is switched off in this kernel (lsm= on its command line)";
    if (report->landlock_fault == -ENOSYS)
        return "this kernel is built without Landlock, or does not let us use it";
    if (report->landlock_fault < 0)
        return strerrordesc_np(-report->landlock_fault);
    return "the Landlock of this kernel is too old for it";
}

static void say_what_is_missing(struct fleet *fleet, const struct sandbox_report *report)
{
    const struct {
        bool there;
        const char *name;
        const char *reason;
    } parts[] = {
        {report->no_capabilities, "capabilities", "some could not be given up"},
        {report->no_dumps, "no_dumps", "core dumps could not be switched off"},
        {report->seccomp, "seccomp",
         report->seccomp_fault < 0 ? strerrordesc_np(-report->seccomp_fault) : NULL},
        {report->files, "landlock files", landlock_reason(report)},
        {report->tcp, "landlock tcp", landlock_reason(report)},
        {report->scopes, "landlock scopes", landlock_reason(report)},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (!parts[i].there)
            say_incomplete(fleet, parts[i].name, parts[i].reason);
}

static void say_active(struct fleet *fleet, const struct sandbox_report *report)
{
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_INFO, "sandbox", LOG_INT("uid", geteuid()),
        LOG_INT("gid", getegid()), LOG_BOOL("no_new_privs", report->no_new_privs),
        LOG_BOOL("no_capabilities", report->no_capabilities),
        LOG_BOOL("no_dumps", report->no_dumps), LOG_BOOL("seccomp", report->seccomp),
        LOG_INT("landlock_abi", report->landlock_abi), LOG_BOOL("files", report->files),
        LOG_BOOL("tcp", report->tcp), LOG_BOOL("scopes", report->scopes));
    say_what_is_missing(fleet, report);
}

/* What was read as somebody else may be out of reach now: better said today than by a reload in a
 * year. */
static void check_readable(struct fleet *fleet, const char *path)
{
    if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_WARN, "reload_will_fail",
            LOG_CSTR("file", path), LOG_CSTR("reason", strerrordesc_np(errno)));
}

static void check_files(struct fleet *fleet)
{
    const struct config_data *data = config_get(fleet->options.config);
    check_readable(fleet, fleet->options.policy_path);
    for (const struct config_file *file = data->files; file != NULL; file = file->next)
        check_readable(fleet, file->path.ptr);
}

/* A link to what a local resolver has not made yet: in a folder that is not there either, it will
 * be out of reach. */
static void check_resolver(struct fleet *fleet)
{
    if (faccessat(AT_FDCWD, RESOLVER_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
        access(RESOLVER_FILE, F_OK) < 0)
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_WARN, "resolver_missing",
            LOG_CSTR("file", RESOLVER_FILE),
            LOG_CSTR("reason", "what it links to is not there; if its folder is made later, a "
                               "restart is needed"));
}

/* ---- the start ---- */

/* As with nginx, only root can become somebody else; for all others the key does nothing. */
static int find_user(struct fleet *fleet, struct sandbox_user *ret_user)
{
    const struct str user = fleet->start.user;
    const struct clock *clock = loop_clock(fleet->loop);
    if (geteuid() != 0) {
        if (str_is_set(user))
            LOG(&fleet->log, clock, LOG_LEVEL_WARN, "user_ignored", LOG_STR("user", user),
                LOG_CSTR("reason", "it was not started by root"));
        return 0;
    }
    if (!str_is_set(user)) {
        LOG(&fleet->log, clock, LOG_LEVEL_WARN, "runs_as_root",
            LOG_CSTR("cure", "start it as a user of its own, or set \"user\""));
        return 0;
    }
    int r = sandbox_user_find(user.ptr, ret_user);
    if (r < 0)
        LOG(&fleet->log, clock, LOG_LEVEL_ERROR, "user_failed", LOG_STR("user", user),
            LOG_CSTR("reason",
                     r == -ENOENT ? "there is no such user or group" : strerrordesc_np(-r)));
    return r;
}

int fleet_lock_up(struct fleet *fleet)
{
    struct sandbox_user user = {0};
    int r = find_user(fleet, &user);
    if (r < 0)
        return r;
    if (fleet->start.no_sandbox) {
        r = sandbox_become(&user);
    } else {
        plan_start(fleet, &fleet->sandbox);
        r = sandbox_apply(&fleet->sandbox, &user, &fleet->sandbox_report);
        fleet->is_locked_up = r == 0;
        if (r == 0)
            say_active(fleet, &fleet->sandbox_report);
        if (fleet->is_locked_up)
            check_resolver(fleet);
    }
    if (r < 0)
        LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_ERROR, "sandbox_failed",
            LOG_CSTR("reason", strerrordesc_np(-r)));
    else if (user.is_set)
        check_files(fleet);
    return r;
}

/* ---- reloads ---- */

static void refuse(struct fleet *fleet, const char *pointer, const char *file)
{
    LOG(&fleet->log, loop_clock(fleet->loop), LOG_LEVEL_ERROR, "reload_needs_restart",
        LOG_CSTR("pointer", pointer), LOG_CSTR("file", file),
        LOG_CSTR("reason", "the sandbox of the running process does not allow it"));
}

/* Not for want of rights, which access(2) looks at and Landlock does not: PATH is outside of what
 * it lets us read. That may be in a folder of the plan's name that was made anew: it is another
 * one. */
static bool is_denied(struct fleet *fleet, const char *path)
{
    struct sandbox_plan plan = {0};
    sandbox_plan_file(&plan, path, SANDBOX_READ, STR(""));
    const bool is_outside =
        sandbox_plan_outside(&fleet->sandbox, &fleet->sandbox_report, &plan) != NULL;
    sandbox_plan_free(&plan);
    return is_outside || faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
}

int fleet_read_file(void *ctx, const char *path, size_t max_bytes, struct buf *out)
{
    struct fleet *fleet = ctx;
    const struct config_sources *sources = &fleet->options.sources;
    int r = sources->read_file(sources->ctx, path, max_bytes, out);
    if (r == -EACCES && fleet->is_locked_up && is_denied(fleet, path))
        refuse(fleet, NULL, path);
    return r;
}

int fleet_check_sandbox(struct fleet *fleet, const struct config_data *fresh)
{
    struct sandbox_plan plan = {0};
    if (!fleet->is_locked_up)
        return 0;
    plan_policy(fleet, fresh, &plan);
    const char *pointer = sandbox_plan_outside(&fleet->sandbox, &fleet->sandbox_report, &plan);
    int r = plan.fault;
    if (r == 0 && pointer != NULL) {
        refuse(fleet, pointer, NULL);
        r = -EBUSY;
    }
    sandbox_plan_free(&plan);
    return r;
}
