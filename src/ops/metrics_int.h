/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of the metrics: metrics.c (counting), metrics_page.c (the page), metrics_requests.c
 * (its families with a row for each route). */
#ifndef OPS_METRICS_INT_H
#define OPS_METRICS_INT_H

#include <stddef.h>

#include "ops/metrics.h"

#define OTHER_ROUTE (METRICS_MAX_ROUTES - 1)
#define NO_ROUTE_KEY 0xffffU
#define METRICS_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for what a label should not hold */

/* How many bytes the character at the start of S has; 0: it is no UTF-8, or a control character. */
size_t metrics_label_char(struct str s);

/* metrics_page.c */
/* The value of the label "route" for the index ROUTE of a label, or NO_ROUTE_KEY. */
struct str metrics_route_name(const struct metrics_labels *labels, size_t route);
/* The lines before a family. */
void metrics_put_header(struct buf *out, const char *name, const char *type, const char *help);
/* NAME="VALUE", escaped. */
void metrics_put_label(struct buf *out, const char *name, struct str value);

/* metrics_requests.c */
void metrics_render_requests(const struct metrics_page *page, struct buf *out);
void metrics_render_tools(const struct metrics_page *page, struct buf *out);
void metrics_render_durations(const struct metrics_page *page, struct buf *out);

#endif
