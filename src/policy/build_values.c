/* SPDX-License-Identifier: Apache-2.0 */
/* Values with rules of their own: URLs and PEM files. */
#include <errno.h>

#include "base/err.h"
#include "base/secret.h"
#include "policy/build_int.h"

#define MAX_PEM_BYTES (1024U * 1024)

struct str build_optional(struct reader *reader, const json_t *object, const char *key)
{
    struct str text = reader_member(reader, object, key);
    return str_is_set(text) ? reader_keep(reader, text) : text;
}

static bool holds_pem(struct str content)
{
    static const char begin[] = "-----BEGIN ";
    return content.len > 0 && memmem(content.ptr, content.len, begin, sizeof(begin) - 1) != NULL;
}

/* False when the file cannot be read or holds no PEM, which is reported. */
static bool read_pem(struct reader *reader, const json_t *value, const struct place *place,
                     struct str path, struct buf *content)
{
    int r = reader_read_file(reader, place, path, MAX_PEM_BYTES, content);
    if (r < 0)
        reader_error(reader, place, "%s: %s", reader_quote(reader, value), config_fault_text(r));
    else if (!holds_pem(buf_str(content)))
        reader_error(reader, place, "%s: the file holds no PEM block (\"-----BEGIN ...\")",
                     reader_quote(reader, value));
    else
        return true;
    return false;
}

struct str build_pem_file(struct reader *reader, json_t *object, const char *key,
                          const struct place *place, struct buf *content)
{
    const json_t *value = json_object_get(object, key);
    struct str text = reader_text(reader, value);
    struct place at = PLACE_KEY(place, str_from_cstr(key));
    if (!str_is_set(text) || text.len == 0 || str_has_nul(text))
        return (struct str){0};
    struct str path = reader_path(reader, text);
    /* All the room at once: growing would leave copies of a private key behind. */
    *content = buf_make(2 * MAX_PEM_BYTES);
    if (!str_is_set(path) || buf_reserve(content, content->max) < 0) {
        reader->fault = -ENOMEM;
        return (struct str){0};
    }
    return read_pem(reader, value, &at, path, content) ? path : (struct str){0};
}

struct str build_pem_path(struct reader *reader, json_t *object, const char *key,
                          const struct place *place)
{
    CLEANUP(buf_free) struct buf content = {0};
    struct str path = build_pem_file(reader, object, key, place, &content);
    secret_wipe(content.ptr, content.len);
    return path;
}

bool build_url(struct reader *reader, const json_t *value, const struct place *place,
               struct uri *ret_uri)
{
    struct str text = reader_text(reader, value);
    if (!str_is_set(text) || text.len == 0)
        return false;
    enum uri_rc rc = uri_parse(text, ret_uri);
    if (rc == URI_OK)
        return true;
    if (rc == URI_USERINFO) /* not quoted: a password may be in it */
        reader_error(reader, place, "the URL %s", uri_rc_text(rc));
    else if (rc == URI_SCHEME && memmem(text.ptr, text.len, "://", 3) == NULL)
        reader_error(reader, place, "%s has no scheme; write https:// or http:// in front",
                     reader_quote(reader, value));
    else
        reader_error(reader, place, "%s %s", reader_quote(reader, value), uri_rc_text(rc));
    return false;
}
