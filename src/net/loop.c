/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

#define LOOP_BATCH 128

struct loop {
    int epoll_fd;
    struct clock clock;
    struct epoll_event batch[LOOP_BATCH];
    int batch_at; /* the event that is being handled */
    int batch_len;
    struct timer **heap; /* binary heap by seen_ms, earliest first */
    uint32_t heap_len;
    uint32_t heap_cap;
};

struct loop *loop_new(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return NULL;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->clock = clock_read();
    if (loop->epoll_fd < 0)
        return loop_free(loop);
    return loop;
}

struct loop *loop_free(struct loop *loop)
{
    if (loop == NULL)
        return NULL;
    if (loop->epoll_fd >= 0)
        (void)close(loop->epoll_fd);
    free(loop->heap);
    free(loop);
    return NULL;
}

const struct clock *loop_clock(const struct loop *loop)
{
    return &loop->clock;
}

static int control(struct loop *loop, int op, struct watch *watch)
{
    struct epoll_event event = {.events = watch->events, .data.ptr = watch};
    return epoll_ctl(loop->epoll_fd, op, watch->fd, &event) == 0 ? 0 : -errno;
}

int loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
    watch->fd = fd;
    watch->events = events;
    int r = control(loop, EPOLL_CTL_ADD, watch);
    if (r < 0)
        watch->fd = -1;
    return r;
}

int loop_rewatch(struct loop *loop, struct watch *watch, uint32_t events)
{
    if (watch->events == events)
        return 0;
    watch->events = events;
    return control(loop, EPOLL_CTL_MOD, watch);
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
    if (watch->fd < 0)
        return;
    (void)control(loop, EPOLL_CTL_DEL, watch);
    watch->fd = -1;
    /* Events of this batch that still wait for their turn must not reach a dead watch. */
    for (int i = loop->batch_at + 1; i < loop->batch_len; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
}

static void heap_place(struct loop *loop, uint32_t at, struct timer *timer)
{
    loop->heap[at] = timer;
    timer->slot = at + 1;
}

static void heap_up(struct loop *loop, uint32_t at)
{
    struct timer *timer = loop->heap[at];
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (loop->heap[parent]->seen_ms <= timer->seen_ms)
            break;
        heap_place(loop, at, loop->heap[parent]);
        at = parent;
    }
    heap_place(loop, at, timer);
}

static void heap_down(struct loop *loop, uint32_t at)
{
    struct timer *timer = loop->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= loop->heap_len)
            break;
        if (child + 1 < loop->heap_len &&
            loop->heap[child + 1]->seen_ms < loop->heap[child]->seen_ms)
            child++;
        if (timer->seen_ms <= loop->heap[child]->seen_ms)
            break;
        heap_place(loop, at, loop->heap[child]);
        at = child;
    }
    heap_place(loop, at, timer);
}

static int heap_grow(struct loop *loop)
{
    if (loop->heap_len < loop->heap_cap)
        return 0;
    uint32_t cap = loop->heap_cap == 0 ? 64 : loop->heap_cap * 2;
    struct timer **heap = reallocarray(loop->heap, cap, sizeof(struct timer *));
    if (heap == NULL)
        return -ENOMEM;
    loop->heap = heap;
    loop->heap_cap = cap;
    return 0;
}

int loop_timer_at(struct loop *loop, struct timer *timer, int64_t due_ms)
{
    if (timer->slot == 0) {
        int r = heap_grow(loop);
        if (r < 0)
            return r;
        timer->seen_ms = due_ms;
        heap_place(loop, loop->heap_len++, timer);
        heap_up(loop, timer->slot - 1);
    } else if (due_ms < timer->seen_ms) {
        timer->seen_ms = due_ms;
        heap_up(loop, timer->slot - 1);
    }
    timer->due_ms = due_ms;
    return 0;
}

int loop_timer_in(struct loop *loop, struct timer *timer, int64_t delay_ms)
{
    return loop_timer_at(loop, timer, loop_now_ms(loop) + delay_ms);
}

void loop_timer_stop(struct loop *loop, struct timer *timer)
{
    if (timer->slot == 0)
        return;
    uint32_t at = timer->slot - 1;
    struct timer *last = loop->heap[--loop->heap_len];
    timer->slot = 0;
    if (last == timer)
        return;
    heap_place(loop, at, last);
    heap_up(loop, at);
    heap_down(loop, last->slot - 1);
}

void loop_timer_pause(struct timer *timer)
{
    timer->due_ms = INT64_MAX;
}

static int wait_ms(const struct loop *loop, int max_wait_ms)
{
    if (loop->heap_len == 0)
        return max_wait_ms;
    int64_t left = loop->heap[0]->seen_ms - clock_mono_ms(&loop->clock);
    if (left < 0)
        left = 0;
    if (max_wait_ms >= 0 && left > max_wait_ms)
        return max_wait_ms;
    return left > INT_MAX ? INT_MAX : (int)left;
}

static void run_timers(struct loop *loop)
{
    int64_t now = clock_mono_ms(&loop->clock);
    while (loop->heap_len > 0 && loop->heap[0]->seen_ms <= now) {
        struct timer *timer = loop->heap[0];
        if (!timer_is_armed(timer)) {
            loop_timer_stop(loop, timer);
        } else if (timer->seen_ms < timer->due_ms) { /* it was moved */
            timer->seen_ms = timer->due_ms;
            heap_down(loop, 0);
        } else {
            loop_timer_stop(loop, timer);
            timer->fn(timer);
        }
    }
}

void loop_turn(struct loop *loop, int max_wait_ms)
{
    int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, wait_ms(loop, max_wait_ms));
    loop->clock = clock_read();
    loop->batch_len = n > 0 ? n : 0;
    for (loop->batch_at = 0; loop->batch_at < loop->batch_len; loop->batch_at++) {
        const struct epoll_event *event = &loop->batch[loop->batch_at];
        struct watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->fn(watch, event->events);
    }
    loop->batch_len = 0;
    run_timers(loop);
}
