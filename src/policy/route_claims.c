/* SPDX-License-Identifier: Apache-2.0 */
/* Which claims a route reads. Whoever reads another one of an identity's claims adds it here: what
 * is not listed is not kept with a token (auth/token_claims.c). */
#include <errno.h>

#include "policy/route.h"

struct claim_list {
    struct arena *arena;
    struct str *names; /* room for all that there may be */
    size_t n;
    int fault;
};

static void list_claim(struct claim_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->names[i], name))
            return;
    list->names[list->n++] = name;
}

static void list_claims(struct claim_list *list, const struct str *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        list_claim(list, names[i]);
}

/* The claim that a pointer leads into (RFC 6901 4: "~1" is '/', "~0" is '~'). */
static void list_first_of_pointer(struct claim_list *list, struct str pointer)
{
    char *name = arena_alloc(list->arena, pointer.len);
    size_t len = 0;
    if (name == NULL) {
        list->fault = -ENOMEM;
        return;
    }
    for (size_t i = 1; i < pointer.len && pointer.ptr[i] != '/'; i++) {
        char c = pointer.ptr[i];
        if (c == '~' && i + 1 < pointer.len)
            c = pointer.ptr[++i] == '1' ? '/' : '~';
        name[len++] = c;
    }
    list_claim(list, str_make(name, len));
}

static void list_of_rule(struct claim_list *list, const struct rule *rule)
{
    for (size_t i = 0; i < rule->n_claims; i++) {
        if (str_has_prefix(rule->claims[i].name, STR("/")))
            list_first_of_pointer(list, rule->claims[i].name);
        else
            list_claim(list, rule->claims[i].name);
    }
}

static size_t count_mentions(const struct route *route)
{
    size_t n = 1 + route->upstream.assertion.n_claims; /* the permissions */
    for (size_t i = 0; i < route->n_rules; i++)
        n += route->rules[i].n_claims;
    for (size_t i = 0; i < route->n_identity; i++)
        n += route->identity[i].n_claims;
    return n;
}

int route_list_claims(struct arena *arena, struct route *route)
{
    const struct assertion_config *assertion = &route->upstream.assertion;
    struct claim_list list = {.arena = arena};
    list.names = arena_alloc(arena, count_mentions(route) * sizeof(*list.names));
    if (list.names == NULL)
        return -ENOMEM;
    if (route->authorize_on != AUTHORIZE_ON_SCOPE)
        list_claim(&list, STR("permissions"));
    for (size_t i = 0; i < route->n_rules; i++)
        list_of_rule(&list, &route->rules[i]);
    for (size_t i = 0; i < route->n_identity; i++)
        list_claims(&list, route->identity[i].claims, route->identity[i].n_claims);
    list_claims(&list, assertion->claims, assertion->n_claims);
    route->claims_read = list.names;
    route->n_claims_read = list.n;
    return list.fault;
}
