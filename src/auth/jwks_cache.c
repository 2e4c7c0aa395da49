/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of the key cache: what may be read from it, and the thread that writes to it. */
#include "auth/jwks_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/list.h"
#include "base/rand.h"

#define TEMPORARY_PREFIX ".portcullis-"
#define TEMPORARY_SUFFIX ".tmp"
/* What is older was left by a process that was killed: writing takes moments. */
#define LEFTOVER_AGE_S 60

/* One file to write. */
struct job {
    struct list node;
    char name[JWKS_CACHE_MAX_NAME];
    struct buf entry;
};

/* A file that was written, or not, on its way to the fleet. */
struct result {
    void (*written)(void *ctx, const char *name, int fault);
    char name[JWKS_CACHE_MAX_NAME];
    int fault;
};

struct jwks_cache {
    struct jwks_cache_options options;
    int dir_fd;
    bool open_to_others;
    int write_fault; /* when it was opened */
    pthread_t thread;

    pthread_mutex_t lock; /* guards what stands below */
    pthread_cond_t wake;
    pthread_cond_t done;
    struct list jobs; /* one at most for each name */
    bool stop;
    bool has_ended;
    bool is_abandoned; /* nobody is there any more to be told */
};

/* ---- writing ---- */

static int write_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes = str_from(bytes, (size_t)n);
    }
    return 0;
}

/* A name that no other process uses, replicas with the same folder included. */
static int open_temporary(int dir_fd, char ret_name[JWKS_CACHE_MAX_NAME])
{
    uint64_t random;
    int r = rand_bytes(&random, sizeof(random));
    if (r < 0)
        return r;
    (void)snprintf(ret_name, JWKS_CACHE_MAX_NAME, TEMPORARY_PREFIX "%016llx" TEMPORARY_SUFFIX,
                   (unsigned long long)random);
    int fd = openat(dir_fd, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? fd : -errno;
}

/* Whoever opens NAME, also after a crash, finds the old file or the new one, never a part. */
static int write_file(int dir_fd, const char *name, struct str bytes)
{
    char temporary[JWKS_CACHE_MAX_NAME];
    int fd = open_temporary(dir_fd, temporary);
    if (fd < 0)
        return fd;
    int r = write_all(fd, bytes);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
        r = -errno;
    if (r < 0)
        (void)unlinkat(dir_fd, temporary, 0);
    else
        (void)fsync(dir_fd); /* without it a power failure may bring back the old file, no more */
    return r;
}

static void deliver_result(void *ctx, void *arg)
{
    struct result *result = arg;
    result->written(ctx, result->name, result->fault);
    free(result);
}

/* With the lock. */
static void tell(struct jwks_cache *cache, const char *name, int fault)
{
    struct result *result = cache->is_abandoned ? NULL : calloc(1, sizeof(*result));
    if (result == NULL)
        return;
    (void)snprintf(result->name, sizeof(result->name), "%s", name);
    result->written = cache->options.written;
    result->fault = fault;
    if (mailbox_post(cache->options.mailbox, deliver_result, cache->options.ctx, result) < 0)
        free(result);
}

static struct job *job_free(struct job *job)
{
    buf_free(&job->entry);
    free(job);
    return NULL;
}

/* With the lock: the next job, or NULL at the end. */
static struct job *wait_for_job(struct jwks_cache *cache)
{
    while (list_is_empty(&cache->jobs) && !cache->stop)
        (void)pthread_cond_wait(&cache->wake, &cache->lock);
    if (list_is_empty(&cache->jobs))
        return NULL;
    struct job *job = LIST_ENTRY(list_first(&cache->jobs), struct job, node);
    list_unlink(&job->node);
    return job;
}

static void *run(void *ctx)
{
    struct jwks_cache *cache = ctx;
    (void)pthread_mutex_lock(&cache->lock);
    for (struct job *job = wait_for_job(cache); job != NULL; job = wait_for_job(cache)) {
        (void)pthread_mutex_unlock(&cache->lock);
        int r = write_file(cache->dir_fd, job->name, buf_str(&job->entry));
        (void)pthread_mutex_lock(&cache->lock);
        tell(cache, job->name, r);
        (void)job_free(job);
    }
    cache->has_ended = true;
    (void)pthread_cond_signal(&cache->done);
    (void)pthread_mutex_unlock(&cache->lock);
    return NULL;
}

static struct job *find_job(struct jwks_cache *cache, const char *name)
{
    LIST_FOREACH (node, &cache->jobs) {
        struct job *job = LIST_ENTRY(node, struct job, node);
        if (strcmp(job->name, name) == 0)
            return job;
    }
    return NULL;
}

int jwks_cache_save(struct jwks_cache *cache, const struct issuer_config *issuer,
                    struct str jwks_uri, int64_t fetched_at_s, struct str document)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return -ENOMEM;
    job->entry = buf_make(JWKS_CACHE_MAX_BYTES);
    int r = jwks_cache_name(issuer, job->name);
    if (r == 0)
        r = jwks_cache_append_entry(issuer, jwks_uri, fetched_at_s, document, &job->entry);
    if (r < 0) {
        (void)job_free(job);
        return r;
    }
    (void)pthread_mutex_lock(&cache->lock);
    struct job *older = find_job(cache, job->name); /* the disk is slow: the newest counts */
    if (older != NULL)
        list_unlink(&older->node);
    list_append(&cache->jobs, &job->node);
    (void)pthread_cond_signal(&cache->wake);
    (void)pthread_mutex_unlock(&cache->lock);
    if (older != NULL)
        (void)job_free(older);
    return 0;
}

