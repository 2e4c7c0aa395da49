/* SPDX-License-Identifier: Apache-2.0 */
/* Browser origins (RFC 6454) in one spelling. Private to policy/. */
#ifndef POLICY_ORIGIN_INT_H
#define POLICY_ORIGIN_INT_H

#include "base/str.h"

#define ORIGIN_MAX_BYTES 512

/* Writes ORIGIN in lower case and without the scheme's own port; returns its length, or 0 when it
 * is no origin: scheme://host[:port] and nothing more. Other schemes than http and https
 * ("vscode-webview://...") are origins too. "null" is none. */
size_t origin_normalise(struct str origin, char ret_normal[ORIGIN_MAX_BYTES]);

#endif
