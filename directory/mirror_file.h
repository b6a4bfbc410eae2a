/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror's file as its writer opens it: made, checked, set aside. */
#ifndef MAILSTEAD_DIRECTORY_MIRROR_FILE_H
#define MAILSTEAD_DIRECTORY_MIRROR_FILE_H

#include <sqlite3.h>
#include <stdbool.h>

/*
 * Opens the file at `path` for writing and makes it if it is not there: an open
 * database with the schema, kept in a write-ahead log that outlives it.  A file that is damaged
 * or of another schema is set aside first.  NULL, after a line in the log, when
 * the system refuses.  The caller closes it with sqlite3_close.
 */
sqlite3 *mirror_file_open(const char *path);

/* Removes the mirrors of older schemas in `state_directory`: a copy that nobody reads any more. */
void mirror_file_remove_older(const char *state_directory);

/* Moves the file, which nobody here has open, to the first free of *.damaged-1 to -3, else over the
 * last. */
void mirror_file_set_aside(const char *path, const char *error);

/* True for results that say that the file itself is wrong, not the system. */
bool mirror_file_is_damage(int result);

#endif
