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
#define MAX_REQUEST (MAX_TOKEN + 2048)
#define SETTLE_NS INT64_C(300000000)
#define SETTLE_SLOW_NS INT64_C(2000000000) /* until buffers on the way are full */
#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* One look at the contender. */
struct sample {
    int64_t at_ns;
    uint64_t cpu_ns;
};

struct memory {
    uint64_t before_kib; /* nothing open */
    uint64_t open_kib;   /* the idle streams open and quiet, or the slow readers at work */
    uint64_t after_kib;  /* at the end of the window */
    uint64_t rest_kib;   /* some time after all was closed */
};

/* max 0: all of them. */
static void read_tokens(struct token_list *list, size_t max)
{
    char line[MAX_TOKEN];
    size_t room = 0;
    FILE *file = fopen(list->file, "re");
    if (file == NULL)
        tool_die("cannot read %s: %s", list->file, strerror(errno));
    while ((max == 0 || list->len < max) && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (list->len == room) {
            room = room == 0 ? 256 : room * 2;
            list->tokens = reallocarray(list->tokens, room, sizeof(*list->tokens));
        }
        if (list->tokens == NULL || (list->tokens[list->len++] = strdup(line)) == NULL)
            tool_die("out of memory");
    }
    (void)fclose(file);
    if (list->len == 0 || list->len < max)
        tool_die("%zu tokens in %s", list->len, list->file);
}

static void make_groups(struct load *load)
{
    const struct load_options *options = &load->options;
    load->good = (struct call_group){
        .len = options->connections,
        .expect = options->expect,
        .tokens = {.file = options->tokens, .is_once = options->is_once},
    };
    load->flood = (struct call_group){
        .len = options->flood,
        .expect = 401,
        .tokens = {.file = options->flood_tokens},
    };
    read_tokens(&load->good.tokens, options->take);
    if (options->flood > 0)
        read_tokens(&load->flood.tokens, 0);
}

static void free_tokens(struct token_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        free(list->tokens[i]);
    free(list->tokens);
}

static void open_saved(struct load *load)
{
    if (load->options.save == NULL)
        return;
    load->saved = fopen(load->options.save, "we");
    if (load->saved == NULL)
        tool_die("cannot write %s: %s", load->options.save, strerror(errno));
}

static const char *take_token(struct token_list *list)
{
    if (list->next == list->len) {
        if (list->is_once)
            tool_die("all %zu tokens were used", list->len);
        list->next = 0;
    }
    return list->tokens[list->next++];
}

void endpoint_open(struct load *load, struct endpoint *endpoint, struct tool_source source,
                   void (*on_bytes)(struct load *, struct endpoint *, const char *, size_t))
{
    endpoint->fd = tool_connect(load->options.port, source);
    endpoint->tls = load->options.is_tls ? tls_open(endpoint->fd) : NULL;
    endpoint->on_bytes = on_bytes;
    endpoint->on_close = NULL;
    tool_epoll_add(load->epoll_fd, endpoint->fd, EPOLLIN, endpoint);
}

void endpoint_close(struct endpoint *endpoint)
{
    endpoint->tls = tls_free(endpoint->tls);
    (void)close(endpoint->fd);
}

/* One TLS record, one write: the parts are put together. */
static bool send_sealed(const struct endpoint *endpoint, const char *const parts[3])
{
    char bytes[MAX_REQUEST];
    int len = snprintf(bytes, sizeof(bytes), "%s%s%s", parts[0], parts[1], parts[2]);
    return len < (int)sizeof(bytes) && tls_send(endpoint->tls, bytes, (size_t)len);
}

static bool send_plain(const struct endpoint *endpoint, const char *const parts[3])
{
    struct iovec vectors[3];
    ssize_t total = 0;
    for (size_t i = 0; i < 3; i++) {
        vectors[i].iov_base = (void *)(uintptr_t)parts[i];
        vectors[i].iov_len = strlen(parts[i]);
        total += (ssize_t)vectors[i].iov_len;
    }
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3};
    return sendmsg(endpoint->fd, &message, MSG_NOSIGNAL) == total;
}

bool endpoint_send(const struct endpoint *endpoint, struct token_list *tokens, const char *prefix,
                   const char *suffix)
{
    const char *parts[3] = {prefix, take_token(tokens), suffix};
    bool is_sent =
        endpoint->tls != NULL ? send_sealed(endpoint, parts) : send_plain(endpoint, parts);
    if (!is_sent && endpoint->on_close == NULL)
        tool_die("a request could not be sent: %s", strerror(errno));
    return is_sent;
}

/* Returns whether there may be more: TLS keeps what it has decrypted, and epoll does not see it. */
static bool endpoint_receive(struct load *load, struct endpoint *endpoint, char *bytes)
{
    bool is_tls = endpoint->tls != NULL;
    ssize_t len = is_tls ? tls_receive(endpoint->tls, bytes, RECEIVE_MAX)
                         : recv(endpoint->fd, bytes, RECEIVE_MAX, 0);
    if (len < 0 && errno == EAGAIN)
        return false;
    if (len > 0) {
        endpoint->on_bytes(load, endpoint, bytes, (size_t)len);
        return is_tls;
    }
    if (endpoint->on_close == NULL)
        tool_die("the contender closed a connection: %s",
                 len < 0 ? strerror(errno) : "end of file");
    endpoint->on_close(load, endpoint);
    return false;
}

