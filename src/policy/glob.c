/* SPDX-License-Identifier: Apache-2.0 */
/* Globs over bytes. Patterns come from the policy and are well-formed UTF-8, texts come from
 * anywhere. */
#include "base/err.h"
#include "policy/rules.h"

enum token_kind {
    TOKEN_END,
    TOKEN_MANY, /* '*' */
    TOKEN_ONE,  /* '?' */
    TOKEN_BYTE, /* itself */
};

struct token {
    enum token_kind kind;
    char byte;
    size_t next; /* where the token behind it begins */
};

static struct token token_at(struct str pattern, size_t at)
{
    if (at >= pattern.len)
        return (struct token){.kind = TOKEN_END, .next = at};
    char c = pattern.ptr[at];
    if (c == '*')
        return (struct token){.kind = TOKEN_MANY, .next = at + 1};
    if (c == '?')
        return (struct token){.kind = TOKEN_ONE, .next = at + 1};
    if (c == '\\' && at + 1 < pattern.len)
        return (struct token){.kind = TOKEN_BYTE, .byte = pattern.ptr[at + 1], .next = at + 2};
    return (struct token){.kind = TOKEN_BYTE, .byte = c, .next = at + 1};
}

/* 10xxxxxx: inside of a character. */
static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* What a pattern is compared with, behind AT: of a text, or of another pattern, in which a star can
 * only be matched by a star. */
struct subject {
    struct str bytes;
    bool is_pattern;
};

static struct token symbol_at(const struct subject *subject, size_t at)
{
    if (subject->is_pattern)
        return token_at(subject->bytes, at);
    if (at >= subject->bytes.len)
        return (struct token){.kind = TOKEN_END, .next = at};
    return (struct token){.kind = TOKEN_BYTE, .byte = subject->bytes.ptr[at], .next = at + 1};
}

/* One character, with all of its bytes: a '?' must not match the half of one that a star left. */
static bool take_character(const struct subject *subject, size_t *at)
{
    struct token symbol = symbol_at(subject, *at);
    if (symbol.kind == TOKEN_END || symbol.kind == TOKEN_MANY ||
        (symbol.kind == TOKEN_BYTE && is_continuation(symbol.byte)))
        return false;
    *at = symbol.next;
    if (symbol.kind == TOKEN_ONE)
        return true;
    for (symbol = symbol_at(subject, *at);
         symbol.kind == TOKEN_BYTE && is_continuation(symbol.byte);
         symbol = symbol_at(subject, *at))
        *at = symbol.next;
    return true;
}

static bool take_byte(const struct subject *subject, size_t *at, char byte)
{
    struct token symbol = symbol_at(subject, *at);
    if (symbol.kind != TOKEN_BYTE || symbol.byte != byte)
        return false;
    *at = symbol.next;
    return true;
}

/* Length of what TAIL stands for; false when there is more in it than bytes. */
static bool is_plain_tail(struct str tail, size_t *ret_len)
{
    size_t len = 0;
    struct token token = token_at(tail, 0);
    for (; token.kind == TOKEN_BYTE; token = token_at(tail, token.next))
        len++;
    *ret_len = len;
    return token.kind == TOKEN_END;
}

/* TAIL, which stands for LEN bytes, is the end of TEXT. */
static bool ends_with(struct str text, struct str tail, size_t len)
{
    size_t at = 0;
    if (text.len < len)
        return false;
    for (size_t i = text.len - len; i < text.len; i++) {
        struct token token = token_at(tail, at);
        if (text.ptr[i] != token.byte)
            return false;
        at = token.next;
    }
    return true;
}

/* The usual search with one place to go back to: when a star can match from somewhere on, an
 * earlier star never needs to be tried again. */
static bool match(struct str pattern, const struct subject *subject)
{
    size_t p = 0;
    size_t s = 0;
    size_t p_star = 0; /* behind the last star; 0: none so far */
    size_t s_star = 0; /* where it is tried to end */
    for (;;) {
        struct token token = token_at(pattern, p);
        bool fits = token.kind == TOKEN_MANY ||
                    (token.kind == TOKEN_BYTE && take_byte(subject, &s, token.byte)) ||
                    (token.kind == TOKEN_ONE && take_character(subject, &s));
        if (token.kind == TOKEN_MANY) {
            p_star = token.next;
            s_star = s;
            struct str tail = str_from(pattern, p_star);
            size_t len;
            /* No search for an end: names are the caller's, and long ones would cost a lot. */
            if (!subject->is_pattern && is_plain_tail(tail, &len))
                return ends_with(str_from(subject->bytes, s), tail, len);
            if (p_star == pattern.len)
                return true;
        }
        if (fits) {
            p = token.next;
            continue;
        }
        struct token skipped = symbol_at(subject, s_star);
        if (token.kind == TOKEN_END && symbol_at(subject, s).kind == TOKEN_END)
            return true;
        if (p_star == 0 || skipped.kind == TOKEN_END)
            return false;
        s_star = skipped.next;
        s = s_star;
        p = p_star;
    }
}

bool glob_match(struct str pattern, struct str text)
{
    return match(pattern, &(struct subject){.bytes = text});
}

bool glob_covers(struct str a, struct str b)
{
    return match(a, &(struct subject){.bytes = b, .is_pattern = true});
}

bool glob_is_plain(struct str pattern)
{
    struct token token = token_at(pattern, 0);
    while (token.kind == TOKEN_BYTE)
        token = token_at(pattern, token.next);
    return token.kind == TOKEN_END;
}

const char *glob_fault(struct str pattern)
{
    size_t backslashes = 0;
    while (backslashes < pattern.len && pattern.ptr[pattern.len - 1 - backslashes] == '\\')
        backslashes++;
    if (pattern.len == 0)
        return "is empty";
    if (!str_is_utf8(pattern))
        return "is not UTF-8";
    if (backslashes % 2 != 0)
        return "ends in a backslash, which has nothing behind it to take as it is";
    return NULL;
}
