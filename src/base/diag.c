/* SPDX-License-Identifier: Apache-2.0 */
#include "base/diag.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void diag_free(struct diag *diag)
{
    for (size_t i = 0; i < diag->count; i++) {
        free(diag->items[i].pointer);
        free(diag->items[i].text);
    }
    free(diag->items);
    *diag = (struct diag){0};
}

static bool diag_grow(struct diag *diag)
{
    if (diag->count >= DIAG_MAX)
        return false;
    if (diag->items != NULL)
        return true;
    diag->items = calloc(DIAG_MAX, sizeof(*diag->items));
    return diag->items != NULL;
}

void diag_add(struct diag *diag, enum diag_level level, struct str pointer, unsigned line,
              const char *format, ...)
{
    if (level == DIAG_ERROR)
        diag->errors++;
    if (!diag_grow(diag)) {
        diag->dropped++;
        return;
    }
    struct finding finding = {.level = level, .line = line, .pointer = str_to_cstr(pointer)};
    va_list args;
    va_start(args, format);
    int r = vasprintf(&finding.text, format, args);
    va_end(args);
    if (r < 0 || finding.pointer == NULL) {
        free(finding.pointer);
        if (r >= 0)
            free(finding.text);
        diag->dropped++;
        return;
    }
    diag->items[diag->count++] = finding;
}

static int finding_compare(const void *a, const void *b)
{
    const struct finding *x = a;
    const struct finding *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    int order = strcmp(x->pointer, y->pointer);
    return order != 0 ? order : strcmp(x->text, y->text);
}

void diag_sort(struct diag *diag)
{
    size_t kept = 0;
    if (diag->count == 0)
        return;
    qsort(diag->items, diag->count, sizeof(*diag->items), finding_compare);
    for (size_t i = 1; i < diag->count; i++) {
        if (finding_compare(&diag->items[kept], &diag->items[i]) == 0) {
            if (diag->items[i].level == DIAG_ERROR)
                diag->errors--;
            free(diag->items[i].pointer);
            free(diag->items[i].text);
        } else {
            diag->items[++kept] = diag->items[i];
        }
    }
    diag->count = kept + 1;
}

static const char *level_text(enum diag_level level, bool colour)
{
    if (level == DIAG_ERROR)
        return colour ? "\033[31merror\033[0m" : "error";
    return colour ? "\033[33mwarning\033[0m" : "warning";
}

void diag_print(const struct diag *diag, FILE *out, const char *file, bool colour)
{
    for (size_t i = 0; i < diag->count; i++) {
        const struct finding *f = &diag->items[i];
        (void)fputs(file, out);
        if (f->line > 0)
            (void)fprintf(out, ":%u", f->line);
        (void)fprintf(out, ": %s: %s%s%s\n", level_text(f->level, colour), f->pointer,
                      f->pointer[0] != '\0' ? ": " : "", f->text);
    }
    if (diag->dropped > 0)
        (void)fprintf(out, "%s: %zu more not shown\n", file, diag->dropped);
}
