/* SPDX-License-Identifier: Apache-2.0 */
/* A server's session against OpenSSL's own client, with nothing but memory between them. */
#include "proto/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "support/certs.h"

#define MAX_WIRE (4U * 1024 * 1024)

struct world {
    struct cert ca, other_ca, server, client, stranger;
    struct tls_context *context;
    struct tls_session *session;
    struct buf to_server;
    bool client_left; /* behind what is in TO_SERVER */
    size_t read_max;  /* bytes that one read of the session gives */
    struct str taken; /* where the last one went */
    size_t room;      /* for what the session writes */
    SSL_CTX *client_rules;
    SSL *ssl; /* the client */
    BIO *from_server;
    BIO *from_client;
};

static ssize_t io_read(void *ctx, void *bytes, size_t len)
{
    struct world *w = ctx;
    size_t n = size_min(size_min(len, w->read_max), w->to_server.len);
    if (n == 0 && w->client_left && w->to_server.len == 0)
        return 0;
    if (n == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(bytes, w->to_server.ptr, n);
    w->taken = str_make(bytes, n);
    buf_consume(&w->to_server, n);
    return (ssize_t)n;
}

static ssize_t io_write(void *ctx, const void *bytes, size_t len)
{
    struct world *w = ctx;
    size_t n = size_min(len, w->room);
    if (n == 0) {
        errno = EAGAIN;
        return -1;
    }
    w->room -= n;
    assert_int_equal(BIO_write(w->from_server, bytes, (int)n), (int)n);
    return (ssize_t)n;
}

static const struct tls_io io = {.read = io_read, .write = io_write};

/* What the client has written goes on its way. */
static void carry(struct world *w)
{
    char bytes[4096];
    for (int n = 1; n > 0;) {
        n = BIO_read(w->from_client, bytes, sizeof(bytes));
        if (n > 0)
            assert_int_equal(buf_append(&w->to_server, str_make(bytes, (size_t)n)), 0);
    }
}

static struct tls_context *context_of(const char *certificate, const char *key,
                                      const char *client_ca)
{
    struct tls_context *context = NULL;
    struct tls_fault fault = {0};
    const struct tls_material material = {.certificate = str_from_cstr(certificate),
                                          .key = str_from_cstr(key),
                                          .client_ca = str_from_cstr(client_ca)};
    if (tls_context_new(&material, &context, &fault) != 0)
        fail_msg("%d %s", (int)fault.part, fault.text);
    return context;
}

static struct tls_context *make_context(const struct cert *cert, const char *client_ca)
{
    return context_of(cert->certificate_pem, cert->key_pem, client_ca);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->ca = cert_make(&(struct cert_wish){.name = "ca"});
    w->other_ca = cert_make(&(struct cert_wish){.name = "other ca"});
    w->server = cert_make(&(struct cert_wish){.name = "server", .by = &w->ca});
    w->client = cert_make(&(struct cert_wish){.name = "client", .by = &w->ca});
    w->stranger = cert_make(&(struct cert_wish){.name = "stranger", .by = &w->other_ca});
    w->context = make_context(&w->server, NULL);
    w->to_server = buf_make(MAX_WIRE);
    w->client_rules = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(w->client_rules, SSL_VERIFY_PEER, NULL);
    assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(w->client_rules), w->ca.x509), 1);
    *state = w;
    return 0;
}

static void disconnect(struct world *w)
{
    w->session = tls_session_free(w->session);
    SSL_free(w->ssl);
    w->ssl = NULL;
    buf_clear(&w->to_server);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    disconnect(w);
    assert_null(tls_context_unref(w->context));
    SSL_CTX_free(w->client_rules);
    struct cert *certs[] = {&w->ca, &w->other_ca, &w->server, &w->client, &w->stranger};
    for (size_t i = 0; i < ARRAY_LEN(certs); i++)
        cert_free(certs[i]);
    buf_free(&w->to_server);
    free(w);
    return 0;
}

/* A session and a client that have not spoken yet. */
static void connect_with(struct world *w, struct tls_context *context)
{
    disconnect(w);
    w->read_max = SIZE_MAX;
    w->room = SIZE_MAX;
    w->client_left = false;
    w->session = tls_session_new(context, &io, w);
    w->ssl = SSL_new(w->client_rules);
    w->from_server = BIO_new(BIO_s_mem());
    w->from_client = BIO_new(BIO_s_mem());
    assert_true(w->session != NULL && w->ssl != NULL);
    SSL_set_bio(w->ssl, w->from_server, w->from_client);
    SSL_set_connect_state(w->ssl);
}

