/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/sample.h"
#include "policy/build_int.h"
#include "proto/field.h"

static enum trace_trust read_trust(struct str text)
{
    static const struct str names[] = {[TRACE_TRUST_NEVER] = STR_INIT("never"),
                                       [TRACE_TRUST_PROXIES] = STR_INIT("proxies"),
                                       [TRACE_TRUST_ALWAYS] = STR_INIT("always")};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], text))
            return (enum trace_trust)i;
    return TRACE_TRUST_PROXIES;
}

/* Credentials and names of tenants; the rest of the head is the exporter's. */
static bool may_be_set(struct str name)
{
    enum field_id id = field_lookup_folded(name);
    return id == FIELD_OTHER || id == FIELD_AUTHORIZATION;
}

static void build_fields(struct reader *reader, json_t *object, const struct place *place,
                         struct tracing_config *tracing)
{
    struct name_value *headers = reader_alloc(reader, json_object_size(object), sizeof(*headers));
    const char *name;
    json_t *value;
    tracing->headers = headers;
    if (headers == NULL)
        return;
    json_object_foreach (object, name, value) {
        struct place at = PLACE_KEY(place, str_from_cstr(name));
        struct str text = reader_text(reader, value);
        if (!field_is_name(at.key))
            reader_error(reader, &at,
                         "is no header name: letters, digits and !#$%%&'*+-.^_`|~ only");
        else if (!may_be_set(at.key))
            reader_error(reader, &at, "cannot be set here: it belongs to HTTP");
        if (!str_is_set(text))
            continue;
        if (!field_is_value(text))
            reader_error(reader, &at, "has a blank at its beginning or end, or is no header value");
        headers[tracing->n_headers++] = (struct name_value){.name = reader_keep(reader, at.key),
                                                            .value = reader_keep(reader, text)};
    }
}

/* A collector in the same cluster is http as a rule, and what spans tell is on the policy; a
 * secret that is sent along is not for everybody on the way. */
static void check_endpoint(struct reader *reader, json_t *root, const json_t *value,
                           const struct place *place, const struct tracing_config *tracing)
{
    const json_t *insecure = json_object_get(root, "insecure");
    struct place at = PLACE_KEY(place, STR("endpoint"));
    struct place at_ca = PLACE_KEY(place, STR("ca_file"));
    struct uri uri;
    if (!build_url(reader, value, &at, &uri))
        return;
    if (!uri.https && tracing->n_headers > 0 && !uri_host_is_loopback(uri.host) &&
        !json_is_true(json_object_get(insecure, "http_collector")))
        reader_error(reader, &at,
                     "%s must be https, since \"headers\" are sent there; plain http is for "
                     "loopback hosts only, or with \"insecure\": {\"http_collector\": true}",
                     reader_quote(reader, value));
    if (!uri.https && str_is_set(tracing->ca_file))
        reader_error(reader, &at_ca, "is of no use: the endpoint is not https");
}

void build_tracing(struct reader *reader, json_t *root, struct config_data *data)
{
    json_t *object = json_object_get(root, "tracing");
    const json_t *sample = json_object_get(object, "sample");
    struct place top = {0};
    struct place place = PLACE_KEY(&top, STR("tracing"));
    struct place at_headers = PLACE_KEY(&place, STR("headers"));
    struct tracing_config *tracing = &data->tracing;
    if (!json_is_object(object))
        return;
    tracing->on = true;
    tracing->endpoint = build_optional(reader, object, "endpoint");
    tracing->service_name = build_optional(reader, object, "service_name");
    tracing->ca_file = build_pem_path(reader, object, "ca_file", &place);
    tracing->threshold = json_is_number(sample) ? sample_threshold(json_number_value(sample)) : 0;
    tracing->trust = read_trust(reader_member(reader, object, "trust"));
    tracing->identity = json_is_true(json_object_get(object, "identity"));
    tracing->timeout_ms = reader_duration_ms(reader, object, "timeout");
    tracing->queue = reader_number(object, "queue");
    build_fields(reader, json_object_get(object, "headers"), &at_headers, tracing);
    check_endpoint(reader, root, json_object_get(object, "endpoint"), &place, tracing);
}
