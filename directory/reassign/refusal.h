/* SPDX-License-Identifier: Apache-2.0 */
/* What a server that refuses a search or a change means, and what there is to do: for people. */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_REFUSAL_H
#define MAILSTEAD_DIRECTORY_REASSIGN_REFUSAL_H

#include "common/service/config.h"
#include "directory/ldap_link.h"
#include "directory/reassign/reassign.h"

/* The search for the accounts ended after `count` of them with something else than success. */
void refusal_of_search(const struct config *config, const struct ldap_answer *answer, size_t count,
                       char text[REASSIGN_ERROR_SIZE]);

/* Whether such an answer to a change is about who we are or what the server is: then no other
 * change will be taken either. */
bool refusal_is_of_all(int code);

/* A change was answered so. */
void refusal_of_change(const struct config *config, const struct ldap_answer *answer,
                       char text[REASSIGN_ERROR_SIZE]);

#endif
