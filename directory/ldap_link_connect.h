/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a link that waits; of ldap_link alone, which runs it in a thread of libuv's pool. */
#ifndef MAILSTEAD_DIRECTORY_LDAP_LINK_CONNECT_H
#define MAILSTEAD_DIRECTORY_LDAP_LINK_CONNECT_H

#include "directory/ldap_link.h"

enum { LDAP_REASON_SIZE = 256 };

struct ldap; /* libldap's handle */

/* By which another thread ends a connect that waits. */
struct connect_watch;

struct connect_watch *connect_watch_new(void);

/* Once the handle that was connected under it is unbound. */
void connect_watch_free(struct connect_watch *watch);

/*
 * Makes a connect that runs, or will, fail soon: TLS handshakes inside libldap have no timeout of
 * their own.  From any thread, while it connects.
 */
void connect_watch_abort(struct connect_watch *watch);

/*
 * Connects, secures and binds: a handle that the caller unbinds, or NULL and why not in
 * `reason`.  Each step but the TLS handshake waits for up to the timeout of the settings.
 */
struct ldap *ldap_link_connect(const struct ldap_settings *settings, struct connect_watch *watch,
                               char reason[LDAP_REASON_SIZE]);

/* Writes "what: the text of `code` (what the library or the server adds)". */
void ldap_link_explain(struct ldap *ld, const char *what, int code, char reason[LDAP_REASON_SIZE]);

#endif