/* ---- reading ---- */

static enum jwks_cache_rc check_file(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return JWKS_CACHE_UNREADABLE;
    /* no name at all: a replica has just put a newer one in its place */
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
        return JWKS_CACHE_KIND;
    if (st.st_uid != geteuid())
        return JWKS_CACHE_OWNER;
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return JWKS_CACHE_MODE;
    return st.st_size <= (off_t)JWKS_CACHE_MAX_BYTES ? JWKS_CACHE_OK : JWKS_CACHE_SIZE;
}

static enum jwks_cache_rc read_all(int fd, struct buf *out)
{
    char bytes[8192];
    for (;;) {
        ssize_t n = read(fd, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return JWKS_CACHE_UNREADABLE;
        if (n == 0)
            return JWKS_CACHE_OK;
        int r = buf_append(out, str_make(bytes, (size_t)n));
        if (r < 0)
            return r == -EMSGSIZE ? JWKS_CACHE_SIZE : JWKS_CACHE_NO_MEMORY;
    }
}

static enum jwks_cache_rc open_file(int dir_fd, const char *name, int *ret_fd)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return JWKS_CACHE_NONE;
    if (fd < 0)
        return errno == ELOOP || errno == ENXIO ? JWKS_CACHE_KIND : JWKS_CACHE_UNREADABLE;
    enum jwks_cache_rc rc = check_file(fd);
    if (rc != JWKS_CACHE_OK)
        (void)close(fd);
    else
        *ret_fd = fd;
    return rc;
}

enum jwks_cache_rc jwks_cache_load(const struct jwks_cache *cache,
                                   const struct issuer_config *issuer, int64_t now_s,
                                   int64_t max_age_ms, int64_t *ret_fetched_at_s,
                                   struct buf *ret_jwks)
{
    char name[JWKS_CACHE_MAX_NAME];
    CLEANUP(buf_free) struct buf text = buf_make(JWKS_CACHE_MAX_BYTES);
    int fd = -1;
    if (jwks_cache_name(issuer, name) < 0)
        return JWKS_CACHE_UNREADABLE;
    enum jwks_cache_rc rc = open_file(cache->dir_fd, name, &fd);
    if (rc != JWKS_CACHE_OK)
        return rc;
    rc = read_all(fd, &text);
    (void)close(fd);
    return rc == JWKS_CACHE_OK ? jwks_cache_read_entry(buf_str(&text), issuer, now_s, max_age_ms,
                                                       ret_fetched_at_s, ret_jwks)
                               : rc;
}

/* ---- make and free ---- */

