/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_text.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "support/cmocka_all.h"

#define MAX_BYTES (1024 * 1024)
#define MAX_DEPTH 8

static const struct json_text_rules strict = {.limits = {MAX_BYTES, MAX_DEPTH}};
static const struct json_text_rules lenient = {.limits = {MAX_BYTES, MAX_DEPTH}, .lenient = true};

/* In memory of exactly its size, so that a sanitizer sees one byte too many. */
static enum json_rc check(struct str text, const struct json_text_rules *rules)
{
    char *copy = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(copy);
    memcpy(copy, text.ptr, text.len);
    enum json_rc rc = json_text_check(str_make(copy, text.len), rules);
    free(copy);
    return rc;
}

struct row {
    const char *why;
    struct str text;
    enum json_rc strict;
    enum json_rc lenient;
};

#define SAME(rc) JSON_RC_##rc, JSON_RC_##rc
#define STRICTLY(rc) JSON_RC_##rc, JSON_RC_OK

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum json_rc rc = check(rows[i].text, &strict);
        if (rc != rows[i].strict)
            fail_msg("%s: %d", rows[i].why, (int)rc);
        rc = check(rows[i].text, &lenient);
        if (rc != rows[i].lenient)
            fail_msg("%s, lenient: %d", rows[i].why, (int)rc);
    }
}

static void json_text_check_knows_the_grammar(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"nothing", STR_INIT(""), SAME(MALFORMED)},
        {"blanks only", STR_INIT(" \t\r\n"), SAME(MALFORMED)},
        {"empty object", STR_INIT("{}"), SAME(OK)},
        {"empty array", STR_INIT("[]"), SAME(OK)},
        {"every kind of value", STR_INIT("{\"a\":[1,\"x\",true,false,null,{}],\"b\":{\"c\":[]}}"),
         SAME(OK)},
        {"blanks everywhere", STR_INIT(" { \"a\" : [ 1 , 2 ] , \"b\" :\t{\r\n} } \n"), SAME(OK)},
        {"a string alone", STR_INIT("\"x\""), SAME(OK)},
        {"a number alone", STR_INIT("0"), SAME(OK)},
        {"true alone", STR_INIT("true"), SAME(OK)},
        {"no closing brace", STR_INIT("{\"a\":1"), SAME(MALFORMED)},
        {"no closing bracket", STR_INIT("[1"), SAME(MALFORMED)},
        {"closed by the other bracket", STR_INIT("[1}"), SAME(MALFORMED)},
        {"closed by the other brace", STR_INIT("{\"a\":1]"), SAME(MALFORMED)},
        {"closed inside an inner one", STR_INIT("[{\"a\":1]}"), SAME(MALFORMED)},
        {"closing only", STR_INIT("]"), SAME(MALFORMED)},
        {"two values", STR_INIT("{}{}"), SAME(MALFORMED)},
        {"a second value behind a blank", STR_INIT("{} 1"), SAME(MALFORMED)},
        {"a comma behind the value", STR_INIT("{},"), SAME(MALFORMED)},
        {"NUL behind the value", STR_INIT("{}\0"), SAME(MALFORMED)},
        {"NUL behind a number", STR_INIT("[1\0]"), SAME(MALFORMED)},
        {"NUL as a blank", STR_INIT("[\0]"), SAME(MALFORMED)},
        {"comma at the end of an array", STR_INIT("[1,]"), SAME(MALFORMED)},
        {"comma at the end of an object", STR_INIT("{\"a\":1,}"), SAME(MALFORMED)},
        {"comma at the beginning", STR_INIT("[,1]"), SAME(MALFORMED)},
        {"comma only", STR_INIT("[,]"), SAME(MALFORMED)},
        {"two commas", STR_INIT("[1,,2]"), SAME(MALFORMED)},
        {"no comma", STR_INIT("[1 2]"), SAME(MALFORMED)},
        {"no comma between members", STR_INIT("{\"a\":1 \"b\":2}"), SAME(MALFORMED)},
        {"no colon", STR_INIT("{\"a\" 1}"), SAME(MALFORMED)},
        {"two colons", STR_INIT("{\"a\"::1}"), SAME(MALFORMED)},
        {"no value", STR_INIT("{\"a\":}"), SAME(MALFORMED)},
        {"key alone", STR_INIT("{\"a\"}"), SAME(MALFORMED)},
        {"number as key", STR_INIT("{1:2}"), SAME(MALFORMED)},
        {"bare key", STR_INIT("{a:1}"), SAME(MALFORMED)},
        {"single quotes", STR_INIT("{'a':1}"), SAME(MALFORMED)},
        {"comment", STR_INIT("[1/*x*/]"), SAME(MALFORMED)},
        {"line comment", STR_INIT("[1]//x"), SAME(MALFORMED)},
        {"capital word", STR_INIT("[True]"), SAME(MALFORMED)},
        {"half a word", STR_INIT("[tru]"), SAME(MALFORMED)},
        {"half a word at the end", STR_INIT("nul"), SAME(MALFORMED)},
        {"a longer word", STR_INIT("[nulls]"), SAME(MALFORMED)},
        {"undefined", STR_INIT("[undefined]"), SAME(MALFORMED)},
        {"byte order mark", STR_INIT("\xef\xbb\xbf{}"), SAME(MALFORMED)},
        {"UTF-16", STR_INIT("{\0}\0"), SAME(MALFORMED)},
        {"form feed as blank", STR_INIT("[1,\f2]"), SAME(MALFORMED)},
        {"vertical tab as blank", STR_INIT("\v[]"), SAME(MALFORMED)},
        {"no-break space as blank",
         STR_INIT("[1,\xc2\xa0"
                  "2]"),
         SAME(MALFORMED)},
        {"line separator as blank", STR_INIT("[]\xe2\x80\xa8"), SAME(MALFORMED)},
    };
    check_rows(rows, ARRAY_LEN(rows));
    assert_int_equal(json_text_check((struct str){0}, &strict), JSON_RC_MALFORMED);
}

