/* SPDX-License-Identifier: Apache-2.0 */
/* What inspection and rules cost for one call, in CPU time: the functions of the stages "inspect"
 * and "decide" (src/gate/stages_mcp.c), from the library of the measured binary, over the same
 * body, policy and tokens as the load's.
 *
 * In a loop by itself such code looks cheaper than it is: caches and branch predictors hold nothing
 * else. In the daemon each call comes with several system calls. So every call here comes with a
 * body that is sent and received over loopback TCP, and what that costs alone is subtracted. What
 * the loop by itself gives is printed, too, as a whole and in parts.
 *
 * usage: inspect_cost POLICY ROUTE REQUEST TOKENS
 * ROUTE is the path of a route, REQUEST one of request.h, TOKENS a file with one token in a line.
 * Prints one `key value` in a line: microseconds of CPU time per call, medians. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/err.h"
#include "base/json_text.h"
#include "policy/rules.h"
#include "proto/claims.h"
#include "request.h"
#include "tool.h"

#define MAX_CALLERS 256
#define MAX_TOKEN 4096
#define MAX_BODY 4096
#define ROUNDS 15
#define CALLS_PER_ROUND 2000U
#define ARENA_FIRST 6144 /* as in the daemon, where the request's other parts share the block */
#define ARENA_MAX (256U * 1024)

struct subject {
    const struct route *route;
    struct mcp_head head;
    struct caller callers[MAX_CALLERS];
    size_t n_callers;
    struct str sent;
    int sender;
    int receiver;
    char received[MAX_BODY];
};

/* What is timed; NUMBER picks the caller. */
typedef void work_fn(struct subject *subject, size_t number);

/* ---- what is needed for it ---- */

static struct config *load_policy(const char *path)
{
    struct config_sources sources = config_sources_system();
    struct diag diag = {0};
    struct config *config = NULL;
    if (config_load(path, &sources, &diag, &config) < 0) {
        diag_print(&diag, stderr, path, false);
        tool_die("%s is no policy", path);
    }
    diag_free(&diag);
    return config;
}

static const struct route *find_route(const struct config *config, const char *mount)
{
    const struct config_data *data = config_get(config);
    for (size_t i = 0; i < data->n_routes; i++)
        if (str_eq(data->routes[i].mount, str_from_cstr(mount)))
            return &data->routes[i];
    tool_die("the policy has no route at %s", mount);
}

static struct caller read_caller(struct str token)
{
    struct str header;
    struct str payload;
    json_t *claims = NULL;
    if (!str_split(&token, '.', &header) || !str_split(&token, '.', &payload) ||
        claims_decode(payload, &claims) != CLAIMS_OK)
        tool_die("a token that cannot be read");
    return (struct caller){.scope = json_get_str(claims, "scope"), .claims = claims};
}

static void read_callers(struct subject *subject, const char *path)
{
    char line[MAX_TOKEN];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        tool_die("cannot read %s: %s", path, strerror(errno));
    while (subject->n_callers < MAX_CALLERS && fgets(line, sizeof(line), file) != NULL)
        subject->callers[subject->n_callers++] = read_caller(str_make(line, strcspn(line, "\n")));
    (void)fclose(file);
    if (subject->n_callers == 0)
        tool_die("no token in %s", path);
}

static void take_request(struct subject *subject, const struct request *request)
{
    const struct str method = str_from_cstr(request->method);
    const struct str name = str_from_cstr(request->target);
    subject->head = (struct mcp_head){
        .revision = str_from_cstr(request->revision),
        .method = method,
        .name = name,
        .n_revision = 1,
        .n_method = str_is_set(method) ? 1 : 0,
        .n_name = str_is_set(name) ? 1 : 0,
    };
    subject->sent = str_from_cstr(request->body);
    if (subject->sent.len > sizeof(subject->received))
        tool_die("a body of more than %d bytes", MAX_BODY);
    memcpy(subject->received, subject->sent.ptr, subject->sent.len);
}

static void connect_both(struct subject *subject)
{
    uint16_t port = 0;
    int listener = tool_listen(0, &port);
    subject->sender = tool_connect(port, (struct tool_source){0});
    subject->receiver = accept4(listener, NULL, NULL, SOCK_CLOEXEC); /* one that waits */
    if (subject->receiver < 0)
        tool_die("accept: %s", strerror(errno));
    (void)close(listener);
}

/* ---- what is timed ---- */

static struct str received(const struct subject *subject)
{
    return str_make(subject->received, subject->sent.len);
}

