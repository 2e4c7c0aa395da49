/* SPDX-License-Identifier: Apache-2.0 */
/* User, groups, capabilities (capabilities(7)), and what others may see of the process. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "ops/sandbox_int.h"

#define MOST_CAPABILITIES 64
/* User 0 is nobody special any more, and none of this can be taken back. */
#define SECUREBITS                                                                           \
    (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                         \
     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | \
     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

int sandbox_user_find(const char *text, struct sandbox_user *ret_user)
{
    struct str rest = str_from_cstr(text);
    struct str name_text;
    (void)str_split(&rest, ':', &name_text);
    char *name = str_to_cstr(name_text);
    char *group_name = str_is_set(rest) ? str_to_cstr(rest) : NULL;
    int r = name == NULL || (str_is_set(rest) && group_name == NULL) ? -ENOMEM : 0;
    /* Not thread-safe, and need not be: there are no threads yet. */
    const struct passwd *user = r == 0 ? getpwnam(name) : NULL;
    const struct group *group = user != NULL && group_name != NULL ? getgrnam(group_name) : NULL;
    if (r == 0 && (user == NULL || (group_name != NULL && group == NULL)))
        r = -ENOENT;
    if (r == 0)
        *ret_user = (struct sandbox_user){
            .is_set = true,
            .uid = user->pw_uid,
            .gid = group != NULL ? group->gr_gid : user->pw_gid,
        };
    free(name);
    free(group_name);
    return r;
}

static void clear_bounding_set(void)
{
    for (unsigned long capability = 0; capability < MOST_CAPABILITIES; capability++)
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1)
            (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

static bool has_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capget, &header, sets) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        if (sets[i].effective != 0 || sets[i].permitted != 0 || sets[i].inheritable != 0)
            return true;
    return false;
}

/* The groups of whoever starts us (root's, an administrator's) are not those of the service. */
int sandbox_become(const struct sandbox_user *user)
{
    if (!user->is_set)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0)
        return -errno;
    return 0;
}

/* To empty the bounding set, to lock the bits and to become somebody else takes capabilities, which
 * therefore go last. */
static int give_up(const struct sandbox_user *user, struct sandbox_report *report)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    clear_bounding_set();
    (void)prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0);
    int r = sandbox_become(user);
    if (r < 0)
        return r;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (has_capabilities())
        (void)syscall(SYS_capset, &header, none);
    report->no_capabilities = !has_capabilities();
    if (!user->is_set || user->uid == 0)
        return 0;
    /* There must be no way back. */
    return !report->no_capabilities || setuid(0) == 0 || seteuid(0) == 0 ? -EPERM : 0;
}

/* A build with the leak checker has to let itself be looked at. */
static bool forbid_dumps(void)
{
#ifdef PORTCULLIS_INSTRUMENTED
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return false;
#else
    const struct rlimit none = {0};
    bool no_core = setrlimit(RLIMIT_CORE, &none) == 0;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && no_core;
#endif
}

int privileges_drop(const struct sandbox_user *user, struct sandbox_report *report)
{
    int r = give_up(user, report);
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = -errno;
    if (r < 0)
        return r;
    report->no_new_privs = true;
    report->no_dumps = forbid_dumps();
    return 0;
}