static void json_text_check_takes_only_numbers_that_all_parsers_take(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"zero", STR_INIT("[0,-0,0.0,-0.0,0e0,0E+1,0e-1]"), SAME(OK)},
        {"digits", STR_INIT("[1,12,1234567890,-5]"), SAME(OK)},
        {"fractions and exponents", STR_INIT("[1.5,1e5,1E5,1E+5,1e-5,1.25E-07,0.1e1]"), SAME(OK)},
        {"larger than 64 bits", STR_INIT("[18446744073709551616,-9223372036854775809]"), SAME(OK)},
        {"leading zero", STR_INIT("[01]"), SAME(MALFORMED)},
        {"two zeros", STR_INIT("[00]"), SAME(MALFORMED)},
        {"negative leading zero", STR_INIT("[-01]"), SAME(MALFORMED)},
        {"minus alone", STR_INIT("[-]"), SAME(MALFORMED)},
        {"two minuses", STR_INIT("[--1]"), SAME(MALFORMED)},
        {"plus", STR_INIT("[+1]"), SAME(MALFORMED)},
        {"point first", STR_INIT("[.5]"), SAME(MALFORMED)},
        {"point last", STR_INIT("[1.]"), SAME(MALFORMED)},
        {"point and exponent", STR_INIT("[1.e1]"), SAME(MALFORMED)},
        {"two points", STR_INIT("[1.2.3]"), SAME(MALFORMED)},
        {"exponent without digits", STR_INIT("[1e]"), SAME(MALFORMED)},
        {"exponent with a sign only", STR_INIT("[1e+]"), SAME(MALFORMED)},
        {"exponent with a fraction", STR_INIT("[1e1.5]"), SAME(MALFORMED)},
        {"hexadecimal", STR_INIT("[0x10]"), SAME(MALFORMED)},
        {"octal", STR_INIT("[0o17]"), SAME(MALFORMED)},
        {"grouped digits", STR_INIT("[1_000]"), SAME(MALFORMED)},
        {"NaN", STR_INIT("[NaN]"), SAME(MALFORMED)},
        {"Infinity", STR_INIT("[Infinity]"), SAME(MALFORMED)},
        {"-Infinity", STR_INIT("[-Infinity]"), SAME(MALFORMED)},
        {"digits of another script", STR_INIT("[\xd9\xa1]"), SAME(MALFORMED)},
        {"ends in an exponent", STR_INIT("1e"), SAME(MALFORMED)},
        {"ends in a point", STR_INIT("1."), SAME(MALFORMED)},
        {"ends in a minus", STR_INIT("-"), SAME(MALFORMED)},
        {"largest double", STR_INIT("[1.7976931348623157e308,-1.7976931348623157e308]"), SAME(OK)},
        {"rounded down to the largest double", STR_INIT("[1.7976931348623158e308]"), SAME(OK)},
        {"rounded up to infinity", STR_INIT("[1.7976931348623159e308]"), STRICTLY(MALFORMED)},
        {"too large", STR_INIT("[1e309]"), STRICTLY(MALFORMED)},
        {"far too large", STR_INIT("[1e999]"), STRICTLY(MALFORMED)},
        {"far too large, negative", STR_INIT("[-1E+999]"), STRICTLY(MALFORMED)},
        {"an exponent of many digits", STR_INIT("[1e99999999999999999999]"), STRICTLY(MALFORMED)},
        {"a small one of many digits", STR_INIT("[1e-99999999999999999999]"), SAME(OK)},
        {"zero times a huge power", STR_INIT("[0.000e99999]"), SAME(OK)},
        {"many places behind the point", STR_INIT("[0.0001e312]"), SAME(OK)},
        {"one place fewer", STR_INIT("[0.001e312]"), STRICTLY(MALFORMED)},
        {"a small number", STR_INIT("[1e-999]"), SAME(OK)},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

