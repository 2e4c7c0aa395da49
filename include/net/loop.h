/* SPDX-License-Identifier: Apache-2.0 */
/* One epoll instance with watches and timers: the heart of a thread.
 *
 * Everything here belongs to one thread. A turn waits for events and calls the watches and the
 * timers that are due; what else happens in a turn (running transactions, libmicrohttpd, reaping)
 * is the business of the thread's owner. Watches and timers are members of the caller's objects;
 * removing one is always allowed, also from inside a callback, and takes effect at once. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/clock.h"

struct loop;

struct watch {
    int fd;          /* -1 when not watched */
    uint32_t events; /* EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLET, EPOLLEXCLUSIVE */
    void (*fn)(struct watch *watch, uint32_t events);
};

struct timer {
    int64_t due_ms;  /* monotonic; INT64_MAX while it is paused */
    int64_t seen_ms; /* when the loop looks at it next: never later than due_ms */
    uint32_t slot;   /* place in the heap + 1; 0 when the loop does not know it */
    void (*fn)(struct timer *timer);
};

/* NULL when the kernel gives no epoll or memory is short. */
struct loop *loop_new(void);
struct loop *loop_free(struct loop *loop);

/* Starts watching FD; the descriptor stays the caller's. 0 or -errno. */
int loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events);
/* Changes what is watched; does nothing when nothing changes. 0 or -errno. */
int loop_rewatch(struct loop *loop, struct watch *watch, uint32_t events);
/* Stops watching. Must be called before the descriptor is closed. */
void loop_unwatch(struct loop *loop, struct watch *watch);

/* Arms TIMER for a moment of the monotonic clock, in milliseconds; moves it when it is armed. To a
 * later moment that costs nothing: the loop finds out when it looks at the timer. 0 or -ENOMEM. */
int loop_timer_at(struct loop *loop, struct timer *timer, int64_t due_ms);
int loop_timer_in(struct loop *loop, struct timer *timer, int64_t delay_ms);
/* The loop forgets TIMER. Must be called before its memory goes. */
void loop_timer_stop(struct loop *loop, struct timer *timer);
/* It will not fire, and the loop keeps its place for when it is armed again: for deadlines that
 * come and go with every request. */
void loop_timer_pause(struct timer *timer);
static inline bool timer_is_armed(const struct timer *timer)
{
    return timer->slot != 0 && timer->due_ms != INT64_MAX;
}

/* Waits at most MAX_WAIT_MS (-1: for ever) for an event or a timer, then calls what is due. */
void loop_turn(struct loop *loop, int max_wait_ms);

/* The time that was read when the current turn woke up. */
const struct clock *loop_clock(const struct loop *loop);
static inline int64_t loop_now_ms(const struct loop *loop)
{
    return clock_mono_ms(loop_clock(loop));
}

#endif
