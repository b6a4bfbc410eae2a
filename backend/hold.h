/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a node that was away may take a storage up again that it remembers: by where the
 * directory has the accounts whose mail is on it.  Pure.
 */
#ifndef MAILSTEAD_BACKEND_HOLD_H
#define MAILSTEAD_BACKEND_HOLD_H

#include "backend/storage_claim.h"
#include "directory/host_counts.h"

/*
 * True when the accounts on the storage of `server` are all this node's, or it is the node's own
 * and has none.  Else `why` says who has them.  Accounts that no backend serves do not count.
 */
bool hold_is_ours(const struct host_counts *counts, const char *node, const char *server,
                  char why[STORAGE_WHY_SIZE]) __attribute__((warn_unused_result));

/* Whether no account with its mail on the storage of `server` is at `node`. */
bool hold_is_void(const struct host_counts *counts, const char *node, const char *server);

#endif
