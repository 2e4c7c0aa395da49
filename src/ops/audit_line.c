/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "ops/audit_int.h"

#define ZEROS_16 "0000000000000000"
/* More than what stands around a record. */
#define LINE_ROOM 160

struct str audit_line_no_hash(void)
{
    return STR(ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_16);
}

int audit_place_pass(struct audit_place *place, struct str line)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[SHA256_LEN];
    int r = secret_sha256(line, digest);
    if (r < 0)
        return r;
    for (size_t i = 0; i < SHA256_LEN; i++) {
        place->hash[2 * i] = hex[digest[i] >> 4];
        place->hash[2 * i + 1] = hex[digest[i] & 15];
    }
    place->hash[AUDIT_HASH_HEX_LEN] = '\0';
    place->seq++;
    return 0;
}

int audit_line_append(struct buf *out, struct audit_place *place, uint64_t lost, struct str record)
{
    size_t before = out->len;
    int r = buf_reserve(out, LINE_ROOM + record.len);
    if (r < 0) {
        out->fault = 0;
        return r;
    }
    bool first = place->hash[0] == '\0';
    (void)buf_append(out, STR("{\"seq\":"));
    (void)buf_append_u64(out, place->seq + 1);
    (void)buf_append(out, STR(",\"prev\":\""));
    (void)buf_append(out, first ? audit_line_no_hash() : str_make(place->hash, AUDIT_HASH_HEX_LEN));
    (void)buf_append_char(out, '"');
    if (lost > 0) {
        (void)buf_append(out, STR(",\"lost\":"));
        (void)buf_append_u64(out, lost);
    }
    if (record.len > 0)
        (void)buf_append_char(out, ',');
    (void)buf_append(out, record);
    (void)buf_append_char(out, '}');
    r = audit_place_pass(place, str_from(buf_str(out), before));
    if (r < 0)
        out->len = before;
    else
        (void)buf_append_char(out, '\n');
    return r;
}

/* ---- reading ---- */

static bool take(struct str *rest, struct str text)
{
    if (!str_has_prefix(*rest, text))
        return false;
    *rest = str_from(*rest, text.len);
    return true;
}

/* A number as the writer writes it: from 1, no leading zeros. */
static bool take_number(struct str *rest, uint64_t *ret_number)
{
    size_t len = 0;
    while (len < rest->len && ascii_is_digit(rest->ptr[len]))
        len++;
    if (len == 0 || rest->ptr[0] == '0' ||
        str_to_u64(str_head(*rest, len), INT64_MAX, ret_number) < 0)
        return false;
    *rest = str_from(*rest, len);
    return true;
}

static bool take_hash(struct str *rest, struct str *ret_hash)
{
    struct str hash = str_head(*rest, AUDIT_HASH_HEX_LEN);
    if (hash.len < AUDIT_HASH_HEX_LEN)
        return false;
    for (size_t i = 0; i < hash.len; i++)
        if (!ascii_is_digit(hash.ptr[i]) && (hash.ptr[i] < 'a' || hash.ptr[i] > 'f'))
            return false;
    *ret_hash = hash;
    *rest = str_from(*rest, hash.len);
    return true;
}

/* True when the object that LINE begins with ends at its last byte, and not before: what a crash
 * cut off does not, and two lines that lost the line end between them do not. */
static bool ends_with_its_object(struct str line)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        if ((unsigned char)c < 0x20)
            return false;
        if (in_string) {
            if (c == '\\')
                i++;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--; /* the first byte opened: it cannot be 0 here */
            if (depth == 0)
                return i + 1 == line.len;
        }
    }
    return false;
}

bool audit_line_read(struct str line, struct audit_line *ret_line)
{
    struct str rest = line;
    uint64_t seq;
    *ret_line = (struct audit_line){0};
    if (!take(&rest, STR("{\"seq\":")) || !take_number(&rest, &seq) || !take(&rest, STR(",")))
        return false;
    ret_line->seq = seq;
    if (!take(&rest, STR("\"prev\":\"")) || !take_hash(&rest, &ret_line->prev) ||
        !take(&rest, STR("\"")))
        return false;
    if (take(&rest, STR(",\"lost\":")) && !take_number(&rest, &ret_line->lost))
        return false;
    /* Without losses there is a record; an empty one is no record. */
    bool is_bare = str_eq(rest, STR("}")) && ret_line->lost > 0;
    bool has_record = rest.len > 2 && rest.ptr[0] == ',';
    return (is_bare || has_record) && ends_with_its_object(line);
}
