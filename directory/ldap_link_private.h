/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a link (ldap_link*.c) share; for them alone. */
#ifndef MAILSTEAD_DIRECTORY_LDAP_LINK_PRIVATE_H
#define MAILSTEAD_DIRECTORY_LDAP_LINK_PRIVATE_H

#include <lber.h>
#include <ldap.h>

#include "directory/ldap_link.h"
#include "directory/ldap_link_connect.h"

enum link_state { LINK_CONNECTING, LINK_READY, LINK_ENDED };

struct ldap_link {
    struct io_loop *loop;
    const struct ldap_link_events *events;
    void *context;
    enum link_state state;
    bool is_closing; /* by its owner: nothing is called any more */
    LDAP *ld;        /* the pool's while CONNECTING, then the loop's; NULL after the end */
    struct list operations;
    size_t operation_count;
    size_t deadline_count; /* operations that have one */
    uv_work_t work;
    struct connect_watch *watch;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_timer_t rest; /* its data is NULL until the link is ready, as that of `poll` */
    uint64_t message_count;        /* taken in all */
    struct io_resumption more;     /* input beyond the budget, or a failure to be told */
    unsigned users;                /* open handles, and the pool: at 0 the memory is freed */
    char reason[LDAP_REASON_SIZE]; /* of the end; empty while there is none */
    /* Copies for the pool: */
    char *uri, *ca, *bind_dn, *password;
    bool starttls;
    unsigned timeout_ms;
};

struct link_operation {
    struct list node;
    int number;
    uint64_t deadline_ms;                    /* 0: none */
    const struct ldap_search_events *search; /* NULL: not a search */
    ldap_done *done;
    void *context;
};

/* The open operation with libldap's number, or NULL. */
struct link_operation *link_find_operation(struct ldap_link *link, int number);

/* Ends one operation and tells its owner. */
void link_finish(struct ldap_link *link, struct link_operation *operation,
                 const struct ldap_answer *answer);

/* Ends one operation and tells nobody. */
void link_free_operation(struct ldap_link *link, struct link_operation *operation);

/* Notes an operation that libldap answered with `code`; its number, or 0. */
int link_note(struct ldap_link *link, int code, int number, unsigned timeout_ms,
              const struct link_operation *what);

/* ldap_link_answers.c: gives a message to the operation that it belongs to. */
void link_take_message(struct ldap_link *link, LDAPMessage *message);

static inline struct span link_span(const struct berval *value)
{
    return value ? span_of(value->bv_val, value->bv_len) : SPAN_EMPTY;
}

#endif
