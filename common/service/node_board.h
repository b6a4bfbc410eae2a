/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all processes of a backend node know of it: what it was ordered to do, and which
 * servers' storages are attached.  The storage process writes it, workers read it.  It is part
 * of the board; an attachment is a lease, so that it ends by itself when the storage process, or
 * the process that holds the storage, no longer says that all is well.
 */
#ifndef MAILSTEAD_SERVICE_NODE_BOARD_H
#define MAILSTEAD_SERVICE_NODE_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct board;
struct board_slot;

enum { BOARD_STORAGES = 64, BOARD_SERVER_SIZE = 128 };

enum node_order {
    NODE_ORDER_UNKNOWN, /* the storage process has not yet read what was ordered before */
    NODE_ORDER_SERVE,
    NODE_ORDER_LEAVE /* the node leaves, or has left */
};

enum node_state { NODE_WAITING, NODE_SERVING, NODE_LEAVING, NODE_LEFT };
extern const char *const node_state_names[]; /* "waiting", "serving", "leaving", "left" */

enum storage_state {
    STORAGE_DETACHED,
    STORAGE_ATTACHING,
    STORAGE_ATTACHED,
    STORAGE_RELEASING,
    STORAGE_FAILED
};
extern const char *const storage_state_names[]; /* "detached", "attaching", ... */

struct board_storage {
    _Atomic uint64_t key; /* of the server's name; 0: the row is free */
    _Atomic int is_named; /* `server` can be read */
    char server[BOARD_SERVER_SIZE];
    _Atomic int state;               /* enum storage_state */
    _Atomic uint64_t valid_until_ms; /* monotonic: attached no longer than this */
    _Atomic int is_missed; /* an account of this node needed it in vain; until that is noticed */
    _Atomic uint64_t missed_until_ms; /* monotonic: that counts, if it is not attached before */
    _Atomic int is_held;              /* remembered, and not attached before a word or an order */
};

struct board_node {
    _Atomic int order;         /* enum node_order */
    _Atomic int has_left;      /* all that belongs to leaving is done */
    _Atomic int is_overridden; /* serve before the first synchronisation */
    struct board_storage storages[BOARD_STORAGES];
};

/* What the node does now. */
enum node_state node_board_state(const struct board *board);

/*
 * The row of this server's storage; whichever process needs it first takes it, and it is never
 * given back.  NULL when there is none left, or the name is no server's.
 */
struct board_storage *node_board_storage(struct board *board, const char *server);

/*
 * A node without storages (`is_open`) serves all accounts: every storage counts as attached until
 * it is released.  To be said when it is known which a node is; what was released stays so.
 */
void node_board_open_storages(struct board *board, bool is_open);

/* Its number for target.storage and node_board_use, from 1 on. */
unsigned node_board_storage_number(const struct board *board, const struct board_storage *storage);

/*
 * A session of the process with `slot` begins to use the storage with this number; false, and it
 * does not, when that is not attached.  Counted first and looked at then: who stops serving a
 * storage first and counts then misses nobody.
 */
bool node_board_use(struct board *board, struct board_slot *slot, unsigned number, uint64_t now_ms)
    __attribute__((warn_unused_result));
void node_board_leave(struct board_slot *slot, unsigned number);

/* How many sessions use it, in all processes that live. */
uint64_t node_board_storage_sessions(const struct board *board,
                                     const struct board_storage *storage);

/* Whether it is attached, and the lease runs. */
bool storage_is_attached(const struct board_storage *storage, uint64_t now_ms);

/* Whether it is not attached, and an account of this node needed it lately. */
bool storage_is_missed(const struct board_storage *storage, uint64_t now_ms);

/* A server's name that can be a folder's: letters, digits, ".", "_" and "-", no "." in front. */
bool storage_server_is_good(const char *server);

#endif
