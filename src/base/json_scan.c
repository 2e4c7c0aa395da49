/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner of json_lines: recursive descent, as deep as JSON_LINES_MAX_DEPTH. */
#include <errno.h>
#include <stdlib.h>

#include "base/json_lines_int.h"

struct scanner {
    struct str text;
    size_t at;
    unsigned line;
    unsigned depth;
    struct json_lines *lines;
    struct json_fault *fault;
};

static int scan_value(struct scanner *s, uint32_t node);

static int fail(struct scanner *s, int error, const char *text)
{
    *s->fault = (struct json_fault){.line = s->line, .text = text};
    return error;
}

/* The next byte, or NUL at the end (which is no byte of JSON either). */
static char peek(const struct scanner *s)
{
    return s->at < s->text.len ? s->text.ptr[s->at] : '\0';
}

static char skip_blanks(struct scanner *s)
{
    for (;; s->at++) {
        char c = peek(s);
        if (c == '\n')
            s->line++;
        else if (c != ' ' && c != '\t' && c != '\r')
            return c;
    }
}

static int unexpected(struct scanner *s, const char *expected)
{
    char c = peek(s);
    if (s->at >= s->text.len)
        return fail(s, -EINVAL, "the file ends too early: a bracket or brace is not closed");
    if (c == '/' || c == '#')
        return fail(s, -EINVAL, "JSON has no comments");
    if (c == '\'')
        return fail(s, -EINVAL, "strings and keys are written in double quotes");
    return fail(s, -EINVAL, expected);
}

static int node_new(struct scanner *s, struct node value, uint32_t *ret_node)
{
    struct json_lines *lines = s->lines;
    if (lines->count >= JSON_LINES_MAX_VALUES)
        return fail(s, -EINVAL, "too many values in one file");
    if (lines->count == lines->cap) {
        uint32_t cap = lines->cap > 0 ? lines->cap * 2 : 64;
        struct node *grown = reallocarray(lines->nodes, cap, sizeof(*grown));
        if (grown == NULL)
            return fail(s, -ENOMEM, "out of memory");
        lines->nodes = grown;
        lines->cap = cap;
    }
    lines->nodes[lines->count] = value;
    *ret_node = lines->count++;
    return 0;
}

/* Links a new child of PARENT behind LAST (0: it is the first) and scans its value. */
static int scan_child(struct scanner *s, struct node child, uint32_t *last)
{
    uint32_t node;
    int r = node_new(s, child, &node);
    if (r < 0)
        return r;
    if (*last == 0)
        s->lines->nodes[child.parent].child = node;
    else
        s->lines->nodes[*last].next = node;
    *last = node;
    return scan_value(s, node);
}

/* Takes the text between the quotes, still with its escapes. */
static int scan_string(struct scanner *s, struct str *ret_raw)
{
    size_t start = ++s->at;
    for (; s->at < s->text.len; s->at++) {
        char c = s->text.ptr[s->at];
        if (c == '"') {
            *ret_raw = str_make(s->text.ptr + start, s->at++ - start);
            return 0;
        }
        if (c == '\n')
            return fail(s, -EINVAL, "a string is not closed before the end of the line");
        if ((unsigned char)c < 0x20)
            return fail(s, -EINVAL, "a control character inside a string");
        if (c == '\\')
            s->at++;
    }
    return fail(s, -EINVAL, "the file ends inside a string");
}

static unsigned hex_value(struct str digits)
{
    unsigned value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = ascii_lower(digits.ptr[i]);
        unsigned digit = ascii_is_digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
        value = value << 4 | (digit & 15);
    }
    return value;
}

static size_t put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[len] | code);
    return len;
}

/* Writes what the escape at RAW (behind the backslash) means; returns how many bytes it took. An
 * escape is never shorter than its meaning. */
static size_t put_escape(struct str raw, char **out)
{
    if (raw.len == 0)
        return 0;
    ptrdiff_t known = str_find_char(STR("bfnrt"), raw.ptr[0]);
    if (raw.ptr[0] != 'u' || raw.len < 5) {
        *(*out)++ = known >= 0 ? "\b\f\n\r\t"[known] : raw.ptr[0];
        return 1;
    }
    unsigned code = hex_value(str_make(raw.ptr + 1, 4));
    size_t used = 5;
    /* A surrogate pair is two escapes (RFC 8259 7). */
    if (code >= 0xd800 && code < 0xdc00 && raw.len >= 11 && raw.ptr[5] == '\\') {
        unsigned low = hex_value(str_make(raw.ptr + 7, 4));
        code = 0x10000 + ((code - 0xd800) << 10) + (low & 0x3ff);
        used = 11;
    }
    *out += put_utf8(*out, code);
    return used;
}

