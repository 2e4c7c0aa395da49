/* SPDX-License-Identifier: Apache-2.0 */
/* json_parse(): the tree is jansson's, the reading is ours (base/json_reader.h). When memory ends
 * in the middle of a string, jansson's own reader (2.14) goes on without the bytes that had no
 * room: the value is another one, or it reads past its end. A policy must not be misread. */
#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/json_reader.h"

#define ARENA_BYTES 1024 /* at first; strings without escapes need none */
/* The shortest one with an escape, "\n" and a comma or colon, takes five bytes of text and sixteen
 * of the arena; the rest of a block that has no room for the next one is lost. */
#define ARENA_PER_BYTE 8

struct tree {
    struct json_reader reader;
    struct arena *arena; /* what escapes mean */
    enum json_rc rc;     /* of what the reader cannot know */
};

static json_t *fail(struct tree *tree, enum json_rc rc)
{
    if (tree->rc == JSON_RC_OK)
        tree->rc = rc;
    return NULL;
}

/* VALUE, or a failure for want of memory. */
static json_t *made(struct tree *tree, json_t *value)
{
    return value != NULL ? value : fail(tree, JSON_RC_NO_MEMORY);
}

static json_t *read_string(struct tree *tree, struct str value)
{
    int fault;
    const struct str text = json_text_string(value, tree->arena, &fault);
    if (!str_is_set(text))
        return fail(tree, JSON_RC_NO_MEMORY);
    return made(tree, json_stringn_nocheck(text.ptr, text.len));
}

static bool is_real(struct str number)
{
    return str_find_char(number, '.') >= 0 || str_find_char(number, 'e') >= 0 ||
           str_find_char(number, 'E') >= 0;
}

static json_t *read_number(struct tree *tree, struct str value)
{
    char text[JSON_TEXT_MAX_NUMBER + 1];
    int64_t integer;
    if (!is_real(value)) {
        if (json_text_to_i64(value, &integer) < 0)
            return fail(tree, JSON_RC_MALFORMED);
        return made(tree, json_integer(integer));
    }
    memcpy(text, value.ptr, value.len); /* strtod() wants an end */
    text[value.len] = '\0';
    return made(tree, json_real(strtod(text, NULL)));
}

static json_t *read_value(struct tree *tree);

/* Takes VALUE, which may be NULL after a failure. */
static bool put(struct tree *tree, json_t *object, struct str key, json_t *value)
{
    if (value == NULL)
        return false;
    if (json_object_setn_new_nocheck(object, key.ptr, key.len, value) < 0)
        (void)fail(tree, JSON_RC_NO_MEMORY);
    return tree->rc == JSON_RC_OK;
}

/* The reader notices that a key was there already at the end of its object; here it is told in the
 * line of the repetition. */
static bool is_new(struct tree *tree, const json_t *object, struct str key)
{
    if (json_object_getn(object, key.ptr, key.len) != NULL)
        (void)fail(tree, JSON_RC_DUPLICATE_KEY);
    return tree->rc == JSON_RC_OK;
}

static bool read_member(struct tree *tree, json_t *object, struct str raw_key)
{
    int fault;
    const struct str key = json_text_key(raw_key, tree->arena, &fault);
    if (!str_is_set(key)) {
        (void)fail(tree, JSON_RC_NO_MEMORY);
        return false;
    }
    return is_new(tree, object, key) && put(tree, object, key, read_value(tree));
}

static json_t *read_object(struct tree *tree)
{
    CLEANUP(json_unref) json_t *object = made(tree, json_object());
    struct str raw_key;
    if (object == NULL)
        return NULL;
    (void)json_reader_into(&tree->reader);
    while (json_reader_next_key(&tree->reader, &raw_key))
        if (!read_member(tree, object, raw_key))
            return NULL;
    return TAKE(object);
}

