/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery status notifications, RFC 3464 in a multipart/report of RFC 3462 (now
 * 6522): the message that tells a sender which recipients were not reached, or not yet, and why.
 *
 * What comes out is ASCII with CRLF line ends and no line above 998 bytes, whatever
 * the parts contain; it is marked as automatic (RFC 3834).
 */
#ifndef MAILSTEAD_PROTO_REPORT_H
#define MAILSTEAD_PROTO_REPORT_H

#include "common/base/bytes.h"

/* One recipient that was given up, or that still waits.  Strings; NULL and empty are the same. */
struct report_recipient {
    const char *original;   /* as the sender gave it, when it is another than `final` */
    const char *final;      /* as it was tried last; needed */
    const char *status;     /* RFC 3463 "5.1.1", "4.4.7"; empty, or of class 2: "5.0.0" instead */
    const char *diagnostic; /* the reply "550 5.1.1 No such user", or our own words */
    const char *remote_mta; /* whose reply it was; empty: left out */
    bool is_reply;          /* `diagnostic` is a reply, not our own words */
};

struct report {
    const char *hostname;     /* ours: reporting MTA, and the domain of the sender's address */
    const char *reverse_path; /* to whom it goes; never empty (RFC 5321 section 4.5.5) */
    const char *message_id;   /* of the report, left of the '@'; unique, of letters and digits */
    const char *boundary;     /* letters and digits that nobody else can guess, at most 60 */
    const char *date;         /* RFC 5322 date-time */
    const char *arrival_date; /* of the message; NULL: not known */
    struct span message;      /* the message, or its front: its header is returned, at most 64 KB */
    const char *retry_until;  /* RFC 5322 date-time: it is only late, and tried until then; NULL: it
                                 was given up */
    const struct report_recipient *recipients;
    size_t recipient_count; /* above 0 */
};

/*
 * Appends the report, a whole message, to `target`.  False when its limit was passed: what is
 * in it then is of no use.
 */
bool report_compose(const struct report *report, struct bytes *target)
    __attribute__((warn_unused_result));

#endif
