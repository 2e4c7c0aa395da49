/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies for the tests of proto/mcp. */
#ifndef SUPPORT_INSPECT_H
#define SUPPORT_INSPECT_H

#include <stdlib.h>

#include "proto/mcp.h"
#include "support/cmocka_all.h"

#define INSPECT_MAX_BYTES 65536

/* A body of exactly its size, with what was read from it. */
struct inspected {
    char *copy;
    struct arena *arena;
    struct mcp_body body;
    struct str id;
    enum mcp_rc rc;
};

static inline struct inspected inspect_within(struct str body, size_t max_bytes)
{
    struct inspected in = {.copy = malloc(body.len > 0 ? body.len : 1),
                           .arena = arena_new(1024, 4 * 1024 * 1024)};
    assert_non_null(in.copy);
    assert_non_null(in.arena);
    memcpy(in.copy, body.ptr, body.len);
    in.rc = mcp_inspect(str_make(in.copy, body.len), max_bytes, in.arena, &in.body, &in.id);
    return in;
}

static inline struct inspected inspect(struct str body)
{
    return inspect_within(body, INSPECT_MAX_BYTES);
}

static inline void inspect_done(struct inspected *in)
{
    free(in->copy);
    arena_free(in->arena);
}

/* The beginning of a message, inside its braces. */
#define RPC "\"jsonrpc\":\"2.0\","

/* A member more for a call of the tool "a", beside its params and inside of them. */
#define IN_CALL(member) \
    STR_INIT("{" RPC "\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}," member "}")
#define IN_PARAMS(member) \
    STR_INIT("{" RPC "\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"," member "}}")

#endif
