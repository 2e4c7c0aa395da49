/* SPDX-License-Identifier: Apache-2.0 */
/* How long the messages are that open a handshake of TLS (RFC 8446 4 and 5.1, RFC 5246 6.2.1), told
 * from the client's bytes before OpenSSL sees them.
 *
 * OpenSSL makes room for a ClientHello, and overwrites it, as soon as it knows the length that the
 * message claims: up to 128 KiB for nine bytes of somebody who then falls silent. The client may
 * send two of them, the second after a HelloRetryRequest. */
#ifndef PROTO_TLS_HELLOS_H
#define PROTO_TLS_HELLOS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Real ones have less than 4 KiB. */
#define TLS_HELLO_MAX_BYTES (16U * 1024)

/* A place in the client's stream; zeroed: its beginning. */
struct tls_hellos {
    uint8_t record[5]; /* the head of the current record, as far as it is there */
    uint8_t n_record;
    uint8_t message[4]; /* the head of the current message; it may begin in one record, end in
                           another */
    uint8_t n_message;
    uint32_t record_left;  /* bytes */
    uint32_t message_left; /* bytes */
    bool over;             /* what follows is encrypted */
    bool refused;
};

/* Goes on with BYTES. False once a ClientHello claims more than TLS_HELLO_MAX_BYTES; then always.
 * IS_TLS12: the server has chosen TLS 1.2, where a ChangeCipherSpec is the end of what can be read;
 * in TLS 1.3 it says nothing (RFC 8446 D.4), and encrypted records are of another type. */
bool tls_hellos_feed(struct tls_hellos *hellos, struct str bytes, bool is_tls12);

#endif
