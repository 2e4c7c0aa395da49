/* SPDX-License-Identifier: Apache-2.0 */
/* Private parts of the stages: stages.c (the table, and what is decided on the head), stages_mcp.c
 * (what is decided on the message), stages_limits.c (how much of it there may be). */
#ifndef GATE_STAGES_INT_H
#define GATE_STAGES_INT_H

#include "gate/stages.h"
#include "gate/txn.h"

enum step stage_inspect(struct txn *txn);
enum step stage_decide(struct txn *txn);
enum step stage_session(struct txn *txn);
enum step stage_credential(struct txn *txn);

enum step stage_ip_rate(struct txn *txn);
enum step stage_subject_rate(struct txn *txn);
enum step stage_streams(struct txn *txn);

#endif
