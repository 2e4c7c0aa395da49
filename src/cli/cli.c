/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/err.h"

void cli_print_help(const struct command *command, FILE *out)
{
    (void)fprintf(out, "usage: portcullis %s\n\n%s", command->synopsis, command->help);
}

bool cli_wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int cli_bad_usage(const struct command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "portcullis %s: ", command->name);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\nusage: portcullis %s\n", command->synopsis);
    return CLI_USAGE;
}

int cli_one_policy(const struct command *command, int argc, char **argv, const char **ret_path)
{
    if (cli_wants_help(argc, argv)) {
        cli_print_help(command, stdout);
        return CLI_OK;
    }
    if (argc > 1 && argv[1][0] == '-')
        return cli_bad_usage(command, "unknown option %s", argv[1]);
    if (argc != 2)
        return cli_bad_usage(command, "it takes one policy file");
    *ret_path = argv[1];
    return -1;
}

int cli_load_policy(const char *path, struct config **ret_config)
{
    CLEANUP(diag_free) struct diag diag = {0};
    struct config_sources sources = config_sources_system();
    int r = config_load(path, &sources, &diag, ret_config);
    diag_print(&diag, stderr, path, isatty(STDERR_FILENO) == 1);
    if (r == 0 || diag_has_errors(&diag))
        return r;
    /* A library that had no memory: the policy may be good. */
    (void)fprintf(stderr, "%s: error: %s\n", path, strerrordesc_np(-r));
    return -ENOMEM;
}

int cli_answer(struct str text)
{
    if (fwrite(text.ptr, 1, text.len, stdout) == text.len && fputc('\n', stdout) != EOF &&
        fflush(stdout) == 0)
        return CLI_OK;
    (void)fprintf(stderr, "portcullis: standard output: %s\n", strerror(errno));
    return CLI_FAILURE;
}