/* Both sides in turn, until the server's has an end. */
static enum tls_rc shake_hands(struct world *w)
{
    enum tls_rc rc = TLS_AGAIN;
    assert_null(tls_outcome(w->session));
    for (int i = 0; rc == TLS_AGAIN; i++) {
        assert_true(i < 100000);
        ERR_clear_error();
        int r = SSL_do_handshake(w->ssl);
        carry(w);
        if (r != 1 && SSL_get_error(w->ssl, r) != SSL_ERROR_WANT_READ)
            w->client_left = true;
        rc = tls_handshake(w->session);
    }
    ERR_clear_error();
    (void)SSL_do_handshake(w->ssl); /* the client's end of it */
    carry(w);
    return rc;
}

static void expect_outcome(struct world *w, const char *why, const char *outcome)
{
    bool good = strcmp(outcome, "full") == 0 || strcmp(outcome, "resumed") == 0;
    enum tls_rc rc = shake_hands(w);
    if (strcmp(tls_outcome(w->session), outcome) != 0 || rc != (good ? TLS_OK : TLS_FAILED))
        fail_msg("%s: %s", why, tls_outcome(w->session));
}

static void client_says(struct world *w, struct str text)
{
    assert_int_equal(SSL_write(w->ssl, text.ptr, (int)text.len), (int)text.len);
    carry(w);
}

static void expect_read(struct world *w, const char *text)
{
    char room[256];
    ssize_t n = tls_read(w->session, room, sizeof(room));
    assert_int_equal(n, strlen(text));
    assert_memory_equal(room, text, strlen(text));
}

static void expect_no_bytes(struct world *w)
{
    char byte;
    errno = 0;
    assert_int_equal(tls_read(w->session, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

static ssize_t say(struct world *w, struct str first, struct str second)
{
    const struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)first.ptr, .iov_len = first.len},
        {.iov_base = (void *)(uintptr_t)second.ptr, .iov_len = second.len}};
    return tls_write(w->session, parts, ARRAY_LEN(parts));
}

static void expect_client_reads(struct world *w, const char *text)
{
    char room[256];
    int n = SSL_read(w->ssl, room, sizeof(room));
    assert_int_equal(n, (int)strlen(text));
    assert_memory_equal(room, text, strlen(text));
}

/* ---- handshakes ---- */

