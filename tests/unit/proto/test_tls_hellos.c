/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/tls_hellos.h"

#include "base/err.h"
#include "support/cmocka_all.h"

#define RECORD(type, len) type "\x03\x03" len
#define CCS RECORD("\x14", "\x00\x01") "\x01"
#define ALERT RECORD("\x15", "\x00\x02") "\x01\x00"
#define SMALL_HELLO RECORD("\x16", "\x00\x06") "\x01\x00\x00\x02hi"
#define LARGE_HELLO RECORD("\x16", "\x00\x04") "\x01\x00\x40\x01"

static const struct row {
    const char *why;
    struct str bytes;
    bool is_tls12;
    bool refused;
} rows[] = {
    {"nothing", STR_INIT(""), false, false},
    {"a small one", STR_INIT(SMALL_HELLO), false, false},
    {"as large as may be", STR_INIT(RECORD("\x16", "\x01\x00") "\x01\x00\x40\x00"), false, false},
    {"one byte more", STR_INIT(LARGE_HELLO), false, true},
    {"all of it", STR_INIT(RECORD("\x16", "\x01\x00") "\x01\xff\xff\xff"), false, true},
    {"one byte less to tell", STR_INIT(RECORD("\x16", "\x01\x00") "\x01\xff\xff"), false, false},
    {"its length in two records",
     STR_INIT(RECORD("\x16", "\x00\x02") "\x01\x01" RECORD("\x16", "\x00\x02") "\x00\x00"), false,
     true},
    {"in four, with an empty one",
     STR_INIT(RECORD("\x16", "\x00\x01") "\x01" RECORD("\x16", "\x00\x01") "\x01" RECORD(
         "\x16", "\x00\x00") RECORD("\x16", "\x00\x02") "\x00\x00"),
     false, true},
    {"a small one in two records",
     STR_INIT(RECORD("\x16", "\x00\x03") "\x01\x00\x00" RECORD("\x16", "\x00\x03") "\x02hi"), false,
     false},
    {"the second one", STR_INIT(SMALL_HELLO LARGE_HELLO), false, true},
    {"the second one, in the record of the first",
     STR_INIT(RECORD("\x16", "\x00\x0a") "\x01\x00\x00\x02hi\x01\x01\x00\x00"), false, true},
    {"what a small one holds",
     STR_INIT(RECORD("\x16", "\x00\x08") "\x01\x00\x00\x04\x01\xff\xff\xff"), false, false},
    {"the second one, behind a ChangeCipherSpec", STR_INIT(SMALL_HELLO CCS LARGE_HELLO), false,
     true},
    {"the second one, behind early data",
     STR_INIT(SMALL_HELLO RECORD("\x17", "\x00\x04") "\x01\xff\xff\xff" LARGE_HELLO), false, true},
    {"the second one, behind an alert", STR_INIT(SMALL_HELLO ALERT LARGE_HELLO), false, true},
    {"encrypted, of TLS 1.3", STR_INIT(SMALL_HELLO RECORD("\x17", "\x00\x04") "\x01\xff\xff\xff"),
     false, false},
    {"encrypted, of TLS 1.2", STR_INIT(SMALL_HELLO CCS LARGE_HELLO), true, false},
    {"another message", STR_INIT(RECORD("\x16", "\x01\x00") "\x0b\x00\x70\x00"), true, false},
};

static void feed(const struct row *row, size_t piece)
{
    struct tls_hellos hellos = {0};
    struct str rest = row->bytes;
    bool good = true;
    while (rest.len > 0) {
        size_t n = size_min(piece, rest.len);
        good = tls_hellos_feed(&hellos, str_head(rest, n), row->is_tls12);
        rest = str_from(rest, n);
    }
    if (good == row->refused)
        fail_msg("%s, in pieces of %zu", row->why, piece);
    if (row->refused) /* for good */
        assert_false(tls_hellos_feed(&hellos, STR(SMALL_HELLO), row->is_tls12));
}

static void tls_hellos_refuses_what_claims_much_memory_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece <= size_max(1, rows[i].bytes.len); piece++)
            feed(&rows[i], piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_hellos_refuses_what_claims_much_memory_however_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