static bool is_leftover(int dir_fd, const char *name)
{
    struct stat st;
    struct timespec now;
    struct str text = str_from_cstr(name);
    return str_has_prefix(text, STR(TEMPORARY_PREFIX)) &&
           str_has_suffix(text, STR(TEMPORARY_SUFFIX)) &&
           fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           clock_gettime(CLOCK_REALTIME, &now) == 0 &&
           now.tv_sec - st.st_mtim.tv_sec > LEFTOVER_AGE_S;
}

/* A process that was killed while it wrote leaves its temporary file. */
static void remove_leftovers(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        if (is_leftover(dir_fd, entry->d_name))
            (void)unlinkat(dir_fd, entry->d_name, 0);
    (void)closedir(dir);
}

/* By doing it: rights are more than mode bits, and a mount may be read-only. */
static int check_writable(int dir_fd)
{
    char name[JWKS_CACHE_MAX_NAME];
    int fd = open_temporary(dir_fd, name);
    if (fd < 0)
        return fd;
    (void)close(fd);
    return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

static struct jwks_cache *cache_free(struct jwks_cache *cache)
{
    LIST_FOREACH (node, &cache->jobs) {
        list_unlink(node);
        (void)job_free(LIST_ENTRY(node, struct job, node));
    }
    if (cache->dir_fd >= 0)
        (void)close(cache->dir_fd);
    (void)pthread_cond_destroy(&cache->wake);
    (void)pthread_cond_destroy(&cache->done);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
    return NULL;
}

/* What somebody has to correct. Anything else (a disk that is full, or was mounted read-only after
 * a fault) is no reason to do without the keys that can be read there. */
static bool is_mistake(int fault)
{
    return fault == -ENOENT || fault == -ENOTDIR || fault == -EACCES || fault == -EPERM;
}

static int open_dir(struct jwks_cache *cache)
{
    struct stat st;
    cache->dir_fd = open(cache->options.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cache->dir_fd < 0 || fstat(cache->dir_fd, &st) < 0)
        return -errno;
    cache->open_to_others = (st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.st_mode & S_ISVTX) == 0;
    remove_leftovers(cache->dir_fd); /* on a full disk it makes room */
    int r = check_writable(cache->dir_fd);
    if (is_mistake(r))
        return r;
    cache->write_fault = r;
    return 0;
}

/* Signals are for the main thread. */
static int start_thread(struct jwks_cache *cache)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&cache->thread, NULL, run, cache);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        (void)pthread_setname_np(cache->thread, "keys");
    return r;
}

int jwks_cache_open(const struct jwks_cache_options *options, struct jwks_cache **ret_cache)
{
    pthread_condattr_t monotonic;
    struct jwks_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return -ENOMEM;
    cache->options = *options;
    list_init(&cache->jobs);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&cache->lock, NULL);
    (void)pthread_cond_init(&cache->wake, &monotonic);
    (void)pthread_cond_init(&cache->done, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    int r = open_dir(cache);
    if (r == 0)
        r = start_thread(cache);
    if (r < 0) {
        (void)cache_free(cache);
        return r;
    }
    *ret_cache = cache;
    return 0;
}

int jwks_cache_write_fault(const struct jwks_cache *cache)
{
    return cache->write_fault;
}

bool jwks_cache_is_open_to_others(const struct jwks_cache *cache)
{
    return cache->open_to_others;
}

struct jwks_cache *jwks_cache_close(struct jwks_cache *cache, unsigned timeout_ms)
{
    struct timespec until;
    if (cache == NULL)
        return NULL;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    (void)pthread_mutex_lock(&cache->lock);
    cache->stop = true;
    (void)pthread_cond_signal(&cache->wake);
    while (!cache->has_ended &&
           pthread_cond_timedwait(&cache->done, &cache->lock, &until) != ETIMEDOUT)
        ;
    bool has_ended = cache->has_ended;
    cache->is_abandoned = !has_ended;
    (void)pthread_mutex_unlock(&cache->lock);
    if (!has_ended) {
        /* It hangs in a file system that does not answer: what it uses stays. */
        (void)pthread_detach(cache->thread);
        return NULL;
    }
    (void)pthread_join(cache->thread, NULL);
    return cache_free(cache);
}
