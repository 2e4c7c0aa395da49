/* SPDX-License-Identifier: Apache-2.0 */
/* base/json_text and base/json_reader: what they accept, jansson accepts, and all read the same:
 * keys, types, strings, numbers. What jansson accepts and they refuse has one of the reasons that
 * the header names. The reader's verdict is that of the check wherever its caller stops. */
#include <math.h>

#include "base/arena.h"
#include "base/json_reader.h"
#include "oracle.h"

#define MAX_BYTES 65536
#define MAX_DEPTH 24

/* jansson has no integers past 64 bits; those are read a second time as reals. */
static json_t *load(struct str text, size_t flags)
{
    json_error_t error;
    flags |= JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    return json_loadb(text.ptr, text.len, flags, &error);
}

/* ---- one walk beside the other ---- */

struct walk {
    struct arena *arena;
    bool ints_as_reals;
};

static void compare(const struct walk *walk, struct str value, const json_t *other);

static struct str read_string(const struct walk *walk, struct str value)
{
    int fault;
    struct str text = json_text_string(value, walk->arena, &fault);
    ORACLE(str_is_set(text) && fault == 0);
    ORACLE(str_is_utf8(text));
    return text;
}

static void compare_objects(const struct walk *walk, struct str value, const json_t *other)
{
    struct json_text_iter iter = json_text_iter(value);
    struct str raw_key;
    struct str member;
    size_t n = 0;
    for (; json_text_next_member(&iter, &raw_key, &member); n++) {
        int fault;
        struct str key = json_text_key(raw_key, walk->arena, &fault);
        ORACLE(str_is_set(key) && fault == 0 && !str_has_nul(key));
        ORACLE(json_text_key_is(raw_key, key));
        ORACLE(!json_text_key_is(raw_key, str_from(key, 1)) || key.len == 0);
        const json_t *other_member = json_object_get(other, arena_str(walk->arena, key).ptr);
        ORACLE(other_member != NULL);
        ORACLE(json_text_get(value, key).ptr == member.ptr);
        compare(walk, member, other_member);
    }
    ORACLE(n == json_object_size(other));
}

static void compare_arrays(const struct walk *walk, struct str value, const json_t *other)
{
    struct json_text_iter iter = json_text_iter(value);
    struct str element;
    size_t n = 0;
    for (; json_text_next_element(&iter, &element); n++) {
        ORACLE(n < json_array_size(other));
        compare(walk, element, json_array_get(other, n));
    }
    ORACLE(n == json_array_size(other));
}

static void compare_numbers(const struct walk *walk, struct str value, const json_t *other)
{
    char text[JSON_TEXT_MAX_NUMBER + 1];
    ORACLE(value.len <= JSON_TEXT_MAX_NUMBER);
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    double number = strtod(text, NULL);
    ORACLE(isfinite(number));
    if (json_is_integer(other))
        ORACLE(strtoll(text, NULL, 10) == json_integer_value(other));
    else
        ORACLE(json_real_value(other) == number);
    ORACLE(json_is_real(other) || !walk->ints_as_reals);
}

static void compare(const struct walk *walk, struct str value, const json_t *other)
{
    switch (json_text_type(value)) {
    case JSON_TEXT_OBJECT:
        ORACLE(json_is_object(other));
        compare_objects(walk, value, other);
        break;
    case JSON_TEXT_ARRAY:
        ORACLE(json_is_array(other));
        compare_arrays(walk, value, other);
        break;
    case JSON_TEXT_STRING:
        ORACLE(str_eq(read_string(walk, value), json_str(other)));
        break;
    case JSON_TEXT_NUMBER:
        ORACLE(json_is_number(other));
        compare_numbers(walk, value, other);
        break;
    case JSON_TEXT_TRUE:
        ORACLE(json_is_true(other));
        break;
    case JSON_TEXT_FALSE:
        ORACLE(json_is_false(other));
        break;
    case JSON_TEXT_NULL:
        ORACLE(json_is_null(other));
        break;
    case JSON_TEXT_ABSENT:
        ORACLE(str_is_set(value));
    }
}

/* ---- the reader ---- */

/* Reading while checking gives the same views. */
static void read_beside(struct json_reader *reader, struct str value)
{
    const enum json_text_type type = json_reader_at(reader);
    struct json_text_iter views = json_text_iter(value);
    struct str key;
    struct str raw_key;
    struct str part;
    ORACLE(json_reader_place(reader) == value.ptr && type == json_text_type(value));
    if (!json_reader_into(reader)) {
        ORACLE(type != JSON_TEXT_OBJECT && type != JSON_TEXT_ARRAY);
        ORACLE(str_eq(json_reader_over(reader), value));
        return;
    }
    if (type == JSON_TEXT_OBJECT) {
        while (json_reader_next_key(reader, &key)) {
            ORACLE(json_text_next_member(&views, &raw_key, &part));
            ORACLE(key.ptr == raw_key.ptr && key.len == raw_key.len);
            read_beside(reader, part);
        }
        ORACLE(!json_text_next_member(&views, &raw_key, &part));
    } else {
        while (json_reader_next_element(reader)) {
            ORACLE(json_text_next_element(&views, &part));
            read_beside(reader, part);
        }
        ORACLE(!json_text_next_element(&views, &part));
    }
    ORACLE(json_reader_place(reader) == value.ptr + value.len);
}

