/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/reserve.h"
#include "net/curl_int.h"

/* Connections that libcurl may keep: never fewer than are open, or it would close some of ours. */
#define CURL_MAX_KEPT 100000L

#define TIMER_REST_MS 3600000 /* while libcurl waits for no time: nothing is done then */

struct socket_watch {
    struct watch watch;
    struct curl_loop *owner;
};

struct curl_loop {
    struct loop *loop;
    CURLM *multi;
    struct timer timer;
    struct socket_watch **by_fd; /* thousands may be connecting */
    size_t by_fd_len;
    void (*done)(void *private, CURLcode rc);
};

static void collect_done(struct curl_loop *curl_loop)
{
    int left;
    CURLMsg *message = curl_multi_info_read(curl_loop->multi, &left);
    while (message != NULL) {
        if (message->msg == CURLMSG_DONE) {
            void *private = NULL;
            CURLcode rc = message->data.result;
            (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&private);
            curl_loop->done(private, rc);
        }
        message = curl_multi_info_read(curl_loop->multi, &left);
    }
}

static void act(struct curl_loop *curl_loop, curl_socket_t fd, int mask)
{
    int running;
    (void)curl_multi_socket_action(curl_loop->multi, fd, mask, &running);
    collect_done(curl_loop);
}

static void on_socket_event(struct watch *watch, uint32_t events)
{
    struct socket_watch *sw = CONTAINER_OF(watch, struct socket_watch, watch);
    int mask = 0;
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0)
        mask |= CURL_CSELECT_IN;
    if ((events & EPOLLOUT) != 0)
        mask |= CURL_CSELECT_OUT;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        mask |= CURL_CSELECT_ERR;
    act(sw->owner, watch->fd, mask); /* may free SW */
}

/* Its place among the loop's timers was given up a moment ago, and is taken again before anybody
 * else can: that needs no memory, and cannot fail. */
static void on_timer(struct timer *timer)
{
    struct curl_loop *curl_loop = CONTAINER_OF(timer, struct curl_loop, timer);
    (void)loop_timer_in(curl_loop->loop, timer, TIMER_REST_MS);
    act(curl_loop, CURL_SOCKET_TIMEOUT, 0);
}

static void drop_socket(struct curl_loop *curl_loop, struct socket_watch *sw)
{
    curl_loop->by_fd[sw->watch.fd] = NULL;
    loop_unwatch(curl_loop->loop, &sw->watch);
    reserve_free(sw);
}

static struct socket_watch *find_socket(struct curl_loop *curl_loop, curl_socket_t fd)
{
    return fd >= 0 && (size_t)fd < curl_loop->by_fd_len ? curl_loop->by_fd[fd] : NULL;
}

static int grow_table(struct curl_loop *curl_loop, curl_socket_t fd)
{
    size_t need = (size_t)fd + 1;
    if (need <= curl_loop->by_fd_len)
        return 0;
    size_t len = size_max(need, curl_loop->by_fd_len * 2);
    struct socket_watch **grown = reallocarray(curl_loop->by_fd, len, sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    for (size_t i = curl_loop->by_fd_len; i < len; i++)
        grown[i] = NULL;
    curl_loop->by_fd = grown;
    curl_loop->by_fd_len = len;
    return 0;
}

static int watch_socket(struct curl_loop *curl_loop, curl_socket_t fd, uint32_t events)
{
    struct socket_watch *sw = find_socket(curl_loop, fd);
    if (sw != NULL)
        return loop_rewatch(curl_loop->loop, &sw->watch, events);
    if (grow_table(curl_loop, fd) < 0)
        return -ENOMEM;
    sw = reserve_calloc(1, sizeof(*sw));
    if (sw == NULL)
        return -ENOMEM;
    sw->owner = curl_loop;
    sw->watch.fn = on_socket_event;
    int r = loop_watch(curl_loop->loop, &sw->watch, fd, events);
    if (r < 0) {
        reserve_free(sw);
        return r;
    }
    curl_loop->by_fd[fd] = sw;
    return 0;
}

static int on_socket_change(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct curl_loop *curl_loop = ctx;
    (void)easy;
    (void)socket_ctx;
    if (what == CURL_POLL_REMOVE) {
        curl_loop_forget_socket(curl_loop, fd);
        return 0;
    }
    uint32_t events = 0;
    if ((what & CURL_POLL_IN) != 0)
        events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0)
        events |= EPOLLOUT;
    /* A failure that is told ends the whole handle, for all transfers and for good. Untold, this
     * transfer alone hears nothing of its socket, and ends when its time is over. */
    (void)watch_socket(curl_loop, fd, events);
    return 0;
}

static int on_timer_change(CURLM *multi, long timeout_ms, void *ctx)
{
    struct curl_loop *curl_loop = ctx;
    (void)multi;
    /* It is armed always, since curl_loop_new(): moving it needs no memory. One that is paused
     * would lose its place. */
    (void)loop_timer_in(curl_loop->loop, &curl_loop->timer,
                        timeout_ms < 0 ? TIMER_REST_MS : timeout_ms);
    return 0;
}

struct curl_loop *curl_loop_new(struct loop *loop, void (*done)(void *private, CURLcode rc))
{
    struct curl_loop *curl_loop = calloc(1, sizeof(*curl_loop));
    if (curl_loop == NULL)
        return NULL;
    curl_loop->loop = loop;
    curl_loop->done = done;
    curl_loop->timer.fn = on_timer;
    curl_loop->multi = curl_multi_init();
    if (curl_loop->multi == NULL || loop_timer_in(loop, &curl_loop->timer, TIMER_REST_MS) < 0)
        return curl_loop_free(curl_loop);
    (void)curl_multi_setopt(curl_loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    (void)curl_multi_setopt(curl_loop->multi, CURLMOPT_SOCKETDATA, curl_loop);
    (void)curl_multi_setopt(curl_loop->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    (void)curl_multi_setopt(curl_loop->multi, CURLMOPT_TIMERDATA, curl_loop);
    (void)curl_multi_setopt(curl_loop->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    (void)curl_multi_setopt(curl_loop->multi, CURLMOPT_MAXCONNECTS, CURL_MAX_KEPT);
    return curl_loop;
}

struct curl_loop *curl_loop_free(struct curl_loop *curl_loop)
{
    if (curl_loop == NULL)
        return NULL;
    if (curl_loop->multi != NULL)
        (void)curl_multi_cleanup(curl_loop->multi);
    for (size_t fd = 0; fd < curl_loop->by_fd_len; fd++)
        if (curl_loop->by_fd[fd] != NULL)
            drop_socket(curl_loop, curl_loop->by_fd[fd]);
    free(curl_loop->by_fd);
    loop_timer_stop(curl_loop->loop, &curl_loop->timer);
    free(curl_loop);
    return NULL;
}

int curl_loop_add(struct curl_loop *curl_loop, CURL *easy)
{
    return curl_multi_add_handle(curl_loop->multi, easy) == CURLM_OK ? 0 : -ENOMEM;
}

void curl_loop_remove(struct curl_loop *curl_loop, CURL *easy)
{
    (void)curl_multi_remove_handle(curl_loop->multi, easy);
}

void curl_loop_forget_socket(struct curl_loop *curl_loop, curl_socket_t fd)
{
    struct socket_watch *sw = find_socket(curl_loop, fd);
    if (sw != NULL)
        drop_socket(curl_loop, sw);
}
