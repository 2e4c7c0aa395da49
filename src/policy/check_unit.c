/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/check_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "policy/origin_int.h"
#include "policy/rules.h"
#include "policy/value_int.h"
#include "proto/claims.h"

const char *check_unit_text(enum schema_unit unit)
{
    switch (unit) {
    case UNIT_DURATION:
        return "a duration such as \"30s\"";
    case UNIT_SIZE:
        return "a size such as \"64KiB\"";
    case UNIT_RATE:
        return "a rate such as \"100/m\"";
    case UNIT_URL:
        return "a URL in a string";
    case UNIT_ADDRESS:
        return "an address such as \"127.0.0.1:8080\"";
    case UNIT_DOMAIN:
        return "a domain such as \"your-tenant.us.auth0.com\"";
    case UNIT_MODE:
        return "a mode such as \"0660\" in a string";
    case UNIT_TEXT:
    case UNIT_CHOICE:
    case UNIT_ALGORITHM:
    case UNIT_CIDR:
    case UNIT_PATH:
    case UNIT_NAME:
    case UNIT_SCOPE:
    case UNIT_ORIGIN:
    case UNIT_CLAIM:
    case UNIT_GLOB:
    case UNIT_PERMISSION:
    case UNIT_PEM:
    case UNIT_ANY:
        return "a string";
    }
    return "a string";
}

static void print_number(enum schema_unit unit, int64_t number, char ret_text[VALUE_TEXT_LEN])
{
    if (unit == UNIT_DURATION)
        value_print_duration(number, ret_text);
    else if (unit == UNIT_SIZE)
        value_print_size(number, ret_text);
    else
        (void)snprintf(ret_text, VALUE_TEXT_LEN, "%" PRId64, number);
}

void check_range(struct reader *reader, const struct schema_row *row, int64_t number,
                 const struct place *place)
{
    char min[VALUE_TEXT_LEN];
    char max[VALUE_TEXT_LEN];
    if (number >= row->min && number <= row->max)
        return;
    print_number(row->unit, row->min, min);
    print_number(row->unit, row->max, max);
    reader_error(reader, place, "must be from %s to %s", min, max);
}

static void check_duration(struct reader *reader, const struct schema_row *row, json_t *value,
                           const struct place *place)
{
    int64_t ms;
    if (value_duration_ms(reader_text(reader, value), &ms) == 0)
        check_range(reader, row, ms, place);
    else
        reader_error(reader, place,
                     "%s is no duration; write a whole number and ms, s, m, h or d, such as "
                     "\"500ms\" or \"30s\"",
                     reader_quote(reader, value));
}

static void check_size(struct reader *reader, const struct schema_row *row, json_t *value,
                       const struct place *place)
{
    int64_t bytes;
    if (value_size_bytes(reader_text(reader, value), &bytes) == 0)
        check_range(reader, row, bytes, place);
    else
        reader_error(reader, place,
                     "%s is no size; write a whole number and B, KiB, MiB or GiB, such as "
                     "\"64KiB\", or a number of bytes without quotes",
                     reader_quote(reader, value));
}

static void check_rate(struct reader *reader, const struct schema_row *row, json_t *value,
                       const struct place *place)
{
    struct rate rate;
    if (value_rate(reader_text(reader, value), &rate) == 0)
        check_range(reader, row, rate.count, place);
    else
        reader_error(reader, place,
                     "%s is no rate; write a whole number, a slash, and s, m, h, d or a period of "
                     "at most a day, such as \"100/m\" or \"5/10s\", or a number per second "
                     "without quotes",
                     reader_quote(reader, value));
}

static bool is_choice(const struct schema_row *row, struct str text)
{
    for (const char *const *choice = row->choices; *choice != NULL; choice++)
        if (str_eq(str_from_cstr(*choice), text))
            return true;
    return false;
}

static void check_choice(struct reader *reader, const struct schema_row *row, json_t *value,
                         const struct place *place)
{
    struct str text = reader_text(reader, value);
    CLEANUP(buf_free) struct buf choices = buf_make(1024);
    const char *why = "";
    if (is_choice(row, text))
        return;
    for (const char *const *choice = row->choices; *choice != NULL; choice++)
        (void)buf_printf(&choices, "%s%s", choice != row->choices ? ", " : "", *choice);
    if (row->unit == UNIT_ALGORITHM && str_eq_nocase(text, STR("none")))
        why = "; a token without a signature proves nothing";
    else if (row->unit == UNIT_ALGORITHM && str_has_prefix_nocase(text, STR("HS")))
        why = "; with a shared secret, whoever can check a token can also make one";
    reader_error(reader, place, "%s is not one of %.*s%s", reader_quote(reader, value),
                 STR_ARG(buf_str(&choices)), why);
}

static void check_address(struct reader *reader, const struct schema_row *row, json_t *value,
                          const struct place *place)
{
    (void)row;
    struct listen_address address;
    enum address_rc rc = value_address(reader_text(reader, value), &address);
    if (rc != ADDRESS_OK)
        reader_error(reader, place, "%s %s", reader_quote(reader, value), address_rc_text(rc));
}

static void check_cidr(struct reader *reader, const struct schema_row *row, json_t *value,
                       const struct place *place)
{
    (void)row;
    struct cidr cidr;
    int r = value_cidr(reader_text(reader, value), &cidr);
    if (r == -EDOM)
        reader_error(reader, place, "%s has address bits behind its prefix length; clear them",
                     reader_quote(reader, value));
    else if (r < 0)
        reader_error(reader, place,
                     "%s is no network such as \"10.0.0.0/8\" or \"fd00::/8\", and no IP address",
                     reader_quote(reader, value));
}

