/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/footprint.h"
#include "base/json.h"
#include "cli/cli.h"
#include "gate/fleet.h"
#include "proto/self_check.h"

/* Nothing can be judged without these. Better no gate than one that refuses everybody until
 * somebody finds out why. */
static bool can_judge(void)
{
    if (footprint_begin() < 0) {
        (void)fprintf(stderr, "portcullis: out of memory\n");
        return false;
    }
    const char *failed = self_check();
    if (failed != NULL)
        (void)fprintf(stderr,
                      "portcullis: self-check failed: OpenSSL has no working %s: memory is short, "
                      "or its configuration forbids it\n",
                      failed);
    return failed == NULL;
}

/* Before anything is opened: if $LISTEN_FDS counts too many, or a wrapper has closed one, its
 * number would become that of a descriptor of ours. */
static int take_sockets(const struct service *service, struct inherited_set *ret_sockets)
{
    return inherit_take(&(struct inherit_source){.pid = service->listen_pid,
                                                 .fds = service->listen_fds,
                                                 .names = service->listen_names,
                                                 .first_fd = INHERIT_FIRST_FD},
                        getpid(), ret_sockets);
}

static int run(int argc, char **argv)
{
    const char *path = NULL;
    struct config *config = NULL;
    int status = cli_one_policy(&command_serve, argc, argv, &path);
    if (status >= 0)
        return status;
    struct service service = service_take();
    struct inherited_set inherited;
    int inherit_fault = take_sockets(&service, &inherited);
    json_wipe_what_is_freed();
    if (!can_judge()) {
        inherit_free(&inherited);
        return CLI_FAILURE;
    }
    int r = cli_load_policy(path, &config);
    if (r < 0) {
        inherit_free(&inherited);
        return r == -ENOMEM ? CLI_FAILURE : CLI_USAGE;
    }
    r = fleet_run(&(struct fleet_options){
        .policy_path = path,
        .config = TAKE(config),
        .sources = config_sources_system(),
        .service = service,
        .inherited = inherited,
        .inherit_fault = inherit_fault,
    });
    return r == 0 ? CLI_OK : CLI_FAILURE;
}

const struct command command_serve = {
    .name = "serve",
    .synopsis = "serve POLICY.json",
    .help = "Stands in front of the MCP servers of the policy, in the foreground.\n"
            "\n"
            "Logs go to stderr: JSON lines, or text on a terminal.\n"
            "SIGHUP reads the policy again and keeps the old one if there is an error in it.\n"
            "SIGTERM and SIGINT finish what is under way and stop; a second one stops at once.\n"
            "\n"
            "Exit status 0: stopped as asked; 1: it could not start or failed; 2: the policy has\n"
            "errors.\n"
            "\n"
            "Examples:\n"
            "  portcullis serve /etc/portcullis/policy.json\n"
            "  kill -HUP $(pidof portcullis)     # after a change of the policy\n",
    .run = run,
};
