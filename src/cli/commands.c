/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

#include "base/err.h"
#include "cli/cli.h"

#define OVERVIEW_WIDTH 26 /* of what is typed, before what it does */

static const struct command *const commands[] = {
    &command_serve,  &command_check, &command_print,       &command_explain,
    &command_schema, &command_audit, &command_healthcheck, &command_version,
};

/* Named in the documentation of the product, built later: said plainly instead of "unknown". */
static const char *const later[] = {"doctor"};

static void print_overview(FILE *out)
{
    (void)fprintf(out, "portcullis: an OAuth 2.1 gate in front of MCP servers\n\nusage:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const char *help = commands[i]->help;
        const char *synopsis = commands[i]->synopsis;
        (void)fprintf(out, "  portcullis %-*s", OVERVIEW_WIDTH, synopsis);
        if (strlen(synopsis) > OVERVIEW_WIDTH)
            (void)fprintf(out, "\n             %-*s", OVERVIEW_WIDTH, "");
        (void)fprintf(out, " %.*s\n", (int)strcspn(help, "\n"), help);
    }
    (void)fprintf(out, "\nEvery command has --help. Start with:\n"
                       "  portcullis check policy.json && portcullis serve policy.json\n");
}

static const struct command *find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_eq(str_from_cstr(commands[i]->name), name))
            return commands[i];
    return NULL;
}

static int say_unknown(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(later); i++) {
        if (str_eq(str_from_cstr(later[i]), name)) {
            (void)fprintf(stderr, "portcullis: the command '%s' is not supported yet\n", later[i]);
            return CLI_USAGE;
        }
    }
    (void)fprintf(stderr, "portcullis: there is no command '%.*s'", STR_ARG(name));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_distance(str_from_cstr(commands[i]->name), name, 2) <= 2)
            (void)fprintf(stderr, "; did you mean '%s'?", commands[i]->name);
    (void)fprintf(stderr, "\n\n");
    print_overview(stderr);
    return CLI_USAGE;
}

int commands_run(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stderr);
        return CLI_USAGE;
    }
    struct str name = str_from_cstr(argv[1]);
    if (str_eq(name, STR("--help")) || str_eq(name, STR("-h")) || str_eq(name, STR("help"))) {
        print_overview(stdout);
        return CLI_OK;
    }
    if (str_eq(name, STR("--version")))
        name = STR("version");
    const struct command *command = find(name);
    return command != NULL ? command->run(argc - 1, argv + 1) : say_unknown(name);
}
