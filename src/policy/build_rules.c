/* SPDX-License-Identifier: Apache-2.0 */
/* What a route says about calls: its rules, and how refusals look. */
#include <errno.h>

#include "base/err.h"
#include "policy/build_int.h"

static const struct {
    struct str key;
    enum mcp_target target;
} kinds[] = {
    {STR_INIT("tools"), MCP_TOOL},
    {STR_INIT("prompts"), MCP_PROMPT},
    {STR_INIT("resources"), MCP_RESOURCE},
    {STR_INIT("methods"), MCP_NO_TARGET},
};

static const struct str requirements[] = {STR_INIT("scopes"), STR_INIT("permission"),
                                          STR_INIT("claims")};

/* A '?' that stands for any character was most likely meant as the beginning of a query when an
 * '=' follows. */
static bool looks_like_query(struct str glob)
{
    for (size_t i = 0; i < glob.len; i++) {
        if (glob.ptr[i] == '\\')
            i++;
        else if (glob.ptr[i] == '?')
            return str_find_char(str_from(glob, i), '=') >= 0;
    }
    return false;
}

static void warn_queries(struct reader *reader, const struct globs *globs,
                         const struct place *place)
{
    for (size_t i = 0; i < globs->n; i++) {
        struct place at = PLACE_AT(place, i);
        if (looks_like_query(globs->items[i]))
            reader_warn(reader, &at,
                        "\"?\" stands for any one character; for a question mark write \"\\\\?\"");
    }
}

static void build_targets(struct reader *reader, json_t *object, const struct place *place,
                          struct rule *rule)
{
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        json_t *list = json_object_get(object, kinds[i].key.ptr);
        struct place at = PLACE_KEY(place, kinds[i].key);
        struct str_list globs = reader_strings(reader, list);
        rule->targets[kinds[i].target] = (struct globs){.items = globs.items, .n = globs.count};
        count += json_array_size(list);
        if (kinds[i].target == MCP_RESOURCE)
            warn_queries(reader, &rule->targets[MCP_RESOURCE], &at);
        if (json_is_array(list) && json_array_size(list) == 0)
            count++; /* was reported */
    }
    if (count == 0)
        reader_error(reader, place,
                     "does not say what it is about; write \"tools\", \"prompts\", \"resources\" "
                     "or \"methods\"");
}

/* RFC 6901 3: "~" stands in "~0" and "~1" only. */
static bool is_pointer(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '~' &&
            (i + 1 == name.len || (name.ptr[i + 1] != '0' && name.ptr[i + 1] != '1')))
            return false;
    return true;
}

static void check_claim_name(struct reader *reader, const struct place *place)
{
    if (place->key.len == 0 || str_has_nul(place->key))
        reader_error(reader, place, "is no name of a claim");
    else if (str_eq(place->key, STR("scope")) || str_eq(place->key, STR("/scope")))
        reader_error(reader, place,
                     "\"scope\" is one string of all scopes; write \"scopes\" in the rule instead");
    else if (str_has_prefix(place->key, STR("/")) && !is_pointer(place->key))
        reader_error(reader, place,
                     "is no JSON pointer: \"~\" is written \"~0\" in one (RFC 6901 3)");
}

static void build_claims(struct reader *reader, json_t *object, const struct place *place,
                         struct rule *rule)
{
    struct place at_claims = PLACE_KEY(place, STR("claims"));
    struct rule_claim *claims = reader_alloc(reader, json_object_size(object), sizeof(*claims));
    const char *name;
    size_t name_len;
    json_t *values;
    rule->claims = claims;
    if (claims == NULL)
        return;
    json_object_keylen_foreach (object, name, name_len, values) {
        struct place at = PLACE_KEY(&at_claims, str_make(name, name_len));
        check_claim_name(reader, &at);
        claims[rule->n_claims++] = (struct rule_claim){
            .name = reader_keep(reader, at.key),
            .values = reader_copy(reader, values),
        };
    }
}

