/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mail session does with a message that cannot be handed to its backend
 * now: the frontend's queue behind an interface, so that the session code does not
 * depend on it.  The backend node has none.
 */
#ifndef MAILSTEAD_SESSION_MAIL_FALLBACK_H
#define MAILSTEAD_SESSION_MAIL_FALLBACK_H

#include "common/session/mail_outcome.h"

struct mail_copy; /* the content of one message, as far as it has come; the fallback's own */

struct mail_stored_recipient {
    const char *recipient; /* as given in RCPT */
    enum mail_fate fate;   /* not NONE */
    const char *text;      /* the backend's last words, may be empty */
    const char *orcpt;     /* NULL: none */
    unsigned notify;       /* of enum mail_notify */
};

struct mail_stored_envelope {
    const char *session_id;
    const char *reverse_path;
    const struct mail_parameters *parameters;
    bool may_relay; /* recipients of foreign domains go to the relay host */
    const struct mail_stored_recipient *recipients;
    unsigned count;
};

/* Called once, later: `is_stored` only after the commit. */
typedef void mail_stored(void *context, bool is_stored);

/* Whether a message could be stored now, as far as is known before there is one. */
enum mail_fallback_state { MAIL_FALLBACK_READY, MAIL_FALLBACK_AWAY, MAIL_FALLBACK_FULL };

struct mail_fallback {
    enum mail_fallback_state (*state)(void *context);
    /* An empty copy; never NULL. */
    struct mail_copy *(*copy_new)(void *context);
    /* False when it cannot be kept (full disk, cap); the copy is then useless. */
    bool (*copy_append)(struct mail_copy *copy, struct span content);
    void (*copy_free)(struct mail_copy *copy);
    /* Stores the whole message durably.  Takes the copy over; the envelope is the caller's. */
    void (*store)(void *context, struct mail_copy *copy,
                  const struct mail_stored_envelope *envelope, mail_stored *done,
                  void *done_context);
};

#endif
