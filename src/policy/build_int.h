/* SPDX-License-Identifier: Apache-2.0 */
/* From the checked and normalised tree to struct config_data, with the checks that need more than
 * one value. Private to policy/. */
#ifndef POLICY_BUILD_INT_H
#define POLICY_BUILD_INT_H

#include "policy/reader_int.h"
#include "policy/rules.h"
#include "policy/schema.h"
#include "proto/uri.h"

/* listen and admin; TLS contexts are freed with the config. */
void build_listens(struct reader *reader, json_t *root, struct config_data *data);
void build_issuers(struct reader *reader, json_t *root, struct config_data *data);
/* Needs the issuers. */
void build_routes(struct reader *reader, json_t *root, struct config_data *data);
void build_upstream(struct reader *reader, json_t *object, const struct place *place,
                    struct upstream_config *ret_upstream);
/* scope_implies with everything that follows from it. */
void build_implications(struct reader *reader, json_t *table, const struct place *place,
                        struct route *route);
/* rules and what else says who may call what. */
void build_rules(struct reader *reader, json_t *object, const struct place *place,
                 struct route *route);
/* Warns of rules and patterns that no call reaches. AT_RULES is the place of the list. */
void warn_unreached(struct reader *reader, const struct place *at_rules, const struct route *route);
/* upstream.assertion; its keys are freed with the config. */
void build_assertion(struct reader *reader, json_t *object, const struct place *place,
                     struct assertion_config *ret_assertion);
/* limits.store; PLACE is that of limits. */
void build_store(struct reader *reader, const json_t *limits, const struct place *place,
                 struct store_config *ret_store);
/* Needs all routes. */
void warn_store(struct reader *reader, const struct config_data *data);
/* Needs all routes. */
void build_assertion_jwks(struct reader *reader, struct config_data *data);
void build_tracing(struct reader *reader, json_t *root, struct config_data *data);
/* Runs the tests of the policy; needs everything else, without an error. */
void build_tests(struct reader *reader, json_t *root, struct config_data *data);
/* upstream.headers, identity and the assertion's header of ROUTE, and the list of names that
 * clients may not send. */
void build_headers(struct reader *reader, json_t *object, const struct place *place,
                   struct route *route);

/* Parses a URL and reports what is wrong with it; false then, and when VALUE has no text. */
bool build_url(struct reader *reader, const json_t *value, const struct place *place,
               struct uri *ret_uri);
/* The path of a PEM file in OBJECT, made absolute where the policy lies, absent when not given.
 * Reports a file that cannot be read or holds no PEM block. */
struct str build_pem_path(struct reader *reader, json_t *object, const char *key,
                          const struct place *place);
/* The same, and what the file holds, which is the caller's to wipe: CONTENT is empty, and gets room
 * for all of it at once. Absent when it cannot be read, too. */
struct str build_pem_file(struct reader *reader, json_t *object, const char *key,
                          const struct place *place, struct buf *content);
/* The string member KEY, kept; absent when null. */
struct str build_optional(struct reader *reader, const json_t *object, const char *key);

#endif
