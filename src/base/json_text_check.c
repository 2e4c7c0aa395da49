/* SPDX-License-Identifier: Apache-2.0 */
/* The check of base/json_text: one pass over the bytes, with a stack of its own. */
#include "base/err.h"
#include "base/json_text_int.h"

struct checker {
    const char *at;
    const char *end;
    bool lenient;
    unsigned depth;
    unsigned max_depth;
    /* The containers that are open: which are objects, and where their keys begin. */
    uint64_t objects[JSON_TEXT_MAX_DEPTH / 64];
    uint32_t starts[JSON_TEXT_MAX_DEPTH];
    struct json_keys keys;
};

static void skip_blanks(struct checker *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

/* The byte at hand; NUL at the end, which begins nothing. */
static char peek(const struct checker *c)
{
    return c->at < c->end ? *c->at : '\0';
}

static bool take(struct checker *c, char byte)
{
    if (peek(c) != byte)
        return false;
    c->at++;
    return true;
}

/* ---- strings ---- */

/* Marks (0x80) bytes of WORD that are no plain ASCII of a string. Above the lowest mark there may
 * be false ones. */
static uint64_t special_bytes(uint64_t word)
{
    uint64_t below_blank = (word - JSON_EACH_BYTE(0x20)) & ~word;
    return ((below_blank | word) & JSON_EACH_BYTE(0x80)) | json_bytes_equal(word, '"') |
           json_bytes_equal(word, '\\');
}

static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

static void skip_plain(struct checker *c)
{
    const char *at = c->at;
    for (; c->end - at >= 8; at += 8) {
        uint64_t special = special_bytes(json_load8(at));
        if (special != 0) {
            c->at = at + json_bytes_before(special);
            return;
        }
    }
    while (at < c->end && is_plain(*at))
        at++;
    c->at = at;
}

/* Behind "\u": four digits, and the other half of a pair. *RET_NUL is set by U+0000. */
static bool take_code(struct checker *c, bool *ret_nul)
{
    int code = c->end - c->at >= 4 ? json_text_hex4(c->at) : -1;
    if (code < 0)
        return false;
    c->at += 4;
    *ret_nul = *ret_nul || code == 0;
    if (c->lenient || code < 0xd800 || code > 0xdfff)
        return true;
    /* RFC 8259 8.2: what a lone surrogate means is unpredictable. */
    if (code > 0xdbff || c->end - c->at < 6 || c->at[0] != '\\' || c->at[1] != 'u')
        return false;
    int low = json_text_hex4(c->at + 2);
    c->at += 6;
    return low >= 0xdc00 && low <= 0xdfff;
}

static bool take_escape(struct checker *c, bool *ret_nul)
{
    switch (peek(c)) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        c->at++;
        return true;
    case 'u':
        c->at++;
        return take_code(c, ret_nul);
    default:
        return false;
    }
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0U) == 0x80;
}

/* One character of 2 to 4 bytes (RFC 3629 4): shortest form, no surrogates, up to U+10FFFF. */
static bool take_wide(struct checker *c)
{
    const char *at = c->at;
    const ptrdiff_t left = c->end - at;
    const unsigned lead = (unsigned char)at[0];
    const unsigned second = left > 1 ? (unsigned char)at[1] : 0;
    if (lead >= 0xc2 && lead <= 0xdf) {
        c->at += 2;
        return left >= 2 && is_continuation(at[1]);
    }
    if ((lead & 0xf0U) == 0xe0) {
        const unsigned least = lead == 0xe0 ? 0xa0 : 0x80;
        const unsigned most = lead == 0xed ? 0x9f : 0xbf;
        c->at += 3;
        return left >= 3 && second >= least && second <= most && is_continuation(at[2]);
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        const unsigned least = lead == 0xf0 ? 0x90 : 0x80;
        const unsigned most = lead == 0xf4 ? 0x8f : 0xbf;
        c->at += 4;
        return left >= 4 && second >= least && second <= most && is_continuation(at[2]) &&
               is_continuation(at[3]);
    }
    return false;
}

struct string_traits {
    bool escaped;
    bool nul; /* has U+0000 */
};

/* Behind the opening quote, up to and with the closing one. */
static bool take_string(struct checker *c, struct string_traits *ret)
{
    for (;;) {
        skip_plain(c);
        while (c->at < c->end && !is_plain(*c->at)) {
            if (*c->at == '"') {
                c->at++;
                return true;
            }
            if (*c->at == '\\') {
                c->at++;
                ret->escaped = true;
                if (!take_escape(c, &ret->nul))
                    return false;
            } else if (!take_wide(c)) { /* also refuses control characters */
                return false;
            }
        }
        if (c->at >= c->end)
            return false;
    }
}

/* ---- values ---- */

static bool take_word(struct checker *c, struct str word)
{
    if ((size_t)(c->end - c->at) < word.len || memcmp(c->at, word.ptr, word.len) != 0)
        return false;
    c->at += word.len;
    return true;
}

/* True for a byte that may stand behind an integer; all others are for json_number_end(). */
static bool ends_integer(char c)
{
    return c == ',' || c == '}' || c == ']';
}

