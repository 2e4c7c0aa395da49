/* SPDX-License-Identifier: Apache-2.0 */
#include "store/shared_rate.h"

#include <arpa/inet.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/secret.h"
#include "net/resolve.h"

#define CONNECT_TIMEOUT_MS 1000 /* from the connect to the end of the trial */
#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
#define SETTLED_MS 5000          /* worked for so long: the next trouble is a new one */
#define RESOLVE_TIMEOUT_MS 30000 /* the system's resolver has time-outs of its own, as a rule */
#define REST_MS (60 * 60 * 1000)
#define SHA_HEX_LEN 40
#define TEXT_OF(macro) TEXT_OF_TOKEN(macro)
#define TEXT_OF_TOKEN(token) #token
#define TRIAL_KEY "portcullis:trial"

/* The arithmetic of base/gcra on microseconds of the server's clock: KEYS[1] holds when the bucket
 * will be full. ARGV: interval, burst, cost. Returns 0, or for how long to wait. A microsecond is
 * forgiven, which is more than what doubles of this size round off. What an older rate, or a clock
 * that was set back, left beyond an empty bucket is cut off. */
static const char script[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])\n"
    "local fill = interval * burst\n"
    "local tat = tonumber(redis.call('GET', KEYS[1])) or now\n"
    "local function keep(at)\n"
    "  redis.call('SET', KEYS[1], string.format('%.3f', at), 'PX',\n"
    "             string.format('%d', math.ceil((at - now) / 1000)))\n"
    "end\n"
    "if tat < now then tat = now end\n"
    "if tat > now + fill then tat = now + fill keep(tat) end\n"
    "if cost > burst then return math.ceil(fill) end\n"
    "local wait = tat + interval * cost - now - fill\n"
    "if wait >= 1 then return math.ceil(wait) end\n"
    "keep(tat + interval * cost)\n"
    "return 0\n";

enum state {
    STATE_DOWN, /* until the timer */
    STATE_RESOLVING,
    STATE_TRYING, /* connecting, and the words before the first question */
    STATE_UP,
};

/* A question on its way. Owned by the connection: freed by hiredis's callback, which comes exactly
 * once, with an answer or when the connection is freed. */
struct shared_rate_pending {
    struct list node; /* in store.pending, oldest first */
    struct shared_rate *store;
    struct shared_rate_ask *ask; /* NULL: cancelled, or told that it failed */
    int64_t start_us;
    int64_t written_us; /* when the kernel had it; 0: not yet */
    bool whole_script;  /* sent again with EVAL */
    char key[96];
    char args[3][32];
};

struct shared_rate {
    struct shared_rate_options options;
    char *path;
    char *host;
    char *user;
    char *password;
    enum state state;
    bool said; /* the outside knows about `said_works` */
    bool said_works;
    redisAsyncContext *context; /* NULL: none */
    redisReplyObjectFunctions functions;
    struct watch watch;
    uint32_t events;
    /* Both are always armed, so that arming them needs no memory. */
    struct timer timer;     /* retry, or the end of patience with what precedes STATE_UP */
    struct timer ask_timer; /* of the oldest question */
    int64_t up_since_ms;
    struct resolve *resolve;
    unsigned attempts; /* since it last worked for a while */
    char sha[SHA_HEX_LEN + 1];
    struct list pending;
    struct shared_rate_stats stats;
};

/* ---- the state ---- */

static void rest(struct shared_rate *store, struct timer *timer)
{
    (void)loop_timer_in(store->options.loop, timer, REST_MS);
}

static void say(struct shared_rate *store, bool works, const char *reason)
{
    store->stats.works = works;
    if (store->said && store->said_works == works)
        return;
    store->said = true;
    store->said_works = works;
    store->options.changed(store->options.ctx, works, reason);
}

static void fail_pending(struct shared_rate *store)
{
    LIST_FOREACH (node, &store->pending) {
        struct shared_rate_pending *pending = LIST_ENTRY(node, struct shared_rate_pending, node);
        struct shared_rate_ask *ask = TAKE(pending->ask);
        list_unlink(node);
        store->stats.failures++;
        if (ask == NULL)
            continue;
        ask->pending = NULL;
        ask->done(ask, SHARED_RATE_FAILED, 0);
    }
    rest(store, &store->ask_timer);
}

