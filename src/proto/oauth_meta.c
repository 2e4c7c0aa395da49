/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/oauth_meta.h"

#include <errno.h>

#include "base/err.h"
#include "base/json.h"
#include "proto/uri.h"

#define OAUTH_META_MAX_DEPTH 16

const char *oauth_meta_rc_text(enum oauth_meta_rc rc)
{
    static const char *const texts[] = {
        [OAUTH_META_OK] = "is usable",
        [OAUTH_META_MALFORMED] = "is not a JSON object of at most 256 KiB",
        [OAUTH_META_ISSUER] = "names another issuer",
        [OAUTH_META_JWKS_URI] = "has no absolute jwks_uri",
        [OAUTH_META_ORIGIN] = "has a jwks_uri on another origin than the issuer's",
        [OAUTH_META_INSECURE] = "has a jwks_uri without TLS",
        [OAUTH_META_NO_MEMORY] = "needs more memory than there is",
    };
    return texts[rc];
}

/* RFC 8414 3.1: a slash at the end of the issuer is removed before anything is put behind it. */
static struct str without_final_slash(struct str path)
{
    return str_has_suffix(path, STR("/")) ? str_head(path, path.len - 1) : path;
}

int oauth_meta_url(struct str issuer, size_t index, struct buf *out)
{
    static const struct {
        struct str suffix;
        bool inserted;       /* before the issuer's path, else behind it */
        bool only_with_path; /* without one it would be the same as another row */
    } places[OAUTH_META_MAX_URLS] = {
        {STR_INIT("/.well-known/oauth-authorization-server"), true, false},
        {STR_INIT("/.well-known/openid-configuration"), true, true},
        {STR_INIT("/.well-known/openid-configuration"), false, false},
    };
    struct uri uri;
    if (uri_parse(issuer, &uri) != URI_OK || uri.has_query)
        return -EINVAL;
    const struct str path = without_final_slash(uri.path);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (places[i].only_with_path && path.len == 0)
            continue;
        if (index-- > 0)
            continue;
        return buf_printf(out, "%.*s://%.*s%.*s%.*s%.*s", STR_ARG(uri.scheme),
                          STR_ARG(uri.authority), STR_ARG(places[i].inserted ? STR("") : path),
                          STR_ARG(places[i].suffix), STR_ARG(places[i].inserted ? path : STR("")));
    }
    return -ENOENT;
}

static enum oauth_meta_rc check_jwks_uri(struct str text,
                                         const struct oauth_meta_expected *expected)
{
    struct uri issuer;
    struct uri jwks;
    if (!str_is_set(text) || uri_parse(text, &jwks) != URI_OK)
        return OAUTH_META_JWKS_URI;
    if (uri_parse(expected->issuer, &issuer) != URI_OK || !uri_same_origin(&issuer, &jwks))
        return OAUTH_META_ORIGIN;
    return jwks.https || expected->allow_http ? OAUTH_META_OK : OAUTH_META_INSECURE;
}

enum oauth_meta_rc oauth_meta_read(struct str document, const struct oauth_meta_expected *expected,
                                   struct buf *ret_jwks_uri)
{
    const struct json_limits limits = {OAUTH_META_MAX_BYTES, OAUTH_META_MAX_DEPTH};
    CLEANUP(json_unref) json_t *root = NULL;
    enum json_rc json_rc = json_parse(document, limits, &root, NULL);
    if (json_rc == JSON_RC_NO_MEMORY)
        return OAUTH_META_NO_MEMORY;
    if (json_rc != JSON_RC_OK || !json_is_object(root))
        return OAUTH_META_MALFORMED;
    /* RFC 8414 3.3: identical, or the document must not be used. */
    const struct str issuer = json_get_str(root, "issuer");
    if (!str_is_set(issuer) || !str_eq(issuer, expected->issuer))
        return OAUTH_META_ISSUER;
    const struct str jwks_uri = json_get_str(root, "jwks_uri");
    enum oauth_meta_rc rc = check_jwks_uri(jwks_uri, expected);
    if (rc == OAUTH_META_OK && buf_append(ret_jwks_uri, jwks_uri) < 0)
        return OAUTH_META_NO_MEMORY;
    return rc;
}

static void append_string(struct buf *out, struct str s)
{
    (void)buf_append_char(out, '"');
    (void)buf_append_json(out, s);
    (void)buf_append_char(out, '"');
}

static void append_strings(struct buf *out, const struct str *items, size_t n_items)
{
    (void)buf_append_char(out, '[');
    for (size_t i = 0; i < n_items; i++) {
        if (i > 0)
            (void)buf_append_char(out, ',');
        append_string(out, items[i]);
    }
    (void)buf_append_char(out, ']');
}

int oauth_meta_append_resource(const struct oauth_resource *resource, struct buf *out)
{
    (void)buf_append(out, STR("{\"resource\":"));
    append_string(out, resource->resource);
    (void)buf_append(out, STR(",\"authorization_servers\":"));
    append_strings(out, resource->authorization_servers, resource->n_authorization_servers);
    if (resource->n_scopes_supported > 0) {
        (void)buf_append(out, STR(",\"scopes_supported\":"));
        append_strings(out, resource->scopes_supported, resource->n_scopes_supported);
    }
    (void)buf_append(out, STR(",\"bearer_methods_supported\":[\"header\"]"));
    if (str_is_set(resource->name)) {
        (void)buf_append(out, STR(",\"resource_name\":"));
        append_string(out, resource->name);
    }
    (void)buf_append_char(out, '}');
    return out->fault;
}