static void check_domain(struct reader *reader, const struct schema_row *row, json_t *value,
                         const struct place *place)
{
    (void)row;
    struct str domain = reader_text(reader, value);
    const char *cure = "";
    if (value_is_domain(domain))
        return;
    if (str_find_char(domain, '/') >= 0)
        cure = "; leave out the scheme and every slash";
    else if (value_has_upper_case(domain))
        cure = "; write it in lower case, as in the issuer of the tokens";
    reader_error(reader, place, "%s is no domain such as \"your-tenant.us.auth0.com\"%s",
                 reader_quote(reader, value), cure);
}

static void check_scope(struct reader *reader, const struct schema_row *row, json_t *value,
                        const struct place *place)
{
    (void)row;
    struct str text = reader_text(reader, value);
    if (scope_is_token(text))
        return;
    reader_error(reader, place, "%s is no scope%s", reader_quote(reader, value),
                 str_find_char(text, ' ') >= 0
                     ? "; write every scope as a string of its own"
                     : ": visible ASCII only, without quotes and backslashes (RFC 6749 3.3)");
}

static void check_origin(struct reader *reader, const struct schema_row *row, json_t *value,
                         const struct place *place)
{
    (void)row;
    char normal[ORIGIN_MAX_BYTES];
    struct str text = reader_text(reader, value);
    if (str_eq(text, STR("*")) || str_eq(text, STR("null")) || origin_normalise(text, normal) > 0)
        return;
    reader_error(reader, place,
                 "%s is no origin: scheme, host and port only, such as "
                 "\"https://app.example.com\", without a slash at the end",
                 reader_quote(reader, value));
}

/* {name} is filled in from the call; other braces are more likely a slip than a name. */
static void check_permission(struct reader *reader, const struct schema_row *row, json_t *value,
                             const struct place *place)
{
    struct str rest = reader_text(reader, value);
    if (!scope_is_token(rest)) {
        check_scope(reader, row, value, place);
        return;
    }
    for (; rest.len > 0; rest = str_from(rest, 1)) {
        if (str_has_prefix(rest, STR("{name}")))
            rest = str_from(rest, sizeof("{name}") - 2);
        else if (rest.ptr[0] == '{' || rest.ptr[0] == '}')
            break;
    }
    if (rest.len > 0)
        reader_error(reader, place, "%s has a placeholder other than {name}, the only one",
                     reader_quote(reader, value));
}

static void check_glob(struct reader *reader, const struct schema_row *row, json_t *value,
                       const struct place *place)
{
    (void)row;
    const char *fault = glob_fault(reader_text(reader, value));
    if (fault != NULL)
        reader_error(reader, place, "%s %s", reader_quote(reader, value), fault);
}

static void check_mode(struct reader *reader, const struct schema_row *row, json_t *value,
                       const struct place *place)
{
    (void)row;
    unsigned mode;
    if (value_mode(reader_text(reader, value), &mode) < 0)
        reader_error(reader, place, "%s is no mode of three octal digits, such as \"0660\"",
                     reader_quote(reader, value));
}

/* Not quoted: it may be a key all the same. */
static void check_pem(struct reader *reader, const struct schema_row *row, json_t *value,
                      const struct place *place)
{
    (void)row;
    struct str text = reader_text(reader, value);
    if (memmem(text.ptr, text.len, "-----BEGIN ", sizeof("-----BEGIN ") - 1) == NULL)
        reader_error(
            reader, place,
            "is no PEM text (\"-----BEGIN ...\"); write $file(PATH) for what a file holds");
}

typedef void unit_check(struct reader *reader, const struct schema_row *row, json_t *value,
                        const struct place *place);

static unit_check *check_of_unit(enum schema_unit unit)
{
    switch (unit) {
    case UNIT_DURATION:
        return check_duration;
    case UNIT_SIZE:
        return check_size;
    case UNIT_RATE:
        return check_rate;
    case UNIT_CHOICE:
    case UNIT_ALGORITHM:
        return check_choice;
    case UNIT_ADDRESS:
        return check_address;
    case UNIT_CIDR:
        return check_cidr;
    case UNIT_DOMAIN:
        return check_domain;
    case UNIT_SCOPE:
        return check_scope;
    case UNIT_PERMISSION:
        return check_permission;
    case UNIT_GLOB:
        return check_glob;
    case UNIT_PEM:
        return check_pem;
    case UNIT_MODE:
        return check_mode;
    case UNIT_ORIGIN:
        return check_origin;
    case UNIT_TEXT:
    case UNIT_URL: /* each kind of URL has rules of its own, see build_*.c */
    case UNIT_PATH:
    case UNIT_NAME:
    case UNIT_CLAIM:
    case UNIT_ANY:
        return NULL;
    }
    return NULL;
}

void check_string(struct reader *reader, const struct schema_row *row, json_t *value,
                  const struct place *place)
{
    struct str text = reader_text(reader, value);
    unit_check *check = check_of_unit(row->unit);
    if (!str_is_set(text)) /* a reference that gave nothing, reported */
        return;
    if (text.len == 0)
        reader_error(reader, place, "must not be empty");
    else if (row->unit != UNIT_PEM && str_has_control(text))
        reader_error(reader, place, "must not hold a line break or another control character");
    else if (check != NULL)
        check(reader, row, value, place);
}
