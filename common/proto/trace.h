/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace fields, RFC 5321 section 4.4: the header lines that each hop puts in front of a
 * message, and the count of those that are there, by which a loop is found.
 */
#ifndef MAILSTEAD_PROTO_TRACE_H
#define MAILSTEAD_PROTO_TRACE_H

#include "common/proto/mail.h"

/* No field that is written here is longer. */
enum { TRACE_FIELD_MAX = 2048 };

/* Where a message came from.  Strings; NULL and empty are the same. */
struct trace_hop {
    const char *helo;       /* what the client called itself; foreign bytes are replaced */
    const char *name;       /* what the client is called in DNS, when somebody has said that */
    const char *address;    /* the client's IP address; empty for a unix socket */
    const char *hostname;   /* ours */
    const char *session_id; /* of the log */
    const char *recipient;  /* only when the message has no other */
    const char *date;       /* RFC 5322 date-time, clock_format_rfc5322 */
    enum mail_flavor flavor;
    bool is_extended, is_encrypted, is_authenticated;
    bool is_utf8; /* SMTPUTF8: the recipient may be UTF-8 */
};

/* Writes a Received field, folded, with its CRLF; out has TRACE_FIELD_MAX bytes of room. */
void trace_write_received(const struct trace_hop *hop, struct buffer *out);

/* Writes "X-Original-To: recipient", with its CRLF; `is_utf8`: it may be UTF-8. */
void trace_write_original_recipient(const char *recipient, bool is_utf8, struct buffer *out);

/* Counts the Received fields and the bytes of a header as the content goes by. */
struct header_scan {
    unsigned received_count;
    uint64_t bytes; /* of the header so far */
    /* the implementation's own */
    unsigned matched; /* bytes of the field's name that this line has so far */
    unsigned position;
};

void header_scan_init(struct header_scan *scan);

/* Reads the next piece of content; any cut gives the same count.  Nothing is read behind the
 * header. */
void header_scan_feed(struct header_scan *scan, struct span content);

#endif
