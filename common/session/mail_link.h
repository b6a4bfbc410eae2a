/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a backend (LMTP) or to the relay host (SMTP): connect, TLS, greeting,
 * hello; then one transaction after the other, each for whoever holds it.  Between two it
 * waits in a mail_pool, where nobody holds it and whatever comes from the peer closes it.
 *
 * It is on the heap and owns itself: who holds it gives it back or closes it.
 */
#ifndef MAILSTEAD_SESSION_MAIL_LINK_H
#define MAILSTEAD_SESSION_MAIL_LINK_H

#include "common/base/state.h"
#include "common/io/deadline.h"
#include "common/io/keepalive.h"
#include "common/proto/smtp_client.h"
#include "common/session/intake.h"
#include "common/session/service.h"

struct mail_link;

struct mail_link_options {
    enum mail_flavor flavor;
    const char *user, *password; /* relay host; NULL: no AUTH.  Outlive the link */
    bool tells_client;           /* mail_link_introduce is called before each transaction */
};

/* What its holder is told.  A holder that gives the link back inside of one is told nothing more.
 */
struct mail_link_events {
    /* The peer has greeted; only for a link that mail_link_start made. */
    void (*greeted)(void *context);
    /* The machine has a reply: machine.replied, index and reply. */
    void (*replied)(void *context);
    /* All that had come is read: commands may be sent. */
    void (*settled)(void *context);
    /* What mail_link_send held back is sent. */
    void (*writable)(void *context);
    /* Greeting, hello, TLS or AUTH was refused: machine.reply says how. */
    void (*refused)(void *context);
    /* The connection failed, or nothing came in time; `machine.reply` has a 421, or code 0. */
    void (*lost)(void *context, const char *why);
};

struct mail_link {
    const struct session_service *service;
    struct target target;
    struct mail_link_options options;
    const struct mail_link_events *events; /* NULL: nobody holds it */
    void *context;
    struct smtp_client machine;
    bool is_open;                                           /* there is a transport */
    bool is_greeted;                                        /* and the machine may be used */
    char told[sizeof(((struct forwarded *)0)->session_id)]; /* whose mail it was last said to be */
    bool is_reused; /* it has carried a transaction before the one at hand */
    /* The implementation's own: */
    struct list node; /* in the pool's list, while it waits there */
    struct connector *connector;
    struct transport transport;
    struct deadline deadline;
    struct keepalive_wait wait; /* of the deadline */
    struct intake intake;
    bool is_closed, is_pumping;
    bool is_expired; /* lost, because nothing came in time */
    unsigned open_handles;
};

/* Starts connecting to `target` (copied), whose kind is GO; the caller holds it. */
struct mail_link *mail_link_start(const struct session_service *service,
                                  const struct target *target,
                                  const struct mail_link_options *options,
                                  const struct mail_link_events *events, void *context);

/* Somebody else holds it from now on. */
void mail_link_hold(struct mail_link *link, const struct mail_link_events *events, void *context);

/*
 * The holder needs it no more: between transactions it goes to the service's pool, an envelope that
 * was fully answered is reset first, anything else ends the connection.
 */
void mail_link_release(struct mail_link *link);

/* Ends the connection; with QUIT where one may stand. */
void mail_link_close(struct mail_link *link);

/* Sends; what the peer does not take is held back.  False: it is broken, say so and close it. */
bool mail_link_send(struct mail_link *link, struct span bytes) __attribute__((warn_unused_result));

/*
 * Writes, for a peer that wants to know it, whose mail follows; the caller sends it.  `settled`
 * comes when it is answered; the transaction may be sent before, see smtp_client_forward.  False,
 * and nothing is written: the peer knows, or does not take it.
 */
bool mail_link_introduce(struct mail_link *link, const struct forwarded *forwarded,
                         struct buffer *out) __attribute__((warn_unused_result));

/* True while something is held back. */
static inline bool mail_link_is_full(const struct mail_link *link)
{
    return link->is_open && transport_has_pending(&link->transport);
}

/* The peer has so long for what is due next; 0: for ever. */
void mail_link_expect(struct mail_link *link, unsigned seconds);

#endif