/* The bound of IEEE 754 itself: 2^1024 - 2^970, and the integer below it. */
static void json_text_check_finds_the_last_finite_number(void **state)
{
    (void)state;
    static const char finite[] =
        "17976931348623158079372897140530341507993413271003782693617377898044496829276475094664901"
        "79775872070963302864166928879109465555478519404026306574886715058206819089020007083836762"
        "73854845817711531764475730270069855571366959622842914819860834936475292719074168444365510"
        "704342711559699508093042880177904174497791";
    struct buf text = buf_make(MAX_BYTES);
    (void)buf_append(&text, str_from_cstr(finite));
    assert_int_equal(check(buf_str(&text), &strict), JSON_RC_OK);
    (void)buf_append(&text, STR(".99999999999"));
    assert_int_equal(check(buf_str(&text), &strict), JSON_RC_OK);
    text.ptr[sizeof(finite) - 2] = '2';
    assert_int_equal(check(buf_str(&text), &strict), JSON_RC_MALFORMED);
    text.len = sizeof(finite) - 1;
    assert_int_equal(check(buf_str(&text), &strict), JSON_RC_MALFORMED);
    assert_int_equal(check(buf_str(&text), &lenient), JSON_RC_OK);
    buf_free(&text);
}

static void json_text_check_limits_the_length_of_numbers(void **state)
{
    (void)state;
    struct buf text = buf_make(MAX_BYTES);
    (void)buf_append(&text, STR("0."));
    while (text.len < JSON_TEXT_MAX_NUMBER)
        (void)buf_append_char(&text, '7');
    assert_int_equal(check(buf_str(&text), &strict), JSON_RC_OK);
    (void)buf_append_char(&text, '7');
    assert_int_equal(check(buf_str(&text), &strict), JSON_RC_MALFORMED);
    assert_int_equal(check(buf_str(&text), &lenient), JSON_RC_MALFORMED);
    buf_free(&text);
}

