/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dot-stuffing of outgoing content, RFC 5321 section 4.5.2, without copying.
 */
#ifndef MAILSTEAD_PROTO_DOT_STUFFING_H
#define MAILSTEAD_PROTO_DOT_STUFFING_H

#include "common/base/span.h"

struct dot_stuffer {
    unsigned position; /* what the last bytes were: start of a line, after CR, inside a line */
};

/* Starts at the beginning of a message. */
void dot_stuffer_init(struct dot_stuffer *stuffer);

/*
 * The next piece to send of `*content`, taken off its front: bytes of it, or a
 * static "." to be put in.  Empty when `*content` is used up.  Any split of the
 * content gives the same bytes in all.
 */
struct span dot_stuffer_next(struct dot_stuffer *stuffer, struct span *content);

/*
 * As dot_stuffer_next, for content in which no line but the first begins with a dot: it is not
 * looked through.  What smtp_content_next gives is such.
 */
struct span dot_stuffer_next_scanned(struct dot_stuffer *stuffer, struct span *content);

/* What ends the message: ".\r\n", with a "\r\n" before it when the content did not end a line. */
struct span dot_stuffer_end(const struct dot_stuffer *stuffer);

#endif
