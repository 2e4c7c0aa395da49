/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "policy/build_int.h"

/* What only TLS uses must not look as if it did something. */
static void refuse_tls_options(struct reader *reader, json_t *object, const struct place *place)
{
    static const struct str keys[] = {STR_INIT("ca_file"), STR_INIT("client_certificate"),
                                      STR_INIT("client_key")};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct place at = PLACE_KEY(place, keys[i]);
        if (json_is_string(json_object_get(object, keys[i].ptr)))
            reader_error(reader, &at, "is of no use with an http upstream; write an https URL");
    }
}

static void check_key_pair(struct reader *reader, json_t *object, const struct place *place)
{
    struct place at_certificate = PLACE_KEY(place, STR("client_certificate"));
    struct place at_key = PLACE_KEY(place, STR("client_key"));
    bool certificate = json_is_string(json_object_get(object, "client_certificate"));
    bool key = json_is_string(json_object_get(object, "client_key"));
    if (certificate && !key)
        reader_error(reader, &at_certificate, "needs its key in \"client_key\"");
    if (key && !certificate)
        reader_error(reader, &at_key, "needs its certificate in \"client_certificate\"");
}

static void split_url(struct reader *reader, const struct uri *uri,
                      struct upstream_config *upstream)
{
    bool slash = uri->path.len > 0;
    const char *brackets[] = {uri->ipv6 ? "[" : "", uri->ipv6 ? "]" : ""};
    upstream->tls = uri->https;
    upstream->host = reader_keep(reader, uri->host);
    upstream->port = uri->port;
    upstream->authority = reader_keep(reader, uri->authority);
    upstream->has_query = uri->has_query;
    upstream->target = reader_printf(reader, "%s%.*s%s%.*s", slash ? "" : "/", STR_ARG(uri->path),
                                     uri->has_query ? "?" : "", (int)uri->query.len,
                                     uri->has_query ? uri->query.ptr : "");
    upstream->origin =
        reader_printf(reader, "%s://%s%.*s%s:%u", uri->https ? "https" : "http", brackets[0],
                      STR_ARG(uri->host), brackets[1], (unsigned)uri->port);
}

void build_upstream(struct reader *reader, json_t *object, const struct place *place,
                    struct upstream_config *ret_upstream)
{
    struct place at_url = PLACE_KEY(place, STR("url"));
    struct place at_assertion = PLACE_KEY(place, STR("assertion"));
    json_t *assertion = json_object_get(object, "assertion");
    struct uri uri;
    ret_upstream->url = build_optional(reader, object, "url");
    ret_upstream->connect_timeout_ms = reader_duration_ms(reader, object, "connect_timeout");
    ret_upstream->response_timeout_ms = reader_duration_ms(reader, object, "response_timeout");
    ret_upstream->idle_timeout_ms = reader_duration_ms(reader, object, "idle_timeout");
    ret_upstream->max_connections = reader_number(object, "max_connections");
    if (json_is_object(assertion))
        build_assertion(reader, assertion, &at_assertion, &ret_upstream->assertion);
    bool valid = build_url(reader, json_object_get(object, "url"), &at_url, &uri);
    if (valid)
        split_url(reader, &uri, ret_upstream);
    if (valid && !uri.https) {
        refuse_tls_options(reader, object, place);
        return;
    }
    ret_upstream->ca_file = build_pem_path(reader, object, "ca_file", place);
    ret_upstream->client_certificate = build_pem_path(reader, object, "client_certificate", place);
    ret_upstream->client_key = build_pem_path(reader, object, "client_key", place);
    check_key_pair(reader, object, place);
}
