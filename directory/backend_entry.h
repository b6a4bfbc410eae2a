/* SPDX-License-Identifier: Apache-2.0 */
/* From an entry of the directory to a backend. */
#ifndef MAILSTEAD_DIRECTORY_BACKEND_ENTRY_H
#define MAILSTEAD_DIRECTORY_BACKEND_ENTRY_H

#include "common/service/backend.h"
#include "directory/ldap_entry.h"

enum { BACKEND_ATTRIBUTES_MAX = 9, BACKEND_WHY_SIZE = 160 };

/* The attributes that backend_entry_read needs, ended by NULL; borrowed from `config`. */
void backend_entry_attributes(const struct directory_config *config,
                              const char *attributes[BACKEND_ATTRIBUTES_MAX]);

/*
 * Reads an entry of a synchronised or of a plain search; without synchronisation entry_uuid stays
 * zero.  Strict: false, and `why` says which attribute is wrong, unless each is as
 * mailstead.conf(5) says.  What TLS wants to see is never read from the entry.
 */
bool backend_entry_read(const struct directory_config *config, const struct ldap_entry *entry,
                        struct backend *backend, char why[BACKEND_WHY_SIZE])
    __attribute__((warn_unused_result));

#endif
