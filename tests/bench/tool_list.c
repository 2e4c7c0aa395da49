/* SPDX-License-Identifier: Apache-2.0 */
#include "tool_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "tool.h"

#define N_TOOLS 50

/* Each tenth tool is one that the caller may use, so that what stays is spread over the list. */
static const char *const usable[] = {"echo", "add", "search", "docs_read", "docs_list"};
static const char *const areas[] = {"admin", "billing", "crm",    "deploy", "finance",
                                    "hr",    "mail",    "report", "ticket"};

#define N_USABLE (sizeof(usable) / sizeof(*usable))
#define N_AREAS (sizeof(areas) / sizeof(*areas))

static const char entry_format[] =
    "%s{\"name\":\"%s\",\"title\":\"Number %zu of the tools\",\"description\":\"Looks up what is "
    "asked for and answers with the records found, newest first, and where each of them is "
    "from.\",\"inputSchema\":{\"type\":"
    "\"object\",\"properties\":{\"query\":{\"type\":\"string\",\"description\":\"What to look "
    "for\"},\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100}},\"required\":["
    "\"query\"]},\"annotations\":{\"readOnlyHint\":true}}";

static void print_entry(FILE *out, size_t index)
{
    char name[32];
    size_t nth = index / (N_TOOLS / N_USABLE);
    if (index % (N_TOOLS / N_USABLE) == 0)
        (void)snprintf(name, sizeof(name), "%s", usable[nth]);
    else
        (void)snprintf(name, sizeof(name), "%s_action_%02zu", areas[index % N_AREAS], index);
    (void)fprintf(out, entry_format, index > 0 ? "," : "", name, index + 1);
}

static char *make(const char *start, const char *end, size_t *ret_len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_len);
    if (out == NULL)
        tool_die("out of memory");
    (void)fprintf(out, "%s{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[", start);
    for (size_t i = 0; i < N_TOOLS; i++)
        print_entry(out, i);
    (void)fprintf(out, "],\"nextCursor\":\"page-2\"}}%s", end);
    if (fclose(out) != 0)
        tool_die("out of memory");
    return text;
}

char *tool_list_make(size_t *ret_len)
{
    return make("", "", ret_len);
}

char *tool_list_make_event(size_t *ret_len)
{
    return make("event: message\ndata: ", "\n\n", ret_len);
}