static int64_t retry_ms(const struct shared_rate *store)
{
    unsigned doublings = store->attempts < 6 ? store->attempts : 6;
    int64_t ms = (int64_t)RETRY_MIN_MS << doublings;
    return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

/* The connection, if there is one, is given up, and another one is tried later. */
static void go_down(struct shared_rate *store, const char *reason)
{
    redisAsyncContext *context = TAKE(store->context);
    if (store->state == STATE_DOWN)
        return;
    if (store->state == STATE_UP &&
        loop_now_ms(store->options.loop) - store->up_since_ms >= SETTLED_MS)
        store->attempts = 0;
    store->state = STATE_DOWN;
    store->resolve = resolve_cancel(store->resolve);
    fail_pending(store);
    (void)loop_timer_in(store->options.loop, &store->timer, retry_ms(store));
    store->attempts++;
    say(store, false, reason);
    if (context != NULL)
        redisAsyncFree(context); /* inside a callback of its own: when that returns */
}

static void come_up(struct shared_rate *store)
{
    store->state = STATE_UP;
    store->up_since_ms = loop_now_ms(store->options.loop);
    rest(store, &store->timer);
    say(store, true, NULL);
}

/* ---- hiredis on our loop ---- */

static void set_events(struct shared_rate *store, uint32_t events)
{
    store->events = events;
    if (store->watch.fd >= 0)
        (void)loop_rewatch(store->options.loop, &store->watch, events);
}

static void on_add_read(void *data)
{
    struct shared_rate *store = data;
    set_events(store, store->events | EPOLLIN);
}

static void on_del_read(void *data)
{
    struct shared_rate *store = data;
    set_events(store, store->events & ~(uint32_t)EPOLLIN);
}

static void on_add_write(void *data)
{
    struct shared_rate *store = data;
    set_events(store, store->events | EPOLLOUT);
}

/* All that was to be written is: only now the store can know of it. */
static void note_written(struct shared_rate *store)
{
    const int64_t now_us = clock_read().mono_us;
    for (struct list *node = store->pending.prev; node != &store->pending; node = node->prev) {
        struct shared_rate_pending *pending = LIST_ENTRY(node, struct shared_rate_pending, node);
        if (pending->written_us != 0)
            return;
        pending->written_us = now_us;
    }
}

static void on_del_write(void *data)
{
    struct shared_rate *store = data;
    note_written(store);
    set_events(store, store->events & ~(uint32_t)EPOLLOUT);
}

/* The context is about to be freed, whoever wanted that, and its descriptor closed. */
static void on_cleanup(void *data)
{
    struct shared_rate *store = data;
    loop_unwatch(store->options.loop, &store->watch);
    store->context = NULL;
    go_down(store, "the connection broke");
}

static void on_event(struct watch *watch, uint32_t events)
{
    struct shared_rate *store = CONTAINER_OF(watch, struct shared_rate, watch);
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0 && store->context != NULL)
        redisAsyncHandleWrite(store->context);
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && store->context != NULL)
        redisAsyncHandleRead(store->context);
}

/* FN comes exactly once: with the answer, or with NULL when the connection is given up, which it is
 * at once when the command cannot be sent. hiredis (0.14) says nothing when it has no memory for
 * FN, or for the words behind an FN that it has noted; from then on every answer would reach
 * whoever asked the question before. */
static void send_command(struct shared_rate *store, redisCallbackFn *fn, void *data, int argc,
                         const char **argv)
{
    redisAsyncContext *context = store->context;
    bool is_noted = false;
    if (context != NULL) {
        const redisCallback *last = context->replies.tail;
        (void)redisAsyncCommandArgv(context, fn, data, argc, argv, NULL);
        is_noted = context->replies.tail != last;
        if (is_noted && context->c.err == 0)
            return;
        go_down(store, "the connection broke");
    }
    if (!is_noted)
        fn(NULL, NULL, data);
}

/* ---- the words before the first question ---- */

static bool is_status(const redisReply *reply, const char *text)
{
    return reply != NULL && reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, text) == 0;
}

static bool is_error(const redisReply *reply, const char *code)
{
    return reply != NULL && reply->type == REDIS_REPLY_ERROR &&
           strncmp(reply->str, code, strlen(code)) == 0;
}

