/* SPDX-License-Identifier: Apache-2.0 */
/* The two metadata documents: reading that of an authorization server (RFC 8414, OpenID Connect
 * Discovery 1.0) to find its keys, and writing our own of a protected resource (RFC 9728). */
#ifndef PROTO_OAUTH_META_H
#define PROTO_OAUTH_META_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

#define OAUTH_META_MAX_BYTES (256U * 1024)
#define OAUTH_META_MAX_URLS 3

enum oauth_meta_rc {
    OAUTH_META_OK,
    OAUTH_META_MALFORMED, /* not a JSON object, too large, a duplicate member */
    OAUTH_META_ISSUER,    /* issuer missing, or not byte for byte the expected one (RFC 8414 3.3) */
    OAUTH_META_JWKS_URI,  /* jwks_uri missing, or not an absolute URL */
    OAUTH_META_ORIGIN,   /* jwks_uri on another origin: URLs come from the policy or stay at home */
    OAUTH_META_INSECURE, /* jwks_uri is plain http and that is not allowed for this issuer */
    OAUTH_META_NO_MEMORY,
};
/* A sentence fragment for people: "names another issuer". */
const char *oauth_meta_rc_text(enum oauth_meta_rc rc);

/* Appends the INDEXth place (from 0) where the metadata of ISSUER may be: RFC 8414 3.1 (well-known
 * path inserted), then OpenID Connect with the path inserted (RFC 8414 5; only for an issuer with a
 * path), then OpenID Connect Discovery 4 (appended). 0; -ENOENT: INDEX is past the last one;
 * -EINVAL: ISSUER is not an absolute http(s) URL without query and fragment; -EMSGSIZE, -ENOMEM. */
int oauth_meta_url(struct str issuer, size_t index, struct buf *out);

struct oauth_meta_expected {
    struct str issuer;
    bool allow_http; /* issuer_config.allow_http: a loopback host, or insecure.http_issuer */
};

/* Reads a metadata document. OAUTH_META_OK appends its jwks_uri to RET_JWKS_URI; else that is
 * unchanged. */
enum oauth_meta_rc oauth_meta_read(struct str document, const struct oauth_meta_expected *expected,
                                   struct buf *ret_jwks_uri);

/* What our own document says. */
struct oauth_resource {
    struct str resource;                     /* required */
    struct str name;                         /* resource_name; absent: left out */
    const struct str *authorization_servers; /* issuers, byte for byte */
    size_t n_authorization_servers;
    const struct str *scopes_supported;
    size_t n_scopes_supported; /* 0: left out */
};

/* Appends the RFC 9728 2 document as compact JSON; bearer_methods_supported is always ["header"].
 * 0, or -EMSGSIZE or -ENOMEM of the buffer. */
int oauth_meta_append_resource(const struct oauth_resource *resource, struct buf *out);

#endif
