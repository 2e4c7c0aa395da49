/* SPDX-License-Identifier: Apache-2.0 */
/* One connection's records: OpenSSL between the owner's two functions and plain bytes. */
#include "proto/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/tls_hellos.h"
#include "proto/tls_int.h"

/* Parts that are shorter together become one record. */
#define GATHER_BYTES 8192
#define MAX_RECORD_BYTES 16384 /* RFC 8446 5.1 */
#define FIRST_BYTE_OF_TLS 0x16 /* RFC 8446 5.1: a record with a handshake message */

struct tls_session {
    struct tls_context *context;
    SSL *ssl;
    const struct tls_io *io;
    void *ctx;
    const char *outcome; /* of the handshake; NULL: not over */
    struct tls_hellos hellos;
    uint8_t first_byte;
    bool spoken_to; /* FIRST_BYTE is there */
    bool refused;   /* by us: OpenSSL has not seen it */
    bool ended;     /* the peer's stream */
    bool starved;   /* what was received is not enough for anything */
    bool crossed;
    bool broken;  /* OpenSSL can do no more */
    size_t stuck; /* so many bytes are in a record that is written in part */
};

/* ---- between OpenSSL and the owner ---- */

bool tls_was_spoken_to(const struct tls_session *session)
{
    return session->spoken_to;
}

static bool is_tls(const struct tls_session *session)
{
    return session->first_byte == FIRST_BYTE_OF_TLS;
}

bool tls_is_plain_http(const struct tls_session *session)
{
    return tls_was_spoken_to(session) && ascii_is_alpha((char)session->first_byte);
}

/* Whether OpenSSL may see what came: of what is no TLS it would guess what it is, and to a message
 * that claims to be large it would give the memory. */
static bool may_be_seen(struct tls_session *session, struct str bytes)
{
    if (bytes.len == 0 || session->outcome != NULL)
        return true;
    if (!session->spoken_to) {
        session->spoken_to = true;
        session->first_byte = (uint8_t)bytes.ptr[0];
    }
    bool is_tls12 = SSL_version(session->ssl) == TLS1_2_VERSION;
    return is_tls(session) && tls_hellos_feed(&session->hellos, bytes, is_tls12);
}

/* The owner's errno as OpenSSL wants it. */
static int say_fault(BIO *bio)
{
    if (errno == EAGAIN || errno == EINTR)
        BIO_set_retry_read(bio);
    return -1;
}

static int bio_read(BIO *bio, char *bytes, int len)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = session->io->read(session->ctx, bytes, (size_t)len);
    if (n < 0)
        return say_fault(bio);
    session->ended = n == 0;
    session->starved = false;
    session->refused = !may_be_seen(session, str_make(bytes, (size_t)n));
    return session->refused ? -1 : (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = session->io->write(session->ctx, bytes, (size_t)len);
    if (n >= 0)
        return (int)n;
    if (errno == EAGAIN || errno == EINTR)
        BIO_set_retry_write(bio);
    return -1;
}

static long bio_control(BIO *bio, int command, long number, void *ptr)
{
    const struct tls_session *session = BIO_get_data(bio);
    (void)number;
    (void)ptr;
    if (command == BIO_CTRL_EOF)
        return session->ended;
    return command == BIO_CTRL_FLUSH; /* done; and nothing else is known here */
}

BIO_METHOD *tls_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "connection");
    bool ok = method != NULL && BIO_meth_set_read(method, bio_read) == 1 &&
              BIO_meth_set_write(method, bio_write) == 1 &&
              BIO_meth_set_ctrl(method, bio_control) == 1;
    if (ok)
        return method;
    BIO_meth_free(method);
    return NULL;
}

/* ---- life ---- */

