/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to an LDAP server, in the loop: opened, secured and bound, then many
 * operations at a time.  The only module that knows libldap; nothing of it shows here.
 *
 * libldap resolves names and shakes hands for TLS without returning to the loop, each for up to
 * the timeout of the settings.  Therefore only the directory process and the
 * administrator's command use it.
 *
 * Owner: the link is on the heap.  ldap_link_close may be called at any time, in any event
 * too; nothing is called after it.
 */
#ifndef MAILSTEAD_DIRECTORY_LDAP_LINK_H
#define MAILSTEAD_DIRECTORY_LDAP_LINK_H

#include "common/io/loop.h"
#include "directory/ldap_entry.h"

/* Result codes (RFC 4511 appendix A, RFC 4528, RFC 4533), and two of our own. */
enum ldap_code {
    LDAP_CODE_LOST = -1,    /* the connection ended before the answer: it may or may not be done */
    LDAP_CODE_TIMEOUT = -2, /* no answer in time: it may or may not be done */
    LDAP_CODE_SUCCESS = 0,
    LDAP_CODE_SIZE_LIMIT = 4,
    LDAP_CODE_STRONGER_AUTH = 8,
    LDAP_CODE_REFERRAL = 10,
    LDAP_CODE_ADMIN_LIMIT = 11,
    LDAP_CODE_NO_PAGES = 12, /* and any other critical control that the server does not know */
    LDAP_CODE_CONFIDENTIALITY = 13,
    LDAP_CODE_NO_SUCH_ATTRIBUTE = 16,
    LDAP_CODE_UNDEFINED_ATTRIBUTE = 17,
    LDAP_CODE_NO_SUCH_OBJECT = 32,
    LDAP_CODE_INVALID_CREDENTIALS = 49,
    LDAP_CODE_INSUFFICIENT_ACCESS = 50,
    LDAP_CODE_BUSY = 51,
    LDAP_CODE_UNAVAILABLE = 52,
    LDAP_CODE_UNWILLING = 53,
    LDAP_CODE_ASSERTION_FAILED = 122,
    LDAP_CODE_SYNC_REFRESH_REQUIRED = 4096
};

/* How to connect; borrowed until the link is ready or ended. */
struct ldap_settings {
    const char *uri;      /* ldap://, ldaps:// or ldapi:// */
    bool starttls;        /* on ldap:// */
    const char *ca;       /* PEM file; NULL: the system's */
    const char *bind_dn;  /* NULL: SASL EXTERNAL on ldapi://, else anonymous */
    const char *password; /* NULL: none */
    unsigned timeout_ms;  /* for being ready, and of each blocking step */
};

struct ldap_link_events {
    /* Connected, secured, bound: operations may start. */
    void (*ready)(void *context);
    /* It is of no use any more, for `reason`; after the `done` of each open operation.  Close it.
     */
    void (*ended)(void *context, const char *reason);
    /* Something had arrived, and all that had is told: the moment to commit.  May be NULL. */
    void (*turn)(void *context);
};

struct ldap_link;

/* Opens a link; every event comes later, from the loop. */
struct ldap_link *ldap_link_open(struct io_loop *loop, const struct ldap_settings *settings,
                                 const struct ldap_link_events *events, void *context);

/* Ends and frees it; open operations are dropped without their `done`. */
void ldap_link_close(struct ldap_link *link);

/* The descriptor of the connection, which stays the link's; -1: not ready. */
int ldap_link_descriptor(const struct ldap_link *link);

/*
 * Takes nothing off the connection for so long: what arrives meanwhile is told together, which
 * costs both sides less.  From an event of the link, when it is ready; again while it rests: nothing.
 */
void ldap_link_rest(struct ldap_link *link, unsigned ms);

/* Operations that wait for their end. */
size_t ldap_link_pending(const struct ldap_link *link);

/* How an operation ended; the texts and spans are valid during the call. */
struct ldap_answer {
    int code;             /* an enum ldap_code or any other of the server's */
    const char *text;     /* the server's or our explanation; "" when there is none */
    const char *referral; /* the first URI of a referral, or NULL */
    struct span value;    /* what an extended operation gave; data NULL: nothing */
    struct span page;     /* paged search: the cookie of the next page; empty: that was the last */
    struct sync_done_value sync; /* synchronised search */
};

typedef void ldap_done(void *context, const struct ldap_answer *answer);

enum ldap_scope { LDAP_SCOPE_OF_BASE, LDAP_SCOPE_OF_SUBTREE };

struct ldap_search {
    const char *base;
    enum ldap_scope scope;
    const char *filter;            /* RFC 4515; values escaped by ldap_escape */
    const char *const *attributes; /* ended by NULL */
    unsigned size_limit;           /* 0: none */
    unsigned timeout_ms;           /* 0: none */
    unsigned page_size;            /* RFC 2696; 0: not paged */
    struct span page;              /* the cookie of the page before */
    bool is_synchronised;          /* RFC 4533 refreshAndPersist */
    struct span sync_cookie;       /* empty: none */
};

struct ldap_search_events {
    void (*entry)(void *context, const struct ldap_entry *entry);
    void (*notice)(void *context, const struct sync_notice_value *notice); /* synchronised only */
    /* A part of the subtree is on another server; may be NULL. */
    void (*reference)(void *context, const char *uri);
    ldap_done *done;
};

/*
 * Each starts an operation: a number above 0, and `done` comes later, once; or 0 when the
 * request could not be sent, and `ended` follows.
 */
int ldap_link_search(struct ldap_link *link, const struct ldap_search *search,
                     const struct ldap_search_events *events, void *context);

enum ldap_change_kind { LDAP_CHANGE_ADD, LDAP_CHANGE_DELETE, LDAP_CHANGE_REPLACE };

struct ldap_change {
    enum ldap_change_kind kind;
    const char *attribute;
    const char *value; /* NULL: all values */
};

enum { LDAP_CHANGES_MAX = 8 };

struct ldap_modify {
    const char *dn;
    const struct ldap_change *changes;
    size_t change_count;     /* 1 to LDAP_CHANGES_MAX */
    const char *assertion;   /* RFC 4528 filter that the entry must match; NULL: none */
    struct span transaction; /* RFC 5805 identifier, which may be empty; data NULL: none */
    unsigned timeout_ms;
};

/*
 * LDAP_LINK_FULL, and nothing is sent, when the connection takes no more just now: to be tried
 * again after an answer or a while.
 */
enum { LDAP_LINK_FULL = -1 };
int ldap_link_modify(struct ldap_link *link, const struct ldap_modify *modify, ldap_done *done,
                     void *context);

/*
 * Becomes somebody else, by a simple bind: a link for nothing but such binds, one at a time, with
 * no other operation open.  Nobody's name and nobody's password are not empty: such a bind would
 * succeed and prove nothing (RFC 4513 section 5.1).
 */
int ldap_link_bind(struct ldap_link *link, const char *dn, const char *password,
                   unsigned timeout_ms, ldap_done *done, void *context);

/* Starts a transaction: the answer's value is its identifier (OpenLDAP's is empty). */
int ldap_link_begin_transaction(struct ldap_link *link, unsigned timeout_ms, ldap_done *done,
                                void *context);

/*
 * Ends it.  Only after every answer of its operations: OpenLDAP may run the end before
 * operations that were sent before it.
 */
int ldap_link_end_transaction(struct ldap_link *link, struct span transaction, bool commit,
                              unsigned timeout_ms, ldap_done *done, void *context);

/* Gives an operation up: no further call for it.  The number may be of one that is done. */
void ldap_link_abandon(struct ldap_link *link, int number);

#endif
