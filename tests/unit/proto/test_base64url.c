/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/base64url.h"

#include <ctype.h>
#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

/* RFC 4648 10, without padding, and the bytes that the URL alphabet is about. */
static const struct {
    struct str bytes;
    struct str text;
} pairs[] = {
    {STR_INIT(""), STR_INIT("")},
    {STR_INIT("f"), STR_INIT("Zg")},
    {STR_INIT("fo"), STR_INIT("Zm8")},
    {STR_INIT("foo"), STR_INIT("Zm9v")},
    {STR_INIT("foob"), STR_INIT("Zm9vYg")},
    {STR_INIT("fooba"), STR_INIT("Zm9vYmE")},
    {STR_INIT("foobar"), STR_INIT("Zm9vYmFy")},
    {STR_INIT("\xff\xff\xff"), STR_INIT("____")},
    {STR_INIT("\xfb\xef\xbe"), STR_INIT("----")},
    {STR_INIT("\0"), STR_INIT("AA")},
    {STR_INIT("\0\0"), STR_INIT("AAA")},
    {STR_INIT("\x03\xec\xff\xe0\xc1"), STR_INIT("A-z_4ME")},
};

static void base64url_encodes_and_decodes_the_rfc_vectors(void **state)
{
    (void)state;
    struct buf out = buf_make(64);
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        buf_clear(&out);
        assert_int_equal(base64url_encode_append(pairs[i].bytes, &out), 0);
        assert_true(str_eq(buf_str(&out), pairs[i].text));
        buf_clear(&out);
        assert_int_equal(base64url_decode_append(pairs[i].text, &out), 0);
        assert_true(str_eq(buf_str(&out), pairs[i].bytes));
        assert_int_equal(base64url_decoded_len(pairs[i].text.len), pairs[i].bytes.len);
    }
    buf_free(&out);
}

static void base64url_round_trips_every_length(void **state)
{
    (void)state;
    char bytes[258];
    struct buf text = buf_make(1024);
    struct buf back = buf_make(1024);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 37 + 11);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        buf_clear(&text);
        buf_clear(&back);
        assert_int_equal(base64url_encode_append(str_make(bytes, len), &text), 0);
        assert_int_equal(base64url_decode_append(buf_str(&text), &back), 0);
        assert_true(str_eq(buf_str(&back), str_make(bytes, len)));
    }
    buf_free(&text);
    buf_free(&back);
}

static void base64url_refuses_what_is_not_strict(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct str text;
    } rows[] = {
        {"padding", STR_INIT("Zg==")},
        {"half the padding", STR_INIT("Zg=")},
        {"padding alone", STR_INIT("=")},
        {"padding of a whole group", STR_INIT("Zm9v=")},
        {"the other alphabet's 62", STR_INIT("Zm9+")},
        {"the other alphabet's 63", STR_INIT("Zm9/")},
        {"one character encodes nothing", STR_INIT("Z")},
        {"five characters encode nothing", STR_INIT("Zm9vY")},
        {"unused bits of two characters: 0001", STR_INIT("Zh")},
        {"unused bits of two characters: 1000", STR_INIT("Zo")},
        {"unused bits of three characters: 01", STR_INIT("Zm9")},
        {"unused bits of three characters: 10", STR_INIT("Zm-")},
        {"blank before", STR_INIT(" Zm9v")},
        {"blank inside", STR_INIT("Zm 9v")},
        {"line end", STR_INIT("Zm9v\n")},
        {"CR LF of MIME", STR_INIT("Zm9v\r\nYmFy")},
        {"NUL at the end", STR_INIT("Zm9v\0")},
        {"NUL inside", STR_INIT("Zm\0v")},
        {"dot", STR_INIT("Zm.v")},
        {"percent", STR_INIT("Zm%v")},
        {"byte above 0x7f", STR_INIT("Zm\xc3\xa9")},
        {"0xff", STR_INIT("\xff\xff\xff\xff")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t bytes[16] = {0x55};
        size_t len = 99;
        struct buf out = buf_make(64);
        if (base64url_is_valid(rows[i].text) ||
            base64url_decode(rows[i].text, bytes, sizeof(bytes), &len) != -EINVAL ||
            base64url_decode_append(rows[i].text, &out) != -EINVAL)
            fail_msg("accepted: %s", rows[i].why);
        assert_int_equal(len, 99);
        assert_int_equal(out.len, 0);
        buf_free(&out);
    }
}

static void base64url_accepts_exactly_its_alphabet(void **state)
{
    (void)state;
    unsigned accepted = 0;
    for (unsigned c = 0; c < 256; c++) {
        const char text[4] = {'A', 'A', 'A', (char)c};
        accepted += base64url_is_valid(str_make(text, sizeof(text))) ? 1 : 0;
    }
    assert_int_equal(accepted, 64);
}

/* Characters are looked at in groups of four: none of them may slip through, wherever it is. */
static void base64url_refuses_a_foreign_byte_in_every_place(void **state)
{
    (void)state;
    static const struct str good = STR_INIT("QUJDREVGR0hJ"); /* "ABCDEFGHI" */
    for (size_t len = 4; len <= good.len; len += 4) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                char text[12];
                uint8_t bytes[9];
                size_t decoded = 99;
                memcpy(text, good.ptr, len);
                text[at] = (char)c;
                const struct str changed = str_make(text, len);
                const bool valid = isalnum((int)c) || c == '-' || c == '_';
                assert_int_equal(base64url_is_valid(changed), valid);
                assert_int_equal(base64url_decode(changed, bytes, sizeof(bytes), &decoded),
                                 valid ? 0 : -EINVAL);
                assert_int_equal(decoded, valid ? len / 4 * 3 : 99);
            }
        }
    }
}

static void base64url_decode_respects_the_room_given(void **state)
{
    (void)state;
    uint8_t bytes[4] = {1, 2, 3, 4};
    size_t len = 0;
    assert_int_equal(base64url_decode(STR("Zm9v"), bytes, 2, &len), -ENOSPC);
    assert_int_equal(bytes[0], 1);
    assert_int_equal(base64url_decode(STR("Zm9v"), bytes, 3, &len), 0);
    assert_int_equal(len, 3);
    assert_int_equal(bytes[3], 4);
}

static void base64url_append_leaves_a_full_buffer_alone(void **state)
{
    (void)state;
    struct buf out = buf_make(6);
    assert_int_equal(buf_append(&out, STR("abc")), 0);
    assert_int_equal(base64url_encode_append(STR("foo"), &out), -EMSGSIZE);
    assert_int_equal(base64url_decode_append(STR("Zm9vYg"), &out), -EMSGSIZE);
    assert_int_equal(base64url_decode_append(STR("Zm9v"), &out), 0);
    assert_true(str_eq(buf_str(&out), STR("abcfoo")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url_encodes_and_decodes_the_rfc_vectors),
        cmocka_unit_test(base64url_round_trips_every_length),
        cmocka_unit_test(base64url_refuses_what_is_not_strict),
        cmocka_unit_test(base64url_accepts_exactly_its_alphabet),
        cmocka_unit_test(base64url_refuses_a_foreign_byte_in_every_place),
        cmocka_unit_test(base64url_decode_respects_the_room_given),
        cmocka_unit_test(base64url_append_leaves_a_full_buffer_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
