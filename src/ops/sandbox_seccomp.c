/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of sandbox_rules.c become a program of the kernel's, which is then in force. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "ops/sandbox_int.h"
#include "ops/sandbox_rules_int.h"

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
    const struct filter silent = {SCMP_ACT_ALLOW, seccomp_fill_silent, flags};
    const struct filter main = {SCMP_ACT_ERRNO(EPERM), seccomp_fill,
                                flags | SECCOMP_FILTER_FLAG_LOG};
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