static void json_text_check_takes_only_well_formed_strings(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"all escapes", STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\""), SAME(OK)},
        {"all lengths of UTF-8", STR_INIT("\"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z\""), SAME(OK)},
        {"bounds of UTF-8",
         STR_INIT("\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80"
                  "\xf4\x8f\xbf\xbf\""),
         SAME(OK)},
        {"DEL", STR_INIT("\"\x7f\""), SAME(OK)},
        {"U+0000 in a value", STR_INIT("\"a\\u0000b\""), SAME(OK)},
        {"U+0000 in a key", STR_INIT("{\"a\\u0000b\":1}"), SAME(MALFORMED)},
        {"long enough for the fast path", STR_INIT("\"0123456789abcdef0123456789\""), SAME(OK)},
        {"not closed", STR_INIT("\"abc"), SAME(MALFORMED)},
        {"not closed, long", STR_INIT("\"0123456789abcdef"), SAME(MALFORMED)},
        {"closing quote escaped", STR_INIT("\"abc\\\""), SAME(MALFORMED)},
        {"ends in a backslash", STR_INIT("\"abc\\"), SAME(MALFORMED)},
        {"unknown escape", STR_INIT("\"\\x41\""), SAME(MALFORMED)},
        {"escaped single quote", STR_INIT("\"\\'\""), SAME(MALFORMED)},
        {"escaped NUL byte", STR_INIT("\"\\\0\""), SAME(MALFORMED)},
        {"capital U", STR_INIT("\"\\U0041\""), SAME(MALFORMED)},
        {"three digits", STR_INIT("\"\\u004\""), SAME(MALFORMED)},
        {"no digits", STR_INIT("\"\\u\""), SAME(MALFORMED)},
        {"digits cut off", STR_INIT("\"\\u00"), SAME(MALFORMED)},
        {"not hexadecimal", STR_INIT("\"\\u00g0\""), SAME(MALFORMED)},
        {"a sign among the digits", STR_INIT("\"\\u+041\""), SAME(MALFORMED)},
        {"raw newline", STR_INIT("\"a\nb\""), SAME(MALFORMED)},
        {"raw tab", STR_INIT("\"a\tb\""), SAME(MALFORMED)},
        {"raw NUL", STR_INIT("\"a\0b\""), SAME(MALFORMED)},
        {"raw control far inside", STR_INIT("\"0123456789abcdef\x1f\""), SAME(MALFORMED)},
        {"lone high surrogate", STR_INIT("\"\\ud83d\""), STRICTLY(MALFORMED)},
        {"lone low surrogate", STR_INIT("\"\\ude00\""), STRICTLY(MALFORMED)},
        {"high and letter", STR_INIT("\"\\ud83da\""), STRICTLY(MALFORMED)},
        {"high and another escape", STR_INIT("\"\\ud83d\\n\""), STRICTLY(MALFORMED)},
        {"high and no surrogate", STR_INIT("\"\\ud83d\\u0041\""), STRICTLY(MALFORMED)},
        {"high and high", STR_INIT("\"\\ud83d\\ud83d\""), STRICTLY(MALFORMED)},
        {"low and high", STR_INIT("\"\\ude00\\ud83d\""), STRICTLY(MALFORMED)},
        {"lone surrogate in a key", STR_INIT("{\"\\ud83d\":1}"), STRICTLY(MALFORMED)},
        {"continuation alone", STR_INIT("\"\x80\""), SAME(MALFORMED)},
        {"overlong slash, 2 bytes", STR_INIT("\"\xc0\xaf\""), SAME(MALFORMED)},
        {"overlong NUL", STR_INIT("\"\xc0\x80\""), SAME(MALFORMED)},
        {"overlong, 2 bytes", STR_INIT("\"\xc1\xbf\""), SAME(MALFORMED)},
        {"overlong, 3 bytes", STR_INIT("\"\xe0\x9f\xbf\""), SAME(MALFORMED)},
        {"overlong, 4 bytes", STR_INIT("\"\xf0\x8f\xbf\xbf\""), SAME(MALFORMED)},
        {"surrogate as UTF-8", STR_INIT("\"\xed\xa0\x80\""), SAME(MALFORMED)},
        {"above U+10FFFF", STR_INIT("\"\xf4\x90\x80\x80\""), SAME(MALFORMED)},
        {"lead byte F5", STR_INIT("\"\xf5\x80\x80\x80\""), SAME(MALFORMED)},
        {"lead byte FF", STR_INIT("\"\xff\""), SAME(MALFORMED)},
        {"cut off after one of two", STR_INIT("\"\xc3\""), SAME(MALFORMED)},
        {"cut off after two of three", STR_INIT("\"\xe2\x82\""), SAME(MALFORMED)},
        {"cut off after three of four", STR_INIT("\"\xf0\x9f\x98\""), SAME(MALFORMED)},
        {"cut off by the end, 2", STR_INIT("\"\xc3"), SAME(MALFORMED)},
        {"cut off by the end, 3", STR_INIT("\"\xe2\x82"), SAME(MALFORMED)},
        {"cut off by the end, 4", STR_INIT("\"\xf0\x9f\x98"), SAME(MALFORMED)},
        {"Latin-1", STR_INIT("\"caf\xe9\""), SAME(MALFORMED)},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

/* The fast path looks at eight bytes at once: every special byte at every place of a string. */
static void json_text_check_sees_every_byte_of_a_string(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 1; at < 20; at++) {
            char text[] = "\"\x20!#[]~\x7f _aZ09{}:,xyz\"";
            text[at] = (char)byte;
            bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            enum json_rc rc = check(str_make(text, sizeof(text) - 1), &strict);
            if (byte == '\\') /* some of what follows may be escaped */
                continue;
            if ((rc == JSON_RC_OK) != plain)
                fail_msg("byte 0x%02x at %zu: %d", byte, at, (int)rc);
        }
    }
}

