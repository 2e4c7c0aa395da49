/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands and the choice among them. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

/* Runs the command that ARGV[1] names; returns the process's exit status (enum cli_exit). */
int commands_run(int argc, char **argv);

#endif
