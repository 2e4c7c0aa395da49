/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "cli/cli.h"

static const char help[] =
    "Checks a policy file without starting anything.\n"
    "\n"
    "Every problem is printed to stderr with its line and its JSON pointer, as\n"
    "FILE:LINE: error: POINTER: TEXT. Warnings do not make the check fail. Files and variables\n"
    "that the policy refers to ($env, $file, $cred, ca_file ...) are read, nothing is contacted.\n"
    "\n"
    "The policy's own tests are run: one that comes to another decision is an error, too.\n"
    "\n"
    "Exit status 0: the policy can be served; 2: it cannot.\n"
    "\n"
    "Examples:\n"
    "  portcullis check policy.json\n"
    "  portcullis check /etc/portcullis/policy.json && systemctl reload portcullis\n";

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* Shows the printed form, in which secrets are redacted. */
static void summarise(const char *path, const struct config *config)
{
    const struct config_data *data = config_get(config);
    CLEANUP(json_unref) json_t *printed = config_print(config);
    json_t *route;
    size_t i;
    (void)printf("%s: ok (%zu route%s, %zu issuer%s)\n", path, data->n_routes,
                 plural(data->n_routes), data->n_issuers, plural(data->n_issuers));
    json_array_foreach (json_object_get(printed, "routes"), i, route) {
        struct str url = json_get_str(json_object_get(route, "upstream"), "url");
        (void)printf("  %.*s -> %.*s\n", STR_ARG(json_get_str(route, "resource")), STR_ARG(url));
    }
    if (data->n_tests > 0)
        (void)printf("tests: %zu passed\n", data->n_tests);
}

static int run_check(int argc, char **argv)
{
    const char *path = NULL;
    struct config *config = NULL;
    int status = cli_one_policy(&command_check, argc, argv, &path);
    if (status >= 0)
        return status;
    if (cli_load_policy(path, &config) < 0)
        return CLI_USAGE;
    summarise(path, config);
    config_unref(config);
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAILURE;
}

const struct command command_check = {
    .name = "check",
    .synopsis = "check POLICY.json",
    .help = help,
    .run = run_check,
};
