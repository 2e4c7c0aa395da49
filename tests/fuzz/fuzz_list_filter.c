/* SPDX-License-Identifier: Apache-2.0 */
/* gate/list_filter: an answer cut anywhere gives what the whole one gives; nothing that the caller
 * may not use comes out; what is not changed is the input.
 *
 * Input: two bytes that choose the form, the ceiling and the cuts, then the answer. */
#include "gate/list_filter.h"

#include "base/err.h"
#include "oracle.h"

#define MAX_BYTES 16384
#define SECRET "secret"

static bool may(void *ctx, enum mcp_list list, struct str name)
{
    (void)ctx;
    (void)list;
    return memmem(name.ptr, name.len, SECRET, strlen(SECRET)) == NULL;
}

struct result {
    enum list_filter_rc rc;
    uint64_t removed;
    struct buf out;
};

static struct result run(bool events, size_t max, struct str bytes, size_t piece)
{
    const struct mcp_list_filter lists = {.lists = MCP_ALL_LISTS, .may = may, .max_bytes = max};
    struct list_filter *filter = list_filter_new(
        &(struct list_filter_options){.events = events, .lists = &lists, .request_id = STR("7")});
    struct result result = {.out = buf_make(64 * MAX_BYTES)};
    ORACLE(filter != NULL);
    while (bytes.len > 0 && result.rc == LIST_FILTER_OK) {
        struct buf out = buf_make(LIST_FILTER_MAX_OUT(max, piece, 1));
        result.rc = list_filter_feed(filter, str_head(bytes, piece), &out);
        ORACLE(!buf_failed(&out) && result.rc != LIST_FILTER_NO_MEMORY);
        ORACLE(buf_append(&result.out, buf_str(&out)) == 0);
        buf_free(&out);
        bytes = str_from(bytes, piece < bytes.len ? piece : bytes.len);
    }
    if (result.rc == LIST_FILTER_OK) {
        struct buf out = buf_make(LIST_FILTER_MAX_OUT(max, 0, 1));
        result.rc = list_filter_end(filter, &out);
        ORACLE(!buf_failed(&out) && result.rc != LIST_FILTER_NO_MEMORY);
        ORACLE(buf_append(&result.out, buf_str(&out)) == 0);
        buf_free(&out);
    }
    result.removed = list_filter_removed(filter);
    (void)list_filter_free(filter);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > MAX_BYTES)
        return 0;
    const struct str bytes = oracle_input(data + 2, size - 2);
    const bool events = (data[0] & 1) != 0;
    const size_t max = (data[0] & 2) != 0 ? MAX_BYTES : 1 + (size_t)data[0] * 4;
    const size_t pieces[] = {1, 2, 1 + (size_t)data[1]};
    struct result whole = run(events, max, bytes, bytes.len);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct result cut = run(events, max, bytes, pieces[i]);
        ORACLE(cut.rc == whole.rc && cut.removed == whole.removed);
        ORACLE(str_eq(buf_str(&cut.out), buf_str(&whole.out)));
        buf_free(&cut.out);
    }
    if (!events && whole.rc == LIST_FILTER_OK && whole.removed == 0)
        ORACLE(str_eq(buf_str(&whole.out), bytes));
    if (!events && whole.rc != LIST_FILTER_OK)
        ORACLE(whole.out.len == 0);
    ORACLE(whole.rc != LIST_FILTER_ENDED || events);
    buf_free(&whole.out);
    return 0;
}
