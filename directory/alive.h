/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the server of a link is still there: one that has been silent is asked. */
#ifndef MAILSTEAD_DIRECTORY_ALIVE_H
#define MAILSTEAD_DIRECTORY_ALIVE_H

#include "directory/ldap_link.h"

struct alive; /* on the heap; frees itself after alive_stop */

/* `lost`: it has not answered in time. */
struct alive *alive_start(struct io_loop *loop, void (*lost)(void *context), void *context);
void alive_stop(struct alive *alive);

/* The link that is looked after from now on, until it is replaced; NULL: none is. */
void alive_watch(struct alive *alive, struct ldap_link *link);

/* Something came by it. */
void alive_heard(struct alive *alive);

#endif
