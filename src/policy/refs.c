/* SPDX-License-Identifier: Apache-2.0 */
/* References in string values: $env(NAME), $env(NAME:-default), $file(PATH), $cred(NAME), and $$
 * for a dollar sign. What they give is a secret: it goes into the arena, which is wiped at the end,
 * and never into a message. */
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "policy/reader_int.h"

/* One reference under way. */
struct ref {
    struct reader *reader;
    const struct place *place;
    struct str name; /* between the brackets */
    struct buf *out;
};

static bool is_variable_name(struct str name)
{
    if (name.len == 0 || ascii_is_digit(name.ptr[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alpha(name.ptr[i]) && !ascii_is_digit(name.ptr[i]) && name.ptr[i] != '_')
            return false;
    return true;
}

/* What shells do: the default also replaces an empty value. */
static int append_env(const struct ref *ref)
{
    const struct config_sources *sources = ref->reader->sources;
    struct str name = ref->name;
    struct str fallback = {0};
    for (size_t i = 0; i + 1 < name.len && !str_is_set(fallback); i++) {
        if (name.ptr[i] == ':' && name.ptr[i + 1] == '-') {
            fallback = str_from(name, i + 2);
            name = str_head(name, i);
        }
    }
    if (!is_variable_name(name)) {
        reader_error(ref->reader, ref->place,
                     "$env() takes the name of an environment variable: $env(NAME) or "
                     "$env(NAME:-default)");
        return -EINVAL;
    }
    char *c_name = str_to_cstr(name);
    if (c_name == NULL)
        return -ENOMEM;
    const char *value = sources->env != NULL ? sources->env(sources->ctx, c_name) : NULL;
    free(c_name);
    if ((value == NULL || *value == '\0') && str_is_set(fallback))
        return buf_append(ref->out, fallback);
    if (value == NULL) {
        reader_error(ref->reader, ref->place, "the environment variable %.*s is not set",
                     STR_ARG(name));
        return -EINVAL;
    }
    return buf_append_cstr(ref->out, value);
}

/* One line end at the end of the file belongs to the file, not to the value. */
static void drop_line_end(struct buf *out, size_t start)
{
    if (out->len > start && out->ptr[out->len - 1] == '\n')
        out->len--;
    if (out->len > start && out->ptr[out->len - 1] == '\r')
        out->len--;
}

static int append_file(const struct ref *ref, struct str path)
{
    size_t start = ref->out->len;
    if (!str_is_set(path))
        return -ENOMEM;
    int r = reader_read_file(ref->reader, ref->place, path, REFS_MAX_VALUE_BYTES, ref->out);
    if (r < 0) {
        ref->out->fault = 0;
        reader_error(ref->reader, ref->place, "%.*s: %s", STR_ARG(path), config_fault_text(r));
        return -EINVAL;
    }
    drop_line_end(ref->out, start);
    return 0;
}

static int append_file_ref(const struct ref *ref)
{
    if (ref->name.len == 0) {
        reader_error(ref->reader, ref->place, "$file() takes the path of a file: $file(PATH)");
        return -EINVAL;
    }
    return append_file(ref, reader_path(ref->reader, ref->name));
}

static bool is_plain_file_name(struct str name)
{
    return name.len > 0 && str_find_char(name, '/') < 0 && !str_eq(name, STR(".")) &&
           !str_eq(name, STR(".."));
}

static int append_cred(const struct ref *ref)
{
    const char *folder = ref->reader->sources->credentials_directory;
    if (!is_plain_file_name(ref->name)) {
        reader_error(ref->reader, ref->place,
                     "$cred() takes the name of a systemd credential, without a slash: "
                     "$cred(NAME)");
        return -EINVAL;
    }
    if (folder == NULL) {
        reader_error(ref->reader, ref->place,
                     "$cred(%.*s): there are no credentials: CREDENTIALS_DIRECTORY is not set "
                     "(systemd: LoadCredential=)",
                     STR_ARG(ref->name));
        return -EINVAL;
    }
    return append_file(ref, reader_printf(ref->reader, "%s/%.*s", folder, STR_ARG(ref->name)));
}

static const struct {
    struct str prefix;
    int (*append)(const struct ref *ref);
} kinds[] = {
    {STR_INIT("$env("), append_env},
    {STR_INIT("$file("), append_file_ref},
    {STR_INIT("$cred("), append_cred},
};

/* Resolves the reference at the beginning of *REST and moves *REST behind it. */
static int append_ref(struct ref *ref, struct str *rest)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!str_has_prefix(*rest, kinds[i].prefix))
            continue;
        struct str inside = str_from(*rest, kinds[i].prefix.len);
        if (!str_split(&inside, ')', &ref->name) || !str_is_set(inside)) {
            reader_error(ref->reader, ref->place, "a reference is not closed: \")\" is missing");
            return -EINVAL;
        }
        *rest = inside;
        return kinds[i].append(ref);
    }
    reader_error(ref->reader, ref->place,
                 "\"$\" begins a reference: $env(NAME), $file(PATH) or $cred(NAME); write $$ for a "
                 "dollar sign");
    return -EINVAL;
}