/* allow, scopes, permission and claims: which of them go together. */
static void build_effect(struct reader *reader, json_t *object, const struct place *place,
                         struct rule *rule)
{
    const json_t *allow = json_object_get(object, "allow");
    struct place at_allow = PLACE_KEY(place, STR("allow"));
    const char *given = NULL;
    for (size_t i = 0; i < ARRAY_LEN(requirements) && given == NULL; i++)
        if (json_object_get(object, requirements[i].ptr) != NULL)
            given = requirements[i].ptr;
    if (allow == NULL && given == NULL)
        reader_error(reader, place,
                     "does not say who may; write \"allow\", \"scopes\", \"permission\" or "
                     "\"claims\"");
    else if (json_is_false(allow) && given != NULL)
        reader_error(reader, &at_allow,
                     "nobody may, whatever \"%s\" asks for; leave out one of the two", given);
    else if (json_is_true(allow) && given != NULL)
        reader_warn(reader, &at_allow,
                    "is not needed: who meets \"%s\" may, and nobody else; for every caller leave "
                    "that out",
                    given);
    rule->effect = given != NULL ? RULE_REQUIRE : json_is_true(allow) ? RULE_ALLOW : RULE_DENY;
}

static void build_rule(struct reader *reader, json_t *object, const struct place *place,
                       struct rule *rule)
{
    struct str_list scopes = reader_strings(reader, json_object_get(object, "scopes"));
    rule->pointer = reader_pointer(reader, place);
    rule->scopes = scopes.items;
    rule->n_scopes = scopes.count;
    rule->permission = build_optional(reader, object, "permission");
    build_targets(reader, object, place, rule);
    build_claims(reader, json_object_get(object, "claims"), place, rule);
    build_effect(reader, object, place, rule);
}

/* The place of TEXT among the choices of the schema's row, which are in the order of the enum. */
static unsigned choice_of(struct reader *reader, json_t *object, const char *key)
{
    char path[64];
    struct str text = reader_member(reader, object, key);
    (void)snprintf(path, sizeof(path), "routes[].%s", key);
    const struct schema_row *row = schema_find(str_from_cstr(path));
    for (unsigned i = 0; row != NULL && row->choices[i] != NULL; i++)
        if (str_eq(str_from_cstr(row->choices[i]), text))
            return i;
    return 0;
}

/* What would have an effect only if something could be denied. Where the default is spelled out,
 * somebody has thought of it. */
static void warn_idle(struct reader *reader, const struct place *place, const struct route *route)
{
    struct place at_rules = PLACE_KEY(place, STR("rules"));
    struct place at_default = PLACE_KEY(place, STR("default"));
    struct place at_list = PLACE_KEY(place, STR("list"));
    struct place at_on_deny = PLACE_KEY(place, STR("on_deny"));
    bool spelled_out = reader_is_written(reader, &at_default);
    if (route->n_rules == 0 && !route->default_allows)
        reader_warn(reader, &at_default,
                    "there are no rules, so that nothing can be called but the methods that every "
                    "session needs");
    if (rules_can_deny(route) || spelled_out)
        return;
    if (route->n_rules == 0 && reader_is_written(reader, &at_rules))
        reader_warn(reader, &at_rules, "without an entry every call is allowed");
    if (route->filters_lists && reader_is_written(reader, &at_list))
        reader_warn(reader, &at_list, "every call is allowed, so nothing is left out of a list");
    if (route->on_deny == ON_DENY_TOOL_ERROR)
        reader_warn(reader, &at_on_deny, "every call is allowed, so there is nothing to deny");
}

void build_rules(struct reader *reader, json_t *object, const struct place *place,
                 struct route *route)
{
    json_t *list = json_object_get(object, "rules");
    struct place at_list = PLACE_KEY(place, STR("rules"));
    size_t count = json_array_size(list);
    struct rule *rules = reader_alloc(reader, count, sizeof(*rules));
    route->authorize_on = (enum authorize_on)choice_of(reader, object, "authorize_on");
    route->default_allows = choice_of(reader, object, "default") == 0;
    route->filters_lists = choice_of(reader, object, "list") == 0;
    route->on_deny = (enum on_deny)choice_of(reader, object, "on_deny");
    route->binds_sessions = choice_of(reader, object, "sessions") == 0;
    route->rules = rules;
    if (rules == NULL || count > CONFIG_MAX_RULES)
        return;
    for (size_t i = 0; i < count; i++) {
        struct place at = PLACE_AT(&at_list, i);
        build_rule(reader, json_array_get(list, i), &at, &rules[i]);
        route->n_rules++;
    }
    route->rules_index = rules_index_make(reader->arena, route);
    if (route->rules_index == NULL)
        reader->fault = -ENOMEM;
    warn_idle(reader, place, route);
    warn_unreached(reader, &at_list, route);
}
