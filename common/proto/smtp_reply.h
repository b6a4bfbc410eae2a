/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies on the wire, RFC 5321 section 4.2, with the enhanced status codes of RFC 2034.
 */
#ifndef MAILSTEAD_PROTO_SMTP_REPLY_H
#define MAILSTEAD_PROTO_SMTP_REPLY_H

#include "common/proto/mail.h"

/* No reply that smtp_reply_write writes is longer. */
enum { SMTP_REPLY_SIZE_MAX = 640 };

/* Writes `reply`, whose code is 200 to 599, as one line, or as two when its text is long. */
void smtp_reply_write(const struct mail_reply *reply, struct buffer *out);

enum smtp_reply_progress {
    SMTP_REPLY_NEED_INPUT,
    SMTP_REPLY_LINE, /* one more line, and others follow */
    SMTP_REPLY_LAST, /* the last line: `reply` is whole */
    SMTP_REPLY_BROKEN
};

/* Reads one reply, line by line; zeroed memory is a reader that is ready. */
struct smtp_reply_reader {
    struct mail_reply reply; /* whole after LAST: its text is all lines, folded and cut to fit */
    struct span line;        /* after LINE and LAST: the line behind its code, valid as the input */
    unsigned lines;          /* of this reply so far */
    bool is_whole;           /* the next line begins another reply */
};

/*
 * Takes the next line off `*in`.  BROKEN, and nothing taken, when it is longer than RFC 5321 allows
 * with much to spare, is no reply line, holds NUL or a bare CR, has another code than the
 * lines before it, or is one of too many.
 */
enum smtp_reply_progress smtp_reply_read(struct smtp_reply_reader *reader, struct span *in);

#endif
