/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storages of a node: its own, and those of servers whose accounts it has adopted.  Each is
 * brought here (hook), claimed (storage_claim.h) and looked after by a keeper, on whose word its
 * row on the board is a lease; until then, and when it is no longer well, its accounts are
 * refused temporarily.
 *
 * One that is wanted and not well is looked at again and again, but what another node has claimed,
 * or a hook did not bring, is not brought again without an order, since bringing it may be harm.
 * One that a node remembers from before its start is held until it is known to be still its own.
 *
 * A node without storages (storage.kind none) has every server's mail, be it copies: attached is
 * what was not released, and what was released is held.
 */
#ifndef MAILSTEAD_BACKEND_STORAGE_H
#define MAILSTEAD_BACKEND_STORAGE_H

#include "backend/storage_jobs.h"
#include "common/base/state.h"
#include "common/service/control.h"

struct storages {
    struct child *child;
    struct storage_jobs *jobs;
    struct list list; /* of struct storage */
    size_t count;
    /* A storage has come to rest (attached, detached, failed); or which are wanted has changed. */
    void (*settled)(void *context);
    void (*remember)(void *context);
    void *context;
};

/* Why one that is to be attached again is still left alone. */
enum storage_hold {
    STORAGE_FREE,
    STORAGE_UNJUDGED, /* until it is known where its accounts are */
    STORAGE_BARRED    /* another node may have it: until an order to attach it */
};

struct storage {
    struct list node;
    struct storages *storages;
    char server[BOARD_SERVER_SIZE];
    struct state state; /* enum storage_state */
    struct board_storage *row;
    struct storage_job work, keeper;
    enum storage_hold hold; /* DETACHED, but for STORAGE_FREE */
    bool is_wanted;         /* it is kept attached, also over a restart */
    bool is_barred;         /* remembered as that: until it is attached again */
    bool is_void;           /* released, without a claim: no account of it was here lately */
    bool holder_was_fenced; /* an operator's word, for this attempt */
    bool is_to_be_marked;
    bool is_delayed;      /* it is to be attached when what is under way is over */
    bool is_refused;      /* nothing is tried again without an order */
    bool is_to_go;        /* the node leaves: it is still to be released */
    bool is_vacated;      /* RELEASING: its sessions end, and nothing is given up before */
    bool is_forced;       /* it is given up at `vacate_ms` although sessions are left */
    bool is_in_use;       /* FAILED: they did not end, and its keeper keeps it */
    uint64_t vacate_ms;   /* monotonic */
    uint64_t since_ms;    /* wall clock, of the state */
    uint64_t retry_ms;    /* monotonic; 0: never */
    uint64_t released_ms; /* monotonic, when it was last given up; 0: never */
    uint64_t missed_ms;   /* when somebody last needed it in vain and that was logged */
    char why[STORAGE_WHY_SIZE];
    char logged[STORAGE_WHY_SIZE]; /* the trouble that was logged last */
    struct list waiters;           /* of struct storage_waiter */
};

void storages_start(struct storages *storages, struct child *child, struct storage_jobs *jobs);
void storages_stop(struct storages *storages);

/* To be called a few times a second. */
void storages_look(struct storages *storages);

/* Those who wait are told that it goes on. */
void storages_tell(struct storages *storages);

/* The storage of this server; made when it is new.  NULL: this is no name, or there are too many.
 */
struct storage *storages_find(struct storages *storages, const char *server);

/* Whether it is brought and claimed: not with storage.kind none. */
bool storage_has_claim(const struct storage *storage);

/* Leaves it alone, and says why; one that is DETACHED, and `hold` is not STORAGE_FREE. */
void storage_hold(struct storage *storage, enum storage_hold hold, const char *why);

/* Brings and claims it.  `mark` first makes the marker.  Does nothing to one that is attached. */
void storage_attach(struct storage *storage, bool mark, bool holder_was_fenced);

/*
 * Has the sessions end that use it, then gives it up and takes it away; also one that is not
 * attached, which may be claimed all the same.  If sessions are left after `patience_ms` it fails,
 * and the claim stays; `is_forced`: it is given up all the same.
 */
void storage_release(struct storage *storage, uint64_t patience_ms, bool is_forced);

/* When it settles, now or later, `request` is answered and finished: well if it is `wanted` then.
 */
void storage_wait(struct storage *storage, struct control_request *request,
                  enum storage_state wanted);

/* server, state, is_held, is_missed (accounts need it in vain), why, since_ms, sessions. */
json_t *storage_row(const struct storage *storage);

#endif
