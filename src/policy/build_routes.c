/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/err.h"
#include "policy/build_int.h"
#include "policy/origin_int.h"
#include "policy/route.h"
#include "policy/value_int.h"
#include "proto/oauth_meta.h"

#define WELL_KNOWN "/.well-known"
#define METADATA_PATH WELL_KNOWN "/oauth-protected-resource"
#define MAX_RESOURCE_BYTES 2048
#define MAX_METADATA_BYTES (256U * 1024)

static bool has_encoded_separator(struct str path)
{
    for (size_t i = 0; i + 2 < path.len; i++) {
        struct str escape = str_make(path.ptr + i, 3);
        if (str_eq_nocase(escape, STR("%2f")) || str_eq_nocase(escape, STR("%5c")))
            return true;
    }
    return false;
}

/* Why a resource cannot be mounted; NULL when it can. Its path is compared byte for byte with that
 * of requests, so there must be one spelling of it only. */
static const char *resource_fault(const struct uri *uri, struct str text)
{
    if (text.len > MAX_RESOURCE_BYTES)
        return "is too long: at most 2048 bytes";
    if (uri->has_query)
        return "has a query; only its path can be the mount point";
    if (value_has_upper_case(uri->scheme) || value_has_upper_case(uri->host))
        return "has capitals in scheme or host; clients compare it byte for byte with the lower "
               "case form";
    if (uri_path_has_dots(uri->path))
        return "has a \".\" or \"..\" segment in its path";
    if (has_encoded_separator(uri->path))
        return "has an encoded slash or backslash in its path";
    if (memmem(uri->path.ptr, uri->path.len, "//", 2) != NULL)
        return "has two slashes in a row in its path";
    if (str_eq(uri->path, STR(WELL_KNOWN)) || str_has_prefix(uri->path, STR(WELL_KNOWN "/")))
        return "lies under /.well-known/, where the metadata is";
    return NULL;
}

static void warn_resource(struct reader *reader, const json_t *value, const struct place *place,
                          const struct uri *uri)
{
    if (!uri->https && !uri_host_is_loopback(uri->host))
        reader_warn(reader, place, "%s is plain http: tokens can be read on the way",
                    reader_quote(reader, value));
    if (uri_has_default_port(uri) && uri->authority.ptr[uri->authority.len - 1] != ']' &&
        str_find_char(str_from(uri->authority, uri->host.len), ':') >= 0)
        reader_warn(reader, place,
                    "%s names the default port; clients leave it out and will ask for another "
                    "resource",
                    reader_quote(reader, value));
}

static void build_resource(struct reader *reader, json_t *object, const struct place *place,
                           struct route *route)
{
    const json_t *value = json_object_get(object, "resource");
    struct place at = PLACE_KEY(place, STR("resource"));
    char origin[ORIGIN_MAX_BYTES];
    struct uri uri;
    if (!build_url(reader, value, &at, &uri))
        return;
    route->resource = reader_keep(reader, reader_text(reader, value));
    const char *fault = resource_fault(&uri, route->resource);
    if (fault != NULL) {
        reader_error(reader, &at, "%s %s", reader_quote(reader, value), fault);
        return;
    }
    warn_resource(reader, value, &at, &uri);
    struct str base =
        reader_printf(reader, "%.*s://%.*s", STR_ARG(uri.scheme), STR_ARG(uri.authority));
    struct str path = str_eq(uri.path, STR("/")) ? STR("") : uri.path;
    struct str mount = str_has_suffix(path, STR("/")) ? str_head(path, path.len - 1) : path;
    route->mount = reader_keep(reader, mount);
    route->scheme = reader_keep(reader, uri.scheme);
    route->authority = reader_keep(reader, uri.authority);
    route->origin = reader_keep(reader, str_make(origin, origin_normalise(base, origin)));
    /* RFC 9728 3.1: inserted between host and path; a slash that is the whole path goes away. */
    route->metadata_url =
        reader_printf(reader, "%.*s" METADATA_PATH "%.*s", STR_ARG(base), STR_ARG(path));
}

static void check_mount(struct reader *reader, const struct config_data *data,
                        const struct route *route, const struct place *place)
{
    struct place at = PLACE_KEY(place, STR("resource"));
    for (size_t i = 0; i < data->n_routes; i++)
        if (str_is_set(route->mount) && str_is_set(data->routes[i].mount) &&
            str_eq(data->routes[i].mount, route->mount))
            reader_error(reader, &at,
                         "/routes/%zu has the same path, and requests are told apart by path only",
                         i);
}

static const struct issuer_config *find_issuer(const struct config_data *data, struct str name)
{
    for (size_t i = 0; i < data->n_issuers; i++)
        if (str_eq(data->issuers[i].name, name))
            return &data->issuers[i];
    return NULL;
}

