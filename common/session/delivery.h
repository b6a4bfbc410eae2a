/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One transaction with a backend by LMTP, or with the relay host by SMTP: MAIL, RCPT ...,
 * DATA, content, and the reply for each recipient, on a connection of its own or on one that
 * waited for another transaction (mail_link.h).  The caller may give commands before the
 * connection is there; they are sent in order as soon as they may be.
 *
 * A small message goes to an LMTP server that offers CHUNKING in one piece with its length
 * (RFC 3030): it is kept until its end, and the peer is asked nothing before.  What proves too
 * large or slow for that goes behind DATA, as all goes to the others.
 *
 * A connection that waited and proves dead before the peer has answered anything is replaced by a
 * new one, once, and nobody is told: the peer has done nothing yet.  So is one whose peer does not
 * take the envelope together with whose mail it is (XCLIENT): then one waits for the other.
 *
 * A delivery never decides what a failure means: it reports replies as they come
 * and, once, that the connection failed and at which stage.
 */
#ifndef MAILSTEAD_SESSION_DELIVERY_H
#define MAILSTEAD_SESSION_DELIVERY_H

#include "common/proto/login.h"
#include "common/proto/mail.h"
#include "common/session/service.h"

struct delivery;

/* How far a delivery has come; what a failure means depends on it. */
enum delivery_stage {
    DELIVERY_CONNECTING, /* not greeted yet */
    DELIVERY_ENVELOPE,   /* MAIL and RCPT */
    DELIVERY_CONTENT,    /* content may be given; the peer has not all of it */
    DELIVERY_ENDED,      /* the end was sent: the peer may have taken the message */
    DELIVERY_DONE        /* every reply has come */
};

struct delivery_events {
    /* The peer's reply to RCPT number `index` (from 0, in the order of delivery_rcpt). */
    void (*rcpt)(struct delivery *delivery, unsigned index, const struct mail_reply *reply);
    /*
     * 354, the peer's or our own: content may be given.  Or the peer's refusal of the whole
     * transaction; behind a 354 of our own that comes by `final`, after delivery_end.
     */
    void (*data)(struct delivery *delivery, const struct mail_reply *reply);
    /* The final reply for recipient `index`, only for those whose RCPT was accepted. */
    void (*final)(struct delivery *delivery, unsigned index, const struct mail_reply *reply);
    /* Every final reply has come. */
    void (*done)(struct delivery *delivery);
    /* What delivery_content held back has been sent, or is not wanted any more. */
    void (*writable)(struct delivery *delivery);
    /*
     * The connection is lost, refused, timed out or the peer broke the protocol.  `reply`
     * has the peer's words (a greeting or MAIL refused), or code 0.  Nothing else follows.
     */
    void (*failed)(struct delivery *delivery, enum delivery_stage stage,
                   const struct mail_reply *reply, const char *why);
};

struct delivery_options {
    enum mail_flavor flavor;
    const char *session_id;   /* for the log and the health; outlives the delivery */
    const char *reverse_path; /* outlives the delivery */
    struct mail_parameters parameters;
    const char *user, *password; /* relay host; NULL: no AUTH.  Outlive the delivery */
    struct forwarded forwarded;  /* whose message it is; no session_id: that is not said */
};

/* Starts a transaction with `target` (copied), whose kind is GO.  On the heap; owned by the caller.
 */
struct delivery *delivery_new(const struct session_service *service, const struct target *target,
                              const struct delivery_options *options,
                              const struct delivery_events *events, void *context);

/*
 * Ends it, at any stage: no event follows, and it frees itself.  Before the end of content was
 * sent, the peer gets nothing of the message.
 */
void delivery_close(struct delivery *delivery);

/*
 * Adds a recipient; at most `recipients_max` of the configuration.  Nothing is sent yet.
 * `original` is the address as the sender gave it: it goes on as ORCPT when the sender gave none
 * and it is another (RFC 3461 section 5.2.1).  Strings are copied.
 */
void delivery_rcpt(struct delivery *delivery, const char *recipient, const char *original,
                   unsigned notify, const char *orcpt);

/* Sends the commands that were given, as soon as they may be. */
void delivery_advance(struct delivery *delivery);

/*
 * Asks to send the content.  Either every RCPT has been answered, one accepted; or all were given,
 * and whoever asks closes the delivery when none is accepted: the peer may be asked ahead.
 */
void delivery_data(struct delivery *delivery);

/*
 * Sends content as it is (dot-stuffed here where it must be), after 354.  Small pieces are gathered
 * first.
 * `is_scanned`: no line in it but the first begins with a dot, dot_stuffer_next_scanned.
 */
void delivery_content(struct delivery *delivery, struct span content, bool is_scanned);

/* Sends what was gathered, if more of it may follow by itself: nothing more comes for now. */
void delivery_flush(struct delivery *delivery);

/* True while the peer takes no more: stop producing until `writable`. */
bool delivery_is_full(const struct delivery *delivery);

/* Sends the end of the content; the final replies follow, maybe from inside.  Not while full. */
void delivery_end(struct delivery *delivery);

enum delivery_stage delivery_stage(const struct delivery *delivery);
void *delivery_context(const struct delivery *delivery);

/* True when the peer has taken over to report what was asked for by NOTIFY.  Once MAIL is sent. */
bool delivery_reports(const struct delivery *delivery);

#endif
