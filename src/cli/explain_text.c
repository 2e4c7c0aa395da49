/* SPDX-License-Identifier: Apache-2.0 */
/* A report as lines "name: value" for people. */
#include "base/err.h"
#include "cli/explain_int.h"

#define MAX_VALUE_BYTES (16U * 1024 * 1024)
#define WIDTH 19 /* of the names, with the colon and a blank */
#define RED "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

/* ---- values ---- */

/* The length of what a terminal would obey, or show in another order, at the beginning of S:
 * controls of C0 and C1, separators of lines, changes of direction (U+2028 to U+202E, U+2066 to
 * U+2069). */
static size_t trick_len(struct str s)
{
    const unsigned char *c = (const unsigned char *)s.ptr;
    if (c[0] < 0x20 || c[0] == 0x7f)
        return 1;
    if (s.len > 1 && c[0] == 0xc2 && c[1] < 0xa0)
        return 2;
    if (s.len > 2 && c[0] == 0xe2 &&
        ((c[1] == 0x80 && c[2] >= 0xa8 && c[2] <= 0xae) ||
         (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9)))
        return 3;
    return 0;
}

static void append_visible(struct str s, struct buf *out)
{
    while (s.len > 0) {
        const size_t trick = trick_len(s);
        for (size_t i = 0; i < trick; i++)
            (void)buf_printf(out, "\\x%02x", (unsigned)(unsigned char)s.ptr[i]);
        if (trick == 0)
            (void)buf_append_char(out, s.ptr[0]);
        s = str_from(s, trick > 0 ? trick : 1);
    }
}

/* As JSON in one line. */
static void append_json(const json_t *value, struct buf *out)
{
    CLEANUP(buf_free) struct buf text = buf_make(MAX_VALUE_BYTES);
    if (json_write(value, 0, &text) < 0)
        (void)buf_append(out, STR("?"));
    else
        append_visible(buf_str(&text), out);
}

/* Strings as they are, lists of them with blanks between: names of scopes have none. */
static void append_plain(const json_t *value, struct buf *out)
{
    const json_t *item;
    size_t i;
    if (json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0)) {
        (void)buf_append(out, STR("none"));
    } else if (json_is_string(value)) {
        append_visible(json_str(value), out);
    } else if (json_is_array(value) && json_is_string(json_array_get(value, 0))) {
        json_array_foreach (value, i, item) {
            if (i > 0)
                (void)buf_append_char(out, ' ');
            append_plain(item, out);
        }
    } else {
        append_json(value, out);
    }
}

/* ---- lines ---- */

struct page {
    struct buf *out;
    bool colour;
};

/* Begins a line; the name "" continues the one before. */
static void begin(struct page *page, const char *name)
{
    const size_t len = strlen(name);
    (void)buf_append_cstr(page->out, name);
    if (len > 0)
        (void)buf_append_char(page->out, ':');
    (void)buf_printf(page->out, "%*s", (int)(WIDTH - len - (len > 0 ? 1 : 0)), "");
}

static void end(struct page *page)
{
    (void)buf_append_char(page->out, '\n');
}

static void line(struct page *page, const char *name, const json_t *value)
{
    begin(page, name);
    append_plain(value, page->out);
    end(page);
}

static void line_text(struct page *page, const char *name, const char *text)
{
    begin(page, name);
    (void)buf_append_cstr(page->out, text);
    end(page);
}

/* Several lines under one name, "none" when there are none. */
struct block {
    struct page *page;
    const char *name;
    bool begun;
};

static void block_line(struct block *block)
{
    begin(block->page, block->begun ? "" : block->name);
    block->begun = true;
}

static void block_end(struct block *block)
{
    if (!block->begun)
        line_text(block->page, block->name, "none");
}

/* ---- the sections ---- */

static void print_call(struct page *page, const json_t *report)
{
    const json_t *call = json_object_get(report, "call");
    line(page, "route", json_object_get(report, "route"));
    begin(page, "call");
    append_plain(json_object_get(call, "method"), page->out);
    if (json_is_string(json_object_get(call, "name"))) {
        (void)buf_append_char(page->out, ' ');
        append_plain(json_object_get(call, "name"), page->out);
    }
    end(page);
    line(page, "time", json_object_get(report, "time"));
}

static void print_signature(struct page *page, const json_t *token)
{
    static const struct {
        const char *name;
        const char *text;
        bool key;
    } rows[] = {
        {"not_checked", "not checked (give --jwks FILE)", false},
        {"not_reached", "not looked at: the token was refused before", false},
        {"wrong", "wrong for key ", true},
        {"verified", "verified with key ", true},
    };
    const struct str signature = json_get_str(token, "signature");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!str_eq(signature, str_from_cstr(rows[i].name)))
            continue;
        begin(page, "signature");
        (void)buf_append_cstr(page->out, rows[i].text);
        if (rows[i].key)
            append_plain(json_object_get(token, "key"), page->out);
        end(page);
    }
}

