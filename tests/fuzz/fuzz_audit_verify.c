/* SPDX-License-Identifier: Apache-2.0 */
/* ops/audit, verification: bytes in pieces give what they give whole; a chain made of the input
 * holds, and in it every changed byte and every removed line is found, but for what only a hash
 * kept elsewhere could show: what the last line says behind its prev, and the end of the file. */
#include "base/err.h"
#include "ops/audit.h"
#include "oracle.h"

#define MAX_INPUT 1024
#define MAX_BYTES (16U * 1024)
#define MAX_LINES 12
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* Deterministic numbers out of the input. */
struct dice {
    uint32_t state;
};

static struct dice dice_from(struct str input)
{
    struct dice dice = {2166136261U};
    for (size_t i = 0; i < input.len; i++)
        dice.state = (dice.state ^ (unsigned char)input.ptr[i]) * 16777619U;
    return dice;
}

static size_t roll(struct dice *dice, size_t below)
{
    dice->state = dice->state * 1664525U + 1013904223U;
    return (dice->state >> 8) % below;
}

/* In pieces of 1 to MAX_PIECE bytes. */
static struct audit_check verify_pieces(struct str text, size_t max_piece, struct dice *dice)
{
    struct audit_check check;
    struct audit_verifier verifier = audit_verifier_make();
    while (text.len > 0) {
        struct str piece = str_head(text, 1 + roll(dice, max_piece));
        audit_verify_bytes(&verifier, piece);
        text = str_from(text, piece.len);
    }
    audit_verify_end(&verifier, &check);
    audit_verifier_free(&verifier);
    return check;
}

/* In one piece, in a block of its own size: a read past it is seen. */
static struct audit_check verify(struct str text)
{
    struct audit_check check;
    struct audit_verifier verifier = audit_verifier_make();
    char *copy = malloc(size_max(text.len, 1));
    ORACLE(copy != NULL);
    memcpy(copy, text.ptr, text.len);
    audit_verify_bytes(&verifier, str_make(copy, text.len));
    audit_verify_end(&verifier, &check);
    audit_verifier_free(&verifier);
    free(copy);
    return check;
}

static void hash_of(struct str line, char ret_hash[AUDIT_HASH_HEX_LEN + 1])
{
    uint8_t digest[SHA256_LEN];
    ORACLE(secret_sha256(line, digest) == 0);
    for (size_t i = 0; i < SHA256_LEN; i++)
        (void)snprintf(ret_hash + 2 * i, 3, "%02x", digest[i]);
}

static bool same(const struct audit_check *a, const struct audit_check *b)
{
    return a->lines == b->lines && a->first_seq == b->first_seq && a->last_seq == b->last_seq &&
           a->lost == b->lost && a->torn == b->torn && a->bad_line == b->bad_line &&
           a->why == b->why && strcmp(a->first_prev, b->first_prev) == 0 &&
           strcmp(a->head, b->head) == 0;
}

/* What must be so of any bytes. */
static void check_any(struct str text, struct dice *dice)
{
    struct audit_check whole = verify(text);
    struct audit_check pieces = verify_pieces(text, 1 + roll(dice, 200), dice);
    ORACLE(same(&whole, &pieces));
    ORACLE((whole.bad_line != 0) == (whole.why != NULL));
    ORACLE(whole.torn <= whole.lines);
    if (whole.bad_line != 0 || text.len == 0)
        return;
    char head[AUDIT_HASH_HEX_LEN + 1];
    struct str rest = text.ptr[text.len - 1] == '\n' ? str_head(text, text.len - 1) : text;
    struct str line = {0};
    uint64_t lines = 0;
    while (str_split(&rest, '\n', &line))
        lines++;
    hash_of(line, head);
    ORACLE(whole.lines == lines);
    ORACLE(memcmp(whole.head, head, sizeof(head)) == 0);
}

/* A chain whose records say the lines of the input; made without the code that is tested. */
struct chain {
    struct buf text;
    size_t starts[MAX_LINES + 1];
    size_t n;
};

