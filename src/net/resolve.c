/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Look-ups that were cancelled and whose threads still wait for the system: a resolver that hangs
 * must not fill the process with threads. */
#define MAX_ABANDONED 64
static atomic_uint n_abandoned;

/* Of the thread, of its letter and of the one who asked: whoever is last frees. getaddrinfo()
 * cannot be interrupted, so a look-up that was cancelled goes on by itself and reaches nobody. */
struct resolve {
    atomic_uint refs;
    pthread_mutex_t lock;
    struct mailbox *mailbox; /* NULL: cancelled */
    bool found;              /* the thread waits for nobody any more */
    bool cancelled;          /* only the asker's thread looks at it */
    unsigned turn;
    void (*done)(void *ctx, const char *text);
    void *ctx;
    char host[RESOLVE_MAX_HOST + 1];
    char text[INET6_ADDRSTRLEN]; /* "": none */
};

static void resolve_unref(struct resolve *resolve)
{
    if (atomic_fetch_sub(&resolve->refs, 1) != 1)
        return;
    (void)pthread_mutex_destroy(&resolve->lock);
    free(resolve);
}

static void deliver(void *ctx, void *arg)
{
    struct resolve *resolve = arg;
    (void)ctx;
    if (!resolve->cancelled) {
        resolve->done(resolve->ctx, resolve->text[0] != '\0' ? resolve->text : NULL);
        resolve_unref(resolve); /* the asker's */
    }
    resolve_unref(resolve); /* the letter's */
}

static void look_up(struct resolve *resolve)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    unsigned n = 0;
    if (getaddrinfo(resolve->host, NULL, &hints, &list) != 0)
        return;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
        n++;
    const struct addrinfo *chosen = list;
    for (unsigned i = 0; n > 0 && i < resolve->turn % n; i++)
        chosen = chosen->ai_next;
    if (chosen != NULL && getnameinfo(chosen->ai_addr, chosen->ai_addrlen, resolve->text,
                                      sizeof(resolve->text), NULL, 0, NI_NUMERICHOST) != 0)
        resolve->text[0] = '\0';
    freeaddrinfo(list);
}

/* The letter may be read before this returns, so the thread has a reference of its own. */
static bool post(struct resolve *resolve)
{
    (void)pthread_mutex_lock(&resolve->lock);
    resolve->found = true;
    if (resolve->mailbox == NULL)
        (void)atomic_fetch_sub(&n_abandoned, 1);
    bool posted =
        resolve->mailbox != NULL && mailbox_post(resolve->mailbox, deliver, NULL, resolve) == 0;
    (void)pthread_mutex_unlock(&resolve->lock);
    return posted;
}

static void *resolve_main(void *arg)
{
    struct resolve *resolve = arg;
    look_up(resolve);
    if (!post(resolve))
        resolve_unref(resolve); /* the letter's */
    resolve_unref(resolve);     /* the thread's */
    return NULL;
}

static int start_thread(struct resolve *resolve)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    r = pthread_create(&thread, &attributes, resolve_main, resolve);
    (void)pthread_attr_destroy(&attributes);
    return -r;
}

struct resolve *resolve_start(struct mailbox *mailbox, const char *host, unsigned turn,
                              void (*done)(void *ctx, const char *text), void *ctx)
{
    bool may = strlen(host) <= RESOLVE_MAX_HOST && atomic_load(&n_abandoned) < MAX_ABANDONED;
    struct resolve *resolve = may ? calloc(1, sizeof(*resolve)) : NULL;
    if (resolve == NULL)
        return NULL;
    atomic_store(&resolve->refs, 3);
    (void)pthread_mutex_init(&resolve->lock, NULL);
    resolve->mailbox = mailbox;
    resolve->turn = turn;
    resolve->done = done;
    resolve->ctx = ctx;
    (void)snprintf(resolve->host, sizeof(resolve->host), "%s", host);
    if (start_thread(resolve) == 0)
        return resolve;
    (void)pthread_mutex_destroy(&resolve->lock);
    free(resolve);
    return NULL;
}

struct resolve *resolve_cancel(struct resolve *resolve)
{
    if (resolve == NULL)
        return NULL;
    (void)pthread_mutex_lock(&resolve->lock);
    resolve->mailbox = NULL;
    if (!resolve->found)
        (void)atomic_fetch_add(&n_abandoned, 1);
    (void)pthread_mutex_unlock(&resolve->lock);
    resolve->cancelled = true;
    resolve_unref(resolve);
    return NULL;
}