static void tls_speaks_what_is_safe_today_and_nothing_else(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        int min, max; /* versions of the client; 0: any */
        const char *ciphers;
        const char *groups;
        const char *outcome;
    } rows[] = {
        {"whatever both like best", 0, 0, NULL, NULL, "full"},
        {"TLS 1.3", TLS1_3_VERSION, 0, NULL, NULL, "full"},
        {"TLS 1.2, AES", 0, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, "full"},
        {"TLS 1.2, ChaCha20", 0, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, "full"},
        {"TLS 1.1", TLS1_VERSION, TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL, "version"},
        {"TLS 1.0", TLS1_VERSION, TLS1_VERSION, "ALL:@SECLEVEL=0", NULL, "version"},
        {"no AEAD", 0, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", NULL, "cipher"},
        {"no forward secrecy", 0, TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, "cipher"},
        {"no group in common", TLS1_3_VERSION, 0, NULL, "ffdhe2048", "full"},
        {"anonymous", 0, TLS1_2_VERSION, "aNULL:@SECLEVEL=0", NULL, "cipher"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        connect_with(w, w->context);
        assert_int_equal(SSL_set_min_proto_version(w->ssl, rows[i].min), 1);
        assert_int_equal(SSL_set_max_proto_version(w->ssl, rows[i].max), 1);
        if (rows[i].ciphers != NULL)
            assert_int_equal(SSL_set_cipher_list(w->ssl, rows[i].ciphers), 1);
        if (rows[i].groups != NULL) {
            char groups[32]; /* a macro of OpenSSL that casts const away */
            (void)snprintf(groups, sizeof(groups), "%s", rows[i].groups);
            assert_int_equal(SSL_set1_groups_list(w->ssl, groups), 1);
        }
        expect_outcome(w, rows[i].why, rows[i].outcome);
        if (strcmp(rows[i].outcome, "full") != 0)
            continue;
        client_says(w, STR("ping"));
        expect_read(w, "ping");
        assert_int_equal(say(w, STR("po"), STR("ng")), 4);
        expect_client_reads(w, "pong");
    }
}

static void tls_reads_a_peer_that_sends_byte_by_byte(void **state)
{
    struct world *w = *state;
    connect_with(w, w->context);
    w->read_max = 1;
    expect_outcome(w, "byte by byte", "full");
    client_says(w, STR("hello"));
    struct buf wire = buf_make(MAX_WIRE);
    assert_int_equal(buf_append(&wire, buf_str(&w->to_server)), 0);
    buf_clear(&w->to_server);
    for (size_t i = 0; i + 1 < wire.len; i++) {
        assert_int_equal(buf_append(&w->to_server, str_make(wire.ptr + i, 1)), 0);
        expect_no_bytes(w);
        assert_false(tls_has_bytes(w->session));
    }
    assert_int_equal(buf_append(&w->to_server, str_make(wire.ptr + wire.len - 1, 1)), 0);
    expect_read(w, "hello");
    buf_free(&wire);
}

static void tls_alpn_is_http11_or_nothing(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        struct str list;
        const char *outcome;
    } rows[] = {
        {"ours", STR_INIT("\x08http/1.1"), "full"},
        {"ours among others", STR_INIT("\x02h2\x08http/1.1\x08http/1.0"), "full"},
        {"others", STR_INIT("\x02h2"), "alpn"},
        {"a beginning of ours", STR_INIT("\x08http/1.0"), "alpn"},
        {"ours inside of another", STR_INIT("\x09http/1.1x"), "alpn"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const unsigned char *name = NULL;
        unsigned len = 0;
        connect_with(w, w->context);
        assert_int_equal(SSL_set_alpn_protos(w->ssl, (const unsigned char *)rows[i].list.ptr,
                                             (unsigned)rows[i].list.len),
                         0);
        expect_outcome(w, rows[i].why, rows[i].outcome);
        SSL_get0_alpn_selected(w->ssl, &name, &len);
        if (strcmp(rows[i].outcome, "full") == 0)
            assert_true(str_eq(str_make((const char *)name, len), STR("http/1.1")));
    }
}

static void client_shows(struct world *w, const struct cert *cert)
{
    assert_int_equal(SSL_use_certificate(w->ssl, cert->x509), 1);
    assert_int_equal(SSL_use_PrivateKey(w->ssl, cert->key), 1);
}

static void tls_lets_in_only_clients_of_its_ca(void **state)
{
    struct world *w = *state;
    struct tls_context *context = make_context(&w->server, w->ca.certificate_pem);
    struct cert expired = cert_make(
        &(struct cert_wish){.name = "late", .by = &w->ca, .from_s = -7200, .until_s = -3600});
    const struct {
        const char *why;
        const struct cert *cert;
        const char *outcome;
    } rows[] = {
        {"of the CA", &w->client, "full"},
        {"none", NULL, "no_certificate"},
        {"of another CA", &w->stranger, "bad_certificate"},
        {"expired", &expired, "bad_certificate"},
        {"signed by itself", &w->other_ca, "bad_certificate"},
    };
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            connect_with(w, context);
            assert_int_equal(SSL_set_max_proto_version(w->ssl, version), 1);
            if (rows[i].cert != NULL)
                client_shows(w, rows[i].cert);
            expect_outcome(w, rows[i].why, rows[i].outcome);
        }
    cert_free(&expired);
    disconnect(w);
    assert_null(tls_context_unref(context));
}

/* The file names one intermediate of a company's CA, whose other clients have no business here. */
static void tls_takes_an_intermediate_for_the_ca_of_its_clients(void **state)
{
    struct world *w = *state;
    static struct cert ours, theirs, client, stranger; /* large for a stack */
    ours = cert_make(&(struct cert_wish){.name = "A", .by = &w->ca, .is_ca = true});
    theirs = cert_make(&(struct cert_wish){.name = "B", .by = &w->ca, .is_ca = true});
    client = cert_make(&(struct cert_wish){.name = "of A", .by = &ours});
    stranger = cert_make(&(struct cert_wish){.name = "of B", .by = &theirs});
    struct tls_context *context = make_context(&w->server, ours.certificate_pem);
    const struct {
        const char *why;
        const struct cert *cert;
        const struct cert *above; /* that the client sends along */
        const char *outcome;
    } rows[] = {
        {"of the intermediate", &client, NULL, "full"},
        {"which it sends along", &client, &ours, "full"},
        {"of its sister", &stranger, &theirs, "bad_certificate"},
        {"of the root above", &w->client, NULL, "bad_certificate"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        connect_with(w, context);
        client_shows(w, rows[i].cert);
        if (rows[i].above != NULL)
            assert_int_equal(SSL_add1_chain_cert(w->ssl, rows[i].above->x509), 1);
        expect_outcome(w, rows[i].why, rows[i].outcome);
    }
    disconnect(w);
    assert_null(tls_context_unref(context));
    struct cert *certs[] = {&ours, &theirs, &client, &stranger};
    for (size_t i = 0; i < ARRAY_LEN(certs); i++)
        cert_free(certs[i]);
}

/* A session that is resumed brings no certificate: it would outlive the one it began with. */
static void tls_asks_for_the_certificate_every_time(void **state)
{
    struct world *w = *state;
    struct tls_context *context = make_context(&w->server, w->ca.certificate_pem);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION *session = NULL;
        for (int i = 0; i < 2; i++) {
            connect_with(w, context);
            assert_int_equal(SSL_set_max_proto_version(w->ssl, version), 1);
            if (session != NULL)
                assert_int_equal(SSL_set_session(w->ssl, session), 1);
            client_shows(w, &w->client);
            expect_outcome(w, "the certificate again", "full");
            assert_int_equal(say(w, STR("x"), STR("")), 1);
            expect_client_reads(w, "x"); /* and a ticket before it, were there one */
            SSL_SESSION_free(session);
            session = SSL_get1_session(w->ssl);
            assert_int_equal(SSL_SESSION_has_ticket(session), 0);
            (void)SSL_shutdown(w->ssl);
        }
        SSL_SESSION_free(session);
    }
    disconnect(w);
    assert_null(tls_context_unref(context));
}

