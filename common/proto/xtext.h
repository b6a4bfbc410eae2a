/* SPDX-License-Identifier: Apache-2.0 */
/* xtext, RFC 3461 section 4: printable ASCII in which '+', '=' and all else stand as "+HH". */
#ifndef MAILSTEAD_PROTO_XTEXT_H
#define MAILSTEAD_PROTO_XTEXT_H

#include "common/base/buffer.h"

/*
 * Appends what `text` stands for to `decoded`.  False, and what was appended is of no use, when it
 * is no xtext, does not fit, or stands for a byte that is neither printable ASCII, a space nor a
 * tab.  With `may_utf8`, bytes above ASCII stand for themselves.
 */
bool xtext_decode(struct span text, bool may_utf8, struct buffer *decoded)
    __attribute__((warn_unused_result));

/* Appends `text` as xtext; bytes above ASCII stay as they are.  False when it does not fit. */
bool xtext_encode(struct span text, struct buffer *encoded);

#endif
