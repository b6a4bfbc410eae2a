/* SPDX-License-Identifier: Apache-2.0 */
/* An entry as a search shows it, and text that goes into filters. */
#ifndef MAILSTEAD_DIRECTORY_LDAP_ENTRY_H
#define MAILSTEAD_DIRECTORY_LDAP_ENTRY_H

#include "directory/sync_value.h"

struct ldap_attribute {
    struct span name; /* as the server writes it */
    const struct span *values;
    size_t value_count;
};

struct ldap_entry {
    const char *dn;
    const struct sync_entry_value *sync; /* NULL in a plain search */
    const struct ldap_attribute *attributes;
    size_t attribute_count;
};

/* The attribute called `name` (case ignored), or NULL. */
const struct ldap_attribute *ldap_entry_find(const struct ldap_entry *entry, const char *name);

/* Appends `value` to a filter with what is special in it escaped (RFC 4515 section 3). */
bool ldap_escape(struct buffer *filter, struct span value);

#endif