static void build_route_issuers(struct reader *reader, const struct config_data *data,
                                json_t *object, const struct place *place, struct route *route)
{
    json_t *names = json_object_get(object, "issuers");
    struct place at_list = PLACE_KEY(place, STR("issuers"));
    const struct issuer_config **issuers =
        reader_alloc(reader, json_array_size(names), sizeof(void *));
    route->issuers = issuers;
    for (size_t i = 0; issuers != NULL && i < json_array_size(names); i++) {
        struct place at = PLACE_AT(&at_list, i);
        const json_t *value = json_array_get(names, i);
        struct str name = reader_text(reader, value);
        const struct issuer_config *issuer = find_issuer(data, name);
        if (issuer != NULL)
            issuers[route->n_issuers++] = issuer;
        else if (str_is_set(name))
            reader_error(reader, &at, "there is no issuer named %s", reader_quote(reader, value));
    }
}

static void build_scopes(struct reader *reader, json_t *object, struct route *route)
{
    CLEANUP(buf_free) struct buf text = buf_make(CONFIG_MAX_FILE_BYTES);
    struct str_list scopes = reader_strings(reader, json_object_get(object, "scopes"));
    struct str_list supported = reader_strings(reader, json_object_get(object, "scopes_supported"));
    for (size_t i = 0; i < scopes.count; i++) {
        (void)buf_append_cstr(&text, i > 0 ? " " : "");
        (void)buf_append(&text, scopes.items[i]);
    }
    route->scopes = scopes.items;
    route->n_scopes = scopes.count;
    route->scope_text = reader_keep(reader, buf_str(&text));
    route->scopes_supported = supported.items;
    route->n_scopes_supported = supported.count;
}

/* Everything but "*", in one spelling. */
static void build_origins(struct reader *reader, json_t *object, struct route *route)
{
    struct str_list list = reader_strings(reader, json_object_get(object, "origins"));
    char normal[ORIGIN_MAX_BYTES];
    route->origins = list.items;
    for (size_t i = 0; i < list.count; i++) {
        struct str origin = list.items[i];
        if (str_eq(origin, STR("*"))) {
            route->any_origin = true;
            continue;
        }
        if (!str_eq(origin, STR("null")))
            origin = reader_keep(reader, str_make(normal, origin_normalise(origin, normal)));
        list.items[route->n_origins++] = origin;
    }
}

static void build_metadata(struct reader *reader, const struct place *place, struct route *route)
{
    CLEANUP(buf_free) struct buf json = buf_make(MAX_METADATA_BYTES);
    struct str *servers = reader_alloc(reader, route->n_issuers, sizeof(*servers));
    if (servers == NULL)
        return;
    for (size_t i = 0; i < route->n_issuers; i++)
        servers[i] = route->issuers[i]->issuer;
    struct oauth_resource resource = {
        .resource = route->resource,
        .name = route->name,
        .authorization_servers = servers,
        .n_authorization_servers = route->n_issuers,
        .scopes_supported = route->scopes_supported,
        .n_scopes_supported = route->n_scopes_supported,
    };
    int r = oauth_meta_append_resource(&resource, &json);
    if (r == -EMSGSIZE)
        reader_error(reader, place, "the metadata with all its scopes is larger than %u bytes",
                     MAX_METADATA_BYTES);
    else if (r < 0)
        reader->fault = r;
    route->metadata_json = reader_keep(reader, buf_str(&json));
}

/* A number is per second; text was checked. */
static struct rate read_rate(const struct reader *reader, const json_t *value)
{
    struct rate rate = {.count = json_integer_value(value), .period_ms = 1000};
    if (json_is_string(value) && value_rate(reader_text(reader, value), &rate) < 0)
        rate.count = 0;
    return rate;
}

static void build_rate(struct reader *reader, json_t *limits, const struct place *place,
                       const char *const keys[2], struct gcra *ret_gcra)
{
    const json_t *value = json_object_get(limits, keys[0]);
    const int64_t given = reader_number(limits, keys[1]);
    struct rate rate = read_rate(reader, value);
    struct place at = PLACE_KEY(place, str_from_cstr(keys[given > 0 ? 1 : 0]));
    if (given > 0 && json_is_null(value))
        reader_error(reader, &at, "is of no use without \"%s\"", keys[0]);
    if (rate.count < 1 || rate.count > GCRA_MAX_COUNT || given > GCRA_MAX_COUNT)
        return;
    if (!gcra_make(rate.count, rate.period_ms, given > 0 ? given : rate.count, ret_gcra))
        reader_error(reader, &at,
                     "is too much for this rate: once used up, it would take more than 31 days to "
                     "come back");
}

