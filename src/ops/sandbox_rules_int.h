/* SPDX-License-Identifier: Apache-2.0 */
/* What sandbox_rules.c gives sandbox_seccomp.c. */
#ifndef OPS_SANDBOX_RULES_INT_H
#define OPS_SANDBOX_RULES_INT_H

#include <seccomp.h>
#include <sys/types.h>

/* The calls that the process SELF may make, into an empty FILTER. 0 or -errno. */
int seccomp_fill(scmp_filter_ctx filter, pid_t self);
/* Those that libraries try in normal operation and that are refused without a word in the kernel's
 * log. */
int seccomp_fill_silent(scmp_filter_ctx filter, pid_t self);

#endif
