/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/assertion.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/secret.h"
#include "proto/jws_sign.h"

struct assertion {
    struct assertion *next;
    const struct route *route;
    int64_t made_s;
    int64_t exp_s;
    size_t len;
    char jwt[];
};

/* What one is made of. */
struct statement {
    const struct route *route;
    const struct identity *identity;
    const char *fingerprint;
    int64_t now_s;
    int64_t exp_s;
};

static json_t *text(struct str value)
{
    return json_stringn(value.ptr, value.len);
}

/* Claims of the token that the policy names. */
static bool add_copied(json_t *claims, const struct statement *statement)
{
    const struct assertion_config *config = &statement->route->upstream.assertion;
    bool good = true;
    for (size_t i = 0; i < config->n_claims; i++) {
        const char *name = config->claims[i].ptr;
        json_t *value = json_object_get(statement->identity->claims, name);
        if (value != NULL)
            good = good && json_object_set(claims, name, value) == 0;
    }
    return good;
}

/* What every assertion says: RFC 7519 4.1; client_id and scope as in RFC 9068 2.2; sub_id, because
 * sub alone says little when there are several issuers (RFC 9493 3.2.3). */
static bool add_own(json_t *claims, const struct statement *statement)
{
    const struct identity *identity = statement->identity;
    const struct {
        const char *name;
        json_t *value; /* taken over by json_object_set_new(), which fails for NULL */
    } members[] = {
        {"iss", text(statement->route->resource)},
        {"aud", text(statement->route->upstream.url)},
        {"iat", json_integer(statement->now_s)},
        {"exp", json_integer(statement->exp_s)},
        {"sub", text(identity->subject)},
        {"sub_id", json_pack("{s:s, s:o, s:o}", "format", "iss_sub", "iss", text(identity->issuer),
                             "sub", text(identity->subject))},
        {"client_id", text(identity->client)},
        {"resource", text(statement->route->resource)},
        {"token", json_string(statement->fingerprint)},
    };
    bool good = true;
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        good = json_object_set_new(claims, members[i].name, members[i].value) == 0 && good;
    if (str_is_set(identity->scope))
        good = json_object_set_new(claims, "scope", text(identity->scope)) == 0 && good;
    return good;
}

/* NULL: no memory. What was copied comes first, so that it never stands for what we say. */
static json_t *make_claims(const struct statement *statement)
{
    json_t *claims = json_object();
    if (claims != NULL && add_copied(claims, statement) && add_own(claims, statement))
        return claims;
    json_decref(claims);
    return NULL;
}

static int sign(const struct statement *statement, struct buf *out)
{
    const struct assertion_config *config = &statement->route->upstream.assertion;
    json_t *claims = make_claims(statement);
    if (claims == NULL)
        return -ENOMEM;
    int r = jws_sign(config->keys[0], claims, out);
    json_decref(claims);
    return r;
}

static struct assertion *keep(const struct statement *statement, struct str jwt)
{
    struct assertion *assertion = malloc(sizeof(*assertion) + jwt.len);
    if (assertion == NULL)
        return NULL;
    *assertion = (struct assertion){
        .route = statement->route,
        .made_s = statement->now_s,
        .exp_s = statement->exp_s,
        .len = jwt.len,
    };
    memcpy(assertion->jwt, jwt.ptr, jwt.len);
    return assertion;
}

static int make(const struct statement *statement, struct assertion **ret_assertion)
{
    struct buf jwt = buf_make(ASSERTION_MAX_BYTES);
    struct assertion *assertion = NULL;
    int r = sign(statement, &jwt);
    if (r == 0) {
        assertion = keep(statement, buf_str(&jwt));
        r = assertion != NULL ? 0 : -ENOMEM;
    }
    secret_wipe(jwt.ptr, jwt.len);
    buf_free(&jwt);
    if (r == 0)
        *ret_assertion = assertion;
    return r;
}

static size_t bytes_of(const struct assertion *assertion)
{
    return sizeof(*assertion) + assertion->len;
}

/* It lets the bearer speak for the caller, so it is wiped like the token. */
static void end(struct assertion *assertion)
{
    secret_wipe(assertion->jwt, assertion->len);
    free(assertion);
}

struct assertion *assertion_free_all(struct assertion *first)
{
    while (first != NULL) {
        struct assertion *assertion = first;
        first = assertion->next;
        end(assertion);
    }
    return NULL;
}

/* The link to the one about ROUTE, or the link at the end of the list. */
static struct assertion **find(struct identity *identity, const struct route *route)
{
    struct assertion **place = &identity->assertions;
    while (*place != NULL && (*place)->route != route)
        place = &(*place)->next;
    return place;
}

/* One that was made later than now tells of a clock that was set back: no upstream would take it.
 */
static bool is_due(const struct assertion *assertion, int64_t now_s, int64_t new_exp_s)
{
    const int64_t lifetime_s = assertion->exp_s - assertion->made_s;
    return now_s < assertion->made_s ||
           (4 * (assertion->exp_s - now_s) < lifetime_s && new_exp_s > assertion->exp_s);
}

/* Puts FRESH in the place of the one that *PLACE links to, if there is one. */
static void replace(struct identity *identity, struct assertion **place, struct assertion *fresh)
{
    struct assertion *old = *place;
    fresh->next = old != NULL ? old->next : NULL;
    *place = fresh;
    identity->assertion_bytes += bytes_of(fresh);
    if (old != NULL) {
        identity->assertion_bytes -= bytes_of(old);
        end(old);
    }
}

int assertion_get(const struct route *route, struct identity *identity, const char *fingerprint,
                  int64_t now_s, struct str *ret_jwt)
{
    const int64_t longest_exp_s = now_s + route->upstream.assertion.ttl_s;
    const struct statement statement = {
        .route = route,
        .identity = identity,
        .fingerprint = fingerprint,
        .now_s = now_s,
        .exp_s = longest_exp_s < identity->times.exp_s ? longest_exp_s : identity->times.exp_s,
    };
    struct assertion **place = find(identity, route);
    if (*place == NULL || is_due(*place, now_s, statement.exp_s)) {
        struct assertion *fresh = NULL;
        int r = make(&statement, &fresh);
        if (r < 0)
            return r;
        replace(identity, place, fresh);
    }
    *ret_jwt = str_make((*place)->jwt, (*place)->len);
    return 0;
}
