/* SPDX-License-Identifier: Apache-2.0 */
/* How to connect to the servers that the configuration names; what is given borrows from it. */
#ifndef MAILSTEAD_DIRECTORY_LINK_SETTINGS_H
#define MAILSTEAD_DIRECTORY_LINK_SETTINGS_H

#include "common/service/config.h"
#include "directory/ldap_link.h"

/* For reading, as section "directory" says, at `uri`. */
struct ldap_settings link_settings(const struct directory_config *config, const char *uri,
                                   unsigned timeout_ms);

/* The server to write to: admin.write_uri, or the first that is followed. */
const char *link_write_uri(const struct config *config);

/*
 * For writing, at link_write_uri, as section "admin" says.  Without an identity there: whom the
 * system calls us on ldapi:// (SASL EXTERNAL), elsewhere the identity for reading.
 */
struct ldap_settings link_settings_for_writing(const struct config *config, unsigned timeout_ms);

#endif
