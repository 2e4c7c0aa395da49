/* SPDX-License-Identifier: Apache-2.0 */
/* proto/oauth_meta: the input is a metadata document, an issuer, and names for our own document. A
 * jwks_uri that is accepted never leaves the issuer's origin; places to look for metadata stay on
 * the issuer's origin; our own document is JSON that says what was put in. */
#include "base/json.h"
#include "oracle.h"
#include "proto/oauth_meta.h"
#include "proto/uri.h"

#define MAX_BYTES 65536

static void check_document(struct str document)
{
    static const char origin[] = "https://as.example";
    const struct oauth_meta_expected expected = {STR("https://as.example/"), false};
    struct buf jwks_uri = buf_make(MAX_BYTES);
    enum oauth_meta_rc rc = oauth_meta_read(document, &expected, &jwks_uri);
    ORACLE((rc == OAUTH_META_OK) == (jwks_uri.len > 0));
    ORACLE(oauth_meta_rc_text(rc) != NULL);
    if (rc == OAUTH_META_OK) {
        const struct str uri = buf_str(&jwks_uri);
        struct str rest = str_from(uri, sizeof(origin) - 1);
        ORACLE(str_has_prefix_nocase(uri, STR("https://as.example")));
        if (str_has_prefix(rest, STR(":443")))
            rest = str_from(rest, 4);
        ORACLE(rest.len == 0 || rest.ptr[0] == '/' || rest.ptr[0] == '?');
        for (size_t i = 0; i < uri.len; i++)
            ORACLE(uri.ptr[i] > ' ' && uri.ptr[i] < 0x7f);
    }
    buf_free(&jwks_uri);
}

static void check_places(struct str issuer)
{
    struct buf url = buf_make(MAX_BYTES);
    struct uri here;
    struct uri there;
    for (size_t i = 0; oauth_meta_url(issuer, i, &url) == 0; i++) {
        ORACLE(i < OAUTH_META_MAX_URLS);
        ORACLE(uri_parse(issuer, &here) == URI_OK);
        /* An issuer near the limit of uri_parse() gives a URL past it: nothing is fetched then. */
        if (url.len <= URI_MAX_BYTES) {
            ORACLE(uri_parse(buf_str(&url), &there) == URI_OK && uri_same_origin(&here, &there));
            ORACLE(!there.has_query);
        }
        buf_clear(&url);
    }
    buf_free(&url);
}

static void check_resource(struct str text)
{
    const struct oauth_resource resource = {
        .resource = text,
        .name = text,
        .authorization_servers = &text,
        .n_authorization_servers = 1,
        .scopes_supported = &text,
        .n_scopes_supported = 1,
    };
    const struct json_limits limits = {64 * MAX_BYTES, 8};
    struct buf out = buf_make(64 * MAX_BYTES);
    json_t *root = NULL;
    ORACLE(oauth_meta_append_resource(&resource, &out) == 0);
    ORACLE(json_parse(buf_str(&out), limits, &root, NULL) == JSON_RC_OK);
    ORACLE(json_object_size(root) == 5);
    if (str_is_utf8(text)) {
        const json_t *servers = json_object_get(root, "authorization_servers");
        const json_t *scopes = json_object_get(root, "scopes_supported");
        ORACLE(str_eq(json_get_str(root, "resource"), text));
        ORACLE(str_eq(json_get_str(root, "resource_name"), text));
        ORACLE(str_eq(json_str(json_array_get(servers, 0)), text));
        ORACLE(str_eq(json_str(json_array_get(scopes, 0)), text));
    }
    json_decref(root);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str input = oracle_input(data, size);
    if (size > MAX_BYTES)
        return 0;
    check_document(input);
    check_places(input);
    check_resource(input);
    return 0;
}
