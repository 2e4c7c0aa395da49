/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/challenge.h"

#include <errno.h>

#include "base/err.h"
#include "support/cmocka_all.h"

#define URL "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"

static void challenge_append_writes_the_parameters_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct challenge challenge;
        const char *expected;
    } rows[] = {
        {"no token: no error (RFC 6750 3.1)",
         {.resource_metadata = STR_INIT(URL)},
         "Bearer resource_metadata=\"" URL "\""},
        {"with scope",
         {.resource_metadata = STR_INIT(URL), .scope = STR_INIT("mcp:use files:read")},
         "Bearer resource_metadata=\"" URL "\", scope=\"mcp:use files:read\""},
        {"everything",
         {.resource_metadata = STR_INIT(URL),
          .scope = STR_INIT("a"),
          .error = STR_INIT("invalid_token"),
          .error_description = STR_INIT("The access token expired")},
         "Bearer resource_metadata=\"" URL "\", scope=\"a\", error=\"invalid_token\", "
         "error_description=\"The access token expired\""},
        {"an empty parameter is left out",
         {.resource_metadata = STR_INIT(URL), .scope = STR_INIT(""), .error = STR_INIT("e")},
         "Bearer resource_metadata=\"" URL "\", error=\"e\""},
        {"nothing but the scheme", {.scope = STR_INIT("")}, "Bearer"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = buf_make(1024);
        assert_int_equal(challenge_append(&rows[i].challenge, &out), 0);
        if (!str_eq(buf_str(&out), str_from_cstr(rows[i].expected)))
            fail_msg("%s: %.*s", rows[i].why, STR_ARG(buf_str(&out)));
        buf_free(&out);
    }
}

static void challenge_append_refuses_bytes_that_would_need_escaping(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        const char text[] = {'a', (char)c, 'b'};
        const struct str value = str_make(text, sizeof(text));
        const struct challenge challenges[] = {
            {.resource_metadata = value},
            {.resource_metadata = STR(URL), .scope = value},
            {.resource_metadata = STR(URL), .error = value},
            {.resource_metadata = STR(URL), .error_description = value},
        };
        const bool allowed = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
        for (size_t i = 0; i < ARRAY_LEN(challenges); i++) {
            struct buf out = buf_make(1024);
            assert_int_equal(buf_append(&out, STR("kept")), 0);
            assert_int_equal(challenge_append(&challenges[i], &out), allowed ? 0 : -EINVAL);
            if (!allowed)
                assert_true(str_eq(buf_str(&out), STR("kept")));
            buf_free(&out);
        }
    }
}

static void challenge_append_leaves_nothing_behind_when_there_is_no_room(void **state)
{
    (void)state;
    const struct challenge challenge = {.resource_metadata = STR(URL)};
    struct buf out = buf_make(32);
    assert_int_equal(buf_append(&out, STR("kept")), 0);
    assert_int_equal(challenge_append(&challenge, &out), -EMSGSIZE);
    assert_true(str_eq(buf_str(&out), STR("kept")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenge_append_writes_the_parameters_in_order),
        cmocka_unit_test(challenge_append_refuses_bytes_that_would_need_escaping),
        cmocka_unit_test(challenge_append_leaves_nothing_behind_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