static bool take_number(struct checker *c)
{
    /* Most numbers are small integers. */
    const char *at = c->at;
    const char *most = c->end - at > 16 ? at + 16 : c->end;
    while (at < most && ascii_is_digit(*at))
        at++;
    if (at > c->at && at < most && ends_integer(*at) && (*c->at != '0' || at == c->at + 1)) {
        c->at = at;
        return true;
    }
    const char *end = json_number_end(c->at, c->end, c->lenient);
    if (end != NULL)
        c->at = end;
    return end != NULL;
}

static bool take_scalar(struct checker *c)
{
    struct string_traits ignored = {0};
    switch (peek(c)) {
    case '"':
        c->at++;
        return take_string(c, &ignored);
    case 't':
        return take_word(c, STR("true"));
    case 'f':
        return take_word(c, STR("false"));
    case 'n':
        return take_word(c, STR("null"));
    default:
        return take_number(c);
    }
}

static bool in_object(const struct checker *c)
{
    return (c->objects[(c->depth - 1) / 64] >> (c->depth - 1) % 64 & 1) != 0;
}

/* A key with its colon, up to its value. */
static enum json_rc take_key(struct checker *c)
{
    struct string_traits traits = {0};
    skip_blanks(c);
    if (!take(c, '"'))
        return JSON_RC_MALFORMED;
    const char *inside = c->at;
    if (!take_string(c, &traits) || traits.nul)
        return JSON_RC_MALFORMED;
    if (c->keys.n == c->keys.cap && json_keys_grow(&c->keys) < 0)
        return JSON_RC_NO_MEMORY;
    c->keys.keys[c->keys.n++] = (struct json_key){
        .at = (uint32_t)(inside - c->keys.text),
        .len = (uint32_t)(c->at - 1 - inside) & JSON_KEYS_MAX_BYTES,
        .escaped = traits.escaped,
    };
    skip_blanks(c);
    if (!take(c, ':'))
        return JSON_RC_MALFORMED;
    skip_blanks(c);
    return JSON_RC_OK;
}

static enum json_rc open_container(struct checker *c, bool is_object)
{
    if (c->depth >= c->max_depth)
        return JSON_RC_TOO_DEEP;
    uint64_t *word = &c->objects[c->depth / 64];
    *word = (*word & ~((uint64_t)1 << c->depth % 64)) | (uint64_t)is_object << c->depth % 64;
    c->starts[c->depth++] = (uint32_t)c->keys.n;
    c->at++;
    skip_blanks(c);
    return JSON_RC_OK;
}

/* Opens containers until a value is whole: a scalar, or a container with nothing in it. */
static enum json_rc begin_value(struct checker *c)
{
    for (;;) {
        const char first = peek(c);
        enum json_rc rc;
        if (first != '{' && first != '[')
            return take_scalar(c) ? JSON_RC_OK : JSON_RC_MALFORMED;
        rc = open_container(c, first == '{');
        if (rc != JSON_RC_OK)
            return rc;
        if (take(c, first == '{' ? '}' : ']')) {
            c->depth--;
            return JSON_RC_OK;
        }
        if (first == '{')
            rc = take_key(c);
        if (rc != JSON_RC_OK)
            return rc;
    }
}

/* Behind a whole value: closes what ends here, up to the next value of what is still open. */
static enum json_rc end_value(struct checker *c)
{
    while (c->depth > 0) {
        const bool is_object = in_object(c);
        skip_blanks(c);
        if (take(c, ',')) {
            if (is_object)
                return take_key(c);
            skip_blanks(c);
            return JSON_RC_OK;
        }
        if (!take(c, is_object ? '}' : ']'))
            return JSON_RC_MALFORMED;
        c->depth--;
        enum json_rc rc = is_object ? json_keys_close(&c->keys, c->starts[c->depth]) : JSON_RC_OK;
        if (rc != JSON_RC_OK)
            return rc;
    }
    return JSON_RC_OK;
}

static enum json_rc check_document(struct checker *c)
{
    skip_blanks(c);
    do {
        enum json_rc rc = begin_value(c);
        if (rc == JSON_RC_OK)
            rc = end_value(c);
        if (rc != JSON_RC_OK)
            return rc;
    } while (c->depth > 0);
    skip_blanks(c);
    return c->at == c->end ? JSON_RC_OK : JSON_RC_MALFORMED;
}

enum json_rc json_text_check(struct str text, const struct json_text_rules *rules)
{
    NOT_ZEROED struct checker c;
    if (!str_is_set(text))
        return JSON_RC_MALFORMED;
    if (text.len > rules->limits.max_bytes || text.len > JSON_KEYS_MAX_BYTES)
        return JSON_RC_TOO_LARGE;
    c.at = text.ptr;
    c.end = text.ptr + text.len;
    c.lenient = rules->lenient;
    c.depth = 0;
    c.max_depth = rules->limits.max_depth;
    if (c.max_depth > JSON_TEXT_MAX_DEPTH)
        c.max_depth = JSON_TEXT_MAX_DEPTH;
    memset(c.objects, 0, sizeof(c.objects));
    json_keys_init(&c.keys, text.ptr);
    enum json_rc rc = check_document(&c);
    json_keys_free(&c.keys);
    return rc;
}
