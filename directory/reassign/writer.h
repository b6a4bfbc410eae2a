/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to the server that changes go to, and what that server can: config->admin's, or
 * the first of config->directory's when there is no admin.write_uri.
 */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_WRITER_H
#define MAILSTEAD_DIRECTORY_REASSIGN_WRITER_H

#include "common/service/config.h"
#include "directory/ldap_link.h"

struct writer;

struct writer_events {
    /* Connected and bound, and what the server can is known. */
    void (*ready)(void *context, struct writer *writer);
    /* It is of no use any more, and has no link. */
    void (*ended)(void *context, struct writer *writer, const char *reason);
};

struct writer {
    const struct writer_events *events;
    void *context;
    struct ldap_link *link; /* NULL: not opened, or ended */
    bool has_transactions;  /* RFC 5805, and assertions too */
    bool has_assertions;    /* RFC 4528 */
};

/* Every event comes later, from the loop. */
void writer_open(struct writer *writer, struct io_loop *loop, const struct config *config,
                 const struct writer_events *events, void *context);

/* At any time, in any event too, and more than once; no event after it. */
void writer_close(struct writer *writer);

#endif
