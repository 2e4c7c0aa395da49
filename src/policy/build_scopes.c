/* SPDX-License-Identifier: Apache-2.0 */
/* scope_implies, closed: who has a scope also has what that one implies, step by step. */
#include <errno.h>

#include "base/err.h"
#include "policy/build_int.h"
#include "proto/claims.h"

/* One closure under way: everything reached so far, in the order it was reached. */
struct closure {
    struct reader *reader;
    json_t *table; /* scope_implies */
    json_t *seen;  /* names as keys; the start is among them, so that a cycle ends */
    struct str *items;
    size_t count;
};

/* Adds what NAME implies directly. */
static void step(struct closure *closure, struct str name)
{
    json_t *value;
    size_t i;
    json_array_foreach (json_object_getn(closure->table, name.ptr, name.len), i, value) {
        struct str scope = reader_text(closure->reader, value);
        if (!str_is_set(scope) || str_has_nul(scope) ||
            json_object_getn(closure->seen, scope.ptr, scope.len) != NULL)
            continue;
        if (json_object_setn_new(closure->seen, scope.ptr, scope.len, json_true()) < 0)
            closure->reader->fault = -ENOMEM;
        else
            closure->items[closure->count++] = scope;
    }
}

/* At most so many different scopes can be implied by anything. */
static size_t count_implied(json_t *table)
{
    const char *name;
    json_t *list;
    size_t count = 0;
    json_object_foreach (table, name, list)
        count += json_array_size(list);
    return count;
}

static void close_one(struct reader *reader, json_t *table, struct str name, struct str *scratch,
                      struct scope_implication *ret_implication)
{
    CLEANUP(json_unref) json_t *seen = json_object();
    struct closure closure = {.reader = reader, .table = table, .seen = seen, .items = scratch};
    if (json_object_setn_new(seen, name.ptr, name.len, json_true()) < 0)
        reader->fault = -ENOMEM;
    step(&closure, name);
    for (size_t i = 0; i < closure.count; i++)
        step(&closure, scratch[i]);
    struct str *implied = reader_alloc(reader, closure.count, sizeof(*implied));
    ret_implication->name = reader_keep(reader, name);
    ret_implication->implied = implied;
    for (size_t i = 0; implied != NULL && i < closure.count; i++)
        implied[ret_implication->n_implied++] = reader_keep(reader, scratch[i]);
}

void build_implications(struct reader *reader, json_t *table, const struct place *place,
                        struct route *route)
{
    struct place at_table = PLACE_KEY(place, STR("scope_implies"));
    struct scope_implication *implies =
        reader_alloc(reader, json_object_size(table), sizeof(*implies));
    struct str *scratch = reader_alloc(reader, count_implied(table), sizeof(*scratch));
    const char *name;
    json_t *list;
    route->implies = implies;
    if (implies == NULL || scratch == NULL)
        return;
    json_object_foreach (table, name, list) {
        struct place at = PLACE_KEY(&at_table, str_from_cstr(name));
        if (!scope_is_token(at.key))
            reader_error(reader, &at,
                         "is no scope: visible ASCII only, without quotes and backslashes "
                         "(RFC 6749 3.3)");
        close_one(reader, table, at.key, scratch, &implies[route->n_implies++]);
    }
}
