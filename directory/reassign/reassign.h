/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving accounts by rewriting their entries: `mailstead reassign` and `mailstead restore`.
 *
 *     reassign --from A --to B    hostServer=A       becomes hostServer=B, oldHostServer=A
 *     restore A                   oldHostServer=A    becomes hostServer=A, no oldHostServer
 *     reassign --permanent        hostServer=A       becomes hostServer=B, no oldHostServer;
 *                                 so do those that an earlier reassign from A to B has left
 *                                 with hostServer=B and oldHostServer=A
 *
 * The work list is the directory itself: what has moved no longer matches, so a run can be
 * stopped or killed at any moment, and run again.  Each entry is changed only if it still is as
 * it was read (RFC 4528); of two runs at once, one sees entries change under it and
 * stops.  An oldHostServer that is there already is kept (the mail is on that storage), unless the
 * account comes home to that very server: then it is removed.
 *
 * With RFC 5805 transactions in batches where the server has them, else by single changes.  A batch
 * that the server does not commit is done again entry by entry: that also corrects followers,
 * which may have been told of changes that never came to be.
 *
 * Blocking, with a loop of its own: for the command, not for a daemon.  Whether A still
 * answers is the caller's to find out first.
 */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_H
#define MAILSTEAD_DIRECTORY_REASSIGN_H

#include "common/service/config.h"

enum reassign_kind { REASSIGN_MOVE, REASSIGN_RESTORE };

/* How a run ended; the command's exit status for each is in mailstead(1). */
enum reassign_end {
    REASSIGN_DONE = 0,        /* every entry is as asked, or as many as `limit` allows */
    REASSIGN_FAILED = 1,      /* cannot connect, bind, search, or write: `error` says why */
    REASSIGN_REFUSED = 2,     /* the server refuses writes: read-only, a replica, no rights */
    REASSIGN_INCOMPLETE = 3,  /* some entries could not be changed; run it again */
    REASSIGN_INTERRUPTED = 4, /* should_stop said so, or the connection broke; run it again */
    REASSIGN_CONTENDED = 5    /* entries change under it: somebody else is at it */
};

struct reassign_progress {
    uint64_t found;   /* entries that matched so far */
    uint64_t moved;   /* changed, and the server said so */
    uint64_t skipped; /* with two values of hostServer, or changed by somebody else meanwhile */
    uint64_t failed;  /* that the server refused to change */
    uint64_t elapsed_ms;
    bool is_connected; /* the server has taken us; listing may begin */
    bool is_listed;    /* `found` is all there is */
};

struct reassign_plan {
    enum reassign_kind kind;
    const char *from; /* MOVE: the host that the accounts leave; RESTORE: the host they return to */
    const char *to;   /* MOVE only */
    bool is_permanent;          /* MOVE only: the mail has moved too, so no oldHostServer remains */
    const char *const *domains; /* only accounts with an address in one of these; none: all */
    size_t domain_count;
    const char *filter; /* only entries that match it too (RFC 4515, checked); NULL: all */
    uint64_t limit;     /* entries that are changed at most; 0: all */
    unsigned rate;      /* changes a second at most, evenly; 0: as fast as it goes */
    bool is_dry_run;    /* counts, changes nothing */
    /* The folder of the journal (journal.h); NULL: none is kept. */
    const char *journal_directory;
    /* Called about every 200 ms and at the end; may be NULL. */
    void (*progress)(void *context, const struct reassign_progress *progress);
    /* For each entry that is skipped or fails; may be NULL. */
    void (*complain)(void *context, const char *dn, const char *why);
    /* Asked before each batch, and about every 200 ms, as a slow server may keep a batch for long:
     * true ends the run after the batches in flight.  May be NULL. */
    bool (*should_stop)(void *context);
    void *context;
};

enum { REASSIGN_ERROR_SIZE = 512, REASSIGN_PATH_SIZE = 1280 };

struct reassign_result {
    enum reassign_end end;
    struct reassign_progress progress;
    bool used_transactions;
    char error[REASSIGN_ERROR_SIZE];  /* one line for a person; empty when DONE */
    char journal[REASSIGN_PATH_SIZE]; /* its path; empty: none was begun */
};

/* "done", "failed" ... */
const char *reassign_end_name(enum reassign_end end);

/*
 * Runs it against config->admin's server (the first of config->directory's when it has no
 * write_uri), among the entries of config->directory's base and filter.
 */
void reassign_run(const struct config *config, const struct reassign_plan *plan,
                  struct reassign_result *result);

#endif
