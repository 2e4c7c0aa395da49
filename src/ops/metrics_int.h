/* SPDX-License-Identifier: Apache-2.0 */
/* What counting (metrics.c) and the page (metrics_page.c) agree on. */
#ifndef OPS_METRICS_INT_H
#define OPS_METRICS_INT_H

#include <stddef.h>

#include "base/str.h"

#define OTHER_ROUTE (METRICS_MAX_ROUTES - 1)
#define NO_ROUTE_KEY 0xffffU
#define METRICS_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for what a label should not hold */

/* How many bytes the character at the start of S has; 0: it is no UTF-8, or a control character. */
size_t metrics_label_char(struct str s);

#endif
