/* SPDX-License-Identifier: Apache-2.0 */
/* The entries that are to change, as the server gives them: listed page by page, and kept. */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_WORK_LIST_H
#define MAILSTEAD_DIRECTORY_REASSIGN_WORK_LIST_H

#include "directory/page_value.h"
#include "directory/reassign/plan.h"

struct work_list_events {
    /* An entry matches and is kept, or is left alone for `why`. */
    void (*kept)(void *context, struct plan_item *item);
    void (*passed_over)(void *context, const char *dn, const char *why);
    /* A part of the directory is on another server, and not listed. */
    void (*elsewhere)(void *context, const char *uri);
    /* The last call: all is listed, or with `is_cut` more than the plan's limit and not all; or the
     * search failed.  None when the link ends before. */
    void (*complete)(void *context, bool is_cut);
    void (*failed)(void *context, const struct ldap_answer *answer);
};

struct work_list {
    const struct reassign_plan *plan;
    const struct directory_config *names;
    const struct work_list_events *events;
    void *context;
    struct ldap_link *link;   /* the caller's */
    struct plan_item **items; /* owned, each too */
    size_t count, capacity;
    char filter[PLAN_FILTER_SIZE];
    char page[PAGE_COOKIE_MAX];
    size_t page_length;
    unsigned page_size; /* 0: the server knows no pages, or does not let us have them */
};

/* Empty; false when the filter is too long, and then it cannot be filled. */
bool work_list_init(struct work_list *list, const struct reassign_plan *plan,
                    const struct directory_config *names) __attribute__((warn_unused_result));

void work_list_fini(struct work_list *list);

/*
 * Fills it, once; every event comes later, from the loop.  Where the server `has_assertions`
 * (RFC 4528), after what others have written at this moment.
 */
void work_list_fill(struct work_list *list, struct ldap_link *link, bool has_assertions,
                    const struct work_list_events *events, void *context);

#endif
