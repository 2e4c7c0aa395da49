/* SPDX-License-Identifier: Apache-2.0 */
/* The promise: a session id works for the issuer, subject and route it was given to, with the key
 * it was made with, exactly as it was given, and in no other way. */
#include "auth/session.h"

#include <errno.h>

#include "base/err.h"
#include "base/secret.h"
#include "proto/base64url.h"
#include "support/cmocka_all.h"

#define ID "3f0c2f9e-8d52-4cf3-9d5a-5b7a2a2c6c11"

static const uint8_t key[SESSION_KEY_LEN] = {1, 2, 3, 0, 5};
static const uint8_t other_key[SESSION_KEY_LEN] = {1, 2, 3, 0, 6};
static const struct session_owner ada = {
    STR_INIT("https://tenant.us.auth0.com/"),
    STR_INIT("auth0|64f"),
    STR_INIT("https://mcp.example.com/mcp"),
};

/* The id for the client, in OUT from the beginning. */
static struct str bind(const struct session_owner *owner, struct str upstream_id, struct buf *out)
{
    buf_clear(out);
    assert_int_equal(session_bind(key, owner, upstream_id, out), 0);
    return buf_str(out);
}

static bool passes(const struct session_owner *owner, struct str client_id)
{
    struct str upstream_id = {0};
    bool good = session_check(key, owner, client_id, &upstream_id);
    assert_int_equal(good, str_is_set(upstream_id)); /* untouched on failure */
    return good;
}

static void session_check_gives_back_the_id_that_was_bound(void **state)
{
    (void)state;
    static const struct {
        struct str id;
        const char *why;
    } rows[] = {
        {STR_INIT(ID), "a UUID, as most servers give"},
        {STR_INIT("a"), "one character"},
        {STR_INIT("!~"), "the first and the last byte that may be"},
        {STR_INIT("a.b"), "a dot"},
        {STR_INIT("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"), "a JWT"},
        {STR_INIT("..."), "nothing but dots"},
        {STR_INIT("abc.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "looks like one of ours"},
        {STR_INIT("a,b;c=\"d\"\\"), "whatever is visible"},
    };
    struct buf out = buf_make(4096);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str upstream_id = {0};
        struct str client_id = bind(&ada, rows[i].id, &out);
        assert_int_equal(client_id.len, rows[i].id.len + 1 + SESSION_MAC_TEXT_LEN);
        assert_true(str_has_prefix(client_id, rows[i].id));
        assert_true(session_check(key, &ada, client_id, &upstream_id));
        assert_true(str_eq(upstream_id, rows[i].id));
        assert_ptr_equal(upstream_id.ptr, client_id.ptr); /* borrows */
    }
    buf_free(&out);
}

static void session_ids_are_the_same_on_every_replica(void **state)
{
    (void)state;
    struct buf first = buf_make(4096);
    struct buf second = buf_make(4096);
    assert_true(str_eq(bind(&ada, STR(ID), &first), bind(&ada, STR(ID), &second)));
    buf_free(&first);
    buf_free(&second);
}

/* The layout is a contract between replicas of different versions, too. */
static void session_mac_is_that_of_the_documented_parts(void **state)
{
    (void)state;
    const struct str parts[] = {
        STR("portcullis session binding 1"), ada.issuer, ada.subject, ada.resource, STR(ID),
    };
    uint8_t mac[SHA256_LEN];
    struct buf out = buf_make(4096);
    struct buf expected = buf_make(4096);
    assert_int_equal(
        secret_hmac_parts(str_make((const char *)key, sizeof(key)), parts, ARRAY_LEN(parts), mac),
        0);
    (void)buf_append(&expected, STR(ID "."));
    (void)base64url_encode_append(str_make((const char *)mac, sizeof(mac)), &expected);
    assert_true(str_eq(bind(&ada, STR(ID), &out), buf_str(&expected)));
    buf_free(&out);
    buf_free(&expected);
}

static void session_check_refuses_everybody_else(void **state)
{
    (void)state;
    static const struct {
        struct session_owner owner;
        const char *why;
    } rows[] = {
        {{STR_INIT("https://other.us.auth0.com/"), STR_INIT("auth0|64f"),
          STR_INIT("https://mcp.example.com/mcp")},
         "the same subject of another issuer"},
        {{STR_INIT("https://tenant.us.auth0.com"), STR_INIT("auth0|64f"),
          STR_INIT("https://mcp.example.com/mcp")},
         "an issuer without its slash"},
        {{STR_INIT("https://tenant.us.auth0.com/"), STR_INIT("auth0|650"),
          STR_INIT("https://mcp.example.com/mcp")},
         "another subject"},
        {{STR_INIT("https://tenant.us.auth0.com/"), STR_INIT("AUTH0|64f"),
          STR_INIT("https://mcp.example.com/mcp")},
         "another case"},
        {{STR_INIT("https://tenant.us.auth0.com/"), STR_INIT("auth0|64f\0"),
          STR_INIT("https://mcp.example.com/mcp")},
         "a NUL behind"},
        {{STR_INIT("https://tenant.us.auth0.com/"), STR_INIT("auth0|64f"),
          STR_INIT("https://mcp.example.com/api")},
         "another route"},
        {{STR_INIT("https://tenant.us.auth0.com/a"), STR_INIT("uth0|64f"),
          STR_INIT("https://mcp.example.com/mcp")},
         "a byte moved from the subject to the issuer"},
        {{STR_INIT("https://tenant.us.auth0.com/"), STR_INIT("auth0|64fhttps://mcp.example"),
          STR_INIT(".com/mcp")},
         "bytes moved from the resource to the subject"},
        {{STR_INIT("auth0|64f"), STR_INIT("https://tenant.us.auth0.com/"),
          STR_INIT("https://mcp.example.com/mcp")},
         "issuer and subject swapped"},
        {{STR_INIT(""), STR_INIT("auth0|64f"), STR_INIT("https://mcp.example.com/mcp")},
         "no issuer"},
        {{STR_INIT("https://tenant.us.auth0.com/"), STR_INIT(""),
          STR_INIT("https://mcp.example.com/mcp")},
         "no subject"},
        {{STR_INIT("https://tenant.us.auth0.com/"), STR_INIT("auth0|64f"), STR_INIT("")},
         "no route"},
        {{{0}, {0}, {0}}, "nobody"},
    };
    struct buf out = buf_make(4096);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_false(passes(&rows[i].owner, bind(&ada, STR(ID), &out)));
        assert_false(passes(&ada, bind(&rows[i].owner, STR(ID), &out)));
        assert_true(passes(&rows[i].owner, buf_str(&out)));
    }
    buf_free(&out);
}

