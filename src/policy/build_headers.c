/* SPDX-License-Identifier: Apache-2.0 */
/* Headers that we add upstream: identity (from claims), upstream.headers (fixed) and the signed
 * assertion. An upstream
 * may ignore case and read '_' as '-' (CGI), so names are compared folded. */
#include "base/err.h"
#include "policy/build_int.h"
#include "proto/field.h"

/* Known fields that may be given all the same; every other known one belongs to HTTP, to MCP or to
 * the gate itself. */
static const enum field_id fixed_allowed[] = {FIELD_AUTHORIZATION, FIELD_COOKIE, FIELD_USER_AGENT,
                                              FIELD_CACHE_CONTROL, FIELD_X_FORWARDED_OTHER};
/* X-Forwarded-User and its like are what many servers expect. */
static const enum field_id identity_allowed[] = {FIELD_X_FORWARDED_OTHER};

struct header_kind {
    const enum field_id *allowed;
    size_t n_allowed;
};

static const struct header_kind fixed_kind = {fixed_allowed, ARRAY_LEN(fixed_allowed)};
static const struct header_kind identity_kind = {identity_allowed, ARRAY_LEN(identity_allowed)};

static bool is_allowed(const struct header_kind *kind, struct str folded)
{
    enum field_id id = field_lookup(folded);
    /* The body and its meaning are the client's: Content-Encoding, Mcp-Param-* and what later
     * revisions will bring. */
    if (str_has_prefix(folded, STR("mcp-")) || str_has_prefix(folded, STR("content-")))
        return false;
    for (size_t i = 0; i < kind->n_allowed; i++)
        if (kind->allowed[i] == id)
            return true;
    return id == FIELD_OTHER;
}

/* Lower case, '_' as '-'; absent when memory is short. */
static struct str fold(struct reader *reader, struct str name)
{
    char *folded = reader_alloc(reader, name.len + 1, 1);
    if (folded == NULL)
        return (struct str){0};
    for (size_t i = 0; i < name.len; i++)
        folded[i] = name.ptr[i] == '_' ? '-' : ascii_lower(name.ptr[i]);
    return str_make(folded, name.len);
}

/* Checks a name and adds it, folded, to the route's list of stripped names. */
static void add_name(struct reader *reader, const struct place *place, struct str name,
                     const struct header_kind *kind, struct route *route, struct str *stripped)
{
    struct str folded = fold(reader, name);
    if (!str_is_set(folded))
        return;
    if (!field_is_name(name)) {
        reader_error(reader, place, "is no header name: letters, digits and !#$%%&'*+-.^_`|~ only");
        return;
    }
    if (!is_allowed(kind, folded))
        reader_error(reader, place,
                     "cannot be set here: it belongs to HTTP, to MCP or to Portcullis itself");
    for (size_t i = 0; i < route->n_stripped; i++)
        if (str_eq(stripped[i], folded))
            reader_error(reader, place,
                         "is given twice for this route: upstreams ignore case, may read '_' as "
                         "'-', and take identity, upstream.headers and the assertion together");
    stripped[route->n_stripped++] = folded;
}

static void build_fixed(struct reader *reader, json_t *object, const struct place *place,
                        struct route *route, struct str *stripped)
{
    struct name_value *headers = reader_alloc(reader, json_object_size(object), sizeof(*headers));
    const char *name;
    json_t *value;
    route->upstream.headers = headers;
    if (headers == NULL)
        return;
    json_object_foreach (object, name, value) {
        struct place at = PLACE_KEY(place, str_from_cstr(name));
        struct str text = reader_text(reader, value);
        add_name(reader, &at, at.key, &fixed_kind, route, stripped);
        if (!str_is_set(text))
            continue;
        /* RFC 9110 5.5: blanks at the ends are not part of a value. Controls were reported. */
        if (str_trim(text).len != text.len)
            reader_error(reader, &at, "has a blank at its beginning or end");
        headers[route->upstream.n_headers++] = (struct name_value){
            .name = reader_keep(reader, at.key), .value = reader_keep(reader, text)};
    }
}

static void build_identity(struct reader *reader, json_t *object, const struct place *place,
                           struct route *route, struct str *stripped)
{
    struct identity_header *headers =
        reader_alloc(reader, json_object_size(object), sizeof(*headers));
    const char *name;
    json_t *value;
    route->identity = headers;
    if (headers == NULL)
        return;
    json_object_foreach (object, name, value) {
        struct place at = PLACE_KEY(place, str_from_cstr(name));
        CLEANUP(json_unref)
        json_t *claims = json_is_array(value) ? json_incref(value) : json_pack("[O]", value);
        struct str_list list = reader_strings(reader, claims);
        add_name(reader, &at, at.key, &identity_kind, route, stripped);
        headers[route->n_identity++] = (struct identity_header){
            .name = reader_keep(reader, at.key), .claims = list.items, .n_claims = list.count};
    }
}

void build_headers(struct reader *reader, json_t *object, const struct place *place,
                   struct route *route)
{
    struct place at_identity = PLACE_KEY(place, STR("identity"));
    struct place at_upstream = PLACE_KEY(place, STR("upstream"));
    struct place at_headers = PLACE_KEY(&at_upstream, STR("headers"));
    struct place at_assertion = PLACE_KEY(&at_upstream, STR("assertion"));
    struct place at_header = PLACE_KEY(&at_assertion, STR("header"));
    json_t *identity = json_object_get(object, "identity");
    json_t *headers = json_object_get(json_object_get(object, "upstream"), "headers");
    struct str *stripped = reader_alloc(
        reader, json_object_size(identity) + json_object_size(headers) + 1, sizeof(*stripped));
    if (stripped == NULL)
        return;
    route->stripped = stripped;
    build_identity(reader, identity, &at_identity, route, stripped);
    build_fixed(reader, headers, &at_headers, route, stripped);
    if (route->upstream.assertion.header.len > 0)
        add_name(reader, &at_header, route->upstream.assertion.header, &identity_kind, route,
                 stripped);
}