static void print_token(struct page *page, const json_t *report)
{
    static const char *const members[] = {
        "issuer", "audience", "subject", "client", "scope", "permissions", "expires",
    };
    const json_t *token = json_object_get(report, "token");
    print_signature(page, token);
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        line(page, members[i], json_object_get(token, members[i]));
}

static void print_verdict(struct page *page, const json_t *report)
{
    static const struct {
        const char *name;
        const char *colour;
        const char *text;
    } rows[] = {
        {"allow", GREEN, "allowed"},
        {"step_up", RED, "denied; a token with more scopes would be allowed"},
        {"forbidden", RED, "denied; no scope that could be asked for would help"},
        {"token_refused", RED, "denied; the token is refused"},
    };
    const struct str verdict = json_get_str(report, "verdict");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!str_eq(verdict, str_from_cstr(rows[i].name)))
            continue;
        begin(page, "verdict");
        (void)buf_printf(page->out, "%s%s%s", page->colour ? rows[i].colour : "", rows[i].text,
                         page->colour ? PLAIN : "");
        end(page);
    }
}

static void print_reason(struct page *page, const json_t *report)
{
    const json_t *token_rule = json_object_get(report, "token_rule");
    const json_t *rule = json_object_get(report, "rule");
    begin(page, "reason");
    append_plain(json_object_get(report, "reason"), page->out);
    (void)buf_append(page->out, STR(": "));
    append_plain(json_object_get(report, "description"), page->out);
    end(page);
    begin(page, "rule");
    if (json_is_integer(token_rule))
        (void)buf_printf(page->out, "%d of docs/TOKENS.md", (int)json_integer_value(token_rule));
    else
        append_plain(rule, page->out);
    end(page);
}

/* "scopes a b", "permission tool:x" */
static void block_names(struct block *block, const char *what, const json_t *names)
{
    if (json_is_null(names) || names == NULL ||
        (json_is_array(names) && json_array_size(names) == 0))
        return;
    block_line(block);
    (void)buf_append_cstr(block->page->out, what);
    append_plain(names, block->page->out);
    end(block->page);
}

static void print_needs(struct page *page, const json_t *report)
{
    const json_t *needs = json_object_get(report, "needs");
    struct block block = {.page = page, .name = "needs"};
    const char *name;
    json_t *values;
    block_names(&block, "scopes ", json_object_get(needs, "scopes"));
    block_names(&block, "permission ", json_object_get(needs, "permission"));
    json_object_foreach (json_object_get(needs, "claims"), name, values) {
        block_line(&block);
        append_visible(str_from_cstr(name), page->out);
        (void)buf_append(page->out, STR(" one of "));
        append_json(values, page->out);
        end(page);
    }
    block_end(&block);
}

static void print_claims(struct page *page, const json_t *report)
{
    struct block block = {.page = page, .name = "claims used"};
    const char *name;
    json_t *value;
    json_object_foreach (json_object_get(report, "claims"), name, value) {
        block_line(&block);
        append_visible(str_from_cstr(name), page->out);
        if (json_is_null(value)) {
            (void)buf_append(page->out, STR(" is not there"));
        } else {
            (void)buf_append(page->out, STR(" = "));
            append_json(value, page->out);
        }
        end(page);
    }
    block_end(&block);
}

static void print_missing(struct page *page, const json_t *report)
{
    const json_t *missing = json_object_get(report, "missing");
    struct block block = {.page = page, .name = "missing"};
    if (!json_is_object(missing))
        return;
    block_names(&block, "scopes ", json_object_get(missing, "scopes"));
    block_names(&block, "permission ", json_object_get(missing, "permission"));
    block_names(&block, "claims ", json_object_get(missing, "claims"));
    block_end(&block);
}

static void print_answer(struct page *page, const json_t *report)
{
    static const struct {
        const char *name;
        const char *key;
    } rows[] = {
        {"status", "status"},
        {"result", "result"},
        {"WWW-Authenticate", "www_authenticate"},
        {"error", "error"},
        {"error_description", "error_description"},
    };
    const json_t *answer = json_object_get(report, "answer");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (json_object_get(answer, rows[i].key) != NULL)
            line(page, rows[i].name, json_object_get(answer, rows[i].key));
}

void explain_append_text(const json_t *report, bool colour, struct buf *out)
{
    struct page page = {.out = out, .colour = colour};
    print_call(&page, report);
    print_token(&page, report);
    print_verdict(&page, report);
    print_reason(&page, report);
    print_needs(&page, report);
    print_claims(&page, report);
    print_missing(&page, report);
    print_answer(&page, report);
    /* The last line's end is cli_answer()'s. */
    if (out->len > 0)
        out->len--;
}
