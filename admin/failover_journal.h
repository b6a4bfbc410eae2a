/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What failovers and failbacks of one backend have done: a file that only grows, in the folder of
 * the journals of reassign (admin.journal_directory), a line of JSON for each fact.
 *
 *     {"event":"run","time":...,"command":"failover","backend":"sv1","pid":...,"by":...}
 *     {"event":"attaching","node":"sv2"}    from now on it may have the backend's storage
 *     {"event":"released","node":"sv2"}     it has it no more, as it says itself
 *     {"event":"off","node":"sv2"}          it was fenced, or is said to be off
 *     {"event":"phase","phase":"let go","ms":...}
 *     {"event":"end","status":0,"why":"","ms":...}
 *
 * Each line is on disk before what it announces is done.  The file is also the lock: one run at a
 * time on this machine for a backend, and none of a node that a run hands accounts to.
 */
#ifndef MAILSTEAD_ADMIN_FAILOVER_JOURNAL_H
#define MAILSTEAD_ADMIN_FAILOVER_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "directory/reassign/reassign.h"

struct failover_journal;

enum failover_journal_trouble { FAILOVER_JOURNAL_FAILED, FAILOVER_JOURNAL_LOCKED };

/*
 * Opens that of `backend` and locks it.  NULL, with what it is and one line for a person, when that
 * is not possible or another run has it.
 */
struct failover_journal *failover_journal_open(const char *directory, const char *backend,
                                               enum failover_journal_trouble *trouble,
                                               char error[REASSIGN_ERROR_SIZE]);
void failover_journal_close(struct failover_journal *journal);

/* Keeps failovers of another node from beginning until this one is closed; false: one is under way,
 * or cannot be kept off. */
bool failover_journal_hold(struct failover_journal *journal, const char *node,
                           char error[REASSIGN_ERROR_SIZE]) __attribute__((warn_unused_result));

/*
 * The node that may have the backend's storage attached since an earlier run, for all that is
 * written there; or NULL.  Valid as long as the journal.
 */
const char *failover_journal_prior(const struct failover_journal *journal);

/* Writes a line, taken over, and has the disk keep it; false and `error` when that failed. */
bool failover_journal_write(struct failover_journal *journal, json_t *line,
                            char error[REASSIGN_ERROR_SIZE]) __attribute__((warn_unused_result));

const char *failover_journal_path(const struct failover_journal *journal);

#endif
