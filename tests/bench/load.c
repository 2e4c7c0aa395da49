/* SPDX-License-Identifier: Apache-2.0 */
/* Loads one contender and measures it from outside. The window is cut out of steady
 * load: CPU time and counters are read at both of its ends while calls go on, so that connecting,
 * warming up and ending are not in the figures. */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tool.h"

#define BATCH 256
#define RECEIVE_MAX (256U * 1024)
#define MAX_TOKEN 4096
#define SETTLE_NS INT64_C(300000000)

/* One look at the contender. */
struct sample {
    int64_t at_ns;
    uint64_t cpu_ns;
};

struct memory {
    uint64_t before_kib; /* nothing open */
    uint64_t open_kib;   /* the idle streams open and quiet */
    uint64_t after_kib;  /* at the end of the window */
    uint64_t rest_kib;   /* some time after all was closed */
};

static void read_tokens(struct load *load)
{
    char line[MAX_TOKEN];
    size_t room = 0;
    FILE *file = fopen(load->options.tokens, "re");
    if (file == NULL)
        tool_die("cannot read %s: %s", load->options.tokens, strerror(errno));
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (load->n_tokens == room) {
            room = room == 0 ? 256 : room * 2;
            load->tokens = reallocarray(load->tokens, room, sizeof(*load->tokens));
        }
        if (load->tokens == NULL || (load->tokens[load->n_tokens++] = strdup(line)) == NULL)
            tool_die("out of memory");
    }
    (void)fclose(file);
    if (load->n_tokens == 0)
        tool_die("no token in %s", load->options.tokens);
}

static void open_saved(struct load *load)
{
    if (load->options.save == NULL)
        return;
    load->saved = fopen(load->options.save, "we");
    if (load->saved == NULL)
        tool_die("cannot write %s: %s", load->options.save, strerror(errno));
}

static const char *take_token(struct load *load)
{
    if (load->next_token == load->n_tokens) {
        if (load->options.is_once)
            tool_die("all %zu tokens were used", load->n_tokens);
        load->next_token = 0;
    }
    return load->tokens[load->next_token++];
}

void endpoint_open(struct load *load, struct endpoint *endpoint,
                   void (*on_bytes)(struct load *, struct endpoint *, const char *, size_t))
{
    endpoint->fd = tool_connect(load->options.port);
    endpoint->on_bytes = on_bytes;
    tool_epoll_add(load->epoll_fd, endpoint->fd, EPOLLIN, endpoint);
}

void endpoint_send(struct load *load, const struct endpoint *endpoint, const char *prefix,
                   const char *suffix)
{
    const char *parts[] = {prefix, take_token(load), suffix};
    struct iovec vectors[3];
    ssize_t total = 0;
    for (size_t i = 0; i < 3; i++) {
        vectors[i].iov_base = (void *)(uintptr_t)parts[i];
        vectors[i].iov_len = strlen(parts[i]);
        total += (ssize_t)vectors[i].iov_len;
    }
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3};
    if (sendmsg(endpoint->fd, &message, MSG_NOSIGNAL) != total)
        tool_die("a request could not be sent: %s", strerror(errno));
}

static void endpoint_receive(struct load *load, struct endpoint *endpoint, char *bytes)
{
    ssize_t len = recv(endpoint->fd, bytes, RECEIVE_MAX, 0);
    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0)
        tool_die("the contender closed a connection: %s",
                 len < 0 ? strerror(errno) : "end of file");
    endpoint->on_bytes(load, endpoint, bytes, (size_t)len);
}

void load_turn(struct load *load, int64_t timeout_ns)
{
    static char bytes[RECEIVE_MAX];
    struct epoll_event events[BATCH];
    int n = tool_epoll_wait(load->epoll_fd, events, BATCH, timeout_ns);
    for (int i = 0; i < n; i++)
        endpoint_receive(load, events[i].data.ptr, bytes);
}

bool load_has_enough(const struct load *load)
{
    return load->is_measuring && load->options.requests > 0 &&
           load->calls_taken.count >= load->options.requests;
}

static void run_for(struct load *load, int64_t duration_ns)
{
    int64_t end_ns = tool_now_ns() + duration_ns;
    for (int64_t now_ns = tool_now_ns(); now_ns < end_ns && !load_has_enough(load);
         now_ns = tool_now_ns()) {
        int64_t due_ns = calls_send_due(load);
        int64_t until_ns = due_ns < end_ns ? due_ns : end_ns;
        load_turn(load, until_ns > now_ns ? until_ns - now_ns : 0);
    }
}