/* Appends RAW with its references replaced; the first one that fails ends it. */
static int expand(struct ref *ref, struct str raw, bool *ret_secret)
{
    int r = 0;
    while (r == 0 && raw.len > 0) {
        ptrdiff_t dollar = str_find_char(raw, '$');
        size_t plain = dollar < 0 ? raw.len : (size_t)dollar;
        r = buf_append(ref->out, str_head(raw, plain));
        raw = str_from(raw, plain);
        if (r < 0 || raw.len == 0)
            break;
        if (str_has_prefix(raw, STR("$$"))) {
            r = buf_append_char(ref->out, '$');
            raw = str_from(raw, 2);
        } else {
            *ret_secret = true;
            r = append_ref(ref, &raw);
        }
    }
    return r;
}

static void check_result(struct reader *reader, const struct place *place, struct ref_value *value)
{
    if (str_is_utf8(value->text))
        return;
    reader_error(reader, place, "what the reference gives is not valid UTF-8");
    value->text = (struct str){0};
}

/* Keeps the list sorted, as look-ups come while it is still growing. */
static void insert(struct reader *reader, struct ref_value value)
{
    size_t at = reader->n_refs;
    while (at > 0 && (uintptr_t)reader->refs[at - 1].at > (uintptr_t)value.at)
        at--;
    memmove(&reader->refs[at + 1], &reader->refs[at],
            (reader->n_refs - at) * sizeof(*reader->refs));
    reader->refs[at] = value;
    reader->n_refs++;
}

void refs_resolve_value(struct reader *reader, const json_t *string, const struct place *place)
{
    /* All the room at once: growing would leave copies of secrets behind. */
    CLEANUP(buf_free) struct buf out = buf_make(2 * REFS_MAX_VALUE_BYTES);
    struct ref ref = {.reader = reader, .place = place, .out = &out};
    struct ref_value value = {.at = string};
    if (str_find_char(json_str(string), '$') < 0)
        return;
    if (reader->refs == NULL)
        reader->refs = calloc(REFS_MAX, sizeof(*reader->refs));
    if (reader->refs == NULL || buf_reserve(&out, out.max) < 0) {
        reader->fault = -ENOMEM;
        return;
    }
    if (reader->n_refs == REFS_MAX) {
        reader_error(reader, place, "more than %d values with \"$\" in one file", REFS_MAX);
        return;
    }
    int r = expand(&ref, json_str(string), &value.secret);
    if (r == 0) {
        value.text = reader_keep(reader, buf_str(&out));
        check_result(reader, place, &value);
    } else if (r == -EMSGSIZE) {
        reader_error(reader, place, "the value is larger than %u bytes", 2 * REFS_MAX_VALUE_BYTES);
    } else if (r == -ENOMEM) {
        reader->fault = r;
    }
    secret_wipe(out.ptr, out.cap);
    insert(reader, value);
}

static void resolve_below(struct reader *reader, json_t *value, const struct place *place)
{
    const char *key;
    size_t key_len;
    size_t index;
    json_t *child;
    if (json_is_string(value))
        refs_resolve_value(reader, value, place);
    json_object_keylen_foreach (value, key, key_len, child) {
        struct place at = PLACE_KEY(place, str_make(key, key_len));
        resolve_below(reader, child, &at);
    }
    json_array_foreach (value, index, child) {
        struct place at = PLACE_AT(place, index);
        resolve_below(reader, child, &at);
    }
}

void refs_resolve(struct reader *reader, json_t *root)
{
    resolve_below(reader, root, &(struct place){0});
}
