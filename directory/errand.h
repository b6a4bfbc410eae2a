/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thing after the other at an LDAP server, each waited for, in a loop of its own: for the
 * administrator's command, which has nothing else to do meanwhile.
 */
#ifndef MAILSTEAD_DIRECTORY_ERRAND_H
#define MAILSTEAD_DIRECTORY_ERRAND_H

#include "common/service/config.h"
#include "directory/ldap_link.h"
#include "directory/page_value.h"

struct errand {
    struct io_loop loop;
    struct ldap_link *link; /* NULL: none, or it has ended */
    bool is_waiting;
    int code;                   /* of the last operation */
    char page[PAGE_COOKIE_MAX]; /* of a search in pages: where the next one begins */
    size_t page_length;
    void (*entry)(void *context, const struct ldap_entry *entry);
    void *context;
    char error[256]; /* why the link ended, or the words of the last operation's answer */
};

/* As whom: who follows the directory, or who writes to it. */
enum errand_identity { ERRAND_READER, ERRAND_WRITER };

/*
 * Connects: the reader to the first URI that answers, the writer to admin.write_uri.  False, with
 * `error`, when that fails or is not configured.  errand_end in any case.
 */
bool errand_begin(struct errand *errand, const struct config *config, enum errand_identity identity)
    __attribute__((warn_unused_result));
void errand_end(struct errand *errand);

/*
 * Each gives an enum ldap_code.  The search calls `entry` for what it finds; one with a page size
 * fetches every page.
 */
int errand_search(struct errand *errand, const struct ldap_search *search,
                  void (*entry)(void *context, const struct ldap_entry *entry), void *context);
int errand_modify(struct errand *errand, const struct ldap_modify *modify);

#endif
