/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "ops/audit.h"
#include "support/cmocka_all.h"

#define MAX_BYTES (1024U * 1024)
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* A chain as the log writes it, made here anew: LINES[i] are without line ends. */
struct chain {
    struct buf lines[8];
    size_t n;
    char head[AUDIT_HASH_HEX_LEN + 1];
};

static void hash_of(struct str line, char ret_hash[AUDIT_HASH_HEX_LEN + 1])
{
    uint8_t digest[SHA256_LEN];
    assert_int_equal(secret_sha256(line, digest), 0);
    for (size_t i = 0; i < SHA256_LEN; i++)
        (void)snprintf(ret_hash + 2 * i, 3, "%02x", digest[i]);
}

static void add_raw(struct chain *chain, struct str line)
{
    struct buf *out = &chain->lines[chain->n++];
    *out = buf_make(MAX_BYTES);
    assert_int_equal(buf_append(out, line), 0);
    hash_of(line, chain->head);
}

/* REST is what stands behind the hash, with the brace. */
static void add(struct chain *chain, unsigned seq, const char *rest)
{
    char line[512];
    (void)snprintf(line, sizeof(line), "{\"seq\":%u,\"prev\":\"%s\"%s", seq,
                   chain->head[0] != '\0' ? chain->head : ZEROS, rest);
    add_raw(chain, str_from_cstr(line));
}

static struct chain make_chain(void)
{
    struct chain chain = {0};
    add(&chain, 1, ",\"tool\":\"echo\",\"nested\":{\"a\":[1,2,\"}\"]}}");
    add(&chain, 2, ",\"tool\":\"add\"}");
    add(&chain, 3, ",\"lost\":7,\"tool\":\"echo\"}");
    add(&chain, 4, ",\"tool\":\"qu\\\"ote\\\\\"}");
    add(&chain, 5, ",\"tool\":\"last\"}");
    return chain;
}

static void free_chain(struct chain *chain)
{
    for (size_t i = 0; i < chain->n; i++)
        buf_free(&chain->lines[i]);
    *chain = (struct chain){0};
}

static struct buf text_of(const struct chain *chain)
{
    struct buf text = buf_make(MAX_BYTES);
    for (size_t i = 0; i < chain->n; i++) {
        (void)buf_append(&text, buf_str(&chain->lines[i]));
        (void)buf_append_char(&text, '\n');
    }
    assert_false(buf_failed(&text));
    return text;
}

static struct audit_check verify_pieces(struct str text, size_t piece)
{
    struct audit_check check;
    struct audit_verifier verifier = audit_verifier_make();
    for (size_t at = 0; at < text.len; at += piece) {
        /* In a block of its own size, so that reading past it is seen. */
        struct str part = str_head(str_from(text, at), piece);
        char *copy = malloc(part.len);
        assert_non_null(copy);
        memcpy(copy, part.ptr, part.len);
        audit_verify_bytes(&verifier, str_make(copy, part.len));
        free(copy);
    }
    audit_verify_end(&verifier, &check);
    audit_verifier_free(&verifier);
    return check;
}

static struct audit_check verify(struct str text)
{
    return verify_pieces(text, text.len + 1);
}

static struct audit_check verify_chain(const struct chain *chain)
{
    CLEANUP(buf_free) struct buf text = text_of(chain);
    return verify(buf_str(&text));
}

static void assert_holds(struct audit_check check)
{
    if (check.bad_line != 0)
        fail_msg("line %" PRIu64 ": %s", check.bad_line, check.why);
}

/* ---- good chains ---- */

static void audit_verify_says_what_is_in_a_good_chain(void **state)
{
    (void)state;
    struct chain chain = make_chain();
    struct audit_check check = verify_chain(&chain);
    assert_holds(check);
    assert_null(check.why);
    assert_int_equal(check.lines, 5);
    assert_int_equal(check.first_seq, 1);
    assert_int_equal(check.last_seq, 5);
    assert_int_equal(check.lost, 7);
    assert_int_equal(check.torn, 0);
    assert_string_equal(check.first_prev, ZEROS);
    assert_string_equal(check.head, chain.head);
    free_chain(&chain);
}

