/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/err.h"
#include "ops/audit_int.h"

struct audit_verifier audit_verifier_make(void)
{
    return (struct audit_verifier){.line = buf_make(AUDIT_MAX_LINE_BYTES)};
}

void audit_verifier_free(struct audit_verifier *verifier)
{
    buf_free(&verifier->line);
}

bool audit_verifier_expect(struct audit_verifier *verifier, struct str hash)
{
    if (hash.len != AUDIT_HASH_HEX_LEN)
        return false;
    for (size_t i = 0; i < hash.len; i++)
        if (!ascii_is_digit(hash.ptr[i]) && (hash.ptr[i] < 'a' || hash.ptr[i] > 'f'))
            return false;
    memcpy(verifier->anchor, hash.ptr, hash.len);
    return true;
}

static void break_at(struct audit_check *check, uint64_t line, const char *why)
{
    check->bad_line = line;
    check->why = why;
}

/* What is wrong with a whole line at its place in the chain; NULL: nothing. */
static const char *find_fault(const struct audit_verifier *verifier, const struct audit_line *line)
{
    bool begins = str_eq(line->prev, audit_line_no_hash());
    const char *head = verifier->check.head;
    if (verifier->check.lines == 1)
        return begins == (line->seq == 1) ? NULL : "only the first line of all has no line before";
    if (!str_eq(line->prev, str_make(head, AUDIT_HASH_HEX_LEN)))
        return begins ? "a new chain begins here" : "the line before is not the one it was";
    if (verifier->next_seq != 0 && line->seq != verifier->next_seq)
        return "its number is not the next one";
    return NULL;
}

static void take_whole_line(struct audit_verifier *verifier, const struct audit_line *line)
{
    struct audit_check *check = &verifier->check;
    const char *fault = find_fault(verifier, line);
    if (fault != NULL && verifier->torn_from != 0) {
        /* The chain does not go on behind it: it was not torn, but changed. */
        break_at(check, verifier->torn_from, "it is no line of an audit log");
        return;
    }
    if (fault != NULL) {
        break_at(check, check->lines, fault);
        return;
    }
    if (check->first_seq == 0) {
        check->first_seq = line->seq;
        if (check->lines == 1)
            memcpy(check->first_prev, line->prev.ptr, line->prev.len);
    }
    verifier->torn_from = 0;
    verifier->next_seq = line->seq + 1;
    check->last_seq = line->seq;
    check->lost += line->lost;
}

static void take_torn_line(struct audit_verifier *verifier)
{
    if (verifier->torn_from == 0)
        verifier->torn_from = verifier->check.lines;
    if (verifier->next_seq != 0)
        verifier->next_seq++;
    verifier->check.torn++;
}

static void take_line(struct audit_verifier *verifier, struct str bytes)
{
    struct audit_check *check = &verifier->check;
    struct audit_place place = {0};
    struct audit_line line;
    check->lines++;
    if (audit_line_read(bytes, &line))
        take_whole_line(verifier, &line);
    else
        take_torn_line(verifier);
    if (check->bad_line != 0)
        return;
    if (audit_place_pass(&place, bytes) < 0) {
        break_at(check, check->lines, "its hash cannot be computed");
        return;
    }
    memcpy(check->head, place.hash, sizeof(check->head));
    if (memcmp(check->head, verifier->anchor, sizeof(check->head)) == 0)
        check->anchor_line = check->lines;
}

/* Adds to the beginning of a line that came before; false: it is no line any more. */
static bool add_to_line(struct audit_verifier *verifier, struct str part)
{
    struct audit_check *check = &verifier->check;
    if (part.len <= AUDIT_MAX_LINE_BYTES - verifier->line.len &&
        buf_append(&verifier->line, part) == 0)
        return true;
    break_at(check, check->lines + 1,
             part.len > AUDIT_MAX_LINE_BYTES - verifier->line.len
                 ? "it is longer than lines of an audit log are"
                 : "out of memory");
    return false;
}

/* A line of which PART is the end, or all. */
static void end_line(struct audit_verifier *verifier, struct str part)
{
    if (verifier->line.len == 0 && part.len <= AUDIT_MAX_LINE_BYTES) {
        take_line(verifier, part);
        return;
    }
    if (!add_to_line(verifier, part))
        return;
    take_line(verifier, buf_str(&verifier->line));
    buf_clear(&verifier->line);
}

void audit_verify_bytes(struct audit_verifier *verifier, struct str bytes)
{
    while (bytes.len > 0 && verifier->check.bad_line == 0) {
        ptrdiff_t end = str_find_char(bytes, '\n');
        if (end < 0) {
            (void)add_to_line(verifier, bytes);
            return;
        }
        end_line(verifier, str_head(bytes, (size_t)end));
        bytes = str_from(bytes, (size_t)end + 1);
    }
}

void audit_verify_end(struct audit_verifier *verifier, struct audit_check *ret_check)
{
    if (verifier->line.len > 0 && verifier->check.bad_line == 0)
        end_line(verifier, STR(""));
    *ret_check = verifier->check;
}
