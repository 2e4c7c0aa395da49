/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_lines.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json_lines_int.h"

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

int json_lines_scan(struct str text, struct json_lines **ret_lines, struct json_fault *ret_fault)
{
    CLEANUP(json_lines_cleanup) struct json_lines *lines = calloc(1, sizeof(*lines));
    *ret_fault = (struct json_fault){.text = "out of memory"};
    if (lines == NULL)
        return -ENOMEM;
    lines->arena = arena_new(4096, LINES_ARENA_MAX);
    if (lines->arena == NULL)
        return -ENOMEM;
    int r = json_lines_read(lines, text, ret_fault);
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
