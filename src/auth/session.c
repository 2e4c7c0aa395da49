/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/session.h"

#include <errno.h>

#include "base/err.h"
#include "base/secret.h"
#include "proto/base64url.h"

_Static_assert(SESSION_KEY_LEN == SHA256_LEN, "the key is one HMAC-SHA256");

/* Names what is signed, and how: another layout of the parts is another label, so that no id of one
 * layout can be read as one of another. */
#define BINDING_LABEL STR("portcullis session binding 1")
#define KEY_LABEL STR("portcullis session key 1")

int session_key_from_secret(struct str secret, uint8_t ret_key[SESSION_KEY_LEN])
{
    /* The secret is the message, not the key (as in RFC 5869 2.2): HMAC takes a key, the same key
     * with NULs behind it, and the digest of a long key for one. */
    return secret_hmac(KEY_LABEL, secret, ret_key);
}

/* MCP 2025-11-25, "Session Management": visible ASCII only. */
static bool is_upstream_id(struct str id)
{
    if (id.len == 0 || id.len > SESSION_MAX_ID_LEN)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] < 0x21 || id.ptr[i] > 0x7e)
            return false;
    return true;
}

static int make_mac(const uint8_t key[SESSION_KEY_LEN], const struct session_owner *owner,
                    struct str upstream_id, uint8_t ret_mac[SHA256_LEN])
{
    const struct str parts[] = {
        BINDING_LABEL, owner->issuer, owner->subject, owner->resource, upstream_id,
    };
    return secret_hmac_parts(str_make((const char *)key, SESSION_KEY_LEN), parts, ARRAY_LEN(parts),
                             ret_mac);
}

int session_bind(const uint8_t key[SESSION_KEY_LEN], const struct session_owner *owner,
                 struct str upstream_id, struct buf *out)
{
    uint8_t mac[SHA256_LEN];
    if (!is_upstream_id(upstream_id))
        return -EINVAL;
    int r = make_mac(key, owner, upstream_id, mac);
    if (r == 0) /* all or nothing: behind this no append fails */
        r = buf_reserve(out, upstream_id.len + 1 + SESSION_MAC_TEXT_LEN);
    if (r < 0)
        return r;
    (void)buf_append(out, upstream_id);
    (void)buf_append_char(out, '.');
    return base64url_encode_append(str_make((const char *)mac, sizeof(mac)), out);
}

/* Splits at the dot before the MAC, wherever the upstream's own id has dots. */
static bool split(struct str client_id, struct str *ret_upstream_id, struct str *ret_mac_text)
{
    if (client_id.len <= 1 + SESSION_MAC_TEXT_LEN)
        return false;
    const size_t dot = client_id.len - SESSION_MAC_TEXT_LEN - 1;
    if (client_id.ptr[dot] != '.')
        return false;
    *ret_upstream_id = str_head(client_id, dot);
    *ret_mac_text = str_from(client_id, dot + 1);
    return is_upstream_id(*ret_upstream_id);
}

bool session_check(const uint8_t key[SESSION_KEY_LEN], const struct session_owner *owner,
                   struct str client_id, struct str *ret_upstream_id)
{
    uint8_t given[SHA256_LEN];
    uint8_t expected[SHA256_LEN];
    size_t given_len;
    struct str upstream_id;
    struct str mac_text;
    if (!split(client_id, &upstream_id, &mac_text) ||
        /* strict: one text for one MAC, so that no id has a second spelling */
        base64url_decode(mac_text, given, sizeof(given), &given_len) < 0 ||
        make_mac(key, owner, upstream_id, expected) < 0 ||
        !secret_eq(given, expected, sizeof(expected)))
        return false;
    *ret_upstream_id = upstream_id;
    return true;
}
