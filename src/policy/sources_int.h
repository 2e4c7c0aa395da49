/* SPDX-License-Identifier: Apache-2.0 */
/* The real file system and the CPUs of this process. Private to policy/. */
#ifndef POLICY_SOURCES_INT_H
#define POLICY_SOURCES_INT_H

#include "base/buf.h"
#include "policy/config.h"

/* config_sources.read_file of the real file system; CTX is not used. OUT needs room for one more
 * byte than MAX_BYTES. */
int sources_read_file(void *ctx, const char *path, size_t max_bytes, struct buf *out);

/* CPUs that a cgroup v2 quota allows, rounded up: "150000 100000" gives 2. No quota ("max ..."), or
 * what is no quota at all, gives CONFIG_MAX_WORKERS. */
unsigned sources_cpus_of_quota(struct str cpu_max);

#endif
