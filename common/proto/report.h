/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery status notifications, RFC 3464 in a multipart/report of RFC 3462 (now
 * 6522): the message that tells a sender which recipients were not reached, or not yet, and why;
 * or, where he asked for it (RFC 3461), which were.
 *
 * What comes out has CRLF line ends, and no line above 998 bytes but those of a message that is
 * returned in full, whatever the parts contain; it is marked as automatic (RFC 3834).  It is ASCII
 * but for is_utf8 (RFC 6533) and for 8 bit content of a message that is returned in full.
 */
#ifndef MAILSTEAD_PROTO_REPORT_H
#define MAILSTEAD_PROTO_REPORT_H

#include "common/base/bytes.h"

enum report_kind { REPORT_FAILED, REPORT_DELAYED, REPORT_SUCCESS };

/* One recipient.  Strings; NULL and empty are the same. */
struct report_recipient {
    const char *original_type; /* of ORCPT: "rfc822" */
    const char *original;      /* of ORCPT, decoded */
    const char *final;         /* as it was tried last; needed */
    const char *status; /* RFC 3463 "5.1.1", "4.4.7"; one that does not suit the kind is not used */
    const char *diagnostic; /* the reply "550 5.1.1 No such user", or our own words */
    const char *remote_mta; /* whose reply it was; empty: left out */
    bool is_reply;          /* `diagnostic` is a reply, not our own words */
    bool is_relayed;        /* SUCCESS: to a system that says nothing of what follows */
};

struct report {
    enum report_kind kind;
    const char *hostname;     /* ours: reporting MTA, and the domain of the sender's address */
    const char *reverse_path; /* to whom it goes; never empty (RFC 5321 section 4.5.5) */
    const char *message_id;   /* of the report, left of the '@'; unique, of letters and digits */
    const char *boundary;     /* letters and digits that nobody else can guess, at most 60 */
    const char *date;         /* RFC 5322 date-time */
    const char *arrival_date; /* of the message; NULL: not known */
    const char *envelope_id;  /* ENVID, decoded; NULL: none */
    struct span message;      /* the message, or its front: its header is returned, at most 64 KB */
    bool is_full;             /* FAILED: `message` is all of it, and is returned */
    bool is_utf8;             /* the message came with SMTPUTF8: the parts are of RFC 6533 */
    const char *retry_until;  /* DELAYED: RFC 5322 date-time */
    const struct report_recipient *recipients;
    size_t recipient_count; /* above 0 */
};

/* True when it has bytes above ASCII: it goes out as 8BITMIME. */
bool report_is_8bit(const struct report *report);

/*
 * Appends the report, a whole message, to `target`.  False when its limit was passed: what is
 * in it then is of no use.
 */
bool report_compose(const struct report *report, struct bytes *target)
    __attribute__((warn_unused_result));

#endif
