/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A search filter (RFC 4515) that is matched here, against entries that a search has shown.
 * For relay_filter: and, or, not, presence, equality and substrings; text compares as
 * caseIgnoreMatch does with ASCII.  Ordering, approximate and extensible matches are not known.
 */
#ifndef MAILSTEAD_DIRECTORY_LDAP_FILTER_H
#define MAILSTEAD_DIRECTORY_LDAP_FILTER_H

#include "directory/ldap_entry.h"

struct ldap_filter;

/* Reads a filter; NULL when it is malformed, nested too deep, or uses what is not known. */
struct ldap_filter *ldap_filter_parse(struct span text);
void ldap_filter_free(struct ldap_filter *filter);

/* Whether the entry matches; an attribute that was not asked for counts as absent. */
bool ldap_filter_matches(const struct ldap_filter *filter, const struct ldap_entry *entry);

/* Calls `visit` for each attribute that the filter names, more than once when it does. */
void ldap_filter_each_attribute(const struct ldap_filter *filter,
                                void (*visit)(const char *name, void *context), void *context);

#endif
