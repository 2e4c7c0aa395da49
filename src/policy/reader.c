/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/reader_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "policy/value_int.h"

/* A finding longer than this is cut; values in it are cut much earlier. */
#define MAX_FINDING_BYTES 1024
#define MAX_QUOTED_BYTES 100
#define MAX_POINTER_BYTES 8192

static void append_key(struct buf *out, struct str key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] == '~')
            (void)buf_append(out, STR("~0"));
        else if (key.ptr[i] == '/')
            (void)buf_append(out, STR("~1"));
        else
            (void)buf_append_char(out, key.ptr[i]);
    }
}

/* RFC 6901. */
static void append_pointer(struct buf *out, const struct place *place)
{
    if (place == NULL || place->parent == NULL)
        return;
    append_pointer(out, place->parent);
    (void)buf_append_char(out, '/');
    if (str_is_set(place->key))
        append_key(out, place->key);
    else
        (void)buf_append_u64(out, place->index);
}

void reader_add_finding(struct diag *diag, enum diag_level level, struct str pointer, unsigned line,
                        const char *text)
{
    /* As in a JSON string (RFC 6901 5): a key may hold what a terminal takes for an order. */
    CLEANUP(buf_free) struct buf escaped = buf_make(6 * MAX_POINTER_BYTES);
    (void)buf_append_json(&escaped, pointer);
    diag_add(diag, level, buf_str(&escaped), line, "%s", text);
}

__attribute__((format(printf, 4, 0))) static void add_finding(struct reader *reader,
                                                              enum diag_level level,
                                                              const struct place *place,
                                                              const char *format, va_list args)
{
    char text[MAX_FINDING_BYTES];
    CLEANUP(buf_free) struct buf buf = buf_make(MAX_POINTER_BYTES);
    (void)vsnprintf(text, sizeof(text), format, args);
    append_pointer(&buf, place);
    /* What was filled in or reshaped is not in the file: name the nearest thing that is. */
    struct str pointer = buf_str(&buf);
    unsigned line = json_lines_find(reader->lines, &pointer);
    reader_add_finding(reader->diag, level, pointer, line, text);
}

void reader_error(struct reader *reader, const struct place *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_finding(reader, DIAG_ERROR, place, format, args);
    va_end(args);
}

void reader_warn(struct reader *reader, const struct place *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_finding(reader, DIAG_WARNING, place, format, args);
    va_end(args);
}

static int ref_compare(const void *key, const void *element)
{
    uintptr_t a = (uintptr_t)key;
    uintptr_t b = (uintptr_t)((const struct ref_value *)element)->at;
    return a == b ? 0 : a < b ? -1 : 1;
}

static const struct ref_value *find_ref(const struct reader *reader, const json_t *value)
{
    if (reader->n_refs == 0 || str_find_char(json_str(value), '$') < 0)
        return NULL;
    return bsearch(value, reader->refs, reader->n_refs, sizeof(*reader->refs), ref_compare);
}

struct str reader_text(const struct reader *reader, const json_t *value)
{
    const struct ref_value *ref = find_ref(reader, value);
    return ref != NULL ? ref->text : json_str(value);
}

bool reader_is_secret(const struct reader *reader, const json_t *value)
{
    const struct ref_value *ref = find_ref(reader, value);
    return ref != NULL && ref->secret;
}

const char *reader_quote(struct reader *reader, const json_t *value)
{
    struct str text = reader_text(reader, value);
    CLEANUP(buf_free) struct buf buf = buf_make(MAX_QUOTED_BYTES * 8);
    if (reader_is_secret(reader, value))
        return REDACTED;
    (void)buf_append_char(&buf, '"');
    (void)buf_append_json(&buf, str_head(text, MAX_QUOTED_BYTES));
    (void)buf_append_cstr(&buf, text.len > MAX_QUOTED_BYTES ? "...\"" : "\"");
    struct str kept = reader_keep(reader, buf_str(&buf));
    return str_is_set(kept) ? kept.ptr : "";
}

void *reader_alloc(struct reader *reader, size_t count, size_t size)
{
    size_t bytes;
    /* No entries need no memory, but the pointer must not look like a failure. */
    if (__builtin_mul_overflow(size_max(count, 1), size, &bytes)) {
        reader->fault = -ENOMEM;
        return NULL;
    }
    void *memory = arena_zalloc(reader->arena, bytes);
    if (memory == NULL)
        reader->fault = -ENOMEM;
    return memory;
}

