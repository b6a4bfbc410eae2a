/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a delivery share; delivery.h is its interface. */
#ifndef MAILSTEAD_SESSION_DELIVERY_PRIVATE_H
#define MAILSTEAD_SESSION_DELIVERY_PRIVATE_H

#include "common/proto/dot_stuffing.h"
#include "common/session/delivery.h"
#include "common/session/mail_link.h"

enum {
    DELIVERY_GATHERED_MAX = 16384, /* a piece of half that size is not copied for it */
    DELIVERY_KEPT_MS = 500         /* a content that takes longer is not kept from the peer */
};

/* How the content goes. */
enum delivery_manner {
    DELIVERY_BY_DATA,  /* as it comes, behind the peer's 354 */
    DELIVERY_BY_CHUNK, /* whole, at its end; `gathered` has all of it */
    DELIVERY_ASKING,   /* it did not do for that: DATA is said, `gathered` waits for the answer */
    DELIVERY_DROPPED   /* that was a refusal, which answers the end; there is no link any more */
};

struct delivery_recipient {
    char *path;
    struct mail_recipient_parameters *parameters; /* owned; NULL: none */
    bool is_sent, is_accepted, is_final;
};

struct delivery {
    const struct session_service *service;
    const struct delivery_events *events;
    struct delivery_options options;
    struct target target;
    void *context;
    enum delivery_stage stage;
    struct mail_link *link; /* NULL once it is lost or given back */
    enum delivery_manner manner;
    struct dot_stuffer stuffer; /* DELIVERY_BY_DATA */
    struct bytes gathered;
    uint64_t kept_since_ms;    /* DELIVERY_BY_CHUNK */
    struct mail_reply refusal; /* DELIVERY_DROPPED */
    struct delivery_recipient *recipients;
    unsigned recipient_count, recipient_capacity, answered, accepted, finals;
    unsigned holds; /* calls that still use it after an event */
    bool is_closed, is_data_wanted, is_data_asked, was_mail_sent, was_mail_accepted;
    bool is_waiting;     /* for another recipient or DATA; the peer has answered all */
    bool peer_has_dsn;   /* as of MAIL */
    bool may_start_anew; /* on a connection that waited, nothing was answered yet */
    bool is_careful;     /* it is another one: MAIL waits for the answer to XCLIENT */
};

/* What the link tells its holder; the context is the delivery. */
extern const struct mail_link_events delivery_link_events;

/* Calls that go on after an event hold it, so that a delivery that is closed stays. */
void delivery_hold(struct delivery *delivery);
void delivery_release(struct delivery *delivery);

/* Closes it and tells the caller; `reply` may be NULL. */
void delivery_fail(struct delivery *delivery, const struct mail_reply *reply, const char *why);

/* The link is no more, and nothing that was said counts: it is said again on a new one, once. */
void delivery_start_anew(struct delivery *delivery);

/* The link is no more: all is said again on a new one, or it has failed. */
void delivery_lost_link(struct delivery *delivery, const char *why);

/* Sends on the link; false when that has broken, and is told. */
bool delivery_send(struct delivery *delivery, struct span bytes);

/* The peer has so long for what is due next; 0: for ever. */
void delivery_expect(struct delivery *delivery, unsigned seconds);

/* One reply answers all recipients that wait for one; that was the last event. */
void delivery_conclude(struct delivery *delivery, const struct mail_reply *reply);

/* Begins to keep the content, and says 354; nothing is sent. */
void delivery_begin_chunk(struct delivery *delivery);

/* The peer's answer to a DATA that was said behind that. */
void delivery_take_asked(struct delivery *delivery, const struct mail_reply *reply);

/* The peer has a time to take what is held back for it; a slow sender is not the peer's fault. */
void delivery_tend_content(struct delivery *delivery);

#endif
