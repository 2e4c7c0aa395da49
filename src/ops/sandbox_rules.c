/* SPDX-License-Identifier: Apache-2.0 */
/* System calls (seccomp(2), by libseccomp): a list of what the program, its libraries and the C
 * library use once they are at work. All else fails with EPERM, which the kernel logs unless the C
 * library is known to try it; what only an attacker would try ends the process.
 *
 * Descriptors that are there stay usable: they were opened, bound and connected under our rules. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "ops/sandbox_rules_int.h"

#define SOCKET_TYPE_MASK 0xfU

#define INTERNET_SOCKET(family, type, protocol)                                                   \
    {                                                                                             \
        "socket",                                                                                 \
        {                                                                                         \
            SCMP_A0(SCMP_CMP_EQ, family, 0), SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE_MASK, type), \
                SCMP_A2(SCMP_CMP_EQ, protocol, 0)                                                 \
        }                                                                                         \
    }

static const char *const allowed[] = {
    /* descriptors */
    "read",
    "readv",
    "pread64",
    "preadv",
    "preadv2",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "lseek",
    "_llseek",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "fcntl64",
    "pipe",
    "pipe2",
    "eventfd2",
    "signalfd4",
    "flock",
    /* files: which ones is up to Landlock */
    "open",
    "openat",
    "openat2",
    "access",
    "faccessat",
    "faccessat2",
    "stat",
    "lstat",
    "fstat",
    "stat64",
    "lstat64",
    "fstat64",
    "newfstatat",
    "fstatat64",
    "statx",
    "statfs",
    "fstatfs",
    "statfs64",
    "fstatfs64",
    "readlink",
    "readlinkat",
    "getdents",
    "getdents64",
    "getcwd",
    "ftruncate",
    "ftruncate64",
    "fsync",
    "fdatasync",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "fchmod",
    "umask",
    /* connections that we make, and those that come in on sockets that listen already */
    "connect",
    "accept",
    "accept4",
    "shutdown",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "send",
    "recv",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "recvmmsg_time64",
    /* waiting */
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "ppoll_time64",
    "select",
    "_newselect",
    "pselect6",
    "pselect6_time64",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    "timerfd_settime64",
    "timerfd_gettime64",
    "nanosleep",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "restart_syscall",
    /* time, randomness, what the system and the process are */
    "clock_gettime",
    "clock_gettime64",
    "clock_getres",
    "clock_getres_time64",
    "gettimeofday",
    "time",
    "getrandom",
    "uname",
    "sysinfo",
    "getcpu",
    "getpid",
    "gettid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getuid32",
    "geteuid32",
    "getgid32",
    "getegid32",
    "getresuid",
    "getresgid",
    "getgroups",
    "getrlimit",
    "ugetrlimit",
    "getrusage",
    "times",
    "capget",
    /* memory */
    "brk",
    "munmap",
    "mremap",
    "madvise",

    "mlock",
    "munlock",
    "membarrier",
    /* threads and signals */
    "futex",
    "futex_time64",
    "futex_waitv",
    "set_robust_list",
    "get_robust_list",
    "rseq",
    "set_tid_address",
    "sched_yield",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigreturn",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_sigpending",
    "rt_sigsuspend",
    "sigaltstack",
    "exit",
    "exit_group",
};

/* No library of ours has a use for them: who gets here runs code of his own. */
static const char *const deadly[] = {
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "bpf",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "setns",
    "unshare",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "perf_event_open",
    "userfaultfd",
    "add_key",
    "request_key",
    "keyctl",
    "open_by_handle_at",
    "iopl",
    "ioperm",
};

#ifdef PORTCULLIS_INSTRUMENTED
static const char *const for_instruments[] = {
    "clone",
    "fork",
    "vfork",
    "ptrace",
    "wait4",
    "waitid",
    "kill",
    "tkill",
    "tgkill",
    "prctl",
    "prlimit64",
    "setrlimit",
    "personality",
    "mmap",
    "mprotect",
    "socket",
    "socketpair",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "mkdir",
    "mkdirat",
    "chmod",
    "ioctl",
    "arch_prctl",
    "process_vm_readv",
    "sched_setaffinity",
    "utimensat",
};
#endif

static int add(scmp_filter_ctx filter, uint32_t action, const char *name,
               const struct scmp_arg_cmp *args, unsigned n_args)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) /* newer than the library: as if it were not in the list */
        return 0;
    return seccomp_rule_add_array(filter, action, number, n_args, args);
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t n)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = add(filter, action, names[i], NULL, 0);
    return r;
}

/* Calls that depend on their arguments. A comparison that is not used has .op = 0. */
struct conditional {
    const char *name;
    struct scmp_arg_cmp args[3];
};

