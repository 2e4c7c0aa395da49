/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of one value by its row of the table. Private to policy/. */
#ifndef POLICY_CHECK_INT_H
#define POLICY_CHECK_INT_H

#include "policy/reader_int.h"
#include "policy/schema.h"

/* What a string of this unit is, for "must be ...": "a duration such as \"30s\"". */
const char *check_unit_text(enum schema_unit unit);

/* Reports a NUMBER outside the row's range. */
void check_range(struct reader *reader, const struct schema_row *row, int64_t number,
                 const struct place *place);
/* Reports what is wrong with a string by its unit. */
void check_string(struct reader *reader, const struct schema_row *row, json_t *value,
                  const struct place *place);

#endif
