/* SPDX-License-Identifier: Apache-2.0 */
/* base64url without padding (RFC 4648 5, RFC 7515 2), strict: one text for one run of bytes.
 *
 * Refused: padding, any byte outside the alphabet (also blanks and line ends), a length that no
 * bytes encode to (4n + 1), and unused bits that are not zero. So decoding and encoding again
 * always gives the same text back. */
#ifndef PROTO_BASE64URL_H
#define PROTO_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* True for what the decoders accept; the empty text stands for no bytes. */
bool base64url_is_valid(struct str text);

/* How many bytes TEXT_LEN characters decode to. */
static inline size_t base64url_decoded_len(size_t text_len)
{
    return text_len / 4 * 3 + text_len % 4 * 3 / 4;
}

/* Decodes TEXT into the CAP bytes at RET_BYTES. 0; -EINVAL: not strict base64url; -ENOSPC: more
 * than CAP bytes. On failure the bytes may be overwritten, and *ret_len is as it was. */
int base64url_decode(struct str text, uint8_t *ret_bytes, size_t cap, size_t *ret_len);

/* Decodes TEXT behind the content of OUT. 0; -EINVAL; -EMSGSIZE or -ENOMEM of the buffer. The
 * content of OUT is unchanged on failure. */
int base64url_decode_append(struct str text, struct buf *out);

/* Appends BYTES as text. 0; -EMSGSIZE or -ENOMEM of the buffer, which then has nothing appended. */
int base64url_encode_append(struct str bytes, struct buf *out);

#endif