static void on_auth(redisAsyncContext *context, void *reply, void *data)
{
    (void)context;
    if (reply != NULL && !is_status(reply, "OK"))
        go_down(data, "the user or password is not accepted");
}

static void on_select(redisAsyncContext *context, void *reply, void *data)
{
    (void)context;
    if (is_error(reply, "NOAUTH"))
        go_down(data, "it wants a password");
    else if (reply != NULL && !is_status(reply, "OK"))
        go_down(data, "the database cannot be selected");
}

static void on_trial(redisAsyncContext *context, void *data_reply, void *data)
{
    const redisReply *reply = data_reply;
    struct shared_rate *store = data;
    (void)context;
    if (reply == NULL || store->state != STATE_TRYING)
        return;
    if (reply->type == REDIS_REPLY_INTEGER)
        come_up(store);
    else
        go_down(store, is_error(reply, "READONLY") ? "it is a read-only replica"
                                                   : "it does not run the script");
}

static void on_load(redisAsyncContext *context, void *data_reply, void *data)
{
    const redisReply *reply = data_reply;
    struct shared_rate *store = data;
    (void)context;
    if (reply == NULL || store->state != STATE_TRYING)
        return;
    if (reply->type == REDIS_REPLY_STRING && reply->len == SHA_HEX_LEN) {
        memcpy(store->sha, reply->str, SHA_HEX_LEN);
        const char *argv[] = {"EVALSHA", store->sha, "1", TRIAL_KEY, "1", "1", "1"};
        send_command(store, on_trial, store, (int)ARRAY_LEN(argv), argv);
    } else {
        go_down(store,
                is_error(reply, "NOAUTH") ? "it wants a password" : "it does not take the script");
    }
}

static void introduce(struct shared_rate *store)
{
    char db[16];
    const char *auth[] = {"AUTH", store->password};
    const char *auth_user[] = {"AUTH", store->user, store->password};
    const char *select[] = {"SELECT", db};
    const char *load[] = {"SCRIPT", "LOAD", script};
    (void)snprintf(db, sizeof(db), "%u", store->options.db);
    if (store->password != NULL && store->user != NULL)
        send_command(store, on_auth, store, (int)ARRAY_LEN(auth_user), auth_user);
    else if (store->password != NULL)
        send_command(store, on_auth, store, (int)ARRAY_LEN(auth), auth);
    if (store->options.db != 0)
        send_command(store, on_select, store, (int)ARRAY_LEN(select), select);
    send_command(store, on_load, store, (int)ARRAY_LEN(load), load);
}

/* ---- connecting ---- */

static void on_connect(const redisAsyncContext *context, int status)
{
    struct shared_rate *store = context->data;
    if (status != REDIS_OK) { /* hiredis frees the context behind this */
        store->context = NULL;
        go_down(store, "it cannot be reached");
    }
}

/* No answer that we wait for is a list; one that says that it is would be given room for as many
 * elements as it likes. */
static void *refuse_list(const redisReadTask *task, int elements)
{
    (void)task;
    (void)elements;
    return NULL;
}

static void attach(struct shared_rate *store, redisAsyncContext *context)
{
    store->functions = *context->c.reader->fn;
    store->functions.createArray = refuse_list;
    context->c.reader->fn = &store->functions;
    store->context = context;
    context->data = store;
    context->ev.data = store;
    context->ev.addRead = on_add_read;
    context->ev.delRead = on_del_read;
    context->ev.addWrite = on_add_write;
    context->ev.delWrite = on_del_write;
    context->ev.cleanup = on_cleanup;
    store->events = EPOLLOUT; /* that is how the end of connect() shows */
    if (loop_watch(store->options.loop, &store->watch, context->c.fd, store->events) < 0)
        go_down(store, "out of resources");
}

/* ADDRESS is numeric, so that hiredis asks no resolver. */
static void try_to_connect(struct shared_rate *store, const char *address)
{
    redisAsyncContext *context = store->path != NULL
                                   ? redisAsyncConnectUnix(store->path)
                                   : redisAsyncConnect(address, store->options.port);
    store->state = STATE_TRYING;
    (void)loop_timer_in(store->options.loop, &store->timer, CONNECT_TIMEOUT_MS);
    if (context == NULL || context->err != 0) {
        if (context != NULL)
            redisAsyncFree(context);
        go_down(store, "it cannot be reached");
        return;
    }
    attach(store, context);
    if (store->context == NULL)
        return;
    (void)redisAsyncSetConnectCallback(context, on_connect);
    introduce(store);
}

