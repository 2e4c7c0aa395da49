/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_lines.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* One value. Nodes lie in one array in the order of the file; links are indexes, and 0, which is
 * the root and nobody's child or sibling, stands for none. */
struct node {
    struct str key; /* decoded; absent for an array element and the root */
    uint32_t line;
    uint32_t index; /* of an array element */
    uint32_t parent;
    uint32_t next;  /* sibling */
    uint32_t child; /* first */
};

struct json_lines {
    struct node *nodes;
    uint32_t count;
    uint32_t cap;
    struct arena *arena; /* decoded keys, pointers of duplicates, the list of duplicates */
    struct json_duplicate *duplicates;
    size_t n_duplicates;
};

/* Decoded keys are no longer than the text; the rest is what the limits above allow. */
#define LINES_ARENA_MAX (64U * 1024 * 1024)

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

static void append_segment(struct buf *out, const struct node *node)
{
    (void)buf_append_char(out, '/');
    if (!str_is_set(node->key))
        (void)buf_append_u64(out, node->index);
    for (size_t i = 0; i < node->key.len; i++) {
        char c = node->key.ptr[i];
        if (c == '~')
            (void)buf_append(out, STR("~0"));
        else if (c == '/')
            (void)buf_append(out, STR("~1"));
        else
            (void)buf_append_char(out, c);
    }
}

static int node_pointer(const struct json_lines *lines, uint32_t node, struct str *ret_pointer)
{
    uint32_t path[JSON_LINES_MAX_DEPTH + 1];
    size_t depth = 0;
    CLEANUP(buf_free) struct buf text = buf_make(LINES_ARENA_MAX);
    for (; node != 0 && depth < ARRAY_LEN(path); node = lines->nodes[node].parent)
        path[depth++] = node;
    while (depth > 0)
        append_segment(&text, &lines->nodes[path[--depth]]);
    *ret_pointer = arena_str(lines->arena, buf_str(&text));
    return buf_failed(&text) || !str_is_set(*ret_pointer) ? -ENOMEM : 0;
}

static int add_duplicate(struct json_lines *lines, uint32_t first, uint32_t again)
{
    if (lines->duplicates == NULL)
        lines->duplicates =
            arena_alloc(lines->arena, JSON_LINES_MAX_DUPLICATES * sizeof(*lines->duplicates));
    if (lines->duplicates == NULL)
        return -ENOMEM;
    struct json_duplicate *duplicate = &lines->duplicates[lines->n_duplicates];
    int r = node_pointer(lines, again, &duplicate->pointer);
    if (r < 0)
        return r;
    duplicate->line = lines->nodes[again].line;
    duplicate->first_line = lines->nodes[first].line;
    lines->n_duplicates++;
    return 0;
}

/* A child and the key it is sorted by. */
struct keyed {
    struct str key;
    uint32_t node;
};

static int keyed_compare(const void *a, const void *b)
{
    const struct keyed *x = a;
    const struct keyed *y = b;
    if (x->key.len != y->key.len)
        return x->key.len < y->key.len ? -1 : 1;
    int order = x->key.len > 0 ? memcmp(x->key.ptr, y->key.ptr, x->key.len) : 0;
    if (order != 0)
        return order;
    return x->node < y->node ? -1 : 1;
}

static int find_duplicates_of(struct json_lines *lines, uint32_t object, struct keyed *scratch)
{
    size_t n = 0;
    for (uint32_t c = lines->nodes[object].child; c != 0; c = lines->nodes[c].next)
        scratch[n++] = (struct keyed){.key = lines->nodes[c].key, .node = c};
    if (n < 2)
        return 0;
    qsort(scratch, n, sizeof(*scratch), keyed_compare);
    size_t first = 0;
    for (size_t i = 1; i < n; i++) {
        if (!str_eq(scratch[i].key, scratch[first].key)) {
            first = i;
            continue;
        }
        if (lines->n_duplicates == JSON_LINES_MAX_DUPLICATES)
            return 0;
        int r = add_duplicate(lines, scratch[first].node, scratch[i].node);
        if (r < 0)
            return r;
    }
    return 0;
}