struct tls_session *tls_session_new(struct tls_context *context, const struct tls_io *io, void *ctx)
{
    struct tls_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->context = tls_context_ref(context);
    session->io = io;
    session->ctx = ctx;
    session->ssl = SSL_new(context->ssl);
    BIO *bio = session->ssl != NULL ? BIO_new(context->bio) : NULL;
    if (bio == NULL) {
        ERR_clear_error();
        return tls_session_free(session);
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_accept_state(session->ssl);
    return session;
}

struct tls_session *tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return NULL;
    SSL_free(session->ssl);
    (void)tls_context_unref(session->context);
    free(session);
    return NULL;
}

/* ---- handshake ---- */

static const char *outcome_of_reason(int reason)
{
    static const struct {
        int reason;
        const char *outcome;
    } rows[] = {
        {SSL_R_UNSUPPORTED_PROTOCOL, "version"},
        {SSL_R_VERSION_TOO_LOW, "version"},
        {SSL_R_WRONG_SSL_VERSION, "version"},
        {SSL_R_UNKNOWN_PROTOCOL, "version"},
        {SSL_R_NO_PROTOCOLS_AVAILABLE, "version"},
        {SSL_R_NO_SHARED_CIPHER, "cipher"},
        {SSL_R_NO_SHARED_GROUPS, "cipher"},
        {SSL_R_NO_SUITABLE_GROUPS, "cipher"},
        {SSL_R_NO_SUITABLE_KEY_SHARE, "cipher"},
        {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "cipher"},
        {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "cipher"},
        {SSL_R_NO_APPLICATION_PROTOCOL, "alpn"},
        {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "no_certificate"},
        {SSL_R_CERTIFICATE_VERIFY_FAILED, "bad_certificate"},
        {SSL_R_EE_KEY_TOO_SMALL, "bad_certificate"},
        {SSL_R_CA_KEY_TOO_SMALL, "bad_certificate"},
        {SSL_R_CA_MD_TOO_WEAK, "bad_certificate"},
    };
    if (reason >= SSL_AD_REASON_OFFSET)
        return "refused";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].reason == reason)
            return rows[i].outcome;
    return "protocol";
}

static const char *why_it_failed(const struct tls_session *session, int error)
{
    if (tls_was_spoken_to(session) && !is_tls(session))
        return tls_is_plain_http(session) ? "plain_http" : "not_tls";
    if (session->refused)
        return "protocol";
    if (error != SSL_ERROR_SSL || session->ended)
        return "client_left";
    return outcome_of_reason(ERR_GET_REASON(ERR_peek_error()));
}

/* What an error of OpenSSL's means for whoever wanted DIRECTION. */
static bool is_for_later(struct tls_session *session, int error, int direction)
{
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        return false;
    session->crossed = error != direction;
    if (error == SSL_ERROR_WANT_READ)
        session->starved = true;
    return true;
}

enum tls_rc tls_handshake(struct tls_session *session)
{
    ERR_clear_error();
    int r = SSL_do_handshake(session->ssl);
    if (r == 1) {
        session->outcome = SSL_session_reused(session->ssl) == 1 ? "resumed" : "full";
        return TLS_OK;
    }
    int error = SSL_get_error(session->ssl, r);
    if (is_for_later(session, error, error))
        return TLS_AGAIN;
    session->outcome = why_it_failed(session, error);
    session->broken = true;
    ERR_clear_error();
    return TLS_FAILED;
}

const char *tls_outcome(const struct tls_session *session)
{
    return session->outcome;
}

/* ---- after it ---- */

static ssize_t fail_with(int fault)
{
    errno = fault;
    return -1;
}

ssize_t tls_read(struct tls_session *session, void *bytes, size_t len)
{
    if (session->broken)
        return fail_with(ECONNRESET);
    ERR_clear_error();
    int n = SSL_read(session->ssl, bytes, (int)size_min(len, INT_MAX));
    session->crossed = false;
    if (n > 0)
        return n;
    int error = SSL_get_error(session->ssl, n);
    if (is_for_later(session, error, SSL_ERROR_WANT_READ))
        return fail_with(EAGAIN);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    session->broken = true;
    return fail_with(ECONNRESET);
}

