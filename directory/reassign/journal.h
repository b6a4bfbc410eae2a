/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run has changed, in a file of its own that only ever grows: a line of JSON for each
 * fact, ASCII only.
 *
 *     {"event":"run","time":...,"command":"reassign","from":...,"to":...,"server":...,...}
 *     {"event":"intended","entry":1,"dn":"uid=...","host":["sv1","sv2"],"old_host":[null,"sv1"]}
 *     {"event":"done","entries":[1,500]}
 *     {"event":"not done","entries":[7,7],"why":"..."}
 *     {"event":"unknown","entries":[501,1000],"why":"..."}
 *     {"event":"end","time":...,"end":"done",...}
 *
 * An entry is written down before it is sent, so that after a crash those may have changed which
 * are intended and have no outcome; no other entry has.  Everything is with the kernel when a
 * call returns: a killed tool loses nothing, and at most leaves half a line behind, of an
 * entry that was not sent yet.  When the machine itself crashes, the last second may
 * be missing.  When the disk is full, what stood in the file stays whole lines.  Nothing here
 * deletes a journal.
 */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_JOURNAL_H
#define MAILSTEAD_DIRECTORY_REASSIGN_JOURNAL_H

#include "directory/reassign/plan.h"

enum journal_outcome { JOURNAL_DONE, JOURNAL_NOT_DONE, JOURNAL_UNKNOWN };

struct journal;

/*
 * Makes a file in plan->journal_directory, and that folder if only it is missing (0700; never
 * through a symbolic link).  NULL and one line for a person in `error` when that is not possible,
 * or when others may write to the folder.  `server` is who is written to.  On the heap;
 * journal_close ends it.
 */
struct journal *journal_open(const struct config *config, const struct reassign_plan *plan,
                             const char *server, char error[REASSIGN_ERROR_SIZE]);

/*
 * Whether no other run had a journal open in that folder when this one was opened: a hint that one
 * may be under way, on this machine only, and no lock.
 */
bool journal_is_alone(const struct journal *journal);

/* The file's path, valid as long as the journal. */
const char *journal_path(const struct journal *journal);

/*
 * Numbers the items and writes down what is to become of them; false, and `error`, when they cannot
 * be: then they must not be changed.
 */
bool journal_intend(struct journal *journal, struct plan_item *const *items, size_t count,
                    char error[REASSIGN_ERROR_SIZE]) __attribute__((warn_unused_result));

/*
 * Writes down what became of `count` items that were intended one after the other; `why` NULL:
 * nothing to say.  False, and `error`, when it cannot be: they stay intended in the file.
 */
bool journal_settle(struct journal *journal, enum journal_outcome outcome,
                    struct plan_item *const *items, size_t count, const char *why,
                    char error[REASSIGN_ERROR_SIZE]) __attribute__((warn_unused_result));

/* Writes down how the run ended and has the disk keep everything; frees the journal.  False, and
 * `error`, when that failed. */
bool journal_close(struct journal *journal, const struct reassign_result *result,
                   char error[REASSIGN_ERROR_SIZE]);

#endif