static int add_conditional(scmp_filter_ctx filter, uint32_t action, const struct conditional *rule)
{
    unsigned n = 0;
    while (n < ARRAY_LEN(rule->args) && rule->args[n].op != 0)
        n++;
    return add(filter, action, rule->name, rule->args, n);
}

#ifndef PORTCULLIS_INSTRUMENTED
static int add_conditions(scmp_filter_ctx filter, pid_t self)
{
    /* the 0 behind SCMP_CMP_EQ: only masked comparisons have a second value */
    const struct conditional rules[] = {
        /* a thread, never a process; newer C libraries try clone3() first, see below */
        {"clone", {SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM)}},
        /* abort() */
        {"tgkill", {SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)self, 0)}},
        /* memory is never made executable; libraries are mapped so from the beginning */
        {"mmap", {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
        {"mmap2", {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
        {"mmap",
         {SCMP_A2(SCMP_CMP_EQ, PROT_READ | PROT_EXEC, 0),
          SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0)}},
        {"mmap2",
         {SCMP_A2(SCMP_CMP_EQ, PROT_READ | PROT_EXEC, 0),
          SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0)}},
        {"mprotect", {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
        /* TCP and UDP, nothing raw; unix sockets of the resolver and the journal. Landlock knows
         * the ports of TCP only: MPTCP, SMC and SCTP speak to the same ones past it. */
        INTERNET_SOCKET(AF_INET, SOCK_STREAM, 0),
        INTERNET_SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
        INTERNET_SOCKET(AF_INET, SOCK_DGRAM, 0),
        INTERNET_SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
        INTERNET_SOCKET(AF_INET6, SOCK_STREAM, 0),
        INTERNET_SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
        INTERNET_SOCKET(AF_INET6, SOCK_DGRAM, 0),
        INTERNET_SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
        {"socket", {SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0)}},
        {"socketpair", {SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0)}},
        /* sending connects a socket with this flag, and Landlock is not asked */
        {"sendto", {SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0)}},
        {"sendmsg", {SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0)}},
        {"sendmmsg", {SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0)}},
        /* what a socket holds, and has not sent; a descriptor that does not block; a terminal? */
        {"ioctl", {SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0)}},
        {"ioctl", {SCMP_A1(SCMP_CMP_EQ, SIOCOUTQ, 0)}},
        {"ioctl", {SCMP_A1(SCMP_CMP_EQ, FIONBIO, 0)}},
        {"ioctl", {SCMP_A1(SCMP_CMP_EQ, TCGETS, 0)}},
        /* names of threads and of memory */
        {"prctl", {SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0)}},
        {"prctl", {SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME, 0)}},
        {"prctl", {SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA, 0)}},
        /* limits are read, not set */
        {"prlimit64", {SCMP_A0(SCMP_CMP_EQ, 0, 0), SCMP_A2(SCMP_CMP_EQ, 0, 0)}},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(rules); i++)
        r = add_conditional(filter, SCMP_ACT_ALLOW, &rules[i]);
    if (r == 0)
        r = add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_LEN(deadly));
    return r;
}
#else
static int add_conditions(scmp_filter_ctx filter, pid_t self)
{
    (void)deadly;
    (void)self;
    return add_all(filter, SCMP_ACT_ALLOW, for_instruments, ARRAY_LEN(for_instruments));
}
#endif

/* What the C library tries in normal operation and does without. A filter of its own refuses it, in
 * which nothing is logged; the other one lets it pass, since the stricter answer counts: what that
 * one logs is worth a look. */
static int add_expected(scmp_filter_ctx filter, bool refuse)
{
    const struct {
        struct conditional call;
        uint16_t fault;
    } calls[] = {
        /* Its flags lie in memory, where a filter cannot look; without it there is clone(). Tried
         * for every thread. */
        {{"clone3", {{0}}}, ENOSYS},
        /* Which addresses this machine has. Tried for every name that is looked up. */
        {{"socket", {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0), SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE, 0)}},
         EPERM},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(calls); i++)
        r = add_conditional(filter, refuse ? SCMP_ACT_ERRNO(calls[i].fault) : SCMP_ACT_ALLOW,
                            &calls[i].call);
    return r;
}

int seccomp_fill(scmp_filter_ctx filter, pid_t self)
{
    /* the kernel may search it like a tree */
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = add_all(filter, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));
    if (r == 0)
        r = add_conditions(filter, self);
    if (r == 0)
        r = add_expected(filter, false);
    return r;
}

int seccomp_fill_silent(scmp_filter_ctx filter, pid_t self)
{
    (void)self;
    return add_expected(filter, true);
}