static void audit_verify_of_nothing_holds(void **state)
{
    (void)state;
    struct audit_check check = verify(STR(""));
    assert_holds(check);
    assert_int_equal(check.lines, 0);
    assert_int_equal(check.first_seq, 0);
    assert_string_equal(check.head, "");
}

static void audit_verify_takes_pieces_of_any_size(void **state)
{
    (void)state;
    struct chain chain = make_chain();
    CLEANUP(buf_free) struct buf text = text_of(&chain);
    for (size_t piece = 1; piece < text.len; piece++) {
        struct audit_check check = verify_pieces(buf_str(&text), piece);
        assert_holds(check);
        assert_int_equal(check.lines, 5);
        assert_string_equal(check.head, chain.head);
    }
    free_chain(&chain);
}

static void audit_verify_goes_on_over_files_and_may_begin_in_the_middle(void **state)
{
    (void)state;
    struct chain chain = make_chain();
    char prev[AUDIT_HASH_HEX_LEN + 1];
    for (size_t cut = 0; cut <= chain.n; cut++) {
        struct audit_check check;
        struct audit_verifier verifier = audit_verifier_make();
        for (size_t i = 0; i < chain.n; i++) {
            audit_verify_bytes(&verifier, buf_str(&chain.lines[i]));
            if (i + 1 == cut)
                audit_verify_end(&verifier, &check); /* without a line end */
            else
                audit_verify_bytes(&verifier, STR("\n"));
        }
        audit_verify_end(&verifier, &check);
        audit_verifier_free(&verifier);
        assert_holds(check);
        assert_int_equal(check.lines, 5);
        assert_int_equal(check.torn, 0);
    }
    CLEANUP(buf_free) struct buf text = text_of(&chain);
    struct str second = str_from(buf_str(&text), chain.lines[0].len + 1);
    struct audit_check check = verify(second);
    assert_holds(check);
    assert_int_equal(check.first_seq, 2);
    hash_of(buf_str(&chain.lines[0]), prev);
    assert_string_equal(check.first_prev, prev);
    free_chain(&chain);
}

