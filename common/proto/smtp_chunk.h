/* SPDX-License-Identifier: Apache-2.0 */
/* Content that comes in chunks of known length, RFC 3030: only its line ends are looked at. */
#ifndef MAILSTEAD_PROTO_SMTP_CHUNK_H
#define MAILSTEAD_PROTO_SMTP_CHUNK_H

#include "common/base/span.h"

/*
 * The number of bytes at the front of `content`, which does not go on inside a line end, that have
 * no bare CR or LF among them.  A CR that is the last byte does not belong to them: it may be bare.
 */
size_t smtp_chunk_whole_lines(struct span content);

#endif