static void add_line(struct chain *chain, struct str says)
{
    char prev[AUDIT_HASH_HEX_LEN + 1] = ZEROS;
    size_t at = chain->starts[chain->n];
    if (chain->n > 0) {
        struct str before = str_from(buf_str(&chain->text), chain->starts[chain->n - 1]);
        hash_of(str_head(before, before.len - 1), prev);
    }
    (void)buf_printf(&chain->text, "{\"seq\":%zu,\"prev\":\"%s\"", chain->n + 1, prev);
    if (says.len % 3 == 1)
        (void)buf_printf(&chain->text, ",\"lost\":%zu", says.len);
    (void)buf_append(&chain->text, STR(",\"a\":[{\"says\":\""));
    (void)buf_append_json(&chain->text, says);
    (void)buf_append(&chain->text, STR("\"}]}\n"));
    ORACLE(!buf_failed(&chain->text) && chain->text.len > at);
    chain->starts[++chain->n] = chain->text.len;
}

static void check_changed_byte(const struct chain *chain, struct dice *dice)
{
    size_t last = chain->starts[chain->n - 1];
    struct str line = str_from(buf_str(&chain->text), last);
    const char *prev = memmem(line.ptr, line.len, "prev", 4);
    ORACLE(prev != NULL);
    size_t held = (size_t)(prev - chain->text.ptr) + strlen("prev\":\"") + AUDIT_HASH_HEX_LEN + 1;
    size_t at = roll(dice, held);
    char before = chain->text.ptr[at];
    char changed = (char)(before ^ (char)(1 + roll(dice, 255)));
    chain->text.ptr[at] = changed;
    struct audit_check check = verify(buf_str(&chain->text));
    check_any(buf_str(&chain->text), dice);
    chain->text.ptr[at] = before;
    /* A last line that is none any more is as a crash leaves it; of an only line nothing is known
     * but that it is a line, and whether it says that it is the first. */
    bool is_torn = check.torn > 0 && at + 1 >= last;
    bool is_alone = chain->n == 1;
    ORACLE(check.bad_line != 0 || is_torn || is_alone);
}

static void check_removed_line(const struct chain *chain, struct dice *dice)
{
    size_t i = roll(dice, chain->n);
    struct buf less = buf_make(2 * MAX_BYTES);
    (void)buf_append(&less, str_head(buf_str(&chain->text), chain->starts[i]));
    (void)buf_append(&less, str_from(buf_str(&chain->text), chain->starts[i + 1]));
    struct audit_check check = verify(buf_str(&less));
    if (i == 0 || i + 1 == chain->n)
        ORACLE(check.bad_line == 0 && check.lines + 1 == chain->n);
    else
        ORACLE(check.bad_line == i + 1);
    if (i == 0 && chain->n > 1)
        ORACLE(check.first_seq == 2);
    buf_free(&less);
}

/* Cut anywhere, as a crash does, and gone on with, as the log does. */
static void check_cut(const struct chain *chain, struct dice *dice)
{
    size_t len = 1 + roll(dice, chain->text.len);
    struct buf cut = buf_make(2 * MAX_BYTES);
    (void)buf_append(&cut, str_head(buf_str(&chain->text), len));
    struct audit_check check = verify(buf_str(&cut));
    ORACLE(check.bad_line == 0 && check.torn <= 1);
    if (chain->text.ptr[len - 1] != '\n')
        (void)buf_append_char(&cut, '\n');
    (void)buf_printf(&cut, "{\"seq\":%zu,\"prev\":\"%s\",\"a\":1}\n", (size_t)check.lines + 1,
                     check.head);
    struct audit_check behind = verify(buf_str(&cut));
    ORACLE(behind.bad_line == 0 && behind.torn == check.torn);
    ORACLE(behind.last_seq == check.lines + 1);
    buf_free(&cut);
}

static void check_chain_of(struct str input, struct dice *dice)
{
    struct chain chain = {.text = buf_make(MAX_BYTES)};
    struct str says;
    while (chain.n < MAX_LINES && str_split(&input, '\n', &says))
        add_line(&chain, says);
    struct audit_check check = verify(buf_str(&chain.text));
    ORACLE(check.bad_line == 0);
    ORACLE(check.lines == chain.n && check.last_seq == chain.n && check.torn == 0);
    check_any(buf_str(&chain.text), dice);
    check_changed_byte(&chain, dice);
    check_removed_line(&chain, dice);
    check_cut(&chain, dice);
    buf_free(&chain.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str input = oracle_input(data, size);
    struct dice dice = dice_from(input);
    if (size > MAX_INPUT)
        return 0;
    check_any(input, &dice);
    check_chain_of(input, &dice);
    return 0;
}
