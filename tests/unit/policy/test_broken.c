/* SPDX-License-Identifier: Apache-2.0 */
/* T40: the broken policy files, each refused with the pointer, line and words of the manifest. */
#include "policy/fixture.h"

#define FOLDER SOURCE_DIR "/tests/integration/data/broken-policies/"

static bool has_finding_at(const struct diag *diag, const json_t *row)
{
    const char *pointer = json_string_value(json_object_get(row, "pointer"));
    const char *text = json_string_value(json_object_get(row, "text"));
    json_int_t line = json_integer_value(json_object_get(row, "line"));
    for (size_t i = 0; i < diag->count; i++)
        if (diag->items[i].level == DIAG_ERROR && diag->items[i].line == line &&
            strcmp(diag->items[i].pointer, pointer) == 0 &&
            strstr(diag->items[i].text, text) != NULL)
            return true;
    return false;
}

static void policy_refuses_every_broken_file_at_its_line(void **state)
{
    (void)state;
    json_t *manifest = json_load_file(FOLDER "manifest.json", 0, NULL);
    struct config_sources sources = config_sources_system();
    size_t i;
    json_t *row;
    assert_true(json_array_size(manifest) >= 60);
    json_array_foreach (manifest, i, row) {
        char path[512];
        struct diag diag = {0};
        struct config *config = NULL;
        (void)snprintf(path, sizeof(path), "%s%s", FOLDER,
                       json_string_value(json_object_get(row, "file")));
        int r = config_load(path, &sources, &diag, &config);
        if (r != -EINVAL || config != NULL || !has_finding_at(&diag, row)) {
            diag_print(&diag, stderr, path, false);
            fail_msg("%s: not refused as the manifest says", path);
        }
        diag_free(&diag);
    }
    json_decref(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_refuses_every_broken_file_at_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
