/* SPDX-License-Identifier: Apache-2.0 */
/* System calls (seccomp(2), by libseccomp): a list of what the program, its libraries and the C
 * library use once they are at work. All else fails with EPERM, which the kernel logs unless the C
 * library is known to try it; what only an attacker would try ends the process.
 *
 * Descriptors that are there stay usable: they were opened, bound and connected under our rules. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "ops/sandbox_int.h"

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

static int build(scmp_filter_ctx filter, pid_t self)
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

static int build_silent(scmp_filter_ctx filter, pid_t self)
{
    (void)self;
    return add_expected(filter, true);
}

/* ---- from rules to the kernel's program ---- */

/* What the kernel is given. */
struct program {
    struct sock_filter *code;
    size_t n;
};

struct filter {
    uint32_t otherwise; /* what is done about a call that no rule names */
    int (*fill)(scmp_filter_ctx filter, pid_t self);
    unsigned flags; /* of seccomp(2) */
};

static int export(const struct filter *filter, pid_t self, int fd)
{
    scmp_filter_ctx rules = seccomp_init(filter->otherwise);
    int r = rules == NULL ? -ENOMEM : filter->fill(rules, self);
    if (r == 0)
        r = seccomp_export_bpf(rules, fd);
    if (rules != NULL)
        seccomp_release(rules);
    return r;
}

/* -EIO: it ended in another way than by itself. */
static int status_of(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* Takes milliseconds when all is well, also where everything is ten times slower. */
#define EXPORT_MAX_CPU_MS 900

/* In the child, which SIGPROF ends. */
static int export_bounded(const struct filter *filter, pid_t self, int fd)
{
    const struct itimerval most = {.it_value.tv_usec = EXPORT_MAX_CPU_MS * 1000};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setitimer(ITIMER_PROF, &most, NULL) < 0)
        return -errno;
    return export(filter, self, fd);
}

/* A process of its own makes the program: when it has no memory for a part of it, libseccomp 2.5
 * crashes, or goes round in circles. What its thousands of small allocations take goes with that
 * process, too. */
static int export_aside(const struct filter *filter, int fd)
{
    const pid_t self = getpid();
    const pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        _exit(-export_bounded(filter, self, fd));
    return status_of(child);
}

static int read_program(int fd, struct program *ret_program)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    const size_t len = (size_t)stat.st_size;
    const size_t n = len / sizeof(struct sock_filter);
    if (n == 0 || n > BPF_MAXINSNS || len % sizeof(struct sock_filter) != 0)
        return -EIO;
    struct sock_filter *code = calloc(n, sizeof(*code));
    if (code == NULL)
        return -ENOMEM;
    if (pread(fd, code, len, 0) != (ssize_t)len) {
        free(code);
        return -EIO;
    }
    *ret_program = (struct program){code, n};
    return 0;
}

static int make_once(const struct filter *filter, struct program *ret_program)
{
    int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = export_aside(filter, fd);
    if (r == 0)
        r = read_program(fd, ret_program);
    (void)close(fd);
    return r;
}

static bool is_same(const struct program *a, const struct program *b)
{
    return a->n == b->n && a->n > 0 && memcmp(a->code, b->code, a->n * sizeof(a->code[0])) == 0;
}

/* Twice, as an allocation that fails can also leave it with a program that is not that of the
 * rules, and with no error. */
static int make(const struct filter *filter, struct program *ret_program)
{
    struct program first = {0};
    struct program second = {0};
    int r = make_once(filter, &first);
    if (r == 0)
        r = make_once(filter, &second);
    if (r == 0 && !is_same(&first, &second))
        r = -ENOMEM;
    free(second.code);
    if (r < 0)
        free(first.code);
    else
        *ret_program = first;
    return r;
}

static int set_filter(const struct program *program, unsigned flags)
{
    const struct sock_fprog prog = {.len = (unsigned short)program->n, .filter = program->code};
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (r < 0 && errno == EINVAL && (flags & SECCOMP_FILTER_FLAG_SPEC_ALLOW) != 0)
        return set_filter(program,
                          flags & ~(unsigned)SECCOMP_FILTER_FLAG_SPEC_ALLOW); /* Linux < 4.17 */
    if (r > 0) /* a thread that could not be brought under it */
        return -ECANCELED;
    return r < 0 ? -errno : 0;
}

/* Both are made before the first one is in force. */
void seccomp_apply(struct sandbox_report *report)
{
    /* In all threads. None switches on the defences against code in this process that spies on it
     * by timing (there is none; they make every call dear on old kernels). */
    const unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    const struct filter silent = {SCMP_ACT_ALLOW, build_silent, flags};
    const struct filter main = {SCMP_ACT_ERRNO(EPERM), build, flags | SECCOMP_FILTER_FLAG_LOG};
    struct program programs[2] = {0};
    int r = make(&silent, &programs[0]);
    if (r == 0)
        r = make(&main, &programs[1]);
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = -errno;
    if (r == 0)
        r = set_filter(&programs[0], silent.flags);
    if (r == 0)
        r = set_filter(&programs[1], main.flags);
    for (size_t i = 0; i < ARRAY_LEN(programs); i++)
        free(programs[i].code);
    report->seccomp = r == 0;
    report->seccomp_fault = r;
}
