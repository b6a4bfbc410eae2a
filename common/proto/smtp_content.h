/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of one message as it comes after DATA, RFC 5321 section 4.5.2:
 * dot-stuffing is taken off without copying, CRLF.CRLF alone ends it.  A bare CR
 * or LF ends nothing and makes the whole content broken, so that no two servers can
 * disagree on where a message ends; or it comes out as CRLF, where that is wanted.  Even then a dot
 * behind one is no dot that begins a line: it ends nothing, and is not taken off.
 */
#ifndef MAILSTEAD_PROTO_SMTP_CONTENT_H
#define MAILSTEAD_PROTO_SMTP_CONTENT_H

#include "common/base/span.h"

enum smtp_content_progress {
    SMTP_CONTENT_NEED_INPUT, /* at most 2 bytes of the input are left, ".\r" */
    SMTP_CONTENT_PIECE,      /* `piece` is content */
    SMTP_CONTENT_BROKEN,     /* a bare CR or LF is next; from now on only smtp_content_skip */
    SMTP_CONTENT_END         /* what ended the message is taken */
};

struct smtp_content {
    bool is_inside_line; /* the next byte does not begin a line */
    bool converts;       /* a bare CR or LF becomes CRLF */
};

/* Begins a message. */
static inline void smtp_content_begin(struct smtp_content *content, bool converts)
{
    *content = (struct smtp_content){ .converts = converts };
}

/* Takes the next piece off `*in`; it points into the input, or is a constant. */
enum smtp_content_progress smtp_content_next(struct smtp_content *content, struct span *in,
                                             struct span *piece);

/* Drops the rest of a message that is not wanted: NEED_INPUT until its true END. */
enum smtp_content_progress smtp_content_skip(struct smtp_content *content, struct span *in);

#endif
