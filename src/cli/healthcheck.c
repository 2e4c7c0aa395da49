/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "cli/cli.h"
#include "net/client.h"

#define TIMEOUT_MS 3000
#define MAX_ANSWER_BYTES 4096
#define MAX_URL_BYTES 256

struct check {
    bool done;
    enum fetch_rc rc;
    unsigned status;
};

static void on_done(void *ctx, const struct fetch_result *result)
{
    struct check *check = ctx;
    check->done = true;
    check->rc = result->rc;
    check->status = result->status;
}

/* Asks URL and waits. */
static struct check ask(const char *url, const char *unix_socket)
{
    struct check check = {.rc = FETCH_CONNECT};
    struct loop *loop = loop_new();
    struct client_pool *pool = loop != NULL ? client_pool_new(loop) : NULL;
    struct fetch *fetch =
        pool == NULL ? NULL
                     : fetch_start(pool, &(struct fetch_request){.url = url,
                                                                 .unix_socket = unix_socket,
                                                                 .timeout_ms = TIMEOUT_MS,
                                                                 .max_bytes = MAX_ANSWER_BYTES,
                                                                 .done = on_done,
                                                                 .ctx = &check});
    while (fetch != NULL && !check.done)
        loop_turn(loop, -1);
    (void)client_pool_free(pool);
    (void)loop_free(loop);
    return check;
}

/* Where the admin listener of the policy answers; "all addresses" is asked on loopback. */
static void append_url(const struct listen_address *admin, struct buf *url)
{
    struct str text = admin->text;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&admin->addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&admin->addr;
    if (admin->addr.ss_family == AF_UNIX)
        (void)buf_append_cstr(url, "http://localhost");
    else if (admin->addr.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
        (void)buf_printf(url, "http://127.0.0.1:%u", (unsigned)ntohs(v4->sin_port));
    else if (admin->addr.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
        (void)buf_printf(url, "http://[::1]:%u", (unsigned)ntohs(v6->sin6_port));
    else
        (void)buf_printf(url, "http://%.*s", STR_ARG(text));
    (void)buf_append(url, STR("/healthz"));
    (void)buf_append_char(url, '\0');
}

static const char *unix_path(const struct listen_address *admin)
{
    if (admin->addr.ss_family != AF_UNIX)
        return NULL;
    return ((const struct sockaddr_un *)&admin->addr)->sun_path;
}

static int report(const struct check *check, const char *url)
{
    if (check->rc == FETCH_OK)
        return cli_answer(STR("healthy"));
    (void)fprintf(stderr, "portcullis: %s does not answer: %s\n", url, fetch_rc_name(check->rc));
    return CLI_FAILURE;
}

static int ask_admin(const struct listen_address *admin)
{
    struct buf url = buf_make(MAX_URL_BYTES);
    append_url(admin, &url);
    if (buf_failed(&url) || client_global_init() < 0) {
        buf_free(&url);
        return CLI_FAILURE;
    }
    struct check check = ask(url.ptr, unix_path(admin));
    int status = report(&check, url.ptr);
    client_global_free();
    buf_free(&url);
    return status;
}

static int ask_policy(const char *path)
{
    struct config *config = NULL;
    if (cli_load_policy(path, &config) < 0)
        return CLI_FAILURE;
    const struct config_data *data = config_get(config);
    int status = CLI_FAILURE;
    if (data->has_admin && str_is_set(data->admin.fd_name))
        (void)fprintf(stderr, "portcullis: the admin address is a socket of the service manager, "
                              "which knows it alone\n");
    else if (data->has_admin)
        status = ask_admin(&data->admin);
    else
        (void)fprintf(stderr, "portcullis: the policy has no admin address to ask\n");
    (void)config_unref(config);
    return status;
}

static int run(int argc, char **argv)
{
    if (cli_wants_help(argc, argv)) {
        cli_print_help(&command_healthcheck, stdout);
        return CLI_OK;
    }
    if (argc > 1 && argv[1][0] == '-')
        return cli_bad_usage(&command_healthcheck, "unknown option %s", argv[1]);
    if (argc > 2)
        return cli_bad_usage(&command_healthcheck, "it takes one policy file at most");
    if (argc == 2)
        return ask_policy(argv[1]);
    struct listen_address usual = {.text = STR("127.0.0.1:9090"), .addr = {.ss_family = AF_INET}};
    struct sockaddr_in *addr = (struct sockaddr_in *)&usual.addr;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    addr->sin_port = htons(9090);
    return ask_admin(&usual);
}

const struct command command_healthcheck = {
    .name = "healthcheck",
    .synopsis = "healthcheck [POLICY.json]",
    .help = "Asks the admin address whether the process lives, for container health checks.\n"
            "\n"
            "Without a policy it asks 127.0.0.1:9090.\n"
            "\n"
            "Exit status 0: it lives; 1: it does not answer.\n"
            "\n"
            "Examples:\n"
            "  portcullis healthcheck\n"
            "  portcullis healthcheck /etc/portcullis/policy.json\n",
    .run = run,
};
