/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock (Linux's userspace-api/landlock.rst): which files may be opened, which ports connected
 * to. The header of the machine that builds may know less than the kernel that runs, so what we use
 * is written down here. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "ops/sandbox_int.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define CREATE_RULESET_VERSION 1U

#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_ABI_1 ((UINT64_C(1) << 13) - 1)
#define FS_REFER (UINT64_C(1) << 13)     /* ABI 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

#define NET_BIND_TCP (UINT64_C(1) << 0) /* ABI 4 */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)

#define SCOPE_ABSTRACT_UNIX (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};
struct path_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));
struct port_attr {
    uint64_t allowed_access;
    uint64_t port;
};

static uint64_t fs_of_abi(int abi)
{
    return FS_ABI_1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
           (abi >= 5 ? FS_IOCTL_DEV : 0);
}

/* What an older kernel does not know is left out of what it is asked for. */
static struct ruleset_attr attr_of_abi(int abi)
{
    struct ruleset_attr attr = {
        .handled_access_fs = fs_of_abi(abi),
        .handled_access_net = abi >= 4 ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
        .scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL : 0,
    };
#ifdef PORTCULLIS_INSTRUMENTED
    attr.handled_access_fs = 0; /* reports and counts are written anywhere */
    attr.scoped &= ~SCOPE_SIGNAL;
#endif
    return attr;
}

static uint64_t fs_of_access(enum sandbox_access access)
{
    static const uint64_t table[] = {
        [SANDBOX_READ] = FS_READ_FILE | FS_READ_DIR,
        [SANDBOX_UNLINK] = FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE,
        [SANDBOX_WRITE] =
            FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE | FS_WRITE_FILE | FS_MAKE_REG | FS_TRUNCATE,
    };
    return table[access];
}

static int add_path(int ruleset, const struct sandbox_path *path, uint64_t handled)
{
    struct stat st;
    struct path_attr attr = {.allowed_access = fs_of_access(path->access) & handled};
    attr.parent_fd = open(path->path, O_PATH | O_CLOEXEC);
    if (attr.parent_fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(attr.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        attr.allowed_access &= FS_OF_FILES;
    long r = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0);
    int fault = r < 0 ? errno : 0;
    (void)close(attr.parent_fd);
    return -fault;
}

static int add_port(int ruleset, uint16_t port)
{
    const struct port_attr attr = {.allowed_access = NET_CONNECT_TCP, .port = port};
    return syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &attr, 0) < 0 ? -errno : 0;
}

/* Every folder and port in it is allowed, nothing else is. */
static int fill(int ruleset, const struct sandbox_plan *plan, const struct ruleset_attr *attr)
{
    int r = 0;
    for (size_t i = 0; r == 0 && attr->handled_access_fs != 0 && i < plan->n_paths; i++)
        r = add_path(ruleset, &plan->paths[i], attr->handled_access_fs);
    for (size_t i = 0; r == 0 && attr->handled_access_net != 0 && i < plan->n_ports; i++)
        r = add_port(ruleset, plan->ports[i].port);
    return r;
}

void landlock_apply(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    if (abi < 1) {
        report->landlock_fault = abi < 0 ? -errno : -ENOSYS;
        return;
    }
    report->landlock_abi = (int)abi;
    const struct ruleset_attr attr = attr_of_abi((int)abi);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    int r = ruleset < 0 ? -errno : fill(ruleset, plan, &attr);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -errno;
    if (ruleset >= 0)
        (void)close(ruleset);
    report->landlock_fault = r;
    report->files = r == 0 && attr.handled_access_fs != 0;
    report->tcp = r == 0 && attr.handled_access_net != 0;
    report->scopes = r == 0 && attr.scoped != 0;
}