static void json_text_check_refuses_duplicate_keys(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"plain", STR_INIT("{\"a\":1,\"a\":2}"), SAME(DUPLICATE_KEY)},
        {"empty", STR_INIT("{\"\":1,\"\":2}"), SAME(DUPLICATE_KEY)},
        {"not neighbours", STR_INIT("{\"a\":1,\"b\":2,\"c\":3,\"a\":4}"), SAME(DUPLICATE_KEY)},
        {"in an inner object", STR_INIT("[{\"x\":{\"a\":1,\"a\":2}}]"), SAME(DUPLICATE_KEY)},
        {"behind an inner object", STR_INIT("{\"a\":{\"b\":1},\"a\":2}"), SAME(DUPLICATE_KEY)},
        {"with equal values", STR_INIT("{\"a\":1,\"a\":1}"), SAME(DUPLICATE_KEY)},
        {"at the very end", STR_INIT("{\"id\":1.5,\"method\":\"ping\",\"id\":1}"),
         SAME(DUPLICATE_KEY)},
        {"one length and beginning", STR_INIT("{\"ab1\":1,\"ab2\":2,\"ab3\":3,\"ab2\":4}"),
         SAME(DUPLICATE_KEY)},
        {"one escaped", STR_INIT("{\"a\":1,\"\\u0061\":2}"), SAME(DUPLICATE_KEY)},
        {"escaped in two ways", STR_INIT("{\"\\/\":1,\"\\u002f\":2}"), SAME(DUPLICATE_KEY)},
        {"digits in two cases", STR_INIT("{\"\\u004a\":1,\"\\u004A\":2}"), SAME(DUPLICATE_KEY)},
        {"pair and UTF-8", STR_INIT("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"),
         SAME(DUPLICATE_KEY)},
        {"long and escaped", STR_INIT("{\"0123456789abcdefX\":1,\"0123456789abcdef\\u0058\":2}"),
         SAME(DUPLICATE_KEY)},
        {"a block and escaped", STR_INIT("{\"0123456789abcdef\":1,\"0123456789abcde\\u0066\":2}"),
         SAME(DUPLICATE_KEY)},
        {"__proto__ twice", STR_INIT("{\"__proto__\":1,\"__proto__\":2}"), SAME(DUPLICATE_KEY)},
        {"different case", STR_INIT("{\"a\":1,\"A\":2}"), SAME(OK)},
        {"one length and beginning, all different",
         STR_INIT("{\"ab1\":1,\"ab2\":2,\"ab3\":3,\"ab4\":4}"), SAME(OK)},
        {"in different objects", STR_INIT("[{\"a\":1},{\"a\":1}]"), SAME(OK)},
        {"in outer and inner", STR_INIT("{\"a\":{\"a\":{\"a\":1}}}"), SAME(OK)},
        {"inner before outer", STR_INIT("{\"x\":{\"a\":1},\"a\":2}"), SAME(OK)},
        {"a prefix", STR_INIT("{\"a\":1,\"aa\":2,\"aaa\":3,\"\":4}"), SAME(OK)},
        {"composed and decomposed", STR_INIT("{\"\xc3\xa9\":1,\"e\xcc\x81\":2}"), SAME(OK)},
        {"as key and value", STR_INIT("{\"a\":\"b\",\"b\":\"a\"}"), SAME(OK)},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

