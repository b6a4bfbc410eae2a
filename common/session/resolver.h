/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver of a worker: routes by the mirror, and has the directory process confirm
 * what the mirror does not know before anybody says "no such user".  In
 * doubt (no directory process, no answer in time) the outcome is UNAVAILABLE.
 */
#ifndef MAILSTEAD_SESSION_RESOLVER_H
#define MAILSTEAD_SESSION_RESOLVER_H

#include "common/base/list.h"
#include "common/io/channel.h"
#include "common/service/board.h"
#include "common/service/config.h"
#include "directory/messages.h"
#include "directory/mirror.h"

struct resolver_request {
    struct route route; /* the outcome; UNKNOWN only when a live search agreed */
    uint64_t revision;  /* resolver_revision before the mirror was asked */
    void (*done)(struct resolver_request *request);
    /* ... own members below */
    struct list node;
    uint32_t number;
    uint64_t asked_ms;
};

/* A question whether an account has a password. */
struct resolver_bind {
    enum directory_bind_answer answer;
    void (*done)(struct resolver_bind *bind);
    /* ... own members below */
    struct list node;
    uint32_t number;
    uint64_t asked_ms;
};

struct resolver {
    struct io_loop *loop;
    const struct config *config;
    struct mirror *mirror;
    struct route_rules rules;
    struct channel channel;
    bool is_connected, is_stopping;
    uv_timer_t timer; /* reconnects and times out */
    struct list waiting;
    struct list binding;
    uint32_t last_number;
    unsigned open_handles;
    void (*stopped)(struct resolver *resolver);
    /* Another owner: `host` has it now, empty: it is gone.  A NULL account: many changed.  May be
     * NULL. */
    void (*changed)(struct resolver *resolver, struct span account, struct span host);
    /*
     * The mirror's list of backends may be another; false: it could not be read, and is told again
     * soon.  To be set after resolver_start; NULL: none.
     */
    bool (*backends_changed)(struct resolver *resolver);
    bool backends_are_due;
    /* Where the mirror's revision is shown; to be set after resolver_start; NULL: not known. */
    const struct board *board;
};

/* Opens the mirror and connects to directory.sock, now or as soon as it is there. */
void resolver_start(struct resolver *resolver, struct io_loop *loop, const struct config *config,
                    void (*changed)(struct resolver *resolver, struct span account,
                                    struct span host));

/* Ends it: every waiting request must have been cancelled; `stopped` comes from the loop. */
void resolver_stop(struct resolver *resolver, void (*stopped)(struct resolver *resolver));

/*
 * Resolves a mail address or a login name.  True: `request->route` is there
 * now and `done` will not be called; false: `done` is called later, unless
 * resolver_cancel comes first.  `default_domain` (may be NULL) is for logins.
 */
bool resolver_ask(struct resolver *resolver, struct resolver_request *request, enum route_key key,
                  struct span value, const char *default_domain)
    __attribute__((warn_unused_result));

/* What the mirror alone says of a mail address or login name, now. */
void resolver_look_up(struct resolver *resolver, enum route_key key, const char *value,
                      struct route *route);

/*
 * The mirror's revision, 0 when it is not known.  While it stays what it was before an account was
 * looked up, the account's owner is the same: it is shown before any change is told.
 */
uint64_t resolver_revision(const struct resolver *resolver);

/* Whether what was looked up at `revision` may have changed since. */
bool resolver_is_behind(const struct resolver *resolver, uint64_t revision);

/* Forgets a request that waits; does nothing to one that does not. */
void resolver_cancel(struct resolver_request *request);

/*
 * Asks the LDAP server whether `password` is that of `account` (its canonical name).  `done` is
 * called later, once, unless resolver_cancel_bind comes first; false: nobody can be asked.  The
 * password is not empty: a bind with none proves nothing (RFC 4513 section 5.1.2).
 */
bool resolver_bind(struct resolver *resolver, struct resolver_bind *bind, const char *account,
                   const char *password) __attribute__((warn_unused_result));

/* Forgets a question that waits; does nothing to one that does not. */
void resolver_cancel_bind(struct resolver_bind *bind);

void resolver_bind_init(struct resolver_bind *bind, void (*done)(struct resolver_bind *bind));

/* Prepares a request before its first use. */
void resolver_request_init(struct resolver_request *request,
                           void (*done)(struct resolver_request *request));

#endif