static void check_json(struct subject *subject, size_t number)
{
    const struct json_text_rules rules = {.limits = {MAX_BODY, MCP_MAX_DEPTH}};
    (void)number;
    if (json_text_check(received(subject), &rules) != JSON_RC_OK)
        tool_die("the body is not JSON");
}

/* All that is read lives as long as ARENA. */
static struct mcp_call inspect_in(struct subject *subject, struct arena *arena)
{
    struct mcp_body body;
    struct str id;
    enum mcp_rc rc =
        mcp_inspect(received(subject), subject->route->max_body_bytes, arena, &body, &id);
    if (rc != MCP_OK)
        tool_die("the body is refused: %s", mcp_rc_name(rc));
    if (mcp_check_shape(&subject->head, &body) != NULL ||
        mcp_check_head(&subject->head, &body, arena) != NULL)
        tool_die("head and body do not agree");
    if (body.n_messages != 1 || body.messages[0].n_calls != 1)
        tool_die("the body is not one call");
    return body.messages[0].calls[0];
}

static struct arena *make_arena(void)
{
    struct arena *arena = arena_new(ARENA_FIRST, ARENA_MAX);
    if (arena == NULL)
        tool_die("out of memory");
    return arena;
}

static void inspect(struct subject *subject, size_t number)
{
    struct arena *arena = make_arena();
    (void)number;
    (void)inspect_in(subject, arena);
    (void)arena_free(arena);
}

/* A decision by one of the first rules would cost less than what is said of it. */
static void check_decision(const struct subject *subject, const struct decision *decision)
{
    const struct route *route = subject->route;
    if (decision->verdict != VERDICT_ALLOW)
        tool_die("a caller is denied: %s", decision->reason);
    if (decision->rule == NULL || decision->rule < route->rules + route->n_rules / 2)
        tool_die("not one of the last rules decides");
}

static void inspect_and_decide(struct subject *subject, size_t number)
{
    struct arena *arena = make_arena();
    const struct mcp_call call = inspect_in(subject, arena);
    const struct caller *caller = &subject->callers[number % subject->n_callers];
    const struct decision decision = rules_judge(subject->route, caller, &call);
    check_decision(subject, &decision);
    (void)arena_free(arena);
}

static void send_and_receive(struct subject *subject, size_t number)
{
    (void)number;
    ssize_t len = (ssize_t)subject->sent.len;
    /* Not recv(): the library has one of its own, for libmicrohttpd. */
    if (write(subject->sender, subject->sent.ptr, subject->sent.len) != len ||
        read(subject->receiver, subject->received, subject->sent.len) != len)
        tool_die("the body did not come back: %s", strerror(errno));
}

static void receive_and_judge(struct subject *subject, size_t number)
{
    send_and_receive(subject, number);
    inspect_and_decide(subject, number);
}

/* ---- timing ---- */

static double cpu_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double time_round(struct subject *subject, work_fn *work)
{
    double begin_us = cpu_us();
    for (size_t i = 0; i < CALLS_PER_ROUND; i++)
        work(subject, i);
    return (cpu_us() - begin_us) / CALLS_PER_ROUND;
}

static int compare(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

/* How much longer WITH takes than WITHOUT (NULL: nothing): the median of rounds that alternate. */
static double time_difference(struct subject *subject, work_fn *with, work_fn *without)
{
    double taken[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++) {
        taken[i] = time_round(subject, with);
        if (without != NULL)
            taken[i] -= time_round(subject, without);
    }
    qsort(taken, ROUNDS, sizeof(*taken), compare);
    return taken[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    static struct subject subject;
    if (argc != 5)
        tool_die("usage: inspect_cost POLICY ROUTE REQUEST TOKENS");
    struct config *config = load_policy(argv[1]);
    subject.route = find_route(config, argv[2]);
    take_request(&subject, request_find(argv[3]));
    read_callers(&subject, argv[4]);
    connect_both(&subject);
    (void)time_round(&subject, receive_and_judge);

    printf("judge_us %.3f\n", time_difference(&subject, receive_and_judge, send_and_receive));
    printf("loop_us %.3f\n", time_difference(&subject, inspect_and_decide, NULL));
    printf("loop_json_us %.3f\n", time_difference(&subject, check_json, NULL));
    printf("loop_inspect_us %.3f\n", time_difference(&subject, inspect, NULL));
    printf("loop_decide_us %.3f\n", time_difference(&subject, inspect_and_decide, inspect));

    for (size_t i = 0; i < subject.n_callers; i++)
        json_decref((json_t *)(uintptr_t)subject.callers[i].claims);
    (void)config_unref(config);
    return 0;
}