static void check_reader(struct str text, const struct json_text_rules *rules)
{
    struct json_reader reader;
    json_reader_start(&reader, text, rules);
    read_beside(&reader, json_text_root(text));
    ORACLE(json_reader_finish(&reader) == JSON_RC_OK);
}

/* Wherever a caller stops, goes over a value or into it, the verdict is that of the check. STEPS
 * chooses, a bit each time. */
static void check_steps(struct str text, const struct json_text_rules *rules, enum json_rc rc,
                        uint64_t steps)
{
    struct json_reader reader;
    struct str key;
    uint64_t objects = 0; /* bit of each level that was entered, the innermost lowest */
    unsigned depth = 0;
    json_reader_start(&reader, text, rules);
    for (uint64_t left = steps; left > 1; left >>= 2) {
        const bool is_object = json_reader_is_object(&reader);
        if ((left & 1) != 0 && json_reader_into(&reader)) {
            objects = objects << 1 | (is_object ? 1 : 0);
            depth++;
        } else if ((left & 2) != 0) {
            (void)json_reader_over(&reader);
        }
        while (depth > 0 && ((objects & 1) != 0 ? !json_reader_next_key(&reader, &key)
                                                : !json_reader_next_element(&reader))) {
            objects >>= 1;
            depth--;
        }
    }
    ORACLE(json_reader_finish(&reader) == rc);
}

static void check_accepted(struct str text)
{
    struct walk walk = {.arena = arena_new(4096, 64 * MAX_BYTES)};
    struct str root = json_text_root(text);
    json_t *other = load(text, 0);
    ORACLE(walk.arena != NULL);
    if (other == NULL) {
        walk.ints_as_reals = true;
        other = load(text, JSON_DECODE_INT_AS_REAL);
    }
    ORACLE(other != NULL);
    compare(&walk, root, other);
    json_decref(other);
    arena_free(walk.arena);
}

/* ---- what is refused ---- */

/* Nesting, a long number, or (jansson skips it behind a word) a NUL byte. */
static bool has_a_known_reason(struct str text, enum json_rc rc)
{
    size_t digits = 0;
    if (rc == JSON_RC_TOO_DEEP || str_has_nul(text))
        return true;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        digits = ascii_is_digit(c) || strchr(".eE+-", c) != NULL ? digits + 1 : 0;
        if (digits > JSON_TEXT_MAX_NUMBER)
            return true;
    }
    return false;
}

static void check_refused(struct str text, enum json_rc rc)
{
    json_t *other = load(text, JSON_DECODE_INT_AS_REAL);
    ORACLE(rc != JSON_RC_TOO_LARGE && rc != JSON_RC_NO_MEMORY);
    ORACLE(other == NULL || has_a_known_reason(text, rc));
    json_decref(other);
}

/* ---- the tree ---- */

/* json_parse() makes the tree that jansson's own reader makes, or has a reason not to. */
static void check_tree(struct str text)
{
    const struct json_limits limits = {MAX_BYTES, MAX_DEPTH};
    json_t *root = NULL;
    json_t *other = load(text, 0);
    unsigned line;
    enum json_rc rc = json_parse(text, limits, &root, &line);
    ORACLE((rc == JSON_RC_OK) == (root != NULL));
    if (rc != JSON_RC_OK)
        ORACLE(other == NULL || has_a_known_reason(text, rc));
    else
        ORACLE(other != NULL && json_equal(root, other));
    json_decref(root);
    json_decref(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_text_rules strict = {.limits = {MAX_BYTES, MAX_DEPTH}};
    const struct json_text_rules lenient = {.limits = {MAX_BYTES, MAX_DEPTH}, .lenient = true};
    if (size > MAX_BYTES)
        return 0;
    /* Memory of exactly its size: what is read behind the text is found. */
    char *copy = malloc(size > 0 ? size : 1);
    ORACLE(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    const struct str text = str_make(copy, size);
    enum json_rc rc = json_text_check(text, &strict);
    enum json_rc loose = json_text_check(text, &lenient);
    ORACLE(rc != JSON_RC_OK || loose == JSON_RC_OK);
    if (rc == JSON_RC_OK)
        check_accepted(text);
    else
        check_refused(text, rc);
    check_tree(text);
    if (loose == JSON_RC_OK)
        check_reader(text, &lenient);
    uint64_t steps = size;
    for (size_t i = 0; i < size; i++)
        steps = steps * 0x9e3779b97f4a7c15U + data[i];
    check_steps(text, &strict, rc, steps);
    check_steps(text, &lenient, loose, steps >> 7);
    free(copy);
    return 0;
}