/* Whoever knows the hash of small objects can make keys like these, which all have the same one. */
static void json_text_check_tells_keys_with_one_hash_apart(void **state)
{
    (void)state;
#define COLLIDES(text) "\"mcjaaaaamcjaaaaa" text "{BE}1-@F\":0"
    static const struct row rows[] = {
        {"different",
         STR_INIT("{" COLLIDES("00000000") "," COLLIDES("11111111") "," COLLIDES("22222222") "}"),
         SAME(OK)},
        {"one twice",
         STR_INIT("{" COLLIDES("00000000") "," COLLIDES("11111111") "," COLLIDES("00000000") "}"),
         SAME(DUPLICATE_KEY)},
        {"one twice, behind",
         STR_INIT(
             "{" COLLIDES("00000000") "," COLLIDES("11111111") ","
                                                               "\"a\":1,\"b\":2,\"\\u0061\":3}"),
         SAME(DUPLICATE_KEY)},
        {"one twice, escaped",
         STR_INIT(
             "{" COLLIDES("00000000") "," COLLIDES("11111111") "," COLLIDES("1111\\u0031111") "}"),
         SAME(DUPLICATE_KEY)},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

/* An object with the members k0 to k(N-1), that with number TWICE (if any) a second time last. */
static void append_object(struct buf *out, const char *prefix, size_t n, size_t twice)
{
    (void)buf_append_char(out, '{');
    for (size_t i = 0; i < n; i++)
        (void)buf_printf(out, "%s\"%s%zu\":%zu", i > 0 ? "," : "", prefix, i, i);
    if (twice < n)
        (void)buf_printf(out, ",\"%s%zu\":0", prefix, twice);
    (void)buf_append_char(out, '}');
}

static void json_text_check_finds_duplicates_among_any_number_of_keys(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "k", "0123456789abcde", "0123456789abcdef",
                                           "\\u00e90123456789abcdef0123456789abcdef"};
    for (size_t p = 0; p < ARRAY_LEN(prefixes); p++) {
        for (size_t n = 1; n < 300; n += n < 80 ? 1 : 37) {
            struct buf text = buf_make(MAX_BYTES);
            append_object(&text, prefixes[p], n, n);
            if (check(buf_str(&text), &strict) != JSON_RC_OK)
                fail_msg("%zu keys %s", n, prefixes[p]);
            for (size_t twice = 0; twice < n; twice += 1 + n / 7) {
                buf_clear(&text);
                append_object(&text, prefixes[p], n, twice);
                if (check(buf_str(&text), &strict) != JSON_RC_DUPLICATE_KEY)
                    fail_msg("%zu keys %s, %zu twice", n, prefixes[p], twice);
            }
            buf_free(&text);
        }
    }
}

/* Tables are used again: a large object, smaller ones behind it, one larger still. */
static void json_text_check_forgets_the_keys_of_closed_objects(void **state)
{
    (void)state;
    static const size_t sizes[] = {500, 20, 17, 16, 200, 2000, 64, 65};
    struct buf text = buf_make(MAX_BYTES);
    (void)buf_append_char(&text, '[');
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        append_object(&text, "k", sizes[i], sizes[i]);
        (void)buf_append_char(&text, ',');
    }
    size_t len = text.len;
    (void)buf_append(&text, STR("0]"));
    assert_int_equal(check(buf_str(&text), &strict), JSON_RC_OK);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        text.len = len;
        append_object(&text, "k", sizes[i], sizes[i] - 1);
        (void)buf_append_char(&text, ']');
        assert_int_equal(check(buf_str(&text), &strict), JSON_RC_DUPLICATE_KEY);
    }
    buf_free(&text);
}

static void append_nested(struct buf *out, unsigned depth, bool objects)
{
    for (unsigned i = 0; i < depth; i++)
        (void)buf_append(out, objects ? (i + 1 < depth ? STR("{\"a\":") : STR("{")) : STR("["));
    for (unsigned i = 0; i < depth; i++)
        (void)buf_append_char(out, objects ? '}' : ']');
}

static void json_text_check_limits_depth_and_size(void **state)
{
    (void)state;
    static const unsigned limits[] = {1, 2, MAX_DEPTH, 63, 64, 65, 511, 512};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        for (int objects = 0; objects < 2; objects++) {
            struct json_text_rules rules = {.limits = {MAX_BYTES, limits[i]}};
            struct buf text = buf_make(MAX_BYTES);
            append_nested(&text, limits[i], objects != 0);
            assert_int_equal(check(buf_str(&text), &rules), JSON_RC_OK);
            rules.limits.max_bytes = text.len;
            assert_int_equal(check(buf_str(&text), &rules), JSON_RC_OK);
            rules.limits.max_bytes = text.len - 1;
            assert_int_equal(check(buf_str(&text), &rules), JSON_RC_TOO_LARGE);
            buf_clear(&text);
            rules.limits.max_bytes = MAX_BYTES;
            append_nested(&text, limits[i] + 1, objects != 0);
            assert_int_equal(check(buf_str(&text), &rules), JSON_RC_TOO_DEEP);
            buf_free(&text);
        }
    }
    const struct json_text_rules boundless = {.limits = {MAX_BYTES, 100000}};
    struct buf text = buf_make(MAX_BYTES);
    append_nested(&text, JSON_TEXT_MAX_DEPTH + 1, false);
    assert_int_equal(check(buf_str(&text), &boundless), JSON_RC_TOO_DEEP);
    buf_free(&text);
}

