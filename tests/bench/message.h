/* SPDX-License-Identifier: Apache-2.0 */
/* Incremental reader of one HTTP/1.1 message (RFC 9112), for the two ends of the bench: the
 * upstream reads requests with it, the load reads responses. It finds the end of a message and no
 * more: both ends trust each other, and a message it cannot frame ends the run. */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MESSAGE_MAX_HEAD 4096

enum message_state {
    MESSAGE_HEAD,
    MESSAGE_BODY,
    MESSAGE_CHUNK_SIZE,
    MESSAGE_CHUNK_DATA,
    MESSAGE_TRAILER,
    MESSAGE_DONE,
};

/* Zero-initialised it waits for the first byte of a message. */
struct message {
    enum message_state state;
    uint32_t head_len;
    uint32_t line_len;               /* bytes of the chunk-size or trailer line so far */
    uint64_t left;                   /* bytes of the body or of the chunk still to come */
    uint64_t body_len;               /* bytes of the body so far, without framing */
    char head[MESSAGE_MAX_HEAD + 1]; /* NUL-terminated from MESSAGE_BODY on */
};

/* Called with each piece of the body, in order; may be NULL where the body does not matter. */
typedef void message_body_fn(void *arg, const char *bytes, size_t len);

/* Ready for the next message on the same connection. */
void message_reset(struct message *message);

/* Reads until the message ends or the bytes do. Returns how many bytes belong to the message, or
 * -EMSGSIZE (head too large) or -EBADMSG (no framing this reader knows). */
ssize_t message_read(struct message *message, const char *bytes, size_t len,
                     message_body_fn *on_body, void *arg);

static inline bool message_has_head(const struct message *message)
{
    return message->state != MESSAGE_HEAD;
}

/* The status of a response whose head is complete. */
int message_status(const struct message *message);

#endif
