/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mirror: this machine's copy of what routing needs of the directory, an
 * sqlite database in the state directory, named by its schema's version.  One
 * writer, the directory process (mirror_writer.h); any number of readers.
 */
#ifndef MAILSTEAD_DIRECTORY_MIRROR_H
#define MAILSTEAD_DIRECTORY_MIRROR_H

#include "common/base/bytes.h"
#include "directory/route.h"

struct mirror; /* a reader: one connection, prepared statements; for one thread */

/* A reader of the mirror in `state_directory`; it opens the file when it first can, and again when
 * it was replaced. */
struct mirror *mirror_open(const char *state_directory);
void mirror_close(struct mirror *mirror);

/*
 * Waits, asleep, for at most `timeout_ms` until the file can be read: while the writer makes it, or
 * mends it after a crash.  For a process whose loop does not run yet.
 */
void mirror_await(struct mirror *mirror, unsigned timeout_ms);

/* The mirror as a source for route.h: FIND_FAILED while it cannot be read or was never filled. */
struct route_source mirror_source(struct mirror *mirror);

/*
 * Lookups that follow may all be made in one view of the file, which begins with the next of them
 * unless the last call had the same `revision`: that is not 0, and is committed.  It saves each of
 * them the locks.  0: each sees the newest.  A view keeps the writer's log from being begun anew,
 * and should be ended soon when nobody looks anything up.
 */
void mirror_view(struct mirror *mirror, uint64_t revision);

/* The number of the last committed change; 0 when it cannot be read. */
uint64_t mirror_revision(struct mirror *mirror);

/*
 * The backends that the directory lists, each by backend_put, into `list`, which is released
 * first.  `*is_known` is false when they were never written.  False when they cannot be read.
 */
bool mirror_read_backends(struct mirror *mirror, struct bytes *list, bool *is_known)
    __attribute__((warn_unused_result));

/*
 * Gives `visit` up to `limit` entries behind the one numbered `*after` (0: from the first), in the
 * order of their numbers, and sets `*after` to the last of them: their count.  An entry that is
 * new has a higher number than all that were there.  -1: they cannot be read.
 */
int mirror_walk_entries(struct mirror *mirror, int64_t *after, unsigned limit,
                        void (*visit)(void *context, const struct route_entry *entry),
                        void *context);

/* The path of the mirror's file under `state_directory`. */
void mirror_path(const char *state_directory, char *path, size_t size);

#endif
