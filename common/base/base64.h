/* SPDX-License-Identifier: Apache-2.0 */
/* Base64, RFC 4648 section 4: with padding, strict, without line breaks. */
#ifndef MAILSTEAD_BASE_BASE64_H
#define MAILSTEAD_BASE_BASE64_H

#include "common/base/buffer.h"

/* The bytes that encoding `length` bytes gives. */
#define BASE64_ENCODED_LENGTH(length) (((length) + 2) / 3 * 4)

/* Appends the encoding of `bytes` whole, or false and a buffer marked as overflowed. */
bool base64_encode(struct span bytes, struct buffer *target);

/*
 * Appends what `text` encodes.  False when `text` is not canonical base64
 * (a foreign byte, missing or inner padding, bits set behind the end) or does
 * not fit; `target` then holds what it held before.
 */
bool base64_decode(struct span text, struct buffer *target) __attribute__((warn_unused_result));

#endif
