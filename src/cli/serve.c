/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/footprint.h"
#include "base/json.h"
#include "cli/cli.h"
#include "gate/fleet.h"

static int run(int argc, char **argv)
{
    const char *path = NULL;
    struct config *config = NULL;
    int status = cli_one_policy(&command_serve, argc, argv, &path);
    if (status >= 0)
        return status;
    struct service service = service_take();
    json_wipe_what_is_freed();
    if (footprint_begin() < 0) {
        (void)fprintf(stderr, "portcullis: out of memory\n");
        return CLI_FAILURE;
    }
    int r = cli_load_policy(path, &config);
    if (r < 0)
        return r == -ENOMEM ? CLI_FAILURE : CLI_USAGE;
    r = fleet_run(&(struct fleet_options){
        .policy_path = path,
        .config = config,
        .sources = config_sources_system(),
        .service = service,
    });
    (void)config_unref(config);
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
