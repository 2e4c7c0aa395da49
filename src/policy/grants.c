/* SPDX-License-Identifier: Apache-2.0 */
/* Granted names: where they are read from, what they imply, and how they are asked for. */

#include "base/err.h"
#include "policy/rules_int.h"
#include "proto/claims.h"

#define PLACEHOLDER "{name}"

/* Takes the part of *REST in front of the first placeholder. *RET_MORE: there was one. */
static struct str take_part(struct str *rest, const struct wanted *wanted, bool *ret_more)
{
    const char *at = NULL;
    if (str_is_set(wanted->name) && rest->len > 0)
        at = memmem(rest->ptr, rest->len, PLACEHOLDER, sizeof(PLACEHOLDER) - 1);
    struct str part = at != NULL ? str_head(*rest, (size_t)(at - rest->ptr)) : *rest;
    *ret_more = at != NULL;
    *rest = str_from(*rest, part.len + (at != NULL ? sizeof(PLACEHOLDER) - 1 : 0));
    return part;
}

static bool take_prefix(struct str *text, struct str prefix)
{
    if (!str_has_prefix(*text, prefix))
        return false;
    *text = str_from(*text, prefix.len);
    return true;
}

static bool is_wanted(const struct wanted *wanted, struct str text)
{
    struct str rest = wanted->text;
    bool more = str_is_set(wanted->name);
    if (!more)
        return str_eq(rest, text);
    while (more) {
        if (!take_prefix(&text, take_part(&rest, wanted, &more)) ||
            (more && !take_prefix(&text, wanted->name)))
            return false;
    }
    return text.len == 0;
}

/* Where granted names are: the scope claim, or the list of permissions. */
struct source {
    struct str scope;
    const json_t *permissions;
};

/* How long it is when it is spelled: most names differ in that. */
static size_t length_of(const struct wanted *wanted)
{
    struct str rest = wanted->text;
    bool more = str_is_set(wanted->name);
    size_t len = 0;
    if (!more)
        return rest.len;
    while (more) {
        len += take_part(&rest, wanted, &more).len;
        len += more ? wanted->name.len : 0;
    }
    return len;
}

/* LEN is that of WANTED. */
static bool is_in_scope(struct str scope, const struct wanted *wanted, size_t len)
{
    const char *at = scope.ptr;
    const char *const end = at + scope.len;
    while ((size_t)(end - at) >= len) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *behind = space != NULL ? space : end;
        if ((size_t)(behind - at) == len && is_wanted(wanted, str_make(at, len)))
            return true;
        if (space == NULL)
            return false;
        at = space + 1;
    }
    return false;
}

/* The source itself names it; scope_implies is left out. */
static bool names(const struct source *source, const struct wanted *wanted)
{
    const size_t len = length_of(wanted);
    if (len == 0)
        return false;
    if (str_is_set(source->scope) && is_in_scope(source->scope, wanted, len))
        return true;
    size_t count = json_array_size(source->permissions);
    for (size_t i = 0; i < count; i++) {
        struct str permission = json_str(json_array_get(source->permissions, i));
        if (permission.len == len && is_wanted(wanted, permission))
            return true;
    }
    return false;
}

static bool implies(const struct scope_implication *implication, const struct wanted *wanted)
{
    for (size_t i = 0; i < implication->n_implied; i++)
        if (is_wanted(wanted, implication->implied[i]))
            return true;
    return false;
}

static bool holds(const struct route *route, const struct source *source,
                  const struct wanted *wanted)
{
    if (names(source, wanted))
        return true;
    for (size_t i = 0; i < route->n_implies; i++)
        if (implies(&route->implies[i], wanted) &&
            names(source, &(struct wanted){.text = route->implies[i].name}))
            return true;
    return false;
}

static bool scope_holds(const struct route *route, const struct caller *caller,
                        const struct wanted *wanted)
{
    return holds(route, &(struct source){.scope = caller->scope}, wanted);
}

static bool permissions_hold(const struct route *route, const struct caller *caller,
                             const struct wanted *wanted)
{
    const struct source source = {.permissions = json_object_get(caller->claims, "permissions")};
    return holds(route, &source, wanted);
}

/* Whether the caller has one name, and if not, what could help. */
enum verdict grants_look_up(const struct route *route, const struct caller *caller,
                            const struct wanted *wanted)
{
    switch (route->authorize_on) {
    case AUTHORIZE_ON_SCOPE:
        return scope_holds(route, caller, wanted) ? VERDICT_ALLOW : VERDICT_STEP_UP;
    case AUTHORIZE_ON_EITHER:
        return scope_holds(route, caller, wanted) || permissions_hold(route, caller, wanted)
                 ? VERDICT_ALLOW
                 : VERDICT_STEP_UP;
    case AUTHORIZE_ON_PERMISSIONS:
        /* All that the user has is in every token, whatever was consented to. */
        return permissions_hold(route, caller, wanted) ? VERDICT_ALLOW : VERDICT_FORBIDDEN;
    case AUTHORIZE_ON_BOTH:
        if (!permissions_hold(route, caller, wanted))
            return VERDICT_FORBIDDEN;
        return scope_holds(route, caller, wanted) ? VERDICT_ALLOW : VERDICT_STEP_UP;
    }
    return VERDICT_FORBIDDEN;
}

bool grants_is_askable(const struct wanted *wanted)
{
    struct str rest = wanted->text;
    bool more = true;
    if (rest.len == 0)
        return false;
    while (more) {
        struct str part = take_part(&rest, wanted, &more);
        if ((part.len > 0 && !scope_is_token(part)) || (more && !scope_is_token(wanted->name)))
            return false;
    }
    return true;
}

int grants_spell(struct buf *out, const struct wanted *wanted)
{
    struct str rest = wanted->text;
    bool more = true;
    int r = 0;
    while (r == 0 && more) {
        r = buf_append(out, take_part(&rest, wanted, &more));
        if (r == 0 && more)
            r = buf_append(out, wanted->name);
    }
    return r;
}

int grants_append(struct buf *out, const struct wanted *wanted)
{
    size_t before = out->len;
    if (!grants_is_askable(wanted))
        return 0;
    int r = before > 0 ? buf_append_char(out, ' ') : 0;
    size_t start = out->len;
    if (r == 0)
        r = grants_spell(out, wanted);
    struct str list = buf_str(out);
    if (r < 0 || scope_has(str_head(list, before), str_from(list, start)))
        out->len = before;
    return r;
}
