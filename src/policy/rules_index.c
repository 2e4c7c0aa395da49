/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule is the first that matches a text, without trying all of them.
 *
 * Every pattern begins with plain text: all of it when it has no wildcard, nothing when the
 * wildcard comes first. These texts are sorted, each once; with each go the rules that have it as a
 * plain pattern, and the wildcards that begin with it, in the order of the rules. What can match a
 * name are the wildcards of those texts that the name begins with. The longest of them stands in
 * front of where the name would be, or is one that this text begins with, and so are all others: so
 * each text knows the longest other one that it begins with.
 *
 * A search costs a comparison for each time the number of texts doubles, and those wildcards that
 * begin as the name does and stand before the best rule so far. */
#include <endian.h>
#include <stdlib.h>

#include "base/err.h"
#include "policy/rules_int.h"

#define NOWHERE UINT32_MAX

/* What is behind the plain beginning of a pattern. */
enum form {
    FORM_ANY, /* "*" */
    FORM_END, /* a star, and a plain end */
    FORM_GLOB,
};

struct wildcard {
    struct str rest; /* for FORM_END without the star */
    uint64_t tail;   /* FORM_END: see tail_of() */
    uint64_t mask;   /* of TAIL: the bytes that REST has */
    uint32_t rule;
    enum form form;
};

struct node {
    struct str text;
    uint32_t plain;  /* the first rule with a pattern that is just this; NOWHERE */
    uint32_t parent; /* the longest other text with wildcards that this one begins with; NOWHERE */
    uint32_t least;  /* of all rules with a wildcard here or at a parent, the first; NOWHERE */
    uint32_t first_wildcard;
    uint32_t n_wildcards;
};

struct kind {
    const uint64_t *heads; /* of each node's text: see head_of() */
    const struct node *nodes;
    size_t n; /* nodes */
    const struct wildcard *wildcards;
};

struct rules_index {
    const struct rule *rules;
    size_t n_rules;
    struct kind kinds[MCP_N_TARGETS];
};

/* ---- making it ---- */

/* A pattern taken apart. */
struct pattern {
    struct str text; /* its plain beginning, without escapes */
    struct str rest; /* empty: it is plain */
    uint32_t rule;
};

/* The bytes of PATTERN in front of its first wildcard, with escapes. */
static size_t beginning_of(struct str pattern)
{
    size_t len = 0;
    while (len < pattern.len && pattern.ptr[len] != '*' && pattern.ptr[len] != '?')
        len += pattern.ptr[len] == '\\' && len + 1 < pattern.len ? 2 : 1;
    return len;
}

/* RAW without its escapes; absent when memory is short. */
static struct str without_escapes(struct arena *arena, struct str raw)
{
    size_t len = 0;
    if (str_find_char(raw, '\\') < 0)
        return raw;
    char *copy = arena_alloc(arena, raw.len);
    if (copy == NULL)
        return (struct str){0};
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\' && i + 1 < raw.len)
            i++;
        copy[len++] = raw.ptr[i];
    }
    return str_make(copy, len);
}

