/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be done with one entry: pure. */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_PLAN_H
#define MAILSTEAD_DIRECTORY_REASSIGN_PLAN_H

#include "directory/ldap_link.h"
#include "directory/reassign/reassign.h"

/* An entry of the work list, as it was read. */
struct plan_item {
    char *dn;        /* in the same memory as the struct, as are the others */
    char *host;      /* NULL: no hostServer */
    char *old_host;  /* NULL: no oldHostServer */
    size_t number;   /* in the journal, from 1 on; 0: not intended yet */
    bool is_settled; /* the journal says what became of it */
};

/*
 * The item of an entry, on the heap (one free()); or NULL and `*why` not: a static text for
 * a person.
 */
struct plan_item *plan_judge(const struct reassign_plan *plan, const struct directory_config *names,
                             const struct ldap_entry *entry, const char **why);

enum { PLAN_FILTER_SIZE = 16384, PLAN_ASSERTION_SIZE = 2048 };

/* The search filter of the work list; false when it is too long. */
bool plan_write_filter(const struct reassign_plan *plan, const struct directory_config *names,
                       char filter[PLAN_FILTER_SIZE]) __attribute__((warn_unused_result));

/* The hostServer that every entry gets, and the oldHostServer of this one; NULL: none. */
const char *plan_host_after(const struct reassign_plan *plan);
const char *plan_old_host_after(const struct reassign_plan *plan, const struct plan_item *item);

/* The change of one entry; `modify` points into this struct and the item. */
struct plan_change {
    struct ldap_change changes[LDAP_CHANGES_MAX];
    char assertion[PLAN_ASSERTION_SIZE]; /* that the entry still is as it was read */
    struct ldap_modify modify;           /* the caller adds transaction and timeout */
};

void plan_write_change(const struct reassign_plan *plan, const struct directory_config *names,
                       const struct plan_item *item, struct plan_change *change);

#endif
