/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of base/json_text: the grammar of RFC 8259 6, and whether a double can hold one. */
#include "base/json_text_int.h"

/* The digits of 2^1024 - 2^970: from there on a number is rounded to infinity (IEEE 754). */
static const char first_infinite[] =
    "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179775"
    "8720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484581"
    "7711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699"
    "508093042880177904174497792";

#define FIRST_INFINITE_EXPONENT 308 /* of its first digit */

struct number {
    const char *digits; /* integer part, perhaps a point and a fraction */
    const char *end;    /* of these */
    const char *point;  /* where it is or would be */
    long exponent;
};

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && ascii_is_digit(*at))
        at++;
    return at;
}

/* True when the digits of NUMBER from AT on are no smaller than first_infinite. */
static bool is_infinite_from(const struct number *number, const char *at)
{
    for (const char *bound = first_infinite; *bound != '\0'; bound++) {
        if (at < number->end && at == number->point)
            at++;
        char digit = at < number->end ? *at++ : '0';
        if (digit != *bound)
            return digit > *bound;
    }
    return true;
}

/* Decided on the digits: strtod() would want a copy, and depends on the locale. */
static bool overflows(const struct number *number)
{
    const char *at = number->digits;
    while (at < number->end && (*at == '0' || *at == '.'))
        at++;
    if (at == number->end)
        return false;
    long exponent = number->exponent + (number->point - at) - (at < number->point ? 1 : 0);
    if (exponent != FIRST_INFINITE_EXPONENT)
        return exponent > FIRST_INFINITE_EXPONENT;
    return is_infinite_from(number, at);
}

/* Behind the "e"; NULL without a digit. What no double can have is cut. */
static const char *read_exponent(const char *at, const char *end, long *ret_exponent)
{
    const bool negative = at < end && *at == '-';
    if (at < end && (*at == '+' || *at == '-'))
        at++;
    const char *behind = skip_digits(at, end);
    long value = 0;
    if (behind == at)
        return NULL;
    for (; at < behind; at++)
        if (value < 100000)
            value = value * 10 + (*at - '0');
    *ret_exponent = negative ? -value : value;
    return behind;
}

/* The digits of NUMBER, without sign and exponent; NULL when they are none. */
static const char *read_digits(const char *at, const char *end, struct number *number)
{
    number->digits = at;
    at = skip_digits(at, end);
    number->point = at;
    if (at == number->digits || (*number->digits == '0' && at - number->digits > 1))
        return NULL;
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction, end);
        if (at == fraction)
            return NULL;
    }
    number->end = at;
    return at;
}

const char *json_number_end(const char *at, const char *end, bool lenient)
{
    const char *start = at;
    struct number number;
    if (at < end && *at == '-')
        at++;
    at = read_digits(at, end, &number);
    if (at == NULL)
        return NULL;
    number.exponent = 0;
    if (at < end && (*at == 'e' || *at == 'E'))
        at = read_exponent(at + 1, end, &number.exponent);
    if (at == NULL || at - start > JSON_TEXT_MAX_NUMBER)
        return NULL;
    if (number.exponent == 0 && number.point - number.digits <= FIRST_INFINITE_EXPONENT)
        return at;
    return lenient || !overflows(&number) ? at : NULL;
}