static int duplicate_compare(const void *a, const void *b)
{
    const struct json_duplicate *x = a;
    const struct json_duplicate *y = b;
    return x->line != y->line ? (x->line < y->line ? -1 : 1) : 0;
}

static bool is_object(const struct json_lines *lines, uint32_t node)
{
    uint32_t child = lines->nodes[node].child;
    return child != 0 && str_is_set(lines->nodes[child].key);
}

static int find_duplicates(struct json_lines *lines)
{
    struct keyed *scratch = calloc(lines->count, sizeof(*scratch));
    int r = scratch == NULL ? -ENOMEM : 0;
    for (uint32_t i = 0; r == 0 && i < lines->count; i++)
        if (is_object(lines, i))
            r = find_duplicates_of(lines, i, scratch);
    free(scratch);
    if (r == 0 && lines->n_duplicates > 1)
        qsort(lines->duplicates, lines->n_duplicates, sizeof(*lines->duplicates),
              duplicate_compare);
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

int json_lines_scan(struct str text, struct json_lines **ret_lines, struct json_fault *ret_fault)
{
    CLEANUP(json_lines_cleanup) struct json_lines *lines = calloc(1, sizeof(*lines));
    *ret_fault = (struct json_fault){.text = "out of memory"};
    if (lines == NULL)
        return -ENOMEM;
    lines->arena = arena_new(4096, LINES_ARENA_MAX);
    if (lines->arena == NULL)
        return -ENOMEM;
    struct scanner s = {.text = text, .line = 1, .lines = lines, .fault = ret_fault};
    int r = scan_document(&s);
    if (r == 0)
        r = find_duplicates(lines);
    if (r < 0)
        return r;
    *ret_lines = TAKE(lines);
    return 0;
}

struct json_lines *json_lines_free(struct json_lines *lines)
{
    if (lines == NULL)
        return NULL;
    arena_free(lines->arena);
    free(lines->nodes);
    free(lines);
    return NULL;
}

void json_lines_cleanup(struct json_lines **lines)
{
    *lines = json_lines_free(*lines);
}

/* SEGMENT is as in the pointer: "~1" for '/', "~0" for '~'. */
static bool key_is(struct str key, struct str segment)
{
    size_t at = 0;
    for (size_t i = 0; i < segment.len; i++, at++) {
        char c = segment.ptr[i];
        if (c == '~' && i + 1 < segment.len)
            c = segment.ptr[++i] == '1' ? '/' : '~';
        if (at >= key.len || key.ptr[at] != c)
            return false;
    }
    return at == key.len;
}

static uint32_t find_child(const struct json_lines *lines, uint32_t parent, struct str segment)
{
    uint32_t found = 0;
    uint64_t index = UINT64_MAX;
    (void)str_to_u64(segment, UINT32_MAX, &index);
    for (uint32_t c = lines->nodes[parent].child; c != 0; c = lines->nodes[c].next) {
        const struct node *node = &lines->nodes[c];
        if (str_is_set(node->key) ? key_is(node->key, segment) : node->index == index)
            found = c;
    }
    return found;
}

unsigned json_lines_find(const struct json_lines *lines, struct str *pointer)
{
    uint32_t node = 0;
    struct str rest = *pointer;
    struct str segment;
    size_t found = 0;
    if (!str_split(&rest, '/', &segment)) /* the empty part before the first '/' */
        return lines->nodes[0].line;
    while (str_split(&rest, '/', &segment)) {
        uint32_t child = find_child(lines, node, segment);
        if (child == 0)
            break;
        node = child;
        found += 1 + segment.len;
    }
    *pointer = str_head(*pointer, found);
    return lines->nodes[node].line;
}

const struct json_duplicate *json_lines_duplicates(const struct json_lines *lines,
                                                   size_t *ret_count)
{
    *ret_count = lines->n_duplicates;
    return lines->duplicates;
}