/* ---- the walk ---- */

static void json_text_walks_what_it_accepted(void **state)
{
    (void)state;
    const struct str text =
        STR(" {\"a\" : 1 ,\"b\":[true,null , \"x,]\\\"\",{\"}\":\"]\"},-1.5e3 ],\n\"c\":{}} ");
    static const struct {
        struct str key;
        struct str value;
        enum json_text_type type;
    } members[] = {
        {STR_INIT("a"), STR_INIT("1"), JSON_TEXT_NUMBER},
        {STR_INIT("b"), STR_INIT("[true,null , \"x,]\\\"\",{\"}\":\"]\"},-1.5e3 ]"),
         JSON_TEXT_ARRAY},
        {STR_INIT("c"), STR_INIT("{}"), JSON_TEXT_OBJECT},
    };
    static const struct {
        struct str value;
        enum json_text_type type;
    } elements[] = {
        {STR_INIT("true"), JSON_TEXT_TRUE},          {STR_INIT("null"), JSON_TEXT_NULL},
        {STR_INIT("\"x,]\\\"\""), JSON_TEXT_STRING}, {STR_INIT("{\"}\":\"]\"}"), JSON_TEXT_OBJECT},
        {STR_INIT("-1.5e3"), JSON_TEXT_NUMBER},
    };
    struct str key;
    struct str value;
    assert_int_equal(check(text, &strict), JSON_RC_OK);
    struct str root = json_text_root(text);
    assert_true(str_eq(root, str_trim(text)));
    struct json_text_iter iter = json_text_iter(root);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        assert_true(json_text_next_member(&iter, &key, &value));
        assert_true(str_eq(key, members[i].key) && str_eq(value, members[i].value));
        assert_int_equal(json_text_type(value), members[i].type);
    }
    assert_false(json_text_next_member(&iter, &key, &value));
    iter = json_text_iter(json_text_get(root, STR("b")));
    for (size_t i = 0; i < ARRAY_LEN(elements); i++) {
        assert_true(json_text_next_element(&iter, &value));
        assert_true(str_eq(value, elements[i].value));
        assert_int_equal(json_text_type(value), elements[i].type);
    }
    assert_false(json_text_next_element(&iter, &value));
}

static void json_text_gives_the_root_of_every_kind(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        struct str root;
        enum json_text_type type;
    } rows[] = {
        {STR_INIT(" false "), STR_INIT("false"), JSON_TEXT_FALSE},
        {STR_INIT("12"), STR_INIT("12"), JSON_TEXT_NUMBER},
        {STR_INIT("\t\"a b\"\n"), STR_INIT("\"a b\""), JSON_TEXT_STRING},
        {STR_INIT("[ ]"), STR_INIT("[ ]"), JSON_TEXT_ARRAY},
        {STR_INIT("{ } "), STR_INIT("{ }"), JSON_TEXT_OBJECT},
        {STR_INIT("null"), STR_INIT("null"), JSON_TEXT_NULL},
    };
    struct str key;
    struct str value;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str root = json_text_root(rows[i].text);
        assert_true(str_eq(root, rows[i].root));
        assert_int_equal(json_text_type(root), rows[i].type);
        struct json_text_iter iter = json_text_iter(root);
        assert_false(json_text_next_element(&iter, &value));
        iter = json_text_iter(root);
        assert_false(json_text_next_member(&iter, &key, &value));
        assert_int_equal(json_text_type(json_text_get(root, STR("a"))), JSON_TEXT_ABSENT);
    }
    assert_int_equal(json_text_type((struct str){0}), JSON_TEXT_ABSENT);
}

