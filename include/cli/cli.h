/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the program: one file each, one table of them, and what they share.
 *
 * Answers go to stdout, diagnostics to stderr, colours only to a terminal. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "policy/config.h"

/* Exit statuses; the help of each command says what they mean there. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILURE = 1, /* it was tried and did not work */
    CLI_USAGE = 2,   /* bad usage, or a policy with errors */
};

struct command {
    const char *name;
    const char *synopsis; /* what is typed behind the program's name: "check POLICY.json" */
    const char *help;     /* first line: what it does, shown in the overview; then more, examples */
    /* ARGV[0] is the command's name. Returns an enum cli_exit. */
    int (*run)(int argc, char **argv);
};

extern const struct command command_serve;
extern const struct command command_check;
extern const struct command command_print;
extern const struct command command_explain;
extern const struct command command_schema;
extern const struct command command_audit;
extern const struct command command_healthcheck;
extern const struct command command_version;

/* Prints synopsis and help of COMMAND to OUT. */
void cli_print_help(const struct command *command, FILE *out);
/* True when one of the arguments behind the name is --help or -h. */
bool cli_wants_help(int argc, char **argv);

/* Says on stderr what is wrong with the arguments and how it should look; returns CLI_USAGE. */
__attribute__((format(printf, 2, 3))) int cli_bad_usage(const struct command *command,
                                                        const char *format, ...);

/* The usual arguments: exactly one POLICY.json, or --help. Returns -1 when *ret_path is set and the
 * command should go on, else the status to exit with, everything said. Borrows from ARGV. */
int cli_one_policy(const struct command *command, int argc, char **argv, const char **ret_path);

/* Reads the policy at PATH with the system's sources and prints every finding to stderr. Every
 * command that takes a policy gets it from here, so all of them give the same verdict.
 * 0 or -errno (said already); the caller owns one reference of *ret_config. */
int cli_load_policy(const char *path, struct config **ret_config);

/* Writes TEXT and a line end to stdout; CLI_OK, or CLI_FAILURE (said on stderr) when stdout does
 * not take it. */
int cli_answer(struct str text);

#endif
