/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.2 and 1.3 (RFC 5246, RFC 8446) on the server's side, as a function over bytes.
 *
 * A context is a certificate with its key and the rules of a handshake; a session is one
 * connection's records. Neither knows of sockets, clocks or loops: a session reads and writes
 * through two functions of its owner, and never waits. OpenSSL does the work.
 *
 * What a handshake may use is fixed here: ECDHE with an AEAD cipher, no renegotiation, no
 * compression, no early data, ALPN "http/1.1" or none (RFC 7301). Sessions of TLS 1.3 may be
 * resumed for an hour with a ticket of the same context; TLS 1.2 has no tickets, since its tickets
 * would hold what decrypts the whole connection, under a key that lives as long as the context.
 * Where clients need a certificate nothing is resumed: theirs is looked at in every handshake. */
#ifndef PROTO_TLS_H
#define PROTO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/str.h"

/* ---- contexts ---- */

/* PEM texts. */
struct tls_material {
    struct str certificate; /* the server's, then the chain up to its CA */
    struct str key;
    struct str client_ca; /* whose clients may connect, roots or not; absent: nobody is asked */
};

enum tls_part { TLS_CERTIFICATE, TLS_KEY, TLS_CLIENT_CA };

/* What is wrong with which part: a sentence fragment for people, "is encrypted; ...". */
struct tls_fault {
    enum tls_part part;
    const char *text;
};

/* Immutable and counted, for all threads; sessions hold a reference. */
struct tls_context;

/* 0, -ENOMEM, or -EINVAL: the material is of no use, as *RET_FAULT says. Whether it is expired is
 * the caller's question, see tls_context_validity(). */
int tls_context_new(const struct tls_material *material, struct tls_context **ret_context,
                    struct tls_fault *ret_fault);
struct tls_context *tls_context_ref(struct tls_context *context);
struct tls_context *tls_context_unref(struct tls_context *context); /* takes NULL, returns NULL */

/* The seconds of the wall clock in which every certificate of the chain is valid. */
struct tls_validity {
    int64_t from_s;
    int64_t until_s;
};
struct tls_validity tls_context_validity(const struct tls_context *context);

/* Where OpenSSL was built to look for CAs. Static. */
void tls_ca_places(const char **ret_file, const char **ret_folder);

/* ---- sessions ---- */

/* How a session reaches its peer. Like recv() and send() without waiting: the number of bytes, 0
 * for the end of the stream, or -1 with errno, EAGAIN when nothing can be done now. */
struct tls_io {
    ssize_t (*read)(void *ctx, void *bytes, size_t len);
    ssize_t (*write)(void *ctx, const void *bytes, size_t len);
};

struct tls_session;

/* IO must outlive the session, CTX is given to it. NULL when memory is short. */
struct tls_session *tls_session_new(struct tls_context *context, const struct tls_io *io,
                                    void *ctx);
/* Says nothing to the peer. Takes NULL, returns NULL. */
struct tls_session *tls_session_free(struct tls_session *session);

enum tls_rc {
    TLS_OK,
    TLS_AGAIN, /* call again when the peer has sent something, or there is room to write */
    TLS_FAILED,
};
/* Goes on with the handshake. After a failure an alert may have been written, and nothing else can
 * be done with the session. */
enum tls_rc tls_handshake(struct tls_session *session);
/* How the handshake ended, one of a dozen static texts: "full", "resumed"; "plain_http", "not_tls":
 * the first byte is of no handshake; "version", "cipher", "alpn": nothing in common;
 * "no_certificate", "bad_certificate": of a client that needs a good one; "refused": the client
 * sent an alert, as one that does not trust our certificate; "client_left"; "protocol": anything
 * else that RFC 8446 does not allow. NULL before its end. */
const char *tls_outcome(const struct tls_session *session);
/* The peer has sent at least one byte. */
bool tls_was_spoken_to(const struct tls_session *session);
/* The peer's first byte was none of TLS but of a request line: somebody speaks plain HTTP. */
bool tls_is_plain_http(const struct tls_session *session);

/* After the handshake, like recv(): the number of bytes, 0 at the end, be it announced
 * (close_notify) or not, or -1 with errno: EAGAIN, ECONNRESET. */
ssize_t tls_read(struct tls_session *session, void *bytes, size_t len);
/* Like writev(): as much of PARTS as can be written, in order. What was not taken has to be
 * offered again, from its first byte on. -1 with errno: EAGAIN, ECONNRESET, EPIPE. */
ssize_t tls_write(struct tls_session *session, const struct iovec *parts, size_t n_parts);
/* Bytes were received that tls_read() has not given out, and may give out without more. */
bool tls_has_bytes(const struct tls_session *session);
/* A record is written in part: only the same bytes can follow. */
bool tls_is_stuck(const struct tls_session *session);
/* Reading waits for room to write, or writing for something to read (key updates). */
bool tls_is_crossed(const struct tls_session *session);
/* Writes close_notify, once, if that is possible now: the end is no cut. */
void tls_say_end(struct tls_session *session);

#endif