void load_turn(struct load *load, int64_t timeout_ns)
{
    static char bytes[RECEIVE_MAX];
    struct epoll_event events[BATCH];
    int n = tool_epoll_wait(load->epoll_fd, events, BATCH, timeout_ns);
    for (int i = 0; i < n; i++)
        while (endpoint_receive(load, events[i].data.ptr, bytes))
            ;
}

bool load_has_enough(const struct load *load)
{
    return load->is_measuring && load->options.requests > 0 &&
           load->good.taken.count >= load->options.requests;
}

static void run_for(struct load *load, int64_t duration_ns)
{
    int64_t end_ns = tool_now_ns() + duration_ns;
    for (int64_t now_ns = tool_now_ns(); now_ns < end_ns && !load_has_enough(load);
         now_ns = tool_now_ns()) {
        int64_t until_ns = MIN(MIN(calls_send_due(load), slow_read_due(load)), end_ns);
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
    printf("%sp90_us %.1f\n", name, (double)histogram_percentile_ns(taken, 0.9) / 1e3);
    printf("%sp99_us %.1f\n", name, (double)histogram_percentile_ns(taken, 0.99) / 1e3);
    printf("%smax_us %.1f\n", name, (double)taken->max_ns / 1e3);
}

/* The CPU time of both kinds of calls cannot be told apart: per call, whichever it was. */
static void report_flood(const struct load *load, double seconds, double cpu_us)
{
    const struct call_group *flood = &load->flood;
    if (load->good.n_reconnects + flood->n_reconnects > 0)
        printf("reconnects %" PRIu64 "\n", load->good.n_reconnects + flood->n_reconnects);
    if (flood->len == 0)
        return;
    if (flood->taken.count == 0)
        tool_die("no answer to the flood");
    printf("flood_rps %.0f\n", (double)flood->taken.count / seconds);
    printf("any_cpu_us %.2f\n", cpu_us / (double)(flood->taken.count + load->good.taken.count));
    print_latency("flood_", &flood->taken);
}

static void report(const struct load *load, struct sample from, struct sample to,
                   struct memory memory)
{
    double seconds = (double)(to.at_ns - from.at_ns) / 1e9;
    double cpu_us = (double)(to.cpu_ns - from.cpu_ns) / 1e3;
    check_events(load, seconds);
    printf("seconds %.3f\n", seconds);
    printf("busy %.3f\n", cpu_us / 1e6 / seconds);
    if (load->good.taken.count > 0) {
        printf("requests %" PRIu64 "\n", load->good.taken.count);
        printf("rps %.0f\n", (double)load->good.taken.count / seconds);
        printf("cpu_us %.2f\n", cpu_us / (double)load->good.taken.count);
        print_latency("", &load->good.taken);
    }
    if (load->events_taken.count > 0) {
        printf("events %" PRIu64 "\n", load->events_taken.count);
        printf("event_cpu_us %.2f\n", cpu_us / (double)load->events_taken.count);
        print_latency("event_", &load->events_taken);
    }
    report_flood(load, seconds, cpu_us);
    printf("rss_before_kib %" PRIu64 "\n", memory.before_kib);
    printf("rss_after_kib %" PRIu64 "\n", memory.after_kib);
    if (load->options.rest_ms > 0)
        printf("rss_rest_kib %" PRIu64 "\n", memory.rest_kib);
    if (load->options.idle > 0)
        printf("stream_kib %.2f\n",
               ((double)memory.open_kib - (double)memory.before_kib) / load->options.idle);
    if (load->options.slow > 0)
        printf("slow_kib %.2f\n",
               ((double)memory.open_kib - (double)memory.before_kib) / load->options.slow);
}

int main(int argc, char **argv)
{
    static struct load load;
    struct memory memory;
    load.options = load_options_parse(argc, argv);
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    tool_exact_timers();
    make_groups(&load);
    open_saved(&load);

    memory.before_kib = take_memory(&load);
    streams_open(&load);
    if (load.options.idle > 0)
        run_for(&load, SETTLE_NS);
    if (load.options.slow > 0) {
        slow_start(&load);
        run_for(&load, SETTLE_SLOW_NS);
    }
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
    slow_free(&load);
    (void)usleep(load.options.rest_ms * 1000);
    memory.rest_kib = take_memory(&load);
    report(&load, from, to, memory);
    if (load.saved != NULL && fclose(load.saved) != 0)
        tool_die("cannot write %s: %s", load.options.save, strerror(errno));
    free_tokens(&load.good.tokens);
    free_tokens(&load.flood.tokens);
    return 0;
}