/* What its file does not hold is not looked for among the clients' CAs. */
static void tls_shows_the_chain_of_its_file(void **state)
{
    struct world *w = *state;
    struct tls_context *context = make_context(&w->server, w->ca.certificate_pem);
    connect_with(w, context);
    client_shows(w, &w->client);
    expect_outcome(w, "a leaf alone", "full");
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(w->ssl)), 1);
    disconnect(w);
    assert_null(tls_context_unref(context));
}

/* A file of CAs that a handshake could not name is refused; one that is just short enough works. */
static void tls_takes_as_many_client_cas_as_it_can_name(void **state)
{
    struct world *w = *state;
    struct cert ca =
        cert_make(&(struct cert_wish){.name = "a CA whose name has sixty-four letters, as many "
                                              "as there may be"});
    size_t each = (size_t)i2d_X509_NAME(X509_get_subject_name(ca.x509), NULL) + 2;
    size_t first = (size_t)i2d_X509_NAME(X509_get_subject_name(w->ca.x509), NULL) + 2;
    size_t most = (60000 - first) / each;
    assert_true(each > 75);
    for (size_t over = 0; over <= 1; over++) {
        struct tls_context *context = NULL;
        struct tls_fault fault = {.text = ""};
        struct buf file = buf_make(MAX_WIRE);
        assert_int_equal(buf_append_cstr(&file, w->ca.certificate_pem), 0);
        for (size_t i = 0; i < most + over; i++)
            assert_int_equal(buf_append_cstr(&file, ca.certificate_pem), 0);
        const struct tls_material material = {.certificate =
                                                  str_from_cstr(w->server.certificate_pem),
                                              .key = str_from_cstr(w->server.key_pem),
                                              .client_ca = buf_str(&file)};
        assert_int_equal(tls_context_new(&material, &context, &fault), over ? -EINVAL : 0);
        buf_free(&file);
        if (over) {
            assert_int_equal(fault.part, TLS_CLIENT_CA);
            assert_non_null(strstr(fault.text, "than clients can be told of"));
            continue;
        }
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            connect_with(w, context);
            assert_int_equal(SSL_set_max_proto_version(w->ssl, version), 1);
            client_shows(w, &w->client);
            expect_outcome(w, "as many as can be named", "full");
        }
        disconnect(w);
        assert_null(tls_context_unref(context));
    }
    cert_free(&ca);
}

static void tls_says_that_the_client_does_not_trust_us(void **state)
{
    struct world *w = *state;
    struct tls_context *context = make_context(&w->stranger, NULL);
    connect_with(w, context);
    expect_outcome(w, "unknown CA", "refused");
    disconnect(w);
    assert_null(tls_context_unref(context));
}

