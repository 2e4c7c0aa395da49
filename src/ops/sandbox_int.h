/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of the sandbox: sandbox.c (plans, the order of things), sandbox_privileges.c (user,
 * capabilities, dumps), sandbox_landlock.c (files, ports), sandbox_rules.c and
 * sandbox_seccomp.c (system calls).
 *
 * PORTCULLIS_INSTRUMENTED is set by builds with a sanitizer or with coverage: their run time writes
 * reports where it likes, and the leak checker stops all threads by ptrace() from a process that it
 * clones. Such a build allows that, and never leaves this tree. */
#ifndef OPS_SANDBOX_INT_H
#define OPS_SANDBOX_INT_H

#include "ops/sandbox.h"

/* 0 or -errno. */
int privileges_drop(const struct sandbox_user *user, struct sandbox_report *report);

/* Sets the members of REPORT that it is about. */
void landlock_apply(const struct sandbox_plan *plan, struct sandbox_report *report);
void seccomp_apply(struct sandbox_report *report);

#endif
