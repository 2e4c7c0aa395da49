/* SPDX-License-Identifier: Apache-2.0 */
#include "net/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/list.h"

struct letter {
    struct list node;
    void (*deliver)(void *ctx, void *arg);
    void *ctx;
    void *arg;
};

struct mailbox {
    struct loop *loop;
    struct watch watch;
    int event_fd;
    pthread_mutex_t lock; /* guards LETTERS */
    struct list letters;
};

static void mailbox_deliver(struct mailbox *mailbox)
{
    struct list taken;
    list_init(&taken);
    (void)pthread_mutex_lock(&mailbox->lock);
    LIST_FOREACH (node, &mailbox->letters) {
        list_unlink(node);
        list_append(&taken, node);
    }
    (void)pthread_mutex_unlock(&mailbox->lock);
    LIST_FOREACH (node, &taken) {
        struct letter *letter = LIST_ENTRY(node, struct letter, node);
        letter->deliver(letter->ctx, letter->arg);
        free(letter);
    }
}

static void on_wake(struct watch *watch, uint32_t events)
{
    struct mailbox *mailbox = CONTAINER_OF(watch, struct mailbox, watch);
    uint64_t count;
    (void)events;
    ssize_t n = read(mailbox->event_fd, &count, sizeof(count));
    if (n == (ssize_t)sizeof(count))
        mailbox_deliver(mailbox);
}

struct mailbox *mailbox_new(struct loop *loop)
{
    struct mailbox *mailbox = calloc(1, sizeof(*mailbox));
    if (mailbox == NULL)
        return NULL;
    mailbox->loop = loop;
    mailbox->watch = (struct watch){.fd = -1, .fn = on_wake};
    list_init(&mailbox->letters);
    (void)pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->event_fd < 0 || loop_watch(loop, &mailbox->watch, mailbox->event_fd, EPOLLIN) < 0)
        return mailbox_free(mailbox);
    return mailbox;
}

struct mailbox *mailbox_free(struct mailbox *mailbox)
{
    if (mailbox == NULL)
        return NULL;
    mailbox_deliver(mailbox);
    loop_unwatch(mailbox->loop, &mailbox->watch);
    if (mailbox->event_fd >= 0)
        (void)close(mailbox->event_fd);
    (void)pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
    return NULL;
}

int mailbox_post(struct mailbox *mailbox, void (*deliver)(void *ctx, void *arg), void *ctx,
                 void *arg)
{
    static const uint64_t one = 1;
    struct letter *letter = malloc(sizeof(*letter));
    if (letter == NULL)
        return -ENOMEM;
    *letter = (struct letter){.deliver = deliver, .ctx = ctx, .arg = arg};
    (void)pthread_mutex_lock(&mailbox->lock);
    list_append(&mailbox->letters, &letter->node);
    (void)pthread_mutex_unlock(&mailbox->lock);
    /* Fails only when the counter is full, and then the owner is woken anyway. */
    ssize_t n = write(mailbox->event_fd, &one, sizeof(one));
    (void)n;
    return 0;
}