static void build_limits(struct reader *reader, json_t *object, const struct place *place,
                         struct route *route)
{
    static const char *const subject[] = {"subject_rate", "subject_burst"};
    static const char *const ip[] = {"ip_rate", "ip_burst"};
    json_t *limits = json_object_get(object, "limits");
    struct place at = PLACE_KEY(place, STR("limits"));
    route->max_body_bytes = reader_size_bytes(reader, limits, "body");
    route->max_inspect_bytes = reader_size_bytes(reader, limits, "response_inspect");
    route->limits.subject_streams = reader_number(limits, "subject_streams");
    build_rate(reader, limits, &at, subject, &route->limits.subject_rate);
    build_rate(reader, limits, &at, ip, &route->limits.ip_rate);
}

static void build_route(struct reader *reader, struct config_data *data, json_t *object,
                        const struct place *place, struct route *route)
{
    struct place at_upstream = PLACE_KEY(place, STR("upstream"));
    struct str_list audiences = reader_strings(reader, json_object_get(object, "audiences"));
    json_t *upstream = json_object_get(object, "upstream");
    route->index = data->n_routes;
    route->name = build_optional(reader, object, "name");
    route->audiences = audiences.items;
    route->n_audiences = audiences.count;
    build_limits(reader, object, place, route);
    build_resource(reader, object, place, route);
    check_mount(reader, data, route, place);
    build_route_issuers(reader, data, object, place, route);
    build_scopes(reader, object, route);
    build_implications(reader, json_object_get(object, "scope_implies"), place, route);
    build_origins(reader, object, route);
    if (json_is_object(upstream))
        build_upstream(reader, upstream, &at_upstream, &route->upstream);
    build_headers(reader, object, place, route);
    build_rules(reader, object, place, route);
    if (route_list_claims(reader->arena, route) < 0)
        reader->fault = -ENOMEM;
}

/* Two routes that take one audience are one gate: a token for one opens the other. */
static void warn_shared_audiences(struct reader *reader, json_t *routes)
{
    CLEANUP(json_unref) json_t *seen = json_object();
    struct place top = {0};
    struct place at_routes = PLACE_KEY(&top, STR("routes"));
    json_t *route;
    size_t i;
    json_array_foreach (routes, i, route) {
        json_t *value;
        size_t k;
        struct place at = PLACE_AT(&at_routes, i);
        struct place at_list = PLACE_KEY(&at, STR("audiences"));
        json_array_foreach (json_object_get(route, "audiences"), k, value) {
            struct place at_value = PLACE_AT(&at_list, k);
            struct str text = reader_text(reader, value);
            if (!str_is_set(text) || str_has_nul(text))
                continue;
            const json_t *other = json_object_getn(seen, text.ptr, text.len);
            if (other != NULL && (size_t)json_integer_value(other) != i)
                reader_warn(reader, &at_value,
                            "/routes/%d accepts this audience too: a token for one opens the other",
                            (int)json_integer_value(other));
            else
                (void)json_object_setn_new(seen, text.ptr, text.len, json_integer((json_int_t)i));
        }
    }
}

static bool is_used(const struct config_data *data, const struct issuer_config *issuer)
{
    for (size_t i = 0; i < data->n_routes; i++)
        for (size_t k = 0; k < data->routes[i].n_issuers; k++)
            if (data->routes[i].issuers[k] == issuer)
                return true;
    return false;
}

static void warn_unused_issuers(struct reader *reader, const struct config_data *data)
{
    struct place top = {0};
    struct place at_issuers = PLACE_KEY(&top, STR("issuers"));
    for (size_t i = 0; i < data->n_issuers; i++) {
        struct place at = PLACE_KEY(&at_issuers, data->issuers[i].name);
        if (!is_used(data, &data->issuers[i]))
            reader_warn(reader, &at, "no route accepts this issuer");
    }
}

void build_routes(struct reader *reader, json_t *root, struct config_data *data)
{
    json_t *list = json_object_get(root, "routes");
    struct place top = {0};
    struct place place = PLACE_KEY(&top, STR("routes"));
    struct route *routes = reader_alloc(reader, json_array_size(list), sizeof(*routes));
    json_t *object;
    size_t i;
    data->routes = routes;
    if (routes == NULL || json_array_size(list) > CONFIG_MAX_ROUTES)
        return;
    json_array_foreach (list, i, object) {
        struct place at = PLACE_AT(&place, i);
        build_route(reader, data, object, &at, &routes[i]);
        data->n_routes++;
    }
    /* What follows needs every part to be right. */
    if (diag_has_errors(reader->diag))
        return;
    warn_shared_audiences(reader, list);
    warn_unused_issuers(reader, data);
    build_assertion_jwks(reader, data);
    for (i = 0; i < data->n_routes; i++) {
        struct place at = PLACE_AT(&place, i);
        build_metadata(reader, &at, &routes[i]);
    }
}