static void audit_verify_tolerates_lines_that_a_crash_cut_off(void **state)
{
    static const struct str rows[] = {
        STR_INIT("{"),
        STR_INIT("{\"seq\":3,\"prev\":\"00"),
        STR_INIT("{\"seq\":3,\"prev\":\"" ZEROS "\",\"lo"),
        STR_INIT("{\"seq\":3,\"prev\":\"" ZEROS "\",\"a\":{\"b\":1}"),
        STR_INIT("{\"seq\":3,\"prev\":\"" ZEROS "\",\"a\":\"}"),
        STR_INIT("{\"seq\":3,\"prev\":\"" ZEROS "\"}"),
        STR_INIT("\0\0\0\0"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct chain chain = {0};
        add(&chain, 1, ",\"a\":1}");
        add(&chain, 2, ",\"a\":1}");
        add_raw(&chain, rows[i]);
        struct audit_check check = verify_chain(&chain); /* at the end */
        assert_holds(check);
        assert_int_equal(check.torn, 1);
        assert_int_equal(check.last_seq, 2);
        assert_string_equal(check.head, chain.head);
        add(&chain, 4, ",\"a\":1}");
        check = verify_chain(&chain); /* and with the chain behind it */
        assert_holds(check);
        assert_int_equal(check.lines, 4);
        assert_int_equal(check.torn, 1);
        assert_int_equal(check.last_seq, 4);
        free_chain(&chain);
    }
}

static void audit_verify_counts_torn_lines_as_lines(void **state)
{
    (void)state;
    struct chain chain = {0};
    add_raw(&chain, STR("{\"seq\":1"));
    add_raw(&chain, STR("{\"seq\":2"));
    add(&chain, 3, ",\"a\":1}");
    add_raw(&chain, STR("{"));
    add(&chain, 5, ",\"a\":1}");
    struct audit_check check = verify_chain(&chain);
    assert_holds(check);
    assert_int_equal(check.torn, 3);
    assert_int_equal(check.first_seq, 3);
    assert_int_equal(check.last_seq, 5);
    assert_string_equal(check.first_prev, "");
    free_chain(&chain);
}

static void audit_verify_takes_a_line_that_only_says_what_was_lost(void **state)
{
    (void)state;
    struct chain chain = {0};
    add(&chain, 1, ",\"lost\":3}");
    add(&chain, 2, ",\"lost\":4,\"a\":1}");
    struct audit_check check = verify_chain(&chain);
    assert_holds(check);
    assert_int_equal(check.lost, 7);
    assert_int_equal(check.torn, 0);
    free_chain(&chain);
}

static void audit_verify_finds_the_line_with_a_hash(void **state)
{
    (void)state;
    struct chain chain = make_chain();
    CLEANUP(buf_free) struct buf text = text_of(&chain);
    char hash[AUDIT_HASH_HEX_LEN + 1];
    for (size_t i = 0; i <= chain.n; i++) {
        struct audit_check check;
        struct audit_verifier verifier = audit_verifier_make();
        hash_of(i < chain.n ? buf_str(&chain.lines[i]) : STR("another"), hash);
        assert_true(audit_verifier_expect(&verifier, str_from_cstr(hash)));
        audit_verify_bytes(&verifier, buf_str(&text));
        audit_verify_end(&verifier, &check);
        audit_verifier_free(&verifier);
        assert_int_equal(check.anchor_line, i < chain.n ? i + 1 : 0);
    }
    struct audit_verifier verifier = audit_verifier_make();
    assert_false(audit_verifier_expect(&verifier, STR("")));
    assert_false(audit_verifier_expect(&verifier, str_head(str_from_cstr(hash), 63)));
    hash[5] = 'G';
    assert_false(audit_verifier_expect(&verifier, str_from_cstr(hash)));
    free_chain(&chain);
}

static void audit_verify_refuses_lines_past_the_limit(void **state)
{
    (void)state;
    for (size_t len = AUDIT_MAX_LINE_BYTES; len <= AUDIT_MAX_LINE_BYTES + 1; len++) {
        struct chain chain = make_chain();
        char *line = malloc(len);
        assert_non_null(line);
        memset(line, 'x', len);
        int head = snprintf(line, len, "{\"seq\":6,\"prev\":\"%s\",\"x\":\"", chain.head);
        line[head] = 'x';
        memcpy(line + len - 2, "\"}", 2);
        add_raw(&chain, str_make(line, len));
        free(line);
        CLEANUP(buf_free) struct buf text = text_of(&chain);
        for (size_t piece = 1000; piece <= 100000; piece += 33000) {
            struct audit_check check = verify_pieces(buf_str(&text), piece);
            assert_int_equal(check.bad_line, len > AUDIT_MAX_LINE_BYTES ? 6 : 0);
            assert_int_equal(check.torn, 0);
        }
        free_chain(&chain);
    }
}

/* ---- tampering ---- */

/* Every byte of a good chain, changed in several ways. What cannot be found: a change behind prev
 * in the last line that leaves it well-formed. */
static void audit_verify_finds_every_changed_byte_before_the_last_record(void **state)
{
    static const char changes[] = {'x', '0', '1', '"', '}', '{', ',', '\\', '\n', '\0', ' '};
    (void)state;
    struct chain chain = make_chain();
    CLEANUP(buf_free) struct buf text = text_of(&chain);
    size_t last = text.len - chain.lines[4].len - 1;
    size_t record = last + strlen("{\"seq\":5,\"prev\":\"" ZEROS "\"");
    for (size_t at = 0; at < record; at++) {
        for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
            char before = text.ptr[at];
            if (changes[i] == before)
                continue;
            text.ptr[at] = changes[i];
            struct audit_check check = verify(buf_str(&text));
            text.ptr[at] = before;
            /* Where the chain does not go on to tell, the line counts as torn. */
            bool found = check.bad_line != 0 || (at + 1 >= last && check.torn > 0);
            if (!found)
                fail_msg("byte %zu changed from %d to %d was not found", at, before, changes[i]);
            /* The first line's own beginning is proved by the second line. */
            if (check.bad_line != 0 && at < chain.lines[0].len)
                assert_in_range(check.bad_line, 1, 2);
        }
    }
    free_chain(&chain);
}

