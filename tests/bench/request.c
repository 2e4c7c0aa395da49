/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <stdio.h>
#include <string.h>

#include "tool.h"

/* What a client of the 2025-06-18 revision sends. */
#define SMALL                                                               \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{"  \
    "\"name\":\"search_documents\",\"arguments\":{"                         \
    "\"query\":\"quarterly revenue by region, fiscal year\",\"limit\":100," \
    "\"filter\":{\"kind\":\"report\",\"lang\":\"en\"}}}}"
_Static_assert(sizeof(SMALL) - 1 == 199, "docs/BENCHMARKS.md says so");

/* In the 2026-07-28 revision each request says what an initialize said before. */
#define META                                                                         \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","         \
    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}," \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define CALL(tool)                                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{" \
    "\"name\":\"" tool "\",\"arguments\":{\"query\":\"quarterly revenue, EU\"}," META "}}"
_Static_assert(sizeof(CALL("search")) - 1 == 300, "docs/BENCHMARKS.md says so");

#define LIST "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}"

static const struct request requests[] = {
    {.name = "small", .revision = "2025-06-18", .body = SMALL},
    {"search", "2026-07-28", "tools/call", "search", CALL("search")},
    {"deploy", "2026-07-28", "tools/call", "deploy_eu", CALL("deploy_eu")},
    {.name = "list", .revision = "2026-07-28", .method = "tools/list", .body = LIST},
};

const struct request *request_find(const char *name)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++)
        if (strcmp(requests[i].name, name) == 0)
            return &requests[i];
    tool_die("no request is called %s; there are small, search, deploy and list", name);
}

void request_print(const struct request *request, char *suffix, size_t size)
{
    char mirrored[128] = "";
    int len = 0;
    if (request->method != NULL)
        len = snprintf(mirrored, sizeof(mirrored), "Mcp-Method: %s\r\n", request->method);
    if (request->target != NULL)
        (void)snprintf(mirrored + len, sizeof(mirrored) - (size_t)len, "Mcp-Name: %s\r\n",
                       request->target);
    len = snprintf(suffix, size,
                   "\r\n"
                   "MCP-Protocol-Version: %s\r\n"
                   "%s"
                   "Content-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   request->revision, mirrored, strlen(request->body), request->body);
    if (len < 0 || (size_t)len >= size)
        tool_die("a request of more than %zu bytes", size);
}