/* A key as its bytes: "a\u0062" and "ab" are the same key. */
static int decode_key(struct scanner *s, struct str raw, struct str *ret_key)
{
    if (str_find_char(raw, '\\') < 0) {
        *ret_key = raw;
        return 0;
    }
    char *decoded = arena_alloc(s->lines->arena, raw.len);
    char *out = decoded;
    if (decoded == NULL)
        return fail(s, -ENOMEM, "out of memory");
    for (size_t i = 0; i < raw.len;) {
        if (raw.ptr[i] == '\\')
            i += 1 + put_escape(str_from(raw, i + 1), &out);
        else
            *out++ = raw.ptr[i++];
    }
    *ret_key = str_make(decoded, (size_t)(out - decoded));
    return 0;
}

/* "key": value, with what may stand before and behind. */
static int scan_member(struct scanner *s, uint32_t object, uint32_t *last)
{
    struct str raw;
    struct node member = {.parent = object, .line = s->line};
    if (peek(s) != '"')
        return unexpected(s, "a key in double quotes is expected here");
    int r = scan_string(s, &raw);
    if (r == 0)
        r = decode_key(s, raw, &member.key);
    if (r < 0)
        return r;
    if (skip_blanks(s) != ':')
        return unexpected(s, "a colon is expected behind the key");
    s->at++;
    return scan_child(s, member, last);
}

static int scan_element(struct scanner *s, uint32_t array, uint32_t *last)
{
    struct node element = {.parent = array};
    if (*last != 0)
        element.index = s->lines->nodes[*last].index + 1;
    (void)skip_blanks(s);
    element.line = s->line;
    return scan_child(s, element, last);
}

/* Members or elements up to the closing CLOSE. */
static int scan_container(struct scanner *s, uint32_t node, char close)
{
    uint32_t last = 0;
    s->at++;
    char c = skip_blanks(s);
    while (c != close) {
        int r = close == '}' ? scan_member(s, node, &last) : scan_element(s, node, &last);
        if (r < 0)
            return r;
        c = skip_blanks(s);
        if (c == close)
            break;
        if (c != ',')
            return unexpected(s, c == '"' || c == '{' || c == '['
                                     ? "a comma is missing before this"
                                     : "a comma or the closing bracket is expected here");
        s->at++;
        c = skip_blanks(s);
        if (c == close)
            return fail(s, -EINVAL, "JSON allows no comma after the last member");
    }
    s->at++;
    return 0;
}

static bool is_word_byte(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '+' || c == '.' || c == '_';
}

/* Numbers are for json_parse() to judge; every other word is one of three. */
static int scan_word(struct scanner *s)
{
    size_t start = s->at;
    while (is_word_byte(peek(s)))
        s->at++;
    struct str word = str_make(s->text.ptr + start, s->at - start);
    if (word.len == 0)
        return unexpected(s, "a value is expected here");
    if (word.ptr[0] == '-' || ascii_is_digit(word.ptr[0]) || str_eq(word, STR("true")) ||
        str_eq(word, STR("false")) || str_eq(word, STR("null")))
        return 0;
    return fail(s, -EINVAL, "text is written in double quotes");
}

static int scan_value(struct scanner *s, uint32_t node)
{
    struct str raw;
    char c = skip_blanks(s);
    if (c == '"')
        return scan_string(s, &raw);
    if (c != '{' && c != '[')
        return scan_word(s);
    if (s->depth >= JSON_LINES_MAX_DEPTH)
        return fail(s, -EINVAL, "nested too deeply");
    s->depth++;
    int r = scan_container(s, node, c == '{' ? '}' : ']');
    s->depth--;
    return r;
}

static int scan_document(struct scanner *s)
{
    uint32_t root;
    (void)skip_blanks(s);
    int r = node_new(s, (struct node){.line = s->line}, &root);
    if (r == 0)
        r = scan_value(s, root);
    if (r < 0)
        return r;
    (void)skip_blanks(s);
    if (s->at < s->text.len)
        return fail(s, -EINVAL, "something follows behind the end of the document");
    return 0;
}

int json_lines_read(struct json_lines *lines, struct str text, struct json_fault *ret_fault)
{
    struct scanner s = {.text = text, .line = 1, .lines = lines, .fault = ret_fault};
    return scan_document(&s);
}