static struct sample take_sample(const struct load *load)
{
    struct sample sample = {.at_ns = tool_now_ns()};
    int r = process_cpu_ns(&load->options.contender, &sample.cpu_ns);
    if (r < 0)
        tool_die("cannot read the CPU time of the contender: %s", strerror(-r));
    return sample;
}

static uint64_t take_memory(const struct load *load)
{
    uint64_t kib = 0;
    int r = process_rss_kib(&load->options.contender, &kib);
    if (r < 0)
        tool_die("cannot read the memory of the contender: %s", strerror(-r));
    return kib;
}

/* An upstream that sends less than it should, or a contender that loses events or cannot keep up. A
 * busy machine may owe some at the end of the window. */
static void check_events(const struct load *load, double seconds)
{
    double wanted = load->options.active * seconds * 1000 / load->options.every_ms;
    if ((double)load->events_taken.count < wanted * 0.75)
        tool_die("%" PRIu64 " events instead of about %.0f", load->events_taken.count, wanted);
}

static void print_latency(const char *name, const struct histogram *taken)
{
    printf("%sp50_us %.1f\n", name, (double)histogram_percentile_ns(taken, 0.5) / 1e3);
    printf("%sp99_us %.1f\n", name, (double)histogram_percentile_ns(taken, 0.99) / 1e3);
    printf("%smax_us %.1f\n", name, (double)taken->max_ns / 1e3);
}

static void report(const struct load *load, struct sample from, struct sample to,
                   struct memory memory)
{
    double seconds = (double)(to.at_ns - from.at_ns) / 1e9;
    double cpu_us = (double)(to.cpu_ns - from.cpu_ns) / 1e3;
    check_events(load, seconds);
    printf("seconds %.3f\n", seconds);
    printf("busy %.3f\n", cpu_us / 1e6 / seconds);
    if (load->calls_taken.count > 0) {
        printf("requests %" PRIu64 "\n", load->calls_taken.count);
        printf("rps %.0f\n", (double)load->calls_taken.count / seconds);
        printf("cpu_us %.2f\n", cpu_us / (double)load->calls_taken.count);
        print_latency("", &load->calls_taken);
    }
    if (load->events_taken.count > 0) {
        printf("events %" PRIu64 "\n", load->events_taken.count);
        printf("event_cpu_us %.2f\n", cpu_us / (double)load->events_taken.count);
        print_latency("event_", &load->events_taken);
    }
    printf("rss_before_kib %" PRIu64 "\n", memory.before_kib);
    printf("rss_after_kib %" PRIu64 "\n", memory.after_kib);
    if (load->options.rest_ms > 0)
        printf("rss_rest_kib %" PRIu64 "\n", memory.rest_kib);
    if (load->options.idle > 0)
        printf("stream_kib %.2f\n",
               ((double)memory.open_kib - (double)memory.before_kib) / load->options.idle);
}

int main(int argc, char **argv)
{
    static struct load load;
    struct memory memory;
    load.options = load_options_parse(argc, argv);
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    tool_exact_timers();
    read_tokens(&load);
    open_saved(&load);

    memory.before_kib = take_memory(&load);
    streams_open(&load);
    if (load.options.idle > 0)
        run_for(&load, SETTLE_NS);
    memory.open_kib = take_memory(&load);

    calls_start(&load);
    run_for(&load, load.options.warmup_ms * INT64_C(1000000));
    load.is_measuring = true;
    struct sample from = take_sample(&load);
    run_for(&load, load.options.window_ms * INT64_C(1000000));
    struct sample to = take_sample(&load);
    memory.after_kib = take_memory(&load);

    calls_free(&load);
    streams_free(&load);
    (void)usleep(load.options.rest_ms * 1000);
    memory.rest_kib = take_memory(&load);
    report(&load, from, to, memory);
    if (load.saved != NULL && fclose(load.saved) != 0)
        tool_die("cannot write %s: %s", load.options.save, strerror(errno));
    for (size_t i = 0; i < load.n_tokens; i++)
        free(load.tokens[i]);
    free(load.tokens);
    return 0;
}