/* All of BYTES, or as much as there is room for: *RET_SENT is added to. 0 or -errno. */
static int write_bytes(struct tls_session *session, struct str bytes, size_t *ret_sent)
{
    while (bytes.len > 0) {
        ERR_clear_error();
        int n = SSL_write(session->ssl, bytes.ptr, (int)size_min(bytes.len, INT_MAX));
        if (n > 0) {
            session->stuck = 0;
            *ret_sent += (size_t)n;
            bytes = str_from(bytes, (size_t)n);
            continue;
        }
        int error = SSL_get_error(session->ssl, n);
        if (is_for_later(session, error, SSL_ERROR_WANT_WRITE)) {
            session->stuck = size_min(bytes.len, MAX_RECORD_BYTES);
            return -EAGAIN;
        }
        ERR_clear_error();
        session->broken = true;
        return error == SSL_ERROR_SYSCALL ? -EPIPE : -ECONNRESET;
    }
    return 0;
}

static size_t total_of(const struct iovec *parts, size_t n_parts)
{
    size_t total = 0;
    for (size_t i = 0; i < n_parts; i++)
        total += parts[i].iov_len;
    return total;
}

static struct str gather(const struct iovec *parts, size_t n_parts, char *room)
{
    size_t len = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].iov_len > 0)
            memcpy(room + len, parts[i].iov_base, parts[i].iov_len);
        len += parts[i].iov_len;
    }
    return str_make(room, len);
}

static int write_small(struct tls_session *session, const struct iovec *parts, size_t n_parts,
                       size_t *ret_sent)
{
    NOT_ZEROED char room[GATHER_BYTES];
    return write_bytes(session, gather(parts, n_parts, room), ret_sent);
}

/* OpenSSL wants a record that it is writing whole again, which goes over the end of a part now. */
static int write_across(struct tls_session *session, const struct iovec *parts, size_t n_parts,
                        size_t *ret_sent)
{
    char *room = malloc(total_of(parts, n_parts));
    int r = -ENOBUFS;
    if (room != NULL)
        r = write_bytes(session, gather(parts, n_parts, room), ret_sent);
    free(room);
    return r;
}

static int write_each(struct tls_session *session, const struct iovec *parts, size_t n_parts,
                      size_t *ret_sent)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < n_parts; i++)
        r = write_bytes(session, str_make(parts[i].iov_base, parts[i].iov_len), ret_sent);
    return r;
}

static int write_parts(struct tls_session *session, const struct iovec *parts, size_t n_parts,
                       size_t *ret_sent)
{
    if (n_parts > 1 && total_of(parts, n_parts) <= GATHER_BYTES)
        return write_small(session, parts, n_parts, ret_sent);
    if (n_parts > 1 && parts[0].iov_len < session->stuck)
        return write_across(session, parts, n_parts, ret_sent);
    return write_each(session, parts, n_parts, ret_sent);
}

ssize_t tls_write(struct tls_session *session, const struct iovec *parts, size_t n_parts)
{
    size_t sent = 0;
    if (session->broken)
        return fail_with(ECONNRESET);
    int r = write_parts(session, parts, n_parts, &sent);
    return r < 0 && sent == 0 ? fail_with(-r) : (ssize_t)sent;
}

bool tls_has_bytes(const struct tls_session *session)
{
    return !session->starved && !session->broken && SSL_has_pending(session->ssl) == 1;
}

bool tls_is_stuck(const struct tls_session *session)
{
    return session->stuck > 0;
}

bool tls_is_crossed(const struct tls_session *session)
{
    return session->crossed;
}

void tls_say_end(struct tls_session *session)
{
    bool said = (SSL_get_shutdown(session->ssl) & SSL_SENT_SHUTDOWN) != 0;
    if (session->broken || session->stuck > 0 || said || SSL_is_init_finished(session->ssl) != 1)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(session->ssl);
    ERR_clear_error();
}
