/* SPDX-License-Identifier: Apache-2.0 */
/* What the upstream of the bench answers with: whole responses, made once, and events, made when
 * they are sent. */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <stddef.h>

#define ANSWER_EVENT_LEN 200

/* A whole response in memory. */
struct answer {
    const char *request_line; /* how a request for it begins */
    size_t body_len;
    char *bytes;
    size_t len;
};

/* At most 256 KiB of a file. The caller frees it; not NUL-terminated. */
char *answer_read_file(const char *path, size_t *ret_len);

/* A tools/call result, padded to exactly body_len bytes. The caller frees it. */
char *answer_make_result(size_t body_len);

/* A response in JSON with body_len bytes. Takes over body. */
void answer_fill(struct answer *answer, char *body);

/* A whole stream: one event of body_len bytes in one chunk, and the end. Takes over event. */
void answer_fill_stream(struct answer *answer, char *event);

/* One event in one chunk. It carries the time it was sent, from which the load takes its latency,
 * and has ANSWER_EVENT_LEN bytes however many digits that is. dest takes 8 bytes more. Returns the
 * length of the chunk. */
size_t answer_print_event(char *dest, size_t size);

#endif
