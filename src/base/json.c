/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json_reader.h"
#include "base/secret.h"

static void free_wiped(void *ptr)
{
    if (ptr == NULL)
        return;
    secret_wipe(ptr, malloc_usable_size(ptr));
    free(ptr);
}

void json_wipe_what_is_freed(void)
{
    json_set_alloc_funcs(malloc, free_wiped);
}

const char *json_rc_text(enum json_rc rc)
{
    switch (rc) {
    case JSON_RC_OK:
        return "is valid JSON";
    case JSON_RC_TOO_LARGE:
        return "is too large";
    case JSON_RC_TOO_DEEP:
        return "is nested too deeply";
    case JSON_RC_MALFORMED:
        return "is not valid JSON";
    case JSON_RC_DUPLICATE_KEY:
        return "has a duplicate key";
    case JSON_RC_NO_MEMORY:
        return "needs more memory than there is";
    }
    return "is not valid JSON";
}

void json_unref(json_t **root)
{
    json_decref(*root);
    *root = NULL;
}

struct str json_str(const json_t *value)
{
    if (!json_is_string(value))
        return (struct str){0};
    return str_make(json_string_value(value), json_string_length(value));
}

struct str json_get_str(const json_t *object, const char *key)
{
    return json_str(json_object_get(object, key));
}

#define JSON_MAX_EXACT_REAL 9007199254740992.0 /* 2^53 */

static int real_to_i64(double real, int64_t *ret_value)
{
    if (!(real > -JSON_MAX_EXACT_REAL && real < JSON_MAX_EXACT_REAL))
        return -ERANGE;
    *ret_value = (int64_t)real;
    if ((double)*ret_value > real) /* towards minus infinity */
        (*ret_value)--;
    return 0;
}

int json_to_i64(const json_t *value, int64_t *ret_value)
{
    if (json_is_integer(value)) {
        *ret_value = json_integer_value(value);
        return 0;
    }
    return json_is_real(value) ? real_to_i64(json_real_value(value), ret_value) : -EINVAL;
}

/* ---- numbers of a checked text ---- */

#define MIN_LONG_DIGITS 19 /* of 2^63 */

static bool is_integer(struct str number)
{
    for (size_t i = 0; i < number.len; i++)
        if (!ascii_is_digit(number.ptr[i]) && number.ptr[i] != '-')
            return false;
    return true;
}

/* Counts downwards, since the smallest number has no counterpart. */
static int integer_to_i64(struct str number, int64_t *ret_value)
{
    const bool is_negative = number.ptr[0] == '-';
    int64_t value = 0;
    for (size_t i = is_negative ? 1 : 0; i < number.len; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, number.ptr[i] - '0', &value))
            return -ERANGE;
    if (!is_negative && __builtin_sub_overflow(0, value, &value))
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int json_text_to_i64(struct str value, int64_t *ret_value)
{
    NOT_ZEROED char text[JSON_TEXT_MAX_NUMBER + 1];
    if (json_text_type(value) != JSON_TEXT_NUMBER)
        return -EINVAL;
    if (is_integer(value))
        return integer_to_i64(value, ret_value);
    memcpy(text, value.ptr, value.len); /* strtod() wants an end */
    text[value.len] = '\0';
    return real_to_i64(strtod(text, NULL), ret_value);
}

/* True when TEXT has so many digits in a row that they could be a long integer. One byte in each
 * stretch of that length is enough to look at. */
static bool has_long_digits(struct str text)
{
    for (size_t i = MIN_LONG_DIGITS - 1; i < text.len; i += MIN_LONG_DIGITS) {
        size_t first = i;
        size_t behind = i;
        while (first > 0 && ascii_is_digit(text.ptr[first - 1]))
            first--;
        while (behind < text.len && ascii_is_digit(text.ptr[behind]))
            behind++;
        if (ascii_is_digit(text.ptr[i]) && behind - first >= MIN_LONG_DIGITS)
            return true;
    }
    return false;
}

static bool fits(struct str number)
{
    int64_t ignored;
    return !is_integer(number) || integer_to_i64(number, &ignored) == 0;
}

/* Over the value at hand; how deep it can be is limited by the check. */
static bool read_fits(struct json_reader *reader)
{
    const enum json_text_type type = json_reader_at(reader);
    bool fit = true;
    struct str raw_key;
    if (type != JSON_TEXT_OBJECT && type != JSON_TEXT_ARRAY) {
        const struct str value = json_reader_over(reader);
        return type != JSON_TEXT_NUMBER || fits(value);
    }
    (void)json_reader_into(reader);
    while (fit && (type == JSON_TEXT_OBJECT ? json_reader_next_key(reader, &raw_key)
                                            : json_reader_next_element(reader)))
        fit = read_fits(reader);
    return fit;
}

bool json_text_integers_fit(struct str value)
{
    const struct json_text_rules rules = {.limits = {value.len, JSON_TEXT_MAX_DEPTH}};
    NOT_ZEROED struct json_reader reader;
    if (json_text_type(value) == JSON_TEXT_STRING || !has_long_digits(value))
        return true;
    json_reader_start(&reader, value, &rules);
    const bool fit = read_fits(&reader);
    return json_reader_finish(&reader) != JSON_RC_NO_MEMORY && fit;
}

static int write_bytes(const char *bytes, size_t len, void *ctx)
{
    return buf_append(ctx, str_make(bytes, len)) < 0 ? -1 : 0;
}

int json_write(const json_t *value, unsigned indent, struct buf *out)
{
    size_t flags = JSON_ENCODE_ANY | (indent > 0 ? JSON_INDENT(indent) : JSON_COMPACT);
    /* jansson does not look whether the key of a member could be written. */
    if (json_dump_callback(value, write_bytes, out, flags) == 0 && !buf_failed(out))
        return 0;
    return out->fault != 0 ? out->fault : -ENOMEM;
}

const char *json_library_version(void)
{
    return jansson_version_str();
}
