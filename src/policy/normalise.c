/* SPDX-License-Identifier: Apache-2.0 */
/* One shape for what may be written in several, and every default filled in. Works on the tree of
 * the file with its references still in it, so that the tree stays printable. */
#include <errno.h>

#include "base/err.h"
#include "policy/reader_int.h"
#include "policy/schema.h"

/* Remembers that memory was short when R says so. */
static void note(struct reader *reader, int r)
{
    if (r < 0)
        reader->fault = -ENOMEM;
}

/* Sets a member that is not there yet; takes VALUE. */
static void set_default(struct reader *reader, json_t *object, const char *key, json_t *value)
{
    if (json_object_get(object, key) != NULL)
        json_decref(value);
    else
        note(reader, json_object_set_new(object, key, value));
}

static void fill(struct reader *reader, json_t *object, const char *path);

static void fill_member(struct reader *reader, json_t *object, const struct schema_row *row,
                        const char *key)
{
    size_t i;
    json_t *element;
    if (row->def != NULL)
        set_default(reader, object, key, json_make(row->def));
    json_t *value = json_object_get(object, key);
    if (json_is_object(value))
        fill(reader, value, row->path);
    const struct schema_row *elements = schema_element(row);
    if (elements == NULL)
        return;
    json_array_foreach (value, i, element)
        if (json_is_object(element))
            fill(reader, element, elements->path);
}

/* The table's defaults for the object at PATH and everything below it. */
static void fill(struct reader *reader, json_t *object, const char *path)
{
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    struct str key;
    const char *name;
    json_t *value;
    for (size_t i = 0; i < count; i++) {
        if (!schema_is_member(&rows[i], str_from_cstr(path), &key))
            continue;
        if (!str_eq(key, STR("*"))) {
            fill_member(reader, object, &rows[i], key.ptr);
            continue;
        }
        json_object_foreach (object, name, value)
            if (json_is_object(value))
                fill(reader, value, rows[i].path);
    }
}

/* The address of an object that holds nothing else; NULL for everything else. */
static json_t *bare_address(const json_t *listen)
{
    bool is_bare = json_is_null(json_object_get(listen, "tls")) &&
                   json_is_null(json_object_get(listen, "mode"));
    return is_bare ? json_object_get(listen, "address") : NULL;
}

static void flatten_listen(struct reader *reader, json_t *root)
{
    json_t *listen = json_object_get(root, "listen");
    json_t *address = bare_address(listen);
    json_t *element;
    size_t i;
    if (address != NULL) {
        note(reader, json_object_set(root, "listen", address));
        return;
    }
    json_array_foreach (listen, i, element) {
        address = bare_address(element);
        if (address != NULL)
            note(reader, json_array_set(listen, i, address));
    }
}

static void expand_upstreams(struct reader *reader, json_t *routes)
{
    json_t *route;
    size_t i;
    json_array_foreach (routes, i, route) {
        json_t *upstream = json_object_get(route, "upstream");
        if (json_is_string(upstream))
            note(reader,
                 json_object_set_new(route, "upstream", json_pack("{s:O}", "url", upstream)));
    }
}

/* Defaults of a route that depend on other values. Lists are shared, not copied. */
static void default_route(struct reader *reader, json_t *route, json_t *issuer_names)
{
    json_t *resource = json_object_get(route, "resource");
    json_t *scopes = json_object_get(route, "scopes");
    set_default(reader, route, "issuers", json_incref(issuer_names));
    if (resource != NULL)
        set_default(reader, route, "audiences", json_pack("[O]", resource));
    set_default(reader, route, "scopes_supported", json_incref(scopes));
    bool ruled = json_array_size(json_object_get(route, "rules")) > 0;
    set_default(reader, route, "default", json_string(ruled ? "deny" : "allow"));
}

static void default_routes(struct reader *reader, json_t *root)
{
    CLEANUP(json_unref) json_t *names = json_array();
    const char *name;
    json_t *value;
    size_t i;
    json_object_foreach (json_object_get(root, "issuers"), name, value)
        note(reader, json_array_append_new(names, json_string(name)));
    json_array_foreach (json_object_get(root, "routes"), i, value)
        if (json_is_object(value))
            default_route(reader, value, names);
}

/* With one route there is no need to say which. */
static void default_tests(struct reader *reader, json_t *root)
{
    const json_t *routes = json_object_get(root, "routes");
    json_t *resource = json_object_get(json_array_get(routes, 0), "resource");
    json_t *test;
    size_t i;
    if (json_array_size(routes) == 1 && resource != NULL)
        json_array_foreach (json_object_get(root, "tests"), i, test)
            if (json_is_object(test))
                set_default(reader, test, "route", json_incref(resource));
}

static json_int_t default_workers(const struct reader *reader)
{
    unsigned cpus = reader->sources->cpus;
    return cpus < 1 ? 1 : cpus > CONFIG_MAX_WORKERS ? CONFIG_MAX_WORKERS : (json_int_t)cpus;
}

void normalise_document(struct reader *reader, json_t *root)
{
    set_default(reader, root, "issuers", json_object());
    set_default(reader, root, "workers", json_integer(default_workers(reader)));
    expand_auth0(reader, root);
    expand_upstreams(reader, json_object_get(root, "routes"));
    fill(reader, root, "");
    flatten_listen(reader, root);
    default_routes(reader, root);
    default_tests(reader, root);
}