static void audit_verify_finds_every_byte_that_was_removed_or_inserted(void **state)
{
    (void)state;
    struct chain chain = make_chain();
    CLEANUP(buf_free) struct buf text = text_of(&chain);
    size_t last = text.len - chain.lines[4].len - 1;
    for (size_t at = 0; at < last; at++) {
        CLEANUP(buf_free) struct buf less = buf_make(MAX_BYTES);
        CLEANUP(buf_free) struct buf more = buf_make(MAX_BYTES);
        (void)buf_append(&less, str_head(buf_str(&text), at));
        (void)buf_append(&less, str_from(buf_str(&text), at + 1));
        (void)buf_append(&more, str_head(buf_str(&text), at));
        (void)buf_append_char(&more, 'x');
        (void)buf_append(&more, str_from(buf_str(&text), at));
        struct audit_check check = verify(buf_str(&less));
        assert_true(check.bad_line != 0 || (at + 1 == last && check.torn == 1));
        check = verify(buf_str(&more));
        assert_true(check.bad_line != 0);
    }
    free_chain(&chain);
}

static void remove_line(struct chain *chain, size_t at)
{
    buf_free(&chain->lines[at]);
    for (size_t i = at; i + 1 < chain->n; i++)
        chain->lines[i] = chain->lines[i + 1];
    chain->n--;
}

static void swap_lines(struct chain *chain, size_t a, size_t b)
{
    struct buf kept = chain->lines[a];
    chain->lines[a] = chain->lines[b];
    chain->lines[b] = kept;
}

static void insert_line(struct chain *chain, size_t at, struct str line)
{
    for (size_t i = chain->n; i > at; i--)
        chain->lines[i] = chain->lines[i - 1];
    chain->n++;
    chain->lines[at] = buf_make(MAX_BYTES);
    assert_int_equal(buf_append(&chain->lines[at], line), 0);
}

/* Makes LINES from AT on anew, as who knows the format would. */
static void chain_anew(struct chain *chain, size_t at, unsigned seq)
{
    struct chain anew = {0};
    for (size_t i = 0; i < at; i++)
        add_raw(&anew, buf_str(&chain->lines[i]));
    for (size_t i = at; i < chain->n; i++) {
        size_t prefix = strlen("{\"seq\":1,\"prev\":\"" ZEROS "\"");
        char *rest = str_to_cstr(str_from(buf_str(&chain->lines[i]), prefix));
        assert_non_null(rest);
        add(&anew, seq++, rest);
        free(rest);
    }
    free_chain(chain);
    *chain = anew;
}