static void json_text_finds_members_by_what_their_keys_mean(void **state)
{
    (void)state;
    const struct str object = STR("{\"name\":1,\"\\u006dethod\":2,\"p\\/q\":3,\"\xc3\xa9\":4,"
                                  "\"\":5,\"a\\\\\":6,\"\\ud83d\\ude00x\":7}");
    static const struct {
        struct str key;
        struct str value;
    } rows[] = {
        {STR_INIT("name"), STR_INIT("1")},
        {STR_INIT("method"), STR_INIT("2")},
        {STR_INIT("p/q"), STR_INIT("3")},
        {STR_INIT("\xc3\xa9"), STR_INIT("4")},
        {STR_INIT(""), STR_INIT("5")},
        {STR_INIT("a\\"), STR_INIT("6")},
        {STR_INIT("\xf0\x9f\x98\x80x"), STR_INIT("7")},
    };
    static const struct str absent[] = {
        STR_INIT("nam"),       STR_INIT("names"), STR_INIT("Name"), STR_INIT("\\u006dethod"),
        STR_INIT("p\\/q"),     STR_INIT("a\\\\"), STR_INIT("a"),    STR_INIT("\xf0\x9f\x98\x80"),
        STR_INIT("methodical")};
    assert_int_equal(check(object, &strict), JSON_RC_OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(str_eq(json_text_get(object, rows[i].key), rows[i].value));
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        if (str_is_set(json_text_get(object, absent[i])))
            fail_msg("%.*s", STR_ARG(absent[i]));
}

static void json_text_string_undoes_escapes(void **state)
{
    (void)state;
    static const struct {
        struct str value;
        struct str means;
    } rows[] = {
        {STR_INIT("\"\""), STR_INIT("")},
        {STR_INIT("\"plain\""), STR_INIT("plain")},
        {STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR_INIT("\"\\/\b\f\n\r\t")},
        {STR_INIT("\"a\\u0041b\\u00e9c\\u20acd\""), STR_INIT("aAb\xc3\xa9"
                                                             "c\xe2\x82\xac"
                                                             "d")},
        {STR_INIT("\"\\uD83D\\uDE00\""), STR_INIT("\xf0\x9f\x98\x80")},
        {STR_INIT("\"\\udbff\\udfff\""), STR_INIT("\xf4\x8f\xbf\xbf")},
        {STR_INIT("\"x\\u0000y\""), STR_INIT("x\0y")},
        {STR_INIT("\"\\ud83d\""), STR_INIT("\xef\xbf\xbd")},
        {STR_INIT("\"\\ude00x\\ud83d\\ud83d\\ude00\""),
         STR_INIT("\xef\xbf\xbdx\xef\xbf\xbd\xf0\x9f\x98\x80")},
    };
    struct arena *arena = arena_new(256, 4096);
    int fault;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str value = rows[i].value;
        fault = 1;
        assert_true(str_eq(json_text_string(value, arena, &fault), rows[i].means));
        assert_int_equal(fault, 0);
        struct str inside = str_make(value.ptr + 1, value.len - 2);
        assert_true(str_eq(json_text_key(inside, arena, &fault), rows[i].means));
    }
    assert_ptr_equal(json_text_string(rows[1].value, arena, &fault).ptr, rows[1].value.ptr + 1);
    assert_false(str_is_set(json_text_string(STR("12"), arena, &fault)));
    assert_int_equal(fault, 0);
    assert_false(str_is_set(json_text_string((struct str){0}, arena, &fault)));
    arena_free(arena);
    arena = arena_new(16, 16);
    assert_false(str_is_set(json_text_string(STR("\"12345678901234567\\n\""), arena, &fault)));
    assert_int_equal(fault, -ENOMEM);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_text_check_knows_the_grammar),
        cmocka_unit_test(json_text_check_takes_only_numbers_that_all_parsers_take),
        cmocka_unit_test(json_text_check_finds_the_last_finite_number),
        cmocka_unit_test(json_text_check_limits_the_length_of_numbers),
        cmocka_unit_test(json_text_check_takes_only_well_formed_strings),
        cmocka_unit_test(json_text_check_sees_every_byte_of_a_string),
        cmocka_unit_test(json_text_check_refuses_duplicate_keys),
        cmocka_unit_test(json_text_check_tells_keys_with_one_hash_apart),
        cmocka_unit_test(json_text_check_finds_duplicates_among_any_number_of_keys),
        cmocka_unit_test(json_text_check_forgets_the_keys_of_closed_objects),
        cmocka_unit_test(json_text_check_limits_depth_and_size),
        cmocka_unit_test(json_text_walks_what_it_accepted),
        cmocka_unit_test(json_text_gives_the_root_of_every_kind),
        cmocka_unit_test(json_text_finds_members_by_what_their_keys_mean),
        cmocka_unit_test(json_text_string_undoes_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