static void session_check_refuses_another_key(void **state)
{
    (void)state;
    struct buf out = buf_make(4096);
    struct str upstream_id = {0};
    assert_false(session_check(other_key, &ada, bind(&ada, STR(ID), &out), &upstream_id));
    buf_free(&out);
}

static void session_check_refuses_an_id_with_one_bit_changed(void **state)
{
    (void)state;
    struct buf out = buf_make(4096);
    (void)bind(&ada, STR("a.b." ID), &out);
    for (size_t bit = 0; bit < 8 * out.len; bit++) {
        out.ptr[bit / 8] = (char)(out.ptr[bit / 8] ^ 1 << bit % 8);
        assert_false(passes(&ada, buf_str(&out)));
        out.ptr[bit / 8] = (char)(out.ptr[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(passes(&ada, buf_str(&out)));
    buf_free(&out);
}

static void session_check_refuses_an_id_with_any_other_byte(void **state)
{
    (void)state;
    struct buf out = buf_make(4096);
    (void)bind(&ada, STR("a.b"), &out);
    for (size_t i = 0; i < out.len; i++) {
        const char was = out.ptr[i];
        for (int byte = 0; byte < 256; byte++) {
            out.ptr[i] = (char)byte;
            assert_int_equal(passes(&ada, buf_str(&out)), (char)byte == was);
        }
        out.ptr[i] = was;
    }
    buf_free(&out);
}

static void session_check_refuses_an_id_with_a_byte_more_or_less(void **state)
{
    (void)state;
    struct buf out = buf_make(4096);
    struct buf changed = buf_make(4096);
    const struct str id = bind(&ada, STR("a.b." ID), &out);
    for (size_t i = 0; i <= id.len; i++) {
        assert_int_equal(passes(&ada, str_head(id, i)), i == id.len);
        assert_int_equal(passes(&ada, str_from(id, i)), i == 0);
        for (size_t gone = 0; gone < 2 && i + gone <= id.len; gone++) {
            buf_clear(&changed);
            (void)buf_append(&changed, str_head(id, i));
            (void)buf_append(&changed, gone == 0 ? STR(".") : STR(""));
            (void)buf_append(&changed, str_from(id, i + gone));
            assert_false(passes(&ada, buf_str(&changed)));
        }
    }
    buf_free(&out);
    buf_free(&changed);
}

static void session_check_refuses_what_was_never_bound(void **state)
{
    (void)state;
    static const struct {
        struct str id;
        const char *why;
    } rows[] = {
        {{0}, "absent"},
        {STR_INIT(""), "empty"},
        {STR_INIT(ID), "the upstream's own id"},
        {STR_INIT("."), "a dot"},
        {STR_INIT(".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "nothing before the dot"},
        {STR_INIT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "a MAC alone"},
        {STR_INIT("a.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "a MAC of zeros"},
        {STR_INIT("a.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"), "unused bits"},
        {STR_INIT("a.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), "padding"},
        {STR_INIT("a AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "no dot"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_false(passes(&ada, rows[i].id));
}

static void session_bind_refuses_what_is_no_session_id(void **state)
{
    (void)state;
    static const struct str rows[] = {
        {0},
        STR_INIT(""),
        STR_INIT(" "),
        STR_INIT("a b"),
        STR_INIT("a\tb"),
        STR_INIT("a\r\nSet-Cookie: x"),
        STR_INIT("a\0"),
        STR_INIT("\x7f"),
        STR_INIT("\x80"),
        STR_INIT("\xc3\xa9"),
    };
    struct buf out = buf_make(4096);
    (void)buf_append(&out, STR("before"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(session_bind(key, &ada, rows[i], &out), -EINVAL);
    assert_true(str_eq(buf_str(&out), STR("before")));
    buf_free(&out);
}

static void session_ids_have_a_longest_length(void **state)
{
    (void)state;
    char id[SESSION_MAX_ID_LEN + 1];
    struct buf out = buf_make(4096);
    memset(id, 'x', sizeof(id));
    assert_true(passes(&ada, bind(&ada, str_make(id, SESSION_MAX_ID_LEN), &out)));
    buf_clear(&out);
    assert_int_equal(session_bind(key, &ada, str_make(id, sizeof(id)), &out), -EINVAL);
    /* and with a good MAC, too: nothing longer is ever looked at */
    const struct str parts[] = {
        STR("portcullis session binding 1"),
        ada.issuer,
        ada.subject,
        ada.resource,
        str_make(id, sizeof(id)),
    };
    uint8_t mac[SHA256_LEN];
    assert_int_equal(
        secret_hmac_parts(str_make((const char *)key, sizeof(key)), parts, ARRAY_LEN(parts), mac),
        0);
    (void)buf_append(&out, str_make(id, sizeof(id)));
    (void)buf_append_char(&out, '.');
    (void)base64url_encode_append(str_make((const char *)mac, sizeof(mac)), &out);
    assert_false(passes(&ada, buf_str(&out)));
    buf_free(&out);
}

static void session_bind_appends_all_or_nothing(void **state)
{
    (void)state;
    const size_t whole = 6 + sizeof(ID) + SESSION_MAC_TEXT_LEN;
    for (size_t max = 6; max <= whole; max++) {
        struct buf out = buf_make(max);
        (void)buf_append(&out, STR("before"));
        assert_int_equal(session_bind(key, &ada, STR(ID), &out), max == whole ? 0 : -EMSGSIZE);
        assert_int_equal(out.len, max == whole ? whole : 6);
        buf_free(&out);
    }
}

static void session_keys_differ_with_every_secret(void **state)
{
    (void)state;
    char long_secret[200];
    memset(long_secret, 's', sizeof(long_secret));
    uint8_t digest[SHA256_LEN];
    assert_int_equal(secret_sha256(str_make(long_secret, sizeof(long_secret)), digest), 0);
    const struct str secrets[] = {
        STR("secret"),
        STR("secret\0"), /* the same key to an HMAC that is keyed with it */
        STR("Secret"),
        STR(""),
        str_make(long_secret, sizeof(long_secret)),
        str_make(long_secret, sizeof(long_secret) - 1),
        str_make((const char *)digest, sizeof(digest)), /* the same, of a long one */
    };
    uint8_t keys[ARRAY_LEN(secrets)][SESSION_KEY_LEN];
    uint8_t again[SESSION_KEY_LEN];
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        assert_int_equal(session_key_from_secret(secrets[i], keys[i]), 0);
        assert_int_equal(session_key_from_secret(secrets[i], again), 0);
        assert_memory_equal(keys[i], again, sizeof(again));
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], SESSION_KEY_LEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_check_gives_back_the_id_that_was_bound),
        cmocka_unit_test(session_ids_are_the_same_on_every_replica),
        cmocka_unit_test(session_mac_is_that_of_the_documented_parts),
        cmocka_unit_test(session_check_refuses_everybody_else),
        cmocka_unit_test(session_check_refuses_another_key),
        cmocka_unit_test(session_check_refuses_an_id_with_one_bit_changed),
        cmocka_unit_test(session_check_refuses_an_id_with_any_other_byte),
        cmocka_unit_test(session_check_refuses_an_id_with_a_byte_more_or_less),
        cmocka_unit_test(session_check_refuses_what_was_never_bound),
        cmocka_unit_test(session_bind_refuses_what_is_no_session_id),
        cmocka_unit_test(session_ids_have_a_longest_length),
        cmocka_unit_test(session_bind_appends_all_or_nothing),
        cmocka_unit_test(session_keys_differ_with_every_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
