/* SPDX-License-Identifier: Apache-2.0 */
/* The small languages of the policy's strings: durations, sizes, addresses, networks. Pure; private
 * to policy/. Results: 0, -EINVAL (not of this form), -ERANGE (too large to count). */
#ifndef POLICY_VALUE_INT_H
#define POLICY_VALUE_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "policy/config.h"

/* "500ms", "30s", "10m", "1h", "7d". */
int value_duration_ms(struct str text, int64_t *ret_ms);
/* "100B", "64KiB", "4MiB", "1GiB". */
int value_size_bytes(struct str text, int64_t *ret_bytes);

/* "5/s", "100/m", "20/10s": so many in a period of 1 ms to a day. */
struct rate {
    int64_t count;
    int64_t period_ms;
};
int value_rate(struct str text, struct rate *ret_rate);

#define VALUE_TEXT_LEN 32
/* The shortest exact spelling: 60000 is "1m". */
void value_print_duration(int64_t ms, char ret_text[VALUE_TEXT_LEN]);
void value_print_size(int64_t bytes, char ret_text[VALUE_TEXT_LEN]);

enum address_rc {
    ADDRESS_OK,
    ADDRESS_FD_NAME,   /* none, too long, or with characters that systemd does not allow */
    ADDRESS_UNIX_PATH, /* not absolute, or longer than a socket address takes */
    ADDRESS_NO_PORT,
    ADDRESS_PORT, /* not 1..65535 */
    ADDRESS_NO_HOST,
    ADDRESS_NAME,     /* a host name */
    ADDRESS_BRACKETS, /* an IPv6 address without brackets, or something else inside brackets */
};
const char *address_rc_text(enum address_rc rc);
/* "127.0.0.1:8080", "[::1]:8080", "unix:/path", "fd:NAME". ret_address->text and fd_name borrow
 * from TEXT. */
enum address_rc value_address(struct str text, struct listen_address *ret_address);

/* "0660" or "660": permissions of a file. 0 or -EINVAL. */
int value_mode(struct str text, unsigned *ret_mode);

/* "10.0.0.0/8", "fd00::/8", or a bare address. -EINVAL: no such thing; -EDOM: bits behind the
 * prefix are set. */
int value_cidr(struct str text, struct cidr *ret_cidr);

/* A domain name in lower case, as Auth0 gives it to tenants. */
bool value_is_domain(struct str text);
bool value_has_upper_case(struct str text);

#endif