static json_t *read_array(struct tree *tree)
{
    CLEANUP(json_unref) json_t *array = made(tree, json_array());
    if (array == NULL)
        return NULL;
    (void)json_reader_into(&tree->reader);
    while (json_reader_next_element(&tree->reader)) {
        json_t *value = read_value(tree);
        if (value == NULL)
            return NULL;
        if (json_array_append_new(array, value) < 0)
            return fail(tree, JSON_RC_NO_MEMORY);
    }
    return TAKE(array);
}

/* NULL after a failure, of the tree or of the reader. Deep as the limit at most. */
static json_t *read_value(struct tree *tree)
{
    const enum json_text_type type = json_reader_at(&tree->reader);
    if (type == JSON_TEXT_OBJECT)
        return read_object(tree);
    if (type == JSON_TEXT_ARRAY)
        return read_array(tree);
    const struct str value = json_reader_over(&tree->reader);
    switch (str_is_set(value) ? type : JSON_TEXT_ABSENT) {
    case JSON_TEXT_STRING:
        return read_string(tree, value);
    case JSON_TEXT_NUMBER:
        return read_number(tree, value);
    case JSON_TEXT_TRUE:
        return json_true();
    case JSON_TEXT_FALSE:
        return json_false();
    case JSON_TEXT_NULL:
        return json_null();
    case JSON_TEXT_ABSENT:
    case JSON_TEXT_OBJECT:
    case JSON_TEXT_ARRAY:
        break;
    }
    return fail(tree, JSON_RC_MALFORMED);
}

static unsigned line_of(struct str text, const char *place)
{
    unsigned line = 1;
    for (const char *p = text.ptr; p != NULL && p < place; p++)
        line += *p == '\n' ? 1 : 0;
    return line;
}

/* The first thing that went wrong: the tree fails, too, where the reader has stopped. */
static enum json_rc finish(struct tree *tree)
{
    const enum json_rc made_rc = tree->rc;
    const bool has_stopped = tree->reader.rc != JSON_RC_OK;
    const enum json_rc rc = json_reader_finish(&tree->reader);
    return made_rc == JSON_RC_OK || has_stopped ? rc : made_rc;
}

static enum json_rc parse(struct tree *tree, struct str text, struct json_limits limits,
                          json_t **ret_root, const char **ret_place)
{
    const struct json_text_rules rules = {.limits = limits};
    json_reader_start(&tree->reader, text, &rules);
    CLEANUP(json_unref) json_t *root = read_value(tree);
    *ret_place = json_reader_place(&tree->reader);
    const enum json_rc rc = finish(tree);
    if (root != NULL && rc != JSON_RC_OK)
        *ret_place = text.ptr + text.len; /* behind the value */
    if (rc == JSON_RC_OK)
        *ret_root = TAKE(root);
    return rc;
}

enum json_rc json_parse(struct str text, struct json_limits limits, json_t **ret_root,
                        unsigned *ret_line)
{
    NOT_ZEROED struct tree tree;
    const char *place = NULL;
    tree.rc = JSON_RC_OK;
    tree.arena = arena_new(ARENA_BYTES, ARENA_BYTES + ARENA_PER_BYTE * text.len);
    if (ret_line != NULL)
        *ret_line = 0;
    if (tree.arena == NULL)
        return JSON_RC_NO_MEMORY;
    const enum json_rc rc = parse(&tree, text, limits, ret_root, &place);
    tree.arena = arena_free_wiped(tree.arena); /* it may be a policy with secrets */
    if (ret_line != NULL && (rc == JSON_RC_MALFORMED || rc == JSON_RC_DUPLICATE_KEY))
        *ret_line = line_of(text, place);
    return rc;
}

json_t *json_make(const char *text)
{
    const struct str value = str_from_cstr(text);
    json_t *root = NULL;
    (void)json_parse(value, (struct json_limits){value.len, JSON_TEXT_MAX_DEPTH}, &root, NULL);
    return root;
}
