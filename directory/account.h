/* SPDX-License-Identifier: Apache-2.0 */
/* From an entry of the directory to the account that the mirror keeps. */
#ifndef MAILSTEAD_DIRECTORY_ACCOUNT_H
#define MAILSTEAD_DIRECTORY_ACCOUNT_H

#include "common/service/config.h"
#include "directory/ldap_entry.h"
#include "directory/mirror_writer.h"

struct account_reader;

/*
 * `config` is borrowed until account_reader_free.  A relay_filter that cannot be matched here
 * is logged as an error, and then matches nothing.
 */
struct account_reader *account_reader_new(const struct directory_config *config);
void account_reader_free(struct account_reader *reader);

/* The attributes that account_read needs, ended by NULL; the reader's. */
const char *const *account_attributes(const struct account_reader *reader);

/* The filter that accounts and relayed entries match; the reader's. */
const char *account_filter(const struct account_reader *reader);

/*
 * Reads an entry of a synchronised search.  `*account` points into the reader and the entry,
 * until the next call.  False when the entry has no name by which it could be routed.
 */
bool account_read(struct account_reader *reader, const struct ldap_entry *entry,
                  struct mirror_account *account) __attribute__((warn_unused_result));

/* As account_attributes, with what account_read_plain needs. */
const char *const *account_plain_attributes(const struct account_reader *reader);

/*
 * Reads an entry of a plain search for account_plain_attributes.  False when it does not show
 * its entryUUID; else `uuid` is set, and `*is_account` is what account_read would give.
 */
bool account_read_plain(struct account_reader *reader, const struct ldap_entry *entry,
                        unsigned char uuid[MIRROR_UUID_SIZE], struct mirror_account *account,
                        bool *is_account) __attribute__((warn_unused_result));

/* What the mirror's content depends on; for mirror_writer_open. */
const char *account_source(const struct account_reader *reader);

#endif