static void tls_knows_what_is_no_handshake(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *text;
        const char *outcome;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "plain_http"},
        {"DELETE", "plain_http"},
        {"P", "plain_http"},
        {"\x80\x2e\x01", "not_tls"},
        {"\n\n", "not_tls"},
        {"\x17\x03\x03", "not_tls"},
        {"\x16\x03\x01", "client_left"},
        {"", "client_left"},
        {"\x16gets", "protocol"},
        {"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "protocol"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = i == ARRAY_LEN(rows) - 1 ? 9 : strlen(rows[i].text);
        connect_with(w, w->context);
        assert_false(tls_was_spoken_to(w->session));
        assert_int_equal(buf_append(&w->to_server, str_make(rows[i].text, len)), 0);
        w->client_left = true;
        enum tls_rc rc = tls_handshake(w->session);
        if (rc != TLS_FAILED || strcmp(tls_outcome(w->session), rows[i].outcome) != 0)
            fail_msg("%zu: %s", i, tls_outcome(w->session));
        assert_int_equal(tls_was_spoken_to(w->session), len > 0);
        assert_int_equal(tls_is_plain_http(w->session), strcmp(rows[i].outcome, "plain_http") == 0);
        char byte;
        assert_int_equal(tls_read(w->session, &byte, 1), -1);
        assert_int_equal(say(w, STR("x"), STR("")), -1);
        tls_say_end(w->session);
    }
}