static void tamper_remove_first(struct chain *c)
{
    remove_line(c, 0);
}
static void tamper_remove_second(struct chain *c)
{
    remove_line(c, 1);
}
static void tamper_remove_two(struct chain *c)
{
    remove_line(c, 1);
    remove_line(c, 1);
}
static void tamper_swap(struct chain *c)
{
    swap_lines(c, 1, 2);
}
static void tamper_swap_last(struct chain *c)
{
    swap_lines(c, 3, 4);
}
static void tamper_double(struct chain *c)
{
    CLEANUP(buf_free) struct buf copy = buf_make(MAX_BYTES);
    (void)buf_append(&copy, buf_str(&c->lines[2]));
    insert_line(c, 2, buf_str(&copy));
}
static void tamper_insert_garbage(struct chain *c)
{
    insert_line(c, 2, STR("garbage"));
}
static void tamper_insert_empty(struct chain *c)
{
    insert_line(c, 2, STR(""));
}
static void tamper_insert_fitting(struct chain *c)
{
    char line[512];
    char hash[AUDIT_HASH_HEX_LEN + 1];
    hash_of(buf_str(&c->lines[1]), hash);
    (void)snprintf(line, sizeof(line), "{\"seq\":3,\"prev\":\"%s\",\"forged\":true}", hash);
    insert_line(c, 2, str_from_cstr(line));
}
static void tamper_cut_middle(struct chain *c)
{
    c->lines[2].len -= 5;
}
static void tamper_new_chain_in_the_middle(struct chain *c)
{
    c->head[0] = '\0';
    for (size_t i = 2; i < c->n; i++)
        buf_free(&c->lines[i]);
    c->n = 2;
    add(c, 1, ",\"a\":1}");
    add(c, 2, ",\"a\":1}");
}
static void tamper_number_gap(struct chain *c)
{
    chain_anew(c, 2, 4);
}
static void tamper_number_twice(struct chain *c)
{
    chain_anew(c, 2, 2);
}
static void tamper_number_of_last(struct chain *c)
{
    chain_anew(c, 4, 6);
}
static void tamper_zero_prev_in_front(struct chain *c)
{
    remove_line(c, 0);
    memcpy(c->lines[0].ptr + strlen("{\"seq\":2,\"prev\":\""), ZEROS, strlen(ZEROS));
}
static void tamper_first_prev(struct chain *c)
{
    c->lines[0].ptr[strlen("{\"seq\":1,\"prev\":\"")] = 'a';
    CLEANUP(buf_free) struct buf first = buf_make(MAX_BYTES);
    (void)buf_append(&first, buf_str(&c->lines[0]));
    free_chain(c);
    add_raw(c, buf_str(&first));
    add(c, 2, ",\"a\":1}");
}
static void tamper_lost(struct chain *c)
{
    char *lost = memmem(c->lines[2].ptr, c->lines[2].len, "\"lost\":7", 8);
    assert_non_null(lost);
    lost[7] = '1';
}
static void replace_line(struct chain *c, size_t at, const char *what, const char *by)
{
    struct str line = buf_str(&c->lines[at]);
    struct str out = str_from_cstr(what);
    const char *hit = memmem(line.ptr, line.len, out.ptr, out.len);
    assert_non_null(hit);
    struct buf text = buf_make(MAX_BYTES);
    (void)buf_append(&text, str_head(line, (size_t)(hit - line.ptr)));
    (void)buf_append_cstr(&text, by);
    (void)buf_append(&text, str_from(line, (size_t)(hit - line.ptr) + out.len));
    buf_free(&c->lines[at]);
    c->lines[at] = text;
}
static void tamper_lost_removed(struct chain *c)
{
    replace_line(c, 2, "\"lost\":7,", "");
}
static void tamper_lost_added(struct chain *c)
{
    replace_line(c, 1, ",\"tool\"", ",\"lost\":1,\"tool\"");
}
static void tamper_decision(struct chain *c)
{
    replace_line(c, 0, "echo", "rm");
}
static void tamper_number_form(struct chain *c)
{
    replace_line(c, 3, "\"seq\":4", "\"seq\":04");
}
static void tamper_hash_case(struct chain *c)
{
    /* Means the same to a lenient reader, and yet it is a change. */
    struct str line = buf_str(&c->lines[3]);
    for (size_t i = 17; i < 17 + AUDIT_HASH_HEX_LEN; i++)
        if (line.ptr[i] >= 'a' && line.ptr[i] <= 'f')
            c->lines[3].ptr[i] = (char)(line.ptr[i] - 'a' + 'A');
}

