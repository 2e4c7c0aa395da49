/* SPDX-License-Identifier: Apache-2.0 */
/* proto/uri: the parts of what is accepted make up the input again, none of them has a byte that
 * another parser would split at, and the searches agree with decode-then-look. */
#include "proto/uri.h"

#include <assert.h>
#include <stdio.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_authority(const struct uri *uri)
{
    char with_port[URI_MAX_HOST_BYTES + 16];
    struct uri_authority authority;
    assert(uri_parse_authority(uri->authority, &authority) == URI_OK);
    assert(str_eq(authority.host, uri->host) && authority.ipv6 == uri->ipv6);
    assert(authority.port == 0 ? uri_has_default_port(uri) : authority.port == uri->port);
    assert(uri->host.len > 0 && uri->host.len <= URI_MAX_HOST_BYTES);
    int len = snprintf(with_port, sizeof(with_port), uri->ipv6 ? "[%.*s]:%u" : "%.*s:%u",
                       STR_ARG(uri->host), uri->port);
    struct str text = str_make(with_port, (size_t)len);
    assert(uri_parse_authority(text, &authority) == URI_OK && authority.port == uri->port);
}

static void check_parts(struct str text, const struct uri *uri)
{
    struct buf joined = buf_make(text.len);
    buf_append(&joined, uri->scheme);
    buf_append_cstr(&joined, "://");
    buf_append(&joined, uri->authority);
    buf_append(&joined, uri->path);
    if (uri->has_query)
        buf_append_char(&joined, '?');
    buf_append(&joined, uri->query);
    assert(str_eq(buf_str(&joined), text));
    buf_free(&joined);
    for (size_t i = 0; i < text.len; i++)
        assert(text.ptr[i] > ' ' && text.ptr[i] < 0x7f &&
               strchr("#\\\"<>^`{|}", text.ptr[i]) == NULL);
    assert(uri->path.len == 0 || uri->path.ptr[0] == '/');
    assert(str_find_char(uri->path, '?') < 0);
    assert(uri_same_origin(uri, uri));
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, ascii_lower(c)) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* IN percent-decoded; escapes that are none stay. */
static struct buf decode(struct str in)
{
    struct buf out = buf_make(in.len);
    for (size_t i = 0; i < in.len; i++) {
        bool escape = in.ptr[i] == '%' && i + 2 < in.len && hex(in.ptr[i + 1]) >= 0 &&
                      hex(in.ptr[i + 2]) >= 0;
        char c = escape ? (char)(hex(in.ptr[i + 1]) << 4 | hex(in.ptr[i + 2])) : in.ptr[i];
        assert(buf_append_char(&out, c) == 0);
        i += escape ? 2 : 0;
    }
    return out;
}

static void check_dots(struct str path)
{
    struct buf decoded = decode(path);
    for (size_t i = 0; i < decoded.len; i++)
        if (decoded.ptr[i] == '\\')
            decoded.ptr[i] = '/';
    struct str rest = buf_str(&decoded);
    struct str segment;
    bool found = false;
    while (str_split(&rest, '/', &segment)) {
        struct str name;
        if (str_split(&segment, ';', &name))
            found |= str_eq(name, STR(".")) || str_eq(name, STR(".."));
    }
    assert(uri_path_has_dots(path) == found);
    buf_free(&decoded);
}

static void check_query(struct str query)
{
    struct str name = STR("access_token");
    struct str rest = query;
    struct str part;
    bool found = false;
    while (str_split(&rest, '&', &part)) {
        struct str pair;
        while (str_split(&part, ';', &pair)) {
            struct str key;
            if (!str_split(&pair, '=', &key))
                continue;
            struct buf decoded = decode(key);
            found |= str_eq(buf_str(&decoded), name);
            buf_free(&decoded);
        }
    }
    assert(uri_query_has(query, name) == found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make((const char *)data, size);
    struct uri uri;
    check_dots(text);
    check_query(text);
    (void)uri_host_is_loopback(text);
    if (uri_parse(text, &uri) != URI_OK)
        return 0;
    check_authority(&uri);
    check_parts(text, &uri);
    return 0;
}
