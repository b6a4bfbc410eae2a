/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of IMAP's ID, RFC 2971: what a client says of itself goes to the backend behind what
 * we say of the client.  The names that begin with "x-" are ours and those of the frontends alone:
 * from anybody else a backend would believe a forged address or session.
 */
#ifndef MAILSTEAD_PROTO_IMAP_ID_H
#define MAILSTEAD_PROTO_IMAP_ID_H

#include "common/proto/login.h"

enum {
    IMAP_ID_FIELDS_MAX = 30,   /* RFC 2971 section 3.3 */
    IMAP_ID_NAME_SIZE = 31,    /* 30 bytes and a NUL */
    IMAP_ID_VALUE_SIZE = 1025, /* 1024 bytes and a NUL */
    IMAP_ID_OWN_FIELDS = 5     /* that imap_id_append may write of its own */
};

struct imap_id {
    struct forwarded forwarded; /* what its x- fields say: for who believes the client */
    /*
     * The others, each as ` "name" "value"` or ` "name" NIL`, a NUL behind them.  So many that
     * there is room for ours beside them; what is too long for all, or not ASCII, is left out.
     */
    char fields[FORWARDED_FIELDS_SIZE];
};

/*
 * Takes the list of fields, or NIL, off the front of `*text`.  False, and `*id` is unspecified,
 * when it is malformed, has more fields than allowed, a longer name or value, or one name twice.  A
 * value of an x- field that is none is passed over.
 */
bool imap_id_read(struct span *text, struct imap_id *id) __attribute__((warn_unused_result));

/*
 * Appends the list of fields, from "(" to ")", by which we say for whom we speak: the client's own,
 * or our name when it has told none, and ours.  Needs FORWARDED_FIELDS_SIZE + 512 bytes of room.
 */
void imap_id_append(struct buffer *out, const struct forwarded *forwarded);

#endif
