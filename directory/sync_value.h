/* SPDX-License-Identifier: Apache-2.0 */
/* The values of the controls and messages of content synchronisation, RFC 4533 section 2. */
#ifndef MAILSTEAD_DIRECTORY_SYNC_VALUE_H
#define MAILSTEAD_DIRECTORY_SYNC_VALUE_H

#include "directory/ber.h"

enum { SYNC_UUID_SIZE = 16, SYNC_COOKIE_MAX = 16384 };

enum sync_state { SYNC_STATE_PRESENT, SYNC_STATE_ADD, SYNC_STATE_MODIFY, SYNC_STATE_DELETE };

/* What comes with each entry. */
struct sync_entry_value {
    enum sync_state state;
    const unsigned char *uuid; /* SYNC_UUID_SIZE bytes */
    struct span cookie;        /* data NULL: none */
};

enum sync_notice {
    SYNC_NOTICE_COOKIE,          /* only a new cookie */
    SYNC_NOTICE_REFRESH_DELETE,  /* the delete phase ended */
    SYNC_NOTICE_REFRESH_PRESENT, /* the present phase ended: what was not named is gone */
    SYNC_NOTICE_IDS              /* a set of UUIDs that are present or deleted */
};

struct sync_notice_value {
    enum sync_notice notice;
    struct span cookie;   /* data NULL: none */
    bool is_refresh_done; /* of REFRESH_*: from now on changes are sent as they happen */
    bool is_deleted;      /* of IDS: these are gone; else they are present */
    struct span ids;      /* of IDS: for sync_next_id */
};

/* What ends a synchronised search. */
struct sync_done_value {
    struct span cookie; /* data NULL: none */
    bool refresh_deletes;
};

/* Each reads a value into `*value`, whose spans point into it; false when it is malformed. */
bool sync_read_entry(struct span bytes, struct sync_entry_value *value)
    __attribute__((warn_unused_result));
bool sync_read_notice(struct span bytes, struct sync_notice_value *value)
    __attribute__((warn_unused_result));
bool sync_read_done(struct span bytes, struct sync_done_value *value)
    __attribute__((warn_unused_result));

/* Takes the next UUID off a set; NULL at its end. */
const unsigned char *sync_next_id(struct span *ids);

enum { SYNC_REQUEST_SIZE = SYNC_COOKIE_MAX + 16 };

/* Writes the request for refreshAndPersist from `cookie` on (empty: none; at most SYNC_COOKIE_MAX).
 */
void sync_write_request(struct buffer *target, struct span cookie);

#endif
