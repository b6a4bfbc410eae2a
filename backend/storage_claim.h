/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on a storage itself, so that one node at a time has it: in the server's folder
 *
 *     .mailstead-server   the marker: whose storage it is.  Made once, by an order.
 *     .mailstead-claim    the claim: which node has it, by which process, since when, when it was
 *                         last seen to work.  Locked (flock(2)) by that process while it lives.
 *
 * The lock is the kernel's, and on NFS, GFS2, OCFS2 and CephFS the cluster's: it cannot be had
 * twice and ends with its process.  The claim outlives both: who crashed, lost power, or just
 * started again still has it, and only that node gets it without a word.  Any other is refused
 * until the claim was released, or until an operator says that its holder was fenced.
 *
 * Every call may block for as long as the file system does: they are for a process that somebody
 * else can kill.  The folders belong to the users of a mail store: no link is followed.
 */
#ifndef MAILSTEAD_BACKEND_STORAGE_CLAIM_H
#define MAILSTEAD_BACKEND_STORAGE_CLAIM_H

#include <sys/types.h>

#include "common/service/config.h"
#include "common/service/node_board.h"

enum { STORAGE_WHY_SIZE = 400, STORAGE_PATH_SIZE = 1280, CLAIM_BOOT_SIZE = 40 };

/* A server's storage, as a node sees it. */
struct storage_place {
    const struct storage_config *config;
    const char *server;
    const char *node; /* ours */
};

/* DIRECTORY/SERVER */
void storage_path(const struct storage_config *config, const char *server,
                  char path[STORAGE_PATH_SIZE]);

/*
 * Makes the marker (and the folder, where nothing has to be mounted there).  True also when it is
 * there already and names this server.
 */
bool storage_mark(const struct storage_place *place, char why[STORAGE_WHY_SIZE]);

/* A claim that is held. */
struct claim {
    int lock_fd;
    dev_t device; /* of the claim's file, when it was locked */
    ino_t inode;
    int64_t since_s;
};

/*
 * Claims it for this process: the folder is there, mounted as it must be, marked as this server's
 * and can be written.  `holder_was_fenced` is an operator's word for a claim of another node.
 */
bool claim_take(const struct storage_place *place, bool holder_was_fenced, struct claim *claim,
                char why[STORAGE_WHY_SIZE]);

/* All of it is still so, from the path on, and a synced write succeeds. */
bool claim_check(const struct storage_place *place, const struct claim *claim,
                 char why[STORAGE_WHY_SIZE]);

/* Gives it up, so that another node may have it; the lock goes with the process. */
bool claim_release(const struct storage_place *place, const struct claim *claim,
                   char why[STORAGE_WHY_SIZE]);

/*
 * Gives up what an earlier process of this node may have left.  True when nothing says afterwards
 * that this node has it; also when there is no storage here to look at, or no claim that can be
 * read.
 */
bool claim_disclaim(const struct storage_place *place, char why[STORAGE_WHY_SIZE]);

#endif
