/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "cli/cli.h"

#define MAX_PRINTED_BYTES (64U * 1024 * 1024)

static const char help[] =
    "Prints the effective policy as JSON: every key with its value or its default.\n"
    "\n"
    "What $env, $file and $cred gave, and the values of upstream.headers, are shown as\n"
    "\"[redacted]\". Without those the output is a policy itself and means the same.\n"
    "\n"
    "Exit status 0: printed; 2: the policy has errors.\n"
    "\n"
    "Examples:\n"
    "  portcullis print policy.json\n"
    "  portcullis print policy.json | jq .limits\n";

static int run_print(int argc, char **argv)
{
    const char *path = NULL;
    struct config *config = NULL;
    CLEANUP(buf_free) struct buf text = buf_make(MAX_PRINTED_BYTES);
    int status = cli_one_policy(&command_print, argc, argv, &path);
    if (status >= 0)
        return status;
    if (cli_load_policy(path, &config) < 0)
        return CLI_USAGE;
    CLEANUP(json_unref) json_t *printed = config_print(config);
    config_unref(config);
    if (printed == NULL || json_write(printed, 2, &text) < 0) {
        (void)fputs("portcullis: out of memory\n", stderr);
        return CLI_FAILURE;
    }
    return cli_answer(buf_str(&text));
}

const struct command command_print = {
    .name = "print",
    .synopsis = "print POLICY.json",
    .help = help,
    .run = run_print,
};