static void tls_resumes_tls13_with_the_same_context_only(void **state)
{
    struct world *w = *state;
    struct tls_context *other = make_context(&w->server, NULL);
    struct {
        const char *why;
        int version;
        struct tls_context *context;
        const char *outcome;
    } rows[] = {
        {"TLS 1.3", TLS1_3_VERSION, w->context, "resumed"},
        {"a context after a reload", TLS1_3_VERSION, other, "full"},
        {"TLS 1.2", TLS1_2_VERSION, w->context, "full"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        connect_with(w, w->context);
        assert_int_equal(SSL_set_max_proto_version(w->ssl, rows[i].version), 1);
        expect_outcome(w, rows[i].why, "full");
        assert_int_equal(say(w, STR("x"), STR("")), 1);
        expect_client_reads(w, "x"); /* and the ticket before it */
        SSL_SESSION *session = SSL_get1_session(w->ssl);
        assert_true(SSL_SESSION_get_ticket_lifetime_hint(session) <= 3600);
        (void)SSL_shutdown(w->ssl);
        connect_with(w, rows[i].context);
        assert_int_equal(SSL_set_max_proto_version(w->ssl, rows[i].version), 1);
        assert_int_equal(SSL_set_session(w->ssl, session), 1);
        expect_outcome(w, rows[i].why, rows[i].outcome);
        SSL_SESSION_free(session);
    }
    disconnect(w);
    assert_null(tls_context_unref(other));
}

static void tls_does_not_renegotiate(void **state)
{
    struct world *w = *state;
    connect_with(w, w->context);
    assert_int_equal(SSL_set_max_proto_version(w->ssl, TLS1_2_VERSION), 1);
    expect_outcome(w, "TLS 1.2", "full");
    assert_int_equal(SSL_renegotiate(w->ssl), 1);
    (void)SSL_do_handshake(w->ssl);
    carry(w);
    expect_no_bytes(w);
    char byte;
    assert_true(SSL_read(w->ssl, &byte, 1) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
}

/* A ClientHello of TLS 1.3 that brings no key share: the answer is a HelloRetryRequest. */
#define HELLO_WITHOUT_SHARE                                                            \
    STR("\x16\x03\x01\x00\x4c\x01\x00\x00\x48\x03\x03"                                 \
        "0123456789abcdef0123456789abcdef" /* random */                                \
        "\x00\x00\x02\x13\x01\x01\x00"     /* no session, one cipher */                \
        "\x00\x1d"                         /* extensions */                            \
        "\x00\x2b\x00\x03\x02\x03\x04"     /* supported_versions: 1.3 */               \
        "\x00\x0a\x00\x04\x00\x02\x00\x1d" /* supported_groups: x25519 */              \
        "\x00\x0d\x00\x04\x00\x02\x04\x03" /* signature_algorithms: ecdsa_secp256r1 */ \
        "\x00\x33\x00\x02\x00\x00" /* key_share: none */)

/* Nine bytes must not make the server keep 128 KiB: not as the first message, nor as the second. */
static void tls_lets_no_hello_claim_memory(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *why;
        struct str bytes;
        bool refused;
    } rows[] = {
        {"as large as may be", STR_INIT("\x16\x03\x01\x01\x00\x01\x00\x40\x00"), false},
        {"one more", STR_INIT("\x16\x03\x01\x01\x00\x01\x00\x40\x01"), true},
        {"what OpenSSL takes", STR_INIT("\x16\x03\x01\x01\x00\x01\x01\xff\xff"), true},
        {"a length in two records",
         STR_INIT("\x16\x03\x01\x00\x03\x01\x01\x00\x16\x03\x01\x00\x01\xff"), true},
    };
    for (int retry = 0; retry <= 1; retry++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            for (size_t piece = 1; piece <= 1000; piece += 999) {
                connect_with(w, w->context);
                w->read_max = piece;
                if (retry) {
                    assert_int_equal(buf_append(&w->to_server, HELLO_WITHOUT_SHARE), 0);
                    assert_int_equal(tls_handshake(w->session), TLS_AGAIN);
                    assert_true(BIO_ctrl_pending(w->from_server) > 0);
                }
                assert_int_equal(buf_append(&w->to_server, rows[i].bytes), 0);
                enum tls_rc rc = tls_handshake(w->session);
                if (rc != (rows[i].refused ? TLS_FAILED : TLS_AGAIN))
                    fail_msg("%s, %s: %d", retry ? "second" : "first", rows[i].why, (int)rc);
                if (rows[i].refused)
                    assert_string_equal(tls_outcome(w->session), "protocol");
            }
}

/* ---- reading ---- */

static void tls_read_gives_what_one_record_holds_in_pieces(void **state)
{
    struct world *w = *state;
    static char sent[16384];
    static char got[sizeof(sent)];
    size_t len = 0;
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i * 31);
    connect_with(w, w->context);
    expect_outcome(w, "", "full");
    assert_false(tls_has_bytes(w->session));
    client_says(w, str_make(sent, sizeof(sent)));
    client_says(w, STR("and more"));
    while (len < sizeof(got)) {
        ssize_t n = tls_read(w->session, got + len, size_min(1000, sizeof(got) - len));
        assert_true(n > 0);
        len += (size_t)n;
        assert_true(tls_has_bytes(w->session)); /* of this record or the next */
    }
    assert_memory_equal(got, sent, sizeof(sent));
    assert_int_equal(w->to_server.len, 0);
    expect_read(w, "and more");
    expect_no_bytes(w);
    assert_false(tls_has_bytes(w->session));
}

/* The buffer of a record goes back to the heap, with what nobody overwrites for a long time. */
static void tls_read_leaves_no_plain_text_behind(void **state)
{
    struct world *w = *state;
    char room[sizeof("Bearer secret") - 1];
    connect_with(w, w->context);
    expect_outcome(w, "", "full");
    client_says(w, STR("Bearer secret and more"));
    assert_int_equal(tls_read(w->session, room, sizeof(room)), sizeof(room));
    assert_true(tls_has_bytes(w->session)); /* so the buffer is still there */
    assert_null(memmem(w->taken.ptr, w->taken.len, "secret", 6));
    assert_non_null(memmem(w->taken.ptr, w->taken.len, " and more", 9));
}

static void tls_read_takes_either_end_for_the_end(void **state)
{
    struct world *w = *state;
    for (int announced = 0; announced <= 1; announced++) {
        char byte;
        connect_with(w, w->context);
        expect_outcome(w, "", "full");
        client_says(w, STR("last"));
        if (announced)
            (void)SSL_shutdown(w->ssl);
        carry(w);
        w->client_left = !announced;
        expect_read(w, "last");
        assert_int_equal(tls_read(w->session, &byte, 1), 0);
        assert_int_equal(tls_read(w->session, &byte, 1), 0);
        assert_int_equal(say(w, STR("answer"), STR("")), 6); /* a half-close */
        expect_client_reads(w, "answer");
    }
}

static void tls_read_fails_on_bytes_that_were_changed(void **state)
{
    struct world *w = *state;
    char byte;
    connect_with(w, w->context);
    expect_outcome(w, "", "full");
    client_says(w, STR("money"));
    w->to_server.ptr[w->to_server.len - 1] ^= 1;
    assert_int_equal(tls_read(w->session, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(say(w, STR("x"), STR("")), -1);
    assert_false(tls_has_bytes(w->session));
}

/* ---- writing ---- */

static void tls_write_goes_on_where_there_was_no_room(void **state)
{
    struct world *w = *state;
    static char sent[200000];
    static char got[sizeof(sent)];
    size_t offered = 0;
    size_t arrived = 0;
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i * 17 + i / 251);
    connect_with(w, w->context);
    expect_outcome(w, "", "full");
    for (unsigned turn = 0; arrived < sizeof(sent); turn++) {
        assert_true(turn < 1000);
        w->room = turn % 3 == 0 ? 0 : turn * 97 % 5000;
        struct str rest = str_make(sent + offered, sizeof(sent) - offered);
        char *moved = malloc(rest.len + 1); /* the buffer may move */
        assert_non_null(moved);
        memcpy(moved, rest.ptr, rest.len);
        size_t cut = rest.len / 3;
        ssize_t n = say(w, str_make(moved, cut), str_make(moved + cut, rest.len - cut));
        free(moved);
        if (rest.len > 0 && (size_t)(n > 0 ? n : 0) < rest.len) {
            assert_true(n > 0 || errno == EAGAIN);
            assert_true(tls_is_stuck(w->session));
        }
        offered += (size_t)(n > 0 ? n : 0);
        int read = SSL_read(w->ssl, got + arrived, (int)(sizeof(got) - arrived));
        arrived += (size_t)(read > 0 ? read : 0);
        if (offered == sizeof(sent))
            assert_false(tls_is_stuck(w->session));
        while (read > 0 && arrived < sizeof(got)) {
            read = SSL_read(w->ssl, got + arrived, (int)(sizeof(got) - arrived));
            arrived += (size_t)(read > 0 ? read : 0);
        }
    }
    assert_memory_equal(got, sent, sizeof(sent));
}

static void tls_write_makes_one_record_of_small_parts(void **state)
{
    struct world *w = *state;
    connect_with(w, w->context);
    expect_outcome(w, "", "full");
    assert_int_equal(say(w, STR("head"), STR("")), 4);
    expect_client_reads(w, "head");
    size_t before = (size_t)BIO_ctrl_pending(w->from_server);
    assert_int_equal(before, 0);
    assert_int_equal(say(w, STR("head"), STR("body")), 8);
    /* RFC 8446 5.2: head, type and tag of one record */
    assert_int_equal(BIO_ctrl_pending(w->from_server), 8 + 5 + 1 + 16);
    expect_client_reads(w, "headbody");
}

static void tls_end_is_announced_once_when_it_can_be(void **state)
{
    struct world *w = *state;
    char byte;
    connect_with(w, w->context);
    tls_say_end(w->session); /* before the handshake: nothing to say */
    assert_int_equal(BIO_ctrl_pending(w->from_server), 0);
    expect_outcome(w, "", "full");
    assert_int_equal(say(w, STR("bye"), STR("")), 3);
    tls_say_end(w->session);
    size_t all = (size_t)BIO_ctrl_pending(w->from_server);
    tls_say_end(w->session);
    assert_int_equal(BIO_ctrl_pending(w->from_server), all);
    expect_client_reads(w, "bye");
    int n = SSL_read(w->ssl, &byte, 1);
    assert_int_equal(SSL_get_error(w->ssl, n), SSL_ERROR_ZERO_RETURN);

    connect_with(w, w->context);
    expect_outcome(w, "", "full");
    w->room = 3; /* of a record */
    assert_int_equal(say(w, STR("bye"), STR("")), -1);
    assert_true(tls_is_stuck(w->session));
    w->room = SIZE_MAX;
    tls_say_end(w->session); /* it would come in the middle of the record */
    assert_int_equal(say(w, STR("bye"), STR("")), 3);
    expect_client_reads(w, "bye");
}

/* ---- contexts ---- */

static void join(char *ret, size_t room, const char *first, const char *second)
{
    assert_in_range(snprintf(ret, room, "%s%s", first, second), 1, room - 1);
}

static void tls_context_says_what_is_wrong_with_its_files(void **state)
{
    struct world *w = *state;
    static char chain[16384], swapped[16384], damaged[16384], half[16384], encrypted[4096];
    struct cert small = cert_make(&(struct cert_wish){.name = "small", .rsa_bits = 1024});
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, w->server.key, EVP_aes_128_cbc(),
                                              (const unsigned char *)"pass", 4, NULL, NULL),
                     1);
    cert_pem(bio, encrypted, sizeof(encrypted));
    join(chain, sizeof(chain), w->server.certificate_pem, w->ca.certificate_pem);
    join(swapped, sizeof(swapped), w->ca.certificate_pem, w->server.certificate_pem);
    join(half, sizeof(half), w->server.certificate_pem, w->ca.certificate_pem);
    half[strlen(half) - 40] = '\0';
    join(damaged, sizeof(damaged), w->ca.certificate_pem, "");
    damaged[60] = '!';
    const char *cert = w->server.certificate_pem;
    const char *key = w->server.key_pem;
    const struct {
        const char *why;
        const char *certificate, *key, *client_ca;
        enum tls_part part;
        const char *text; /* NULL: it is good */
    } rows[] = {
        {"good", cert, key, NULL, TLS_KEY, NULL},
        {"with its chain", chain, key, NULL, TLS_KEY, NULL},
        {"with a client CA", cert, key, chain, TLS_KEY, NULL},
        {"key and certificate in one", cert, key, NULL, TLS_KEY, NULL},
        {"another's key", cert, w->client.key_pem, NULL, TLS_KEY, "does not belong"},
        {"CA first", swapped, key, NULL, TLS_CERTIFICATE, "put that one first"},
        {"a password", cert, encrypted, NULL, TLS_KEY, "is encrypted"},
        {"no key", cert, cert, NULL, TLS_KEY, "holds no private key"},
        {"no certificate", key, key, NULL, TLS_CERTIFICATE, "holds no certificate"},
        {"nothing", "", key, NULL, TLS_CERTIFICATE, "holds no certificate"},
        {"damaged", damaged, key, NULL, TLS_CERTIFICATE, "holds no certificate"},
        {"a chain cut off", half, key, NULL, TLS_CERTIFICATE, "cannot be read"},
        {"a short key", small.certificate_pem, small.key_pem, NULL, TLS_CERTIFICATE, "too short"},
        {"no client CA", cert, key, key, TLS_CLIENT_CA, "holds no certificate"},
        {"client CA cut off", cert, key, half, TLS_CLIENT_CA, "cannot be read"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *context = NULL;
        struct tls_fault fault = {.text = ""};
        const struct tls_material material = {.certificate = str_from_cstr(rows[i].certificate),
                                              .key = str_from_cstr(rows[i].key),
                                              .client_ca = str_from_cstr(rows[i].client_ca)};
        int r = tls_context_new(&material, &context, &fault);
        if ((r == 0) != (rows[i].text == NULL))
            fail_msg("%s: %d %s", rows[i].why, r, fault.text);
        assert_int_equal(context != NULL, r == 0);
        assert_null(tls_context_unref(context));
        if (r == 0)
            continue;
        assert_int_equal(r, -EINVAL);
        if (fault.part != rows[i].part || strstr(fault.text, rows[i].text) == NULL)
            fail_msg("%s: %d %s", rows[i].why, (int)fault.part, fault.text);
        assert_int_equal(ERR_peek_error(), 0); /* libcurl shares the thread */
    }
    cert_free(&small);
}

static void tls_context_is_valid_while_its_whole_chain_is(void **state)
{
    (void)state;
    static char chain[16384];
    struct cert ca =
        cert_make(&(struct cert_wish){.name = "short ca", .from_s = -50, .until_s = 500});
    struct cert cert =
        cert_make(&(struct cert_wish){.name = "leaf", .by = &ca, .from_s = -100, .until_s = 9000});
    time_t now = time(NULL);
    join(chain, sizeof(chain), cert.certificate_pem, ca.certificate_pem);
    struct tls_context *context = context_of(chain, cert.key_pem, NULL);
    struct tls_validity validity = tls_context_validity(context);
    assert_in_range(validity.from_s, now - 52, now - 48);
    assert_in_range(validity.until_s, now + 498, now + 502);
    assert_null(tls_context_unref(context));
    cert_free(&ca);
    cert_free(&cert);
}

static void tls_session_outlives_the_context_of_its_birth(void **state)
{
    struct world *w = *state;
    struct tls_context *context = make_context(&w->server, NULL);
    connect_with(w, context);
    assert_null(tls_context_unref(context));
    expect_outcome(w, "", "full");
    client_says(w, STR("still"));
    expect_read(w, "still");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tls_speaks_what_is_safe_today_and_nothing_else),
        TEST(tls_reads_a_peer_that_sends_byte_by_byte),
        TEST(tls_alpn_is_http11_or_nothing),
        TEST(tls_lets_in_only_clients_of_its_ca),
        TEST(tls_takes_an_intermediate_for_the_ca_of_its_clients),
        TEST(tls_asks_for_the_certificate_every_time),
        TEST(tls_shows_the_chain_of_its_file),
        TEST(tls_takes_as_many_client_cas_as_it_can_name),
        TEST(tls_says_that_the_client_does_not_trust_us),
        TEST(tls_knows_what_is_no_handshake),
        TEST(tls_resumes_tls13_with_the_same_context_only),
        TEST(tls_does_not_renegotiate),
        TEST(tls_lets_no_hello_claim_memory),
        TEST(tls_read_gives_what_one_record_holds_in_pieces),
        TEST(tls_read_leaves_no_plain_text_behind),
        TEST(tls_read_takes_either_end_for_the_end),
        TEST(tls_read_fails_on_bytes_that_were_changed),
        TEST(tls_write_goes_on_where_there_was_no_room),
        TEST(tls_write_makes_one_record_of_small_parts),
        TEST(tls_end_is_announced_once_when_it_can_be),
        TEST(tls_context_says_what_is_wrong_with_its_files),
        TEST(tls_context_is_valid_while_its_whole_chain_is),
        TEST(tls_session_outlives_the_context_of_its_birth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