static void audit_verify_finds_tampering(void **state)
{
    static const struct {
        void (*tamper)(struct chain *chain);
        uint64_t bad_line;
        const char *why;
    } rows[] = {
        {tamper_remove_second, 2, "a line removed"},
        {tamper_remove_two, 2, "two lines removed"},
        {tamper_swap, 2, "two lines swapped"},
        {tamper_swap_last, 4, "the last two lines swapped"},
        {tamper_double, 4, "a line twice"},
        {tamper_insert_garbage, 3, "garbage inserted"},
        {tamper_insert_empty, 3, "an empty line inserted"},
        {tamper_insert_fitting, 4, "a line inserted that fits the one before"},
        {tamper_cut_middle, 3, "a line cut in the middle of the file"},
        {tamper_new_chain_in_the_middle, 3, "the rest replaced by a new chain"},
        {tamper_number_gap, 3, "a number left out, hashes made to fit"},
        {tamper_number_twice, 3, "a number twice, hashes made to fit"},
        {tamper_number_of_last, 5, "the last number wrong"},
        {tamper_zero_prev_in_front, 1, "the first line removed, the second made the first"},
        {tamper_first_prev, 1, "line 1 with something before it"},
        {tamper_lost, 4, "lost records: another number"},
        {tamper_lost_removed, 4, "lost records: not said any more"},
        {tamper_lost_added, 3, "lost records: invented"},
        {tamper_decision, 2, "a value changed"},
        {tamper_number_form, 4, "a leading zero"},
        {tamper_hash_case, 4, "the hash in capitals"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct chain chain = make_chain();
        rows[i].tamper(&chain);
        struct audit_check check = verify_chain(&chain);
        if (check.bad_line != rows[i].bad_line)
            fail_msg("%s: bad line %" PRIu64 " (%s), not %" PRIu64, rows[i].why, check.bad_line,
                     check.why != NULL ? check.why : "none", rows[i].bad_line);
        assert_non_null(check.why);
        free_chain(&chain);
    }
}

/* What only a hash kept elsewhere shows: the end cut off at a line end, or all written anew; and
 * the beginning cut off, which is how rotated files are deleted, shows in first_seq. */
static void audit_verify_needs_a_kept_hash_for_the_end(void **state)
{
    (void)state;
    struct chain chain = make_chain();
    char head[AUDIT_HASH_HEX_LEN + 1];
    memcpy(head, chain.head, sizeof(head));
    remove_line(&chain, 4);
    CLEANUP(buf_free) struct buf text = text_of(&chain);
    struct audit_check check;
    struct audit_verifier verifier = audit_verifier_make();
    assert_true(audit_verifier_expect(&verifier, str_from_cstr(head)));
    audit_verify_bytes(&verifier, buf_str(&text));
    audit_verify_end(&verifier, &check);
    audit_verifier_free(&verifier);
    assert_holds(check);
    assert_int_equal(check.anchor_line, 0);
    tamper_remove_first(&chain);
    check = verify_chain(&chain);
    assert_holds(check);
    assert_int_equal(check.first_seq, 2);
    free_chain(&chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(audit_verify_says_what_is_in_a_good_chain),
        cmocka_unit_test(audit_verify_of_nothing_holds),
        cmocka_unit_test(audit_verify_takes_pieces_of_any_size),
        cmocka_unit_test(audit_verify_goes_on_over_files_and_may_begin_in_the_middle),
        cmocka_unit_test(audit_verify_tolerates_lines_that_a_crash_cut_off),
        cmocka_unit_test(audit_verify_counts_torn_lines_as_lines),
        cmocka_unit_test(audit_verify_takes_a_line_that_only_says_what_was_lost),
        cmocka_unit_test(audit_verify_finds_the_line_with_a_hash),
        cmocka_unit_test(audit_verify_refuses_lines_past_the_limit),
        cmocka_unit_test(audit_verify_finds_every_changed_byte_before_the_last_record),
        cmocka_unit_test(audit_verify_finds_every_byte_that_was_removed_or_inserted),
        cmocka_unit_test(audit_verify_finds_tampering),
        cmocka_unit_test(audit_verify_needs_a_kept_hash_for_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