struct str reader_keep(struct reader *reader, struct str text)
{
    struct str kept = arena_str(reader->arena, text);
    if (!str_is_set(kept))
        reader->fault = -ENOMEM;
    return kept;
}

struct str reader_printf(struct reader *reader, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = need >= 0 ? reader_alloc(reader, (size_t)need + 1, 1) : NULL;
    if (text == NULL)
        return (struct str){0};
    va_start(args, format);
    (void)vsnprintf(text, (size_t)need + 1, format, args);
    va_end(args);
    return str_make(text, (size_t)need);
}

struct str reader_member(const struct reader *reader, const json_t *object, const char *key)
{
    return reader_text(reader, json_object_get(object, key));
}

static json_t *copy(struct reader *reader, const json_t *value)
{
    CLEANUP(json_unref) json_t *out = json_is_array(value) ? json_array() : json_object();
    struct str text = reader_text(reader, value);
    const char *key;
    size_t key_len;
    json_t *child;
    int r = 0;
    if (json_is_string(value))
        return str_is_set(text) ? json_stringn(text.ptr, text.len) : json_null();
    if (!json_is_array(value) && !json_is_object(value))
        return json_copy((json_t *)(uintptr_t)value);
    for (size_t i = 0; i < json_array_size(value); i++)
        r |= json_array_append_new(out, copy(reader, json_array_get(value, i)));
    json_object_keylen_foreach ((json_t *)(uintptr_t)value, key, key_len, child)
        r |= json_object_setn_new(out, key, key_len, copy(reader, child));
    return r == 0 ? TAKE(out) : NULL;
}

json_t *reader_copy(struct reader *reader, const json_t *value)
{
    json_t *copied = value != NULL ? copy(reader, value) : NULL;
    if (value != NULL && copied == NULL)
        reader->fault = -ENOMEM;
    return copied;
}

struct str reader_pointer(struct reader *reader, const struct place *place)
{
    CLEANUP(buf_free) struct buf pointer = buf_make(MAX_POINTER_BYTES);
    append_pointer(&pointer, place);
    return reader_keep(reader, buf_str(&pointer));
}

bool reader_is_written(const struct reader *reader, const struct place *place)
{
    CLEANUP(buf_free) struct buf buf = buf_make(MAX_POINTER_BYTES);
    append_pointer(&buf, place);
    struct str pointer = buf_str(&buf);
    (void)json_lines_find(reader->lines, &pointer);
    return pointer.len == buf.len;
}

int64_t reader_duration_ms(const struct reader *reader, const json_t *object, const char *key)
{
    int64_t ms = 0;
    (void)value_duration_ms(reader_member(reader, object, key), &ms);
    return ms;
}

size_t reader_size_bytes(const struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    int64_t bytes = json_integer_value(value);
    if (json_is_string(value))
        (void)value_size_bytes(reader_text(reader, value), &bytes);
    return bytes > 0 ? (size_t)bytes : 0;
}

uint32_t reader_number(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number > 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
}

struct str_list reader_strings(struct reader *reader, const json_t *array)
{
    struct str_list list = {.items =
                                reader_alloc(reader, json_array_size(array), sizeof(struct str))};
    if (list.items == NULL)
        return list;
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct str text = reader_text(reader, json_array_get(array, i));
        if (str_is_set(text))
            list.items[list.count++] = reader_keep(reader, text);
    }
    return list;
}

struct str reader_path(struct reader *reader, struct str path)
{
    if (path.len > 0 && path.ptr[0] == '/')
        return reader_keep(reader, path);
    return reader_printf(reader, "%s/%.*s", reader->base_dir, STR_ARG(path));
}

int reader_read_file(struct reader *reader, const struct place *place, struct str path,
                     size_t max_bytes, struct buf *out)
{
    struct config_file *file = reader_alloc(reader, 1, sizeof(*file));
    if (file == NULL)
        return -ENOMEM;
    *file = (struct config_file){
        .path = path, .pointer = reader_pointer(reader, place), .next = reader->files};
    reader->files = file;
    return reader->sources->read_file(reader->sources->ctx, path.ptr, max_bytes, out);
}
