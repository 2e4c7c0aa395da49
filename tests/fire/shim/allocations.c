/* SPDX-License-Identifier: Apache-2.0 */
/* Lets one allocation of a process fail, or all from one on (LD_PRELOAD). Which one is said from
 * outside, at any time, through the file that FIRE_ALLOCATIONS names: it is mapped, and lib/
 * allocations.mjs reads and writes it. Every library's allocations count, of every thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct control {
    _Atomic uint64_t calls;    /* allocations so far */
    _Atomic int64_t countdown; /* the one that brings it to 0 fails; 0 or less: none is counted */
    _Atomic uint64_t lasting;  /* 1: so do all behind it, until it is 0 again */
    _Atomic uint64_t failed;   /* how many did */
};

static struct control *control;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* Says where on standard error, then lets the signal do what it does. */
static void tell_crash(int number)
{
    void *frames[32];
    (void)signal(number, SIG_DFL);
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    (void)raise(number);
}

/* With FIRE_TELL in the environment: where each failure is, for who looks for a fault. */
static int tells_failures;

static void tell_place(void)
{
    void *frames[16];
    backtrace_symbols_fd(frames, backtrace(frames, 16), STDERR_FILENO);
    (void)!write(STDERR_FILENO, "--\n", 3);
}

static void watch_crashes(void)
{
    void *frame[1];
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    (void)backtrace(frame, 1); /* it loads a library the first time */
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        (void)signal(numbers[i], tell_crash);
}

__attribute__((constructor)) static void open_control(void)
{
    watch_crashes();
    tells_failures = getenv("FIRE_TELL") != NULL;
    const char *path = getenv("FIRE_ALLOCATIONS");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        control = map;
    close(fd);
}

static int fails(void)
{
    if (control == NULL)
        return 0;
    atomic_fetch_add(&control->calls, 1);
    int64_t left = atomic_load(&control->countdown);
    if (left <= 0)
        return 0;
    if (left > 1 || atomic_load(&control->lasting) == 0) {
        if (atomic_fetch_sub(&control->countdown, 1) != 1)
            return 0;
    }
    atomic_fetch_add(&control->failed, 1);
    if (tells_failures)
        tell_place();
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return size > 0 && fails() ? NULL : __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, total);
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    int before = errno;
    void *memory = memalign(alignment, size);
    errno = before;
    if (memory == NULL)
        return ENOMEM;
    *ret_memory = memory;
    return 0;
}
