/* SPDX-License-Identifier: Apache-2.0 */
/* auth/session, two ways of reading one input.
 *
 * As an id from a client: whatever passes is, byte for byte, what session_bind() makes of the part
 * that it gave back, for that owner.
 *
 * As a plan: issuer, subject, resource and upstream id, each behind its length, then one change and
 * where. The id of this owner passes, and after any change, to itself or to its owner, it does not.
 * The key is fixed, so that ids in the corpus stay good. */
#include <errno.h>

#include "auth/session.h"
#include "base/err.h"
#include "oracle.h"

#define MAX_BYTES 8192

static const uint8_t key[SESSION_KEY_LEN] = "portcullis fuzz target: session";
static const struct session_owner nobody = {
    STR_INIT("https://issuer.example/"),
    STR_INIT("subject"),
    STR_INIT("https://mcp.example.com/mcp"),
};

static bool passes(const struct session_owner *owner, struct str client_id)
{
    struct str upstream_id = {0};
    struct buf again = buf_make(MAX_BYTES);
    if (!session_check(key, owner, client_id, &upstream_id)) {
        ORACLE(upstream_id.ptr == NULL);
        return false;
    }
    ORACLE(upstream_id.ptr == client_id.ptr && upstream_id.len <= SESSION_MAX_ID_LEN);
    ORACLE(session_bind(key, owner, upstream_id, &again) == 0);
    ORACLE(str_eq(buf_str(&again), client_id));
    buf_free(&again);
    return true;
}

/* MCP 2025-11-25: visible ASCII; here read a second time. */
static bool is_bindable(struct str id)
{
    size_t visible = 0;
    for (size_t i = 0; i < id.len; i++)
        visible += (unsigned char)id.ptr[i] - 0x21U <= 0x7eU - 0x21U;
    return visible == id.len && id.len > 0 && id.len <= SESSION_MAX_ID_LEN;
}

/* Takes one part off *REST: a byte that says how long, then that many, or as many as there are. */
static struct str take(struct str *rest)
{
    if (rest->len == 0)
        return STR("");
    const size_t len = size_min((unsigned char)rest->ptr[0], rest->len - 1);
    struct str part = str_make(rest->ptr + 1, len);
    *rest = str_from(*rest, 1 + len);
    return part;
}

/* Where and what, three bytes. */
struct change {
    size_t at;
    char mask;
};

static struct change take_change(struct str rest)
{
    struct change change = {0};
    for (size_t i = 0; i < size_min(rest.len, 2); i++)
        change.at = change.at << 8 | (unsigned char)rest.ptr[i];
    change.mask = rest.len > 2 && rest.ptr[2] != 0 ? rest.ptr[2] : 1;
    return change;
}

/* Other bytes, one less, one more. */
static void change_id(const struct session_owner *owner, struct str id, struct change change)
{
    char text[MAX_BYTES];
    const size_t at = change.at % id.len;
    memcpy(text, id.ptr, id.len);
    text[at] = (char)(text[at] ^ change.mask);
    ORACLE(!passes(owner, str_make(text, id.len)));
    memmove(text + at, id.ptr + at + 1, id.len - at - 1);
    ORACLE(!passes(owner, str_make(text, id.len - 1)));
    memcpy(text, id.ptr, at);
    text[at] = change.mask;
    memcpy(text + at + 1, id.ptr + at, id.len - at);
    ORACLE(!passes(owner, str_make(text, id.len + 1)));
}

/* A changed copy of one part, and the border between two of them one byte further. */
static void change_owner(struct session_owner owner, struct str id, struct change change)
{
    char text[256];
    struct str *parts[] = {&owner.issuer, &owner.subject, &owner.resource};
    struct str *part = parts[change.at % ARRAY_LEN(parts)];
    const struct str was = *part;
    if (was.len > 0) {
        memcpy(text, was.ptr, was.len);
        text[change.at % was.len] = (char)(text[change.at % was.len] ^ change.mask);
        *part = str_make(text, was.len);
        ORACLE(!passes(&owner, id));
        *part = str_make(was.ptr, was.len - 1);
        ORACLE(!passes(&owner, id));
        *part = was;
    }
    if (owner.subject.len == 0 || owner.issuer.len >= sizeof(text))
        return;
    memcpy(text, owner.issuer.ptr, owner.issuer.len);
    text[owner.issuer.len] = owner.subject.ptr[0];
    owner.issuer = str_make(text, owner.issuer.len + 1);
    owner.subject = str_from(owner.subject, 1);
    ORACLE(!passes(&owner, id));
}

static void follow_plan(struct str plan)
{
    struct session_owner owner;
    owner.issuer = take(&plan);
    owner.subject = take(&plan);
    owner.resource = take(&plan);
    const struct str upstream_id = take(&plan);
    const struct change change = take_change(plan);
    struct buf id = buf_make(MAX_BYTES);
    const int r = session_bind(key, &owner, upstream_id, &id);
    ORACLE(r == (is_bindable(upstream_id) ? 0 : -EINVAL));
    if (r == 0) {
        ORACLE(passes(&owner, buf_str(&id)));
        change_id(&owner, buf_str(&id), change);
        change_owner(owner, buf_str(&id), change);
    } else {
        ORACLE(id.len == 0);
    }
    buf_free(&id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    (void)passes(&nobody, oracle_input(data, size));
    follow_plan(oracle_input(data, size));
    return 0;
}
