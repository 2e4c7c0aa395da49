/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/schema.h"

#include "base/err.h"
#include "cli/cli.h"

#define MAX_SCHEMA_BYTES (1024U * 1024)

static const char help[] =
    "Prints the JSON Schema (2020-12) of the policy file.\n"
    "\n"
    "Editors use it for completion and checks: name the file in the policy's \"$schema\" key.\n"
    "`portcullis check` finds more, as a schema cannot compare values with each other.\n"
    "\n"
    "Example:\n"
    "  portcullis schema > policy.schema.json\n";

static int run_schema(int argc, char **argv)
{
    CLEANUP(buf_free) struct buf text = buf_make(MAX_SCHEMA_BYTES);
    if (cli_wants_help(argc, argv)) {
        cli_print_help(&command_schema, stdout);
        return CLI_OK;
    }
    if (argc != 1)
        return cli_bad_usage(&command_schema, "it takes no arguments");
    if (schema_write(&text) < 0) {
        (void)fputs("portcullis: out of memory\n", stderr);
        return CLI_FAILURE;
    }
    return cli_answer(buf_str(&text));
}

const struct command command_schema = {
    .name = "schema",
    .synopsis = "schema",
    .help = help,
    .run = run_schema,
};