static int compare_texts(struct str a, struct str b)
{
    const size_t len = size_min(a.len, b.len);
    const int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_patterns(const void *a, const void *b)
{
    const struct pattern *x = a;
    const struct pattern *y = b;
    const int order = compare_texts(x->text, y->text);
    return order != 0 ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

static size_t count_patterns(const struct rules_index *index, size_t kind)
{
    size_t count = 0;
    for (size_t i = 0; i < index->n_rules; i++)
        count += index->rules[i].targets[kind].n;
    return count;
}

/* Takes all patterns of one kind apart, and sorts them. False when memory is short. */
static bool collect(struct arena *arena, const struct rules_index *index, size_t kind,
                    struct pattern *patterns)
{
    size_t n = 0;
    for (size_t i = 0; i < index->n_rules; i++) {
        const struct globs *globs = &index->rules[i].targets[kind];
        for (size_t k = 0; k < globs->n; k++) {
            const struct str glob = globs->items[k];
            const size_t len = beginning_of(glob);
            const struct str text = without_escapes(arena, str_head(glob, len));
            if (!str_is_set(text))
                return false;
            patterns[n++] =
                (struct pattern){.text = text, .rest = str_from(glob, len), .rule = (uint32_t)i};
        }
    }
    qsort(patterns, n, sizeof(*patterns), compare_patterns);
    return true;
}

/* The last bytes of TEXT, at most 8, as a number, the last one lowest. */
static uint64_t tail_of(struct str text)
{
    uint64_t tail = 0;
    if (text.len >= sizeof(tail)) {
        memcpy(&tail, text.ptr + text.len - sizeof(tail), sizeof(tail));
        return be64toh(tail);
    }
    for (size_t i = 0; i < text.len; i++)
        tail = tail << 8 | (unsigned char)text.ptr[i];
    return tail;
}

static struct wildcard wildcard_of(const struct pattern *pattern)
{
    const struct str end = str_from(pattern->rest, 1);
    struct wildcard wildcard = {
        .rest = pattern->rest,
        .rule = pattern->rule,
        .form = str_eq(pattern->rest, STR("*")) ? FORM_ANY : FORM_GLOB,
    };
    if (wildcard.form == FORM_GLOB && pattern->rest.ptr[0] == '*' && glob_is_plain(end) &&
        str_find_char(end, '\\') < 0) {
        wildcard.rest = end;
        wildcard.tail = tail_of(end);
        wildcard.mask = end.len < 8 ? ((uint64_t)1 << 8 * end.len) - 1 : UINT64_MAX;
        wildcard.form = FORM_END;
    }
    return wildcard;
}

/* A kind while it is made. */
struct making {
    uint64_t *heads;
    struct node *nodes;
    size_t n;
    struct wildcard *wildcards;
    uint32_t n_wildcards;
    uint32_t top; /* the last node with wildcards that the next text may begin with; NOWHERE */
};

/* The next node, of the patterns with one text, which are the first of N; returns their number. */
static size_t make_node(struct making *m, const struct pattern *patterns, size_t n)
{
    struct node *node = &m->nodes[m->n];
    size_t i = 0;
    *node = (struct node){
        .text = patterns[0].text,
        .plain = NOWHERE,
        .least = NOWHERE,
        .first_wildcard = m->n_wildcards,
    };
    for (; i < n && str_eq(patterns[i].text, node->text); i++) {
        if (patterns[i].rest.len > 0)
            m->wildcards[m->n_wildcards++] = wildcard_of(&patterns[i]);
        else if (node->plain == NOWHERE)
            node->plain = patterns[i].rule;
    }
    node->n_wildcards = m->n_wildcards - node->first_wildcard;
    if (node->n_wildcards > 0)
        node->least = m->wildcards[node->first_wildcard].rule;
    return i;
}

/* Links the node that was made last to those before it. */
static void link_node(struct making *m)
{
    struct node *node = &m->nodes[m->n];
    while (m->top != NOWHERE && !str_has_prefix(node->text, m->nodes[m->top].text))
        m->top = m->nodes[m->top].parent;
    node->parent = m->top;
    if (m->top != NOWHERE && m->nodes[m->top].least < node->least)
        node->least = m->nodes[m->top].least;
    if (node->n_wildcards > 0)
        m->top = (uint32_t)m->n;
}

/* The first bytes of TEXT as a number, so that most comparisons are one of numbers: when two
 * differ, the texts have the same order. */
static uint64_t head_of(struct str text)
{
    uint64_t head = 0;
    if (text.len >= sizeof(head)) {
        memcpy(&head, text.ptr, sizeof(head));
        return be64toh(head);
    }
    for (size_t i = 0; i < text.len; i++)
        head |= (uint64_t)(unsigned char)text.ptr[i] << (56 - 8 * i);
    return head;
}

static size_t count_texts(const struct pattern *patterns, size_t n)
{
    size_t count = n > 0 ? 1 : 0;
    for (size_t i = 1; i < n; i++)
        count += str_eq(patterns[i - 1].text, patterns[i].text) ? 0 : 1;
    return count;
}

static size_t count_wildcards(const struct pattern *patterns, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += patterns[i].rest.len > 0 ? 1 : 0;
    return count;
}

static bool make_nodes(struct arena *arena, const struct pattern *patterns, size_t n,
                       struct kind *ret_kind)
{
    const size_t n_texts = count_texts(patterns, n);
    const size_t n_wildcards = count_wildcards(patterns, n);
    struct making m = {
        .heads = arena_alloc(arena, n_texts * sizeof(*m.heads)),
        .nodes = arena_alloc(arena, n_texts * sizeof(*m.nodes)),
        .wildcards = arena_alloc(arena, n_wildcards * sizeof(*m.wildcards)),
        .top = NOWHERE,
    };
    if (m.heads == NULL || m.nodes == NULL || m.wildcards == NULL)
        return false;
    for (size_t i = 0; i < n; m.n++) {
        i += make_node(&m, patterns + i, n - i);
        link_node(&m);
        m.heads[m.n] = head_of(m.nodes[m.n].text);
    }
    *ret_kind =
        (struct kind){.heads = m.heads, .nodes = m.nodes, .n = m.n, .wildcards = m.wildcards};
    return true;
}

static bool make_kind(struct arena *arena, struct rules_index *index, size_t kind)
{
    const size_t count = count_patterns(index, kind);
    if (count == 0)
        return true;
    struct pattern *patterns = reallocarray(NULL, count, sizeof(*patterns));
    const bool made = patterns != NULL && count < NOWHERE &&
                      collect(arena, index, kind, patterns) &&
                      make_nodes(arena, patterns, count, &index->kinds[kind]);
    free(patterns);
    return made;
}

const struct rules_index *rules_index_make(struct arena *arena, const struct route *route)
{
    struct rules_index *index = ARENA_NEW(arena, struct rules_index);
    if (index == NULL)
        return NULL;
    index->rules = route->rules;
    index->n_rules = route->n_rules;
    for (size_t kind = 0; kind < MCP_N_TARGETS; kind++)
        if (!make_kind(arena, index, kind))
            return NULL;
    return index;
}

bool rules_index_is_of(const struct rules_index *index, const struct route *route)
{
    return index != NULL && index->rules == route->rules && index->n_rules == route->n_rules;
}

/* ---- searching ---- */

/* How many nodes do not stand behind TEXT. */
static inline size_t count_up_to(const struct kind *kind, struct str text)
{
    const uint64_t head = head_of(text);
    size_t low = 0;
    size_t high = kind->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const uint64_t at = kind->heads[middle];
        const bool is_behind =
            at != head ? at > head : compare_texts(kind->nodes[middle].text, text) > 0;
        if (is_behind)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static size_t common_length(struct str a, struct str b)
{
    const size_t most = size_min(a.len, b.len);
    size_t len = 0;
    while (len < most && a.ptr[len] == b.ptr[len])
        len++;
    return len;
}

/* The node of just this text; NULL without one. */
static const struct node *find_text(const struct kind *kind, struct str text)
{
    const size_t n = count_up_to(kind, text);
    return n > 0 && str_eq(kind->nodes[n - 1].text, text) ? &kind->nodes[n - 1] : NULL;
}

/* TAIL is that of REST. */
static inline bool matches(const struct wildcard *wildcard, struct str rest, uint64_t tail)
{
    switch (wildcard->form) {
    case FORM_ANY:
        return true;
    case FORM_END:
        return ((tail ^ wildcard->tail) & wildcard->mask) == 0 &&
               str_has_suffix(rest, wildcard->rest);
    case FORM_GLOB:
        break;
    }
    return glob_match(wildcard->rest, rest);
}

/* The first rule before BEST with a wildcard of NODE that matches REST; else BEST. */
static uint32_t try_wildcards(const struct kind *kind, const struct node *node, struct str rest,
                              uint32_t best)
{
    const struct wildcard *wildcards = kind->wildcards + node->first_wildcard;
    const uint64_t tail = tail_of(rest);
    for (size_t i = 0; i < node->n_wildcards && wildcards[i].rule < best; i++)
        if (matches(&wildcards[i], rest, tail))
            return wildcards[i].rule;
    return best;
}

size_t rules_index_find(const struct rules_index *index, enum mcp_target target, struct str text,
                        size_t below)
{
    const struct kind *kind = &index->kinds[target];
    uint32_t best = below < NOWHERE ? (uint32_t)below : NOWHERE;
    const size_t n = kind->n > 0 ? count_up_to(kind, text) : 0;
    if (n == 0)
        return best;
    const struct node *node = &kind->nodes[n - 1];
    const size_t common = common_length(node->text, text);
    if (common == text.len && common == node->text.len && node->plain < best)
        best = node->plain;
    while (node->least < best) {
        if (node->text.len <= common)
            best = try_wildcards(kind, node, str_from(text, node->text.len), best);
        if (node->parent == NOWHERE)
            break;
        node = &kind->nodes[node->parent];
    }
    return best;
}

bool rules_index_has(const struct rules_index *index, enum mcp_target target)
{
    return index->kinds[target].n > 0;
}

bool rules_index_spells_out(const struct rules_index *index, enum mcp_target target,
                            struct str text)
{
    const struct node *node = find_text(&index->kinds[target], text);
    return node != NULL && node->plain != NOWHERE;
}
