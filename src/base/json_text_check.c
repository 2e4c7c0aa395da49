/* SPDX-License-Identifier: Apache-2.0 */
/* The check of base/json_text as a whole, and of strings, where they are not plain ASCII. */
#include "base/err.h"
#include "base/json_text_int.h"

enum json_rc json_text_check(struct str text, const struct json_text_rules *rules)
{
    NOT_ZEROED struct json_reader reader;
    json_reader_start(&reader, text, rules);
    return json_reader_finish(&reader);
}

/* ---- strings ---- */

/* A string under way. */
struct string {
    const char *at;
    const char *end; /* of the text */
    bool lenient;
    bool nul; /* it has U+0000 */
};

static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

/* Up to the next byte that is not plain, or the end. */
static void skip_plain(struct string *s)
{
    const char *at = s->at;
    while (s->end - at >= 8) {
        uint64_t special = json_special_bytes(json_load8(at));
        if (special != 0) {
            s->at = at + json_bytes_before(special);
            return;
        }
        at += 8;
    }
    while (at < s->end && is_plain(*at))
        at++;
    s->at = at;
}

/* Behind "\u": four digits, and the other half of a pair. U+0000 is noted. */
static bool take_code(struct string *s)
{
    int code = s->end - s->at >= 4 ? json_text_hex4(s->at) : -1;
    if (code < 0)
        return false;
    s->at += 4;
    s->nul = s->nul || code == 0;
    if (s->lenient || code < 0xd800 || code > 0xdfff)
        return true;
    /* RFC 8259 8.2: what a lone surrogate means is unpredictable. */
    if (code > 0xdbff || s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
        return false;
    int low = json_text_hex4(s->at + 2);
    s->at += 6;
    return low >= 0xdc00 && low <= 0xdfff;
}

static bool take_escape(struct string *s)
{
    switch (s->at < s->end ? *s->at : '\0') {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        s->at++;
        return true;
    case 'u':
        s->at++;
        return take_code(s);
    default:
        return false;
    }
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0U) == 0x80;
}

/* One character of 2 to 4 bytes (RFC 3629 4): shortest form, no surrogates, up to U+10FFFF. */
static bool take_wide(struct string *s)
{
    const char *at = s->at;
    const ptrdiff_t left = s->end - at;
    const unsigned lead = (unsigned char)at[0];
    const unsigned second = left > 1 ? (unsigned char)at[1] : 0;
    if (lead >= 0xc2 && lead <= 0xdf) {
        s->at += 2;
        return left >= 2 && is_continuation(at[1]);
    }
    if ((lead & 0xf0U) == 0xe0) {
        const unsigned least = lead == 0xe0 ? 0xa0 : 0x80;
        const unsigned most = lead == 0xed ? 0x9f : 0xbf;
        s->at += 3;
        return left >= 3 && second >= least && second <= most && is_continuation(at[2]);
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        const unsigned least = lead == 0xf0 ? 0x90 : 0x80;
        const unsigned most = lead == 0xf4 ? 0x8f : 0xbf;
        s->at += 4;
        return left >= 4 && second >= least && second <= most && is_continuation(at[2]) &&
               is_continuation(at[3]);
    }
    return false;
}

const char *json_string_end(struct json_reader *reader, const char *at)
{
    struct string s = {.at = at, .end = reader->end, .lenient = reader->lenient};
    for (; s.at < s.end; skip_plain(&s)) {
        const char byte = *s.at;
        if (byte == '"') {
            reader->nul = s.nul;
            return s.at + 1;
        }
        if (byte == '\\') {
            reader->escaped = true;
            s.at++;
            if (!take_escape(&s))
                return NULL;
        } else if (!is_plain(byte) && !take_wide(&s)) { /* also refuses control characters */
            return NULL;
        }
    }
    return NULL;
}
