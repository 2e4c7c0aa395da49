/* SPDX-License-Identifier: Apache-2.0 */
/* Makes portcullis-policy(5) while the program is built: key_table FRAME PAGE copies the
 * hand-written frame and puts, for the line @KEYS@, an entry for each row of the schema, and for
 * @VERSION@ the version. So the page cannot name a key, a default or a limit that the program does
 * not have. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "policy/schema.h"

#define MAX_LINE_BYTES 1024
#define MAX_ENTRY_BYTES 16384
#define MAX_COLUMNS 78 /* mandoc's lint asks for less than 80 */

/* A number of milliseconds or bytes in the largest unit that divides it. */
static void append_amount(struct buf *out, enum schema_unit unit, int64_t amount)
{
    static const struct {
        enum schema_unit unit;
        int64_t size;
        const char *name;
    } names[] = {
        {UNIT_DURATION, INT64_C(86400000), "d"},
        {UNIT_DURATION, INT64_C(3600000), "h"},
        {UNIT_DURATION, INT64_C(60000), "m"},
        {UNIT_DURATION, INT64_C(1000), "s"},
        {UNIT_DURATION, INT64_C(1), "ms"},
        {UNIT_SIZE, INT64_C(1) << 30, "GiB"},
        {UNIT_SIZE, INT64_C(1) << 20, "MiB"},
        {UNIT_SIZE, INT64_C(1) << 10, "KiB"},
        {UNIT_SIZE, INT64_C(1), "B"},
    };
    const char *name = "";
    for (size_t i = 0; amount != 0 && i < ARRAY_LEN(names); i++) {
        if (names[i].unit != unit || amount % names[i].size != 0)
            continue;
        amount /= names[i].size;
        name = names[i].name;
        break;
    }
    (void)buf_printf(out, "%" PRId64 "%s", amount, name);
}

static void append_range(struct buf *out, const struct schema_row *row)
{
    const unsigned lists = SCHEMA_ARRAY | SCHEMA_STRINGS | SCHEMA_SCALARS;
    if (row->max == 0)
        return;
    (void)buf_append_cstr(out, "; ");
    append_amount(out, row->unit, row->min);
    (void)buf_append_cstr(out, " to ");
    append_amount(out, row->unit, row->max);
    if ((row->types & lists) != 0)
        (void)buf_append_cstr(out, " elements");
    else if ((row->types & SCHEMA_OBJECT) != 0)
        (void)buf_append_cstr(out, " members");
}

static void append_choices(struct buf *out, const struct schema_row *row)
{
    if (row->choices == NULL)
        return;
    (void)buf_append_cstr(out, "; one of");
    for (const char *const *choice = row->choices; *choice != NULL; choice++)
        (void)buf_printf(out, "%s `\"%s\"`", choice == row->choices ? "" : ",", *choice);
}

/* "duration; default `"10m"`; 1s to 1d" */
static void append_facts(struct buf *out, const struct schema_row *row)
{
    const unsigned elements = SCHEMA_STRING | SCHEMA_INTEGER | SCHEMA_BOOLEAN | SCHEMA_STRINGS;
    (void)buf_append_cstr(out, "Type: ");
    (void)schema_write_type(row, out);
    if ((row->flags & SCHEMA_REQUIRED) != 0)
        (void)buf_append_cstr(out, "; required");
    else if (row->def != NULL || row->def_text != NULL) {
        (void)buf_append_cstr(out, "; default: ");
        (void)schema_write_default(row, out);
    }
    append_choices(out, row);
    if ((row->types & elements) != 0 || (row->types & SCHEMA_ARRAY) != 0)
        append_range(out, row);
}

/* One word of running text: `code` is bold; nothing in it is an instruction to roff. BOLD is
 * carried from word to word. */
static void print_word(struct str word, bool *bold)
{
    if (word.ptr[0] == '.' || word.ptr[0] == '\'')
        (void)fputs("\\&", stdout);
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '`') {
            *bold = !*bold;
            (void)fputs(*bold ? "\\fB" : "\\fP", stdout);
        } else if (word.ptr[i] == '\\') {
            (void)fputs("\\e", stdout);
        } else if (*bold && word.ptr[i] == '-') {
            (void)fputs("\\-", stdout);
        } else {
            (void)putchar(word.ptr[i]);
        }
    }
}

/* TEXT and a full stop, in lines of MAX_COLUMNS, a few less with what roff needs. */
static void print_text(struct str text)
{
    size_t column = 0, begin = 0;
    bool bold = false;
    while (begin < text.len) {
        size_t end = begin;
        while (end < text.len && text.ptr[end] != ' ')
            end++;
        struct str word = {.ptr = text.ptr + begin, .len = end - begin};
        if (column > 0 && column + word.len + 8 > MAX_COLUMNS) {
            (void)putchar('\n');
            column = 0;
        }
        if (column > 0)
            (void)putchar(' ');
        print_word(word, &bold);
        column += word.len + 5;
        begin = end + 1;
    }
    (void)puts(".");
}

static int print_keys(void)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    for (size_t i = 0; i < count; i++) {
        struct buf facts = buf_make(MAX_ENTRY_BYTES);
        append_facts(&facts, &rows[i]);
        bool failed = buf_failed(&facts);
        (void)printf(".It Sy %s\n", rows[i].path);
        print_text(str_from_cstr(rows[i].text));
        print_text(buf_str(&facts));
        buf_free(&facts);
        if (failed)
            return -1;
    }
    return 0;
}

/* A line of the page; the version stands in it at most once. */
static void print_line(const char *line)
{
    static const char mark[] = "@VERSION@";
    const char *found = strstr(line, mark);
    if (found == NULL)
        (void)fputs(line, stdout);
    else
        (void)printf("%.*s" PORTCULLIS_VERSION "%s", (int)(found - line), line,
                     found + strlen(mark));
}

int main(int argc, char **argv)
{
    if (argc != 3 || freopen(argv[1], "r", stdin) == NULL || freopen(argv[2], "w", stdout) == NULL)
        return EXIT_FAILURE;
    char line[MAX_LINE_BYTES];
    bool has_keys = false;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "@KEYS@\n") != 0) {
            print_line(line);
            continue;
        }
        has_keys = true;
        if (print_keys() < 0)
            return EXIT_FAILURE;
    }
    return has_keys && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