static void on_resolved(void *ctx, const char *text)
{
    struct shared_rate *store = ctx;
    store->resolve = NULL;
    if (text != NULL)
        try_to_connect(store, text);
    else
        go_down(store, "its name cannot be resolved");
}

static bool is_numeric(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static void begin(struct shared_rate *store)
{
    if (store->path != NULL || is_numeric(store->host)) {
        try_to_connect(store, store->host);
        return;
    }
    store->state = STATE_RESOLVING;
    (void)loop_timer_in(store->options.loop, &store->timer, RESOLVE_TIMEOUT_MS);
    store->resolve =
        resolve_start(store->options.mailbox, store->host, store->attempts, on_resolved, store);
    if (store->resolve == NULL)
        go_down(store, "out of resources");
}

static void on_timer(struct timer *timer)
{
    struct shared_rate *store = CONTAINER_OF(timer, struct shared_rate, timer);
    rest(store, timer);
    switch (store->state) {
    case STATE_DOWN:
        begin(store);
        break;
    case STATE_RESOLVING:
        go_down(store, "its name cannot be resolved");
        break;
    case STATE_TRYING:
        go_down(store, "it does not answer");
        break;
    case STATE_UP:
        break;
    }
}

/* ---- questions ---- */

static void send_pending(struct shared_rate_pending *pending, redisCallbackFn *fn)
{
    struct shared_rate *store = pending->store;
    const bool whole = pending->whole_script;
    const char *argv[] = {whole ? "EVAL" : "EVALSHA",
                          whole ? script : store->sha,
                          "1",
                          pending->key,
                          pending->args[0],
                          pending->args[1],
                          pending->args[2]};
    send_command(store, fn, pending, (int)ARRAY_LEN(argv), argv);
}

/* When the store has had its time for the oldest question that is open. What the kernel has not
 * taken counts, too: the store does not read. */
static int64_t deadline_ms(const struct shared_rate *store)
{
    const struct shared_rate_pending *oldest =
        LIST_ENTRY(list_first(&store->pending), struct shared_rate_pending, node);
    int64_t from_us = oldest->written_us != 0 ? oldest->written_us : oldest->start_us;
    return from_us / 1000 + store->options.timeout_ms;
}

static void arm_ask_timer(struct shared_rate *store)
{
    if (list_is_empty(&store->pending))
        rest(store, &store->ask_timer);
    else
        (void)loop_timer_at(store->options.loop, &store->ask_timer, deadline_ms(store));
}

/* It may be this loop that was away, so that the question was not written, or the answer not read,
 * before now: that is not the store's delay. */
static void on_ask_timer(struct timer *timer)
{
    struct shared_rate *store = CONTAINER_OF(timer, struct shared_rate, ask_timer);
    rest(store, timer);
    on_event(&store->watch, EPOLLIN | EPOLLOUT);
    if (store->state != STATE_UP || list_is_empty(&store->pending))
        return;
    if (deadline_ms(store) > loop_now_ms(store->options.loop))
        arm_ask_timer(store);
    else
        go_down(store, "it does not answer in time");
}

static void on_answer(redisAsyncContext *context, void *data_reply, void *data)
{
    const redisReply *reply = data_reply;
    struct shared_rate_pending *pending = data;
    struct shared_rate *store = pending->store;
    if (is_error(reply, "NOSCRIPT") && !pending->whole_script && store->context == context) {
        pending->whole_script = true;
        send_pending(pending, on_answer);
        return;
    }
    struct shared_rate_ask *ask = TAKE(pending->ask);
    const bool open = list_is_linked(&pending->node);
    const int64_t start_us = pending->start_us;
    list_unlink(&pending->node);
    free(pending);
    if (!open) /* the connection was given up, and the asker knows */
        return;
    arm_ask_timer(store);
    const bool answered =
        reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0;
    if (ask != NULL)
        ask->pending = NULL;
    if (answered) {
        store->stats.answers++;
        store->stats.latency_us += (uint64_t)(loop_clock(store->options.loop)->mono_us - start_us);
    } else {
        store->stats.failures++;
    }
    if (ask != NULL && answered)
        ask->done(ask, reply->integer == 0 ? SHARED_RATE_TAKEN : SHARED_RATE_REFUSED,
                  reply->integer * 1000);
    else if (ask != NULL)
        ask->done(ask, SHARED_RATE_FAILED, 0);
    if (reply != NULL && !answered)
        go_down(store, "it gave an answer that is none");
}

bool shared_rate_ask(struct shared_rate *store, struct str key, const struct gcra *gcra,
                     int64_t cost, struct shared_rate_ask *ask)
{
    const bool is_up = store->state == STATE_UP && store->context != NULL;
    struct shared_rate_pending *pending = is_up ? calloc(1, sizeof(*pending)) : NULL;
    if (pending == NULL) {
        store->stats.failures++;
        return false;
    }
    pending->store = store;
    pending->start_us = clock_read().mono_us; /* a turn of the loop may be long */
    (void)snprintf(pending->key, sizeof(pending->key), "%.*s", STR_ARG(key));
    (void)snprintf(pending->args[0], sizeof(pending->args[0]), "%" PRId64 ".%03" PRId64,
                   gcra->interval_ns / 1000, gcra->interval_ns % 1000);
    (void)snprintf(pending->args[1], sizeof(pending->args[1]), "%" PRId64, gcra->burst);
    (void)snprintf(pending->args[2], sizeof(pending->args[2]), "%" PRId64, cost);
    send_pending(pending, on_answer);
    if (store->state != STATE_UP) { /* PENDING is freed */
        store->stats.failures++;
        return false;
    }
    pending->ask = ask;
    ask->pending = pending;
    const bool is_first = list_is_empty(&store->pending);
    list_append(&store->pending, &pending->node);
    if (is_first)
        arm_ask_timer(store);
    return true;
}

void shared_rate_cancel(struct shared_rate_ask *ask)
{
    if (ask->pending != NULL)
        ask->pending->ask = NULL;
    ask->pending = NULL;
}

/* ---- life ---- */

static void free_secret(char *text)
{
    if (text != NULL)
        secret_wipe(text, strlen(text));
    free(text);
}

static char *copy_of(struct str text)
{
    return str_is_set(text) ? str_to_cstr(text) : NULL;
}

struct shared_rate *shared_rate_new(const struct shared_rate_options *options)
{
    struct shared_rate *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return NULL;
    store->options = *options;
    store->watch = (struct watch){.fd = -1, .fn = on_event};
    store->timer.fn = on_timer;
    store->ask_timer.fn = on_ask_timer;
    list_init(&store->pending);
    store->path = copy_of(options->path);
    store->host = copy_of(options->host);
    store->user = copy_of(options->user);
    store->password = copy_of(options->password);
    if ((store->path == NULL && store->host == NULL) ||
        (str_is_set(options->password) && store->password == NULL) ||
        (str_is_set(options->user) && store->user == NULL) ||
        loop_timer_in(options->loop, &store->timer, 0) < 0 ||
        loop_timer_in(options->loop, &store->ask_timer, REST_MS) < 0)
        return shared_rate_free(store);
    return store;
}

struct shared_rate *shared_rate_free(struct shared_rate *store)
{
    if (store == NULL)
        return NULL;
    redisAsyncContext *context = TAKE(store->context);
    store->state = STATE_DOWN;
    store->resolve = resolve_cancel(store->resolve);
    fail_pending(store);
    if (context != NULL)
        redisAsyncFree(context);
    loop_timer_stop(store->options.loop, &store->timer);
    loop_timer_stop(store->options.loop, &store->ask_timer);
    free(store->path);
    free(store->host);
    free_secret(store->user);
    free_secret(store->password);
    free(store);
    return NULL;
}

struct shared_rate_stats shared_rate_stats(const struct shared_rate *store)
{
    return store->stats;
}

const char *shared_rate_library_version(void)
{
    return TEXT_OF(HIREDIS_MAJOR) "." TEXT_OF(HIREDIS_MINOR) "." TEXT_OF(HIREDIS_PATCH);
}
