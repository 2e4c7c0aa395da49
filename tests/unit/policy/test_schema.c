/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/schema.h"

#include "base/err.h"
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "support/cmocka_all.h"

/* The whole file and one NUL; the caller frees it. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1U << 20);
    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, (1U << 20) - 1, file) > 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

static struct str parent_of(struct str path)
{
    size_t len = path.len;
    if (str_has_suffix(path, STR("[]")))
        return str_head(path, len - 2);
    while (len > 0 && path.ptr[len - 1] != '.')
        len--;
    return str_head(path, len > 0 ? len - 1 : 0);
}

static void schema_has_one_row_for_each_key_below_its_parent(void **state)
{
    (void)state;
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    for (size_t i = 0; i < count; i++) {
        struct str path = str_from_cstr(rows[i].path);
        const struct schema_row *parent = schema_find(parent_of(path));
        assert_ptr_equal(schema_find(path), &rows[i]);
        assert_true(rows[i].text != NULL && rows[i].text[strlen(rows[i].text) - 1] != '.');
        if (parent == NULL) {
            assert_int_equal(parent_of(path).len, 0);
            continue;
        }
        assert_true(parent < &rows[i]);
        assert_true((parent->types & (SCHEMA_OBJECT | SCHEMA_ARRAY)) != 0);
    }
}

static void schema_defaults_are_json_of_the_right_type(void **state)
{
    (void)state;
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    static const unsigned bits[] = {
        [JSON_OBJECT] = SCHEMA_OBJECT,
        [JSON_ARRAY] = SCHEMA_ARRAY | SCHEMA_STRINGS,
        [JSON_STRING] = SCHEMA_STRING,
        [JSON_INTEGER] = SCHEMA_INTEGER | SCHEMA_RATIO,
        [JSON_REAL] = 0,
        [JSON_TRUE] = SCHEMA_BOOLEAN,
        [JSON_FALSE] = SCHEMA_BOOLEAN,
        [JSON_NULL] = SCHEMA_NULL,
    };
    for (size_t i = 0; i < count; i++) {
        if (rows[i].def == NULL)
            continue;
        json_t *value = json_loads(rows[i].def, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        assert_true((bits[json_typeof(value)] & rows[i].types) != 0);
        assert_null(rows[i].def_text);
        json_decref(value);
    }
}

static void schema_is_shipped_as_it_is_printed(void **state)
{
    (void)state;
    struct buf printed = buf_make(1U << 20);
    assert_int_equal(schema_write(&printed), 0);
    assert_int_equal(buf_append_char(&printed, '\n'), 0);
    char *shipped = read_file(SOURCE_DIR "/config/policy.schema.json");
    if (!str_eq(buf_str(&printed), str_from_cstr(shipped)))
        fail_msg("config/policy.schema.json is old: portcullis schema > "
                 "config/policy.schema.json");
    json_t *root = json_loads(shipped, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "$schema")),
                        "https://json-schema.org/draft/2020-12/schema");
    json_decref(root);
    free(shipped);
    buf_free(&printed);
}

/* The row of the key table in docs/POLICY.md. */
static void append_line(struct buf *out, const struct schema_row *row)
{
    (void)buf_printf(out, "| `%s` | ", row->path);
    assert_int_equal(schema_write_type(row, out), 0);
    (void)buf_append_cstr(out, " | ");
    assert_int_equal(schema_write_default(row, out), 0);
    (void)buf_printf(out, " | %s |\n", row->text);
}

static void schema_table_is_in_the_documentation(void **state)
{
    (void)state;
    size_t count;
    const struct schema_row *rows = schema_rows(&count);
    struct buf table = buf_make(1U << 16);
    char *doc = read_file(SOURCE_DIR "/docs/POLICY.md");
    for (size_t i = 0; i < count; i++)
        append_line(&table, &rows[i]);
    assert_int_equal(buf_append_char(&table, '\0'), 0);
    bool found = strstr(doc, table.ptr) != NULL;
    if (!found)
        (void)fprintf(stderr, "the key table of docs/POLICY.md must be\n%s", table.ptr);
    free(doc);
    buf_free(&table);
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_has_one_row_for_each_key_below_its_parent),
        cmocka_unit_test(schema_defaults_are_json_of_the_right_type),
        cmocka_unit_test(schema_is_shipped_as_it_is_printed),
        cmocka_unit_test(schema_table_is_in_the_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
